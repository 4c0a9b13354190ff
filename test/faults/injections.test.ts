import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { openInstallation } from '../../src/installation.ts'
import { collectGarbage } from '../../src/library/library.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { randomFrom } from '../support/random.ts'
import { noteRun } from '../support/run-log.ts'
import { type Server, startServer } from '../support/server.ts'
import { expectSound } from './inspection.ts'
import { type Client, type Counts, createClient, type Kind } from './mixed-load.ts'
import { LONGEST_START_MS, SEED, sayProgress } from './run.ts'
import { childrenOf, threadsOf, trace, whyNoTracing } from './tracing.ts'

/** `npm run test:faults -- --long` takes all. */
const SAMPLE = process.env.FAULTS_CALLS ?? '12'
const MOST_CALLS = 20
const RECOVERY_MS = 10_000

const OPERATIONS: Kind[] = [
  'small upload',
  'streamed upload',
  'new version',
  'delete',
  'copy',
  'move',
  'tags',
  'render',
  'download',
]
const ERRORS = ['EIO', 'ENOSPC']

/**
 * Where calls fail. Of the threads that work on files and on the database only calls that go to the data folder fail:
 * nothing else is read or written there in such a way, but for `write`, which wakes the main thread.
 */
const PLACES = {
  files: {
    calls: ['openat', 'pwrite64', 'fsync', 'fdatasync', 'rename', 'unlink', 'pread64', 'read'],
    threads: (pid: number) => threadsOf(pid, 'libuv-worker'),
  },
  database: {
    calls: ['openat', 'pwrite64', 'fsync', 'fdatasync', 'unlink', 'pread64'],
    threads: (pid: number) => threadsOf(pid, 'sqlite-'),
  },
  'render process': {
    calls: ['openat', 'read'],
    threads: (pid: number) => childrenOf(pid).flatMap((child) => threadsOf(child, 'libuv-worker')),
  },
}
type Place = keyof typeof PLACES
type Case = { operation: Kind; place: Place; call: string; error: string; at: number }

describe.skipIf(whyNoTracing !== '')(
  `failing system calls${whyNoTracing && ` (skipped: ${whyNoTracing})`}`,
  () => {
    const counts: Counts = {}
    const refused: string[] = []
    let server: Server
    let client: Client

    beforeAll(async () => {
      server = await startServer({
        timeoutMs: LONGEST_START_MS,
        env: {
          TINTYPE_LOG_LEVEL: 'error',
          // Calls are counted for each thread.
          UV_THREADPOOL_SIZE: '1',
          // Each reads from the disk.
          TINTYPE_DELIVERY_MEMORY_CACHE_MIB: '0',
          TINTYPE_TRANSFORM_PROCESSES: '1',
        },
      })
      client = createClient({ name: 'client', seed: SEED, counts }, refused)
      // Everything that is loaded on demand is there before anything fails.
      for (const kind of [...OPERATIONS, ...OPERATIONS]) {
        await keepWithinBounds()
        await perform(kind)
      }
    })
    afterAll(() => server?.dispose())

    /** An operation that nothing disturbs. */
    async function perform(kind: Kind) {
      expect(await client.step(server, kind), `${kind}: ${server.output()}`).toBe(true)
    }

    /** How often an operation makes each call, for each thread, at most. */
    async function countCalls(operation: Kind, place: Place): Promise<Map<string, number>> {
      const { calls, threads } = PLACES[place]
      const found = new Map<string, number>()
      const tracing = await trace(threads(server.pid), calls)
      await perform(operation)
      await sleep(20)
      const perThread = new Map<string, number>()
      for (const line of await tracing.stop()) {
        const [, thread, call] = /^(?:(\d+) +)?(\w+)\(/.exec(line) ?? []
        if (call === undefined) continue
        const count = (perThread.get(`${thread} ${call}`) ?? 0) + 1
        perThread.set(`${thread} ${call}`, count)
        found.set(call, Math.max(found.get(call) ?? 0, count))
      }
      return found
    }

    async function listCases(): Promise<Case[]> {
      const cases: Case[] = []
      for (const operation of OPERATIONS) {
        for (const place of Object.keys(PLACES) as Place[]) {
          if (place === 'render process' && operation !== 'render') continue
          await keepWithinBounds()
          for (const [call, count] of await countCalls(operation, place)) {
            const most = place === 'render process' ? 1 : MOST_CALLS
            for (let at = 1; at <= Math.min(count, most); at += 1) {
              for (const error of ERRORS) cases.push({ operation, place, call, error, at })
            }
          }
        }
      }
      return cases
    }

    /** Neither too few files for every operation nor ever more of them. */
    async function keepWithinBounds() {
      while (client.size > 20) await perform('delete')
      while (client.size < 6) await perform('upload')
      if (client.pictures === 0) await perform('picture upload')
    }

    /** Lets one call fail during an operation, then everything has to be well again. */
    async function fail({ operation, place, call, error, at }: Case) {
      await keepWithinBounds()
      const { threads } = PLACES[place]
      // Decoders take a picture that they cannot read for a damaged one; that it is the disk is found out by reading
      // again, on any thread: a broken disk goes on failing.
      const when = place === 'render process' ? `${at}+` : at
      const tracing = await trace(threads(server.pid), [call], `${call}:error=${error}:when=${when}`)
      const acknowledged = await client.step(server, operation)
      const lines = await tracing.stop()
      const endedMs = performance.now()
      const hits = lines.filter((line) => line.includes('(INJECTED)')).length
      const outcome = hits === 0 ? 'not reached' : acknowledged ? 'acknowledged all the same' : 'refused'
      await recover()
      const recoveredMs = Math.round(performance.now() - endedMs)
      longestMs = Math.max(longestMs, recoveredMs)
      results[outcome] = (results[outcome] ?? 0) + 1
      await expectSound(server.dataDir)
    }
    const results: Counts = {}
    let longestMs = 0

    /** Waits until the server is healthy, the library is what was acknowledged, and it takes an upload. */
    async function recover() {
      const deadlineMs = performance.now() + RECOVERY_MS
      for (;;) {
        try {
          expect((await send(server, '/health')).status).toBe(200)
          await client.check(server, { everyByte: false })
          await perform('small upload')
          return
        } catch (error) {
          if (performance.now() > deadlineMs) throw error
          await sleep(50)
        }
      }
    }

    async function removeGarbage() {
      const { config } = loadConfig([], { TINTYPE_DATA_DIR: server.dataDir })
      const installation = await openInstallation(config, { create: false })
      await collectGarbage({ graceMs: 0, nowMs: Date.now() + 1 }, installation)
      await installation.close()
    }

    test(`are answered clearly, lose nothing and are forgotten at once (${SAMPLE} of them, seed ${SEED})`, {
      timeout: SAMPLE === 'all' ? 7_200_000 : 60_000 + Number(SAMPLE) * 5000,
    }, async () => {
      const all = await listCases()
      const random = randomFrom(SEED)
      const cases =
        SAMPLE === 'all'
          ? all
          : Array.from({ length: Number(SAMPLE) }, () => all[Math.floor(random() * all.length)]!)
      const problems: string[] = []
      for (const [at, each] of cases.entries()) {
        const title = `${each.operation}, ${each.place}, ${each.call} ${each.at}: ${each.error}`
        try {
          await fail(each)
        } catch (error) {
          problems.push(`${title}: ${(error as Error).message}`)
          // Whoever fails on and on is not looked at any further.
          if (problems.length > 20) break
        }
        for (const problem of refused.splice(0)) problems.push(`${title}: ${problem}`)
        if (at % 20 === 0) await removeGarbage()
        sayProgress('failing calls', at + 1, cases.length, results)
      }
      expect(problems).toEqual([])
      expect(server.output()).not.toMatch(/uncaughtException|unhandledRejection/)
      await client.check(server, { everyByte: true })
      noteRun('failing system calls', {
        'calls of all operations': all.length,
        ...results,
        'longest recovery (ms)': longestMs,
        ...counts,
      })
      expect(results['not reached'] ?? 0).toBeLessThan(cases.length / 2)
    })

    test('that keep nothing are counted in the metrics, and the disk is suspect until it has been seen to work', async () => {
      const read = async () => {
        const answer = await send(server, '/metrics', {
          headers: { authorization: basic(server.privateKey) },
        })
        const numberOf = (name: string) =>
          Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(answer.body.toString())?.[1])
        return {
          failures: numberOf('tintype_storage_failures_total'),
          suspect: numberOf('tintype_storage_suspect'),
        }
      }
      await recover()
      const before = await read()
      expect(before).toEqual({ failures: expect.any(Number), suspect: 0 })
      expect(before.failures).not.toBeNaN()
      for (const [error, isCounted] of [
        ['ENOSPC', false],
        ['EIO', true],
      ] as const) {
        const threads = PLACES.files.threads(server.pid)
        const tracing = await trace(threads, ['fdatasync'], `fdatasync:error=${error}:when=1`)
        const answer = await uploadFile(server, randomBytes(2_000_000), { fileName: 'large.bin' })
        await tracing.stop()
        expect(answer.status).toBe(isCounted ? 500 : 507)
        const after = await read()
        expect(after.suspect).toBe(isCounted ? 1 : 0)
        expect(after.failures > before.failures).toBe(isCounted)
      }
      expect((await send(server, '/health')).status).toBe(200)
      expect((await read()).suspect).toBe(0)
      await recover()
    })

    test.each(['small upload', 'streamed upload'] as const)(
      'a %s is acknowledged when its bytes, its name and its row are on the disk, in this order',
      async (kind) => {
        const threads = [...threadsOf(server.pid, 'libuv-worker'), ...threadsOf(server.pid, 'sqlite-writer')]
        const traceUpload = async () => {
          await keepWithinBounds()
          const tracing = await trace(threads, ['openat', 'pwrite64', 'fsync', 'fdatasync', 'rename'])
          await perform(kind)
          return tracing.stop()
        }
        const stepsOf = (lines: string[]) => {
          const rename = /rename\("([^"]+)", "([^"]+)"\) += 0/
          const renamed = lines.findIndex((line) => rename.test(line))
          const [, draft, path] = rename.exec(lines[renamed]!)!
          const folder = path!.slice(0, path!.lastIndexOf('/'))
          const last = (is: (line: string) => boolean) => lines.findLastIndex(is)
          return [
            last((line) => line.includes(`"${draft}"`) && line.includes('O_CREAT|O_EXCL')),
            last((line) => line.includes('pwrite64(') && line.includes(`<${draft}>`)),
            last((line) => line.includes('fdatasync(') && line.includes(`<${draft}>`)),
            renamed,
            last((line) => line.includes('fsync(') && line.includes(`<${folder}>`)),
            lines.findIndex((line) => line.includes('pwrite64(') && line.includes('tintype.db-wal>')),
            last((line) => line.includes('sync(') && line.includes('tintype.db-wal>')),
          ]
        }
        // What else is written to the database meanwhile, such as usage, can come before; not every time.
        const seen: string[] = []
        const isInOrder = async () => {
          const lines = await traceUpload()
          seen.push(...lines, '')
          const steps = stepsOf(lines)
          return !steps.includes(-1) && steps.every((step, at) => at === 0 || steps[at - 1]! < step)
        }
        for (let tries = 0; tries < 5; tries += 1) if (await isInOrder()) return
        expect.fail(seen.join('\n'))
      },
    )
  },
)
