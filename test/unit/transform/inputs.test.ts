import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TintypeError } from '../../../src/kernel/errors.ts'
import type { Output, SourceFile } from '../../../src/transform/transform.ts'
import { pdf } from '../../support/pdf.ts'
import { openRig, pixelsOf, type Rig } from './rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await openRig()
})
afterAll(() => rig.close())

type Rgba = [number, number, number] | [number, number, number, number]
const RED: Rgba = [255, 0, 0]
const GREEN: Rgba = [0, 255, 0]
const BLUE: Rgba = [0, 0, 255]
const WHITE: Rgba = [255, 255, 255]

/** The pixels of what a file is rendered to. */
async function rowsOf(source: SourceFile, text = 't-false'): Promise<number[][][]> {
  const { bytes } = await rig.render(source, text)
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
  return Array.from({ length: info.height }, (_, y) =>
    Array.from({ length: info.width }, (_, x) => {
      const at = (y * info.width + x) * info.channels
      return [...data.subarray(at, at + info.channels)]
    }),
  )
}
const failureOf = (source: SourceFile, text: string) =>
  rig.render(source, text).then(
    () => undefined,
    (error: TintypeError) => `${error.kind}: ${error.message}`,
  )

/** A BMP file of a header of 40 bytes. */
function bmp(options: {
  width: number
  height: number
  bits: number
  pixels: number[]
  compression?: number
  palette?: Rgba[]
  masks?: number[]
}): Buffer {
  const { width, height, bits, pixels, compression = 0, palette = [], masks = [] } = options
  const table = Buffer.alloc(palette.length * 4 + masks.length * 4)
  for (const [index, [r, g, b]] of palette.entries()) table.set([b, g, r, 0], index * 4)
  for (const [index, mask] of masks.entries()) table.writeUInt32LE(mask >>> 0, index * 4)
  const head = Buffer.alloc(54)
  head.write('BM', 'latin1')
  head.writeUInt32LE(54 + table.length + pixels.length, 2)
  head.writeUInt32LE(54 + table.length, 10)
  head.writeUInt32LE(40, 14)
  head.writeInt32LE(width, 18)
  head.writeInt32LE(height, 22)
  head.writeUInt16LE(1, 26)
  head.writeUInt16LE(bits, 28)
  head.writeUInt32LE(compression, 30)
  head.writeUInt32LE(palette.length, 46)
  return Buffer.concat([head, table, Buffer.from(pixels)])
}

describe('BMP', () => {
  const expected = [
    [RED, GREEN],
    [BLUE, WHITE],
  ]
  test.each<[string, Parameters<typeof bmp>[0]]>([
    [
      '24 bits, from the bottom',
      { width: 2, height: 2, bits: 24, pixels: [255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0] },
    ],
    [
      '24 bits, from the top',
      {
        width: 2,
        height: -2,
        bits: 24,
        pixels: [0, 0, 255, 0, 255, 0, 0, 0, 255, 0, 0, 255, 255, 255, 0, 0],
      },
    ],
    [
      '32 bits without alpha',
      {
        width: 2,
        height: -2,
        bits: 32,
        pixels: [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0],
      },
    ],
    [
      '8 bits',
      {
        width: 2,
        height: -2,
        bits: 8,
        palette: [RED, GREEN, BLUE, WHITE],
        pixels: [0, 1, 0, 0, 2, 3, 0, 0],
      },
    ],
    [
      '4 bits',
      {
        width: 2,
        height: -2,
        bits: 4,
        palette: [RED, GREEN, BLUE, WHITE],
        pixels: [0x01, 0, 0, 0, 0x23, 0, 0, 0],
      },
    ],
    [
      '16 bits with masks 5-6-5',
      {
        width: 2,
        height: -2,
        bits: 16,
        compression: 3,
        masks: [0xf800, 0x7e0, 0x1f],
        pixels: [0, 0xf8, 0xe0, 0x07, 0x1f, 0, 0xff, 0xff],
      },
    ],
    [
      'runs of 8 bits',
      {
        width: 2,
        height: 2,
        bits: 8,
        compression: 1,
        palette: [RED, GREEN, BLUE, WHITE],
        pixels: [1, 2, 1, 3, 0, 0, 1, 0, 1, 1, 0, 1],
      },
    ],
    [
      'runs of 4 bits',
      {
        width: 2,
        height: 2,
        bits: 4,
        compression: 2,
        palette: [RED, GREEN, BLUE, WHITE],
        pixels: [2, 0x23, 0, 0, 2, 0x01, 0, 1],
      },
    ],
  ])('%s', async (_, options) => {
    const rows = await rowsOf(await rig.file('bmp', bmp(options)))
    expect(rows.map((row) => row.map((pixel) => pixel.slice(0, 3)))).toEqual(expected)
  })
  test('1 bit, and alpha', async () => {
    const bits = bmp({ width: 3, height: -1, bits: 1, palette: [RED, BLUE], pixels: [0b01000000, 0, 0, 0] })
    expect(await rowsOf(await rig.file('bmp', bits))).toEqual([[RED, BLUE, RED]])
    const alpha = bmp({ width: 2, height: -1, bits: 32, pixels: [0, 0, 255, 128, 0, 255, 0, 255] })
    expect(await rowsOf(await rig.file('bmp', alpha))).toEqual([
      [
        [255, 0, 0, 128],
        [0, 255, 0, 255],
      ],
    ])
  })
  test('is transformed like any image', async () => {
    const file = await rig.file(
      'bmp',
      bmp({ width: 2, height: -1, bits: 24, pixels: [0, 0, 255, 0, 255, 0, 0, 0] }),
    )
    expect(await pixelsOf((await rig.render(file, 'fl-h')).bytes)).toBeDefined()
    expect((await rowsOf(file, 'fl-h'))[0]!.map((pixel) => pixel.slice(0, 3))).toEqual([GREEN, RED])
  })
  test.each([
    ['a size that is a lie', bmp({ width: 100_000, height: 100_000, bits: 24, pixels: [0] })],
    ['cut pixels', bmp({ width: 100, height: 100, bits: 24, pixels: [0, 0] })],
    ['no size', bmp({ width: 0, height: 5, bits: 24, pixels: [] })],
    ['a strange depth', bmp({ width: 1, height: 1, bits: 7, pixels: [0, 0, 0, 0] })],
    ['a strange compression', bmp({ width: 1, height: 1, bits: 24, compression: 9, pixels: [0, 0, 0, 0] })],
    ['a header only', Buffer.from('BM')],
  ])('%s is refused', async (_, bytes) => {
    expect(await failureOf(await rig.file('bmp', bytes), 'w-5')).toMatch(/^bad-request/)
  })
})

/** An icon file. */
function ico(pictures: { side: number; bytes: Buffer }[]): Buffer {
  const head = Buffer.alloc(6 + pictures.length * 16)
  head.writeUInt16LE(1, 2)
  head.writeUInt16LE(pictures.length, 4)
  let at = head.length
  pictures.forEach(({ side, bytes }, index) => {
    head.writeUInt8(side % 256, 6 + index * 16)
    head.writeUInt8(side % 256, 7 + index * 16)
    head.writeUInt32LE(bytes.length, 14 + index * 16)
    head.writeUInt32LE(at, 18 + index * 16)
    at += bytes.length
  })
  return Buffer.concat([head, ...pictures.map(({ bytes }) => bytes)])
}

describe('ICO', () => {
  const bitmap = bmp({
    width: 2,
    height: 4,
    bits: 24,
    // From the bottom: blue and white, then red and green; then the mask, that hides the lower right one.
    pixels: [255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0, 0b01000000, 0, 0, 0, 0, 0, 0, 0],
  }).subarray(14)

  test('a bitmap with its mask', async () => {
    const file = await rig.file('ico', ico([{ side: 2, bytes: bitmap }]))
    expect(await rowsOf(file)).toEqual([
      [
        [...RED, 255],
        [...GREEN, 255],
      ],
      [
        [...BLUE, 255],
        [...WHITE, 0],
      ],
    ])
  })
  test('the largest picture, a PNG here', async () => {
    const large = await sharp({ create: { width: 256, height: 256, channels: 4, background: '#00ff0080' } })
      .png()
      .toBuffer()
    const file = await rig.file(
      'ico',
      ico([
        { side: 2, bytes: bitmap },
        { side: 256, bytes: large },
      ]),
    )
    expect(await rig.render(file, 'w-64')).toMatchObject({ widthPx: 64, heightPx: 64 })
  })
  test.each([
    ['none', ico([])],
    ['a picture that lies elsewhere', ico([{ side: 2, bytes: Buffer.alloc(0) }])],
    ['a cut head', Buffer.from('00000100', 'hex')],
  ])('%s is refused', async (_, bytes) => {
    expect(await failureOf(await rig.file('ico', bytes), 'w-5')).toMatch(/^bad-request/)
  })
})

/** A Photoshop file with a flattened picture, given as planes. */
function psd(options: {
  width: number
  height: number
  mode: number
  planes: number[][]
  depth?: number
  packed?: boolean
  colors?: Buffer
  transparent?: boolean
}): Buffer {
  const { width, height, mode, planes, depth = 8, packed = false, colors = Buffer.alloc(0) } = options
  const head = Buffer.alloc(26)
  head.write('8BPS', 'latin1')
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(planes.length, 12)
  head.writeUInt32BE(height, 14)
  head.writeUInt32BE(width, 18)
  head.writeUInt16BE(depth, 22)
  head.writeUInt16BE(mode, 24)
  const section = (bytes: Buffer) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const layers = options.transparent ? section(Buffer.from([0xff, 0xff])) : Buffer.alloc(0)
  const rows = planes.flatMap((plane) =>
    Array.from({ length: height }, (_, y) =>
      plane.slice(y * (plane.length / height), (y + 1) * (plane.length / height)),
    ),
  )
  const body = packed
    ? Buffer.concat([
        Buffer.from([0, 1]),
        Buffer.from(rows.flatMap((row) => [0, row.length + 1])),
        Buffer.from(rows.flatMap((row) => [row.length - 1, ...row])),
      ])
    : Buffer.concat([Buffer.from([0, 0]), Buffer.from(rows.flat())])
  return Buffer.concat([head, section(colors), section(Buffer.alloc(0)), section(layers), body])
}

describe('PSD', () => {
  const rgb = [
    [255, 0, 0, 255],
    [0, 255, 0, 255],
    [0, 0, 255, 255],
  ]
  const expected = [
    [RED, GREEN],
    [BLUE, WHITE],
  ]
  test.each([
    ['RGB', psd({ width: 2, height: 2, mode: 3, planes: rgb })],
    ['packed RGB', psd({ width: 2, height: 2, mode: 3, planes: rgb, packed: true })],
    [
      '16 bits',
      psd({
        width: 2,
        height: 2,
        mode: 3,
        depth: 16,
        planes: rgb.map((plane) => plane.flatMap((v) => [v, 7])),
      }),
    ],
    [
      'more channels that are no transparency',
      psd({ width: 2, height: 2, mode: 3, planes: [...rgb, [1, 2, 3, 4]] }),
    ],
    [
      'CMYK',
      psd({
        width: 2,
        height: 2,
        mode: 4,
        planes: [
          [255, 0, 0, 255],
          [0, 255, 0, 255],
          [0, 0, 255, 255],
          [255, 255, 255, 255],
        ],
      }),
    ],
    [
      'indexed',
      psd({
        width: 2,
        height: 2,
        mode: 2,
        planes: [[0, 1, 2, 3]],
        colors: Buffer.concat(
          [
            [255, 0, 0, 255],
            [0, 255, 0, 255],
            [0, 0, 255, 255],
          ].map((plane) => Buffer.concat([Buffer.from(plane), Buffer.alloc(252)])),
        ),
      }),
    ],
  ])('%s', async (_, bytes) => {
    expect(await rowsOf(await rig.file('psd', bytes))).toEqual(expected)
  })
  test('transparency and grey', async () => {
    const clear = psd({ width: 1, height: 1, mode: 3, planes: [[9], [8], [7], [6]], transparent: true })
    expect(await rowsOf(await rig.file('psd', clear))).toEqual([[[9, 8, 7, 6]]])
    const grey = psd({ width: 2, height: 1, mode: 1, planes: [[9, 200]] })
    expect((await rowsOf(await rig.file('psd', grey)))[0]!.map(([v]) => v)).toEqual([9, 200])
  })
  test('layers are refused, not silently something else', async () => {
    const file = await rig.file('psd', psd({ width: 2, height: 2, mode: 3, planes: rgb }))
    for (const pages of ['pg-1', 'pg-1_2', 'pg-name-"a"']) {
      expect(await failureOf(file, pages)).toMatch(/^not-implemented: Layers of Photoshop/)
    }
  })
  test.each([
    ['a size that is a lie', psd({ width: 60_000, height: 60_000, mode: 3, planes: [[], [], []] })],
    ['cut pixels', psd({ width: 9, height: 9, mode: 3, planes: rgb })],
    ['a missing channel', psd({ width: 2, height: 2, mode: 3, planes: rgb.slice(1) })],
    ['an unknown mode', psd({ width: 2, height: 2, mode: 9, planes: rgb })],
    ['a head only', Buffer.from('8BPS')],
  ])('%s is refused', async (_, bytes) => {
    expect(await failureOf(await rig.file('psd', bytes), 'w-5')).toMatch(/^bad-request/)
  })
})

/** A TIFF of uncompressed pages of one colour each. */
function tiff(pages: { width: number; height: number; color: Rgba }[]): Buffer {
  const parts: Buffer[] = [Buffer.from([0x49, 0x49, 42, 0, 0, 0, 0, 0])]
  let at = 8
  let link = { part: 0, offset: 4 }
  for (const { width, height, color } of pages) {
    const pixels = Buffer.from(Array.from({ length: width * height }, () => color).flat())
    const padded = pixels.length % 2 === 0 ? pixels : Buffer.concat([pixels, Buffer.alloc(1)])
    const dataAt = at
    parts.push(padded)
    at += padded.length
    const entries = [
      [256, 4, 1, width],
      [257, 4, 1, height],
      [258, 3, 1, 8],
      [259, 3, 1, 1],
      [262, 3, 1, 2],
      [273, 4, 1, dataAt],
      [277, 3, 1, 3],
      [278, 4, 1, height],
      [279, 4, 1, pixels.length],
    ]
    const directory = Buffer.alloc(2 + entries.length * 12 + 4)
    directory.writeUInt16LE(entries.length)
    entries.forEach(([tag, type, count, value], index) => {
      directory.writeUInt16LE(tag!, 2 + index * 12)
      directory.writeUInt16LE(type!, 4 + index * 12)
      directory.writeUInt32LE(count!, 6 + index * 12)
      directory.writeUInt32LE(value!, 10 + index * 12)
    })
    parts[link.part]!.writeUInt32LE(at, link.offset)
    link = { part: parts.length, offset: directory.length - 4 }
    parts.push(directory)
    at += directory.length
  }
  return Buffer.concat(parts)
}

describe('pages', () => {
  const PAGES = [
    { width: 30, height: 20, color: RED },
    { width: 10, height: 40, color: BLUE },
  ]
  let files: SourceFile[]
  beforeAll(async () => {
    files = [
      await rig.file('tiff', tiff(PAGES)),
      await rig.file(
        'pdf',
        pdf(
          PAGES.map(({ width, height, color }) => ({
            width,
            height,
            rgb: color.map((v) => v / 255) as [number, number, number],
          })),
        ),
      ),
    ]
  })

  test('the first one by default, others by pg, each in its own size', async () => {
    for (const file of files) {
      const first = await rowsOf(file)
      expect([first[0]!.length, first.length, first[5]![5]]).toEqual([30, 20, RED])
      const second = await rowsOf(file, 'pg-2')
      expect([second[0]!.length, second.length, second[5]![5]]).toEqual([10, 40, BLUE])
      expect(await rig.render(file, 'pg-2,w-iw_mul_2')).toMatchObject({ widthPx: 20, heightPx: 80 })
      expect(await failureOf(file, 'pg-3')).toMatch(/^bad-request: The file has 2 pages/)
      expect(await failureOf(file, 'pg-1_2')).toMatch(/^bad-request/)
      expect(await rig.render(file, '', { output: { format: 'webp' } })).toMatchObject({ frames: 1 })
    }
  })
  test('of a layer', async () => {
    const base = await rig.file(
      'png',
      await sharp({ create: { width: 50, height: 50, channels: 3, background: 'white' } })
        .png()
        .toBuffer(),
    )
    for (const file of files) {
      const { bytes } = await rig.render(base, 'l-image,i-doc,pg-2,lx-0,ly-0,t-false,l-end', {
        layers: { doc: file },
      })
      const { data } = await sharp(bytes)
        .extract({ left: 5, top: 35, width: 1, height: 1 })
        .raw()
        .toBuffer({ resolveWithObject: true })
      expect([...data.subarray(0, 3)]).toEqual(BLUE)
    }
  })
  test('vector pages are drawn in the size that is asked for', async () => {
    const { bytes } = await rig.render(files[1]!, 'w-300')
    expect((await sharp(bytes).metadata()).width).toBe(300)
  })
  test.each([
    ['broken', Buffer.from('%PDF-1.4\nnothing')],
    ['huge', pdf([{ width: 14_400, height: 14_400, rgb: [0, 0, 0] }])],
  ])('a %s PDF is refused', async (_, bytes) => {
    expect(await failureOf(await rig.file('pdf', bytes), 'w-100')).toMatch(/^bad-request/)
  })
})

test('dn is worked out with the density of the source', async () => {
  const file = await rig.file(
    'jpg',
    await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
      .withMetadata({ density: 100 })
      .jpeg()
      .toBuffer(),
  )
  const densityOf = async (density: Output['density']) => {
    const { bytes } = await rig.render(file, 'w-4', { output: { format: 'jpg', density } })
    return (await sharp(bytes).metadata()).density
  }
  expect(await densityOf(300)).toBe(300)
  expect(await densityOf({ operands: ['idn', 2], operators: ['mul'] })).toBe(200)
  await expect(densityOf({ operands: ['idn', 100], operators: ['mul'] })).rejects.toThrow(/1 to 1200/)
  await expect(densityOf({ operands: ['bw', 2], operators: ['mul'] })).rejects.toThrow(/bw/)
})
