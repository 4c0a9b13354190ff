import ipaddr from 'ipaddr.js'
import { type Static, Type } from 'typebox'
import { TintypeError } from '../kernel/errors.ts'

export const spoolOptions = Type.Object({
  maxUploadsPerClient: Type.Integer({
    default: 8,
    minimum: 1,
    description:
      'Uploads without an Authorization header that one network may send at once; protects the disk.',
  }),
  maxBytesPerClient: Type.Integer({
    default: 256 * 1024 * 1024,
    minimum: 1,
    description: 'Bytes that such uploads of one network may hold in staging together; protects the disk.',
  }),
})
export type SpoolOptions = Static<typeof spoolOptions>

export type SpoolGuard = {
  /** Registers an upload whose sender is not known yet. @throws TintypeError rate-limited when its network has too many. */
  enter(address: string): SpoolTicket
}

export type SpoolTicket = {
  /** Accounts for received bytes. @throws TintypeError rate-limited over the budget. */
  take(bytes: number): void
  leave(): void
}

/**
 * Client-side uploads put their credentials in the body, so bytes are taken from strangers before anybody is
 * known; this bounds how many (trust M15).
 */
export function createSpoolGuard(options: SpoolOptions): SpoolGuard {
  const clients = new Map<string, { uploads: number; bytes: number }>()
  const refuse = () => {
    throw new TintypeError('rate-limited', 'Too many uploads at once from your network. Please try again.', {
      headers: { 'retry-after': '1' },
    })
  }
  return {
    enter(address) {
      const network = networkOf(address)
      const client = clients.get(network) ?? { uploads: 0, bytes: 0 }
      if (client.uploads >= options.maxUploadsPerClient) refuse()
      client.uploads += 1
      clients.set(network, client)
      let taken = 0
      let left = false
      return {
        take(bytes) {
          if (client.bytes + bytes > options.maxBytesPerClient) refuse()
          client.bytes += bytes
          taken += bytes
        },
        leave() {
          if (left) return
          left = true
          client.bytes -= taken
          client.uploads -= 1
          if (client.uploads === 0) clients.delete(network)
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
