import { type Static, Type } from 'typebox'
import type { Log } from '../kernel/log.ts'
import { createByteSource } from './byte-source.ts'
import { readEmbedded, readExifTree } from './embedded.ts'
import { type ImageHeader, readImageHeader } from './image.ts'
import { sniff } from './sniff.ts'
import { readTimedMedia } from './video.ts'

export { sniff } from './sniff.ts'

/** Limits of reading what uploads contain. */
export const mediaOptions = Type.Object({
  probeTimeoutMs: Type.Integer({
    minimum: 100,
    maximum: 60_000,
    default: 5000,
    description:
      'Time for reading the tracks of a video or sound file. Protects the server from crafted containers.',
  }),
  ffprobe: Type.String({
    default: 'ffprobe',
    description: 'Program that reads containers which the built-in reader cannot; uploads work without it.',
  }),
})
export type MediaOptions = Static<typeof mediaOptions>

/** What the bytes of a file say about it, as far as an upload needs it. Absent means: does not apply, or could not be read. */
export type Inspection = {
  /** From the bytes; text formats by the file name's extension; `application/octet-stream` if unknown. */
  mime: string
  /** Short name as the API's search uses it: `jpg`, `png`, `mp4`, `pdf`, … ; empty if unknown. */
  format: string
  /** `image` or `non-image` (contract notes 1.1). */
  fileType: 'image' | 'non-image'
  kind: 'image' | 'video' | 'audio' | 'text' | 'document' | 'other'
  /** Size as stored, before any EXIF rotation is applied. */
  widthPx?: number
  heightPx?: number
  /** EXIF orientation 1–8. */
  orientation?: number
  /** Whether the image has an alpha channel (not: whether a pixel is transparent). */
  hasAlpha?: boolean
  /** Frames of an animation, pages of a document. */
  pages?: number
  durationSec?: number
  /** Bits per second. */
  bitRate?: number
  videoCodec?: string
  audioCodec?: string
  /** EXIF, IPTC and XMP in one flat object with ExifTool's names and values, e.g. `Orientation: "Horizontal (normal)"`. Empty if none. */
  embedded: Record<string, unknown>
}

export type InspectionSource = {
  /** First bytes of the file, at most 256 KiB. */
  head: Buffer
  sizeBytes: number
  /** Sanitised file name; only its extension is used, and only for text formats. */
  name: string
  /** Gives a local file with the bytes; called only where `head` does not suffice. */
  localPath(): Promise<string>
}

/**
 * Tells what a file is, from its bytes. A broken file is no error: what could not be read is absent, and the file
 * is stored as it is.
 */
export async function inspect(
  source: InspectionSource,
  deps: { log: Log; options?: MediaOptions },
): Promise<Inspection> {
  const { mime, format, kind } = await sniff(source.head, source.name)
  const inspection: Inspection = {
    mime,
    format,
    kind,
    fileType: kind === 'image' ? 'image' : 'non-image',
    embedded: {},
  }
  if (kind === 'image') await addImageFacts(inspection, source, deps.log)
  else if (kind === 'video' || kind === 'audio') {
    const options = deps.options ?? { probeTimeoutMs: 5000, ffprobe: 'ffprobe' }
    const facts = await readTimedMedia(
      { path: await source.localPath(), sizeBytes: source.sizeBytes, kind },
      { timeoutMs: options.probeTimeoutMs, ffprobe: options.ffprobe },
      deps.log,
    )
    Object.assign(inspection, facts)
    if (mime === 'application/ogg') {
      Object.assign(inspection, facts.kind === 'video' ? OGG_VIDEO : OGG_AUDIO)
    }
  }
  return inspection
}

const OGG_VIDEO = { mime: 'video/ogg', format: 'ogv' }
const OGG_AUDIO = { mime: 'audio/ogg', format: 'ogg' }

async function addImageFacts(inspection: Inspection, source: InspectionSource, log: Log) {
  const header = await tryReadHeader(inspection.format, source, log)
  for (const key of ['widthPx', 'heightPx', 'orientation', 'hasAlpha', 'pages'] as const) {
    if (header[key] !== undefined) Object.assign(inspection, { [key]: header[key] })
  }
  if (header.tiff || header.iptc || header.xmp) {
    try {
      inspection.embedded = readEmbedded(header)
    } catch (error) {
      log.warn({ err: error, format: inspection.format }, 'embedded metadata could not be read')
    }
  }
}

async function tryReadHeader(
  format: string,
  source: Pick<InspectionSource, 'head' | 'sizeBytes' | 'localPath'>,
  log: Log,
): Promise<ImageHeader> {
  const bytes = createByteSource(source)
  try {
    return await readImageHeader(format, bytes)
  } catch (error) {
    log.warn({ err: error, format }, 'an image header could not be read')
    return {}
  } finally {
    await bytes.close()
  }
}

/** What an image's headers say beyond an inspection; absent where they do not. */
export type HeaderFacts = {
  hasColorProfile: boolean
  /** Estimate of a JPEG's quality setting, 1–100; 0 for other formats and where there are no tables. */
  quality: number
  /** Dots per inch; 72 where the file does not tell. */
  density: number
  exif: ExifTree
}

/**
 * The part of the legacy `metadata` that an image's headers give; the perceptual hash and real transparency need
 * its pixels. Never throws.
 * @param source as for `inspect`; `format` as `inspect` gave it.
 */
export async function readHeaderFacts(
  source: Pick<InspectionSource, 'head' | 'sizeBytes' | 'localPath'> & { format: string },
  deps: { log: Log },
): Promise<HeaderFacts> {
  const header = await tryReadHeader(source.format, source, deps.log)
  return {
    hasColorProfile: header.hasColorProfile ?? false,
    quality: header.quality ?? 0,
    density: header.density ?? 72,
    exif: readExifTree(header),
  }
}

/** The legacy EXIF tree of `metadata.exif`: raw numbers and strings, grouped as the OpenAPI's `Metadata` shows. */
export type ExifTree = {
  image: Record<string, unknown>
  thumbnail: Record<string, unknown>
  exif: Record<string, unknown>
  gps: Record<string, unknown>
  interoperability: Record<string, unknown>
  makernote: Record<string, unknown>
}
