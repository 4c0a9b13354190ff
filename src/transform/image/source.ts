import { readFile } from 'node:fs/promises'
import sharp, { type Metadata, type SharpOptions } from 'sharp'
import { badRequest, TintypeError } from '../../kernel/errors.ts'
import type { Chain } from '../ast.ts'
import type { Size } from '../operations.ts'
import { initialSize } from '../plan.ts'
import { isSrgbProfile } from './icc.ts'
import type { RenderLimits, SourceFile } from './job.ts'
import { type Picture, pictureOf, RANK } from './picture.ts'

/** A source whose header has been read; its pixels have not. */
export type Source = {
  /** Size of one frame, the right way up. */
  size: Size
  hasAlpha: boolean
  /** 1 for stills. */
  frames: number
  delaysMs: number[]
  loop: number
  /** The embedded colour profile, if it is for RGB and is not sRGB anyway. */
  profile: Buffer | null
  /** Whether sharp reads the file itself, so that its metadata can be carried over. */
  isNative: boolean
  /** A picture of one frame, counted from 0. `atLeast` lets vector images be drawn large enough. */
  picture(frame: number, atLeast?: Size): Promise<Picture>
}

/** Formats that sharp decodes; each maps to whether it may hold several frames. */
const NATIVE = new Set(['jpg', 'png', 'webp', 'gif', 'tiff', 'tif', 'avif', 'jpeg', 'apng'])

/**
 * Opens a source.
 * @throws TintypeError bad-request for what is broken or too large, unsupported for formats without a decoder.
 */
export async function openSource(
  file: SourceFile,
  limits: RenderLimits,
  autoOrient: boolean,
): Promise<Source> {
  if (file.format === 'heic' || file.format === 'heif') return openHeic(file, limits)
  if (file.format === 'svg') return openSvg(file, limits)
  if (!NATIVE.has(file.format)) {
    throw new TintypeError(
      'unsupported',
      `Images of the format "${file.format || 'unknown'}" cannot be transformed.`,
    )
  }
  const isHeif = file.format === 'avif'
  const metadata = await readMetadata(file.path, isHeif ? limits.maxHeifPx : limits.maxInputPx)
  const frames = metadata.pages !== undefined && metadata.delay !== undefined ? metadata.pages : 1
  const profile = rgbProfile(metadata)
  const size = initialSize({
    widthPx: metadata.width,
    heightPx: metadata.pageHeight ?? metadata.height,
    orientation: autoOrient ? (metadata.orientation ?? 1) : 1,
  })
  const { hasAlpha } = metadata
  return {
    size,
    hasAlpha,
    frames,
    delaysMs: metadata.delay ?? [],
    loop: metadata.loop ?? 0,
    profile,
    isNative: true,
    async picture(frame) {
      const options = inputOptions(limits, {
        page: frame,
        pages: 1,
        // The transform of a profile that is sRGB anyway costs 10–25 ms and changes nothing.
        ignoreIcc:
          profile === null &&
          metadata.icc !== undefined &&
          metadata.space !== 'cmyk' &&
          isSrgbProfile(metadata.icc),
      })
      const pipeline = sharp(file.path, options)
      return {
        pipeline: autoOrient ? pipeline.autoOrient() : pipeline,
        size,
        hasAlpha,
        rank: RANK.source,
      }
    },
  }
}

function inputOptions(limits: RenderLimits, options: SharpOptions): SharpOptions {
  return { sequentialRead: true, failOn: 'error', limitInputPixels: limits.maxInputPx, ...options }
}

async function readMetadata(input: string | Buffer, maxPx: number): Promise<Metadata> {
  let metadata: Metadata
  try {
    metadata = await sharp(input, { limitInputPixels: false }).metadata()
  } catch (cause) {
    throw badRequest('The image could not be decoded: it is corrupt or of an unknown kind.', { cause })
  }
  if (metadata.width * (metadata.pageHeight ?? metadata.height) > maxPx) {
    throw badRequest(
      `The image is ${metadata.width}x${metadata.pageHeight ?? metadata.height} pixels, which exceeds the maximum image resolution of ${maxPx / 1e6} megapixels.`,
    )
  }
  return metadata
}

function rgbProfile(metadata: Metadata): Buffer | null {
  if (!metadata.icc || metadata.space === 'cmyk' || isSrgbProfile(metadata.icc)) return null
  return metadata.icc.toString('latin1', 16, 20) === 'RGB ' ? metadata.icc : null
}

/** Sharp's build reads only the header of HEIC; libheif (in WebAssembly) gives the pixels, the right way up. */
async function openHeic(file: SourceFile, limits: RenderLimits): Promise<Source> {
  const metadata = await readMetadata(file.path, limits.maxHeifPx)
  const { default: decode } = await import('heic-decode')
  let decoded: { width: number; height: number; data: Uint8ClampedArray }
  try {
    decoded = await decode({ buffer: await readFile(file.path) })
  } catch (cause) {
    throw badRequest('The HEIC image could not be decoded.', { cause })
  }
  const { width, height, data } = decoded
  if (width * height > limits.maxHeifPx)
    throw badRequest('The HEIC image exceeds the maximum image resolution.')
  const pixels = {
    data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    widthPx: width,
    heightPx: height,
    channels: 4 as const,
  }
  const size = { widthPx: width, heightPx: height }
  const hasAlpha = metadata.hasAlpha
  return {
    size,
    hasAlpha,
    frames: 1,
    delaysMs: [],
    loop: 0,
    profile: null,
    isNative: false,
    async picture() {
      const picture = pictureOf(pixels)
      return hasAlpha ? picture : { ...picture, pipeline: picture.pipeline.removeAlpha(), hasAlpha: false }
    },
  }
}

/** The density at which librsvg draws one pixel for each CSS pixel. */
const SVG_DENSITY = 72
const MAX_SVG_DENSITY = 2400

/** SVG goes to librsvg as a buffer: without a base URL it cannot name files (trust C10). */
async function openSvg(file: SourceFile, limits: RenderLimits): Promise<Source> {
  if (file.sizeBytes > limits.maxSvgBytes) {
    throw badRequest(`SVG images of more than ${limits.maxSvgBytes} bytes cannot be transformed.`)
  }
  const buffer = await readFile(file.path)
  const metadata = await readMetadata(buffer, limits.maxOutputPx)
  const size = { widthPx: metadata.width, heightPx: metadata.height }
  return {
    size,
    hasAlpha: true,
    frames: 1,
    delaysMs: [],
    loop: 0,
    profile: null,
    isNative: false,
    async picture(_frame, atLeast) {
      const share = atLeast ? Math.max(atLeast.widthPx / size.widthPx, atLeast.heightPx / size.heightPx) : 1
      const density = share > 1 ? Math.min(MAX_SVG_DENSITY, Math.ceil(SVG_DENSITY * share)) : SVG_DENSITY
      const drawnPx = size.widthPx * size.heightPx * (density / SVG_DENSITY) ** 2
      const pipeline = sharp(
        buffer,
        inputOptions(limits, { density: drawnPx > limits.maxOutputPx ? SVG_DENSITY : density }),
      )
      return { pipeline, size, hasAlpha: true, rank: RANK.source }
    },
  }
}

/**
 * The frame, counted from 0, that a chain's `pg` takes from a source; undefined if it has none.
 * @throws TintypeError bad-request for a page that is not there.
 */
export function frameOf(chain: Chain, source: Source): number | undefined {
  for (const step of chain) {
    const pages = step.kind === 'pass' ? step.params.pg : undefined
    if (!pages) continue
    const only = pages.kind === 'numbers' && pages.ranges.length === 1 ? pages.ranges[0]! : undefined
    if (!only || only.from !== only.to) {
      throw badRequest(
        'Several pages or named layers (pg) can only be taken from layered files, which this is not.',
      )
    }
    if (only.from > source.frames) {
      throw badRequest(`The image has ${source.frames} pages; page ${only.from} does not exist.`)
    }
    return only.from - 1
  }
  return undefined
}
