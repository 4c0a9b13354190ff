import type { FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorKind, TintypeError } from '../kernel/errors.ts'

const STATUS: Record<ErrorKind, number> = {
  'bad-request': 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  // The contract answers 400, not 413, where a file exceeds the limits (OpenAPI, Upload).
  'too-large': 400,
  unsupported: 415,
  locked: 423,
  'rate-limited': 429,
  internal: 500,
  'not-implemented': 501,
  unavailable: 503,
  // A client's file that takes too long is the client's error; our own time-outs are `unavailable`.
  timeout: 400,
  'no-space': 507,
}

export const HELP = 'For support kindly contact the administrator of this server.'

/** The status that an error answers with. */
export function statusOf(error: TintypeError): number {
  return STATUS[error.kind]
}

/** Any thrown value as a TintypeError; framework errors keep their 4xx meaning, a
 * machine that has run out of something is said to have, everything else is `internal`. */
export function toTintypeError(thrown: unknown): TintypeError {
  if (thrown instanceof TintypeError) return thrown
  const { statusCode, code, validation, message } = thrown as {
    statusCode?: number
    code?: string
    validation?: unknown
    message?: string
  }
  if (validation !== undefined) {
    return new TintypeError('bad-request', `Your request contains invalid parameters: ${message}.`)
  }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new TintypeError('unsupported', 'The content type of the request is not supported.')
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new TintypeError('bad-request', 'The body of the request is too large.')
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new TintypeError('bad-request', 'The body of the request could not be read.', { cause: thrown })
  }
  if (code === 'EMFILE' || code === 'ENFILE') {
    return new TintypeError('unavailable', 'The server is busy. Please try again later.', {
      headers: { 'retry-after': '1' },
      cause: thrown,
    })
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TintypeError('no-space', 'The server has no space left to store the file.', { cause: thrown })
  }
  return new TintypeError('internal', 'Something went wrong on our side. The error has been logged.', {
    cause: thrown,
  })
}

/** Answers with the contract's error shape `{ message, help, reason?, …extra }` (contract notes 1.0). */
export function sendError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toTintypeError(thrown)
  const status = statusOf(error)
  if (status >= 500)
    request.log.error({ reqId: request.id, err: error, cause: error.cause }, 'request failed')
  else if (error.cause !== undefined)
    request.log.info({ reqId: request.id, cause: error.cause }, error.message)
  if (error.headers) reply.headers(error.headers)
  // SDKs retry 409 twice in vain (contract notes 6.3).
  if (status === 409) reply.header('x-should-retry', 'false')
  const retryAfterSec = Number(error.headers?.['retry-after'])
  if (retryAfterSec > 0 && !reply.hasHeader('retry-after-ms')) {
    reply.header('retry-after-ms', String(retryAfterSec * 1000))
  }
  const reason = error.reason === undefined ? {} : { reason: error.reason }
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .type('application/json; charset=utf-8')
    .send(JSON.stringify({ message: error.message, help: HELP, ...reason, ...error.extra }))
}
