import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** The module of a thread that owns one SQLite connection; every call of node:sqlite blocks, so none is made elsewhere. */

export type ThreadData = {
  file: string
  role: 'writer' | 'reader'
  /** How long one statement waits for another process's lock. */
  lockWaitMs: number
  cacheKib: number
}

export type Step = {
  sql: string
  parameters: readonly unknown[]
  /** A statement that asks `in_time()` is ended after so long. */
  budgetMs?: number
}

/** Steps run in order up to the first that fails. */
export type ThreadRequest = { id: number; steps: readonly Step[] }

/** JSON `[columns, ...rows]` of a step that gives rows (half the cost of cloning objects), else its count of changes. */
export type StepResult = string | number

export type ThreadFailure = { message: string; code: number }

export type ThreadReply = {
  /** The request's; 0 for the word that the connection is open. */
  id: number
  results: StepResult[]
  failure?: ThreadFailure
  inTransaction: boolean
}

type CachedStatement = { statement: StatementSync; columns: string | undefined }

const MAX_CACHED_STATEMENTS = 256
/** The result code of SQLite for a statement that was ended from outside. */
const SQLITE_INTERRUPT = 9

function openDatabase(data: ThreadData): DatabaseSync {
  const db = new DatabaseSync(data.file, { timeout: data.lockWaitMs })
  db.exec(`PRAGMA cache_size = -${data.cacheKib}; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON`)
  if (data.role === 'reader') {
    db.exec('PRAGMA query_only = ON')
    return db
  }
  const mode = db.prepare('PRAGMA journal_mode = WAL').get() as { journal_mode: string }
  if (mode.journal_mode !== 'wal') throw new Error(`journal mode is ${mode.journal_mode}, not wal`)
  // FULL, not NORMAL: with NORMAL a power cut takes back commits that were acknowledged.
  db.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864')
  return db
}

function serve(db: DatabaseSync, port: NonNullable<typeof parentPort>) {
  const cache = new Map<string, CachedStatement>()
  const prepared = (sql: string): CachedStatement => {
    let entry = cache.get(sql)
    if (entry) cache.delete(sql)
    else {
      const statement = db.prepare(sql)
      const columns = statement.columns()
      statement.setReturnArrays(true)
      entry = {
        statement,
        columns: columns.length ? JSON.stringify(columns.map((column) => column.name)) : undefined,
      }
      if (cache.size >= MAX_CACHED_STATEMENTS) cache.delete(cache.keys().next().value!)
    }
    // A map keeps the order of insertion: what is put back last is dropped last.
    cache.set(sql, entry)
    return entry
  }
  let deadlineMs = 0
  // node:sqlite cannot interrupt a statement from outside, so a long one asks by itself whether it may go on.
  db.function('in_time', () => {
    if (performance.now() < deadlineMs) return 1
    throw Object.assign(new Error('interrupted'), { errcode: SQLITE_INTERRUPT })
  })
  const run = ({ sql, parameters, budgetMs }: Step): StepResult => {
    const { statement, columns } = prepared(sql)
    deadlineMs = performance.now() + (budgetMs ?? Number.POSITIVE_INFINITY)
    const values = parameters as SQLInputValue[]
    if (columns === undefined) return Number(statement.run(...values).changes)
    const rows = JSON.stringify(statement.all(...values))
    return rows === '[]' ? `[${columns}]` : `[${columns},${rows.slice(1)}`
  }
  port.on('message', (request: ThreadRequest | 'close') => {
    if (request === 'close') {
      db.close()
      port.close()
      return
    }
    const reply: ThreadReply = { id: request.id, results: [], inTransaction: false }
    try {
      for (const step of request.steps) reply.results.push(run(step))
    } catch (error) {
      reply.failure = failureOf(error)
    }
    reply.inTransaction = db.isTransaction
    port.postMessage(reply)
  })
}

function failureOf(error: unknown): ThreadFailure {
  const { message, errcode } = error as { message: string; errcode?: number }
  return { message, code: errcode ?? 0 }
}

if (parentPort) {
  const port = parentPort
  const opened: ThreadReply = { id: 0, results: [], inTransaction: false }
  try {
    serve(openDatabase(workerData as ThreadData), port)
  } catch (error) {
    opened.failure = failureOf(error)
  }
  port.postMessage(opened)
  if (opened.failure) port.close()
}
