import { TintypeError } from '../../kernel/errors.ts'
import { forkModule, type ModuleProcess } from '../../kernel/exec.ts'
import type { Log } from '../../kernel/log.ts'
import { createSlots } from '../../kernel/slots.ts'
import type { PixelJob, PixelReply, PixelResult } from './job.ts'

/** The parent's end of the pixel process: one job at a time, since one model already takes the processors there are. */
export type Pixels = {
  /**
   * @throws TintypeError unavailable when too many jobs wait, timeout, unsupported for what the picture is to blame
   * for, internal for what the model is.
   */
  run<Job extends PixelJob>(job: Job, signal: AbortSignal): Promise<PixelResult<Job>>
  close(): Promise<void>
}

export type PixelOptions = {
  /** For one job, loading the model included; then the process is killed. */
  timeoutMs: number
  /** Jobs that wait at most; each for no longer than `timeoutMs`. */
  queue: number
  /** The process ends after so long without a job, and the memory of its models with it. */
  idleMs: number
}

const MODULE = new URL('./pixel-process.ts', import.meta.url)

/** @param module what runs in the process; another one only to see what happens when it dies. */
export function createPixels(options: PixelOptions, log: Log, module = MODULE): Pixels {
  const slots = createSlots({
    max: 1,
    maxPerShare: 1,
    maxWaiting: options.queue,
    maxWaitMs: options.timeoutMs,
    busyMessage: 'Too many extensions are running at the moment.',
  })
  let child: ModuleProcess | undefined
  let current: { id: number; reply(reply: PixelReply): void; exit(error: TintypeError): void } | undefined
  let idleTimer: NodeJS.Timeout | undefined
  let nextId = 1

  function start(): ModuleProcess {
    const started = forkModule({ module })
    started.onMessage((message) => {
      const reply = message as PixelReply
      if (current?.id === reply.id) current.reply(reply)
    })
    started.onExit(({ exitCode, signal }) => {
      if (child !== started) return
      child = undefined
      const cause = new Error(`exit code ${exitCode}, signal ${signal}`)
      log.warn({ exitCode, signal }, 'the process that runs models died')
      // A crash in a decoder or for want of memory comes as a signal; an exit is our own process that cannot start.
      current?.exit(signal === null ? unusable(cause) : unreadable(cause))
    })
    return started
  }

  function stop() {
    const stopped = child
    child = undefined
    stopped?.kill()
  }

  async function runOne(job: PixelJob, signal: AbortSignal): Promise<PixelResult> {
    clearTimeout(idleTimer)
    child ??= start()
    const id = nextId++
    const { promise, resolve, reject } = Promise.withResolvers<PixelResult>()
    const giveUp = () => {
      // Nothing inside can stop a decoder or a model that runs wild.
      stop()
      reject(late(signal.reason))
    }
    const timer = setTimeout(giveUp, options.timeoutMs)
    signal.addEventListener('abort', giveUp, { once: true })
    current = {
      id,
      reply: (reply) => ('result' in reply ? resolve(reply.result) : reject(failedJob(reply.error))),
      exit: reject,
    }
    child.send({ id, job })
    try {
      return await promise
    } finally {
      current = undefined
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
      idleTimer = setTimeout(stop, options.idleMs).unref()
    }
  }

  return {
    async run<Job extends PixelJob>(job: Job, signal: AbortSignal) {
      let release: (() => void) | undefined
      try {
        release = await slots.take(undefined, signal)
        return (await runOne(job, signal)) as PixelResult<Job>
      } catch (error) {
        if (error instanceof TintypeError) throw error
        throw late(error)
      } finally {
        release?.()
      }
    },
    async close() {
      clearTimeout(idleTimer)
      stop()
    },
  }
}

function failedJob({
  blame,
  message,
  detail,
}: {
  blame: 'image' | 'model'
  message: string
  detail: string
}) {
  const cause = new Error(`${message}: ${detail}`)
  return blame === 'image' ? unreadable(cause) : unusable(cause)
}

function unusable(cause: unknown): TintypeError {
  return new TintypeError('internal', 'The model of this server could not be used.', { cause })
}

function late(cause: unknown): TintypeError {
  return new TintypeError('timeout', 'The extension was not done in time.', { cause })
}

function unreadable(cause: unknown): TintypeError {
  return new TintypeError(
    'unsupported',
    'The image could not be read: it is corrupt, too large or not supported.',
    {
      cause,
    },
  )
}
