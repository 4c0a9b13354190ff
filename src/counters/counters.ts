import { type Static, Type } from 'typebox'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import { createMemoryCounters } from './memory.ts'

/** Where servers count together, and the limits of asking there. */
export const counterOptions = Type.Object({
  redisUrl: Type.Optional(
    Type.String({
      pattern: '^rediss?://',
      description:
        'Redis in which all servers count for the rate limits together. Absent: each counts for itself.',
    }),
  ),
  redisPrefix: Type.String({
    default: 'tintype:',
    maxLength: 200,
    description: 'Beginning of all keys in Redis, so that several installations can share one.',
  }),
  redisTimeoutMs: Type.Integer({
    default: 250,
    minimum: 1,
    description: 'Longest wait for Redis in a request; beyond it the server counts for itself.',
  }),
  redisRetryMs: Type.Integer({
    default: 1000,
    minimum: 1,
    description:
      'How long a Redis that did not answer is left alone. Protects requests from waiting for it one after the other.',
  }),
})
export type CounterOptions = Static<typeof counterOptions>

/** Where a count stands, and when it begins anew. */
export type Count = { count: number; resetMs: number }

/** Counts by key, each in a window of time that begins with the first. A count never fails a request. */
export type Counters = {
  /** Adds one. @param windowMs length of the window, if this is its first. */
  add(key: string, windowMs: number): Promise<Count>
  read(key: string): Promise<Count>
  /** Notes a key down for a time. @returns whether it was not there yet. */
  note(key: string, forMs: number): Promise<boolean>
  close(): Promise<void>
}

/** What `tintype doctor` says of a Redis: its version. @throws Error, when it does not answer. */
export async function inspectCounters(redisUrl: string): Promise<string> {
  const { inspectRedis } = await import('./redis.ts')
  return inspectRedis(redisUrl)
}

/** Opens the counters that the options name. A Redis that does not answer is no error: a server starts and runs without it. */
export async function openCounters(
  options: CounterOptions,
  deps: { clock: Clock; log: Log },
): Promise<Counters> {
  const own = createMemoryCounters(deps.clock)
  if (options.redisUrl === undefined) return own
  // Loaded on demand: most servers have no Redis.
  const { openRedisCounters } = await import('./redis.ts')
  return openRedisCounters({ ...options, redisUrl: options.redisUrl }, { ...deps, own })
}
