import type { IncomingHttpHeaders } from 'node:http'
import { type ErrorKind, TintypeError } from '../kernel/errors.ts'
import { FetchFailure, type FetchFailureCode } from '../kernel/network-policy.ts'

/**
 * How services fail, in our own terms. `unavailable`, `timeout` and `rate-limited` pass by themselves; every other
 * kind is final, since the same request would only fail, or cost, again.
 */

const RETRYABLE: ReadonlySet<ErrorKind> = new Set(['unavailable', 'timeout', 'rate-limited'])
/** A service cannot make a job wait longer than this. */
const MAX_RETRY_AFTER_SEC = 3600

/**
 * Whether running an extension again may succeed.
 * @returns `afterSec` is how long the service asked to be left alone, if it did.
 */
export function retryOf(error: unknown): { retryable: boolean; afterSec?: number } {
  if (!(error instanceof TintypeError) || !RETRYABLE.has(error.kind)) return { retryable: false }
  const afterSec = Number(error.headers?.['retry-after'])
  return Number.isFinite(afterSec) ? { retryable: true, afterSec } : { retryable: true }
}

/** The service took too long, or the caller ended the wait. */
export function timedOut(service: string, cause?: unknown): TintypeError {
  return new TintypeError('timeout', `${service} did not answer in time.`, { cause })
}

export function unavailable(service: string, cause?: unknown, retryAfterSec?: number): TintypeError {
  return new TintypeError('unavailable', `${service} is not available at the moment.`, {
    cause,
    ...retryAfter(retryAfterSec),
  })
}

export function rateLimited(service: string, cause?: unknown, retryAfterSec?: number): TintypeError {
  return new TintypeError('rate-limited', `${service} has received too many requests.`, {
    cause,
    ...retryAfter(retryAfterSec),
  })
}

/** Wrong key, no right, no credit: what the operator has to put right. */
export function refusedCredentials(service: string, cause?: unknown): TintypeError {
  return new TintypeError('internal', `${service} refused the credentials of this server.`, { cause })
}

/** The service understood but would not do it. */
export function refusedRequest(
  service: string,
  cause?: unknown,
  detail = 'refused the request',
): TintypeError {
  return new TintypeError('unsupported', `${service} ${detail}.`, { cause })
}

/** An answer that breaks the protocol. */
export function invalidAnswer(service: string, cause?: unknown): TintypeError {
  return new TintypeError('internal', `${service} gave an answer that cannot be used.`, { cause })
}

/**
 * What an HTTP status other than success means.
 * @param detail the beginning of the body, for the log.
 */
export function failedStatus(
  service: string,
  answer: { status: number; headers: IncomingHttpHeaders; detail: string },
): TintypeError {
  const { status } = answer
  const cause = new Error(`status ${status}: ${answer.detail}`)
  const afterSec = parseRetryAfter(answer.headers['retry-after'])
  if (status === 429) return rateLimited(service, cause, afterSec)
  if (status === 408 || status === 425 || status >= 500) {
    // What is not implemented will not be so at the next try either.
    return status === 501 || status === 505
      ? refusedRequest(service, cause)
      : unavailable(service, cause, afterSec)
  }
  if (status === 401 || status === 403) return refusedCredentials(service, cause)
  if (status === 402) return refusedRequest(service, cause, 'has no credit left for this server')
  if (status === 413) return new TintypeError('too-large', `The file is too large for ${service}.`, { cause })
  if (status < 400) return invalidAnswer(service, cause)
  return refusedRequest(service, cause)
}

const KIND_OF_FETCH_FAILURE: Record<FetchFailureCode, (service: string, cause: unknown) => TintypeError> = {
  'headers-timeout': timedOut,
  'too-slow': timedOut,
  'too-long': timedOut,
  aborted: timedOut,
  unresolved: unavailable,
  'connection-failed': unavailable,
  truncated: unavailable,
  'url-refused': invalidAnswer,
  'address-refused': invalidAnswer,
  'redirect-refused': invalidAnswer,
  'encoding-refused': invalidAnswer,
  'response-invalid': invalidAnswer,
}

/** Translates what `safe-fetch` throws. */
export function failedFetch(service: string, error: unknown): TintypeError {
  if (error instanceof TintypeError) {
    if (error.cause instanceof FetchFailure) return KIND_OF_FETCH_FAILURE[error.cause.code](service, error)
    if (error.kind === 'too-large') return invalidAnswer(service, error)
  }
  return unavailable(service, error)
}

/** Seconds from a Retry-After header, which holds seconds or a date; undefined when absent or unreadable. */
export function parseRetryAfter(value: string | undefined, nowMs = Date.now()): number | undefined {
  if (value === undefined) return undefined
  const text = value.trim()
  // `Date.parse` takes nearly anything for a date; those of HTTP begin with the day of the week.
  const dateMs = /^[a-z]{3}/i.test(text) ? Date.parse(text) : Number.NaN
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : Math.ceil((dateMs - nowMs) / 1000)
  if (Number.isNaN(seconds)) return undefined
  return Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_SEC)
}

function retryAfter(seconds: number | undefined) {
  return seconds === undefined ? {} : { headers: { 'retry-after': String(seconds) } }
}
