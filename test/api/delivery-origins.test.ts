import { createHmac } from 'node:crypto'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call } from '../support/api.ts'
import { type Reply, type Service, startService } from '../support/providers/service.ts'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype
let service: Service
/** What the origin has, by path. */
const files = new Map<string, Reply>()

const picture = (width: number, height: number, background: string) =>
  sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer()

beforeAll(async () => {
  service = await startService(({ path }) => files.get(path) ?? { status: 404 })
  tintype = await startTintype()
  await upload(tintype, await picture(30, 20, 'red'), { fileName: 'both.png', useUniqueFileName: 'false' })
  await upload(tintype, await picture(30, 20, 'red'), { fileName: 'none.png', useUniqueFileName: 'false' })
  const wide = await picture(300, 100, 'blue')
  files.set('/both.png', { body: wide })
  files.set('/wide.png', { body: wide, headers: { 'cache-control': 'max-age=7' } })
  files.set('/a%20b/%C3%A9.png', { body: wide })
  files.set('/secret.png', { body: wide, headers: { 'is-private-file': 'true' } })
  files.set('/forbidden.png', { status: 403 })
  files.set('/page.html', { body: '<script>1</script>', headers: { 'content-type': 'text/html' } })
  files.set('/wide.png?x=1', { body: await picture(10, 10, 'blue') })
  const web = await post('/v1/accounts/origins', {
    type: 'WEB_FOLDER',
    name: 'Web',
    baseUrl: service.url,
    includeCanonicalHeader: true,
    baseUrlForCanonicalHeader: 'https://www.example.com',
  })
  const proxy = await post('/v1/accounts/origins', { type: 'WEB_PROXY', name: 'Proxy' })
  const endpoint = (urlPrefix: string, origins: unknown[], settings = {}) =>
    post('/v1/accounts/url-endpoints', { description: urlPrefix, urlPrefix, origins, settings })
  await endpoint('web', [web.id])
  await endpoint('fresh', [web.id], { followOriginCacheControl: true })
  await endpoint('proxy', [proxy.id])
  await endpoint('signed', [proxy.id], { restrictUnsigned: true })
})
afterAll(async () => {
  await tintype.stop()
  await service.close()
})

async function post(path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(tintype.url + path, {
    method: 'POST',
    headers: { authorization: tintype.authorization, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const answer = (await response.json()) as Record<string, unknown>
  if (response.status !== 201) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`)
  return answer
}

async function get(path: string): Promise<{ status: number; headers: Headers; body: Buffer }> {
  const response = await fetch(`${tintype.url}/demo/${path}`)
  return {
    status: response.status,
    headers: response.headers,
    body: Buffer.from(await response.arrayBuffer()),
  }
}
const sizeOf = async (path: string) => {
  const { status, body } = await get(path)
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`)
  const { width, height } = await sharp(body).metadata()
  return `${width}x${height}`
}
const sign = (text: string) =>
  createHmac('sha1', TEST_KEYS.privateKey).update(`${text}9999999999`).digest('hex')

describe('an endpoint with a web server', () => {
  it('gives what the library has first, then what the origin has, original and transformed', async () => {
    expect(await sizeOf('web/both.png')).toBe('30x20')
    expect(await sizeOf('web/wide.png')).toBe('300x100')
    expect(await sizeOf('web/tr:w-30/wide.png')).toBe('30x10')
    expect(await sizeOf('web/wide.png?tr=w-30,h-30')).toBe('30x30')
    expect(await sizeOf('web/a%20b/%C3%A9.png?tr=w-9')).toBe('9x3')
    expect((await get('web/wide.png?tr=w-30,h-30')).headers.get('x-tintype-cache')).toBe('hit')
    // Other endpoints do not have the origin.
    expect((await get('wide.png')).status).toBe(404)
    expect((await get('proxy/wide.png')).status).toBe(404)
  })
  it('names the canonical URL, and lets answers be kept as its settings say', async () => {
    const plain = await get('web/wide.png')
    expect(plain.headers.get('link')).toBe('<https://www.example.com/wide.png>; rel="canonical"')
    expect(plain.headers.get('cache-control')).toBe('public, max-age=3600')
    const fresh = await get('fresh/wide.png?tr=w-5')
    expect(fresh.headers.get('cache-control')).toBe('public, max-age=7')
    expect(fresh.headers.get('link')).toContain('wide.png')
  })
  it('keeps private files to signed URLs', async () => {
    expect((await get('web/secret.png')).status).toBe(401)
    expect((await get('web/secret.png?tr=w-5')).status).toBe(401)
    expect(await sizeOf(`web/secret.png?ik-s=${sign('secret.png')}`)).toBe('300x100')
    expect(await sizeOf('web/secret.png?tr=n-ik_ml_thumbnail')).toBe('100x33')
  })
  it('says what went wrong, and shows a default image instead', async () => {
    const missing = await get('web/missing.png')
    expect(missing.status).toBe(404)
    expect(missing.headers.get('ik-error')).toMatch(/^ENOENT - /)
    const forbidden = await get('web/forbidden.png')
    expect(forbidden.status).toBe(404)
    expect(forbidden.headers.get('ik-error')).toBe('EACCES - The origin refused access to the file.')
    expect(await sizeOf('web/tr:w-15,di-none.png/missing.png')).toBe('15x10')
    expect(await sizeOf('web/tr:w-15,di-none.png/forbidden.png')).toBe('15x10')
    // The default image comes from the library only.
    expect((await get('web/tr:di-wide.png/missing.png')).status).toBe(404)
  })
  it('draws layers that the origin has', async () => {
    const path = 'tr:w-300,h-200,c-force,l-image,i-wide.png,w-300,lfo-center,l-end/both.png'
    const { body } = await get(`web/${path}`)
    const { data } = await sharp(body)
      .extract({ left: 150, top: 100, width: 1, height: 1 })
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect(data[2]).toBeGreaterThan(200)
    expect((await get(path)).status).toBe(404)
    expect((await get('web/tr:l-image,i-secret.png,l-end/both.png')).status).toBe(404)
  })
  it('serves pages as downloads', async () => {
    const { headers } = await get('web/page.html')
    expect(headers.get('content-disposition')).toMatch(/^attachment/)
    expect(headers.get('content-security-policy')).toContain('sandbox')
  })
  it('fetches anew what is purged', async () => {
    files.set('/changing.png', { body: await picture(50, 50, 'red') })
    expect(await sizeOf('web/changing.png')).toBe('50x50')
    files.set('/changing.png', { body: await picture(60, 60, 'red') })
    expect(await sizeOf('web/changing.png')).toBe('50x50')
    const { requestId } = await post('/v1/files/purge', { url: `${tintype.url}/demo/web/changing.png` })
    const stateOfPurge = async () => {
      const response = await fetch(`${tintype.url}/v1/files/purge/${requestId}`, {
        headers: { authorization: tintype.authorization },
      })
      return ((await response.json()) as { status: string }).status
    }
    await expect.poll(stateOfPurge, { timeout: 5000 }).toBe('Completed')
    expect(await sizeOf('web/changing.png')).toBe('60x60')
  })
})

describe('an endpoint with a web proxy', () => {
  it('takes URLs in every form in which they arrive', async () => {
    const url = `${service.url}/wide.png`
    const forms = [
      `proxy/tr:w-30/${url}`,
      `proxy/tr:w-30/${url.replace('://', ':/')}`,
      `proxy/${url}?tr=w-30`,
      `proxy/tr:w-30/${encodeURIComponent(url)}`,
      `proxy/${encodeURIComponent(url)}?tr=w-30&updatedAt=5`,
    ]
    for (const form of forms) expect(await sizeOf(form), form).toBe('30x10')
    expect(await sizeOf(`proxy/${service.url}/a%20b/%C3%A9.png?tr=w-9`)).toBe('9x3')
    // A query that is not ours is the URL's.
    expect(await sizeOf(`proxy/${url}?x=1&tr=w-5`)).toBe('5x5')
    expect(await sizeOf(`proxy/${encodeURIComponent(`${url}?x=1`)}?tr=w-5`)).toBe('5x5')
    expect((await get(`web/${url}`)).status).toBe(404)
    expect((await get('proxy/ftp://example.com/a.png')).status).toBe(404)
  })
  it('takes signed URLs only, where it is so set', async () => {
    const url = encodeURIComponent(`${service.url}/wide.png`)
    expect((await get(`signed/${url}`)).status).toBe(401)
    expect(await sizeOf(`signed/${url}?ik-s=${sign(url)}`)).toBe('300x100')
    expect(await sizeOf(`signed/tr:w-30/${url}?ik-s=${sign(`tr:w-30/${url}`)}`)).toBe('30x10')
    const other = encodeURIComponent(`${service.url}/both.png`)
    expect((await get(`signed/${other}?ik-s=${sign(url)}`)).status).toBe(401)
  })
  it('does not tell what is in the network', async () => {
    for (const url of [
      'http://169.254.169.254/latest/meta-data',
      'http://localhost:1/x',
      'http://nobody.invalid/x',
    ]) {
      const { status, headers } = await get(`proxy/${url}`)
      expect([status, headers.get('ik-error')]).toEqual([
        404,
        'ECONNREFUSED - The origin could not be reached.',
      ])
    }
  })
})

it('explains what an origin has, under the endpoint that it belongs to', async () => {
  const explain = (path: string) => call(tintype, 'GET', `/v1/transformations/explain?tr=w-30&path=${path}`)
  expect((await explain('/web/wide.png')).body).toMatchObject({
    output: { width: 30, height: 10 },
    stringToSign: 'wide.png?tr=w-309999999999',
  })
  expect((await explain('/web/both.png')).body.output).toMatchObject({ width: 30, height: 20 })
  expect((await explain('/web/page.html')).body.warnings).toEqual(['The file is delivered as it is.'])
  expect((await explain('/wide.png')).status).toBe(404)
  expect((await explain('/web/missing.png')).status).toBe(404)
})
