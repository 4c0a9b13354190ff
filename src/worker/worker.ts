import { type Static, Type } from 'typebox'
import type { Ids } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import type { Tracer } from '../kernel/tracing.ts'
import type { Job, Lease, RunningJob, Store } from '../store/store.ts'

export const workerOptions = Type.Object({
  enabled: Type.Boolean({
    default: true,
    description:
      'Whether this process runs jobs. Another one has to, then: several can share a PostgreSQL database.',
  }),
  pollMs: Type.Integer({
    default: 1000,
    minimum: 10,
    description:
      'How often the queue is looked at for jobs that another process enqueued; those of this one start at once.',
  }),
  leaseMs: Type.Integer({
    default: 30_000,
    minimum: 200,
    description:
      'How long the process that runs a job may show no sign of life before another takes it over: after a crash its jobs go on this late.',
  }),
  drainTimeoutSec: Type.Integer({
    default: 20,
    minimum: 0,
    description: 'How long running jobs may take to come to a stop when the process ends.',
  }),
  keepDoneDays: Type.Number({
    default: 7,
    minimum: 0,
    description: 'How long finished jobs can be asked for; protects the database from growing.',
  }),
  keepDeadDays: Type.Number({
    default: 60,
    minimum: 0,
    description: 'How long jobs that have failed for good can be looked at and retried.',
  }),
})
export type WorkerOptions = Static<typeof workerOptions>

/** How jobs of one kind are run. */
export type JobHandler = {
  /**
   * Does the job; runs again after an interruption, so that each effect outside of `step` has to be idempotent (keyed
   * by the job's id and the step). Throwing makes the job wait for its next attempt.
   */
  run(running: RunningJob): Promise<void>
  /** Jobs of the kind that one process runs at a time. */
  concurrency: number
  /** Then the job is dead: it is kept, with the last error, until somebody retries it. */
  maxAttempts: number
  /** Wait before the second attempt; it doubles with each further one. */
  firstRetryMs: number
  maxRetryMs: number
}

/** Thrown by a handler that knows when the next attempt is worth it, e.g. from `Retry-After`. */
export class RetryIn extends Error {
  readonly delayMs: number
  constructor(delayMs: number, reason: string) {
    super(reason)
    this.delayMs = delayMs
  }
}

/** Thrown by a handler that has to wait for something first: the attempt does not count. */
export class Postpone extends Error {
  readonly delayMs: number
  constructor(delayMs: number, reason: string) {
    super(reason)
    this.delayMs = delayMs
  }
}

/** Thrown by a handler when no further attempt can help: the job is dead at once. */
export class GiveUp extends Error {}

/** How an attempt has ended: `given-back` when the process stops or another has the job. */
export type RunOutcome = 'done' | 'retried' | 'postponed' | 'dead' | 'given-back'

export type Worker = {
  start(): void
  /** Looks at the queue now. */
  poke(): void
  /** Claims no more jobs, asks the running ones to stop, and gives back what has not ended in time. */
  drain(): Promise<void>
}

type Run = {
  lease: Lease
  kind: string
  abort: AbortController
  ended: Promise<void>
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SWEPT_AT_ONCE = 500
/** A job that waits for its second attempt and its like may be this much early or late, so that they spread. */
const JITTER = 0.2
const CRASHED = 'The process that ran the job ended or lost its database.'

/**
 * Runs jobs from the queue of `store`, each kind by its handler. Any number of processes may do so at once.
 *
 * Who holds a job beats; whoever sees no beat for `leaseMs`, by its own monotonic clock, takes the job over. Nobody's
 * wall clock has a say in it.
 */
export function createWorker(
  options: WorkerOptions,
  deps: {
    store: Store
    handlers: Record<string, JobHandler>
    ids: Ids
    clock: Clock
    log: Log
    /** Is told of each attempt that has ended. */
    observe?: (run: { kind: string; outcome: RunOutcome; durationMs: number }) => void
    /** Has a span for each attempt. */
    tracer?: Tracer | undefined
    /** Numbers below 1, for jitter. */
    random?: () => number
  },
): Worker {
  const { store, handlers, ids, clock, log, observe, tracer, random = Math.random } = deps
  const { jobs } = store
  const kinds = Object.keys(handlers)
  /** By lease: after a lost lease, this process may get the same job while its first handler has not ended yet. */
  const runs = new Map<string, Run>()
  const runningOfKind = new Map<string, number>()
  /** By lease: the last beat of other processes' jobs, and since when it is the last. */
  const seen = new Map<string, { beats: number; sinceMs: number }>()
  const beatMs = options.leaseMs / 4
  const claiming = createAlarm()
  const tending = createAlarm()
  let loops: Promise<void>[] = []
  let state: 'idle' | 'started' | 'draining' = 'idle'
  let hasEnded = false
  let firstKind = 0
  let lastBeatMs = 0
  /** The one job that this process took from a silent one and that has not come to an end yet. */
  let suspect: string | undefined
  let sweptAtMs = Number.NEGATIVE_INFINITY
  let unlisten: (() => void) | undefined

  const freePlaces = (kind: string) => handlers[kind]!.concurrency - (runningOfKind.get(kind) ?? 0)

  const isRunning = (id: string) => [...runs.values()].some((each) => each.lease.id === id)

  const poke = () => claiming.wake()

  /** Claims what is due, from each kind as much as it has places, and gives the milliseconds until the next look. */
  async function claimDue(): Promise<number> {
    // Another kind comes first each time, so that none has to wait for the others' claims.
    firstKind = (firstKind + 1) % Math.max(kinds.length, 1)
    const open = kinds.filter((kind) => freePlaces(kind) > 0)
    const dueAt = await jobs.nextRuns(open)
    let waitMs = options.pollMs
    for (const kind of [...kinds.slice(firstKind), ...kinds.slice(0, firstKind)]) {
      const runAtMs = dueAt.get(kind)
      if (runAtMs === undefined || state !== 'started') continue
      const nowMs = clock.now()
      if (runAtMs > nowMs) {
        waitMs = Math.min(waitMs, runAtMs - nowMs)
        continue
      }
      const limit = freePlaces(kind)
      const claimed = await jobs.claim({ kind, limit, nowMs, leaseToken: ids.token(24) })
      for (const job of claimed) begin(job)
      // When fewer came than there is room for, the next look finds out when the others are due.
      if (claimed.length > 0 && claimed.length < limit) waitMs = 0
    }
    return waitMs
  }

  function begin(job: Job) {
    const lease: Lease = { id: job.id, leaseToken: job.leaseToken! }
    const abort = new AbortController()
    runningOfKind.set(job.kind, (runningOfKind.get(job.kind) ?? 0) + 1)
    const ended = run(job, lease, abort.signal)
      .catch((error: unknown) =>
        log.error({ err: error, job: job.id, kind: job.kind }, 'lost track of a job'),
      )
      .finally(() => {
        runs.delete(keyOf(lease))
        runningOfKind.set(job.kind, runningOfKind.get(job.kind)! - 1)
        poke()
        if (suspect === job.id) {
          suspect = undefined
          tending.wake()
        }
      })
    runs.set(keyOf(lease), { lease, kind: job.kind, abort, ended })
  }

  async function run(job: Job, lease: Lease, signal: AbortSignal): Promise<void> {
    const handler = handlers[job.kind]!
    const fields = { job: job.id, kind: job.kind, attempt: job.attempts }
    // It took its process down each time: it is not tried once more.
    if (job.attempts > handler.maxAttempts) {
      await end(() => jobs.bury(lease, { nowMs: clock.now(), error: job.lastError ?? CRASHED }), signal)
      log.error(fields, 'a job is dead: it never came to an end')
      return
    }
    const values = { 'job.id': job.id, 'job.attempt': job.attempts }
    const span = tracer?.begin(`job ${job.kind}`, { kind: 'consumer', values })
    const startMs = performance.now()
    const tell = (outcome: RunOutcome) =>
      observe?.({ kind: job.kind, outcome, durationMs: performance.now() - startMs })
    try {
      const work = () => handler.run(createRunningJob(job, lease, signal))
      await (span ? span.within(work) : work())
      span?.end()
    } catch (error) {
      span?.end(error)
      tell(await fail(job, lease, signal, error))
      return
    }
    tell('done')
    if (!(await end(() => jobs.complete(lease, clock.now()), signal))) {
      log.warn(fields, 'a job was finished after another worker had taken it over')
    }
  }

  async function fail(job: Job, lease: Lease, signal: AbortSignal, error: unknown): Promise<RunOutcome> {
    const { maxAttempts, firstRetryMs, maxRetryMs } = handlers[job.kind]!
    const fields = { err: error, job: job.id, kind: job.kind, attempt: job.attempts }
    if (signal.aborted) {
      // The process stops; where the lease is lost, there is nothing to give back.
      await end(() => jobs.release(lease), undefined)
      return 'given-back'
    }
    const message = error instanceof Error ? error.message : String(error)
    if (error instanceof Postpone) {
      await end(() => jobs.postpone(lease, clock.now() + Math.round(error.delayMs)), signal)
      log.debug({ ...fields, delayMs: Math.round(error.delayMs) }, 'a job waits')
      return 'postponed'
    }
    if (error instanceof GiveUp || job.attempts >= maxAttempts) {
      await end(() => jobs.bury(lease, { nowMs: clock.now(), error: message }), signal)
      log.error(fields, 'a job is dead')
      return 'dead'
    }
    const backoffMs = Math.min(maxRetryMs, firstRetryMs * 2 ** (job.attempts - 1))
    const delayMs = error instanceof RetryIn ? error.delayMs : backoffMs * (1 + JITTER * (2 * random() - 1))
    const runAtMs = clock.now() + Math.round(delayMs)
    await end(() => jobs.retry(lease, { runAtMs, error: message }), signal)
    log.warn({ ...fields, delayMs: Math.round(delayMs) }, 'a job failed and will be tried again')
    return 'retried'
  }

  /** Writes how a job ended, through short outages of the database; a lost lease ends the trying. */
  async function end(write: () => Promise<boolean>, signal: AbortSignal | undefined): Promise<boolean> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await write()
      } catch (error) {
        if (signal === undefined || signal.aborted || attempt === 8) throw error
        await pause(50 * 2 ** attempt)
      }
    }
  }

  function createRunningJob(job: Job, lease: Lease, signal: AbortSignal): RunningJob {
    let current = job
    return {
      get job() {
        return current
      },
      signal,
      async step(work) {
        signal.throwIfAborted()
        const progress = await store.transaction(async (tx) => {
          const reached = await work(tx)
          if (!(await tx.jobs.save(lease, reached))) throw new LeaseLost()
          return reached
        })
        current = { ...current, progress }
      },
    }
  }

  /** Beats for the running jobs, and takes over those whose holder has gone silent. */
  async function tend() {
    const held = [...runs.values()]
    const beganMs = performance.now()
    try {
      const kept = await jobs.beat(held.map((each) => each.lease))
      lastBeatMs = beganMs
      for (const each of held) {
        if (!kept.has(keyOf(each.lease))) each.abort.abort(new LeaseLost())
      }
      if (state === 'started') {
        await takeOver()
        await sweep()
      }
    } catch (error) {
      log.warn({ err: error }, 'the queue of jobs cannot be reached')
      // Others may have taken the jobs by now: what is not fenced by a step must end.
      if (performance.now() - lastBeatMs > options.leaseMs * 0.75) {
        for (const each of held) each.abort.abort(new LeaseLost())
      }
    }
  }

  async function takeOver() {
    const running = await jobs.running()
    const nowMs = performance.now()
    const silent = running.filter((job) => {
      const key = keyOf(job)
      if (runs.has(key)) return false
      const before = seen.get(key)
      if (before?.beats === job.beats) return nowMs - before.sinceMs >= options.leaseMs
      seen.set(key, { beats: job.beats, sinceMs: nowMs })
      return false
    })
    const known = new Set(running.map(keyOf))
    for (const key of seen.keys()) if (!known.has(key)) seen.delete(key)

    // One of these may be what takes processes down. Run one by one, it does not take the innocent with it again.
    if (suspect !== undefined && !isRunning(suspect) && (await jobs.byId(suspect))?.state !== 'ready') {
      suspect = undefined
    }
    for (const { id, kind, leaseToken, beats, attempts } of silent) {
      if (suspect !== undefined) return
      const dead = attempts >= (handlers[kind]?.maxAttempts ?? Number.POSITIVE_INFINITY)
      const taken = { id, leaseToken, beats, dead, nowMs: clock.now(), error: CRASHED }
      if (!(await jobs.takeBack(taken))) continue
      log.warn({ job: id, kind, attempts, dead }, 'took a job back from a worker that went silent')
      if (dead || handlers[kind] === undefined) continue
      suspect = id
      poke()
    }
  }

  async function sweep() {
    if (performance.now() - sweptAtMs < HOUR_MS) return
    const nowMs = clock.now()
    const swept = await jobs.sweep({
      doneBeforeMs: nowMs - options.keepDoneDays * DAY_MS,
      deadBeforeMs: nowMs - options.keepDeadDays * DAY_MS,
      limit: SWEPT_AT_ONCE,
    })
    if (swept < SWEPT_AT_ONCE) sweptAtMs = performance.now()
  }

  async function runLoop() {
    while (state === 'started') {
      let waitMs = options.pollMs
      try {
        waitMs = await claimDue()
      } catch (error) {
        log.warn({ err: error }, 'the queue of jobs cannot be reached')
      }
      if (state === 'started') await claiming.wait(waitMs)
    }
  }

  async function tendLoop() {
    // Beats go on until the last job has ended, so that nobody takes over what is still running.
    while (!hasEnded) {
      await tend()
      if (!hasEnded) await tending.wait(beatMs)
    }
  }

  return {
    start() {
      if (state !== 'idle') return
      state = 'started'
      lastBeatMs = performance.now()
      unlisten = store.onEnqueued(poke)
      loops = [runLoop(), tendLoop()]
    },
    poke,
    async drain() {
      if (state !== 'started') return
      state = 'draining'
      unlisten?.()
      poke()
      await loops[0]
      for (const each of runs.values()) each.abort.abort(new Stopping())
      const ended = Promise.all([...runs.values()].map((each) => each.ended))
      await Promise.race([ended, pause(options.drainTimeoutSec * 1000)])
      hasEnded = true
      tending.wake()
      await loops[1]
      for (const { lease, kind } of runs.values()) {
        log.warn({ job: lease.id, kind }, 'a job did not come to a stop in time and is given back')
        await jobs.release(lease).catch(() => false)
      }
    },
  }
}

/** A wait that can be cut short; a call of `wake` while nobody waits cuts the next wait short. */
function createAlarm() {
  let isWoken = false
  let end: (() => void) | undefined
  return {
    wake() {
      isWoken = true
      end?.()
    },
    async wait(atMostMs: number) {
      if (!isWoken) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, atMostMs).unref()
          end = () => {
            clearTimeout(timer)
            resolve()
          }
        })
        end = undefined
      }
      isWoken = false
    },
  }
}

function keyOf({ id, leaseToken }: Lease): string {
  return `${id} ${leaseToken}`
}

class LeaseLost extends Error {
  constructor() {
    super('another worker has the job now')
  }
}

class Stopping extends Error {
  constructor() {
    super('the process stops')
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs).unref()
  })
}
