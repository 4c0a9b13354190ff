import type { CompiledQuery, Kysely, RawBuilder } from 'kysely'
import type { Database } from './tables.ts'

/** A statement with its parameters. `R` is the row it gives; it exists for the compiler only. */
export type Query<R = unknown> = { sql: string; parameters: readonly unknown[]; readonly row?: R }

export type WriteResult<R> = { rows: R[]; changes: number }

/**
 * Where statements run: a transaction, or the store at large. Statements of one transaction that are issued without
 * awaiting each other run in the order of their issue. A failed statement fails its transaction on both engines.
 */
export type Session = {
  /**
   * @param load `heavy` for queries whose time grows with the library (lists, search): they never delay the others.
   */
  read<R>(query: Query<R>, load?: 'light' | 'heavy'): Promise<R[]>
  write<R>(query: Query<R>): Promise<WriteResult<R>>
  /** Runs several statements as one: joins the transaction that is open, else opens one. */
  atomic<T>(work: (session: Session) => Promise<T>): Promise<T>
  /** Holds off other transactions that lock the same key, until this one ends. Does nothing outside of one. */
  lock(key: string): Promise<void>
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
}

export type Engine = {
  readonly dialect: Dialect
  readonly session: Session
  transaction<T>(work: (session: Session) => Promise<T>): Promise<T>
  /** Runs `work` while no other process does the same. */
  exclusively<T>(work: (session: Session) => Promise<T>): Promise<T>
  check(): Promise<void>
  close(): Promise<void>
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
