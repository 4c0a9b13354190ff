/**
 * Sends a mix of requests to a server, from a process of its own: cold renders, uploads, listings and deliveries.
 * Arguments: a JSON object as `LoadOrder`. Prints a JSON object as `LoadReport`.
 */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { png } from './images.ts'

export type LoadOrder = {
  url: string
  id: string
  authorization: string
  seconds: number
  /** Requests a second that are begun, whatever becomes of those before; 0: as many as are answered. */
  rate: number
  /** Most requests at once; what the rate asks for beyond is counted as held back. */
  concurrency: number
  /** Begins the numbers that make renders and uploads differ. */
  offset: number
}

type Times = { count: number; p50Ms: number; p99Ms: number; maxMs: number }
export type LoadReport = {
  /** Times of answers below 400, by kind of request. */
  accepted: Record<string, Times>
  /** Times of answers 429 and 503. */
  refused: Times
  /** Refusals without a Retry-After. */
  withoutRetryAfter: number
  statuses: Record<string, number>
  /** Requests that got no answer at all, by reason. */
  unanswered: Record<string, number>
  heldBack: number
  perSec: number
}

type Plan = {
  kind: string
  method: string
  path: string
  headers: Record<string, string | number>
  body?: Buffer
}

const UPLOAD_BYTES = 60_000

function planOf(number: number, order: LoadOrder): Plan {
  const { id, authorization, offset } = order
  const unique = offset + number
  const turn = number % 10
  if (turn < 4) {
    const path = `/${id}/photo.jpg?tr=w-${100 + (unique % 900)},h-${100 + (Math.floor(unique / 900) % 900)},q-71,f-jpg`
    return { kind: 'render', method: 'GET', path, headers: {} }
  }
  if (turn < 6) {
    const parts = [
      `--XX\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n`,
      Buffer.concat([png(4, 4, unique), Buffer.alloc(UPLOAD_BYTES, unique & 255)]),
      `\r\n--XX\r\nContent-Disposition: form-data; name="fileName"\r\n\r\nload.png\r\n--XX\r\nContent-Disposition: form-data; name="folder"\r\n\r\n/load\r\n--XX--\r\n`,
    ]
    const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
    const headers = {
      authorization,
      'content-type': 'multipart/form-data; boundary=XX',
      'content-length': body.length,
    }
    return { kind: 'upload', method: 'POST', path: '/api/v1/files/upload', headers, body }
  }
  if (turn < 8) {
    const query =
      turn === 6
        ? 'limit=100&sort=DESC_CREATED'
        : 'searchQuery=size%20%3E%20100%20AND%20name%20%3A%20%22load%22&limit=20'
    return { kind: 'listing', method: 'GET', path: `/v1/files?${query}`, headers: { authorization } }
  }
  return { kind: 'delivery', method: 'GET', path: `/${id}/photo.jpg?x=${unique % 50}`, headers: {} }
}

async function run(order: LoadOrder): Promise<LoadReport> {
  const { hostname, port } = new URL(order.url)
  const agent = new Agent({ keepAlive: true, maxSockets: order.concurrency })
  const accepted: Record<string, number[]> = {}
  const refused: number[] = []
  const statuses: Record<string, number> = {}
  const unanswered: Record<string, number> = {}
  let withoutRetryAfter = 0
  let heldBack = 0
  let running = 0
  let number = 0

  const send = (plan: Plan) =>
    new Promise<void>((resolve) => {
      const startMs = performance.now()
      let settled = false
      const settle = (failure?: string) => {
        if (settled) return
        settled = true
        if (failure) unanswered[`${plan.kind} ${failure}`] = (unanswered[`${plan.kind} ${failure}`] ?? 0) + 1
        resolve()
      }
      const sent = request(
        {
          hostname,
          port,
          agent,
          method: plan.method,
          path: plan.path,
          headers: plan.headers,
          timeout: 120_000,
        },
        (response) => {
          response.on('error', () => settle('cut'))
          response.on('end', () => {
            const tookMs = performance.now() - startMs
            const status = response.statusCode!
            const name = `${plan.kind} ${status}`
            statuses[name] = (statuses[name] ?? 0) + 1
            if (status < 400) {
              accepted[plan.kind] ??= []
              accepted[plan.kind]!.push(tookMs)
            } else if (status === 429 || status === 503) {
              refused.push(tookMs)
              if (!/^\d+$/.test(response.headers['retry-after'] ?? '')) withoutRetryAfter++
            }
            settle()
          })
          response.resume()
        },
      )
      sent.on('timeout', () => sent.destroy(new Error('no answer in time')))
      sent.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message))
      sent.end(plan.body)
    })

  const begin = () => {
    running++
    return send(planOf(number++, order)).finally(() => {
      running--
    })
  }
  const startMs = performance.now()
  const endMs = startMs + order.seconds * 1000
  const all: Promise<void>[] = []
  if (order.rate === 0) {
    const worker = async () => {
      while (performance.now() < endMs) await begin()
    }
    all.push(...Array.from({ length: order.concurrency }, worker))
  } else {
    let due = 0
    while (performance.now() < endMs) {
      due = Math.floor(((performance.now() - startMs) / 1000) * order.rate)
      while (number + heldBack < due) {
        if (running >= order.concurrency) heldBack++
        else all.push(begin())
      }
      await sleep(5)
    }
  }
  await Promise.all(all)
  const seconds = (performance.now() - startMs) / 1000
  agent.destroy()
  return {
    accepted: Object.fromEntries(Object.entries(accepted).map(([kind, times]) => [kind, timesOf(times)])),
    refused: timesOf(refused),
    withoutRetryAfter,
    statuses,
    unanswered,
    heldBack,
    perSec: number / seconds,
  }
}

function timesOf(times: number[]): Times {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: Math.round(sorted.at(-1) ?? 0) }
}

if (process.argv[1] === import.meta.filename) {
  process.stdout.write(JSON.stringify(await run(JSON.parse(process.argv[2]!) as LoadOrder)))
}
