import { rm, writeFile } from 'node:fs/promises'
import sharp, { type Sharp } from 'sharp'
import { badRequest } from '../../kernel/errors.ts'
import type { EncoderPolicy, OutputFormat, Output as OutputRequest } from './job.ts'
import { type Picture, type Pixels, pixelsOf, sharpOf, withAlpha } from './picture.ts'

/** The longest side that each format can hold. */
const MAX_SIDE: Record<OutputFormat, number> = {
  jpg: 65_535,
  png: 65_535,
  webp: 16_383,
  avif: 16_384,
  gif: 65_535,
}

/** How to encode, with every value worked out. */
type Output = OutputRequest & { density: number | null }

/** What of the source is carried over into the output. */
export type Carried = {
  profile: Buffer | null
  /** Path of the source, if its metadata is to be kept. */
  metadataFrom: string | null
}

/** Encodes one frame. */
export async function encodeStill(
  picture: Picture,
  output: Output,
  encoder: EncoderPolicy,
  carried: Carried & { profilePath: string },
): Promise<Buffer> {
  checkSides(picture.size.widthPx, picture.size.heightPx, output.format)
  let pipeline = picture.pipeline.clone()
  if (carried.metadataFrom) pipeline = await withMetadataOf(carried.metadataFrom, picture)
  if (output.format === 'jpg') pipeline.flatten({ background: '#000000' })
  await finish(pipeline, output, encoder, carried)
  const bytes = await pipeline.toBuffer()
  if (output.keepColorProfile && carried.profile) await rm(carried.profilePath, { force: true })
  return bytes
}

/** Encodes an animation. */
export async function encodeAnimation(
  frames: Pixels[],
  timing: { delaysMs: number[]; loop: number },
  output: OutputRequest,
  encoder: EncoderPolicy,
): Promise<Buffer> {
  const { widthPx, heightPx } = frames[0]!
  checkSides(widthPx, heightPx, output.format)
  const tall = Buffer.concat(frames.map((frame) => withAlpha(frame).data))
  const pipeline = sharp(tall, {
    raw: { width: widthPx, height: heightPx * frames.length, channels: 4, pageHeight: heightPx },
    limitInputPixels: false,
  })
  const delay = frames.map((_, index) => timing.delaysMs[index] ?? 100)
  if (output.format === 'gif') pipeline.gif({ delay, loop: timing.loop })
  else {
    pipeline.webp({
      delay,
      loop: timing.loop,
      quality: output.quality,
      lossless: output.lossless,
      effort: encoder.webpEffort,
    })
  }
  return pipeline.toBuffer()
}

async function finish(
  pipeline: Sharp,
  output: Output,
  encoder: EncoderPolicy,
  carried: Carried & { profilePath: string },
) {
  const { quality, lossless } = output
  if (output.keepColorProfile && carried.profile) {
    await writeFile(carried.profilePath, carried.profile)
    pipeline.withIccProfile(carried.profilePath)
  }
  if (output.density !== null) pipeline.withMetadata({ density: output.density })
  switch (output.format) {
    case 'jpg':
      pipeline.jpeg({
        quality,
        progressive: output.progressive,
        chromaSubsampling: quality >= 90 ? '4:4:4' : '4:2:0',
      })
      break
    case 'png':
      pipeline.png({ progressive: output.progressive })
      break
    case 'webp':
      pipeline.webp({ quality, lossless, effort: encoder.webpEffort })
      break
    case 'avif':
      pipeline.avif({ quality, lossless, effort: encoder.avifEffort })
      break
    case 'gif':
      pipeline.gif()
      break
  }
}

/**
 * Sharp carries metadata only along one pipeline, from file to file. So the file is opened once more and its pixels
 * are replaced by the finished ones.
 */
async function withMetadataOf(path: string, picture: Picture): Promise<Sharp> {
  const raw = await pixelsOf(picture)
  const { data } = await sharpOf(raw).png({ compressionLevel: 0 }).toBuffer({ resolveWithObject: true })
  return sharp(path, { limitInputPixels: false, failOn: 'none' })
    .autoOrient()
    .resize(raw.widthPx, raw.heightPx, { fit: 'fill', kernel: 'nearest' })
    .composite([{ input: data, blend: 'source' }])
    .keepMetadata()
}

function checkSides(widthPx: number, heightPx: number, format: OutputFormat) {
  if (Math.max(widthPx, heightPx) > MAX_SIDE[format]) {
    throw badRequest(`A ${format} image cannot have a side of more than ${MAX_SIDE[format]} pixels.`)
  }
}
