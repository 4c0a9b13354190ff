import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import type { Condition } from '../../src/query/ast.ts'
import {
  type AssetType,
  evaluateSearch,
  parseSearch,
  printSearch,
  type SearchQuery,
} from '../../src/query/query.ts'
import type { ListedAsset, SearchOptions, SortKey, Store, StoreOptions } from '../../src/store/store.ts'
import { anyCondition } from './any-search.ts'
import { type Asset, CUSTOM_FIELDS, documentOf, fillLibrary, POOLS, SEARCH_NOW } from './search-library.ts'
import { isInScope, TABLE } from './search-table.ts'
import { upload } from './uploads.ts'

/** Where a store keeps its data; it can be opened with different settings at once. */
export type SearchPlace = { open(changes: Partial<StoreOptions>): Promise<Store>; remove(): Promise<void> }

const SORT_KEYS: SortKey[] = ['NAME', 'CREATED', 'UPDATED', 'HEIGHT', 'WIDTH', 'SIZE', 'RELEVANCE']
const parse = (text: string) =>
  parseSearch(text, {
    nowMs: SEARCH_NOW,
    customFields: CUSTOM_FIELDS,
    limits: { maxBytes: 1e6, maxDepth: 100 },
  })

const hasTag = (asset: Asset, ...tags: string[]) =>
  [...(asset.tags ?? []), ...(asset.aiTags ?? [])].some((tag) => tags.includes(tag))

/** What a search must give on every engine, whichever way it takes to it. */
export function searchSuite(name: string, createPlace: () => Promise<SearchPlace>, skip = false) {
  describe.skipIf(skip)(name, () => {
    let place: SearchPlace
    let assets: Asset[]
    /** By the number of matches up to which they collect instead of walking: the result must not depend on it. */
    let stores: Store[]

    beforeAll(async () => {
      place = await createPlace()
      stores = [await place.open({})]
      assets = await fillLibrary(stores[0]!)
      stores.push(await place.open({ sortedMatches: 0 }), await place.open({ sortedMatches: 12 }))
    })
    afterAll(async () => {
      await Promise.all(stores.map((store) => store.close()))
      await place?.remove()
    })

    const idOf = (asset: ListedAsset) =>
      asset.type === 'folder' ? asset.folder.folderId : asset.file.versionId
    const base = { type: 'file', sort: { key: 'CREATED', descending: false }, limit: 1000, skip: 0 } as const
    const idsOf = async (store: Store, options: Partial<SearchOptions>) =>
      (await store.files.search({ ...base, ...options })).assets.map(idOf)
    const expected = (query: SearchQuery) =>
      assets.filter((asset) => evaluateSearch(query, documentOf(asset))).map((asset) => asset.versionId)

    it('is tested on a library worth searching', () => {
      const counts = Object.groupBy(assets, ({ type }) => type)
      expect(counts.file!.length).toBe(260)
      expect(counts['file-version']!.length).toBeGreaterThan(20)
      expect(counts.folder!.length).toBeGreaterThan(6)
      expect(TABLE.length).toBeGreaterThan(120)
    })

    it.each(TABLE)('finds %s', async (text, scope, isFound) => {
      const wanted = assets
        .filter((asset) => isInScope(asset, scope) && isFound(asset))
        .map((a) => a.versionId)
      const query = parse(text)
      for (const store of stores) {
        expect((await idsOf(store, { query })).toSorted()).toStrictEqual(wanted.toSorted())
      }
    })

    it('gives the same as the definition of the language, for any query', async () => {
      const property = fc.asyncProperty(
        anyCondition(assets),
        fc.constantFrom(0, 1, 2),
        async (condition: Condition, i) => {
          const query = parse(printSearch({ condition, assetTypes: [] }))
          expect(query.condition).toEqual(condition)
          expect((await idsOf(stores[i]!, { query })).toSorted()).toStrictEqual(expected(query).toSorted())
        },
      )
      await fc.assert(property, { numRuns: 1000 })
    }, 120_000)

    it('pages in any order, within any scope, without loss or repeat', async () => {
      const property = fc.asyncProperty(
        anyCondition(assets),
        fc.record({
          store: fc.constantFrom(0, 1, 2),
          key: fc.constantFrom(...SORT_KEYS),
          descending: fc.boolean(),
          folderPath: fc.option(fc.constantFrom(...POOLS.folders), { nil: undefined }),
          fileType: fc.option(fc.constantFrom('image' as const, 'non-image' as const), { nil: undefined }),
          assetTypes: fc.subarray<AssetType>(['file', 'file-version', 'folder'], { minLength: 1 }),
          limit: fc.integer({ min: 1, max: 60 }),
          skip: fc.integer({ min: 0, max: 5 }),
        }),
        async (condition, { store, key, descending, folderPath, fileType, assetTypes, limit, skip }) => {
          const query: SearchQuery = { condition, assetTypes }
          const options: Partial<SearchOptions> = {
            query,
            sort: { key, descending },
            ...(folderPath !== undefined && { folderPath }),
            ...(fileType && { fileType }),
          }
          const wanted = assets.filter(
            (asset) =>
              evaluateSearch(query, documentOf(asset)) &&
              (folderPath === undefined || asset.folder === folderPath) &&
              (fileType === undefined || asset.fileType === fileType),
          )
          const whole = await idsOf(stores[store]!, options)
          expect(whole.toSorted()).toStrictEqual(wanted.map((asset) => asset.versionId).toSorted())
          expectOrder(whole, { key, descending })
          const paged: string[] = []
          let cursor: string | undefined
          do {
            const page = await stores[store]!.files.search({
              ...base,
              ...options,
              limit,
              skip: cursor === undefined ? skip : 0,
              ...(cursor !== undefined && { cursor }),
            })
            const { total } = page
            paged.push(...page.assets.map(idOf))
            if (page.assets.length > 0 || skip === 0) {
              if (total.isExact) expect(total.count).toBe(wanted.length)
              else expect(total.count).toBeLessThanOrEqual(wanted.length)
              expect(total.count).toBeGreaterThanOrEqual(skip + paged.length)
            }
            if (page.nextCursor !== undefined) expect(page.assets).toHaveLength(limit)
            cursor = page.nextCursor
          } while (cursor !== undefined)
          expect(paged).toStrictEqual(whole.slice(skip))
        },
      )
      await fc.assert(property, { numRuns: 300 })
    }, 120_000)

    /** Values never fall (or rise), missing ones are the lowest, and equals of one kind follow in order of insertion. */
    function expectOrder(ids: string[], { key, descending }: { key: SortKey; descending: boolean }) {
      const byId = new Map(assets.map((asset, i) => [asset.versionId, { asset, i }]))
      const sortedBy = ({ asset }: { asset: Asset }) => {
        switch (key) {
          case 'NAME':
            return Buffer.from(asset.name).toString('hex')
          case 'UPDATED':
            return asset.updated
          case 'HEIGHT':
            return asset.height ?? -1
          case 'WIDTH':
            return asset.width ?? -1
          case 'SIZE':
            return asset.type === 'folder' ? -1 : asset.size
          default:
            return asset.created
        }
      }
      const entries = ids.map((id) => byId.get(id)!)
      if (descending) entries.reverse()
      for (const [i, entry] of entries.entries()) {
        const before = entries[i - 1]
        if (!before) continue
        const [a, b] = [sortedBy(before), sortedBy(entry)]
        expect(a <= b, `${before.asset.name} before ${entry.asset.name}`).toBe(true)
        const isOfOneKind = (before.asset.type === 'folder') === (entry.asset.type === 'folder')
        if (a === b && isOfOneKind) expect(before.i).toBeLessThan(entry.i)
      }
    }

    it('lists without a query, and goes on at a cursor', async () => {
      const lists: [Partial<SearchOptions>, (asset: Asset) => boolean][] = [
        [{}, ({ type }) => type === 'file'],
        [{ type: 'all' }, ({ type }) => type !== 'file-version'],
        [{ type: 'folder' }, ({ type }) => type === 'folder'],
        [{ type: 'file-version' }, ({ type }) => type === 'file-version'],
        [{ tags: ['red', 'dress'] }, (a) => a.type === 'file' && hasTag(a, 'red', 'dress')],
        [{ name: 'z.pdf' }, ({ type, name }) => type === 'file' && name === 'z.pdf'],
        [
          { type: 'all', folderPath: '/red', fileType: 'image' },
          (a) => a.folder === '/red' && a.type === 'file' && a.fileType === 'image',
        ],
        [{ type: 'all', folderPath: '/red' }, (a) => a.folder === '/red' && a.type !== 'file-version'],
        [{ type: 'folder', tags: ['red'] }, () => false],
      ]
      for (const store of stores) {
        for (const [options, isListed] of lists) {
          const wanted = assets.filter(isListed).map((asset) => asset.versionId)
          for (const key of SORT_KEYS) {
            const sort = { key, descending: true }
            const first = await store.files.search({ ...base, ...options, sort, limit: 5 })
            const rest = first.nextCursor
              ? await idsOf(store, { ...options, sort, cursor: first.nextCursor })
              : []
            const listed = [...first.assets.map(idOf), ...rest]
            expect(listed.toSorted()).toStrictEqual(wanted.toSorted())
            expectOrder(listed, sort)
          }
        }
      }
    })

    it('keeps its place when assets come before the cursor', async () => {
      const query = parse('name : "steady-"')
      const sort = { key: 'NAME', descending: false } as const
      for (const name of ['steady-b', 'steady-d', 'steady-f']) {
        await stores[0]!.transaction((tx) => upload(tx, '/at-cursor', name))
      }
      const first = await stores[0]!.files.search({ ...base, query, sort, limit: 2 })
      await stores[0]!.transaction((tx) => upload(tx, '/at-cursor', 'steady-a'))
      await stores[0]!.transaction((tx) => upload(tx, '/at-cursor', 'steady-e'))
      const second = await stores[0]!.files.search({
        ...base,
        query,
        sort,
        limit: 2,
        cursor: first.nextCursor!,
      })
      const names = (page: typeof first) =>
        page.assets.map((asset) => asset.type === 'file' && asset.file.name)
      expect(names(first)).toStrictEqual(['steady-b', 'steady-d'])
      expect(names(second)).toStrictEqual(['steady-e', 'steady-f'])
      expect(second.nextCursor).toBeUndefined()
      const files = (await stores[0]!.files.search({ ...base, query })).assets
      await stores[0]!.transaction((tx) =>
        tx.files.remove(files.flatMap((asset) => (asset.type === 'folder' ? [] : [asset.file.fileId]))),
      )
    })

    it('refuses a cursor that is none, of another search, or made up', async () => {
      const [store] = stores
      const query = parse('size > 0')
      const { nextCursor } = await store!.files.search({ ...base, query, limit: 1 })
      const forged = (change: (parts: unknown[]) => void) => {
        const parts = JSON.parse(Buffer.from(nextCursor!, 'base64url').toString())
        change(parts)
        return Buffer.from(JSON.stringify(parts)).toString('base64url')
      }
      const wrong: Partial<SearchOptions>[] = [
        { query, cursor: '' },
        { query, cursor: 'x' },
        { query, cursor: 'bnVsbA' },
        { query: parse('size > 1'), cursor: nextCursor! },
        { query, folderPath: '/red', cursor: nextCursor! },
        { query, sort: { key: 'NAME', descending: false }, cursor: nextCursor! },
        { query, cursor: forged((parts) => parts.pop()) },
        { query, cursor: forged((parts) => parts.splice(0, 1, 'text')) },
        { query, cursor: forged((parts) => parts.splice(0, 1, { a: 1 })) },
        { query, cursor: forged((parts) => parts.splice(1, 1, -1)) },
        { query, cursor: forged((parts) => parts.splice(1, 1, 1.5)) },
        { query, cursor: forged((parts) => parts.splice(3, 1, '1')) },
      ]
      for (const options of wrong) {
        await expect(store!.files.search({ ...base, ...options })).rejects.toMatchObject({
          kind: 'bad-request',
        })
      }
    })

    it('follows what changes: name, tags, metadata, folders', async () => {
      const [store] = stores
      const found = async (text: string) => (await idsOf(store!, { query: parse(text) })).length
      const version = await store!.transaction((tx) =>
        upload(tx, '/change', 'Before One.jpg', {
          tags: ['changing'],
          customMetadata: { brand: 'Changing' },
          embeddedMetadata: { Keywords: ['changing'] },
        }),
      )
      for (const text of [
        'name HAS "before"',
        'tags IN ["changing"]',
        'tags HAS "chang"',
        '"customMetadata.brand" = "Changing"',
        '"embeddedMetadata.Keywords" IN ["changing"]',
      ]) {
        expect(await found(text), text).toBe(1)
      }
      await store!.transaction(async (tx) => {
        const current = (await tx.files.byId(version.fileId))!
        const changes = {
          tags: ['changed'],
          customMetadata: { brand: 'Changed', price: 7 },
          updatedAtMs: SEARCH_NOW,
        }
        const changed = await tx.files.updateVersion(current, changes)
        const { folderId } = await tx.folders.ensure('/change/to', SEARCH_NOW, systemIds.next)
        await tx.files.relocate(changed, { folderId, name: 'After.jpg', nowMs: SEARCH_NOW })
      })
      const counts: [string, number][] = [
        ['name HAS "before"', 0],
        ['name HAS "after"', 1],
        ['tags IN ["changing"]', 0],
        ['tags IN ["changed"]', 1],
        ['tags HAS "changing"', 0],
        ['tags HAS "changed"', 1],
        ['"customMetadata.brand" = "Changing"', 0],
        ['"customMetadata.brand" HAS "changed"', 1],
        ['"customMetadata.price" = 7', 1],
        ['"embeddedMetadata.Keywords" IN ["changing"]', 1],
        ['path : "/change" AND type = "file"', 1],
        ['path = "/change/to"', 1],
      ]
      for (const [text, count] of counts) expect(await found(text), text).toBe(count)
      await store!.transaction((tx) => tx.files.remove([version.fileId]))
      for (const [text] of counts) expect(await found(text), text).toBe(0)
    })
  })
}
