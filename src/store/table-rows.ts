import { sql } from 'kysely'
import { compile, type Engine, type Session } from './engine.ts'

/** A row as it lies in the database, by its columns. */
export type Row = Record<string, string | number | null>

/** Values of a table's key, in the order of its columns. */
export type RowKey = (string | number)[]

/**
 * Whole tables, row by row, to carry a library from one engine to another: the tables and their columns are the same
 * on both. Nothing else may write meanwhile.
 */
export type TableRows = {
  /** Every table that is carried over, in an order in which rows come after those that they refer to. */
  readonly tables: readonly string[]
  count(table: string): Promise<number>
  /** Up to `limit` rows in the order of their keys, from the one after `after` on, and the key of the last. */
  page(
    table: string,
    after: RowKey | undefined,
    limit: number,
  ): Promise<{ rows: Row[]; last: RowKey | undefined }>
  /** Puts rows in and, in the same transaction, keeps `progress` as a setting. */
  insert(table: string, rows: Row[], progress: { key: string; value: unknown }): Promise<void>
  /** Removes the folder that every new library has: the one that comes has the same. */
  clearRoot(): Promise<void>
  /** Lets row numbers go on after those that were put in. */
  finish(): Promise<void>
}

type TableShape = {
  name: string
  /** What rows are ordered by: unique, and rows come after those that they refer to. */
  key: string[]
  /** The row number that the engine gives by itself. */
  identity?: string
}

/** `stored_bytes` follows from the versions by triggers; the others belong to the database itself. */
export const NOT_CARRIED = ['stored_bytes', 'schema_migrations', 'commit_marks'] as const

const TABLES: TableShape[] = [
  // A folder's path begins with that of its parent.
  { name: 'folders', key: ['path'], identity: 'seq' },
  { name: 'files', key: ['file_id'] },
  { name: 'versions', key: ['seq'], identity: 'seq' },
  { name: 'version_tags', key: ['version_seq', 'tag', 'is_ai'] },
  { name: 'version_fields', key: ['version_seq', 'field', 'position'] },
  { name: 'folder_fields', key: ['folder_seq', 'field', 'position'] },
  { name: 'version_words', key: ['version_seq', 'field', 'word'] },
  { name: 'folder_words', key: ['folder_seq', 'field', 'word'] },
  { name: 'version_locations', key: ['version_seq'] },
  { name: 'fields', key: ['id'] },
  { name: 'api_keys', key: ['id'] },
  { name: 'documents', key: ['kind', 'id'] },
  { name: 'settings', key: ['key'] },
  { name: 'purge_log', key: ['seq'], identity: 'seq' },
  { name: 'used_tokens', key: ['key'] },
  { name: 'jobs', key: ['id'] },
  { name: 'folder_locks', key: ['path', 'job_id'] },
  { name: 'webhook_deliveries', key: ['seq'], identity: 'seq' },
  { name: 'webhook_failures', key: ['target'] },
  { name: 'usage_counts', key: ['day', 'topic', 'name'] },
]

/** Parameters of one statement; SQLite takes 32,766. */
const MAX_PARAMETERS = 30_000

export function createTableRows(engine: Engine): TableRows {
  const { db } = engine.dialect
  const isPostgres = engine.dialect.engine === 'postgres'

  const shapeOf = (table: string): TableShape => {
    const shape = TABLES.find(({ name }) => name === table)
    if (!shape) throw new Error(`${table} is not a table that is carried over`)
    return shape
  }
  const list = (names: string[]) => sql.join(names.map((name) => sql.ref(name)))

  async function insertRows(tx: Session, shape: TableShape, rows: Row[]): Promise<void> {
    const columns = Object.keys(rows[0]!)
    const atOnce = Math.floor(MAX_PARAMETERS / columns.length)
    const isSettings = shape.name === 'settings'
    for (let at = 0; at < rows.length; at += atOnce) {
      const values = rows
        .slice(at, at + atOnce)
        .map((row) => sql`(${sql.join(columns.map((column) => row[column]))})`)
      const statement = sql`INSERT INTO ${sql.table(shape.name)} (${list(columns)})
        ${isPostgres && shape.identity !== undefined ? sql`OVERRIDING SYSTEM VALUE` : sql``}
        VALUES ${sql.join(values)}
        ${isSettings ? sql`ON CONFLICT (key) DO UPDATE SET value = excluded.value` : sql``}`
      const { sql: text, parameters } = statement.compile(db)
      await tx.write({ sql: text, parameters })
    }
  }

  return {
    tables: TABLES.map(({ name }) => name),
    async count(table) {
      const { sql: text, parameters } =
        sql`SELECT count(*) AS count FROM ${sql.table(shapeOf(table).name)}`.compile(db)
      const [row] = await engine.session.read<{ count: number }>({ sql: text, parameters }, 'heavy')
      return Number(row!.count)
    },
    async page(table, after, limit) {
      const { key } = shapeOf(table)
      const query = sql`SELECT * FROM ${sql.table(table)}
        ${after === undefined ? sql`` : sql`WHERE (${list(key)}) > (${sql.join(after)})`}
        ORDER BY ${list(key)} LIMIT ${limit}`.compile(db)
      const rows = await engine.session.read<Row>({ sql: query.sql, parameters: query.parameters }, 'heavy')
      const last = rows.at(-1)
      return { rows, last: last && key.map((column) => last[column] as string | number) }
    },
    async insert(table, rows, progress) {
      await engine.transaction(async (tx) => {
        if (rows.length > 0) await insertRows(tx, shapeOf(table), rows)
        const row = { key: progress.key, value: JSON.stringify(progress.value) }
        await insertRows(tx, shapeOf('settings'), [row])
      })
    },
    async clearRoot() {
      await engine.session.write(compile(db.deleteFrom('folders').where('path', '=', '/')))
    },
    async finish() {
      if (!isPostgres) return
      for (const { name, identity } of TABLES) {
        if (identity === undefined) continue
        await engine.session.write({
          sql: `SELECT setval(pg_get_serial_sequence('${name}', '${identity}'), (SELECT coalesce(max(${identity}), 1) FROM ${name}))`,
          parameters: [],
        })
      }
    },
  }
}
