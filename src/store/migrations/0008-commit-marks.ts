import type { Migration } from './migrations.ts'

/**
 * Where a server that has lost the answer of a COMMIT looks up what became of it: one row for each connection, updated
 * by each of its transactions. SQLite has no use for it; the tables are the same on both engines.
 */
export const commitMarks: Migration = {
  name: 'commit marks',
  statements: ({ text, int, keyedTable }) => [
    `CREATE TABLE commit_marks (
      connection ${text} PRIMARY KEY,
      mark ${int} NOT NULL,
      marked_at ${int} NOT NULL
    ) ${keyedTable}`,
  ],
}
