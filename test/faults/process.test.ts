import { execFile } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'
import { expectSound } from './inspection.ts'
import { faultOfError } from './mixed-load.ts'
import { keysOf, LONGEST_START_MS } from './run.ts'
import { threadsOf, trace, whyNoTracing } from './tracing.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024
const { PRLIMIT_PATH, FAKETIME_LIBRARY } = process.env
const started: Server[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.dispose()))
})

async function start(options: Parameters<typeof startServer>[0] = {}): Promise<Server> {
  const server = await startServer({ timeoutMs: LONGEST_START_MS, ...options })
  started.push(server)
  return server
}

const call = (server: Server, method: string, path: string, body?: object) =>
  send(server, path, {
    method,
    headers: { authorization: basic(server.privateKey), 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
const put = (server: Server, bytes: Buffer, fileName: string, fields: Record<string, string> = {}) =>
  uploadFile(server, bytes, { fileName, useUniqueFileName: 'false', ...fields })

describe.skipIf(PRLIMIT_PATH === undefined)(
  `file descriptors${PRLIMIT_PATH ? '' : ' (skipped: prlimit is missing)'}`,
  () => {
    const setLimit = (server: Server, soft: number) =>
      run(PRLIMIT_PATH!, ['--pid', String(server.pid), `--nofile=${soft}:`])

    /** Leaves a process so many descriptors that it may still open. */
    async function leave(server: Server, free: number) {
      const used = new Set(readdirSync(`/proc/${server.pid}/fd`).map(Number))
      let limit = 0
      for (let left = free; left > 0 || used.has(limit); limit += 1) if (!used.has(limit)) left -= 1
      await setLimit(server, limit)
    }

    test('that run out are a 503, and the server is well as soon as there are some', async () => {
      const server = await start()
      const bytes = randomBytes(2 * MIB)
      await put(server, bytes, 'large.bin')
      await put(server, png(90, 60), 'picture.png')
      expect((await send(server, `/${server.id}/tr:w-20/picture.png`)).status).toBe(200)
      const answers = async (round: number, onCut: () => undefined) => {
        const asked = [
          () => put(server, randomBytes(2 * MIB), `l${round}.bin`),
          () => put(server, randomBytes(200), `s${round}.bin`),
          () => send(server, `/${server.id}/large.bin`),
          () => send(server, `/${server.id}/tr:w-${30 + round}/picture.png`),
        ]
        const all = []
        for (const ask of asked) {
          const answer = await ask().catch((error: NodeJS.ErrnoException) => {
            if (error.code !== 'ECONNRESET') throw error
            return onCut()
          })
          if (answer) all.push(answer)
        }
        return all
      }
      let refused = 0
      // The connections themselves take descriptors: with none left, none is accepted before one is free.
      for (let free = 1; free <= 6; free += 1) {
        // The last connection is closed by then, and its descriptor free.
        await sleep(150)
        await leave(server, free)
        // A connection for which there is no descriptor is closed, since nothing can be read from it.
        for (const answer of await answers(free, () => undefined)) {
          if (answer.status < 300) continue
          refused += 1
          expect(answer.status).toBe(503)
          expect(faultOfError(answer)).toBeUndefined()
        }
      }
      expect(refused).toBeGreaterThan(0)
      await setLimit(server, 4096)
      const well = await answers(9, () => expect.unreachable('a connection was closed'))
      expect(well.map((answer) => answer.status)).toEqual([200, 200, 200, 200])
      expect((await send(server, `/${server.id}/large.bin`)).body.equals(bytes)).toBe(true)
      expect(server.output()).not.toMatch(/uncaughtException|unhandledRejection/)
      await expectSound(server.dataDir)
    })

    test('that connections have used up are given back', async () => {
      const server = await start()
      await put(server, png(90, 60), 'picture.png')
      await leave(server, 10)
      const { hostname, port } = new URL(server.url)
      const sockets: Socket[] = []
      for (let at = 0; at < 60; at += 1) {
        const socket = connect(Number(port), hostname)
        socket.on('error', () => {})
        sockets.push(socket)
      }
      await sleep(500)
      for (const socket of sockets) socket.destroy()
      await expect
        .poll(() => send(server, `/${server.id}/picture.png`).then(({ status }) => status, String), {
          timeout: 10_000,
        })
        .toBe(200)
      expect((await put(server, randomBytes(2 * MIB), 'after.bin')).status).toBe(200)
      expect(server.output()).not.toMatch(/uncaughtException|unhandledRejection/)
    })
  },
)

test.skipIf(whyNoTracing !== '')(
  `a slow disk delays what needs it, and nothing else${whyNoTracing && ` (skipped: ${whyNoTracing})`}`,
  async () => {
    const server = await start()
    await put(server, png(90, 60), 'picture.png')
    expect((await send(server, `/${server.id}/tr:w-20/picture.png`)).status).toBe(200)
    expect((await send(server, `/${server.id}/tr:w-20/picture.png`)).status).toBe(200)
    for (let at = 0; at < 4; at += 1) await put(server, randomBytes(2 * MIB), `warm-${at}.bin`)
    const calls = ['fsync', 'fdatasync', 'pwrite64']
    const threads = [...threadsOf(server.pid, 'libuv-worker'), ...threadsOf(server.pid, 'sqlite-')]
    const tracing = await trace(threads, calls, `${calls}:delay_enter=80000`)
    let isDone = false
    const uploads = Promise.all(
      Array.from({ length: 12 }, (_, at) => put(server, randomBytes(at % 2 ? 2 * MIB : 400), `${at}.bin`)),
    ).then((answers) => {
      isDone = true
      return answers
    })
    let delivered = 0
    while (!isDone) {
      expect((await send(server, `/${server.id}/tr:w-20/picture.png`)).status).toBe(200)
      expect((await send(server, '/health')).status).toBe(200)
      delivered += 1
    }
    for (const answer of await uploads) expect(answer.status, answer.body.toString()).toBe(200)
    await tracing.stop()
    // They were not kept waiting for the uploads, each of which waits for several calls.
    expect(delivered).toBeGreaterThan(5)
    await expectSound(server.dataDir)
  },
)

describe.skipIf(!FAKETIME_LIBRARY)(
  `a clock that jumps${FAKETIME_LIBRARY ? '' : ' (skipped: libfaketime is missing)'}`,
  () => {
    test('changes no order, stops no job and lets no token be used twice', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'tintype-clock-'))
      const file = join(folder, 'now')
      const jump = (offset: string) => writeFile(file, `${offset}\n`)
      await jump('+0')
      try {
        const server = await start({
          env: {
            LD_PRELOAD: FAKETIME_LIBRARY,
            FAKETIME_TIMESTAMP_FILE: file,
            FAKETIME_NO_CACHE: '1',
            // Timers and leases go by the other clock, as they would on a machine whose time is set.
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
            TINTYPE_HOUSEKEEPING_EVERY_SEC: '1',
            TINTYPE_HOUSEKEEPING_BLOBS_EVERY_SEC: '1',
          },
        })
        const expire = String(Math.floor(Date.now() / 1000) + 3000)
        const token = randomBytes(16).toString('hex')
        const signature = createHmac('sha1', server.privateKey)
          .update(token + expire)
          .digest('hex')
        const putWithToken = () =>
          uploadFile(
            server,
            png(),
            { fileName: 'once.png', publicKey: server.publicKey, token, expire, signature },
            { authorization: null },
          )
        expect((await putWithToken()).status).toBe(200)
        // An hour that was none: housekeeping must not forget the token meanwhile.
        await jump('+1h')
        await sleep(1500)
        await jump('+0')
        expect((await putWithToken()).status).toBe(400)

        const bodies: Buffer[] = []
        const jumps = [0, 2, -1, 26, -26, 0]
        const createdHours: number[] = []
        for (const [at, offset] of jumps.entries()) {
          await jump(`${offset < 0 ? '' : '+'}${offset}h`)
          bodies.push(randomBytes(500))
          const answer = await put(server, bodies[at]!, 'one.bin')
          expect(answer.status, answer.body.toString()).toBe(200)
          expect(answer.json().versionInfo.name).toBe(`Version ${at + 1}`)
          expect((await send(server, `/${server.id}/one.bin`)).body.equals(bodies[at]!)).toBe(true)
          const { createdAt } = (
            await call(server, 'GET', `/v1/files/${answer.json().fileId}/versions`)
          ).json()[0]
          createdHours.push(Math.round((Date.parse(createdAt) - Date.now()) / 3_600_000) + 0)
          await put(server, png(40, 30, at), `p.png`, { folder: `/f${at}` })
          expect((await send(server, `/${server.id}/tr:w-10/f${at}/p.png`)).status).toBe(200)
          const { jobId } = (
            await call(server, 'POST', '/v1/bulkJobs/renameFolder', {
              folderPath: `/f${at}`,
              newFolderName: `g${at}`,
            })
          ).json()
          await expect
            .poll(async () => (await call(server, 'GET', `/v1/bulkJobs/${jobId}`)).json().status, {
              timeout: 15_000,
            })
            .toBe('Completed')
          expect((await send(server, '/health')).status).toBe(200)
        }
        // It was so: the server's clock did jump.
        expect(createdHours).toEqual(jumps)
        const { fileId } = (await call(server, 'GET', '/v1/files?name=one.bin')).json()[0]
        const versions: { versionInfo: { name: string } }[] = (
          await call(server, 'GET', `/v1/files/${fileId}/versions`)
        ).json()
        expect(versions.map(({ versionInfo }) => versionInfo.name)).toEqual(
          jumps.map((_, at) => `Version ${jumps.length - at}`),
        )
        expect((await send(server, `/${server.id}/one.bin`)).body.equals(bodies.at(-1)!)).toBe(true)
        expect(server.output()).not.toMatch(/uncaughtException|unhandledRejection/)
        await expectSound(server.dataDir)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    })
  },
)

test('an error that nobody foresaw ends the process in order: what runs is answered, and the next start is well', async () => {
  const server = await start({
    command: [
      process.execPath,
      '--import',
      'data:text/javascript,process.on("SIGUSR2",()=>setImmediate(()=>{throw new Error("unforeseen")}))',
      join(import.meta.dirname, '../../src/main.ts'),
    ],
  })
  await put(server, png(90, 60), 'picture.png')
  const rendering = send(server, `/${server.id}/tr:w-30,e-grayscale/picture.png`).then(
    ({ status }) => status,
    () => 0,
  )
  await sleep(30)
  process.kill(server.pid, 'SIGUSR2')
  expect(await server.ended).toEqual({ code: 1, signal: null })
  expect([200, 503]).toContain(await rendering)
  expect(server.output()).toContain('"msg":"uncaughtException"')
  expect(server.output()).toContain('unforeseen')
  const again = await start({ dataDir: server.dataDir, env: keysOf(server) })
  expect((await send(again, `/${again.id}/picture.png`)).body.equals(png(90, 60))).toBe(true)
  await expectSound(again.dataDir)
})
