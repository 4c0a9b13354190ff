import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFile, cp, mkdtemp, open, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkSqliteFile } from '../../src/store/store.ts'
import {
  createSchema,
  type PostgresSchema,
  postgresUrl,
  runStatement,
  whySkipped,
} from '../contract/postgres-place.ts'
import { clusterStore, createClusterPlace } from '../support/cluster.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { randomFrom } from '../support/random.ts'
import { launchServer, type Server, startServer } from '../support/server.ts'
import { startTintype, upload } from '../support/tintype.ts'
import { expectSound } from './inspection.ts'
import { isLong, keysOf, SEED } from './run.ts'
import { whyNoTracing } from './tracing.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const OPEN_LIBRARY = join(import.meta.dirname, 'open-library.ts')
const started: Server[] = []
const folders: string[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.dispose()))
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function start(options: Parameters<typeof startServer>[0] = {}): Promise<Server> {
  const server = await startServer(options)
  started.push(server)
  return server
}

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-database-'))
  folders.push(folder)
  return folder
}

describe('a library that others open too', () => {
  test('is opened for the first time by several processes at the same moment', async () => {
    const file = join(await newFolder(), 'library')
    const rounds = isLong ? '40' : '3'
    const outputs = await Promise.all(
      Array.from({ length: 5 }, () => run(process.execPath, [OPEN_LIBRARY, file, rounds, '500'])),
    )
    expect(outputs.map(({ stdout }) => stdout).join('')).toBe('')
    const db = new DatabaseSync(`${file}-0`, { readOnly: true })
    const { count } = db.prepare("SELECT count(*) AS count FROM settings WHERE key LIKE 'opened.%'").get()!
    db.close()
    expect(count).toBe(5)
  })

  test('waits for a lock off the event loop, refuses writes in the end, and goes on afterwards', async () => {
    const server = await start({ env: { TINTYPE_STORE_LOCK_WAIT_MS: '1200' } })
    await uploadFile(server, png(20, 20), { fileName: 'before.png', useUniqueFileName: 'false' })
    const other = new DatabaseSync(join(server.dataDir, 'tintype.db'), { timeout: 5000 })
    other.exec('BEGIN IMMEDIATE')
    const writing = uploadFile(server, png(3, 3), { fileName: 'meanwhile.png' })
    let isWaiting = true
    writing.then(() => {
      isWaiting = false
    })
    // Reads are served as if nothing were, one after the other, while the write waits.
    let reads = 0
    while (isWaiting && reads < 20) {
      expect((await send(server, `/${server.id}/before.png`)).status).toBe(200)
      expect((await send(server, '/health')).status).toBe(200)
      reads += 1
    }
    expect(reads).toBeGreaterThan(1)
    const refused = await writing
    expect(refused.status).toBe(503)
    expect(refused.json()).toEqual({
      message: expect.stringContaining('try again'),
      help: expect.any(String),
    })
    expect(refused.headers['retry-after']).toBe('1')
    // One that is let go in time is not refused.
    const patient = uploadFile(server, png(5, 5), { fileName: 'patient.png' })
    await sleep(300)
    other.exec('ROLLBACK')
    other.close()
    expect((await patient).status).toBe(200)
    expect((await uploadFile(server, png(4, 4), { fileName: 'after.png' })).status).toBe(200)
    await expectSound(server.dataDir)
  })
})

describe('at the start', () => {
  let whole: Server
  let dataDir: string
  let file: string

  beforeAll(async () => {
    whole = await startServer()
    for (let at = 0; at < 30; at += 1) {
      const fields = { fileName: `${at}.png`, folder: `/f${at % 5}`, tags: 'a,b,c' }
      expect((await uploadFile(whole, png(4, 4, at), fields)).status).toBe(200)
    }
    await whole.stop('SIGTERM')
  })
  afterAll(() => whole.dispose())
  beforeEach(async () => {
    dataDir = join(await newFolder(), 'data')
    await cp(whole.dataDir, dataDir, { recursive: true })
    file = join(dataDir, 'tintype.db')
  })

  /** What a server that must not start says. */
  async function refusal(): Promise<string> {
    const { ended, output } = await launchServer({ dataDir, env: keysOf(whole) })
    expect((await ended).code).toBe(1)
    // For the operator: what is wrong and what to do, and no trace of the program.
    expect(output()).toContain('Tintype cannot start.')
    expect(output()).not.toMatch(/^\s+at /m)
    return output()
  }

  test('a database with a damaged head is refused with advice', async () => {
    const handle = await open(file, 'r+')
    await handle.write(randomBytes(200), 0, 200, 0)
    await handle.close()
    const said = await refusal()
    expect(said).toContain(file)
    expect(said).toMatch(/restore the latest backup/)
  })

  test('one that is cut short is refused, and nothing is made of it', async () => {
    await truncate(file, 4096 * 3)
    expect(await refusal()).toMatch(/restore the latest backup/)
    await copyFile(join(whole.dataDir, 'tintype.db'), file)
    const again = await start({ dataDir, env: keysOf(whole) })
    const files = await send(again, '/v1/files', { headers: { authorization: basic(again.privateKey) } })
    expect(files.json()).toHaveLength(30)
  })

  test('one that has gone is not replaced by a new one, where files are', async () => {
    await rm(file)
    expect(await refusal()).toContain('is not there')
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('one that a library has not been moved into to its end is refused, by commands too', async () => {
    const db = new DatabaseSync(file)
    db.exec(
      `INSERT INTO settings (key, value) VALUES ('migration.progress', '{"account":"a","table":"files","after":null}')`,
    )
    db.close()
    expect(await refusal()).toMatch(/has not come to its end\. Run "tintype migrate-data" again/)
    expect(await garbageCommand({ TINTYPE_DATA_DIR: dataDir })).toMatch(/has not come to its end/)
  })

  test('one of a newer release is refused', async () => {
    const db = new DatabaseSync(file)
    db.exec("INSERT INTO schema_migrations (version, name, applied_at) VALUES (9999, 'later', 0)")
    db.close()
    expect(await refusal()).toMatch(/written by a newer release/)
  })

  test('damaged pages are no concern, but verify finds them', async () => {
    const pages = (await stat(file)).size / 4096
    const random = randomFrom(SEED)
    let found = 0
    for (let at = 0; at < 40; at += 1) {
      await copyFile(join(whole.dataDir, 'tintype.db'), file)
      const handle = await open(file, 'r+')
      // The head of a page, where SQLite says what is in it.
      const page = 1 + Math.floor(random() * (pages - 1))
      await handle.write(randomBytes(512), 0, 512, page * 4096)
      await handle.close()
      if (checkSqliteFile(file).length > 0) found += 1
    }
    // A page that is free holds nothing.
    expect(found).toBeGreaterThan(30)
    const verification = run(
      process.execPath,
      [join(root, 'src/cli.ts'), 'verify', '--json', `--data-dir=${dataDir}`],
      { cwd: root },
    )
    const { code, stdout } = (await verification.catch(
      (error: { code: number; stdout: string }) => error,
    )) as { code?: number; stdout: string }
    expect(code).toBe(1)
    expect(JSON.parse(stdout).database.length).toBeGreaterThan(0)
  })
})

/** What `tintype gc` says, which must not come to pass. */
async function garbageCommand(settings: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = (await run(
    process.execPath,
    [join(root, 'src/cli.ts'), 'gc', '--grace=0'],
    { cwd: root, env: { PATH: process.env.PATH, ...settings } },
  ).catch((error) => error)) as { code?: number; stdout: string; stderr: string }
  expect(code, stdout).toBe(1)
  return stderr
}

describe.skipIf(!postgresUrl)(`a PostgreSQL database${whySkipped}`, () => {
  const schemas: PostgresSchema[] = []
  afterEach(async () => {
    await Promise.all(started.map((server) => server.stop('SIGKILL')))
    for (const schema of schemas.splice(0)) await schema.remove()
  })
  const newSchema = async () => {
    const schema = await createSchema()
    schemas.push(schema)
    return schema.databaseUrl
  }
  const list = async (server: Server): Promise<{ name: string }[]> =>
    (await send(server, '/v1/files', { headers: { authorization: basic(server.privateKey) } })).json()

  const storages: [string, boolean, () => Promise<Record<string, string>>][] = [
    ['data folder', false, async () => ({ TINTYPE_DATA_DIR: join(await newFolder(), 'data') })],
    [
      'bucket',
      clusterStore === undefined,
      async () => {
        const { env, remove } = await createClusterPlace()
        await remove()
        const { TINTYPE_DATABASE_URL: _, TINTYPE_REDIS_URL: __, ...storage } = env
        return { TINTYPE_DATA_DIR: join(await newFolder(), 'data'), ...storage }
      },
    ],
  ]
  for (const [name, isMissing, newStorage] of storages) {
    const why = isMissing ? ' (skipped: no object store)' : ''

    test.skipIf(isMissing)(
      `that is empty beside a full ${name} is refused, by commands too, and nothing is lost${why}`,
      async () => {
        const storage = await newStorage()
        const begin = async (databaseUrl: string) => ({ ...storage, TINTYPE_DATABASE_URL: databaseUrl })
        const right = await begin(await newSchema())
        const wrong = await begin(await newSchema())
        const options = { dataDir: storage.TINTYPE_DATA_DIR!, timeoutMs: 60_000 }
        const first = await start({ ...options, env: right })
        const bytes = randomBytes(5000)
        const answer = await uploadFile(first, bytes, { fileName: 'kept.bin', useUniqueFileName: 'false' })
        expect(answer.status, answer.body.toString()).toBe(200)
        await first.stop('SIGTERM')

        // Again and again: what the first refusal has left in the database must not make it one with a library.
        for (let at = 0; at < 2; at += 1) {
          const { ended, output } = await launchServer({ ...options, env: { ...wrong, ...keysOf(first) } })
          expect((await ended).code).toBe(1)
          expect(output()).toContain('Tintype cannot start.')
          expect(output()).toMatch(/There are files in the storage, but the database is empty/)
          expect(output()).not.toMatch(/^\s+at /m)
        }
        expect(await garbageCommand(wrong)).toMatch(/There is no library here/)

        const again = await start({ ...options, env: { ...right, ...keysOf(first) } })
        expect((await send(again, `/${again.id}/kept.bin`)).body.equals(bytes)).toBe(true)
      },
    )

    test.skipIf(isMissing)(
      `with the ${name} of another library is refused, by commands too${why}`,
      async () => {
        const [one, other] = [await newStorage(), await newStorage()]
        const [ofOne, ofOther] = [await newSchema(), await newSchema()]
        const begin = (databaseUrl: string, storage: Record<string, string>) =>
          startTintype({
            dataDir: storage.TINTYPE_DATA_DIR!,
            env: { ...storage, TINTYPE_DATABASE_URL: databaseUrl },
          })
        for (const [databaseUrl, storage] of [
          [ofOne, one],
          [ofOther, other],
        ] as const) {
          const tintype = await begin(databaseUrl, storage)
          expect((await upload(tintype, randomBytes(900), { fileName: 'kept.bin' })).status).toBe(200)
          await tintype.stop()
        }
        await expect(begin(ofOne, other)).rejects.toThrow(/belong to another library than the database/)
        expect(await garbageCommand({ ...other, TINTYPE_DATABASE_URL: ofOne })).toMatch(
          /belong to another library than the database/,
        )

        // One that was restored from a time when there were no such ids takes that of the storage.
        const schema = new URL(ofOne).searchParams.get('options')!.split('=')[1]
        const { rowCount } = await runStatement(`DELETE FROM ${schema}.settings WHERE key = 'library.id'`)
        expect(rowCount).toBe(1)
        for (const expected of ['started', 'started again']) {
          const tintype = await begin(ofOne, one)
          const listed = await send(tintype, '/v1/files', {
            headers: { authorization: tintype.authorization },
          })
          expect(listed.json(), expected).toHaveLength(1)
          await tintype.stop()
        }
      },
    )

    test.skipIf(isMissing)(
      `that is empty is the beginning of one library for all that start on it and an empty ${name} at once, also while files come${why}`,
      async () => {
        for (let round = 0; round < (isLong ? 10 : 1); round += 1) {
          const storage = await newStorage()
          const env = { ...storage, TINTYPE_DATABASE_URL: await newSchema() }
          const keys = {
            TINTYPE_PRIVATE_KEY: 'private_together_0123456789abcdefghijklmnopqr',
            TINTYPE_PUBLIC_KEY: 'public_together_0123456789abcdefghijklmnopqr',
          }
          const dataDir = storage.TINTYPE_DATA_DIR!
          let kept = 0
          const servers = await Promise.all(
            Array.from({ length: 3 }, async (_, at) => {
              // Not all are equally quick.
              await sleep(at * 60 + round * 20)
              const server = await start({ dataDir, timeoutMs: 90_000, env: { ...env, ...keys } })
              for (let file = 0; file < 5; file += 1) {
                const answer = await uploadFile(server, randomBytes(2000), { fileName: `${at}-${file}.bin` })
                expect(answer.status, answer.body.toString()).toBe(200)
                kept += 1
              }
              return server
            }),
          )
          for (const server of servers) expect(await list(server)).toHaveLength(kept)
          await Promise.all(servers.map((server) => server.stop('SIGKILL')))
        }
      },
    )
  }
})

describe('migrations', () => {
  test.skipIf(whyNoTracing !== '')(
    `that are killed go on where they stopped${whyNoTracing && ` (skipped: ${whyNoTracing})`}`,
    { timeout: isLong ? 900_000 : 120_000 },
    async () => {
      const file = join(await newFolder(), 'library')
      const random = randomFrom(SEED)
      const steps = isLong
        ? Array.from({ length: 60 }, (_, at) => at + 1)
        : [1 + Math.floor(random() * 3), 4 + Math.floor(random() * 8)]
      let killed = 0
      for (const call of ['fsync', 'pwrite64']) {
        for (const at of steps) {
          await rm(`${file}-0`, { force: true })
          await rm(`${file}-0-wal`, { force: true })
          await rm(`${file}-0-shm`, { force: true })
          const when = call === 'fsync' ? at : at * 7
          const child = spawn(
            process.env.STRACE_PATH!,
            [
              ...['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`],
              ...['-e', `inject=${call}:signal=SIGKILL:when=${when}`],
              ...[process.execPath, OPEN_LIBRARY, file, '1', '1'],
            ],
            { stdio: 'ignore' },
          )
          const signal = await new Promise((resolve) => child.on('close', (_code, signal) => resolve(signal)))
          if (signal === 'SIGKILL') killed += 1
          const { stdout } = await run(process.execPath, [OPEN_LIBRARY, file, '1', '1'])
          expect(stdout, `${call} ${when}`).toBe('')
          const db = new DatabaseSync(`${file}-0`, { readOnly: true })
          const versions = db.prepare('SELECT version FROM schema_migrations ORDER BY version').all()
          const integrity = db.prepare('PRAGMA integrity_check').get()
          db.close()
          expect(integrity).toMatchObject({ integrity_check: 'ok' })
          expect(versions.map(({ version }) => version)).toEqual(versions.map((_, index) => index + 1))
          expect(versions.length).toBeGreaterThan(5)
        }
      }
      expect(killed).toBeGreaterThan(1)
    },
  )
})
