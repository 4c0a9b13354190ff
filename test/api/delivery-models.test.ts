import sharp from 'sharp'
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest'
import { call } from '../support/api.ts'
import { REMOVE_BG_KEY, startRemoveBg } from '../support/providers/remove-bg.ts'
import { type Received, type Reply, type Service, startService } from '../support/providers/service.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

type Asked = {
  operation: string
  parameters: Record<string, unknown>
  image: { mime: string; width: number; height: number; data: string }
}

let tintype: TestTintype
let service: Service
let clockMs = Date.parse('2026-06-01T00:00:00Z')
let answer: (asked: Asked) => Reply | Promise<Reply>
/** Lets pictures pass that are held back. */
let release: (() => void) | undefined

/** A model: what it makes is a picture of one colour, of the size that it was given. */
const painted = async ({ image }: Asked, background = '#00ff00'): Promise<Reply> => {
  const picture = sharp({
    create: { width: image.width, height: image.height, channels: 4, background },
  })
  return { body: { image: { data: (await picture.png().toBuffer()).toString('base64') } } }
}

beforeAll(async () => {
  service = await startService((request: Received) => answer(JSON.parse(request.body.toString())))
  tintype = await startTintype({
    clock: { now: () => clockMs },
    env: {
      TINTYPE_DELIVERY_MODELS_URL: `${service.url}/model`,
      TINTYPE_DELIVERY_MODELS_TOKEN: 'token-of-the-model',
      TINTYPE_DELIVERY_MODELS_WAIT_MS: '20000',
      TINTYPE_DELIVERY_MODELS_OPERATIONS: 'bgremove,changebg,genfill,detect',
    },
  })
  const photo = await sharp({ create: { width: 400, height: 300, channels: 3, background: '#ff0000' } })
    .composite([
      {
        input: { create: { width: 40, height: 40, channels: 3, background: '#0000ff' } },
        left: 20,
        top: 200,
      },
    ])
    .png()
    .toBuffer()
  for (const fileName of ['photo.png', 'other.png', 'secret.png']) {
    await upload(tintype, photo, {
      fileName,
      useUniqueFileName: 'false',
      isPrivateFile: String(fileName === 'secret.png'),
    })
  }
})
afterEach(() => {
  release?.()
  release = undefined
  service.requests.length = 0
})
afterAll(async () => {
  await tintype.stop()
  await service.close()
})

const get = async (path: string) => {
  const response = await fetch(`${tintype.url}/demo/${path}`)
  return {
    status: response.status,
    headers: response.headers,
    body: Buffer.from(await response.arrayBuffer()),
  }
}
const look = async (path: string) => {
  const { status, body } = await get(path)
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`)
  const { width, height } = await sharp(body).metadata()
  const { data } = await sharp(body)
    .resize(1, 1, { fit: 'fill' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { size: `${width}x${height}`, color: [...data] }
}

describe('what needs a model', () => {
  it('is done by the configured server, between what comes before and after', async () => {
    answer = (asked) => painted(asked)
    expect(await look('photo.png?tr=w-40,h-30:e-bgremove:rt-90')).toEqual({
      size: '30x40',
      color: [0, 255, 0, 255],
    })
    expect(service.requests).toHaveLength(1)
    const [{ headers, body }] = service.requests as [Received]
    expect(headers.authorization).toBe('Bearer token-of-the-model')
    const asked = JSON.parse(body.toString()) as Asked
    expect(asked).toMatchObject({
      operation: 'bgremove',
      parameters: {},
      image: { mime: 'image/png', width: 40, height: 30 },
    })
    const seen = await sharp(Buffer.from(asked.image.data, 'base64')).metadata()
    expect([seen.width, seen.height]).toEqual([40, 30])
  })
  it('is asked for once, also for what differs only afterwards', async () => {
    answer = (asked) => painted(asked)
    await look('photo.png?tr=e-changebg-prompt-snow')
    expect((await get('photo.png?tr=e-changebg-prompt-snow')).headers.get('x-tintype-cache')).toBe('hit')
    expect((await look('photo.png?tr=e-changebg-prompt-snow:w-10')).size).toBe('10x8')
    expect(service.requests).toHaveLength(1)
    await look('photo.png?tr=e-changebg-prompt-rain')
    expect(service.requests).toHaveLength(2)
    expect(JSON.parse(service.requests[1]!.body.toString()).parameters).toEqual({ prompt: 'rain' })
  })
  it('keeps what is transparent', async () => {
    answer = (asked) => painted(asked, '#00ff0080')
    const { body, headers } = await get('other.png?tr=e-bgremove')
    expect(headers.get('content-type')).toBe('image/png')
    expect((await sharp(body).metadata()).hasAlpha).toBe(true)
  })
  it('fills what padding leaves', async () => {
    answer = async (asked) => {
      const { data } = await sharp(Buffer.from(asked.image.data, 'base64'))
        .raw()
        .toBuffer({ resolveWithObject: true })
      // The edges are to be filled: they are clear.
      expect(data[3]).toBe(0)
      return painted(asked)
    }
    expect(await look('photo.png?tr=w-200,h-400,cm-pad_resize,bg-genfill-prompt-sky')).toEqual({
      size: '200x400',
      color: [0, 255, 0, 255],
    })
    expect(JSON.parse(service.requests[0]!.body.toString()).parameters).toEqual({ prompt: 'sky' })
  })
  it('finds objects to focus on', async () => {
    answer = ({ operation, parameters }) => {
      expect([operation, parameters]).toEqual(['detect', { objects: ['cat'] }])
      return { body: { objects: [{ x: 20, y: 200, width: 40, height: 40 }] } }
    }
    expect(await look('photo.png?tr=fo-cat')).toEqual({ size: '40x40', color: [0, 0, 255, 255] })
    expect(await look('photo.png?tr=w-80,h-80,fo-cat')).toMatchObject({ size: '80x80' })
    expect(service.requests).toHaveLength(1)
  })
  it('works in layers', async () => {
    answer = (asked) => painted(asked)
    const { body } = await get('photo.png?tr=l-image,i-other.png,w-100,t-false,lx-0,ly-0:e-bgremove,l-end')
    const { data } = await sharp(body)
      .extract({ left: 50, top: 30, width: 1, height: 1 })
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect([...data.subarray(0, 3)]).toEqual([0, 255, 0])
    expect((await get('photo.png?tr=l-image,i-secret.png,e-bgremove,l-end')).status).toBe(404)
  })
})

describe('a model that takes its time', () => {
  it('is answered for with a page that says to come back, until the picture is there', async () => {
    const slow = await startTintype({
      env: {
        TINTYPE_DELIVERY_MODELS_URL: `${service.url}/model`,
        TINTYPE_DELIVERY_MODELS_WAIT_MS: '0',
      },
    })
    try {
      const photo = await sharp({ create: { width: 40, height: 30, channels: 3, background: 'red' } })
        .png()
        .toBuffer()
      await upload(slow, photo, { fileName: 'photo.png', useUniqueFileName: 'false' })
      const held = new Promise<void>((pass) => {
        release = pass
      })
      answer = async (asked) => {
        await held
        return painted(asked)
      }
      const url = `${slow.url}/demo/photo.png?tr=e-retouch`
      for (let count = 0; count < 3; count++) {
        const response = await fetch(url, { method: count === 1 ? 'HEAD' : 'GET' })
        expect(response.status).toBe(200)
        expect(response.headers.get('is-intermediate-response')).toBe('true')
        expect(response.headers.get('content-type')).toContain('text/html')
        expect(response.headers.get('cache-control')).toBe('no-store')
        await response.arrayBuffer()
      }
      release?.()
      await expect
        .poll(async () => (await fetch(url)).headers.get('content-type'), { timeout: 20_000 })
        .toMatch(/^image\//)
      const done = await fetch(url)
      expect(done.headers.get('is-intermediate-response')).toBeNull()
      await done.arrayBuffer()
      expect(service.requests).toHaveLength(1)
    } finally {
      await slow.stop()
    }
  })
})

describe('failures', () => {
  it('are told, and kept for a while', async () => {
    answer = () => ({ status: 422, body: { message: 'There is no foreground in the picture.' } })
    const path = 'photo.png?tr=w-77:e-bgremove'
    const refused = await get(path)
    expect([refused.status, JSON.parse(refused.body.toString()).message]).toEqual([
      400,
      'There is no foreground in the picture.',
    ])
    await get(path)
    expect(service.requests).toHaveLength(1)
    clockMs += 60_000
    answer = (asked) => painted(asked)
    expect((await look(path)).size).toBe('77x58')
  })
  it.each<[string, Reply]>([
    ['an error', { status: 500, body: { message: 'the key is wrong: sk-123' } }],
    ['no JSON', { body: 'nothing' }],
    ['another answer', { body: { objects: [] } }],
    ['a cut connection', (response) => response.destroy()],
  ])('of the model do not show what it said: %s', async (name, reply) => {
    answer = () => reply
    const answered = await get(`photo.png?tr=w-${50 + name.length}:e-bgremove`)
    expect(answered.status).toBe(503)
    expect(answered.body.toString()).not.toContain('sk-123')
  })
  it('of pictures that are none', async () => {
    answer = () => ({ body: { image: { data: Buffer.from('<script>').toString('base64') } } })
    expect((await get('photo.png?tr=w-41:e-bgremove')).status).toBe(400)
  })
  it('where nobody is set up', async () => {
    for (const tr of [
      'e-upscale',
      'e-removedotbg',
      'e-edit-prompt-x',
      'l-image,i-other.png,e-dropshadow,l-end',
    ]) {
      const answered = await get(`photo.png?tr=${tr}`)
      expect(answered.status, tr).toBe(501)
      expect(JSON.parse(answered.body.toString())).toMatchObject({ reason: 'PROVIDER_MISSING' })
      expect(answered.headers.get('ik-error')).toContain('needs an AI provider')
    }
    expect(service.requests).toHaveLength(0)
  })
  it('waits behind a condition until the size is known that it depends on', async () => {
    answer = (asked) => painted(asked)
    expect((await look('photo.png?tr=w-332:if-w_gt_300,e-bgremove,if-else,w-7,if-end')).size).toBe('332x249')
    expect(service.requests).toHaveLength(1)
    expect((await look('photo.png?tr=w-332:if-w_gt_500,e-bgremove,if-else,w-8,if-end')).size).toBe('8x6')
    expect((await look('photo.png?tr=w-60:if-w_lt_100,e-bgremove,if-end:w-20')).size).toBe('20x15')
    expect((await look('photo.png?tr=w-332:e-bgremove:if-w_gt_300,w-9,if-end')).size).toBe('9x7')
    expect(service.requests).toHaveLength(2)
    const trimmed = await get('photo.png?tr=t-true:if-w_gt_300,e-bgremove,if-end')
    expect([trimmed.status, trimmed.body.toString()]).toEqual([
      501,
      expect.stringContaining('Behind trimming'),
    ])
    expect((await get('photo.png?tr=if-w_gt_300,e-upscale,if-end')).status).toBe(501)
    expect((await get('photo.png?tr=if-w_gt_500,e-upscale,if-else,w-5,if-end')).status).toBe(200)
  })
  it('is explained without being asked for', async () => {
    const explain = async (tr: string) => {
      const path = `/v1/transformations/explain?path=/photo.png&tr=${encodeURIComponent(tr)}`
      const { status, body } = await call(tintype, 'GET', path)
      return {
        status,
        kinds: body.steps?.map((step: { kind: string }[]) => step.map(({ kind }) => kind)),
        ...body,
      }
    }
    expect(await explain('w-40,h-30:e-bgremove:rt-90')).toMatchObject({
      kinds: [['geometry'], ['model'], ['rotate']],
      output: { width: 30, height: 40, exactSize: false },
    })
    const focused = await explain('w-100,h-50,fo-face')
    expect(focused).toMatchObject({
      kinds: [['model'], ['geometry']],
      output: { width: 100, height: 50, exactSize: true },
    })
    expect(focused.steps[0]).toEqual([
      { kind: 'model', operation: 'detect', parameters: { objects: ['face'] }, provider: expect.any(String) },
    ])
    expect((await explain('if-w_gt_300,e-bgremove,if-else,w-7,if-end')).kinds).toEqual([['model']])
    expect((await explain('if-w_gt_500,e-bgremove,if-else,w-7,if-end')).output).toMatchObject({
      width: 7,
      exactSize: true,
    })
    for (const tr of ['e-upscale', 'l-image,i-other.png,e-upscale,l-end']) {
      expect(await explain(tr), tr).toMatchObject({ status: 501, reason: 'PROVIDER_MISSING' })
    }
    expect(service.requests).toHaveLength(0)
  })
  it('private files stay private', async () => {
    expect((await get('secret.png?tr=e-bgremove')).status).toBe(401)
    expect(service.requests).toHaveLength(0)
  })
})

test('whoever cuts out uploads does it for URLs', async () => {
  const removeBg = await startRemoveBg()
  const other = await startTintype({
    env: {
      TINTYPE_REMOVE_BG_API_KEY: REMOVE_BG_KEY,
      TINTYPE_REMOVE_BG_ENDPOINT: removeBg.url,
      TINTYPE_DELIVERY_MODELS_WAIT_MS: '20000',
    },
  })
  try {
    const photo = await sharp({ create: { width: 40, height: 30, channels: 3, background: 'red' } })
      .png()
      .toBuffer()
    await upload(other, photo, { fileName: 'photo.png', useUniqueFileName: 'false' })
    for (const tr of ['e-removedotbg', 'e-bgremove', 'e-removedotbg:w-3']) {
      const response = await fetch(`${other.url}/demo/photo.png?tr=${tr}`)
      const { width } = await sharp(Buffer.from(await response.arrayBuffer())).metadata()
      expect([response.status, width], tr).toEqual([200, tr.endsWith('w-3') ? 3 : 6])
    }
    expect(removeBg.requests).toHaveLength(2)
    const upscale = await fetch(`${other.url}/demo/photo.png?tr=e-upscale`)
    expect(upscale.status).toBe(501)
  } finally {
    await other.stop()
    await removeBg.close()
  }
})
