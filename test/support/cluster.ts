import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { type Balancer, haproxyPath, startBalancer } from './balancer.ts'
import { type Server, startServer } from './server.ts'

const postgresUrl = process.env.TINTYPE_TEST_POSTGRES_URL
const redisUrl = process.env.TINTYPE_TEST_REDIS_URL

/** The object store of clusters, if there is one: by itself the one that keeps to the protocol best. */
export const clusterStore = storeOf('TINTYPE_TEST_S3B') ?? storeOf('TINTYPE_TEST_S3')

/** What keeps clusters from being started here; empty when nothing does. */
export const whyNoCluster = [
  postgresUrl ? '' : 'TINTYPE_TEST_POSTGRES_URL is not set',
  clusterStore ? '' : 'TINTYPE_TEST_S3_ENDPOINT is not set',
  haproxyPath ? '' : 'HAPROXY_PATH is not set',
]
  .filter(Boolean)
  .join(', ')

export type ObjectStore = {
  endpoint: string
  bucket: string
  region: string
  accessKey: string
  secretKey: string
}

function storeOf(prefix: string): ObjectStore | undefined {
  const value = (name: string) => process.env[`${prefix}_${name}`] ?? ''
  if (value('ENDPOINT') === '') return undefined
  return {
    endpoint: value('ENDPOINT'),
    bucket: value('BUCKET'),
    region: value('REGION'),
    accessKey: value('ACCESS_KEY'),
    secretKey: value('SECRET_KEY'),
  }
}

/** The place that a cluster keeps its library in: a schema of its own and a prefix of its own. */
export type ClusterPlace = { env: Record<string, string>; schema: string; remove(): Promise<void> }

/** @param options other addresses of the object store and the database, such as those of proxies in front of them. */
export async function createClusterPlace(
  options: { endpoint?: string; databaseUrl?: string } = {},
): Promise<ClusterPlace> {
  const schema = `cluster_${randomBytes(6).toString('hex')}`
  await statement(`CREATE SCHEMA ${schema}`)
  const url = new URL(options.databaseUrl ?? postgresUrl!)
  url.searchParams.set('options', `-c search_path=${schema}`)
  const store = clusterStore!
  return {
    schema,
    env: {
      TINTYPE_DATABASE_URL: url.href,
      TINTYPE_S3_ENDPOINT: options.endpoint ?? store.endpoint,
      TINTYPE_S3_BUCKET: store.bucket,
      TINTYPE_S3_REGION: store.region,
      TINTYPE_S3_ACCESS_KEY: store.accessKey,
      TINTYPE_S3_SECRET_KEY: store.secretKey,
      TINTYPE_BLOBS_S3_PREFIX: `${schema}/`,
      TINTYPE_BLOBS_S3_DERIVATIVES_PREFIX: `${schema}-derivatives/`,
      TINTYPE_DELIVERY_SHARE_DERIVATIVES: 'true',
      ...(redisUrl === undefined
        ? {}
        : {
            TINTYPE_REDIS_URL: redisUrl,
            TINTYPE_COUNTERS_REDIS_PREFIX: `${schema}:`,
            // A busy machine may answer late, and then each would count for itself.
            TINTYPE_COUNTERS_REDIS_TIMEOUT_MS: '10000',
          }),
    },
    remove: () => statement(`DROP SCHEMA ${schema} CASCADE`),
  }
}

async function statement(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl! })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

export type Cluster = {
  /** Of the load balancer. */
  url: string
  endpoint: string
  privateKey: string
  publicKey: string
  authorization: string
  nodes: Server[]
  place: ClusterPlace
  /** Starts a node again that was killed, on its port and with what its data folder held. */
  restart(index: number): Promise<void>
  dispose(): Promise<void>
}

export const CLUSTER_KEYS = {
  TINTYPE_ID: 'cluster',
  TINTYPE_PUBLIC_KEY: 'public_cluster_0123456789abcdefghijklmnopqrs',
  TINTYPE_PRIVATE_KEY: 'private_cluster_0123456789abcdefghijklmnopqrs',
}

/** Starts servers over one PostgreSQL and one bucket, and a load balancer in front of them. */
export async function startCluster(
  options: { nodes?: number; env?: Record<string, string>; endpoint?: string; databaseUrl?: string } = {},
): Promise<Cluster> {
  const place = await createClusterPlace(options)
  // Longer than the balancer takes to notice.
  const env = { ...CLUSTER_KEYS, ...place.env, TINTYPE_HTTP_DRAIN_DELAY_SEC: '2', ...options.env }
  const begin = (dataDir?: string, port?: string) =>
    startServer({
      env: { ...env, ...(port === undefined ? {} : { PORT: port }) },
      ...(dataDir === undefined ? {} : { dataDir }),
      timeoutMs: 60_000,
    })
  // All at once, as a deployment does: one migrates, the others wait for it.
  const nodes = await Promise.all(Array.from({ length: options.nodes ?? 3 }, () => begin()))
  const balancer: Balancer = await startBalancer(nodes.map(({ url }) => Number(new URL(url).port)))
  return {
    url: balancer.url,
    endpoint: `${balancer.url}/${CLUSTER_KEYS.TINTYPE_ID}`,
    privateKey: CLUSTER_KEYS.TINTYPE_PRIVATE_KEY,
    publicKey: CLUSTER_KEYS.TINTYPE_PUBLIC_KEY,
    authorization: `Basic ${Buffer.from(`${CLUSTER_KEYS.TINTYPE_PRIVATE_KEY}:`).toString('base64')}`,
    nodes,
    place,
    async restart(index) {
      const { dataDir, url } = nodes[index]!
      nodes[index] = await begin(dataDir, new URL(url).port)
    },
    async dispose() {
      await balancer.stop()
      await Promise.all(nodes.map((node) => node.dispose()))
      await place.remove()
    },
  }
}
