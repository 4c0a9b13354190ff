import { LRUCache } from 'lru-cache'
import type { Clock } from '../kernel/time.ts'
import type { Count, Counters } from './counters.ts'

/** Keys that are counted at a time, such as addresses; protects memory. Those beyond begin anew. */
const MAX_KEYS = 10_000

/** Counters of this process alone. */
export function createMemoryCounters(clock: Clock): Counters {
  const counts = new LRUCache<string, { count: number; endsAtMs: number }>({ max: MAX_KEYS })
  // Apart from the counts, which thousands of wrong keys must not push out.
  const notes = new LRUCache<string, number>({ max: MAX_KEYS })

  const find = (key: string) => {
    const known = counts.get(key)
    return known && known.endsAtMs > clock.now() ? known : undefined
  }
  const present = (found: { count: number; endsAtMs: number } | undefined): Count =>
    found ? { count: found.count, resetMs: found.endsAtMs - clock.now() } : { count: 0, resetMs: 0 }

  return {
    async add(key, windowMs) {
      const known = find(key)
      if (known) known.count += 1
      const counted = known ?? { count: 1, endsAtMs: clock.now() + windowMs }
      counts.set(key, counted)
      return present(counted)
    },
    async read(key) {
      return present(find(key))
    },
    async note(key, forMs) {
      const nowMs = clock.now()
      const isNew = (notes.get(key) ?? 0) <= nowMs
      notes.set(key, nowMs + forMs)
      return isNew
    },
    async close() {},
  }
}
