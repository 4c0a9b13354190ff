import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { openConnection } from '../../../src/kernel/guarded-connection.ts'
import { createNetworkPolicy } from '../../../src/kernel/network-policy.ts'

const policy = createNetworkPolicy({
  allowPrivateNetwork: false,
  allowHosts: [],
  allowedLowPorts: [80, 443],
  deniedPorts: [],
  maxUrlBytes: 8192,
})

// These targets are ones that `parseTarget` would refuse; here they stand for a caller that forgot to ask it.
test.each([
  ['a literal address, for which look-up is never called', '127.0.0.1', []],
  ['a literal IPv6 address', '[::1]', []],
  ['a name with a private address', 'name.example', ['127.0.0.1']],
  ['a name with one private address among public ones', 'name.example', ['93.184.216.34', '127.0.0.1']],
])('%s is refused where the connection would be made', async (_, host, answer) => {
  let connections = 0
  const server = createServer((_request, response) => response.end('secret'))
  server.on('connection', () => connections++)
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as AddressInfo
  const connection = openConnection({
    target: new URL(`http://${host}:${port}/`),
    limits: { dnsTimeoutMs: 1000, maxHeaderBytes: 16_384 },
    policy,
    resolve: async () => answer,
    ca: undefined,
    headersTimeoutMs: 1000,
  })
  try {
    await expect(connection.request('GET', {}, undefined)).rejects.toMatchObject({ code: 'address-refused' })
    expect(connections).toBe(0)
  } finally {
    connection.destroy()
    await new Promise((done) => server.close(done))
  }
})
