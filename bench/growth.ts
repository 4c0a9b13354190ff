// How large each table and index of a library in PostgreSQL is, for each file of it.
//
//   node bench/growth.ts postgres://…      of a library that bench/scale-library.ts has made; writes bench/results/growth.md
import { writeFileSync } from 'node:fs'
import pg from 'pg'

type Relation = { name: string; table: string; rows: number; bytes: number; isIndex: boolean }

const LEAST_BYTES = 1_000_000

async function main(databaseUrl: string) {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const { rows } = await client.query<{
    name: string
    table: string
    rows: string
    bytes: string
    isIndex: boolean
  }>(`
    SELECT c.relname AS name, c.relname AS "table", c.reltuples AS rows, pg_table_size(c.oid) AS bytes, false AS "isIndex"
      FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
    UNION ALL
    SELECT i.relname, c.relname, i.reltuples, pg_relation_size(i.oid), true
      FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
      WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'`)
  const relations: Relation[] = rows.map((row) => ({
    ...row,
    rows: Number(row.rows),
    bytes: Number(row.bytes),
  }))
  const { rows: counted } = await client.query<{ count: string }>('SELECT count(*) AS count FROM files')
  const { rows: version } = await client.query<{ server_version: string }>('SHOW server_version')
  await client.end()
  const files = Number(counted[0]!.count)
  const large = relations.filter(({ bytes }) => bytes >= LEAST_BYTES).sort((a, b) => b.bytes - a.bytes)
  const sum = (some: Relation[]) => some.reduce((total, { bytes }) => total + bytes, 0)
  const perFile = (bytes: number) => (bytes / files).toFixed(0)
  const tables = large.filter(({ isIndex }) => !isIndex)
  const lines = [
    '# Growth of the database',
    '',
    '<!-- Written by bench/growth.ts; do not edit. -->',
    '',
    `A generated library of ${files} files in PostgreSQL ${version[0]!.server_version}, freshly written and vacuumed. In use,`,
    'indexes grow larger until they are reindexed.',
    '',
    '| Table | rows for each file | table, bytes for each file | its indexes, bytes for each file |',
    '| --- | ---: | ---: | ---: |',
    ...tables.map(({ name, rows, bytes }) => {
      const indexes = relations.filter((each) => each.isIndex && each.table === name)
      return `| \`${name}\` | ${(rows / files).toFixed(2)} | ${perFile(bytes)} | ${perFile(sum(indexes))} |`
    }),
    `| together | | ${perFile(sum(relations.filter(({ isIndex }) => !isIndex)))} | ${perFile(sum(relations.filter(({ isIndex }) => isIndex)))} |`,
    '',
    '| Index | of | bytes for each file |',
    '| --- | --- | ---: |',
    ...large
      .filter(({ isIndex }) => isIndex)
      .map(({ name, table, bytes }) => `| \`${name}\` | \`${table}\` | ${perFile(bytes)} |`),
    '',
  ]
  writeFileSync(new URL('./results/growth.md', import.meta.url), lines.join('\n'))
  process.stdout.write(lines.join('\n'))
}

const [databaseUrl] = process.argv.slice(2)
if (databaseUrl === undefined) throw new Error('Say which database: node bench/growth.ts postgres://…')
await main(databaseUrl)
