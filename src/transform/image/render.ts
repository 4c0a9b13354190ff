import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import sharp from 'sharp'
import { badRequest } from '../../kernel/errors.ts'
import type { Chain, Layer } from '../ast.ts'
import { evaluate } from '../expr.ts'
import type { Size } from '../operations.ts'
import { checkSize, holds, needsSalientPoint, type PlanEnv, type PlanState, planStep } from '../plan.ts'
import { encodeAnimation, encodeStill } from './encode.ts'
import type { RenderJob, RenderResult } from './job.ts'
import { applyLayers } from './layers.ts'
import { applyOperation } from './ops.ts'
import { type Picture, type Pixels, pictureOf, pixelsOf } from './picture.ts'
import { frameOf, openSource, type Source } from './source.ts'

/** What one render carries along. */
export type RunContext = {
  job: RenderJob
  env: PlanEnv
  /** Layers that are done, for the next frames. */
  rendered: Map<Layer, { key: string; result: { picture: Pixels; initial: Size } }>
}

/** Where a chain begins. */
export type Start = {
  /** Opens the picture; a vector image is drawn at least this large. */
  open(atLeast?: Size): Promise<Picture>
  size: Size
  base?: Size
  customCoordinates: string | null
}

/** Renders a job to its output file. */
export async function render(job: RenderJob): Promise<RenderResult> {
  const source = await openSource(job.source, job.limits, job.autoOrient, job.chain)
  checkSourceFrames(source, job)
  const context: RunContext = {
    job,
    env: { limits: job.limits, hints: job.hints },
    rendered: new Map(),
  }
  const animated = source.isAnimated && canAnimate(job) && frameOf(job.chain, source) === undefined
  const bytes = animated ? await renderAnimation(source, context) : await renderStill(source, context)
  if (bytes.data.length > job.limits.maxOutputBytes) {
    throw badRequest('The transformed image is larger than this server allows.')
  }
  // Nothing else waits for this process, and a promise for each step of a write costs more than the write.
  writeFileSync(job.outputPath, bytes.data)
  return {
    widthPx: bytes.size.widthPx,
    heightPx: bytes.size.heightPx,
    frames: animated ? source.frames : 1,
    sizeBytes: bytes.data.length,
    sha256: createHash('sha256').update(bytes.data).digest('hex'),
  }
}

function canAnimate(job: RenderJob): boolean {
  return job.output.format === 'gif' || job.output.format === 'webp'
}

function checkSourceFrames(source: Source, job: RenderJob) {
  if (source.isAnimated && source.frames > job.limits.maxFrames && canAnimate(job)) {
    throw badRequest(`Animations of more than ${job.limits.maxFrames} frames cannot be transformed.`)
  }
}

type Encoded = { data: Buffer; size: Size }

async function renderStill(source: Source, context: RunContext): Promise<Encoded> {
  const { job } = context
  const picture = await runFrame(source, frameOf(job.chain, source) ?? 0, context)
  const output = { ...job.output, density: densityOf(job, source) }
  const data = await encodeStill(picture, output, job.encoder, {
    profile: source.profile,
    metadataFrom: job.output.keepMetadata && source.isNative ? job.source.path : null,
    profilePath: `${job.outputPath}.icc`,
  })
  return { data, size: picture.size }
}

const MAX_DENSITY = 1200

/** The density to note in the file; expressions can use that of the source (`idn`). */
function densityOf(job: RenderJob, source: Source): number | null {
  const { density } = job.output
  if (density === null) return null
  const { widthPx, heightPx } = source.size
  const scope = { idn: source.densityDpi, iw: widthPx, ih: heightPx, iar: widthPx / heightPx }
  let dpi: number
  try {
    dpi = evaluate(density, scope)
  } catch (error) {
    throw badRequest(`Invalid transformation: the value of "dn" ${(error as Error).message}.`)
  }
  if (dpi < 1 || dpi > MAX_DENSITY) {
    throw badRequest(`Invalid transformation: the value of "dn" must be from 1 to ${MAX_DENSITY}.`)
  }
  return dpi
}

async function renderAnimation(source: Source, context: RunContext): Promise<Encoded> {
  const { job } = context
  const frames: Pixels[] = []
  for (let index = 0; index < source.frames; index++) {
    const pixels = await pixelsOf(await runFrame(source, index, context))
    frames.push(pixels)
    const totalPx = pixels.widthPx * pixels.heightPx * source.frames
    if (totalPx > job.limits.maxAnimationPx) {
      throw badRequest(
        `The animation would have ${source.frames} frames of ${pixels.widthPx}x${pixels.heightPx} pixels, which is more than this server allows.`,
      )
    }
    // Trimming may find another box in each frame; the first one decides.
    if (pixels.widthPx !== frames[0]!.widthPx || pixels.heightPx !== frames[0]!.heightPx) {
      throw badRequest(
        'The frames of the animation would not have the same size. Leave out t, or take one page (pg).',
      )
    }
  }
  const { widthPx, heightPx } = frames[0]!
  return { data: await encodeAnimation(frames, source, job.output, job.encoder), size: { widthPx, heightPx } }
}

function runFrame(source: Source, frame: number, context: RunContext): Promise<Picture> {
  return runChain(context.job.chain, context, {
    open: (atLeast) => source.picture(frame, atLeast),
    size: source.size,
    customCoordinates: context.job.source.customCoordinates ?? null,
  })
}

/** Runs a chain: each step is planned with the size that the picture has by then. */
export async function runChain(chain: Chain, context: RunContext, start: Start): Promise<Picture> {
  const run: Run = { picture: undefined, size: start.size, start, context }
  await runSteps(chain, run)
  if (run.picture) return run.picture
  checkSize(start.size, context.env.limits)
  return start.open()
}

type Run = { picture: Picture | undefined; size: Size; start: Start; context: RunContext }

async function runSteps(chain: Chain, run: Run): Promise<void> {
  const { start, context } = run
  for (const step of chain) {
    const state: PlanState = {
      size: run.size,
      initial: start.size,
      base: start.base,
      customCoordinates: start.customCoordinates,
    }
    if (step.kind === 'if') {
      await runSteps(holds(step.condition, state) ? step.whenTrue : step.whenFalse, run)
      continue
    }
    if (needsSalientPoint(step)) state.salientPoint = await salientPoint(run)
    const { operations } = planStep(step, state, context.env)
    let picture = run.picture
    for (const operation of operations) {
      // Only a plain resize of the whole image can start from a larger drawing of it.
      const atLeast =
        !picture && operation.kind === 'geometry' && !operation.extract
          ? (operation.resize ?? undefined)
          : undefined
      picture = await applyOperation(picture ?? (await start.open(atLeast)), operation)
    }
    if (step.layers.length > 0) {
      checkSize(picture?.size ?? run.size, context.env.limits)
      picture = await applyLayers(picture ?? (await start.open()), step.layers, context)
    }
    if (picture) {
      run.picture = picture
      run.size = picture.size
    }
  }
}

/** Side of the copy that is searched for the salient point. */
const SALIENCY_SIDE_PX = 400

/**
 * The point that draws the eye, by edges, saturation and skin tones: libvips' "attention". It is searched for in a small
 * copy, which most decoders make without decoding the whole.
 */
async function salientPoint(run: Run): Promise<{ x: number; y: number }> {
  const { size } = run
  if (run.picture) run.picture = pictureOf(await pixelsOf(run.picture))
  const { pipeline } = run.picture ?? (await run.start.open())
  const share = Math.min(1, SALIENCY_SIDE_PX / Math.max(size.widthPx, size.heightPx))
  const widthPx = Math.max(2, Math.round(size.widthPx * share))
  const heightPx = Math.max(2, Math.round(size.heightPx * share))
  const small = await pipeline
    .clone()
    .resize(widthPx, heightPx, { fit: 'fill' })
    .png({ compressionLevel: 0 })
    .toBuffer()
  // A crop by one column makes libvips look for the point; where the crop lies does not matter.
  const { info } = await sharp(small)
    .resize(widthPx - 1, heightPx, { fit: 'cover', position: 'attention' })
    .raw()
    .toBuffer({ resolveWithObject: true })
  const { attentionX = widthPx / 2, attentionY = heightPx / 2 } = info as {
    attentionX?: number
    attentionY?: number
  }
  return { x: (attentionX / widthPx) * size.widthPx, y: (attentionY / heightPx) * size.heightPx }
}
