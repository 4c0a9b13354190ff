import { describe, expect, test } from 'vitest'
import {
  avif,
  box,
  exifSegment,
  gif,
  ispe,
  jpeg,
  jpegSegment,
  long,
  png,
  pngChunk,
  rational,
  short,
  tiff,
  u16be,
  u16le,
  u32be,
  u32le,
  vp8x,
  webp,
  webpChunk,
} from './build.ts'
import { headerFactsOf, inspectBytes } from './inspect-bytes.ts'

const size = { widthPx: 300, heightPx: 200 }
const oriented = (orientation: number) => tiff({ image: [short(0x0112, orientation)] })

function bmp(options: { widthPx: number; heightPx: number; headerBytes: number }): Buffer {
  const bytes = Buffer.alloc(120)
  bytes.write('BM')
  bytes.writeUInt32LE(bytes.length, 2)
  bytes.writeUInt32LE(options.headerBytes, 14)
  if (options.headerBytes === 12) {
    bytes.writeUInt16LE(options.widthPx, 18)
    bytes.writeUInt16LE(options.heightPx, 20)
  } else {
    bytes.writeInt32LE(options.widthPx, 18)
    bytes.writeInt32LE(options.heightPx, 22)
  }
  return bytes
}

function lossless(options: { widthPx: number; heightPx: number; hasAlpha: boolean }): Buffer {
  const bits = (options.widthPx - 1) | ((options.heightPx - 1) << 14) | (options.hasAlpha ? 1 << 28 : 0)
  return webpChunk('VP8L', Buffer.concat([Buffer.from([0x2f]), u32le(bits >>> 0), Buffer.alloc(8)]))
}

function lossy(widthPx: number, heightPx: number): Buffer {
  return webpChunk(
    'VP8 ',
    Buffer.concat([
      Buffer.from([0, 0, 0, 0x9d, 0x01, 0x2a]),
      u16le(widthPx),
      u16le(heightPx),
      Buffer.alloc(4),
    ]),
  )
}

describe('size, alpha and frames', () => {
  test.each<[string, Buffer, object]>([
    ['JPEG', jpeg(size), { ...size, hasAlpha: false }],
    ['JPEG with fill bytes', jpeg({ ...size, segments: [Buffer.from([0xff, 0xff])] }), size],
    ['PNG in colour', png({ ...size, colorType: 2 }), { ...size, hasAlpha: false }],
    ['PNG with alpha', png({ ...size, colorType: 6 }), { ...size, hasAlpha: true }],
    [
      'PNG with a transparent colour',
      png({ ...size, colorType: 3, chunks: [pngChunk('tRNS')] }),
      { hasAlpha: true },
    ],
    [
      'APNG',
      png({ ...size, colorType: 2, chunks: [pngChunk('acTL', Buffer.concat([u32be(7), u32be(0)]))] }),
      { pages: 7 },
    ],
    ['GIF', gif({ ...size, frames: 1 }), { ...size, hasAlpha: false }],
    ['animated GIF', gif({ ...size, frames: 3, transparent: true }), { ...size, hasAlpha: true, pages: 3 }],
    ['lossy WebP', webp([lossy(300, 200)]), { ...size, hasAlpha: false }],
    ['lossless WebP', webp([lossless({ ...size, hasAlpha: true })]), { ...size, hasAlpha: true }],
    ['opaque lossless WebP', webp([lossless({ ...size, hasAlpha: false })]), { ...size, hasAlpha: false }],
    ['extended WebP', webp([vp8x({ ...size, flags: 0x10 }), lossy(1, 1)]), { ...size, hasAlpha: true }],
    [
      'animated WebP',
      webp([
        vp8x({ ...size, flags: 0x02 }),
        webpChunk('ANMF', Buffer.alloc(5)),
        webpChunk('ANMF', Buffer.alloc(6)),
      ]),
      { ...size, hasAlpha: false, pages: 2 },
    ],
    ['AVIF', avif({ properties: [ispe(300, 200)] }), { ...size, hasAlpha: false }],
    ['AVIF with alpha', avif({ properties: [ispe(300, 200)], alpha: true }), { ...size, hasAlpha: true }],
    ['TIFF', tiff({ image: [long(0x0100, 300), short(0x0101, 200)] }), { ...size, hasAlpha: false }],
    [
      'TIFF with alpha',
      tiff({ image: [short(0x0100, 300), short(0x0101, 200), short(0x0152, 2)] }),
      { hasAlpha: true },
    ],
    [
      'TIFF of two pages',
      tiff({ image: [short(0x0100, 300), short(0x0101, 200)], thumbnail: [] }),
      { ...size, pages: 2 },
    ],
    ['BMP', bmp({ ...size, headerBytes: 40 }), { ...size, hasAlpha: false }],
    ['BMP from the top', bmp({ widthPx: 300, heightPx: -200, headerBytes: 40 }), size],
    ['old BMP', bmp({ ...size, headerBytes: 12 }), size],
    [
      'ICO',
      Buffer.concat([
        Buffer.from([0, 0, 1, 0, 2, 0]),
        Buffer.from([16, 16, 0, 0, 1, 0, 32, 0, 1, 0, 0, 0, 38, 0, 0, 0]),
        Buffer.from([0, 0, 0, 0, 1, 0, 32, 0, 1, 0, 0, 0, 38, 0, 0, 0, 0]),
      ]),
      { widthPx: 256, heightPx: 256 },
    ],
    [
      'PSD',
      Buffer.concat([
        Buffer.from('8BPS\0\x01\0\0\0\0\0\0\0\x03'),
        u32be(200),
        u32be(300),
        u16be(8),
        u16be(3),
      ]),
      size,
    ],
    [
      'JPEG 2000',
      Buffer.concat([
        Buffer.from('0000000c6a5020200d0a870a', 'hex'),
        box('ftyp', Buffer.from('jp2 \0\0\0\0jp2 ')),
        box('jp2h', box('ihdr', u32be(200), u32be(300), Buffer.alloc(6))),
      ]),
      size,
    ],
    // Not small; height 9 bits: 199; no ratio; width 9 bits: 299.
    ['JPEG XL', Buffer.concat([Buffer.from([0xff, 0x0a, 0x38, 0x06, 0x56, 0x02]), Buffer.alloc(20)]), size],
  ])('%s', async (_, bytes, expected) => {
    expect(await inspectBytes(bytes)).toMatchObject({ kind: 'image', fileType: 'image', ...expected })
  })

  test('are found beyond the head', async () => {
    const filler = Array.from({ length: 10 }, () => jpegSegment(0xe5, Buffer.alloc(60_000)))
    expect(await inspectBytes(jpeg({ ...size, segments: filler }))).toMatchObject(size)
  })
})

describe('SVG', () => {
  test.each<[string, object]>([
    ['width="300" height="200"', size],
    ['width="300px" height="200.4"', size],
    ['width=\'3in\' height="2in"', { widthPx: 288, heightPx: 192 }],
    ['width="10cm" height="25.4mm"', { widthPx: 378, heightPx: 96 }],
    ['viewBox="0 0 300 200"', size],
    ['viewBox="-5,-5,300,200" width="100%" height="100%"', size],
    ['viewBox="0 0 30 20" width="300"', size],
    ['viewBox="0 0 30 20" height="200" width="auto"', size],
    ['width="300"', {}],
    ['width="-3" height="2"', {}],
    ['width="1e400" height="2"', {}],
    ['width="1e300" height="2"', {}],
    ['viewBox="0 0 0 0"', {}],
    ['viewBox="a b c d" width="&#x31;" height="2"', {}],
    ['', {}],
  ])('<svg %s>', async (attributes, expected) => {
    const { widthPx, heightPx, hasAlpha } = await inspectBytes(
      Buffer.from(`<svg ${attributes}></svg>`),
      'a.svg',
    )
    expect({ widthPx, heightPx, hasAlpha }).toEqual({
      widthPx: undefined,
      heightPx: undefined,
      hasAlpha: true,
      ...expected,
    })
  })
})

describe('orientation', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    '%i, from EXIF in a JPEG; the size stays as stored',
    async (orientation) => {
      const segments = [exifSegment(oriented(orientation))]
      expect(await inspectBytes(jpeg({ ...size, segments }))).toMatchObject({ ...size, orientation })
    },
  )

  test.each([0, 9, 65535])('%i is none', async (orientation) => {
    const inspection = await inspectBytes(jpeg({ ...size, segments: [exifSegment(oriented(orientation))] }))
    expect(inspection.orientation).toBeUndefined()
  })

  test('one and a half is none', async () => {
    const block = tiff({ image: [rational(0x0112, [3, 2])] })
    const inspection = await inspectBytes(jpeg({ ...size, segments: [exifSegment(block)] }))
    expect(inspection.orientation).toBeUndefined()
  })

  test('from EXIF in PNG and WebP', async () => {
    const chunks = [pngChunk('eXIf', oriented(6))]
    expect(await inspectBytes(png({ ...size, colorType: 2, chunks }))).toMatchObject({ orientation: 6 })
    const bytes = webp([vp8x({ ...size, flags: 0x08 }), lossy(300, 200), webpChunk('EXIF', oriented(8))])
    expect(await inspectBytes(bytes)).toMatchObject({ orientation: 8 })
    const prefixed = Buffer.concat([Buffer.from('Exif\0\0'), oriented(3)])
    const other = webp([vp8x({ ...size, flags: 0x08 }), lossy(300, 200), webpChunk('EXIF', prefixed)])
    expect(await inspectBytes(other)).toMatchObject({ orientation: 3 })
  })

  test.each([
    [0, undefined, 1],
    [1, undefined, 8],
    [2, undefined, 3],
    [3, undefined, 6],
    [undefined, 0, 4],
    [undefined, 1, 2],
    [1, 0, 7],
    [1, 1, 5],
    [3, 0, 5],
    [3, 1, 7],
  ])('from an AVIF turned %s quarters and mirrored by %s: %i', async (turns, mirror, orientation) => {
    const properties = [ispe(300, 200)]
    if (turns !== undefined) properties.push(box('irot', Buffer.from([turns])))
    if (mirror !== undefined) properties.push(box('imir', Buffer.from([mirror])))
    expect(await inspectBytes(avif({ properties }))).toMatchObject({ ...size, orientation })
  })
})

describe('facts of the headers', () => {
  const LUMINANCE_50 = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40,
    58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104,
    103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
  ]
  const table = (quality: number) => {
    const scale = quality < 50 ? 5000 / quality : 200 - quality * 2
    const values = LUMINANCE_50.map((value) =>
      Math.min(255, Math.max(1, Math.floor((value * scale + 50) / 100))),
    )
    return jpegSegment(0xdb, Buffer.from([0, ...values]))
  }

  test.each([10, 25, 50, 75, 80, 90, 95, 100])('a JPEG of quality %i', async (quality) => {
    const facts = await headerFactsOf(jpeg({ ...size, segments: [table(quality)] }), 'jpg')
    expect(Math.abs(facts.quality - quality)).toBeLessThanOrEqual(1)
  })

  test('what is not told has a default', async () => {
    expect(await headerFactsOf(jpeg(size), 'jpg')).toEqual({
      hasColorProfile: false,
      quality: 0,
      density: 72,
      exif: { image: {}, thumbnail: {}, exif: {}, gps: {}, interoperability: {}, makernote: {} },
    })
  })

  test.each<[string, string, Buffer, number]>([
    [
      'JFIF in inches',
      'jpg',
      jpeg({ ...size, segments: [jpegSegment(0xe0, 'JFIF\0\x01\x01\x01\x01\x2c\x01\x2c\0\0')] }),
      300,
    ],
    [
      'JFIF in centimetres',
      'jpg',
      jpeg({ ...size, segments: [jpegSegment(0xe0, 'JFIF\0\x01\x01\x02\0\x64\0\x64\0\0')] }),
      254,
    ],
    [
      'EXIF',
      'jpg',
      jpeg({
        ...size,
        segments: [exifSegment(tiff({ image: [rational(0x011a, [240, 1]), short(0x0128, 2)] }))],
      }),
      240,
    ],
    [
      'EXIF divided by zero',
      'jpg',
      jpeg({ ...size, segments: [exifSegment(tiff({ image: [rational(0x011a, [240, 0])] }))] }),
      72,
    ],
    [
      'PNG',
      'png',
      png({
        ...size,
        colorType: 2,
        chunks: [pngChunk('pHYs', Buffer.concat([u32be(5906), u32be(5906), Buffer.from([1])]))],
      }),
      150,
    ],
  ])('density of %s', async (_, format, bytes, density) => {
    expect((await headerFactsOf(bytes, format)).density).toBe(density)
  })

  test.each<[string, string, Buffer]>([
    ['JPEG', 'jpg', jpeg({ ...size, segments: [jpegSegment(0xe2, 'ICC_PROFILE\0\x01\x01')] })],
    ['PNG', 'png', png({ ...size, colorType: 2, chunks: [pngChunk('iCCP', Buffer.from('a\0\0'))] })],
    ['WebP', 'webp', webp([vp8x({ ...size, flags: 0x20 }), webpChunk('ICCP', Buffer.alloc(4))])],
    ['AVIF', 'avif', avif({ properties: [ispe(1, 1), box('colr', Buffer.from('prof'))] })],
    ['TIFF', 'tiff', tiff({ image: [long(0x8773, 1)] })],
  ])('a colour profile in %s', async (_, format, bytes) => {
    expect((await headerFactsOf(bytes, format)).hasColorProfile).toBe(true)
  })
})

describe('broken images are stored without a size', () => {
  test.each<[string, Buffer]>([
    [
      'a JPEG cut in its first segment',
      jpeg({ ...size, segments: [jpegSegment(0xe0, 'JFIF\0')] }).subarray(0, 9),
    ],
    ['a JPEG of height 0', jpeg({ widthPx: 300, heightPx: 0 })],
    ['a PNG cut in its header', png({ ...size, colorType: 2 }).subarray(0, 20)],
    ['HTML behind six bytes of GIF', Buffer.from('GIF89a<html><script>alert(1)</script></html>')],
    ['a WebP of chunks that say nothing', webp([webpChunk('JUNK', Buffer.alloc(10))])],
    [
      'a TIFF whose directory lies outside',
      Buffer.concat([Buffer.from('II*\0'), u32le(0xffffffff), Buffer.alloc(8)]),
    ],
    ['a TIFF of one and a half pixels', tiff({ image: [rational(0x0100, [3, 2]), short(0x0101, 10)] })],
    ['a PNG of 2^32 - 1 pixels a side', png({ widthPx: 0xffffffff, heightPx: 0xffffffff, colorType: 2 })],
    ['an AVIF without a primary item', box('ftyp', Buffer.from('avif\0\0\0\0avif'))],
  ])('%s', async (_, bytes) => {
    const inspection = await inspectBytes(bytes)
    expect(inspection).toMatchObject({ kind: 'image', fileType: 'image' })
    expect(inspection.widthPx).toBeUndefined()
    expect(inspection.heightPx).toBeUndefined()
  })
})

describe('crafted files end', () => {
  const rdf = (body: string) =>
    `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">${body}</rdf:RDF></x:xmpmeta>`
  const withXmp = (xml: string) =>
    png({
      ...size,
      colorType: 2,
      chunks: [
        pngChunk('iTXt', Buffer.concat([Buffer.from('XML:com.adobe.xmp\0\0\0\0\0'), Buffer.from(xml)])),
      ],
    })

  test('directories that point at themselves and at each other', async () => {
    const loop = tiff({ image: [short(0x0100, 300), short(0x0101, 200), long(0x8769, 8)] })
    loop.writeUInt32LE(8, loop.length - 4)
    expect(await inspectBytes(loop)).toMatchObject(size)
  })

  test('a chain of directories longer than any document', async () => {
    const bytes = Buffer.alloc(100_000)
    bytes.write('II*\0')
    bytes.writeUInt32LE(8, 4)
    for (let at = 8; at + 12 < bytes.length; at += 6) bytes.writeUInt32LE(at + 6, at + 2)
    expect((await inspectBytes(bytes)).pages).toBe(1000)
  })

  test('entries that all point at the same bytes', async () => {
    const shared = 60_000
    const image = Array.from({ length: 4000 }, (_, index) => ({ ...long(index + 1, 0), count: 15_000 }))
    const bytes = Buffer.concat([tiff({ image }), Buffer.alloc(200_000)])
    for (let index = 0; index < image.length; index++) bytes.writeUInt32LE(shared, 10 + index * 12 + 8)
    expect(await inspectBytes(bytes)).toMatchObject({ kind: 'image' })
  })

  test('a million little blocks', async () => {
    const blocks = Buffer.concat([
      gif({ ...size, frames: 1 }).subarray(0, -1),
      Buffer.alloc(3_000_000, '21ff00', 'hex'),
    ])
    expect(await inspectBytes(blocks)).toMatchObject(size)
    const chunks = Buffer.concat([png({ ...size, colorType: 2 }).subarray(0, 33), Buffer.alloc(3_000_000)])
    expect(await inspectBytes(chunks)).toMatchObject(size)
    const frames = webp([vp8x({ ...size, flags: 2 }), Buffer.alloc(1_000_000)])
    expect(await inspectBytes(frames)).toMatchObject(size)
    const fill = jpeg({ ...size, segments: [Buffer.alloc(1_000_000, 0xff)] })
    expect(await inspectBytes(fill)).toMatchObject({ kind: 'image' })
  })

  test.each<[string, string]>([
    [
      'entities that a document declares',
      `<!DOCTYPE a [<!ENTITY b "c">]>${rdf('<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="x"/>')}`,
    ],
    ['entities that nobody declares', rdf('<rdf:Description xmlns:a="u" a:b="&c;"/>')],
    ['elements without an end', rdf('<rdf:Description>'.repeat(20_000))],
    ['elements beyond counting', rdf(`<rdf:Description>${'<a:b>1</a:b>'.repeat(50_000)}</rdf:Description>`)],
    ['brackets', '<'.repeat(200_000)],
    ['white space', rdf(`<rdf:Description ${' '.repeat(200_000)}`)],
  ])('XMP of %s', async (_, xml) => {
    expect(await inspectBytes(withXmp(xml))).toMatchObject({ ...size, embedded: {} })
  })

  test('XMP whose names grow with its depth', async () => {
    const name = `a:${'n'.repeat(50_000)}`
    const xml = rdf(
      `<rdf:Description><${name} xmlns:a="u">${'<a:b>1</a:b>'.repeat(10_000)}</${name}></rdf:Description>`,
    )
    expect((await inspectBytes(withXmp(xml))).embedded).toEqual({})
  })

  test('a compressed packet that grows beyond all measure', async () => {
    const { deflateSync } = await import('node:zlib')
    const bomb = deflateSync(Buffer.alloc(50_000_000))
    const chunk = Buffer.concat([Buffer.from('XML:com.adobe.xmp\0\x01\0\0\0'), bomb])
    expect(
      await inspectBytes(png({ ...size, colorType: 2, chunks: [pngChunk('iTXt', chunk)] })),
    ).toMatchObject(size)
  })
})
