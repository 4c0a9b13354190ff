import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Blobs, Staged } from '../blobs/blobs.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import { splitFilePath } from '../kernel/paths.ts'
import type { Inspection } from '../media/media.ts'
import type { FileVersion, Store } from '../store/store.ts'
import {
  type Chain,
  chainMakesAlpha,
  expandNamed,
  type Output,
  type OutputFormat,
  outputOf,
  parseTransformation,
  type Renderer,
  type SourceFile,
  sourcesOf,
} from '../transform/transform.ts'

/** Where the size of an image could not be read it counts as large. */
const UNKNOWN_SIDE_PX = 5000
const BUILT_IN_NAMES = new Map(
  ['media_library_thumbnail', 'ik_ml_thumbnail'].map((name) => [name, 'w-100,h-100,c-at_max']),
)

export type PreTransformer = {
  /**
   * Makes of staged bytes what a transformation makes of them; they are gone then.
   * @returns the same bytes where the transformation leaves the file as it is, as delivery does with an SVG.
   * @throws TintypeError bad-request for what the file or the transformation is to blame for, unavailable, …
   */
  transform(
    staged: Staged,
    source: { chain: Chain; inspection: Inspection; customCoordinates: string | undefined },
  ): Promise<{ staged: Staged; format: OutputFormat | undefined }>
}

export function createPreTransformer(
  options: { quality: number },
  deps: {
    store: Pick<Store, 'files' | 'documents'>
    blobs: Blobs
    renderer: Pick<Renderer, 'render'>
    tempDir: string
  },
): PreTransformer {
  const { store, blobs, renderer, tempDir } = deps

  async function findNamed(name: string): Promise<string | undefined> {
    const builtIn = BUILT_IN_NAMES.get(name)
    if (builtIn !== undefined) return builtIn
    const all = await store.documents.list('named-transformation')
    const found = all.find(({ body }) => body.name === name && body.enabled !== false)
    return found?.body.transformation as string | undefined
  }

  /** Images and fonts of layers. Private files and drafts count as missing: an uploader need not be allowed to see them. */
  async function findAll(paths: string[]): Promise<FileVersion[]> {
    return Promise.all(
      paths.map(async (path) => {
        const { folderPath, name } = splitFilePath(path)
        const file = await store.files.atPath(folderPath, name)
        if (!file?.isPublished || file.isPrivate) {
          throw badRequest(`The file of a layer does not exist: ${path}`)
        }
        return file
      }),
    )
  }

  return {
    async transform(staged, { chain: asked, inspection, customCoordinates }) {
      const chain = await expandNamed(asked, async (name) => {
        const text = await findNamed(name)
        return text === undefined ? undefined : parseTransformation(text)
      })
      const output = decideOutput(chain, inspection, options.quality)
      if (!output) return { staged, format: undefined }
      const sources = sourcesOf(chain)
      const images = await findAll(sources.images)
      const fonts = await findAll(sources.fonts)
      const outputPath = join(tempDir, randomUUID())
      try {
        await withLocalFiles(blobs, [...images, ...fonts], async (paths) =>
          renderer.render({
            source: {
              path: await staged.localPath(),
              format: inspection.format,
              sizeBytes: staged.sizeBytes,
              customCoordinates: customCoordinates ?? null,
              widthPx: inspection.widthPx ?? UNKNOWN_SIDE_PX,
              heightPx: inspection.heightPx ?? UNKNOWN_SIDE_PX,
            },
            sourceKey: staged.sha256,
            chain,
            output,
            layers: Object.fromEntries(
              images.map((file, at) => [sources.images[at]!, sourceOf(file, paths[at]!)]),
            ),
            fonts: Object.fromEntries(sources.fonts.map((path, at) => [path, paths[images.length + at]!])),
            outputPath,
          }),
        )
        const result = await stageFile(blobs, outputPath)
        await blobs.discard(staged)
        return { staged: result, format: output.format }
      } catch (error) {
        if (error instanceof TintypeError && (error.kind === 'unsupported' || error.kind === 'too-large')) {
          throw badRequest(error.message, { cause: error })
        }
        throw error
      } finally {
        await rm(outputPath, { force: true })
        await rm(`${outputPath}.icc`, { force: true })
      }
    },
  }
}

/** How the result is encoded: as the chain says, else as the source is. Undefined leaves the file as it is. */
function decideOutput(chain: Chain, inspection: Inspection, quality: number): Output | undefined {
  const asked = outputOf(chain)
  if (asked.original) return undefined
  const format = chooseFormat(
    asked.format,
    inspection.format,
    chainMakesAlpha(chain, inspection.hasAlpha === true),
  )
  if (format === undefined) return undefined
  return {
    format,
    quality: asked.quality ?? quality,
    lossless: asked.lossless,
    progressive: asked.progressive,
    keepColorProfile: asked.keepColorProfile ?? false,
    keepMetadata: asked.keepMetadata ?? false,
    density: asked.density,
  }
}

function chooseFormat(
  asked: ReturnType<typeof outputOf>['format'],
  source: string,
  alpha: boolean,
): OutputFormat | undefined {
  switch (asked) {
    case 'jpg':
    case 'png':
    case 'webp':
    case 'avif':
      return asked
    case 'gif':
      if (source !== 'gif') throw badRequest('f-gif can only be used with GIF images.')
      return 'gif'
    case 'mp4':
    case 'webm':
      throw new TintypeError('not-implemented', `f-${asked} cannot be made from an image by this server.`)
    default:
      // Nobody's browser is asked here, so that `auto` means nothing else than an absent `f`.
      if (source === 'svg') return undefined
      if (source === 'png' || source === 'webp' || source === 'avif' || source === 'gif') return source
      return alpha ? 'png' : 'jpg'
  }
}

/**
 * The name of a file whose format a transformation has changed: `photo.jpg` becomes `photo.webp`; one that already says
 * the format stays, also as `.jpeg`.
 */
export function nameForFormat(name: string, format: OutputFormat): string {
  const dot = name.lastIndexOf('.')
  const extension = dot > 0 ? name.slice(dot + 1).toLowerCase() : ''
  if (extension === format || (format === 'jpg' && (extension === 'jpeg' || extension === 'jpe'))) return name
  return `${dot > 0 ? name.slice(0, dot) : name}.${format}`
}

function sourceOf(file: FileVersion, path: string): SourceFile {
  return {
    path,
    format: file.format,
    sizeBytes: file.sizeBytes,
    customCoordinates: file.customCoordinates,
  }
}

async function stageFile(blobs: Blobs, path: string): Promise<Staged> {
  const writer = blobs.stage({ maxBytes: () => Number.MAX_SAFE_INTEGER })
  try {
    for await (const chunk of createReadStream(path)) await writer.write(chunk as Buffer)
    return await writer.finish()
  } catch (error) {
    await writer.abort()
    throw error
  }
}

/** Holds local files of several versions while `use` runs. */
function withLocalFiles<T>(
  blobs: Blobs,
  files: FileVersion[],
  use: (paths: string[]) => Promise<T>,
  paths: string[] = [],
): Promise<T> {
  const next = files[paths.length]
  if (next === undefined) return use(paths)
  return blobs.withLocalFile(next.blob, (path) => withLocalFiles(blobs, files, use, [...paths, path]))
}
