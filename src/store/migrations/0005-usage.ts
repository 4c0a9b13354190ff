import type { Migration } from './migrations.ts'

/** Counts of what was delivered, the bytes in the library kept up to date, and restricted keys. */
export const usage: Migration = {
  name: 'usage',
  statements: ({ text, int, identity, table, keyedTable, keepSum }) => [
    `CREATE TABLE usage_counts (
      day ${int} NOT NULL,
      topic ${text} NOT NULL,
      name ${text} NOT NULL,
      requests ${int} NOT NULL,
      bytes ${int} NOT NULL,
      PRIMARY KEY (day, topic, name)
    ) ${keyedTable}`,

    // What all versions have together is the sum of all rows.
    `CREATE TABLE stored_bytes (
      seq ${identity},
      bytes ${int} NOT NULL
    ) ${table}`,
    'INSERT INTO stored_bytes (bytes) SELECT coalesce(sum(size_bytes), 0) FROM versions',
    ...keepSum({ of: 'size_bytes', from: 'versions', into: 'stored_bytes', as: 'bytes' }),

    `ALTER TABLE api_keys ADD COLUMN is_restricted ${int} NOT NULL DEFAULT 0`,
  ],
}
