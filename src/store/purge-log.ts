import { sql } from 'kysely'
import { type Dialect, prepare, type Session } from './engine.ts'

/** A purge as every server of the installation has to carry it out. */
export type LoggedPurge = { seq: number; payload: unknown }

/** Purges in the order of their commits. Each server follows the log, since each has a cache of its own. */
export type PurgeLog = {
  /** Adds a purge, once for an id. Whoever has read up to a number misses none that comes later. */
  add(purge: { id: string; payload: unknown; createdAtMs: number }): Promise<void>
  after(seq: number, limit: number): Promise<LoggedPurge[]>
  /** The number of the last one; 0 without any. */
  latest(): Promise<number>
  sweep(beforeMs: number): Promise<number>
}

/** Prepares the statements about the log of purges once; the result binds them to a session. */
export function preparePurgeLog({ db }: Dialect): (session: Session) => PurgeLog {
  const add = prepare<{ id: string; json: string; createdAtMs: number }>()((value) =>
    db
      .insertInto('purge_log')
      .values({ id: value('id'), payload: value('json'), created_at: value('createdAtMs') })
      .onConflict((oc) => oc.column('id').doNothing()),
  )
  const after = prepare<{ seq: number; limit: number }>()((value) =>
    db
      .selectFrom('purge_log')
      .select(['seq', 'payload'])
      .where('seq', '>', value('seq'))
      .orderBy('seq')
      .limit(value('limit')),
  )
  const latest = prepare<object>()(() =>
    db.selectFrom('purge_log').select(sql<number>`coalesce(max(seq), 0)`.as('seq')),
  )
  // The last one stays: its number is where new servers begin.
  const sweep = prepare<{ beforeMs: number }>()((value) =>
    db
      .deleteFrom('purge_log')
      .where('created_at', '<', value('beforeMs'))
      .where('seq', '<', (eb) =>
        eb.selectFrom('purge_log as last').select(sql<number>`max(last.seq)`.as('seq')),
      ),
  )

  return (session) => ({
    add: ({ id, payload, createdAtMs }) =>
      session.atomic(async (tx) => {
        // Numbers are given before commits: without the lock a smaller one could appear after a greater.
        await tx.lock('purge log')
        await tx.write(add({ id, json: JSON.stringify(payload), createdAtMs }))
      }),
    async after(seq, limit) {
      const rows = await session.read(after({ seq, limit }))
      return rows.map((row) => ({ seq: row.seq, payload: JSON.parse(row.payload) as unknown }))
    },
    async latest() {
      const [row] = await session.read(latest({}))
      return row!.seq
    },
    sweep: async (beforeMs) => (await session.write(sweep({ beforeMs }))).changes,
  })
}
