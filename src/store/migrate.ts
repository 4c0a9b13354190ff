import { sql } from 'kysely'
import { TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import { compile, type Engine, type Session } from './engine.ts'
import { migrations } from './migrations/migrations.ts'

/**
 * Brings the schema up to this program's version. Each step is one transaction, so that an interrupted start goes
 * on where it stopped; only one process does it at a time.
 * @throws TintypeError unavailable, when the schema is newer than this program: it would write what a newer one cannot read.
 */
export async function migrate(engine: Engine, log: Log, clock: Clock): Promise<void> {
  const { text, int, keyedTable } = engine.dialect.ddl
  await engine.exclusively((tx) =>
    execute(
      tx,
      `CREATE TABLE IF NOT EXISTS schema_migrations (
        version ${int} PRIMARY KEY,
        name ${text} NOT NULL,
        applied_at ${int} NOT NULL
      ) ${keyedTable}`,
    ),
  )
  for (;;) {
    const applied = await engine.exclusively((tx) => applyNext(engine, tx, clock.now()))
    if (applied === undefined) return
    log.info({ version: applied.version, name: applied.name }, 'schema migrated')
  }
}

async function applyNext(engine: Engine, tx: Session, nowMs: number) {
  const { db, ddl } = engine.dialect
  const found = await tx.read(
    compile(db.selectFrom('schema_migrations').select(sql<number>`coalesce(max(version), 0)`.as('version'))),
  )
  const current = found[0]!.version
  if (current > migrations.length) {
    throw new TintypeError(
      'unavailable',
      `The database has schema version ${current}, but this program knows only ${migrations.length}: it was written by a newer release. Start that release, or restore a backup of the older one.`,
    )
  }
  const next = migrations[current]
  if (!next) return undefined
  for (const statement of next.statements(ddl, nowMs)) await execute(tx, statement)
  const version = current + 1
  await tx.write(
    compile(db.insertInto('schema_migrations').values({ version, name: next.name, applied_at: nowMs })),
  )
  return { version, name: next.name }
}

async function execute(tx: Session, statement: string) {
  await tx.write({ sql: statement, parameters: [] })
}
