/**
 * The child process that decodes pictures and runs models for extensions. It has no secrets and no use of the network;
 * the parent kills it when a picture or a model makes it run too long.
 */
import { readFile } from 'node:fs/promises'
import sharp, { type Sharp } from 'sharp'
import type { Background, ClassifyJob, CutOutJob, PixelJob, PixelReply, PixelResult } from './job.ts'
import { nameOutputs, parseLabels } from './labels.ts'
import { createModels, ModelError } from './models.ts'
import { readMask } from './tensor.ts'

// Decoders are chosen by content, not by name: only those that are meant to be used may run.
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({ operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp'] })
sharp.cache(false)
sharp.concurrency(1)

const models = createModels()

function decode(bytes: Uint8Array, maxPixels: number): Sharp {
  return sharp(bytes, { limitInputPixels: maxPixels, failOn: 'error' }).autoOrient()
}

async function classify(job: ClassifyJob): Promise<PixelResult<ClassifyJob>> {
  const output = await models.run(job.model, decode(job.image, job.maxPixels), 'cover')
  try {
    const labels = parseLabels(await readFile(job.labelsPath, 'utf8'))
    const named = nameOutputs(output.data, labels, job.activation)
    return { labels: named.sort((a, b) => b.confidence - a.confidence).slice(0, 100) }
  } catch (cause) {
    throw new ModelError((cause as Error).message, cause)
  }
}

type Grey = { data: Uint8Array; widthPx: number; heightPx: number }

async function makeMask(job: CutOutJob, mask: NonNullable<CutOutJob['mask']>): Promise<Grey> {
  if ('image' in mask) {
    const { data, info } = await decode(mask.image, job.maxPixels)
      .flatten({ background: '#000000' })
      .toColourspace('b-w')
      .extractChannel(0)
      .raw()
      .toBuffer({ resolveWithObject: true })
    return { data, widthPx: info.width, heightPx: info.height }
  }
  const output = await models.run(mask.model, decode(job.image, job.maxPixels), 'fill')
  const [heightPx = 0, widthPx = 0] = output.dims.slice(-2)
  if (heightPx * widthPx === 0 || output.data.length < heightPx * widthPx) {
    throw new ModelError(`the model gives [${output.dims.join(', ')}], not a mask`)
  }
  const data = readMask(output.data.subarray(0, heightPx * widthPx), mask.activation)
  return { data, widthPx, heightPx }
}

async function cutOut(job: CutOutJob): Promise<PixelResult<CutOutJob>> {
  const mask = job.mask && (await makeMask(job, job.mask))
  const { data: rgba, info } = await decode(job.image, job.maxPixels)
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const size = { width: info.width, height: info.height }
  const opacity = mask && (await stretch(mask, size))
  for (let pixel = 0; pixel < size.width * size.height; pixel++) {
    const own = rgba[pixel * 4 + 3]!
    const alpha = opacity ? Math.round((own * opacity[pixel]!) / 255) : own
    rgba[pixel * 4 + 3] = job.hardEdges ? (alpha >= 128 ? 255 : 0) : alpha
  }
  const picture = await putOn(job.background, { rgba, size, maxPixels: job.maxPixels })
  const encoded = job.format === 'webp' ? picture.webp({ quality: 90, alphaQuality: 100 }) : picture.png()
  return { bytes: await encoded.toBuffer() }
}

function stretch(mask: Grey, size: { width: number; height: number }): Promise<Buffer> {
  return sharp(mask.data, { raw: { width: mask.widthPx, height: mask.heightPx, channels: 1 } })
    .resize(size.width, size.height, { fit: 'fill' })
    .toColourspace('b-w')
    .raw()
    .toBuffer()
}

async function putOn(
  background: Background | undefined,
  cut: { rgba: Buffer; size: { width: number; height: number }; maxPixels: number },
): Promise<Sharp> {
  const raw = { ...cut.size, channels: 4 as const }
  if (background === undefined) return sharp(cut.rgba, { raw })
  if ('color' in background) return sharp(cut.rgba, { raw }).flatten({ background: background.color })
  const backdrop = await decode(background.image, cut.maxPixels)
    .resize(cut.size.width, cut.size.height, { fit: 'cover' })
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .png()
    .toBuffer()
  return sharp(backdrop).composite([{ input: cut.rgba, raw }])
}

function send(reply: PixelReply) {
  process.send?.(reply)
}

process.on('message', ({ id, job }: { id: number; job: PixelJob }) => {
  const work = job.kind === 'classify' ? classify(job) : cutOut(job)
  work.then(
    (result) => send({ id, result }),
    (error: Error) => {
      const blame = error instanceof ModelError ? 'model' : 'image'
      send({ id, error: { blame, message: error.message, detail: String(error.cause ?? error.stack) } })
    },
  )
})

// The parent is gone.
process.on('disconnect', () => process.exit(0))
