import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { limitClassOf } from '../../src/http/limits.ts'
import { call } from '../support/api.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

const wrong = (n: number) => `Basic ${Buffer.from(`private_guess${n}:`).toString('base64')}`

let tintype: TestTintype
let stop = async () => {}
afterEach(() => stop())

async function start(env: Record<string, string> = {}) {
  tintype = await startTintype({ env })
  stop = async () => {
    stop = async () => {}
    await tintype.stop()
  }
}

const rateHeaders = (headers: Headers) => ({
  limit: headers.get('x-ratelimit-limit'),
  reset: headers.get('x-ratelimit-reset'),
  interval: headers.get('x-ratelimit-interval'),
})

describe('rate limits', () => {
  it('are off by default', async () => {
    await start()
    const answers = await Promise.all(Array.from({ length: 120 }, () => call(tintype, 'GET', '/v1/files')))
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]))
    expect(rateHeaders(answers[0]!.headers)).toEqual({ limit: null, reset: null, interval: null })
  })

  it('answer 429 with the documented headers, each class for itself, uploads and deliveries never', async () => {
    await start({
      TINTYPE_HTTP_LIMITS_READS_MAX: '2',
      TINTYPE_HTTP_LIMITS_READS_INTERVAL_MS: '60000',
      TINTYPE_HTTP_LIMITS_WRITES_MAX: '1',
      TINTYPE_HTTP_LIMITS_WRITES_INTERVAL_MS: '50000',
      TINTYPE_HTTP_LIMITS_BULK_MAX: '1',
      TINTYPE_HTTP_LIMITS_BULK_INTERVAL_MS: '40000',
    })
    const list = () => call(tintype, 'GET', '/v1/files?limit=1')
    // Strangers do not use the account's limit up.
    for (let n = 0; n < 3; n++) {
      expect((await call(tintype, 'GET', '/v1/files', undefined, wrong(n))).status).toBe(403)
      expect((await call(tintype, 'GET', '/v1/files', undefined, null)).status).toBe(401)
    }
    const first = await list()
    expect([first.status, rateHeaders(first.headers)]).toEqual([
      200,
      { limit: '2', reset: '0', interval: '60000' },
    ])
    const second = await list()
    expect(second.status).toBe(200)
    expect(Number(second.headers.get('x-ratelimit-reset'))).toBeGreaterThan(50_000)
    const third = await list()
    expect(third.status).toBe(429)
    expect(third.body.message).toMatch(/too many requests/)
    expect(rateHeaders(third.headers)).toMatchObject({ limit: '2', interval: '60000' })
    const resetMs = Number(third.headers.get('x-ratelimit-reset'))
    expect(resetMs).toBeGreaterThan(50_000)
    expect(resetMs).toBeLessThanOrEqual(60_000)
    expect(third.headers.get('retry-after-ms')).toBe(String(resetMs))

    const write = () => call(tintype, 'POST', '/v1/folder', { folderName: 'a', parentFolderPath: '/' })
    expect([(await write()).status, (await write()).status]).toEqual([201, 429])
    const bulk = () => call(tintype, 'POST', '/v1/files/addTags', { fileIds: [], tags: ['a'] })
    expect([(await bulk()).status, (await bulk()).status]).toEqual([400, 429])
    expect((await call(tintype, 'POST', '/v2/folder', {})).status).toBe(429)

    const uploads = []
    for (let n = 0; n < 3; n++) uploads.push(await upload(tintype, png(2, 2, n), { fileName: 'a.png' }))
    expect(uploads.map((answer) => answer.status)).toEqual([200, 200, 200])
    for (let n = 0; n < 3; n++) expect((await fetch(String(uploads[0]!.body.url))).status).toBe(200)
  })

  it('let requests through again when the interval is over', async () => {
    await start({ TINTYPE_HTTP_LIMITS_READS_MAX: '1', TINTYPE_HTTP_LIMITS_READS_INTERVAL_MS: '400' })
    expect((await call(tintype, 'GET', '/v1/files')).status).toBe(200)
    const refused = await call(tintype, 'GET', '/v1/files')
    expect(refused.status).toBe(429)
    await sleep(Number(refused.headers.get('retry-after-ms')) + 20)
    expect((await call(tintype, 'GET', '/v1/files')).status).toBe(200)
  })

  it.each([
    ['GET', '/v1/files', 'reads'],
    ['GET', '/v1/bulkJobs/1', 'reads'],
    ['DELETE', '/v1/files/1', 'writes'],
    ['PATCH', '/v1/files/1/details', 'writes'],
    ['POST', '/v1/files/batch/deleteByFileIds', 'bulk'],
    ['POST', '/v1/bulkJobs/moveFolder', 'bulk'],
    ['PATCH', '/v1/customMetadataFields/1', 'bulk'],
    ['POST', '/api/v1/files/upload', undefined],
  ])('%s %s counts for %s', (method, path, expected) => {
    expect(limitClassOf(method, path)).toBe(expected)
  })
})

describe('guessing keys', () => {
  it('ends in 429 for the address, which then is refused whatever it sends', async () => {
    await start({
      TINTYPE_HTTP_LIMITS_FAILED_AUTHENTICATIONS_MAX: '3',
      TINTYPE_HTTP_LIMITS_FAILED_AUTHENTICATIONS_INTERVAL_MS: '600',
    })
    const guess = (n: number) => call(tintype, 'GET', '/v1/files', undefined, wrong(n))
    expect((await call(tintype, 'GET', '/v1/files')).headers.get('x-ratelimit-limit')).toBeNull()
    expect([(await guess(1)).status, (await guess(2)).status, (await guess(3)).status]).toEqual([
      403, 403, 403,
    ])
    const refused = await guess(4)
    expect(refused.status).toBe(429)
    expect(refused.body.message).toMatch(/wrong credentials/)
    expect(rateHeaders(refused.headers)).toMatchObject({ limit: '3', interval: '600' })
    expect(Number(refused.headers.get('x-ratelimit-reset'))).toBeGreaterThan(0)
    expect((await call(tintype, 'GET', '/v1/files')).status).toBe(429)
    expect((await upload(tintype, png(2, 2, 1), { fileName: 'a.png' })).status).toBe(429)
    // Who shows no key guesses none.
    expect((await call(tintype, 'GET', '/v1/files', undefined, null)).status).toBe(401)
    await sleep(620)
    expect((await call(tintype, 'GET', '/v1/files')).status).toBe(200)
  })

  it('is not what a client with an old key does', async () => {
    await start({ TINTYPE_HTTP_LIMITS_FAILED_AUTHENTICATIONS_MAX: '3' })
    for (let n = 0; n < 10; n++) {
      expect((await call(tintype, 'GET', '/v1/files', undefined, wrong(0))).status).toBe(403)
    }
    expect((await call(tintype, 'GET', '/v1/files')).status).toBe(200)
  })

  it('counts a /64 of IPv6 as one', async () => {
    await start({
      TINTYPE_HTTP_TRUSTED_PROXIES: '127.0.0.1',
      TINTYPE_HTTP_LIMITS_FAILED_AUTHENTICATIONS_MAX: '2',
    })
    const from = async (address: string, authorization: string) =>
      (
        await fetch(`${tintype.url}/v1/files`, {
          headers: { 'x-forwarded-for': address, authorization },
        })
      ).status
    expect(await from('2001:db8:1:2::1', wrong(1))).toBe(403)
    expect(await from('2001:db8:1:2:ffff::2', wrong(2))).toBe(403)
    expect(await from('2001:db8:1:2::3', tintype.authorization)).toBe(429)
    expect(await from('2001:db8:1:3::1', tintype.authorization)).toBe(200)
    expect(await from('198.51.100.7', tintype.authorization)).toBe(200)
  })
})

const redisUrl = process.env.TINTYPE_TEST_REDIS_URL
const whySkipped = redisUrl ? '' : ' (skipped: TINTYPE_TEST_REDIS_URL is not set)'

describe.skipIf(redisUrl === undefined)(`servers with one Redis${whySkipped}`, () => {
  const env = () => ({
    TINTYPE_REDIS_URL: redisUrl!,
    // A busy machine may answer late, and then each would count for itself.
    TINTYPE_COUNTERS_REDIS_TIMEOUT_MS: '10000',
    TINTYPE_COUNTERS_REDIS_PREFIX: `limits-${Date.now()}-${Math.random()}:`,
  })

  it('count the requests of all for one limit', async () => {
    const shared = {
      ...env(),
      TINTYPE_HTTP_LIMITS_READS_MAX: '40',
      TINTYPE_HTTP_LIMITS_READS_INTERVAL_MS: '60000',
    }
    await start(shared)
    const other = await startTintype({ env: shared })
    try {
      const statuses = await Promise.all(
        Array.from({ length: 80 }, async (_, n) => {
          const answer = await call(n % 2 ? tintype : other, 'GET', '/v1/files?limit=1')
          return answer.status
        }),
      )
      expect(statuses.filter((status) => status === 200)).toHaveLength(40)
      expect(statuses.filter((status) => status === 429)).toHaveLength(40)
    } finally {
      await other.stop()
    }
  })

  it('refuse at each an address that has guessed keys at others, but not a client with one old key', async () => {
    const shared = { ...env(), TINTYPE_HTTP_LIMITS_FAILED_AUTHENTICATIONS_MAX: '4' }
    await start(shared)
    const other = await startTintype({ env: shared })
    try {
      const ask = async (server: TestTintype, authorization: string | undefined) =>
        (await call(server, 'GET', '/v1/files', undefined, authorization ?? server.authorization)).status
      for (let n = 0; n < 6; n++) expect(await ask(n % 2 ? tintype : other, wrong(0))).toBe(403)
      for (let n = 1; n < 4; n++) expect(await ask(n % 2 ? tintype : other, wrong(n))).toBe(403)
      expect([await ask(tintype, undefined), await ask(other, undefined)]).toEqual([429, 429])
    } finally {
      await other.stop()
    }
  })
})
