import { createHmac } from 'node:crypto'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, put } from '../support/api.ts'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'
import { exchange, head, type WireAnswer } from '../support/wire.ts'

/** Colours of which no pixel may be seen by strangers. */
const RED = { r: 255, g: 0, b: 0 }
const picture = (background: object, width = 64, height = 48) =>
  sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer()

let tintype: TestTintype
let strict: TestTintype
let secret: { fileId: string; url: string; thumbnailUrl: string }
let draft: { fileId: string }
let changed: { fileId: string; url: string }
let oldVersionKey = ''
beforeAll(async () => {
  tintype = await startTintype()
  strict = await startTintype({ env: { TINTYPE_DELIVERY_RESTRICT_UNSIGNED: 'true' } })
  const red = await picture(RED)
  for (const server of [tintype, strict]) {
    await put(server, '/open.png', await picture({ r: 0, g: 0, b: 255 }))
    secret = await put(server, '/secret.png', red, { isPrivateFile: 'true', tags: 'hidden' })
    draft = await put(server, '/draft.png', red, { isPublished: 'false' })
  }
  secret = await put(tintype, '/secret.png', red, { isPrivateFile: 'true', tags: 'hidden' })
  draft = await put(tintype, '/draft.png', red, { isPublished: 'false' })
  changed = await put(tintype, '/changed.png', red)
  await (await fetch(`${tintype.url}/demo/changed.png?tr=w-20`)).arrayBuffer()
  oldVersionKey = (await tintype.store.files.byId(changed.fileId))!.accessKey
  await put(tintype, '/changed.png', await picture({ r: 0, g: 255, b: 0 }), { isPrivateFile: 'true' })
})
afterAll(async () => {
  await tintype.stop()
  await strict.stop()
})

const get = async (target: string, headers: Record<string, string> = {}, server = tintype) =>
  (
    await exchange(server.url, [head(`GET ${target} HTTP/1.1`, { ...headers, Connection: 'close' })], {
      timeoutMs: 20_000,
    })
  ).answers[0]!

/** Whether a picture shows any of the red of what is hidden. */
async function showsRed(answer: WireAnswer): Promise<boolean> {
  if (!answer.headers.get('content-type')?.startsWith('image/')) return false
  const { data, info } = await sharp(answer.body).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  for (let at = 0; at < data.length; at += info.channels) {
    if (data[at]! > 200 && data[at + 1]! < 60 && data[at + 2]! < 60) return true
  }
  return false
}
const base64 = (text: string) => Buffer.from(text).toString('base64url')

const FILES = ['secret.png', 'draft.png']
const FORMS: [
  id: string,
  name: string,
  target: (file: string) => string,
  headers?: Record<string, string>,
][] = [
  ['L01', 'the original', (file) => `/demo/${file}`],
  ['L01', 'a variant', (file) => `/demo/${file}?tr=w-10`],
  ['L01', 'a variant in the path', (file) => `/demo/tr:w-10/${file}`],
  ['L01', 'the original as a transformation', (file) => `/demo/tr:orig-true/${file}`],
  ['L01', 'a name and more', (file) => `/demo/tr:n-ik_ml_thumbnail,w-60/${file}`],
  ['L01', 'a name and a step', (file) => `/demo/tr:n-ik_ml_thumbnail:w-60/${file}`],
  [
    'L01',
    'a name in the path and a step in the query',
    (file) => `/demo/tr:n-ik_ml_thumbnail/${file}?tr=w-60`,
  ],
  ['L01', 'a name twice', (file) => `/demo/tr:n-ik_ml_thumbnail:n-ik_ml_thumbnail/${file}`],
  ['L01', 'a name that does not exist', (file) => `/demo/tr:n-nobody/${file}`],
  ['L01', 'a name with a space', (file) => `/demo/${file}?tr=n-ik_ml_thumbnail%20,w-60`],
  ['L01', 'bytes of it', (file) => `/demo/${file}`, { Range: 'bytes=0-3' }],
  ['L01', 'bytes behind its end', (file) => `/demo/${file}`, { Range: 'bytes=99999999-' }],
  ['L01', 'if it exists', (file) => `/demo/${file}`, { 'If-None-Match': '*' }],
  [
    'L01',
    'if it is old',
    (file) => `/demo/${file}`,
    { 'If-Modified-Since': 'Fri, 01 Jan 2100 00:00:00 GMT' },
  ],
  ['L01', 'with a key of the API', (file) => `/demo/${file}`, { Authorization: 'Basic KEY' }],
  ['L01', 'as a download', (file) => `/demo/${file}?ik-attachment=true`],
  ['L01', 'one page of it', (file) => `/demo/${file}/ik-thumbnail.jpg`],
  ['L01', 'for search engines', (file) => `/demo/ik-seo/${file.replace('.png', '')}/x.png`],
  ['L01', 'a purge in between', (file) => `/demo/${file}?updatedAt=1`],
  ['L01', 'over a web proxy to ourselves', (file) => `/demo/${tintype.url}/demo/${file}`],
  [
    'L01',
    'over a web proxy, encoded',
    (file) => `/demo/${encodeURIComponent(`${tintype.url}/demo/${file}`)}`,
  ],
  ['L02', 'as a layer', (file) => `/demo/open.png?tr=l-image,i-${file},l-end`],
  ['L02', 'as an encoded layer', (file) => `/demo/open.png?tr=l-image,ie-${base64(file)},l-end`],
  [
    'L02',
    'as a layer by its URL',
    (file) => `/demo/open.png?tr=l-image,ie-${base64(`${tintype.url}/demo/${file}`)},l-end`,
  ],
  [
    'L02',
    'as a layer of a layer',
    (file) => `/demo/open.png?tr=l-image,i-open.png,l-image,i-${file},l-end,l-end`,
  ],
  ['L02', 'as a default image', (file) => `/demo/missing.png?tr=di-${file}`],
  [
    'L02',
    'as a default image of a layer',
    (file) => `/demo/open.png?tr=l-image,i-missing.png,di-${file},l-end`,
  ],
  ['L02', 'as a mask', (file) => `/demo/open.png?tr=e-mask-${file}`],
  ['L02', 'as a font', (file) => `/demo/open.png?tr=l-text,i-a,ff-${file},l-end`],
  ['L02', 'as a raw parameter', (file) => `/demo/open.png?tr=raw-l-image,i-${file},l-end`],
  ['L02', 'as a subtitle', (file) => `/demo/open.png?tr=l-subtitle,i-${file},l-end`],
  ['L02', 'as a video layer', (file) => `/demo/open.png?tr=l-video,i-${file},l-end`],
]

describe.each(FILES)('%s shows nothing to strangers', (file) => {
  test.each(FORMS)('%s %s', async (_id, _name, target, headers) => {
    const missing = await get(target('nothere.png'), headers)
    const answer = await get(target(file), headers)
    expect(await showsRed(answer)).toBe(false)
    expect(answer.body.includes(Buffer.from('IDAT')) && answer.status === 206).toBe(false)
    if (answer.status >= 400 && answer.status !== 401) {
      // A draft is not there at all: whatever is answered is what a missing file gets.
      expect(answer.status).toBe(missing.status)
    }
    if (answer.status === 401) {
      expect(file).not.toBe('draft.png')
      expect(answer.headers.get('etag')).toBeUndefined()
      expect(answer.headers.get('last-modified')).toBeUndefined()
      expect(answer.headers.get('content-range')).toBeUndefined()
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
    if (answer.status === 200) expect(answer.headers.get('content-type')).toMatch(/^image\//)
    expect(answer.status).not.toBe(304)
    expect(answer.status).not.toBe(416)
  })
})

test('L01 one named transformation alone opens a private file, and no draft', async () => {
  expect((await get('/demo/tr:n-ik_ml_thumbnail/secret.png')).status).toBe(200)
  expect((await get('/demo/tr:n-ik_ml_thumbnail/draft.png')).status).toBe(404)
})

test('L01 HEAD tells no more than GET', async () => {
  for (const file of FILES) {
    const one = await fetch(`${tintype.url}/demo/${file}`, { method: 'HEAD' })
    const other = await fetch(`${tintype.url}/demo/${file}`)
    await other.arrayBuffer()
    expect(one.status).toBe(other.status)
    expect([...one.headers.keys()].filter((name) => name !== 'content-length').sort()).toEqual(
      [...other.headers.keys()]
        .filter((name) => name !== 'content-length' && name !== 'keep-alive')
        .sort()
        .concat([...one.headers.keys()].includes('keep-alive') ? ['keep-alive'] : [])
        .sort(),
    )
  }
})

describe('L03 after a change', () => {
  test('L03 the old version of a file that is private now needs a signature too', async () => {
    const old = `/demo/changed.png?ik-obj-version=${oldVersionKey}`
    const answer = await get(old)
    expect(answer.status).toBe(401)
    const signature = createHmac('sha1', TEST_KEYS.privateKey)
      .update(`changed.png?ik-obj-version=${oldVersionKey}9999999999`)
      .digest('hex')
    expect((await get(`${old}&ik-s=${signature}`)).status).toBe(200)
    expect((await get('/demo/changed.png')).status).toBe(401)
    expect((await get('/demo/changed.png?tr=w-20')).status).toBe(401)
    expect(
      (await get(`/demo/changed.png?ik-obj-version=${'x'.repeat(oldVersionKey.length)}`)).status,
    ).not.toBe(200)
  })

  test('L03 what was rendered of a file that is deleted, and of its successor, are two things', async () => {
    const first = await put(tintype, '/again.png', await picture(RED))
    const url = '/demo/again.png?tr=w-21'
    expect(await showsRed(await get(url))).toBe(true)
    await call(tintype, 'DELETE', `/v1/files/${first.fileId}`)
    expect((await get(url)).status).toBe(404)
    await put(tintype, '/again.png', await picture({ r: 0, g: 255, b: 0 }))
    const after = await get(url)
    expect(after.status).toBe(200)
    expect(await showsRed(after)).toBe(false)
  })
})

describe('L04 L05 L06 what needs a key', () => {
  test.each([
    ['L04', 'GET', () => '/v1/files?tags=hidden'],
    ['L04', 'GET', () => '/v1/files?searchQuery=name%3D%22secret.png%22'],
    ['L04', 'GET', () => `/v1/files/${secret.fileId}/details`],
    ['L04', 'GET', () => `/v1/files/${secret.fileId}/versions`],
    ['L04', 'GET', () => `/v1/files/${secret.fileId}/metadata`],
    ['L04', 'GET', () => `/v1/metadata?url=${encodeURIComponent(secret.url)}`],
    ['L04', 'GET', () => '/v1/transformations/explain?tr=w-1&path=/secret.png'],
    ['L04', 'GET', () => '/metrics'],
    ['L06', 'POST', () => '/v1/files/purge'],
  ])('%s %s %s', async (_id, method, path) => {
    const answer = await call(
      tintype,
      method,
      path(),
      method === 'POST' ? { url: secret.url } : undefined,
      null,
    )
    expect(answer.status).toBe(401)
    expect(JSON.stringify(answer.body)).not.toContain('secret')
  })

  test.each([
    'https://somebody.example/demo/secret.png',
    'http://127.0.0.1:1/demo/secret.png',
    '*',
    '/*',
    '/demo/*',
    'SELF/demo/*',
    'SELF/demo/a*b*',
    'SELF/demo',
    'SELF/v1/files',
    'SELF/other/a.png',
    'SELF/demo/../v1/files',
    'SELF@evil.example/demo/a.png',
    '',
    'file:///etc/passwd',
  ])('L06 %s cannot be purged', async (url) => {
    const answer = await call(tintype, 'POST', '/v1/files/purge', { url: url.replace('SELF', tintype.url) })
    expect(answer.status).toBe(400)
    expect(answer.body.message).toBe('The URL is not valid for cache purging.')
  })

  test.each([
    'https://somebody.example/demo/secret.png',
    'http://169.254.169.254/latest/meta-data',
    'SELF/other/secret.png',
    'SELF/demo/../v1/files',
    'file:///etc/passwd',
    'SELF@evil.example/demo/secret.png',
  ])('L04 metadata of %s is not read', async (url) => {
    const answer = await call(
      tintype,
      'GET',
      `/v1/metadata?url=${encodeURIComponent(url.replace('SELF', tintype.url))}`,
    )
    expect([400, 404]).toContain(answer.status)
  })

  test('L04 a listing shows a private file only by a URL that needs a signature', async () => {
    const { body } = await call(tintype, 'GET', '/v1/files?tags=hidden')
    expect(body).toHaveLength(1)
    expect((await fetch(body[0].url)).status).toBe(401)
    const thumbnail = await fetch(body[0].thumbnail)
    expect(thumbnail.status).toBe(200)
  })

  test('L04 a draft of ours cannot be uploaded from its own URL', async () => {
    for (const file of FILES) {
      const answer = await upload(tintype, `${tintype.url}/demo/${file}`, { fileName: 'copied.png' })
      expect(answer.status).toBe(400)
    }
  })

  test('L04 what knows an id only of a draft has no URL that works', async () => {
    const { body } = await call(tintype, 'GET', `/v1/files/${draft.fileId}/details`)
    expect((await fetch(body.url)).status).toBe(404)
  })
})

describe('L07 where only signed URLs are answered', () => {
  const shown = (answer: WireAnswer) => {
    const headers = Object.fromEntries(answer.headers)
    for (const name of ['date', 'x-ik-requestid', 'x-request-id']) delete headers[name]
    return { status: answer.status, headers, body: answer.body.toString() }
  }
  const VARIANTS = [
    '',
    '?tr=w-10',
    '?ik-s=0',
    '?ik-attachment=true',
    '?tr=n-ik_ml_thumbnail',
    '?tr=zz-1',
    '?ik-obj-version=x',
    '/ik-thumbnail.jpg',
  ]
  test.each(VARIANTS)('L07 %s: public, private, draft and missing are the same', async (variant) => {
    const answers = []
    for (const file of ['open.png', 'secret.png', 'draft.png', 'missing.png', 'no/folder/x.png']) {
      answers.push(shown(await get(`/demo/${file}${variant}`, {}, strict)))
    }
    expect(answers[0]!.status).toBe(401)
    for (const answer of answers) expect(answer).toEqual(answers[0])
  })

  test('L07 a good signature opens the public and the private, and no draft', async () => {
    const signed = (path: string) =>
      `/demo/${path}?ik-s=${createHmac('sha1', TEST_KEYS.privateKey).update(`${path}9999999999`).digest('hex')}`
    const statuses = []
    for (const path of ['open.png', 'secret.png', 'draft.png', 'missing.png']) {
      statuses.push((await get(signed(path), {}, strict)).status)
    }
    expect(statuses).toEqual([200, 200, 404, 404])
  })
})
