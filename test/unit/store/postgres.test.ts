import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../../src/kernel/ids.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { openStore, type Store, type StoreOptions, storeOptions } from '../../../src/store/store.ts'
import {
  createSchema,
  type PostgresSchema,
  postgresUrl,
  runStatement,
  whySkipped,
} from '../../contract/postgres-place.ts'
import { newVersion, upload } from '../../contract/uploads.ts'

/** What a proxy does with a message of the client: pass it on, cut the connection instead, or pass it and cut then. */
type Verdict = 'pass' | 'cut' | 'pass and cut'

/** A network between the store and PostgreSQL that can fail. */
async function startProxy() {
  const target = new URL(postgresUrl!)
  const sockets = new Set<Socket>()
  const proxy = {
    judge: (_message: string): Verdict => 'pass',
    port: 0,
    cutAll() {
      for (const socket of sockets) socket.destroy()
    },
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
  const server: Server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        // The server's side ends in its own time, as with a cable that is cut.
        setTimeout(() => upstream.destroy(), 100)
      })
    }
    client.on('data', (data) => {
      const verdict = proxy.judge(data.toString('latin1'))
      if (verdict !== 'cut') upstream.write(data)
      if (verdict !== 'pass') client.destroy()
    })
    upstream.on('data', (data) => {
      if (!client.destroyed) client.write(data)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.port = (server.address() as AddressInfo).port
  return proxy
}

describe.skipIf(!postgresUrl)(`a library in PostgreSQL${whySkipped}`, () => {
  let schema: PostgresSchema
  let proxy: Awaited<ReturnType<typeof startProxy>>
  let store: Store

  beforeEach(async () => {
    schema = await createSchema()
    proxy = await startProxy()
    store = await opened()
  })
  afterEach(async () => {
    await store.close()
    proxy.cutAll()
    await proxy.close()
    await schema.remove()
  })

  function opened(changes: Partial<StoreOptions> = {}) {
    const url = new URL(schema.databaseUrl)
    url.hostname = '127.0.0.1'
    url.port = String(proxy.port)
    const options = Value.Default(storeOptions, { databaseUrl: url.href, ...changes }) as StoreOptions
    return openStore(options, { log: silentLog })
  }

  const cutOnce = (word: string, verdict: Verdict) => {
    let cuts = 0
    proxy.judge = (message) => {
      if (cuts > 0 || !message.includes(word)) return 'pass'
      cuts += 1
      return verdict
    }
    return () => cuts
  }
  const tagStore = () => store.transaction((tx) => upload(tx, '/a', 'one.jpg'))

  it('finds out that a transaction was committed whose answer was lost', async () => {
    const cuts = cutOnce('COMMIT', 'pass and cut')
    const version = await tagStore()
    expect(cuts()).toBe(1)
    expect(await store.files.versions(version.fileId)).toHaveLength(1)
    expect(await store.files.atPath('/a', 'one.jpg')).toMatchObject({ versionId: version.versionId })
  })

  it('runs a transaction again whose COMMIT never arrived', async () => {
    const cuts = cutOnce('COMMIT', 'cut')
    const version = await tagStore()
    expect(cuts()).toBe(1)
    expect(await store.files.versionCount(version.fileId)).toStrictEqual({ count: 1, highest: 1 })
  })

  it('runs a transaction again whose connection was lost in the middle', async () => {
    const cuts = cutOnce('insert into "versions"', 'pass and cut')
    const version = await tagStore()
    expect(cuts()).toBe(1)
    expect(await store.files.versions(version.fileId)).toHaveLength(1)
  })

  it('keeps one mark for each connection, and none for long', async () => {
    const schemaName = new URL(schema.databaseUrl).searchParams.get('options')!.split('=')[1]
    const marks = async () => (await runStatement(`SELECT * FROM ${schemaName}.commit_marks`)).rows
    await runStatement(
      `INSERT INTO ${schemaName}.commit_marks VALUES ('of long ago', 5, ${Date.now() - 2 * 86_400_000})`,
    )
    for (let at = 0; at < 20; at += 1) await store.transaction((tx) => tx.settings.set('at', at))
    await store.close()
    store = await opened({ poolSize: 3 })
    await Promise.all(
      Array.from({ length: 30 }, (_, at) => store.transaction((tx) => tx.settings.set(`at ${at}`, at))),
    )
    const found = await marks()
    expect(found.map(({ connection }) => connection)).not.toContain('of long ago')
    expect(found.length).toBeLessThan(20)
    expect(found.reduce((sum, { mark }) => sum + Number(mark), 0)).toBeGreaterThanOrEqual(50)
  })

  it('consumes a token once although the answer was lost', async () => {
    cutOnce('COMMIT', 'pass and cut')
    const key = systemIds.token(64)
    expect(await store.tokens.consume(key, 1e15)).toBe(true)
    expect(await store.tokens.consume(key, 1e15)).toBe(false)
  })

  it('outlives the end of all its connections, in use and idle', async () => {
    const uploads = Array.from({ length: 20 }, (_, i) =>
      store.transaction((tx) => upload(tx, '/many', `${i}.jpg`)),
    )
    await runStatement(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tintype'",
    )
    await Promise.all(uploads)
    await runStatement(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tintype'",
    )
    const { assets } = await store.files.search({
      type: 'file',
      sort: { key: 'NAME', descending: false },
      folderPath: '/many',
      limit: 100,
      skip: 0,
    })
    expect(assets).toHaveLength(20)
  })

  it('is unavailable while the server cannot be reached, and recovers', async () => {
    proxy.judge = () => 'cut'
    proxy.cutAll()
    const expected = { kind: 'unavailable', headers: { 'retry-after': '2' } }
    await expect(tagStore()).rejects.toMatchObject(expected)
    await expect(store.files.atPath('/a', 'one.jpg')).rejects.toMatchObject(expected)
    await expect(store.check()).rejects.toMatchObject(expected)
    proxy.judge = () => 'pass'
    await expect(tagStore()).resolves.toMatchObject({ number: 1 })
  })

  it('runs the loser of a deadlock again', async () => {
    await store.settings.set('a', 0)
    await store.settings.set('b', 0)
    let arrived = 0
    let meet = () => {}
    const both = new Promise<void>((resolve) => {
      meet = resolve
    })
    const cross = (first: string, second: string) =>
      store.transaction(async (tx) => {
        await tx.settings.set(first, first + second)
        arrived += 1
        if (arrived === 2) meet()
        await both
        await tx.settings.set(second, first + second)
      })
    await Promise.all([cross('a', 'b'), cross('b', 'a')])
    expect(await store.settings.get('a')).toBe(await store.settings.get('b'))
  })

  it('gives short reads their own connections', async () => {
    await store.close()
    store = await opened({ poolSize: 1, connectTimeoutMs: 300 })
    let finish = () => {}
    const held = store.transaction(
      () =>
        new Promise<void>((resolve) => {
          finish = resolve
        }),
    )
    await expect(store.settings.set('key', 1)).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(store.files.atPath('/', 'x')).resolves.toBeUndefined()
    await expect(store.check()).resolves.toBeUndefined()
    finish()
    await held
  })

  it('ends a transaction that never ends', async () => {
    await store.close()
    store = await opened({ transactionTimeoutMs: 200 })
    await expect(
      store.transaction(async (tx) => {
        await tx.settings.set('stuck', 1)
        await new Promise(() => {})
      }),
    ).rejects.toMatchObject({ kind: 'unavailable' })
    await store.settings.set('stuck', 2)
    expect(await store.settings.get('stuck')).toBe(2)
  })

  it('makes a folder again that went away while a file was put into it', async () => {
    await store.folders.ensure('/fleeting', 0, systemIds.next)
    const schemaName = new URL(schema.databaseUrl).searchParams.get('options')!.split('=')[1]
    let runs = 0
    await store.transaction(async (tx) => {
      const folder = await tx.folders.ensure('/fleeting', 0, systemIds.next)
      runs += 1
      if (runs === 1) await runStatement(`DELETE FROM ${schemaName}.folders WHERE path = '/fleeting'`)
      await tx.files.addVersion(newVersion(folder.folderId, 'a.jpg'))
    })
    expect(runs).toBe(2)
    expect(await store.files.atPath('/fleeting', 'a.jpg')).toBeDefined()
  })

  it('names an unreachable server at the start, and not its password', async () => {
    const url = new URL(postgresUrl!)
    url.port = '1'
    const options = Value.Default(storeOptions, { databaseUrl: url.href }) as StoreOptions
    const opening = openStore(options, { log: silentLog })
    await expect(opening).rejects.toThrow(`PostgreSQL at ${url.host}`)
    await expect(opening).rejects.not.toThrow(`:${url.password}@`)
  })

  it('refuses text that PostgreSQL cannot hold', async () => {
    await expect(
      store.transaction((tx) => upload(tx, '/', 'a.jpg', { description: 'a\u0000b' })),
    ).rejects.toMatchObject({ kind: 'bad-request' })
  })
})
