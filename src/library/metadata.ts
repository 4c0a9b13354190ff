import { open } from 'node:fs/promises'
import { type Blobs, HEAD_BYTES, type Staged } from '../blobs/blobs.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { type HeaderFacts, inspect, type MediaOptions, readHeaderFacts } from '../media/media.ts'
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

/** What is known of a file without decoding it. */
type KnownFacts = Pick<
  FileVersion,
  | 'sizeBytes'
  | 'format'
  | 'fileType'
  | 'widthPx'
  | 'heightPx'
  | 'bitRate'
  | 'durationSec'
  | 'audioCodec'
  | 'videoCodec'
>

type Deps = { blobs: Blobs; renderer: Pick<Renderer, 'analyse'>; log: Log }

/**
 * Reads the legacy metadata of a stored version; only images are decoded, in a render process.
 * @param options.strict whether an image of which nothing can be read is an error.
 * @throws TintypeError bad-request when `strict` and the image is corrupt; unavailable.
 */
export async function readLegacyMetadata(
  version: FileVersion,
  deps: Deps,
  options: { strict: boolean } = { strict: false },
): Promise<LegacyMetadata> {
  if (version.fileType !== 'image') return knownMetadata(version)
  return deps.blobs.withLocalFile(version.blob, (path) => readImageMetadata(version, path, deps, options))
}

/**
 * Reads the legacy metadata of bytes that are not part of the library, such as a transformed image.
 * @throws TintypeError as `readLegacyMetadata` with `strict`.
 */
export async function readMetadataOfStream(
  stream: AsyncIterable<Buffer>,
  name: string,
  deps: Deps & { media: MediaOptions; maxBytes: number },
): Promise<LegacyMetadata> {
  const writer = deps.blobs.stage({ maxBytes: () => deps.maxBytes })
  let staged: Staged
  try {
    for await (const chunk of stream) await writer.write(chunk)
    staged = await writer.finish()
  } catch (error) {
    await writer.abort()
    throw error
  }
  try {
    const { head, sizeBytes } = staged
    const localPath = () => staged.localPath()
    const found = await inspect({ head, sizeBytes, name, localPath }, { log: deps.log, options: deps.media })
    const facts: KnownFacts = {
      sizeBytes,
      format: found.format,
      fileType: found.fileType,
      widthPx: found.widthPx ?? null,
      heightPx: found.heightPx ?? null,
      bitRate: found.bitRate ?? null,
      durationSec: found.durationSec ?? null,
      audioCodec: found.audioCodec ?? null,
      videoCodec: found.videoCodec ?? null,
    }
    if (facts.fileType !== 'image') return knownMetadata(facts)
    return await readImageMetadata(facts, await localPath(), deps, { strict: true })
  } finally {
    await deps.blobs.discard(staged)
  }
}

function knownMetadata(facts: KnownFacts): LegacyMetadata {
  const optional = {
    height: facts.heightPx,
    width: facts.widthPx,
    ...(facts.fileType === 'image'
      ? {}
      : {
          bitRate: facts.bitRate,
          duration: facts.durationSec,
          audioCodec: facts.audioCodec,
          videoCodec: facts.videoCodec,
        }),
  }
  const known = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== null))
  return { size: facts.sizeBytes, format: facts.format, ...known }
}

async function readImageMetadata(
  facts: KnownFacts,
  path: string,
  { renderer, log }: Deps,
  { strict }: { strict: boolean },
): Promise<LegacyMetadata> {
  const { format, sizeBytes, widthPx, heightPx } = facts
  const [header, pixels] = await Promise.all([
    readHead(path).then((head) =>
      readHeaderFacts({ head, sizeBytes, format, localPath: async () => path }, { log }),
    ),
    renderer.analyse({ path, format, sizeBytes, widthPx, heightPx }).catch((error: unknown) => {
      // Only an overload is worth a second try.
      if (error instanceof TintypeError && error.kind === 'unavailable') throw error
      const isBroken = error instanceof TintypeError && error.kind === 'bad-request' && facts.widthPx === null
      if (strict && isBroken) throw badRequest('The requested file is corrupt or invalid.', { cause: error })
      // A picture that cannot be decoded still has a size and headers.
      return undefined
    }),
  ])
  return { ...knownMetadata(facts), ...header, ...pixels }
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
