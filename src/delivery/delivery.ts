import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { LRUCache } from 'lru-cache'
import { type Static, Type } from 'typebox'
import type { Blobs, ByteRange } from '../blobs/blobs.ts'
import { notFound, TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { splitFilePath } from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import { type SigningOptions, verifyUrlSignature } from '../signing/signing.ts'
import type { FileVersion, Store } from '../store/store.ts'
import {
  type Chain,
  chainMakesAlpha,
  ENGINE_VERSION,
  expandNamed,
  type Output,
  outputOf,
  parseTransformation,
  printTransformation,
  type Renderer,
  type SourceFile,
  sourcesOf,
  wantsHints,
} from '../transform/transform.ts'
import { type Address, parseAddress } from './address.ts'
import { type Derivatives, openDerivatives, openFile } from './derivatives.ts'
import { cacheControl, contentHeaders, contentTypeOf, errorHeader, withExtension } from './headers.ts'
import { chooseFormat } from './negotiate.ts'

export { errorHeader } from './headers.ts'

export const deliveryOptions = Type.Object({
  maxAgeSec: Type.Integer({
    default: 3600,
    minimum: 0,
    description:
      'How long browsers and CDNs may keep an answer. Bounds how long a file that became private is still shown.',
  }),
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
  defaultQuality: Type.Integer({
    default: 80,
    minimum: 1,
    maximum: 100,
    description: 'Quality of transformed images without q.',
  }),
  defaultFormat: Type.Union([Type.Literal('auto'), Type.Literal('orig')], {
    default: 'auto',
    description:
      'What a transformation without f means: the best format that the browser accepts, or that of the source.',
  }),
  offerAvif: Type.Boolean({
    default: false,
    description: 'Whether the best format may be AVIF. It is small and slow to make.',
  }),
  keepColorProfile: Type.Boolean({
    default: false,
    description: 'Whether transformed images keep their colour profile unless cp says otherwise.',
  }),
  keepMetadata: Type.Boolean({
    default: false,
    description: 'Whether transformed images keep their metadata unless md says otherwise.',
  }),
})
export type DeliveryOptions = Static<typeof deliveryOptions>

export type DeliveryRequest = {
  /** The raw request target: path and query as they came. */
  target: string
  /** Request headers by lower-case name. */
  headers: Record<string, string | string[] | undefined>
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
  /** The bytes, if they are in memory. */
  bytes: Buffer | undefined
  open(range?: ByteRange): Promise<Readable>
  readAll(): Promise<Buffer>
}

export type Delivery = {
  /**
   * Answers one delivery URL.
   * @throws TintypeError with an `ik-error` header: not-found, unauthorized, bad-request, …
   */
  deliver(request: DeliveryRequest): Promise<Delivered>
}

type Deps = {
  store: Pick<Store, 'files' | 'settings'>
  blobs: Blobs
  renderer: Renderer
  account: { readonly id: string; activeKeys(): Promise<{ privateKey: string }[]> }
  clock: Clock
  log: Log
  signing: SigningOptions
}

/**
 * The transformation of the library's own thumbnails, under both of its names (manual, "Named transformation").
 */
const BUILT_IN_NAMES: Record<string, string> = {
  media_library_thumbnail: 'w-100,h-100,c-at_max',
  ik_ml_thumbnail: 'w-100,h-100,c-at_max',
}

const MAX_PARSED = 2000

/** Opens the delivery part with its cache folder. */
export async function createDelivery(
  options: DeliveryOptions & { cacheDir: string },
  deps: Deps,
): Promise<Delivery> {
  const derivatives = await openDerivatives(
    { dir: options.cacheDir, maxBytes: options.cacheMiB * 1024 * 1024 },
    { log: deps.log },
  )
  const memory = new LRUCache<string, Buffer>({
    maxSize: Math.max(1, options.memoryCacheMiB * 1024 * 1024),
    sizeCalculation: (bytes) => Math.max(1, bytes.length),
  })
  const parsed = new LRUCache<string, { chain: Chain; text: string }>({ max: MAX_PARSED })
  const context: Context = { options, deps, derivatives, memory, parsed }
  return {
    async deliver(request) {
      try {
        return await deliver(request, context)
      } catch (thrown) {
        if (!(thrown instanceof TintypeError)) throw thrown
        throw new TintypeError(thrown.kind, thrown.message, {
          ...(thrown.reason === undefined ? {} : { reason: thrown.reason }),
          ...(thrown.extra === undefined ? {} : { extra: thrown.extra }),
          headers: { ...thrown.headers, 'ik-error': errorHeader(thrown.kind, thrown.message) },
          cause: thrown.cause,
        })
      }
    },
  }
}

type Context = {
  options: DeliveryOptions
  deps: Deps
  derivatives: Derivatives
  memory: LRUCache<string, Buffer>
  parsed: LRUCache<string, { chain: Chain; text: string }>
}

/** Who asks, as far as the URL tells. */
type Access = { signed: boolean; expiresAtSec: number | null }

async function deliver(request: DeliveryRequest, context: Context): Promise<Delivered> {
  const { deps } = context
  const endpointPath = `/${deps.account.id}`
  const address = parseAddress(request.target, endpointPath)
  const access = await checkSignature(request.target, endpointPath, context)
  const parsed = address.transformation === null ? undefined : parse(address.transformation, context)
  const version = await findVersion(address, parsed?.chain, access, context)
  if (version.isPrivate && !access.signed && !(parsed && isOneName(parsed.chain))) throw unauthorized()
  if (address.suffix !== null)
    throw new TintypeError('not-implemented', `"${address.suffix}" cannot be served yet.`)
  const chain = parsed && (await expandNamed(parsed.chain, (name) => findNamed(name)))
  const shown = { address, version, access, context, request }
  if (!chain || chain.length === 0 || !isTransformable(version, chain)) return deliverOriginal(shown)
  return deliverDerivative(shown, chain)
}

type Shown = {
  address: Address
  version: FileVersion
  access: Access
  context: Context
  request: DeliveryRequest
}

async function checkSignature(target: string, endpointPath: string, { deps }: Context): Promise<Access> {
  // Most URLs carry no signature, in any spelling; they need no keys.
  const queryStart = target.indexOf('?')
  if (queryStart < 0 || !/ik-|%/i.test(target.slice(queryStart))) return { signed: false, expiresAtSec: null }
  const { urlSigningKey, urlSkewSec } = deps.signing
  const keys = urlSigningKey
    ? [urlSigningKey]
    : (await deps.account.activeKeys()).map((key) => key.privateKey)
  const signature = verifyUrlSignature({
    rawTarget: target,
    endpointPath,
    keys,
    nowMs: deps.clock.now(),
    skewSec: urlSkewSec,
  })
  if (signature.present && !signature.valid) throw unauthorized()
  return { signed: signature.valid, expiresAtSec: signature.expiresAtSec }
}

function unauthorized() {
  return new TintypeError(
    'unauthorized',
    'The URL is not signed, or its signature is not valid or has expired.',
  )
}

/** Parses with a cache by text: the same few transformations make up most of the traffic. */
function parse(text: string, { parsed }: Context): { chain: Chain; text: string } {
  const known = parsed.get(text)
  if (known) return known
  const chain = parseTransformation(text, { form: 'url' })
  const result = { chain, text: printTransformation(chain) }
  parsed.set(text, result)
  return result
}

/** Unsigned access to a private file takes one existing named transformation and nothing else (trust L01). */
function isOneName(chain: Chain): boolean {
  const [step, ...rest] = chain
  if (rest.length > 0 || step?.kind !== 'pass' || step.layers.length > 0) return false
  const keys = Object.keys(step.params)
  return keys.length === 1 && keys[0] === 'n'
}

async function findNamed(name: string): Promise<Chain | undefined> {
  const text = Object.hasOwn(BUILT_IN_NAMES, name) ? BUILT_IN_NAMES[name] : undefined
  return text === undefined ? undefined : parseTransformation(text)
}

async function findVersion(
  address: Address,
  chain: Chain | undefined,
  access: Access,
  context: Context,
): Promise<FileVersion> {
  const version = await findPublished(address.path, address.versionKey, context)
  if (version) return version
  const defaultImage = chain && outputOf(chain).defaultImage
  const fallback = defaultImage && (await findPublished(`/${defaultImage}`, null, context))
  // A private default image counts as missing for those who may not see it (trust L02).
  if (!fallback || (fallback.isPrivate && !access.signed)) throw notFound('Not Found')
  return fallback
}

async function findPublished(
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
  return version?.isPublished ? version : undefined
}

/** Whether the transformation applies; otherwise the original is the answer. */
function isTransformable(version: FileVersion, chain: Chain): boolean {
  const output = outputOf(chain)
  if (output.original) return false
  if (version.mime.startsWith('video/')) {
    throw new TintypeError('not-implemented', 'Videos cannot be transformed by this server yet.')
  }
  if (version.fileType !== 'image') return false
  // SVG is delivered as it is unless a raster format is asked for (contract notes 3.0).
  if (version.format === 'svg')
    return output.format !== undefined && !['auto', 'orig', 'svg'].includes(output.format)
  return true
}

function deliverOriginal({ address, version, access, context }: Shown): Delivered {
  const { blobs } = context.deps
  const download = address.attachment
  const contentType = contentTypeOf(version.mime)
  return {
    contentType,
    etag: `"${version.blob.slice(0, 32)}"`,
    lastModifiedMs: version.updatedAtMs,
    headers: {
      ...contentHeaders({ contentType, fileName: downloadName(address, version.name), download }),
      'cache-control': cacheControl({
        maxAgeSec: context.options.maxAgeSec,
        shared: !version.isPrivate && !access.signed,
        expiresAtSec: access.expiresAtSec,
        nowMs: context.deps.clock.now(),
      }),
    },
    sizeBytes: version.sizeBytes,
    bytes: context.memory.get(version.blob),
    open: (range) => blobs.read(version.blob, range),
    readAll: () => throughMemory(version.blob, version.sizeBytes, context, () => blobs.readAll(version.blob)),
  }
}

async function throughMemory(
  key: string,
  sizeBytes: number,
  { memory, options }: Context,
  read: () => Promise<Buffer>,
): Promise<Buffer> {
  const known = memory.get(key)
  if (known) return known
  const bytes = await read()
  if (sizeBytes <= options.memoryCacheMaxFileKiB * 1024 && options.memoryCacheMiB > 0) memory.set(key, bytes)
  return bytes
}

const MIME: Record<string, string> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  avif: 'image/avif',
  gif: 'image/gif',
}

async function deliverDerivative(shown: Shown, chain: Chain): Promise<Delivered> {
  const { address, version, access, context, request } = shown
  const { options, deps } = context
  const output = outputOf(chain)
  const hints = readHints(chain, request)
  const choice = chooseFormat({
    request: output,
    sourceFormat: version.format,
    alpha: chainMakesAlpha(chain, version.hasAlpha ?? false),
    accept: header(request, 'accept') ?? '',
    defaultFormat: options.defaultFormat,
    offerAvif: options.offerAvif,
  })
  const encoded: Output = {
    format: choice.format,
    quality: output.quality ?? options.defaultQuality,
    lossless: output.lossless,
    progressive: output.progressive,
    keepColorProfile: output.keepColorProfile ?? options.keepColorProfile,
    keepMetadata: output.keepMetadata ?? options.keepMetadata,
    density: output.density,
  }
  const layers = await findSources(chain, access, context)
  const key = derivativeKey({ version, chain, encoded, hints: hints.values, layers })
  const { derivative, hit } = await context.derivatives.getOrMake(key, choice.format, (outputPath) =>
    renderInto({ version, chain, encoded, hints: hints.values, layers, outputPath }, deps),
  )
  const contentType = MIME[choice.format]!
  const vary = [...(choice.variesByAccept ? ['Accept'] : []), ...hints.names]
  return {
    contentType,
    etag: `"${derivative.sha256}"`,
    lastModifiedMs: version.updatedAtMs,
    headers: {
      ...contentHeaders({
        contentType,
        fileName: downloadName(address, withExtension(version.name, choice.format)),
        download: address.attachment,
      }),
      'cache-control': cacheControl({
        maxAgeSec: options.maxAgeSec,
        shared: !version.isPrivate && !access.signed,
        expiresAtSec: access.expiresAtSec,
        nowMs: deps.clock.now(),
      }),
      ...(vary.length > 0 ? { vary: vary.join(', ') } : {}),
      ...contentDpr(hints, derivative.widthPx),
      'x-tintype-cache': hit ? 'hit' : 'miss',
    },
    sizeBytes: derivative.sizeBytes,
    bytes: context.memory.get(derivative.sha256),
    open: async (range) => openFile(derivative.path, range),
    readAll: () =>
      throughMemory(derivative.sha256, derivative.sizeBytes, context, () => readFile(derivative.path)),
  }
}

type Found = { images: Map<string, FileVersion>; fonts: Map<string, FileVersion> }

/** Finds the images and fonts that layers name. Drafts and, without a signature, private ones count as missing. */
async function findSources(chain: Chain, access: Access, context: Context): Promise<Found> {
  const wanted = sourcesOf(chain)
  const find = async (paths: string[], what: string) => {
    const found = new Map<string, FileVersion>()
    for (const path of paths) {
      const version = await findPublished(`/${path}`, null, context)
      if (!version || (version.isPrivate && !access.signed)) {
        throw notFound(`The ${what} of a layer does not exist: ${path}`)
      }
      found.set(path, version)
    }
    return found
  }
  return { images: await find(wanted.images, 'image'), fonts: await find(wanted.fonts, 'font') }
}

/** Everything that decides the bytes of a derivative. Equivalent URLs have one key, since the chain is printed. */
function derivativeKey(parts: {
  version: FileVersion
  chain: Chain
  encoded: Output
  hints: { widthPx?: number; dpr?: number }
  layers: Found
}): string {
  const { version, encoded, layers } = parts
  const sources = [...layers.images, ...layers.fonts].map(([path, source]) => [path, source.blob])
  const text = JSON.stringify([
    ENGINE_VERSION,
    version.blob,
    version.customCoordinates,
    printTransformation(parts.chain),
    encoded,
    parts.hints,
    sources,
  ])
  return createHash('sha256').update(text).digest('hex').slice(0, 40)
}

function renderInto(
  parts: {
    version: FileVersion
    chain: Chain
    encoded: Output
    hints: { widthPx?: number; dpr?: number }
    layers: Found
    outputPath: string
  },
  { blobs, renderer }: Deps,
) {
  const { version, layers } = parts
  const images = [...layers.images]
  const fonts = [...layers.fonts]
  const all = [version, ...images.map(([, image]) => image), ...fonts.map(([, font]) => font)]
  return withLocalFiles(
    blobs,
    all.map((one) => one.blob),
    (paths) =>
      renderer.render({
        source: {
          ...sourceFile(version, paths[0]!),
          // Sizes that the inspection could not read count as large.
          widthPx: version.widthPx ?? 5000,
          heightPx: version.heightPx ?? 5000,
        },
        sourceKey: version.blob,
        chain: parts.chain,
        output: parts.encoded,
        layers: Object.fromEntries(
          images.map(([path, image], index) => [path, sourceFile(image, paths[1 + index]!)]),
        ),
        fonts: Object.fromEntries(fonts.map(([path], index) => [path, paths[1 + images.length + index]!])),
        hints: parts.hints,
        outputPath: parts.outputPath,
      }),
  )
}

function sourceFile(version: FileVersion, path: string): SourceFile {
  return {
    path,
    format: version.format,
    sizeBytes: version.sizeBytes,
    customCoordinates: version.customCoordinates,
  }
}

/** Holds local files of several blobs while `use` runs. */
function withLocalFiles<T>(
  blobs: Blobs,
  hashes: string[],
  use: (paths: string[]) => Promise<T>,
  paths: string[] = [],
): Promise<T> {
  const next = hashes[paths.length]
  if (next === undefined) return use(paths)
  return blobs.withLocalFile(next, (path) => withLocalFiles(blobs, hashes, use, [...paths, path]))
}

type Hints = { values: { widthPx?: number; dpr?: number }; names: string[]; askedDpr: boolean }

/** Reads the client hints that the chain asks for (manual, client hints). */
function readHints(chain: Chain, request: DeliveryRequest): Hints {
  const wants = wantsHints(chain)
  const hints: Hints = { values: {}, names: [], askedDpr: wants.dpr }
  if (wants.width) {
    hints.names.push('Sec-CH-Width')
    const widthPx = positive(header(request, 'sec-ch-width'), 65_535)
    if (widthPx !== undefined) hints.values.widthPx = widthPx
  }
  if (wants.dpr) {
    hints.names.push('Sec-CH-DPR')
    const dpr = positive(header(request, 'sec-ch-dpr'), 10)
    if (dpr !== undefined) hints.values.dpr = dpr
  }
  return hints
}

/** Content-DPR = chosen width / (hinted width / DPR). */
function contentDpr({ values }: Hints, widthPx: number): Record<string, string> {
  if (values.dpr === undefined) return {}
  const ratio = values.widthPx === undefined ? values.dpr : widthPx / (values.widthPx / values.dpr)
  return { 'content-dpr': String(Math.round(ratio * 100) / 100) }
}

function positive(text: string | undefined, max: number): number | undefined {
  const value = text !== undefined && /^\d{1,5}(\.\d{1,4})?$/.test(text) ? Number(text) : 0
  return value > 0 && value <= max ? value : undefined
}

function header(request: DeliveryRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** `ik-attachment-filename` comes without an extension; the file's own is added. */
function downloadName(address: Address, fileName: string): string {
  if (!address.attachmentName) return fileName
  const clean = address.attachmentName.replace(/[\u0000-\u001f\u007f/\\]/g, '_').slice(0, 200)
  const dot = fileName.lastIndexOf('.')
  const extension = dot > 0 ? fileName.slice(dot) : ''
  return clean.toLowerCase().endsWith(extension.toLowerCase()) ? clean : clean + extension
}
