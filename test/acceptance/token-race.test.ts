import { createHmac, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { type Server, startServer } from '../support/server.ts'

/** How many uploads carry the same token, and how often that is tried for each kind of token. */
const PARALLEL = 50
const ROUNDS = 50

const PUBLIC_KEY = 'public_race_0123456789abcdefghijklmnopqrstuvwxyz'
const PRIVATE_KEY = 'private_race_0123456789abcdefghijklmnopqrstuvwxyz'
const KEYS = { TINTYPE_ID: 'race', TINTYPE_PUBLIC_KEY: PUBLIC_KEY, TINTYPE_PRIVATE_KEY: PRIVATE_KEY }

const seconds = () => Math.floor(Date.now() / 1000)

function signedV1(fields: Record<string, string>): Record<string, string> {
  const token = randomUUID()
  const expire = String(seconds() + 600)
  const signature = createHmac('sha1', PRIVATE_KEY).update(`${token}${expire}`).digest('hex')
  return { ...fields, publicKey: PUBLIC_KEY, token, expire, signature }
}

function signedV2(fields: Record<string, string>): Record<string, string> {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { ...fields, iat: seconds(), exp: seconds() + 600, jti: randomUUID() }
  const text = `${encode({ alg: 'HS256', typ: 'JWT', kid: PUBLIC_KEY })}.${encode(claims)}`
  return { ...fields, token: `${text}.${createHmac('sha256', PRIVATE_KEY).update(text).digest('base64url')}` }
}

type Kind = { api: 'v1' | 'v2'; sign: (fields: Record<string, string>) => Record<string, string> }
const KINDS: Kind[] = [
  { api: 'v1', sign: signedV1 },
  { api: 'v2', sign: signedV2 },
]

async function send(server: Server, api: string, fields: Record<string, string>): Promise<string> {
  const form = new FormData()
  form.append('file', new Blob(['a text of which one copy may be kept']), 'a.txt')
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  const response = await fetch(`${server.url}/api/${api}/files/upload`, { method: 'POST', body: form })
  const { message } = (await response.json()) as { message?: string }
  if (response.status === 200) return 'stored'
  return message?.includes('has been used before')
    ? `${response.status} used`
    : `${response.status} ${message}`
}

async function countFiles(server: Server, folder: string): Promise<number> {
  const response = await fetch(`${server.url}/v1/files?path=${encodeURIComponent(folder)}`, {
    headers: { authorization: `Basic ${Buffer.from(`${PRIVATE_KEY}:`).toString('base64')}` },
  })
  return ((await response.json()) as unknown[]).length
}

async function race(servers: Server[], { api, sign }: Kind): Promise<Record<string, string>> {
  let last: Record<string, string> = {}
  for (let round = 0; round < ROUNDS; round += 1) {
    const folder = `/race-${randomUUID()}`
    last = sign({ fileName: 'a.txt', folder })
    const outcomes = await Promise.all(
      Array.from({ length: PARALLEL }, (_, index) => send(servers[index % servers.length]!, api, last)),
    )
    const counts = Object.fromEntries(
      [...new Set(outcomes)].map((outcome) => [outcome, outcomes.filter((each) => each === outcome).length]),
    )
    expect(counts).toEqual({ stored: 1, '400 used': PARALLEL - 1 })
    expect(await countFiles(servers[0]!, folder)).toBe(1)
  }
  return last
}

describe('one token, the embedded set-up', () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer({ env: KEYS })
  })
  afterAll(() => server.dispose())

  it.each(KINDS)(
    `$api: exactly one of ${PARALLEL} wins, also after a restart`,
    async (kind) => {
      const last = await race([server], kind)
      const { dataDir } = server
      await server.stop()
      server = await startServer({ env: KEYS, dataDir })
      expect(await send(server, kind.api, last)).toBe('400 used')
      await race([server], kind)
    },
    120_000,
  )
})

describe.skipIf(!postgresUrl)(`one token, two processes over one PostgreSQL${whySkipped}`, () => {
  let servers: Server[]
  let remove: () => Promise<void>
  let env: Record<string, string>
  beforeAll(async () => {
    const schema = await createSchema()
    remove = schema.remove
    env = { ...KEYS, TINTYPE_DATABASE_URL: schema.databaseUrl }
    servers = [await startServer({ env }), await startServer({ env })]
  })
  afterAll(async () => {
    for (const server of servers) await server.dispose()
    await remove()
  })

  it.each(KINDS)(
    `$api: exactly one of ${PARALLEL} wins, also after a restart`,
    async (kind) => {
      const last = await race(servers, kind)
      const [first] = servers
      await first!.stop()
      servers[0] = await startServer({ env, dataDir: first!.dataDir })
      for (const server of servers) expect(await send(server, kind.api, last)).toBe('400 used')
    },
    120_000,
  )
})
