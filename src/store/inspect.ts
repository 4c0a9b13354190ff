import { open, stat } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { migrations } from './migrations/migrations.ts'

/** What can be said of a database without changing it. */
export type DatabaseFacts = {
  engine: 'sqlite' | 'postgres'
  version: string
  /** Version of its schema; 0 for one that nothing has been put into. */
  schemaVersion: number
  /** The version that this program makes of it when it starts. */
  knownVersion: number
  /** What its clock says, where it has one of its own. */
  clockMs: number | undefined
  encoding: string | undefined
  maxConnections: number | undefined
}

/**
 * Looks at a database without migrating it.
 * @returns undefined when there is no file yet.
 * @throws what the engine says when it cannot be reached or is damaged.
 */
export async function inspectDatabase(options: {
  databaseUrl?: string | undefined
  file: string
  connectTimeoutMs: number
}): Promise<DatabaseFacts | undefined> {
  if (options.databaseUrl === undefined) return inspectSqlite(options.file)
  const { default: pg } = await import('pg')
  const client = new pg.Client({
    connectionString: options.databaseUrl,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: 10_000,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query<{
      version: string
      encoding: string
      clock: string
      connections: string
      schema: string | null
    }>(`SELECT current_setting('server_version') AS version, current_setting('server_encoding') AS encoding,
      current_setting('max_connections') AS connections,
      (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS clock,
      to_regclass('schema_migrations')::text AS schema`)
    const [facts] = rows
    const applied =
      facts!.schema === null
        ? []
        : (await client.query<{ version: string }>('SELECT max(version) AS version FROM schema_migrations'))
            .rows
    return {
      engine: 'postgres',
      version: facts!.version,
      schemaVersion: Number(applied[0]?.version ?? 0),
      knownVersion: migrations.length,
      clockMs: Number(facts!.clock),
      encoding: facts!.encoding,
      maxConnections: Number(facts!.connections),
    }
  } finally {
    await client.end()
  }
}

async function inspectSqlite(file: string): Promise<DatabaseFacts | undefined> {
  if (!(await exists(file))) return undefined
  return withFile(file, (db) => {
    const hasSchema = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'").get()
    const applied = hasSchema && db.prepare('SELECT max(version) AS version FROM schema_migrations').get()
    return {
      engine: 'sqlite' as const,
      version: String(db.prepare('SELECT sqlite_version() AS version').get()!.version),
      schemaVersion: Number(applied?.version ?? 0),
      knownVersion: migrations.length,
      clockMs: undefined,
      encoding: undefined,
      maxConnections: undefined,
    }
  })
}

/** What SQLite finds wrong with a database file (trust DB02); empty when it is sound. */
export function checkSqliteFile(file: string): string[] {
  try {
    return withFile(file, (db) => {
      const rows = [
        ...db
          .prepare('PRAGMA integrity_check(100)')
          .all()
          .map((row) => String(row.integrity_check)),
        ...db
          .prepare('PRAGMA foreign_key_check')
          .all()
          .map((row) => `a row of ${row.table} refers to a row of ${row.parent} that is not there`),
      ]
      return rows.filter((row) => row !== 'ok')
    })
  } catch (error) {
    return [(error as Error).message]
  }
}

/**
 * Writes a consistent copy of a SQLite database, also while a server writes to it (trust F11).
 * @param target must not exist.
 */
export async function backUpSqlite(file: string, target: string): Promise<void> {
  withFile(file, (db) => db.prepare('VACUUM INTO ?').run(target))
  // SQLite leaves the copy to the page cache.
  const handle = await open(target, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function withFile<T>(file: string, use: (db: DatabaseSync) => T): T {
  const db = new DatabaseSync(file, { timeout: 5000 })
  try {
    return use(db)
  } finally {
    db.close()
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
}
