import { type Static, Type } from 'typebox'
import type { Blobs } from '../blobs/blobs.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store } from '../store/store.ts'

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
})
export type HousekeepingOptions = Static<typeof housekeepingOptions>

export type Housekeeping = {
  /** Waits for a run that is under way, and lets no other begin. */
  stop(): Promise<void>
}

/** Clears away what dead uploads and expired tokens leave behind: now, and from time to time. */
export function startHousekeeping(
  options: HousekeepingOptions,
  deps: { store: Store; blobs: Blobs; clock: Clock; log: Log },
): Housekeeping {
  const { store, blobs, clock, log } = deps
  const clear = async () => {
    try {
      const uploads = await blobs.sweepStaging(options.stagingMaxAgeSec * 1000)
      const tokens = await store.tokens.sweep(clock.now())
      if (uploads + tokens > 0) log.info({ uploads, tokens }, 'cleared away dead uploads and expired tokens')
    } catch (error) {
      // Leftovers cost only space; the next run tries again.
      log.warn({ err: error }, 'clearing away leftovers failed')
    }
  }
  let running = clear()
  const timer = setInterval(() => {
    running = running.then(clear)
  }, options.everySec * 1000)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}
