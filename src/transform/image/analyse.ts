import type { AnalyseJob, AnalyseResult } from './job.ts'
import { type Pixels, pixelsOf, sharpOf } from './picture.ts'
import { openSource } from './source.ts'

/** Side of the grey square whose frequencies are taken. */
const SIDE = 32
/** Side of the block of low frequencies that becomes the hash: 64 bits. */
const LOW = 8

/**
 * Looks at the pixels of an image.
 * @returns a perceptual hash (16 hex digits; equal or nearly equal for resized and recompressed copies) and whether
 * any pixel is not opaque.
 */
export async function analyse(job: AnalyseJob): Promise<AnalyseResult> {
  const source = await openSource(job.source, job.limits, true)
  const picture = await source.picture(0)
  if (source.hasAlpha && source.isNative) {
    // One byte a pixel, not four: the alpha channel alone tells whether a pixel shows what is behind.
    const alpha = await picture.pipeline.clone().extractChannel('alpha').raw({ depth: 'uchar' }).toBuffer()
    picture.pipeline.resize(256, 256, { fit: 'fill' })
    const pHash = await perceptualHash(await pixelsOf(picture))
    return { pHash, hasTransparency: alpha.some((value) => value < 255) }
  }
  if (source.hasAlpha) {
    const pixels = await pixelsOf(picture)
    return { pHash: await perceptualHash(pixels), hasTransparency: hasTransparency(pixels) }
  }
  const { pipeline } = picture
  pipeline.resize(256, 256, { fit: 'fill' })
  return { pHash: await perceptualHash(await pixelsOf(picture)), hasTransparency: false }
}

function hasTransparency({ data, channels }: Pixels): boolean {
  if (channels === 3) return false
  for (let i = 3; i < data.length; i += 4) if (data[i]! < 255) return true
  return false
}

async function perceptualHash(pixels: Pixels): Promise<string> {
  const grey = await sharpOf(pixels)
    .flatten({ background: '#ffffff' })
    .greyscale()
    .resize(SIDE, SIDE, { fit: 'fill', kernel: 'cubic' })
    .toColourspace('b-w')
    .raw()
    .toBuffer()
  const low = lowFrequencies(grey)
  // The mean brightness says nothing about the picture.
  const waves = low.slice(1)
  const rms = Math.sqrt(waves.reduce((sum, value) => sum + value * value, 0) / waves.length)
  let hash = 0n
  for (const value of low) hash = (hash << 1n) | (value > rms * THRESHOLD_SHARE ? 1n : 0n)
  return hash.toString(16).padStart(16, '0')
}

/**
 * Most coefficients lie around zero, where the median is too, so that a resized copy's would often fall on its other
 * side. Over photographs and their copies this threshold changes a third as many bits.
 */
const THRESHOLD_SHARE = 0.25

/** The LOW × LOW lowest coefficients of the two-dimensional DCT-II, row by row. */
function lowFrequencies(grey: Buffer): number[] {
  const cosines = Array.from({ length: LOW }, (_, k) =>
    Array.from({ length: SIDE }, (_, n) => Math.cos((Math.PI * k * (2 * n + 1)) / (2 * SIDE))),
  )
  const rows = Array.from({ length: SIDE }, (_, y) =>
    cosines.map((row) => row.reduce((sum, cosine, x) => sum + cosine * grey[y * SIDE + x]!, 0)),
  )
  const result: number[] = []
  for (let v = 0; v < LOW; v++) {
    for (let u = 0; u < LOW; u++) {
      let sum = 0
      for (let y = 0; y < SIDE; y++) sum += cosines[v]![y]! * rows[y]![u]!
      result.push(sum)
    }
  }
  return result
}
