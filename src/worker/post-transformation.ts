import type { Delivery } from '../delivery/delivery.ts'
import { TintypeError } from '../kernel/errors.ts'
import type { JobOutcome } from '../kernel/job-kinds.ts'
import { joinPath } from '../kernel/paths.ts'
import type { Library, PostPayload, TransformationFailure } from '../library/library.ts'
import type { FileVersion, RunningJob, Store } from '../store/store.ts'

/** What browsers ask with: the derivative depends on it where the format is chosen for them. */
const ACCEPTS = ['image/webp,*/*', '*/*']

export const POST_ATTEMPTS = 5

/**
 * Makes what a URL will be asked for, ahead of time, and tells of it. The derivative lands in the cache at the URL of
 * the event.
 */
export function createPostTransformation(deps: {
  accountId: string
  store: Pick<Store, 'files'>
  library: Pick<Library, 'events'>
  delivery: Pick<Delivery, 'deliver'>
}): (running: RunningJob) => Promise<JobOutcome> {
  const { accountId, store, library, delivery } = deps

  async function make(file: FileVersion, query: string): Promise<TransformationFailure | undefined> {
    const target = `/${accountId}${pathOf(file)}${query}`
    try {
      for (const accept of ACCEPTS) await delivery.deliver({ target, headers: { accept }, isTrusted: true })
      return undefined
    } catch (error) {
      if (!(error instanceof TintypeError) || error.kind === 'unavailable' || error.kind === 'no-space') {
        throw error
      }
      if (error.kind === 'internal') return 'internal_server_error'
      return error.kind === 'not-found' ? 'download_failed' : 'encoding_failed'
    }
  }

  return async (running) => {
    const { job } = running
    const { fileId, transformation, origin } = job.payload as PostPayload
    // It crashed between its step and its end; in its first attempt, somebody has made it ready again.
    if (job.progress.isTold === true && job.attempts > 1) return { kind: 'done' }
    const file = await store.files.byId(fileId)
    if (!file) return { kind: 'done' }
    const query = `?tr=${queryValueOf(transformation.value ?? '')}`
    let failure: TransformationFailure | undefined
    try {
      failure = await make(file, query)
    } catch (error) {
      running.signal.throwIfAborted()
      if (job.attempts < POST_ATTEMPTS) throw error
      failure = 'internal_server_error'
    }
    const outbox = await library.events.open()
    const { name, folderPath } = file
    const url = `${origin.endpoint}${pathOf(file)}${query}`
    const told = { fileId, name, url, transformation, requestId: origin.requestId }
    await running.step(async (tx) => {
      await outbox.add(
        tx,
        failure === undefined
          ? { type: 'upload.post-transform.success', ...told }
          : { type: 'upload.post-transform.error', ...told, folderPath, reason: failure },
      )
      return { isTold: true }
    })
    return failure === undefined ? { kind: 'done' } : { kind: 'give-up', reason: failure }
  }
}

function pathOf({ folderPath, name }: FileVersion): string {
  return encodeURI(joinPath(folderPath, name))
}

/** A transformation as the value of a query parameter; what is percent-encoded already stays so. */
export function queryValueOf(transformation: string): string {
  return transformation
    .trim()
    .replace(/^tr:/, '')
    .split(/(%[0-9a-f]{2})/i)
    .map((part, at) => (at % 2 === 1 ? part : encodeURI(part).replace(/[&#+?]/g, encodeURIComponent)))
    .join('')
}
