import { hash } from 'node:crypto'
import { notFound } from '../kernel/errors.ts'
import type { Chain, Output, SourceFile } from '../transform/transform.ts'
import type { ChainFacts, Context, Shown } from './context.ts'
import { findSource, isMissing, type Source, withLocalFiles } from './source.ts'

export type Found = { images: Map<string, Source>; fonts: Map<string, Source> }
export const NO_SOURCES: Found = { images: new Map(), fonts: new Map() }

/**
 * Finds the images and fonts that layers name, in the library or in the origins of the endpoint. Drafts and, without a
 * signature, private ones count as missing (trust L02).
 * @param known those that need not be looked for.
 */
export async function findSources(
  wanted: ChainFacts['sources'],
  shown: Pick<Shown, 'endpoint' | 'access' | 'context'>,
  known: ReadonlyMap<string, Source> = new Map(),
): Promise<Found> {
  const { endpoint, access, context } = shown
  const find = async (paths: string[], what: string) => {
    const found = new Map<string, Source>()
    for (const path of paths) {
      const address = { path: `/${path}`, url: null, versionKey: null }
      const source =
        known.get(path) ??
        (await findSource({ address, endpoint, host: null, context }).catch((error: unknown) => {
          if (!isMissing(error)) throw error
        }))
      if (!source || (source.isPrivate && !access.signed)) {
        throw notFound(`The ${what} of a layer does not exist: ${path}`)
      }
      found.set(path, source)
    }
    return found
  }
  return { images: await find(wanted.images, 'image'), fonts: await find(wanted.fonts, 'font') }
}

/** Whether a layer is from an origin, which may have another one the next time. */
export function hasForeign({ images, fonts }: Found): boolean {
  return [...images.values(), ...fonts.values()].some((source) => source.file)
}

/** What the keys of all derivatives of a source begin with, or of those that one (printed) chain makes of it. */
export function sourceKey(blob: string, transformation?: string): string {
  return transformation === undefined ? blob : blob + sha256(transformation).slice(0, 8)
}

export function sha256(text: string): string {
  return hash('sha256', text)
}

/** Renders into a file, by the renderer's processes. */
export function renderInto(
  parts: {
    source: Source
    chain: Chain
    output: Output
    hints: { widthPx?: number; dpr?: number }
    layers: Found
    outputPath: string
  },
  context: Context,
) {
  const { source, layers } = parts
  const images = [...layers.images]
  const fonts = [...layers.fonts]
  const all = [source, ...images.map(([, image]) => image), ...fonts.map(([, font]) => font)]
  return withLocalFiles(all, context, (paths) =>
    context.deps.renderer.render({
      source: {
        ...sourceFile(source, paths[0]!),
        // Sizes that the inspection could not read count as large.
        widthPx: source.widthPx ?? 5000,
        heightPx: source.heightPx ?? 5000,
      },
      sourceKey: source.blob,
      chain: parts.chain,
      output: parts.output,
      layers: Object.fromEntries(
        images.map(([path, image], index) => [path, sourceFile(image, paths[1 + index]!)]),
      ),
      fonts: Object.fromEntries(fonts.map(([path], index) => [path, paths[1 + images.length + index]!])),
      hints: parts.hints,
      outputPath: parts.outputPath,
    }),
  )
}

function sourceFile(source: Source, path: string): SourceFile {
  return {
    path,
    format: source.format,
    sizeBytes: source.sizeBytes,
    customCoordinates: source.customCoordinates,
  }
}
