import type { Readable } from 'node:stream'
import type { LRUCache } from 'lru-cache'
import { type Static, Type } from 'typebox'
import type { Blobs, ByteRange } from '../blobs/blobs.ts'
import type { Log } from '../kernel/log.ts'
import { splitFilePath } from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import { endpointSettings, type Origins } from '../origins/origins.ts'
import type { SigningOptions } from '../signing/signing.ts'
import type { FileVersion, Store } from '../store/store.ts'
import {
  type Chain,
  type ModelProvider,
  modelOptions,
  type OutputRequest,
  type Renderer,
} from '../transform/transform.ts'
import type { Address } from './address.ts'
import type { Derivatives } from './derivatives.ts'
import type { ModelRuns } from './models.ts'
import type { Endpoint, SiteReader } from './site.ts'
import type { Source } from './source.ts'

export const deliveryOptions = Type.Object({
  ...endpointSettings.properties,
  cacheMiB: Type.Integer({
    default: 2048,
    minimum: 1,
    description: 'Space for transformed images on disk; the least recently used go first.',
  }),
  memoryCacheMiB: Type.Integer({
    default: 64,
    minimum: 0,
    description: 'Memory for the bytes of small files that are asked for often.',
  }),
  memoryCacheMaxFileKiB: Type.Integer({
    default: 1024,
    minimum: 0,
    description: 'Largest file that is kept in memory.',
  }),
  shareDerivatives: Type.Boolean({
    default: false,
    description:
      'Whether transformed images are kept in the bucket too, so that each is made once for all servers. S3 only.',
  }),
  redirectMinBytes: Type.Integer({
    default: 0,
    minimum: 0,
    description:
      'Files of at least this size that need no change are fetched by clients from the bucket itself, by a redirect to a URL that soon ends; 0: never. S3 only.',
  }),
  redirectSec: Type.Integer({
    default: 300,
    minimum: 10,
    maximum: 86_400,
    description:
      'How long a URL of the bucket can be used; bounds how long a private file stays within reach.',
  }),
  models: modelOptions,
})
export type DeliveryOptions = Static<typeof deliveryOptions>

export type DeliveryRequest = {
  /** The raw request target: path and query as they came. */
  target: string
  /** Request headers by lower-case name. */
  headers: Record<string, string | string[] | undefined>
  /** Whether whoever asks has shown a key, which says more than a signed URL. */
  isTrusted?: boolean
  /** The base of our URLs as whoever asks sees them, without a trailing slash: some SDKs sign whole URLs. */
  baseUrl?(): string
}

/** What is sent; the sender adds conditional requests and ranges. */
export type Delivered = {
  contentType: string
  /** A strong entity tag, in its quotes. */
  etag: string
  lastModifiedMs: number
  /** Further response headers. */
  headers: Record<string, string>
  sizeBytes: number
  /**
   * Set where equal requests get the same answer until something is committed to the store: the lower-case names of the
   * request headers that it depends on, beside the target.
   */
  reusableBy: readonly string[] | undefined
  /** A URL where the client is to fetch the bytes instead, and for how long it can. */
  redirect?(): Promise<{ url: string; expiresSec: number }>
  /** The bytes, if they are in memory. */
  fromMemory(): Buffer | undefined
  open(range?: ByteRange): Promise<Readable>
  readAll(): Promise<Buffer>
}

export type Deps = {
  store: Pick<Store, 'files' | 'documents' | 'changeStamp'>
  blobs: Blobs
  /** Absent: only the library has files. */
  origins?: Origins
  /** Absent or empty: what needs a model is refused. */
  models?: ModelProvider[]
  renderer: Renderer
  account: { readonly id: string; activeKeys(): Promise<{ privateKey: string }[]> }
  clock: Clock
  log: Log
  signing: SigningOptions
}

/** What is asked of a chain on every request, worked out once. */
export type ChainFacts = {
  /** Its canonical text. */
  text: string
  output: OutputRequest
  /** Whether the result of an opaque source, or of one with an alpha channel, may be transparent. */
  alphaOfOpaque: boolean
  alphaOfAlpha: boolean
  wants: { width: boolean; dpr: boolean }
  /** Library paths of layers. */
  sources: { images: string[]; fonts: string[] }
  needsSources: boolean
  /** Whether a model has to do a part of it. */
  needsModels: boolean
}

/** What every delivery shares. */
export type Context = {
  options: DeliveryOptions
  site: SiteReader
  deps: Deps
  derivatives: Derivatives
  memory: LRUCache<string, Buffer>
  /** Reads a whole blob of the library, which is never delivered to its end when it is damaged. */
  readChecked(sha256: string): Promise<Readable>
  /** Files on their way into memory. */
  reading: Map<string, Promise<Buffer>>
  /** Chains by their text. */
  parsed: LRUCache<string, Chain>
  facts: WeakMap<Chain, ChainFacts>
  models: ModelRuns
}

/** Who asks, as far as the URL tells. */
export type Access = { signed: boolean; expiresAtSec: number | null }

/** A file on its way to a client. */
export type Shown = {
  address: Address
  endpoint: Endpoint
  source: Source
  access: Access
  /** Whether the library alone, and nothing that only some may see, has decided what is shown. */
  isReusable: boolean
  context: Context
  request: DeliveryRequest
}

/** The version at a path, or the one that a version key names, unless it is a draft. */
export async function findPublished(
  path: string,
  versionKey: string | null,
  { deps }: Context,
): Promise<FileVersion | undefined> {
  const { folderPath, name } = splitFilePath(path)
  if (name === '') return undefined
  const current = await deps.store.files.atPath(folderPath, name)
  if (!current) return undefined
  const version =
    versionKey === null ? current : await deps.store.files.byAccessKey(current.fileId, versionKey)
  // Old versions are withdrawn on request only (OpenAPI, `includeFileVersions`).
  if (!version?.isPublished) return undefined
  // Who makes a file private does not mean its newest bytes alone (trust L03).
  return current.isPrivate && !version.isPrivate ? { ...version, isPrivate: true } : version
}

/** Reads through the memory cache of small files; those who ask while it is being read share what comes. */
export async function throughMemory(
  key: string,
  sizeBytes: number,
  { memory, reading, options }: Context,
  read: () => Promise<Buffer>,
): Promise<Buffer> {
  const known = memory.get(key) ?? reading.get(key)
  if (known) return known
  const promise = read()
  reading.set(key, promise)
  try {
    const bytes = await promise
    if (sizeBytes <= options.memoryCacheMaxFileKiB * 1024 && options.memoryCacheMiB > 0)
      memory.set(key, bytes)
    return bytes
  } finally {
    reading.delete(key)
  }
}

/** `ik-attachment-filename` comes without an extension; the file's own is added. */
export function downloadName(address: Address, fileName: string): string {
  if (!address.attachmentName) return fileName
  const clean = address.attachmentName.replace(/[\u0000-\u001f\u007f/\\]/g, '_').slice(0, 200)
  const dot = fileName.lastIndexOf('.')
  const extension = dot > 0 ? fileName.slice(dot) : ''
  return clean.toLowerCase().endsWith(extension.toLowerCase()) ? clean : clean + extension
}
