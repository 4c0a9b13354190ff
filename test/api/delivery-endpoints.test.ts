import { createHmac } from 'node:crypto'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { settle } from '../support/cluster-server.ts'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype
const clockMs = Date.parse('2026-06-01T00:00:00Z')

beforeAll(async () => {
  tintype = await startTintype({ clock: { now: () => clockMs } })
  const photo = await sharp({ create: { width: 300, height: 200, channels: 3, background: '#336699' } })
    .jpeg({ quality: 100 })
    .toBuffer()
  for (const fileName of ['photo.jpg', 'secret.jpg']) {
    const isPrivateFile = String(fileName === 'secret.jpg')
    const { status } = await upload(tintype, photo, { fileName, useUniqueFileName: 'false', isPrivateFile })
    expect(status).toBe(200)
  }
})
afterAll(() => tintype.stop())

async function call(method: string, path: string, body?: unknown) {
  const response = await fetch(`${tintype.url}${path}`, {
    method,
    headers: {
      authorization: tintype.authorization,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  await settle(method, path)
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(`${tintype.url}/demo/${path}`, { headers })
const statusOf = async (path: string) => {
  const response = await get(path)
  await response.arrayBuffer()
  return response.status
}
const sizeOf = async (path: string) => {
  const response = await get(path)
  const bytes = Buffer.from(await response.arrayBuffer())
  if (!response.ok) throw new Error(`${path}: ${response.status} ${bytes}`)
  const { width, height } = await sharp(bytes).metadata()
  return `${width}x${height}`
}
const sign = (text: string, key = TEST_KEYS.privateKey) =>
  createHmac('sha1', key).update(`${text}9999999999`).digest('hex')

describe('named transformations', () => {
  const path = '/v1/named-transformations'

  it('work in URLs as soon as they exist, follow changes, and fail when disabled or deleted', async () => {
    expect(await statusOf('photo.jpg?tr=n-thumb')).toBe(400)
    const { body } = await call('POST', path, { name: 'thumb', transformation: 'w-60,h-40' })
    expect(await sizeOf('photo.jpg?tr=n-thumb')).toBe('60x40')
    expect(await sizeOf('tr:n-thumb:rt-90/photo.jpg')).toBe('40x60')
    await call('PATCH', `${path}/${body.id}`, { transformation: 'w-30,h-20' })
    expect(await sizeOf('photo.jpg?tr=n-thumb')).toBe('30x20')
    await call('PATCH', `${path}/${body.id}`, { enabled: false })
    const disabled = await get('photo.jpg?tr=n-thumb')
    expect(disabled.status).toBe(400)
    expect(disabled.headers.get('ik-error')).toContain('disabled')
    await call('DELETE', `${path}/${body.id}`)
    expect(await statusOf('photo.jpg?tr=n-thumb')).toBe(400)
  })

  it('open private files without a signature, alone and whole', async () => {
    await call('POST', path, { name: 'small', transformation: 'w-20' })
    await call('POST', path, { name: 'framed', transformation: 'n-small:b-5_red' })
    await call('POST', path, { name: 'raw', transformation: 'orig-true' })
    expect(await sizeOf('secret.jpg?tr=n-small')).toMatch(/^20x/)
    expect(await sizeOf('tr:n-framed/secret.jpg')).toMatch(/^30x/)
    for (const rest of [
      'secret.jpg',
      'secret.jpg?tr=w-20',
      'secret.jpg?tr=n-small,w-5',
      'tr:n-small:w-9/secret.jpg',
    ]) {
      expect(await statusOf(rest), rest).toBe(401)
    }
  })

  it('of other servers are seen after a moment', async () => {
    expect(await statusOf('photo.jpg?tr=n-elsewhere')).toBe(400)
    const body = { name: 'elsewhere', transformation: 'w-11', enabled: true }
    await tintype.store.documents.add(
      { kind: 'named-transformation', id: 'elsewhere', uniqueName: 'elsewhere', body },
      clockMs,
    )
    await expect.poll(() => statusOf('photo.jpg?tr=n-elsewhere')).toBe(200)
    expect(await sizeOf('photo.jpg?tr=n-elsewhere')).toMatch(/^11x/)
  })
})

describe('URL endpoints', () => {
  const path = '/v1/accounts/url-endpoints'

  it('serve the library below their prefix', async () => {
    await call('POST', path, { description: 'shop', urlPrefix: 'shop' })
    expect(await sizeOf('shop/photo.jpg?tr=w-50')).toMatch(/^50x/)
    expect(await sizeOf('shop/tr:w-50/photo.jpg')).toMatch(/^50x/)
    expect(await statusOf('shop')).toBe(404)
    expect(await statusOf('shop/')).toBe(404)
    expect(await statusOf('shop/shop/photo.jpg')).toBe(404)
    expect(await statusOf('shopping/photo.jpg')).toBe(404)
  })

  it('have settings of their own', async () => {
    const created = await call('POST', path, {
      description: 'strict',
      urlPrefix: 'strict',
      settings: { restrictUnsigned: true, maxAgeSec: 5, defaultFormat: 'orig', defaultQuality: 10 },
    })
    expect(created).toMatchObject({ status: 201, body: { settings: { maxAgeSec: 5 } } })
    expect(await statusOf('strict/photo.jpg')).toBe(401)
    const signed = await get(`strict/photo.jpg?ik-s=${sign('photo.jpg')}`)
    expect(signed.status).toBe(200)
    expect(signed.headers.get('cache-control')).toBe('private, max-age=5')
    // What another endpoint says does not change.
    expect((await get('photo.jpg')).headers.get('cache-control')).toBe('public, max-age=3600')

    // A client that knows nothing of settings keeps them; null takes them back.
    await call('PUT', `${path}/${created.body.id}`, { description: 'renamed', urlPrefix: 'strict' })
    expect(await statusOf('strict/photo.jpg')).toBe(401)
    await call('PUT', `${path}/${created.body.id}`, { description: 'x', urlPrefix: 'strict', settings: null })
    expect(await statusOf('strict/photo.jpg')).toBe(200)
  })

  it('optimise originals, keep the format, restrict unnamed transformations', async () => {
    await call('POST', path, {
      description: 'web',
      urlPrefix: 'web',
      settings: { optimizeOriginals: true, restrictUnnamed: true, defaultQuality: 20 },
    })
    const accept = { accept: 'image/avif,image/webp,*/*' }
    const plain = await get('web/photo.jpg', accept)
    expect(plain.headers.get('content-type')).toBe('image/webp')
    expect(plain.headers.get('vary')).toContain('Accept')
    expect((await get('photo.jpg', accept)).headers.get('content-type')).toBe('image/jpeg')
    expect(await statusOf('web/photo.jpg?tr=w-10')).toBe(400)
    expect(await statusOf('web/photo.jpg?tr=n-small')).toBe(200)
  })

  it('of the default prefix can be restricted too', async () => {
    const body = { description: 'Default', settings: { offerAvif: true, clientHints: false } }
    expect((await call('PUT', `${path}/default`, body)).status).toBe(200)
    const avif = await get('photo.jpg?tr=w-64', { accept: 'image/avif,image/webp' })
    expect(avif.headers.get('content-type')).toBe('image/avif')
    const hinted = await get('photo.jpg?tr=w-auto', { 'sec-ch-width': '100' })
    expect(hinted.headers.get('vary') ?? '').not.toContain('Sec-CH')
    await call('PUT', `${path}/default`, { description: 'Default', settings: null })
  })

  it.each([
    [{ defaultQuality: 0 }, /settings\.defaultQuality/],
    [{ restrictUnsigned: 'yes' }, /settings\.restrictUnsigned/],
    [{ cacheMiB: 5 }, /settings\.cacheMiB is not a setting/],
    ['fast', /settings/],
  ])('refuse the settings %j', async (settings, message) => {
    const answer = await call('POST', path, { description: 'x', urlPrefix: 'x', settings })
    expect(answer.status).toBe(400)
    expect(answer.body.message).toMatch(message)
  })

  it.each([
    ['CLOUDINARY', 'w_60,h_40,c_fill/e_blur:500/photo.jpg', '60x40'],
    ['CLOUDINARY', 'image/upload/w_60/v12345/photo.jpg', '60x40'],
    ['CLOUDINARY', 'w_60/e_unsharp_mask:500/photo.jpg', '60x40'],
    ['IMGIX', 'photo.jpg?w=60&h=60&fit=max', '60x40'],
    ['AKAMAI', 'photo.jpg?imwidth=60', '60x40'],
  ])('understand URLs of other services: %s %s', async (type, rest, size) => {
    const prefix = `from-${type.toLowerCase()}`
    await call('POST', path, { description: type, urlPrefix: prefix, urlRewriter: { type } })
    expect(await sizeOf(`${prefix}/${rest}`)).toBe(size)
    expect(await sizeOf(`${prefix}/tr:w-60/photo.jpg`)).toBe('60x40')
  })

  it('are signed for without their prefix, or as a whole URL', async () => {
    const ok = [
      `shop/secret.jpg?ik-s=${sign('secret.jpg')}`,
      `shop/tr:w-10/secret.jpg?ik-s=${sign('tr:w-10/secret.jpg')}`,
      `shop/secret.jpg?ik-s=${sign(`${tintype.url}/demo/shop/secret.jpg`)}`,
      `secret.jpg?ik-s=${sign(`${tintype.url}/demo/secret.jpg`)}`,
    ]
    for (const rest of ok) expect(await statusOf(rest), rest).toBe(200)
    const bad = [
      `shop/secret.jpg?ik-s=${sign('shop/secret.jpg')}`,
      `shop/secret.jpg?ik-s=${sign('/secret.jpg')}`,
      `shop/secret.jpg?ik-s=${sign('https://elsewhere.example/demo/shop/secret.jpg')}`,
      `secret.jpg?ik-s=${sign(`${tintype.url}/demo/shop/secret.jpg`)}`,
    ]
    for (const rest of bad) expect(await statusOf(rest), rest).toBe(401)
  })
})
