import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'

/** Why an origin gave no file; the codes of the `ik-error` header (manual, error troubleshooting). */
export type OriginErrorCode = 'ENOENT' | 'EACCES' | 'ELIMIT' | 'ECONNREFUSED' | 'UNIDENTIFIED'

/** An origin gave no file. Its message is public, so it never carries an address or what the origin wrote. */
export class OriginFailure extends Error {
  readonly code: OriginErrorCode

  constructor(code: OriginErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'OriginFailure'
    this.code = code
  }
}

/** What is asked of an origin. */
export type OriginRequest = {
  /** Path below the URL endpoint, decoded, without a leading slash. Empty where a URL is asked for. */
  path: string
  /** The absolute URL that a web proxy is asked for. */
  url: string | null
  /** Host that the client used, for origins that want it. */
  host: string | null
  /** What the origin said of the copy that is here, so that it needs to send only what has changed. */
  known: { etag: string | null; lastModified: string | null } | null
}

export type OriginAnswer =
  | { kind: 'unchanged'; cacheControl: string | null }
  | {
      kind: 'found'
      etag: string | null
      lastModified: string | null
      cacheControl: string | null
      isPrivate: boolean
      /** The bytes, once. */
      body: AsyncIterable<Buffer>
      discard(): void
    }

/** A way to get files from one kind of storage. */
export type OriginDriver = {
  /** Whether the origin can have what is asked for: web proxies have URLs, all others paths. */
  handles(request: Pick<OriginRequest, 'path' | 'url'>): boolean
  /** @throws OriginFailure */
  open(request: OriginRequest): Promise<OriginAnswer>
}

export type DriverDeps = {
  safeFetch: SafeFetch
  clock: Clock
  /** Largest file that is taken. */
  maxBytes: number
  /** Where the services are, for emulators and clouds of one's own. */
  services: { gcsUrl: string; gcsTokenUrl: string; azureUrl: string }
}

/** An origin as an administrator has set it up; its other members belong to its type. */
export type OriginDocument = { id: string; type: string } & Record<string, unknown>

/** A path with each of its segments percent-encoded. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/** Name of a file in a bucket: the origin's folder, which may be written with slashes around it, and the path. */
export function objectName(prefix: unknown, path: string): string {
  const folder = typeof prefix === 'string' ? prefix.replace(/^\/+|\/+$/g, '') : ''
  return folder === '' ? path : `${folder}/${path}`
}
