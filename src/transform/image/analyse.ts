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
  // The mean brightness says nothing about the picture and would only shift the median.
  const rest = low.slice(1).sort((a, b) => a - b)
  const median = rest[rest.length >> 1]!
  let hash = 0n
  for (const value of low) hash = (hash << 1n) | (value > median ? 1n : 0n)
  return hash.toString(16).padStart(16, '0')
}

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
