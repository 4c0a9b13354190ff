import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { type Received, type Service, startService } from '../support/providers/service.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype
let receiver: Service
beforeEach(async () => {
  receiver = await startService(() => ({ status: 200 }))
  tintype = await startTintype()
})
afterEach(async () => {
  await tintype.stop()
  await receiver.close()
})

const uploadWith = (transformation: unknown, fields: Record<string, string> = {}, bytes = png(40, 20)) =>
  upload(tintype, bytes, {
    fileName: 'a.png',
    useUniqueFileName: 'false',
    transformation: typeof transformation === 'string' ? transformation : JSON.stringify(transformation),
    ...fields,
  })
const subscribe = () =>
  call(tintype, 'POST', '/v1/webhooks', {
    url: receiver.url,
    events: [
      'upload.pre-transform.success',
      'upload.pre-transform.error',
      'upload.post-transform.success',
      'upload.post-transform.error',
    ],
  })
const bodyOf = (request: Received) => JSON.parse(request.body.toString('utf8'))
const received = async (count: number) => {
  await expect.poll(() => receiver.requests.length, { timeout: 10_000 }).toBe(count)
  return receiver.requests.map(bodyOf)
}
const INVALID = 'The file could not be uploaded because the transformation field is invalid.'

describe('a pre-transformation', () => {
  it('is what is stored', async () => {
    await subscribe()
    const { status, headers, body } = await uploadWith({ pre: 'w-10' })
    expect(status).toBe(200)
    expect(body).toMatchObject({ name: 'a.png', width: 10, height: 5, filePath: '/a.png' })
    const stored = await fetch(`${tintype.url}/demo/a.png?tr=orig-true`)
    const bytes = Buffer.from(await stored.arrayBuffer())
    expect(bytes.length).toBe(body.size)
    expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20)]).toEqual([10, 5])
    const [event] = await received(1)
    expect(event).toMatchObject({
      type: 'upload.pre-transform.success',
      request: { x_request_id: headers.get('x-ik-requestid'), transformation: 'w-10' },
      data: { fileId: body.fileId, url: body.url, thumbnailUrl: body.thumbnailUrl, width: 10, AITags: null },
    })
  })

  it('changes the extension of the name with the format', async () => {
    const { body } = await uploadWith({ pre: 'w-10,f-webp' })
    expect(body).toMatchObject({ name: 'a.webp', filePath: '/a.webp' })
    expect((await fetch(`${tintype.url}/demo/a.webp?tr=orig-true`)).headers.get('content-type')).toBe(
      'image/webp',
    )
    const same = await uploadWith({ pre: 'w-10,f-jpg' }, { fileName: 'a.jpeg' })
    expect(same.body.name).toBe('a.jpeg')
  })

  it('may use named transformations and layers of the library', async () => {
    await put(tintype, '/logo.png', png(4, 4, 0xff0000))
    await call(tintype, 'POST', '/v1/named-transformations', { name: 'small', transformation: 'tr:w-8,h-8' })
    expect((await uploadWith({ pre: 'n-small:l-image,i-logo.png,l-end' })).body).toMatchObject({
      width: 8,
      height: 8,
    })
    const missing = await uploadWith({ pre: 'l-image,i-none.png,l-end' })
    expect(missing).toMatchObject({
      status: 400,
      body: { message: 'The file of a layer does not exist: none.png' },
    })
    await put(tintype, '/secret.png', png(4, 4), { isPrivateFile: 'true' })
    expect((await uploadWith({ pre: 'l-image,i-secret.png,l-end' })).status).toBe(400)
  })

  it('comes before the checks', async () => {
    const passed = await uploadWith({ pre: 'w-10' }, { checks: '"mediaMetadata.width" <= 10' })
    expect(passed.status).toBe(200)
    const failed = await uploadWith(
      { pre: 'w-10' },
      { checks: '"mediaMetadata.width" > 10', fileName: 'b.png' },
    )
    expect(failed).toMatchObject({
      status: 400,
      body: { message: "Your request failed 'checks' validation." },
    })
  })

  it('that fails stores nothing and is told', async () => {
    await subscribe()
    const broken = Buffer.concat([png(40, 20).subarray(0, 45), Buffer.alloc(60, 7)])
    const { status, headers } = await uploadWith({ pre: 'w-10' }, { folder: '/in' }, broken)
    expect(status).toBe(400)
    expect((await call(tintype, 'GET', '/v1/files')).body).toEqual([])
    expect((await received(1))[0]).toMatchObject({
      type: 'upload.pre-transform.error',
      request: { x_request_id: headers.get('x-ik-requestid'), transformation: 'w-10' },
      data: { name: 'a.png', path: '/in/a.png', transformation: { error: { reason: 'encoding_failed' } } },
    })
  })
})

describe('post-transformations', () => {
  it('are made in the background, each with its event, and are there at its URL', async () => {
    await subscribe()
    const { body, headers } = await uploadWith({
      post: [
        { type: 'transformation', value: 'w-10' },
        { type: 'transformation', value: 'l-text,i-Hi there & more,fs-9,l-end' },
      ],
    })
    const events = await received(2)
    for (const event of events) {
      expect(event).toMatchObject({
        type: 'upload.post-transform.success',
        request: { x_request_id: headers.get('x-ik-requestid') },
        data: { fileId: body.fileId, name: 'a.png' },
      })
      for (const accept of ['image/webp,*/*', '*/*']) {
        const answer = await fetch(event.data.url, { headers: { accept } })
        expect([answer.status, answer.headers.get('x-tintype-cache')]).toEqual([200, 'hit'])
      }
    }
    expect(events.map((event) => event.data.url).sort()).toEqual([
      `${tintype.url}/demo/a.png?tr=l-text,i-Hi%20there%20%26%20more,fs-9,l-end`,
      `${tintype.url}/demo/a.png?tr=w-10`,
    ])
  })

  it('that fail are told too, and leave the file', async () => {
    await subscribe()
    const { status, body } = await uploadWith({
      post: [{ type: 'transformation', value: 'l-image,i-none.png,l-end' }],
    })
    expect(status).toBe(200)
    expect((await received(1))[0]).toMatchObject({
      type: 'upload.post-transform.error',
      request: { transformation: { type: 'transformation', value: 'l-image,i-none.png,l-end' } },
      data: { fileId: body.fileId, path: '/a.png', transformation: { error: { reason: 'download_failed' } } },
    })
  })

  it('may come as JSON text within the JSON, as the manual writes it', async () => {
    await subscribe()
    const { status } = await uploadWith({ post: JSON.stringify([{ type: 'transformation', value: 'w-9' }]) })
    expect(status).toBe(200)
    await received(1)
  })
})

describe('what cannot be done', () => {
  it.each([
    ['no JSON', '{'],
    ['no object', '[1]'],
    ['an unknown member', { pree: 'w-1' }],
    ['a pre that is no string', { pre: 1 }],
    ['a pre that cannot be parsed', { pre: 'w-wide' }],
    ['a post that is no list', { post: { type: 'transformation' } }],
    ['an unknown type', { post: [{ type: 'magic' }] }],
    ['no value', { post: [{ type: 'transformation' }] }],
    ['a value that cannot be parsed', { post: [{ type: 'transformation', value: 'q-nice' }] }],
    ['no protocol', { post: [{ type: 'abs', value: '240' }] }],
    [
      'a protocol where there is none',
      { post: [{ type: 'transformation', value: 'w-10', protocol: 'hls' }] },
    ],
    ['too much', { post: Array(21).fill({ type: 'transformation', value: 'w-10' }) }],
  ])('is refused: %s', async (_, transformation) => {
    const answer = await uploadWith(transformation)
    expect(answer.status).toBe(400)
    expect(answer.body.message).toBe(INVALID)
    expect((await call(tintype, 'GET', '/v1/files')).body).toEqual([])
  })

  it('names the place', async () => {
    const answer = await uploadWith({
      post: [
        { type: 'transformation', value: 'w-10' },
        { type: 'transformation', value: 'q-nice' },
      ],
    })
    expect(answer.body.errors).toEqual({ 'post[1].value': expect.stringContaining('q') })
  })

  it('depends on the type of the file', async () => {
    const text = await uploadWith({ pre: 'w-10' }, {}, Buffer.from('just text'))
    expect(text).toMatchObject({
      status: 400,
      body: {
        message:
          'The file could not be uploaded because transformations are supported only for image and video files.',
      },
    })
    for (const post of [
      { type: 'thumbnail' },
      { type: 'gif-to-video' },
      { type: 'abs', value: '240_360', protocol: 'dash' },
    ]) {
      expect(await uploadWith({ post: [post] })).toMatchObject({
        status: 400,
        body: {
          message:
            'The file could not be uploaded because the detected file type & post-transformation are incompatible.',
        },
      })
    }
  })

  it('is said of videos, as long as they cannot be made', async () => {
    const gif = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
    const answer = await uploadWith({ post: [{ type: 'gif-to-video' }] }, { fileName: 'a.gif' }, gif)
    expect(answer).toMatchObject({
      status: 501,
      body: { message: 'This server cannot transform or make videos yet.' },
    })
  })

  it('is nothing where nothing is asked for', async () => {
    for (const transformation of ['', '{}', '{"pre":"","post":[]}', 'undefined']) {
      expect((await uploadWith(transformation)).body).toMatchObject({ width: 40 })
    }
  })
})
