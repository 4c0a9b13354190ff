/** Images that are small to send and costly to decode, made in place. Sizes are those that their headers claim. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'

const FIXTURES = join(import.meta.dirname, '../fixtures/attack')

const be16 = (value: number) => Buffer.from([value >> 8, value & 255])
const le16 = (value: number) => Buffer.from([value & 255, value >> 8])
const be32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}
const le32 = (value: number) => be32(value).reverse()

// PNG

export function pngChunk(type: string, data: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  return Buffer.concat([be32(data.length), body, be32(crc32(body))])
}

const PNG_SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex')

/**
 * A PNG of one bit a pixel, all of one colour, with real pixels for at most `rows` of its rows.
 * @param options.transparent its colours are a palette with alpha, so that decoders make four bytes of each pixel.
 * @param options.interlaced only its header says so.
 */
export function pngOf(
  widthPx: number,
  heightPx: number,
  options: { rows?: number; extra?: Buffer[]; transparent?: boolean; interlaced?: boolean } = {},
): Buffer {
  const rows = Math.min(heightPx, options.rows ?? heightPx)
  const pixels = deflateSync(Buffer.alloc((1 + Math.ceil(widthPx / 8)) * rows), { level: 9 })
  const kind = [1, options.transparent ? 3 : 0, 0, 0, options.interlaced ? 1 : 0]
  return Buffer.concat([
    PNG_SIGNATURE,
    pngChunk('IHDR', Buffer.concat([be32(widthPx), be32(heightPx), Buffer.from(kind)])),
    ...(options.transparent
      ? [pngChunk('PLTE', Buffer.from([9, 9, 9, 0, 0, 0])), pngChunk('tRNS', Buffer.from([128, 255]))]
      : []),
    ...(options.extra ?? []),
    pngChunk('IDAT', pixels),
    pngChunk('IEND'),
  ])
}

/** `megabytes` of zeros in a compressed text or profile. */
const bomb = (megabytes: number) => deflateSync(Buffer.alloc(megabytes * 1_000_000), { level: 9 })
export const textChunk = (kind: 'zTXt' | 'iTXt', megabytes: number) =>
  kind === 'zTXt'
    ? pngChunk('zTXt', Buffer.concat([Buffer.from('Comment\0\0', 'latin1'), bomb(megabytes)]))
    : pngChunk(
        'iTXt',
        Buffer.concat([Buffer.from('XML:com.adobe.xmp\0\x01\0\0\0', 'latin1'), bomb(megabytes)]),
      )
export const profileChunk = (megabytes: number) =>
  pngChunk('iCCP', Buffer.concat([Buffer.from('icc\0\0', 'latin1'), bomb(megabytes)]))

// JPEG

export function jpegSegment(marker: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0xff, marker]), be16(body.length + 2), body])
}

/** The same JPEG with another size in its frame header. */
export function resizedJpeg(jpeg: Buffer, widthPx: number, heightPx: number): Buffer {
  const bytes = Buffer.from(jpeg)
  for (let at = 2; at < bytes.length - 9; at += 2 + bytes.readUInt16BE(at + 2)) {
    const marker = bytes[at + 1]!
    if (marker >= 0xc0 && marker <= 0xc2) {
      bytes.writeUInt16BE(heightPx, at + 5)
      bytes.writeUInt16BE(widthPx, at + 7)
      return bytes
    }
  }
  throw new Error('no frame header')
}

/** The JPEG with segments behind its start. */
export function jpegWith(jpeg: Buffer, ...segments: Buffer[]): Buffer {
  return Buffer.concat([jpeg.subarray(0, 2), ...segments, jpeg.subarray(2)])
}

/** A grey progressive JPEG whose every scan walks over all of its blocks and says nothing. */
export function manyScans(sidePx: number, scans: number): Buffer {
  const blocks = (sidePx / 8) ** 2
  const oneCode = (kind: number, symbol: number) =>
    jpegSegment(0xc4, Buffer.concat([Buffer.from([kind, 1]), Buffer.alloc(15), Buffer.from([symbol])]))
  const scan = (from: number, to: number, bits: number) =>
    Buffer.concat([jpegSegment(0xda, Buffer.from([1, 1, 0, from, to, 0])), Buffer.alloc(Math.ceil(bits / 8))])
  // Code 0 and fourteen more bits: an end of band for 16,384 blocks.
  const empty = scan(1, 63, Math.ceil(blocks / 16_384) * 15)
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    jpegSegment(0xdb, Buffer.concat([Buffer.from([0]), Buffer.alloc(64, 1)])),
    jpegSegment(
      0xc2,
      Buffer.concat([Buffer.from([8]), be16(sidePx), be16(sidePx), Buffer.from([1, 1, 0x11, 0])]),
    ),
    oneCode(0x00, 0),
    scan(0, 0, blocks),
    oneCode(0x10, 0xe0),
    ...Array.from({ length: scans }, () => empty),
    Buffer.from([0xff, 0xd9]),
  ])
}

// GIF

/** @param options.frame size of each frame; default: that of the canvas. */
export function gifOf(
  widthPx: number,
  heightPx: number,
  options: { frames?: number; frame?: [number, number] } = {},
): Buffer {
  const [frameWidth, frameHeight] = options.frame ?? [1, 1]
  const frame = Buffer.concat([
    Buffer.from([0x21, 0xf9, 4, 0, 1, 0, 0, 0, 0x2c, 0, 0, 0, 0]),
    le16(frameWidth),
    le16(frameHeight),
    Buffer.from([0, 2, 2, 0x4c, 0x01, 0]),
  ])
  return Buffer.concat([
    Buffer.from('GIF89a'),
    le16(widthPx),
    le16(heightPx),
    Buffer.from([0x80, 0, 0, 0, 0, 0, 255, 255, 255]),
    ...Array.from({ length: options.frames ?? 1 }, () => frame),
    Buffer.from([0x3b]),
  ])
}

// WebP

function riff(...chunks: Buffer[]): Buffer {
  const body = Buffer.concat(chunks)
  return Buffer.concat([Buffer.from('RIFF'), le32(body.length + 4), Buffer.from('WEBP'), body])
}
function webpChunk(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), le32(body.length), body, Buffer.alloc(body.length & 1)])
}

/** A lossless WebP of one colour: 38 bytes, whatever its size. */
export function webpOf(widthPx: number, heightPx: number): Buffer {
  const bits = (widthPx - 1) | ((heightPx - 1) << 14)
  // With alpha; no transforms, no colour cache, five simple prefix codes of one symbol.
  const body = Buffer.concat([
    Buffer.from([0x2f]),
    le32(bits | (1 << 28)),
    Buffer.from('88888888880800', 'hex'),
  ])
  return riff(webpChunk('VP8L', body))
}

/** An extended WebP whose canvas is larger than its picture. */
export function webpCanvas(widthPx: number, heightPx: number, flags = 0): Buffer {
  const head = Buffer.alloc(10)
  head[0] = flags
  head.writeUIntLE(widthPx - 1, 4, 3)
  head.writeUIntLE(heightPx - 1, 7, 3)
  return riff(webpChunk('VP8X', head), webpOf(16, 16).subarray(12))
}

// TIFF

/** A little-endian TIFF of one directory. */
export function tiffOf(
  fields: [tag: number, type: 3 | 4, value: number][],
  options: { next?: number } = {},
): Buffer {
  const entries = [...fields]
    .sort(([a], [b]) => a - b)
    .map(([tag, type, value]) =>
      Buffer.concat([
        le16(tag),
        le16(type),
        le32(1),
        type === 3 ? Buffer.concat([le16(value), le16(0)]) : le32(value),
      ]),
    )
  return Buffer.concat([
    Buffer.from('II*\0'),
    le32(8),
    le16(entries.length),
    ...entries,
    le32(options.next ?? 0),
    Buffer.alloc(64),
  ])
}

const TIFF_BASE: [number, 3 | 4, number][] = [
  [258, 3, 8],
  [259, 3, 1],
  [262, 3, 1],
  [277, 3, 1],
]
export const tiffStrip = (widthPx: number, heightPx: number) =>
  tiffOf([...TIFF_BASE, [256, 4, widthPx], [257, 4, heightPx], [273, 4, 8], [278, 4, heightPx], [279, 4, 64]])
export const tiffTile = (tilePx: number) =>
  tiffOf([
    ...TIFF_BASE,
    [256, 4, 16],
    [257, 4, 16],
    [322, 4, tilePx],
    [323, 4, tilePx],
    [324, 4, 8],
    [325, 4, 64],
  ])
/** A directory that names itself as the next one. */
export const tiffLoop = () =>
  tiffOf([...TIFF_BASE, [256, 4, 16], [257, 4, 16], [273, 4, 8], [278, 4, 16], [279, 4, 64]], { next: 8 })

/** Found by fuzzing: its width is a rational number. */
export const fractionalTiff = () => readFileSync(join(FIXTURES, 'half-width.tiff'))

// BMP, ICO, PSD

export function bmpOf(widthPx: number, heightPx: number): Buffer {
  const palette = Buffer.alloc(4 * 256)
  const runs = Buffer.from([255, 1, 255, 2, 0, 1])
  const head = Buffer.concat([
    le32(40),
    le32(widthPx),
    le32(heightPx),
    le16(1),
    le16(8),
    le32(1),
    le32(runs.length),
  ])
  const info = Buffer.concat([head, le32(2835), le32(2835), le32(256), le32(0)])
  const offset = 14 + info.length + palette.length
  return Buffer.concat([
    Buffer.from('BM'),
    le32(offset + runs.length),
    le32(0),
    le32(offset),
    info,
    palette,
    runs,
  ])
}

export function icoOf(png: Buffer): Buffer {
  const entry = Buffer.concat([Buffer.from([0, 0, 0, 0]), le16(1), le16(32), le32(png.length), le32(22)])
  return Buffer.concat([le16(0), le16(1), le16(1), entry, png])
}

export function psdOf(widthPx: number, heightPx: number): Buffer {
  return Buffer.concat([
    Buffer.from('8BPS'),
    be16(1),
    Buffer.alloc(6),
    be16(3),
    be32(heightPx),
    be32(widthPx),
    be16(8),
    be16(3),
    be32(0),
    be32(0),
    be32(0),
    be16(1),
    Buffer.alloc(2000),
  ])
}

// AVIF and HEIC

/** A blank AVIF of 81 megapixels in 2 KB: decoding it takes 1.5 GB (trust E1). */
export const hugeAvif = () => readFileSync(join(FIXTURES, 'avif-9000x9000.avif'))

/** The same file, but its container claims another size than its pictures have. */
export function claiming(file: Buffer, widthPx: number, heightPx: number): Buffer {
  const bytes = Buffer.from(file)
  for (let at = bytes.indexOf('ispe'); at > 0; at = bytes.indexOf('ispe', at + 4)) {
    bytes.writeUInt32BE(widthPx, at + 8)
    bytes.writeUInt32BE(heightPx, at + 12)
  }
  return bytes
}

// SVG

export const svg = (inside: string, attributes = 'width="100" height="100"') =>
  Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ${attributes}>${inside}</svg>`,
  )

/** Few lines that make a renderer draw millions of shapes (trust E2). */
export function nestedUse(levels: number): Buffer {
  let body = '<g id="l0"><rect width="1" height="1"/></g>'
  for (let i = 1; i <= levels; i++) body += `<g id="l${i}">${`<use href="#l${i - 1}" x="1"/>`.repeat(10)}</g>`
  return svg(`<defs>${body}</defs><use href="#l${levels}"/>`)
}

/** The classic: entities of entities. */
export function laughs(levels: number): string {
  let text = '<!ENTITY l0 "ha">'
  for (let i = 1; i <= levels; i++) text += `<!ENTITY l${i} "${`&l${i - 1};`.repeat(10)}">`
  return text
}

/** A one-coloured picture of many pixels, through sharp. */
export function solid(widthPx: number, heightPx: number, channels: 3 | 4 = 3) {
  const background = channels === 3 ? '#123456' : { r: 10, g: 20, b: 30, alpha: 0.5 }
  return sharp({
    create: { width: widthPx, height: heightPx, channels, background },
    limitInputPixels: false,
  })
}

// PDF

/** A PDF of one page, or of as many as it claims. */
export function pdfOf(options: {
  box?: [number, number]
  pages?: number
  extra?: string
  content?: string
}): Buffer {
  const { box = [200, 100], pages = 1, extra = '', content = '0 0 1 rg 0 0 50 50 re f' } = options
  const objects = [
    `<</Type/Catalog/Pages 2 0 R${extra}>>`,
    `<</Type/Pages/Kids[${'3 0 R '.repeat(Math.min(pages, 1000))}]/Count ${pages}>>`,
    `<</Type/Page/Parent 2 0 R/MediaBox[0 0 ${box.join(' ')}]/Contents 4 0 R>>`,
    `<</Length ${content.length}>>stream\n${content}\nendstream`,
  ]
  let text = '%PDF-1.7\n'
  const offsets = objects.map((object, index) => {
    const at = text.length
    text += `${index + 1} 0 obj${object}endobj\n`
    return at
  })
  const table = offsets.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('')
  text += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer<</Size ${objects.length + 1}/Root 1 0 R>>\nstartxref\n${text.length}\n%%EOF`
  return Buffer.from(text, 'latin1')
}
