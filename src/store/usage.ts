import { sql } from 'kysely'
import { compile, type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import type { Usage } from './store.ts'

/** Prepares the statements about usage once; the result binds them to a session. */
export function prepareUsage(dialect: Dialect): (session: Session) => Usage {
  const { db } = dialect
  const columns = { day: 'int', topic: 'text', name: 'text', requests: 'int', bytes: 'int' } as const
  // In the order of the key, so that two processes that count the same names wait for each other and no more.
  const add = prepare<{ rows: string }>()(() => ({
    compile: () =>
      sql`INSERT INTO usage_counts (day, topic, name, requests, bytes)
        SELECT day, topic, name, sum(requests), sum(bytes)
        FROM ${dialect.jsonTable(new Placeholder('rows'), columns)} AS r
        WHERE true
        GROUP BY day, topic, name
        ORDER BY day, topic, name
        ON CONFLICT (day, topic, name) DO UPDATE SET
          requests = usage_counts.requests + excluded.requests,
          bytes = usage_counts.bytes + excluded.bytes`.compile(db),
  }))
  const between = prepare<{ firstDay: number; lastDay: number }>()((value) =>
    db
      .selectFrom('usage_counts')
      .select((eb) => [
        'topic',
        'name',
        // Sums of integers are decimals on PostgreSQL.
        sql<number>`cast(${eb.fn.sum('requests')} as bigint)`.as('requests'),
        sql<number>`cast(${eb.fn.sum('bytes')} as bigint)`.as('bytes'),
      ])
      .where('day', '>=', value('firstDay'))
      .where('day', '<=', value('lastDay'))
      .groupBy(['topic', 'name']),
  )
  const ofTopic = prepare<{ topic: string; firstDay: number; lastDay: number }>()((value) =>
    db
      .selectFrom('usage_counts')
      .select(['topic', 'name'])
      .select((eb) => [
        sql<number>`cast(${eb.fn.sum('requests')} as bigint)`.as('requests'),
        sql<number>`cast(${eb.fn.sum('bytes')} as bigint)`.as('bytes'),
      ])
      .where('day', '>=', value('firstDay'))
      .where('day', '<=', value('lastDay'))
      .where('topic', '=', value('topic'))
      .groupBy(['topic', 'name']),
  )
  const forget = prepare<{ beforeDay: number }>()((value) =>
    db.deleteFrom('usage_counts').where('day', '<', value('beforeDay')),
  )
  type Trimmed = { day: number; topic: string; keep: number }
  const trim = prepare<Trimmed>()((value) => ({
    compile: () => {
      const most = (by: 'requests' | 'bytes') =>
        sql`SELECT name FROM (
          SELECT name FROM usage_counts WHERE day = ${value('day')} AND topic = ${value('topic')}
          ORDER BY ${sql.ref(by)} DESC, name LIMIT ${value('keep')}
        ) AS ${sql.ref(`by_${by}`)}`
      return sql`DELETE FROM usage_counts
        WHERE day = ${value('day')} AND topic = ${value('topic')}
        AND name NOT IN (${most('requests')} UNION ${most('bytes')})`.compile(db)
    },
  }))
  const storedBytes = compile(
    db.selectFrom('stored_bytes').select(sql<number>`cast(sum(bytes) as bigint)`.as('bytes')),
  )
  const fold = sql`WITH gone AS (DELETE FROM stored_bytes RETURNING bytes)
    INSERT INTO stored_bytes (bytes) SELECT sum(bytes) FROM gone HAVING count(*) > 0`.compile(db)

  return (session) => ({
    async add(counts) {
      if (counts.length > 0) await session.write(add({ rows: JSON.stringify(counts) }))
    },
    async between({ firstDay, lastDay, topic }) {
      return topic === undefined
        ? session.read(between({ firstDay, lastDay }), 'heavy')
        : session.read(ofTopic({ topic, firstDay, lastDay }), 'heavy')
    },
    async trim(options) {
      await session.write(trim(options))
    },
    async storedBytes() {
      const [row] = await session.read(storedBytes)
      return row?.bytes ?? 0
    },
    async tidy(beforeDay) {
      await session.write(forget({ beforeDay }))
      // With many writers each change is a row of its own, which none of them waits for.
      if (dialect.engine === 'postgres') await session.write({ sql: fold.sql, parameters: [] })
    },
  })
}
