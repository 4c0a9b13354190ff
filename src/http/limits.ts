import { createHash } from 'node:crypto'
import rateLimit, { type FastifyRateLimitStore, type FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import type { Count, Counters } from '../counters/counters.ts'
import { TintypeError } from '../kernel/errors.ts'
import type { Account } from '../library/library.ts'
import type { AuditNotes } from './audit-hook.ts'
import { readPrivateKey } from './auth.ts'
import { stopReading } from './multipart.ts'

const limit = (max: number, intervalMs: number, what: string) =>
  Type.Object({
    max: Type.Integer({ default: max, minimum: 0, description: `${what}; 0: any number.` }),
    intervalMs: Type.Integer({
      default: intervalMs,
      minimum: 1,
      description: 'The interval that the number before is about.',
    }),
  })

export const limitOptions = Type.Object({
  reads: limit(0, 1000, 'Most requests of the API in an interval that read'),
  writes: limit(0, 1000, 'Most requests of the API in an interval that change single things'),
  bulk: limit(0, 1000, 'Most requests of the API in an interval that change many things, or metadata fields'),
  failedAuthentications: limit(
    300,
    60_000,
    'Most different wrong private keys that one address (or /64 of IPv6) may send in an interval, before it is refused until the interval is over; protects keys from being guessed',
  ),
})
export type LimitOptions = Static<typeof limitOptions>

type LimitClass = 'reads' | 'writes' | 'bulk'

const BULK = /^\/v1\/(?:files\/(?:addTags|removeTags|removeAITags|batch\/)|bulkJobs|customMetadataFields)/

/** Where a key is looked at; elsewhere an Authorization header may be meant for a proxy. */
const CHECKS_KEYS = /^\/(?:v1\/|api\/|metrics(?:[/?]|$))/

/** Which limit a request of the API counts for; uploads have none (contract notes 1.0). */
export function limitClassOf(method: string, path: string): LimitClass | undefined {
  if (!path.startsWith('/v1/')) return undefined
  if (method === 'GET' || method === 'HEAD') return 'reads'
  return BULK.test(path) ? 'bulk' : 'writes'
}

/** Where a limit stands after a request. */
type Standing = { limit: number; remaining: number; resetMs: number; intervalMs: number; isExceeded: boolean }
type Limiter = (request: FastifyRequest, options?: { increment: boolean }) => Promise<Standing>

/**
 * Limits how fast the API may be used, over the whole account, and how often keys may be guessed. Only requests with
 * a good key count for the account, so that strangers cannot use its limit up.
 */
export async function limitRequests(
  app: FastifyInstance,
  deps: { options: LimitOptions; account: Account; counters: Counters; audit: AuditNotes },
): Promise<void> {
  const { options, account, counters, audit } = deps
  await app.register(rateLimit, { global: false, store: storeOn(counters) })
  const create = (name: keyof LimitOptions): Limiter | undefined => {
    const { max, intervalMs } = options[name]
    if (max === 0) return undefined
    const count = app.createRateLimit({
      max,
      timeWindow: intervalMs,
      // By itself the plugin keys by address, IPv6 by /64.
      ...(name === 'failedAuthentications' ? {} : { keyGenerator: () => name }),
    })
    return async (request, increment) => {
      const state = await count(request, increment)
      if (state.isAllowed) throw new Error('There is no list of what is always allowed.')
      const { remaining, ttl, isExceeded } = state
      return { limit: max, intervalMs, remaining, resetMs: Math.max(0, Math.ceil(ttl)), isExceeded }
    }
  }
  const failures = create('failedAuthentications')
  const limiters: Record<LimitClass, Limiter | undefined> = {
    reads: create('reads'),
    writes: create('writes'),
    bulk: create('bulk'),
  }

  app.addHook('onRequest', async (request, reply) => {
    const { authorization } = request.headers
    const path = request.raw.url ?? ''
    if (authorization === undefined || !CHECKS_KEYS.test(path)) return
    try {
      await authenticate(authorization, request, reply)
      const limitClass = limitClassOf(request.method, path)
      const limiter = limitClass && limiters[limitClass]
      if (!limiter) return
      const standing = await limiter(request)
      reply.headers(headersOf(standing))
      if (standing.isExceeded) throw exceeded(standing, 'You have sent too many requests.')
    } catch (error) {
      const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
      if (length !== undefined || encoding !== undefined) stopReading(request.raw)
      throw error
    }
  })

  /** Refuses an address that has sent too many wrong keys, whatever it sends now, and counts another wrong one. */
  async function authenticate(authorization: string, request: FastifyRequest, reply: FastifyReply) {
    const before = await failures?.(request, { increment: false })
    if (before && before.remaining === 0) {
      throw exceeded(before, 'Your network has sent too many requests with wrong credentials.')
    }
    try {
      const key = readPrivateKey(authorization)
      if (key !== undefined) audit.noteKey(request, await account.authenticate(key))
    } catch (error) {
      const isRefused =
        error instanceof TintypeError && (error.kind === 'unauthorized' || error.kind === 'forbidden')
      if (isRefused && failures) {
        // Who sends one wrong key again and again guesses nothing: a client with an old key must not have everybody
        // refused who shares its address.
        const attempt = createHash('sha256').update(`${request.ip} ${authorization}`).digest('base64')
        const isNew = await counters.note(attempt, options.failedAuthentications.intervalMs)
        reply.headers(headersOf(await failures(request, { increment: isNew })))
      }
      throw error
    }
  }
}

/** The plugin's view of the counters: all limits count in one place, by their names and by addresses. */
function storeOn(counters: Counters): FastifyRateLimitStoreCtor {
  return class CounterStore implements FastifyRateLimitStore {
    incr(key: string, callback: StoreCallback, timeWindow = 0): void {
      answer(counters.add(key, timeWindow), callback)
    }
    read(key: string, callback: StoreCallback): void {
      answer(counters.read(key), callback)
    }
    child(): CounterStore {
      return this
    }
  }
}

type StoreCallback = Parameters<FastifyRateLimitStore['incr']>[1]

function answer(count: Promise<Count>, callback: StoreCallback): void {
  count.then(
    ({ count: current, resetMs: ttl }) => callback(null, { current, ttl }),
    (error: Error) => callback(error),
  )
}

/** The contract's headers; times are milliseconds (contract notes 1.0). */
function headersOf({ limit: max, remaining, resetMs, intervalMs }: Standing): Record<string, string> {
  return {
    'x-ratelimit-limit': String(max),
    'x-ratelimit-reset': String(remaining > 0 ? 0 : resetMs),
    'x-ratelimit-interval': String(intervalMs),
  }
}

function exceeded(standing: Standing, message: string): TintypeError {
  const { resetMs } = standing
  return new TintypeError('rate-limited', `${message} Please try again in ${resetMs} milliseconds.`, {
    headers: {
      ...headersOf({ ...standing, remaining: 0 }),
      'retry-after': String(Math.ceil(resetMs / 1000)),
      'retry-after-ms': String(resetMs),
    },
  })
}
