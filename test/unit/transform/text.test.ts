import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readFontFamily } from '../../../src/transform/image/font-name.ts'
import { BUILT_IN_FONTS } from '../../../src/transform/image/font-table.ts'
import type { SourceFile } from '../../../src/transform/transform.ts'
import { openRig, type Rig } from './rig.ts'

const require = createRequire(import.meta.url)
const lobster = require.resolve('@expo-google-fonts/lobster/400Regular/Lobster_400Regular.ttf')

let rig: Rig
let white: SourceFile
beforeAll(async () => {
  rig = await openRig({ processes: 1 })
  white = await rig.file(
    'png',
    await sharp({ create: { width: 600, height: 300, channels: 3, background: '#ffffff' } })
      .png()
      .toBuffer(),
  )
})
afterAll(() => rig.close())

/** The box of everything that is not white, and the bytes. */
async function ink(layer: string, fonts?: Record<string, string>) {
  const { bytes } = await rig.render(white, `l-text,${layer},l-end`, fonts ? { fonts } : {})
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
  let [left, top, right, bottom] = [info.width, info.height, -1, -1]
  for (let y = 0; y < info.height; y++) {
    for (let x = 0; x < info.width; x++) {
      const at = (y * info.width + x) * info.channels
      if (data[at]! + data[at + 1]! + data[at + 2]! > 740) continue
      left = Math.min(left, x)
      right = Math.max(right, x)
      top = Math.min(top, y)
      bottom = Math.max(bottom, y)
    }
  }
  const at = (x: number, y: number) => {
    const index = (y * info.width + x) * info.channels
    return [data[index], data[index + 1], data[index + 2]]
  }
  return { left, top, width: right - left + 1, height: bottom - top + 1, bytes, at }
}

describe('text layers', () => {
  test('are drawn, in the middle, at 45 pixels', async () => {
    const box = await ink('i-HHH')
    // A capital letter of Open Sans is 0.714 em high.
    expect(box.height).toBeGreaterThanOrEqual(31)
    expect(box.height).toBeLessThanOrEqual(34)
    expect(Math.abs(box.left + box.width / 2 - 300)).toBeLessThan(2)
    expect(Math.abs(box.top + box.height / 2 - 150)).toBeLessThan(2)
  })
  test('grow with fs, also as a share of the base', async () => {
    const small = await ink('i-HHH,fs-30')
    const large = await ink('i-HHH,fs-bh_div_5')
    expect(large.height / small.height).toBeCloseTo(2, 0)
  })
  test('are trimmed and then padded on a background', async () => {
    const bare = await ink('i-HHH,co-000000')
    const padded = await ink('i-HHH,co-000000,bg-FF0000,pa-10_20_30_40')
    expect(padded.width).toBe(bare.width + 60)
    expect(padded.height).toBe(bare.height + 40)
    expect(padded.at(padded.left, padded.top)).toEqual([255, 0, 0])
  })
  test('wrap at w', async () => {
    const one = await ink('i-several words in a row,fs-30')
    const wrapped = await ink('i-several words in a row,fs-30,w-150')
    expect(wrapped.width).toBeLessThanOrEqual(150)
    expect(wrapped.height).toBeGreaterThan(one.height * 2)
    const apart = await ink('i-several words in a row,fs-30,w-150,lh-60')
    expect(apart.height).toBeGreaterThan(wrapped.height + 20)
  })
  test('align within w with t-false', async () => {
    const left = await ink('i-H,w-400,t-false,ia-left')
    const right = await ink('i-H,w-400,t-false,ia-right')
    expect(left.left).toBe(100)
    expect(right.left + right.width).toBe(500)
  })
  test('colour, opacity, bold, italics, strikethrough, rotation', async () => {
    const plain = await ink('i-HHH')
    expect((await ink('i-HHH,co-FF0000')).bytes.equals(plain.bytes)).toBe(false)
    const pale = await ink('i-HHH,al-3')
    expect(pale.at(pale.left + 3, pale.top + 10)[0]).toBeGreaterThan(150)
    expect((await ink('i-HHH,tg-b')).width).toBeGreaterThan(plain.width)
    expect((await ink('i-HHH,tg-i')).bytes.equals(plain.bytes)).toBe(false)
    expect((await ink('i-HHH,tg-strikethrough')).bytes.equals(plain.bytes)).toBe(false)
    const turned = await ink('i-HHHHHH,rt-90')
    expect(turned.height).toBeGreaterThan(turned.width * 3)
  })
  test('markup is text', async () => {
    const box = await ink('i-%3Cb%3Ea%3C%2Fb%3E %26 %22,fs-20')
    expect(box.width).toBeGreaterThan((await ink('i-a,fs-20')).width * 4)
  })
  test.each(['😀', 'שלום', 'مرحبا', 'हिन्दी', 'Ελληνικά', 'Кириллица'])(
    '%s is not an empty box',
    async (text) => {
      const box = await ink(`i-${text}`)
      expect(box.width).toBeGreaterThan(20)
      // U+10FFFE is in no font: what is drawn for it is the mark of a missing glyph.
      const missing = await ink(`i-${'\u{10fffe}'.repeat(Array.from(text).length)}`)
      expect(box.bytes.equals(missing.bytes)).toBe(false)
    },
  )
  test('emoji are coloured', async () => {
    const box = await ink('i-❤️,co-0000FF,fs-100')
    const [red, , blue] = box.at(box.left + (box.width >> 1), box.top + (box.height >> 1))
    expect(red!).toBeGreaterThan(blue!)
  })
})

describe('fonts', () => {
  test('all 22 are there and differ from one another', async () => {
    const shapes = new Set<string>()
    for (const name of BUILT_IN_FONTS.keys())
      shapes.add((await ink(`i-Quick fox,ff-${name}`)).bytes.toString('base64'))
    expect(shapes.size).toBe(22)
  })
  test('from the library, for this text only', async () => {
    const before = await ink('i-Quick fox,ff-Lobster')
    const own = await ink('i-Quick fox,ff-fonts@@own.ttf', { 'fonts/own.ttf': lobster })
    expect(own.bytes.equals(before.bytes)).toBe(true)
    const after = await ink('i-Quick fox')
    expect(after.bytes.equals(before.bytes)).toBe(false)
  })
  test('that are none', async () => {
    await expect(ink('i-a,ff-Comic')).rejects.toThrow('"Comic" is not known')
    const noFont = await rig.file('ttf', Buffer.from('not a font'))
    await expect(ink('i-a,ff-x.ttf', { 'x.ttf': noFont.path })).rejects.toThrow('is not a TrueType')
  })
  test('family names are read from the file', async () => {
    expect(readFontFamily(await readFile(lobster))).toBe('Lobster')
    expect(readFontFamily(Buffer.alloc(3))).toBeUndefined()
    expect(readFontFamily((await readFile(lobster)).subarray(0, 300))).toBeUndefined()
  })
})

describe('limits', () => {
  test('text that would cover too much is refused before it is drawn', async () => {
    await expect(ink(`i-${'x'.repeat(2000)},fs-4000`)).rejects.toThrow('too long for its font size')
    await expect(ink('i-a,fs-5000')).rejects.toThrow('"fs"')
    await expect(ink('i-a,fs-iw_div_2')).rejects.toThrow('know bw, bh and bar only')
    await expect(ink('i-a,pa-20000')).rejects.toThrow('"pa"')
  })
})

test('what fontconfig works out about the fonts is kept for the next start', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'tintype-fonts-test-'))
  try {
    const folders: string[][] = []
    for (let start = 0; start < 2; start++) {
      const other = await openRig({ cacheDir: dir })
      const base = await other.file(
        'png',
        await sharp({ create: { width: 80, height: 40, channels: 3, background: 'white' } })
          .png()
          .toBuffer(),
      )
      await other.render(base, 'l-text,i-Hello,fs-20,l-end')
      await other.close()
      folders.push(
        (await readdir(dir, { recursive: true })).filter((name) => /cache-\d|fonts\.conf$/.test(name)).sort(),
      )
    }
    expect(folders[0]!.some((name) => name.endsWith('fonts.conf'))).toBe(true)
    expect(folders[0]!.length).toBeGreaterThan(1)
    expect(folders[1]).toEqual(folders[0])
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
