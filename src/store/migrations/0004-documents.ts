import type { Migration } from './migrations.ts'

/** Things that an administrator edits at run time and that are read whole: named transformations, origins, … */
export const documents: Migration = {
  name: 'documents',
  statements: ({ text, int, keyedTable }) => [
    `CREATE TABLE documents (
      kind ${text} NOT NULL,
      id ${text} NOT NULL,
      unique_name ${text},
      body ${text} NOT NULL,
      created_at ${int} NOT NULL,
      updated_at ${int} NOT NULL,
      PRIMARY KEY (kind, id)
    ) ${keyedTable}`,
    'CREATE UNIQUE INDEX documents_name ON documents (kind, unique_name) WHERE unique_name IS NOT NULL',
  ],
}
