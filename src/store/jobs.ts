import { type Dialect, prepare, type Session } from './engine.ts'
import { jobOf } from './records.ts'
import type { Jobs } from './store.ts'

/** Prepares the statements about jobs once; the result binds them to a session. */
export function prepareJobs({ db }: Dialect): (session: Session) => Jobs {
  type NewJob = { id: string; kind: string; payload: string; runAtMs: number; createdAtMs: number }
  const add = prepare<NewJob>()((value) =>
    db.insertInto('jobs').values({
      id: value('id'),
      kind: value('kind'),
      payload: value('payload'),
      state: 'ready',
      run_at: value('runAtMs'),
      created_at: value('createdAtMs'),
    }),
  )
  const byId = prepare<{ id: string }>()((value) =>
    db.selectFrom('jobs').selectAll().where('id', '=', value('id')),
  )

  return (session) => ({
    async enqueue(job) {
      await session.write(add({ ...job, payload: JSON.stringify(job.payload) }))
    },
    async byId(id) {
      const [row] = await session.read(byId({ id }))
      return row && jobOf(row)
    },
  })
}
