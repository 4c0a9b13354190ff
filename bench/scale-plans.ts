import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import pg from 'pg'
import { normalizeFolderPath } from '../src/kernel/paths.ts'
import { parseSearch } from '../src/query/query.ts'
import { postgresDialect } from '../src/store/dialects/postgres.ts'
import { sqliteDialect } from '../src/store/dialects/sqlite.ts'
import type { Dialect, Query, Session } from '../src/store/engine.ts'
import { prepareSearch } from '../src/store/search.ts'
import type { AssetType, SearchOptions, SortKey } from '../src/store/store.ts'
import { LIBRARY_NOW, type Place } from './scale-library.ts'
import type { Scenario } from './scale-scenarios.ts'

/** How the engine says that it runs the statements of a scenario. */
export type Plan = { name: string; lines: string[]; isFullScan: boolean }

const CUSTOM_FIELDS = [
  { name: 'brand', type: 'Text' },
  { name: 'price', type: 'Number' },
  { name: 'due', type: 'Date' },
  { name: 'approved', type: 'Boolean' },
  { name: 'season', type: 'SingleSelect' },
] as const

type Runner = {
  dialect: Dialect
  run(query: Query): Promise<unknown[]>
  explain(query: Query): Promise<string[]>
  close(): Promise<void>
}

export async function explainScenarios(place: Place, scenarios: Scenario[], files: number): Promise<Plan[]> {
  const runner = 'file' in place ? openSqlite(place.file) : await openPostgres(place.databaseUrl)
  const plans: Plan[] = []
  for (const { name, query } of scenarios) {
    const lines: string[] = []
    const read = async (statement: Query) => {
      lines.push(...(await runner.explain(statement)))
      return runner.run(statement)
    }
    const session = {
      read,
      readAs: async (statement: Query, make: (row: never) => unknown) =>
        (await read(statement)).map((row) => make(row as never)),
    } as Pick<Session, 'read' | 'readAs'> as Session
    await prepareSearch(runner.dialect, { sortedMatches: 10_000 })(session, optionsOf(query(1, files)))
    plans.push({ name, lines, isFullScan: lines.some(isFullScan) })
  }
  await runner.close()
  return plans
}

/** Reads a table from its beginning to its end, row by row; folders are few. */
function isFullScan(line: string): boolean {
  return /^SCAN (s|x|e|v)$/.test(line) || /Seq Scan on (versions|version_)/.test(line)
}

function optionsOf(query: Record<string, string>): SearchOptions {
  const [direction, key] = (query.sort ?? 'ASC_CREATED').split('_') as [string, SortKey]
  return {
    type: (query.type ?? 'file') as AssetType,
    sort: { key, descending: direction === 'DESC' },
    limit: 100,
    skip: 0,
    ...(query.path !== undefined && { folderPath: normalizeFolderPath(query.path) }),
    ...(query.fileType !== undefined && { fileType: query.fileType as 'image' }),
    ...(query.tags !== undefined && { tags: [query.tags] }),
    ...(query.searchQuery !== undefined && {
      query: parseSearch(query.searchQuery, { nowMs: LIBRARY_NOW, customFields: CUSTOM_FIELDS }),
    }),
  }
}

function openSqlite(file: string): Runner {
  const db = new DatabaseSync(file, { readOnly: true })
  db.function('in_time', () => 1)
  const valuesOf = ({ parameters }: Query) => parameters as SQLInputValue[]
  return {
    dialect: sqliteDialect,
    run: async (query) => db.prepare(query.sql).all(...valuesOf(query)),
    explain: async (query) =>
      db
        .prepare(`EXPLAIN QUERY PLAN ${query.sql}`)
        .all(...valuesOf(query))
        .map((row) => String(row.detail)),
    close: async () => db.close(),
  }
}

async function openPostgres(databaseUrl: string): Promise<Runner> {
  const client = new pg.Client({ connectionString: databaseUrl, types: { getTypeParser } as never })
  await client.connect()
  return {
    dialect: postgresDialect,
    run: async (query) => (await client.query(query.sql, query.parameters as unknown[])).rows,
    explain: async (query) => {
      const { rows } = await client.query(`EXPLAIN (COSTS OFF) ${query.sql}`, query.parameters as unknown[])
      return rows.map((row) => String(row['QUERY PLAN']).trim())
    },
    close: () => client.end(),
  }
}

const INT8 = 20

function getTypeParser(oid: number, format?: 'text') {
  return oid === INT8 ? Number : pg.types.getTypeParser(oid, format)
}
