import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import { parseSearch } from '../../src/query/query.ts'
import type { ListOptions, NewVersion, Store, VersionCopy } from '../../src/store/store.ts'
import { ORIGIN, startFolderNode } from './folders-rig.ts'
import { engines, type Place } from './places.ts'
import { NOW, upload } from './uploads.ts'

for (const { name, skip, createPlace } of engines) {
  describe.skipIf(skip)(`trees of folders in ${name}`, () => {
    let place: Place
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
    const folder = (path: string) => store.folders.ensure(path, NOW, systemIds.next)
    const list = async (options: Partial<ListOptions>) => {
      const all: ListOptions = {
        type: 'file',
        sort: { key: 'NAME', descending: false },
        limit: 1000,
        skip: 0,
        ...options,
      }
      const { assets } = await store.files.search(all)
      return assets.flatMap((each) => (each.type === 'folder' ? [] : [each.file]))
    }
    const copyOf = (from: NewVersion, into: Partial<VersionCopy> & { folderId: string }): VersionCopy => {
      const fileId = into.fileId ?? systemIds.next()
      return {
        from: { fileId: from.fileId, number: from.number },
        fileId,
        versionId: fileId,
        number: 1,
        isCurrent: true,
        accessKey: systemIds.token(32),
        ...into,
      }
    }

    const rich: Partial<NewVersion> = {
      tags: ['sea', 'summer'],
      aiTags: [{ name: 'Dog', confidence: 91.25, source: 'google-auto-tagging' }],
      customMetadata: { brand: 'Nike', price: 0.1, sold: true, colors: ['red', 5] },
      embeddedMetadata: { Make: 'Canon', GPSLatitude: 48.2, GPSLongitude: 16.37 },
      description: 'line\nbreak "quoted" \\',
      customCoordinates: '1,2,3,4',
      isPrivate: true,
      isPublished: false,
      durationSec: 12.75,
      sizeBytes: 5_000_000_000_123,
    }

    it('copy everything of a version but its identity', async () => {
      const source = await put('/copy/from', 'größe 漢字.jpg', rich)
      const { folderId } = await folder('/copy/to')
      const copy = copyOf(source, { folderId })
      const before = await store.usage.storedBytes()
      await store.folderTrees.copyVersions([copy], NOW + 5)
      expect(await store.files.byId(copy.fileId)).toStrictEqual({
        ...source,
        fileId: copy.fileId,
        versionId: copy.fileId,
        accessKey: copy.accessKey,
        folderId,
        folderPath: '/copy/to',
        isCurrent: true,
        createdAtMs: NOW + 5,
        updatedAtMs: NOW + 5,
      })
      expect((await store.usage.storedBytes()) - before).toBe(5_000_000_000_123)
      for (const tag of ['sea', 'Dog']) {
        expect(
          (await list({ tags: [tag], folderPath: '/copy/to' })).map((file) => file.fileId),
        ).toStrictEqual([copy.fileId])
      }
      expect(await store.files.byId(source.fileId)).toMatchObject({ folderPath: '/copy/from', number: 1 })
    })

    it('find a copy by all that its source is found by', async () => {
      // What a version is found by is kept in tables beside it: each row of the source has one of the copy.
      const source = await put('/found/from', 'a b.jpg', rich)
      const { folderId } = await folder('/found/to')
      const copy = copyOf(source, { folderId })
      await store.folderTrees.copyVersions([copy], source.createdAtMs)
      const customFields = [
        { name: 'brand', type: 'Text' as const },
        { name: 'price', type: 'Number' as const },
        { name: 'sold', type: 'Boolean' as const },
        { name: 'colors', type: 'MultiSelect' as const },
      ]
      for (const text of [
        'tags IN ["sea"]',
        'tags IN ["Dog"]',
        '"customMetadata.brand" = "Nike"',
        '"customMetadata.price" < 1',
        '"customMetadata.sold" = true',
        '"customMetadata.colors" IN ["red"]',
        'name : "a b"',
        'private = true',
      ]) {
        const { assets } = await store.files.search({
          type: 'file',
          sort: { key: 'CREATED', descending: false },
          folderPath: '/found/to',
          limit: 10,
          skip: 0,
          query: parseSearch(text, { nowMs: NOW, customFields }),
        })
        expect(
          assets.map((each) => each.type !== 'folder' && each.file.fileId),
          text,
        ).toStrictEqual([copy.fileId])
      }
    })

    it('append copies to a history, and one of them becomes the current version', async () => {
      const versions = []
      for (const sizeBytes of [1, 2, 3]) versions.push(await put('/append/from', 'x.jpg', { sizeBytes }))
      const target = await put('/append/to', 'x.jpg', { sizeBytes: 9 })
      const { folderId, fileId } = target
      const copies = versions.map((version, index) =>
        copyOf(version, {
          folderId,
          fileId,
          versionId: systemIds.next(),
          number: 2 + index,
          isCurrent: index === 1,
        }),
      )
      await store.folderTrees.copyVersions(copies, NOW)
      const history = await store.files.versions(fileId)
      expect(history.map((each) => [each.number, each.sizeBytes, each.isCurrent])).toStrictEqual([
        [4, 3, false],
        [3, 2, true],
        [2, 1, false],
        [1, 9, false],
      ])
      expect(await store.files.versionCount(fileId)).toStrictEqual({ count: 4, highest: 4 })
    })

    it('adopt the versions of other files, which are no more', async () => {
      const sources = []
      for (const sizeBytes of [1, 2]) sources.push(await put('/adopt/from', 'x.jpg', { sizeBytes, ...rich }))
      const target = await put('/adopt/to', 'x.jpg', { sizeBytes: 9 })
      const { folderId, fileId } = target
      await store.folderTrees.adoptVersions(
        sources.map((version, index) => ({
          from: { fileId: version.fileId, number: version.number },
          fileId,
          number: 2 + index,
          isCurrent: index === 1,
          folderId,
        })),
        NOW,
      )
      expect(await store.files.byId(sources[0]!.fileId)).toBeUndefined()
      expect(await store.files.versionCount(sources[0]!.fileId)).toStrictEqual({ count: 0, highest: 0 })
      const history = await store.files.versions(fileId)
      expect(history.map((each) => [each.number, each.isCurrent, each.folderPath])).toStrictEqual([
        [3, true, '/adopt/to'],
        [2, false, '/adopt/to'],
        [1, false, '/adopt/to'],
      ])
      expect(
        (await list({ tags: ['sea'], folderPath: '/adopt/to' })).map((file) => file.number),
      ).toStrictEqual([3])
    })

    it('tell where each file goes, in order, page by page', async () => {
      const paths = ['/t/s', '/t/s/b', '/t/s/a', '/t/s-x', '/t/s/a/c']
      for (const path of paths) for (const file of ['2.jpg', '1.jpg']) await put(path, file)
      const there = await put('/t/d/a', '2.jpg')
      for (const path of ['/t/d', '/t/d/b', '/t/d/a/c']) await folder(path)
      const all = []
      for (let after: { folderPath: string; name: string } | undefined; ; ) {
        const page = await store.folderTrees.transfers('/t/s', '/t/d', after, 3)
        all.push(...page)
        after = page.at(-1)
        if (page.length < 3) break
      }
      expect(all.map((each) => `${each.folderPath} ${each.name}`)).toStrictEqual([
        '/t/s 1.jpg',
        '/t/s 2.jpg',
        '/t/s/a 1.jpg',
        '/t/s/a 2.jpg',
        '/t/s/a/c 1.jpg',
        '/t/s/a/c 2.jpg',
        '/t/s/b 1.jpg',
        '/t/s/b 2.jpg',
      ])
      expect(all.filter((each) => each.target).map((each) => each.target)).toStrictEqual([
        { fileId: there.fileId, highest: 1 },
      ])
      expect(all[3]!.folderId).toBe((await store.folders.byPath('/t/d/a'))!.folderId)
      const files = await store.folderTrees.files('/t/s', undefined, 100)
      expect(files.map((file) => file.fileId)).toStrictEqual(all.map((each) => each.fileId))
    })

    it('count what is in a tree, no further than asked for, and measure its depth', async () => {
      await put('/n/a', '1.jpg')
      await put('/n/a', '1.jpg')
      await put('/n/a/b/c', '2.jpg')
      await folder('/n/a/e')
      expect(await store.folderTrees.count('/n/a', 100)).toStrictEqual({ folders: 4, files: 2, versions: 3 })
      const some = await store.folderTrees.count('/n/a', 1)
      expect(some.folders + some.versions).toBeGreaterThan(1)
      expect(await store.folderTrees.depth('/n/a')).toBe(4)
      expect(await store.folderTrees.depth('/n/a/e')).toBe(3)
    })

    it('keep others out of a tree that is frozen until the transaction ends', async () => {
      await folder('/frozen/x')
      const order: string[] = []
      let letGo = () => {}
      const waits = new Promise<void>((resolve) => {
        letGo = resolve
      })
      let isFrozen = () => {}
      const frozen = new Promise<void>((resolve) => {
        isFrozen = resolve
      })
      const other = await place.open()
      try {
        const first = store.transaction(async (tx) => {
          await tx.folderTrees.freeze()
          isFrozen()
          await waits
          order.push('frozen')
        })
        await frozen
        const second = other.transaction(async (tx) => {
          await tx.folders.enter('/frozen/x')
          order.push('entered')
        })
        await new Promise((resolve) => setTimeout(resolve, 50))
        letGo()
        await Promise.all([first, second])
        expect(order).toStrictEqual(['frozen', 'entered'])
      } finally {
        await other.close()
      }
    })

    it('hold folders for as long as the job is not finished', async () => {
      const id = systemIds.next()
      await store.transaction(async (tx) => {
        await tx.jobs.enqueue({ id, kind: 'holds', payload: {}, createdAtMs: NOW })
        await tx.folderTrees.hold(id, ['/h/a', '/h/b', '/h/a'])
      })
      const near = (path: string) => store.folderTrees.heldNear(['/h/free', path])
      for (const path of ['/h/a', '/h', '/h/a/x/y', '/h/b/z']) expect(await near(path), path).toBe(path)
      for (const path of ['/h/a-', '/h/a0', '/h/ab', '/i']) expect(await near(path), path).toBeUndefined()
      const enter = (path: string) => store.transaction((tx) => tx.folders.enter('/h/free', path))
      for (const path of ['/h/a', '/h/a/x'])
        await expect(enter(path)).rejects.toMatchObject({ kind: 'locked' })
      for (const path of ['/', '/h', '/h/ab']) await enter(path)
      const [job] = await store.jobs.claim({ kind: 'holds', limit: 1, nowMs: NOW, leaseToken: 't' })
      await expect(enter('/h/a')).rejects.toMatchObject({ kind: 'locked' })
      await store.jobs.complete({ id: job!.id, leaseToken: 't' }, NOW)
      await enter('/h/a')
      expect(await near('/h/a')).toBeUndefined()
      await store.jobs.sweep({ doneBeforeMs: NOW + 1, deadBeforeMs: 0, limit: 100 })
      expect(await store.jobs.byId(id)).toBeUndefined()
    })

    it('are held anew by a dead job that is tried again, once nobody else works on them', async () => {
      await put('/again/x', '1.jpg')
      const params = { sourceFolderPath: '/again/x', destinationPath: '/again/to' }
      const idle = startFolderNode(store, { worker: { pollMs: 60_000 } })
      await idle.stop()
      const jobId = await idle.folders.move(params, ORIGIN)
      const claim = async (kind: string) => {
        const [job] = await store.jobs.claim({ kind, limit: 1, nowMs: Date.now(), leaseToken: 't' })
        return { id: job!.id, leaseToken: 't' }
      }
      await store.jobs.bury(await claim('folder.move'), { nowMs: NOW, error: 'bad luck' })
      // Meanwhile somebody else has begun with the same folder.
      const other = await idle.folders.rename(
        { folderPath: '/again/x', newFolderName: 'y', purgeCache: false },
        ORIGIN,
      )
      expect(await store.jobs.requeue({ ids: [jobId], nowMs: Date.now() })).toBe(1)
      const held = await claim('folder.rename')
      const node = startFolderNode(store)
      try {
        while ((await store.jobs.byId(jobId))!.attempts < 2)
          await new Promise((resolve) => setTimeout(resolve, 5))
        expect((await store.jobs.byId(jobId))!.lastError).toMatch(/Another bulk job/)
        expect(await store.folders.byPath('/again/x')).toBeDefined()
        await store.jobs.bury(held, { nowMs: NOW, error: 'gave up' })
        expect((await store.jobs.byId(other))!.state).toBe('dead')
        await node.finish(jobId)
        expect(await store.files.atPath('/again/to/x', '1.jpg')).toBeDefined()
      } finally {
        await node.stop()
      }
    })
  })
}
