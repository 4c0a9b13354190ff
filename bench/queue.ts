/**
 * `node bench/queue.ts`: how many jobs a second the queue takes and runs, on both stores.
 *
 *   node bench/queue.ts                         writes bench/results/queue.md
 *   node bench/queue.ts --jobs=1000             fewer of them, a rough look; writes nothing
 *
 * PostgreSQL takes part when TINTYPE_TEST_POSTGRES_URL names one; timings are honest only with its fsync on.
 */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { systemIds } from '../src/kernel/ids.ts'
import { silentLog } from '../src/kernel/log.ts'
import { systemClock } from '../src/kernel/time.ts'
import type { Store } from '../src/store/store.ts'
import { createWorker, type WorkerOptions, workerOptions } from '../src/worker/worker.ts'
import { type Place, postgresPlace, sqlitePlace } from './places.ts'

const DEFAULT_JOBS = 10_000
const jobs = Number(process.argv.find((arg) => arg.startsWith('--jobs='))?.slice(7) ?? DEFAULT_JOBS)
const CONCURRENCY = 32
const KIND = 'nothing'
const PAYLOAD = { fileId: '0'.repeat(24), versionId: '0'.repeat(24), text: 'x'.repeat(300) }

const perSecond = (count: number, startMs: number) =>
  Math.round((count * 1000) / (performance.now() - startMs))

/** Each job in a transaction of its own, as uploads do, many at once. */
async function enqueueAll(store: Store, count: number, atOnce: number): Promise<void> {
  let left = count
  const one = async () => {
    while (left-- > 0) {
      await store.transaction((tx) =>
        tx.jobs.enqueue({ id: systemIds.next(), kind: KIND, payload: PAYLOAD, createdAtMs: Date.now() }),
      )
    }
  }
  await Promise.all(Array.from({ length: atOnce }, one))
}

/** Runs everything that is in the queue. @param withStep whether each job writes a step, as a delivery does. */
async function runAll(stores: Store[], count: number, withStep: boolean): Promise<void> {
  let done = 0
  await new Promise<void>((resolve, reject) => {
    for (const store of stores) {
      const worker = createWorker(Value.Default(workerOptions, { pollMs: 20 }) as WorkerOptions, {
        store,
        ids: systemIds,
        clock: systemClock,
        log: silentLog,
        handlers: {
          [KIND]: {
            concurrency: CONCURRENCY,
            maxAttempts: 3,
            firstRetryMs: 10,
            maxRetryMs: 10,
            async run(running) {
              if (withStep) await running.step(async () => ({ status: 200 }))
            },
          },
        },
        observe: ({ outcome }) => {
          if (outcome !== 'done') reject(new Error(`a job ended as ${outcome}`))
          done += 1
          if (done === count) resolve()
        },
      })
      worker.start()
      ending.push(() => worker.drain())
    }
  })
  for (const end of ending.splice(0)) await end()
}
const ending: (() => Promise<void>)[] = []

/** Milliseconds from the commit of a job to the beginning of its run, in an idle queue. */
async function latencyMs(store: Store): Promise<number> {
  const waits: number[] = []
  let begun: (() => void) | undefined
  const worker = createWorker(Value.Default(workerOptions, {}) as WorkerOptions, {
    ...{ store, ids: systemIds, clock: systemClock, log: silentLog },
    handlers: {
      [KIND]: { concurrency: 4, maxAttempts: 1, firstRetryMs: 1, maxRetryMs: 1, run: async () => begun?.() },
    },
  })
  worker.start()
  for (let n = 0; n < 200; n++) {
    const started = new Promise<void>((resolve) => {
      begun = resolve
    })
    await enqueueAll(store, 1, 1)
    const committedMs = performance.now()
    await started
    waits.push(performance.now() - committedMs)
  }
  await worker.drain()
  return waits.toSorted((a, b) => a - b)[100]!
}

async function measure(place: Place): Promise<string[]> {
  const stores = [await place.open()]
  const [store] = stores as [Store]
  try {
    let startMs = performance.now()
    await enqueueAll(store, jobs / 10, 1)
    const oneByOne = perSecond(jobs / 10, startMs)
    startMs = performance.now()
    await enqueueAll(store, jobs - jobs / 10, 32)
    const together = perSecond(jobs - jobs / 10, startMs)
    startMs = performance.now()
    await runAll(stores, jobs, false)
    const run = perSecond(jobs, startMs)
    await enqueueAll(store, jobs, 32)
    startMs = performance.now()
    await runAll(stores, jobs, true)
    const steps = perSecond(jobs, startMs)
    const latency = (await latencyMs(store)).toFixed(1)
    return [place.name, ...[oneByOne, together, run, steps].map((rate) => rate.toLocaleString('en')), latency]
  } finally {
    for (const each of stores) await each.close()
    await place.remove()
  }
}

const rows: string[][] = [await measure(sqlitePlace())]
const databaseUrl = process.env.TINTYPE_TEST_POSTGRES_URL
if (databaseUrl) rows.push(await measure(await postgresPlace(databaseUrl)))
const text = [
  '# The queue of jobs',
  '',
  `${jobs.toLocaleString('en')} jobs with a payload of 400 bytes, jobs a second; ${new Date().toISOString().slice(0, 10)}.`,
  `${cpus().length} × ${cpus()[0]?.model.trim() || process.arch}, Node ${process.versions.node}, one process with ${CONCURRENCY} places. \`node bench/queue.ts\` measures it again.`,
  '',
  '| Store | Enqueued, one client | Enqueued, 32 clients | Run | Run with a step | Wait of a job in an idle queue, median ms |',
  '| --- | ---: | ---: | ---: | ---: | ---: |',
  ...rows.map((row) => `| ${row.join(' | ')} |`),
  '',
  '“Enqueued” is a transaction for each job, durable when it returns. “Run” is claimed, run and completed; “with a step”',
  'writes its progress once more, as the delivery of a webhook does.',
  '',
].join('\n')
console.log(text)
if (jobs === DEFAULT_JOBS) writeFileSync(join(import.meta.dirname, 'results/queue.md'), text)
