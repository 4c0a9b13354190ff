import { TintypeError } from '../kernel/errors.ts'
import type { SafeFetchResponse } from '../kernel/safe-fetch.ts'
import { type DriverDeps, type OriginAnswer, OriginFailure, type OriginRequest } from './driver.ts'

/** Tells origins behind a firewall who asks (manual, web server origin). */
const REQUEST_FROM = { 'x-req-from': 'imagekit' }

/** One message for what is closed, silent, private or has no address: it would map the network (trust S19). */
export const UNREACHABLE = 'The origin could not be reached.'

/**
 * Asks an origin over HTTP.
 * @param privateHeader name of the response header that marks private files with `true`.
 * @throws OriginFailure
 */
export async function openHttp(
  target: {
    url: string
    headers?: Record<string, string>
    /** Name of the virtual host to ask, where it is not that of the URL. */
    hostHeader?: string
    privateHeader: string
    /** Fetches with the same key share their part of the slots. */
    key: string
  },
  request: Pick<OriginRequest, 'known'>,
  { safeFetch, maxBytes }: DriverDeps,
): Promise<OriginAnswer> {
  const { known } = request
  const conditions = {
    ...(known?.etag ? { 'if-none-match': known.etag } : {}),
    ...(known?.lastModified ? { 'if-modified-since': known.lastModified } : {}),
  }
  let response: SafeFetchResponse
  try {
    response = await safeFetch.open(target.url, {
      failureMessage: UNREACHABLE,
      maxBytes,
      headers: { accept: '*/*', ...REQUEST_FROM, ...target.headers, ...conditions },
      ...(target.hostHeader === undefined ? {} : { hostHeader: target.hostHeader }),
      key: target.key,
    })
  } catch (error) {
    throw fetchFailure(error)
  }
  const { status, headers } = response
  const text = (name: string) => {
    const value = headers[name]
    return typeof value === 'string' ? value : null
  }
  if (status === 304 && known) {
    response.discard()
    return { kind: 'unchanged', cacheControl: text('cache-control') }
  }
  if (status !== 200) {
    response.discard()
    throw statusFailure(status)
  }
  return {
    kind: 'found',
    etag: text('etag'),
    lastModified: text('last-modified'),
    cacheControl: text('cache-control'),
    isPrivate: text(target.privateHeader)?.trim().toLowerCase() === 'true',
    body: response.body,
    discard: response.discard,
  }
}

/** What went wrong on the way to an origin or back. */
export function fetchFailure(error: unknown): unknown {
  if (!(error instanceof TintypeError)) return error
  if (error.kind === 'too-large') return new OriginFailure('ELIMIT', 'The file of the origin is too large.')
  // Too much is being fetched: the server's trouble, not the origin's.
  if (error.kind === 'rate-limited') {
    return new TintypeError('unavailable', 'Too many files are being fetched. Please try again.', {
      headers: { 'retry-after': '1' },
      cause: error,
    })
  }
  return new OriginFailure('ECONNREFUSED', UNREACHABLE, error.cause)
}

/** What an origin's status means. */
export function statusFailure(status: number): OriginFailure {
  if (status === 404 || status === 410) {
    return new OriginFailure('ENOENT', 'No file was found at the origin at the specified path.')
  }
  if (status === 401 || status === 403) {
    return new OriginFailure('EACCES', 'The origin refused access to the file.')
  }
  return new OriginFailure('UNIDENTIFIED', `The origin answered with the status ${status}.`)
}
