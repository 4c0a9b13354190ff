import type { FastifyInstance } from 'fastify'
import type { UsageAnalytics, UsageSum, UsageTopic } from '../../library/library.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'

type Dates = { Querystring: { startDate?: unknown; endDate?: unknown } }

/** `GET /v1/accounts/usage` and `/v1/accounts/usage-analytics` (contract notes 1.10). */
export function registerUsage(app: FastifyInstance, deps: HttpDeps): void {
  const { account, library, usage, clock, baseUrlFor } = deps

  app.get<Dates>('/v1/accounts/usage', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const { startDate, endDate } = request.query
    return usage.report({ startDate, endDate })
  })

  app.get<Dates>('/v1/accounts/usage-analytics', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const { startDate, endDate } = request.query
    const analytics = await usage.analytics({ startDate, endDate })
    return presentAnalytics(analytics, {
      endpoint: `${baseUrlFor(request)}/${account.id}`,
      prefixes: new Map(
        (await library.urlEndpoints.list()).map(({ body }) => [
          String(body.urlPrefix),
          String(body.description),
        ]),
      ),
      nowMs: clock.now(),
    })
  })
}

/** Names of one kind that an answer shows. */
const MAX_SHOWN = 50

/** The members of the contract (SDK 7.11). Countries stay empty: addresses are not looked up. */
function presentAnalytics(
  { startDate, endDate, sums }: UsageAnalytics,
  {
    endpoint,
    prefixes,
    nowMs,
  }: {
    endpoint: string
    /** Descriptions of the URL endpoints by their prefixes. */
    prefixes: Map<string, string>
    nowMs: number
  },
) {
  const of = (topic: UsageTopic) => sums.get(topic) ?? []
  const requestsOf = (topic: UsageTopic, name: string) =>
    of(topic).find((sum) => sum.name === name)?.requests ?? 0
  const [total] = of('total')
  const counted = (topic: UsageTopic) =>
    top(of(topic), 'requests').map(({ name, requests }) => ({ name, requestCount: requests }))
  const grouped = (topic: UsageTopic, show = (name: string) => name) => groupedOf(of(topic), show)
  const groupedOf = (all: UsageSum[], show: (name: string) => string) => {
    const entry = ({ name, requests, bytes }: UsageSum) => ({
      name: show(name),
      bandwidthBytes: bytes,
      requestCount: requests,
    })
    return {
      byBandwidth: top(all, 'bytes').map(entry),
      byRequests: top(all, 'requests').map(entry),
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
    urlEndpoints: groupedOf(
      endpointsOf(total, of('endpoint'), prefixes),
      (prefix) => prefixes.get(prefix) ?? DEFAULT_ENDPOINT,
    ),
  }
}

const DEFAULT_ENDPOINT = 'Default'

/** What belongs to no other endpoint belongs to the default one, under a prefix that no other has. */
function endpointsOf(
  total: UsageSum | undefined,
  sums: UsageSum[],
  prefixes: Map<string, string>,
): UsageSum[] {
  if (!total) return []
  const named = sums.filter(({ name }) => prefixes.has(name))
  const rest = { ...total, name: '/' }
  for (const { requests, bytes } of named) {
    rest.requests -= requests
    rest.bytes -= bytes
  }
  return rest.requests > 0 ? [rest, ...named] : named
}

function top(sums: UsageSum[], by: 'requests' | 'bytes'): UsageSum[] {
  return sums
    .toSorted((a, b) => b[by] - a[by] || b.requests - a.requests || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_SHOWN)
}
