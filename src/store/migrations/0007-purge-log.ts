import type { Migration } from './migrations.ts'

/** Purges that every server carries out on its own cache. */
export const purgeLog: Migration = {
  name: 'purge log',
  statements: ({ text, int, identity, table }) => [
    `CREATE TABLE purge_log (
      seq ${identity},
      id ${text} NOT NULL UNIQUE,
      payload ${text} NOT NULL,
      created_at ${int} NOT NULL
    ) ${table}`,
    'CREATE INDEX purge_log_created ON purge_log (created_at)',
  ],
}
