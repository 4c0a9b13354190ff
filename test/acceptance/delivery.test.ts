import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import ImageKit7 from '@imagekit/nodejs'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixture, fixturesDir } from '../support/fixtures.ts'
import { type Answer, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server?.dispose())

const pathOf = (url: string) => url.slice(server.url.length)
const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  send(server, path.startsWith('/') ? path : pathOf(path), { headers, method })

async function upload(fileName: string, bytes: Buffer, fields: Record<string, string> = {}) {
  const answer = await uploadFile(server, bytes, { fileName, useUniqueFileName: 'false', ...fields })
  expect(answer.status, answer.body.toString()).toBe(200)
  return answer.json()
}

function expectError(answer: Answer, status: number) {
  expect(answer.status, answer.body.toString()).toBe(status)
  expect(answer.json().message).toMatch(/\S/)
  expect(answer.headers['ik-error']).toMatch(/\S/)
  expect(answer.headers['cache-control'] ?? 'no-store').toMatch(
    /no-store|no-cache|max-age=([0-9]|[1-5][0-9]|60)\b/,
  )
}

describe('an original', () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251))
  let path: string
  beforeAll(async () => {
    path = pathOf((await upload('data.bin', bytes, { folder: '/originals' })).url)
  })

  test('comes with its headers', async () => {
    const answer = await get(path)
    expect(answer.status).toBe(200)
    expect(answer.body.equals(bytes)).toBe(true)
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '1000',
      etag: expect.stringMatching(/^"[^"]+"$/),
      'last-modified': expect.stringMatching(/ GMT$/),
      'cache-control': expect.stringMatching(/public.*max-age=\d+/),
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
    })
  })

  test('HEAD gives the headers of GET and no body', async () => {
    const [full, head] = [await get(path), await get(path, {}, 'HEAD')]
    expect(head.status).toBe(200)
    expect(head.body).toHaveLength(0)
    for (const name of ['content-type', 'content-length', 'etag', 'last-modified', 'cache-control']) {
      expect(head.headers[name], name).toBe(full.headers[name])
    }
  })

  test('304 for what the client has', async () => {
    const { etag, 'last-modified': modified } = (await get(path)).headers
    const hits: Record<string, string>[] = [
      { 'if-none-match': etag! },
      { 'if-none-match': `"other", ${etag}` },
      { 'if-none-match': `W/${etag}` },
      { 'if-none-match': '*' },
      { 'if-modified-since': modified! },
      { 'if-none-match': etag!, 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
    ]
    for (const headers of hits) {
      const answer = await get(path, headers)
      expect(answer.status, JSON.stringify(headers)).toBe(304)
      expect(answer.body).toHaveLength(0)
      expect(answer.headers.etag).toBe(etag)
    }
    const misses: Record<string, string>[] = [
      { 'if-none-match': '"other"' },
      { 'if-none-match': '"other"', 'if-modified-since': modified! },
      { 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
      { 'if-modified-since': 'yesterday' },
    ]
    for (const headers of misses) {
      expect((await get(path, headers)).status, JSON.stringify(headers)).toBe(200)
    }
  })

  test.each([
    ['bytes=0-99', 0, 99],
    ['bytes=100-199', 100, 199],
    ['bytes=990-', 990, 999],
    ['bytes=-10', 990, 999],
    ['bytes=0-0', 0, 0],
    ['bytes=500-100000', 500, 999],
    ['bytes=-5000', 0, 999],
  ])('range %s', async (range, start, end) => {
    const answer = await get(path, { range })
    expect(answer.status).toBe(206)
    expect(answer.headers['content-range']).toBe(`bytes ${start}-${end}/1000`)
    expect(answer.headers['content-length']).toBe(String(end - start + 1))
    expect(answer.body.equals(bytes.subarray(start, end + 1))).toBe(true)
    const head = await get(path, { range }, 'HEAD')
    expect(head.body).toHaveLength(0)
  })

  test.each(['bytes=0--1', 'bytes=abc', 'bytes=5-2', 'lines=1-2', 'bytes=', 'bytes=1-2,5-6'])(
    'range %s is ignored',
    async (range) => {
      const answer = await get(path, { range })
      expect(answer.status).toBe(200)
      expect(answer.body.equals(bytes)).toBe(true)
    },
  )

  test('a range behind the end cannot be satisfied', async () => {
    const answer = await get(path, { range: 'bytes=1000-' })
    expect(answer.status).toBe(416)
    expect(answer.headers['content-range']).toBe('bytes */1000')
  })

  test('a range holds only for the version that the client means', async () => {
    const { etag } = (await get(path)).headers
    expect((await get(path, { range: 'bytes=0-9', 'if-range': etag! })).status).toBe(206)
    expect((await get(path, { range: 'bytes=0-9', 'if-range': '"other"' })).status).toBe(200)
  })

  test('query parameters that nobody knows, and updatedAt, change nothing', async () => {
    for (const query of [
      'updatedAt=1700000000000',
      'ik-sdk-version=node-1',
      'a=b&c',
      'utm_source=x%20y',
      '',
    ]) {
      expect((await get(`${path}?${query}`)).body.equals(bytes), query).toBe(true)
    }
  })

  test.each([
    ['data.bin', '?ik-attachment=true', /^attachment; filename="data\.bin"$/],
    [
      '写真 1.bin',
      '?ik-attachment=true',
      /^attachment; filename="[?_]+1\.bin"; filename\*=UTF-8''%E5%86%99%E7%9C%9F_1\.bin$/,
    ],
    ['data.bin', '?ik-attachment=true&ik-attachment-filename=other', /^attachment; filename="other\.bin"$/],
  ])('%s%s is a download', async (name, query, disposition) => {
    const { url } = await upload(name, bytes, { folder: '/attachments' })
    const answer = await get(pathOf(url) + query)
    expect(answer.status).toBe(200)
    expect(answer.headers['content-disposition']).toMatch(disposition)
    expect(answer.body.equals(bytes)).toBe(true)
  })

  test('ik-attachment=false is none', async () => {
    await upload('plain.png', png())
    expect(
      (await get(`/${server.id}/plain.png?ik-attachment=false`)).headers['content-disposition'],
    ).toBeUndefined()
  })

  test('a new version has a new ETag at once', async () => {
    const first = await upload('etag.png', png(4, 4, 1))
    const before = await get(first.url)
    await upload('etag.png', png(4, 4, 2))
    const after = await get(first.url, { 'if-none-match': before.headers.etag! })
    expect(after.status).toBe(200)
    expect(after.body.equals(png(4, 4, 2))).toBe(true)
    expect(after.headers.etag).not.toBe(before.headers.etag)
  })

  test('many at once, and clients that leave early', async () => {
    const large = Buffer.alloc(5_000_000, 'large')
    const { url } = await upload('large.bin', large)
    const early = Array.from({ length: 5 }, async () => {
      const response = await fetch(url)
      await response.body!.cancel()
    })
    const full = await Promise.all(Array.from({ length: 10 }, () => get(url)))
    await Promise.all(early)
    expect(full.every((answer) => answer.body.equals(large))).toBe(true)
  })
})

describe('what is not there', () => {
  test.each([
    '/missing.jpg',
    '/folder/missing.jpg',
    '/',
    '',
    '/data.bin/more',
    '/originals',
    '/tr:n-media_library_thumbnail/missing.jpg',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/..%2f..%2fetc%2fpasswd',
    '/a%00b.jpg',
    '/%ff%fe.jpg',
    '/%E0%80%80.jpg',
    '/%zz.jpg',
    '/%252e%252e/x',
  ])('%s', async (path) => {
    const answer = await send(server, `/${server.id}${path}`)
    expect([400, 404], answer.body.toString()).toContain(answer.status)
    expect(answer.json().message).toMatch(/\S/)
    expect(answer.headers['ik-error']).toMatch(/\S/)
  })

  test.each(['/../../etc/passwd', '/../v1/files', '//etc/passwd', '/.%2e/x'])(
    'raw %s leaks nothing',
    async (path) => {
      const answer = await send(server, `/${server.id}${path}`)
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(answer.body.toString()).not.toContain('root:')
    },
  )

  test('another id', async () => {
    expect((await send(server, '/somebody/data.bin')).status).toBe(404)
  })

  test.each(['POST', 'PUT', 'DELETE'])('%s is not for delivery', async (method) => {
    expect(
      (await send(server, `/${server.id}/originals/data.bin`, { method })).status,
    ).toBeGreaterThanOrEqual(400)
    expect((await send(server, `/${server.id}/originals/data.bin`)).status).toBe(200)
  })
})

describe.runIf(fixturesDir)('the thumbnail', () => {
  let photo: { url: string; thumbnailUrl: string; fileId: string }
  beforeAll(async () => {
    photo = await upload('china.jpg', await readFile(fixture('photos/china.jpg')), { folder: '/thumbs' })
  })

  test('of the upload answer is a small real picture', async () => {
    const answer = await get(photo.thumbnailUrl)
    expect(answer.status, answer.body.toString()).toBe(200)
    expect(answer.headers['content-type']).toMatch(/^image\/(jpeg|webp|avif)$/)
    const { width, height } = await sharp(answer.body).metadata()
    expect(Math.max(width, height)).toBeLessThan(640)
    expect(Math.min(width, height)).toBeGreaterThanOrEqual(50)
    expect(answer.body.length).toBeLessThan(40_000)
    const { channels } = await sharp(answer.body).stats()
    expect(Math.max(...channels.map((channel) => channel.stdev))).toBeGreaterThan(20)
  })

  test('is one picture under all its addresses', async () => {
    const accept = { accept: 'image/*' }
    const first = await get(photo.thumbnailUrl, accept)
    const details = await sdk7(server).files.get(photo.fileId)
    for (const target of [
      details.thumbnail!,
      `/${server.id}/tr:n-ik_ml_thumbnail/thumbs/china.jpg`,
      `/${server.id}/thumbs/china.jpg?tr=n-media_library_thumbnail`,
      `/${server.id}/thumbs/china.jpg?tr=n-ik_ml_thumbnail&updatedAt=1`,
    ]) {
      const answer = await get(target, accept)
      expect(answer.status, target).toBe(200)
      expect(answer.body.equals(first.body), target).toBe(true)
      expect(answer.headers.etag).toBe(first.headers.etag)
    }
  })

  test('has an ETag of its own and answers 304', async () => {
    const answer = await get(photo.thumbnailUrl)
    expect(answer.headers.etag).not.toBe((await get(photo.url)).headers.etag)
    expect((await get(photo.thumbnailUrl, { 'if-none-match': answer.headers.etag! })).status).toBe(304)
  })

  test('asked for by many at once is the same for all', async () => {
    const { thumbnailUrl } = await upload('herd.jpg', await readFile(fixture('photos/stream.jpg')))
    const answers = await Promise.all(Array.from({ length: 16 }, () => get(thumbnailUrl)))
    expect(answers.every((answer) => answer.status === 200)).toBe(true)
    expect(new Set(answers.map((answer) => answer.headers.etag)).size).toBe(1)
  })

  test('stands upright where the photograph lies on its side', async () => {
    const { thumbnailUrl } = await upload(
      'turned.jpg',
      await readFile(fixture('metadata/orientation6-2mp.jpg')),
    )
    const picture = await sharp((await get(thumbnailUrl)).body).metadata()
    expect(picture.orientation ?? 1).toBe(1)
    const { url } = await upload('turned.jpg', await readFile(fixture('metadata/orientation6-2mp.jpg')))
    const resized = await sharp((await get(`${pathOf(url)}?tr=w-100`)).body).metadata()
    expect(resized.height).toBeGreaterThan(resized.width)
  })

  test.each([
    'formats/rose-alpha.webp',
    'formats/logo-alpha.png',
    'formats/bunny.gif',
    'formats/photo.avif',
    'formats/logo.svg',
    'formats/photo-hevc.heic',
    'formats/rgb-16bit.tiff',
  ])('of %s', async (path) => {
    const { thumbnailUrl } = await upload(path.split('/').pop()!, await readFile(fixture(path)), {
      folder: '/kinds',
    })
    const answer = await get(thumbnailUrl)
    expect(answer.status, answer.body.toString('latin1', 0, 200)).toBe(200)
    expect(answer.headers['content-type']).toMatch(/^image\//)
    expect((await sharp(answer.body).metadata()).width).toBeGreaterThan(0)
  })

  test('of a damaged picture is an error, and the server lives on', async () => {
    const { thumbnailUrl, url } = await upload(
      'broken.jpg',
      Buffer.from('ffd8ffe000104a46494600010100', 'hex'),
    )
    if (thumbnailUrl) expect((await get(thumbnailUrl)).status).toBeGreaterThanOrEqual(400)
    expect((await get(url)).status).toBe(200)
  })

  test('first version of the engine: width, height, crop, quality, format', async () => {
    const resized = await get(`/${server.id}/tr:w-200,h-100/thumbs/china.jpg`)
    expect(await sharp(resized.body).metadata()).toMatchObject({ width: 200, height: 100 })
    const webp = await get(`/${server.id}/thumbs/china.jpg?tr=w-200,f-webp`)
    expect(webp.headers['content-type']).toBe('image/webp')
    expect(await sharp(webp.body).metadata()).toMatchObject({ width: 200, format: 'webp' })
    const small = await get(`/${server.id}/thumbs/china.jpg?tr=w-300,q-10,f-jpg`)
    const fine = await get(`/${server.id}/thumbs/china.jpg?tr=w-300,q-95,f-jpg`)
    expect(fine.body.length).toBeGreaterThan(small.body.length * 2)
    const inside = await get(`/${server.id}/thumbs/china.jpg?tr=w-100,h-100,c-at_max`)
    expect(await sharp(inside.body).metadata()).toMatchObject({ width: 100, height: 67 })
  })

  test.each(['w-abc', 'n-nobody', 'q-1000', 'zz-1'])('a transformation that cannot be: %s', async (tr) => {
    expectError(await get(`/${server.id}/thumbs/china.jpg?tr=${tr}`), 400)
  })
})

describe('private files', () => {
  let path: string
  const bytes = png(100, 50, 77)
  beforeAll(async () => {
    path = pathOf((await upload('secret.png', bytes, { folder: '/private', isPrivateFile: 'true' })).url)
  })

  test.each([
    '',
    '?tr=w-10',
    '?ik-attachment=true',
    '?updatedAt=1',
    '?ik-s=abc',
    '?ik-t=1&ik-s=0000000000000000000000000000000000000000',
  ])('are refused without a signature: %s', async (query) => {
    for (const method of ['GET', 'HEAD']) {
      const answer = await get(path + query, {}, method)
      expect(answer.status).toBe(401)
      expect(answer.body.includes(bytes.subarray(0, 50))).toBe(false)
    }
  })

  test('are no oracle: ranges and conditions are refused the same way', async () => {
    expect((await get(path, { range: 'bytes=0-3' })).status).toBe(401)
    expect((await get(path, { 'if-none-match': '*' })).status).toBe(401)
  })

  test('are served for a URL that the SDK signed', async () => {
    const sdk = new ImageKit7({ privateKey: server.privateKey })
    for (const expiresIn of [undefined, 300]) {
      const url = sdk.helper.buildSrc({
        urlEndpoint: server.endpoint,
        src: '/private/secret.png',
        signed: true,
        ...(expiresIn === undefined ? {} : { expiresIn }),
      })
      const answer = await get(url)
      expect(answer.status, answer.body.toString()).toBe(200)
      expect(answer.body.equals(bytes)).toBe(true)
      expect(answer.headers['cache-control']).toMatch(/private/)
      expect((await get(`${pathOf(url)}0`)).status).toBe(401)
    }
    const resized = sdk.helper.buildSrc({
      urlEndpoint: server.endpoint,
      src: '/private/secret.png',
      signed: true,
      transformation: [{ width: 20 }],
    })
    expect(await sharp((await get(resized)).body).metadata()).toMatchObject({ width: 20 })
    expect((await get(resized.replace('w-20', 'w-21'))).status).toBe(401)
  })

  test('are refused once the signature has expired', async () => {
    const expire = Math.floor(Date.now() / 1000) - 3600
    const signature = createHmac('sha1', server.privateKey)
      .update(`private/secret.png${expire}`)
      .digest('hex')
    expect((await get(`${path}?ik-t=${expire}&ik-s=${signature}`)).status).toBe(401)
  })

  test('show their thumbnail, which is a named transformation', async () => {
    const answer = await get(`/${server.id}/tr:n-media_library_thumbnail/private/secret.png`)
    expect(answer.status).toBe(200)
    expect((await get(`/${server.id}/tr:n-media_library_thumbnail,w-99/private/secret.png`)).status).toBe(401)
    expect((await get(`/${server.id}/tr:n-media_library_thumbnail:w-99/private/secret.png`)).status).toBe(401)
  })

  test('turn private with their next version', async () => {
    const { url } = await upload('turns.png', bytes)
    expect((await get(url)).status).toBe(200)
    await upload('turns.png', bytes, { isPrivateFile: 'true' })
    expect((await get(url)).status).toBe(401)
  })
})

describe('drafts', () => {
  test('are not there, original, variant and signed URL alike', async () => {
    const { url, thumbnailUrl } = await upload('draft.png', png(), {
      isPublished: 'false',
      folder: '/drafts',
    })
    const signed = new ImageKit7({ privateKey: server.privateKey }).helper.buildSrc({
      urlEndpoint: server.endpoint,
      src: '/drafts/draft.png',
      signed: true,
    })
    const missing = await get(`/${server.id}/drafts/missing.png`)
    for (const target of [url, thumbnailUrl, `${url}?tr=w-2`, signed]) {
      const answer = await get(target)
      expect(answer.status).toBe(404)
      expect(answer.json().message).toBe(missing.json().message)
    }
  })

  test('a published file whose new version is a draft is not public either', async () => {
    const { url } = await upload('redraft.png', png())
    await upload('redraft.png', png(5, 5), { isPublished: 'false' })
    expect((await get(url)).status).toBe(404)
  })
})

describe('active content is harmless', () => {
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="alert(1)"/>')

  test.each([
    ['active.svg', svg],
    ['page.html', Buffer.from('<!doctype html><script>alert(1)</script>')],
    [
      'page.xhtml',
      Buffer.from('<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>'),
    ],
    ['feed.xml', Buffer.from('<?xml version="1.0"?><x/>')],
    ['named.png', Buffer.from('<!doctype html><script>alert(1)</script>')],
    ['svg-named.png', svg],
  ])('%s', async (name, bytes) => {
    const { url } = await upload(name, bytes)
    const answer = await get(url)
    expect(answer.status).toBe(200)
    expect(answer.body.equals(bytes)).toBe(true)
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
    if (/html|xml/.test(answer.headers['content-type']!)) {
      expect(answer.headers['content-security-policy']).toMatch(/sandbox/)
      expect(answer.headers['content-security-policy']).toMatch(/default-src 'none'/)
      expect(answer.headers['content-security-policy']).not.toMatch(/allow-scripts/)
    }
  })

  test('an SVG is still an image', async () => {
    const { url } = await upload('image.svg', svg)
    expect((await get(url)).headers['content-type']).toMatch(/^image\/svg\+xml/)
  })

  test('HTML is offered as a download', async () => {
    const { url } = await upload('download.html', Buffer.from('<!doctype html><p>x'))
    expect((await get(url)).headers['content-disposition']).toMatch(/^attachment/)
  })
})
