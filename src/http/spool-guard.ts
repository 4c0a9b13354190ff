import ipaddr from 'ipaddr.js'
import { type Static, Type } from 'typebox'
import { TintypeError } from '../kernel/errors.ts'
import { createSlots, type Slots } from '../kernel/slots.ts'

export const spoolOptions = Type.Object({
  maxUploads: Type.Integer({
    default: 500,
    minimum: 1,
    description:
      'Uploads that are received at once, whoever sends them; protects memory and the time of each.',
  }),
  maxWaiting: Type.Integer({
    default: 1000,
    minimum: 0,
    description: 'Further uploads that may wait for a place, unread, for up to 15 s; more are answered 429.',
  }),
  maxUploadsPerClient: Type.Integer({
    default: 8,
    minimum: 1,
    description:
      'Uploads without an Authorization header that one network may send at once; protects the disk.',
  }),
  maxWaitingPerClient: Type.Integer({
    default: 64,
    minimum: 0,
    description: 'Further such uploads that may wait for a place, unread; protects the open connections.',
  }),
  maxBytesPerClient: Type.Integer({
    default: 256 * 1024 * 1024,
    minimum: 1,
    description: 'Bytes that such uploads of one network may hold in staging together; protects the disk.',
  }),
  maxBytes: Type.Integer({
    default: 4 * 1024 * 1024 * 1024,
    minimum: 1,
    description:
      'Bytes that such uploads of all networks may hold in staging together; protects the disk from many networks at once.',
  }),
})
export type SpoolOptions = Static<typeof spoolOptions>

export type SpoolGuard = {
  /**
   * Registers an upload whose sender is not known yet, as soon as its network has a place; until then the body stays
   * unread.
   * @param signal ends the wait when the sender has gone, so that it takes no place that nobody would give back.
   * @throws TintypeError rate-limited when too many of its network wait already; the signal's reason on abort.
   */
  enter(address: string, signal: AbortSignal): Promise<SpoolTicket>
  /**
   * Waits for one of the places of all uploads.
   * @returns what gives it back.
   * @throws TintypeError rate-limited when too many wait already, or for too long; the signal's reason on abort.
   */
  takePlace(signal: AbortSignal): Promise<() => void>
}

export type SpoolTicket = {
  /** Accounts for received bytes. @throws TintypeError rate-limited over the budget. */
  take(bytes: number): void
  leave(): void
}

const BUSY = 'Too many uploads at once from your network. Please try again.'
/** How long an upload waits, unread, for a place; well within the time-out of clients. */
const MAX_WAIT_MS = 15_000

/**
 * Client-side uploads put their credentials in the body, so bytes are taken from strangers before anybody is
 * known; this bounds how many (trust M15).
 */
export function createSpoolGuard(options: SpoolOptions): SpoolGuard {
  const networks = new Map<string, { slots: Slots; bytes: number; uploads: number }>()
  let allBytes = 0
  const places = createSlots({
    max: options.maxUploads,
    maxPerShare: options.maxUploads,
    maxWaiting: options.maxWaiting,
    maxWaitMs: MAX_WAIT_MS,
    busyMessage: 'Too many uploads at once. Please try again.',
  })
  return {
    takePlace: (signal) => places.take(undefined, signal),
    async enter(address, signal) {
      const name = networkOf(address)
      const network = networks.get(name) ?? {
        slots: createSlots({
          max: options.maxUploadsPerClient,
          maxPerShare: options.maxUploadsPerClient,
          maxWaiting: options.maxWaitingPerClient,
          maxWaitMs: MAX_WAIT_MS,
          busyMessage: BUSY,
        }),
        bytes: 0,
        uploads: 0,
      }
      networks.set(name, network)
      network.uploads += 1
      const forget = () => {
        network.uploads -= 1
        if (network.uploads === 0) networks.delete(name)
      }
      const release = await network.slots.take(undefined, signal).catch((error: unknown) => {
        forget()
        throw error
      })
      let taken = 0
      let left = false
      return {
        take(bytes) {
          if (network.bytes + bytes > options.maxBytesPerClient || allBytes + bytes > options.maxBytes) {
            throw new TintypeError('rate-limited', BUSY, { headers: { 'retry-after': '1' } })
          }
          network.bytes += bytes
          allBytes += bytes
          taken += bytes
        },
        leave() {
          if (left) return
          left = true
          network.bytes -= taken
          allBytes -= taken
          release()
          forget()
        },
      }
    },
  }
}

/** The /24 of an IPv4 or the /64 of an IPv6 address: what one client can change its address within. */
function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address
  const parsed = ipaddr.process(address)
  const bytes = parsed.toByteArray()
  return parsed.kind() === 'ipv4' ? bytes.slice(0, 3).join('.') : bytes.slice(0, 8).join(':')
}
