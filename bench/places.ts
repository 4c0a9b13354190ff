import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { Value } from 'typebox/value'
import { silentLog } from '../src/kernel/log.ts'
import { openStore, type Store, type StoreOptions, storeOptions } from '../src/store/store.ts'

/** An empty database of its own that a benchmark may open, and fill with statements while it is closed. */
export type Place = {
  /** Of the engine, with what timings depend on. */
  name: string
  engine: 'sqlite' | 'postgres'
  open(): Promise<Store>
  /** Runs statements, one after the other, past the store. */
  run(statements: string[]): Promise<void>
  remove(): Promise<void>
}

/** In a new temporary folder. */
export function sqlitePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'tintype-bench-'))
  const file = join(folder, 'tintype.db')
  const options = Value.Default(storeOptions, { file }) as StoreOptions
  return {
    name: 'SQLite (synchronous=FULL)',
    engine: 'sqlite',
    open: () => openStore(options, { log: silentLog }),
    async run(statements) {
      const db = new DatabaseSync(file)
      for (const statement of statements) db.exec(statement)
      db.close()
    },
    remove: async () => rmSync(folder, { recursive: true }),
  }
}

/** In a new schema of that database. */
export async function postgresPlace(databaseUrl: string): Promise<Place> {
  const schema = `bench_${process.pid}_${performance.now().toFixed(0)}`
  const url = new URL(databaseUrl)
  url.searchParams.set('options', `-c search_path=${schema}`)
  const run = async (statements: string[]) => {
    const client = new pg.Client({ connectionString: url.href })
    await client.connect()
    const answers: Record<string, string>[] = []
    for (const statement of statements) answers.push((await client.query(statement)).rows[0] ?? {})
    await client.end()
    return answers
  }
  const [, fsync, version] = await run([`CREATE SCHEMA ${schema}`, 'SHOW fsync', 'SHOW server_version'])
  const options = Value.Default(storeOptions, { databaseUrl: url.href }) as StoreOptions
  return {
    name: `PostgreSQL ${version!.server_version!.split(' ')[0]} (fsync=${fsync!.fsync})`,
    engine: 'postgres',
    open: () => openStore(options, { log: silentLog }),
    run: async (statements) => {
      await run(statements)
    },
    remove: async () => {
      await run([`DROP SCHEMA ${schema} CASCADE`])
    },
  }
}
