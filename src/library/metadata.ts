import type { Blobs } from '../blobs/blobs.ts'
import { badRequest } from '../kernel/errors.ts'
import { type ExifTree, readExifTree, readHeaderFacts } from '../media/media.ts'
import type { FileVersion } from '../store/store.ts'
import type { Renderer } from '../transform/transform.ts'

/** The legacy metadata object (OpenAPI, `Metadata`). */
export type LegacyMetadata = {
  size: number
  format: string
  height?: number
  width?: number
  hasColorProfile?: boolean
  /** Estimated quality of a JPEG, 1–100; 0 where it does not apply. */
  quality?: number
  /** Dots per inch. */
  density?: number
  hasTransparency?: boolean
  /** Perceptual hash, 16 hex digits. */
  pHash?: string
  exif?: ExifTree
  bitRate?: number
  duration?: number
  audioCodec?: string
  videoCodec?: string
}

/** Reads the legacy metadata of a stored version; only images are decoded, in a render process. */
export async function readLegacyMetadata(
  version: FileVersion,
  deps: { blobs: Blobs; renderer: Pick<Renderer, 'analyse'> },
): Promise<LegacyMetadata> {
  const known = {
    size: version.sizeBytes,
    format: version.format,
    ...(version.heightPx === null ? {} : { height: version.heightPx }),
    ...(version.widthPx === null ? {} : { width: version.widthPx }),
  }
  if (version.fileType !== 'image') {
    return {
      ...known,
      ...(version.bitRate === null ? {} : { bitRate: version.bitRate }),
      ...(version.durationSec === null ? {} : { duration: version.durationSec }),
      ...(version.audioCodec === null ? {} : { audioCodec: version.audioCodec }),
      ...(version.videoCodec === null ? {} : { videoCodec: version.videoCodec }),
    }
  }
  return deps.blobs.withLocalFile(version.blob, async (path) => {
    const source = { path, format: version.format, sizeBytes: version.sizeBytes }
    const [facts, exif, pixels] = await Promise.all([
      readHeaderFacts(source),
      readExifTree(source),
      deps.renderer.analyse(source).catch((cause: unknown) => {
        throw badRequest('The requested file is corrupt or invalid.', { cause })
      }),
    ])
    return { ...known, ...facts, hasTransparency: pixels.hasTransparency, pHash: pixels.pHash, exif }
  })
}
