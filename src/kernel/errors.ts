/**
 * The one error type that crosses module borders. `publicMessage` is shown to clients word for word, so it
 * never carries a path, SQL, an internal address or a key; those go to `cause`, which only the log sees.
 */
export type ErrorKind =
  | 'bad-request'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'conflict'
  | 'locked'
  | 'too-large'
  | 'unsupported'
  | 'rate-limited'
  | 'timeout'
  | 'unavailable'
  | 'no-space'
  | 'not-implemented'
  | 'internal'

export type ErrorDetail = {
  /** Machine-readable code of the contract, e.g. `SOURCE_FILE_MISSING`. */
  reason?: string
  /** Further members of the JSON body, e.g. `{ missingFileIds: [...] }`. */
  extra?: Record<string, unknown>
  /** Further response headers, e.g. `{ 'retry-after': '1' }`. */
  headers?: Record<string, string>
  /** What happened inside; logged, never sent. */
  cause?: unknown
}

export class TintypeError extends Error {
  readonly kind: ErrorKind
  readonly reason: string | undefined
  readonly extra: Record<string, unknown> | undefined
  readonly headers: Record<string, string> | undefined

  constructor(kind: ErrorKind, publicMessage: string, detail: ErrorDetail = {}) {
    super(publicMessage, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.name = 'TintypeError'
    this.kind = kind
    this.reason = detail.reason
    this.extra = detail.extra
    this.headers = detail.headers
  }
}

/** A 400 with the given public message. */
export function badRequest(publicMessage: string, detail?: ErrorDetail): TintypeError {
  return new TintypeError('bad-request', publicMessage, detail)
}

/** A 404 with the given public message. */
export function notFound(publicMessage: string, detail?: ErrorDetail): TintypeError {
  return new TintypeError('not-found', publicMessage, detail)
}
