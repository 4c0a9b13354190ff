import { readFile } from 'node:fs/promises'
import sharp, { type Metadata, type SharpOptions } from 'sharp'
import { badRequest, TintypeError } from '../../kernel/errors.ts'
import type { Chain } from '../ast.ts'
import type { Size } from '../operations.ts'
import { initialSize } from '../plan.ts'
import { decodeBmp } from './decode-bmp.ts'
import { decodeIco } from './decode-ico.ts'
import { decodePsd } from './decode-psd.ts'
import { isSrgbProfile } from './icc.ts'
import type { RenderLimits, SourceFile } from './job.ts'
import { openPdf } from './open-pdf.ts'
import { type Picture, type Pixels, pictureOf, RANK } from './picture.ts'

/** A source whose header has been read; its pixels have not. */
export type Source = {
  /** Size of one frame, the right way up. */
  size: Size
  hasAlpha: boolean
  /** Frames of an animation, pages of a document; 1 for stills. */
  frames: number
  /** Whether the frames are shown one after the other. */
  isAnimated: boolean
  delaysMs: number[]
  loop: number
  /** The embedded colour profile, if it is for RGB and is not sRGB anyway. */
  profile: Buffer | null
  /** Pixels per inch, as the file says; 72 where it does not. */
  densityDpi: number
  /** Whether sharp reads the file itself, so that its metadata can be carried over. */
  isNative: boolean
  /** A picture of one frame, counted from 0. `atLeast` lets vector images be drawn large enough. */
  picture(frame: number, atLeast?: Size): Promise<Picture>
}

/** Formats that sharp decodes. */
const NATIVE = new Set(['jpg', 'png', 'webp', 'gif', 'tiff', 'tif', 'avif', 'jpeg', 'apng'])

/** Formats that are decoded here. Each gives the pixels of a whole file or throws for what is broken. */
const DECODERS: Record<string, (bytes: Buffer, limits: { maxPx: number }) => Pixels | Promise<Pixels>> = {
  bmp: decodeBmp,
  ico: decodeIco,
  psd: decodePsd,
}

/** Formats whose pages pdfium draws. Illustrator keeps a PDF in its files. */
const PDF = new Set(['pdf', 'ai'])

/**
 * Opens a source.
 * @param chain what is to be done with it: its page is the one that counts for sizes.
 * @throws TintypeError bad-request for what is broken or too large, unsupported for formats without a decoder.
 */
export async function openSource(
  file: SourceFile,
  limits: RenderLimits,
  autoOrient: boolean,
  chain: Chain = [],
): Promise<Source> {
  const frame = wantedPage(chain, file.format) ?? 0
  if (file.format === 'heic' || file.format === 'heif') return openHeic(file, limits)
  if (file.format === 'svg') return openSvg(file, limits)
  if (PDF.has(file.format)) return openPdf(file, limits, frame)
  const decode = Object.hasOwn(DECODERS, file.format) ? DECODERS[file.format] : undefined
  if (decode) return openDecoded(file, limits, decode)
  if (!NATIVE.has(file.format)) {
    throw new TintypeError(
      'unsupported',
      `Images of the format "${file.format || 'unknown'}" cannot be transformed.`,
    )
  }
  const isHeif = file.format === 'avif'
  const maxPx = isHeif ? limits.maxHeifPx : limits.maxInputPx
  const isTiff = file.format === 'tiff' || file.format === 'tif'
  const first = await readMetadata(file.path, maxPx)
  const isAnimated = first.delay !== undefined && (first.pages ?? 1) > 1
  const frames = isAnimated || isTiff ? (first.pages ?? 1) : 1
  // Pages of a TIFF have sizes of their own.
  const metadata = isTiff && frame > 0 && frame < frames ? await readMetadata(file.path, maxPx, frame) : first
  checkDecodeBytes(file.format, metadata, limits.maxDecodeBytes)
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
    isAnimated,
    delaysMs: metadata.delay ?? [],
    loop: metadata.loop ?? 0,
    profile,
    densityDpi: metadata.density ?? DEFAULT_DPI,
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

const DEFAULT_DPI = 72

async function readMetadata(input: string | Buffer, maxPx: number, page = 0): Promise<Metadata> {
  let metadata: Metadata
  try {
    metadata = await sharp(input, { limitInputPixels: false, ...(page > 0 ? { page } : {}) }).metadata()
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

/**
 * Refuses what would be small to send and large to decode: these formats have no rows that could be read one by one
 * (measured with 100 megapixels of each; trust E1).
 */
function checkDecodeBytes(format: string, metadata: Metadata, maxBytes: number) {
  const { width, channels, isProgressive, chromaSubsampling, hasAlpha } = metadata
  const px = width * (metadata.pageHeight ?? metadata.height)
  let bytesPerPx = 0
  // The canvas, and up to one byte of what has been read of the file.
  if (format === 'gif') bytesPerPx = 5
  // The decoder's own picture, ours, and what is made of it.
  else if (format === 'webp') bytesPerPx = hasAlpha ? 10 : 6
  else if (isProgressive && format === 'png') bytesPerPx = channels * (metadata.depth === 'ushort' ? 2 : 1)
  // All coefficients are kept, two bytes each, until the last scan has been read.
  else if (isProgressive) bytesPerPx = chromaSubsampling === '4:2:0' ? channels : channels * 2
  if (px * bytesPerPx > maxBytes) {
    throw badRequest(
      `The image is ${width}x${metadata.pageHeight ?? metadata.height} pixels, which in this kind of file exceeds the maximum image resolution of ${Math.floor(maxBytes / bytesPerPx / 1e6)} megapixels.`,
    )
  }
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
    isAnimated: false,
    delaysMs: [],
    loop: 0,
    profile: null,
    densityDpi: metadata.density ?? DEFAULT_DPI,
    isNative: false,
    async picture() {
      const picture = pictureOf(pixels)
      return hasAlpha ? picture : { ...picture, pipeline: picture.pipeline.removeAlpha(), hasAlpha: false }
    },
  }
}

/** Opens a file of a format that is decoded here as a whole. */
async function openDecoded(
  file: SourceFile,
  limits: RenderLimits,
  decode: (bytes: Buffer, limits: { maxPx: number }) => Pixels | Promise<Pixels>,
): Promise<Source> {
  // What these formats hold is bounded by their length but for runs of equal pixels.
  if (file.sizeBytes > limits.maxInputPx * 4) throw badRequest('The image is too large to be transformed.')
  let pixels: Pixels
  try {
    pixels = await decode(await readFile(file.path), { maxPx: limits.maxOutputPx })
  } catch (cause) {
    throw badRequest('The image could not be decoded: it is corrupt, too large or of an unknown kind.', {
      cause,
    })
  }
  return {
    size: { widthPx: pixels.widthPx, heightPx: pixels.heightPx },
    hasAlpha: pixels.channels === 4,
    frames: 1,
    isAnimated: false,
    delaysMs: [],
    loop: 0,
    profile: null,
    densityDpi: DEFAULT_DPI,
    isNative: false,
    picture: async () => pictureOf(pixels),
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
    isAnimated: false,
    delaysMs: [],
    loop: 0,
    profile: null,
    densityDpi: SVG_DENSITY,
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
 * The page, counted from 0, that a chain's `pg` names; undefined without one.
 * @throws TintypeError not-implemented for layers of Photoshop files, bad-request for several pages at once.
 */
function wantedPage(chain: Chain, format: string): number | undefined {
  for (const step of chain) {
    const pages = step.kind === 'pass' ? step.params.pg : undefined
    if (!pages) continue
    if (format === 'psd') {
      throw new TintypeError(
        'not-implemented',
        'Layers of Photoshop files (pg) cannot be taken apart by this server; leave out pg for the whole picture.',
      )
    }
    const only = pages.kind === 'numbers' && pages.ranges.length === 1 ? pages.ranges[0]! : undefined
    if (!only || only.from !== only.to) {
      throw badRequest(
        'Several pages or named layers (pg) can only be taken from layered files, which this is not.',
      )
    }
    return only.from - 1
  }
  return undefined
}

/**
 * The frame, counted from 0, that a chain's `pg` takes from a source; undefined without one.
 * @throws TintypeError bad-request for a page that is not there.
 */
export function frameOf(chain: Chain, source: Source): number | undefined {
  const frame = wantedPage(chain, '')
  if (frame !== undefined && frame >= source.frames) {
    throw badRequest(`The file has ${source.frames} pages; page ${frame + 1} does not exist.`)
  }
  return frame
}
