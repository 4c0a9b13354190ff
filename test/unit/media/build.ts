/** Builds tiny files of many formats, field by field, so that tests say what a parser must find. */
export function u16be(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32be(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function u16le(value: number): Buffer {
  return u16be(value).swap16()
}

export function u32le(value: number): Buffer {
  return u32be(value).swap32()
}

export function jpegSegment(marker: number, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body as string, 'latin1')
  return Buffer.concat([Buffer.from([0xff, marker]), u16be(bytes.length + 2), bytes])
}

/** A JPEG's headers; nothing after the start of scan. */
export function jpeg(options: { widthPx: number; heightPx: number; segments?: Buffer[] }): Buffer {
  const frame = Buffer.concat([
    Buffer.from([8]),
    u16be(options.heightPx),
    u16be(options.widthPx),
    Buffer.from([3]),
  ])
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    ...(options.segments ?? []),
    jpegSegment(0xc0, frame),
    jpegSegment(0xda, Buffer.alloc(4)),
  ])
}

export function pngChunk(type: string, body: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32be(body.length), Buffer.from(type), body, Buffer.alloc(4)])
}

export function png(options: {
  widthPx: number
  heightPx: number
  colorType: number
  chunks?: Buffer[]
}): Buffer {
  const { widthPx, heightPx, colorType } = options
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', Buffer.concat([u32be(widthPx), u32be(heightPx), Buffer.from([8, colorType, 0, 0, 0])])),
    ...(options.chunks ?? []),
    pngChunk('IEND'),
  ])
}

export function gif(options: {
  widthPx: number
  heightPx: number
  frames: number
  transparent?: boolean
}): Buffer {
  const frame = Buffer.concat([
    Buffer.from([0x21, 0xf9, 4, options.transparent ? 1 : 0, 0, 0, 0, 0]),
    Buffer.from([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4c, 0x01, 0]),
  ])
  return Buffer.concat([
    Buffer.from('GIF89a'),
    u16le(options.widthPx),
    u16le(options.heightPx),
    Buffer.from([0x80, 0, 0, 0, 0, 0, 255, 255, 255]),
    ...Array.from({ length: options.frames }, () => frame),
    Buffer.from([0x3b]),
  ])
}

export function webpChunk(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), u32le(body.length), body, Buffer.alloc(body.length & 1)])
}

export function webp(chunks: Buffer[]): Buffer {
  const body = Buffer.concat(chunks)
  return Buffer.concat([Buffer.from('RIFF'), u32le(body.length + 4), Buffer.from('WEBP'), body])
}

export function vp8x(options: { flags: number; widthPx: number; heightPx: number }): Buffer {
  const body = Buffer.alloc(10)
  body[0] = options.flags
  body.writeUIntLE(options.widthPx - 1, 4, 3)
  body.writeUIntLE(options.heightPx - 1, 7, 3)
  return webpChunk('VP8X', body)
}

export function box(type: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([u32be(body.length + 8), Buffer.from(type, 'latin1'), body])
}

const FULL = Buffer.alloc(4)

/** An AVIF with one primary item and, if asked, an alpha item; `properties` go to the primary one. */
export function avif(options: { properties: Buffer[]; alpha?: boolean; extra?: Buffer[] }): Buffer {
  const alpha = box('auxC', FULL, Buffer.from('urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0'))
  const all = [...options.properties, alpha]
  const own = Buffer.from([options.properties.length, ...options.properties.map((_, index) => index + 1)])
  const associations = [Buffer.concat([u16be(1), own])]
  if (options.alpha) associations.push(Buffer.concat([u16be(2), Buffer.from([1, all.length])]))
  return Buffer.concat([
    box('ftyp', Buffer.from('avif'), Buffer.alloc(4), Buffer.from('avifmif1')),
    box(
      'meta',
      FULL,
      box('pitm', FULL, u16be(1)),
      box('iprp', box('ipco', ...all), box('ipma', FULL, u32be(associations.length), ...associations)),
      ...(options.extra ?? []),
    ),
  ])
}

export function ispe(widthPx: number, heightPx: number): Buffer {
  return box('ispe', FULL, u32be(widthPx), u32be(heightPx))
}

export type TiffField = { tag: number; type: number; count: number; data: Buffer }

export const ascii = (tag: number, text: string): TiffField => {
  const data = Buffer.from(`${text}\0`)
  return { tag, type: 2, count: data.length, data }
}
export const short = (tag: number, ...values: number[]): TiffField => ({
  tag,
  type: 3,
  count: values.length,
  data: Buffer.concat(values.map(u16le)),
})
export const long = (tag: number, ...values: number[]): TiffField => ({
  tag,
  type: 4,
  count: values.length,
  data: Buffer.concat(values.map(u32le)),
})
export const byte = (tag: number, ...values: number[]): TiffField => ({
  tag,
  type: 1,
  count: values.length,
  data: Buffer.from(values),
})
export const rational = (tag: number, ...pairs: [number, number][]): TiffField => ({
  tag,
  type: 5,
  count: pairs.length,
  data: Buffer.concat(pairs.flat().map(u32le)),
})
export const signedRational = (tag: number, numerator: number, denominator: number): TiffField => {
  const data = Buffer.alloc(8)
  data.writeInt32LE(numerator)
  data.writeInt32LE(denominator, 4)
  return { tag, type: 10, count: 1, data }
}
export const undefinedBytes = (tag: number, data: Buffer | string): TiffField => ({
  tag,
  type: 7,
  count: data.length,
  data: Buffer.from(data as string, 'latin1'),
})

/** A little-endian TIFF structure; sub-directories are appended and linked. */
export function tiff(options: {
  image: TiffField[]
  exif?: TiffField[]
  gps?: TiffField[]
  thumbnail?: TiffField[]
}): Buffer {
  let next = 8
  const place = (fields: TiffField[]) => {
    const at = next
    next +=
      2 +
      fields.length * 12 +
      4 +
      fields.reduce((sum, { data }) => sum + (data.length > 4 ? data.length : 0), 0)
    return at
  }
  const image = [...options.image]
  if (options.exif) image.push(long(0x8769, 0))
  if (options.gps) image.push(long(0x8825, 0))
  const imageAt = place(image)
  const link = (tag: number, fields: TiffField[] | undefined) => {
    if (!fields) return undefined
    const at = place(fields)
    image[image.findIndex((field) => field.tag === tag)] = long(tag, at)
    return { at, fields }
  }
  const parts = [link(0x8769, options.exif), link(0x8825, options.gps)].filter((part) => part !== undefined)
  const thumbnailAt = options.thumbnail ? place(options.thumbnail) : 0
  const directories = [
    writeDirectory(imageAt, image, thumbnailAt),
    ...parts.map(({ at, fields }) => writeDirectory(at, fields, 0)),
    ...(options.thumbnail ? [writeDirectory(thumbnailAt, options.thumbnail, 0)] : []),
  ]
  return Buffer.concat([Buffer.from('II*\0'), u32le(imageAt), ...directories])
}

function writeDirectory(at: number, fields: TiffField[], nextAt: number): Buffer {
  let valueAt = at + 2 + fields.length * 12 + 4
  const values: Buffer[] = []
  const entries = fields.map(({ tag, type, count, data }) => {
    const start = [u16le(tag), u16le(type), u32le(count)]
    if (data.length <= 4) return Buffer.concat([...start, data, Buffer.alloc(4 - data.length)])
    values.push(data)
    valueAt += data.length
    return Buffer.concat([...start, u32le(valueAt - data.length)])
  })
  return Buffer.concat([u16le(fields.length), ...entries, u32le(nextAt), ...values])
}

/** The EXIF segment of a JPEG. */
export function exifSegment(block: Buffer): Buffer {
  return jpegSegment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), block]))
}

export function xmpSegment(xml: string): Buffer {
  return jpegSegment(0xe1, Buffer.concat([Buffer.from('http://ns.adobe.com/xap/1.0/\0'), Buffer.from(xml)]))
}

export function dataset(record: number, key: number, data: Buffer | string): Buffer {
  const bytes = Buffer.from(data as string)
  return Buffer.concat([Buffer.from([0x1c, record, key]), u16be(bytes.length), bytes])
}

/** The Photoshop segment of a JPEG with IPTC records in it. */
export function iptcSegment(...datasets: Buffer[]): Buffer {
  const records = Buffer.concat(datasets)
  const resource = Buffer.concat([
    Buffer.from('8BIM\x04\x04\0\0', 'latin1'),
    u32be(records.length),
    records,
    Buffer.alloc(records.length & 1),
  ])
  return jpegSegment(0xed, Buffer.concat([Buffer.from('Photoshop 3.0\0'), resource]))
}
