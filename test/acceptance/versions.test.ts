import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server?.dispose())

const pathOf = (url: string) => url.slice(server.url.length)
const list = async (query: string) =>
  (await send(server, `/v1/files?${query}`, { headers: { authorization: basic(server.privateKey) } })).json()

/** Uploads onto a fixed path. */
async function upload(fileName: string, seed: number, fields: Record<string, string> = {}) {
  const answer = await uploadFile(server, png(5 + seed, 5, seed), {
    fileName,
    useUniqueFileName: 'false',
    ...fields,
  })
  expect(answer.status, answer.body.toString()).toBe(200)
  return answer.json()
}

describe('uploading to a path that is taken', () => {
  test('makes a new version of the same file', async () => {
    const first = await upload('three.png', 1)
    const second = await upload('three.png', 2)
    const third = await upload('three.png', 3)
    expect(first).toMatchObject({ versionInfo: { id: first.fileId, name: 'Version 1' }, width: 6 })
    expect(second).toMatchObject({ fileId: first.fileId, versionInfo: { name: 'Version 2' }, width: 7 })
    expect(third).toMatchObject({ fileId: first.fileId, versionInfo: { name: 'Version 3' }, width: 8 })
    expect(new Set([first, second, third].map((answer) => answer.versionInfo.id)).size).toBe(3)
    expect(third.url).toBe(first.url)
    expect((await send(server, pathOf(third.url))).body.equals(png(8, 5, 3))).toBe(true)
    expect(await sdk7(server).files.get(first.fileId)).toMatchObject({
      type: 'file',
      versionInfo: { id: third.versionInfo.id, name: 'Version 3' },
      width: 8,
    })
  })

  test('leaves old versions readable at their own URL', async () => {
    await upload('old.png', 10, { folder: '/versions' })
    await upload('old.png', 11, { folder: '/versions' })
    const current = await upload('old.png', 12, { folder: '/versions' })
    const old = await list('type=file-version&path=/versions&sort=ASC_CREATED')
    expect(old).toHaveLength(2)
    for (const [at, version] of old.entries()) {
      expect(version).toMatchObject({
        type: 'file-version',
        fileId: current.fileId,
        versionInfo: { name: `Version ${at + 1}` },
        url: expect.stringMatching(/\?ik-obj-version=[A-Za-z0-9_.-]{32}&updatedAt=\d{13}$/),
      })
      const answer = await send(server, pathOf(version.url))
      expect(answer.status).toBe(200)
      expect(answer.body.equals(png(15 + at, 5, 10 + at))).toBe(true)
    }
    expect((await send(server, pathOf(current.url))).body.equals(png(17, 5, 12))).toBe(true)
    const unknown = await send(server, `${pathOf(current.url)}?ik-obj-version=${'x'.repeat(32)}`)
    expect(unknown.status).toBe(404)
  })

  test('counts a version for the same bytes too', async () => {
    await upload('same.png', 1)
    expect(await upload('same.png', 1)).toMatchObject({ versionInfo: { name: 'Version 2' } })
  })

  test('through both SDKs', async () => {
    const six = await sdk6(server).upload({ file: png(9, 9), fileName: 'both.png', useUniqueFileName: false })
    const seven = await sdk7(server).files.upload({
      file: new File([new Uint8Array(png(9, 8))], 'both.png'),
      fileName: 'both.png',
      useUniqueFileName: false,
    })
    expect(seven).toMatchObject({ fileId: six.fileId, versionInfo: { name: 'Version 2' }, height: 8 })
  })

  test('at once: every upload is a version of its own', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, seed) => upload('race.png', seed)))
    expect(new Set(answers.map((answer) => answer.fileId)).size).toBe(1)
    const names = answers.map((answer) => answer.versionInfo.name)
    expect(new Set(names)).toEqual(new Set(Array.from({ length: 12 }, (_, at) => `Version ${at + 1}`)))
    const last = answers.find((answer) => answer.versionInfo.name === 'Version 12')
    expect(await sdk7(server).files.get(last.fileId)).toMatchObject({ width: last.width })
  })

  test('at once with overwriteFile=false: one wins', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 8 }, async (_, seed) => {
        const fields = { fileName: 'once.png', useUniqueFileName: 'false', overwriteFile: 'false' }
        return (await uploadFile(server, png(5, 5, seed), fields)).status
      }),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(statuses.filter((status) => status === 400)).toHaveLength(7)
  })
})

describe('what a new version takes over', () => {
  const full = { tags: 'a,b', customCoordinates: '1,1,2,2' }

  test('nothing by default', async () => {
    await upload('reset.png', 1, { ...full, isPrivateFile: 'true', description: 'first' })
    expect(await upload('reset.png', 2)).toMatchObject({
      tags: null,
      customCoordinates: null,
      isPrivateFile: false,
      AITags: null,
    })
  })

  test('tags with overwriteTags=false, coordinates never', async () => {
    await upload('keep.png', 1, full)
    expect(await upload('keep.png', 2, { overwriteTags: 'false' })).toMatchObject({
      tags: ['a', 'b'],
      customCoordinates: null,
    })
  })

  test('the tags of the request win over overwriteTags=false', async () => {
    await upload('win.png', 1, full)
    expect(await upload('win.png', 2, { tags: 'c', overwriteTags: 'false' })).toMatchObject({ tags: ['c'] })
  })

  test('overwriteAITags and overwriteCustomMetadata are taken on a file without either', async () => {
    await upload('others.png', 1)
    expect(
      await upload('others.png', 2, {
        overwriteAITags: 'false',
        overwriteCustomMetadata: 'false',
        responseFields: 'customMetadata',
      }),
    ).toMatchObject({ AITags: null, customMetadata: {}, versionInfo: { name: 'Version 2' } })
  })
})

describe('the limit of versions', () => {
  test('100, and the next is refused', async () => {
    for (let number = 1; number <= 100; number++) {
      const answer = await upload('hundred.png', number % 50)
      expect(answer.versionInfo.name).toBe(`Version ${number}`)
    }
    const refused = await uploadFile(server, png(), { fileName: 'hundred.png', useUniqueFileName: 'false' })
    expect(refused.status).toBe(400)
    expect(refused.json().message).toMatch(/100 versions/)
    expect(await sdk7(server).files.get((await list('name=hundred.png'))[0].fileId)).toMatchObject({
      versionInfo: { name: 'Version 100' },
    })
  })
})
