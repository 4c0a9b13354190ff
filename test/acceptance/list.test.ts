import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

let server: Server
const ids = new Map<string, string>()

beforeAll(async () => {
  server = await startServer()
  const files: [string, Buffer, Record<string, string>][] = [
    ['b.png', png(30, 10), { tags: 'red,green' }],
    ['a.png', png(10, 30), { tags: 'green' }],
    [
      'c.txt',
      Buffer.from(
        'some text that is longer than the pictures are, so that it is the largest file of all of them'.repeat(
          3,
        ),
      ),
      {},
    ],
    ['d.png', png(20, 20), { folder: '/shoes/red', tags: 'blue' }],
    [
      'e.png',
      png(21, 21),
      { folder: '/shoes', isPrivateFile: 'true', description: 'five', customCoordinates: '1,2,3,4' },
    ],
  ]
  for (const [fileName, bytes, fields] of files) {
    const answer = await uploadFile(server, bytes, { fileName, useUniqueFileName: 'false', ...fields })
    expect(answer.status, answer.body.toString()).toBe(200)
    ids.set(fileName, answer.json().fileId)
  }
  await uploadFile(server, png(11, 31), { fileName: 'a.png', useUniqueFileName: 'false', tags: 'green' })
})
afterAll(() => server?.dispose())

const get = (target: string) => send(server, target, { headers: { authorization: basic(server.privateKey) } })
const list = async (query = '') => {
  const answer = await get(`/v1/files?${query}`)
  expect(answer.status, answer.body.toString()).toBe(200)
  return answer.json()
}
const names = async (query = '') => (await list(query)).map((asset: { name: string }) => asset.name)

const details = () => ({
  fileId: ids.get('e.png'),
  type: 'file',
  name: 'e.png',
  filePath: '/shoes/e.png',
  tags: null,
  AITags: null,
  versionInfo: { id: ids.get('e.png'), name: 'Version 1' },
  isPrivateFile: true,
  isPublished: true,
  customCoordinates: '1,2,3,4',
  url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/acceptance\/shoes\/e\.png\?updatedAt=\d{13}$/),
  thumbnail: expect.stringMatching(/\/acceptance\/shoes\/e\.png\?updatedAt=\d{13}&tr=n-ik_ml_thumbnail$/),
  fileType: 'image',
  mime: 'image/png',
  width: 21,
  height: 21,
  size: png(21, 21).length,
  hasAlpha: false,
  customMetadata: {},
  embeddedMetadata: expect.any(Object),
  description: 'five',
  createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  updatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
})

describe('GET /v1/files', () => {
  test('lists the whole library as a bare array, oldest first', async () => {
    expect((await names()).toSorted()).toEqual(['a.png', 'b.png', 'c.txt', 'd.png', 'e.png'])
    expect((await list()).find((asset: { name: string }) => asset.name === 'e.png')).toEqual(details())
  })

  test.each([
    ['path=/', ['a.png', 'b.png', 'c.txt']],
    ['path=/shoes', ['e.png']],
    ['path=/shoes/', ['e.png']],
    ['path=shoes', ['e.png']],
    ['path=/shoes/red', ['d.png']],
    ['path=/nowhere', []],
    ['fileType=image', ['a.png', 'b.png', 'd.png', 'e.png']],
    ['fileType=non-image', ['c.txt']],
    ['fileType=all&path=/', ['a.png', 'b.png', 'c.txt']],
    ['tags=red,blue', ['b.png', 'd.png']],
    ['tags=green', ['a.png', 'b.png']],
    ['name=d.png', ['d.png']],
    ['name=D.png', []],
    ['searchQuery=', ['a.png', 'b.png', 'c.txt', 'd.png', 'e.png']],
  ])('%s', async (query, expected) => {
    expect((await names(query)).toSorted()).toEqual(expected)
  })

  test.each([
    ['ASC_NAME', ['a.png', 'b.png', 'c.txt', 'd.png', 'e.png']],
    ['DESC_NAME', ['e.png', 'd.png', 'c.txt', 'b.png', 'a.png']],
    ['ASC_WIDTH&fileType=image', ['a.png', 'd.png', 'e.png', 'b.png']],
    ['DESC_HEIGHT&fileType=image', ['a.png', 'e.png', 'd.png', 'b.png']],
  ])('sort=%s', async (sort, expected) => {
    expect(await names(`sort=${sort}`)).toEqual(expected)
  })

  test('sorts by size and by time, both ways', async () => {
    expect((await names('sort=DESC_SIZE'))[0]).toBe('c.txt')
    expect((await names('sort=ASC_SIZE')).at(-1)).toBe('c.txt')
    for (const key of ['CREATED', 'UPDATED'] as const) {
      const field = key === 'CREATED' ? 'createdAt' : 'updatedAt'
      const up = (await list(`sort=ASC_${key}`)).map((asset: Record<string, string>) => asset[field])
      expect(up).toEqual(up.toSorted())
      const down = (await list(`sort=DESC_${key}`)).map((asset: Record<string, string>) => asset[field])
      expect(down).toEqual(down.toSorted().reverse())
    }
  })

  test('pages with skip and limit', async () => {
    expect(await names('sort=ASC_NAME&limit=2')).toEqual(['a.png', 'b.png'])
    expect(await names('sort=ASC_NAME&limit=2&skip=2')).toEqual(['c.txt', 'd.png'])
    expect(await names('sort=ASC_NAME&limit=2&skip=4')).toEqual(['e.png'])
    expect(await names('skip=100')).toEqual([])
  })

  test('type=file-version gives the versions that are not current', async () => {
    expect(await list('type=file-version')).toMatchObject([
      {
        type: 'file-version',
        name: 'a.png',
        fileId: ids.get('a.png'),
        width: 10,
        versionInfo: { name: 'Version 1' },
      },
    ])
  })

  test('type=folder and type=all', async () => {
    const folders = await list('type=folder&path=/')
    expect(folders).toEqual([
      {
        type: 'folder',
        folderId: expect.stringMatching(/^[0-9a-f]{24}$/),
        name: 'shoes',
        folderPath: '/shoes',
        customMetadata: {},
        createdAt: expect.stringMatching(/Z$/),
        updatedAt: expect.stringMatching(/Z$/),
      },
    ])
    expect(await names('type=folder&path=/shoes')).toEqual(['red'])
    expect((await names('type=folder')).toSorted()).toEqual(['red', 'shoes'])
    expect((await names('type=all&path=/')).toSorted()).toEqual(['a.png', 'b.png', 'c.txt', 'shoes'])
  })

  test.each([
    ['skip=-1', 'The value of skip parameter should be greater than or equal to 0. Value sent is -1.'],
    ['limit=0', 'Minimum value of limit parameter is 1. Value sent is 0.'],
    ['limit=2000', 'Maximum value of limit parameter is 1000. Value sent is 2000.'],
    ['sort=UP', 'Your request contains invalid value for sort parameters.'],
    ['sort=ASC_COLOR', 'Your request contains invalid value for sort parameters.'],
    [
      'type=video',
      'Your request contains invalid value for type parameter. Please provide one of the following: file, file-version, folder, all.',
    ],
    ['limit=ten', /limit/],
    ['fileType=video', /fileType/],
  ])('%s is a 400', async (query, message) => {
    const answer = await get(`/v1/files?${query}`)
    expect(answer.status).toBe(400)
    if (typeof message === 'string') expect(answer.json().message).toBe(message)
    else expect(answer.json().message).toMatch(message)
  })

  test('needs a key', async () => {
    for (const target of ['/v1/files', `/v1/files/${ids.get('a.png')}/details`]) {
      const none = await send(server, target)
      expect(none.status).toBe(401)
      expect(none.json().message).toBe('Your request does not contain private API key.')
      const wrong = await send(server, target, { headers: { authorization: basic('private_wrong') } })
      expect(wrong.status).toBe(403)
      expect(wrong.json().message).toBe('Your account cannot be authenticated.')
    }
  })

  test('is there with a trailing slash', async () => {
    expect(JSON.parse((await get('/v1/files/?limit=1&sort=ASC_NAME')).body.toString())).toHaveLength(1)
    expect((await get(`/v1/files/${ids.get('a.png')}/details/`)).status).toBe(200)
  })

  test('through both SDKs', async () => {
    const six = await sdk6(server).listFiles({ path: '/shoes', limit: 10, skip: 0 })
    expect(six.map((asset) => asset.name)).toEqual(['e.png'])
    const seven = await sdk7(server).assets.list({ type: 'file', sort: 'DESC_NAME', limit: 2 })
    expect(seven.map((asset) => asset.name)).toEqual(['e.png', 'd.png'])
  })
})

describe('GET /v1/files/{fileId}/details', () => {
  test('gives the file as the list does, through both SDKs', async () => {
    expect((await get(`/v1/files/${ids.get('e.png')}/details`)).json()).toEqual(details())
    expect(await sdk7(server).files.get(ids.get('e.png')!)).toEqual(details())
    expect(await sdk6(server).getFileDetails(ids.get('e.png')!)).toEqual(details())
  })

  test('gives the current version', async () => {
    expect(await sdk7(server).files.get(ids.get('a.png')!)).toMatchObject({
      versionInfo: { name: 'Version 2' },
      width: 11,
    })
  })

  test('of a file without a picture', async () => {
    const answer = (await get(`/v1/files/${ids.get('c.txt')}/details`)).json()
    expect(answer).toMatchObject({ fileType: 'non-image', mime: 'text/plain' })
    expect(answer).not.toHaveProperty('width')
  })

  test('unknown ids', async () => {
    const unknown = await get('/v1/files/598821f949c0a938d57563bd/details')
    expect(unknown.status).toBe(404)
    expect(unknown.json().message).toBe('The requested file does not exist.')
    const garbled = await get('/v1/files/nonsense/details')
    expect(garbled.status).toBe(400)
    expect(garbled.json().message).toBe('Your request contains invalid fileId parameter.')
  })
})
