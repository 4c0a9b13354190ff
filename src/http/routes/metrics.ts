import type { FastifyInstance } from 'fastify'
import { notFound } from '../../kernel/errors.ts'
import type { Metrics } from '../../kernel/metrics.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'

const DURATION_BUCKETS_SEC = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** `GET /metrics`: numbers for Prometheus (docs/jobs.md). */
export function registerMetrics(app: FastifyInstance, { account, metrics, options }: HttpDeps): void {
  app.get('/metrics', async (request, reply) => {
    if (options.metrics === 'off') throw notFound('The requested endpoint does not exist.')
    if (options.metrics === 'key') await requireKey(request.headers.authorization, account, 'read')
    return reply
      .header('cache-control', 'no-store')
      .type('text/plain; version=0.0.4; charset=utf-8')
      .send(await metrics.render())
  })
}

/**
 * Counts every answer, and how long it took, by what was asked.
 * @returns what counts an answer that was given from memory, past the framework.
 */
export function countRequests(
  app: FastifyInstance,
  deps: { accountId: string; metrics: Metrics },
): (method: string, status: number) => void {
  const { accountId, metrics } = deps
  const requests = metrics.counter('tintype_http_requests_total', 'Answers, by what was asked and by status.')
  const durations = metrics.histogram(
    'tintype_http_request_duration_seconds',
    'Time from the arrival of the headers to the end of the answer.',
    DURATION_BUCKETS_SEC,
  )
  const cache = metrics.counter(
    'tintype_derivative_requests_total',
    'Answers with a transformed image, or from memory, by whether it was in the cache.',
  )
  app.addHook('onResponse', async (request, reply) => {
    const route = routeOf(request.raw.url ?? '', accountId)
    requests.add({ route, method: request.method, status: String(reply.statusCode) })
    durations.observe(reply.elapsedTime / 1000, { route })
    const kept = reply.getHeader('x-tintype-cache')
    if (kept === 'hit' || kept === 'miss') cache.add({ cache: kept })
  })

  const adders = new Map<string, () => void>()
  const addHit = cache.adderFor({ cache: 'hit' })
  return (method, status) => {
    const key = `${method} ${status}`
    let add = adders.get(key)
    if (!add) {
      add = requests.adderFor({ route: 'delivery', method, status: String(status) })
      adders.set(key, add)
    }
    add()
    addHit()
  }
}

/** A few kinds, so that the names in URLs never become labels. */
function routeOf(url: string, accountId: string): string {
  if (url.startsWith(`/${accountId}/`)) return 'delivery'
  if (/^\/api\/v[12]\/files\/upload/.test(url)) return 'upload'
  if (/^\/v[12]\//.test(url)) return 'api'
  return 'other'
}
