import { TintypeError } from '../../kernel/errors.ts'

/** SQLSTATE codes (https://www.postgresql.org/docs/current/errcodes-appendix.html) and classes. */
const READ_ONLY = '25006'
const QUERY_CANCELED = '57014'
const REPEATABLE = new Set([
  '40001', // serialization failure
  '40P01', // deadlock
  '55P03', // lock not available
  // A folder went away while something was put into it: the next run sees that it is gone.
  '23502', // not null
  '23503', // foreign key
])
const LOST = new Set([
  '57P01', // the server shuts down
  '57P02',
  '57P03', // it starts up
  '57P05',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
])

function codeOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: string; message?: string }
  // node-postgres gives these no code.
  if (
    !code &&
    message &&
    /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect)/.test(
      message,
    )
  ) {
    return message.startsWith('timeout') ? 'pool timeout' : 'ECONNRESET'
  }
  return code ?? ''
}

/** Whether the same transaction may succeed when it runs again. */
export function isRepeatable(error: unknown): boolean {
  return REPEATABLE.has(codeOf(error))
}

/** Whether the connection is gone, so that the outcome of what was sent is not known. */
export function isLostConnection(error: unknown): boolean {
  const code = codeOf(error)
  return LOST.has(code) || code.startsWith('08')
}

/** Whether the server has become a standby. */
export function isReadOnly(error: unknown): boolean {
  return codeOf(error) === READ_ONLY
}

/** What a failure inside PostgreSQL means to the rest of the house; other errors are handed on as they are. */
export function postgresError(error: unknown): unknown {
  if (error instanceof TintypeError) return error
  const code = codeOf(error)
  // What the work of a transaction threw for its own reasons, which whoever began it knows.
  if (code === '') return error
  if (code.startsWith('23')) {
    return new TintypeError('conflict', 'The request conflicts with what is already stored.', {
      cause: error,
    })
  }
  // Disk full, and out of memory, connections or configured limits.
  if (code === '53100') {
    return new TintypeError('no-space', 'The server has no space left to store the file.', { cause: error })
  }
  if (code === '22021' || code === '22P05') {
    return new TintypeError(
      'bad-request',
      'A text of the request contains a character that cannot be stored.',
      {
        cause: error,
      },
    )
  }
  if (code === QUERY_CANCELED) {
    return new TintypeError('timeout', 'The media library took too long to answer.', { cause: error })
  }
  if (
    isRepeatable(error) ||
    isLostConnection(error) ||
    isReadOnly(error) ||
    code === 'pool timeout' ||
    code.startsWith('53')
  ) {
    return new TintypeError('unavailable', 'The media library cannot be reached at the moment.', {
      cause: error,
      headers: { 'retry-after': '2' },
    })
  }
  return new TintypeError('internal', 'The media library could not answer.', { cause: error })
}
