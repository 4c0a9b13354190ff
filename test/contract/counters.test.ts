import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@redis/client'
import { afterEach, describe, expect, it } from 'vitest'
import { type CounterOptions, type Counters, openCounters } from '../../src/counters/counters.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { systemClock } from '../../src/kernel/time.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'

const redisUrl = process.env.TINTYPE_TEST_REDIS_URL
const whySkipped = redisUrl ? '' : ' (skipped: TINTYPE_TEST_REDIS_URL is not set)'

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
})

const options = (url: string | undefined, prefix: string): CounterOptions => ({
  ...(url === undefined ? {} : { redisUrl: url }),
  redisPrefix: prefix,
  redisTimeoutMs: 150,
  redisRetryMs: 100,
})

/** @param clock of the counters' own; Redis has its own. */
async function open(url: string | undefined, prefix: string): Promise<Counters> {
  const counters = await openCounters(options(url, prefix), { clock: systemClock, log: silentLog })
  opened.push(counters)
  return counters
}

const newPrefix = () => `test-${randomBytes(6).toString('hex')}:`

/** Waits until counts are those of Redis: an answer that the counters alone cannot give. */
async function untilShared(counters: Counters, prefix: string): Promise<void> {
  const client = await createClient({ url: redisUrl! }).connect()
  opened.push({ close: async () => client.destroy() })
  await client.set(`${prefix}count:probe`, '41', { expiration: { type: 'PX', value: 60_000 } })
  await expect.poll(async () => (await counters.read('probe')).count, { timeout: 10_000 }).toBe(41)
}

describe.each([
  ['in memory', true, async () => open(undefined, newPrefix())],
  [
    `in Redis${whySkipped}`,
    redisUrl !== undefined,
    async () => {
      const prefix = newPrefix()
      const counters = await open(redisUrl, prefix)
      await untilShared(counters, prefix)
      return counters
    },
  ],
])('counters %s', (_, isReady, create) => {
  it.skipIf(!isReady)('count by key until the window ends', async () => {
    const counters = await create()
    expect(await counters.read('a')).toEqual({ count: 0, resetMs: 0 })
    const first = await counters.add('a', 60_000)
    expect(first.count).toBe(1)
    expect(first.resetMs).toBeGreaterThan(50_000)
    expect(first.resetMs).toBeLessThanOrEqual(60_000)
    expect((await counters.add('a', 60_000)).count).toBe(2)
    expect((await counters.add('b', 100)).count).toBe(1)
    expect((await counters.read('a')).count).toBe(2)
    await sleep(120)
    expect(await counters.read('b')).toEqual({ count: 0, resetMs: 0 })
    expect((await counters.add('b', 60_000)).count).toBe(1)
    expect((await counters.read('a')).count).toBe(2)
  })

  it.skipIf(!isReady)('lose none of many at once', async () => {
    const counters = await create()
    const counts = await Promise.all(Array.from({ length: 300 }, () => counters.add('busy', 60_000)))
    expect(counts.map(({ count }) => count).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 300 }, (_, index) => index + 1),
    )
  })

  it.skipIf(!isReady)('know what was noted down, for as long as it was said last', async () => {
    const counters = await create()
    expect([await counters.note('k', 60_000), await counters.note('k', 60_000)]).toEqual([true, false])
    expect(await counters.note('other', 100)).toBe(true)
    await sleep(120)
    expect(await counters.note('other', 100)).toBe(true)
  })
})

describe.skipIf(redisUrl === undefined)(`servers that count in one Redis${whySkipped}`, () => {
  it('count together', async () => {
    const prefix = newPrefix()
    const [one, two] = [await open(redisUrl, prefix), await open(redisUrl, prefix)]
    await Promise.all([untilShared(one, prefix), untilShared(two, prefix)])
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => (index % 2 ? one : two).add('shared', 60_000)),
    )
    expect((await one.read('shared')).count).toBe(100)
    expect((await two.add('shared', 60_000)).count).toBe(101)
    expect([await one.note('key', 60_000), await two.note('key', 60_000)]).toEqual([true, false])
  })

  it('count each for itself while Redis is away, and together again when it is back', async () => {
    const prefix = newPrefix()
    const { hostname, port, pathname } = new URL(redisUrl!)
    const proxy = await startTcpProxy({ host: hostname, port: Number(port) })
    opened.push({ close: () => proxy.stop() })
    const counters = await open(`redis://127.0.0.1:${proxy.port}${pathname}`, prefix)
    await untilShared(counters, prefix)
    expect((await counters.add('a', 60_000)).count).toBe(1)
    expect((await counters.add('a', 60_000)).count).toBe(2)
    proxy.close()
    const alone = []
    for (let n = 0; n < 5; n += 1) alone.push((await counters.add('a', 60_000)).count)
    expect(alone).toEqual([1, 2, 3, 4, 5])
    expect(await counters.note('key', 60_000)).toBe(true)
    proxy.open()
    await expect.poll(async () => (await counters.read('a')).count, { timeout: 10_000 }).toBe(2)
  })

  it('do not wait for a Redis that is silent', async () => {
    const prefix = newPrefix()
    const counters = await open(redisUrl, prefix)
    await untilShared(counters, prefix)
    const client = await createClient({ url: redisUrl! }).connect()
    opened.push({ close: async () => client.destroy() })
    await client.sendCommand(['CLIENT', 'PAUSE', '1500', 'ALL'])
    expect((await counters.add('quiet', 60_000)).count).toBe(1)
    expect((await counters.add('quiet', 60_000)).count).toBe(2)
    await expect.poll(async () => (await counters.read('probe')).count, { timeout: 10_000 }).toBe(41)
  })

  it('start without Redis', async () => {
    const counters = await open('redis://127.0.0.1:9', newPrefix())
    expect((await counters.add('a', 1000)).count).toBe(1)
    expect((await counters.add('a', 1000)).count).toBe(2)
  })
})
