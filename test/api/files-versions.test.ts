import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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
const upload = (path: string, fields?: Record<string, string>) => {
  seed += 1
  return put(tintype, path, png(8 + seed, 8, seed), fields)
}
const request = (method: string, fileId: string, versionId = '', action = '') =>
  call(tintype, method, `/v1/files/${fileId}/versions${versionId && `/${versionId}`}${action}`)
const restore = (fileId: string, versionId: string) => request('PUT', fileId, versionId, '/restore')
const details = async (fileId: string) => (await call(tintype, 'GET', `/v1/files/${fileId}/details`)).body

/** A file with as many versions, oldest first. */
async function history(path: string, count: number) {
  const versions = []
  for (let i = 0; i < count; i += 1) versions.push(await upload(path, { tags: `v${i + 1}` }))
  return { fileId: versions[0].fileId as string, versions, ids: versions.map((v) => v.versionInfo.id) }
}

describe('versions of a file', () => {
  it('are listed with the current one first', async () => {
    const { fileId, ids } = await history('/list/a.png', 3)
    const { status, body } = await request('GET', fileId)
    expect(status).toBe(200)
    expect(body.map((v: Record<string, unknown>) => [v.type, v.versionInfo, v.fileId, v.tags])).toEqual([
      ['file', { id: ids[2], name: 'Version 3' }, fileId, ['v3']],
      ['file-version', { id: ids[1], name: 'Version 2' }, fileId, ['v2']],
      ['file-version', { id: ids[0], name: 'Version 1' }, fileId, ['v1']],
    ])
    expect(body[0].url).not.toContain('ik-obj-version')
    expect(body[1].url).toMatch(/\?ik-obj-version=[A-Za-z0-9_-]{32}&updatedAt=\d+$/)
    expect(body[0]).toEqual(await details(fileId))
  })

  it('are told one by one', async () => {
    const { fileId, ids } = await history('/one/a.png', 2)
    const listed = (await request('GET', fileId)).body
    expect(await request('GET', fileId, ids[0])).toMatchObject({ status: 200, body: listed[1] })
    expect(await request('GET', fileId, ids[1])).toMatchObject({ status: 200, body: listed[0] })
  })

  it('are deleted one by one, but not the current one', async () => {
    const { fileId, ids } = await history('/delete/a.png', 3)
    const old = (await request('GET', fileId)).body[1]
    expect((await fetch(`${old.url}&tr=w-3`)).status).toBe(200)
    expect(await request('DELETE', fileId, ids[1])).toMatchObject({ status: 204, body: undefined })
    expect((await fetch(old.url)).status).toBe(404)
    expect((await fetch(`${old.url}&tr=w-3`)).status).toBe(404)
    expect(await request('DELETE', fileId, ids[1])).toMatchObject({
      status: 404,
      body: { message: 'The requested asset does not exist.', help: HELP },
    })
    const before = await snapshot(tintype)
    expect(await request('DELETE', fileId, ids[2])).toMatchObject({
      status: 400,
      body: { message: 'You cannot delete current version of a file.', help: HELP },
    })
    expect(await snapshot(tintype)).toEqual(before)
    expect((await request('GET', fileId)).body).toHaveLength(2)
    // The number is not given again.
    expect((await upload('/delete/a.png')).versionInfo.name).toBe('Version 4')
  })

  it('are restored without a new version', async () => {
    const { fileId, ids, versions } = await history('/restore/a.png', 3)
    const answer = await restore(fileId, ids[0])
    expect(answer).toMatchObject({
      status: 200,
      body: {
        type: 'file',
        fileId,
        versionInfo: { id: ids[0], name: 'Version 1' },
        tags: ['v1'],
        width: versions[0].width,
      },
    })
    expect(answer.body.url).not.toContain('ik-obj-version')
    expect(await details(fileId)).toEqual(answer.body)
    expect((await request('GET', fileId)).body.map((v: { versionInfo: object }) => v.versionInfo)).toEqual([
      { id: ids[0], name: 'Version 1' },
      { id: ids[2], name: 'Version 3' },
      { id: ids[1], name: 'Version 2' },
    ])
    const served = Buffer.from(await (await fetch(answer.body.url)).arrayBuffer())
    expect(served.equals(png(versions[0].width, 8, versions[0].width - 8))).toBe(true)
    // The one that was current is reached by its token now.
    const retired = (await request('GET', fileId, ids[2])).body
    expect(retired).toMatchObject({ type: 'file-version', url: expect.stringContaining('ik-obj-version') })
    expect((await fetch(retired.url)).status).toBe(200)
    expect((await upload('/restore/a.png')).versionInfo.name).toBe('Version 4')
  })

  it('stay as they are when the current one is restored', async () => {
    const { fileId, ids } = await history('/same/a.png', 2)
    const before = await snapshot(tintype)
    expect(await restore(fileId, ids[1])).toMatchObject({ status: 200, body: await details(fileId) })
    expect(await snapshot(tintype)).toEqual(before)
  })

  it('a draft that is restored is a draft', async () => {
    const draft = await upload('/draft/a.png', { isPublished: 'false' })
    const shown = await upload('/draft/a.png')
    expect((await fetch(shown.url)).status).toBe(200)
    await restore(draft.fileId, draft.versionInfo.id)
    expect((await fetch(shown.url)).status).toBe(404)
  })

  it('survive restores, deletions and uploads at a time', async () => {
    const { fileId, ids } = await history('/race/a.png', 3)
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, () => upload('/race/a.png').then(() => 200)),
      ...Array.from({ length: 10 }, async (_, i) => (await restore(fileId, ids[i % 2])).status),
      ...Array.from({ length: 5 }, async () => (await request('DELETE', fileId, ids[2])).status),
    ])
    for (const status of answers) expect([200, 204, 400, 404]).toContain(status)
    const left = (await request('GET', fileId)).body
    const current = left.filter((v: { type: string }) => v.type === 'file')
    expect(current).toHaveLength(1)
    expect(await details(fileId)).toEqual(current[0])
    const names = new Set(left.map((v: { versionInfo: { name: string } }) => v.versionInfo.name))
    for (const n of [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]) expect(names).toContain(`Version ${n}`)
    expect(left.length).toBe(names.has('Version 3') ? 13 : 12)
  })

  const FILE = 'The requested file does not exist.'
  const VERSION = 'The requested file version does not exist.'
  it.each<[string, string, string, string, number, string]>([
    ['GET', UNKNOWN, '', '', 404, FILE],
    ['GET', 'nope', '', '', 400, 'Your request contains invalid fileId parameter.'],
    ['GET', 'FILE', UNKNOWN, '', 404, VERSION],
    ['GET', UNKNOWN, 'VERSION', '', 404, VERSION],
    ['GET', 'FILE', 'nope', '', 400, 'Your request contains invalid versionId parameter.'],
    ['GET', 'nope', UNKNOWN, '', 400, 'Your request contains invalid fileId parameter.'],
    ['DELETE', 'FILE', UNKNOWN, '', 404, 'The requested asset does not exist.'],
    ['DELETE', UNKNOWN, 'VERSION', '', 404, 'The requested asset does not exist.'],
    ['DELETE', 'OTHER', 'VERSION', '', 404, 'The requested asset does not exist.'],
    ['DELETE', 'FILE', 'nope', '', 400, 'Your request contains invalid versionId parameter.'],
    ['PUT', 'FILE', UNKNOWN, '/restore', 404, VERSION],
    ['PUT', 'OTHER', 'VERSION', '/restore', 404, VERSION],
    ['PUT', UNKNOWN, 'VERSION', '/restore', 404, FILE],
    ['PUT', 'FILE', 'nope', '/restore', 400, 'Your request contains invalid versionId parameter.'],
    ['PUT', 'nope', UNKNOWN, '/restore', 400, 'Your request contains invalid fileId parameter.'],
  ])('%s %s %s%s: %i', async (method, fileId, versionId, action, status, message) => {
    const file = await history(`/errors/${method}-${fileId}-${versionId}.png`, 2)
    const other = await upload(`/errors/other-${method}-${fileId}-${versionId}.png`)
    const names: Record<string, string> = { FILE: file.fileId, OTHER: other.fileId, VERSION: file.ids[0] }
    const before = await snapshot(tintype)
    const answer = await request(method, names[fileId] ?? fileId, names[versionId] ?? versionId, action)
    expect(answer).toMatchObject({ status, body: { message, help: HELP } })
    expect(await snapshot(tintype)).toEqual(before)
  })

  it('need a key', async () => {
    const { fileId, ids } = await history('/key/a.png', 2)
    const path = `/v1/files/${fileId}/versions`
    for (const [method, target] of [
      ['GET', path],
      ['GET', `${path}/${ids[0]}`],
      ['DELETE', `${path}/${ids[0]}`],
      ['PUT', `${path}/${ids[0]}/restore`],
    ] as const) {
      expect((await call(tintype, method, target, undefined, null)).status).toBe(401)
    }
    expect((await request('GET', fileId)).body).toHaveLength(2)
  })
})
