import { TintypeError } from '../../kernel/errors.ts'
import { searchTimeoutError } from '../engine.ts'
import type { ThreadFailure } from './sqlite-messages.ts'

/** Result codes of SQLite (https://sqlite.org/rescode.html); the low byte of an extended code is its primary one. */
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
const SQLITE_READONLY = 8
const SQLITE_INTERRUPT = 9
const SQLITE_IOERR = 10
export const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_CANTOPEN = 14
const SQLITE_CONSTRAINT = 19
export const SQLITE_NOTADB = 26

/** What SQLite said; the cause of the errors that leave this folder. */
export class SqliteFailure extends Error {
  readonly primaryCode: number
  constructor({ message, code }: ThreadFailure) {
    super(`SQLite ${code}: ${message}`)
    this.name = 'SqliteFailure'
    this.primaryCode = code & 0xff
  }
}

/** What a failure inside SQLite means to the rest of the house. */
export function sqliteError(failure: ThreadFailure): TintypeError {
  const cause = new SqliteFailure(failure)
  switch (cause.primaryCode) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return busyError(cause)
    case SQLITE_INTERRUPT:
      return searchTimeoutError(cause)
    case SQLITE_FULL:
      return new TintypeError('no-space', 'The server has no space left to store the file.', { cause })
    case SQLITE_CONSTRAINT:
      return new TintypeError('conflict', 'The request conflicts with what is already stored.', { cause })
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      return new TintypeError('unavailable', 'The media library cannot be reached at the moment.', {
        cause,
        headers: { 'retry-after': '5' },
      })
    default:
      return new TintypeError('internal', 'The media library could not answer.', { cause })
  }
}

export function busyError(cause?: unknown): TintypeError {
  return new TintypeError('unavailable', 'The media library is busy, please try again.', {
    cause,
    headers: { 'retry-after': '1' },
  })
}

/** Whether a statement was ended because its time was over. */
export function isInterrupted({ code }: ThreadFailure): boolean {
  return (code & 0xff) === SQLITE_INTERRUPT
}

/** Whether another process held the lock. */
export function isBusy(error: TintypeError): boolean {
  return error.cause instanceof SqliteFailure && error.cause.primaryCode === SQLITE_BUSY
}

/** Whether a file could not be opened since another process held it; both kinds of connections say so in their own way. */
export function isBusyFailure(error: unknown): boolean {
  const { primaryCode, errcode } = error as { primaryCode?: number; errcode?: number }
  return primaryCode === SQLITE_BUSY || (errcode !== undefined && (errcode & 0xff) === SQLITE_BUSY)
}
