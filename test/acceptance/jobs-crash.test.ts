import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSchema, type PostgresSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Received, type Service, startService } from '../support/providers/service.ts'
import { type Server, startServer } from '../support/server.ts'

/** The short form runs with all tests; `npm run test:crash -- --suite=jobs` asks for more. */
const CRASHES = Number(process.env.CRASHES ?? 4)
const SEED = Number(process.env.CRASH_SEED ?? 1)
/** Each causes nine jobs: two extensions with their callbacks, a post-transformation, and four events. */
const FILES = Number(process.env.CRASH_FILES ?? 24)
/** Each causes two more, by the copy and the renaming of its folder. */
const COPIED = Math.floor(FILES / 4)
const JOBS = FILES * 9 + COPIED * 2 + 2
const LONGEST_LIFE_MS = 800
/** How often a service may be asked for one result (`extensions.maxTries`). */
const MOST_TRIES = 3
const WEBHOOKS_AT_ONCE = 32

const PRIVATE_KEY = 'private_jobscrash0000000000000000000000000000'
const CUT_OUT = png(2, 2, 0x123456)

const engines = [
  { name: 'SQLite, one process', processes: 1, skip: false, createDatabase: async () => undefined },
  {
    name: `PostgreSQL, three processes${whySkipped}`,
    processes: 3,
    skip: postgresUrl === undefined,
    createDatabase: createSchema,
  },
]

for (const { name, processes, skip, createDatabase } of engines) {
  describe.skipIf(skip)(name, () => {
    let folder: string
    let database: PostgresSchema | undefined
    let running: Server[]
    let models: Service
    let receiver: Service

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tintype-crash-'))
      database = await createDatabase()
      running = []
      receiver = await startService(async () => {
        await sleep(3)
        return { status: 200 }
      })
      models = await startService(async ({ body }) => {
        await sleep(3)
        const { task } = JSON.parse(body.toString('utf8'))
        return task === 'description'
          ? { body: { description: 'Something.' } }
          : { headers: { 'content-type': 'image/png' }, body: CUT_OUT }
      })
    })
    afterEach(async () => {
      for (const server of running) await server.stop('SIGKILL')
      await models.close()
      await receiver.close()
      await database?.remove()
      await rm(folder, { recursive: true, force: true })
    })

    const start = (env: Record<string, string> = {}) =>
      startServer({
        dataDir: join(folder, 'data'),
        timeoutMs: 60_000,
        env: {
          ...(database ? { TINTYPE_DATABASE_URL: database.databaseUrl } : {}),
          TINTYPE_PRIVATE_KEY: PRIVATE_KEY,
          TINTYPE_ALLOW_PRIVATE_NETWORK: 'true',
          TINTYPE_AI_HTTP_URL: models.url,
          TINTYPE_PUBLIC_URL: 'http://media.test',
          TINTYPE_WORKER_LEASE_MS: '800',
          TINTYPE_WORKER_POLL_MS: '100',
          TINTYPE_WEBHOOKS_FIRST_RETRY_MS: '100',
          TINTYPE_EXTENSIONS_FIRST_RETRY_MS: '100',
          TINTYPE_LOG_LEVEL: 'error',
          ...env,
        },
      })
    const call = async (server: Server, method: string, path: string, body?: object) => {
      const answer = await send(server, path, {
        method,
        headers: {
          authorization: basic(PRIVATE_KEY),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
      })
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`)
      return answer
    }

    it(`${JOBS} jobs have their effect while processes are killed ${CRASHES} times (seed ${SEED})`, {
      timeout: 120_000 + CRASHES * 20_000 + JOBS * 200,
    }, async () => {
      const random = randomFrom(SEED)
      // It only takes requests, and is spared.
      const quiet = await start({ TINTYPE_WORKER_ENABLED: 'false' })
      running.push(quiet)
      await call(quiet, 'POST', '/v1/webhooks', { url: `${receiver.url}/events` })
      const files = new Map<string, { fileId: string; image: string }>()
      const addFiles = async (until: number) => {
        for (let at = files.size; at < until; at++) {
          const bytes = png(4, 3, at * 7919)
          const answer = await uploadFile(quiet, bytes, {
            fileName: `${at}.png`,
            useUniqueFileName: 'false',
            folder: at < COPIED ? '/copied' : '/other',
            extensions: JSON.stringify([{ name: 'remove-bg' }, { name: 'ai-auto-description' }]),
            webhookUrl: `${receiver.url}/callbacks`,
            transformation: JSON.stringify({ post: [{ type: 'transformation', value: 'w-2' }] }),
          })
          expect(answer.status, String(answer.body)).toBe(200)
          const { fileId } = answer.json()
          files.set(fileId, { fileId, image: sha256(bytes) })
        }
      }
      await addFiles(COPIED)
      await call(quiet, 'POST', '/v1/bulkJobs/copyFolder', {
        sourceFolderPath: '/copied',
        destinationPath: '/copies',
      })
      const workers = await Promise.all(Array.from({ length: processes }, () => start()))
      running.push(...workers)
      let atWork = 0
      for (let crash = 0; crash < CRASHES; crash++) {
        const adding = addFiles(COPIED + Math.ceil(((FILES - COPIED) * (crash + 1)) / CRASHES))
        await sleep(100 + random() * LONGEST_LIFE_MS)
        const at = Math.floor(random() * workers.length)
        if ((await openJobs(quiet)).length > 0) atWork += 1
        await workers[at]!.stop('SIGKILL')
        workers[at] = await start()
        running = [quiet, ...workers]
        await adding
      }
      // Else the test would show less than it says.
      expect(atWork).toBeGreaterThanOrEqual(CRASHES / 2)
      const server = quiet
      await settled(server)
      await call(server, 'POST', '/v1/bulkJobs/renameFolder', {
        folderPath: '/copies/copied',
        newFolderName: 'renamed',
      })
      await settled(server)

      const asked = countBy(models.requests, ({ body }) => {
        const { task, image } = JSON.parse(body.toString('utf8'))
        return `${task} ${sha256(Buffer.from(image.data, 'base64'))}`
      })
      const callbacks = receiver.requests.filter(({ path }) => path === '/callbacks')
      const events = receiver.requests.filter(({ path }) => path === '/events')
      const eventsOf = groupBy(events, (request) => String(bodyOf(request).data.fileId))
      const callbacksOf = groupBy(callbacks, (request) => {
        const { fileId, fileObject } = bodyOf(request)
        return String(fileId ?? fileObject.fileId)
      })
      for (const { fileId, image } of files.values()) {
        // Each effect happened, and happened once.
        const details = (await call(server, 'GET', `/v1/files/${fileId}/details`)).json()
        const versions = (await call(server, 'GET', `/v1/files/${fileId}/versions`)).json()
        expect(versions.map((version: { size: number }) => version.size).filter(isCutOut)).toHaveLength(1)
        expect(versions).toHaveLength(2)
        expect(details).toMatchObject({ description: 'Something.', versionInfo: { name: 'Version 2' } })
        for (const task of ['description', 'cut-out']) {
          const times = asked.get(`${task} ${image}`) ?? 0
          expect(times, `${task} of ${fileId}`).toBeGreaterThanOrEqual(1)
          expect(times, `${task} of ${fileId}`).toBeLessThanOrEqual(MOST_TRIES)
        }
        // Everybody was told of it, once by the ids that tell repeats apart.
        const told = firstOfEach(callbacksOf.get(fileId) ?? []).map(bodyOf)
        expect(told.map(({ service, status }) => `${service} ${status}`).sort()).toEqual([
          'ai-auto-description SUCCESS',
          'remove-bg SUCCESS',
        ])
        const heard = firstOfEach(eventsOf.get(fileId) ?? []).map((request) => bodyOf(request).type)
        expect(heard[0]).toBe('file.created')
        expect(heard.toSorted()).toEqual([
          'file-version.created',
          'file.created',
          'file.updated',
          'upload.post-transform.success',
        ])
      }
      const copies = [...eventsOf.keys()].filter((fileId) => !files.has(fileId))
      expect(copies).toHaveLength(COPIED)
      for (const fileId of copies) {
        const heard = firstOfEach(eventsOf.get(fileId)!).map((request) => bodyOf(request).type)
        expect(heard).toEqual(['file.created', 'file.updated'])
      }
      // Only what was on its way when a process was killed was sent again.
      const repeats = receiver.requests.length - new Set(receiver.requests.map(idOf)).size
      expect(repeats).toBeLessThanOrEqual(CRASHES * WEBHOOKS_AT_ONCE)
      for (const server of running) expect((await server.stop('SIGTERM')).code).toBe(0)
    })

    /** What waits, runs or is dead. */
    async function openJobs(server: Server) {
      const text = String((await call(server, 'GET', '/metrics')).body)
      const lines = text.matchAll(/^tintype_jobs\{kind="([^"]+)",state="(\w+)"\} (\d+)$/gm)
      return [...lines].map(([, kind, state, count]) => ({ kind, state, count: Number(count) }))
    }

    /** Waits until nothing waits or runs; fails where something is dead. */
    async function settled(server: Server) {
      for (let waited = 0; ; waited += 1) {
        const jobs = await openJobs(server)
        if (jobs.length === 0) return
        if (jobs.some(({ state }) => state === 'dead') || waited > 1200) {
          const output = running.map((each) => each.output().slice(-2000)).join('\n')
          throw new Error(`${JSON.stringify(jobs)}\n${output}`)
        }
        await sleep(100)
      }
    }
  })
}

const isCutOut = (size: number) => size === CUT_OUT.length
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const bodyOf = ({ body }: Received) => JSON.parse(body.toString('utf8'))
const idOf = ({ headers }: Received) => String(headers['webhook-id'])

/** The first request of each id, in the order of their arrival. */
function firstOfEach(requests: Received[]): Received[] {
  return [...new Map(requests.toReversed().map((request) => [idOf(request), request])).values()].toSorted(
    (a, b) => requests.indexOf(a) - requests.indexOf(b),
  )
}

function groupBy(requests: Received[], key: (request: Received) => string): Map<string, Received[]> {
  const groups = new Map<string, Received[]>()
  for (const request of requests) groups.set(key(request), [...(groups.get(key(request)) ?? []), request])
  return groups
}

function countBy(requests: Received[], key: (request: Received) => string): Map<string, number> {
  return new Map([...groupBy(requests, key)].map(([name, group]) => [name, group.length]))
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
