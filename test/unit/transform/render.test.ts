import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SourceFile } from '../../../src/transform/transform.ts'
import { defaultPlanLimits, parseTransformation, planImage } from '../../../src/transform/transform.ts'
import { coordinateImage, openRig, pixelsOf, type Rig } from './rig.ts'

let rig: Rig
let grid: SourceFile
let clear: SourceFile
let block: SourceFile

beforeAll(async () => {
  rig = await openRig()
  grid = await rig.file('png', await coordinateImage(256, 192).png().toBuffer())
  block = await rig.file(
    'png',
    await sharp({ create: { width: 40, height: 20, channels: 3, background: '#ff0000' } })
      .png()
      .toBuffer(),
  )
  // A blue disc in the middle of nothing.
  clear = await rig.file(
    'png',
    await sharp({ create: { width: 100, height: 100, channels: 4, background: '#00000000' } })
      .composite([
        {
          input: Buffer.from(
            '<svg width="100" height="100"><circle cx="50" cy="50" r="30" fill="#0000ff"/></svg>',
          ),
        },
      ])
      .png()
      .toBuffer(),
  )
})
afterAll(() => rig.close())

/** The source point (x, y) that an output pixel shows. */
function pointOf([red, green]: number[], size = { width: 256, height: 192 }) {
  return { x: (red! / 255) * (size.width - 1), y: (green! / 255) * (size.height - 1) }
}

describe('geometry is true to the pixel', () => {
  // The source points that the first and the last pixel show.
  test.each([
    ['w-128', [0.5, 0.5], [254.5, 190.5]],
    ['w-128,h-192,c-force', [0.5, 0], [254.5, 191]],
    ['w-192,h-192', [32, 0], [223, 191]],
    ['w-192,h-192,fo-left', [0, 0], [191, 191]],
    ['w-192,h-192,fo-right', [64, 0], [255, 191]],
    ['w-96,h-96', [32.5, 0.5], [222.5, 190.5]],
    ['w-256,h-96,fo-top', [0, 0], [255, 95]],
    ['w-256,h-96,fo-bottom', [0, 96], [255, 191]],
    ['w-100,h-50,cm-extract,fo-top_left', [0, 0], [99, 49]],
    ['w-100,h-50,cm-extract', [78, 71], [177, 120]],
    ['w-100,h-50,cm-extract,x-10,y-20', [10, 20], [109, 69]],
    ['w-100,h-50,cm-extract,xc-100,yc-100', [50, 75], [149, 124]],
    ['w-100,h-50,cm-pad_extract,fo-bottom_right', [156, 142], [255, 191]],
    ['fl-h', [255, 0], [0, 191]],
    ['fl-v', [0, 191], [255, 0]],
    ['fl-h_v', [255, 191], [0, 0]],
    ['rt-90', [0, 191], [255, 0]],
    ['rt-180', [255, 191], [0, 0]],
    ['rt-N90', [255, 0], [0, 191]],
    ['rt-90:fl-h', [0, 0], [255, 191]],
    ['w-192,h-192,fo-left,fl-h', [191, 0], [0, 191]],
    ['w-192,h-192,fo-right:fl-v', [64, 191], [255, 0]],
    ['w-128:rt-90:w-96,h-96,cm-extract,fo-top_left', [0.5, 190.5], [190.5, 0.5]],
  ])('%s', async (text, first, last) => {
    const { bytes } = await rig.render(grid, text)
    const pixels = await pixelsOf(bytes)
    const start = pointOf(pixels.at(0, 0))
    const end = pointOf(pixels.at(pixels.width - 1, pixels.height - 1))
    for (const [point, [x, y]] of [
      [start, first],
      [end, last],
    ] as [typeof start, number[]][]) {
      // Resampling smooths the outermost pixels by less than one.
      expect(Math.abs(point.x - x!), `x of ${JSON.stringify(point)}`).toBeLessThan(1.6)
      expect(Math.abs(point.y - y!), `y of ${JSON.stringify(point)}`).toBeLessThan(1.6)
    }
  })

  test('EXIF orientation is applied before anything else', async () => {
    const turned = await rig.file(
      'jpg',
      await coordinateImage(256, 192).withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toBuffer(),
    )
    const { widthPx, heightPx, bytes } = await rig.render(turned, 'w-96')
    expect([widthPx, heightPx]).toEqual([96, 128])
    const pixels = await pixelsOf(bytes)
    // Orientation 6 is a quarter turn clockwise: the left edge of the stored image comes out on top.
    expect(pixels.at(48, 1)[0]).toBeLessThan(12)
    expect(pixels.at(48, 126)[0]).toBeGreaterThan(243)
    expect(pixels.at(1, 64)[1]).toBeGreaterThan(243)
  })

  test('padding is filled where the image is not', async () => {
    const { bytes } = await rig.render(grid, 'w-256,h-256,cm-pad_resize,bg-00FF00')
    const pixels = await pixelsOf(bytes)
    expect(pixels.at(128, 31)).toEqual([0, 255, 0, 255])
    expect(pixels.at(128, 224)).toEqual([0, 255, 0, 255])
    expect(pixels.at(128, 32)[2]).toBe(128)
    expect(pixels.at(128, 223)[2]).toBe(128)
    const clearPadding = await pixelsOf(
      (await rig.render(grid, 'w-256,h-256,cm-pad_resize,bg-00FF0050')).bytes,
    )
    expect(clearPadding.at(0, 0)).toEqual([0, 255, 0, 128])
    expect(clearPadding.at(128, 100)[3]).toBe(255)
  })

  test.each([
    'bg-blurred',
    'bg-blurred_10_N50',
    'bg-dominant',
    'bg-gradient_dominant',
    'bg-gradient_dominant_4',
  ])('padding with %s shows the image in the middle and something of it around', async (background) => {
    const { bytes } = await rig.render(grid, `w-256,h-256,cm-pad_resize,${background}`)
    const pixels = await pixelsOf(bytes)
    expect([pixels.width, pixels.height]).toEqual([256, 256])
    expect(pointOf(pixels.at(128, 128)).x).toBeCloseTo(128, -0.5)
    expect(pixels.at(5, 5)).not.toEqual([0, 0, 0, 255])
    expect(pixels.at(5, 5)[3]).toBe(255)
  })

  test('fo-auto finds what stands out', async () => {
    const scene = await sharp({ create: { width: 400, height: 100, channels: 3, background: '#dddddd' } })
      .composite([
        {
          input: Buffer.from(
            '<svg width="400" height="100"><rect x="330" y="30" width="40" height="40" fill="#e0a080"/><circle cx="350" cy="50" r="12" fill="#aa0000"/></svg>',
          ),
        },
      ])
      .png()
      .toBuffer()
    const pixels = await pixelsOf(
      (await rig.render(await rig.file('png', scene), 'w-100,h-100,fo-auto')).bytes,
    )
    const columns = Array.from({ length: 100 }, (_, x) => pixels.at(x, 50)[0] === 0xaa)
    expect(columns).toContain(true)
  })
})

describe('effects', () => {
  const one = async (text: string, x = 128, y = 96, source = grid) =>
    (await pixelsOf((await rig.render(source, text)).bytes)).at(x, y)

  test('grayscale', async () => {
    const [red, green, blue] = await one('e-grayscale', 255, 0)
    expect(red).toBe(green)
    expect(green).toBe(blue)
    expect(red).toBe(Math.round(0.2126 * 255 + 0.0722 * 128))
  })
  test('opacity, alone and with a background', async () => {
    expect(await one('o-50', 0, 0)).toEqual([0, 0, 128, 128])
    expect(await one('o-50,bg-FF0000', 0, 0)).toEqual([127, 0, 64, 255])
    expect((await one('o-50,bg-FF000030', 0, 0))[3]).toBe(255)
    expect((await one('o-0', 0, 0))[3]).toBe(0)
  })
  test('background fills what is transparent', async () => {
    expect(await one('bg-FF0000', 2, 2, clear)).toEqual([255, 0, 0, 255])
    expect(await one('bg-FF0000', 50, 50, clear)).toEqual([0, 0, 255, 255])
    expect(await one('bg-FF000050', 2, 2, clear)).toEqual([255, 0, 0, 128])
  })
  test('border', async () => {
    expect(await one('b-10_FF0000', 0, 0)).toEqual([255, 0, 0, 255])
    expect(await one('b-10_FF0000', 9, 100)).toEqual([255, 0, 0, 255])
    expect(await one('b-10_FF0000', 10, 10)).toEqual([0, 0, 128, 255])
    expect((await one('b-10_FF000040', 0, 0))[3]).toBe(102)
  })
  test('radius', async () => {
    expect((await one('r-40', 0, 0))[3]).toBe(0)
    expect((await one('r-40', 40, 0))[3]).toBe(255)
    expect((await one('r-40', 11, 11))[3]).toBeGreaterThan(0)
    expect((await one('r-0_40_0_40', 0, 0))[3]).toBe(255)
    expect((await one('r-0_40_0_40', 255, 0))[3]).toBe(0)
    expect((await one('r-0_40_0_40', 255, 191))[3]).toBe(255)
    expect((await one('r-max', 37, 28))[3]).toBeLessThan(255)
    expect((await one('r-max', 30, 20))[3]).toBe(0)
    expect((await one('r-max', 128, 0))[3]).toBeGreaterThan(200)
    expect(await one('r-40,bg-00FF00', 0, 0)).toEqual([0, 255, 0, 255])
  })
  test('rotation by any angle fills its corners', async () => {
    expect((await one('rt-45', 0, 0))[3]).toBe(0)
    expect(await one('rt-45,bg-00FF00', 0, 0)).toEqual([0, 255, 0, 255])
  })
  test('gradient', async () => {
    const top = await one('e-gradient-from-FF0000_to-0000FF', 100, 0)
    const bottom = await one('e-gradient-from-FF0000_to-0000FF', 100, 191)
    expect(top[0]).toBeGreaterThan(250)
    expect(bottom[2]).toBeGreaterThan(250)
    expect((await one('e-gradient-ld-right_from-FF0000_to-0000FF', 0, 90))[0]).toBeGreaterThan(250)
    // Half way is the end of the way with sp-0.5.
    expect(await one('e-gradient-from-FF0000_to-0000FF_sp-0.5', 100, 100)).toEqual([0, 0, 255, 255])
    expect(await one('e-gradient-from-FF0000_to-0000FF_sp-20', 100, 25)).toEqual([0, 0, 255, 255])
    // The default lets the image show through at the bottom.
    expect(pointOf(await one('e-gradient', 100, 191)).x).toBeCloseTo(100, -1)
  })
  test('colorize mixes a colour in', async () => {
    expect(await one('e-colorize-co-FF0000_in-50', 0, 0)).toEqual([128, 0, 64, 255])
    expect(await one('e-colorize-co-FF0000_in-100', 9, 9)).toEqual([255, 0, 0, 255])
  })
  test('colour replacement keeps what is far from the colour', async () => {
    expect(await one('cr-00FF00_10_FF0000', 5, 5, block)).toEqual([0, 255, 0, 255])
    expect(await one('cr-00FF00', 5, 5, block)).toEqual([0, 255, 0, 255])
    expect(await one('cr-00FF00_10_0000FF', 5, 5, block)).toEqual([255, 0, 0, 255])
  })
  test('trim', async () => {
    const { widthPx, heightPx } = await rig.render(clear, 't-true')
    expect(widthPx).toBeGreaterThanOrEqual(59)
    expect(widthPx).toBeLessThanOrEqual(61)
    expect(heightPx).toBe(widthPx)
    const plain = await rig.render(block, 't-true')
    expect([plain.widthPx, plain.heightPx]).toEqual([40, 20])
  })
  test('shadow lies under the image, where the offset says', async () => {
    const pixels = await pixelsOf((await rig.render(clear, 'e-shadow-bl-0_st-100_x-20_y-0')).bytes)
    expect(pixels.at(50, 50)).toEqual([0, 0, 255, 255])
    expect(pixels.at(95, 50)).toEqual([0, 0, 0, 255])
    expect(pixels.at(5, 50)[3]).toBe(0)
  })
  test('contrast reaches both ends', async () => {
    const dull = await rig.file(
      'png',
      await coordinateImage(64, 64).linear([0.5, 0.5, 0.5], [60, 60, 60]).png().toBuffer(),
    )
    const pixels = await pixelsOf((await rig.render(dull, 'e-contrast')).bytes)
    expect(pixels.at(0, 0)[0]).toBeLessThan(5)
    expect(pixels.at(63, 63)[0]).toBeGreaterThan(250)
  })
  test('blur, sharpen and unsharp mask change edges and nothing else', async () => {
    const edge = await rig.file(
      'png',
      await sharp({ create: { width: 80, height: 40, channels: 3, background: '#404040' } })
        .composite([
          {
            input: { create: { width: 40, height: 40, channels: 3, background: '#c0c0c0' } },
            left: 40,
            top: 0,
          },
        ])
        .png()
        .toBuffer(),
    )
    expect((await one('bl-10', 38, 20, edge))[0]).toBeGreaterThan(0x50)
    expect((await one('bl-10', 2, 20, edge))[0]).toBe(0x40)
    expect((await one('e-sharpen', 41, 20, edge))[0]).toBeGreaterThan(0xc0)
    expect((await one('e-usm-2-2-0.8-0.024', 41, 20, edge))[0]).toBeGreaterThan(0xc0)
    expect((await one('e-usm-2-2-0.8-0.024', 39, 20, edge))[0]).toBeLessThan(0x40)
    expect(await one('e-usm-2-2-0.8-0.9', 41, 20, edge)).toEqual([0xc0, 0xc0, 0xc0, 255])
  })
  test('perspective moves the corners where it is told', async () => {
    const pixels = await pixelsOf((await rig.render(grid, 'e-distort-p-64_48_192_48_192_144_64_144')).bytes)
    expect(pixels.at(10, 10)[3]).toBe(0)
    const start = pointOf(pixels.at(65, 49))
    const end = pointOf(pixels.at(190, 142))
    expect(start.x).toBeLessThan(6)
    expect(end.x).toBeGreaterThan(249)
    expect(end.y).toBeGreaterThan(185)
  })
  test('an arc lifts the middle', async () => {
    const { bytes, heightPx } = await rig.render(grid, 'e-distort-a-90')
    const pixels = await pixelsOf(bytes)
    expect(heightPx).toBeGreaterThan(192)
    expect(pixels.at(pixels.width >> 1, 2)[3]).toBe(255)
    expect(pixels.at(2, 2)[3]).toBe(0)
  })
})

describe('layers', () => {
  const layers = () => ({ 'block.png': block, 'clear.png': clear })
  const at = async (text: string, x: number, y: number) =>
    (await pixelsOf((await rig.render(grid, text, { layers: layers() })).bytes)).at(x, y)

  test('an image lies where its position says', async () => {
    const text = 'l-image,i-block.png,lx-10,ly-N5,l-end'
    expect(await at(text, 10, 167)).toEqual([255, 0, 0, 255])
    expect(await at(text, 49, 186)).toEqual([255, 0, 0, 255])
    expect((await at(text, 50, 167))[2]).toBe(128)
    expect((await at(text, 10, 166))[2]).toBe(128)
    expect((await at(text, 10, 187))[2]).toBe(128)
  })
  test('layers are trimmed unless told otherwise', async () => {
    // The disc alone, 60 wide, centred on the base at the left edge.
    expect((await at('l-image,i-clear.png,lx-0,ly-0,l-end', 30, 30))[2]).toBe(255)
    expect((await at('l-image,i-clear.png,lx-0,ly-0,l-end', 75, 50))[2]).toBe(128)
    expect((await at('l-image,i-clear.png,t-false,lx-0,ly-0,l-end', 75, 50))[2]).toBe(255)
  })
  test('nested layers are placed on their parent', async () => {
    const text =
      'l-image,i-ik_canvas,bg-00FF00,w-100,h-100,lx-20,ly-20,l-image,i-block.png,lfo-bottom_right,l-end,l-end'
    expect(await at(text, 20, 20)).toEqual([0, 255, 0, 255])
    expect(await at(text, 119, 119)).toEqual([255, 0, 0, 255])
    expect(await at(text, 79, 119)).toEqual([0, 255, 0, 255])
  })
  test('transformations of a layer, chained and with the size of the base', async () => {
    const text = 'l-image,i-block.png,w-bw_div_2,c-force:rt-90,lfo-top_left,l-end'
    expect(await at(text, 63, 127)).toEqual([255, 0, 0, 255])
    expect((await at(text, 64, 100))[2]).toBe(128)
  })
  test('blocks of colour and gradient', async () => {
    expect(await at('l-image,i-ik_canvas,bg-FF0000,w-300,h-100,lfo-left,l-end', 100, 96)).toEqual([
      255, 0, 0, 255,
    ])
    expect((await at('l-image,i-ik_canvas,bg-FF0000,al-5,w-30,h-30,l-end', 128, 96))[0]).toBeCloseTo(192, -1)
    const bar = 'l-image,i-ik_canvas,e-gradient-from-FF0000_to-0000FF_ld-right,w-bw,h-bh_div_4,ly-N0,l-end'
    expect((await at(bar, 1, 190))[0]).toBeGreaterThan(250)
    expect((await at(bar, 254, 190))[2]).toBeGreaterThan(250)
    expect((await at(bar, 100, 140))[2]).toBe(128)
  })
  test('modes', async () => {
    const multiply = await at('l-image,i-block.png,lm-multiply,lx-100,ly-100,l-end', 110, 105)
    expect(multiply[1]).toBe(0)
    expect(multiply[2]).toBe(0)
    expect(Math.abs(multiply[0] - 110)).toBeLessThan(3)
    expect((await at('l-image,i-block.png,lm-cutter,lx-100,ly-100,l-end', 110, 105))[3]).toBe(255)
    expect((await at('l-image,i-block.png,lm-cutter,lx-100,ly-100,l-end', 10, 10))[3]).toBe(0)
    expect((await at('l-image,i-block.png,lm-cutout,lx-100,ly-100,l-end', 110, 105))[3]).toBe(0)
    expect((await at('l-image,i-block.png,lm-cutout,lx-100,ly-100,l-end', 10, 10))[3]).toBe(255)
    // Full red in the map moves by the whole strength.
    const moved = await at('l-image,i-block.png,lm-displace,x-20,lx-100,ly-100,l-end', 110, 105)
    expect(pointOf(moved).x).toBeCloseTo(130, -0.8)
    await expect(at('l-image,i-block.png,lm-displace,l-end', 0, 0)).rejects.toThrow('needs x or y')
  })
  test('a layer that hangs over is cut', async () => {
    const { widthPx, heightPx } = await rig.render(grid, 'w-20,h-10,l-image,i-block.png,l-end', {
      layers: layers(),
    })
    expect([widthPx, heightPx]).toEqual([20, 10])
  })
  test('a missing image is named', async () => {
    await expect(rig.render(grid, 'l-image,i-nowhere.png,l-end')).rejects.toThrow('nowhere.png')
  })
})

describe('formats', () => {
  test.each(['jpg', 'png', 'webp', 'avif'] as const)('%s', async (format) => {
    const { bytes } = await rig.render(grid, 'w-64', { output: { format } })
    const metadata = await sharp(bytes).metadata()
    expect(metadata.format).toBe({ jpg: 'jpeg', png: 'png', webp: 'webp', avif: 'heif' }[format])
    expect([metadata.width, metadata.height]).toEqual([64, 48])
  })
  test('progressive and lossless', async () => {
    const { bytes } = await rig.render(grid, 'w-64', { output: { format: 'jpg', progressive: true } })
    expect((await sharp(bytes).metadata()).isProgressive).toBe(true)
    const lossless = await pixelsOf(
      (await rig.render(grid, 'fl-h', { output: { format: 'webp', lossless: true } })).bytes,
    )
    expect(lossless.at(0, 0)).toEqual([255, 0, 128, 255])
  })
  test('JPEG has no transparency: what was clear is black', async () => {
    const { bytes } = await rig.render(clear, 'w-50', { output: { format: 'jpg', quality: 100 } })
    expect((await pixelsOf(bytes)).at(1, 1)[0]).toBeLessThan(5)
  })
  test('animations keep their frames, through every kind of operation', async () => {
    const frames = ['#ff0000', '#00ff00', '#0000ff'].map((background) => ({
      create: { width: 60, height: 40, channels: 3 as const, background },
    }))
    const raw = Buffer.concat(await Promise.all(frames.map((frame) => sharp(frame).raw().toBuffer())))
    const gif = await sharp(raw, { raw: { width: 60, height: 120, channels: 3, pageHeight: 40 } })
      .gif({ delay: [100, 200, 300], loop: 2 })
      .toBuffer()
    const source = await rig.file('gif', gif)
    for (const text of ['w-30', 'w-20,h-20', 'rt-90', 'w-30,l-image,i-block.png,w-5,l-end', 'r-5,b-2_red']) {
      for (const format of ['gif', 'webp'] as const) {
        const { bytes, frames: count } = await rig.render(source, text, {
          output: { format },
          layers: { 'block.png': block },
        })
        const metadata = await sharp(bytes, { animated: true }).metadata()
        expect(metadata.pages, `${text} ${format}`).toBe(3)
        expect(count).toBe(3)
        expect(metadata.delay).toEqual([100, 200, 300])
      }
    }
    const still = await rig.render(source, 'pg-2,w-30', { output: { format: 'png' } })
    expect((await pixelsOf(still.bytes)).at(5, 5).slice(0, 3)).toEqual([0, 255, 0])
    expect((await rig.render(source, 'w-30', { output: { format: 'jpg' } })).frames).toBe(1)
    await expect(rig.render(source, 'pg-9')).rejects.toThrow('page 9 does not exist')
  })
  test('SVG is drawn at the size that is asked for', async () => {
    const svg = await rig.file(
      'svg',
      Buffer.from(
        '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><rect width="10" height="10" fill="#f00"/></svg>',
      ),
    )
    const { bytes, widthPx } = await rig.render(svg, 'w-400')
    expect(widthPx).toBe(400)
    const pixels = await pixelsOf(bytes)
    expect(pixels.at(197, 100)).toEqual([255, 0, 0, 255])
    expect(pixels.at(203, 100)[3]).toBe(0)
  })
  test('a colour profile is kept when asked for', async () => {
    const p3 = await rig.file('jpg', await coordinateImage(64, 64).withIccProfile('p3').jpeg().toBuffer())
    const plain = await rig.render(p3, 'w-32,rt-90', { output: { format: 'jpg' } })
    expect((await sharp(plain.bytes).metadata()).icc).toBeUndefined()
    const kept = await rig.render(p3, 'w-32,rt-90', { output: { format: 'jpg', keepColorProfile: true } })
    expect((await sharp(kept.bytes).metadata()).icc).toBeDefined()
  })
  test('metadata is kept when asked for', async () => {
    const source = await rig.file(
      'jpg',
      await coordinateImage(64, 48)
        .withExif({ IFD0: { Copyright: 'somebody' } })
        .jpeg()
        .toBuffer(),
    )
    const plain = await rig.render(source, 'w-32', { output: { format: 'jpg' } })
    expect((await sharp(plain.bytes).metadata()).exif).toBeUndefined()
    const kept = await rig.render(source, 'w-32,fl-h', {
      output: { format: 'jpg', keepMetadata: true, quality: 100 },
    })
    const metadata = await sharp(kept.bytes).metadata()
    expect(metadata.exif!.toString('latin1')).toContain('somebody')
    expect((await pixelsOf(kept.bytes)).at(0, 0)[0]).toBeGreaterThan(230)
  })
})

describe('analysis', () => {
  const distance = (a: string, b: string) => {
    const different = BigInt(`0x${a}`) ^ BigInt(`0x${b}`)
    return different.toString(2).replaceAll('0', '').length
  }
  test('a resized and recompressed copy has nearly the same hash, another image has not', async () => {
    const scene = sharp(
      Buffer.from(
        '<svg width="600" height="400"><rect width="600" height="400" fill="#86a"/><circle cx="150" cy="120" r="90" fill="#fc3"/><path d="M0 400L300 150L600 400Z" fill="#264"/><rect x="400" y="40" width="120" height="70" fill="#d22"/></svg>',
      ),
    )
    const large = await rig.file('png', await scene.clone().png().toBuffer())
    const small = await rig.file('jpg', await scene.clone().resize(300).jpeg({ quality: 85 }).toBuffer())
    const [a, b, c] = await Promise.all([large, small, grid].map((file) => rig.renderer.analyse(file)))
    expect(a!.pHash).toMatch(/^[0-9a-f]{16}$/)
    expect(distance(a!.pHash, b!.pHash)).toBeLessThanOrEqual(2)
    expect(distance(a!.pHash, c!.pHash)).toBeGreaterThan(10)
  })
  test('transparency means a pixel that is not opaque', async () => {
    expect((await rig.renderer.analyse(clear)).hasTransparency).toBe(true)
    const opaque = await rig.file('png', await coordinateImage(20, 20, 4).png().toBuffer())
    expect((await rig.renderer.analyse(opaque)).hasTransparency).toBe(false)
    expect((await rig.renderer.analyse(grid)).hasTransparency).toBe(false)
  })
})

describe('the planner knows the size that comes out', () => {
  const step = fc
    .array(
      fc.constantFrom(
        'w-50',
        'w-120',
        'h-80',
        'h-333',
        'w-0.7',
        'ar-3-2',
        'c-at_max',
        'c-force',
        'c-at_least',
        'cm-pad_resize',
        'cm-pad_extract',
        'c-maintain_ratio_no_enlarge',
        'fo-top_left',
        'fo-auto',
        'dpr-1.5',
        'rt-90',
        'rt-33',
        'b-3_red',
        'r-10',
        'fl-h',
        'bl-2',
        'e-grayscale',
        'e-distort-a-45',
        'o-40',
        'bg-00FF0030',
        'w-iw_div_3_mul_2',
        'h-ch_sub_7',
        'w-cw_mul_1.3',
        'ar-iar_mul_2',
        'cm-extract',
        'cm-pad_resize_no_enlarge',
        'cm-pad_extract_no_shrink',
        'c-at_max_enlarge',
        'e-shadow',
        'e-distort-p-20_10_200_30_220_150_5_140',
        'r-max',
        'rt-N200',
        'b-cw_mul_0.05_yellow',
        'l-image,i-ik_canvas,w-20,h-20,bg-red,l-end',
      ),
      { minLength: 1, maxLength: 5 },
    )
    // Layers come after all parameters of their step.
    .map((items) =>
      [...items].sort((a, b) => Number(a.startsWith('l-')) - Number(b.startsWith('l-'))).join(','),
    )
  const condition = fc
    .tuple(
      fc.constantFrom('w_gt_100', 'h_lte_150', 'ar_gt_1_and_iw_gte_256', 'ih_eq_5_or_w_ne_7'),
      step,
      step,
    )
    .map(([text, yes, no]) => `if-${text},${yes},if-else,${no},if-end`)
  const anyStep = fc.oneof({ weight: 4, arbitrary: step }, { weight: 1, arbitrary: condition })
  /** The long form: PLAN_RUNS=5000 npx vitest run test/unit/transform/render.test.ts */
  const runs = Number(process.env.PLAN_RUNS ?? 150)
  test(
    'over random chains, and which of them cannot be',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(anyStep, { minLength: 1, maxLength: 4 }), async (steps) => {
          const text = steps.join(':')
          const planned = outcome(
            () =>
              planImage(
                parseTransformation(text),
                { size: { widthPx: 256, heightPx: 192 } },
                { limits: defaultPlanLimits },
              ).size,
          )
          if (typeof planned === 'string') {
            const error = await rig.render(grid, text).then(
              () => 'none',
              (thrown: Error) => thrown.message,
            )
            // Where fo-auto looks is known only with the pixels.
            const place = / at -?\d+,-?\d+/
            expect(error.replace(place, ''), text).toBe(planned.replace(place, ''))
            return
          }
          const rendered = await rig.render(grid, text)
          const { width, height } = await sharp(rendered.bytes).metadata()
          expect([rendered.widthPx, rendered.heightPx], text).toEqual([planned.widthPx, planned.heightPx])
          expect([width, height], text).toEqual([planned.widthPx, planned.heightPx])
        }),
        { numRuns: runs },
      )
    },
    20_000 + runs * 200,
  )
})

/** What a function gives, or the message of what it throws. */
function outcome<T extends object>(work: () => T): T | string {
  try {
    return work()
  } catch (error) {
    return (error as Error).message
  }
}
