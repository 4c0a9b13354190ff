import { setTimeout as sleep } from 'node:timers/promises'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../../src/kernel/ids.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { systemClock } from '../../../src/kernel/time.ts'
import type { Job, Store } from '../../../src/store/store.ts'
import {
  createWorker,
  GiveUp,
  type JobHandler,
  Postpone,
  RetryIn,
  type Worker,
  type WorkerOptions,
  workerOptions,
} from '../../../src/worker/worker.ts'
import { engines, type Place } from '../../contract/places.ts'

const handlerOf = (run: JobHandler['run'], changes: Partial<JobHandler> = {}): JobHandler => ({
  run,
  concurrency: 4,
  maxAttempts: 3,
  firstRetryMs: 10,
  maxRetryMs: 40,
  ...changes,
})

const nothing = async () => {}

let place: Place
let store: Store
let workers: Worker[]

beforeEach(async () => {
  place = await engines[0]!.createPlace()
  store = await place.open()
  workers = []
})
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.drain()))
  await store.close()
  await place.remove()
})

function begin(
  handlers: Record<string, JobHandler>,
  options: Partial<WorkerOptions> = {},
  on = store,
  clock = systemClock,
): Worker {
  const worker = createWorker(
    // A poll that never comes within a test: what happens, happens because of a poke.
    { ...(Value.Default(workerOptions, { pollMs: 60_000, leaseMs: 400 }) as WorkerOptions), ...options },
    { store: on, handlers, ids: systemIds, clock, log: silentLog, random: () => 0.5 },
  )
  workers.push(worker)
  worker.start()
  return worker
}

async function enqueue(kind = 'a', payload: Job['payload'] = {}): Promise<string> {
  const id = systemIds.next()
  await store.jobs.enqueue({ id, kind, payload, createdAtMs: Date.now() })
  return id
}

async function until(id: string, state: Job['state'], on = store): Promise<Job> {
  for (let i = 0; i < 4000; i += 1) {
    const job = (await on.jobs.byId(id))!
    if (job.state === state) return job
    await sleep(5)
  }
  throw new Error(`the job did not become ${state}: ${JSON.stringify(await on.jobs.byId(id))}`)
}

describe('a worker', () => {
  it('runs what is there at its start and what this process enqueues later, without waiting for a poll', async () => {
    const early = await enqueue('a', { n: 1 })
    const seen: unknown[] = []
    begin({ a: handlerOf(async ({ job }) => void seen.push(job.payload.n)) })
    await until(early, 'done')
    await until(await enqueue('a', { n: 2 }), 'done')
    expect(seen).toStrictEqual([1, 2])
  })

  it('finds what another process enqueued by looking from time to time', async () => {
    const other = await place.open()
    begin({ a: handlerOf(nothing) }, { pollMs: 20 })
    const id = systemIds.next()
    await other.jobs.enqueue({ id, kind: 'a', payload: {}, createdAtMs: Date.now() })
    await until(id, 'done')
    await other.close()
  })

  it('leaves kinds alone that it has no handler for', async () => {
    begin({ a: handlerOf(nothing) })
    const foreign = await enqueue('foreign')
    await until(await enqueue('a'), 'done')
    expect(await store.jobs.byId(foreign)).toMatchObject({ state: 'ready', attempts: 0 })
  })

  it('runs no more jobs of a kind at a time than it may, and others beside them', async () => {
    const running = { slow: 0, quick: 0 }
    const most = { slow: 0, quick: 0 }
    const count = (kind: 'slow' | 'quick', mayEnd: () => Promise<unknown>) => async () => {
      running[kind] += 1
      most[kind] = Math.max(most[kind], running[kind])
      await mayEnd()
      running[kind] -= 1
    }
    const threeQuick = Promise.withResolvers<void>()
    const allQuick = Promise.withResolvers<void>()
    const slow = []
    for (let i = 0; i < 12; i += 1) slow.push(await enqueue('slow'))
    begin({
      slow: handlerOf(
        count('slow', () => allQuick.promise),
        { concurrency: 2 },
      ),
      quick: handlerOf(
        count('quick', async () => {
          if (running.quick === 3) threeQuick.resolve()
          await threeQuick.promise
          // Long enough for a fourth to show.
          await sleep(5)
        }),
        { concurrency: 3 },
      ),
    })
    const quick = []
    for (let i = 0; i < 12; i += 1) quick.push(await enqueue('quick'))
    await Promise.all(quick.map((id) => until(id, 'done')))
    // The quick ones did not have to wait for the slow ones, although these were there first.
    expect((await store.jobs.byId(slow.at(-1)!))!.state).toBe('ready')
    allQuick.resolve()
    await Promise.all(slow.map((id) => until(id, 'done')))
    expect(most).toStrictEqual({ slow: 2, quick: 3 })
  })

  it('tries again, later each time, until it gives up', async () => {
    const starts: number[] = []
    begin({
      a: handlerOf(
        async () => {
          starts.push(performance.now())
          throw new Error(`no ${starts.length}`)
        },
        { maxAttempts: 4, firstRetryMs: 20, maxRetryMs: 60 },
      ),
    })
    const id = await enqueue()
    expect(await until(id, 'dead')).toMatchObject({ attempts: 4, lastError: 'no 4' })
    const waits = starts.slice(1).map((at, i) => at - starts[i]!)
    for (const [i, leastMs] of [20, 40, 60].entries()) expect(waits[i]).toBeGreaterThanOrEqual(leastMs - 2)
    expect(starts).toHaveLength(4)
  })

  it('lets a handler wait for something, which is no attempt', async () => {
    let runs = 0
    begin({
      a: handlerOf(
        async () => {
          runs += 1
          if (runs < 6) throw new Postpone(2, 'not my turn')
        },
        { maxAttempts: 2 },
      ),
    })
    expect(await until(await enqueue(), 'done')).toMatchObject({ attempts: 1, lastError: null })
    expect(runs).toBe(6)
  })

  it('lets a handler say when to try again, and that it makes no sense', async () => {
    let attempts = 0
    begin({
      later: handlerOf(
        async () => {
          attempts += 1
          if (attempts < 6) throw new RetryIn(1, 'not yet')
        },
        { maxAttempts: 10, firstRetryMs: 60_000 },
      ),
      never: handlerOf(async () => {
        throw new GiveUp('nobody will ever want this')
      }),
    })
    await until(await enqueue('later'), 'done')
    expect(attempts).toBe(6)
    expect(await until(await enqueue('never'), 'dead')).toMatchObject({
      attempts: 1,
      lastError: 'nobody will ever want this',
    })
  })

  it('runs a dead job once more after it was requeued', async () => {
    let isBroken = true
    begin({
      a: handlerOf(async () => {
        if (isBroken) throw new GiveUp('broken')
      }),
    })
    const id = await enqueue()
    await until(id, 'dead')
    isBroken = false
    await store.jobs.requeue({ ids: [id], nowMs: Date.now() })
    expect(await until(id, 'done')).toMatchObject({ lastError: null })
  })
})

describe('steps', () => {
  it('keep their progress over attempts, and do nothing twice', async () => {
    const done: number[] = []
    let isFailing = true
    begin({
      a: handlerOf(async (running) => {
        for (let n = Number(running.job.progress.n ?? 0); n < 5; n += 1) {
          await running.step(async (tx) => {
            await tx.settings.set(`step ${n}`, true)
            return { n: n + 1 }
          })
          done.push(n)
          if (n === 2 && isFailing) {
            isFailing = false
            throw new Error('half way')
          }
        }
      }),
    })
    expect(await until(await enqueue(), 'done')).toMatchObject({ progress: { n: 5 }, attempts: 2 })
    expect(done).toStrictEqual([0, 1, 2, 3, 4])
  })

  it('do nothing when their transaction fails', async () => {
    begin({
      a: handlerOf(
        async (running) =>
          running.step(async (tx) => {
            await tx.settings.set('half', true)
            throw new Error('no')
          }),
        { maxAttempts: 1 },
      ),
    })
    expect(await until(await enqueue(), 'dead')).toMatchObject({ progress: {} })
    expect(await store.settings.get('half')).toBeUndefined()
  })

  it('do nothing once another worker has the job, and the handler is told', async () => {
    let reason: unknown
    let second: unknown
    const id = await enqueue()
    begin(
      {
        a: handlerOf(
          async (running) => {
            if (running.job.attempts > 1) return
            const { id: jobId, leaseToken } = running.job
            const taken = {
              id: jobId,
              leaseToken: leaseToken!,
              beats: 0,
              dead: false,
              nowMs: Date.now(),
              error: '',
            }
            await store.jobs.takeBack(taken)
            second = await running
              .step(async (tx) => {
                await tx.settings.set('stolen', true)
                return {}
              })
              .catch((error: unknown) => error)
            await new Promise((resolve) => running.signal.addEventListener('abort', resolve))
            reason = running.signal.reason
          },
          { concurrency: 1 },
        ),
      },
      { leaseMs: 200 },
    )
    await until(id, 'done')
    expect(second).toBeInstanceOf(Error)
    expect(String(reason)).toMatch(/another worker/)
    expect(await store.settings.get('stolen')).toBeUndefined()
  })
})

describe('leases', () => {
  it('of a worker that shows no sign of life go to another, one after the other', async () => {
    const dead = []
    for (let i = 0; i < 3; i += 1) dead.push(await enqueue())
    // A process that claimed them and ended.
    await store.jobs.claim({ kind: 'a', limit: 3, nowMs: Date.now(), leaseToken: 'gone' })
    let running = 0
    let most = 0
    begin(
      {
        a: handlerOf(async () => {
          running += 1
          most = Math.max(most, running)
          await sleep(20)
          running -= 1
        }),
      },
      { leaseMs: 200 },
    )
    for (const id of dead) expect(await until(id, 'done')).toMatchObject({ attempts: 2 })
    expect(most).toBe(1)
  })

  it('end a job that has taken its process down too often', async () => {
    const id = await enqueue()
    for (let i = 0; i < 2; i += 1) {
      const [job] = await store.jobs.claim({
        kind: 'a',
        limit: 1,
        nowMs: Date.now(),
        leaseToken: `gone ${i}`,
      })
      const taken = { id, leaseToken: `gone ${i}`, beats: 0, dead: false, nowMs: Date.now(), error: 'crash' }
      expect(job).toBeDefined()
      await store.jobs.takeBack(taken)
    }
    await store.jobs.claim({ kind: 'a', limit: 1, nowMs: Date.now(), leaseToken: 'gone for good' })
    let runs = 0
    begin(
      {
        a: handlerOf(async () => {
          runs += 1
        }),
      },
      { leaseMs: 200 },
    )
    expect(await until(id, 'dead')).toMatchObject({
      attempts: 3,
      lastError: expect.stringMatching(/process/),
    })
    expect(runs).toBe(0)
  })

  it('do not care for clocks that are wrong or jump', async () => {
    const runs: string[] = []
    const handlers = {
      a: handlerOf(async ({ job }) => {
        runs.push(job.id)
        await sleep(2500)
      }),
    }
    const other = await place.open()
    let offsetMs = 0
    const hour = 3_600_000
    begin(handlers, { leaseMs: 1000, pollMs: 20 }, store, { now: () => Date.now() + offsetMs })
    begin(handlers, { leaseMs: 1000, pollMs: 20 }, other, { now: () => Date.now() + hour })
    const id = await enqueue()
    for (const jumpMs of [hour, -hour, 0]) {
      await sleep(600)
      offsetMs = jumpMs
    }
    await until(id, 'done')
    expect(runs).toStrictEqual([id])
    await Promise.all(workers.splice(0).map((worker) => worker.drain()))
    await other.close()
  })

  it('are kept for as long as the job runs, however long that is', async () => {
    const runs: string[] = []
    const handlers = {
      a: handlerOf(async ({ job }) => {
        runs.push(job.id)
        await sleep(2500)
      }),
    }
    const other = await place.open()
    begin(handlers, { leaseMs: 1000, pollMs: 20 })
    begin(handlers, { leaseMs: 1000, pollMs: 20 }, other)
    const id = await enqueue()
    await until(id, 'done')
    expect(runs).toStrictEqual([id])
    await Promise.all(workers.splice(0).map((worker) => worker.drain()))
    await other.close()
  })
})

describe('draining', () => {
  it('lets handlers stop between steps and gives their jobs back, as if they had not been begun', async () => {
    const started: string[] = []
    const handlers = {
      a: handlerOf(async (running) => {
        started.push(running.job.id)
        for (let n = Number(running.job.progress.n ?? 0); n < 150; n += 1) {
          await running.step(async () => ({ n: n + 1 }))
          await sleep(2)
        }
      }),
    }
    const first = begin(handlers)
    const id = await enqueue()
    while (Number((await store.jobs.byId(id))!.progress.n ?? 0) < 20) await sleep(2)
    await first.drain()
    const halted = (await store.jobs.byId(id))!
    expect(halted).toMatchObject({ state: 'ready', attempts: 0, lastError: null })
    expect(Number(halted.progress.n)).toBeGreaterThanOrEqual(20)
    // Nothing begins any more.
    const late = await enqueue()
    await sleep(30)
    expect((await store.jobs.byId(late))!.state).toBe('ready')
    begin(handlers)
    expect(await until(id, 'done')).toMatchObject({ attempts: 1, progress: { n: 150 } })
    expect(started.filter((each) => each === id)).toHaveLength(2)
  })

  it('waits for a job that comes to its end in time', async () => {
    const worker = begin({ a: handlerOf(() => sleep(100)) })
    const id = await enqueue()
    await until(id, 'running')
    await worker.drain()
    expect((await store.jobs.byId(id))!.state).toBe('done')
  })

  it('gives back the job of a handler that does not listen', async () => {
    const worker = begin({ a: handlerOf(() => new Promise(() => {})) }, { drainTimeoutSec: 0 })
    const id = await enqueue()
    await until(id, 'running')
    await worker.drain()
    expect(await store.jobs.byId(id)).toMatchObject({ state: 'ready', attempts: 0 })
  })
})
