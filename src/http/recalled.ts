import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Delivered, Delivery } from '../delivery/delivery.ts'
import type { Ids } from '../kernel/ids.ts'
import { partOf, planAnswer } from './send.ts'
import type { DeliveryCounter } from './usage-hook.ts'

/** Answers a request, or does nothing and gives false. */
export type DirectAnswer = (request: IncomingMessage, response: ServerResponse) => boolean

/**
 * Answers from memory to delivery URLs that were answered before, past the framework: its share of such a request is
 * larger than all the rest. Whatever needs more than memory goes the usual way.
 */
export function createRecalledAnswers(deps: {
  accountId: string
  delivery: Pick<Delivery, 'recall'>
  ids: Ids
  counter: DeliveryCounter
}): DirectAnswer {
  const { delivery, ids, counter } = deps
  const prefix = `/${deps.accountId}/`
  /** Names and values in turn, as `writeHead` takes them with the least work; the request's id is put in each time. */
  const heads = new WeakMap<Delivered, string[]>()
  const headOf = (delivered: Delivered, id: string): string[] => {
    let head = heads.get(delivered)
    if (!head) {
      const { headers } = planAnswer(delivered, { method: 'GET', headers: {} })
      head = Object.entries({ 'x-ik-requestid': id, 'x-request-id': id, ...headers }).flat()
      heads.set(delivered, head)
    }
    head[1] = id
    head[3] = id
    return head
  }

  return (request, response) => {
    const { method, url: target = '', headers } = request
    const isGet = method === 'GET'
    if (!(isGet || method === 'HEAD') || !target.startsWith(prefix) || hasBody(request)) return false
    const delivered = delivery.recall({ target, headers })
    const bytes = delivered?.fromMemory()
    if (!delivered || !bytes) return false

    const id = ids.request()
    if (isGet && isUnconditional(headers)) {
      response.writeHead(200, headOf(delivered, id))
      response.end(bytes)
      counter.recalled(request, { delivered, status: 200, bytes: bytes.length })
      return true
    }
    const plan = planAnswer(delivered, { method, headers })
    const body = partOf(bytes, plan.body)
    response.writeHead(plan.status, { 'x-ik-requestid': id, 'x-request-id': id, ...plan.headers })
    response.end(body)
    counter.recalled(request, { delivered, status: plan.status, bytes: body?.length ?? 0 })
    return true
  }
}

/** A request of these methods has one seldom; reading it is the framework's work. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

function isUnconditional(headers: IncomingMessage['headers']): boolean {
  return (
    headers.range === undefined &&
    headers['if-none-match'] === undefined &&
    headers['if-modified-since'] === undefined
  )
}
