import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from 'kysely'
import { TintypeError } from '../../kernel/errors.ts'
import { type Dialect, type Engine, type Load, Placeholder, type Query, type Session } from '../engine.ts'
import type { Database } from '../tables.ts'
import { openChangeStamp } from './sqlite-change-stamp.ts'
import { openConnection, rowsOf, type SqliteConnection } from './sqlite-connection.ts'
import {
  busyError,
  isBusyFailure,
  isInterrupted,
  SQLITE_CORRUPT,
  SQLITE_NOTADB,
  SqliteFailure,
  sqliteError,
} from './sqlite-errors.ts'
import type { Step, StepResult, ThreadData, ThreadReply } from './sqlite-messages.ts'
import { createRowMemo } from './sqlite-row-memo.ts'
import { createWriter, type WriterLimits } from './sqlite-writer.ts'

export type SqliteOptions = WriterLimits & {
  file: string
  /** A search that takes longer is ended. */
  searchTimeoutMs: number
  /** Long searches that may wait for another. */
  searchPoolSize: number
}

/** After this long a search moves to a thread of its own, so that lists need not wait for it any longer. */
const QUICK_SEARCH_MS = 50

/** How SQLite says what the engines say differently. */
export const sqliteDialect: Dialect = {
  engine: 'sqlite',
  db: new Kysely<Database>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  }),
  isAnyOf: (column, values) =>
    sql<boolean>`${column} in (select value from json_each(${
      values instanceof Placeholder ? values : JSON.stringify(values)
    }))`,
  bindList: (values) => JSON.stringify(values),
  jsonTable: (json, columns) => {
    const members = Object.keys(columns).map((name) => sql`value ->> ${sql.lit(name)} AS ${sql.ref(name)}`)
    return sql`(SELECT ${sql.join(members)} FROM json_each(${json}))`
  },
  existsInRow: (subquery) => sql`EXISTS (${subquery})`,
  isAmong: (column, subquery) => sql`${column} IN (${subquery})`,
  unindexed: (column) => sql`+${column}`,
  byIndex: (name) => sql`INDEXED BY ${sql.ref(name)}`,
  byRowNumber: sql`NOT INDEXED`,
  joinRow: (table, seq) => sql`CROSS JOIN ${sql.table(table)} AS s NOT INDEXED ON s.seq = ${seq}`,
  isInTime: (seq) => sql`((${seq} & 127) <> 0 OR in_time())`,
  mergesUnions: true,
  ddl: {
    text: 'TEXT',
    int: 'INTEGER',
    identity: 'INTEGER PRIMARY KEY',
    real: 'REAL',
    table: 'STRICT',
    keyedTable: 'STRICT, WITHOUT ROWID',
    nullsFirst: '',
    // An index of SQLite carries the row number by itself; for the rest the row is at hand.
    include: () => '',
    keepCopies: ({ of, from, by, into }) => [
      `CREATE TRIGGER ${from}_${of} AFTER UPDATE OF ${of} ON ${from} WHEN OLD.${of} <> NEW.${of} BEGIN
        ${into.map((table) => `UPDATE ${table} SET ${of} = NEW.${of} WHERE ${by} = NEW.seq;`).join('\n')}
      END`,
    ],
    // There is one writer, so all of it can be one row.
    keepSum: ({ of, from, into, as }) => {
      const change = (delta: string) => `BEGIN UPDATE ${into} SET ${as} = ${as} + ${delta}; END`
      return [
        `CREATE TRIGGER ${into}_added AFTER INSERT ON ${from} ${change(`NEW.${of}`)}`,
        `CREATE TRIGGER ${into}_removed AFTER DELETE ON ${from} ${change(`(-OLD.${of})`)}`,
      ]
    },
  },
}

/**
 * Opens the library in a SQLite file, made if it is not there: one thread writes, one reads what is quick, and
 * two more, started when they are needed, read what may take long.
 * @throws TintypeError unavailable when the file cannot be opened, internal when it is damaged.
 */
export async function openSqlite(options: SqliteOptions): Promise<Engine> {
  await refuseNetworkFileSystem(options.file)
  const open = (role: ThreadData['role']) =>
    whenFree(options.lockWaitMs, () =>
      openConnection({
        file: options.file,
        role,
        lockWaitMs: 20,
        cacheKib: role === 'writer' ? 32_768 : 16_384,
      }),
    )
  let writing: SqliteConnection
  try {
    // The writer first: it makes the file and sets its journal mode.
    writing = await open('writer')
  } catch (error) {
    throw openError(options.file, error)
  }
  const writerSlot = createSlot(() => open('writer'), writing)
  const lightSlot = createSlot(() => open('reader'))
  // Delivery reads here: its first request need not wait for the thread.
  await lightSlot.connect()
  // These start with the first list or search, and with the first search that takes long.
  const heavySlot = createSlot(() => open('reader'))
  const searchSlot = createSlot(() => open('reader'))
  const changes = await whenFree(options.lockWaitMs, async () => openChangeStamp(options.file))
  const writer = createWriter(writerSlot.connect, options)
  const transaction: Engine['transaction'] = async (work) => {
    try {
      return await writer.transaction(work)
    } finally {
      changes.expire()
    }
  }

  const run = async (step: Step, load: Load): Promise<StepResult> => {
    if (load === 'search') return search(step)
    return resultOf(await (await (load === 'heavy' ? heavySlot : lightSlot).connect()).run([step]))
  }
  const search = async (step: Step): Promise<StepResult> => {
    const quick = await (await heavySlot.connect()).run([{ ...step, budgetMs: QUICK_SEARCH_MS }])
    if (!quick.failure || !isInterrupted(quick.failure)) return resultOf(quick)
    return inTurn(async () => {
      const connection = await searchSlot.connect()
      return resultOf(await connection.run([{ ...step, budgetMs: options.searchTimeoutMs }]))
    })
  }
  const read = async <R>({ sql, parameters }: Query<R>, load: Load = 'light'): Promise<R[]> =>
    rowsOf<R>(await run({ sql, parameters }, load))
  const recordsOf = createRowMemo()
  const inTurn = createQueue({ length: options.searchPoolSize, patienceMs: options.searchTimeoutMs })
  const session: Session = {
    read,
    readAs: async (query, make, load = 'light') => {
      const { sql, parameters } = query
      return recordsOf(query, String(await run({ sql, parameters, asLines: true }, load)), make)
    },
    write: (query) => transaction((tx) => tx.write(query)),
    atomic: transaction,
    lock: async () => {},
  }
  return {
    dialect: sqliteDialect,
    session,
    transaction,
    // A transaction of SQLite is exclusive by itself.
    exclusively: async (work) => {
      try {
        return await transaction(work)
      } catch (error) {
        throw openError(options.file, error)
      }
    },
    async check() {
      await read({ sql: 'SELECT seq FROM folders LIMIT 1', parameters: [] })
    },
    changeStamp: changes.read,
    pools: () => [],
    async close() {
      await writer.idle()
      // The writer last: it checkpoints and removes the write-ahead log.
      await Promise.all([lightSlot.close(), heavySlot.close(), searchSlot.close()])
      changes.close()
      await writerSlot.close()
    },
  }
}

function resultOf({ failure, results }: ThreadReply): StepResult {
  if (failure) throw sqliteError(failure)
  return results[0]!
}

/** Runs tasks one after the other. Who would have to wait behind too many, or has waited too long, is refused. */
function createQueue({ length, patienceMs }: { length: number; patienceMs: number }) {
  let waiting = 0
  let last: Promise<unknown> = Promise.resolve()
  return async <T>(task: () => Promise<T>): Promise<T> => {
    if (waiting > length) throw busyError()
    const startMs = performance.now()
    waiting += 1
    const turn = last.then(() => {
      waiting -= 1
      if (performance.now() - startMs > patienceMs) throw busyError()
      return task()
    })
    last = turn.catch(() => {})
    return turn
  }
}

/**
 * Opens what another process may hold for a moment: SQLite asks for the whole file when it changes to a write-ahead log,
 * or recovers or removes one, and does not wait for it as it waits for other locks.
 */
async function whenFree<T>(lockWaitMs: number, open: () => Promise<T>): Promise<T> {
  const giveUpMs = performance.now() + lockWaitMs
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (!isBusyFailure(error) || performance.now() >= giveUpMs) throw error
      await sleep(5 + Math.random() * 20)
    }
  }
}

/** Keeps one connection open; opens it again after its thread has ended. */
function createSlot(open: () => Promise<SqliteConnection>, first?: SqliteConnection) {
  let closed = false
  let current: Promise<SqliteConnection> | undefined = first && Promise.resolve(first)
  return {
    async connect(): Promise<SqliteConnection> {
      if (closed) throw new TintypeError('unavailable', 'The server is shutting down.')
      if (current && (await current).ended) current = undefined
      current ??= open().catch((cause) => {
        current = undefined
        throw new TintypeError('unavailable', 'The media library cannot be reached at the moment.', {
          cause,
          headers: { 'retry-after': '1' },
        })
      })
      return current
    },
    async close() {
      closed = true
      await (await current?.catch(() => undefined))?.close()
    },
  }
}

/** Errors of starting up: they go to the operator, so they name the file. */
function openError(file: string, error: unknown): unknown {
  const failure = error instanceof SqliteFailure ? error : (error as Error).cause
  if (!(failure instanceof SqliteFailure)) return error
  if (failure.primaryCode === SQLITE_CORRUPT || failure.primaryCode === SQLITE_NOTADB) {
    return startError(
      `The database file ${file} is damaged or is no SQLite database. Stop the server, keep a copy of the file and of ${file}-wal, then restore the latest backup and run "tintype verify".`,
      error,
    )
  }
  return startError(`The database file ${file} cannot be opened: ${failure.message}`, error)
}

function startError(message: string, cause?: unknown): TintypeError {
  return new TintypeError('unavailable', message, { cause })
}

/** Magic numbers of statfs(2) for NFS, SMB and CIFS. */
const NETWORK_FILE_SYSTEMS = new Set([0x6969, 0x517b, 0xfe534d42, 0xff534d42])

/** Locks and shared memory do not hold over a network: two servers would damage the file unnoticed. */
async function refuseNetworkFileSystem(file: string) {
  const { type } = await statfs(dirname(file)).catch((cause: Error) => {
    throw startError(`The folder of the database file ${file} cannot be reached: ${cause.message}`, cause)
  })
  if (NETWORK_FILE_SYSTEMS.has(type)) {
    throw startError(
      `The database file ${file} lies on a network file system, where SQLite is not safe. Put the data folder on a local disk or use PostgreSQL (databaseUrl).`,
    )
  }
}
