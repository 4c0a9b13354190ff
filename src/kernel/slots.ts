import { TintypeError } from './errors.ts'

/** A bounded number of places for work, with a bounded line in front of them. */
export type Slots = {
  /**
   * Waits for a place; the function that it gives hands the place back (calling it again does nothing).
   * @param share takers with the same share never hold more than their part of the places.
   * @throws TintypeError rate-limited when the line is full or the wait too long; the signal's reason on abort.
   */
  take(share?: string, signal?: AbortSignal): Promise<() => void>
}

type Waiter = { share: string | undefined; admit: () => void }

export function createSlots(options: {
  max: number
  maxPerShare: number
  maxWaiting: number
  maxWaitMs: number
  busyMessage: string
}): Slots {
  let taken = 0
  const takenByShare = new Map<string, number>()
  const waiting: Waiter[] = []

  const busy = () =>
    new TintypeError('rate-limited', options.busyMessage, { headers: { 'retry-after': '1' } })

  const hasRoom = (share: string | undefined) =>
    taken < options.max && (share === undefined || (takenByShare.get(share) ?? 0) < options.maxPerShare)

  const occupy = (share: string | undefined) => {
    taken++
    if (share !== undefined) takenByShare.set(share, (takenByShare.get(share) ?? 0) + 1)
    let held = true
    return () => {
      if (!held) return
      held = false
      taken--
      if (share !== undefined) {
        const left = takenByShare.get(share)! - 1
        if (left === 0) takenByShare.delete(share)
        else takenByShare.set(share, left)
      }
      // The first in line whose share has room, so that one busy key does not block the others.
      const next = waiting.findIndex((waiter) => hasRoom(waiter.share))
      if (next !== -1) waiting.splice(next, 1)[0]!.admit()
    }
  }

  return {
    async take(share, signal) {
      signal?.throwIfAborted()
      if (hasRoom(share)) return occupy(share)
      if (waiting.length >= options.maxWaiting) throw busy()
      return new Promise((resolve, reject) => {
        const settle = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', onAbort)
        }
        const waiter: Waiter = {
          share,
          admit: () => {
            settle()
            resolve(occupy(share))
          },
        }
        const leave = (error: unknown) => {
          settle()
          waiting.splice(waiting.indexOf(waiter), 1)
          reject(error)
        }
        const onAbort = () => leave(signal?.reason)
        const timer = setTimeout(() => leave(busy()), options.maxWaitMs)
        signal?.addEventListener('abort', onAbort, { once: true })
        waiting.push(waiter)
      })
    },
  }
}
