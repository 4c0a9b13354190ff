import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type Store, type StoreOptions, storeOptions } from '../../src/store/store.ts'

/** An empty database that can be opened any number of times, also by other processes. */
export type Place = { options: StoreOptions; open(): Promise<Store>; remove(): Promise<void> }

export type EngineCase = { name: string; skip: boolean; createPlace(): Promise<Place> }

const databaseUrl = process.env.TINTYPE_TEST_POSTGRES_URL

/** The engines that a suite runs on. */
export const engines: EngineCase[] = [
  { name: 'SQLite', skip: false, createPlace: createSqlitePlace },
  {
    name: databaseUrl ? 'PostgreSQL' : 'PostgreSQL (skipped: TINTYPE_TEST_POSTGRES_URL is not set)',
    skip: !databaseUrl,
    createPlace: createPostgresPlace,
  },
]

async function createSqlitePlace(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-place-'))
  const options = Value.Default(storeOptions, { file: join(folder, 'tintype.db') }) as StoreOptions
  return placeOf(options, () => rm(folder, { recursive: true }))
}

async function createPostgresPlace(): Promise<Place> {
  // A schema of its own, so that suites can run beside each other.
  const schema = `test_${randomBytes(6).toString('hex')}`
  const url = new URL(databaseUrl!)
  await execute(`CREATE SCHEMA ${schema}`)
  url.searchParams.set('options', `-c search_path=${schema}`)
  // A slow machine must not fail the races: here it is about who wins, not about when to give up.
  const options = Value.Default(storeOptions, {
    databaseUrl: url.href,
    connectTimeoutMs: 20_000,
  }) as StoreOptions
  return placeOf(options, () => execute(`DROP SCHEMA ${schema} CASCADE`))
}

function placeOf(options: StoreOptions, remove: () => Promise<void>): Place {
  return { options, open: () => openStore(options, { log: silentLog }), remove }
}

async function execute(statement: string) {
  const client = new pg.Client({ connectionString: databaseUrl! })
  await client.connect()
  await client.query(statement)
  await client.end()
}
