import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** One HTTP answer as it came over the wire. */
export type WireAnswer = { status: number; headers: Map<string, string>; body: Buffer }

export type Exchange = {
  /** Final answers in their order; interim ones (100) are left out. */
  answers: WireAnswer[]
  /** How often the server said 100 Continue. */
  interim: number
  /** Whether the server closed the connection before we did. */
  closed: boolean
  /** From the last byte that was sent until the end of the exchange. */
  tookMs: number
}

export type ExchangeOptions = {
  /** Pause between the pieces. */
  pauseMs?: number
  /** Ends our side after the last piece, as a client that hangs up half-way does. */
  halfClose?: boolean
  /** Ends the exchange when nothing has come for so long after the first answer. */
  quietMs?: number
  /** Ends the exchange whatever happens. */
  timeoutMs?: number
}

/**
 * Sends bytes over a connection of its own, exactly as they are, and gives everything that comes back until the server
 * closes, or is silent after an answer.
 */
export async function exchange(
  url: string,
  pieces: (Buffer | string)[],
  options: ExchangeOptions = {},
): Promise<Exchange> {
  const { quietMs = 300, timeoutMs = 15_000 } = options
  const socket = await open(url)
  const received: Buffer[] = []
  let lastMs = performance.now()
  let closed = false
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk)
    lastMs = performance.now()
  })
  socket.on('close', () => {
    closed = true
  })
  socket.on('end', () => {
    closed = true
  })
  for (const [at, piece] of pieces.entries()) {
    if (at > 0) await sleep(options.pauseMs ?? 10)
    if (closed) break
    // The server may stop taking bytes: that is for the end of the exchange to see.
    socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
  }
  if (options.halfClose && !closed) socket.end()
  const sentMs = performance.now()
  for (;;) {
    await sleep(5)
    const nowMs = performance.now()
    const isQuiet = received.length > 0 && nowMs - Math.max(lastMs, sentMs) > quietMs
    if (closed || isQuiet || nowMs - sentMs > timeoutMs) break
  }
  const tookMs = performance.now() - sentMs
  socket.destroy()
  return { ...readAnswers(Buffer.concat(received)), closed, tookMs }
}

/** A connected socket that swallows its errors. */
export function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.removeListener('error', reject)
      socket.on('error', () => {})
      resolve(socket)
    })
    socket.once('error', reject)
  })
}

/** The head of a request, ready to be followed by its body. */
export function head(startLine: string, headers: Record<string, string | number | undefined> = {}): string {
  const lines = Object.entries({ Host: 'localhost', ...headers })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}`)
  return `${[startLine, ...lines].join('\r\n')}\r\n\r\n`
}

/** Splits what came over a connection into answers. Knows only answers to requests other than HEAD. */
export function readAnswers(bytes: Buffer): { answers: WireAnswer[]; interim: number } {
  const answers: WireAnswer[] = []
  let interim = 0
  let rest = bytes
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) throw new Error(`not an HTTP answer: ${rest.toString('latin1').slice(0, 200)}`)
    const [statusLine, ...lines] = rest.toString('latin1', 0, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(`${statusLine} `)?.[1])
    if (!status) throw new Error(`not a status line: ${statusLine}`)
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
      }),
    )
    rest = rest.subarray(end + 4)
    if (status < 200) {
      interim++
      continue
    }
    if (headers.get('transfer-encoding') === 'chunked') {
      const parts: Buffer[] = []
      for (;;) {
        const lineEnd = rest.indexOf('\r\n')
        const size = Number.parseInt(rest.toString('latin1', 0, lineEnd), 16)
        if (lineEnd < 0 || Number.isNaN(size)) break
        parts.push(rest.subarray(lineEnd + 2, lineEnd + 2 + size))
        rest = rest.subarray(lineEnd + 2 + size + 2)
        if (size === 0) break
      }
      answers.push({ status, headers, body: Buffer.concat(parts) })
      continue
    }
    const length = Number(headers.get('content-length') ?? 0)
    answers.push({ status, headers, body: rest.subarray(0, length) })
    rest = rest.subarray(length)
  }
  return { answers, interim }
}

/** The body of an answer as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: answers are judged by assertions, not by types
export function jsonOf(answer: WireAnswer | undefined): any {
  return JSON.parse(answer?.body.toString('utf8') ?? 'null')
}
