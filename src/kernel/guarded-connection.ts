import { isIP, type LookupFunction, type Socket } from 'node:net'
import { buildConnector, Client } from 'undici'
import { FetchFailure, type NetworkPolicy } from './network-policy.ts'

export type Connection = {
  request(
    method: string,
    headers: Record<string, string>,
    body: string | Buffer | undefined,
  ): Promise<Awaited<ReturnType<Client['request']>>>
  destroy(): void
}

/** One client per request and hop: no connection is ever reused, so none outlives the check of its address. */
export function openConnection(options: {
  target: URL
  limits: { dnsTimeoutMs: number; maxHeaderBytes: number }
  policy: NetworkPolicy
  resolve: (hostname: string) => Promise<string[]>
  ca: string | undefined
  headersTimeoutMs: number
}): Connection {
  const { target, limits, policy } = options
  let destroyed = false
  let socket: Socket | undefined

  const resolveChecked = async (hostname: string) => {
    const addresses = await withTimeout(options.resolve(hostname), limits.dnsTimeoutMs)
    if (addresses.length === 0) throw new FetchFailure('unresolved', `no address for ${hostname}`)
    // One private address among public ones is how rebinding looks; the whole answer is refused.
    for (const address of addresses) policy.checkAddress(address, hostname)
    if (destroyed) throw new FetchFailure('aborted', 'ended during name look-up')
    return addresses.map((address) => ({ address, family: isIP(address) }))
  }
  const lookup: LookupFunction = (hostname, lookupOptions, callback) => {
    resolveChecked(hostname).then(
      (answers) => {
        if (lookupOptions.all) callback(null, answers)
        else callback(null, answers[0]!.address, answers[0]!.family)
      },
      (error: unknown) =>
        callback(
          error instanceof FetchFailure
            ? error
            : new FetchFailure('unresolved', `no address for ${hostname}`, error),
          '',
        ),
    )
  }
  const connectChecked = buildConnector({
    lookup,
    allowH2: false,
    maxCachedSessions: 0,
    rejectUnauthorized: true,
    ca: options.ca,
    autoSelectFamily: true,
    timeout: options.headersTimeoutMs,
  })
  const client = new Client(target.origin, {
    pipelining: 0,
    maxHeaderSize: limits.maxHeaderBytes,
    // Our own timers are finer and also cover name look-up and redirects.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: (connectOptions, callback) => {
      try {
        // `lookup` is never called for literal addresses.
        policy.checkHost(connectOptions.hostname)
      } catch (error) {
        callback(error as Error, null)
        return
      }
      // undici types the connector as giving nothing, but it gives the socket that is being connected; without it
      // an attempt at a silent address would outlive the fetch.
      socket = connectChecked(connectOptions, callback) as unknown as Socket | undefined
      if (destroyed) socket?.destroy()
    },
  })
  // Errors reach the request; a client destroyed in mid-connection must not end the process.
  client.on('connectionError', () => {})
  let infoBytes = 0

  return {
    request: (method, headers, body) =>
      client.request({
        method,
        path: target.pathname + target.search,
        headers,
        body: body ?? null,
        reset: true,
        onInfo: (info) => {
          infoBytes += 32
          for (const [name, value] of Object.entries(info.headers))
            infoBytes += name.length + String(value).length
          if (infoBytes > limits.maxHeaderBytes) {
            void client.destroy(new FetchFailure('response-invalid', 'too many interim responses'))
          }
        },
      }),
    destroy: () => {
      if (destroyed) return
      destroyed = true
      void client.destroy(new FetchFailure('aborted', 'exchange ended'))
      socket?.destroy()
    },
  }
}

async function withTimeout<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new FetchFailure('unresolved', 'the name server did not answer')),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([work, expiry])
  } finally {
    clearTimeout(timer)
  }
}
