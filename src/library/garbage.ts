import type { Blobs } from '../blobs/blobs.ts'
import type { Store } from '../store/store.ts'

/** Blobs that are judged by one query. */
const BATCH = 500

export type GarbageReport = { checked: number; removed: number; freedBytes: number }

/**
 * Removes blobs that no version refers to and that are older than the grace period: what an upload leaves behind that
 * died between storing its bytes and its rows, and the bytes of deleted files.
 * @param options.graceMs longer than any upload may take, since bytes come before rows.
 */
export async function collectGarbage(
  options: { graceMs: number; nowMs: number; signal?: AbortSignal },
  { store, blobs }: { store: Pick<Store, 'referencedBlobs'>; blobs: Pick<Blobs, 'list' | 'remove'> },
): Promise<GarbageReport> {
  const report: GarbageReport = { checked: 0, removed: 0, freedBytes: 0 }
  let batch: { sha256: string; sizeBytes: number }[] = []

  const judge = async () => {
    const used = await store.referencedBlobs(batch.map((blob) => blob.sha256))
    for (const blob of batch) {
      if (used.has(blob.sha256)) continue
      // The age is asked again with the removal: an upload of the same bytes may have renewed the blob meanwhile.
      await blobs.remove(blob.sha256, { olderThanMs: options.graceMs })
      report.removed += 1
      report.freedBytes += blob.sizeBytes
    }
    batch = []
  }

  for await (const { sha256, sizeBytes, modifiedMs } of blobs.list()) {
    if (options.signal?.aborted) break
    report.checked += 1
    if (options.nowMs - modifiedMs < options.graceMs) continue
    batch.push({ sha256, sizeBytes })
    if (batch.length >= BATCH) await judge()
  }
  if (batch.length > 0) await judge()
  return report
}
