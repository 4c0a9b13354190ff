import type { Clock } from '../kernel/time.ts'
import type { Store } from '../store/store.ts'
import type { Delivered, DeliveryRequest } from './context.ts'

/** When an answer was looked up: what it must not be older than. */
export type Moment = { stamp: number | undefined; generation: number; nowMs: number }

export type Recall = {
  /** The answer to an equal request, if nothing at all was changed since it was given. */
  find(request: DeliveryRequest): Delivered | undefined
  /** To be taken before an answer is looked up, and handed to `keep` with it. */
  now(): Moment
  keep(request: DeliveryRequest, delivered: Delivered, since: Moment): void
  clear(): void
}

type Kept = { delivered: Delivered; stamp: number; keptAtMs: number }
/** The answers to one target, by the values of the request headers that they depend on. */
type Answers = { names: readonly string[]; byValues: Map<string, Kept> }

/** Targets whose answers are kept; an answer holds a few hundred bytes beside the picture, which is not held here. */
const MAX_TARGETS = 5000
/** Of one target: browsers send few different values, and those who send many need not be remembered. */
const MAX_ANSWERS = 16
/** Settings are read from the store once in so long by others, so no answer is believed for longer either. */
const MAX_AGE_MS = 1000

/**
 * Remembers answers for as long as nothing is committed to the store, by whoever it is: a file that was deleted, moved,
 * made private or a draft, replaced or restored is never answered from here (trust L03). Where the store cannot tell
 * whether anything was committed, nothing is kept.
 */
export function createRecall({ store, clock }: { store: Pick<Store, 'changeStamp'>; clock: Clock }): Recall {
  /** What was put in last is last: answers that are asked for are put in anew at least once a second. */
  const targets = new Map<string, Answers>()
  let generation = 0
  return {
    find(request) {
      const answers = targets.get(request.target)
      if (!answers) return undefined
      const kept = answers.byValues.get(valuesOf(request, answers.names))
      if (!kept || kept.stamp !== store.changeStamp()) return undefined
      const ageMs = clock.now() - kept.keptAtMs
      return ageMs >= 0 && ageMs < MAX_AGE_MS ? kept.delivered : undefined
    },
    now: () => ({ stamp: store.changeStamp(), generation, nowMs: clock.now() }),
    keep(request, delivered, since) {
      const names = delivered.reusableBy
      if (names === undefined || since.stamp === undefined || since.generation !== generation) return
      const known = targets.get(request.target)
      const byValues = known && sameNames(known.names, names) ? known.byValues : new Map<string, Kept>()
      if (byValues.size >= MAX_ANSWERS) byValues.clear()
      byValues.set(valuesOf(request, names), { delivered, stamp: since.stamp, keptAtMs: since.nowMs })
      targets.delete(request.target)
      if (targets.size >= MAX_TARGETS) targets.delete(targets.keys().next().value!)
      targets.set(request.target, { names, byValues })
    },
    clear() {
      generation += 1
      targets.clear()
    },
  }
}

function valuesOf({ headers }: DeliveryRequest, names: readonly string[]): string {
  let values = ''
  // Parted by a character that no header value can hold.
  for (const name of names) values += `${headers[name] ?? ''}\n`
  return values
}

function sameNames(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((name, index) => name === others[index])
}
