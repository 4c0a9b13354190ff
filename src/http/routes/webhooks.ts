import type { FastifyInstance } from 'fastify'
import { badRequest } from '../../kernel/errors.ts'
import type { AttemptResult, WebhookEndpoint, WebhookPayload } from '../../library/library.ts'
import type { Job } from '../../store/store.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'
import { objectOf } from '../json-body.ts'

type ById = { Params: { id: string } }
type Query = { Querystring: Record<string, string | string[] | undefined> }

const STATES: Record<string, Job['state'][]> = {
  pending: ['ready', 'running'],
  delivered: ['done'],
  failed: ['dead'],
}
const MAX_LISTED = 100

/** Endpoints of webhooks and what was sent to them: an API of our own (docs/webhooks.md). */
export function registerWebhooks(app: FastifyInstance, { account, library }: HttpDeps): void {
  const { webhooks } = library
  const manage = (authorization: string | undefined) => requireKey(authorization, account, 'manage')

  app.get('/v1/webhooks', async (request) => {
    await manage(request.headers.authorization)
    return (await webhooks.list()).map(present)
  })

  app.post('/v1/webhooks', async (request, reply) => {
    await manage(request.headers.authorization)
    return reply.code(201).send(presentWithSecret(await webhooks.create(request.body)))
  })

  app.get<ById>('/v1/webhooks/:id', async (request) => {
    await manage(request.headers.authorization)
    return present(await webhooks.get(request.params.id))
  })

  app.patch<ById>('/v1/webhooks/:id', async (request) => {
    await manage(request.headers.authorization)
    const { url, events, description, enabled, secret } = objectOf(request.body)
    const changes = { url, events, description, enabled, secret }
    return present(await webhooks.update(request.params.id, changes))
  })

  app.delete<ById>('/v1/webhooks/:id', async (request, reply) => {
    await manage(request.headers.authorization)
    await webhooks.remove(request.params.id)
    return reply.code(204).send()
  })

  app.post<ById>('/v1/webhooks/:id/rotate-secret', async (request) => {
    await manage(request.headers.authorization)
    return presentWithSecret(await webhooks.rotateSecret(request.params.id))
  })

  app.get<ById & Query>('/v1/webhooks/:id/deliveries', async (request) => {
    await manage(request.headers.authorization)
    const deliveries = await webhooks.deliveries(request.params.id, parseFilter(request.query))
    return deliveries.map(presentDelivery)
  })

  app.post<{ Params: { id: string; deliveryId: string } }>(
    '/v1/webhooks/:id/deliveries/:deliveryId/replay',
    async (request, reply) => {
      await manage(request.headers.authorization)
      const { id, deliveryId } = request.params
      return reply.code(202).send({ deliveryId: await webhooks.replay(id, deliveryId) })
    },
  )

  app.post<ById>('/v1/webhooks/:id/replay-failed', async (request, reply) => {
    await manage(request.headers.authorization)
    return reply.code(202).send({ replayed: await webhooks.replayFailed(request.params.id) })
  })
}

function present(endpoint: WebhookEndpoint) {
  const { id, url, events, description, isEnabled, disabledReason } = endpoint
  return {
    id,
    url,
    events,
    description,
    enabled: isEnabled,
    disabledReason,
    failingSince: isoOf(endpoint.failingSinceMs),
    createdAt: isoOf(endpoint.createdAtMs),
    updatedAt: isoOf(endpoint.updatedAtMs),
  }
}

/** The secret is shown when it is made and never again. */
function presentWithSecret(endpoint: WebhookEndpoint) {
  return { ...present(endpoint), secret: endpoint.secret }
}

function presentDelivery(job: Job) {
  const { eventId, eventType, body } = job.payload as WebhookPayload
  const last = job.progress as Partial<AttemptResult>
  const state = Object.keys(STATES).find((name) => STATES[name]!.includes(job.state))
  return {
    id: job.id,
    eventId,
    eventType,
    state,
    attempts: job.attempts,
    createdAt: isoOf(job.createdAtMs),
    lastAttemptAt: isoOf(last.atMs ?? null),
    lastStatus: last.status ?? null,
    lastDurationMs: last.durationMs ?? null,
    lastError: job.state === 'done' ? null : (job.lastError ?? null),
    nextAttemptAt: job.state === 'ready' ? isoOf(job.runAtMs) : null,
    body: JSON.parse(body) as unknown,
  }
}

/** @throws TintypeError bad-request naming the parameter. */
function parseFilter(query: Query['Querystring']) {
  const { state, limit = '20', skip = '0' } = query
  if (state !== undefined && !(typeof state === 'string' && Object.hasOwn(STATES, state))) {
    throw badRequest(`state should be one of: ${Object.keys(STATES).join(', ')}.`)
  }
  const count = Number(limit)
  if (!Number.isInteger(count) || count < 1 || count > MAX_LISTED) {
    throw badRequest(`limit should be a whole number from 1 to ${MAX_LISTED}.`)
  }
  if (!/^\d{1,9}$/.test(String(skip))) throw badRequest('skip should be a whole number from 0.')
  return {
    ...(state === undefined ? {} : { states: STATES[state as string]! }),
    limit: count,
    skip: Number(skip),
  }
}

function isoOf(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString()
}
