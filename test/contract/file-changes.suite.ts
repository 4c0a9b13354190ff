import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { badRequest } from '../../src/kernel/errors.ts'
import { systemIds } from '../../src/kernel/ids.ts'
import type { NewVersion, Store } from '../../src/store/store.ts'
import type { StorePlace } from './store.suite.ts'
import { NOW, newVersion, upload } from './uploads.ts'

const LATER = NOW + 60_000

/** What every engine of the store must do when files change. */
export function fileChangesSuite(name: string, createPlace: () => Promise<StorePlace>, skip = false) {
  describe.skipIf(skip)(`changes of files: ${name}`, () => {
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
    const at = async (path: string, fileName: string) => (await store.files.atPath(path, fileName))!
    const tagged = async (tag: string) =>
      (
        await store.files.search({
          type: 'file',
          sort: { key: 'NAME', descending: false },
          tags: [tag],
          limit: 100,
          skip: 0,
        })
      ).assets.map((asset) => (asset.type === 'folder' ? '' : asset.file.name))
    const numbers = async (fileId: string) =>
      (await store.files.versions(fileId)).map((v) => [v.number, v.isCurrent] as const)

    it('finds current versions by ids and leaves out what is not there', async () => {
      const one = await put('/ids', 'one.jpg')
      const two = await put('/ids', 'two.jpg')
      await put('/ids', 'two.jpg', { sizeBytes: 7 })
      const found = await store.files.byIds([one.fileId, systemIds.next(), two.fileId])
      expect(new Map(found.map((file) => [file.fileId, file.sizeBytes]))).toStrictEqual(
        new Map([
          [one.fileId, 1000],
          [two.fileId, 7],
        ]),
      )
      expect(await store.files.byIds([])).toStrictEqual([])
    })

    it('changes only what is named, and gives the version as it is then', async () => {
      await put('/update', 'a.jpg', {
        tags: ['old-tag'],
        aiTags: [{ name: 'Cat', confidence: 99.5, source: 'aws-auto-tagging' }],
        customMetadata: { price: 1 },
        description: 'before',
        embeddedMetadata: { Make: 'Canon' },
      })
      const before = await at('/update', 'a.jpg')
      const changed = await store.files.updateVersion(before, {
        tags: ['new-tag', 'second'],
        customCoordinates: '1,2,3,4',
        customMetadata: { price: 2.5, brand: 'é' },
        isPublished: false,
        accessKey: 'k'.repeat(32),
        updatedAtMs: LATER,
      })
      expect(changed).toStrictEqual({
        ...before,
        tags: ['new-tag', 'second'],
        customCoordinates: '1,2,3,4',
        customMetadata: { price: 2.5, brand: 'é' },
        isPublished: false,
        accessKey: 'k'.repeat(32),
        updatedAtMs: LATER,
      })
      expect(await at('/update', 'a.jpg')).toStrictEqual(changed)
      expect(await tagged('old-tag')).toStrictEqual([])
      expect(await tagged('second')).toStrictEqual(['a.jpg'])
      expect(await tagged('Cat')).toStrictEqual(['a.jpg'])
      const cleared = { tags: null, aiTags: null, customCoordinates: null, description: null }
      await store.files.updateVersion(changed, { ...cleared, customMetadata: {}, updatedAtMs: LATER + 1 })
      expect(await at('/update', 'a.jpg')).toMatchObject({ ...cleared, customMetadata: {} })
      expect(await tagged('Cat')).toStrictEqual([])
    })

    it('refuses to change a version that is not there any more', async () => {
      await put('/update', 'gone.jpg')
      const file = await at('/update', 'gone.jpg')
      await store.files.remove([file.fileId])
      const update = store.files.updateVersion(file, { tags: ['x'], updatedAtMs: LATER })
      await expect(update).rejects.toMatchObject({ kind: 'conflict' })
      expect(await tagged('x')).toStrictEqual([])
    })

    it('makes an old version the current one without adding or losing any', async () => {
      const first = await put('/restore', 'a.jpg', { sizeBytes: 1, tags: ['restored'] })
      await put('/restore', 'a.jpg', { sizeBytes: 2 })
      await put('/restore', 'a.jpg', { sizeBytes: 3 })
      expect(await tagged('restored')).toStrictEqual([])
      const old = (await store.files.version(first.fileId, first.versionId))!
      const restored = await store.files.makeCurrent(old, LATER)
      expect(restored).toMatchObject({ number: 1, isCurrent: true, updatedAtMs: LATER, createdAtMs: NOW })
      expect(await store.files.byId(first.fileId)).toStrictEqual(restored)
      expect(await numbers(first.fileId)).toStrictEqual([
        [3, false],
        [2, false],
        [1, true],
      ])
      expect(await tagged('restored')).toStrictEqual(['a.jpg'])
      // Numbers go on behind the highest ever used.
      expect(await put('/restore', 'a.jpg')).toMatchObject({ number: 4 })
    })

    it('forgets one version, and never gives its number again', async () => {
      const { fileId } = await put('/forget', 'a.jpg')
      await put('/forget', 'a.jpg', { tags: ['forgotten'], customMetadata: { a: 1 } })
      await put('/forget', 'a.jpg')
      const [, second] = await store.files.versions(fileId)
      await store.files.removeVersion(second!)
      expect(await numbers(fileId)).toStrictEqual([
        [3, true],
        [1, false],
      ])
      expect(await put('/forget', 'a.jpg')).toMatchObject({ number: 4 })
    })

    it('forgets files with everything that belongs to them', async () => {
      const blob = 'd4'.repeat(32)
      const past = 'e5'.repeat(32)
      const one = await put('/remove', 'a.jpg', { blob: past })
      await put('/remove', 'a.jpg', { blob, tags: ['removed'], customMetadata: { a: 'b' } })
      const two = await put('/remove', 'b.jpg', { blob })
      const kept = await put('/remove', 'c.jpg')
      expect(new Set(await store.files.blobsOf([one.fileId, two.fileId]))).toStrictEqual(
        new Set([blob, past]),
      )
      await store.files.remove([one.fileId, two.fileId])
      expect(await store.files.byIds([one.fileId, two.fileId, kept.fileId])).toHaveLength(1)
      expect(await store.files.versions(one.fileId)).toStrictEqual([])
      expect(await store.files.versionCount(one.fileId)).toStrictEqual({ count: 0, highest: 0 })
      expect(await store.referencedBlobs([blob, past])).toStrictEqual(new Set())
      expect(await tagged('removed')).toStrictEqual([])
      // A new file at the path has nothing to do with the old one.
      expect(await put('/remove', 'a.jpg')).toMatchObject({ number: 1 })
    })

    it('puts a file with all its versions at another path', async () => {
      const { fileId } = await put('/from', 'a.jpg', { tags: ['kept'] })
      await put('/from', 'a.jpg', { tags: ['kept'] })
      const folder = await store.folders.ensure('/to/deep', NOW, systemIds.next)
      const place = { folderId: folder.folderId, name: 'b.jpg', nowMs: LATER }
      await store.files.relocate(await at('/from', 'a.jpg'), place)
      expect(await store.files.atPath('/from', 'a.jpg')).toBeUndefined()
      expect(await at('/to/deep', 'b.jpg')).toMatchObject({ fileId, number: 2, updatedAtMs: LATER })
      for (const version of await store.files.versions(fileId)) {
        expect(version).toMatchObject({ folderPath: '/to/deep', name: 'b.jpg' })
      }
      expect(await tagged('kept')).toStrictEqual(['b.jpg'])
    })

    it('refuses a path that another file holds, and a folder that is not there', async () => {
      await put('/taken', 'a.jpg')
      const other = await put('/taken', 'b.jpg')
      const file = await at('/taken', 'b.jpg')
      const taken = { folderId: file.folderId, name: 'a.jpg', nowMs: LATER }
      await expect(store.files.relocate(file, taken)).rejects.toMatchObject({ kind: 'conflict' })
      const lost = { folderId: systemIds.next(), name: 'c.jpg', nowMs: LATER }
      await expect(store.files.relocate(file, lost)).rejects.toMatchObject({ kind: 'conflict' })
      expect(await at('/taken', 'b.jpg')).toMatchObject({ fileId: other.fileId, updatedAtMs: NOW })
    })

    it('appends one history to another in its order', async () => {
      const target = await put('/merge/to', 'a.jpg', { sizeBytes: 1 })
      await put('/merge/to', 'a.jpg', { sizeBytes: 2 })
      const source = await put('/merge/from', 'a.jpg', { sizeBytes: 11, tags: ['merged'] })
      await put('/merge/from', 'a.jpg', { sizeBytes: 12 })
      await put('/merge/from', 'a.jpg', { sizeBytes: 13 })
      // A gap and a restored version: numbers close up, and what is current stays current.
      const [, second, first] = await store.files.versions(source.fileId)
      await store.files.removeVersion(second!)
      await store.files.makeCurrent(first!, NOW + 5)
      await store.files.merge(await at('/merge/from', 'a.jpg'), await at('/merge/to', 'a.jpg'), LATER)
      const merged = await store.files.versions(target.fileId)
      expect(merged.map((v) => [v.number, v.sizeBytes, v.isCurrent, v.folderPath])).toStrictEqual([
        [4, 13, false, '/merge/to'],
        [3, 11, true, '/merge/to'],
        [2, 2, false, '/merge/to'],
        [1, 1, false, '/merge/to'],
      ])
      expect(await store.files.byId(source.fileId)).toBeUndefined()
      expect(await store.files.atPath('/merge/from', 'a.jpg')).toBeUndefined()
      expect(await store.files.versionCount(source.fileId)).toStrictEqual({ count: 0, highest: 0 })
      expect(await tagged('merged')).toStrictEqual(['a.jpg'])
      expect(await put('/merge/to', 'a.jpg')).toMatchObject({ number: 5, fileId: target.fileId })
    })

    it('says which of some blobs lie under a path', async () => {
      const blobOf = (n: number) => `${n}`.repeat(64)
      const paths = [
        '/u/x/a.jpg',
        '/u/x/ab.jpg',
        '/u/xy/a.jpg',
        '/u/x/deep/er/b.jpg',
        '/u/X/a.jpg',
        '/u/a.jpg',
      ]
      for (const [index, path] of paths.entries()) {
        const end = path.lastIndexOf('/')
        await put(path.slice(0, end), path.slice(end + 1), { blob: blobOf(index) })
      }
      // An old version counts too.
      await put('/u/x', 'a.jpg', { blob: blobOf(9) })
      const all = [0, 1, 2, 3, 4, 5, 9].map(blobOf)
      const under = async (prefix: string) =>
        (await store.files.blobsUnder(prefix, all)).map((blob) => Number(blob[0])).sort()
      expect(await under('/u/x/')).toStrictEqual([0, 1, 3, 9])
      expect(await under('/u/x')).toStrictEqual([0, 1, 2, 3, 9])
      expect(await under('/u/x/a')).toStrictEqual([0, 1, 9])
      expect(await under('/u/x/a.jpg')).toStrictEqual([0, 9])
      expect(await under('/u/a')).toStrictEqual([5])
      expect(await under('/u/')).toStrictEqual([0, 1, 2, 3, 4, 5, 9])
      expect(await under('/none/')).toStrictEqual([])
      expect(await store.files.blobsUnder('/u/', [])).toStrictEqual([])
      expect(await store.files.blobsUnder('/u/', [blobOf(1)])).toStrictEqual([blobOf(1)])
    })

    it('lets uploads and restores of one file alternate without losing a version', async () => {
      const first = await put('/both', 'a.jpg')
      await Promise.all(
        Array.from({ length: 60 }, (_, i) =>
          store.transaction(async (tx) => {
            if (i % 2 === 0) return upload(tx, '/both', 'a.jpg')
            await tx.files.lockPath('/both', 'a.jpg')
            const version = (await tx.files.version(first.fileId, first.versionId))!
            return version.isCurrent ? version : tx.files.makeCurrent(version, LATER)
          }),
        ),
      )
      const versions = await store.files.versions(first.fileId)
      expect(versions.map((v) => v.number)).toStrictEqual(Array.from({ length: 31 }, (_, i) => 31 - i))
      expect(versions.filter((v) => v.isCurrent)).toHaveLength(1)
    })

    it('lets deletions and uploads of one path take turns', async () => {
      const results = await Promise.all(
        Array.from({ length: 60 }, (_, i) =>
          store.transaction(async (tx) => {
            if (i % 3 !== 0) return upload(tx, '/turns', 'a.jpg')
            await tx.files.lockPath('/turns', 'a.jpg')
            const file = await tx.files.atPath('/turns', 'a.jpg')
            if (file) await tx.files.remove([file.fileId])
            return undefined
          }),
        ),
      )
      const uploads = results.filter((result) => result !== undefined)
      // Each file's history is whole: numbers from 1 on, none twice.
      const byFile = Map.groupBy(uploads, (version) => version.fileId)
      for (const history of byFile.values()) {
        const taken = history.map((version) => version.number).sort((a, b) => a - b)
        expect(taken).toStrictEqual(taken.map((_, i) => i + 1))
      }
      const last = await store.files.atPath('/turns', 'a.jpg')
      if (last) expect(last.number).toBe(byFile.get(last.fileId)!.length)
      else expect(await store.files.byIds([...byFile.keys()])).toStrictEqual([])
    })

    it('does nothing of a transaction that fails', async () => {
      await put('/undo', 'a.jpg', { tags: ['undo'] })
      const file = await at('/undo', 'a.jpg')
      const failing = store.transaction(async (tx) => {
        await tx.files.updateVersion(file, { tags: ['redo'], updatedAtMs: LATER })
        await tx.files.remove([file.fileId])
        throw badRequest('by choice')
      })
      await expect(failing).rejects.toThrow('by choice')
      expect(await at('/undo', 'a.jpg')).toStrictEqual(file)
      expect(await tagged('undo')).toStrictEqual(['a.jpg'])
    })

    it('keeps file ids apart when a version is added by hand', async () => {
      const folder = await store.folders.ensure('/apart', NOW, systemIds.next)
      const version = newVersion(folder.folderId, 'a.jpg')
      await store.files.addVersion(version)
      expect(await store.files.blobsOf([version.fileId])).toStrictEqual([version.blob])
      expect(await store.files.blobsOf([systemIds.next()])).toStrictEqual([])
    })
  })
}
