import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRig, type Rig } from './rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await openRig({ svgTimeoutMs: 1000, processes: 1 })
})
afterAll(() => rig.close())

const solid = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#123456' }, limitInputPixels: false })

/** An SVG whose few lines make a renderer draw millions of shapes. */
function nestedUse(levels: number): string {
  let body = '<g id="l0"><rect width="1" height="1"/></g>'
  for (let i = 1; i <= levels; i++) {
    body += `<g id="l${i}">${`<use href="#l${i - 1}" x="1"/>`.repeat(10)}</g>`
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><defs>${body}</defs><use href="#l${levels}"/></svg>`
}

describe('hostile files end in a 400, and the next picture is served', () => {
  const afterwards = async () => {
    const good = await rig.file('png', await solid(20, 10).png().toBuffer())
    expect((await rig.render(good, 'w-10')).widthPx).toBe(10)
  }

  test('an AVIF of few bytes and many pixels', async () => {
    const avif = await rig.file('avif', await solid(6000, 5000).avif({ effort: 0, quality: 1 }).toBuffer())
    await expect(rig.render(avif, 'w-100')).rejects.toThrow('maximum image resolution')
    await afterwards()
  })
  test('a PNG of more pixels than are allowed', async () => {
    const png = await rig.file('png', await solid(12_000, 9000).png().toBuffer())
    await expect(rig.render(png, 'w-100')).rejects.toThrow('maximum image resolution')
    await afterwards()
  })
  test('an SVG that takes for ever', async () => {
    const svg = await rig.file('svg', Buffer.from(nestedUse(9)))
    const startMs = performance.now()
    await expect(rig.render(svg, 'w-100')).rejects.toMatchObject({ kind: 'bad-request' })
    expect(performance.now() - startMs).toBeLessThan(10_000)
    await afterwards()
  })
  test('a narrow image that would become a gigantic one', async () => {
    const narrow = await rig.file('png', await solid(1, 60_000).png().toBuffer())
    await expect(rig.render(narrow, 'w-1000')).rejects.toThrow('maximum image resolution')
    const fitted = await rig.render(narrow, 'w-1000,h-1000')
    expect([fitted.widthPx, fitted.heightPx]).toEqual([1000, 1000])
  })
  test('an animation of too many frames', async () => {
    const frames = 600
    const raw = Buffer.alloc(4 * 4 * frames * 3)
    for (let i = 0; i < raw.length; i++) raw[i] = (i * 7919) % 251
    const gif = await sharp(raw, { raw: { width: 4, height: 4 * frames, channels: 3, pageHeight: 4 } })
      .gif()
      .toBuffer()
    const source = await rig.file('gif', gif)
    await expect(rig.render(source, 'w-100', { output: { format: 'gif' } })).rejects.toThrow(
      'more than 500 frames',
    )
    expect((await rig.render(source, 'w-8')).widthPx).toBe(8)
  })
  test('an animation whose frames become too large', async () => {
    const raw = Buffer.alloc(4 * 4 * 30 * 3)
    for (let i = 0; i < raw.length; i++) raw[i] = (i * 7919) % 251
    const gif = await sharp(raw, { raw: { width: 4, height: 120, channels: 3, pageHeight: 4 } })
      .gif()
      .toBuffer()
    const source = await rig.file('gif', gif)
    await expect(rig.render(source, 'w-2000', { output: { format: 'webp' } })).rejects.toThrow(
      '30 frames of 2000x2000',
    )
  })
  test.each([
    ['jpg', 'a JPEG that ends early'],
    ['png', 'a PNG that ends early'],
    ['webp', 'a WebP that ends early'],
  ])('%s: %s', async (format) => {
    const pipeline = solid(200, 200)
    const whole = await (format === 'jpg'
      ? pipeline.jpeg()
      : format === 'png'
        ? pipeline.png()
        : pipeline.webp()
    ).toBuffer()
    const cut = await rig.file(format, whole.subarray(0, Math.floor(whole.length * 0.6)))
    await expect(rig.render(cut, 'w-100')).rejects.toMatchObject({ kind: 'bad-request' })
    await afterwards()
  })
  test.each(['', 'not an image', '\x00'.repeat(100), 'P2\n1 1\n255\n1\n', '%PDF-1.7'])(
    '%j',
    async (bytes) => {
      for (const format of ['jpg', 'png', 'svg', 'heic', 'gif']) {
        const source = await rig.file(format, Buffer.from(bytes))
        await expect(rig.render(source, 'w-10')).rejects.toMatchObject({ kind: 'bad-request' })
      }
    },
  )
  test('formats without a decoder are named', async () => {
    await expect(rig.render(await rig.file('jxl', Buffer.from('ff0a', 'hex')), 'w-5')).rejects.toMatchObject({
      kind: 'unsupported',
    })
  })
  test('an SVG reads no files', async () => {
    const secret = await rig.file(
      'png',
      await sharp({ create: { width: 10, height: 10, channels: 3, background: '#ff0000' } })
        .png()
        .toBuffer(),
    )
    const svg = await rig.file(
      'svg',
      Buffer.from(
        `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file://${secret.path}">]><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xi="http://www.w3.org/2001/XInclude" width="10" height="10"><image xlink:href="file://${secret.path}" width="10" height="10"/><image href="${secret.path}" width="10" height="10"/><xi:include href="${secret.path}" parse="text"/></svg>`,
      ),
    )
    const outcome = await rig.render(svg, 'w-10').catch(() => undefined)
    if (outcome) {
      const { channels } = await sharp(outcome.bytes).stats()
      expect(channels[0]!.max).toBe(0)
    }
    await afterwards()
  })
})
