import { type IncomingHttpHeaders, validateHeaderValue } from 'node:http'
import type { Delivered, Delivery } from '../delivery/delivery.ts'
import type { Ids } from '../kernel/ids.ts'
import { partOf, planAnswer } from './send.ts'
import type { DeliveryCounter } from './usage-hook.ts'

/** What an answer depends on. */
export type Asked = { method: string; target: string; headers: IncomingHttpHeaders }

/** An answer that can be given at once. */
export type Recalled = { status: number; head: RecalledHead; body: Buffer | null }

/** The header fields of an answer, in both of the ways in which they are sent. */
export type RecalledHead = {
  /** Names and values in turn, as `writeHead` takes them with the least work. */
  pairs: string[]
  /** The same lines, without those of the request's id. */
  lines: string
  /** The id of this very request, which `pairs` holds too. */
  requestId: string
}

/**
 * Answers from memory to delivery URLs that were answered before, past the framework: its share of such a request is
 * larger than all the rest. Whatever needs more than memory gives undefined and goes the usual way. An answer that is
 * given counts as sent, and holds until the next one is asked for.
 */
export function createRecalledAnswers(deps: {
  accountId: string
  delivery: Pick<Delivery, 'recall'>
  ids: Ids
  counter: DeliveryCounter
}): (asked: Asked) => Recalled | undefined {
  const { delivery, ids, counter } = deps
  const prefix = `/${deps.accountId}/`
  const heads = new WeakMap<Delivered, RecalledHead>()
  const headOf = (delivered: Delivered, headers: () => Record<string, string>): RecalledHead => {
    const known = heads.get(delivered)
    if (known) return known
    const made = makeHead(headers())
    heads.set(delivered, made)
    return made
  }

  return (asked) => {
    const { method, target, headers } = asked
    if (!(method === 'GET' || method === 'HEAD') || !target.startsWith(prefix) || hasBody(headers))
      return undefined
    const delivered = delivery.recall({ target, headers })
    const bytes = delivered?.fromMemory()
    if (!delivered || !bytes) return undefined

    let status = 200
    let head: RecalledHead
    let body: Buffer | null = bytes
    if (method === 'GET' && isUnconditional(headers)) {
      head = headOf(delivered, () => planAnswer(delivered, { method, headers: {} }).headers)
    } else {
      const plan = planAnswer(delivered, { method, headers })
      status = plan.status
      head = makeHead(plan.headers)
      body = partOf(bytes, plan.body)
    }
    const id = ids.request()
    head.requestId = id
    head.pairs[1] = id
    head.pairs[3] = id
    counter.recalled(asked, { delivered, status, bytes: body?.length ?? 0 })
    return { status, head, body }
  }
}

function makeHead(headers: Record<string, string>): RecalledHead {
  const pairs = ['x-ik-requestid', '', 'x-request-id', '']
  let lines = ''
  for (const [name, value] of Object.entries(headers)) {
    // `writeHead` does the same for its own lines.
    validateHeaderValue(name, value)
    pairs.push(name, value)
    lines += `${name}: ${value}\r\n`
  }
  return { pairs, lines, requestId: '' }
}

/** A request of these methods has one seldom; reading it is the framework's work. */
function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

function isUnconditional(headers: IncomingHttpHeaders): boolean {
  return (
    headers.range === undefined &&
    headers['if-none-match'] === undefined &&
    headers['if-modified-since'] === undefined
  )
}
