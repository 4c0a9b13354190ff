import { execFile, execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cluster, clusterStore, startCluster, whyNoCluster } from '../support/cluster.ts'
import { type Fault, type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { noteRun } from '../support/run-log.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

const root = join(import.meta.dirname, '../..')

/** How long each fault lasts; `npm run test:cluster` takes more time and really restarts PostgreSQL. */
const FAULT_MS = Number(process.env.CLUSTER_FAULT_MS ?? 1500)
const isLong = process.env.CLUSTER_FAULT_MS !== undefined
const CLIENTS = 4
/** By then, once a fault has ended, the cluster has to work again by itself. */
const RECOVERY_MS = 30_000

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

type Counts = Record<string, number>

describe.skipIf(whyNoCluster !== '')(
  `faults under load, three nodes${whyNoCluster && ` (skipped: ${whyNoCluster})`}`,
  () => {
    let cluster: Cluster
    let bucket: FaultProxy
    let database: TcpProxy
    /** Every upload that was acknowledged in any test, by path. */
    const acknowledged = new Map<string, string>()
    /** What the answers told wrongly: these lists stay empty. */
    const wrong: string[] = []
    let uploads = 0
    /** While the object store gives other bytes than it was given, 500 is the right answer. */
    let mayBeDamaged = false

    beforeAll(async () => {
      bucket = await startFaultProxy(clusterStore!.endpoint)
      const postgres = new URL(process.env.TINTYPE_TEST_POSTGRES_URL!)
      database = await startTcpProxy({ host: postgres.hostname, port: Number(postgres.port) })
      const through = new URL(postgres)
      through.port = String(database.port)
      cluster = await startCluster({
        endpoint: bucket.url,
        databaseUrl: through.href,
        env: {
          // What would take a minute by the defaults is over before the next fault.
          TINTYPE_BLOBS_S3_ATTEMPTS: '2',
          TINTYPE_BLOBS_S3_REQUEST_TIMEOUT_MS: '2000',
          TINTYPE_BLOBS_S3_CONNECT_TIMEOUT_MS: '1000',
          // Downloads are read from the bucket each time.
          TINTYPE_BLOBS_S3_CACHE_BYTES: '0',
          TINTYPE_DELIVERY_MEMORY_CACHE_MIB: '0',
        },
      })
    }, 120_000)
    afterAll(async () => {
      await cluster?.dispose()
      await bucket?.stop()
      await database?.stop()
    })

    async function upload(counts: Counts): Promise<boolean> {
      const bytes = randomBytes(uploads % 7 === 0 ? 1_000_000 : 400 + (uploads % 50) * 400)
      const fileName = `f-${uploads++}.bin`
      const form = new FormData()
      form.append('file', new Blob([new Uint8Array(bytes)]), 'any.bin')
      form.append('fileName', fileName)
      form.append('folder', `/faults/${uploads % 5}`)
      form.append('useUniqueFileName', 'false')
      const outcome = await settle('upload', counts, () =>
        fetch(`${cluster.url}/api/v1/files/upload`, {
          method: 'POST',
          body: form,
          headers: { authorization: cluster.authorization },
          signal: AbortSignal.timeout(60_000),
        }),
      )
      if (outcome?.status !== 200) return false
      acknowledged.set(JSON.parse(outcome.body.toString()).filePath, sha256(bytes))
      return true
    }

    async function download(counts: Counts): Promise<void> {
      const paths = [...acknowledged.keys()]
      const path = paths[Math.floor(Math.random() * paths.length)]
      if (path === undefined) return
      const outcome = await settle('download', counts, () =>
        fetch(`${cluster.endpoint}${path}`, { signal: AbortSignal.timeout(60_000) }),
      )
      if (outcome?.status === 404) wrong.push(`404 for ${path}`)
      if (outcome?.status === 200 && sha256(outcome.body) !== acknowledged.get(path))
        wrong.push(`other bytes for ${path}`)
    }

    /** Counts what became of a request; each error has to be a 503 that says when to come back. */
    async function settle(what: string, counts: Counts, send: () => Promise<Response>) {
      const count = (outcome: string) => {
        counts[`${what}: ${outcome}`] = (counts[`${what}: ${outcome}`] ?? 0) + 1
      }
      try {
        const response = await send()
        const body = Buffer.from(await response.arrayBuffer())
        const isOurs = response.headers.has('x-request-id')
        const isFault = response.status === 500 && !mayBeDamaged
        if (response.status >= 500 && (response.status !== 500 || isFault)) {
          const retryAfter = response.headers.get('retry-after')
          if (response.status !== 503 || retryAfter === null) {
            wrong.push(
              `${what}: ${response.status} ${body.toString().slice(0, 200)}, Retry-After ${retryAfter}`,
            )
          }
        }
        count(
          isOurs || response.status < 500 ? String(response.status) : `${response.status} of the balancer`,
        )
        return { status: response.status, body }
      } catch {
        count('connection lost')
        return undefined
      }
    }

    /** Loads the cluster while a fault lasts, then waits until it works again. */
    async function under(
      title: string,
      fault: { begin(): void | Promise<void>; end(): void | Promise<void> },
    ) {
      const counts: Counts = {}
      let running = true
      const clients = Array.from({ length: CLIENTS }, async (_, client) => {
        while (running) {
          if (client % 2 === 0) await upload(counts)
          else await download(counts)
          await sleep(10)
        }
      })
      await sleep(400)
      await fault.begin()
      await sleep(FAULT_MS)
      await fault.end()
      const endedMs = performance.now()
      // Several in a row, so that each node has its turn.
      for (let row = 0; row < 6; ) {
        row = (await upload(counts)) ? row + 1 : 0
        if (row === 0) await sleep(100)
        if (performance.now() - endedMs > RECOVERY_MS) break
      }
      const recoveredMs = Math.round(performance.now() - endedMs)
      running = false
      await Promise.all(clients)
      noteRun(title, { ...counts, 'works again after (ms)': recoveredMs })
      expect(wrong).toEqual([])
      expect(recoveredMs).toBeLessThan(RECOVERY_MS)
      return counts
    }

    const failed = (counts: Counts) =>
      Object.entries(counts).reduce((sum, [outcome, count]) => sum + (/: 200$/.test(outcome) ? 0 : count), 0)

    const BUCKET_FAULTS: { title: string; fault: Fault; fails: boolean }[] = [
      { title: 'Object store stopped', fault: { kind: 'refuse' }, fails: true },
      { title: 'Object store takes requests and stays silent', fault: { kind: 'hang' }, fails: true },
      { title: 'Object store answers 500', fault: { kind: 'status', status: 500, every: 1 }, fails: true },
      {
        title: 'Object store answers 503 SlowDown to every third request',
        fault: { kind: 'status', status: 503, every: 3 },
        fails: false,
      },
      { title: 'Object store is slow (300 ms more)', fault: { kind: 'slow', delayMs: 300 }, fails: false },
      {
        title: 'Answers of the object store are lost',
        fault: { kind: 'lose-answer', every: 5 },
        fails: false,
      },
      { title: 'Answers of the object store are cut', fault: { kind: 'cut', every: 5 }, fails: false },
    ]
    for (const { title, fault, fails } of BUCKET_FAULTS) {
      it(title, { timeout: 120_000 }, async () => {
        const counts = await under(title, {
          begin: () => bucket.set(fault),
          end: () => bucket.set({ kind: 'none' }),
        })
        // The short form is over before a silent store's time limits are.
        const isSeen = isLong || fault.kind !== 'hang'
        if (fails && isSeen) expect(failed(counts)).toBeGreaterThan(0)
      })
    }

    it('Object store gives other bytes than it was given', { timeout: 120_000 }, async () => {
      mayBeDamaged = true
      const counts = await under('Object store changes a byte in every third answer', {
        begin: () => bucket.set({ kind: 'flip', every: 3 }),
        end: () => bucket.set({ kind: 'none' }),
      })
      mayBeDamaged = false
      expect(counts['download: 500']).toBeGreaterThan(0)
    })

    it('PostgreSQL cannot be reached and comes back', { timeout: 120_000 }, async () => {
      const counts = await under('PostgreSQL out of reach', { begin: database.close, end: database.open })
      expect(failed(counts)).toBeGreaterThan(0)
    })

    // Restarting the server of all other tests that run beside: the long form alone.
    const longOnly = isLong ? it : () => {}
    longOnly('PostgreSQL is restarted and killed', { timeout: 180_000 }, async () => {
      const control = (verb: string) => {
        execFileSync('bash', [join(root, 'scripts/services/postgres.sh'), verb], { stdio: 'ignore' })
      }
      await under('PostgreSQL restarted', { begin: () => control('restart'), end() {} })
      await under('PostgreSQL killed (SIGKILL) and started', {
        begin: () => control('kill9'),
        end: () => control('start'),
      })
    })

    it('a node is killed and started again', { timeout: 120_000 }, async () => {
      await under('A node killed (SIGKILL)', {
        begin: async () => {
          await cluster.nodes[1]!.stop('SIGKILL')
        },
        end: () => cluster.restart(1),
      })
    })

    it('a node is told to stop and started again', { timeout: 120_000 }, async () => {
      const counts = await under('A node stopped in order (SIGTERM)', {
        begin: async () => {
          const { code } = await cluster.nodes[2]!.stop('SIGTERM')
          expect(code).toBe(0)
        },
        end: () => cluster.restart(2),
      })
      const lost = Object.keys(counts).filter((outcome) => /lost|balancer/.test(outcome))
      noteRun('Requests lost by an orderly stop', {
        requests: lost.reduce((sum, name) => sum + counts[name]!, 0),
      })
    })

    it('kept every acknowledged upload, byte for byte, and no row without its blob', {
      timeout: 180_000,
    }, async () => {
      let equal = 0
      const left = [...acknowledged]
      const readers = Array.from({ length: 8 }, async () => {
        for (let next = left.pop(); next !== undefined; next = left.pop()) {
          const [path, hash] = next
          const response = await fetch(`${cluster.endpoint}${path}`)
          const bytes = Buffer.from(await response.arrayBuffer())
          expect(`${path} ${response.status} ${sha256(bytes)}`).toBe(`${path} 200 ${hash}`)
          equal += 1
        }
      })
      await Promise.all(readers)
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [join(root, 'src/cli.ts'), 'verify', '--json', `--data-dir=${cluster.nodes[0]!.dataDir}`],
        { env: { PATH: process.env.PATH, ...cluster.place.env }, maxBuffer: 64 * 1024 * 1024 },
      )
      const report = JSON.parse(stdout)
      expect(report).toMatchObject({ damaged: { count: 0 }, missing: { count: 0 }, mismatched: { count: 0 } })
      // Uploads whose answer was lost may be there too; none that was acknowledged is missing.
      expect(report.checked.rows).toBeGreaterThanOrEqual(acknowledged.size)
      noteRun('After all faults', {
        'uploads acknowledged': acknowledged.size,
        'there, byte for byte': equal,
        'blobs verified': report.checked.blobs,
        damaged: report.damaged.count,
        missing: report.missing.count,
      })
    })
  },
)
