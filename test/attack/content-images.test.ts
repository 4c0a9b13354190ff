import { afterAll, beforeAll, expect, test } from 'vitest'
import { canReadProc, peakMbDuring, processTree, residentMb } from '../support/attack.ts'
import {
  bmpOf,
  claiming,
  fractionalTiff,
  gifOf,
  hugeAvif,
  icoOf,
  jpegSegment,
  jpegWith,
  laughs,
  manyScans,
  nestedUse,
  pdfOf,
  pngChunk,
  pngOf,
  profileChunk,
  psdOf,
  resizedJpeg,
  solid,
  svg,
  textChunk,
  tiffLoop,
  tiffStrip,
  tiffTile,
  webpCanvas,
  webpOf,
} from '../support/attack-images.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'

/**
 * Memory that one hostile file may cost the server and all of its processes, above what they take idle: decoding may
 * take 320 MiB (`transform.maxDecodeMiB`), and a process that has just been ended may still be there.
 */
const MAX_MB = 450

let server: Server
let idleMb = 0
let served = 0
const serveNext = () => send(server, `/acceptance/warm.png?tr=w-${100 + served++}`)

beforeAll(async () => {
  // How long is too long is a setting; a short time keeps this suite short.
  server = await startServer({
    env: {
      TINTYPE_TRANSFORM_PROCESSES: '2',
      TINTYPE_TRANSFORM_TIMEOUT_MS: '2500',
      TINTYPE_TRANSFORM_SVG_TIMEOUT_MS: '1000',
    },
  })
  await uploadFile(server, png(40, 30, 5), { fileName: 'warm.png', useUniqueFileName: 'false' })
  await Promise.all([serveNext(), serveNext(), serveNext()])
  idleMb = residentMb(server.pid)
})
afterAll(() => server?.dispose())

type Row = [
  what: string,
  make: () => Buffer | Promise<Buffer>,
  /** Status of the transformation, 0 for one of both; a text is a part of the message of a 400. */
  expected: 200 | 400 | 0 | string,
  options?: { ask?: string; name?: string; withoutMetadata?: boolean },
]
const RESOLUTION = 'exceeds the maximum image resolution'
const small = () => solid(64, 64).jpeg().toBuffer()
const embedded = (bytes: Buffer, type = 'png') =>
  svg(`<image width="9" height="9" href="data:image/${type};base64,${bytes.toString('base64')}"/>`)
const largePng = () => pngOf(9999, 9999, { transparent: true })
const filter = (inside: string, sizePx = 4900) =>
  svg(
    `<filter id="f">${inside}</filter><rect filter="url(#f)" width="${sizePx}" height="${sizePx}"/>`,
    `width="${sizePx}" height="${sizePx}"`,
  )
const drawn = { ask: 'tr=w-100,f-png', name: 'x.svg' }
const wild = { ...drawn, withoutMetadata: true }
const page = { name: 'x.pdf', withoutMetadata: true }

const ROWS: Row[] = [
  // More pixels than there may be.
  ['C01 E1 an AVIF of 81 megapixels in 2 KB', hugeAvif, RESOLUTION],
  ['C01 the same, its container claims 100x100', () => claiming(hugeAvif(), 100, 100), 400],
  ['C01 the same, its container claims 2^31', () => claiming(hugeAvif(), 2 ** 31 - 1, 2 ** 31 - 1), 400],
  ['C01 a JPEG of 65535x65535', async () => resizedJpeg(await small(), 65_535, 65_535), 400],
  ['C01 a JPEG of 65500x65500', async () => resizedJpeg(await small(), 65_500, 65_500), RESOLUTION],
  ['C01 a JPEG of 9900x9900 without pixels', async () => resizedJpeg(await small(), 9900, 9900), 200],
  ['C01 a progressive JPEG of 80 megapixels', () => manyScans(8944, 1), 0],
  ['C01 a PNG of 65535x65535', () => pngOf(65_535, 65_535, { rows: 50 }), RESOLUTION],
  ['C01 a PNG of 2^31 pixels a side', () => pngOf(2 ** 31 - 1, 2 ** 31 - 1, { rows: 0 }), 400],
  ['C01 a PNG of 99 megapixels', () => pngOf(9999, 9999), 200],
  ['C01 a PNG of 99 megapixels with alpha', largePng, 0],
  [
    'C01 a PNG of 99 megapixels, interlaced',
    () => pngOf(9999, 9999, { transparent: true, interlaced: true }),
    RESOLUTION,
  ],
  ['C01 a GIF of 65535x65535', () => gifOf(65_535, 65_535), 200],
  [
    'C01 a GIF of 8x8 with a frame of 65535x65535',
    () => gifOf(8, 8, { frame: [65_535, 65_535] }),
    RESOLUTION,
  ],
  ['C01 a GIF of 99 megapixels', () => gifOf(9999, 9900, { frame: [9999, 9900] }), RESOLUTION],
  ['C01 a WebP of 268 megapixels in 38 bytes', () => webpOf(16_383, 16_383), RESOLUTION],
  ['C01 a WebP of 98 megapixels in 38 bytes', () => webpOf(16_383, 6000), RESOLUTION],
  ['C01 a WebP of 80 megapixels in 38 bytes', () => webpOf(16_000, 5000), RESOLUTION],
  ['C01 a WebP of 33 megapixels in 38 bytes', () => webpOf(16_000, 2062), 0],
  ['C01 a GIF of 80 megapixels', () => gifOf(9000, 8900, { frame: [9000, 8900] }), RESOLUTION],
  ['C01 a GIF of 66 megapixels', () => gifOf(8200, 8100, { frame: [8200, 8100] }), 0],
  ['C01 a WebP whose canvas is 16384x16384', () => webpCanvas(16_384, 16_384), 400],
  ['C01 a WebP whose canvas is 2^24 a side', () => webpCanvas(2 ** 24, 2 ** 24), 400],
  ['C01 an animated WebP without frames', () => webpCanvas(9000, 9000, 2), 400],
  ['C01 a TIFF of 65535x65535', () => tiffStrip(65_535, 65_535), RESOLUTION],
  ['C01 a TIFF of 2^31 pixels in a row', () => tiffStrip(2 ** 31 - 1, 1), 400],
  ['C01 a TIFF of 98 megapixels without pixels', () => tiffStrip(9900, 9900), 400],
  ['C01 a TIFF of 16x16 in tiles of 65536x65536', () => tiffTile(65_536), 400],
  ['C01 a TIFF of 16x16 in tiles of 2^31', () => tiffTile(2 ** 31 - 16), 400],
  ['C01 a BMP of 65535x65535 in runs', () => bmpOf(65_535, 65_535), 400],
  ['C01 a BMP of 25 megapixels in six bytes', () => bmpOf(4999, 4999), 0],
  ['C01 an icon that holds a PNG of 65535x65535', () => icoOf(pngOf(65_535, 65_535, { rows: 9 })), 400],
  ['C01 an icon that holds a PNG of 99 megapixels', () => icoOf(pngOf(9999, 9999)), 400],
  ['C01 a Photoshop file of 30000x30000', () => psdOf(30_000, 30_000), 400],
  ['C01 a Photoshop file of 25 megapixels that ends early', () => psdOf(4999, 4999), 400],
  ['C01 an SVG of 10^9 a side', () => svg('<rect/>', 'width="1000000000" height="1000000000"'), 400, drawn],
  ['C01 an SVG with a view box of 10^9', () => svg('<rect/>', 'viewBox="0 0 1e9 1e9"'), 400, drawn],
  // What becomes large.
  ['C02 E3 1x65535 as w-1000', () => pngOf(1, 65_535), RESOLUTION, { ask: 'tr=w-1000' }],
  ['C02 65535x1 as h-1000', () => pngOf(65_535, 1), RESOLUTION, { ask: 'tr=h-1000' }],
  ['C02 1x65535 within 100x100', () => pngOf(1, 65_535), 200, { ask: 'tr=w-100,h-100,c-at_max' }],
  ['C02 4x4 as w-65535', () => png(4, 4), RESOLUTION, { ask: 'tr=w-65535' }],
  ['C03 E3 a GIF of 10,000 frames', () => gifOf(8, 8, { frames: 10_000, frame: [8, 8] }), '500 frames'],
  [
    'C03 the first of 10,000 frames',
    () => gifOf(8, 8, { frames: 10_000, frame: [8, 8] }),
    200,
    { ask: 'tr=w-100,f-jpg' },
  ],
  [
    'C03 400 frames as w-1000',
    () => gifOf(8, 8, { frames: 400, frame: [8, 8] }),
    400,
    { ask: 'tr=w-1000,f-gif' },
  ],
  // What takes long.
  ['C04 5,000 progressive scans', () => manyScans(8192, 5000), 'in time', { withoutMetadata: true }],
  ['C04 a directory of a TIFF that follows itself', tiffLoop, 400],
  ['C04 a TIFF whose width is a fraction (found by fuzzing)', fractionalTiff, 400],
  [
    'C04 EXIF whose directory follows itself',
    async () =>
      jpegWith(
        await small(),
        jpegSegment(0xe1, Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiffLoop()])),
      ),
    200,
  ],
  [
    'C05 EXIF that says it has 65,535 tags',
    async () =>
      jpegWith(
        await small(),
        jpegSegment(
          0xe1,
          Buffer.concat([Buffer.from('Exif\0\0II*\0\x08\0\0\0\xff\xff', 'latin1'), Buffer.alloc(60_000, 1)]),
        ),
      ),
    200,
  ],
  [
    'C05 XMP of laughs',
    async () =>
      jpegWith(
        await small(),
        jpegSegment(
          0xe1,
          Buffer.from(
            `http://ns.adobe.com/xap/1.0/\0<!DOCTYPE x [${laughs(12)}]><x:xmpmeta xmlns:x="adobe:ns:meta/">&l12;</x:xmpmeta>`,
          ),
        ),
      ),
    200,
  ],
  ['C05 256 MB of compressed text (zTXt)', () => pngOf(10, 10, { extra: [textChunk('zTXt', 256)] }), 200],
  ['C05 256 MB of compressed XMP (iTXt)', () => pngOf(10, 10, { extra: [textChunk('iTXt', 256)] }), 200],
  [
    'C05 100,000 chunks of text',
    () =>
      pngOf(10, 10, { extra: [Buffer.concat(Array(100_000).fill(pngChunk('tEXt', Buffer.from('a\0b'))))] }),
    200,
  ],
  ['C06 a colour profile of 256 MB (iCCP)', () => pngOf(10, 10, { extra: [profileChunk(256)] }), 200],
  [
    'C06 a colour profile of noise',
    async () =>
      jpegWith(
        await small(),
        jpegSegment(
          0xe2,
          Buffer.concat([Buffer.from('ICC_PROFILE\0\x01\x01', 'latin1'), Buffer.alloc(60_000, 0xa7)]),
        ),
      ),
    200,
  ],
  [
    'C06 a colour profile in 255 parts of which one is there',
    async () =>
      jpegWith(
        await small(),
        jpegSegment(
          0xe2,
          Buffer.concat([Buffer.from('ICC_PROFILE\0\xff\xff', 'latin1'), Buffer.alloc(128, 0)]),
        ),
      ),
    200,
  ],
  // Drawings.
  ['C11 E2 nested <use>', () => nestedUse(9), 400, wild],
  [
    'C11 entities of entities',
    () => Buffer.concat([Buffer.from(`<!DOCTYPE svg [${laughs(12)}]>`), svg('<text>&l12;</text>')]),
    400,
    wild,
  ],
  ['C11 100,000 groups in each other', () => svg('<g>'.repeat(100_000) + '</g>'.repeat(100_000)), 400, wild],
  [
    'C11 a path of a million lines',
    () => svg(`<path d="M0 0${'L9 9 0 5'.repeat(500_000)}" stroke="red"/>`),
    400,
    wild,
  ],
  ['C11 a blur over 24 megapixels', () => filter('<feGaussianBlur stdDeviation="100000"/>'), 0, wild],
  [
    'C11 a million octaves of turbulence',
    () => filter('<feTurbulence baseFrequency="1" numOctaves="1000000"/>'),
    0,
    wild,
  ],
  ['C11 dilation by 5000 pixels', () => filter('<feMorphology operator="dilate" radius="5000"/>'), 0, wild],
  ['C11 a picture of 99 megapixels inside', () => embedded(largePng()), 400, wild],
  ['C11 a picture in a drawing in a drawing', () => embedded(embedded(largePng()), 'svg+xml'), 400, wild],
  ['C11 an AVIF of 81 megapixels inside', () => embedded(hugeAvif(), 'avif'), 200, drawn],
  // Documents.
  ['C16 a page of 10^6 points a side', () => pdfOf({ box: [1e6, 1e6] }), 400, page],
  ['C16 a million pages that are not there', () => pdfOf({ pages: 1_000_000 }), 200, page],
  [
    'C16 JavaScript that opens with it',
    () => pdfOf({ extra: '/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>' }),
    200,
    page,
  ],
  ['C16 a stack of a million states', () => pdfOf({ content: 'q '.repeat(1_000_000) }), 200, page],
]

test.each(ROWS)('%s', async (what, make, expected, options = {}) => {
  const name = options.name ?? 'x.bin'
  const { peakMb } = await peakMbDuring(server.pid, async () => {
    const uploaded = await uploadFile(server, await make(), { fileName: name })
    expect(uploaded.status, uploaded.body.toString()).toBe(200)
    const { url, fileId } = uploaded.json()
    const path = new URL(url).pathname
    const asked = name.endsWith('.pdf') ? `${path}/ik-thumbnail.jpg` : `${path}?${options.ask ?? 'tr=w-100'}`
    const answer = await send(server, asked)
    const text = answer.body.toString('utf8', 0, 300)
    expect(expected === 0 ? [200, 400] : [expected === 200 ? 200 : 400], text).toContain(answer.status)
    if (typeof expected === 'string') expect(text).toContain(expected)
    if (!options.withoutMetadata) {
      const headers = { authorization: basic(server.privateKey) }
      const metadata = await send(server, `/v1/files/${fileId}/metadata`, { headers })
      expect([200, 400], metadata.body.toString()).toContain(metadata.status)
    }
  })
  // The next picture is served, whatever became of the process that met this one.
  expect((await serveNext()).status).toBe(200)
  if (canReadProc) expect(peakMb - idleMb, what).toBeLessThan(MAX_MB)
})

test('C11 a drawing has five seconds by default, and its process ends with it', async () => {
  const alone = await startServer({ env: { TINTYPE_TRANSFORM_PROCESSES: '1' } })
  try {
    const next = async (widthPx: number) => (await send(alone, `/acceptance/next.png?tr=w-${widthPx}`)).status
    await uploadFile(alone, png(40, 30, 5), { fileName: 'next.png', useUniqueFileName: 'false' })
    expect(await next(10)).toBe(200)
    const slow = '<feMorphology operator="dilate" radius="400"/>'.repeat(50)
    await uploadFile(alone, filter(slow, 1500), { fileName: 'wild.svg', useUniqueFileName: 'false' })
    const [pid] = processTree(alone.pid).filter((one) => one !== alone.pid)
    if (canReadProc) expect(pid).toBeGreaterThan(0)
    const began = performance.now()
    const drawing = send(alone, '/acceptance/wild.svg?tr=w-1500,f-png')
    const waiting = next(11)
    const refused = await drawing
    expect([refused.status, String(refused.headers['ik-error'])]).toEqual([
      400,
      expect.stringContaining('in time'),
    ])
    // Over when the time is over, and not before; the rest is what a busy machine may take.
    expect(performance.now() - began).toBeGreaterThan(4900)
    expect(performance.now() - began).toBeLessThan(15_000)
    expect(await waiting).toBe(200)
    expect(await next(12)).toBe(200)
    if (canReadProc) await expect.poll(() => processTree(alone.pid)).not.toContain(pid)
  } finally {
    await alone.dispose()
  }
})

test('C01 C11 the server has kept nothing of it', async () => {
  expect((await send(server, '/health')).status).toBe(200)
  if (canReadProc)
    await expect.poll(() => residentMb(server.pid) - idleMb, { timeout: 10_000 }).toBeLessThan(250)
  expect(server.output()).not.toMatch(/uncaught|unhandled/i)
})
