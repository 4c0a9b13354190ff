import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { randomFrom } from '../support/random.ts'
import { noteRun } from '../support/run-log.ts'
import { startServer } from '../support/server.ts'
import { expectSound, folderJobsEnd } from './inspection.ts'
import { type Counts, createClient } from './mixed-load.ts'
import { isLong, isTimeOver, keysOf, LONGEST_START_MS, SEED, sayProgress } from './run.ts'

/** `npm run test:faults -- --long` takes 500. */
const KILLS = Number(process.env.FAULTS_KILLS ?? 6)
const CLIENTS = 6
const LONGEST_LIFE_MS = 1000

test(
  `after each of ${KILLS} kills everything acknowledged is so, and what was under way happened wholly or not at all (seed ${SEED})`,
  async () => {
    const random = randomFrom(SEED)
    const counts: Counts = {}
    const refused: string[] = []
    const clients = Array.from({ length: CLIENTS }, (_, at) =>
      createClient({ name: `client${at}`, seed: SEED * 100 + at, counts }, refused),
    )
    const env = {
      TINTYPE_LOG_LEVEL: 'error',
      TINTYPE_WORKER_LEASE_MS: '800',
      TINTYPE_WORKER_POLL_MS: '100',
    }
    let server = await startServer({ timeoutMs: LONGEST_START_MS, env })
    const { dataDir } = server
    const readyMs: number[] = []
    let survived = 0
    const restart = async (more: Record<string, string> = {}) => {
      server = await startServer({
        dataDir,
        timeoutMs: LONGEST_START_MS,
        env: { ...env, ...keysOf(server), ...more },
      })
      readyMs.push(server.readyMs)
    }
    try {
      for (let kill = 1; kill <= KILLS && !isTimeOver(); kill += 1) {
        let alive = true
        const current = server
        const running = clients.map(async (client) => {
          while (alive) await client.step(current)
        })
        await sleep(50 + random() * LONGEST_LIFE_MS)
        await server.stop('SIGKILL')
        alive = false
        await Promise.all(running)
        expect(refused).toEqual([])
        expect(server.output()).not.toMatch(/uncaughtException|unhandledRejection/)
        await restart()
        await folderJobsEnd(dataDir)
        for (const client of clients) await client.check(server, { everyByte: kill % 25 === 0 })
        await expectSound(dataDir)
        survived = kill
        sayProgress('kills', kill, KILLS, counts)
      }
      expect(clients.reduce((sum, { size }) => sum + size, 0)).toBeGreaterThan(CLIENTS)
      for (const client of clients) await client.check(server, { everyByte: true })
      // A start sweeps what uploads that died have left, once it is old enough to be nobody else's.
      await server.stop('SIGKILL')
      await sleep(1100)
      await restart({ TINTYPE_HOUSEKEEPING_STAGING_MAX_AGE_SEC: '1' })
      await expect.poll(() => readdir(join(dataDir, 'staging')), { timeout: 5000 }).toEqual([])
    } finally {
      noteRun('kill -9 under mixed load', {
        kills: survived,
        ...sorted(counts),
        'longest start (ms)': Math.round(Math.max(...readyMs)),
      })
      await server.stop('SIGKILL')
      await rm(dirname(dataDir), { recursive: true, force: true })
    }
  },
  60_000 + KILLS * (isLong ? 260_000 : 60_000),
)

function sorted(counts: Counts): Counts {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => a.localeCompare(b)))
}
