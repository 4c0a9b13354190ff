import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import type { Store } from '../../src/store/store.ts'
import type { JobProcessOptions } from './job-process.ts'
import { engines, type Place } from './places.ts'

/** The short form runs with all tests; `npm run test:crash` asks for more. */
const CRASHES = Number(process.env.CRASHES ?? 5)
const SEED = Number(process.env.CRASH_SEED ?? 1)
const JOBS = CRASHES * 60
const LONGEST_LIFE_MS = 900
const KINDS = ['once', 'steps', 'outside', 'moody'] as const

const module = fileURLToPath(new URL('./job-process.ts', import.meta.url))

for (const { name, skip, createPlace } of engines) {
  const workerCount = name.startsWith('PostgreSQL') ? 3 : 2
  describe.skipIf(skip)(`jobs in ${name}`, () => {
    let place: Place
    let store: Store
    let folder: string
    let effectsFile: string
    let children: ChildProcess[]

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tintype-jobs-'))
      effectsFile = join(folder, 'effects')
      place = await createPlace()
      store = await place.open()
      children = []
    })
    afterEach(async () => {
      for (const child of children) child.kill('SIGKILL')
      await store.close()
      await place.remove()
      await rm(folder, { recursive: true })
    })

    async function start(isEndless: boolean, leaseMs = 1000): Promise<ChildProcess> {
      const options: JobProcessOptions = { store: place.options, leaseMs, effectsFile, isEndless }
      const child = spawn(process.execPath, [module, JSON.stringify(options)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      children.push(child)
      await new Promise((resolve) => {
        child.stdout!.once('data', resolve)
        child.once('exit', resolve)
      })
      return child
    }

    const enqueue = async (kind: string) => {
      const id = systemIds.next()
      await store.transaction(async (tx) => {
        await tx.settings.set(`cause ${id}`, true)
        await tx.jobs.enqueue({ id, kind, payload: {}, createdAtMs: Date.now() })
      })
      return id
    }

    const effectsOutside = () =>
      existsSync(effectsFile) ? readFileSync(effectsFile, 'utf8').split('\n').filter(Boolean) : []

    it(`have had their effect after ${CRASHES} crashes of ${workerCount} processes, none twice in the database (seed ${SEED})`, {
      timeout: 60_000 + CRASHES * 10_000,
    }, async () => {
      const random = randomFrom(SEED)
      const enqueued: { id: string; kind: string }[] = []
      const add = async (count: number) => {
        for (let n = 0; n < count; n += 1) {
          const kind = KINDS[Math.floor(random() * KINDS.length)]!
          enqueued.push({ id: await enqueue(kind), kind })
        }
      }
      const running = await Promise.all(Array.from({ length: workerCount }, () => start(true)))
      for (let crash = 0; crash < CRASHES; crash += 1) {
        const adding = add(JOBS / CRASHES)
        await sleep(random() * LONGEST_LIFE_MS)
        const at = Math.floor(random() * running.length)
        running[at]!.kill('SIGKILL')
        running[at] = await start(true)
        await adding
      }
      for (let waited = 0; (await store.jobs.stats()).length > 0; waited += 1) {
        if (waited > 600) throw new Error(`stuck: ${JSON.stringify(await store.jobs.stats())}`)
        await sleep(50)
      }
      const outside = effectsOutside()
      for (const { id, kind } of enqueued) {
        const job = (await store.jobs.byId(id))!
        expect(job.state, `${kind} ${id}`).toBe('done')
        const keys =
          kind === 'steps'
            ? [0, 1, 2, 3].map((n) => `effect ${id} ${n}`)
            : kind === 'outside'
              ? []
              : [`effect ${id}`]
        for (const key of keys) expect(await store.settings.get(key), key).toBe(1)
        if (kind === 'outside') {
          const times = outside.filter((line) => line === id).length
          expect(times, id).toBeGreaterThanOrEqual(1)
          expect(times, id).toBeLessThanOrEqual(job.attempts)
        }
      }
      expect(enqueued.length).toBe(JOBS)
      // Only what ran when a process was killed was begun again.
      const repeated = outside.length - new Set(outside).size
      expect(repeated).toBeLessThanOrEqual(CRASHES * 4)
    })

    it('that take their process down end as dead, and their neighbours are done', {
      timeout: 60_000,
    }, async () => {
      const poison = await enqueue('poison')
      const others = []
      for (let n = 0; n < 40; n += 1) others.push({ id: await enqueue(KINDS[n % 4]!), kind: KINDS[n % 4]! })
      let starts = 0
      for (;;) {
        const child = await start(false)
        starts += 1
        const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null)
            resolve([child.exitCode, child.signalCode])
          child.once('exit', (...exit) => resolve(exit))
        })
        if (code === 0) break
        expect(signal).toBe('SIGSEGV')
        expect(starts).toBeLessThan(10)
      }
      expect(await store.jobs.byId(poison)).toMatchObject({
        state: 'dead',
        attempts: 3,
        lastError: expect.stringMatching(/process/),
      })
      for (const { id, kind } of others) {
        const job = (await store.jobs.byId(id))!
        expect(job.state).toBe('done')
        // At most the crash that it was caught in by chance counts against it.
        expect(job.attempts, kind).toBeLessThanOrEqual(kind === 'moody' ? 6 : 3)
      }
      expect(starts).toBe(4)
    })

    it('are each done once by two processes that do nothing else', { timeout: 60_000 }, async () => {
      const count = JOBS * 3
      for (let n = 0; n < count; n += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, i) => enqueue(i % 2 ? 'outside' : 'once')))
      }
      const ended = await Promise.all(
        [await start(false, 20_000), await start(false, 20_000)].map(
          (child) =>
            new Promise((resolve) => {
              if (child.exitCode !== null) resolve(child.exitCode)
              child.once('exit', resolve)
            }),
        ),
      )
      expect(ended).toStrictEqual([0, 0])
      const outside = effectsOutside()
      expect(outside).toHaveLength(count / 2)
      expect(new Set(outside).size).toBe(count / 2)
      expect(await store.jobs.stats()).toStrictEqual([])
      const jobs = await store.jobs.list({ limit: count })
      expect(jobs.every((job) => job.state === 'done' && job.attempts === 1)).toBe(true)
      for (const job of jobs.filter((each) => each.kind === 'once')) {
        expect(await store.settings.get(`effect ${job.id}`)).toBe(1)
      }
    })
  })
}

/** Repeatable pseudo-random numbers below 1 (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
