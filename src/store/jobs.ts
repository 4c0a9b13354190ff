import { type Selectable, sql } from 'kysely'
import { compile, type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import { jobOf } from './records.ts'
import type { Jobs } from './store.ts'
import type { JobsTable } from './tables.ts'

/** Prepares the statements about jobs once; the result binds them to a session. */
export function prepareJobs(dialect: Dialect): (session: Session, onEnqueued: () => void) => Jobs {
  const { db, isAnyOf, bindList } = dialect
  const ready = sql.lit('ready')
  const running = sql.lit('running')

  type NewRow = {
    id: string
    kind: string
    payload: string
    runAtMs: number
    createdAtMs: number
    dedupeKey: string | null
  }
  const add = prepare<NewRow>()((value) =>
    db
      .insertInto('jobs')
      .values({
        id: value('id'),
        kind: value('kind'),
        payload: value('payload'),
        state: 'ready',
        run_at: value('runAtMs'),
        created_at: value('createdAtMs'),
        dedupe_key: value('dedupeKey'),
      })
      // Whether by its id or by its key: what is there already is not enqueued again.
      .onConflict((oc) => oc.doNothing()),
  )
  const byId = prepare<{ id: string }>()((value) =>
    db.selectFrom('jobs').selectAll().where('id', '=', value('id')),
  )
  const claim = prepare<{ kind: string; nowMs: number; limit: number; leaseToken: string }>()((value) =>
    db
      // The list is made once, before anything is updated, whatever plan the engine chooses.
      .with('picked', (with_) =>
        with_
          .selectFrom('jobs')
          .select('id')
          .where('state', '=', ready)
          .where('kind', '=', value('kind'))
          .where('run_at', '<=', value('nowMs'))
          .orderBy('run_at')
          .orderBy('id')
          .limit(value('limit'))
          // Where there are many writers, each takes rows that no other has its hands on.
          .$if(dialect.engine === 'postgres', (query) => query.forUpdate().skipLocked()),
      )
      .updateTable('jobs')
      .set({
        state: 'running',
        attempts: sql`attempts + 1`,
        lease_token: value('leaseToken'),
        lease_beats: 0,
      })
      .where('state', '=', ready)
      .where('id', 'in', (eb) => eb.selectFrom('picked').select('id'))
      .returningAll(),
  )

  // Whatever the holder of a lease writes, it writes only as long as the lease is its own.
  type Held = { id: string; leaseToken: string }
  const held = <P extends Held>(
    set: (value: <K extends keyof P & string>(key: K) => P[K]) => Record<string, unknown>,
  ) =>
    prepare<P>()((value) =>
      db
        .updateTable('jobs')
        .set(set(value))
        .where('id', '=', value('id'))
        .where('lease_token', '=', value('leaseToken'))
        .where('state', '=', running),
    )
  const save = held<Held & { progress: string }>((value) => ({
    progress: value('progress'),
    lease_beats: sql`lease_beats + 1`,
  }))
  const complete = held<Held & { nowMs: number }>((value) => ({
    state: 'done',
    finished_at: value('nowMs'),
    lease_token: null,
    last_error: null,
  }))
  const retry = held<Held & { runAtMs: number; error: string }>((value) => ({
    state: 'ready',
    run_at: value('runAtMs'),
    lease_token: null,
    last_error: value('error'),
  }))
  const bury = held<Held & { nowMs: number; error: string }>((value) => ({
    state: 'dead',
    finished_at: value('nowMs'),
    lease_token: null,
    last_error: value('error'),
  }))
  // Giving a job back unfinished is no failed attempt.
  const release = held<Held>(() => ({
    state: 'ready',
    attempts: sql`attempts - 1`,
    lease_token: null,
  }))

  const postpone = held<Held & { runAtMs: number }>((value) => ({
    state: 'ready',
    attempts: sql`attempts - 1`,
    run_at: value('runAtMs'),
    lease_token: null,
  }))

  const beat = prepare<{ ids: unknown; tokens: unknown }>()(() =>
    db
      .updateTable('jobs')
      .set({ lease_beats: sql`lease_beats + 1` })
      .where('state', '=', running)
      .where(isAnyOf(sql.ref('id'), new Placeholder('ids')))
      .where(isAnyOf(sql.ref('lease_token'), new Placeholder('tokens')))
      .returning(['id', 'lease_token']),
  )
  const allRunning = prepare<object>()(() =>
    db
      .selectFrom('jobs')
      .select(['id', 'kind', 'attempts', 'lease_token', 'lease_beats'])
      .where('state', '=', running),
  )
  type Seen = Held & { beats: number; error: string; nowMs: number }
  const takeBack = (set: (value: (key: 'nowMs') => number) => Record<string, unknown>) =>
    prepare<Seen>()((value) =>
      db
        .updateTable('jobs')
        .set({ ...set(value), lease_token: null, last_error: value('error') })
        .where('id', '=', value('id'))
        .where('lease_token', '=', value('leaseToken'))
        .where('lease_beats', '=', value('beats'))
        .where('state', '=', running),
    )
  const takeBackReady = takeBack((value) => ({ state: 'ready', run_at: value('nowMs') }))
  const takeBackDead = takeBack((value) => ({ state: 'dead', finished_at: value('nowMs') }))

  const stats = prepare<object>()(() =>
    db
      .selectFrom('jobs')
      .select((eb) => [
        'kind',
        'state',
        eb.fn.countAll<number>().as('count'),
        eb.fn.min('run_at').as('oldestRunAtMs'),
      ])
      .where('state', '<>', sql.lit('done'))
      .groupBy(['kind', 'state'])
      .orderBy('kind')
      .orderBy('state'),
  )
  const sweep = prepare<{ doneBeforeMs: number; deadBeforeMs: number; limit: number }>()((value) =>
    db.deleteFrom('jobs').where('id', 'in', (eb) =>
      eb
        .selectFrom('jobs')
        .select('id')
        .where('finished_at', 'is not', null)
        .where((or) =>
          or.or([
            or('finished_at', '<', value('doneBeforeMs')).and('state', '=', sql.lit('done')),
            or('finished_at', '<', value('deadBeforeMs')),
          ]),
        )
        .orderBy('finished_at')
        .limit(value('limit')),
    ),
  )
  const nextRunsOf = new Map<string, ReturnType<typeof prepareNextRuns>>()
  const nextRuns = (kinds: readonly string[]) => {
    const id = kinds.join(' ')
    const known = nextRunsOf.get(id) ?? prepareNextRuns(dialect, kinds)
    nextRunsOf.set(id, known)
    return known({})
  }

  return (session, onEnqueued) => {
    const changedOne = async (query: Parameters<Session['write']>[0]) =>
      (await session.write(query)).changes === 1
    return {
      async enqueue({ id, kind, payload, createdAtMs, runAtMs, dedupeKey }) {
        const row: NewRow = {
          id,
          kind,
          payload: JSON.stringify(payload),
          createdAtMs,
          runAtMs: runAtMs ?? createdAtMs,
          dedupeKey: dedupeKey ?? null,
        }
        const isNew = await changedOne(add(row))
        if (isNew) onEnqueued()
        return isNew
      },
      async byId(id) {
        const [row] = await session.read(byId({ id }))
        return row && jobOf(row)
      },
      async list({ kind, state, limit, skip }) {
        const query = db
          .selectFrom('jobs')
          .selectAll()
          .$if(kind !== undefined, (q) => q.where('kind', '=', kind!))
          .$if(state !== undefined, (q) => q.where('state', '=', state!))
          .orderBy('created_at', 'desc')
          .orderBy('id', 'desc')
          .limit(limit)
          .offset(skip ?? 0)
        return (await session.read(compile(query), 'heavy')).map(jobOf)
      },
      stats: () => session.read(stats({}), 'heavy') as ReturnType<Jobs['stats']>,
      async nextRuns(kinds) {
        if (kinds.length === 0) return new Map()
        const rows = await session.read(nextRuns(kinds))
        return new Map(rows.flatMap((row) => (row.run_at === null ? [] : [[row.kind, row.run_at]])))
      },
      async claim({ kind, limit, nowMs, leaseToken }) {
        const { rows } = await session.write(claim({ kind, limit, nowMs, leaseToken }))
        // RETURNING knows no order.
        return (rows as Selectable<JobsTable>[])
          .map(jobOf)
          .sort((a, b) => a.runAtMs - b.runAtMs || (a.id < b.id ? -1 : 1))
      },
      async beat(leases) {
        if (leases.length === 0) return new Set()
        const { rows } = await session.write(
          beat({
            ids: bindList(leases.map((lease) => lease.id)),
            tokens: bindList([...new Set(leases.map((lease) => lease.leaseToken))]),
          }),
        )
        return new Set(rows.map((row) => `${row.id} ${row.lease_token}`))
      },
      save: ({ id, leaseToken }, progress) =>
        changedOne(save({ id, leaseToken, progress: JSON.stringify(progress) })),
      complete: ({ id, leaseToken }, nowMs) => changedOne(complete({ id, leaseToken, nowMs })),
      retry: ({ id, leaseToken }, { runAtMs, error }) =>
        changedOne(retry({ id, leaseToken, runAtMs, error: shortened(error) })),
      bury: ({ id, leaseToken }, { nowMs, error }) =>
        changedOne(bury({ id, leaseToken, nowMs, error: shortened(error) })),
      release: ({ id, leaseToken }) => changedOne(release({ id, leaseToken })),
      postpone: ({ id, leaseToken }, runAtMs) => changedOne(postpone({ id, leaseToken, runAtMs })),
      async running() {
        const rows = await session.read(allRunning({}))
        return rows.map((row) => ({
          id: row.id,
          kind: row.kind,
          attempts: row.attempts,
          leaseToken: row.lease_token ?? '',
          beats: row.lease_beats,
        }))
      },
      takeBack({ id, leaseToken, beats, dead, nowMs, error }) {
        const values = { id, leaseToken, beats, nowMs, error: shortened(error) }
        return changedOne(dead ? takeBackDead(values) : takeBackReady(values))
      },
      async requeue({ ids, kind, nowMs }) {
        const dead = db
          .selectFrom('jobs')
          .select('id')
          .where('state', '=', 'dead')
          .$if(ids !== undefined, (q) => q.where(isAnyOf(sql.ref('id'), ids!)))
          .$if(kind !== undefined, (q) => q.where('kind', '=', kind!))
        const changes = await session.atomic(async (tx) => {
          // Others may have begun to work on its folders: it has to get hold of them again.
          await tx.write(compile(db.deleteFrom('folder_locks').where('job_id', 'in', dead)))
          const query = db
            .updateTable('jobs')
            // The key may be in use again by a newer job.
            .set({ state: 'ready', attempts: 0, run_at: nowMs, finished_at: null, dedupe_key: null })
            .where('state', '=', 'dead')
            .where('id', 'in', dead)
          return (await tx.write(compile(query))).changes
        })
        if (changes > 0) onEnqueued()
        return changes
      },
      sweep: async ({ doneBeforeMs, deadBeforeMs, limit }) =>
        (await session.write(sweep({ doneBeforeMs, deadBeforeMs, limit }))).changes,
    }
  }
}

/** For each of these kinds the earliest run among its ready jobs, each found by one look into the index. */
function prepareNextRuns({ db }: Dialect, kinds: readonly string[]) {
  const parts = kinds.map(
    (kind) =>
      sql`SELECT ${sql.lit(kind)} AS kind,
        (SELECT min(run_at) FROM jobs WHERE state = 'ready' AND kind = ${sql.lit(kind)}) AS run_at`,
  )
  const query = sql<{ kind: string; run_at: number | null }>`${sql.join(parts, sql` UNION ALL `)}`
  return prepare<object>()(() => ({ compile: () => query.compile(db) }))
}

const MAX_ERROR_LENGTH = 2000

/** An error's text as it is kept: whatever a third party answered, the row stays small. */
function shortened(error: string): string {
  return error.length > MAX_ERROR_LENGTH ? `${error.slice(0, MAX_ERROR_LENGTH)}…` : error
}
