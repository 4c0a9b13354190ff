import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { UsageMeter, UsageTopic } from '../library/library.ts'

/** The few user agents that most requests come from are read once. */
const MAX_USER_AGENTS = 1000

/** Counts every answer to a delivery URL when it has been sent, or has been given up. */
export function countDelivery(app: FastifyInstance, deps: { accountId: string; usage: UsageMeter }): void {
  const { accountId, usage } = deps
  const prefix = `/${accountId}/`
  const agents = new LRUCache<string, { browser: string; device: string }>({ max: MAX_USER_AGENTS })
  app.addHook('onRequest', (request, reply, done) => {
    const target = request.raw.url ?? ''
    if (target.startsWith(prefix)) {
      const { socket } = request.raw
      const before = socket.bytesWritten
      // `close` comes also when the client has left, unlike what the framework calls the response's end.
      reply.raw.once('close', () => {
        const headers = request.raw.headers
        const agent = headers['user-agent'] ?? ''
        const known = agents.get(agent) ?? readUserAgent(agent)
        agents.set(agent, known)
        usage.delivered({
          status: reply.raw.statusCode,
          bytes: sentBytes(reply, socket.bytesWritten - before, request.method === 'HEAD'),
          names: { ...namesOf(target.slice(accountId.length + 1), headers, reply), ...known },
        })
      })
    }
    done()
  })
}

/** Bytes of the body that went out. @param written what the connection has sent meanwhile, headers and all. */
function sentBytes(reply: FastifyReply, written: number, isHead: boolean): number {
  const { raw } = reply
  if (isHead || raw.statusCode === 304) return 0
  const length = Number(reply.getHeader('content-length') ?? Number.NaN)
  if (Number.isNaN(length)) return Math.max(0, written)
  return raw.writableFinished ? length : Math.min(length, Math.max(0, written))
}

function namesOf(
  target: string,
  headers: IncomingHttpHeaders,
  reply: FastifyReply,
): Partial<Record<UsageTopic, string>> {
  const { path, transformation } = splitTarget(target)
  const status = reply.raw.statusCode
  const names: Partial<Record<UsageTopic, string>> = { endpoint: 'Default' }
  const error = reply.getHeader('ik-error')
  if (typeof error === 'string') names.error = error.split(' - ', 1)[0]!
  if (status === 404) names.notFound = path
  if (status >= 500) names.cache = 'error'
  const type = String(reply.getHeader('content-type') ?? '').split(';', 1)[0]!
  if (status < 400) {
    // What is not transformed comes from the library itself, where it always is.
    names.cache = reply.getHeader('x-tintype-cache') === 'miss' ? 'miss' : 'hit'
    if (type !== '') {
      const media = type.startsWith('image/') ? 'image' : type.startsWith('video/') ? 'video' : 'other'
      names.format = type
      names[media] = path
      if (transformation !== undefined && media !== 'other') names[`${media}Transform`] = transformation
    }
  }
  const { referer, 'user-agent': userAgent } = headers
  // Queries of other sites' pages are none of our business.
  if (referer) names.referrer = referer.split(/[?#]/, 1)[0]!
  if (userAgent) names.userAgent = userAgent
  return names
}

/** Parts a raw target, without the account's id, into the asset's path and the text of its transformation. */
export function splitTarget(target: string): { path: string; transformation: string | undefined } {
  const [whole, query = ''] = target.split(/\?(.*)/s, 2) as [string, string?]
  const inPath = /^\/(tr[:-](?:[^/]*))(?=\/)/.exec(whole)
  const path = inPath ? whole.slice(inPath[0].length) : whole
  if (inPath) return { path, transformation: decoded(inPath[1]!) }
  const inQuery = /(?:^|&)tr=([^&]+)/.exec(query)
  return { path, transformation: inQuery ? decoded(`tr:${inQuery[1]!.replaceAll('+', ' ')}`) : undefined }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** In this order: most browsers name those that they are like too. */
const BROWSERS: [RegExp, string][] = [
  [/Edg(?:e|A|iOS)?\//, 'Edge'],
  [/OPR\/|Opera/, 'Opera'],
  [/SamsungBrowser\//, 'Samsung Internet'],
  [/Firefox\/|FxiOS\//, 'Firefox'],
  [/Chrome\/|CriOS\/|Chromium\//, 'Chrome'],
  [/Version\/[\d.]+.*Safari\//, 'Safari'],
  [/bot\b|crawler|spider|slurp/i, 'Bot'],
]
const DEVICES: [RegExp, string][] = [
  [/iPhone/, 'Smartphone - Apple iPhone'],
  [/iPad/, 'Tablet - Apple iPad'],
  [/Android.*Mobile/, 'Smartphone - Android'],
  [/Android/, 'Tablet - Android'],
  [/Windows/, 'Desktop - Windows PC'],
  [/Macintosh/, 'Desktop - Apple Mac'],
  [/CrOS/, 'Desktop - Chrome OS'],
  [/Linux|X11/, 'Desktop - Linux'],
]

/** Browser and device that a User-Agent header claims. */
export function readUserAgent(text: string): { browser: string; device: string } {
  const first = (table: [RegExp, string][]) => table.find(([pattern]) => pattern.test(text))?.[1] ?? 'Other'
  return { browser: first(BROWSERS), device: first(DEVICES) }
}
