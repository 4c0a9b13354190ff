import { TintypeError } from './errors.ts'

export type Gate = {
  /** Runs `work` when a place is free. @throws TintypeError unavailable at once when the queue is full. */
  run<T>(work: () => Promise<T>): Promise<T>
  readonly running: number
  readonly waiting: number
}

/**
 * Lets at most `places` pieces of work run at once and at most `queue` wait; the rest is refused at once, since a
 * queue without a bound only turns an overload into a memory problem.
 */
export function createGate(options: { places: number; queue: number; refusal: string }): Gate {
  let running = 0
  const waiting: (() => void)[] = []
  return {
    get running() {
      return running
    },
    get waiting() {
      return waiting.length
    },
    async run(work) {
      if (running >= options.places) {
        if (waiting.length >= options.queue) {
          throw new TintypeError('unavailable', options.refusal, { headers: { 'retry-after': '1' } })
        }
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
      running += 1
      try {
        return await work()
      } finally {
        running -= 1
        waiting.shift()?.()
      }
    },
  }
}
