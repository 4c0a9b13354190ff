import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, stat, truncate, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { silentLog } from '../../src/kernel/log.ts'
import { openStore, type StoreOptions, storeOptions } from '../../src/store/store.ts'
import { createSchema, postgresUrl } from '../contract/postgres-place.ts'
import { isCluster, onlyAlone } from '../support/cluster-server.ts'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'

const root = join(import.meta.dirname, '../..')
const HOUR_SEC = 3600

// biome-ignore lint/suspicious/noExplicitAny: each command prints JSON of its own shape
type Outcome = { code: number; output: string; json: Record<string, any> }

/** Runs a command of the CLI as a person would, on an installation of its own settings. */
async function tintypeCommand(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const run = await promisify(execFile)(process.execPath, [join(root, 'src/cli.ts'), ...args], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    cwd: tmpdir(),
  }).then(
    ({ stdout, stderr }) => ({ code: 0, output: stdout, errors: stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      output: error.stdout,
      errors: error.stderr,
    }),
  )
  const json = run.output.startsWith('{') || run.output.startsWith('[') ? JSON.parse(run.output) : {}
  return { code: run.code, output: run.output + run.errors, json }
}

let place: string

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'tintype-maintenance-'))
})
afterAll(() => rm(place, { recursive: true, force: true }))

async function blobPaths(dataDir: string): Promise<string[]> {
  const entries = await readdir(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

async function makeOlder(path: string, seconds: number): Promise<void> {
  const time = new Date(Date.now() - seconds * 1000)
  await utimes(path, time, time)
}

/** Uploads some files of different kinds. @returns the contents by path. */
async function fill(tintype: TestTintype, count: number): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>()
  for (let index = 0; index < count; index += 1) {
    const bytes = randomBytes(index % 5 === 0 ? 2_000_000 : 500 + index)
    const { status, body } = await upload(tintype, bytes, {
      fileName: `ä ${index}.bin`,
      folder: `/z${index % 3}/a`,
      useUniqueFileName: 'false',
      tags: `even-${index % 2},all`,
    })
    expect(status, JSON.stringify(body)).toBe(200)
    contents.set(body.filePath as string, bytes)
  }
  return contents
}

async function expectContents(tintype: TestTintype, contents: Map<string, Buffer>): Promise<void> {
  for (const [path, bytes] of contents) {
    const response = await fetch(`${tintype.url}/${TEST_KEYS.id}${encodeURI(path)}`)
    expect(response.status, path).toBe(200)
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes), path).toBe(true)
  }
}

/** The bucket and the database of nodes are verified in the runs of clusters. */
const embeddedOnly = onlyAlone('it is about the files of a data folder')

describe('tintype verify', () => {
  it.skipIf(isCluster)(
    `finds damaged, missing, orphaned blobs and dead uploads, and repairs them from a backup${embeddedOnly}`,
    async () => {
      const dataDir = join(place, 'verify')
      const tintype = await startTintype({ dataDir })
      await fill(tintype, 12)
      const sound = await tintypeCommand(['verify', '--json', `--data-dir=${dataDir}`])
      expect(sound).toMatchObject({
        code: 0,
        json: {
          checked: { blobs: 12, rows: 12 },
          damaged: { count: 0 },
          missing: { count: 0 },
          orphans: { count: 0 },
        },
      })
      const backup = join(place, 'verify-backup')
      expect((await tintypeCommand(['backup', backup, `--data-dir=${dataDir}`])).code).toBe(0)

      const [flipped, cut, gone, ...others] = await blobPaths(dataDir)
      const sizeBytes = (await stat(flipped!)).size
      await writeFile(flipped!, randomBytes(sizeBytes))
      await truncate(cut!, 10)
      await unlink(gone!)
      const orphan = join(dataDir, 'blobs', '00', '0'.repeat(64))
      await rm(others[0]!, { force: true })
      const deletedName = others[0]!.split('/').at(-1)!
      await promisify(execFile)('mkdir', ['-p', join(dataDir, 'blobs', '00')])
      await writeFile(orphan, 'nobody needs this')
      await makeOlder(orphan, 48 * HOUR_SEC)
      const dead = join(dataDir, 'staging', 'dead-upload')
      await writeFile(dead, 'half an upl')
      await makeOlder(dead, HOUR_SEC)

      const found = await tintypeCommand(['verify', '--json', `--data-dir=${dataDir}`])
      expect(found.code).toBe(1)
      const { damaged, missing, orphans, temporary } = found.json
      const hashes = (list: { sha256: string }[]) => list.map(({ sha256 }) => sha256).sort()
      // The orphan does not have the hash of its name either.
      expect(hashes(damaged.list)).toEqual(
        [flipped, cut, orphan].map((path) => path!.split('/').at(-1)!).sort(),
      )
      expect(hashes(missing.list)).toEqual([gone!.split('/').at(-1)!, deletedName].sort())
      expect(missing.list[0].files[0]).toMatch(/^\/z\d\/a\//)
      expect(orphans.count).toBe(0)
      expect(temporary.list).toMatchObject([{ name: 'dead-upload', sizeBytes: 11 }])

      // Nothing of this is ever delivered as if it were the file.
      const lost = await fetch(`${tintype.url}/${TEST_KEYS.id}${encodeURI(missing.list[0].files[0])}`)
      expect(lost.status).toBe(500)
      expect(lost.headers.get('cache-control')).toBe('no-store')
      const flippedPath = damaged.list.find(({ sha256 }: { sha256: string }) => flipped!.endsWith(sha256))
        .files[0]
      if (sizeBytes < 1_000_000) {
        expect((await fetch(`${tintype.url}/${TEST_KEYS.id}${encodeURI(flippedPath)}`)).status).toBe(500)
      }

      const quick = await tintypeCommand(['verify', '--quick', '--json', `--data-dir=${dataDir}`])
      expect(quick.json).toMatchObject({
        damaged: { count: 0 },
        missing: { count: 2 },
        mismatched: { count: 1 },
      })
      expect(quick.json.orphans.list).toMatchObject([{ sha256: '0'.repeat(64) }])

      const repaired = await tintypeCommand([
        'verify',
        '--repair',
        `--from=${backup}`,
        '--json',
        `--data-dir=${dataDir}`,
      ])
      expect(repaired.json.repaired).toMatchObject({ restored: 4, removedTemporary: 1 })
      expect(repaired.json.repaired.setAside).toHaveLength(3)
      const after = await tintypeCommand(['verify', `--data-dir=${dataDir}`])
      expect(after.output).toContain('12 blobs')
      expect(after.output).toContain('all is well')
      expect(after.code).toBe(0)
      await tintype.stop()
    },
  )

  it('says that there is no library instead of making one', async () => {
    const dataDir = join(place, 'nothing')
    const outcome = await tintypeCommand(['verify', `--data-dir=${dataDir}`])
    expect(outcome.code).toBe(1)
    expect(outcome.output).toContain('There is no library here')
    await expect(stat(dataDir)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it.skipIf(isCluster)(`names a damaged database file${embeddedOnly}`, async () => {
    const dataDir = join(place, 'damaged-database')
    const tintype = await startTintype({ dataDir })
    await fill(tintype, 3)
    await tintype.close()
    const file = join(dataDir, 'tintype.db')
    const handle = await import('node:fs/promises').then((fs) => fs.open(file, 'r+'))
    await handle.write(randomBytes(8192), 0, 8192, 3 * 4096)
    await handle.close()
    const outcome = await tintypeCommand(['verify', '--json', `--data-dir=${dataDir}`])
    expect(outcome.code).toBe(1)
    expect(outcome.json.database.length).toBeGreaterThan(0)
  })
})

describe('tintype gc', () => {
  it.skipIf(isCluster)(
    `removes what no file refers to, and with --dry-run only says so${embeddedOnly}`,
    async () => {
      const dataDir = join(place, 'gc')
      const tintype = await startTintype({ dataDir })
      const contents = await fill(tintype, 4)
      const { body } = await upload(tintype, Buffer.from('to be deleted'), { fileName: 'gone.txt' })
      for (const path of await blobPaths(dataDir)) await makeOlder(path, 48 * HOUR_SEC)
      await fetch(`${tintype.url}/v1/files/${body.fileId}`, {
        method: 'DELETE',
        headers: { authorization: tintype.authorization },
      })
      const dry = await tintypeCommand(['gc', '--dry-run', '--json', `--data-dir=${dataDir}`])
      expect(dry.json).toMatchObject({ dryRun: true, checked: 5, removed: 1, freedBytes: 13 })
      expect(await blobPaths(dataDir)).toHaveLength(5)
      const real = await tintypeCommand(['gc', `--data-dir=${dataDir}`])
      expect(real.output).toContain('5 blobs looked at, 1 removed (13 bytes).')
      expect(await blobPaths(dataDir)).toHaveLength(4)
      await expectContents(tintype, contents)
      await tintype.stop()
    },
  )
})

describe('tintype backup and restore', () => {
  it.skipIf(isCluster).each(['copied', 'linked'])(
    `brings back a library that was %s while it was written to${embeddedOnly}`,
    async (how) => {
      const dataDir = join(place, `live-${how}`)
      const tintype = await startTintype({ dataDir })
      const contents = await fill(tintype, 20)
      const backup = join(place, `backup-${how}`)
      let uploading = true
      const writer = (async () => {
        for (let index = 0; uploading; index += 1) {
          await upload(tintype, randomBytes(20_000), { fileName: `during-${index}.bin` })
        }
      })()
      const args = ['backup', backup, `--data-dir=${dataDir}`, ...(how === 'linked' ? ['--link'] : [])]
      const first = await tintypeCommand(args)
      expect(first.output).toContain('The backup is in')
      expect(first.code).toBe(0)
      uploading = false
      await writer
      // What is new comes into the same folder.
      const added = await upload(tintype, Buffer.from('after the first backup'), { fileName: 'later.txt' })
      const again = await tintypeCommand([...args, '--json'])
      expect(again.json.copied).toBeLessThan(again.json.present + again.json.copied)
      const stored = await blobPaths(dataDir)
      await tintype.stop()
      if (how === 'copied') await rm(dataDir, { recursive: true })

      const target = join(place, `restored-${how}`)
      const outcome = await tintypeCommand(['restore', backup, `--data-dir=${target}`])
      expect(outcome.output).toContain('all is well')
      expect(outcome.code).toBe(0)
      expect((await blobPaths(target)).length).toBe(stored.length)
      const restored = await startTintype({ dataDir: target })
      await expectContents(restored, contents)
      await expectContents(
        restored,
        new Map([[added.body.filePath as string, Buffer.from('after the first backup')]]),
      )
      await restored.stop()
      const twice = await tintypeCommand(['restore', backup, `--data-dir=${target}`])
      expect(twice.code).toBe(1)
      expect(twice.output).toContain('There is a library')
    },
  )

  it('refuses a folder without a finished backup', async () => {
    const outcome = await tintypeCommand(['restore', place, `--data-dir=${join(place, 'none')}`])
    expect(outcome.code).toBe(1)
    expect(outcome.output).toContain('no finished backup')
  })

  it.skipIf(isCluster)(
    `keeps the garbage collector from blobs that the backup is about to copy${embeddedOnly}`,
    async () => {
      const dataDir = join(place, 'held')
      const tintype = await startTintype({ dataDir })
      await upload(tintype, Buffer.from('an orphan soon'), { fileName: 'a.txt' }).then(({ body }) =>
        fetch(`${tintype.url}/v1/files/${body.fileId}`, {
          method: 'DELETE',
          headers: { authorization: tintype.authorization },
        }),
      )
      for (const path of await blobPaths(dataDir)) await makeOlder(path, 48 * HOUR_SEC)
      await tintype.store.settings.set('garbage.holdUntilMs', Date.now() + 60_000)
      await tintypeCommand(['gc', `--data-dir=${dataDir}`])
      expect(await blobPaths(dataDir)).toHaveLength(1)
      await tintype.store.settings.set('garbage.holdUntilMs', undefined)
      await tintypeCommand(['gc', `--data-dir=${dataDir}`])
      expect(await blobPaths(dataDir)).toHaveLength(0)
      await tintype.stop()
    },
  )
})

const s3 = {
  endpoint: process.env.TINTYPE_TEST_S3_ENDPOINT ?? '',
  bucket: process.env.TINTYPE_TEST_S3_BUCKET ?? '',
  accessKey: process.env.TINTYPE_TEST_S3_ACCESS_KEY ?? '',
  secretKey: process.env.TINTYPE_TEST_S3_SECRET_KEY ?? '',
}
const hasCluster = postgresUrl !== undefined && s3.endpoint !== ''

/** Begins to move a library to PostgreSQL and kills the command while it waits to put the first versions in. */
async function interruptMove(dataDir: string, target: Record<string, string>): Promise<void> {
  const databaseUrl = target.TINTYPE_TO_DATABASE_URL!
  // The tables that are to be locked are made when the store is first opened.
  const options = Value.Default(storeOptions, { databaseUrl }) as StoreOptions
  await (await openStore(options, { log: silentLog })).close()
  const holder = new pg.Client({ connectionString: databaseUrl })
  await holder.connect()
  try {
    // Readers pass, writers wait.
    await holder.query('BEGIN; LOCK TABLE versions IN EXCLUSIVE MODE')
    const mover = execFile(
      process.execPath,
      [join(root, 'src/cli.ts'), 'migrate-data', `--data-dir=${dataDir}`],
      // What it leaves goes with this folder.
      { env: { PATH: process.env.PATH, TMPDIR: place, ...target }, cwd: place },
    )
    const waiting = await vi.waitFor(
      async () => {
        const { rows } = await holder.query<{ pid: number }>(
          `SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'versions'::regclass`,
        )
        expect(rows).toHaveLength(1)
        return rows[0]!.pid
      },
      { timeout: 30_000, interval: 20 },
    )
    mover.kill('SIGKILL')
    await once(mover, 'exit')
    // The server sees that its client is gone only when it has the lock.
    await holder.query('ROLLBACK')
    await vi.waitFor(
      async () => {
        const { rowCount } = await holder.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [waiting])
        expect(rowCount).toBe(0)
      },
      { timeout: 10_000, interval: 20 },
    )
  } finally {
    await holder.end()
  }
}

describe.skipIf(!hasCluster)(
  `tintype migrate-data, PostgreSQL and S3${hasCluster ? '' : ' (skipped: TINTYPE_TEST_POSTGRES_URL or TINTYPE_TEST_S3_ENDPOINT is not set)'}`,
  () => {
    const whySkipped = onlyAlone('it begins with a data folder, and makes the other set-up itself')
    it.skipIf(isCluster)(
      `carries a library there and back, and goes on after an interruption${whySkipped}`,
      async () => {
        // A folder of this try's own: a second try would find the files of the first.
        const home = await mkdtemp(join(place, 'migrate-'))
        const dataDir = join(home, 'data')
        const tintype = await startTintype({ dataDir })
        const contents = await fill(tintype, 30)
        await fetch(`${tintype.url}/v1/customMetadataFields`, {
          method: 'POST',
          headers: { authorization: tintype.authorization, 'content-type': 'application/json' },
          body: JSON.stringify({ name: 'price', label: 'price', schema: { type: 'Number' } }),
        })
        await tintype.close()

        const schema = await createSchema()
        const target = {
          TINTYPE_TO_DATABASE_URL: schema.databaseUrl,
          TINTYPE_TO_S3_ENDPOINT: s3.endpoint,
          TINTYPE_TO_S3_BUCKET: s3.bucket,
          TINTYPE_TO_S3_ACCESS_KEY: s3.accessKey,
          TINTYPE_TO_S3_SECRET_KEY: s3.secretKey,
          TINTYPE_TO_BLOBS_S3_PREFIX: `migrate-${Date.now()}/`,
        }
        const source = Object.fromEntries(
          Object.entries(target).map(([name, value]) => [name.replace('TINTYPE_TO_', 'TINTYPE_'), value]),
        )
        await interruptMove(dataDir, target)
        const moved = await tintypeCommand(['migrate-data', '--json', `--data-dir=${dataDir}`], target)
        expect(moved.code, moved.output).toBe(0)
        expect(moved.json).toMatchObject({
          blobs: { missing: [], damaged: [] },
          rows: { versions: 30, fields: 1 },
        })
        const work = join(home, 'node')
        const checked = await tintypeCommand(['verify', '--json', `--data-dir=${work}`], source)
        expect(checked.code, checked.output).toBe(0)
        expect(checked.json.checked).toMatchObject({ blobs: 30, rows: 30 })

        const node = await startTintype({ dataDir: work, env: source })
        await expectContents(node, contents)
        const found = await fetch(
          `${node.url}/v1/files?searchQuery=${encodeURIComponent('tags IN ["even-1"]')}`,
          {
            headers: { authorization: node.authorization },
          },
        )
        expect(((await found.json()) as unknown[]).length).toBe(15)
        const added = await upload(node, Buffer.from('written to PostgreSQL'), { fileName: 'new.txt' })
        expect(added.status).toBe(200)
        await node.close()

        const refused = await tintypeCommand(['migrate-data', `--data-dir=${dataDir}`], target)
        expect(refused.code).toBe(1)
        expect(refused.output).toContain(
          'There is a library in the target already. It is this one, as a whole.',
        )

        const embeddedDir = join(home, 'back')
        const back = await tintypeCommand(
          ['migrate-data', `--to=${embeddedDir}`, '--json', `--data-dir=${work}`],
          source,
        )
        expect(back.code, back.output).toBe(0)
        expect(back.json.rows.versions).toBe(31)
        const embedded = await startTintype({ dataDir: embeddedDir })
        contents.set(added.body.filePath as string, Buffer.from('written to PostgreSQL'))
        await expectContents(embedded, contents)
        expect((await upload(embedded, Buffer.from('x'), { fileName: 'y.txt' })).status).toBe(200)
        await embedded.stop()
        await schema.remove()
      },
      120_000,
    )
  },
)

describe('tintype doctor', () => {
  it.skipIf(isCluster)(`finds nothing to do on a sound installation${embeddedOnly}`, async () => {
    const dataDir = join(place, 'doctor')
    const tintype = await startTintype({ dataDir })
    const { code, json } = await tintypeCommand(['doctor', '--json', `--data-dir=${dataDir}`], {
      TINTYPE_PUBLIC_KEY: TEST_KEYS.publicKey,
      TINTYPE_PRIVATE_KEY: TEST_KEYS.privateKey,
    })
    const states = Object.fromEntries(
      (json as unknown as { name: string; state: string }[]).map(({ name, state }) => [name, state]),
    )
    expect(states).toMatchObject({
      'data folder': 'ok',
      database: 'ok',
      schema: 'ok',
      blobs: 'ok',
      fonts: 'ok',
    })
    expect(code).toBe(0)
    await tintype.stop()
  })

  it('says what is wrong and what to do, and never a password', async () => {
    const { code, output } = await tintypeCommand(['doctor', `--data-dir=${join(place, 'ill')}`], {
      TINTYPE_DATABASE_URL: 'postgres://someone:secret-word@127.0.0.1:9/none',
      TINTYPE_S3_ENDPOINT: 'http://127.0.0.1:9',
      TINTYPE_S3_BUCKET: 'none',
      TINTYPE_S3_ACCESS_KEY: 'a',
      TINTYPE_S3_SECRET_KEY: 'another-secret',
      TINTYPE_BLOBS_S3_ATTEMPTS: '1',
      TINTYPE_REDIS_URL: 'redis://:third-secret@127.0.0.1:9',
      TINTYPE_MEDIA_FFPROBE: '/nowhere/ffprobe',
    })
    expect(code).toBe(1)
    expect(output).toContain('FAILED  database: 127.0.0.1:9/none')
    expect(output).toContain('TINTYPE_DATABASE_URL')
    expect(output).toContain('FAILED  bucket')
    expect(output).toContain('WARN    Redis: 127.0.0.1:9')
    expect(output).toContain('WARN    ffprobe')
    expect(output).not.toContain('third-secret')
    expect(output).not.toContain('secret-word')
    expect(output).not.toContain('another-secret')
  })
})
