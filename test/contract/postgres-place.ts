import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** PostgreSQL for tests, if there is one: a role that may create schemas. */
export const postgresUrl = process.env.TINTYPE_TEST_POSTGRES_URL

/** What to append to the name of a suite that needs it, so that a report says why it was skipped. */
export const whySkipped = postgresUrl ? '' : ' (skipped: TINTYPE_TEST_POSTGRES_URL is not set)'

export type PostgresSchema = { databaseUrl: string; remove(): Promise<void> }

/** An empty schema of its own, so that suites can run beside each other. */
export async function createSchema(): Promise<PostgresSchema> {
  const schema = `test_${randomBytes(6).toString('hex')}`
  await runStatement(`CREATE SCHEMA ${schema}`)
  const url = new URL(postgresUrl!)
  url.searchParams.set('options', `-c search_path=${schema}`)
  return {
    databaseUrl: url.href,
    remove: async () => {
      await runStatement(`DROP SCHEMA ${schema} CASCADE`)
    },
  }
}

/** Runs one statement on a connection of its own. */
export async function runStatement(statement: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: postgresUrl! })
  await client.connect()
  try {
    return await client.query(statement)
  } finally {
    await client.end()
  }
}
