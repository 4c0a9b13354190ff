import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Value } from 'typebox/value'
import { systemIds } from '../../src/kernel/ids.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { systemClock } from '../../src/kernel/time.ts'
import { openStore, type RunningJob, type StoreOptions } from '../../src/store/store.ts'
import { createWorker, type JobHandler, type WorkerOptions, workerOptions } from '../../src/worker/worker.ts'

/** What a process of this module is told, as JSON in its first argument. */
export type JobProcessOptions = {
  store: StoreOptions
  leaseMs: number
  /** Each run of a job of the kind `outside` adds a line to it. */
  effectsFile: string
  /** Whether it goes on for ever, or ends when there is nothing to do. */
  isEndless: boolean
}

/** Counts up in the database, inside of a step. */
const countUp = (running: RunningJob, key: string, progress: Record<string, unknown>) =>
  running.step(async (tx) => {
    const count = Number((await tx.settings.get(key)) ?? 0)
    await tx.settings.set(key, count + 1)
    return progress
  })

const handlers = (options: JobProcessOptions): Record<string, JobHandler> => {
  const usual = { concurrency: 4, maxAttempts: 20, firstRetryMs: 10, maxRetryMs: 50 }
  return {
    once: {
      ...usual,
      async run(running) {
        if (!running.job.progress.done) await countUp(running, `effect ${running.job.id}`, { done: true })
      },
    },
    steps: {
      ...usual,
      async run(running) {
        for (let n = Number(running.job.progress.n ?? 0); n < 4; n += 1) {
          await sleep(5)
          await countUp(running, `effect ${running.job.id} ${n}`, { n: n + 1 })
        }
      },
    },
    outside: {
      ...usual,
      async run({ job }) {
        appendFileSync(options.effectsFile, `${job.id}\n`)
        await sleep(3)
      },
    },
    moody: {
      ...usual,
      async run(running) {
        if (running.job.attempts % 3 !== 0) throw new Error('not today')
        if (!running.job.progress.done) await countUp(running, `effect ${running.job.id}`, { done: true })
      },
    },
    poison: {
      ...usual,
      maxAttempts: 3,
      async run() {
        process.kill(process.pid, 'SIGSEGV')
        await sleep(10_000)
      },
    },
  }
}

const options = JSON.parse(process.argv[2]!) as JobProcessOptions
const store = await openStore(options.store, { log: silentLog })
const worker = createWorker(
  Value.Default(workerOptions, { pollMs: 50, leaseMs: options.leaseMs }) as WorkerOptions,
  { store, handlers: handlers(options), ids: systemIds, clock: systemClock, log: silentLog },
)
worker.start()
process.stdout.write('ready\n')
do await sleep(50)
while (options.isEndless || (await store.jobs.stats()).some((row) => row.state !== 'dead'))
await worker.drain()
await store.close()
