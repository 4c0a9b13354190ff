import { Worker } from 'node:worker_threads'
import { TintypeError } from '../kernel/errors.ts'

/** What the thread is asked for. `update` names bytes in shared memory, so that none are copied. */
export type HashRequest =
  | { op: 'update'; stream: number; bytes: SharedArrayBuffer; length: number }
  | { op: 'digest'; stream: number }
  | { op: 'drop'; stream: number }

/** One answer for each `update` (no digest) and each `digest`, in the order of the requests. */
export type HashAnswer = { stream: number; digest?: string }

/** The SHA-256 of one stream of bytes, computed on another thread. */
export type StreamHash = {
  /** Takes `length` bytes; resolves when the memory may be written to again. */
  update(bytes: SharedArrayBuffer, length: number): Promise<void>
  /** Lower-case hex. Ends the stream. */
  digest(): Promise<string>
  /** Forgets the stream. */
  drop(): void
}

export type Hasher = { start(): StreamHash; close(): Promise<void> }

type Waiter = { resolve: (digest: string | undefined) => void; reject: (error: Error) => void }

/**
 * One worker thread that hashes all large uploads, so that the main thread answers requests meanwhile. It starts
 * with the first large upload: a server that sees none does not pay its memory.
 */
export function createHasher(): Hasher {
  let worker: Worker | undefined
  let nextStream = 0
  const waiting = new Map<number, Waiter[]>()

  function fail(cause: unknown) {
    worker = undefined
    const waiters = [...waiting.values()].flat()
    waiting.clear()
    for (const waiter of waiters) {
      waiter.reject(new TintypeError('internal', 'The upload could not be processed.', { cause }))
    }
  }

  function startWorker(): Worker {
    const started = new Worker(new URL('./hash-worker.js', import.meta.url), { name: 'hash', execArgv: [] })
    started.unref()
    started.on('message', (answer: HashAnswer) => waiting.get(answer.stream)?.shift()?.resolve(answer.digest))
    started.on('error', (error) => fail(error))
    started.on('exit', () => {
      if (worker === started) fail(new Error('hash worker ended'))
    })
    return started
  }

  function ask(request: Exclude<HashRequest, { op: 'drop' }>): Promise<string | undefined> {
    worker ??= startWorker()
    const target = worker
    return new Promise((resolve, reject) => {
      const waiters = waiting.get(request.stream)
      if (!waiters) {
        reject(new TintypeError('internal', 'The upload could not be processed.'))
        return
      }
      waiters.push({ resolve, reject })
      target.postMessage(request)
    })
  }

  return {
    start() {
      const stream = nextStream++
      waiting.set(stream, [])
      return {
        async update(bytes, length) {
          await ask({ op: 'update', stream, bytes, length })
        },
        async digest() {
          const digest = await ask({ op: 'digest', stream })
          waiting.delete(stream)
          if (digest === undefined) throw new TintypeError('internal', 'The upload could not be processed.')
          return digest
        },
        drop() {
          if (waiting.delete(stream)) worker?.postMessage({ op: 'drop', stream } satisfies HashRequest)
        },
      }
    },
    async close() {
      const target = worker
      fail(new Error('the hasher was closed'))
      await target?.terminate()
    },
  }
}
