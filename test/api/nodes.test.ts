import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import { systemClock } from '../../src/kernel/time.ts'
import { createKeyring } from '../../src/library/library.ts'
import { createSchema, postgresUrl } from '../contract/postgres-place.ts'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'

const s3Endpoint = process.env.TINTYPE_TEST_S3_ENDPOINT
const isReady = postgresUrl !== undefined && s3Endpoint !== undefined
const whySkipped = isReady
  ? ''
  : ' (skipped: TINTYPE_TEST_POSTGRES_URL or TINTYPE_TEST_S3_ENDPOINT is not set)'

/** By then every node has to know of a change that was made on another: a second, and as much for a busy machine. */
const SEEN_MS = 2000

describe.skipIf(!isReady)(`two nodes on PostgreSQL and one bucket${whySkipped}`, () => {
  let env: Record<string, string>
  let removeSchema: () => Promise<void>
  let place: string
  let one: TestTintype
  let two: TestTintype

  const start = (name: string) => startTintype({ dataDir: join(place, name), env })

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), 'tintype-nodes-'))
    const schema = await createSchema()
    removeSchema = schema.remove
    env = {
      TINTYPE_DATABASE_URL: schema.databaseUrl,
      TINTYPE_S3_ENDPOINT: s3Endpoint!,
      TINTYPE_S3_BUCKET: process.env.TINTYPE_TEST_S3_BUCKET ?? '',
      TINTYPE_S3_ACCESS_KEY: process.env.TINTYPE_TEST_S3_ACCESS_KEY ?? '',
      TINTYPE_S3_SECRET_KEY: process.env.TINTYPE_TEST_S3_SECRET_KEY ?? '',
      TINTYPE_BLOBS_S3_PREFIX: `nodes-${Date.now()}/`,
      TINTYPE_BLOBS_S3_DERIVATIVES_PREFIX: `nodes-derivatives-${Date.now()}/`,
    }
    // Together, as a deployment does: one of them makes the schema and the keys, the other waits.
    ;[one, two] = await Promise.all([start('one'), start('two')])
  })
  afterAll(async () => {
    await Promise.all([one?.stop(), two?.stop()])
    await removeSchema?.()
    await rm(place, { recursive: true, force: true })
  })

  const api = async (node: TestTintype, method: string, path: string, body?: unknown) => {
    const response = await fetch(`${node.url}${path}`, {
      method,
      headers: { authorization: node.authorization, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
  }
  const deliver = async (node: TestTintype, path: string) => {
    const response = await fetch(`${node.url}/${TEST_KEYS.id}${path}`)
    const bytes = Buffer.from(await response.arrayBuffer())
    return { status: response.status, cache: response.headers.get('x-tintype-cache'), bytes }
  }
  const picture = (color: string) =>
    sharp({ create: { width: 80, height: 60, channels: 3, background: color } })
      .png()
      .toBuffer()
  const widthOf = async (node: TestTintype, path: string) => {
    const { status, bytes } = await deliver(node, path)
    return status === 200 ? (await sharp(bytes).metadata()).width : status
  }

  it('serve what the other has stored', async () => {
    const bytes = await picture('red')
    const { body } = await upload(one, bytes, { fileName: 'shared.png' })
    expect((await deliver(two, body.filePath as string)).bytes.equals(bytes)).toBe(true)
  })

  it('see a named transformation, its change and its end within a second', async () => {
    const { body: file } = await upload(one, await picture('blue'), { fileName: 'named.png' })
    const path = `/tr:n-small${file.filePath}`
    // The first picture waits for the render processes to start.
    expect(await widthOf(two, `/tr:w-5,f-png${file.filePath}`)).toBe(5)
    const create = await api(one, 'POST', '/v1/named-transformations', {
      name: 'small',
      transformation: 'w-20,f-png',
    })
    expect(create.status, JSON.stringify(create.body)).toBeLessThan(300)
    await expect.poll(() => widthOf(two, path), { timeout: SEEN_MS }).toBe(20)
    await api(one, 'PATCH', `/v1/named-transformations/${create.body.id}`, { transformation: 'w-30,f-png' })
    await expect.poll(() => widthOf(two, path), { timeout: SEEN_MS }).toBe(30)
    await api(one, 'DELETE', `/v1/named-transformations/${create.body.id}`)
    await expect.poll(() => deliver(two, path).then(({ status }) => status), { timeout: SEEN_MS }).toBe(400)
  })

  it('refuse a key within a second of its being disabled', async () => {
    const keyring = createKeyring({
      store: one.store,
      ids: systemIds,
      clock: systemClock,
      isConfigured: true,
    })
    const key = await keyring.create({ name: 'spare', access: 'standard' })
    const authorization = `Basic ${Buffer.from(`${key.privateKey}:`).toString('base64')}`
    const ask = () =>
      fetch(`${two.url}/v1/files?limit=1`, { headers: { authorization } }).then(({ status }) => status)
    await expect.poll(ask, { timeout: SEEN_MS }).toBe(200)
    await keyring.disable(key.id)
    await expect.poll(ask, { timeout: SEEN_MS }).toBe(403)
  })

  it('see metadata fields and folders that are held at once', async () => {
    const created = await api(one, 'POST', '/v1/customMetadataFields', {
      name: 'place',
      label: 'place',
      schema: { type: 'Text' },
    })
    expect(created.status).toBeLessThan(300)
    expect((await api(two, 'GET', '/v1/customMetadataFields')).body).toMatchObject([{ name: 'place' }])
    await one.library.folders.create({ folderName: 'held', parentFolderPath: '/' })
    await one.store.transaction(async (tx) => {
      await tx.jobs.enqueue({
        id: 'a-job-of-the-future',
        kind: 'folder.move',
        payload: {},
        createdAtMs: Date.now(),
        runAtMs: Date.now() + 3_600_000,
      })
      await tx.folderTrees.hold('a-job-of-the-future', ['/held'])
    })
    const refused = await upload(two, Buffer.from('x'), { fileName: 'x.txt', folder: '/held' })
    expect(refused.status).toBe(423)
  })

  it('share derivatives where they are told to, and purge the shared ones too', async () => {
    const sharing = { ...env, TINTYPE_DELIVERY_SHARE_DERIVATIVES: 'true' }
    const maker = await startTintype({ dataDir: join(place, 'maker'), env: sharing })
    const taker = await startTintype({ dataDir: join(place, 'taker'), env: sharing })
    const { body } = await upload(maker, await picture('orange'), { fileName: 'made-once.png' })
    const pathOf = (width: number) => `/tr:w-${width},f-png${body.filePath}`
    let width = 10
    // It is kept in the bucket after the answer, so another picture is tried each time: the first request of the one
    // server is a hit only when it is that of the other.
    await expect
      .poll(
        async () => {
          width += 1
          const made = await deliver(maker, pathOf(width))
          expect(made.cache).toBe('miss')
          await new Promise((resolve) => setTimeout(resolve, 400))
          const taken = await deliver(taker, pathOf(width))
          expect(taken.bytes.equals(made.bytes)).toBe(true)
          return taken.cache
        },
        { timeout: 15_000 },
      )
      .toBe('hit')
    const { body: request } = await api(maker, 'POST', '/v1/files/purge', {
      url: `${maker.url}/${TEST_KEYS.id}${body.filePath}`,
    })
    await expect
      .poll(
        () => api(maker, 'GET', `/v1/files/purge/${request.requestId}`).then((answer) => answer.body.status),
        {
          timeout: 5000,
        },
      )
      .toBe('Completed')
    expect((await deliver(taker, pathOf(width))).cache).toBe('miss')
    await Promise.all([maker.close(), taker.close()])
  })

  it('carry out purges on the caches of all, also of one that was away', async () => {
    const { body } = await upload(one, await picture('green'), { fileName: 'purged.png' })
    const path = `/tr:w-10${body.filePath}`
    const cacheOf = (node: TestTintype) => deliver(node, path).then(({ cache }) => cache)
    for (const node of [one, two]) {
      expect(await cacheOf(node)).toBe('miss')
      expect(await cacheOf(node)).toBe('hit')
    }
    const purge = async () => {
      const { body: request } = await api(one, 'POST', '/v1/files/purge', {
        url: `${one.url}/${TEST_KEYS.id}${body.filePath}`,
      })
      await expect
        .poll(
          () => api(one, 'GET', `/v1/files/purge/${request.requestId}`).then((answer) => answer.body.status),
          {
            timeout: 5000,
          },
        )
        .toBe('Completed')
    }
    await purge()
    for (const node of [one, two]) expect(await cacheOf(node)).toBe('miss')

    await two.close()
    await purge()
    two = await start('two')
    await expect.poll(() => two.store.purgeLog.latest(), { timeout: 1000 }).toBe(3)
    await new Promise((resolve) => setTimeout(resolve, SEEN_MS))
    expect(await cacheOf(two)).toBe('miss')
  })
})
