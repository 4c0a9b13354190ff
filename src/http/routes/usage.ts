import type { FastifyInstance } from 'fastify'
import type { UsageAnalytics, UsageSum, UsageTopic } from '../../library/library.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'

type Dates = { Querystring: { startDate?: unknown; endDate?: unknown } }

/** `GET /v1/accounts/usage` and `/v1/accounts/usage-analytics` (contract notes 1.10). */
export function registerUsage(app: FastifyInstance, deps: HttpDeps): void {
  const { account, usage, clock, baseUrlFor } = deps

  app.get<Dates>('/v1/accounts/usage', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const { startDate, endDate } = request.query
    return usage.report({ startDate, endDate })
  })

  app.get<Dates>('/v1/accounts/usage-analytics', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const { startDate, endDate } = request.query
    return presentAnalytics(await usage.analytics({ startDate, endDate }), {
      endpoint: `${baseUrlFor(request)}/${account.id}`,
      nowMs: clock.now(),
    })
  })
}

/** Names of one kind that an answer shows. */
const MAX_SHOWN = 50

/** The members of the contract (SDK 7.11). Countries stay empty: addresses are not looked up. */
function presentAnalytics(
  { startDate, endDate, sums }: UsageAnalytics,
  { endpoint, nowMs }: { endpoint: string; nowMs: number },
) {
  const of = (topic: UsageTopic) => sums.get(topic) ?? []
  const requestsOf = (topic: UsageTopic, name: string) =>
    of(topic).find((sum) => sum.name === name)?.requests ?? 0
  const [total] = of('total')
  const counted = (topic: UsageTopic) =>
    top(of(topic), 'requests').map(({ name, requests }) => ({ name, requestCount: requests }))
  const grouped = (topic: UsageTopic, show = (name: string) => name) => {
    const entry = ({ name, requests, bytes }: UsageSum) => ({
      name: show(name),
      bandwidthBytes: bytes,
      requestCount: requests,
    })
    return {
      byBandwidth: top(of(topic), 'bytes').map(entry),
      byRequests: top(of(topic), 'requests').map(entry),
    }
  }
  const urlOf = (path: string) => endpoint + path
  return {
    startDate,
    endDate,
    generatedAt: new Date(nowMs).toISOString(),
    bandwidthBytes: total?.bytes ?? 0,
    requestCount: total?.requests ?? 0,
    cache: {
      hitCount: requestsOf('cache', 'hit'),
      missCount: requestsOf('cache', 'miss'),
      errorCount: requestsOf('cache', 'error'),
    },
    statusCodes: counted('status'),
    errorReasons: counted('error'),
    extensions: top(of('extension'), 'requests').map(({ name, requests }) => ({
      name,
      operationCount: requests,
    })),
    videoProcessing: top(of('videoSeconds'), 'requests').map(({ name, requests }) => {
      const [codec, resolution] = name.split(' ')
      return { codec, resolution, durationSeconds: requests }
    }),
    top404Assets: counted('notFound').map(({ name, requestCount }) => ({ name: urlOf(name), requestCount })),
    browser: grouped('browser'),
    country: { byBandwidth: [], byRequests: [] },
    device: grouped('device'),
    format: grouped('format'),
    topImages: grouped('image', urlOf),
    topVideos: grouped('video', urlOf),
    topOtherAssets: grouped('other', urlOf),
    topImageTransforms: grouped('imageTransform'),
    topVideoTransforms: grouped('videoTransform'),
    topReferrers: grouped('referrer'),
    topUserAgents: grouped('userAgent'),
    urlEndpoints: grouped('endpoint'),
  }
}

function top(sums: UsageSum[], by: 'requests' | 'bytes'): UsageSum[] {
  return sums
    .toSorted((a, b) => b[by] - a[by] || b.requests - a.requests || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_SHOWN)
}
