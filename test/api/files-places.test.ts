import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { snapshot } from '../support/snapshot.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
let seed = 0

beforeAll(async () => {
  // Few versions, so that the limit is reached quickly.
  tintype = await startTintype({ env: { TINTYPE_UPLOAD_MAX_VERSIONS: '5' } })
})
afterAll(() => tintype.stop())

const copy = (body: unknown) => call(tintype, 'POST', '/v1/files/copy', body)
const move = (body: unknown) => call(tintype, 'POST', '/v1/files/move', body)
const rename = (body: unknown) => call(tintype, 'PUT', '/v1/files/rename', body)
const upload = (path: string, fields?: Record<string, string>) => {
  seed += 1
  return put(tintype, path, png(10 + seed, 10, seed), fields)
}
// biome-ignore lint/suspicious/noExplicitAny: answers of the API are judged by assertions, not by types
const at = async (path: string): Promise<any> => {
  const end = path.lastIndexOf('/')
  const query = new URLSearchParams({ path: path.slice(0, end) || '/', name: path.slice(end + 1) })
  return (await call(tintype, 'GET', `/v1/files?${query}`)).body[0]
}
const versionsOf = async (fileId: string) => (await call(tintype, 'GET', `/v1/files/${fileId}/versions`)).body
const historyOf = async (path: string) =>
  (await versionsOf((await at(path)).fileId)).map(
    (v: { versionInfo: { name: string }; width: number; type: string }) =>
      `${v.versionInfo.name} ${v.width} ${v.type}`,
  )
const statusOf = async (path: string) => (await fetch(`${tintype.url}/demo${path}`)).status
const HELP = expect.any(String)
const EMPTY = { status: 204, body: undefined }

describe('POST /v1/files/copy', () => {
  it('copies the current version into a folder that it makes', async () => {
    const source = await upload('/copy/a.png', { tags: 'kept', customCoordinates: '1,1,2,2' })
    await upload('/copy/a.png', { tags: 'kept', customCoordinates: '1,1,2,2' })
    expect(await copy({ sourceFilePath: '/copy/a.png', destinationPath: '/copied/deep/' })).toMatchObject(
      EMPTY,
    )
    const copied = await at('/copied/deep/a.png')
    expect(copied).toMatchObject({
      type: 'file',
      tags: ['kept'],
      customCoordinates: '1,1,2,2',
      versionInfo: { id: copied.fileId, name: 'Version 1' },
    })
    expect(copied.fileId).not.toBe(source.fileId)
    expect(await versionsOf(copied.fileId)).toHaveLength(1)
    expect(await historyOf('/copy/a.png')).toHaveLength(2)
    expect(await statusOf('/copied/deep/a.png')).toBe(200)
    // The copy lives on without the original.
    await call(tintype, 'DELETE', `/v1/files/${source.fileId}`)
    expect(await statusOf('/copied/deep/a.png')).toBe(200)
  })

  it('copies all versions, with the same one current', async () => {
    const { fileId, versionInfo, width } = await upload('/all/a.png')
    const { width: second } = await upload('/all/a.png')
    const { width: third } = await upload('/all/a.png')
    await call(tintype, 'PUT', `/v1/files/${fileId}/versions/${versionInfo.id}/restore`)
    const body = { sourceFilePath: '/all/a.png', destinationPath: '/all/copy', includeFileVersions: true }
    expect(await copy(body)).toMatchObject(EMPTY)
    expect(await historyOf('/all/copy/a.png')).toEqual([
      `Version 1 ${width} file`,
      `Version 3 ${third} file-version`,
      `Version 2 ${second} file-version`,
    ])
    const copied = await versionsOf((await at('/all/copy/a.png')).fileId)
    const originals = await versionsOf(fileId)
    const urls = [...copied, ...originals].map((version) => version.url)
    expect(new Set(urls).size).toBe(6)
    for (const url of urls) expect((await fetch(url)).status).toBe(200)
    const ids = [...copied, ...originals].map((version) => version.versionInfo.id)
    expect(new Set(ids).size).toBe(6)
  })

  it('appends to the history of a file of the same name', async () => {
    const target = await upload('/append/to/a.png')
    await upload('/append/from/a.png')
    await upload('/append/from/a.png')
    const body = { sourceFilePath: '/append/from/a.png', destinationPath: '/append/to' }
    expect((await copy(body)).status).toBe(204)
    const merged = await at('/append/to/a.png')
    expect(merged).toMatchObject({ fileId: target.fileId, versionInfo: { name: 'Version 2' } })
    expect(merged.width).toBe((await at('/append/from/a.png')).width)
    expect((await copy({ ...body, includeFileVersions: true })).status).toBe(204)
    expect((await historyOf('/append/to/a.png')).map((line: string) => line.slice(0, 9))).toEqual([
      'Version 4',
      'Version 3',
      'Version 2',
      'Version 1',
    ])
    expect(await historyOf('/append/from/a.png')).toHaveLength(2)
  })

  it('refuses more versions than a file may have, and then copies nothing', async () => {
    for (let i = 0; i < 4; i += 1) await upload('/limit/to/a.png')
    for (let i = 0; i < 2; i += 1) await upload('/limit/from/a.png')
    const before = await snapshot(tintype)
    const body = { sourceFilePath: '/limit/from/a.png', destinationPath: '/limit/to' }
    const refused = {
      status: 400,
      body: {
        message: 'Your request is missing parameters / contains invalid parameters.',
        reason: 'VERSION_LIMIT_EXCEEDED',
        help: HELP,
      },
    }
    expect(await copy({ ...body, includeFileVersions: true })).toMatchObject(refused)
    expect(await move(body)).toMatchObject(refused)
    expect(await snapshot(tintype)).toEqual(before)
    // One still fits; of many that want its place, one gets it.
    const answers = await Promise.all(Array.from({ length: 8 }, () => copy(body)))
    expect(answers.map((answer) => answer.status).sort()).toEqual([204, ...Array(7).fill(400)])
    expect(await historyOf('/limit/to/a.png')).toHaveLength(5)
  })

  it('keeps a draft and a private file what they are', async () => {
    await upload('/state/a.png', { isPrivateFile: 'true', isPublished: 'false' })
    await copy({ sourceFilePath: '/state/a.png', destinationPath: '/state/copy' })
    expect(await at('/state/copy/a.png')).toMatchObject({ isPrivateFile: true, isPublished: false })
    expect(await statusOf('/state/copy/a.png')).toBe(404)
  })
})

describe('POST /v1/files/move', () => {
  it('moves a file with its versions, and its old URLs end', async () => {
    const source = await upload('/move/a.png', { tags: 'x' })
    await upload('/move/a.png', { tags: 'x' })
    const before = await versionsOf(source.fileId)
    for (const { url } of before) expect((await fetch(url)).status).toBe(200)
    expect((await fetch(`${before[0].url}&tr=w-5`)).status).toBe(200)
    const body = { sourceFilePath: '/move/a.png', destinationPath: '/moved/here' }
    expect(await move(body)).toMatchObject(EMPTY)
    const moved = await versionsOf(source.fileId)
    expect(moved).toHaveLength(2)
    expect(moved[0]).toMatchObject({ fileId: source.fileId, filePath: '/moved/here/a.png', tags: ['x'] })
    for (const { url } of before) expect((await fetch(url)).status).toBe(404)
    expect((await fetch(`${before[0].url}&tr=w-5`)).status).toBe(404)
    for (const { url } of moved) expect((await fetch(url)).status).toBe(200)
    expect(await at('/move/a.png')).toBeUndefined()
    // The old path is free again.
    expect((await upload('/move/a.png')).fileId).not.toBe(source.fileId)
  })

  it('appends to the history of a file of the same name, and ends to exist', async () => {
    const target = await upload('/join/to/a.png')
    const source = await upload('/join/from/a.png')
    const { width } = await upload('/join/from/a.png')
    expect((await move({ sourceFilePath: '/join/from/a.png', destinationPath: '/join/to' })).status).toBe(204)
    const merged = await versionsOf(target.fileId)
    expect(merged.map((v: { versionInfo: { name: string } }) => v.versionInfo.name)).toEqual([
      'Version 3',
      'Version 2',
      'Version 1',
    ])
    expect(merged[0]).toMatchObject({ width, filePath: '/join/to/a.png', type: 'file' })
    for (const { url } of merged) expect((await fetch(url)).status).toBe(200)
    expect((await call(tintype, 'GET', `/v1/files/${source.fileId}/details`)).status).toBe(404)
    expect((await call(tintype, 'GET', `/v1/files/${source.fileId}/versions`)).status).toBe(404)
    expect(await statusOf('/join/from/a.png')).toBe(404)
  })

  it('takes crossing moves of one name apart', async () => {
    await upload('/cross/a/x.png')
    await upload('/cross/b/x.png')
    const moves = Array.from({ length: 10 }, (_, i) =>
      i % 2
        ? { sourceFilePath: '/cross/a/x.png', destinationPath: '/cross/b' }
        : { sourceFilePath: '/cross/b/x.png', destinationPath: '/cross/a' },
    )
    const answers = await Promise.all(moves.map(move))
    for (const { status } of answers) expect([204, 404]).toContain(status)
    const left = [await at('/cross/a/x.png'), await at('/cross/b/x.png')].filter(Boolean)
    expect(left).toHaveLength(1)
    expect(await versionsOf(left[0].fileId)).toHaveLength(2)
  })
})

describe('copy and move', () => {
  it.each([
    [{}, 400, 'MISSING_PARAMETER'],
    [{ sourceFilePath: '/refuse/a.png' }, 400, 'MISSING_PARAMETER'],
    [{ destinationPath: '/x' }, 400, 'MISSING_PARAMETER'],
    [{ sourceFilePath: '', destinationPath: '/x' }, 400, 'MISSING_PARAMETER'],
    [{ sourceFilePath: null, destinationPath: '/x' }, 400, 'MISSING_PARAMETER'],
    [{ sourceFilePath: 5, destinationPath: '/x' }, 400, 'INVALID_PARAMETER'],
    [{ sourceFilePath: '/refuse/a.png', destinationPath: ['/x'] }, 400, 'INVALID_PARAMETER'],
    [{ sourceFilePath: '/refuse/a.png', destinationPath: '/refuse/' }, 400, 'SAME_SOURCE_AND_DESTINATION'],
    [{ sourceFilePath: '//refuse//a.png', destinationPath: 'refuse' }, 400, 'SAME_SOURCE_AND_DESTINATION'],
    [{ sourceFilePath: '/refuse/a.png', destinationPath: '/x/../y' }, 400, 'INVALID_FOLDER_PATH'],
    [{ sourceFilePath: '/refuse/a.png', destinationPath: '/x/./y' }, 400, 'INVALID_FOLDER_PATH'],
    [{ sourceFilePath: '/refuse/a.png', destinationPath: `/${'x/'.repeat(51)}` }, 400, 'INVALID_FOLDER_PATH'],
    [{ sourceFilePath: '/refuse/a.png', destinationPath: `/${'x'.repeat(256)}` }, 400, 'INVALID_FOLDER_PATH'],
    [{ sourceFilePath: '/refuse/none.png', destinationPath: '/new-folder' }, 404, 'SOURCE_FILE_MISSING'],
    [{ sourceFilePath: '/refuse', destinationPath: '/new-folder' }, 404, 'SOURCE_FILE_MISSING'],
    [{ sourceFilePath: '/refuse/A.png', destinationPath: '/new-folder' }, 404, 'SOURCE_FILE_MISSING'],
    [
      { sourceFilePath: '/refuse/../refuse/a.png', destinationPath: '/new-folder' },
      404,
      'SOURCE_FILE_MISSING',
    ],
  ])('refuse %j with %i %s and change nothing', async (body, status, reason) => {
    if (!(await at('/refuse/a.png'))) await upload('/refuse/a.png')
    const before = await snapshot(tintype)
    for (const request of [copy, move]) {
      const answer = await request(body)
      expect(answer).toMatchObject({ status, body: { reason, message: expect.any(String), help: HELP } })
      if (status === 404) {
        const { sourceFilePath } = body as { sourceFilePath: string }
        expect(answer.body.message).toBe(`No file found with filePath \`${sourceFilePath}\`.`)
      }
    }
    expect(await snapshot(tintype)).toEqual(before)
  })

  it('refuse a flag that is none', async () => {
    await upload('/flag/a.png')
    const body = { sourceFilePath: '/flag/a.png', destinationPath: '/flag/b', includeFileVersions: 'yes' }
    expect(await copy(body)).toMatchObject({ status: 400, body: { reason: 'INVALID_PARAMETER' } })
    expect(await at('/flag/b/a.png')).toBeUndefined()
  })

  it('take paths in either Unicode form', async () => {
    await upload('/form/é.png')
    const sourceFilePath = '/form/é.png'.normalize('NFD')
    expect((await move({ sourceFilePath, destinationPath: '/form/ä'.normalize('NFD') })).status).toBe(204)
    expect(await at('/form/ä/é.png')).toBeDefined()
  })
})

describe('PUT /v1/files/rename', () => {
  it('renames all versions, and the old URLs end', async () => {
    const file = await upload('/rename/old.png')
    await upload('/rename/old.png')
    const before = await versionsOf(file.fileId)
    const answer = await rename({ filePath: '/rename/old.png', newFileName: 'new name.png' })
    expect(answer).toMatchObject({ status: 200, body: {} })
    expect(Object.keys(answer.body)).toEqual([])
    const after = await versionsOf(file.fileId)
    for (const version of after) {
      expect(version).toMatchObject({ name: 'new_name.png', filePath: '/rename/new_name.png' })
      expect((await fetch(version.url)).status).toBe(200)
    }
    for (const { url } of before) expect((await fetch(url)).status).toBe(404)
    const search = new URLSearchParams({ searchQuery: 'name = "new_name.png"' })
    expect((await call(tintype, 'GET', `/v1/files?${search}`)).body).toHaveLength(1)
  })

  it('gives a purge request that completes', async () => {
    const file = await upload('/rename/purged.png')
    expect((await fetch(`${file.url}?tr=w-5`)).headers.get('x-tintype-cache')).toBe('miss')
    const answer = await rename({
      filePath: '/rename/purged.png',
      newFileName: 'renamed.png',
      purgeCache: true,
    })
    expect(answer).toMatchObject({
      status: 200,
      body: { purgeRequestId: expect.stringMatching(/^[0-9a-f]{24}$/) },
    })
    const path = `/v1/files/purge/${answer.body.purgeRequestId}`
    await expect
      .poll(async () => (await call(tintype, 'GET', path)).body, { timeout: 10_000 })
      .toEqual({ status: 'Completed' })
    const renamed = `${tintype.url}/demo/rename/renamed.png?tr=w-5`
    expect((await fetch(renamed)).headers.get('x-tintype-cache')).toBe('miss')
    expect((await fetch(renamed)).headers.get('x-tintype-cache')).toBe('hit')
  })

  it.each<[Record<string, unknown>, number, string, string | undefined]>([
    [{}, 400, 'MISSING_PARAMETER', undefined],
    [{ filePath: '/refuse/b.png' }, 400, 'MISSING_PARAMETER', undefined],
    [{ filePath: '/refuse/b.png', newFileName: '' }, 400, 'MISSING_PARAMETER', undefined],
    [{ filePath: '/refuse/b.png', newFileName: 7 }, 400, 'INVALID_PARAMETER', undefined],
    [{ filePath: '/refuse/b.png', newFileName: '..' }, 400, 'INVALID_PARAMETER', undefined],
    [{ filePath: '/refuse/b.png', newFileName: 'x'.repeat(256) }, 400, 'INVALID_PARAMETER', undefined],
    [
      { filePath: '/refuse/b.png', newFileName: 'c.png', purgeCache: 'yes' },
      400,
      'INVALID_PARAMETER',
      undefined,
    ],
    [
      { filePath: '/refuse/b.png', newFileName: 'b.png' },
      400,
      'SAME_OLD_AND_NEW_NAME',
      'newFileName cannot be the same as its existing name.',
    ],
    [
      { filePath: '/refuse/none.png', newFileName: 'c.png' },
      404,
      'FILE_MISSING',
      'No file found in media library at filePath /refuse/none.png',
    ],
    [
      { filePath: '/refuse/b.png', newFileName: 'taken.png' },
      409,
      'FILE_ALREADY_EXISTS',
      'File with name taken.png already exists at the same location.',
    ],
  ])('refuses %j with %i %s and changes nothing', async (body, status, reason, message) => {
    if (!(await at('/refuse/b.png'))) await upload('/refuse/b.png')
    if (!(await at('/refuse/taken.png'))) await upload('/refuse/taken.png')
    const before = await snapshot(tintype)
    const answer = await rename(body)
    expect(answer).toMatchObject({
      status,
      body: { reason, help: HELP, message: message ?? expect.any(String) },
    })
    if (status === 409) expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(await snapshot(tintype)).toEqual(before)
  })

  it('lets one of many with the same new name win', async () => {
    for (let i = 0; i < 6; i += 1) await upload(`/contest/${i}.png`)
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, i) =>
        rename({ filePath: `/contest/${i}.png`, newFileName: 'winner.png' }),
      ),
    )
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409, 409, 409, 409, 409])
  })
})

it('needs a key that may write', async () => {
  for (const [method, path] of [
    ['POST', '/v1/files/copy'],
    ['POST', '/v1/files/move'],
    ['PUT', '/v1/files/rename'],
  ] as const) {
    expect((await call(tintype, method, path, {}, null)).status).toBe(401)
  }
})

describe('with a limit of purges', () => {
  let limited: TestTintype
  beforeAll(async () => {
    limited = await startTintype({ env: { TINTYPE_PURGE_MAX_PER_MONTH: '1' } })
  })
  afterAll(() => limited.stop())

  it('renames all the same when the purges of the month are used up', async () => {
    await put(limited, '/a.png', png())
    const first = { filePath: '/a.png', newFileName: 'b.png', purgeCache: true }
    expect((await call(limited, 'PUT', '/v1/files/rename', first)).status).toBe(200)
    const second = { filePath: '/b.png', newFileName: 'c.png', purgeCache: true }
    expect(await call(limited, 'PUT', '/v1/files/rename', second)).toMatchObject({
      status: 207,
      body: {
        reason: 'PURGE_FAILED',
        message:
          'File renamed successfully but we could not purge the CDN cache for old URL because of rate limits on purge API.',
        help: HELP,
      },
    })
    expect((await fetch(`${limited.url}/demo/c.png`)).status).toBe(200)
    expect((await fetch(`${limited.url}/demo/b.png`)).status).toBe(404)
  })
})
