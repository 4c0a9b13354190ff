import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

export type BodyWatch = {
  /** Watches a request that has a body, until the body is complete or its connection closed. */
  watch(request: IncomingMessage): void
}

const MAX_TICK_MS = 1000

/**
 * Ends requests whose body comes too slowly to be meant seriously: each of them holds a connection, a file in staging
 * and, unauthenticated, a place of its network (trust M03). A sender has credit for `graceSec` at the lowest rate;
 * it runs out while we wait for bytes and is filled up by those that come. Time in which we do not take any is ours.
 * @param options.refuse answers and closes a connection.
 */
export function watchBodies(options: {
  minBytesPerSec: number
  graceSec: number
  refuse: (socket: Socket) => void
}): BodyWatch {
  const { minBytesPerSec, graceSec, refuse } = options
  if (minBytesPerSec === 0) return { watch() {} }
  const fullCredit = minBytesPerSec * graceSec
  const tickMs = Math.min(MAX_TICK_MS, (graceSec * 1000) / 4)
  const watched = new Map<IncomingMessage, { credit: number; seenBytes: number }>()
  let timer: NodeJS.Timeout | undefined

  const tick = () => {
    for (const [request, state] of watched) {
      const { socket } = request
      if (request.complete || request.destroyed || socket.destroyed) {
        watched.delete(request)
        continue
      }
      const received = socket.bytesRead - state.seenBytes
      state.seenBytes = socket.bytesRead
      const waitsForBytes = request.readableFlowing === true
      const owed = waitsForBytes ? (minBytesPerSec * tickMs) / 1000 : 0
      state.credit = Math.min(fullCredit, state.credit + received - owed)
      if (state.credit <= 0) {
        watched.delete(request)
        refuse(socket)
      }
    }
    if (watched.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }

  return {
    watch(request) {
      watched.set(request, { credit: fullCredit, seenBytes: request.socket.bytesRead })
      timer ??= setInterval(tick, tickMs).unref()
    },
  }
}
