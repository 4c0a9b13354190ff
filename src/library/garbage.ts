import type { Blobs } from '../blobs/blobs.ts'
import type { Store } from '../store/store.ts'

/** Blobs that are judged by one query. */
const BATCH = 500

export type GarbageReport = { checked: number; removed: number; freedBytes: number }

/** Until when, in epoch milliseconds, blobs have to stay since a backup of the rows that refer to them is being made. */
const HOLD = 'garbage.holdUntilMs'

/** Keeps all blobs where they are for a while, or lets them go again. */
export function holdGarbage(store: Pick<Store, 'settings'>, untilMs: number | undefined): Promise<void> {
  return store.settings.set(HOLD, untilMs)
}

/**
 * Removes blobs that no version refers to and that are older than the grace period: what an upload leaves behind that
 * died between storing its bytes and its rows, and the bytes of deleted files.
 * @param options.graceMs longer than any upload may take, since bytes come before rows.
 * @param options.dryRun removes nothing, and reports what would be removed.
 */
export async function collectGarbage(
  options: { graceMs: number; nowMs: number; signal?: AbortSignal; dryRun?: boolean },
  {
    store,
    blobs,
  }: { store: Pick<Store, 'referencedBlobs' | 'settings'>; blobs: Pick<Blobs, 'list' | 'remove'> },
): Promise<GarbageReport> {
  const report: GarbageReport = { checked: 0, removed: 0, freedBytes: 0 }
  let batch: { sha256: string; sizeBytes: number }[] = []

  const judge = async () => {
    const heldUntilMs = await store.settings.get(HOLD)
    if (typeof heldUntilMs === 'number' && heldUntilMs > options.nowMs) {
      batch = []
      return
    }
    const used = await store.referencedBlobs(batch.map((blob) => blob.sha256))
    for (const blob of batch) {
      if (used.has(blob.sha256)) continue
      // The age is asked again with the removal: an upload of the same bytes may have renewed the blob meanwhile.
      if (!options.dryRun) await blobs.remove(blob.sha256, { olderThanMs: options.graceMs })
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
