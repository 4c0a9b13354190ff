import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { compose, type Tintype } from '../../src/compose.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Clock } from '../../src/kernel/time.ts'
import { startBalancer } from './balancer.ts'
import { clusterNodes, FLUSH_MS, placeOf } from './cluster-server.ts'

export const TEST_KEYS = {
  id: 'demo',
  publicKey: 'public_test_0123456789abcdefghijklmnopqrstuv',
  privateKey: 'private_test_0123456789abcdefghijklmnopqrstuv',
}

export type TestTintype = Tintype & {
  url: string
  dataDir: string
  /** The processes of it: itself, or the nodes behind the load balancer that `url` is of. */
  nodes: { url: string; dataDir: string }[]
  /** Authorization header of the main private key. */
  authorization: string
  /** Closes it and removes its data. */
  stop(): Promise<void>
}

export type TestTintypeOptions = { env?: Record<string, string>; clock?: Clock; dataDir?: string }

/**
 * A whole Tintype in this process on a free port, with its data in a temporary folder. In a run of
 * `npm run test:cluster` it is several of them behind a load balancer.
 */
export async function startTintype(options: TestTintypeOptions = {}): Promise<TestTintype> {
  if (clusterNodes === 0 || options.env?.TINTYPE_DATABASE_URL !== undefined) return startAlone(options)
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'tintype-test-')))
  const place = await placeOf(dataDir)
  const nodes: TestTintype[] = []
  for (let node = 1; node <= clusterNodes; node += 1) {
    const env = {
      TINTYPE_STORE_POOL_SIZE: '5',
      TINTYPE_USAGE_FLUSH_MS: String(FLUSH_MS),
      ...place.env,
      ...options.env,
    }
    nodes.push(await startAlone({ ...options, env, dataDir: join(dataDir, `node${node}`) }))
  }
  const balancer = await startBalancer(nodes.map(({ url }) => Number(new URL(url).port)))
  const close = async () => {
    await balancer.stop()
    for (const node of nodes) await node.close()
  }
  return {
    ...nodes[0]!,
    url: balancer.url,
    dataDir,
    nodes: nodes.map((node) => ({ url: node.url, dataDir: node.dataDir })),
    close,
    async stop() {
      await close()
      await place.remove()
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
    },
  }
}

async function startAlone(options: TestTintypeOptions): Promise<TestTintype> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'tintype-test-')))
  const { config } = loadConfig([], {
    PORT: '0',
    TINTYPE_DATA_DIR: dataDir,
    TINTYPE_ID: TEST_KEYS.id,
    TINTYPE_PUBLIC_KEY: TEST_KEYS.publicKey,
    TINTYPE_PRIVATE_KEY: TEST_KEYS.privateKey,
    TINTYPE_ALLOW_PRIVATE_NETWORK: 'true',
    ...options.env,
  })
  const tintype = await compose(config, pino({ level: process.env.TINTYPE_TEST_LOG ?? 'silent' }), {
    ...(options.clock ? { clock: options.clock } : {}),
  })
  const url = await tintype.http.listen()
  return {
    ...tintype,
    url,
    dataDir,
    nodes: [{ url, dataDir }],
    authorization: `Basic ${Buffer.from(`${TEST_KEYS.privateKey}:`).toString('base64')}`,
    async stop() {
      await tintype.close()
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Uploads through the API. `file` given as text goes as a text part (URL, base64), otherwise as binary. */
export async function upload(
  tintype: { url: string; authorization: string },
  file: Buffer | string | undefined,
  fields: Record<string, string> = {},
  options: { api?: 'v1' | 'v2'; authorization?: string | null } = {},
): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }> {
  const form = new FormData()
  if (typeof file === 'string') form.append('file', file)
  else if (file !== undefined) form.append('file', new Blob([new Uint8Array(file)]), 'any.bin')
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  const authorization = options.authorization === undefined ? tintype.authorization : options.authorization
  const response = await fetch(`${tintype.url}/api/${options.api ?? 'v1'}/files/upload`, {
    method: 'POST',
    body: form,
    headers: authorization === null ? {} : { authorization },
  })
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  }
}
