import { TintypeError } from '../kernel/errors.ts'
import type { JobOutcome } from '../kernel/job-kinds.ts'
import type { Log } from '../kernel/log.ts'
import { FetchFailure } from '../kernel/network-policy.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'
import { signWebhook } from '../signing/signing.ts'
import type { Job, RunningJob, Store, Tables } from '../store/store.ts'
import { CALLBACKS, type WebhookPayload } from './events.ts'
import { createHostGate } from './host-gate.ts'
import type { WebhookOptions } from './webhooks.ts'

const HOUR_MS = 3_600_000
/** A predecessor that runs now is done soon, and then says so. */
const ORDER_WAIT_MS = 250
const MAX_ORDER_WAIT_MS = 60_000
const FAILED = 'The webhook could not be delivered.'

/** Who a delivery goes to, as it is now. */
export type Receiver = {
  url: string
  /** Undefined for callbacks when no secret is configured: the contract does not sign them. */
  secret: string | undefined
  isEnabled: boolean
  /** Goes there in its own way, for a receiver that the operator has named; absent: as to strangers. */
  safeFetch?: SafeFetch
}

/** What became of the last attempt, as it is kept with the job. */
export type AttemptResult = {
  atMs: number
  durationMs: number
  /** Of the answer; null without one. */
  status: number | null
  error: string | null
}

/** Sends webhooks: one attempt of one job at a time. */
export function createWebhookSender(
  options: WebhookOptions,
  deps: {
    store: Store
    /** With room for all deliveries at once, so that they never take the places of downloads. */
    safeFetch: SafeFetch
    clock: Clock
    log: Log
    /** The receiver of an endpoint; undefined when it was deleted. */
    findEndpoint: (id: string) => Promise<Receiver | undefined>
    disable: (tx: Tables, endpointId: string, reason: string) => Promise<void>
    /** Signs callbacks too, where it is set. */
    callbackSecret: string | undefined
  },
): (running: RunningJob) => Promise<JobOutcome> {
  const { store, safeFetch, clock, log } = deps
  const gate = createHostGate({
    maxInFlight: options.maxInFlightPerHost,
    maxFailures: options.breakerFailures,
    pauseMs: options.breakerPauseSec * 1000,
  })

  async function attempt(running: RunningJob, receiver: Receiver): Promise<AttemptResult & Answer> {
    const { eventId, body } = running.job.payload as WebhookPayload
    const atMs = clock.now()
    const startMs = performance.now()
    const spent = () => ({ atMs, durationMs: Math.round(performance.now() - startMs) })
    const headers = receiver.secret
      ? signWebhook({ id: eventId, body, secret: receiver.secret, nowMs: atMs })
      : { 'webhook-id': eventId, 'webhook-timestamp': String(Math.floor(atMs / 1000)) }
    try {
      const response = await (receiver.safeFetch ?? safeFetch).open(receiver.url, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'Tintype-Webhooks' },
        body,
        maxBytes: 1024,
        readBody: false,
        followRedirects: false,
        headersTimeoutMs: options.timeoutMs,
        failureMessage: FAILED,
        signal: running.signal,
      })
      const { status } = response
      const isTaken = status >= 200 && status < 300
      const error = isTaken ? null : `The receiver answered with status ${status}.`
      return { ...spent(), status, error, retryAfter: response.headers['retry-after'], isRefused: false }
    } catch (thrown) {
      running.signal.throwIfAborted()
      const cause = thrown instanceof TintypeError ? thrown.cause : thrown
      const code = cause instanceof FetchFailure ? cause.code : undefined
      return {
        ...spent(),
        status: null,
        error: cause instanceof Error ? `${code ?? 'failed'}: ${cause.message}` : FAILED,
        retryAfter: undefined,
        // Neither will the next attempt be allowed to go there.
        isRefused: code === 'url-refused' || code === 'address-refused',
      }
    }
  }

  return async (running) => {
    const { job } = running
    const known = job.progress as Partial<AttemptResult>
    // It crashed between the note of its success and its end.
    if (known.status !== undefined && known.error === null) return { kind: 'done' }
    const { to } = job.payload as WebhookPayload
    const endpointId = 'endpointId' in to ? to.endpointId : undefined
    const target = endpointId ?? CALLBACKS
    const receiver =
      'url' in to
        ? { url: to.url, secret: deps.callbackSecret, isEnabled: true }
        : await deps.findEndpoint(to.endpointId)
    if (!receiver) return { kind: 'give-up', reason: 'The endpoint was deleted.' }
    if (!receiver.isEnabled) return { kind: 'give-up', reason: 'The endpoint is disabled.' }

    const before = endpointId === undefined ? undefined : await store.deliveries.predecessor(job.id)
    if (before) {
      const untilMs = before.state === 'ready' ? before.runAtMs - clock.now() : 0
      const delayMs = Math.min(Math.max(untilMs, 0) + ORDER_WAIT_MS, MAX_ORDER_WAIT_MS)
      return { kind: 'postpone', delayMs, reason: 'An earlier event of the same file comes first.' }
    }

    const sinceMs = beganMs(job, clock.now())
    const isOverdue = () => clock.now() - sinceMs > options.retryHours * HOUR_MS
    const place = await gate.enter(hostOf(receiver.url), job.id)
    if ('waitMs' in place) {
      if (isOverdue()) return giveUp(running, job.lastError ?? 'The host takes nothing.')
      const jitter = 1 + 0.2 * Math.random()
      return { kind: 'postpone', delayMs: place.waitMs * jitter, reason: 'The host is busy.' }
    }
    let worked = false
    try {
      const { retryAfter, isRefused, ...result } = await attempt(running, receiver)
      worked = result.error === null || result.status === 410
      log.debug({ job: job.id, target, ...result }, 'sent a webhook')
      if (result.error === null) {
        await running.step(async (tx) => {
          await tx.deliveries.hastenSuccessor(job.id, clock.now())
          await tx.deliveries.working(target)
          return { ...running.job.progress, ...result, sinceMs }
        })
        return { kind: 'done' }
      }
      const { error } = result
      await running.step(async (tx) => {
        if (endpointId !== undefined) await judge(tx, endpointId, result.status)
        return { ...running.job.progress, ...result, sinceMs }
      })
      if (result.status === 410 || isRefused || isOverdue()) return giveUp(running, error)
      const afterMs = retryAfterMs(retryAfter, clock.now())
      const backoffMs = options.firstRetryMs * 2 ** (job.attempts - 1)
      return afterMs === undefined || afterMs <= backoffMs
        ? { kind: 'retry', reason: error }
        : { kind: 'retry', reason: error, delayMs: Math.min(afterMs, options.retryHours * HOUR_MS) }
    } finally {
      place.leave(worked)
    }
  }

  /** Disables an endpoint that is gone, or that has taken nothing for long. */
  async function judge(tx: Tables, endpointId: string, status: number | null): Promise<void> {
    const sinceMs = await tx.deliveries.failing(endpointId, clock.now())
    if (status === 410) {
      await deps.disable(tx, endpointId, 'The receiver answered that it is gone (410).')
    } else if (clock.now() - sinceMs > options.disableAfterHours * HOUR_MS) {
      const since = new Date(sinceMs).toISOString()
      await deps.disable(tx, endpointId, `Nothing could be delivered since ${since}.`)
    }
  }

  /** The events behind one that is given up need wait no longer. */
  async function giveUp(running: RunningJob, reason: string): Promise<JobOutcome> {
    await running.step(async (tx) => {
      await tx.deliveries.hastenSuccessor(running.job.id, clock.now())
      return running.job.progress
    })
    return { kind: 'give-up', reason }
  }
}

type Answer = { retryAfter: string | undefined; isRefused: boolean }

/** When the first attempt was due. A job that somebody has made ready again begins anew. */
function beganMs(job: Job, nowMs: number): number {
  if (job.attempts > 1) return (job.progress as { sinceMs?: number }).sinceMs ?? job.createdAtMs
  return job.lastError === null ? job.createdAtMs : nowMs
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? url
}

/** Milliseconds from a Retry-After header: seconds, or a date (RFC 9110, 10.2.3). */
function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  const text = value.trim()
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const dateMs = /^[a-z]{3}/i.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs)
}
