import { Readable } from 'node:stream'
import { LRUCache } from 'lru-cache'
import { badRequest, notFound, TintypeError } from '../kernel/errors.ts'
import { verifyUrlSignature } from '../signing/signing.ts'
import type { FileVersion } from '../store/store.ts'
import { type Chain, expandNamed, outputOf, parseTransformation } from '../transform/transform.ts'
import { type Address, parseAddress } from './address.ts'
import { createCheckedReads } from './checked-reads.ts'
import {
  type Access,
  type Context,
  type Delivered,
  type DeliveryOptions,
  type DeliveryRequest,
  type Deps,
  downloadName,
  findPublished,
  type Shown,
  throughMemory,
} from './context.ts'
import { openDerivatives } from './derivatives.ts'
import { deliverDerivative } from './derive.ts'
import { type Explanation, explain } from './explain.ts'
import { cacheControl, contentHeaders, contentTypeOf, errorHeader } from './headers.ts'
import { createModelRuns } from './models.ts'
import { forget, type PurgeRequest, purgeUrls } from './purge.ts'
import { createRecall } from './recall.ts'
import { createSharedDerivatives } from './shared-derivatives.ts'
import { createSiteReader, type Endpoint, endpointFor, type Site } from './site.ts'
import {
  findDefault,
  findSource,
  isMissing,
  maxAgeOf,
  readSource,
  readWhole,
  type Source,
  sourceHeaders,
} from './source.ts'
import { sanitizeSvg } from './svg.ts'

export {
  type Delivered,
  type DeliveryOptions,
  type DeliveryRequest,
  deliveryOptions,
} from './context.ts'
export { createCutOuts } from './cut-outs.ts'
export type { Explanation } from './explain.ts'
export { errorHeader } from './headers.ts'
export type { PurgeRequest } from './purge.ts'

export type Delivery = {
  /**
   * Answers one delivery URL.
   * @throws TintypeError with an `ik-error` header: not-found, unauthorized, bad-request, …
   */
  deliver(request: DeliveryRequest): Promise<Delivered>
  /** The answer that an equal request got, if it still holds: without waiting for anything. */
  recall(request: DeliveryRequest): Delivered | undefined
  /**
   * Says what a transformation does to an asset, without rendering it.
   * @param request.path the asset's path, behind the account's id; it may begin with the prefix of a URL endpoint.
   * @param request.accept the Accept header of the browser that would ask.
   * @throws TintypeError as `deliver` would.
   */
  explain(request: { transformation: string; path: string; accept: string }): Promise<Explanation>
  /**
   * The version that a URL shows, for whoever has shown a key, and whether the URL transforms it.
   * @throws TintypeError as `deliver` would.
   */
  find(target: string): Promise<{ version: FileVersion; isTransformed: boolean }>
  /** Removes what is kept of URLs here. @returns the number of derivatives that went. */
  purge(request: PurgeRequest): Promise<number>
  /** Removes what is kept of sources here, for files that nobody may see any more. */
  forget(blobs: string[]): Promise<number>
  /** URL endpoints, origins or named transformations were changed here; other servers see it within a second. */
  settingsChanged(): void
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
    {
      log: deps.log,
      ...(options.shareDerivatives && deps.blobs.shared
        ? { shared: createSharedDerivatives(deps.blobs.shared, deps.log) }
        : {}),
    },
  )
  const memory = new LRUCache<string, Buffer>({
    maxSize: Math.max(1, options.memoryCacheMiB * 1024 * 1024),
    sizeCalculation: (bytes) => Math.max(1, bytes.length),
  })
  const parsed = new LRUCache<string, Chain>({ max: MAX_PARSED })
  const models = createModelRuns(options.models, deps.clock)
  const site = createSiteReader(options, { ...deps, accountId: deps.account.id })
  const recall = createRecall(deps)
  const context: Context = {
    options,
    site,
    deps,
    derivatives,
    memory,
    readChecked: createCheckedReads(deps),
    reading: new Map(),
    parsed,
    facts: new WeakMap(),
    models,
  }
  return {
    async deliver(request) {
      const since = recall.now()
      try {
        const delivered = await deliver(request, context)
        recall.keep(request, delivered, since)
        return delivered
      } catch (thrown) {
        if (!(thrown instanceof TintypeError)) throw thrown
        throw new TintypeError(thrown.kind, thrown.message, {
          ...(thrown.reason === undefined ? {} : { reason: thrown.reason }),
          ...(thrown.extra === undefined ? {} : { extra: thrown.extra }),
          headers: { 'ik-error': errorHeader(thrown.kind, thrown.message), ...thrown.headers },
          cause: thrown.cause,
        })
      }
    },
    recall: recall.find,
    async explain({ transformation, path, accept }) {
      const current = await site.read()
      const whole = current.byDefault.path + path
      const endpoint = endpointFor(whole, current)
      const inside = whole.slice(endpoint.path.length)
      const address = { path: inside, url: null, versionKey: null }
      const source = await findSource({ address, endpoint, host: null, context }).catch((error: unknown) => {
        throw isMissing(error) ? notFound('The requested file does not exist.') : error
      })
      const chain = await expand(parse(transformation, context), current, context)
      const { settings } = endpoint
      const explained = explain({ source, chain, transformation, path: inside, accept, settings }, context)
      if (!isTransformable(source, chain)) explained.warnings.push('The file is delivered as it is.')
      return explained
    },
    async find(target) {
      const { path, rewriter } = endpointFor(target, await site.read())
      const address = parseAddress(target, path, rewriter)
      const chain = address.transformation === null ? undefined : parse(address.transformation, context)
      const version = await findVersion(address, chain, context)
      const isOriginal = chain === undefined || outputOf(chain).original
      return { version, isTransformed: !isOriginal || address.suffix !== null }
    },
    async purge(request) {
      const current = await site.read()
      const removed = await purgeUrls(request, { ...context, current }, (chain) =>
        expand(chain, current, context),
      )
      recall.clear()
      return removed
    },
    forget: (blobs) => forget(blobs, context),
    settingsChanged() {
      site.expire()
      recall.clear()
    },
  }
}

/** What a key allows: private files as with a signature that never ends. */
const TRUSTED: Access = { signed: true, expiresAtSec: null }

async function deliver(request: DeliveryRequest, context: Context): Promise<Delivered> {
  const known = context.site.read()
  const site = known instanceof Promise ? await known : known
  const endpoint = endpointFor(request.target, site)
  const { settings } = endpoint
  const address = parseAddress(request.target, endpoint.path, endpoint.rewriter)
  const access = request.isTrusted ? TRUSTED : await checkSignature(request, endpoint, context)
  // Before anything is looked up, so that the answer does not tell what exists (trust L07).
  if (settings.restrictUnsigned && !access.signed) throw unauthorized()
  const asked = address.transformation === null ? undefined : parse(address.transformation, context)
  if (settings.restrictUnnamed && asked && !isNamedOnly(asked)) throw unnamed()
  let isReusable = !access.signed
  const source = await findSource({ address, endpoint, host: hostOf(request), context }).catch(
    async (error: unknown) => {
      // An origin may have the file the next time.
      isReusable = false
      const shownInstead = isMissing(error)
        ? await findDefault(asked && outputOf(asked).defaultImage, access, context)
        : undefined
      if (!shownInstead) throw error
      return shownInstead
    },
  )
  if (source.isPrivate && !access.signed && !(asked && isOneName(asked))) throw unauthorized()
  const chain =
    asked &&
    (await expand(asked, site, context).catch((error: unknown) => {
      // A name that does not exist opens nothing (trust L01).
      throw source.isPrivate && !access.signed && error instanceof TintypeError ? unauthorized() : error
    }))
  if (source.isPrivate || source.file) isReusable = false
  const shown: Shown = { address, endpoint, source, access, isReusable, context, request }
  if (address.suffix !== null) return deliverSuffix(shown, chain ?? [])
  if (chain && chain.length > 0) {
    if (isTransformable(source, chain)) return deliverDerivative(shown, chain)
  }
  if (address.sanitizesSvg && source.format === 'svg') return deliverCleanSvg(shown)
  const optimized = !chain?.length && settings.optimizeOriginals && isTransformable(source, [])
  return optimized ? deliverDerivative(shown, []) : deliverOriginal(shown)
}

/** Documents whose pages can be drawn. */
const DOCUMENTS = new Set(['pdf', 'ai'])

/** `ik-thumbnail.jpg` after an image or a document: one page or frame of it, as a JPEG unless `f` says otherwise. */
function deliverSuffix(shown: Shown, chain: Chain): Promise<Delivered> {
  const { address, source } = shown
  const hasPages = source.fileType === 'image' || DOCUMENTS.has(source.format)
  if (address.suffix !== 'ik-thumbnail.jpg' || !hasPages) {
    throw new TintypeError('not-implemented', `"${address.suffix}" cannot be served for this file yet.`)
  }
  const format = outputOf(chain).format ?? 'jpg'
  return deliverDerivative(shown, [...chain, { kind: 'pass', params: { f: format }, layers: [] }])
}

async function checkSignature(
  { target, baseUrl }: DeliveryRequest,
  { path }: Endpoint,
  { deps }: Context,
): Promise<Access> {
  // Most URLs carry no signature, in any spelling; they need no keys.
  const queryStart = target.indexOf('?')
  if (queryStart < 0 || !/ik-|%/i.test(target.slice(queryStart))) return { signed: false, expiresAtSec: null }
  const { urlSigningKey, oldUrlSigningKeys, urlSkewSec } = deps.signing
  const keys = urlSigningKey
    ? [urlSigningKey, ...oldUrlSigningKeys]
    : (await deps.account.activeKeys()).map((key) => key.privateKey)
  const signature = verifyUrlSignature({
    rawTarget: target,
    endpointPath: path,
    ...(baseUrl ? { endpointUrl: baseUrl() + path } : {}),
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

function unnamed() {
  return new TintypeError(
    'bad-request',
    'Bad Image Transformation Request: only named transformations are allowed here.',
  )
}

/** Parses with a cache by text: the same few transformations make up most of the traffic. */
function parse(text: string, { parsed }: Context): Chain {
  const known = parsed.get(text)
  if (known) return known
  const chain = parseTransformation(text, { form: 'url' })
  parsed.set(text, chain)
  return chain
}

function isNamedOnly(chain: Chain): boolean {
  return chain.every((step) => isOneName([step]) || (step.kind === 'pass' && step.params.orig === true))
}

/** Unsigned access to a private file takes one existing named transformation and nothing else (trust L01). */
function isOneName(chain: Chain): boolean {
  const [step, ...rest] = chain
  if (rest.length > 0 || step?.kind !== 'pass' || step.layers.length > 0) return false
  const keys = Object.keys(step.params)
  return keys.length === 1 && keys[0] === 'n'
}

/** Replaces named transformations: the built-in ones, then those of the account. */
async function expand(chain: Chain, site: Site, context: Context): Promise<Chain> {
  const known = site.expanded.get(chain)
  if (known) return known
  const expanded = await expandNamed(chain, async (name) => {
    const text = Object.hasOwn(BUILT_IN_NAMES, name) ? BUILT_IN_NAMES[name] : site.named.get(name)
    if (text === null) throw badRequest(`The named transformation "${name}" is disabled.`)
    return text === undefined ? undefined : parse(text, context)
  })
  site.expanded.set(chain, expanded)
  return expanded
}

/** What a URL shows of the library to whoever has shown a key. */
async function findVersion(
  address: Address,
  chain: Chain | undefined,
  context: Context,
): Promise<FileVersion> {
  const version = address.url === null && (await findPublished(address.path, address.versionKey, context))
  if (version) return version
  const path = chain && outputOf(chain).defaultImage
  const shownInstead = path && (await findPublished(`/${path}`, null, context))
  if (!shownInstead) throw notFound('Not Found')
  return shownInstead
}

function hostOf({ headers }: DeliveryRequest): string | null {
  return typeof headers.host === 'string' ? headers.host : null
}

/** Whether the transformation applies; otherwise the original is the answer. */
function isTransformable(source: Source, chain: Chain): boolean {
  const output = outputOf(chain)
  if (output.original) return false
  if (source.mime.startsWith('video/')) {
    throw new TintypeError('not-implemented', 'Videos cannot be transformed by this server yet.')
  }
  if (source.fileType !== 'image') return false
  // SVG is delivered as it is unless a raster format is asked for (contract notes 3.0).
  if (source.format === 'svg')
    return output.format !== undefined && !['auto', 'orig', 'svg'].includes(output.format)
  return true
}

/** Largest SVG that is rewritten: it is read as a whole. */
const MAX_SVG_BYTES = 5 * 1024 * 1024

/** The drawing of an SVG without anything else that its file may hold (`ik-sanitizeSvg`). */
async function deliverCleanSvg(shown: Shown): Promise<Delivered> {
  const { source, context } = shown
  const original = deliverOriginal(shown)
  if (source.sizeBytes > MAX_SVG_BYTES) throw badRequest('The SVG is too large to be sanitized.')
  const bytes = await throughMemory(`${source.blob}.clean`, source.sizeBytes, context, async () => {
    const whole = await readWhole(source, context)
    const isUtf16 = (whole[0] === 0xff && whole[1] === 0xfe) || (whole[0] === 0xfe && whole[1] === 0xff)
    const encoding = isUtf16 ? (whole[0] === 0xff ? 'utf-16le' : 'utf-16be') : 'utf-8'
    const clean = sanitizeSvg(new TextDecoder(encoding).decode(whole))
    if (clean === undefined) throw badRequest('The SVG could not be read, so it could not be sanitized.')
    return Buffer.from(clean)
  })
  return {
    ...original,
    etag: `"${source.blob.slice(0, 32)}-clean"`,
    sizeBytes: bytes.length,
    reusableBy: undefined,
    fromMemory: () => bytes,
    open: async (range) => Readable.from([range ? bytes.subarray(range.start, range.end + 1) : bytes]),
    readAll: async () => bytes,
  }
}

function deliverOriginal(shown: Shown): Delivered {
  const { address, endpoint, source, access, context } = shown
  const download = address.attachment
  const contentType = contentTypeOf(source.mime)
  return {
    contentType,
    etag: `"${source.blob.slice(0, 32)}"`,
    lastModifiedMs: source.updatedAtMs,
    headers: {
      ...contentHeaders({ contentType, fileName: downloadName(address, source.name), download }),
      ...sourceHeaders(source),
      'cache-control': cacheControl({
        maxAgeSec: maxAgeOf(source, endpoint),
        shared: !source.isPrivate && !access.signed,
        expiresAtSec: access.expiresAtSec,
        nowMs: context.deps.clock.now(),
      }),
    },
    sizeBytes: source.sizeBytes,
    ...redirectOf(shown, contentType),
    reusableBy: shown.isReusable ? [] : undefined,
    fromMemory: () => context.memory.get(source.blob),
    open: (range) => readSource(source, range, context),
    readAll: () => throughMemory(source.blob, source.sizeBytes, context, () => readWhole(source, context)),
  }
}

/**
 * Has large files of the library fetched from the object store itself. Whoever gets here may see the file; the URL ends
 * no later than the one that was asked for.
 */
function redirectOf(shown: Shown, contentType: string): Pick<Delivered, 'redirect'> {
  const { address, source, access, context } = shown
  const { options, deps } = context
  const { blobs } = deps
  const isLarge = options.redirectMinBytes > 0 && source.sizeBytes >= options.redirectMinBytes
  // What needs a sandbox of ours stays here (trust, SVG).
  const isSafe = !contentType.startsWith('image/svg') && (!source.isPrivate || access.signed)
  if (!isLarge || !isSafe || source.file || !blobs.presign) return {}
  const headers = contentHeaders({
    contentType,
    fileName: downloadName(address, source.name),
    download: address.attachment,
  })
  return {
    async redirect() {
      const leftSec =
        access.expiresAtSec === null
          ? Number.POSITIVE_INFINITY
          : access.expiresAtSec - Math.floor(deps.clock.now() / 1000)
      const expiresSec = Math.max(1, Math.min(options.redirectSec, leftSec))
      const disposition = headers['content-disposition']
      return { url: await blobs.presign!(source.blob, { expiresSec, contentType, disposition }), expiresSec }
    },
  }
}
