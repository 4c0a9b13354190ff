import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { type Service, startService } from '../support/providers/service.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
let receiver: Service
/** Names of files by their ids. */
let names: Map<string, string>

beforeEach(async () => {
  receiver = await startService(() => ({ status: 200 }))
  tintype = await startTintype()
  names = new Map()
})
afterEach(async () => {
  await tintype.stop()
  await receiver.close()
})

const file = async (path: string) => {
  const { fileId } = await put(tintype, path, png(1, 1))
  names.set(fileId, path)
}
const bulk = async (action: string, body: object) => {
  const { jobId } = (await call(tintype, 'POST', `/v1/bulkJobs/${action}`, body)).body
  await expect
    .poll(async () => (await call(tintype, 'GET', `/v1/bulkJobs/${jobId}`)).body.status)
    .toBe('Completed')
}
/** `type first path path now`, sorted: events of different files know no order. */
const told = async (count: number) => {
  await expect.poll(() => receiver.requests.length, { timeout: 10_000 }).toBe(count)
  return receiver.requests
    .map((request) => JSON.parse(request.body.toString('utf8')))
    .map(({ type, data }) => `${type} ${names.get(data.fileId) ?? '-'} ${data.filePath ?? '-'}`)
    .sort()
}

describe('events of folders', () => {
  beforeEach(async () => {
    await file('/a/one.png')
    await file('/a/in/two.png')
    await file('/b/a/one.png')
    await call(tintype, 'POST', '/v1/webhooks', { url: receiver.url })
  })

  it('name each file that a copy makes or gives a version', async () => {
    await bulk('copyFolder', { sourceFolderPath: '/a', destinationPath: '/b' })
    expect(await told(2)).toEqual([
      'file-version.created /b/a/one.png /b/a/one.png',
      'file.created - /b/a/in/two.png',
    ])
  })

  it('name each file that a merge moves, also with its folder', async () => {
    await bulk('moveFolder', { sourceFolderPath: '/a', destinationPath: '/b' })
    expect(await told(3)).toEqual([
      'file-version.created /b/a/one.png /b/a/one.png',
      'file.deleted /a/one.png -',
      'file.updated /a/in/two.png /b/a/in/two.png',
    ])
  })

  it('name each file of a folder that is moved as a whole', async () => {
    for (let at = 0; at < 60; at++) await file(`/many/${at}.png`)
    const already = 60
    await bulk('moveFolder', { sourceFolderPath: '/many', destinationPath: '/else' })
    const lines = await told(already + 60)
    expect(
      lines.filter((line) => /^file\.updated \/many\/(\d+)\.png \/else\/many\/\1\.png$/.test(line)),
    ).toHaveLength(60)
  })

  it('name each file of a folder that is renamed or deleted', async () => {
    await bulk('renameFolder', { folderPath: '/a', newFolderName: 'c' })
    expect(await told(2)).toEqual([
      'file.updated /a/in/two.png /c/in/two.png',
      'file.updated /a/one.png /c/one.png',
    ])
    await call(tintype, 'DELETE', '/v1/folder', { folderPath: '/c' })
    expect((await told(4)).slice(0, 2)).toEqual(['file.deleted /a/in/two.png -', 'file.deleted /a/one.png -'])
  })
})
