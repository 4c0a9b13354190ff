import type { Readable } from 'node:stream'
import type { ByteRange } from '../blobs/blobs.ts'
import { notFound, TintypeError } from '../kernel/errors.ts'
import type { OriginFile } from '../origins/origins.ts'
import type { FileVersion } from '../store/store.ts'
import type { Address } from './address.ts'
import { type Access, type Context, findPublished } from './context.ts'
import type { Endpoint } from './site.ts'

/** What is delivered or drawn: a version in the library, or a file that an origin has. */
export type Source = Pick<
  FileVersion,
  | 'blob'
  | 'name'
  | 'sizeBytes'
  | 'mime'
  | 'format'
  | 'fileType'
  | 'widthPx'
  | 'heightPx'
  | 'orientation'
  | 'hasAlpha'
  | 'isPrivate'
  | 'customCoordinates'
  | 'updatedAtMs'
> & { file?: SourceFile }

/** The bytes of what is not in the library, and what its origin says of it. */
export type SourceFile = Pick<OriginFile, 'open' | 'readAll' | 'withLocalFile'> &
  Partial<Pick<OriginFile, 'canonicalUrl' | 'originMaxAgeSec'>>

/** Who asks for what, as far as finding it goes. */
export type Search = {
  address: Pick<Address, 'path' | 'url' | 'versionKey'>
  endpoint: Endpoint
  host: string | null
  context: Context
}

/**
 * The library first, then the endpoint's origins in their order (contract notes 1.11).
 * @throws TintypeError not-found, with an `ik-error` header where an origin could not say.
 */
export async function findSource({ address, endpoint, host, context }: Search): Promise<Source> {
  const { path, url, versionKey } = address
  const version = url === null ? await findPublished(path, versionKey, context) : undefined
  if (version) return version
  const { origins } = context.deps
  if (endpoint.origins.length === 0 || !origins || versionKey !== null) throw notFound('Not Found')
  const file = await origins.find({
    path: path.slice(1),
    url,
    host,
    origins: endpoint.origins,
    followCacheControl: endpoint.settings.followOriginCacheControl,
  })
  if (!file) throw notFound('Not Found')
  return sourceOf(file)
}

function sourceOf(file: OriginFile): Source {
  const { sha256, modifiedAtMs, ...facts } = file
  return { ...facts, blob: sha256, updatedAtMs: modifiedAtMs, customCoordinates: null, file }
}

/**
 * The default image that a transformation names. It has to be in the library; a private one counts as missing for
 * those who may not see it (trust L02).
 */
export async function findDefault(
  path: string | undefined,
  access: Access,
  context: Context,
): Promise<Source | undefined> {
  if (path === undefined) return undefined
  const version = await findPublished(`/${path}`, null, context)
  return version?.isPrivate && !access.signed ? undefined : version
}

/** Whether a search ended without a file; other errors are no reason to show a default image. */
export function isMissing(error: unknown): boolean {
  return error instanceof TintypeError && error.kind === 'not-found'
}

export function readSource(
  { file, blob }: Source,
  range: ByteRange | undefined,
  { deps, readChecked }: Context,
): Promise<Readable> {
  if (file) return file.open(range)
  return (range ? deps.blobs.read(blob, range) : readChecked(blob)).catch(refuseLost)
}

export function readWhole({ file, blob }: Source, { deps }: Context): Promise<Buffer> {
  return file ? file.readAll() : deps.blobs.readAll(blob).catch(refuseLost)
}

/** A file of the library whose bytes are gone is a fault of the storage, and none of the URL (trust F05). */
function refuseLost(error: unknown): never {
  if (!isMissing(error)) throw error
  throw new TintypeError('internal', 'The file is damaged. The administrator has been told.', {
    cause: error,
  })
}

/** Holds local files of several sources while `use` runs. */
export function withLocalFiles<T>(
  sources: Source[],
  context: Pick<Context, 'deps'>,
  use: (paths: string[]) => Promise<T>,
  paths: string[] = [],
): Promise<T> {
  const next = sources[paths.length]
  if (next === undefined) return use(paths)
  let isThere = false
  const then = (path: string) => {
    isThere = true
    return withLocalFiles(sources, context, use, [...paths, path])
  }
  if (next.file) return next.file.withLocalFile(then)
  return context.deps.blobs.withLocalFile(next.blob, then).catch((error: unknown) => {
    if (isThere) throw error
    return refuseLost(error)
  })
}

/** How long an answer may be kept: as the origin says, where the endpoint follows it. */
export function maxAgeOf({ file }: Source, { settings }: Endpoint): number {
  const fromOrigin = settings.followOriginCacheControl ? file?.originMaxAgeSec : null
  return fromOrigin ?? settings.maxAgeSec
}

/** Headers that come with a source, whatever is made of it. */
export function sourceHeaders({ file }: Source): Record<string, string> {
  return file?.canonicalUrl ? { link: `<${file.canonicalUrl}>; rel="canonical"` } : {}
}
