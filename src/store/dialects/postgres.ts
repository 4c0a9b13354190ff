import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from 'kysely'
import pg from 'pg'
import { TintypeError } from '../../kernel/errors.ts'
import type { Log } from '../../kernel/log.ts'
import {
  type Dialect,
  type Engine,
  type Load,
  Placeholder,
  type PoolState,
  type Query,
  type Session,
  searchTimeoutError,
  type WriteResult,
} from '../engine.ts'
import type { Database } from '../tables.ts'
import { isLostConnection, isReadOnly, isRepeatable, postgresError } from './postgres-errors.ts'
import { createMarks, type Mark } from './postgres-marks.ts'

export type PostgresOptions = {
  databaseUrl: string
  /** Connections for transactions and long queries. */
  poolSize: number
  /** Connections for short reads, so that delivery lives while the others are taken. */
  readPoolSize: number
  connectTimeoutMs: number
  statementTimeoutMs: number
  /** A search that takes longer is ended. */
  searchTimeoutMs: number
  /** Connections for searches. */
  searchPoolSize: number
  transactionTimeoutMs: number
}

/** How PostgreSQL says what the engines say differently. */
export const postgresDialect: Dialect = {
  engine: 'postgres',
  db: new Kysely<Database>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  }),
  isAnyOf: (column, values) =>
    sql<boolean>`${column} = any(${values instanceof Placeholder ? values : [...values]}::text[])`,
  bindList: (values) => values,
  jsonTable: (json, columns) => {
    const types = { text: sql`text`, int: sql`bigint` }
    const members = Object.entries(columns).map(([name, type]) => sql`${sql.ref(name)} ${types[type]}`)
    const names = sql.join(Object.keys(columns).map((name) => sql.ref(name)))
    return sql`(SELECT ${names} FROM json_to_recordset(${json}::json) AS x(${sql.join(members)}))`
  },
  // OFFSET keeps the subquery from being turned into a join.
  existsInRow: (subquery) => sql`EXISTS (${subquery} OFFSET 0)`,
  isAmong: (column, subquery) => sql`${column} = ANY (ARRAY(${subquery}))`,
  unindexed: (column, type) => (type === 'text' ? sql`(${column} || '')` : sql`(${column} + 0)`),
  byIndex: () => sql``,
  byRowNumber: sql``,
  joinRow: (table, seq) =>
    sql`CROSS JOIN LATERAL (SELECT * FROM ${sql.table(table)} AS r WHERE r.seq = ${seq} OFFSET 0) AS s`,
  isInTime: () => sql.lit(true),
  mergesUnions: false,
  ddl: {
    text: 'text COLLATE "C"',
    int: 'bigint',
    identity: 'bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY',
    real: 'double precision',
    table: '',
    keyedTable: '',
    nullsFirst: 'NULLS FIRST',
    include: (columns) => `INCLUDE (${columns})`,
    // One row would make all writers wait for each other: every statement appends its difference instead.
    keepCopies: ({ of, from, by, into }) => [
      `CREATE FUNCTION ${from}_${of}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        ${into.map((table) => `UPDATE ${table} SET ${of} = NEW.${of} WHERE ${by} = NEW.seq;`).join('\n')}
        RETURN NULL;
      END $$`,
      `CREATE TRIGGER ${from}_${of} AFTER UPDATE OF ${of} ON ${from} FOR EACH ROW
        WHEN (OLD.${of} <> NEW.${of}) EXECUTE FUNCTION ${from}_${of}()`,
    ],
    keepSum: ({ of, from, into, as }) => {
      const append = (name: string, event: string, rows: string, sign: string) => [
        `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO ${into} (${as}) SELECT ${sign}sum(${of}) FROM changed HAVING count(*) > 0;
          RETURN NULL;
        END $$`,
        `CREATE TRIGGER ${name} AFTER ${event} ON ${from} REFERENCING ${rows} TABLE AS changed
          FOR EACH STATEMENT EXECUTE FUNCTION ${name}()`,
      ]
      return [
        ...append(`${into}_added`, 'INSERT', 'NEW', ''),
        ...append(`${into}_removed`, 'DELETE', 'OLD', '-'),
      ]
    },
  },
}

/** How often a transaction runs again after it lost against another, or its connection. */
const RETRIES = 3

/**
 * Opens the library in PostgreSQL.
 * @throws TintypeError unavailable when it cannot be reached.
 */
export async function openPostgres(options: PostgresOptions, log: Log): Promise<Engine> {
  const transactions = createPool(options, options.poolSize, log)
  const reads = createPool(options, options.readPoolSize, log)

  const searches = createPool(
    { ...options, statementTimeoutMs: options.searchTimeoutMs },
    options.searchPoolSize,
    log,
  )
  const marks = createMarks()
  const pools = { light: reads, heavy: transactions, search: searches }

  const read = async <R>(query: Query<R>, load: Load = 'light'): Promise<R[]> =>
    retried(async () => {
      const { rows } = await withClient(pools[load], (client) => runStatement(client, query))
      return rows as R[]
    }).catch((error) => {
      const isTooLong = load === 'search' && error instanceof TintypeError && error.kind === 'timeout'
      throw isTooLong ? searchTimeoutError(error.cause) : error
    })
  const session: Session = {
    read,
    readAs: async (query, make, load) => (await read(query, load)).map(make),
    // Not `retried`: whether a statement that lost its connection took effect is known of transactions only.
    write: (query) => transaction((tx) => tx.write(query)),
    atomic: (work) => transaction(work),
    lock: async () => {},
  }
  const transaction = <T>(work: (session: Session) => Promise<T>): Promise<T> =>
    retried(() => withClient(transactions, (client) => runTransaction(client, work)))

  /** Runs `work`; a transaction whose COMMIT got no answer is looked up by its mark. */
  async function runTransaction<T>(
    client: pg.PoolClient,
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    const mark = await marks.begin(client)
    const member = createMember(client)
    let value: T
    try {
      value = await member.run(work, options.transactionTimeoutMs)
    } catch (error) {
      // A statement that still runs would hold up the ROLLBACK: such a connection is closed instead.
      if (!(error instanceof TransactionTimeout)) await client.query('ROLLBACK').catch(() => {})
      throw error
    }
    try {
      await client.query('COMMIT')
    } catch (error) {
      if (!isLostConnection(error)) throw error
      if (await wasCommitted(mark)) return value
      throw new NotCommitted(error)
    }
    return value
  }

  /** @throws TintypeError unavailable when nobody can say. */
  async function wasCommitted(mark: Mark | undefined): Promise<boolean> {
    for (let attempt = 0; mark !== undefined && attempt < 20; attempt += 1) {
      await sleep(50 + Math.random() * 50 * attempt)
      const outcome = await withClient(reads, (client) => marks.wasCommitted(client, mark)).catch(
        () => undefined,
      )
      if (outcome !== undefined) return outcome
    }
    throw new TintypeError('unavailable', 'The media library did not confirm the change.', {
      headers: { 'retry-after': '5' },
    })
  }

  return {
    dialect: postgresDialect,
    session,
    transaction,
    exclusively: async (work) => {
      try {
        return await transaction(async (tx) => {
          await tx.lock('schema')
          return work(tx)
        })
      } catch (error) {
        throw openError(options.databaseUrl, error)
      }
    },
    async check() {
      await read({ sql: 'SELECT 1', parameters: [] })
    },
    // Asking the server takes as long as any short read.
    changeStamp: () => undefined,
    pools: () => [
      { pool: 'transactions', ...transactions.state() },
      { pool: 'reads', ...reads.state() },
      { pool: 'searches', ...searches.state() },
    ],
    async close() {
      await Promise.all([transactions.end(), reads.end(), searches.end()])
    },
  }
}

/** A transaction that is known to have left nothing behind: it may run again. */
class NotCommitted extends Error {
  constructor(cause: unknown) {
    super('the connection was lost before the transaction was committed', { cause })
  }
}

class TransactionTimeout extends Error {
  constructor(timeoutMs: number) {
    super(`a transaction took more than ${timeoutMs} ms`)
  }
}

type Pool = {
  connect(): Promise<pg.PoolClient>
  end(): Promise<void>
  renew(): void
  state(): Omit<PoolState, 'pool'>
}

function createPool(options: PostgresOptions, max: number, log: Log): Pool {
  const make = () => {
    const pool = new pg.Pool({
      connectionString: options.databaseUrl,
      max,
      connectionTimeoutMillis: options.connectTimeoutMs,
      statement_timeout: options.statementTimeoutMs,
      // A transaction that its client has forgotten holds locks against everyone.
      idle_in_transaction_session_timeout: options.transactionTimeoutMs * 2,
      application_name: 'tintype',
      keepAlive: true,
      types: { getTypeParser },
      // Queries are made to be short: compiling one, or starting processes for it, takes longer than running it.
      onConnect: async (client) => {
        await client.query('SET jit = off; SET max_parallel_workers_per_gather = 0')
      },
    })
    // Without a listener, a connection that ends while it is idle or checked out ends the process.
    pool.on('error', (error) => log.warn({ err: error }, 'lost an idle database connection'))
    pool.on('connect', (client) => client.on('error', () => {}))
    return pool
  }
  let current = make()
  return {
    connect: () => current.connect(),
    end: () => current.end(),
    state: () => ({ open: current.totalCount, idle: current.idleCount, waiting: current.waitingCount }),
    /** Drops all connections: after a failover they lead to a server that takes no writes any more. */
    renew() {
      const old = current
      current = make()
      old.end().catch(() => {})
    },
  }
}

const INT8 = 20
const NUMERIC = 1700

/** 64-bit integers come as numbers: sizes and times stay below 2^53. */
function getTypeParser(oid: number, format?: 'text' | 'binary') {
  if (oid === INT8 || oid === NUMERIC) return Number
  return pg.types.getTypeParser(oid, format as 'text')
}

/**
 * Runs one statement. Not by the promise that `pg` gives without a callback: all rows that came that way are seen to
 * survive collections of young garbage, which take ten times as long for it.
 */
function runStatement(client: pg.PoolClient, { sql, parameters }: Query): Promise<pg.QueryResult> {
  return new Promise((resolve, reject) => {
    client.query(sql, parameters as unknown[], (error, result) => {
      if (error) reject(error)
      else resolve(result)
    })
  })
}

async function withClient<T>(pool: Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    return await work(client)
  } catch (error) {
    const cause = error instanceof TintypeError ? error.cause : error
    if (isReadOnly(cause)) pool.renew()
    const unusable = error instanceof NotCommitted || error instanceof TransactionTimeout
    if (unusable || isReadOnly(cause) || isLostConnection(cause)) broken = error as Error
    throw error
  } finally {
    client.release(broken)
  }
}

/** Runs `work` again when it lost against another transaction or its connection. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      const cause = error instanceof TintypeError ? error.cause : error
      const again = error instanceof NotCommitted || isRepeatable(cause) || isLostConnection(cause)
      if (!again || attempt === RETRIES) throw translated(error)
    }
    await sleep(Math.random() * 50 * 2 ** attempt)
  }
}

function translated(error: unknown): unknown {
  if (error instanceof TransactionTimeout) {
    return new TintypeError('unavailable', 'The media library is busy, please try again.', {
      cause: error,
      headers: { 'retry-after': '1' },
    })
  }
  return postgresError(error instanceof NotCommitted ? error.cause : error)
}

/** The session of one transaction. */
function createMember(client: pg.PoolClient) {
  let last: Promise<unknown> = Promise.resolve()
  let failed: { error: unknown } | undefined
  let closed = false
  const issue = (query: Query): Promise<pg.QueryResult> => {
    if (closed) {
      return Promise.reject(new TintypeError('internal', 'A statement came after its transaction had ended.'))
    }
    const result = last.then(async () => {
      if (failed) throw failed.error
      try {
        return await runStatement(client, query)
      } catch (error) {
        failed = { error: postgresError(error) }
        throw failed.error
      }
    })
    last = result.catch(() => {})
    return result
  }
  const session: Session = {
    read: async <R>(query: Query<R>) => (await issue(query)).rows as R[],
    readAs: async (query, make) => (await session.read(query)).map(make),
    write: async <R>(query: Query<R>): Promise<WriteResult<R>> => {
      const { rows, rowCount } = await issue(query)
      return { rows: rows as R[], changes: rowCount ?? 0 }
    },
    atomic: (work) => work(session),
    lock: async (key, mode) => {
      const suffix = mode === 'shared' ? '_shared' : ''
      await issue({ sql: `SELECT pg_advisory_xact_lock${suffix}($1)`, parameters: [lockNumber(key)] })
    },
  }
  return {
    async run<T>(work: (session: Session) => Promise<T>, timeoutMs: number): Promise<T> {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new TransactionTimeout(timeoutMs)), timeoutMs)
      })
      try {
        return await Promise.race([finish(work), late])
      } catch (error) {
        // What still waits behind the running statement must not run when the transaction is over, on its own.
        failed ??= { error }
        if (!(error instanceof TransactionTimeout)) await last
        throw error
      } finally {
        clearTimeout(timer)
        closed = true
      }
    },
  }

  async function finish<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const value = await work(session)
    // Statements that nobody awaited belong to the transaction all the same.
    await last
    if (failed) throw failed.error
    return value
  }
}

/** Errors of starting up: they go to the operator, so they name the server, but never the password. */
function openError(databaseUrl: string, error: unknown): unknown {
  if (!(error instanceof TintypeError)) return error
  const { host, pathname } = new URL(databaseUrl)
  const reason = error.cause instanceof Error ? error.cause.message : error.message
  return new Error(`PostgreSQL at ${host}${pathname} cannot be used: ${reason}`, { cause: error })
}

/** A key as the signed 64-bit number that advisory locks go by. */
function lockNumber(key: string): string {
  return createHash('sha256').update(key).digest().readBigInt64BE().toString()
}
