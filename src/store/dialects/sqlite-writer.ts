import { setTimeout as sleep } from 'node:timers/promises'
import { TintypeError } from '../../kernel/errors.ts'
import type { Query, Session, WriteResult } from '../engine.ts'
import { rowsOf, type SqliteConnection } from './sqlite-connection.ts'
import { busyError, isBusy, sqliteError } from './sqlite-errors.ts'
import type { Step, StepResult, ThreadReply } from './sqlite-messages.ts'

export type WriterLimits = {
  /** How long transactions wait for another process's lock before they are refused. */
  lockWaitMs: number
  /** A transaction that takes longer is rolled back, since all others wait for it. */
  transactionTimeoutMs: number
  /** Transactions that share one commit, at most. */
  batchTransactions: number
  /** After this long no further transaction joins a batch, so that the first need not wait for ever. */
  batchMs: number
}

type Waiting = {
  work(session: Session): Promise<unknown>
  resolve(value: unknown): void
  reject(error: unknown): void
}

/**
 * The one writer of a library. Transactions that wait share one commit, since the commit's fsync costs more than
 * all their statements; each runs in a savepoint of its own, so that it fails alone.
 */
export type SqliteWriter = {
  transaction<T>(work: (session: Session) => Promise<T>): Promise<T>
  /** Resolves when nothing runs or waits. */
  idle(): Promise<void>
}

/** @param connect gives the connection, a new one after the last has ended. */
export function createWriter(connect: () => Promise<SqliteConnection>, limits: WriterLimits): SqliteWriter {
  const waiting: Waiting[] = []
  let running: Promise<void> | undefined

  const runAll = async () => {
    while (waiting.length > 0) {
      try {
        await runBatch(await connect(), waiting, limits)
      } catch (error) {
        // There was no transaction to be had: whoever waits would only wait as long again.
        for (const each of waiting.splice(0)) each.reject(error)
      }
    }
    running = undefined
  }

  return {
    transaction<T>(work: (session: Session) => Promise<T>) {
      return new Promise<T>((resolve, reject) => {
        waiting.push({ work, resolve: resolve as (value: unknown) => void, reject })
        running ??= runAll()
      })
    },
    async idle() {
      await running
    },
  }
}

/** Runs what waits in one transaction of SQLite. Rejects only when none could be begun. */
async function runBatch(connection: SqliteConnection, waiting: Waiting[], limits: WriterLimits) {
  await begin(connection, limits.lockWaitMs)
  const settled: { each: Waiting; value: unknown }[] = []
  const joinUntilMs = performance.now() + limits.batchMs
  // Control steps wait for the next message instead of taking a round trip each.
  const control: Step[] = []
  let lost: unknown
  for (
    let count = 0;
    lost === undefined && waiting.length > 0 && count < limits.batchTransactions;
    count += 1
  ) {
    if (count > 0 && performance.now() > joinUntilMs) break
    const each = waiting.shift()!
    const member = createMember(connection, control)
    try {
      const value = await member.run(each.work, limits.transactionTimeoutMs)
      settled.push({ each, value })
    } catch (error) {
      each.reject(error)
      const undone = await undo(connection, control)
      // Some errors (a full disk, an I/O error) end SQLite's whole transaction, and the neighbours' work with it.
      if (!undone) lost = error
    }
  }
  if (lost === undefined && settled.length > 0) lost = await commit(connection, control)
  else if (lost === undefined) await connection.run([ROLLBACK]).catch(() => {})
  for (const { each, value } of settled) {
    if (lost === undefined) each.resolve(value)
    else each.reject(lost)
  }
}

const BEGIN: Step = { sql: 'BEGIN IMMEDIATE', parameters: [] }
const COMMIT: Step = { sql: 'COMMIT', parameters: [] }
const ROLLBACK: Step = { sql: 'ROLLBACK', parameters: [] }
const SAVEPOINT: Step = { sql: 'SAVEPOINT member', parameters: [] }
const RELEASE: Step = { sql: 'RELEASE member', parameters: [] }
const ROLLBACK_TO: Step = { sql: 'ROLLBACK TO member', parameters: [] }

/** Begins a transaction; polls with jitter, since SQLite's own waiting is neither fair nor short. */
async function begin(connection: SqliteConnection, lockWaitMs: number) {
  const giveUpMs = performance.now() + lockWaitMs
  for (;;) {
    const { failure } = await connection.run([BEGIN])
    if (!failure) return
    const error = sqliteError(failure)
    if (!isBusy(error) || performance.now() >= giveUpMs) throw error
    await sleep(1 + Math.random() * 15)
  }
}

/** @returns what went wrong, if anything. */
async function commit(connection: SqliteConnection, control: Step[]): Promise<unknown> {
  try {
    const reply = await connection.run([...control.splice(0), COMMIT])
    if (!reply.failure) return undefined
    if (reply.inTransaction) await connection.run([ROLLBACK])
    return sqliteError(reply.failure)
  } catch (error) {
    return error
  }
}

/** Rolls back to the savepoint. @returns false when the whole transaction is gone. */
async function undo(connection: SqliteConnection, control: Step[]): Promise<boolean> {
  try {
    const reply = await connection.run([...control.splice(0), ROLLBACK_TO, RELEASE])
    if (!reply.failure) return true
    if (reply.inTransaction) await connection.run([ROLLBACK])
    return false
  } catch {
    return false
  }
}

type Sent = { step: Step; resolve(result: StepResult): void; reject(error: unknown): void }

/** One transaction of a batch: gathers the statements issued in one turn of the event loop into one message. */
function createMember(connection: SqliteConnection, control: Step[]) {
  let outbox: Sent[] = []
  let inFlight: Promise<void> = Promise.resolve()
  let failed: { error: unknown } | undefined
  let closed = false
  control.push(SAVEPOINT)

  const flush = async () => {
    const sent = outbox
    outbox = []
    if (failed) {
      for (const each of sent) each.reject(failed.error)
      return
    }
    const prefix = control.splice(0)
    let reply: ThreadReply
    try {
      reply = await connection.run([...prefix, ...sent.map((each) => each.step)])
    } catch (error) {
      failed = { error }
      for (const each of sent) each.reject(error)
      return
    }
    if (reply.failure) failed = { error: sqliteError(reply.failure) }
    sent.forEach((each, i) => {
      const result = reply.results[prefix.length + i]
      if (result === undefined) each.reject(failed!.error)
      else each.resolve(result)
    })
  }
  const issue = (query: Query): Promise<StepResult> =>
    new Promise((resolve, reject) => {
      if (closed)
        return reject(new TintypeError('internal', 'A statement came after its transaction had ended.'))
      outbox.push({ step: { sql: query.sql, parameters: query.parameters }, resolve, reject })
      if (outbox.length === 1) {
        queueMicrotask(() => {
          inFlight = Promise.all([inFlight, flush()]).then(() => {})
        })
      }
    })
  const session: Session = {
    read: async <R>(query: Query<R>) => rowsOf<R>(await issue(query)),
    readAs: async (query, make) => (await session.read(query)).map(make),
    write: async <R>(query: Query<R>): Promise<WriteResult<R>> => writeResult(await issue(query)),
    atomic: (work) => work(session),
    // SQLite has one writer: whoever runs holds every lock.
    lock: async () => {},
  }
  return {
    async run(work: (session: Session) => Promise<unknown>, timeoutMs: number): Promise<unknown> {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(busyError(new Error(`a transaction took more than ${timeoutMs} ms`))),
          timeoutMs,
        )
      })
      try {
        return await Promise.race([finish(work), late])
      } finally {
        clearTimeout(timer)
        closed = true
        await inFlight
      }
    },
  }

  async function finish(work: (session: Session) => Promise<unknown>): Promise<unknown> {
    const value = await work(session)
    // Statements that nobody awaited belong to the transaction all the same.
    await Promise.resolve()
    await inFlight
    if (failed) throw failed.error
    control.push(RELEASE)
    return value
  }
}

export function writeResult<R>(result: StepResult): WriteResult<R> {
  if (typeof result === 'number') return { rows: [], changes: result }
  const rows = rowsOf<R>(result)
  return { rows, changes: rows.length }
}
