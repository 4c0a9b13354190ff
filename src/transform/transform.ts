import { availableParallelism } from 'node:os'
import { type Static, Type } from 'typebox'
import type { Log } from '../kernel/log.ts'
import type { Chain } from './ast.ts'
import { type Fonts, prepareFonts } from './image/fonts.ts'
import type { AnalyseResult, Output, RenderResult, SourceFile } from './image/job.ts'
import { createPool } from './image/pool.ts'
import { initialSize, planImage as planChain } from './plan.ts'

export type { Chain, Layer, PassStep, Step } from './ast.ts'
export { missingFonts } from './image/fonts.ts'
export type { Output, OutputFormat, RenderResult, SourceFile } from './image/job.ts'
export {
  chainMakesAlpha,
  expandNamed,
  type OutputRequest,
  outputOf,
  sourcesOf,
  wantsHints,
} from './inspect.ts'
export {
  createModelProviders,
  type ModelAnswer,
  type ModelProvider,
  type ModelRequest,
  modelOptions,
} from './models/models.ts'
export type { Operation, Size } from './operations.ts'
export { defaultParseLimits, type ParseLimits, type ParseOptions, parseTransformation } from './parse.ts'
export { defaultPlanLimits, type ImagePlan, initialSize, type PlanEnv, planImage } from './plan.ts'
export {
  decideConditions,
  focusOnObjects,
  type ModelOperation,
  type ModelParameters,
  type ModelSplit,
  nameOfModel,
  needsModels,
  splitAtModel,
} from './plan-models.ts'
export { printTransformation } from './print.ts'

/** Changes whenever the same chain would give other bytes, so that stored results of older code are not used. */
export const ENGINE_VERSION = '1'

const MEGA = 1_000_000
const MEBI = 1024 * 1024

export const transformOptions = Type.Object({
  processes: Type.Integer({
    default: 0,
    minimum: 0,
    maximum: 64,
    description:
      'Most render processes at once; 0 takes one for each processor. Bounds the processors in use.',
  }),
  queue: Type.Integer({
    default: 64,
    minimum: 1,
    description:
      'Most renders that wait; more are answered 503, so that an overload does not become a memory problem.',
  }),
  memoryMiB: Type.Integer({
    default: 1024,
    minimum: 64,
    description:
      'Memory that running renders may need together, by estimate; one that needs more runs alone. Protects against decompression bombs.',
  }),
  jobsPerProcess: Type.Integer({
    default: 1000,
    minimum: 1,
    description: 'Renders after which a process is replaced; ends the fragmentation of its memory.',
  }),
  timeoutMs: Type.Integer({
    default: 10_000,
    minimum: 100,
    description:
      'Longest time for one render; then its process is killed. Ends files that make decoders run wild.',
  }),
  svgTimeoutMs: Type.Integer({
    default: 5000,
    minimum: 100,
    description: 'The same for SVG sources, whose cost does not show in their size.',
  }),
  maxInputMegapixels: Type.Number({
    default: 100,
    minimum: 1,
    description: 'Largest source image. Bounds memory and time.',
  }),
  maxHeifMegapixels: Type.Number({
    default: 25,
    minimum: 1,
    description: 'Largest AVIF or HEIC source: their decoders need about 20 bytes for each pixel.',
  }),
  maxDecodeMiB: Type.Number({
    default: 320,
    minimum: 1,
    description:
      'Memory that decoding a source may take where its format needs all pixels at once: GIF, WebP, progressive JPEG, interlaced PNG. Protects against files of few bytes and many pixels.',
  }),
  maxSvgMemoryMiB: Type.Number({
    default: 320,
    minimum: 128,
    description:
      'Memory that the process may take which draws an SVG, unless its size calls for more; then it is ended. Protects against pictures and filters inside of it, whose cost does not show before. Linux only.',
  }),
  maxOutputMegapixels: Type.Number({
    default: 25,
    minimum: 0.01,
    description: 'Largest output image and intermediate step. Bounds memory and time.',
  }),
  maxAnimationMegapixels: Type.Number({
    default: 50,
    minimum: 0.01,
    description: 'Pixels of all frames of an animated output together.',
  }),
  maxFrames: Type.Integer({
    default: 500,
    minimum: 1,
    description: 'Most frames of an animation that is transformed.',
  }),
  maxShadowMegapixels: Type.Number({
    default: 2,
    minimum: 0.01,
    description: 'Largest image that e-shadow is applied to.',
  }),
  maxSvgMiB: Type.Number({
    default: 5,
    minimum: 0.1,
    description: 'Largest SVG source: it is parsed as a whole.',
  }),
  maxPdfMiB: Type.Number({
    default: 20,
    minimum: 0.1,
    description: 'Largest PDF source: it is read into memory as a whole.',
  }),
  maxOutputMiB: Type.Number({
    default: 50,
    minimum: 1,
    description: 'Largest transformed file. Protects the cache and the network.',
  }),
  autoOrient: Type.Boolean({
    default: true,
    description: 'Turns images upright by their EXIF orientation before anything else.',
  }),
  webpEffort: Type.Integer({
    default: 4,
    minimum: 0,
    maximum: 6,
    description: 'How hard the WebP encoder works: 0 fast, 6 small.',
  }),
  avifEffort: Type.Integer({
    default: 1,
    minimum: 0,
    maximum: 9,
    description: 'How hard the AVIF encoder works: 0 fast, 9 small. 4 takes 19 times as long as WebP.',
  }),
})
export type TransformOptions = Static<typeof transformOptions>

export type RenderRequest = {
  source: SourceFile & { widthPx: number; heightPx: number }
  /** Identifies the bytes of the source, e.g. their hash. */
  sourceKey: string
  chain: Chain
  output: Output
  /** Files of image layers by the path that the chain names. */
  layers?: Record<string, SourceFile>
  /** Font files by the path that the chain names. */
  fonts?: Record<string, string>
  /** Values of the client hints, for `w-auto` and `dpr-auto`. */
  hints?: { widthPx?: number; dpr?: number }
  /** Where the result is written; made by us. A failed render may leave a part of it behind. */
  outputPath: string
}

export type Renderer = {
  /**
   * Renders an image in a child process.
   * @throws TintypeError bad-request for what the transformation or the file is to blame for, unsupported for formats
   * without a decoder, not-implemented for what needs a provider, unavailable when too much is waiting.
   */
  render(request: RenderRequest): Promise<RenderResult>
  /** Looks at the pixels of an image. Sizes that the inspection could not read are null or absent. */
  analyse(source: SourceFile & { widthPx?: number | null; heightPx?: number | null }): Promise<AnalyseResult>
  /** Whether images are turned upright before the first step. */
  readonly autoOrient: boolean
  close(): Promise<void>
}

/**
 * Creates the renderer. No process starts before the first render.
 * @param options.cacheDir folder for what is worth keeping for the next start; absent: nothing is kept.
 */
export function createRenderer(
  options: TransformOptions & { cacheDir?: string },
  deps: { log: Log },
): Renderer {
  // The same extension as this file: .ts from the source, .js from the package.
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
  let fonts: Fonts | undefined
  const pool = createPool(
    {
      processes: options.processes === 0 ? availableParallelism() : options.processes,
      queue: options.queue,
      memoryBytes: options.memoryMiB * MEBI,
      jobsPerProcess: options.jobsPerProcess,
      idleBytes: IDLE_BYTES,
      // glibc's arenas, one a thread, would hold on to what a render has freed.
      env() {
        fonts ??= prepareFonts(deps.log, options.cacheDir)
        return { MALLOC_ARENA_MAX: '2', UV_THREADPOOL_SIZE: '2', FONTCONFIG_FILE: fonts.configFile }
      },
      // No child processes and no worker threads from a process that decodes hostile files.
      execArgv: [
        '--permission',
        '--allow-addons',
        '--allow-fs-read=*',
        '--allow-fs-write=*',
        '--disable-warning=SecurityWarning',
        '--disable-warning=ExperimentalWarning',
      ],
      module: new URL(`./image/render-process${extension}`, import.meta.url),
    },
    deps.log,
  )
  const limits = {
    maxInputPx: options.maxInputMegapixels * MEGA,
    maxHeifPx: options.maxHeifMegapixels * MEGA,
    maxDecodeBytes: options.maxDecodeMiB * MEBI,
    maxOutputPx: options.maxOutputMegapixels * MEGA,
    maxAnimationPx: options.maxAnimationMegapixels * MEGA,
    maxFrames: options.maxFrames,
    maxShadowPx: options.maxShadowMegapixels * MEGA,
    maxSvgBytes: options.maxSvgMiB * MEBI,
    maxPdfBytes: options.maxPdfMiB * MEBI,
    maxOutputBytes: options.maxOutputMiB * MEBI,
  }
  const hasSvg = (sources: SourceFile[]) => sources.some((source) => source.format === 'svg')
  const timeoutFor = (sources: SourceFile[]) => (hasSvg(sources) ? options.svgTimeoutMs : options.timeoutMs)
  /** What a process may take all told: what its sources may, where their headers do not call for more. */
  const limitFor = (sources: SourceFile[], estimatedBytes: number) => {
    const floor = hasSvg(sources)
      ? options.maxSvgMemoryMiB * MEBI
      : limits.maxDecodeBytes + PROCESS_BYTES + PROCESS_BYTES
    return Math.max(floor, estimatedBytes + PROCESS_BYTES) + (sources.length - 1) * LAYER_BYTES
  }
  return {
    autoOrient: options.autoOrient,
    async render(request) {
      const { source } = request
      const layers = request.layers ?? {}
      const all = [source, ...Object.values(layers)]
      const estimatedBytes = estimateBytes(request, limits)
      const result = await pool.run({
        job: {
          kind: 'render',
          source,
          chain: request.chain,
          output: request.output,
          layers,
          fonts: request.fonts ?? {},
          hints: request.hints ?? {},
          autoOrient: options.autoOrient,
          limits,
          encoder: { webpEffort: options.webpEffort, avifEffort: options.avifEffort },
          outputPath: request.outputPath,
        },
        timeoutMs: timeoutFor(all),
        estimatedBytes,
        limitBytes: limitFor(all, estimatedBytes),
        sourceKey: request.sourceKey,
        spendsProcess:
          Object.keys(request.fonts ?? {}).length > 0 || all.some(({ format }) => SPENDING.has(format)),
      })
      return result as RenderResult
    },
    async analyse({ widthPx, heightPx, ...source }) {
      const sourcePx = (widthPx ?? DEFAULT_SIDE_PX) * (heightPx ?? DEFAULT_SIDE_PX)
      const estimatedBytes = estimateDecoderBytes(source.format, sourcePx, limits) + 64 * MEBI
      const result = await pool.run({
        job: { kind: 'analyse', source, limits },
        timeoutMs: timeoutFor([source]),
        estimatedBytes,
        limitBytes: limitFor([source], estimatedBytes),
        sourceKey: source.path,
        spendsProcess: false,
      })
      return result as AnalyseResult
    },
    async close() {
      await pool.close()
      fonts?.dispose()
    },
  }
}

/** Formats whose readers grow a process, and do not let it shrink again. */
const SPENDING = new Set(['pdf', 'ai'])

const BASE_BYTES = 32 * MEBI
/** A render process that has done nothing yet. */
const PROCESS_BYTES = 128 * MEBI
/** A layer, drawn at its size. */
const LAYER_BYTES = 128 * MEBI
/** A process that still takes more after a render is replaced: what it has freed would stay with it. */
const IDLE_BYTES = 256 * MEBI
/** Sizes that the inspection could not read count as large. */
const DEFAULT_SIDE_PX = 5000

/** Bytes that decoders need for each pixel of the source at their peak (measured; AVIF: trust E1). */
const DECODER_BYTES_PER_PX: Record<string, number> = {
  jpg: 3,
  png: 2,
  webp: 8,
  gif: 8,
  tiff: 6,
  avif: 20,
  heic: 20,
  svg: 8,
  pdf: 8,
  ai: 8,
  bmp: 8,
  ico: 8,
  psd: 12,
}

type EstimateLimits = { maxInputPx: number; maxHeifPx: number; maxOutputPx: number; maxAnimationPx: number }

/** Sources beyond the limits are refused by their headers, so they need no more than those within. */
function estimateDecoderBytes(format: string, sourcePx: number, limits: EstimateLimits): number {
  const isHeif = format === 'avif' || format === 'heic'
  const maxPx = isHeif ? limits.maxHeifPx : format === 'svg' ? limits.maxOutputPx : limits.maxInputPx
  return BASE_BYTES + (DECODER_BYTES_PER_PX[format] ?? 8) * Math.min(sourcePx, maxPx)
}

/** What a render may need at its peak. Sizes that cannot be planned count as they are. */
function estimateBytes(request: RenderRequest, limits: EstimateLimits): number {
  const { source, chain } = request
  const { maxAnimationPx } = limits
  const sourcePx = source.widthPx * source.heightPx
  const decoder = estimateDecoderBytes(source.format, sourcePx, limits)
  const size = initialSize({ widthPx: source.widthPx, heightPx: source.heightPx, orientation: 1 })
  let outputPx = sourcePx
  try {
    const plan = planChain(
      chain,
      { size },
      { limits: { maxOutputPx: Infinity, maxAnimationPx, maxFrames: 500, maxShadowPx: Infinity } },
    )
    outputPx = plan.size.widthPx * plan.size.heightPx
  } catch {
    // The render will say what is wrong with it.
  }
  const frames = source.format === 'gif' && request.output.format !== 'jpg' ? maxAnimationPx * 4 : 0
  const encoder = request.output.format === 'avif' ? 20 : 12
  return Math.round(decoder + Math.min(outputPx, limits.maxOutputPx) * encoder + frames)
}
