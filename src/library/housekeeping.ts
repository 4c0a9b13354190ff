import { type Static, Type } from 'typebox'
import type { Blobs } from '../blobs/blobs.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store } from '../store/store.ts'
import { collectGarbage } from './garbage.ts'

export const housekeepingOptions = Type.Object({
  everySec: Type.Integer({
    default: 600,
    minimum: 1,
    maximum: 86_400,
    description: 'How often leftovers are cleared away, besides at each start.',
  }),
  stagingMaxAgeSec: Type.Integer({
    default: 900,
    minimum: 1,
    description:
      'Age from which bytes of uploads that died are removed; longer than an upload may pause, since another server may share the folder.',
  }),
  blobsEverySec: Type.Integer({
    default: 86_400,
    minimum: 1,
    maximum: 2_000_000,
    description:
      'How often blobs that no file refers to are looked for; the whole storage is listed each time.',
  }),
  blobGraceSec: Type.Integer({
    default: 86_400,
    minimum: 1,
    description:
      'Age from which a blob that no file refers to is removed; longer than any upload may take, since bytes are stored before rows.',
  }),
})
export type HousekeepingOptions = Static<typeof housekeepingOptions>

const FIRST_BLOBS_SEC = 3600
const LAST_COLLECTION = 'garbage.lastRunMs'
/** A server that was away for longer has nothing in its cache that is still valid. */
const PURGES_KEPT_MS = 30 * 86_400_000

/** Tokens that one statement forgets: whoever writes meanwhile waits for no more than these. */
const SWEPT_AT_ONCE = 1000

/** Forgets used tokens that have expired, a part at a time, until none is left or `signal` says stop. @returns how many. */
export async function sweepTokens(
  store: Pick<Store, 'tokens'>,
  { nowMs, signal }: { nowMs: number; signal?: AbortSignal },
): Promise<number> {
  let swept = 0
  while (!signal?.aborted) {
    const count = await store.tokens.sweep(nowMs, SWEPT_AT_ONCE)
    swept += count
    if (count < SWEPT_AT_ONCE) break
  }
  return swept
}

export type Housekeeping = {
  /** Waits for a run that is under way, and lets no other begin. */
  stop(): Promise<void>
}

/**
 * Clears away what dead uploads, expired tokens and deleted files leave behind: leftovers now and from time to time,
 * unreferenced blobs more rarely.
 */
export function startHousekeeping(
  options: HousekeepingOptions,
  deps: { store: Store; blobs: Blobs; clock: Clock; log: Log },
): Housekeeping {
  const { store, blobs, clock, log } = deps
  const stopping = new AbortController()

  const clearLeftovers = async () => {
    const uploads = await blobs.sweepStaging(options.stagingMaxAgeSec * 1000)
    const tokens = await sweepTokens(store, { nowMs: clock.now(), signal: stopping.signal })
    await store.purgeLog.sweep(clock.now() - PURGES_KEPT_MS)
    if (uploads + tokens > 0) log.info({ uploads, tokens }, 'cleared away dead uploads and expired tokens')
  }
  /** Whether it is time, and this server's turn: others on the same database need not list the storage too. */
  const takesTurn = () =>
    store.transaction(async (tx) => {
      const nowMs = clock.now()
      const lastMs = await tx.settings.get(LAST_COLLECTION)
      // Timers of several servers are never quite equal.
      const isEarly =
        typeof lastMs === 'number' && nowMs >= lastMs && nowMs - lastMs < options.blobsEverySec * 800
      if (!isEarly) await tx.settings.set(LAST_COLLECTION, nowMs)
      return !isEarly
    })
  const clearBlobs = async () => {
    if (!(await takesTurn())) return
    const report = await collectGarbage(
      { graceMs: options.blobGraceSec * 1000, nowMs: clock.now(), signal: stopping.signal },
      { store, blobs },
    )
    if (report.removed > 0) log.info(report, 'removed blobs that no file refers to')
  }

  let running: Promise<void> = Promise.resolve()
  const run = (task: () => Promise<void>) => {
    running = running.then(async () => {
      if (stopping.signal.aborted) return
      // Leftovers cost only space; the next run tries again.
      await task().catch((error: unknown) => log.warn({ err: error }, 'clearing away leftovers failed'))
    })
  }
  run(clearLeftovers)
  const timers = [
    setInterval(() => run(clearLeftovers), options.everySec * 1000),
    setInterval(() => run(clearBlobs), options.blobsEverySec * 1000),
    // Soon after a start too, for servers that are restarted often, but not while everything else starts.
    setTimeout(() => run(clearBlobs), Math.min(FIRST_BLOBS_SEC, options.blobsEverySec) * 1000),
  ]
  for (const timer of timers) timer.unref()
  return {
    async stop() {
      stopping.abort()
      for (const timer of timers) clearTimeout(timer)
      await running
    },
  }
}
