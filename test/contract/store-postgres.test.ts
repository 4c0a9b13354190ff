import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { Value } from 'typebox/value'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { storeSuite } from './store.suite.ts'

const databaseUrl = process.env.TINTYPE_TEST_POSTGRES_URL
const name = databaseUrl
  ? 'store in PostgreSQL'
  : 'store in PostgreSQL (skipped: TINTYPE_TEST_POSTGRES_URL is not set)'

storeSuite(
  name,
  async (changes) => {
    // A schema of its own, so that suites can run beside each other.
    const schema = `test_${randomBytes(6).toString('hex')}`
    const url = new URL(databaseUrl!)
    await run(`CREATE SCHEMA ${schema}`)
    url.searchParams.set('options', `-c search_path=${schema}`)
    const options = Value.Default(storeOptions, {
      databaseUrl: url.href,
      // A slow machine must not fail the races: here it is about who wins, not about when to give up.
      connectTimeoutMs: 20_000,
      ...changes,
    }) as StoreOptions
    return {
      open: () => openStore(options, { log: silentLog }),
      remove: () => run(`DROP SCHEMA ${schema} CASCADE`),
    }
  },
  !databaseUrl,
)

async function run(statement: string) {
  const client = new pg.Client({ connectionString: databaseUrl! })
  await client.connect()
  await client.query(statement)
  await client.end()
}
