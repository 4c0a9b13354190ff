import type { IncomingHttpHeaders } from 'node:http'
import { createSafeFetch } from '../kernel/safe-fetch.ts'
import { failedFetch, failedStatus, invalidAnswer } from './failures.ts'

export type EndpointRequest = {
  url: string
  headers: Record<string, string>
  body: string | Buffer
  /** Larger answers are cut off and refused: protects memory. */
  maxBytes: number
  signal: AbortSignal
}

export type EndpointAnswer = { status: number; headers: IncomingHttpHeaders; bytes: Buffer }

/** A service at a place that the operator named. */
export type Endpoint = {
  /** Posts and gives the answer, whatever its status. @throws TintypeError, see failures.ts. */
  exchange(request: EndpointRequest): Promise<EndpointAnswer>
  /** The same, but only a success comes back. */
  post(request: EndpointRequest): Promise<EndpointAnswer>
  /** Posts JSON and parses the JSON that comes back. */
  postJson(
    request: Omit<EndpointRequest, 'body' | 'headers'> & { headers?: Record<string, string>; body: unknown },
  ): Promise<unknown>
  /** Parses the body of a success. */
  readJson(answer: EndpointAnswer): unknown
}

/**
 * Opens the way to a service. The operator's word is enough for its host and port, private or not; for nothing else,
 * so redirects lead nowhere.
 * @param options.service its name, as failures show it.
 * @param options.urls all URLs that will be posted to; their hosts are let through.
 */
export function createEndpoint(options: { service: string; urls: string[]; timeoutMs: number }): Endpoint {
  const { service, timeoutMs } = options
  const targets = options.urls.map((url) => new URL(url))
  const ports = targets.map(({ port }) => Number(port)).filter((port) => port > 0 && port < 1024)
  const safeFetch = createSafeFetch({
    allowHosts: targets.map(({ hostname }) => hostname.replace(/^\[|\]$/g, '')),
    allowedLowPorts: [80, 443, ...ports],
    deniedPorts: [],
    maxRedirects: 0,
    headersTimeoutMs: timeoutMs,
    totalTimeoutMs: timeoutMs,
    queueTimeoutMs: timeoutMs,
    // The caller did not choose the address, so how fast it fails tells nothing.
    failureFloorMs: 0,
  })

  async function exchange(request: EndpointRequest): Promise<EndpointAnswer> {
    try {
      const response = await safeFetch.open(request.url, {
        method: 'POST',
        headers: request.headers,
        body: request.body,
        maxBytes: request.maxBytes,
        failureMessage: `${service} could not be reached.`,
        followRedirects: false,
        signal: request.signal,
      })
      const chunks: Buffer[] = []
      for await (const chunk of response.body) chunks.push(chunk)
      return { status: response.status, headers: response.headers, bytes: Buffer.concat(chunks) }
    } catch (error) {
      throw failedFetch(service, error)
    }
  }

  function assertSuccess(answer: EndpointAnswer): EndpointAnswer {
    const { status, headers, bytes } = answer
    if (status >= 200 && status < 300) return answer
    throw failedStatus(service, { status, headers, detail: bytes.toString('utf8', 0, 500) })
  }

  function readJson(answer: EndpointAnswer): unknown {
    assertSuccess(answer)
    try {
      return JSON.parse(answer.bytes.toString('utf8'))
    } catch (cause) {
      throw invalidAnswer(service, cause)
    }
  }

  return {
    exchange,
    readJson,
    post: async (request) => assertSuccess(await exchange(request)),
    postJson: async (request) =>
      readJson(
        await exchange({
          ...request,
          headers: { ...request.headers, 'content-type': 'application/json', accept: 'application/json' },
          body: JSON.stringify(request.body),
        }),
      ),
  }
}

/**
 * The URL of a method: the endpoint alone, or with a part of the method's path already in it.
 * `https://h`, `https://h/v1.0` and `https://h/v1.0/removebg` with `['v1.0', 'removebg']` are all the last one.
 */
export function methodUrl(endpoint: string, path: string[]): string {
  const url = new URL(endpoint)
  const given = url.pathname.split('/').filter((part) => part !== '')
  let shared = Math.min(given.length, path.length)
  while (path.slice(0, shared).some((part, at) => part !== given[given.length - shared + at])) shared -= 1
  url.pathname = `/${[...given, ...path.slice(shared)].join('/')}`
  return url.href
}
