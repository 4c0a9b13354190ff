import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

export type Received = { method: string; path: string; headers: IncomingHttpHeaders; body: Buffer }

/** An answer, or something that a broken service does instead. */
export type Reply =
  | { status?: number; headers?: Record<string, string>; body?: string | Buffer | object }
  | ((response: ServerResponse) => void)

/** A third party on this machine. */
export type Service = {
  url: string
  requests: Received[]
  /** Answers the next requests instead of the protocol's own answer; the last one goes on answering. */
  fail(...replies: Reply[]): void
  /** Lets all answers from now on wait for so long. */
  slow(delayMs: number): void
  close(): Promise<void>
}

/** Starts a service. @param answer what the protocol says to a request. */
export async function startService(answer: (request: Received) => Reply | Promise<Reply>): Promise<Service> {
  const requests: Received[] = []
  let failures: Reply[] = []
  let delayMs = 0
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const received = {
      method: request.method!,
      path: request.url!,
      headers: request.headers,
      body: Buffer.concat(chunks),
    }
    requests.push(received)
    if (delayMs > 0) await sleep(delayMs)
    const failure = failures.length > 1 ? failures.shift() : failures[0]
    const reply = failure ?? (await answer(received))
    if (typeof reply === 'function') return reply(response)
    const { status = 200, headers = {}, body = '' } = reply
    const isJson = typeof body === 'object' && !Buffer.isBuffer(body)
    response.writeHead(status, { ...(isJson && { 'content-type': 'application/json' }), ...headers })
    response.end(isJson ? JSON.stringify(body) : body)
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    fail(...replies) {
      failures = replies
    },
    slow(forMs) {
      delayMs = forMs
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}

/** Takes the request and never answers. */
export const hang: Reply = () => {}

/** Sends headers and a little, then nothing more. */
export const stall: Reply = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.write('{"')
}

/** Breaks off in the middle of an announced body. */
export const cut: Reply = (response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
  response.write('{"responses":', () => response.destroy())
}

/** Drops the connection without a word. */
export const drop: Reply = (response) => {
  response.destroy()
}

/** Sends without end, as fast as it is taken. */
export const flood: Reply = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' })
  const more = () => {
    while (!response.destroyed && response.write(Buffer.alloc(65_536, ' ')));
  }
  response.on('drain', more)
  more()
}

/** A body that would be much larger once unpacked. */
export const zipped: Reply = {
  headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
  body: gzipSync(Buffer.alloc(10_000_000, ' ')),
}
