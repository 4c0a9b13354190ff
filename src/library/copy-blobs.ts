import type { Blobs } from '../blobs/blobs.ts'
import { TintypeError } from '../kernel/errors.ts'
import { inParallel } from '../kernel/in-parallel.ts'
import type { BlobInUse, Store } from '../store/store.ts'

/** Blobs that are copied or hashed at a time: enough to keep a disk or a network busy, few enough for their memory. */
export const BLOBS_AT_ONCE = 8

/** Blobs that one query gives. */
const PAGE = 500

export type CopyReport = {
  copied: number
  copiedBytes: number
  /** Those that were there already, of an earlier run. */
  present: number
  /** Blobs that could not be copied, since their bytes are gone or not theirs. */
  missing: string[]
  damaged: string[]
}

/** How far a long run is. */
export type Progress = { what: string; done: number; total: number; bytes: number }

/** All blobs that versions refer to, page by page. */
export async function* blobsInUse(store: Pick<Store, 'blobsInUse'>): AsyncIterable<BlobInUse> {
  let after = ''
  for (;;) {
    const page = await store.blobsInUse({ after, limit: PAGE })
    yield* page
    if (page.length < PAGE) return
    after = page.at(-1)!.sha256
  }
}

/** How many different blobs there are. */
export async function countBlobs(store: Pick<Store, 'blobsInUse'>): Promise<number> {
  let count = 0
  for await (const _blob of blobsInUse(store)) count += 1
  return count
}

/**
 * Copies blobs from one storage to another, each one hashed on its way. What the other has already, by hash and size,
 * is not copied again, so an interrupted run goes on where it stopped.
 */
export async function copyBlobs(
  wanted: AsyncIterable<BlobInUse>,
  deps: {
    from: Pick<Blobs, 'read'>
    to: Pick<Blobs, 'stat' | 'stage' | 'commit' | 'discard'>
    onProgress?: (done: number, bytes: number) => void
  },
): Promise<CopyReport> {
  const report: CopyReport = { copied: 0, copiedBytes: 0, present: 0, missing: [], damaged: [] }
  let done = 0
  await inParallel(wanted, BLOBS_AT_ONCE, async ({ sha256, sizeBytes }) => {
    const there = await deps.to.stat(sha256)
    if (there?.sizeBytes === sizeBytes) report.present += 1
    else {
      const outcome = await copyBlob(sha256, deps)
      if (typeof outcome === 'number') {
        report.copied += 1
        report.copiedBytes += outcome
      } else report[outcome].push(sha256)
    }
    done += 1
    deps.onProgress?.(done, report.copiedBytes)
  })
  return report
}

/** @returns the size of what was copied, or why it was not. */
async function copyBlob(
  sha256: string,
  { from, to }: Parameters<typeof copyBlobs>[1],
): Promise<number | 'missing' | 'damaged'> {
  const writer = to.stage({ maxBytes: () => Number.POSITIVE_INFINITY })
  try {
    for await (const chunk of await from.read(sha256)) await writer.write(chunk as Buffer)
    const staged = await writer.finish()
    if (staged.sha256 !== sha256) {
      await to.discard(staged)
      return 'damaged'
    }
    await to.commit(staged)
    return staged.sizeBytes
  } catch (error) {
    await writer.abort()
    if (error instanceof TintypeError && error.kind === 'not-found') return 'missing'
    throw error
  }
}
