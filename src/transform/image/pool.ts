import { type ErrorKind, TintypeError } from '../../kernel/errors.ts'
import { forkModule, type ModuleProcess } from '../../kernel/exec.ts'
import type { Log } from '../../kernel/log.ts'
import type { Job, JobResult, Reply } from './job.ts'

export type PoolOptions = {
  /** Most processes at once. */
  processes: number
  /** Most jobs that wait. */
  queue: number
  /** Bytes that the running jobs may need together, as estimated. */
  memoryBytes: number
  /** Jobs after which a process is replaced, so that fragmentation of its memory ends with it. */
  jobsPerProcess: number
  /** A process that takes more than this after a job is replaced. */
  idleBytes: number
  /** Called when the first process starts. */
  env: () => Record<string, string>
  execArgv: string[]
  module: URL
}

export type Ticket = {
  job: Job
  timeoutMs: number
  /** What the job may need at its peak. */
  estimatedBytes: number
  /** The process is killed when it takes more than this, all told. */
  limitBytes: number
  /** The process is replaced afterwards: the job leaves something behind, such as a font or much memory. */
  spendsProcess: boolean
  /** Identifies the source, so that a file that crashes processes is not tried for ever. */
  sourceKey: string
}

export type Pool = {
  /**
   * Runs a job when a process and enough memory are free.
   * @throws TintypeError unavailable when the queue is full, bad-request for what the file itself is to blame for.
   */
  run(ticket: Ticket): Promise<JobResult>
  readonly waiting: number
  close(): Promise<void>
}

type Waiting = Ticket & { resolve(result: JobResult): void; reject(error: TintypeError): void }
type Worker = {
  process: ModuleProcess
  ready: boolean
  current: { id: number; ticket: Waiting; stopWatching(): void } | undefined
  jobsDone: number
}

/** Crashes and time-outs after which a file is refused without being tried, for a while. */
const MAX_FAILURES = 2
const QUARANTINE_MS = 10 * 60_000
const MAX_REMEMBERED_FAILURES = 1000
/** How often the memory of a process at work is looked at: between two looks it grows by some tens of megabytes. */
const WATCH_MS = 50
/** How long a process may take to start before it counts as broken. */
const START_TIMEOUT_MS = 20_000

/** Creates a pool of render processes. None starts before the first job. */
export function createPool(options: PoolOptions, log: Log): Pool {
  const workers = new Set<Worker>()
  const waiting: Waiting[] = []
  const failures = new Map<string, { count: number; lastMs: number }>()
  let reservedBytes = 0
  let nextId = 1
  let closed = false

  function fork(): Worker {
    const process = forkModule({ module: options.module, env: options.env(), execArgv: options.execArgv })
    const worker: Worker = { process, ready: false, current: undefined, jobsDone: 0 }
    workers.add(worker)
    const startTimer = setTimeout(() => process.kill(), START_TIMEOUT_MS)
    process.onMessage((message) => {
      const reply = message as Reply
      if (reply.id === 0) {
        clearTimeout(startTimer)
        worker.ready = true
        pump()
      } else finish(worker, reply)
    })
    process.onExit(({ exitCode, signal }) => {
      clearTimeout(startTimer)
      workers.delete(worker)
      const { current } = worker
      if (current) {
        current.stopWatching()
        release(current.ticket)
        blame(current.ticket)
        log.warn({ exitCode, signal, source: current.ticket.sourceKey }, 'a render process died')
        current.ticket.reject(corrupt('The image could not be transformed: decoding it failed.'))
        replace()
      } else if (!worker.ready && !closed) {
        log.error({ exitCode, signal }, 'a render process could not be started')
        const error = new TintypeError('unavailable', 'Images cannot be transformed at the moment.', {
          headers: { 'retry-after': '5' },
        })
        for (const ticket of waiting.splice(0)) ticket.reject(error)
      }
      pump()
    })
    return worker
  }

  /** After one that was ended there is one to come: the next picture need not wait for all of its start (trust C11). */
  function replace() {
    const isThere = [...workers].some((worker) => !worker.current)
    if (!closed && !isThere && workers.size < options.processes) fork()
  }

  function release(ticket: Ticket) {
    reservedBytes -= ticket.estimatedBytes
  }

  function blame({ sourceKey }: Ticket) {
    if (failures.size >= MAX_REMEMBERED_FAILURES) failures.delete(failures.keys().next().value!)
    failures.set(sourceKey, { count: (failures.get(sourceKey)?.count ?? 0) + 1, lastMs: performance.now() })
  }

  /** A file that keeps taking processes down is left alone for a while, then has one try at a time. */
  function isQuarantined(sourceKey: string): boolean {
    const known = failures.get(sourceKey)
    return (
      known !== undefined && known.count >= MAX_FAILURES && performance.now() - known.lastMs < QUARANTINE_MS
    )
  }

  function finish(worker: Worker, reply: Reply) {
    const { current } = worker
    if (!current || current.id !== reply.id) return
    current.stopWatching()
    worker.current = undefined
    worker.jobsDone += 1
    release(current.ticket)
    if (reply.ok) current.ticket.resolve(reply.result)
    else {
      current.ticket.reject(
        new TintypeError(reply.kind as ErrorKind, reply.message, reply.cause ? { cause: reply.cause } : {}),
      )
    }
    const isSpent =
      current.ticket.spendsProcess ||
      worker.jobsDone >= options.jobsPerProcess ||
      (worker.process.residentBytes() ?? 0) > options.idleBytes
    if (isSpent) {
      workers.delete(worker)
      worker.process.kill()
    }
    pump()
  }

  function start(worker: Worker, ticket: Waiting) {
    const id = nextId++
    reservedBytes += ticket.estimatedBytes
    const stop = (message: string) => {
      stopWatching()
      // Nothing inside can stop a decoder that runs wild (trust E1, E2).
      worker.current = undefined
      workers.delete(worker)
      worker.process.kill()
      release(ticket)
      blame(ticket)
      ticket.reject(corrupt(message))
      replace()
      pump()
    }
    const timer = setTimeout(() => stop('The image could not be transformed in time.'), ticket.timeoutMs)
    // What a file costs does not always show in its headers: pictures inside of a drawing, filters over all of it.
    const watch = setInterval(() => {
      if ((worker.process.residentBytes() ?? 0) > ticket.limitBytes) {
        stop('The image takes too much memory to be transformed.')
      }
    }, WATCH_MS)
    const stopWatching = () => {
      clearTimeout(timer)
      clearInterval(watch)
    }
    worker.current = { id, ticket, stopWatching }
    worker.process.send({ id, job: ticket.job })
  }

  /** Hands waiting jobs to idle processes, oldest first. A job that needs too much memory holds back those behind it. */
  function pump() {
    while (!closed && waiting.length > 0) {
      const next = waiting[0]!
      if (reservedBytes > 0 && reservedBytes + next.estimatedBytes > options.memoryBytes) return
      const idle = [...workers].find((worker) => worker.ready && !worker.current)
      if (!idle) {
        const starting = [...workers].filter((worker) => !worker.ready).length
        if (workers.size < options.processes && starting < waiting.length) fork()
        return
      }
      waiting.shift()
      start(idle, next)
    }
  }

  return {
    get waiting() {
      return waiting.length
    },
    run(ticket) {
      if (closed) return Promise.reject(new TintypeError('unavailable', 'The server is shutting down.'))
      if (isQuarantined(ticket.sourceKey)) {
        return Promise.reject(corrupt('The image cannot be transformed: decoding it failed before.'))
      }
      if (waiting.length >= options.queue) {
        return Promise.reject(
          new TintypeError('unavailable', 'Too many images are being transformed. Please try again.', {
            headers: { 'retry-after': '1' },
          }),
        )
      }
      return new Promise((resolve, reject) => {
        waiting.push({ ...ticket, resolve, reject })
        pump()
      })
    },
    async close() {
      closed = true
      const error = new TintypeError('unavailable', 'The server is shutting down.')
      for (const ticket of waiting.splice(0)) ticket.reject(error)
      const exits = [...workers].map(
        (worker) =>
          new Promise<void>((resolve) => {
            worker.process.onExit(() => resolve())
            worker.process.kill()
          }),
      )
      await Promise.all(exits)
    },
  }
}

function corrupt(message: string): TintypeError {
  return new TintypeError('bad-request', message)
}
