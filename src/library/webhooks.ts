import { randomBytes } from 'node:crypto'
import { type Static, Type } from 'typebox'
import { badRequest, notFound, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { JobKind, JobOutcome } from '../kernel/job-kinds.ts'
import type { Log } from '../kernel/log.ts'
import type { NetworkPolicy } from '../kernel/network-policy.ts'
import { createSafeFetch, type SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'
import type { Job, RunningJob, Store, StoredDocument, Tables } from '../store/store.ts'
import { createCollection } from './collection.ts'
import { EVENT_TYPES, type EventType, type Subscriber, type WebhookPayload } from './events.ts'
import { createWebhookSender, type Receiver } from './webhook-sender.ts'

export const webhookOptions = Type.Object({
  url: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description: 'An endpoint that gets all events, beside those that are made over the API.',
    }),
  ),
  secret: Type.Optional(
    Type.String({
      minLength: 24,
      description:
        'Signs what goes to the endpoint of the settings, and callbacks of extensions. Secret; `whsec_` and 32 random bytes in base64 suit all receivers.',
    }),
  ),
  maxEndpoints: Type.Integer({
    default: 20,
    minimum: 1,
    description: 'Most endpoints: each change of a file writes one job for each of them.',
  }),
  timeoutMs: Type.Integer({
    default: 30_000,
    minimum: 10,
    description: 'How long a receiver may take to answer (manual, "Delivery attempts and retries").',
  }),
  maxInFlightPerHost: Type.Integer({
    default: 4,
    minimum: 1,
    description: 'Deliveries to one host at a time: protects receivers, and other hosts from a slow one.',
  }),
  firstRetryMs: Type.Integer({
    default: 5000,
    minimum: 1,
    description: 'Wait before the second attempt; it doubles with each further one.',
  }),
  retryHours: Type.Number({
    default: 24,
    minimum: 0,
    description: 'For how long a delivery is tried (manual, "Delivery attempts and retries").',
  }),
  breakerFailures: Type.Integer({
    default: 20,
    minimum: 1,
    description: 'Failures in a row after which a host is left alone for a while.',
  }),
  breakerPauseSec: Type.Number({
    default: 60,
    minimum: 0,
    description: 'For how long it is, at first.',
  }),
  disableAfterHours: Type.Number({
    default: 120,
    minimum: 0,
    description:
      'An endpoint that has taken nothing for so long gets nothing more until it is enabled again.',
  }),
})
export type WebhookOptions = Static<typeof webhookOptions>

/** An endpoint as an administrator sees it. */
export type WebhookEndpoint = {
  id: string
  url: string
  events: readonly (EventType | '*')[]
  description: string
  isEnabled: boolean
  /** Why the server disabled it. */
  disabledReason: string | null
  secret: string
  /** Since when it has taken nothing; null while all is well. */
  failingSinceMs: number | null
  /** Null for the endpoint of the settings, which cannot be changed over the API. */
  createdAtMs: number | null
  updatedAtMs: number | null
}

export type DeliveryFilter = { states?: Job['state'][]; limit: number; skip?: number }

export type Webhooks = {
  list(): Promise<WebhookEndpoint[]>
  /** @throws TintypeError not-found. */
  get(id: string): Promise<WebhookEndpoint>
  /** @throws TintypeError bad-request naming the member that is wrong. */
  create(body: unknown): Promise<WebhookEndpoint>
  update(id: string, body: unknown): Promise<WebhookEndpoint>
  remove(id: string): Promise<void>
  /** Gives the endpoint another secret; what is sent from now on is signed with it. */
  rotateSecret(id: string): Promise<WebhookEndpoint>
  /** Deliveries to an endpoint, the newest first; of those that were taken, the ones of the last days. */
  deliveries(id: string, filter: DeliveryFilter): Promise<Job[]>
  /** Sends an event once more, under the same event id. @returns the id of the new delivery. */
  replay(id: string, deliveryId: string): Promise<string>
  /** Sends everything that was given up once more. @returns how many. */
  replayFailed(id: string): Promise<number>
  /** Those that get events now, as of at most a second ago. */
  subscribers(): Promise<readonly Subscriber[]>
  /** Runs a delivery job. */
  deliver(running: RunningJob): Promise<JobOutcome>
}

/** The endpoint of the settings. */
const CONFIGURED = 'configured'
const MISSING = 'The requested webhook does not exist.'
/** How old the list of endpoints may be that a change is judged by: other processes change it too. */
const CACHE_MS = 800
const SECRET_BYTES = 32
const MAX_DESCRIPTION = 500
const REPLAYED_AT_ONCE = 1000
const KIND: JobKind = 'webhook.deliver'

export function createWebhooks(
  options: WebhookOptions,
  deps: {
    store: Store
    safeFetch: SafeFetch
    policy: NetworkPolicy
    ids: Ids
    clock: Clock
    log: Log
  },
): Webhooks {
  const { store, policy, ids, clock, log } = deps
  if (options.url !== undefined && options.secret === undefined) {
    throw badRequest('TINTYPE_WEBHOOK_URL is set; set TINTYPE_WEBHOOK_SECRET too.')
  }
  let cache: { endpoints: Promise<Subscriber[]>; readAtMs: number } | undefined

  const configured: WebhookEndpoint | undefined =
    options.url === undefined
      ? undefined
      : {
          id: CONFIGURED,
          url: options.url,
          events: ['*'],
          description: 'From the settings of the server.',
          isEnabled: true,
          disabledReason: null,
          secret: options.secret!,
          failingSinceMs: null,
          createdAtMs: null,
          updatedAtMs: null,
        }

  const configuredFetch = options.url === undefined ? undefined : createTrustedFetch(options.url)

  const collection = createCollection(
    {
      kind: 'webhook',
      newId: () => `wh_${ids.token(16)}`,
      limit: options.maxEndpoints,
      limitMessage: `You can create a maximum of ${options.maxEndpoints} webhooks.`,
      missingMessage: MISSING,
      parse: (body, previous) => parseEndpoint(body, previous, policy),
    },
    { store, clock },
  )

  async function readSubscribers(): Promise<Subscriber[]> {
    const endpoints = (await collection.list()).map((document) => endpointOf(document, new Map()))
    return [...(configured ? [configured] : []), ...endpoints].filter((endpoint) => endpoint.isEnabled)
  }

  /** Runs a change, after which this process sees it at once. */
  async function changing<T>(change: Promise<T>): Promise<T> {
    try {
      return await change
    } finally {
      cache = undefined
    }
  }

  async function get(id: string): Promise<WebhookEndpoint> {
    const failures = await store.deliveries.failures()
    if (configured && id === CONFIGURED) {
      return { ...configured, failingSinceMs: failures.get(CONFIGURED) ?? null }
    }
    return endpointOf(await collection.get(id), failures)
  }

  const refuseConfigured = (id: string) => {
    if (configured && id === CONFIGURED) {
      throw badRequest('This webhook comes from the settings of the server and is changed there.')
    }
  }

  async function findEndpoint(id: string): Promise<Receiver | undefined> {
    if (configured && id === CONFIGURED) return { ...configured, safeFetch: configuredFetch! }
    const document = await store.documents.byId('webhook', id)
    return document && endpointOf(document, new Map())
  }

  async function disable(tx: Tables, id: string, reason: string): Promise<void> {
    const document = await tx.documents.byId('webhook', id)
    if (!document || document.body.enabled === false) return
    const body = { ...document.body, enabled: false, disabledReason: reason }
    await tx.documents.change({ ...document, body }, clock.now())
    cache = undefined
    log.warn({ webhook: id, reason }, 'a webhook was disabled')
  }

  async function replayJob(tx: Tables, id: string, { payload }: Job): Promise<string> {
    const { eventId } = payload as WebhookPayload
    const jobId = ids.next()
    // One replay at a time: pressing a button twice sends nothing twice.
    const dedupeKey = `webhook replay ${id} ${eventId}`
    const isNew = await tx.jobs.enqueue({
      id: jobId,
      kind: KIND,
      payload,
      createdAtMs: clock.now(),
      dedupeKey,
    })
    if (!isNew) throw new TintypeError('conflict', 'This delivery is being sent again already.')
    await tx.deliveries.add({ jobId, target: id, subject: null })
    return jobId
  }

  return {
    async list() {
      const [documents, failures] = await Promise.all([collection.list(), store.deliveries.failures()])
      const endpoints = documents.map((document) => endpointOf(document, failures))
      return configured
        ? [{ ...configured, failingSinceMs: failures.get(CONFIGURED) ?? null }, ...endpoints]
        : endpoints
    },
    get,
    async create(body) {
      return endpointOf(await changing(collection.create(body)), new Map())
    },
    async update(id, body) {
      refuseConfigured(id)
      const changed = await changing(collection.update(id, body))
      // Whoever enables it again starts afresh.
      if (changed.body.enabled === true) await store.deliveries.working(id)
      return get(id)
    },
    async remove(id) {
      refuseConfigured(id)
      await changing(collection.remove(id))
      await store.deliveries.working(id)
    },
    async rotateSecret(id) {
      refuseConfigured(id)
      await changing(collection.update(id, { secret: newSecret() }))
      return get(id)
    },
    async deliveries(id, filter) {
      await get(id)
      return store.deliveries.list({ target: id, ...filter })
    },
    async replay(id, deliveryId) {
      await get(id)
      return store.transaction(async (tx) => {
        const job = await tx.jobs.byId(deliveryId)
        const { to } = (job?.kind === KIND ? job.payload : {}) as Partial<WebhookPayload>
        if (!job || !to || !('endpointId' in to) || to.endpointId !== id) {
          throw notFound('The requested delivery does not exist.')
        }
        return replayJob(tx, id, job)
      })
    },
    async replayFailed(id) {
      await get(id)
      const dead = await store.deliveries.list({ target: id, states: ['dead'], limit: REPLAYED_AT_ONCE })
      if (dead.length === 0) return 0
      return store.jobs.requeue({ ids: dead.map((job) => job.id), nowMs: clock.now() })
    },
    subscribers() {
      const nowMs = performance.now()
      if (!cache || nowMs - cache.readAtMs > CACHE_MS) {
        const endpoints = readSubscribers()
        const fresh = { endpoints, readAtMs: nowMs }
        endpoints.catch(() => {
          if (cache === fresh) cache = undefined
        })
        cache = fresh
      }
      return cache.endpoints
    },
    deliver: createWebhookSender(options, {
      ...deps,
      findEndpoint,
      disable,
      callbackSecret: options.secret,
    }),
  }
}

/** The operator's word is enough for a host and its port, private or not. */
function createTrustedFetch(url: string): SafeFetch {
  const { hostname, port } = new URL(url)
  return createSafeFetch({
    allowHosts: [hostname.replace(/^\[|\]$/g, '')],
    allowedLowPorts: [80, 443, ...(port !== '' && Number(port) < 1024 ? [Number(port)] : [])],
    deniedPorts: [],
    maxRedirects: 0,
    failureFloorMs: 0,
  })
}

function newSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`
}

function endpointOf(document: StoredDocument, failures: Map<string, number>): WebhookEndpoint {
  const { url, events, description, enabled, disabledReason, secret } = document.body as EndpointBody
  return {
    id: document.id,
    url,
    events,
    description,
    isEnabled: enabled,
    disabledReason,
    secret,
    failingSinceMs: failures.get(document.id) ?? null,
    createdAtMs: document.createdAtMs,
    updatedAtMs: document.updatedAtMs,
  }
}

type EndpointBody = {
  url: string
  events: (EventType | '*')[]
  description: string
  enabled: boolean
  disabledReason: string | null
  secret: string
}

/** Checks what a request says of an endpoint. A secret can be brought along, so that receivers need no change. */
function parseEndpoint(
  body: Record<string, unknown>,
  previous: Record<string, unknown> | undefined,
  policy: NetworkPolicy,
): EndpointBody {
  const fallback = {
    events: ['*'],
    description: '',
    enabled: true,
    disabledReason: null,
    secret: previous === undefined ? newSecret() : undefined,
  }
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
  const { url, events, description, enabled, secret, disabledReason } = {
    ...fallback,
    ...previous,
    ...given,
    disabledReason: given.enabled === true ? null : (previous?.disabledReason ?? null),
  } as Record<string, unknown>
  if (typeof url !== 'string') throw badRequest('url is required and must be a string.')
  checkWebhookUrl(url, 'url', policy)
  const known: readonly unknown[] = ['*', ...EVENT_TYPES]
  if (!Array.isArray(events) || events.length === 0 || !events.every((event) => known.includes(event))) {
    throw badRequest(`events must be an array with any of: ${known.join(', ')}.`)
  }
  if (typeof description !== 'string' || description.length > MAX_DESCRIPTION) {
    throw badRequest(`description must be a string of at most ${MAX_DESCRIPTION} characters.`)
  }
  if (typeof enabled !== 'boolean') throw badRequest('enabled must be a boolean.')
  if (typeof secret !== 'string' || !/^[\x21-\x7e]{24,200}$/.test(secret)) {
    throw badRequest('secret must have 24 to 200 characters of ASCII, without spaces.')
  }
  return {
    url,
    events: [...new Set(events as EndpointBody['events'])],
    description,
    enabled,
    disabledReason: enabled ? null : (disabledReason as string | null),
    secret,
  }
}

/**
 * Refuses what could never be delivered to: no URL, or a literal address that is not public. What a name resolves to
 * is judged when something is sent there (trust W01).
 * @throws TintypeError bad-request.
 */
export function checkWebhookUrl(url: string, parameter: string, policy: NetworkPolicy): void {
  try {
    policy.parseTarget(url)
  } catch (cause) {
    throw badRequest(`Your request contains invalid ${parameter} parameter. It should be a public URL.`, {
      cause,
    })
  }
}
