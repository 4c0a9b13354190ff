import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiAnswer, call as callApi, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype({ env: { TINTYPE_UPLOAD_MAX_VERSIONS: '5' } })
})
afterAll(() => tintype?.stop())

const call = (method: string, path: string, body?: unknown) => callApi(tintype, method, path, body)
const create = (parentFolderPath: string, folderName: string) =>
  call('POST', '/v1/folder', { parentFolderPath, folderName })
const upload = (path: string, seed = 0, fields: Record<string, string> = {}) =>
  put(tintype, path, png(4, 4, seed), fields)
const list = async (path: string, type = 'all'): Promise<string[]> => {
  const { body } = await call('GET', `/v1/files?path=${encodeURIComponent(path)}&type=${type}&sort=ASC_NAME`)
  return body.map((asset: { name: string }) => asset.name)
}
const file = async (path: string) => {
  const at = path.lastIndexOf('/')
  const query = `path=${encodeURIComponent(path.slice(0, at) || '/')}&name=${path.slice(at + 1)}`
  return (await call('GET', `/v1/files?${query}`)).body[0]
}
const versions = async (path: string) =>
  (await call('GET', `/v1/files/${(await file(path)).fileId}/versions`)).body

/** Waits for the end of a bulk job and gives its last answer. */
async function finish(begun: ApiAnswer): Promise<ApiAnswer> {
  expect([200, 202], JSON.stringify(begun.body)).toContain(begun.status)
  for (;;) {
    const answer = await call('GET', `/v1/bulkJobs/${begun.body.jobId}`)
    if (answer.body.status !== 'Pending') return answer
    await sleep(5)
  }
}
const copyFolder = (sourceFolderPath: string, destinationPath: string, more = {}) =>
  call('POST', '/v1/bulkJobs/copyFolder', { sourceFolderPath, destinationPath, ...more })
const moveFolder = (sourceFolderPath: string, destinationPath: string) =>
  call('POST', '/v1/bulkJobs/moveFolder', { sourceFolderPath, destinationPath })
const renameFolder = (folderPath: string, newFolderName: string, more = {}) =>
  call('POST', '/v1/bulkJobs/renameFolder', { folderPath, newFolderName, ...more })

describe('POST /v1/folder', () => {
  test('makes the folder with its parents, once', async () => {
    expect(await create('/made/by/request', 'summer')).toMatchObject({ status: 201, body: {} })
    expect(await create('made/by/request/', 'summer')).toMatchObject({ status: 201, body: {} })
    expect(await list('/made')).toStrictEqual(['by'])
    expect(await list('/made/by/request')).toStrictEqual(['summer'])
    const [folder] = (await call('GET', '/v1/files?type=folder&path=/made/by/request')).body
    expect(folder).toMatchObject({ type: 'folder', folderPath: '/made/by/request/summer', name: 'summer' })
  })

  test('cleans names', async () => {
    expect((await create('/clean', 'a b.c/d&Ä日-_')).status).toBe(201)
    expect(await list('/clean')).toStrictEqual(['a_b_c_d_Ä日-_'])
  })

  test.each([
    [{ folderName: 'x' }, 'parentFolderPath parameter is missing.', 'MISSING_PARAMETER'],
    [{ parentFolderPath: '/' }, 'folderName parameter is missing.', 'MISSING_PARAMETER'],
    [{ parentFolderPath: '/', folderName: 7 }, /folderName/, 'INVALID_PARAMETER'],
    [
      { parentFolderPath: '/', folderName: '..' },
      "'.' & '..' can not be used as folder-name",
      'INVALID_FOLDER_PATH',
    ],
    [
      { parentFolderPath: '/a/./b', folderName: 'x' },
      "'.' & '..' can not be used as folder-name",
      'INVALID_FOLDER_PATH',
    ],
    [{ parentFolderPath: '/d'.repeat(50), folderName: 'x' }, /50 levels/, 'INVALID_FOLDER_PATH'],
  ])('refuses %j', async (body, message, reason) => {
    const answer = await call('POST', '/v1/folder', body)
    expect(answer).toMatchObject({
      status: 400,
      body: { message: typeof message === 'string' ? message : expect.stringMatching(message), reason },
    })
    expect(answer.body.help).toBeTypeOf('string')
  })

  test('needs a key that may write', async () => {
    const answer = await callApi(
      tintype,
      'POST',
      '/v1/folder',
      { folderName: 'x', parentFolderPath: '/' },
      null,
    )
    expect(answer.status).toBe(401)
  })
})

describe('DELETE /v1/folder', () => {
  test('deletes everything in it, and nothing else', async () => {
    await upload('/del/a/one.png', 1)
    await upload('/del/a/one.png', 2)
    await upload('/del/a/b/c/two.png', 3)
    await upload('/del/ab/kept.png', 4)
    await create('/del/a', 'empty')
    const gone = await file('/del/a/one.png')
    expect((await call('DELETE', '/v1/folder', { folderPath: '/del/a/' })).status).toBe(204)
    expect(await list('/del')).toStrictEqual(['ab'])
    expect((await call('GET', `/v1/files/${gone.fileId}/details`)).status).toBe(404)
    expect(await list('/del/a/b/c')).toStrictEqual([])
    expect(await list('/del/ab')).toStrictEqual(['kept.png'])
    // The path can be used again, from version 1 on.
    expect(await upload('/del/a/one.png', 1)).toMatchObject({ versionInfo: { name: 'Version 1' } })
  })

  test.each([
    ['/not/here', 404, 'No folder found with folderPath `/not/here`.', 'FOLDER_NOT_FOUND'],
    ['/', 400, 'folderPath cannot be root.', 'SOURCE_IS_ROOT'],
    ['', 400, 'folderPath parameter is missing.', 'MISSING_PARAMETER'],
  ])('refuses %s', async (folderPath, status, message, reason) => {
    expect(await call('DELETE', '/v1/folder', { folderPath })).toMatchObject({
      status,
      body: { message, reason },
    })
  })
})

describe('POST /v1/bulkJobs/moveFolder', () => {
  test('moves the folder with all that is in it', async () => {
    await upload('/mv/src/a.png', 1)
    const second = await upload('/mv/src/a.png', 2)
    await upload('/mv/src/deep/er/b.png', 3)
    await create('/mv/src', 'empty')
    const begun = await moveFolder('/mv/src/', 'mv/dst/new')
    expect(begun).toMatchObject({ status: 200, body: { jobId: expect.stringMatching(/^[0-9a-f]{24}$/) } })
    expect(Object.keys(begun.body)).toStrictEqual(['jobId'])
    expect(await finish(begun)).toMatchObject({
      status: 200,
      body: {
        jobId: begun.body.jobId,
        type: 'MOVE_FOLDER',
        status: 'Completed',
        progress: { done: 2, total: 2 },
      },
    })
    expect(await list('/mv')).toStrictEqual(['dst'])
    expect(await list('/mv/dst/new/src')).toStrictEqual(['a.png', 'deep', 'empty'])
    expect(await list('/mv/dst/new/src/deep/er')).toStrictEqual(['b.png'])
    const moved = await file('/mv/dst/new/src/a.png')
    expect(moved).toMatchObject({
      fileId: second.fileId,
      filePath: '/mv/dst/new/src/a.png',
      versionInfo: { name: 'Version 2' },
    })
    expect(await versions('/mv/dst/new/src/a.png')).toHaveLength(2)
    const delivered = await fetch(moved.url)
    expect(Buffer.from(await delivered.arrayBuffer()).equals(png(4, 4, 2))).toBe(true)
  })

  test('into the root, and merges folders and histories', async () => {
    await upload('/merge/in/m/same.png', 1)
    await upload('/merge/in/m/same.png', 2)
    await upload('/merge/in/m/only.png', 3)
    await upload('/merge/in/m/both/x.png', 4)
    await upload('/merge/in/m/both/y.png', 4)
    await upload('/merge/in/m/alone/z.png', 5)
    await upload('/merge/in/m/both/deep/q.png', 5)
    const target = await upload('/m/same.png', 6)
    await upload('/m/both/x.png', 7)
    await upload('/m/there.png', 8)
    const ended = await finish(await moveFolder('/merge/in/m', '/'))
    expect(ended.body).toMatchObject({ status: 'Completed', progress: { done: 6, total: 6 } })
    expect(await list('/merge/in')).toStrictEqual([])
    expect(await list('/m')).toStrictEqual(['alone', 'both', 'only.png', 'same.png', 'there.png'])
    expect(await list('/m/both')).toStrictEqual(['deep', 'x.png', 'y.png'])
    expect(await list('/m/both/deep')).toStrictEqual(['q.png'])
    expect(await list('/m/alone')).toStrictEqual(['z.png'])
    const history = await versions('/m/same.png')
    expect(history.map((v: { versionInfo: { name: string } }) => v.versionInfo.name)).toStrictEqual([
      'Version 3',
      'Version 2',
      'Version 1',
    ])
    expect(history.every((v: { fileId: string }) => v.fileId === target.fileId)).toBe(true)
    const bytes = []
    for (const version of history) {
      bytes.push(
        Buffer.from(await (await fetch(version.url)).arrayBuffer()).equals(
          png(4, 4, [2, 1, 6][bytes.length]),
        ),
      )
    }
    expect(bytes).toStrictEqual([true, true, true])
  })

  test('refuses to exceed the limit of versions, before anything is moved', async () => {
    for (let n = 0; n < 3; n += 1) {
      await upload('/limit/from/l/f.png', n)
      await upload('/limit/to/l/f.png', n)
    }
    expect(await moveFolder('/limit/from/l', '/limit/to')).toMatchObject({
      status: 400,
      body: { reason: 'VERSION_LIMIT_EXCEEDED', message: expect.stringContaining('/limit/to/l/f.png') },
    })
    expect(await versions('/limit/from/l/f.png')).toHaveLength(3)
    // A copy of the current versions fits.
    expect(await copyFolder('/limit/from/l', '/limit/to', { includeVersions: true })).toMatchObject({
      status: 400,
      body: { reason: 'VERSION_LIMIT_EXCEEDED' },
    })
    await finish(await copyFolder('/limit/from/l', '/limit/to'))
    expect(await versions('/limit/to/l/f.png')).toHaveLength(4)
  })

  test('keeps names that only look alike apart, and counts characters, not code units', async () => {
    for (const folder of ['/like/a', '/like/a-b', '/like/a_', '/like/a0', '/like/𠮷𠮷/deep', '/like/𠮷𠮷x']) {
      await upload(`${folder}/x.png`)
    }
    await finish(await moveFolder('/like/a', '/like/to'))
    await finish(await moveFolder('/like/𠮷𠮷', '/like/to'))
    expect(await list('/like')).toStrictEqual(['a-b', 'a0', 'a_', 'to', '𠮷𠮷x'])
    expect(await list('/like/to')).toStrictEqual(['a', '𠮷𠮷'])
    expect(await list('/like/to/𠮷𠮷/deep')).toStrictEqual(['x.png'])
    expect(await list('/like/𠮷𠮷x')).toStrictEqual(['x.png'])
  })
})

describe('what source and destination can not be', () => {
  beforeAll(async () => {
    await upload('/bad/s/x.png')
    await create('/bad/s', 'child')
    await create('/bad/nest/bad2', 'nest')
  })

  test.each([
    ['moveFolder', '/', '/bad', 'SOURCE_IS_ROOT'],
    ['copyFolder', '/', '/bad', 'SOURCE_IS_ROOT'],
    ['moveFolder', '/bad/s', '/bad/s', 'SAME_SOURCE_AND_DESTINATION'],
    ['copyFolder', '/bad/s', '/bad/s/', 'SAME_SOURCE_AND_DESTINATION'],
    ['moveFolder', '/bad/s', '/bad', 'SAME_SOURCE_AND_DESTINATION'],
    ['moveFolder', '/bad/s', '/bad/s/child', 'INVALID_DESTINATION_PATH'],
    ['moveFolder', '/bad/s', '/bad/s/child/not/yet', 'INVALID_DESTINATION_PATH'],
    ['copyFolder', '/bad/s', '/bad/s/child', 'INVALID_FOLDER_PATH'],
    ['moveFolder', '/bad/nest/bad2/nest', '/bad', 'INVALID_DESTINATION_PATH'],
    ['copyFolder', '/bad/nest/bad2/nest', '/bad', 'INVALID_FOLDER_PATH'],
    ['moveFolder', '/bad/s', '/bad/../x', 'INVALID_FOLDER_PATH'],
    ['moveFolder', '/bad/s', '/d'.repeat(50), 'INVALID_FOLDER_PATH'],
    ['moveFolder', '/bad/s', '/d'.repeat(49), 'INVALID_FOLDER_PATH'],
    ['moveFolder', undefined, '/bad', 'MISSING_PARAMETER'],
    ['copyFolder', '/bad/s', undefined, 'MISSING_PARAMETER'],
    ['copyFolder', '/bad/s', ['/x'], 'INVALID_PARAMETER'],
  ])('%s from %s to %s: %s', async (method, sourceFolderPath, destinationPath, reason) => {
    const answer = await call('POST', `/v1/bulkJobs/${method}`, { sourceFolderPath, destinationPath })
    expect(answer).toMatchObject({ status: 400, body: { reason } })
    expect(await list('/bad/s')).toStrictEqual(['child', 'x.png'])
  })

  test.each(['moveFolder', 'copyFolder'])('%s of what is not there', async (method) => {
    const body = { sourceFolderPath: '/bad/none/', destinationPath: '/bad/to' }
    expect(await call('POST', `/v1/bulkJobs/${method}`, body)).toMatchObject({
      status: 404,
      body: {
        message: 'No files & folder found at sourceFolderPath `/bad/none/`.',
        reason: 'NO_FILES_FOLDER',
      },
    })
    expect(await list('/bad')).not.toContain('to')
  })

  test('messages of the contract', async () => {
    expect((await moveFolder('/bad/s', '/bad/s')).body.message).toBe(
      'sourceFolderPath and destinationPath is same',
    )
    expect((await moveFolder('/bad/s', '/bad/s/child')).body.message).toBe(
      'This operation is not allowed because parent folder cannot be moved into child folder.',
    )
  })
})

describe('POST /v1/bulkJobs/copyFolder', () => {
  test('copies the current versions, as files of their own', async () => {
    await upload('/cp/src/a.png', 1)
    const original = await upload('/cp/src/a.png', 2, { tags: 'x,y', isPrivateFile: 'true' })
    await upload('/cp/src/d/b.png', 3)
    await create('/cp/src/d', 'empty')
    const ended = await finish(await copyFolder('/cp/src', '/cp/to'))
    expect(ended.body).toMatchObject({
      type: 'COPY_FOLDER',
      status: 'Completed',
      progress: { done: 2, total: 2 },
    })
    expect(await list('/cp/src')).toStrictEqual(['a.png', 'd'])
    expect(await list('/cp/to/src')).toStrictEqual(['a.png', 'd'])
    expect(await list('/cp/to/src/d')).toStrictEqual(['b.png', 'empty'])
    const copied = await file('/cp/to/src/a.png')
    expect(copied).toMatchObject({
      tags: ['x', 'y'],
      isPrivateFile: true,
      versionInfo: { name: 'Version 1', id: copied.fileId },
    })
    expect(copied.fileId).not.toBe(original.fileId)
    expect(await versions('/cp/to/src/a.png')).toHaveLength(1)
    // Again: the copies become versions of the copies.
    await finish(await copyFolder('/cp/src', '/cp/to'))
    expect(await file('/cp/to/src/a.png')).toMatchObject({
      fileId: copied.fileId,
      versionInfo: { name: 'Version 2' },
    })
  })

  test.each(['includeVersions', 'includeFileVersions'])('copies all versions with %s', async (flag) => {
    const from = `/all-${flag}`
    for (let n = 1; n <= 3; n += 1) await upload(`${from}/v.png`, n)
    const [, second] = await versions(`${from}/v.png`)
    await call('PUT', `/v1/files/${second.fileId}/versions/${second.versionInfo.id}/restore`)
    await finish(await copyFolder(from, '/all-to', { [flag]: true }))
    const history = await versions(`/all-to${from}/v.png`)
    expect(history).toHaveLength(3)
    expect(history[0]).toMatchObject({ type: 'file', versionInfo: { name: 'Version 2' } })
    const bytes = Buffer.from(await (await fetch(history[0].url)).arrayBuffer())
    expect(bytes.equals(png(4, 4, 2))).toBe(true)
  })

  test('copies an empty folder', async () => {
    await create('/void', 'nothing')
    await finish(await copyFolder('/void/nothing', '/void/to'))
    expect(await list('/void/to')).toStrictEqual(['nothing'])
  })
})

describe('POST /v1/bulkJobs/renameFolder', () => {
  test('renames in place', async () => {
    const { fileId } = await upload('/rn/old name/deep/a.png', 1)
    const begun = await renameFolder('/rn/old_name/', 'new name!')
    expect(begun.status).toBe(202)
    expect(await finish(begun)).toMatchObject({
      status: 200,
      body: { type: 'RENAME_FOLDER', status: 'Completed', progress: { done: 1, total: 1 } },
    })
    expect(await list('/rn')).toStrictEqual(['new_name_'])
    expect(await file('/rn/new_name_/deep/a.png')).toMatchObject({ fileId })
    const search = encodeURIComponent('name : "new_name" AND type = "folder"')
    const found = (await call('GET', `/v1/files?searchQuery=${search}`)).body
    if (Array.isArray(found)) expect(found.length).toBeGreaterThan(0)
  })

  test('purges what is kept of the files when asked to', async () => {
    await upload('/rp/some-longer-folder/a.png', 1)
    const ended = await finish(await renameFolder('/rp/some-longer-folder', 'other', { purgeCache: true }))
    const { purgeRequestId } = ended.body
    expect(ended).toMatchObject({ status: 200, body: { status: 'Completed' } })
    expect(purgeRequestId).toMatch(/^[0-9a-f]{24}$/)
    for (let n = 0; n < 500; n += 1) {
      const { body } = await call('GET', `/v1/files/purge/${purgeRequestId}`)
      if (body.status === 'Completed') return
      expect(body.status).toBe('Pending')
      await sleep(10)
    }
    expect.unreachable()
  })

  test('says so when it was renamed but could not be purged', async () => {
    const limited = await startTintype({ env: { TINTYPE_PURGE_MAX_PER_MONTH: '1' } })
    try {
      for (const name of ['one', 'two']) await put(limited, `/${name}/a.png`, png())
      const outcomes = []
      for (const name of ['one', 'two']) {
        const rename = { folderPath: `/${name}`, newFolderName: `new-${name}`, purgeCache: true }
        const { body } = await callApi(limited, 'POST', '/v1/bulkJobs/renameFolder', rename)
        let answer: ApiAnswer
        do answer = await callApi(limited, 'GET', `/v1/bulkJobs/${body.jobId}`)
        while (answer.body.status === 'Pending')
        outcomes.push(answer)
      }
      expect(outcomes[0]).toMatchObject({ status: 200, body: { status: 'Completed' } })
      expect(outcomes[1]).toMatchObject({
        status: 207,
        body: {
          type: 'RENAME_FOLDER',
          status: 'Partial success',
          message: 'Folder renamed successfully but purging cache on nested files failed.',
          help: expect.any(String),
        },
      })
      expect(outcomes[1]!.body.purgeRequestId).toBeUndefined()
      expect((await callApi(limited, 'GET', '/v1/files?path=/new-two')).body).toHaveLength(1)
    } finally {
      await limited.stop()
    }
  })

  test.each([
    [{ newFolderName: 'x' }, 400, 'folderPath parameter is missing.'],
    [{ folderPath: '/', newFolderName: 'x' }, 400, 'folderPath cannot be root.'],
    [{ folderPath: '/rn-err/a' }, 400, 'newFolderName parameter is missing.'],
    [{ folderPath: '/rn-err/none', newFolderName: 'x' }, 404, 'Source folder not found.'],
    [
      { folderPath: '/rn-err/a', newFolderName: 'b' },
      409,
      'Folder with name b already exists at the same location.',
    ],
    [
      { folderPath: '/rn-err/a', newFolderName: 'a' },
      409,
      'Folder with name a already exists at the same location.',
    ],
    [{ folderPath: '/rn-err/a', newFolderName: '..' }, 400, "'.' & '..' can not be used as folder-name"],
  ])('refuses %j', async (body, status, message) => {
    await create('/rn-err', 'a')
    await create('/rn-err', 'b')
    expect(await call('POST', '/v1/bulkJobs/renameFolder', body)).toMatchObject({ status, body: { message } })
  })
})

describe('GET /v1/bulkJobs/{jobId}', () => {
  test.each(['5d5b1a9b4c8c4c0001f3e4a2', 'nonsense', '..%2fx'])('knows nothing of %s', async (id) => {
    expect(await call('GET', `/v1/bulkJobs/${id}`)).toMatchObject({
      status: 404,
      body: { message: 'The requested job does not exist.' },
    })
  })

  test('does not show jobs that are not on folders', async () => {
    const id = 'f'.repeat(24)
    await tintype.store.jobs.enqueue({ id, kind: 'other.kind', payload: {}, createdAtMs: Date.now() })
    expect((await call('GET', `/v1/bulkJobs/${id}`)).status).toBe(404)
  })
})

describe('delivery', () => {
  test('follows a folder that is moved, renamed and deleted, at once', async () => {
    await upload('/seen/one/a.png', 9)
    const urlOf = (path: string) => `${tintype.url}/demo${path}`
    const statuses = async (...paths: string[]) => {
      const seen = []
      // Twice: the second answer may come from a memory of the first.
      for (const path of [...paths, ...paths]) {
        for (const query of ['', '?tr=w-2']) {
          const answer = await fetch(urlOf(path) + query)
          await answer.arrayBuffer()
          seen.push(answer.status)
        }
      }
      return [...new Set(seen)]
    }
    expect(await statuses('/seen/one/a.png')).toStrictEqual([200])
    expect(await statuses('/seen/to/one/a.png')).toStrictEqual([404])
    await finish(await moveFolder('/seen/one', '/seen/to'))
    expect(await statuses('/seen/one/a.png')).toStrictEqual([404])
    expect(await statuses('/seen/to/one/a.png')).toStrictEqual([200])
    await finish(await renameFolder('/seen/to', 'new'))
    expect(await statuses('/seen/to/one/a.png')).toStrictEqual([404])
    expect(await statuses('/seen/new/one/a.png')).toStrictEqual([200])
    await call('DELETE', '/v1/folder', { folderPath: '/seen/new' })
    expect(await statuses('/seen/new/one/a.png')).toStrictEqual([404])
  })
})

describe('while a bulk job holds a folder', () => {
  const jobId = 'e'.repeat(24)
  beforeAll(async () => {
    await upload('/held/src/a.png', 1)
    await upload('/held/src/deep/b.png', 1)
    await upload('/held/free/c.png', 1)
    await upload('/held/src-not/d.png', 1)
    // A job of a kind that nobody runs holds its folders until it is finished.
    await tintype.store.transaction(async (tx) => {
      await tx.jobs.enqueue({ id: jobId, kind: 'held', payload: {}, createdAtMs: Date.now() })
      await tx.folderTrees.hold(jobId, ['/held/src', '/held/to/src'])
    })
  })

  const SOURCE = 'A bulk job is running on given folder path, please try after sometime.'
  const DESTINATION = 'Destination folder path is already locked. Please try after sometime.'
  const bulk = (method: string, sourceFolderPath: string, destinationPath: string) =>
    call('POST', `/v1/bulkJobs/${method}`, { sourceFolderPath, destinationPath })

  test.each<[string, () => Promise<ApiAnswer>, string]>([
    ['creating a folder in it', () => create('/held/src/deep', 'new'), SOURCE],
    ['creating its destination', () => create('/held/to', 'src'), SOURCE],
    ['moving it', () => bulk('moveFolder', '/held/src', '/held/else'), SOURCE],
    ['copying it', () => bulk('copyFolder', '/held/src', '/held/else'), SOURCE],
    ['renaming it', () => renameFolder('/held/src', 'other'), SOURCE],
    ['renaming a folder in it', () => renameFolder('/held/src/deep', 'other'), SOURCE],
    ['renaming a folder above it', () => renameFolder('/held', 'other'), SOURCE],
    ['moving a folder in it', () => bulk('moveFolder', '/held/src/deep', '/held/else'), SOURCE],
    ['moving a folder above it', () => bulk('moveFolder', '/held', '/else'), SOURCE],
    ['moving into it', () => bulk('moveFolder', '/held/free', '/held/src/deep'), DESTINATION],
    ['copying into it', () => bulk('copyFolder', '/held/free', '/held/to/src'), DESTINATION],
    ['deleting it', () => call('DELETE', '/v1/folder', { folderPath: '/held/src' }), SOURCE],
    ['deleting a folder above it', () => call('DELETE', '/v1/folder', { folderPath: '/held' }), SOURCE],
    [
      'moving a file into it',
      () =>
        call('POST', '/v1/files/move', { sourceFilePath: '/held/free/c.png', destinationPath: '/held/src' }),
      SOURCE,
    ],
    [
      'copying a file out of it',
      () =>
        call('POST', '/v1/files/copy', { sourceFilePath: '/held/src/a.png', destinationPath: '/held/free' }),
      SOURCE,
    ],
    [
      'renaming a file in it',
      () => call('PUT', '/v1/files/rename', { filePath: '/held/src/a.png', newFileName: 'z.png' }),
      SOURCE,
    ],
  ])('%s is refused', async (_, request, message) => {
    const answer = await request()
    expect(answer).toMatchObject({ status: 423, body: { message } })
    expect(answer.body.help).toBeTypeOf('string')
  })

  test('uploads into it are refused, those beside it are not', async () => {
    for (const path of [
      '/held/src/new.png',
      '/held/src/a.png',
      '/held/src/x/y/new.png',
      '/held/to/src/new.png',
    ]) {
      await expect(upload(path), path).rejects.toThrow(`423 {"message":"${SOURCE}"`)
    }
    for (const path of ['/held/new.png', '/held/to/new.png', '/held/src-not/new.png', '/held/free/c.png']) {
      await upload(path)
    }
    expect(await list('/held/src')).toStrictEqual(['a.png', 'deep'])
  })

  test('reading goes on', async () => {
    expect(await file('/held/src/a.png')).toBeDefined()
    expect((await fetch((await file('/held/src/a.png')).url)).status).toBe(200)
  })

  test('until the job is finished', async () => {
    await tintype.store.jobs.claim({ kind: 'held', limit: 1, nowMs: Date.now(), leaseToken: 't' })
    await expect(upload('/held/src/new.png')).rejects.toThrow('423')
    await tintype.store.jobs.bury({ id: jobId, leaseToken: 't' }, { nowMs: Date.now(), error: 'x' })
    await upload('/held/src/new.png')
    expect((await create('/held/to', 'src')).status).toBe(201)
  })
})

describe('limits', () => {
  let small: TestTintype
  beforeAll(async () => {
    small = await startTintype({ env: { TINTYPE_FOLDERS_MAX_OBJECTS: '5' } })
    for (let n = 0; n < 3; n += 1) await put(small, '/few/a.png', png(4, 4, n))
    await put(small, '/few/b.png', png())
    await put(small, '/few/in/c.png', png())
  })
  afterAll(() => small?.stop())

  test('folders, files and versions count', async () => {
    const message =
      'Total nested assets (files, folders and file versions) are more than allowed limit of 5 items.'
    const refusal = { status: 400, body: { message, reason: 'TOO_MANY_OBJECTS' } }
    const transfer = { sourceFolderPath: '/few', destinationPath: '/to' }
    expect(await callApi(small, 'DELETE', '/v1/folder', { folderPath: '/few' })).toMatchObject(refusal)
    expect(await callApi(small, 'POST', '/v1/bulkJobs/copyFolder', transfer)).toMatchObject(refusal)
    expect(await callApi(small, 'POST', '/v1/bulkJobs/moveFolder', transfer)).toMatchObject(refusal)
    const rename = { folderPath: '/few', newFolderName: 'x' }
    expect(await callApi(small, 'POST', '/v1/bulkJobs/renameFolder', rename)).toMatchObject(refusal)
    expect((await callApi(small, 'DELETE', '/v1/folder', { folderPath: '/few/in' })).status).toBe(204)
  })
})
