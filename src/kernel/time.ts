/** Wall-clock time, injectable so that tests of expiries and versions need not wait. */
export type Clock = {
  /** Milliseconds since the Unix epoch. */
  now(): number
}

export const systemClock: Clock = { now: () => Date.now() }
