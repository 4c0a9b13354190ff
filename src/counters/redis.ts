import { createClient } from '@redis/client'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import type { Count, CounterOptions, Counters } from './counters.ts'

/** A count without an end would limit for ever, so both are one step. */
const ADD = `local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}`

const READ = `return {tonumber(redis.call('GET', KEYS[1]) or '0'), redis.call('PTTL', KEYS[1])}`

/** Time to reach Redis. */
const CONNECT_MS = 1000

/** Longest pause between two attempts to connect. */
const MAX_PAUSE_MS = 5000

/**
 * Counters that all servers have in common. While Redis does not answer, each server counts for itself; it is waited
 * for a moment, so that the first requests count with those of the others.
 * @param deps.own what is counted with meanwhile.
 */
export async function openRedisCounters(
  options: CounterOptions & { redisUrl: string },
  { own, clock, log }: { own: Counters; clock: Clock; log: Log },
): Promise<Counters> {
  const { redisPrefix: prefix, redisTimeoutMs: timeoutMs, redisRetryMs: retryMs } = options
  const client = createClient({
    url: options.redisUrl,
    name: 'tintype',
    // What waited for a connection would be counted long after its request.
    disableOfflineQueue: true,
    socket: {
      connectTimeout: CONNECT_MS,
      reconnectStrategy: (attempts) => Math.min(MAX_PAUSE_MS, 100 * 2 ** Math.min(attempts, 10)),
    },
    // Finds out that the other side is gone without a word.
    pingInterval: 10_000,
  })
  let isAway = false
  const judge = (error: unknown) => {
    if (error !== undefined && !isAway) {
      log.warn({ err: error }, 'Redis does not answer: rate limits are counted by this server alone')
    }
    if (error === undefined && isAway) log.info({}, 'Redis answers again')
    isAway = error !== undefined
  }
  // Without a listener, a connection that ends would end the process.
  client.on('error', judge)
  await within(client.connect(), CONNECT_MS).catch(judge)

  let askAgainAtMs = 0
  const ask = async <T>(command: () => Promise<T>, instead: () => Promise<T>): Promise<T> => {
    if (!client.isReady || clock.now() < askAgainAtMs) return instead()
    try {
      const answer = await within(command(), timeoutMs)
      judge(undefined)
      return answer
    } catch (error) {
      askAgainAtMs = clock.now() + retryMs
      judge(error)
      return instead()
    }
  }
  const present = (answer: unknown): Count => {
    const [count, resetMs] = answer as [number, number]
    return { count, resetMs: Math.max(0, resetMs) }
  }

  return {
    add: (key, windowMs) =>
      ask(
        async () =>
          present(await client.eval(ADD, { keys: [`${prefix}count:${key}`], arguments: [String(windowMs)] })),
        () => own.add(key, windowMs),
      ),
    read: (key) =>
      ask(
        async () => present(await client.eval(READ, { keys: [`${prefix}count:${key}`] })),
        () => own.read(key),
      ),
    note: (key, forMs) =>
      ask(
        async () => {
          const expiration = { type: 'PX', value: forMs } as const
          return (await client.set(`${prefix}note:${key}`, '1', { expiration, GET: true })) === null
        },
        () => own.note(key, forMs),
      ),
    async close() {
      // It may never have been connected, or hang; nothing that was counted has to be waited for.
      client.destroy()
    },
  }
}

/** Asks a Redis which version it is. @throws Error, when it does not answer or lets nobody in. */
export async function inspectRedis(redisUrl: string): Promise<string> {
  const client = createClient({
    url: redisUrl,
    socket: { connectTimeout: CONNECT_MS, reconnectStrategy: false },
  })
  client.on('error', () => {})
  try {
    await within(client.connect(), CONNECT_MS)
    const answer = await within(client.info('server'), CONNECT_MS)
    return /redis_version:(\S+)/.exec(answer)?.[1] ?? 'of an unknown version'
  } finally {
    client.destroy()
  }
}

/** @throws Error, when the answer takes longer; what was asked goes on. */
async function within<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([answer, timeout])
  } finally {
    clearTimeout(timer)
  }
}
