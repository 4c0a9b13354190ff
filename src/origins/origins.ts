import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { type Static, Type } from 'typebox'
import { TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'
import type { MediaOptions } from '../media/media.ts'
import { createAkeneo } from './akeneo.ts'
import { createAzureBlob } from './azure.ts'
import { type CachedFile, openOriginCache } from './cache.ts'
import {
  type DriverDeps,
  type OriginDocument,
  type OriginDriver,
  OriginFailure,
  type OriginRequest,
} from './driver.ts'
import { createGcs } from './gcs.ts'
import { createWebFolder, createWebProxy } from './web.ts'

export type { OriginDocument } from './driver.ts'
export { type EndpointSettings, endpointSettings, ownEndpointSettings } from './endpoint-settings.ts'

export const originOptions = Type.Object({
  cacheMiB: Type.Integer({
    default: 4096,
    minimum: 1,
    description: 'Space on disk for copies of files from origins; the least recently used go first.',
  }),
  maxAgeSec: Type.Integer({
    default: 86_400,
    minimum: 0,
    description:
      'How long a copy is used before its origin is asked whether it has changed. Purging a URL ends it at once.',
  }),
  failureMaxAgeSec: Type.Integer({
    default: 10,
    minimum: 0,
    description:
      'How long an origin is not asked again for a file that it did not have or could not give. Protects origins from requests for files that are not there.',
  }),
  maxFileMiB: Type.Integer({
    default: 300,
    minimum: 1,
    description: 'Largest file that is taken from an origin. Protects the disk and the network.',
  }),
  maxConcurrent: Type.Integer({
    default: 32,
    minimum: 1,
    description: 'Files that are fetched from origins at once; half of them from one origin.',
  }),
  maxQueued: Type.Integer({
    default: 256,
    minimum: 0,
    description: 'Fetches that wait; further ones are answered 503.',
  }),
  gcsUrl: Type.String({
    default: 'https://storage.googleapis.com',
    description: 'Where Google Cloud Storage is; for emulators.',
  }),
  gcsTokenUrl: Type.String({
    default: 'https://oauth2.googleapis.com/token',
    description: 'Where service accounts get their tokens; for emulators.',
  }),
  azureUrl: Type.String({
    default: 'https://{account}.blob.core.windows.net',
    description: 'Where Azure Blob Storage is; for emulators and national clouds.',
  }),
})
export type OriginOptions = Static<typeof originOptions>

/** Fetches from origins have slots of their own, so that they and uploads by URL do not wait for each other. */
export function originFetchLimits({ maxConcurrent, maxQueued }: OriginOptions) {
  return { maxConcurrent, maxConcurrentPerKey: Math.ceil(maxConcurrent / 2), maxQueued }
}

/** A file that an origin has. Its bytes are here. */
export type OriginFile = CachedFile & {
  /** What the `Link: rel="canonical"` header says; null without one. */
  canonicalUrl: string | null
}

export type FindRequest = Pick<OriginRequest, 'path' | 'url' | 'host'> & {
  /** Tried in this order. */
  origins: OriginDocument[]
  /** Whether Cache-Control of origins decides how long copies are used. */
  followCacheControl: boolean
}

export type Origins = {
  /**
   * A file of the first origin that has it; undefined when none has it.
   * @throws TintypeError not-found with an `ik-error` header when an origin could not say, too-large, unavailable.
   */
  find(request: FindRequest): Promise<OriginFile | undefined>
  /**
   * Removes copies.
   * @param place path without a leading slash, or URL, in the origins.
   * @returns the hashes of their bytes.
   */
  purge(request: { place: string; isPrefix: boolean; origins: OriginDocument[] }): Promise<string[]>
  /** Bytes of the copies that this server keeps. */
  cachedBytes(): number
}

type Create = (origin: OriginDocument, deps: DriverDeps) => OriginDriver | Promise<OriginDriver>

/** Loaded on demand: the SDK takes more memory and time to start than the rest of the server. */
const createS3: Create = async (origin, deps) => (await import('./s3.ts')).createS3(origin, deps)

/** The types of origins (OpenAPI, `OriginRequest`). */
const DRIVERS: Record<string, Create> = {
  WEB_FOLDER: createWebFolder,
  WEB_PROXY: createWebProxy,
  S3: createS3,
  S3_COMPATIBLE: createS3,
  CLOUDINARY_BACKUP: createS3,
  GCS: createGcs,
  AZURE_BLOB: createAzureBlob,
  AKENEO_PIM: createAkeneo,
}

const MAX_DRIVERS = 200
const MAX_FAILURES = 10_000
/** A copy whose origin cannot be asked is used on, and asked for again after this long. */
const STALE_RETRY_SEC = 30

/**
 * Opens the origins with their cache folder. A copy is found by what identifies the file: the origin's settings and the
 * path in it. So a change of settings is a change of files.
 */
export async function openOrigins(
  options: OriginOptions & { cacheDir: string; media: MediaOptions },
  deps: { safeFetch: SafeFetch; clock: Clock; log: Log },
): Promise<Origins> {
  const { clock, log } = deps
  const cache = await openOriginCache(
    { dir: options.cacheDir, maxBytes: options.cacheMiB * 1024 * 1024, media: options.media },
    { log },
  )
  const driverDeps: DriverDeps = {
    ...deps,
    maxBytes: options.maxFileMiB * 1024 * 1024,
    services: { gcsUrl: options.gcsUrl, gcsTokenUrl: options.gcsTokenUrl, azureUrl: options.azureUrl },
  }
  const drivers = new LRUCache<string, Promise<OriginDriver>>({ max: MAX_DRIVERS })
  const failures = new LRUCache<string, { failure: OriginFailure; untilMs: number }>({ max: MAX_FAILURES })
  const running = new Map<string, Promise<CachedFile>>()

  function driverOf(origin: OriginDocument, originKey: string): Promise<OriginDriver> {
    const known = drivers.get(originKey)
    if (known) return known
    const create = Object.hasOwn(DRIVERS, origin.type) ? DRIVERS[origin.type] : undefined
    if (!create) {
      throw new TintypeError('not-implemented', `Origins of the type ${origin.type} cannot be read.`)
    }
    const driver = Promise.resolve(create(origin, driverDeps))
    driver.catch(() => drivers.delete(originKey))
    drivers.set(originKey, driver)
    return driver
  }

  function isFresh(file: CachedFile, followCacheControl: boolean): boolean {
    const maxAgeSec = followCacheControl ? (file.originMaxAgeSec ?? options.maxAgeSec) : options.maxAgeSec
    const ageMs = clock.now() - file.checkedAtMs
    return ageMs >= 0 && ageMs < maxAgeSec * 1000
  }

  /** The file of one origin, from its copy or from itself. */
  async function obtain(
    driver: OriginDriver,
    place: Place,
    request: FindRequest,
    originKey: string,
  ): Promise<CachedFile> {
    const { key } = place
    const copy = await cache.get(key)
    if (copy && isFresh(copy, request.followCacheControl)) return copy
    const failed = failures.get(key)
    if (failed && clock.now() < failed.untilMs) {
      if (copy) return copy
      throw failed.failure
    }
    // However many ask at once, the origin is asked once.
    let pending = running.get(key)
    if (!pending) {
      pending = load(driver, place, request, originKey, copy).finally(() => running.delete(key))
      running.set(key, pending)
    }
    return pending
  }

  async function load(
    driver: OriginDriver,
    { key, text }: Place,
    { path, url, host }: FindRequest,
    originKey: string,
    copy: CachedFile | undefined,
  ): Promise<CachedFile> {
    const checkedAtMs = clock.now()
    try {
      const answer = await driver.open({ path, url, host, known: copy ?? null })
      const originMaxAgeSec = readMaxAge(answer.cacheControl)
      failures.delete(key)
      if (answer.kind === 'unchanged') {
        await cache.renew(key, { checkedAtMs, originMaxAgeSec })
        return { ...copy!, checkedAtMs, originMaxAgeSec }
      }
      try {
        return await cache.put(key, {
          name: url === null ? lastSegment(path) : nameInUrl(url),
          isPrivate: answer.isPrivate,
          etag: answer.etag,
          lastModified: answer.lastModified,
          checkedAtMs,
          originMaxAgeSec,
          originKey,
          place: text,
          body: answer.body,
        })
      } finally {
        answer.discard()
      }
    } catch (error) {
      const failure = error instanceof TintypeError ? bodyFailure(error) : error
      if (!(failure instanceof OriginFailure)) throw failure
      const isGone = failure.code === 'ENOENT'
      const untilMs = clock.now() + (copy && !isGone ? STALE_RETRY_SEC : options.failureMaxAgeSec) * 1000
      failures.set(key, { failure, untilMs })
      if (isGone) await cache.remove(key)
      if (copy && !isGone) {
        log.warn({ err: failure, origin: originKey }, 'an origin could not be asked; its copy is used on')
        return copy
      }
      throw failure
    }
  }

  return {
    async find(request) {
      let failure: OriginFailure | undefined
      for (const origin of request.origins) {
        const originKey = keyOfOrigin(origin)
        const driver = await driverOf(origin, originKey)
        if (!driver.handles(request)) continue
        try {
          const file = await obtain(driver, placeOf(origin, originKey, request), request, originKey)
          return { ...file, canonicalUrl: canonicalUrl(origin, request) }
        } catch (error) {
          if (!(error instanceof OriginFailure)) throw error
          // What says more than that there is no such file helps whoever set the origins up.
          if (!failure || failure.code === 'ENOENT') failure = error
        }
      }
      if (failure && failure.code !== 'ENOENT') throw publicFailure(failure)
      return undefined
    },
    async purge({ place, isPrefix, origins }) {
      const originKeys = new Set(origins.map(keyOfOrigin))
      const removed: string[] = []
      const keys = cache.keys((facts) => {
        const isMeant =
          originKeys.has(facts.originKey) &&
          (isPrefix ? facts.place.startsWith(place) : facts.place === place)
        if (isMeant) removed.push(facts.sha256)
        return isMeant
      })
      for (const key of keys) await cache.remove(key)
      failures.clear()
      return removed
    },
    cachedBytes: () => cache.sizeBytes(),
  }
}

/** Where a file is: the key of its copy, and as text. */
type Place = { key: string; text: string }

function keyOfOrigin({
  name,
  includeCanonicalHeader,
  baseUrlForCanonicalHeader,
  ...rest
}: OriginDocument): string {
  const members = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))
  return hash('sha256', JSON.stringify(members)).slice(0, 32)
}

function placeOf(origin: OriginDocument, originKey: string, request: FindRequest): Place {
  const text = request.url ?? request.path
  const host = origin.forwardHostHeaderToOrigin === true ? request.host : null
  return { key: hash('sha256', JSON.stringify([originKey, text, host])), text }
}

function lastSegment(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function nameInUrl(url: string): string {
  const name = lastSegment(url.split('?', 1)[0]!)
  try {
    return decodeURIComponent(name) || 'file'
  } catch {
    return name
  }
}

/** Seconds that a shared cache may keep an answer (RFC 9111); null where the header does not say. */
export function readMaxAge(cacheControl: string | null): number | null {
  if (cacheControl === null) return null
  const directives = new Map(
    cacheControl
      .toLowerCase()
      .split(',')
      .map((part) => part.trim().split('=', 2) as [string, string | undefined]),
  )
  if (['no-store', 'no-cache', 'private'].some((name) => directives.has(name))) return 0
  const text = (directives.get('s-maxage') ?? directives.get('max-age'))?.replaceAll('"', '')
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : null
}

function canonicalUrl(origin: OriginDocument, { path, url }: FindRequest): string | null {
  if (origin.includeCanonicalHeader !== true || url !== null) return null
  const base = String(origin.baseUrlForCanonicalHeader).replace(/\/+$/, '')
  return `${base}/${path.split('/').map(encodeURIComponent).join('/')}`
}

/** A body that ends early, drips or grows too large is the origin's failure; other errors are our own. */
function bodyFailure(error: TintypeError): unknown {
  if (error.kind === 'too-large') return new OriginFailure('ELIMIT', 'The file of the origin is too large.')
  if (error.kind === 'bad-request') {
    return new OriginFailure('UNIDENTIFIED', 'The origin did not send the whole file.', error.cause)
  }
  return error
}

function publicFailure({ code, message, cause }: OriginFailure): TintypeError {
  const headers = { 'ik-error': `${code} - ${message}` }
  return code === 'ELIMIT'
    ? new TintypeError('too-large', message, { headers, cause })
    : new TintypeError('not-found', 'Not Found', { headers, cause })
}
