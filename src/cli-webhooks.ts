import type { CommandContext, Commands } from './cli-commands.ts'
import { isoOf, showTable } from './cli-table.ts'
import { loadConfig } from './config/load.ts'
import { openInstallation } from './installation.ts'
import { badRequest } from './kernel/errors.ts'
import { systemIds } from './kernel/ids.ts'
import { silentLog } from './kernel/log.ts'
import { createNetworkPolicy } from './kernel/network-policy.ts'
import { createSafeFetch } from './kernel/safe-fetch.ts'
import { systemClock } from './kernel/time.ts'
import {
  type AttemptResult,
  createWebhooks,
  EVENT_TYPES,
  type WebhookEndpoint,
  type WebhookPayload,
  type Webhooks,
} from './library/library.ts'
import type { Job } from './store/store.ts'

const JSON_OPTION = { json: 'machine-readable output' }
const DEFAULT_LISTED = 20
const STATES: Record<string, Job['state'][]> = {
  pending: ['ready', 'running'],
  delivered: ['done'],
  failed: ['dead'],
}
const ENDPOINT_OPTIONS = {
  events: `what it is told, with commas between (default: everything): ${EVENT_TYPES.join(', ')}`,
  description: 'a note for people',
}

/** Endpoints of webhooks, and what was sent to them. A running server sees changes within a second. */
export const WEBHOOKS: Commands = {
  'webhooks list': {
    summary: 'Lists the endpoints that are told of changes.',
    arguments: [],
    options: JSON_OPTION,
    run: (context) =>
      withWebhooks(context, async (webhooks) => {
        showTable(context, (await webhooks.list()).map(rowOf), 'There are no webhooks.')
      }),
  },
  'webhooks create': {
    summary: 'Makes an endpoint and shows its secret, this once.',
    arguments: ['url'],
    options: {
      ...ENDPOINT_OPTIONS,
      secret: 'a secret that receivers know already, instead of a new one',
      ...JSON_OPTION,
    },
    changes: () => true,
    run: (context) =>
      withWebhooks(context, async (webhooks) => {
        const secret = context.options.get('secret')
        const made = await webhooks.create({
          url: context.arguments[0]!,
          ...changesOf(context),
          ...(secret === undefined ? {} : { secret }),
        })
        context.note({ webhook: made.id })
        showSecret(made, context)
      }),
  },
  'webhooks change': {
    summary: 'Changes what an endpoint is told, and where.',
    arguments: ['id'],
    options: { url: 'another address', ...ENDPOINT_OPTIONS },
    changes: () => true,
    run: (context) =>
      withWebhooks(context, async (webhooks) => {
        const url = context.options.get('url')
        const changes = { ...changesOf(context), ...(url === undefined ? {} : { url }) }
        if (Object.keys(changes).length === 0) throw badRequest('Say what to change.')
        showTable(context, [rowOf(await webhooks.update(context.arguments[0]!, changes))], '')
      }),
  },
  'webhooks disable': {
    summary: 'Tells an endpoint nothing more until it is enabled again.',
    arguments: ['id'],
    options: {},
    changes: () => true,
    run: (context) => setEnabled(context, false),
  },
  'webhooks enable': {
    summary: 'Enables an endpoint, also one that the server has disabled.',
    arguments: ['id'],
    options: {},
    changes: () => true,
    run: (context) => setEnabled(context, true),
  },
  'webhooks rotate': {
    summary: 'Gives an endpoint another secret and shows it, this once.',
    arguments: ['id'],
    options: JSON_OPTION,
    changes: () => true,
    run: (context) =>
      withWebhooks(context, async (webhooks) => {
        showSecret(await webhooks.rotateSecret(context.arguments[0]!), context)
      }),
  },
  'webhooks delete': {
    summary: 'Deletes an endpoint.',
    arguments: ['id'],
    options: {},
    changes: () => true,
    run: (context) =>
      withWebhooks(context, async (webhooks) => {
        await webhooks.remove(context.arguments[0]!)
        context.print(`${context.arguments[0]} is deleted.`)
      }),
  },
  'webhooks deliveries': {
    summary: 'Lists what was sent to an endpoint, the newest first.',
    arguments: ['id'],
    options: {
      state: `only ${Object.keys(STATES).join(', ')}`,
      limit: `at most so many (${DEFAULT_LISTED})`,
      ...JSON_OPTION,
    },
    run: (context) =>
      withWebhooks(context, async (webhooks) => {
        const { state, limit = String(DEFAULT_LISTED) } = Object.fromEntries(context.options)
        const states = state === undefined ? undefined : STATES[state]
        if (state !== undefined && !states) {
          throw badRequest(`Say --state= and one of: ${Object.keys(STATES).join(', ')}.`)
        }
        if (!/^[1-9][0-9]{0,3}$/.test(limit)) throw badRequest('--limit is a whole number from 1.')
        const deliveries = await webhooks.deliveries(context.arguments[0]!, {
          limit: Number(limit),
          ...(states && { states }),
        })
        showTable(context, deliveries.map(deliveryRowOf), 'There are no such deliveries.')
      }),
  },
  'webhooks replay': {
    summary: 'Sends a delivery once more, or all that have failed.',
    arguments: ['id', 'delivery?'],
    options: { failed: 'all that have failed' },
    changes: () => true,
    run: (context) =>
      withWebhooks(context, async (webhooks) => {
        const [id, deliveryId] = context.arguments as [string, string?]
        if ((deliveryId === undefined) !== context.options.has('failed')) {
          throw badRequest('Say which: the id of a delivery, or --failed.')
        }
        if (deliveryId === undefined) {
          context.print(`${await webhooks.replayFailed(id)} will be sent once more.`)
        } else context.print(`It will be sent once more, as ${await webhooks.replay(id, deliveryId)}.`)
      }),
  },
}

async function withWebhooks(
  context: CommandContext,
  work: (webhooks: Webhooks) => Promise<void>,
): Promise<void> {
  const { config } = loadConfig(context.settings)
  const { store, close } = await openInstallation(config, { create: false })
  try {
    await work(
      createWebhooks(config.webhooks, {
        ...{ store, ids: systemIds, clock: systemClock, log: silentLog },
        safeFetch: createSafeFetch(config.fetch),
        policy: createNetworkPolicy(config.fetch),
      }),
    )
  } finally {
    await close()
  }
}

function setEnabled(context: CommandContext, enabled: boolean): Promise<void> {
  return withWebhooks(context, async (webhooks) => {
    const { id, url } = await webhooks.update(context.arguments[0]!, { enabled })
    context.print(`${id} (${url}) is ${enabled ? 'enabled' : 'disabled'}.`)
  })
}

function changesOf({ options }: CommandContext): Record<string, unknown> {
  const events = options.get('events')
  const description = options.get('description')
  return {
    ...(events === undefined ? {} : { events: events.split(',').map((event) => event.trim()) }),
    ...(description === undefined ? {} : { description }),
  }
}

function rowOf(endpoint: WebhookEndpoint) {
  return {
    id: endpoint.id,
    url: endpoint.url,
    events: endpoint.events.join(','),
    state: endpoint.isEnabled ? 'enabled' : 'disabled',
    failingSince: isoOf(endpoint.failingSinceMs),
    description: endpoint.description,
    reason: endpoint.disabledReason ?? '',
  }
}

function deliveryRowOf(job: Job) {
  const { eventId, eventType } = job.payload as WebhookPayload
  const last = job.progress as Partial<AttemptResult>
  return {
    id: job.id,
    event: eventType,
    eventId,
    state: Object.keys(STATES).find((name) => STATES[name]!.includes(job.state))!,
    attempts: job.attempts,
    created: isoOf(job.createdAtMs),
    status: last.status ?? '',
    error: job.state === 'done' ? '' : (job.lastError ?? ''),
  }
}

function showSecret(endpoint: WebhookEndpoint, context: CommandContext): void {
  if (context.options.has('json')) {
    context.print(JSON.stringify({ ...rowOf(endpoint), secret: endpoint.secret }))
    return
  }
  context.print(
    [
      'The secret of the webhook is shown this once; receivers check signatures with it.',
      '',
      `  id      ${endpoint.id}`,
      `  url     ${endpoint.url}`,
      `  secret  ${endpoint.secret}`,
    ].join('\n'),
  )
}
