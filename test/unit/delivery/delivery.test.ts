import { createHash, createHmac } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import sharp from 'sharp'
import { Default } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BlobOptions, type Blobs, blobOptions, openBlobs } from '../../../src/blobs/blobs.ts'
import {
  createDelivery,
  type Delivery,
  type DeliveryOptions,
  deliveryOptions,
} from '../../../src/delivery/delivery.ts'
import type { TintypeError } from '../../../src/kernel/errors.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { signUrl } from '../../../src/signing/signing.ts'
import {
  type NewVersion,
  openStore,
  type Store,
  type StoreOptions,
  storeOptions,
} from '../../../src/store/store.ts'
import {
  createRenderer,
  type Renderer,
  type TransformOptions,
  transformOptions,
} from '../../../src/transform/transform.ts'
import { newVersion } from '../../contract/uploads.ts'

const KEY = 'private_key_of_the_tests_that_is_long_enough'
const NOW = Date.parse('2026-06-01T00:00:00Z')

const NAMES = new Map([
  ['banner', 'tr:w-60,h-30'],
  ['framed', 'n-banner:b-5_red'],
  ['loop', 'n-loop'],
  ['bad', 'w-x'],
  ['off', 'w-5'],
])

let dir: string
let blobs: Blobs
let store: Store
let renderer: Renderer
let delivery: Delivery
let renders = 0

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tintype-delivery-'))
  blobs = await openBlobs(
    { ...(Default(blobOptions, { driver: 'disk' }) as BlobOptions), dataDir: dir },
    { log: silentLog },
  )
  store = await openStore(
    { ...(Default(storeOptions, {}) as StoreOptions), file: join(dir, 'db') },
    { log: silentLog },
  )
  const real = createRenderer(Default(transformOptions, {}) as TransformOptions, { log: silentLog })
  renderer = {
    ...real,
    render(request) {
      renders++
      return real.render(request)
    },
  }
  for (const [name, transformation] of NAMES) {
    const body = { name, transformation, enabled: name !== 'off' }
    await store.documents.add({ kind: 'named-transformation', id: name, uniqueName: name, body }, NOW)
  }
  delivery = await open()
  const photo = await sharp({ create: { width: 300, height: 200, channels: 3, background: '#336699' } })
    .jpeg()
    .toBuffer()
  const logo = await sharp({ create: { width: 40, height: 20, channels: 4, background: '#ff0000' } })
    .png()
    .toBuffer()
  const image = { mime: 'image/jpeg', format: 'jpg', widthPx: 300, heightPx: 200 }
  await add('/', 'photo.jpg', photo, image)
  await add('/shop', 'logo.png', logo, {
    mime: 'image/png',
    format: 'png',
    widthPx: 40,
    heightPx: 20,
    hasAlpha: true,
  })
  await add('/', 'secret.jpg', photo, { ...image, isPrivate: true })
  await add('/', 'draft.jpg', photo, { ...image, isPublished: false })
  await add('/', 'broken.jpg', Buffer.from('ffd8ffe000104a46494600010100', 'hex'), image)
  await add('/', 'note.txt', Buffer.from('a note'), {
    mime: 'text/plain',
    format: 'txt',
    fileType: 'non-image',
    widthPx: null,
    heightPx: null,
  })
  await add('/', 'icon.svg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4"/>'), {
    mime: 'image/svg+xml',
    format: 'svg',
    widthPx: 8,
    heightPx: 4,
  })
  await add('/', 'clip.mp4', Buffer.from('....'), { mime: 'video/mp4', format: 'mp4', fileType: 'non-image' })
})
afterAll(async () => {
  await renderer.close()
  await store.close()
  await blobs.close()
  await rm(dir, { recursive: true, force: true })
})

function open(options: Partial<DeliveryOptions> = {}) {
  return createDelivery(
    {
      ...(Default(deliveryOptions, { models: {} }) as DeliveryOptions),
      cacheDir: join(dir, 'cache', createHash('sha1').update(JSON.stringify(options)).digest('hex')),
      ...options,
    },
    {
      store,
      blobs,
      renderer,
      account: { id: 'demo', activeKeys: async () => [{ privateKey: KEY }] },
      clock: { now: () => NOW },
      log: silentLog,
      signing: { uploadSkewSec: 30, oldUrlSigningKeys: [], urlSkewSec: 60 },
    },
  )
}

async function add(folder: string, name: string, bytes: Buffer, changes: Partial<NewVersion>) {
  const writer = blobs.stage({ maxBytes: () => 1e9 })
  await writer.write(bytes)
  const staged = await writer.finish()
  await blobs.commit(staged)
  await store.transaction(async (tx) => {
    const { folderId } = await tx.folders.ensure(folder, NOW, () =>
      createHash('md5').update(folder).digest('hex').slice(0, 24),
    )
    await tx.files.addVersion(
      newVersion(folderId, name, {
        blob: staged.sha256,
        sizeBytes: bytes.length,
        updatedAtMs: NOW,
        ...changes,
      }),
    )
  })
}

const get = (target: string, headers: Record<string, string> = {}) => delivery.deliver({ target, headers })
const pictureOf = async (target: string, headers: Record<string, string> = {}) =>
  sharp(await (await get(target, headers)).readAll()).metadata()
const failure = async (target: string) => {
  const error = await get(target).then(
    () => undefined,
    (thrown: TintypeError) => thrown,
  )
  if (!error) throw new Error(`${target} did not fail`)
  expect(error.headers?.['ik-error']).toMatch(/ - /)
  return error.kind
}
const signed = (path: string, expiresAtSec?: number) =>
  signUrl({
    url: `https://example.com/demo/${path}`,
    urlEndpoint: 'https://example.com/demo',
    privateKey: KEY,
    ...(expiresAtSec === undefined ? {} : { expiresAtSec }),
  }).slice('https://example.com'.length)

describe('originals', () => {
  test('come as they are, whatever has no effect on them', async () => {
    const plain = await get('/demo/photo.jpg')
    expect(plain).toMatchObject({
      contentType: 'image/jpeg',
      sizeBytes: plain.sizeBytes,
      lastModifiedMs: NOW,
    })
    expect(plain.headers['cache-control']).toBe('public, max-age=3600')
    for (const target of [
      '/demo/photo.jpg?updatedAt=5',
      '/demo/photo.jpg?tr=orig-true,w-5',
      '/demo/tr:orig/photo.jpg',
      '/demo/photo.jpg?tr=',
    ]) {
      expect((await get(target)).etag, target).toBe(plain.etag)
    }
    expect(await text(await (await get('/demo/note.txt')).open({ start: 2, end: 5 }))).toBe('note')
    expect((await get('/demo/note.txt?tr=w-100')).contentType).toBe('text/plain; charset=utf-8')
    expect((await get('/demo/icon.svg?tr=w-100')).contentType).toContain('svg')
  })
  test('SVG becomes pixels when a raster format is asked for', async () => {
    expect(await pictureOf('/demo/icon.svg?tr=w-100,f-png')).toMatchObject({
      width: 100,
      height: 50,
      format: 'png',
    })
  })
  test('small files that are asked for again come from memory', async () => {
    await (await get('/demo/note.txt')).readAll()
    expect((await get('/demo/note.txt')).fromMemory()?.toString()).toBe('a note')
  })
})

describe('derivatives', () => {
  test('path and query give the same, and equivalent texts are rendered once', async () => {
    const before = renders
    const first = await get('/demo/tr:w-50,h-40/photo.jpg')
    for (const target of [
      '/demo/photo.jpg?tr=w-50,h-40',
      '/demo/photo.jpg?tr=h-40,w-50',
      '/demo/photo.jpg?tr=h-40%2Cw-50&x=y',
      '/demo/tr:w-50.0,h-40/photo.jpg',
    ]) {
      const again = await get(target)
      expect(again.etag, target).toBe(first.etag)
      expect(again.headers['x-tintype-cache']).toBe('hit')
    }
    expect(renders).toBe(before + 1)
    expect(await pictureOf('/demo/tr:w-50,h-40/photo.jpg')).toMatchObject({
      width: 50,
      height: 40,
      format: 'jpeg',
    })
  })
  test('a herd is rendered once', async () => {
    const before = renders
    const all = await Promise.all(Array.from({ length: 30 }, () => get('/demo/photo.jpg?tr=w-77')))
    expect(new Set(all.map(({ etag }) => etag)).size).toBe(1)
    expect(renders).toBe(before + 1)
  })
  test('the format follows Accept, with Vary', async () => {
    const webp = await get('/demo/photo.jpg?tr=w-30', { accept: 'image/webp,*/*' })
    expect(webp.contentType).toBe('image/webp')
    expect(webp.headers.vary).toBe('Accept')
    expect((await get('/demo/photo.jpg?tr=w-30')).contentType).toBe('image/jpeg')
    const fixed = await get('/demo/photo.jpg?tr=w-30,f-png', { accept: 'image/webp' })
    expect(fixed.contentType).toBe('image/png')
    expect(fixed.headers.vary).toBeUndefined()
    expect((await get('/demo/photo.jpg?tr=r-max')).contentType).toBe('image/png')
    expect((await get('/demo/photo.jpg?tr=r-max,bg-white')).contentType).toBe('image/jpeg')
  })
  test('client hints', async () => {
    const hinted = await get('/demo/photo.jpg?tr=w-auto,dpr-auto', {
      'sec-ch-width': '212',
      'sec-ch-dpr': '2',
    })
    expect(hinted.headers['content-dpr']).toBe('2.83')
    expect(hinted.headers.vary).toBe('Accept, Sec-CH-Width, Sec-CH-DPR')
    expect(await sharp(await hinted.readAll()).metadata()).toMatchObject({ width: 300 })
  })
  test('layers take images of the library', async () => {
    const { data } = await sharp(
      await (await get('/demo/photo.jpg?tr=f-png,l-image,i-shop@@logo.png,lfo-top_left,l-end')).readAll(),
    )
      .raw()
      .toBuffer({ resolveWithObject: true })
    expect([...data.subarray(0, 3)]).toEqual([255, 0, 0])
    expect(await failure('/demo/photo.jpg?tr=l-image,i-nowhere.png,l-end')).toBe('not-found')
    expect(await failure('/demo/photo.jpg?tr=l-image,i-secret.jpg,l-end')).toBe('not-found')
    expect(await failure('/demo/photo.jpg?tr=l-image,i-draft.jpg,l-end')).toBe('not-found')
    await get(signed('photo.jpg?tr=l-image,i-secret.jpg,w-5,l-end'))
  })
  test('named transformations of the account, also within others', async () => {
    const banner = await get('/demo/photo.jpg?tr=n-banner')
    expect((await get('/demo/photo.jpg?tr=w-60,h-30')).etag).toBe(banner.etag)
    expect(await pictureOf('/demo/photo.jpg?tr=n-framed')).toMatchObject({ width: 70, height: 40 })
    expect(await pictureOf('/demo/photo.jpg?tr=n-banner:rt-90')).toMatchObject({ width: 30, height: 60 })
    expect(await pictureOf('/demo/photo.jpg?tr=n-banner,w-20')).toMatchObject({ width: 20, height: 10 })
    expect(await failure('/demo/photo.jpg?tr=n-loop')).toBe('bad-request')
    expect(await failure('/demo/photo.jpg?tr=n-bad')).toBe('bad-request')
    expect(await failure('/demo/photo.jpg?tr=n-off')).toBe('bad-request')
    expect(await pictureOf('/demo/secret.jpg?tr=n-banner')).toMatchObject({ width: 60, height: 30 })
  })
  test('a default image stands in, and not for what may not be seen', async () => {
    expect(await pictureOf('/demo/nothing.jpg?tr=w-20,di-photo.jpg')).toMatchObject({ width: 20 })
    expect(await pictureOf('/demo/nothing.jpg?tr=w-20,di-@@shop@@logo.png')).toMatchObject({ width: 20 })
    expect(await failure('/demo/nothing.jpg?tr=w-20,di-secret.jpg')).toBe('not-found')
    expect(await failure('/demo/nothing.jpg?tr=w-20,di-nothing.jpg')).toBe('not-found')
  })
  test('downloads are named after the new format', async () => {
    const { headers } = await get('/demo/photo.jpg?tr=w-9,f-png&ik-attachment=true')
    expect(headers['content-disposition']).toBe('attachment; filename="photo.png"')
    const named = await get('/demo/photo.jpg?ik-attachment-filename=mine')
    expect(named.headers['content-disposition']).toBe('attachment; filename="mine.jpg"')
  })
  test('errors', async () => {
    expect(await failure('/demo/nothing.jpg')).toBe('not-found')
    expect(await failure('/demo/photo.jpg?tr=zz-1')).toBe('bad-request')
    expect(await failure('/demo/photo.jpg?tr=n-nobody')).toBe('bad-request')
    expect(await failure('/demo/photo.jpg?tr=n-constructor')).toBe('bad-request')
    expect(await failure('/demo/photo.jpg?tr=e-bgremove')).toBe('not-implemented')
    expect(await failure('/demo/broken.jpg?tr=w-5')).toBe('bad-request')
    expect(await failure('/demo/clip.mp4?tr=w-5')).toBe('not-implemented')
    expect(await failure('/demo/clip.mp4/ik-thumbnail.jpg')).toBe('not-implemented')
    expect(await failure('/demo/photo.jpg/ik-video.mp4')).toBe('not-implemented')
    expect(await pictureOf('/demo/tr:w-20/photo.jpg/ik-thumbnail.jpg')).toMatchObject({
      width: 20,
      format: 'jpeg',
    })
    expect((await get('/demo/broken.jpg')).contentType).toBe('image/jpeg')
  })
})

describe('settings', () => {
  const kindOf = async (settings: Partial<DeliveryOptions>, target: string) =>
    (await open(settings)).deliver({ target, headers: {} }).then(
      () => 'ok',
      (error: TintypeError) => error.kind,
    )
  test('signed URLs only, whether the file exists or not', async () => {
    expect(await kindOf({ restrictUnsigned: true }, '/demo/photo.jpg')).toBe('unauthorized')
    expect(await kindOf({ restrictUnsigned: true }, '/demo/nothing.jpg')).toBe('unauthorized')
    expect(await kindOf({ restrictUnsigned: true }, signed('photo.jpg'))).toBe('ok')
  })
  test('named transformations only', async () => {
    expect(await kindOf({ restrictUnnamed: true }, '/demo/photo.jpg?tr=w-5')).toBe('bad-request')
    expect(await kindOf({ restrictUnnamed: true }, '/demo/photo.jpg?tr=n-ik_ml_thumbnail,w-5')).toBe(
      'bad-request',
    )
    expect(await kindOf({ restrictUnnamed: true }, '/demo/photo.jpg?tr=n-ik_ml_thumbnail')).toBe('ok')
    expect(await kindOf({ restrictUnnamed: true }, '/demo/photo.jpg')).toBe('ok')
  })
  test('plain URLs may be optimized, and data may be saved', async () => {
    const optimizing = await open({ optimizeOriginals: true, saveDataQuality: 20 })
    const ask = (target: string, headers: Record<string, string>) => optimizing.deliver({ target, headers })
    const plain = await ask('/demo/photo.jpg', { accept: 'image/webp' })
    expect(plain.contentType).toBe('image/webp')
    expect(plain.headers.vary).toBe('Accept, Save-Data')
    expect((await ask('/demo/photo.jpg?tr=orig-true', { accept: 'image/webp' })).contentType).toBe(
      'image/jpeg',
    )
    expect((await ask('/demo/note.txt', {})).contentType).toContain('text/plain')
    expect((await ask('/demo/icon.svg', {})).contentType).toContain('svg')
    const saved = await ask('/demo/photo.jpg', { accept: 'image/webp', 'save-data': 'on' })
    expect(saved.etag).not.toBe(plain.etag)
  })
})

describe('explain', () => {
  test('says what would come out, and why not everything has an effect', async () => {
    const before = renders
    const answer = await delivery.explain({
      transformation: 'h-100,w-200,ar-2-1,b-1_red',
      path: '/photo.jpg',
      accept: 'image/webp',
    })
    expect(answer).toMatchObject({
      transformation: 'w-200,h-100,ar-2-1,b-1_FF0000',
      output: { format: 'webp', quality: 80, width: 202, height: 102, exactSize: true, variesByAccept: true },
      stringToSign: 'photo.jpg?tr=h-100,w-200,ar-2-1,b-1_red9999999999',
    })
    expect(answer.warnings).toEqual(['ar is ignored: both w and h are set'])
    expect(answer.steps[0]!.map(({ kind }) => kind)).toEqual(['geometry', 'border'])
    expect(renders).toBe(before)
    await expect(delivery.explain({ transformation: 'w-x', path: '/photo.jpg', accept: '' })).rejects.toThrow(
      '"w"',
    )
    await expect(delivery.explain({ transformation: 'w-5', path: '/no.jpg', accept: '' })).rejects.toThrow(
      'not exist',
    )
  })
  test('the string to sign is what a signature is made of', async () => {
    const { stringToSign } = await delivery.explain({
      transformation: 'w-200',
      path: '/secret.jpg',
      accept: '',
    })
    const signature = createHmac('sha1', KEY).update(stringToSign).digest('hex')
    await get(`/demo/secret.jpg?tr=w-200&ik-s=${signature}`)
  })
})

describe('access', () => {
  test('drafts are not there, signed or not', async () => {
    expect(await failure('/demo/draft.jpg')).toBe('not-found')
    expect(await failure(signed('draft.jpg'))).toBe('not-found')
    expect(await failure('/demo/draft.jpg?tr=n-ik_ml_thumbnail')).toBe('not-found')
  })
  test('private files need a signature, or one named transformation', async () => {
    for (const query of [
      '',
      '?tr=w-5',
      '?tr=n-ik_ml_thumbnail,w-5',
      '?tr=n-ik_ml_thumbnail:w-5',
      '?tr=orig-true',
    ]) {
      expect(await failure(`/demo/secret.jpg${query}`), query).toBe('unauthorized')
    }
    expect(await failure('/demo/tr:n-ik_ml_thumbnail/secret.jpg?tr=orig-true')).toBe('unauthorized')
    expect(await pictureOf('/demo/tr:n-ik_ml_thumbnail/secret.jpg')).toMatchObject({ width: 100, height: 67 })
    expect(await pictureOf('/demo/secret.jpg?tr=n-media_library_thumbnail')).toMatchObject({ width: 100 })
    const answer = await get(signed('secret.jpg?tr=w-50', NOW / 1000 + 60))
    expect(answer.headers['cache-control']).toBe('private, max-age=60')
  })
  test('a signature that is wrong or over is refused for public files too', async () => {
    expect(await failure(signed('photo.jpg').replace(/.$/, (digit) => (digit === '0' ? '1' : '0')))).toBe(
      'unauthorized',
    )
    expect(await failure(signed('photo.jpg', NOW / 1000 - 100))).toBe('unauthorized')
    expect(await failure(signed('photo.jpg?tr=w-5').replace('w-5', 'w-6'))).toBe('unauthorized')
  })
  test('a derivative of a private file never comes out of the cache without the check', async () => {
    await get(signed('secret.jpg?tr=w-33'))
    expect(await failure('/demo/secret.jpg?tr=w-33')).toBe('unauthorized')
  })
  test('the same bytes in a public file are another matter', async () => {
    expect((await get('/demo/photo.jpg?tr=w-33')).headers['cache-control']).toContain('public')
  })
})
