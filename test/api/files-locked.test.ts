import { afterAll, beforeAll, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { snapshot } from '../support/snapshot.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
const JOB = 'aaaaaaaaaaaaaaaaaaaaaaaa'
const LOCKED = 'A bulk job is running on given folder path, please try after sometime.'
const files: Record<string, { fileId: string; versionInfo: { id: string }; url: string }> = {}

beforeAll(async () => {
  tintype = await startTintype()
  for (const path of ['/held/a.png', '/held/deep/b.png', '/free/c.png']) {
    files[path] = await put(tintype, path, png(8, 8, 1))
    await put(tintype, path, png(8, 8, 2))
  }
  // A job that nobody runs, so that it holds the folder for as long as the test wants.
  await tintype.store.transaction(async (tx) => {
    await tx.folderTrees.freeze()
    await tx.jobs.enqueue({ id: JOB, kind: 'test.holder', payload: {}, createdAtMs: Date.now() })
    await tx.folderTrees.hold(JOB, ['/held'])
  })
})
afterAll(() => tintype.stop())

const of = (path: string) => files[path]!

it.each<[string, () => [method: string, path: string, body?: unknown]]>([
  ['an update', () => ['PATCH', `/v1/files/${of('/held/a.png').fileId}/details`, { tags: ['x'] }]],
  [
    'an update far below',
    () => ['PATCH', `/v1/files/${of('/held/deep/b.png').fileId}/details`, { tags: ['x'] }],
  ],
  ['a deletion', () => ['DELETE', `/v1/files/${of('/held/a.png').fileId}`]],
  [
    'a bulk deletion, as a whole',
    () => [
      'POST',
      '/v1/files/batch/deleteByFileIds',
      { fileIds: [of('/free/c.png').fileId, of('/held/a.png').fileId] },
    ],
  ],
  [
    'tags in bulk, as a whole',
    () => [
      'POST',
      '/v1/files/addTags',
      { fileIds: [of('/free/c.png').fileId, of('/held/a.png').fileId], tags: ['x'] },
    ],
  ],
  [
    'a copy out of it',
    () => ['POST', '/v1/files/copy', { sourceFilePath: '/held/a.png', destinationPath: '/free' }],
  ],
  [
    'a copy into it',
    () => ['POST', '/v1/files/copy', { sourceFilePath: '/free/c.png', destinationPath: '/held/deep/new' }],
  ],
  [
    'a move out of it',
    () => ['POST', '/v1/files/move', { sourceFilePath: '/held/a.png', destinationPath: '/free' }],
  ],
  [
    'a move into it',
    () => ['POST', '/v1/files/move', { sourceFilePath: '/free/c.png', destinationPath: '/held' }],
  ],
  ['a new name', () => ['PUT', '/v1/files/rename', { filePath: '/held/a.png', newFileName: 'z.png' }]],
  [
    'a restore',
    () => {
      const { fileId, versionInfo } = of('/held/a.png')
      return ['PUT', `/v1/files/${fileId}/versions/${versionInfo.id}/restore`]
    },
  ],
  [
    'the deletion of a version',
    () => {
      const { fileId, versionInfo } = of('/held/a.png')
      return ['DELETE', `/v1/files/${fileId}/versions/${versionInfo.id}`]
    },
  ],
])('a folder that a bulk job holds refuses %s', async (_, request) => {
  const before = await snapshot(tintype)
  const [method, path, body] = request()
  expect(await call(tintype, method, path, body)).toMatchObject({ status: 423, body: { message: LOCKED } })
  expect(await snapshot(tintype)).toEqual(before)
})

it('is read and delivered meanwhile, and other folders go on', async () => {
  const { fileId, url } = of('/held/a.png')
  expect((await call(tintype, 'GET', `/v1/files/${fileId}/versions`)).body).toHaveLength(2)
  expect((await call(tintype, 'GET', `/v1/files/${fileId}/metadata`)).status).toBe(200)
  expect((await fetch(`${url}?tr=w-4`)).status).toBe(200)
  const free = of('/free/c.png').fileId
  expect((await call(tintype, 'PATCH', `/v1/files/${free}/details`, { tags: ['y'] })).status).toBe(200)
})
