import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readUserAgent, splitTarget } from '../../src/http/usage-hook.ts'
import { call } from '../support/api.ts'
import { settleCounts } from '../support/cluster-server.ts'
import { png } from '../support/images.ts'
import { startService } from '../support/providers/service.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

const DAY_MS = 86_400_000
const START = Date.parse('2026-03-01T10:00:00.000Z')

let now = START
let dataDir: string
let tintype: TestTintype
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tintype-usage-'))
  tintype = await startTintype({ clock: { now: () => now }, dataDir })
})
afterAll(async () => {
  await tintype.close()
  await rm(dataDir, { recursive: true })
})

async function get(path: string): Promise<{ status: number; body: Record<string, never> }> {
  await settleCounts()
  const response = await fetch(tintype.url + path, { headers: { authorization: tintype.authorization } })
  return { status: response.status, body: (await response.json()) as Record<string, never> }
}

/** Asks for a delivery URL and gives the bytes of the answer. */
async function load(path: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(`${tintype.url}/demo${path}`, { headers })
  return (await response.arrayBuffer()).byteLength
}

const usage = (start: string, end: string) => get(`/v1/accounts/usage?startDate=${start}&endDate=${end}`)
const analytics = (start: string, end: string) =>
  get(`/v1/accounts/usage-analytics?startDate=${start}&endDate=${end}`)
const NOTHING = {
  bandwidthBytes: 0,
  mediaLibraryStorageBytes: 0,
  videoProcessingUnitsCount: 0,
  extensionUnitsCount: 0,
  originalCacheStorageBytes: 0,
}

describe('usage', () => {
  it.each(['usage', 'usage-analytics'])(
    '%s wants two days of the calendar, near each other',
    async (name) => {
      const ask = (query: string) => get(`/v1/accounts/${name}${query}`)
      const refused = async (query: string) => {
        const { status, body } = await ask(query)
        expect(status).toBe(400)
        return body.message
      }
      const required = 'startDate and endDate are required in query parameters.'
      const format = 'startDate and endDate should be in format YYYY-MM-DD.'
      expect(await refused('')).toBe(required)
      expect(await refused('?startDate=2026-03-01')).toBe(required)
      expect(await refused('?startDate=2026-03-01&startDate=2026-03-02&endDate=2026-03-03')).toBe(required)
      expect(await refused('?startDate=2026-3-1&endDate=2026-03-02')).toBe(format)
      expect(await refused('?startDate=2026-02-30&endDate=2026-03-02')).toBe(format)
      expect(await refused('?startDate=2026-03-02&endDate=2026-03-01')).toBe(
        'startDate should be before endDate.',
      )
      expect(await refused('?startDate=2026-01-01&endDate=2026-04-01')).toBe(
        'startDate and endDate should be within 90 days.',
      )
      expect((await ask('?startDate=2026-01-01&endDate=2026-03-31')).status).toBe(200)
    },
  )

  it('treats the end date as the contract says: without it here, with it in the analytics', async () => {
    expect((await usage('2026-03-01', '2026-03-01')).status).toBe(400)
    expect((await analytics('2026-03-01', '2026-03-01')).status).toBe(200)
  })

  it('needs a key', async () => {
    const response = await fetch(`${tintype.url}/v1/accounts/usage`)
    expect(response.status).toBe(401)
  })

  it('counts what is stored and what is delivered, by day', async () => {
    expect((await usage('2026-03-01', '2026-03-02')).body).toEqual(NOTHING)
    const picture = png(300, 200, 1)
    const sizes = [picture.length, 5000]
    await upload(tintype, picture, { fileName: 'a.png', useUniqueFileName: 'false' })
    const first = await upload(tintype, Buffer.alloc(5000, 'x'), {
      fileName: 'b.txt',
      useUniqueFileName: 'false',
    })
    await upload(tintype, Buffer.alloc(7000, 'y'), { fileName: 'b.txt', useUniqueFileName: 'false' })
    const stored = sizes[0]! + 5000 + 7000

    let bytes = await load('/a.png', {
      'user-agent': 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36',
      referer: 'https://shop.example/page?secret=1',
    })
    expect(bytes).toBe(picture.length)
    bytes += await load('/tr:w-50/a.png')
    bytes += await load('/a.png?tr=w-50')
    bytes += await load('/b.txt')
    const missing = await load('/nothing.png')
    await fetch(`${tintype.url}/demo/a.png`, { method: 'HEAD' })
    now += DAY_MS
    const nextDay = await load('/b.txt')

    expect((await usage('2026-03-01', '2026-03-02')).body).toEqual({
      ...NOTHING,
      bandwidthBytes: bytes + missing,
      mediaLibraryStorageBytes: stored,
    })
    expect((await usage('2026-03-01', '2026-03-03')).body).toMatchObject({
      bandwidthBytes: bytes + missing + nextDay,
    })
    expect((await usage('2026-03-02', '2026-03-03')).body).toMatchObject({ bandwidthBytes: nextDay })

    const deleted = await fetch(`${tintype.url}/v1/files/${first.body.fileId}`, {
      method: 'DELETE',
      headers: { authorization: tintype.authorization },
    })
    expect(deleted.status).toBe(204)
    expect((await usage('2026-03-01', '2026-03-02')).body).toMatchObject({
      mediaLibraryStorageBytes: picture.length,
    })

    const { body } = await analytics('2026-03-01', '2026-03-01')
    const endpoint = `${tintype.url}/demo`
    expect(body).toMatchObject({
      startDate: '2026-03-01',
      endDate: '2026-03-01',
      generatedAt: new Date(now).toISOString(),
      bandwidthBytes: bytes + missing,
      requestCount: 6,
      cache: { hitCount: 4, missCount: 1, errorCount: 0 },
      statusCodes: [
        { name: '200', requestCount: 5 },
        { name: '404', requestCount: 1 },
      ],
      errorReasons: [{ name: 'ENOENT', requestCount: 1 }],
      top404Assets: [{ name: `${endpoint}/nothing.png`, requestCount: 1 }],
      topImages: { byRequests: [{ name: `${endpoint}/a.png`, requestCount: 4 }] },
      topImageTransforms: { byRequests: [{ name: 'tr:w-50', requestCount: 2 }] },
      topOtherAssets: { byBandwidth: [{ name: `${endpoint}/b.txt`, requestCount: 1, bandwidthBytes: 7000 }] },
      topVideos: { byBandwidth: [], byRequests: [] },
      topReferrers: { byRequests: [{ name: 'https://shop.example/page', requestCount: 1 }] },
      browser: { byRequests: [{ name: 'Other' }, { name: 'Chrome' }] },
      device: { byRequests: [{ name: 'Other' }, { name: 'Desktop - Windows PC' }] },
      urlEndpoints: { byRequests: [{ name: 'Default', requestCount: 6 }] },
      extensions: [],
      videoProcessing: [],
      country: { byBandwidth: [], byRequests: [] },
    })
  })

  it('counts of an answer that the client has given up only what was sent', async () => {
    now += 10 * DAY_MS
    const size = 24 * 1024 * 1024
    await upload(tintype, Buffer.alloc(size, 'z'), { fileName: 'big.txt', useUniqueFileName: 'false' })
    const { hostname, port } = new URL(tintype.url)
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write('GET /demo/big.txt HTTP/1.1\r\nhost: x\r\n\r\n')
      })
      socket.once('data', () => socket.destroy())
      socket.once('close', () => resolve())
    })
    await expect.poll(async () => (await analytics('2026-03-12', '2026-03-12')).body.requestCount).toBe(1)
    const { body } = await usage('2026-03-12', '2026-03-13')
    expect(body.bandwidthBytes).toBeGreaterThan(0)
    expect(body.bandwidthBytes).toBeLessThan(size)
  })

  it('tells the URL endpoints apart, whatever folders are called', async () => {
    now += 30 * DAY_MS
    await call(tintype, 'POST', '/v1/accounts/url-endpoints', { description: 'Shop', urlPrefix: 'shop' })
    await upload(tintype, png(9, 9, 2), { fileName: 'c.png', folder: '/folder', useUniqueFileName: 'false' })
    const sizes = [await load('/shop/folder/c.png'), await load('/folder/c.png'), await load('/shop/a.png')]
    const day = new Date(now).toISOString().slice(0, 10)
    expect((await analytics(day, day)).body.urlEndpoints).toEqual({
      byBandwidth: expect.any(Array),
      byRequests: [
        { name: 'Shop', requestCount: 2, bandwidthBytes: sizes[0]! + sizes[2]! },
        { name: 'Default', requestCount: 1, bandwidthBytes: sizes[1] },
      ],
    })
  })

  it('counts what is kept of origins apart', async () => {
    const picture = png(60, 40, 4)
    const origin = await startService(() => ({ body: picture }))
    try {
      const { body } = await call(tintype, 'POST', '/v1/accounts/origins', {
        type: 'WEB_FOLDER',
        name: 'Web',
        baseUrl: origin.url,
      })
      const endpoint = { description: 'Web', urlPrefix: 'web', origins: [body.id] }
      await call(tintype, 'POST', '/v1/accounts/url-endpoints', endpoint)
      expect(await load('/web/of-origin.png')).toBe(picture.length)
      expect((await usage('2026-03-01', '2026-03-02')).body).toMatchObject({
        originalCacheStorageBytes: picture.length,
      })
    } finally {
      await origin.close()
    }
  })

  it('survives a restart', async () => {
    const before = (await usage('2026-03-01', '2026-05-20')).body
    expect(before.bandwidthBytes).toBeGreaterThan(0)
    await load('/a.png')
    await tintype.close()
    tintype = await startTintype({ clock: { now: () => now }, dataDir })
    expect((await usage('2026-03-01', '2026-05-20')).body).toEqual({
      ...before,
      bandwidthBytes: Number(before.bandwidthBytes) + png(300, 200, 1).length,
    })
  })
})

describe('splitTarget', () => {
  it.each([
    ['/a/b.jpg', '/a/b.jpg', undefined],
    ['/tr:w-1,h-2/a/b.jpg?x=1', '/a/b.jpg', 'tr:w-1,h-2'],
    ['/tr:w-1%3Ah-2/b.jpg', '/b.jpg', 'tr:w-1:h-2'],
    ['/b.jpg?x=1&tr=w-1%2Ch-2&y=2', '/b.jpg', 'tr:w-1,h-2'],
    ['/b.jpg?tr=%E0%A4%A', '/b.jpg', 'tr:%E0%A4%A'],
    ['/products/tr:w-1/a/b.jpg', '/products/a/b.jpg', 'tr:w-1'],
    ['/tr-folder/b.jpg', '/tr-folder/b.jpg', undefined],
    ['/tr:w-1', '/tr:w-1', undefined],
  ])('%s', (target, path, transformation) => {
    expect(splitTarget(target)).toEqual({ path, transformation })
  })
})

describe('readUserAgent', () => {
  it.each([
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15',
      'Safari',
      'Desktop - Apple Mac',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 CriOS/130.0 Mobile/15E148 Safari/604.1',
      'Chrome',
      'Smartphone - Apple iPhone',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0',
      'Edge',
      'Desktop - Windows PC',
    ],
    ['Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0', 'Firefox', 'Desktop - Linux'],
    ['curl/8.0', 'Other', 'Other'],
  ])('%s', (text, browser, device) => {
    expect(readUserAgent(text)).toEqual({ browser, device })
  })
})
