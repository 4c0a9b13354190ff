import { execFile } from 'node:child_process'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../../src/kernel/log.ts'
import { openStore, type Store, type StoreOptions, storeOptions } from '../../../src/store/store.ts'
import { upload } from '../../contract/uploads.ts'

let folder: string
let file: string
let stores: Store[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tintype-sqlite-'))
  file = join(folder, 'tintype.db')
  stores = []
})
afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()))
  await rm(folder, { recursive: true })
})

function optionsOf(changes: Partial<StoreOptions> = {}): StoreOptions {
  return Value.Default(storeOptions, { file, ...changes }) as StoreOptions
}

async function opened(changes?: Partial<StoreOptions>): Promise<Store> {
  const store = await openStore(optionsOf(changes), { log: silentLog })
  stores.push(store)
  return store
}

describe('a library in a SQLite file', () => {
  it('is written by several processes at once without losing a number', async () => {
    const store = await opened()
    const module = fileURLToPath(new URL('./writer-process.ts', import.meta.url))
    const run = () => promisify(execFile)(process.execPath, [module, JSON.stringify([optionsOf(), 40])])
    await Promise.all([
      run(),
      run(),
      ...Array.from({ length: 40 }, () => store.transaction((tx) => upload(tx, '/shared', 'one.jpg'))),
    ])
    const { fileId } = (await store.files.atPath('/shared', 'one.jpg'))!
    const versions = await store.files.versions(fileId)
    expect(versions.map((v) => v.number)).toStrictEqual(Array.from({ length: 120 }, (_, i) => 120 - i))
    // Each process names itself in the time of creation.
    expect(new Set(versions.map((v) => v.createdAtMs)).size).toBe(3)
  })

  it('waits for another process that writes, for a while', async () => {
    const store = await opened({ lockWaitMs: 10_000 })
    const other = new DatabaseSync(file)
    other.exec('BEGIN IMMEDIATE')
    const writing = store.settings.set('key', 1)
    setTimeout(() => other.exec('COMMIT'), 300)
    await writing
    other.close()
    expect(await store.settings.get('key')).toBe(1)
  })

  it('is unavailable for writing, and readable, when that process does not end', async () => {
    const store = await opened({ lockWaitMs: 100 })
    const other = new DatabaseSync(file)
    other.exec('BEGIN IMMEDIATE')
    const results = await Promise.allSettled([
      store.settings.set('key', 1),
      store.transaction((tx) => upload(tx, '/', 'a.jpg')),
    ])
    for (const result of results) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { kind: 'unavailable', headers: { 'retry-after': '1' } },
      })
    }
    expect(await store.settings.get('key')).toBeUndefined()
    other.exec('ROLLBACK')
    other.close()
    await store.settings.set('key', 2)
    expect(await store.settings.get('key')).toBe(2)
  })

  it('goes on after a transaction that never ends', async () => {
    const store = await opened({ transactionTimeoutMs: 100 })
    const stuck = store.transaction(async (tx) => {
      await tx.settings.set('stuck', 1)
      await new Promise(() => {})
    })
    const next = store.settings.set('next', 1)
    await expect(stuck).rejects.toMatchObject({ kind: 'unavailable' })
    await next
    expect(await store.settings.get('stuck')).toBeUndefined()
    expect(await store.settings.get('next')).toBe(1)
  })

  it('finishes what was begun before it closes', async () => {
    const store = await openStore(optionsOf(), { log: silentLog })
    const writes = Promise.all(Array.from({ length: 20 }, (_, i) => store.settings.set(`key ${i}`, i)))
    await store.close()
    await writes
    await expect(store.settings.set('late', 1)).rejects.toMatchObject({ kind: 'unavailable' })
    const again = await opened()
    expect(await again.settings.get('key 19')).toBe(19)
    expect(await again.settings.get('late')).toBeUndefined()
  })
})

describe('the change stamp of a SQLite file', () => {
  /** Another process's connection is as foreign as one that this test opens itself. */
  const commitElsewhere = () => {
    const other = new DatabaseSync(file)
    other.exec(
      "INSERT INTO settings VALUES ('elsewhere', '1') ON CONFLICT DO UPDATE SET value = value || '1'",
    )
    other.close()
  }
  const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

  it('is another one as soon as a commit is known to be done, in the same turn of the event loop too', async () => {
    const store = await opened()
    const stamps = [store.changeStamp()]
    for (const write of [
      () => store.settings.set('key', 1),
      () => store.transaction((tx) => upload(tx, '/', 'a.jpg')),
      () => store.folders.ensure('/b', 0, () => 'b'.repeat(24)),
    ]) {
      const seen = write().then(() => store.changeStamp())
      store.changeStamp()
      stamps.push(await seen)
    }
    expect(stamps.every((stamp) => typeof stamp === 'number')).toBe(true)
    expect(new Set(stamps).size).toBe(4)
  })

  it('is another one after a commit of another process', async () => {
    const store = await opened()
    const before = store.changeStamp()
    commitElsewhere()
    await nextTurn()
    const after = store.changeStamp()
    expect(after).not.toBe(before)
    await nextTurn()
    expect(store.changeStamp()).toBe(after)
  })

  it('stays the same while things are read, and when a transaction fails', async () => {
    const store = await opened()
    const before = store.changeStamp()
    await store.files.atPath('/', 'none.jpg')
    await store.check()
    const failing = store.transaction(async (tx) => {
      await tx.settings.set('key', 1)
      throw new Error('not this time')
    })
    await expect(failing).rejects.toThrow('not this time')
    await nextTurn()
    expect(store.changeStamp()).toBe(before)
  })

  it('can be asked while another process writes, and is unknown after closing', async () => {
    const store = await openStore(optionsOf(), { log: silentLog })
    const other = new DatabaseSync(file)
    other.exec('BEGIN IMMEDIATE')
    expect(store.changeStamp()).toEqual(expect.any(Number))
    other.close()
    await store.close()
    await nextTurn()
    expect(store.changeStamp()).toBeUndefined()
  })
})

describe('opening a SQLite file', () => {
  it('refuses a schema of a newer release and leaves it alone', async () => {
    await (await opened()).close()
    stores = []
    const db = new DatabaseSync(file)
    db.exec("INSERT INTO schema_migrations VALUES (9999, 'of tomorrow', 0)")
    db.close()
    await expect(opened()).rejects.toThrow(/schema version 9999.*newer release/)
  })

  it('names a file that is no database, and leaves it alone', async () => {
    await writeFile(file, 'x'.repeat(10_000))
    await expect(opened()).rejects.toThrow(file)
    expect(await readFile(file, 'utf8')).toBe('x'.repeat(10_000))
  })

  it('names a file whose pages are damaged', async () => {
    const store = await openStore(optionsOf(), { log: silentLog })
    await store.settings.set('key', 1)
    await store.close()
    const handle = await open(file, 'r+')
    await handle.write(Buffer.alloc(3000, 0xff), 0, 3000, 100)
    await handle.close()
    await expect(opened()).rejects.toThrow(/tintype\.db is damaged.*restore the latest backup/)
  })

  it('names a file whose folder is not there', async () => {
    const missing = join(folder, 'none', 'tintype.db')
    await expect(opened({ file: missing })).rejects.toThrow(missing)
  })
})
