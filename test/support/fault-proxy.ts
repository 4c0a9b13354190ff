import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the proxy makes of requests from now on. */
export type Fault =
  | { kind: 'none' }
  /** Closes each connection at once, as a store that has been stopped. */
  | { kind: 'refuse' }
  /** Takes requests and never answers. */
  | { kind: 'hang' }
  /** Answers every n-th request with a status of its own; 1 all of them. */
  | { kind: 'status'; status: number; every: number }
  /** Hands requests on after a while. */
  | { kind: 'slow'; delayMs: number }
  /** Hands requests on and cuts the connection instead of passing the answer on, for every n-th request. */
  | { kind: 'lose-answer'; every: number }
  /** Cuts every n-th answer in its middle. */
  | { kind: 'cut'; every: number }
  /** Changes a byte in every n-th answer to a GET. */
  | { kind: 'flip'; every: number }

export type FaultProxy = {
  url: string
  set(fault: Fault): void
  /** Requests that have come so far, and those that were given a fault. */
  readonly counts: { requests: number; faults: number }
  stop(): Promise<void>
}

/** An HTTP proxy in front of an object store that misbehaves on demand. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const upstream = new URL(target)
  const counts = { requests: 0, faults: 0 }
  let fault: Fault = { kind: 'none' }
  let turn = 0

  const isStruck = (every: number) => {
    turn += 1
    return turn % every === 0
  }
  const server = createServer((incoming, outgoing) => {
    counts.requests += 1
    incoming.on('error', () => {})
    outgoing.on('error', () => {})
    switch (fault.kind) {
      case 'refuse':
        counts.faults += 1
        incoming.socket.destroy()
        return
      case 'hang':
        counts.faults += 1
        return
      case 'status':
        if (!isStruck(fault.every)) break
        counts.faults += 1
        incoming.resume()
        outgoing.writeHead(fault.status, { 'content-type': 'application/xml', connection: 'close' })
        outgoing.end(`<Error><Code>${fault.status === 503 ? 'SlowDown' : 'InternalError'}</Code></Error>`)
        return
      case 'slow':
        counts.faults += 1
        setTimeout(() => forward(incoming, outgoing), fault.delayMs)
        return
      default:
        break
    }
    forward(incoming, outgoing)
  })

  function forward(incoming: IncomingMessage, outgoing: ServerResponse) {
    const onward = request(
      {
        host: upstream.hostname,
        port: upstream.port,
        method: incoming.method,
        path: incoming.url,
        // As they are: the signature is made over them, the host among them.
        headers: incoming.headers,
      },
      (answer) => {
        if (fault.kind === 'lose-answer' && isStruck(fault.every)) {
          counts.faults += 1
          answer.resume()
          answer.on('end', () => incoming.socket.destroy())
          return
        }
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        const isCut = fault.kind === 'cut' && isStruck(fault.every)
        const isFlipped = fault.kind === 'flip' && incoming.method === 'GET' && isStruck(fault.every)
        if (isCut || isFlipped) counts.faults += 1
        answer.on('data', (chunk: Buffer) => {
          if (isFlipped) chunk[chunk.length - 1]! ^= 1
          if (isCut) {
            outgoing.write(chunk.subarray(0, chunk.length / 2), () => incoming.socket.destroy())
            return
          }
          if (!outgoing.write(chunk)) {
            answer.pause()
            outgoing.once('drain', () => answer.resume())
          }
        })
        answer.on('end', () => outgoing.end())
        answer.on('error', () => incoming.socket.destroy())
      },
    )
    onward.on('error', () => incoming.socket.destroy())
    incoming.pipe(onward)
  }

  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    set(next) {
      fault = next
      turn = 0
      // Requests that hang are let go, so that nobody waits for them after the fault.
      if (next.kind === 'none' || next.kind === 'refuse') server.closeAllConnections()
    },
    counts,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
