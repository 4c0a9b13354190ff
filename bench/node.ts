// What one node does over PostgreSQL and an S3 store: requests, CPU time of the node and of PostgreSQL, transactions.
//
//   node bench/node.ts        needs TINTYPE_TEST_POSTGRES_URL and TINTYPE_TEST_S3_…; writes bench/results/node.md
//
// The object stores of the tests are slow, so the rate of uploads says little; the CPU time of the node does.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import pg from 'pg'
import { CLUSTER_KEYS, createClusterPlace, whyNoCluster } from '../test/support/cluster.ts'
import { startServer } from '../test/support/server.ts'
import { openConnection, runExchanges } from './client.ts'
import { makePhotos, photo } from './photo.ts'

const FILE_BYTES = 100_000
const FILES = 300
const TICKS_PER_SEC = 100
const BOUNDARY = 'tintype-bench'

type Row = {
  name: string
  perSecond: number
  nodeMs: number
  postgresMs: number
  transactions: number
  walBytes: number
}

/** utime and stime of a process, or with those of its children that have ended. */
function cpuSeconds(pid: number, withChildren = false): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = [11, 12, ...(withChildren ? [13, 14] : [])].map((at) => Number(fields[at]))
  return ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SEC
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number)
}

async function main() {
  if (!process.env.TINTYPE_TEST_POSTGRES_URL) throw new Error(whyNoCluster)
  await makePhotos([FILE_BYTES])
  const place = await createClusterPlace()
  const server = await startServer({ env: { ...CLUSTER_KEYS, ...place.env }, timeoutMs: 60_000 })
  const client = new pg.Client({ connectionString: process.env.TINTYPE_TEST_POSTGRES_URL })
  await client.connect()
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const parent = readFileSync(`/proc/${rows[0]!.pid}/status`, 'utf8')
  const postmaster = Number(/^PPid:\s*(\d+)/m.exec(parent)![1])
  const postgresCpu = () =>
    cpuSeconds(postmaster, true) + childrenOf(postmaster).reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const transactions = async () => {
    await client.query('SELECT pg_stat_clear_snapshot()')
    const found = await client.query<{ count: string }>(
      'SELECT xact_commit AS count FROM pg_stat_database WHERE datname = current_database()',
    )
    return Number(found.rows[0]!.count)
  }
  const wal = async () => {
    const found = await client.query<{ bytes: string }>("SELECT pg_current_wal_lsn() - '0/0' AS bytes")
    return Number(found.rows[0]!.bytes)
  }
  // With its render processes.
  const nodeCpu = () =>
    cpuSeconds(server.pid, true) + childrenOf(server.pid).reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const port = Number(new URL(server.url).port)
  const auth = `Authorization: Basic ${Buffer.from(`${CLUSTER_KEYS.TINTYPE_PRIVATE_KEY}:`).toString('base64')}\r\n`
  const get = (path: string) => [Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${auth}\r\n`)]
  let serial = 0
  const upload = () => {
    const number = String(++serial).padStart(12, '0')
    const field = (name: string, value: string) =>
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
    const before = `${field('fileName', `b-${number}.jpg`)}${field('useUniqueFileName', 'false')}${field('tags', `all,t${serial % 50}`)}--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="b.jpg"\r\n\r\n`
    const after = `\r\n--${BOUNDARY}--\r\n`
    const length = before.length + FILE_BYTES + number.length + after.length
    const head = `POST /api/v1/files/upload HTTP/1.1\r\nHost: localhost\r\n${auth}Content-Type: multipart/form-data; boundary=${BOUNDARY}\r\nContent-Length: ${length}\r\n\r\n`
    return [Buffer.from(head + before), photo(FILE_BYTES), Buffer.from(number + after)]
  }

  const results: Row[] = []
  const measure = async (name: string, clients: number, count: number, request: () => Buffer[]) => {
    const connections = await Promise.all(Array.from({ length: clients }, () => openConnection(port)))
    await runExchanges(connections, Math.min(count, 50), request)
    const before = {
      node: nodeCpu(),
      postgres: postgresCpu(),
      transactions: await transactions(),
      wal: await wal(),
    }
    const seconds = await runExchanges(connections, count, request)
    // The statistics of PostgreSQL come a little later.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const per = (amount: number) => amount / count
    results.push({
      name,
      perSecond: count / seconds,
      nodeMs: per(nodeCpu() - before.node) * 1000,
      postgresMs: per(postgresCpu() - before.postgres) * 1000,
      transactions: per((await transactions()) - before.transactions),
      walBytes: per((await wal()) - before.wal),
    })
    for (const connection of connections) connection.close()
  }

  await measure('upload of 100 KB', 8, FILES, upload)
  const id = CLUSTER_KEYS.TINTYPE_ID
  await measure('original of 100 KB, warm', 16, 5000, () => get(`/${id}/b-000000000001.jpg`))
  let widthPx = 200
  await measure('derivative of 100 KB, 250 to 350 px, WebP, cold', 4, 100, () =>
    get(`/${id}/tr:w-${++widthPx},f-webp/b-000000000001.jpg`),
  )
  await measure('derivative, warm', 16, 5000, () => get(`/${id}/tr:w-100/b-000000000001.jpg`))
  await measure('list of 100', 8, 800, () => get('/v1/files?limit=100'))
  await measure('search by tag, 100 of a page', 8, 500, () =>
    get(`/v1/files?limit=100&searchQuery=${encodeURIComponent('tags IN ["t7"]')}`),
  )
  await client.end()
  await server.dispose()
  await place.remove()
  const lines = [
    '# One node over PostgreSQL and an object store',
    '',
    '<!-- Written by bench/node.ts; do not edit. -->',
    '',
    `${cpus().length} cores (${cpus()[0]!.model.trim()}) for the node, PostgreSQL, the object store and the client; Node ${process.version}.`,
    'The rates are those of such a machine and its slow object store; CPU time and transactions for each request are what',
    'a larger installation is worked out from ([docs/scale.md](../../docs/scale.md)).',
    '',
    '| | requests/s | ms CPU of the node | ms CPU of PostgreSQL | transactions | bytes of WAL |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...results.map(
      (row) =>
        `| ${row.name} | ${row.perSecond.toFixed(0)} | ${row.nodeMs.toFixed(2)} | ${row.postgresMs.toFixed(2)} | ${row.transactions.toFixed(2)} | ${row.walBytes.toFixed(0)} |`,
    ),
    '',
  ]
  writeFileSync(new URL('./results/node.md', import.meta.url), lines.join('\n'))
  process.stdout.write(lines.join('\n'))
}

await main()
