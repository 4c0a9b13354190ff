import type { Delivery } from '../delivery/delivery.ts'
import type { JobKind, JobOutcome } from '../kernel/job-kinds.ts'
import type { Library, PurgePayload, WebhookOptions } from '../library/library.ts'
import type { RunningJob } from '../store/store.ts'
import { GiveUp, type JobHandler, Postpone, RetryIn } from './worker.ts'

const MINUTE_MS = 60_000

/** Deliveries of webhooks that one process runs at a time; most of them wait for receivers. */
export const WEBHOOKS_AT_ONCE = 32
/** With waits that double from 5 s on, the last attempt falls within 24 hours. */
const WEBHOOK_ATTEMPTS = 15

/** What runs each kind of job. */
export function createHandlers({
  library,
  delivery,
  webhooks,
}: {
  library: Library
  delivery: Delivery
  webhooks: Pick<WebhookOptions, 'firstRetryMs'>
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
    'webhook.deliver': {
      concurrency: WEBHOOKS_AT_ONCE,
      maxAttempts: WEBHOOK_ATTEMPTS,
      firstRetryMs: webhooks.firstRetryMs,
      maxRetryMs: 12 * 60 * MINUTE_MS,
      run: settling(library.webhooks.deliver),
    },
  }
}

/** Says to the worker what an attempt that does not throw has come to. */
function settling(attempt: (running: RunningJob) => Promise<JobOutcome>): JobHandler['run'] {
  return async (running) => {
    const outcome = await attempt(running)
    switch (outcome.kind) {
      case 'done':
        return
      case 'retry':
        throw outcome.delayMs === undefined
          ? new Error(outcome.reason)
          : new RetryIn(outcome.delayMs, outcome.reason)
      case 'postpone':
        throw new Postpone(outcome.delayMs, outcome.reason)
      case 'give-up':
        throw new GiveUp(outcome.reason)
    }
  }
}
