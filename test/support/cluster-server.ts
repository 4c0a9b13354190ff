import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Balancer, startBalancer } from './balancer.ts'
import { type ClusterPlace, createClusterPlace } from './cluster.ts'
import type { Exit, Server, ServerOptions } from './server.ts'

/** How many nodes stand for each server of a test run (`npm run test:cluster`); 0 for the embedded set-up. */
export const clusterNodes = Number(process.env.CLUSTER_NODES ?? 0)

/** What an administrator changes at run time, which nodes read again after a moment. */
const SETTINGS = /^\/v1\/(?:accounts|named-transformations|saved-extensions|webhooks)\b/

/**
 * Waits until a change of settings is known to every node, where there are several: docs/operations.md promises it
 * within a second, and a test's next request may go to another node at once.
 */
export async function settle(method: string, path: string): Promise<void> {
  if (clusterNodes > 0 && method !== 'GET' && SETTINGS.test(path)) await sleep(1000)
}

/** Skips tests about what is only one process's own, as `it.skipIf(isCluster)`; `onlyAlone` says why. */
export const isCluster = clusterNodes > 0

/** Ends the titles of such tests, so that the run names them with the reason. */
export const onlyAlone = (reason: string) => (isCluster ? ` (skipped with several nodes: ${reason})` : '')

/** How often the nodes of a test run write what they have counted. */
export const FLUSH_MS = 200

/** Waits until every node has written what it has counted, where there are several: a report has the counts of all. */
export async function settleCounts(): Promise<void> {
  if (clusterNodes > 0) await sleep(6 * FLUSH_MS)
}

/**
 * The place of the library that a data folder stands for. A server that is started again on its folder finds its
 * library again.
 */
export async function placeOf(dataDir: string): Promise<ClusterPlace> {
  const file = join(dataDir, 'cluster-place.json')
  const known = await readFile(file, 'utf8').catch(() => undefined)
  if (known !== undefined) return { ...JSON.parse(known), remove: async () => {} }
  const place = await createClusterPlace()
  await mkdir(dataDir, { recursive: true })
  await writeFile(file, JSON.stringify(place))
  return place
}

/** Several servers behind a load balancer that look like one: what `startServer` gives with `CLUSTER_NODES` set. */
export async function startServerAsCluster(
  options: ServerOptions,
  startAlone: (options: ServerOptions) => Promise<Server>,
): Promise<Server> {
  const dataDir = options.dataDir ?? join(await mkdtemp(join(tmpdir(), 'tintype-test-')), 'data')
  const place = await placeOf(dataDir)
  const { PORT: _, ...env } = options.env ?? {}
  const beganMs = performance.now()
  const nodes = await Promise.all(
    Array.from({ length: clusterNodes }, (_, index) =>
      startAlone({
        ...options,
        dataDir: join(dataDir, `node${index + 1}`),
        env: {
          TINTYPE_PRIVATE_KEY: 'private_acceptance_cluster_00000000000000000000',
          TINTYPE_STORE_POOL_SIZE: '5',
          TINTYPE_USAGE_FLUSH_MS: String(FLUSH_MS),
          TINTYPE_STORE_READ_POOL_SIZE: '3',
          TINTYPE_STORE_SEARCH_POOL_SIZE: '2',
          ...place.env,
          ...env,
        },
        timeoutMs: 90_000,
      }),
    ),
  )
  const balancer: Balancer = await startBalancer(nodes.map(({ url }) => Number(new URL(url).port)))
  const [first] = nodes
  const ended: Promise<Exit> = Promise.all(nodes.map((node) => node.ended)).then(([exit]) => exit!)
  const stop = async (signal?: NodeJS.Signals) => {
    const exits = await Promise.all(nodes.map((node) => node.stop(signal)))
    await balancer.stop()
    return exits.find(({ code }) => code !== 0) ?? exits[0]!
  }
  return {
    ...first!,
    url: balancer.url,
    endpoint: `${balancer.url}/${first!.id}`,
    dataDir,
    settings: { TINTYPE_DATA_DIR: join(dataDir, 'commands'), ...place.env },
    readyMs: performance.now() - beganMs,
    output: () => nodes.map((node) => node.output()).join(''),
    stop,
    ended,
    async dispose() {
      await stop('SIGKILL')
      await place.remove()
      await rm(dirname(dataDir), { recursive: true, force: true })
    },
  }
}
