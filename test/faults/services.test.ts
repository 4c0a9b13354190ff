import { execFile } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { CLUSTER_KEYS, clusterStore, createClusterPlace } from '../support/cluster.ts'
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

const whyNoNodes = !FAKETIME_LIBRARY
  ? 'libfaketime is missing'
  : (TINTYPE_TEST_POSTGRES_URL ?? '') === ''
    ? 'no PostgreSQL'
    : clusterStore
      ? ''
      : 'no object store'

test.skipIf(whyNoNodes !== '')(
  `two nodes whose clocks are an hour apart keep one order, and let no token be used twice${whyNoNodes && ` (skipped: ${whyNoNodes})`}`,
  async () => {
    const place = await createClusterPlace()
    const env = { ...CLUSTER_KEYS, ...place.env, TINTYPE_HOUSEKEEPING_EVERY_SEC: '1' }
    const late = { LD_PRELOAD: FAKETIME_LIBRARY, FAKETIME: '+1h', FAKETIME_DONT_FAKE_MONOTONIC: '1' }
    const started = await Promise.allSettled(
      [env, { ...env, ...late }].map((one) => startServer({ env: one, timeoutMs: LONGEST_START_MS })),
    )
    const nodes = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    try {
      expect(started.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled'])
      const [right, wrong] = nodes as [Server, Server]
      const api = (node: Server, method: string, target: string, body?: unknown) =>
        send(node, target, {
          method,
          headers: { authorization: basic(node.privateKey), 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })

      /** An upload with a token that ends so many seconds from now, by the right clock. */
      const tokenFor = (seconds: number) => {
        const expire = String(Math.floor(Date.now() / 1000) + seconds)
        const token = randomBytes(16).toString('hex')
        const signature = createHmac('sha1', right.privateKey)
          .update(token + expire)
          .digest('hex')
        const fields = { fileName: 'once.png', publicKey: right.publicKey, token, expire, signature }
        return (node: Server) => uploadFile(node, png(), fields, { authorization: null })
      }
      const usual = tokenFor(3000)
      expect((await usual(right)).status).toBe(200)
      // For the other it has ended: whose clock is wrong refuses too much, and forgets nothing too soon.
      expect((await usual(wrong)).status).toBe(400)
      await sleep(2500)
      expect((await usual(right)).json().message).toContain('has been used before')
      const ofTheFuture = tokenFor(5000)
      expect((await ofTheFuture(right)).status).toBe(400)
      expect((await ofTheFuture(wrong)).status).toBe(200)
      for (const node of [wrong, right]) expect((await ofTheFuture(node)).status).toBe(400)

      const hours: number[] = []
      let fileId = ''
      for (let at = 0; at < 6; at += 1) {
        const node = nodes[at % 2]!
        const bytes = randomBytes(500)
        const answer = await put(node, bytes, 'one.bin')
        expect(answer.status, answer.body.toString()).toBe(200)
        expect(answer.json().versionInfo.name).toBe(`Version ${at + 1}`)
        fileId = answer.json().fileId
        for (const one of nodes) expect((await send(one, `/${one.id}/one.bin`)).body.equals(bytes)).toBe(true)
        const { createdAt } = (await api(node, 'GET', `/v1/files/${fileId}/versions`)).json()[0]
        hours.push(Math.round((Date.parse(createdAt) - Date.now()) / 3_600_000) + 0)

        await uploadFile(node, png(40, 30, at), { fileName: 'p.png', folder: `/f${at}` })
        const { jobId } = (
          await api(nodes[(at + 1) % 2]!, 'POST', '/v1/bulkJobs/renameFolder', {
            folderPath: `/f${at}`,
            newFolderName: `g${at}`,
          })
        ).json()
        await expect
          .poll(async () => (await api(node, 'GET', `/v1/bulkJobs/${jobId}`)).json().status, {
            timeout: 15_000,
          })
          .toBe('Completed')
      }
      // It was so: their clocks were an hour apart.
      expect(hours).toEqual([0, 1, 0, 1, 0, 1])
      for (const node of nodes) {
        const versions: { versionInfo: { name: string } }[] = (
          await api(node, 'GET', `/v1/files/${fileId}/versions`)
        ).json()
        expect(versions.map(({ versionInfo }) => versionInfo.name)).toEqual(
          [6, 5, 4, 3, 2, 1].map((number) => `Version ${number}`),
        )
      }

      // Purges reach the other, whosoever clock is ahead.
      await put(right, png(60, 40), 'purged.png')
      const target = `/${right.id}/tr:w-10/purged.png`
      for (const [one, other] of [
        [right, wrong],
        [wrong, right],
      ] as const) {
        const cacheOf = async () => (await send(other, target)).headers['x-tintype-cache']
        await cacheOf()
        expect(await cacheOf()).toBe('hit')
        const purge = await api(one, 'POST', '/v1/files/purge', { url: `${one.url}${target}` })
        expect(purge.status, purge.body.toString()).toBe(201)
        const { requestId } = purge.json()
        await expect
          .poll(async () => (await api(other, 'GET', `/v1/files/purge/${requestId}`)).json().status, {
            timeout: 15_000,
          })
          .toBe('Completed')
        await expect.poll(cacheOf, { timeout: 5000 }).toBe('miss')
      }
      for (const node of nodes) expect(node.output()).not.toMatch(/uncaughtException|unhandledRejection/)
    } finally {
      await Promise.all(nodes.map((node) => node.dispose()))
      await place.remove()
    }
  },
)
