import type { Delivery } from '../delivery/delivery.ts'
import type { JobKind, JobOutcome } from '../kernel/job-kinds.ts'
import type { ExtensionRunOptions, Library, WebhookOptions } from '../library/library.ts'
import type { RunningJob, Store } from '../store/store.ts'
import { createPostTransformation, POST_ATTEMPTS } from './post-transformation.ts'
import { GiveUp, type JobHandler, Postpone, RetryIn } from './worker.ts'

const MINUTE_MS = 60_000

/** Deliveries of webhooks that one process runs at a time; most of them wait for receivers. */
export const WEBHOOKS_AT_ONCE = 32
/** Crashes count as attempts too; how often a service is asked is a setting of its own. */
const EXTENSION_ATTEMPTS = 20
/** With waits that double from 5 s on, the last attempt falls within 24 hours. */
const WEBHOOK_ATTEMPTS = 15

/** What runs each kind of job. */
export function createHandlers(deps: {
  accountId: string
  store: Pick<Store, 'files'>
  library: Library
  delivery: Delivery
  purge: JobHandler['run']
  options: {
    webhooks: Pick<WebhookOptions, 'firstRetryMs'>
    extensions: Pick<ExtensionRunOptions, 'firstRetryMs'>
  }
}): Record<JobKind, JobHandler> {
  const { library, options } = deps
  const { folders } = library
  // Long, and mostly waiting for the database, which has one writer at best.
  const bulk = { concurrency: 2, maxAttempts: 5, firstRetryMs: 1000, maxRetryMs: 5 * MINUTE_MS }
  const quick = { concurrency: 2, maxAttempts: 5, firstRetryMs: 1000, maxRetryMs: 5 * MINUTE_MS }
  return {
    // Mostly waiting for the other servers.
    'cache.purge': { ...quick, concurrency: 32, run: deps.purge },
    'derivative.make': {
      ...quick,
      maxAttempts: POST_ATTEMPTS,
      run: settling(createPostTransformation(deps)),
    },
    'extension.run': {
      // Mostly waiting for a service; each may hold a picture in memory.
      concurrency: 4,
      maxAttempts: EXTENSION_ATTEMPTS,
      firstRetryMs: options.extensions.firstRetryMs,
      maxRetryMs: 10 * MINUTE_MS,
      run: settling(library.extensionRuns.run),
    },
    'folder.copy': { ...bulk, run: folders.runCopy },
    'folder.move': { ...bulk, run: folders.runMove },
    'folder.rename': { ...bulk, run: folders.runRename },
    'folder.delete': { ...bulk, run: folders.runDelete },
    'webhook.deliver': {
      concurrency: WEBHOOKS_AT_ONCE,
      maxAttempts: WEBHOOK_ATTEMPTS,
      firstRetryMs: options.webhooks.firstRetryMs,
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
