import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AiTag } from '../../src/store/store.ts'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { snapshot } from '../support/snapshot.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
let seed = 0
beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

const HELP = expect.any(String)
const UNKNOWN = '0123456789abcdef01234567'
const post = (path: string, body: unknown) => call(tintype, 'POST', path, body)
const upload = (path: string, fields?: Record<string, string>) => {
  seed += 1
  return put(tintype, path, png(8, 8, seed), fields)
}
const details = (fileId: string) => call(tintype, 'GET', `/v1/files/${fileId}/details`)
const tagsOf = async (fileId: string) => (await details(fileId)).body.tags
const derivativesOf = async (url: string) => (await fetch(`${url}?tr=w-3`)).headers.get('x-tintype-cache')

describe('DELETE /v1/files/{fileId}', () => {
  it('deletes the file with all versions, its URLs and what was made of it', async () => {
    const file = await upload('/delete/a.png')
    await upload('/delete/a.png')
    const versions = (await call(tintype, 'GET', `/v1/files/${file.fileId}/versions`)).body
    for (const { url } of versions) expect((await fetch(`${url}&tr=w-3`)).status).toBe(200)
    const answer = await call(tintype, 'DELETE', `/v1/files/${file.fileId}`)
    expect(answer).toMatchObject({ status: 204, body: undefined })
    for (const { url } of versions) {
      expect((await fetch(url)).status).toBe(404)
      expect((await fetch(`${url}&tr=w-3`)).status).toBe(404)
    }
    expect((await details(file.fileId)).status).toBe(404)
    expect(await call(tintype, 'DELETE', `/v1/files/${file.fileId}`)).toMatchObject({
      status: 404,
      body: { message: 'The requested file does not exist.', help: HELP },
    })
    // The same bytes at the same path are a new file, and are rendered anew.
    const again = await put(tintype, '/delete/a.png', png(8, 8, seed))
    expect(again).toMatchObject({ versionInfo: { id: again.fileId, name: 'Version 1' } })
    expect(again.fileId).not.toBe(file.fileId)
    expect(await derivativesOf(again.url)).toBe('miss')
  })

  // Nodes have a cache each.
  it.skipIf(process.env.CLUSTER_NODES)('keeps what another file with the same bytes has', async () => {
    const one = await put(tintype, '/twins/one.png', png(8, 8, 999))
    const two = await put(tintype, '/twins/two.png', png(8, 8, 999))
    expect(await derivativesOf(one.url)).toBe('miss')
    await call(tintype, 'DELETE', `/v1/files/${one.fileId}`)
    expect(await derivativesOf(two.url)).toBe('hit')
  })

  it('refuses ids that are none', async () => {
    expect(await call(tintype, 'DELETE', '/v1/files/nope')).toMatchObject({
      status: 400,
      body: { message: 'Your request contains invalid fileId parameter.' },
    })
  })
})

describe('POST /v1/files/batch/deleteByFileIds', () => {
  const path = '/v1/files/batch/deleteByFileIds'

  it('deletes all of them', async () => {
    const files = await Promise.all([1, 2, 3].map((i) => upload(`/batch/${i}.png`)))
    const kept = await upload('/batch/kept.png')
    const fileIds = files.map((file) => file.fileId)
    const answer = await post(path, { fileIds: [...fileIds, fileIds[0]] })
    expect(answer).toMatchObject({ status: 200, body: { successfullyDeletedFileIds: fileIds } })
    for (const { url, fileId } of files) {
      expect((await fetch(url)).status).toBe(404)
      expect((await details(fileId)).status).toBe(404)
    }
    expect((await fetch(kept.url)).status).toBe(200)
  })

  it('deletes none of them when one is not there', async () => {
    const files = await Promise.all([1, 2].map((i) => upload(`/whole/${i}.png`)))
    const before = await snapshot(tintype)
    const missingFileIds = [UNKNOWN, 'not-an-id', '../../etc/passwd']
    const fileIds = [files[0].fileId, ...missingFileIds, files[1].fileId]
    expect(await post(path, { fileIds })).toMatchObject({
      status: 404,
      body: { message: 'The requested file(s) does not exist.', help: HELP, missingFileIds },
    })
    expect(await snapshot(tintype)).toEqual(before)
    for (const { url } of files) expect((await fetch(url)).status).toBe(200)
  })

  it('takes a hundred, and not one more', async () => {
    const files = await Promise.all(Array.from({ length: 100 }, (_, i) => upload(`/hundred/${i}.png`)))
    const fileIds = files.map((file) => file.fileId)
    const tooMany = await post(path, { fileIds: [...fileIds, UNKNOWN] })
    expect(tooMany).toMatchObject({
      status: 400,
      body: { message: 'fileIds cannot have more than 100 items.' },
    })
    expect((await call(tintype, 'GET', '/v1/files?path=/hundred')).body).toHaveLength(100)
    expect((await post(path, { fileIds })).status).toBe(200)
    expect((await call(tintype, 'GET', '/v1/files?path=/hundred')).body).toHaveLength(0)
  })

  it('lets one of two deletions of the same files win', async () => {
    const files = await Promise.all([1, 2, 3].map((i) => upload(`/rivals/${i}.png`)))
    const fileIds = files.map((file) => file.fileId)
    const answers = await Promise.all([
      post(path, { fileIds }),
      post(path, { fileIds: fileIds.toReversed() }),
    ])
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 404])
  })
})

describe('tags in bulk', () => {
  it('are added behind those that are there, once', async () => {
    const bare = await upload('/tags/bare.png')
    const tagged = await upload('/tags/tagged.png', { tags: 'b,a' })
    const fileIds = [bare.fileId, tagged.fileId]
    const answer = await post('/v1/files/addTags', { fileIds, tags: ['a', ' c ', 'c'] })
    expect(answer).toMatchObject({ status: 200, body: { successfullyUpdatedFileIds: fileIds } })
    expect(await tagsOf(bare.fileId)).toEqual(['a', 'c'])
    expect(await tagsOf(tagged.fileId)).toEqual(['b', 'a', 'c'])
    const found = (await call(tintype, 'GET', '/v1/files?tags=c')).body
    expect(found.map((file: { fileId: string }) => file.fileId).sort()).toEqual(fileIds.sort())
  })

  it('are removed, and files without them stay as they are', async () => {
    const one = await upload('/untag/one.png', { tags: 'x,y' })
    const two = await upload('/untag/two.png', { tags: 'z' })
    const before = (await details(two.fileId)).body
    const fileIds = [one.fileId, two.fileId]
    const answer = await post('/v1/files/removeTags', { fileIds, tags: ['x', 'y', 'q'] })
    expect(answer).toMatchObject({ status: 200, body: { successfullyUpdatedFileIds: fileIds } })
    expect(await tagsOf(one.fileId)).toBeNull()
    expect((await details(two.fileId)).body).toEqual(before)
    expect((await call(tintype, 'GET', '/v1/files?tags=x,y')).body).toEqual([])
  })

  it('of extensions are removed by name', async () => {
    const one = await upload('/ai/one.png', { tags: 'Cat' })
    const two = await upload('/ai/two.png')
    const aiTags: AiTag[] = ['Cat', 'Dog'].map((name) => ({
      name,
      confidence: 80,
      source: 'aws-auto-tagging',
    }))
    for (const { fileId } of [one, two]) {
      const file = (await tintype.store.files.byId(fileId))!
      await tintype.store.files.updateVersion(file, { aiTags, updatedAtMs: file.updatedAtMs })
    }
    const fileIds = [one.fileId, two.fileId]
    const answer = await post('/v1/files/removeAITags', { fileIds, AITags: ['Cat'] })
    expect(answer).toMatchObject({ status: 200, body: { successfullyUpdatedFileIds: fileIds } })
    expect((await details(one.fileId)).body).toMatchObject({ AITags: [aiTags[1]], tags: ['Cat'] })
    await post('/v1/files/removeAITags', { fileIds, AITags: ['Dog'] })
    expect((await details(two.fileId)).body.AITags).toBeNull()
  })

  it('say which files cannot take them, and change the others', async () => {
    const full = await upload('/full/full.png', { tags: 'x'.repeat(499) })
    const free = await upload('/full/free.png')
    const answer = await post('/v1/files/addTags', { fileIds: [full.fileId, free.fileId], tags: ['ab'] })
    expect(answer).toMatchObject({
      status: 207,
      body: {
        successfullyUpdatedFileIds: [free.fileId],
        errors: [{ fileId: full.fileId, error: expect.stringContaining('less than or equal to 500') }],
      },
    })
    expect(await tagsOf(full.fileId)).toEqual(['x'.repeat(499)])
    expect(await tagsOf(free.fileId)).toEqual(['ab'])
  })

  it('change no file when one is not there', async () => {
    const file = await upload('/missing/a.png', { tags: 'kept' })
    const before = await snapshot(tintype)
    const fileIds = [file.fileId, UNKNOWN]
    for (const [path, list] of [
      ['addTags', 'tags'],
      ['removeTags', 'tags'],
      ['removeAITags', 'AITags'],
    ] as const) {
      expect(await post(`/v1/files/${path}`, { fileIds, [list]: ['kept'] })).toMatchObject({
        status: 404,
        body: { message: 'The requested file(s) does not exist.', missingFileIds: [UNKNOWN], help: HELP },
      })
    }
    expect(await snapshot(tintype)).toEqual(before)
  })

  it('are all kept when many requests add some at a time', async () => {
    const files = await Promise.all([1, 2, 3, 4].map((i) => upload(`/crowd/${i}.png`)))
    const fileIds = files.map((file) => file.fileId)
    const tags = Array.from({ length: 20 }, (_, i) => `t${i}`)
    const answers = await Promise.all(
      tags.map((tag, i) =>
        post('/v1/files/addTags', { fileIds: i % 2 ? fileIds : fileIds.toReversed(), tags: [tag] }),
      ),
    )
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]))
    for (const fileId of fileIds) expect((await tagsOf(fileId)).sort()).toEqual(tags.toSorted())
  })
})

describe('bulk requests', () => {
  const DELETE = '/v1/files/batch/deleteByFileIds'
  const many = (count: number) => Array.from({ length: count }, () => UNKNOWN)
  it.each<[string, unknown, string]>([
    [DELETE, {}, 'fileIds parameter is missing.'],
    [DELETE, undefined, 'fileIds parameter is missing.'],
    [DELETE, { fileIds: null }, 'fileIds parameter is missing.'],
    [DELETE, { fileIds: UNKNOWN }, 'fileIds should be an Array.'],
    [DELETE, { fileIds: { 0: UNKNOWN, length: 1 } }, 'fileIds should be an Array.'],
    [DELETE, { fileIds: [] }, 'fileIds is empty.'],
    [DELETE, { fileIds: [5] }, 'fileIds should be an Array of strings.'],
    [DELETE, { fileIds: many(101) }, 'fileIds cannot have more than 100 items.'],
    ...['addTags', 'removeTags'].flatMap((name): [string, unknown, string][] => [
      [`/v1/files/${name}`, { tags: ['a'] }, 'fileIds parameter is missing.'],
      [`/v1/files/${name}`, { fileIds: 'x', tags: ['a'] }, 'fileIds should be an Array.'],
      [`/v1/files/${name}`, { fileIds: [], tags: ['a'] }, 'fileIds is empty.'],
      [
        `/v1/files/${name}`,
        { fileIds: many(51), tags: ['a'] },
        'A maximum of 50 files can be edited at a time.',
      ],
      [`/v1/files/${name}`, { fileIds: [UNKNOWN] }, 'tags parameter is missing.'],
      [`/v1/files/${name}`, { fileIds: [UNKNOWN], tags: [] }, 'tags array cannot be empty.'],
      [`/v1/files/${name}`, { fileIds: [UNKNOWN], tags: [' '] }, 'tags array cannot be empty.'],
      [
        `/v1/files/${name}`,
        { fileIds: [UNKNOWN], tags: ['x'.repeat(501)] },
        'Your request contains invalid value for tags parameter. Combined length of all tags should be less than or equal to 500.',
      ],
      [
        `/v1/files/${name}`,
        { fileIds: [UNKNOWN], tags: 'a' },
        "Your request contains invalid value for tags parameter. Please provide an array of strings. Example - ['t-shirt','summer-sale'].",
      ],
    ]),
    ['/v1/files/removeAITags', { AITags: ['a'] }, 'fileIds parameter is missing.'],
    ['/v1/files/removeAITags', { fileIds: [UNKNOWN] }, 'AITags parameter is missing.'],
    ['/v1/files/removeAITags', { fileIds: [UNKNOWN], AITags: [] }, 'AITags array cannot be empty.'],
    [
      '/v1/files/removeAITags',
      { fileIds: [UNKNOWN], AITags: [1] },
      "Your request contains invalid value for AITags. Please provide an array of strings. Example - ['t-shirt','summer-sale'].",
    ],
    [
      '/v1/files/removeAITags',
      { fileIds: many(51), AITags: ['a'] },
      'A maximum of 50 files can be edited at a time.',
    ],
  ])('%s refuses %j', async (path, body, message) => {
    expect(await post(path, body)).toMatchObject({ status: 400, body: { message, help: HELP } })
  })

  it.each([DELETE, '/v1/files/addTags', '/v1/files/removeTags', '/v1/files/removeAITags'])(
    '%s needs a key',
    async (path) => {
      expect((await call(tintype, 'POST', path, { fileIds: [UNKNOWN] }, null)).status).toBe(401)
    },
  )
})
