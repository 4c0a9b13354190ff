import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { freePort, type Server, startServer } from '../support/server.ts'
import { createDisk, whyNoDisk } from './machine.ts'
import { faultOfError } from './mixed-load.ts'
import { isLong, LONGEST_START_MS } from './run.ts'

const run = promisify(execFile)
const { FAKETIME_LIBRARY, TINTYPE_TEST_POSTGRES_URL, TINTYPE_TEST_S3_ENDPOINT } = process.env
const POSTGRES_SCRIPT = join(import.meta.dirname, '../../scripts/services/postgres.sh')
const PSQL = '/usr/lib/postgresql/15/bin/psql'

const put = (server: Server, bytes: Buffer, fileName: string, tags = 'a') =>
  uploadFile(server, bytes, { fileName, useUniqueFileName: 'false', tags })

const whyNoCluster = (TINTYPE_TEST_POSTGRES_URL ?? '') === '' ? 'no PostgreSQL' : whyNoDisk
/** A database server of its own takes time. */
const inLongForm = isLong ? describe.skipIf(whyNoCluster !== '') : () => {}

inLongForm(`PostgreSQL${whyNoCluster && ` (skipped: ${whyNoCluster})`}`, () => {
  test('without space refuses what it cannot keep, goes on reading, and is well once there is space', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tintype-postgres-'))
    await chmod(folder, 0o755)
    const port = String(await freePort())
    const env = {
      ...process.env,
      PG_DIR: join(folder, 'cluster'),
      PG_PORT: port,
      TINTYPE_SERVICES_STATE: join(folder, 'state'),
    }
    const disk = await createDisk(48)
    let server: Server | undefined
    try {
      await chmod(dirname(disk.path), 0o755)
      await run('bash', [POSTGRES_SCRIPT, 'start'], { env })
      const space = join(disk.path, 'space')
      await mkdir(space)
      await run('chown', ['postgres:', space])
      for (const sql of [
        `CREATE TABLESPACE small LOCATION '${space}'`,
        'CREATE DATABASE small OWNER tintype TABLESPACE small',
      ]) {
        await run(PSQL, ['-h', join(folder, 'cluster/run'), '-p', port, '-U', 'postgres', '-c', sql])
      }
      server = await startServer({
        timeoutMs: LONGEST_START_MS,
        env: { TINTYPE_DATABASE_URL: `postgres://tintype:tintype@127.0.0.1:${port}/small` },
      })
      await put(server, png(40, 30), 'picture.png')
      const filler = join(disk.path, 'filler')
      const handle = await open(filler, 'w')
      await expect(
        (async () => {
          for (;;) await handle.write(Buffer.alloc(65_536, 1))
        })(),
      ).rejects.toMatchObject({ code: 'ENOSPC' })
      await handle.close()
      const statuses: number[] = []
      for (let at = 0; at < 600 && statuses.filter((status) => status !== 200).length < 5; at += 1) {
        const tags = Array.from({ length: 30 }, () => randomBytes(6).toString('hex')).join()
        const answer = await put(server, png(2, 2, at), `${at}.png`, tags)
        statuses.push(answer.status)
        if (answer.status !== 200) expect(faultOfError(answer)).toBeUndefined()
      }
      const refused = statuses.filter((status) => status !== 200)
      expect(refused.length).toBeGreaterThan(0)
      expect(refused.filter((status) => status !== 507 && status !== 503)).toEqual([])
      expect((await send(server, `/${server.id}/picture.png`)).status).toBe(200)
      expect((await send(server, `/${server.id}/tr:w-9/picture.png`)).status).toBe(200)
      const list = await send(server, '/v1/files', { headers: { authorization: basic(server.privateKey) } })
      expect(list.status).toBe(200)
      expect((await send(server, '/health')).status).toBe(200)
      await rm(filler)
      expect((await put(server, png(3, 3), 'after.png')).status).toBe(200)
    } finally {
      await server?.dispose()
      await run('bash', [POSTGRES_SCRIPT, 'stop'], { env }).catch(() => {})
      await disk.remove()
      await rm(folder, { recursive: true, force: true })
    }
  }, 240_000)
})

const whyNoSkew = !FAKETIME_LIBRARY
  ? 'libfaketime is missing'
  : TINTYPE_TEST_S3_ENDPOINT
    ? ''
    : 'no object store'

test.skipIf(whyNoSkew !== '')(
  `a clock that is wrong by 20 minutes keeps nobody from an object store${whyNoSkew && ` (skipped: ${whyNoSkew})`}`,
  async () => {
    const s3 = (name: string) => process.env[`TINTYPE_TEST_S3_${name}`]
    const server = await startServer({
      timeoutMs: LONGEST_START_MS,
      env: {
        LD_PRELOAD: FAKETIME_LIBRARY,
        FAKETIME: '+20m',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        TINTYPE_S3_ENDPOINT: s3('ENDPOINT'),
        TINTYPE_S3_REGION: s3('REGION'),
        TINTYPE_S3_BUCKET: s3('BUCKET'),
        TINTYPE_S3_ACCESS_KEY: s3('ACCESS_KEY'),
        TINTYPE_S3_SECRET_KEY: s3('SECRET_KEY'),
        TINTYPE_BLOBS_S3_PREFIX: `skew-${randomBytes(6).toString('hex')}/`,
        TINTYPE_BLOBS_S3_CACHE_BYTES: '0',
      },
    })
    try {
      const bytes = randomBytes(50_000)
      const answer = await put(server, bytes, 'kept.bin')
      expect(answer.status, answer.body.toString()).toBe(200)
      expect(Date.parse(answer.headers.date ?? '') - Date.now()).toBeGreaterThan(19 * 60_000)
      expect((await send(server, `/${server.id}/kept.bin`)).body.equals(bytes)).toBe(true)
    } finally {
      await server.dispose()
    }
  },
)
