import { sql } from 'kysely'
import { compile, type Dialect, prepare, type Session } from './engine.ts'
import { type Job, jobOf } from './records.ts'

/**
 * Which jobs deliver webhooks. Those to one target about one subject run in the order in which they were added: each
 * asks for its predecessor before it runs.
 */
export type Deliveries = {
  /** Notes what a job that was just enqueued delivers. Without a subject it has no place in any order. */
  add(delivery: { jobId: string; target: string; subject: string | null }): Promise<void>
  /** The job before this one of the same order, if it has not come to its end. */
  predecessor(jobId: string): Promise<Pick<Job, 'id' | 'state' | 'runAtMs'> | undefined>
  /** Makes the job behind this one due now, if it waits. */
  hastenSuccessor(jobId: string, nowMs: number): Promise<void>
  /** Jobs that deliver to a target, the newest first. */
  list(filter: { target: string; states?: Job['state'][]; limit: number; skip?: number }): Promise<Job[]>
  /** Notes that a target did not take a delivery. @returns since when it has taken none. */
  failing(target: string, nowMs: number): Promise<number>
  /** Notes that a target takes deliveries. */
  working(target: string): Promise<void>
  /** Since when targets have taken nothing, by target; without those that work. */
  failures(): Promise<Map<string, number>>
}

/** Prepares the statements about deliveries once; the result binds them to a session. */
export function prepareDeliveries(dialect: Dialect): (session: Session) => Deliveries {
  const { db } = dialect
  const add = prepare<{ jobId: string; target: string; subject: string | null }>()((value) =>
    db
      .insertInto('webhook_deliveries')
      .values({ job_id: value('jobId'), target: value('target'), subject: value('subject') }),
  )
  // Only the nearest one: it has not run before its own predecessor had come to an end.
  const predecessor = prepare<{ jobId: string }>()((value) => ({
    compile: () =>
      sql<{ id: string; state: Job['state']; run_at: number; finished_at: number | null }>`
        SELECT j.id, j.state, j.run_at, j.finished_at FROM webhook_deliveries AS d
        JOIN webhook_deliveries AS p ON p.seq = (
          SELECT max(e.seq) FROM webhook_deliveries AS e
          WHERE e.target = d.target AND e.subject = d.subject AND e.seq < d.seq
        )
        JOIN jobs AS j ON j.id = p.job_id
        WHERE d.job_id = ${value('jobId')}`.compile(db),
  }))
  const hasten = prepare<{ jobId: string; nowMs: number }>()((value) => ({
    compile: () =>
      sql`UPDATE jobs SET run_at = ${value('nowMs')}
        WHERE state = 'ready' AND run_at > ${value('nowMs')} AND id = (
          SELECT n.job_id FROM webhook_deliveries AS d
          JOIN webhook_deliveries AS n ON n.seq = (
            SELECT min(e.seq) FROM webhook_deliveries AS e
            WHERE e.target = d.target AND e.subject = d.subject AND e.seq > d.seq
          )
          WHERE d.job_id = ${value('jobId')}
        )`.compile(db),
  }))
  const failing = prepare<{ target: string; nowMs: number }>()((value) =>
    db
      .insertInto('webhook_failures')
      .values({ target: value('target'), since: value('nowMs') })
      // An update that changes nothing, so that the row is given.
      .onConflict((oc) =>
        oc.column('target').doUpdateSet({ since: (eb) => eb.ref('webhook_failures.since') }),
      )
      .returning('since'),
  )
  const working = prepare<{ target: string }>()((value) =>
    db.deleteFrom('webhook_failures').where('target', '=', value('target')),
  )
  const failures = compile(db.selectFrom('webhook_failures').selectAll())

  return (session) => ({
    async add(delivery) {
      await session.write(add(delivery))
    },
    async predecessor(jobId) {
      const [row] = await session.read(predecessor({ jobId }))
      return row && row.finished_at === null
        ? { id: row.id, state: row.state, runAtMs: row.run_at }
        : undefined
    },
    async hastenSuccessor(jobId, nowMs) {
      await session.write(hasten({ jobId, nowMs }))
    },
    async list({ target, states, limit, skip }) {
      const query = db
        .selectFrom('webhook_deliveries as d')
        .innerJoin('jobs as j', 'j.id', 'd.job_id')
        .selectAll('j')
        .where('d.target', '=', target)
        .$if(states !== undefined, (q) => q.where('j.state', 'in', states!))
        .orderBy('d.seq', 'desc')
        .limit(limit)
        .offset(skip ?? 0)
      return (await session.read(compile(query), 'heavy')).map(jobOf)
    },
    async failing(target, nowMs) {
      const { rows } = await session.write(failing({ target, nowMs }))
      return rows[0]!.since
    },
    async working(target) {
      await session.write(working({ target }))
    },
    async failures() {
      return new Map((await session.read(failures)).map((row) => [row.target, row.since]))
    },
  })
}
