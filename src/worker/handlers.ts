import type { Delivery } from '../delivery/delivery.ts'
import type { JobKind } from '../kernel/job-kinds.ts'
import type { Library, PurgePayload } from '../library/library.ts'
import type { JobHandler } from './worker.ts'

const MINUTE_MS = 60_000

/** What runs each kind of job. */
export function createHandlers({
  library,
  delivery,
}: {
  library: Library
  delivery: Delivery
}): Record<JobKind, JobHandler> {
  const { folders } = library
  // Long, and mostly waiting for the database, which has one writer at best.
  const bulk = { concurrency: 2, maxAttempts: 5, firstRetryMs: 1000, maxRetryMs: 5 * MINUTE_MS }
  const quick = { concurrency: 2, maxAttempts: 5, firstRetryMs: 1000, maxRetryMs: 5 * MINUTE_MS }
  return {
    'cache.purge': {
      ...quick,
      async run({ job }) {
        const payload = job.payload as PurgePayload
        await ('blobs' in payload ? delivery.forget(payload.blobs) : delivery.purge(payload))
      },
    },
    'folder.copy': { ...bulk, run: folders.runCopy },
    'folder.move': { ...bulk, run: folders.runMove },
    'folder.rename': { ...bulk, run: folders.runRename },
    'folder.delete': { ...bulk, run: folders.runDelete },
  }
}
