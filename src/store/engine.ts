import type { CompiledQuery, Kysely, RawBuilder } from 'kysely'
import { TintypeError } from '../kernel/errors.ts'
import type { Database } from './tables.ts'

/** A statement with its parameters. `R` is the row it gives; it exists for the compiler only. */
export type Query<R = unknown> = { sql: string; parameters: readonly unknown[]; readonly row?: R }

export type WriteResult<R> = { rows: R[]; changes: number }

export type Load = 'light' | 'heavy' | 'search'

/**
 * Where statements run: a transaction, or the store at large. Statements of one transaction that are issued without
 * awaiting each other run in the order of their issue. A failed statement fails its transaction on both engines.
 */
export type Session = {
  /**
   * @param load `heavy` for queries whose time grows with the library (lists): they never delay the others. `search`
   * for those that may take long, which are ended after a time and never delay `heavy` ones for long either.
   * @throws TintypeError timeout when a search was ended, unavailable when too many are running.
   */
  read<R>(query: Query<R>, load?: Load): Promise<R[]>
  /**
   * The same, with something made of each row. For equal rows it may be the very same thing, made once, so nobody may
   * change it.
   * @param make always the same function for the same purpose.
   */
  readAs<R, T>(query: Query<R>, make: (row: R) => T, load?: Load): Promise<T[]>
  write<R>(query: Query<R>): Promise<WriteResult<R>>
  /** Runs several statements as one: joins the transaction that is open, else opens one. */
  atomic<T>(work: (session: Session) => Promise<T>): Promise<T>
  /**
   * Holds off other transactions that lock the same key, until this one ends; `shared` only those that do not share
   * it. Does nothing outside of a transaction.
   */
  lock(key: string, mode?: 'shared'): Promise<void>
}

/** The fragments in which the engines differ. */
export type Dialect = {
  readonly engine: 'sqlite' | 'postgres'
  /** Builds queries; it cannot run them. */
  readonly db: Kysely<Database>
  /** `column` is one of `values`, as one parameter whatever their number. */
  isAnyOf(column: RawBuilder<unknown>, values: readonly string[] | Placeholder): RawBuilder<boolean>
  /** What `isAnyOf` with a placeholder takes when it is bound. */
  bindList(values: readonly string[]): unknown
  /** What to select from for the rows of a JSON array of objects, with these members as columns. */
  jsonTable(json: Placeholder, columns: Record<string, 'text' | 'int'>): RawBuilder<unknown>
  /** Whether a correlated subquery gives any row; it is asked row by row, never joined. */
  existsInRow(subquery: RawBuilder<unknown>): RawBuilder<unknown>
  /** Whether `column` is among the rows of a subquery, which runs first. */
  isAmong(column: RawBuilder<unknown>, subquery: RawBuilder<unknown>): RawBuilder<unknown>
  /** A column that no index is to be chosen for. */
  unindexed(column: RawBuilder<unknown>, type: 'text' | 'number'): RawBuilder<unknown>
  /** After a table: that it is read by this index, or by row numbers only, where the engine can be told. */
  byIndex(name: string): RawBuilder<unknown>
  readonly byRowNumber: RawBuilder<unknown>
  /** Joins to what was read before it, and only then, the row `s` of a table by its number. */
  joinRow(table: string, seq: RawBuilder<unknown>): RawBuilder<unknown>
  /** True, unless the time of a search is over, which ends it; judged for one row in many. */
  isInTime(seq: RawBuilder<unknown>): RawBuilder<unknown>
  /** Whether an ordered UNION ALL walks the indexes of its parts side by side instead of sorting them whole. */
  readonly mergesUnions: boolean
  /** Column types and clauses of `CREATE TABLE`. */
  readonly ddl: Ddl
}

export type Ddl = {
  /** Text that compares by its bytes. */
  text: string
  /** 64-bit integer. */
  int: string
  /** A row number that the engine gives. */
  identity: string
  /** Double. */
  real: string
  /** After the closing parenthesis of a table that has an identity, and of one that has not. */
  table: string
  keyedTable: string
  /** Nulls come lowest, in both directions. */
  nullsFirst: string
  /** Columns that an index carries without being ordered by them. */
  include(columns: string): string
  /**
   * Statements that make the sum of column `as` of table `into` follow the sum of column `of` of table `from`, whose
   * rows come and go but never change it.
   */
  keepSum(sum: { of: string; from: string; into: string; as: string }): string[]
  /**
   * Statements that make a column of other tables follow updates of the column of the same name in table `from`, to
   * whose `seq` their column `by` refers.
   */
  keepCopies(copies: { of: string; from: string; by: string; into: string[] }): string[]
}

/** Connections to a database server: `waiting` counts those who wait for one. */
export type PoolState = { pool: string; open: number; idle: number; waiting: number }

export type Engine = {
  readonly dialect: Dialect
  readonly session: Session
  transaction<T>(work: (session: Session) => Promise<T>): Promise<T>
  /** Runs `work` while no other process does the same. */
  exclusively<T>(work: (session: Session) => Promise<T>): Promise<T>
  check(): Promise<void>
  /** See `Store`. */
  changeStamp(): number | undefined
  pools(): PoolState[]
  close(): Promise<void>
}

/** A search that took too long is the query's fault: it would take as long again. */
export function searchTimeoutError(cause: unknown): TintypeError {
  return new TintypeError(
    'timeout',
    'The search takes too long. Please narrow it down, for example by path, name, tags or the time of creation.',
    { cause },
  )
}

/** Stands in a prepared query for a value that comes later. */
export class Placeholder {
  readonly key: string
  constructor(key: string) {
    this.key = key
  }
}

type Compilable<R> = { compile(): CompiledQuery<R> }

/** A query with its values in place, for what runs seldom. */
export function compile<R>(query: Compilable<R>): Query<R> {
  const { sql, parameters } = query.compile()
  return { sql, parameters }
}

/**
 * Compiles a query once; the result binds values to it. Building a query takes longer than running most of them.
 * @param build gets a function that stands for the value of a key.
 */
export function prepare<P extends object>() {
  return <R>(build: (value: <K extends keyof P & string>(key: K) => P[K]) => Compilable<R>) => {
    let compiled: CompiledQuery<R> | undefined
    let keys: (string | undefined)[] = []
    return (values: P): Query<R> => {
      if (!compiled) {
        compiled = build((key) => new Placeholder(key) as never).compile()
        keys = compiled.parameters.map((p) => (p instanceof Placeholder ? p.key : undefined))
      }
      const { sql, parameters } = compiled
      return {
        sql,
        parameters: keys.map((key, i) => (key === undefined ? parameters[i] : values[key as keyof P])),
      }
    }
  }
}
