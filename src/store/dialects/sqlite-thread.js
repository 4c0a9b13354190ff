// @ts-check
// The module of a thread that owns one SQLite connection; every call of node:sqlite that may take long is made here.
// Plain JavaScript: the compiler that strips types would take as much memory in each thread as all the rest of it.
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/**
 * @import { SQLInputValue, StatementSync } from 'node:sqlite'
 * @import { MessagePort } from 'node:worker_threads'
 * @import { Step, StepResult, ThreadData, ThreadFailure, ThreadReply, ThreadRequest } from './sqlite-messages.ts'
 */

const MAX_CACHED_STATEMENTS = 256
/** The result code of SQLite for a statement that was ended from outside. */
const SQLITE_INTERRUPT = 9

/** @param {ThreadData} data */
function openDatabase(data) {
  const db = new DatabaseSync(data.file, { timeout: data.lockWaitMs })
  db.exec(`PRAGMA cache_size = -${data.cacheKib}; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON`)
  if (data.role === 'reader') {
    db.exec('PRAGMA query_only = ON')
    return db
  }
  const mode = db.prepare('PRAGMA journal_mode = WAL').get()?.journal_mode
  if (mode !== 'wal') throw new Error(`journal mode is ${mode}, not wal`)
  // FULL, not NORMAL: with NORMAL a power cut takes back commits that were acknowledged.
  db.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864')
  return db
}

/**
 * @param {DatabaseSync} db
 * @param {MessagePort} port
 */
function serve(db, port) {
  /** @type {Map<string, { statement: StatementSync, columns: string | undefined }>} */
  const cache = new Map()
  /** @param {string} sql */
  const prepared = (sql) => {
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
      if (cache.size >= MAX_CACHED_STATEMENTS) cache.delete(cache.keys().next().value ?? '')
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
  /**
   * @param {Step} step
   * @returns {StepResult}
   */
  const run = ({ sql, parameters, budgetMs, asLines }) => {
    const { statement, columns } = prepared(sql)
    deadlineMs = performance.now() + (budgetMs ?? Number.POSITIVE_INFINITY)
    const values = /** @type {SQLInputValue[]} */ (parameters)
    if (columns === undefined) return Number(statement.run(...values).changes)
    if (asLines) return [columns, ...statement.all(...values).map((row) => JSON.stringify(row))].join('\n')
    const rows = JSON.stringify(statement.all(...values))
    return rows === '[]' ? `[${columns}]` : `[${columns},${rows.slice(1)}`
  }
  port.on('message', (/** @type {ThreadRequest | 'close'} */ request) => {
    if (request === 'close') {
      db.close()
      port.close()
      return
    }
    /** @type {ThreadReply} */
    const reply = { id: request.id, results: [], inTransaction: false }
    try {
      for (const step of request.steps) reply.results.push(run(step))
    } catch (error) {
      reply.failure = failureOf(error)
    }
    reply.inTransaction = db.isTransaction
    port.postMessage(reply)
  })
}

/**
 * @param {unknown} error
 * @returns {ThreadFailure}
 */
function failureOf(error) {
  const { message, errcode } = /** @type {{ message: string, errcode?: number }} */ (error)
  return { message, code: errcode ?? 0 }
}

if (parentPort) {
  const port = parentPort
  /** @type {ThreadReply} */
  const opened = { id: 0, results: [], inTransaction: false }
  try {
    serve(openDatabase(workerData), port)
  } catch (error) {
    opened.failure = failureOf(error)
  }
  port.postMessage(opened)
  if (opened.failure) port.close()
}
