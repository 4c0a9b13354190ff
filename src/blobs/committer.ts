import { Worker } from 'node:worker_threads'

/** The memory goes to the thread with the request, and comes back with the answer. */
export type CommitRequest = {
  id: number
  bytes: ArrayBuffer
  length: number
  draft: string
  path: string
}

export type CommitAnswer = {
  id: number
  bytes: ArrayBuffer
  /** What the file system said; an error itself would arrive without its code. */
  failure: { message: string; code: string; errno: number; syscall: string } | undefined
}

/** Puts blobs that are in memory into place. */
export type Committer = {
  /**
   * Makes the first `length` bytes durable under `path`: written to `draft` (a new file on the same volume), synced,
   * renamed, folder synced. Views of the memory are empty from here on. Leaves no draft when it fails.
   * @returns the memory, for the next one.
   * @throws an error of the file system, with its `code` and `syscall`.
   */
  commit(request: Omit<CommitRequest, 'id'>): Promise<ArrayBuffer>
  close(): Promise<void>
}

/**
 * One thread that waits for the disk on behalf of all small uploads: on the main thread each of the six calls of one
 * would wait for its turn behind the requests that arrive meanwhile. It starts with the first upload.
 */
export function createCommitter(): Committer {
  let worker: Worker | undefined
  let nextId = 0
  const waiting = new Map<number, PromiseWithResolvers<ArrayBuffer>>()

  function fail(cause: unknown) {
    worker = undefined
    const waiters = [...waiting.values()]
    waiting.clear()
    for (const waiter of waiters) waiter.reject(cause)
  }

  function startWorker(): Worker {
    const started = new Worker(new URL('./commit-worker.js', import.meta.url), {
      name: 'commit',
      execArgv: [],
    })
    started.unref()
    started.on('message', ({ id, bytes, failure }: CommitAnswer) => {
      const waiter = waiting.get(id)
      waiting.delete(id)
      if (failure) waiter?.reject(Object.assign(new Error(failure.message), failure))
      else waiter?.resolve(bytes)
    })
    started.on('error', fail)
    started.on('exit', () => {
      if (worker === started) fail(new Error('the thread that commits blobs has ended'))
    })
    return started
  }

  return {
    commit(request) {
      worker ??= startWorker()
      const id = nextId++
      const waiter = Promise.withResolvers<ArrayBuffer>()
      waiting.set(id, waiter)
      worker.postMessage({ id, ...request } satisfies CommitRequest, [request.bytes])
      return waiter.promise
    },
    async close() {
      const target = worker
      await Promise.allSettled([...waiting.values()].map(({ promise }) => promise))
      worker = undefined
      await target?.terminate()
    },
  }
}
