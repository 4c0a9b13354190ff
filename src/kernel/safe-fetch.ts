import { lookup as dnsLookup } from 'node:dns/promises'
import type { IncomingHttpHeaders } from 'node:http'
import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { TintypeError } from './errors.ts'
import type { Connection } from './guarded-connection.ts'
import { createNetworkPolicy, FetchFailure } from './network-policy.ts'
import { createSlots } from './slots.ts'

/** Ports from 1024 upwards on which other things than web servers listen: mostly databases, queues and control planes. */
const DENIED_PORTS = [
  1433, 1434, 1521, 1719, 1720, 1723, 2049, 2181, 2375, 2376, 2377, 2379, 2380, 3128, 3260, 3306, 3389, 3659,
  4045, 4190, 4369, 5060, 5061, 5432, 5433, 5671, 5672, 5900, 5901, 5984, 5985, 5986, 6000, 6379, 6380, 6443,
  6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 7001, 7199, 7946, 8086, 8125, 8126, 8300, 8301, 8500, 8600,
  9042, 9092, 9100, 9160, 9200, 9300, 10050, 10051, 10080, 10250, 10255, 10256, 11211, 15672, 25565, 25672,
  26257, 26379, 27017, 27018, 27019, 28015, 28017, 50000, 50070, 61616,
]

export const safeFetchOptions = Type.Object({
  allowPrivateNetwork: Type.Boolean({
    default: false,
    description:
      'Allows fetching from loopback, private, unique-local and carrier-grade NAT addresses. Off, since otherwise whoever may upload by URL can reach everything that this machine can reach. Link-local and cloud metadata addresses stay closed.',
  }),
  allowHosts: Type.Array(Type.String(), {
    default: [],
    description:
      'Hosts that may be fetched from although they are not public: names, `*.example.com`, addresses, CIDR ranges (`64:ff9b::/96` behind NAT64).',
  }),
  allowedLowPorts: Type.Array(Type.Integer({ minimum: 1, maximum: 1023 }), {
    default: [80, 443],
    description: 'Ports below 1024 that may be fetched from: protects mail, SSH and other servers.',
  }),
  deniedPorts: Type.Array(Type.Integer({ minimum: 1, maximum: 65_535 }), {
    default: DENIED_PORTS,
    description: 'Ports that may not be fetched from: protects databases and control planes.',
  }),
  maxUrlBytes: Type.Integer({
    default: 8192,
    minimum: 1,
    description: 'Longest URL: protects memory and logs.',
  }),
  maxRedirects: Type.Integer({
    default: 3,
    minimum: 0,
    description: 'Redirects followed: protects against loops and chains.',
  }),
  headersTimeoutMs: Type.Integer({
    default: 8000,
    minimum: 1,
    description:
      'Time until the response headers are there, over name look-up, connecting and all redirects.',
  }),
  dnsTimeoutMs: Type.Integer({
    default: 5000,
    minimum: 1,
    description: 'Time for one name look-up: protects the slots from silent name servers.',
  }),
  maxHeaderBytes: Type.Integer({
    default: 16_384,
    minimum: 256,
    description: 'Response headers, interim responses included: protects memory.',
  }),
  minBytesPerSec: Type.Integer({
    default: 1024,
    minimum: 0,
    description: 'Slowest body, measured over `graceMs`: protects the slots from dripping senders.',
  }),
  graceMs: Type.Integer({
    default: 10_000,
    minimum: 10,
    description: 'Window over which `minBytesPerSec` is measured.',
  }),
  totalTimeoutMs: Type.Integer({
    default: 300_000,
    minimum: 1,
    description: 'Longest fetch from the start to the last byte.',
  }),
  maxConcurrent: Type.Integer({
    default: 16,
    minimum: 1,
    description: 'Fetches at once: protects sockets and memory.',
  }),
  maxConcurrentPerKey: Type.Integer({
    default: 8,
    minimum: 1,
    description: 'Fetches at once for one API key, so that one client cannot hold all slots.',
  }),
  maxQueued: Type.Integer({
    default: 64,
    minimum: 0,
    description: 'Fetches that wait for a slot; further ones are answered 429.',
  }),
  queueTimeoutMs: Type.Integer({
    default: 30_000,
    minimum: 1,
    description: 'Longest wait for a slot; then 429.',
  }),
  failureFloorMs: Type.Integer({
    default: 250,
    minimum: 0,
    description:
      'No failure is reported sooner: hides whether a name exists, is private or refuses connections.',
  }),
})

export type SafeFetchOptions = Static<typeof safeFetchOptions>

export type SafeFetchRequest = {
  /** Public message of every failure but `too-large` and `rate-limited`, so that no failure tells one target from another. */
  failureMessage: string
  /** Public message when the body is larger than `maxBytes`. */
  tooLargeMessage?: string
  /** Largest body accepted. */
  maxBytes: number
  headersTimeoutMs?: number
  /** Default GET. */
  method?: 'GET' | 'HEAD' | 'POST' | 'PUT'
  /** Not sent to another origin after a redirect, but for `accept`, `accept-language` and `user-agent`. */
  headers?: Record<string, string>
  /** The virtual host to ask for, where it is not the URL's; not sent on after a redirect. For origins that an administrator has set up. */
  hostHeader?: string
  body?: string | Buffer
  /** Default true; only GET and HEAD are ever redirected. A redirect that is not followed is the response. */
  followRedirects?: boolean
  /** False for callers that want the status only: the body is dropped unseen, whatever its size and encoding. */
  readBody?: boolean
  /** Fetches with the same key share `maxConcurrentPerKey`. */
  key?: string
  signal?: AbortSignal
}

export type SafeFetchResponse = {
  status: number
  headers: IncomingHttpHeaders
  /** The URL that answered, after redirects. */
  finalUrl: string
  /**
   * The bytes, once.
   * @throws TintypeError too-large at the first byte over `maxBytes`; bad-request when truncated, too slow or cut.
   */
  body: AsyncIterable<Buffer>
  /** Ends the exchange. Needed when `body` is not read to its end; harmless otherwise. */
  discard(): void
}

export type SafeFetch = {
  /**
   * Sends one request to a URL that is not trusted and gives the response, whatever its status.
   * @throws TintypeError bad-request with `failureMessage` (the cause is a FetchFailure), too-large when the
   * response announces more than `maxBytes`, rate-limited when too many fetches are under way.
   */
  open(url: string, request: SafeFetchRequest): Promise<SafeFetchResponse>
}

export type SafeFetchDependencies = {
  /** All addresses of a name; default: the system's resolver. */
  resolve?: (hostname: string) => Promise<string[]>
  /** PEM of the only certificate authorities to trust; default: Node's. */
  ca?: string
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])
const HEADERS_FOR_OTHER_ORIGINS = new Set(['accept', 'accept-language', 'user-agent'])
const CREDENTIAL_HEADERS = new Set(['authorization', 'cookie', 'proxy-authorization'])
/** A name or an IPv4 address with or without a port. */
const HOST = /^[A-Za-z0-9.-]{1,253}(:\d{1,5})?$/
/** Framing and addressing are ours: a caller's value could smuggle a request or name another virtual host. */
const RESERVED_HEADERS = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'accept-encoding',
  'expect',
  'upgrade',
])

/**
 * The only way out to URLs that users, redirects or third parties name (uploads by URL, webhooks, origins).
 * The guard sits where connections are made, so that neither spelling, redirect nor name server leads past it;
 * proxy variables of the environment are not read.
 */
export function createSafeFetch(
  options: Partial<SafeFetchOptions> = {},
  dependencies: SafeFetchDependencies = {},
): SafeFetch {
  const limits = Value.Parse(safeFetchOptions, Value.Default(safeFetchOptions, structuredClone(options)))
  const policy = createNetworkPolicy(limits)
  const resolve = dependencies.resolve ?? resolveBySystem
  const slots = createSlots({
    max: limits.maxConcurrent,
    maxPerShare: limits.maxConcurrentPerKey,
    maxWaiting: limits.maxQueued,
    maxWaitMs: limits.queueTimeoutMs,
    busyMessage: 'Too many files are being fetched from URLs at the moment. Please try again later.',
  })

  const exchange = async (target: URL, request: SafeFetchRequest, release: () => void) => {
    const method = request.method ?? 'GET'
    const follow = (request.followRedirects ?? true) && (method === 'GET' || method === 'HEAD')
    let connection: Connection | undefined
    let failure: unknown
    const onAbort = () => stop(new FetchFailure('aborted', 'aborted by the caller', request.signal?.reason))
    const close = () => {
      clearTimeout(headersTimer)
      clearTimeout(totalTimer)
      request.signal?.removeEventListener('abort', onAbort)
      connection?.destroy()
      release()
    }
    const stop = (reason: unknown) => {
      failure ??= reason
      close()
    }
    const headersTimeoutMs = request.headersTimeoutMs ?? limits.headersTimeoutMs
    const headersTimer = setTimeout(
      () => stop(new FetchFailure('headers-timeout', 'no response headers in time')),
      headersTimeoutMs,
    )
    const totalTimer = setTimeout(
      () => stop(new FetchFailure('too-long', 'not finished in time')),
      limits.totalTimeoutMs,
    )
    request.signal?.addEventListener('abort', onAbort, { once: true })
    if (request.signal?.aborted) onAbort()

    try {
      let headers = ownHeaders(request.headers)
      if (request.hostHeader !== undefined && HOST.test(request.hostHeader)) headers.host = request.hostHeader
      for (let hops = 0; ; hops++) {
        if (failure) throw failure
        // Loaded with the first fetch: many servers never make one, and the client takes as much memory as the router.
        const { openConnection } = await import('./guarded-connection.ts')
        if (failure) throw failure
        connection = openConnection({
          target,
          limits,
          policy,
          resolve,
          ca: dependencies.ca,
          headersTimeoutMs,
        })
        const response = await connection.request(method, headers, request.body)
        // A body that nobody reads yet may break; without a listener that would end the process.
        response.body.on('error', () => {})
        if (failure) throw failure
        const location = response.headers.location
        if (!follow || !REDIRECTS.has(response.statusCode) || location === undefined) {
          clearTimeout(headersTimer)
          const answer = { status: response.statusCode, headers: response.headers, finalUrl: target.href }
          if (request.readBody === false) {
            close()
            return { ...answer, body: noBytes(), discard: close }
          }
          checkFraming(response.headers)
          const hasBody = method !== 'HEAD' && response.statusCode !== 204 && response.statusCode !== 304
          const announcedBytes = hasBody ? contentLength(response.headers) : undefined
          if (announcedBytes !== undefined && announcedBytes > request.maxBytes) throw tooLarge(request)
          const body = readBody({
            source: response.body,
            announcedBytes,
            request,
            limits,
            failure: () => failure,
            stop,
            close,
          })
          return { ...answer, body, discard: close }
        }
        connection.destroy()
        if (hops >= limits.maxRedirects) throw new FetchFailure('redirect-refused', 'too many redirects')
        const next = policy.parseTarget(String(location), target)
        if (target.protocol === 'https:' && next.protocol === 'http:') {
          throw new FetchFailure('redirect-refused', 'redirect from https to http')
        }
        headers = headersAfterRedirect(headers, next.origin === target.origin)
        target = next
      }
    } catch (error) {
      close()
      throw failure ?? error
    }
  }

  return {
    async open(url, request) {
      const startMs = performance.now()
      try {
        const target = policy.parseTarget(url)
        const release = await slots.take(request.key, request.signal)
        return await exchange(target, request, release)
      } catch (error) {
        const restMs = limits.failureFloorMs - (performance.now() - startMs)
        if (restMs > 0) await new Promise((wake) => setTimeout(wake, restMs))
        throw publicError(error, request)
      }
    },
  }
}

/** All addresses of a name, from the system's resolver. */
async function resolveBySystem(hostname: string): Promise<string[]> {
  // The system's own resolver, so that /etc/hosts counts. It occupies at most half of libuv's threads, so silent
  // name servers do not stop file I/O.
  const answers = await dnsLookup(hostname, { all: true, order: 'verbatim' })
  return answers.map((answer) => answer.address)
}

function ownHeaders(given: Record<string, string> = {}): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(given)) {
    const key = name.toLowerCase()
    if (!RESERVED_HEADERS.has(key)) headers[key] = value
  }
  headers['accept-encoding'] = 'identity'
  headers['user-agent'] ??= 'Tintype'
  return headers
}

function headersAfterRedirect(headers: Record<string, string>, sameOrigin: boolean): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) =>
    sameOrigin ? !CREDENTIAL_HEADERS.has(name) : HEADERS_FOR_OTHER_ORIGINS.has(name),
  )
  return ownHeaders(Object.fromEntries(kept))
}

/** Encoded bodies are refused, not decoded: a decoder in front of the byte count is a bomb's way in. */
function checkFraming(headers: IncomingHttpHeaders) {
  const encoding = String(headers['content-encoding'] ?? 'identity')
    .trim()
    .toLowerCase()
  if (encoding !== '' && encoding !== 'identity') {
    throw new FetchFailure('encoding-refused', `content-encoding ${encoding.slice(0, 50)}`)
  }
  const transfer = String(headers['transfer-encoding'] ?? 'chunked')
    .trim()
    .toLowerCase()
  if (transfer !== 'chunked') {
    throw new FetchFailure('encoding-refused', `transfer-encoding ${transfer.slice(0, 50)}`)
  }
}

function contentLength(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['content-length']
  if (text === undefined) return undefined
  const length = Number(text)
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new FetchFailure('response-invalid', 'content-length is not a length')
  }
  return length
}

/** Passes the bytes on while it counts them and measures how long the sender lets us wait. */
async function* readBody(options: {
  source: AsyncIterable<Buffer>
  announcedBytes: number | undefined
  request: SafeFetchRequest
  limits: SafeFetchOptions
  failure: () => unknown
  stop: (reason: unknown) => void
  close: () => void
}): AsyncGenerator<Buffer> {
  const { request, limits, announcedBytes } = options
  let totalBytes = 0
  let windowBytes = 0
  let windowMs = 0
  let waiting = false
  const tickMs = Math.max(1, Math.floor(limits.graceMs / 10))
  // Only time in which we wait counts, so that a slow disk on our side is not held against the sender; and each
  // window counts for itself, so that a fast beginning earns no credit for dripping later.
  const pace = setInterval(() => {
    if (!waiting) return
    windowMs += tickMs
    if (windowMs < limits.graceMs) return
    if (windowBytes * 1000 < limits.minBytesPerSec * windowMs) {
      options.stop(new FetchFailure('too-slow', `${windowBytes} bytes in ${windowMs} ms`))
    }
    windowMs = 0
    windowBytes = 0
  }, tickMs)
  try {
    const chunks = options.source[Symbol.asyncIterator]()
    for (;;) {
      waiting = true
      const next = await chunks.next()
      waiting = false
      const failure = options.failure()
      if (failure) throw failure
      if (next.done) break
      totalBytes += next.value.length
      windowBytes += next.value.length
      if (totalBytes > request.maxBytes) throw tooLarge(request)
      yield next.value
    }
    if (announcedBytes !== undefined && totalBytes !== announcedBytes) {
      throw new FetchFailure('truncated', `${totalBytes} of ${announcedBytes} bytes`)
    }
  } catch (error) {
    throw publicError(options.failure() ?? error, request)
  } finally {
    clearInterval(pace)
    options.close()
  }
}

async function* noBytes(): AsyncGenerator<Buffer> {}

function tooLarge(request: SafeFetchRequest): TintypeError {
  return new TintypeError('too-large', request.tooLargeMessage ?? request.failureMessage)
}

function publicError(error: unknown, request: SafeFetchRequest): TintypeError {
  if (error instanceof TintypeError) return error
  const cause =
    error instanceof FetchFailure
      ? error
      : request.signal?.aborted
        ? new FetchFailure('aborted', 'aborted by the caller', error)
        : new FetchFailure('connection-failed', error instanceof Error ? error.message : 'failed', error)
  return new TintypeError('bad-request', request.failureMessage, { cause })
}
