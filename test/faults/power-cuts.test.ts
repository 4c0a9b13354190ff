import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { randomFrom } from '../support/random.ts'
import { noteRun } from '../support/run-log.ts'
import { startServer } from '../support/server.ts'
import { expectSound, folderJobsEnd } from './inspection.ts'
import { createDisk, whyNoDisk } from './machine.ts'
import { type Counts, createClient } from './mixed-load.ts'
import { isLong, isTimeOver, keysOf, LONGEST_START_MS, SEED, sayProgress } from './run.ts'

/** `npm run test:faults -- --long` takes 50. */
const CUTS = Number(process.env.FAULTS_CUTS ?? 3)
const CLIENTS = 4
const LONGEST_LIFE_MS = 900

describe.skipIf(whyNoDisk !== '')(`power cuts${whyNoDisk && ` (skipped: ${whyNoDisk})`}`, () => {
  test(
    `lose nothing acknowledged and leave nothing half done, ${CUTS} times (seed ${SEED})`,
    async () => {
      const random = randomFrom(SEED)
      const counts: Counts = {}
      const refused: string[] = []
      const clients = Array.from({ length: CLIENTS }, (_, at) =>
        createClient({ name: `client${at}`, seed: SEED * 1000 + at, counts }, refused),
      )
      const env = {
        TINTYPE_LOG_LEVEL: 'error',
        TINTYPE_WORKER_LEASE_MS: '800',
        TINTYPE_WORKER_POLL_MS: '100',
        // What earlier cuts have left would fill the small disk.
        TINTYPE_HOUSEKEEPING_STAGING_MAX_AGE_SEC: '1',
        TINTYPE_HOUSEKEEPING_BLOB_GRACE_SEC: '10',
        TINTYPE_HOUSEKEEPING_BLOBS_EVERY_SEC: '2',
        TINTYPE_HOUSEKEEPING_EVERY_SEC: '1',
      }
      const disk = await createDisk(512)
      let survived = 0
      let server = await startServer({ timeoutMs: LONGEST_START_MS, dataDir: join(disk.path, 'data'), env })
      try {
        for (let cut = 1; cut <= CUTS && !isTimeOver(); cut += 1) {
          let alive = true
          const current = server
          const running = clients.map(async (client) => {
            while (alive) await client.step(current)
          })
          await sleep(100 + random() * LONGEST_LIFE_MS)
          await disk.cutPower()
          // The server sees its disk fail until it is gone itself; none of its answers may acknowledge anything now.
          await sleep(random() * 60)
          await server.stop('SIGKILL')
          alive = false
          await Promise.all(running)
          expect(refused).toEqual([])
          await disk.remount()
          server = await startServer({
            timeoutMs: LONGEST_START_MS,
            dataDir: current.dataDir,
            env: { ...env, ...keysOf(current) },
          })
          await folderJobsEnd(server.dataDir)
          for (const client of clients) await client.check(server, { everyByte: true })
          await expectSound(server.dataDir)
          survived = cut
          sayProgress('power cuts', cut, CUTS, counts)
        }
        expect(clients.reduce((sum, { size }) => sum + size, 0)).toBeGreaterThan(CLIENTS)
      } finally {
        noteRun('power cuts under mixed load', { cuts: survived, ...counts })
        await server.stop('SIGKILL')
        await disk.remove()
      }
    },
    60_000 + CUTS * (isLong ? 260_000 : 60_000),
  )
})
