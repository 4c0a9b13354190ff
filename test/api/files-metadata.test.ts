import { createHmac } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { fixture, fixturesDir } from '../support/fixtures.ts'
import { png } from '../support/images.ts'
import { startTintype, TEST_KEYS, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

const HELP = expect.any(String)
const UNKNOWN = '0123456789abcdef01234567'
const INACCESSIBLE = 'The requested file does not exist or is inaccessible at this time.'
const FOREIGN = 'The url should be accessible using your ImageKit.io account.'
const byId = (fileId: string) => call(tintype, 'GET', `/v1/files/${fileId}/metadata`)
const byUrl = (url: string) => call(tintype, 'GET', `/v1/metadata?url=${encodeURIComponent(url)}`)
/** As the legacy SDK sends it: not encoded. */
const byRawUrl = (url: string) => call(tintype, 'GET', `/v1/metadata?url=${url}`)
const shape = (widthPx: number, heightPx: number) => ({
  width: widthPx,
  height: heightPx,
  size: expect.any(Number),
  format: 'png',
  hasColorProfile: false,
  quality: 0,
  density: 72,
  hasTransparency: false,
  pHash: expect.stringMatching(/^[0-9a-f]{16}$/),
  exif: { image: {}, thumbnail: {}, exif: {}, gps: {}, interoperability: {}, makernote: {} },
})

describe('metadata by file id', () => {
  it('has the legacy shape', async () => {
    const file = await put(tintype, '/meta/a.png', png(40, 30))
    expect(await byId(file.fileId)).toMatchObject({ status: 200, body: shape(40, 30) })
    expect((await byId(file.fileId)).body.size).toBe(file.size)
  })

  it('is there for private files and drafts, since a key asks', async () => {
    const file = await put(tintype, '/meta/secret.png', png(21, 20, 3), {
      isPrivateFile: 'true',
      isPublished: 'false',
    })
    expect(await byId(file.fileId)).toMatchObject({ status: 200, body: { width: 21 } })
  })

  it('is what is known of other files', async () => {
    const file = await put(tintype, '/meta/a.txt', Buffer.from('hello'))
    expect(await byId(file.fileId)).toMatchObject({ status: 200, body: { size: 5, format: 'txt' } })
  })

  it('is refused for what is no image although it says so', async () => {
    const file = await put(tintype, '/meta/broken.png', png().subarray(0, 12))
    expect(await byId(file.fileId)).toMatchObject({
      status: 400,
      body: { message: 'The requested file is corrupt or invalid.', help: HELP },
    })
  })

  it('does not exist for unknown files', async () => {
    expect(await byId(UNKNOWN)).toMatchObject({ status: 404, body: { message: INACCESSIBLE, help: HELP } })
    expect(await byId('nope')).toMatchObject({
      status: 400,
      body: { message: 'Your request contains invalid fileId parameter.' },
    })
    expect((await call(tintype, 'GET', `/v1/files/${UNKNOWN}/metadata`, undefined, null)).status).toBe(401)
  })
})

describe('metadata by URL', () => {
  let url: string
  beforeAll(async () => {
    url = (await put(tintype, '/urls/größe a.png', png(60, 40, 7))).url
  })

  it.each(['', '?updatedAt=1', '?tr=orig-true', '?ik-attachment=true'])(
    'without a transformation (%s) is that of the original',
    async (query) => {
      expect(await byUrl(url + query)).toMatchObject({ status: 200, body: shape(60, 40) })
      expect(await byRawUrl(url + query)).toMatchObject({ status: 200, body: shape(60, 40) })
    },
  )

  it('with a transformation is that of the transformed image', async () => {
    for (const text of ['w-30', 'w-30,f-jpg', 'rt-90,f-webp']) {
      const [pathForm, queryForm] = [url.replace('/demo/', `/demo/tr:${text}/`), `${url}?tr=${text}`]
      const delivered = await fetch(queryForm)
      const sizeBytes = (await delivered.arrayBuffer()).byteLength
      const format = delivered.headers.get('content-type')!.replace('image/', '').replace('jpeg', 'jpg')
      for (const form of [pathForm, queryForm]) {
        const answer = await byUrl(form)
        const [width, height] = text.startsWith('rt') ? [40, 60] : [30, 20]
        expect(answer).toMatchObject({ status: 200, body: { width, height, format, size: sizeBytes } })
        expect((await byRawUrl(form)).body).toEqual(answer.body)
      }
    }
  })

  it('recovers a query that an older SDK spills into the parameters', async () => {
    const answer = await byRawUrl(`${url}?updatedAt=5&tr=w-20&ik-attachment=true`)
    expect(answer).toMatchObject({ status: 200, body: { width: 20 } })
    const first = await call(tintype, 'GET', `/v1/metadata?other=1&url=${url}?x=1&tr=w-10`)
    expect(first).toMatchObject({ status: 200, body: { width: 10 } })
    // A URL without a query of its own ends where the next parameter begins.
    const ended = await call(tintype, 'GET', `/v1/metadata?url=${url}&tr=w-10`)
    expect(ended).toMatchObject({ status: 200, body: { width: 60 } })
  })

  it('of an old version is that of the old version', async () => {
    const { fileId } = await put(tintype, '/urls/versions.png', png(11, 10, 1))
    await put(tintype, '/urls/versions.png', png(22, 10, 2))
    const versions = (await call(tintype, 'GET', `/v1/files/${fileId}/versions`)).body
    expect((await byUrl(versions[0].url)).body.width).toBe(22)
    expect((await byUrl(versions[1].url)).body.width).toBe(11)
    expect((await byUrl(`${versions[1].url}&tr=w-5`)).body.width).toBe(5)
  })

  it('of a private file needs the key only; a draft has no URL', async () => {
    const secret = await put(tintype, '/urls/secret.png', png(33, 30, 4), { isPrivateFile: 'true' })
    expect((await fetch(secret.url)).status).toBe(401)
    expect((await byUrl(secret.url)).body.width).toBe(33)
    expect((await byUrl(`${secret.url}?tr=w-11`)).body.width).toBe(11)
    expect((await fetch(`${secret.url}?tr=w-11`)).status).toBe(401)
    const signature = createHmac('sha1', TEST_KEYS.privateKey)
      .update('urls/secret.png9999999999')
      .digest('hex')
    expect((await byRawUrl(`${secret.url}?ik-s=${signature}`)).body.width).toBe(33)
    const draft = await put(tintype, '/urls/draft.png', png(33, 30, 4), { isPublished: 'false' })
    expect(await byUrl(draft.url)).toMatchObject({ status: 404, body: { message: INACCESSIBLE } })
  })

  it.each([
    ['a host of others', () => 'https://example.com/demo/a.png'],
    ['the original service', () => 'https://ik.imagekit.io/demo/a.png'],
    ['an address of the inner network', () => 'http://169.254.169.254/latest/meta-data/'],
    ['a file', () => 'file:///etc/passwd'],
    ['no URL', () => 'hello'],
    ['a path only', () => '/demo/a.png'],
    ['another account', () => `${tintype.url}/other/a.png`],
    ['a name that begins like the account', () => `${tintype.url}/demonstration/a.png`],
    ['the API', () => `${tintype.url}/v1/files`],
    ['our name as a user', () => `http://${new URL(tintype.url).host}@example.com/demo/a.png`],
    ['our name as the beginning of another', () => `${tintype.url}.example.com/demo/a.png`],
    ['dots that lead out', () => `${tintype.url}/demo/../v1/files`],
  ])('refuses %s', async (_, foreign) => {
    for (const request of [byUrl, byRawUrl]) {
      expect(await request(foreign())).toMatchObject({ status: 400, body: { message: FOREIGN, help: HELP } })
    }
  })

  it('refuses nothing at all', async () => {
    for (const query of ['', '?url=', '?other=1']) {
      const answer = await call(tintype, 'GET', `/v1/metadata${query}`)
      expect(answer).toMatchObject({ status: 400, body: { message: FOREIGN } })
    }
  })

  it('tells what is missing or wrong', async () => {
    expect(await byUrl(`${tintype.url}/demo/none.png`)).toMatchObject({
      status: 404,
      body: { message: INACCESSIBLE, help: HELP },
    })
    expect((await byUrl(`${url}?tr=w-abc`)).status).toBe(400)
    expect((await byUrl(`${tintype.url}/demo/%E0%A4%A`)).status).toBe(400)
    expect((await call(tintype, 'GET', `/v1/metadata?url=${url}`, undefined, null)).status).toBe(401)
  })

  it('leaves nothing behind of the images that it looked at', async () => {
    const before = (await readdir(tintype.dataDir, { recursive: true })).length
    for (let i = 0; i < 3; i += 1) expect((await byUrl(`${url}?tr=w-30`)).status).toBe(200)
    expect((await readdir(tintype.dataDir, { recursive: true })).length).toBe(before)
  })
})

describe.runIf(fixturesDir)('perceptual hashes', () => {
  const distance = (a: string, b: string) => {
    let bits = BigInt(`0x${a}`) ^ BigInt(`0x${b}`)
    let count = 0
    for (; bits > 0n; bits >>= 1n) count += Number(bits & 1n)
    return count
  }

  it('are near for a resized copy and far for another picture', async () => {
    const china = await put(tintype, '/hash/china.jpg', await readFile(fixture('photos/china.jpg')))
    const other = await put(tintype, '/hash/leaves.jpg', await readFile(fixture('photos/leaves.jpg')))
    const original = (await byId(china.fileId)).body.pHash
    const small = (await byUrl(`${china.url}?tr=w-300,f-webp`)).body.pHash
    const different = (await byId(other.fileId)).body.pHash
    expect(distance(original, small)).toBeLessThanOrEqual(4)
    expect(distance(original, different)).toBeGreaterThan(12)
  })

  it('come with the EXIF tree of the original, which a transformed copy has lost', async () => {
    const file = await put(tintype, '/hash/rich.jpg', await readFile(fixture('metadata/rich.jpg')))
    expect((await byId(file.fileId)).body.exif.image.Make).toBe('Tintype')
    expect((await byUrl(file.url)).body).toEqual((await byId(file.fileId)).body)
    expect((await byUrl(`${file.url}?tr=w-100`)).body.exif.image).toEqual({})
  })
})

describe.runIf(fixturesDir)('metadata of real files', () => {
  const of = async (path: string) => {
    const name = path.split('/').pop()!
    const file = await put(tintype, `/real/${name}`, await readFile(fixture(path)))
    return { size: file.size as number, answer: await byId(file.fileId) }
  }

  it('tells the streams of a video', async () => {
    const { size, answer } = await of('video/film-720p-h264.mp4')
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      size,
      format: 'mp4',
      width: 1280,
      height: 720,
      duration: expect.any(Number),
      bitRate: expect.any(Number),
      videoCodec: 'h264',
      audioCodec: 'aac',
    })
  })

  it('tells what can be told of a picture that breaks off', async () => {
    const { size, answer } = await of('corrupt/cut-in-half.jpg')
    expect(answer).toMatchObject({ status: 200, body: { size, format: 'jpg', width: expect.any(Number) } })
  })
})
