import { open } from 'node:fs/promises'
import { type Blobs, HEAD_BYTES } from '../blobs/blobs.ts'
import { TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { type HeaderFacts, readHeaderFacts } from '../media/media.ts'
import type { FileVersion } from '../store/store.ts'
import type { Renderer } from '../transform/transform.ts'

/** The legacy metadata object (OpenAPI, `Metadata`). */
export type LegacyMetadata = Partial<HeaderFacts> & {
  size: number
  format: string
  height?: number
  width?: number
  hasTransparency?: boolean
  /** Perceptual hash, 16 hex digits. */
  pHash?: string
  bitRate?: number
  duration?: number
  audioCodec?: string
  videoCodec?: string
}

/** Reads the legacy metadata of a stored version; only images are decoded, in a render process. */
export async function readLegacyMetadata(
  version: FileVersion,
  deps: { blobs: Blobs; renderer: Pick<Renderer, 'analyse'>; log: Log },
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
    const { format, sizeBytes } = version
    const [facts, pixels] = await Promise.all([
      readHead(path).then((head) =>
        readHeaderFacts({ head, sizeBytes, format, localPath: async () => path }, { log: deps.log }),
      ),
      deps.renderer.analyse({ path, format, sizeBytes }).catch(withoutPixels),
    ])
    return { ...known, ...facts, ...pixels }
  })
}

/** A picture that cannot be decoded still has a size and headers; only an overload is worth a second try. */
function withoutPixels(error: unknown): undefined {
  if (error instanceof TintypeError && error.kind === 'unavailable') throw error
  return undefined
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
