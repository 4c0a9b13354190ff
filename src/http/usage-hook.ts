import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { Delivered } from '../delivery/delivery.ts'
import type { Clock } from '../kernel/time.ts'
import type { UsageMeter, UsageTopic } from '../library/library.ts'
import type { Asked } from './recalled.ts'

/** The few user agents that most requests come from are read once. */
const MAX_USER_AGENTS = 1000

/** Counts that wait to be handed in together, at most: bounds the memory for user agents that are all different. */
const MAX_TALLIES = 1000

export type DeliveryCounter = {
  /** Counts an answer that was given again from memory. */
  recalled(asked: Asked, answer: { delivered: Delivered; status: number; bytes: number }): void
}

/** What the names of a count are read from. */
type CountedAnswer = {
  target: string
  headers: IncomingHttpHeaders
  status: number
  contentType: string | undefined
  cache: string | undefined
  error?: string | undefined
}

/** Counts every answer to a delivery URL when it has been sent, or has been given up. */
export function countDelivery(
  app: FastifyInstance,
  deps: { accountId: string; usage: UsageMeter; clock: Clock },
): DeliveryCounter {
  const { accountId, usage, clock } = deps
  const prefix = `/${accountId}/`
  const agents = new LRUCache<string, { browser: string; device: string }>({ max: MAX_USER_AGENTS })
  const namesFor = (answer: CountedAnswer): Partial<Record<UsageTopic, string>> => {
    const agent = answer.headers['user-agent'] ?? ''
    const known = agents.get(agent) ?? readUserAgent(agent)
    agents.set(agent, known)
    return { ...namesOf({ ...answer, target: answer.target.slice(accountId.length + 1) }), ...known }
  }

  app.addHook('onRequest', (request, reply, done) => {
    const target = request.raw.url ?? ''
    if (target.startsWith(prefix)) {
      const { socket } = request.raw
      const before = socket.bytesWritten
      // `close` comes also when the client has left, unlike what the framework calls the response's end.
      reply.raw.once('close', () => {
        const text = (name: string) => reply.getHeader(name)?.toString()
        usage.delivered({
          status: reply.raw.statusCode,
          bytes: sentBytes(reply, socket.bytesWritten - before, request.method === 'HEAD'),
          names: namesFor({
            target,
            headers: request.raw.headers,
            status: reply.raw.statusCode,
            contentType: text('content-type'),
            cache: text('x-tintype-cache'),
            error: text('ik-error'),
          }),
        })
      })
    }
    done()
  })

  // Reading the names takes longer than answering from memory, so equal requests are counted first and read once.
  type Tally = { answer: CountedAnswer; atMs: number; requests: number; bytes: number }
  let tallies = new Map<Delivered, Map<string, Tally>>()
  let size = 0
  const handIn = () => {
    for (const byClient of tallies.values()) {
      for (const { answer, ...counted } of byClient.values()) {
        usage.delivered({ status: answer.status, ...counted, names: namesFor(answer) })
      }
    }
    tallies = new Map()
    size = 0
  }
  usage.beforeFlush(handIn)

  return {
    recalled({ target, headers }, { delivered, status, bytes }) {
      const { referer, 'user-agent': agent = '' } = headers
      const client = status === 200 && referer === undefined ? agent : `${status}\n${referer}\n${agent}`
      const known = tallies.get(delivered)?.get(client)
      if (known) {
        known.requests += 1
        known.bytes += bytes
        return
      }
      if (size >= MAX_TALLIES) handIn()
      size += 1
      const contentType = status === 304 ? undefined : delivered.contentType
      const cache = delivered.headers['x-tintype-cache']
      const answer = { target, headers, status, contentType, cache }
      const byClient = tallies.get(delivered) ?? new Map<string, Tally>()
      byClient.set(client, { answer, atMs: clock.now(), requests: 1, bytes })
      tallies.set(delivered, byClient)
    },
  }
}

/** Bytes of the body that went out. @param written what the connection has sent meanwhile, headers and all. */
function sentBytes(reply: FastifyReply, written: number, isHead: boolean): number {
  const { raw } = reply
  if (isHead || raw.statusCode === 304) return 0
  const length = Number(reply.getHeader('content-length') ?? Number.NaN)
  if (Number.isNaN(length)) return Math.max(0, written)
  return raw.writableFinished ? length : Math.min(length, Math.max(0, written))
}

function namesOf(answer: CountedAnswer): Partial<Record<UsageTopic, string>> {
  const { target, headers, status, error } = answer
  const { path, transformation } = splitTarget(target)
  const names: Partial<Record<UsageTopic, string>> = {}
  const prefix = /^\/([A-Za-z0-9-]{1,100})\//.exec(path)?.[1]
  // Whether it is a URL endpoint or a folder shows when the counts are read.
  if (prefix !== undefined) names.endpoint = prefix
  if (error !== undefined) names.error = error.split(' - ', 1)[0]!
  if (status === 404) names.notFound = path
  if (status >= 500) names.cache = 'error'
  const type = (answer.contentType ?? '').split(';', 1)[0]!
  if (status < 400) {
    // What is not transformed comes from the library itself, where it always is.
    names.cache = answer.cache === 'miss' ? 'miss' : 'hit'
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
  // Right after the endpoint, whose prefix is one segment.
  const inPath = /^((?:\/[A-Za-z0-9-]+)?)\/tr(?::|%3a)([^/]*)(?=\/)/i.exec(whole)
  const path = inPath ? inPath[1]! + whole.slice(inPath[0].length) : whole
  if (inPath) return { path, transformation: decoded(`tr:${inPath[2]!}`) }
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
