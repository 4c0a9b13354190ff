import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import type {
  FileVersion,
  ListedAsset,
  ListOptions,
  NewVersion,
  SortKey,
  Store,
  StoreOptions,
  Tables,
} from '../../src/store/store.ts'
import { NOW, newVersion, upload } from './uploads.ts'

/** Where a store keeps its data: it can be opened more than once, one time after or beside the other. */
export type StorePlace = { open(): Promise<Store>; remove(): Promise<void> }

export type CreatePlace = (changes?: Partial<StoreOptions>) => Promise<StorePlace>

/** What every engine of the store must do. */
export function storeSuite(name: string, createPlace: CreatePlace, skip = false) {
  describe.skipIf(skip)(name, () => {
    let place: StorePlace
    let store: Store

    beforeAll(async () => {
      place = await createPlace()
      store = await place.open()
    })
    afterAll(async () => {
      await store?.close()
      await place?.remove()
    })

    const put = (path: string, fileName: string, changes?: Partial<NewVersion>) =>
      store.transaction((tx) => upload(tx, path, fileName, changes))

    describe('files', () => {
      it('gives back every property as it was handed in', async () => {
        const folder = await store.folders.ensure('/whole', NOW, systemIds.next)
        const version = newVersion(folder.folderId, 'größe 漢字 😀.mp4', {
          sizeBytes: 5_000_000_000_123,
          fileType: 'non-image',
          hasAlpha: true,
          orientation: 6,
          durationSec: 12.75,
          bitRate: 1_453_966,
          videoCodec: 'h264',
          audioCodec: 'aac',
          tags: ['b', 'a', 'ä'],
          aiTags: [{ name: 'Dog', confidence: 91.25, source: 'google-auto-tagging' }],
          isPrivate: true,
          isPublished: false,
          customCoordinates: '1,2,3,4',
          customMetadata: { 'Camel Case_key': ['x', 500, true], price: 0.1, ok: false, due: '2026-01-31' },
          embeddedMetadata: { Make: 'A\u0000B', nested: { some_key: [1, null, 'é'] }, big: 1e21 },
          description: 'line\nbreak "quoted" \\',
          createdAtMs: 1_795_503_619_893,
          updatedAtMs: 1_795_503_619_894,
        })
        await store.files.addVersion(version)
        const expected: FileVersion = { ...version, isCurrent: true, folderPath: '/whole' }
        expect(await store.files.byId(version.fileId)).toStrictEqual(expected)
        expect(await store.files.atPath('/whole', version.name)).toStrictEqual(expected)
        expect(await store.files.version(version.fileId, version.versionId)).toStrictEqual(expected)
        expect(await store.files.byAccessKey(version.fileId, version.accessKey)).toStrictEqual(expected)
        const { assets } = await store.files.search({
          type: 'file',
          sort: { key: 'NAME', descending: false },
          folderPath: '/whole',
          limit: 10,
          skip: 0,
        })
        expect(assets).toStrictEqual([{ type: 'file', file: expected }])
      })

      it('keeps null apart from an empty list', async () => {
        const { fileId } = await put('/whole', 'empty.jpg', { tags: [], aiTags: null })
        expect(await store.files.byId(fileId)).toMatchObject({ tags: [], aiTags: null })
      })

      it('tells names and folders apart by case and by composition', async () => {
        const composed = 'caf\u00e9.jpg'
        const names = ['Photo.jpg', 'photo.jpg', composed, composed.normalize('NFD')]
        for (const each of names) await put('/case', each)
        await put('/Case', 'photo.jpg')
        const ids = await Promise.all(
          names.map(async (each) => (await store.files.atPath('/case', each))!.fileId),
        )
        expect(new Set(ids).size).toBe(4)
        expect((await store.files.atPath('/Case', 'photo.jpg'))!.number).toBe(1)
        expect(await store.files.atPath('/CASE', 'photo.jpg')).toBeUndefined()
      })

      it('makes a new version the current one and keeps the others', async () => {
        const first = await put('/history', 'a.jpg', { sizeBytes: 1 })
        const second = await put('/history', 'a.jpg', { sizeBytes: 2 })
        const third = await put('/history', 'a.jpg', { sizeBytes: 3 })
        expect(second.fileId).toBe(first.fileId)
        expect(await store.files.byId(first.fileId)).toMatchObject({
          number: 3,
          sizeBytes: 3,
          isCurrent: true,
        })
        const versions = await store.files.versions(first.fileId)
        expect(versions.map((v) => [v.number, v.sizeBytes, v.isCurrent])).toStrictEqual([
          [3, 3, true],
          [2, 2, false],
          [1, 1, false],
        ])
        expect(await store.files.versionCount(first.fileId)).toStrictEqual({ count: 3, highest: 3 })
        expect(await store.files.version(first.fileId, third.versionId)).toMatchObject({ number: 3 })
        expect(await store.files.byAccessKey(first.fileId, second.accessKey)).toMatchObject({ number: 2 })
      })

      it('knows nothing of what is not there', async () => {
        const id = systemIds.next()
        expect(await store.files.byId(id)).toBeUndefined()
        expect(await store.files.version(id, id)).toBeUndefined()
        expect(await store.files.versions(id)).toStrictEqual([])
        expect(await store.files.versionCount(id)).toStrictEqual({ count: 0, highest: 0 })
        expect(await store.files.atPath('/nowhere', 'x')).toBeUndefined()
      })

      it('refuses a second file at a path, a number twice, and a folder that is not there', async () => {
        const version = await put('/conflict', 'a.jpg')
        const other = newVersion(version.folderId, 'a.jpg')
        await expect(store.files.addVersion(other)).rejects.toMatchObject({ kind: 'conflict' })
        expect(await store.files.byId(other.fileId)).toBeUndefined()
        const again = newVersion(version.folderId, 'a.jpg', { fileId: version.fileId })
        await expect(store.files.addVersion(again)).rejects.toMatchObject({ kind: 'conflict' })
        const lost = newVersion(systemIds.next(), 'a.jpg')
        await expect(store.files.addVersion(lost)).rejects.toMatchObject({ kind: 'conflict' })
        expect(await store.files.versions(version.fileId)).toHaveLength(1)
      })

      it('numbers 200 concurrent uploads to one path without gap or repeat', async () => {
        const versions = await Promise.all(
          Array.from({ length: 200 }, (_, i) => put('/race', 'one.jpg', { sizeBytes: i })),
        )
        const { fileId } = (await store.files.atPath('/race', 'one.jpg'))!
        expect(versions.map((v) => v.number).sort((a, b) => a - b)).toStrictEqual(
          Array.from({ length: 200 }, (_, i) => i + 1),
        )
        const stored = await store.files.versions(fileId)
        expect(stored.map((v) => v.number)).toStrictEqual(Array.from({ length: 200 }, (_, i) => 200 - i))
        expect(stored.filter((v) => v.isCurrent).map((v) => v.number)).toStrictEqual([200])
        const sizeOf = new Map(versions.map((v) => [v.number, v.sizeBytes]))
        for (const each of stored) expect(each.sizeBytes).toBe(sizeOf.get(each.number))
      })

      it('lets exactly one of many writers make a file that must not exist', async () => {
        const results = await Promise.allSettled(
          Array.from({ length: 50 }, () =>
            store.transaction(async (tx) => {
              await tx.files.lockPath('/once', 'one.jpg')
              const folder = await tx.folders.ensure('/once', NOW, systemIds.next)
              if (await tx.files.atPath('/once', 'one.jpg')) throw new Error('exists')
              await tx.files.addVersion(newVersion(folder.folderId, 'one.jpg'))
            }),
          ),
        )
        expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1)
        const { fileId } = (await store.files.atPath('/once', 'one.jpg'))!
        expect(await store.files.versionCount(fileId)).toStrictEqual({ count: 1, highest: 1 })
      })

      it('loses cleanly where nobody locked the path', async () => {
        const folder = await store.folders.ensure('/unlocked', NOW, systemIds.next)
        const results = await Promise.allSettled(
          Array.from({ length: 20 }, () => store.files.addVersion(newVersion(folder.folderId, 'one.jpg'))),
        )
        expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1)
        for (const each of results) {
          if (each.status === 'rejected') expect(each.reason).toMatchObject({ kind: 'conflict' })
        }
      })

      it('says which blobs are still referred to', async () => {
        const used = 'a1'.repeat(32)
        const past = 'b2'.repeat(32)
        await put('/blobs', 'a.jpg', { blob: past })
        await put('/blobs', 'a.jpg', { blob: used })
        const asked = [used, past, 'c3'.repeat(32)]
        expect(await store.referencedBlobs(asked)).toStrictEqual(new Set([used, past]))
        expect(await store.referencedBlobs([])).toStrictEqual(new Set())
      })
    })

    describe('folders', () => {
      it('has a root from the start', async () => {
        expect(await store.folders.byPath('/')).toMatchObject({ path: '/', name: '', parentId: null })
        expect(await store.folders.ensure('/', NOW, systemIds.next)).toMatchObject({ path: '/' })
      })

      it('makes a folder with its parents, once', async () => {
        const folder = await store.folders.ensure('/p/q/r', NOW, systemIds.next)
        const parent = await store.folders.byPath('/p/q')
        expect(folder).toStrictEqual({
          folderId: folder.folderId,
          path: '/p/q/r',
          name: 'r',
          parentId: parent!.folderId,
          customMetadata: {},
          createdAtMs: NOW,
          updatedAtMs: NOW,
        })
        expect(await store.folders.ensure('/p/q/r', NOW + 1, systemIds.next)).toStrictEqual(folder)
        expect(await store.folders.byPath('/p/q/none')).toBeUndefined()
      })

      it('makes crossing paths from many transactions without a duplicate or a deadlock', async () => {
        const paths = ['/x/a/1', '/x/a/2', '/x/b/1', '/x', '/x/b', '/x/a/1/deep/er']
        const made = await Promise.all(
          Array.from({ length: 60 }, (_, i) =>
            store.transaction((tx) => tx.folders.ensure(paths[i % paths.length]!, NOW, systemIds.next)),
          ),
        )
        const idOf = new Map<string, string>()
        for (const folder of made) {
          expect(idOf.get(folder.path) ?? folder.folderId).toBe(folder.folderId)
          idOf.set(folder.path, folder.folderId)
        }
        expect(made.find((f) => f.path === '/x/a/1')!.parentId).toBe(
          (await store.folders.byPath('/x/a'))!.folderId,
        )
      })
    })

    describe('transactions', () => {
      it('leave nothing behind when they fail', async () => {
        const token = systemIds.token(64)
        await expect(
          store.transaction(async (tx) => {
            await tx.tokens.consume(token, NOW + 1000)
            await upload(tx, '/rolled/back', 'a.jpg', { tags: ['gone'] })
            await tx.settings.set('rolled-back', 1)
            throw new Error('no')
          }),
        ).rejects.toThrow('no')
        expect(await store.folders.byPath('/rolled')).toBeUndefined()
        expect(await store.files.atPath('/rolled/back', 'a.jpg')).toBeUndefined()
        expect(await store.settings.get('rolled-back')).toBeUndefined()
        expect(await store.tokens.consume(token, NOW + 1000)).toBe(true)
      })

      it('hand on what their work throws, as it is', async () => {
        class Private extends Error {}
        const thrown = new Private('for whoever began it')
        let runs = 0
        const failing = store.transaction(async (tx) => {
          runs += 1
          await tx.settings.set('handed-on', 1)
          throw thrown
        })
        expect(await failing.catch((error: unknown) => error)).toBe(thrown)
        expect(runs).toBe(1)
      })

      it('run nothing any more that was issued beside what made them fail', async () => {
        const over = new Error('over')
        await expect(
          store.transaction((tx) =>
            Promise.all([
              tx.settings.get('first').then(() => {
                throw over
              }),
              ...Array.from({ length: 20 }, (_, i) => tx.settings.set(`left-over-${i}`, i)),
            ]),
          ),
        ).rejects.toBe(over)
        const left = Array.from({ length: 20 }, (_, i) => store.settings.get(`left-over-${i}`))
        expect((await Promise.all(left)).filter((value) => value !== undefined)).toEqual([])
      })

      it('do not hurt each other when one of many fails', async () => {
        const results = await Promise.allSettled(
          Array.from({ length: 40 }, (_, i) =>
            store.transaction(async (tx) => {
              await upload(tx, '/neighbours', `${i}.jpg`)
              if (i % 4 === 1) throw new Error('by choice')
              // A statement that fails: the id is taken.
              if (i % 4 === 2) await tx.files.addVersion(newVersion('no such folder', 'x.jpg'))
            }),
          ),
        )
        for (const [i, result] of results.entries()) {
          const kept = i % 4 === 0 || i % 4 === 3
          expect(result.status).toBe(kept ? 'fulfilled' : 'rejected')
          expect((await store.files.atPath('/neighbours', `${i}.jpg`)) !== undefined).toBe(kept)
        }
      })

      it('see their own writes, and nobody else does before the end', async () => {
        await store.transaction(async (tx) => {
          await tx.settings.set('mine', { a: 1 })
          expect(await tx.settings.get('mine')).toStrictEqual({ a: 1 })
          expect(await store.settings.get('mine')).toBeUndefined()
        })
        expect(await store.settings.get('mine')).toStrictEqual({ a: 1 })
      })

      it('fail when a statement failed, even if its error was swallowed', async () => {
        const failing = store.transaction(async (tx) => {
          await tx.settings.set('swallowed', 1)
          await tx.files.addVersion(newVersion('no such folder', 'x.jpg')).catch(() => {})
        })
        await expect(failing).rejects.toMatchObject({ kind: 'conflict' })
        expect(await store.settings.get('swallowed')).toBeUndefined()
      })

      it('run statements that are issued together, in order', async () => {
        await store.transaction(async (tx) => {
          const [, first, , second] = await Promise.all([
            tx.settings.set('order', 1),
            tx.settings.get('order'),
            tx.settings.set('order', 2),
            tx.settings.get('order'),
          ])
          expect([first, second]).toStrictEqual([1, 2])
        })
      })

      it('include statements that nobody awaited, and no later ones', async () => {
        let leaked: Tables | undefined
        await store.transaction(async (tx) => {
          leaked = tx
          void tx.settings.set('unawaited', true)
        })
        expect(await store.settings.get('unawaited')).toBe(true)
        await expect(leaked!.settings.set('late', true)).rejects.toMatchObject({ kind: 'internal' })
        expect(await store.settings.get('late')).toBeUndefined()
      })
    })

    describe('tokens', () => {
      it('are consumed exactly once by 50 at a time, over two stores', async () => {
        const other = await place.open()
        try {
          const key = systemIds.token(64)
          const results = await Promise.all(
            Array.from({ length: 50 }, (_, i) => (i % 2 ? store : other).tokens.consume(key, NOW + 1000)),
          )
          expect(results.filter(Boolean)).toHaveLength(1)
          expect(await other.tokens.consume(key, NOW + 1000)).toBe(false)
        } finally {
          await other.close()
        }
      })

      it('are forgotten after their time and not before', async () => {
        const [early, late] = [systemIds.token(64), systemIds.token(64)]
        await store.tokens.consume(early, 1000)
        await store.tokens.consume(late, 3000)
        expect(await store.tokens.sweep(2000, 10)).toBe(1)
        expect(await store.tokens.consume(late, 3000)).toBe(false)
        expect(await store.tokens.consume(early, 1000)).toBe(true)
      })

      it('are forgotten a part at a time, the oldest first', async () => {
        await store.tokens.sweep(2000, 100)
        const keys = Array.from({ length: 5 }, () => systemIds.token(64))
        for (const [at, key] of keys.entries()) await store.tokens.consume(key, 500 - at * 100)
        expect(await store.tokens.sweep(2000, 2)).toBe(2)
        for (const [at, key] of keys.entries()) {
          expect(await store.tokens.consume(key, 900)).toBe(at >= 3)
        }
        expect(await store.tokens.sweep(2000, 9)).toBe(5)
        expect(await store.tokens.sweep(2000, 9)).toBe(0)
      })
    })

    describe('settings, keys, fields and jobs', () => {
      it('keep values of any JSON shape', async () => {
        for (const value of [0, '', false, null, [1, { a: 'b' }], { 'snake_case and camelCase': 1 }]) {
          await store.settings.set('value', value)
          expect(await store.settings.get('value')).toStrictEqual(value)
        }
        await store.settings.set('value', undefined)
        expect(await store.settings.get('value')).toBeUndefined()
      })

      it('keep key pairs and refuse a key twice', async () => {
        const key = {
          id: systemIds.next(),
          name: 'one',
          publicKey: `public_${systemIds.token(20)}`,
          privateKey: `private_${systemIds.token(20)}`,
          scope: 'write' as const,
          createdAtMs: NOW,
          expiresAtMs: null,
          isRestricted: true,
          disabledAtMs: NOW + 5,
        }
        await store.keys.add(key)
        expect(await store.keys.list()).toContainEqual(key)
        await expect(store.keys.add({ ...key, id: systemIds.next() })).rejects.toMatchObject({
          kind: 'conflict',
        })
        const changed = { ...key, name: 'other', scope: 'none' as const, expiresAtMs: 7, disabledAtMs: null }
        await store.keys.change(changed)
        expect(await store.keys.list()).toContainEqual(changed)
        await store.keys.remove(key.id)
        expect((await store.keys.list()).map(({ id }) => id)).not.toContain(key.id)
      })

      it('add up what was asked for on a day, and keep the most frequent and the largest of it', async () => {
        const count = (day: number, name: string, requests: number, bytes: number) => ({
          day,
          topic: 'test',
          name,
          requests,
          bytes,
        })
        await store.usage.add([count(5, 'b', 1, 10), count(5, 'a', 2, 2 ** 40)])
        await store.usage.add([
          count(5, 'a', 1, 2),
          count(5, 'a', 2, 3),
          count(6, 'a', 100, 0),
          count(7, 'a', 1, 1),
        ])
        await store.usage.add([])
        const sums = async (firstDay: number, lastDay: number, topic?: string) =>
          (
            await store.usage.between({ firstDay, lastDay, ...(topic === undefined ? {} : { topic }) })
          ).toSorted((x, y) => (x.name < y.name ? -1 : 1))
        const a = { topic: 'test', name: 'a', requests: 105, bytes: 2 ** 40 + 5 }
        expect(await sums(5, 6)).toStrictEqual([a, { topic: 'test', name: 'b', requests: 1, bytes: 10 }])
        expect(await sums(5, 6, 'test')).toHaveLength(2)
        expect(await sums(5, 6, 'another')).toStrictEqual([])

        await store.usage.add([count(8, 'small', 9, 1), count(8, 'large', 1, 9), count(8, 'neither', 2, 2)])
        await store.usage.trim({ day: 8, topic: 'test', keep: 1 })
        expect((await sums(8, 8)).map(({ name }) => name)).toStrictEqual(['large', 'small'])
        await store.usage.tidy(8)
        expect(await sums(0, 7)).toStrictEqual([])
        expect(await sums(8, 9)).toHaveLength(2)
      })

      it('know the bytes of all versions at any time', async () => {
        const before = await store.usage.storedBytes()
        const files = await Promise.all(
          [1, 2, 3].map((n) =>
            store.transaction((tx) => upload(tx, '/stored', `${n}.bin`, { sizeBytes: 2 ** 40 + n })),
          ),
        )
        expect(await store.usage.storedBytes()).toBe(before + 3 * 2 ** 40 + 6)
        await store.transaction((tx) => upload(tx, '/stored', '1.bin', { sizeBytes: 100 }))
        await store.usage.tidy(0)
        expect(await store.usage.storedBytes()).toBe(before + 3 * 2 ** 40 + 106)
        await store.files.remove([files[0]!.fileId, files[1]!.fileId])
        expect(await store.usage.storedBytes()).toBe(before + 2 ** 40 + 3)
        await expect(
          store.transaction(async (tx) => {
            await upload(tx, '/stored', 'undone.bin')
            throw new Error('undone')
          }),
        ).rejects.toThrow()
        expect(await store.usage.storedBytes()).toBe(before + 2 ** 40 + 3)
      })

      it('have no fields at first', async () => {
        expect(await store.fields.list({ includeDeleted: true })).toStrictEqual([])
      })

      it('keep a job with its payload', async () => {
        const job = {
          id: systemIds.next(),
          kind: 'test.kind',
          payload: { deep: { list: [1] } },
          runAtMs: NOW,
          createdAtMs: NOW,
        }
        await store.jobs.enqueue(job)
        expect(await store.jobs.byId(job.id)).toStrictEqual({
          ...job,
          state: 'ready',
          attempts: 0,
          finishedAtMs: null,
          progress: {},
          lastError: null,
          leaseToken: null,
        })
        expect(await store.jobs.byId(systemIds.next())).toBeUndefined()
      })
    })

    it('answers that it lives', async () => {
      await expect(store.check()).resolves.toBeUndefined()
    })

    it('keeps what it holds when it is opened again', async () => {
      const own = await createPlace()
      try {
        const first = await own.open()
        const version = await first.transaction((tx) => upload(tx, '/kept', 'a.jpg'))
        await first.close()
        const second = await own.open()
        expect(await second.files.atPath('/kept', 'a.jpg')).toMatchObject({ fileId: version.fileId })
        expect(await second.transaction((tx) => upload(tx, '/kept', 'a.jpg'))).toMatchObject({ number: 2 })
        await second.close()
      } finally {
        await own.remove()
      }
    })

    it('can be opened for the first time by several at once', async () => {
      const own = await createPlace()
      try {
        const stores = await Promise.all([own.open(), own.open(), own.open()])
        await Promise.all(stores.map((each, i) => each.transaction((tx) => upload(tx, '/first', `${i}.jpg`))))
        const names = (await listAll(stores[0]!, { folderPath: '/first' })).map(nameOf)
        expect(names).toStrictEqual(['0.jpg', '1.jpg', '2.jpg'])
        await Promise.all(stores.map((each) => each.close()))
      } finally {
        await own.remove()
      }
    })

    it('numbers versions without gap or repeat when two stores write one path', async () => {
      const other = await place.open()
      try {
        const versions = await Promise.all(
          Array.from({ length: 60 }, (_, i) =>
            (i % 2 ? store : other).transaction((tx) => upload(tx, '/two-stores', 'one.jpg')),
          ),
        )
        expect(versions.map((v) => v.number).sort((a, b) => a - b)).toStrictEqual(
          Array.from({ length: 60 }, (_, i) => i + 1),
        )
      } finally {
        await other.close()
      }
    })

    describe('list', () => listSuite(createPlace))
    describe('list, when matches are too many to sort', () =>
      listSuite(() => createPlace({ sortedMatches: 3 })))
  })
}

const nameOf = (asset: ListedAsset) => (asset.type === 'folder' ? asset.folder.name : asset.file.name)

async function listAll(store: Store, options: Partial<ListOptions>) {
  const { assets } = await store.files.search({
    type: 'file',
    sort: { key: 'NAME', descending: false },
    limit: 1000,
    skip: 0,
    ...options,
  })
  return assets
}

/** Lists of a small library, compared with what plain JavaScript makes of the same records. */
function listSuite(createPlace: CreatePlace) {
  type Item = {
    kind: 'file' | 'file-version' | 'folder'
    id: string
    parent: string
    name: string
    seq: number
    fileType?: string
    tags: string[]
    values: Record<SortKey, string | number | null>
  }
  const items: Item[] = []
  let place: StorePlace
  let store: Store

  beforeAll(async () => {
    place = await createPlace()
    store = await place.open()
    // A fixed sequence, so that a failure can be repeated.
    let state = 42
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((state / 2_147_483_648) * below)
    }
    const names = [
      'a.jpg',
      'B.jpg',
      'b.jpg',
      'Z.png',
      'é.jpg',
      '_x.jpg',
      '10.jpg',
      '9.jpg',
      '😀.jpg',
      '\uffee.jpg',
    ]
    // Equals follow in order of insertion, which files and folders count apart. The root is the first folder.
    let lastFolder = 1
    let lastVersion = 0
    for (const path of ['/', '/f', '/f/g', '/F', '/f%', '/f_g']) {
      const nowMs = NOW + random(5)
      const folder = await store.folders.ensure(path, nowMs, systemIds.next)
      if (path !== '/') {
        const parent = path.slice(0, path.lastIndexOf('/')) || '/'
        items.push({
          kind: 'folder',
          id: folder.folderId,
          parent,
          name: folder.name,
          seq: ++lastFolder,
          tags: [],
          values: sortValues(folder.name, nowMs, nowMs, null, null, null),
        })
      }
      for (const name of names) {
        const versions = 1 + random(2)
        for (let n = 0; n < versions; n += 1) {
          const isImage = random(3) > 0
          const tags = ['red', 'green', 'blue', 'Red'].filter(() => random(3) === 0)
          const aiTags = ['red', 'sky'].filter(() => random(4) === 0)
          const version = await store.transaction((tx) =>
            upload(tx, path, name, {
              createdAtMs: NOW + random(6),
              updatedAtMs: NOW + random(6),
              sizeBytes: random(4) * 3_000_000_000,
              widthPx: isImage ? random(3) * 100 : null,
              heightPx: isImage ? random(3) * 100 : null,
              fileType: isImage ? 'image' : 'non-image',
              tags: tags.length ? tags : null,
              aiTags: aiTags.map((tag) => ({ name: tag, confidence: 50, source: 's' })),
            }),
          )
          for (const item of items)
            if (item.kind === 'file' && item.parent === path && item.name === name) item.kind = 'file-version'
          items.push({
            kind: 'file',
            id: version.versionId,
            parent: path,
            name,
            seq: ++lastVersion,
            fileType: version.fileType,
            tags: [...tags, ...aiTags],
            values: sortValues(
              name,
              version.createdAtMs,
              version.updatedAtMs,
              version.heightPx,
              version.widthPx,
              version.sizeBytes,
            ),
          })
        }
      }
    }
  })
  afterAll(async () => {
    await store?.close()
    await place?.remove()
  })

  function sortValues(
    name: string,
    created: number,
    updated: number,
    height: number | null,
    width: number | null,
    size: number | null,
  ): Item['values'] {
    return {
      NAME: name,
      CREATED: created,
      UPDATED: updated,
      HEIGHT: height,
      WIDTH: width,
      SIZE: size,
      RELEVANCE: created,
    }
  }

  function compare(a: string | number | null, b: string | number | null): number {
    if (a === b) return 0
    if (a === null) return -1
    if (b === null) return 1
    if (typeof a === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b as string))
    return a - (b as number)
  }

  function expectedIds(options: Omit<ListOptions, 'limit' | 'skip'>): string[] {
    const { key, descending } = options.sort
    return items
      .filter((item) => (options.type === 'all' ? item.kind !== 'file-version' : item.kind === options.type))
      .filter((item) => options.folderPath === undefined || item.parent === options.folderPath)
      .filter((item) => options.fileType === undefined || item.fileType === options.fileType)
      .filter((item) => options.name === undefined || item.name === options.name)
      .filter((item) => !options.tags || options.tags.some((tag) => item.tags.includes(tag)))
      .sort((a, b) => {
        const order = compare(a.values[key], b.values[key]) || a.seq - b.seq || (a.kind === 'folder' ? -1 : 1)
        return descending ? -order : order
      })
      .map((item) => item.id)
  }

  const idOf = (asset: ListedAsset) =>
    asset.type === 'folder' ? asset.folder.folderId : asset.file.versionId

  const sorts: SortKey[] = ['NAME', 'CREATED', 'UPDATED', 'HEIGHT', 'WIDTH', 'SIZE', 'RELEVANCE']
  const types = ['file', 'file-version', 'folder', 'all'] as const
  it.each(sorts.flatMap((key) => types.map((type) => ({ key, type }))))(
    'sorts $type by $key under every filter',
    async ({ key, type }) => {
      for (const descending of [false, true]) {
        for (const folderPath of [undefined, '/', '/f', '/nowhere']) {
          for (const filter of [
            {},
            { fileType: 'image' },
            { fileType: 'non-image' },
            { tags: ['red'] },
            { tags: ['sky', 'blue'] },
            { name: 'b.jpg' },
            { name: 'f' },
            { name: 'b.jpg', tags: ['red', 'nope'], fileType: 'image' },
          ] as Partial<ListOptions>[]) {
            const options = {
              type,
              sort: { key, descending },
              ...(folderPath === undefined ? {} : { folderPath }),
              ...filter,
            }
            const expected = expectedIds(options)
            const listed = await store.files.search({ ...options, limit: 1000, skip: 0 })
            expect(listed.assets.map(idOf), JSON.stringify(options)).toStrictEqual(expected)
            const page = await store.files.search({ ...options, limit: 4, skip: 3 })
            expect(page.assets.map(idOf), JSON.stringify(options)).toStrictEqual(expected.slice(3, 7))
          }
        }
      }
    },
  )

  it('labels what it lists', async () => {
    const listed = await listAll(store, { type: 'all' })
    expect(new Set(listed.map((asset) => asset.type))).toStrictEqual(new Set(['file', 'folder']))
    const past = await listAll(store, { type: 'file-version' })
    expect(past.length).toBeGreaterThan(0)
    for (const asset of past)
      expect(asset).toMatchObject({ type: 'file-version', file: { isCurrent: false } })
  })
}
