import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic, encodeForm, type Part, send, uploadFile, uploadParts } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server?.dispose())

/** Uploads a small picture and gives the answer's body, which has to be a success. */
async function upload(fields: Record<string, string>) {
  const answer = await uploadFile(server, png(), { fileName: 'a.png', ...fields })
  expect(answer.status, answer.body.toString()).toBe(200)
  return answer.json()
}

describe('fileName', () => {
  test.each([
    ['photo.jpg', 'photo.jpg'],
    ['my photo (1).jpg', 'my_photo__1_.jpg'],
    ['a/b\\c.jpg', 'a_b_c.jpg'],
    ['Größe-写真_١٢.png', 'Größe-写真_١٢.png'],
    ['नमस्ते.png', 'नमस्ते.png'],
    ['cafe\u0301.png', 'café.png'],
    ['smile😀.png', 'smile_.png'],
    ['<script>alert(1)</script>', '_script_alert_1___script_'],
    ['..hidden', '..hidden'],
    ['100%.png', '100_.png'],
    ['a+b=c&d?.png', 'a_b_c_d_.png'],
  ])('%j becomes %j', async (fileName, name) => {
    const answer = await upload({ fileName, useUniqueFileName: 'false', folder: '/names' })
    expect(answer).toMatchObject({ name, filePath: `/names/${name}` })
    const url: string = answer.url
    expect(url).toBe(`${server.endpoint}/names/${encodeURIComponent(name)}`)
    expect((await send(server, url.slice(server.url.length))).status).toBe(200)
  })

  test('one name in two Unicode forms is one file', async () => {
    const first = await upload({ fileName: 'e\u0301.png', useUniqueFileName: 'false', folder: '/nf' })
    const second = await upload({ fileName: '\u00e9.png', useUniqueFileName: 'false', folder: '/nf' })
    expect(second.fileId).toBe(first.fileId)
  })

  test('names differ by case', async () => {
    const lower = await upload({ fileName: 'case.png', useUniqueFileName: 'false' })
    const upper = await upload({ fileName: 'CASE.png', useUniqueFileName: 'false' })
    expect(upper.fileId).not.toBe(lower.fileId)
  })
})

describe('useUniqueFileName', () => {
  test('puts nine characters before the extension, by default and when asked', async () => {
    for (const fields of [[], [['useUniqueFileName', 'true']], [['useUniqueFileName', 'undefined']]]) {
      expect((await upload({ fileName: 'image.jpg', ...Object.fromEntries(fields) })).name).toMatch(
        /^image_[A-Za-z0-9_-]{9}\.jpg$/,
      )
    }
    expect((await upload({ fileName: 'archive.tar.gz' })).name).toMatch(/^archive\.tar_.{9}\.gz$/)
    expect((await upload({ fileName: 'README' })).name).toMatch(/^README_.{9}$/)
  })
})

describe('tags', () => {
  const wire: [string, Part[], string[] | null][] = [
    ['a comma list', [{ name: 'tags', value: 't-shirt,round-neck,men' }], ['t-shirt', 'round-neck', 'men']],
    ['a comma list with spaces', [{ name: 'tags', value: ' summer , big sale ' }], ['summer', 'big sale']],
    ['a JSON array', [{ name: 'tags', value: '["t-shirt","a, b"]' }], ['t-shirt', 'a, b']],
    [
      'the field repeated',
      [
        { name: 'tags', value: 'a' },
        { name: 'tags', value: 'b' },
      ],
      ['a', 'b'],
    ],
    [
      'tags[] repeated',
      [
        { name: 'tags[]', value: 'a' },
        { name: 'tags[]', value: 'b' },
      ],
      ['a', 'b'],
    ],
    ['nothing', [], null],
    ['an empty value', [{ name: 'tags', value: '' }], null],
    ['the word undefined', [{ name: 'tags', value: 'undefined' }], null],
    ['the word null', [{ name: 'tags', value: 'null' }], null],
    [
      '500 characters',
      [{ name: 'tags', value: `${'a'.repeat(250)},${'b'.repeat(250)}` }],
      ['a'.repeat(250), 'b'.repeat(250)],
    ],
    ['other scripts', [{ name: 'tags', value: 'Größe,写真' }], ['Größe', '写真']],
  ]
  test.each(wire)('as %s', async (_, parts, tags) => {
    const answer = await uploadParts(server, [
      { name: 'file', value: png(), fileName: 'x.png' },
      { name: 'fileName', value: 'x.png' },
      ...parts,
    ])
    expect(answer.status, answer.body.toString()).toBe(200)
    expect(answer.json().tags).toEqual(tags)
  })
})

describe('folder', () => {
  test.each([
    ['/', '/f1.png'],
    ['', '/f1.png'],
    ['undefined', '/f1.png'],
    ['images/folder', '/images/folder/f1.png'],
    ['/images/folder/', '/images/folder/f1.png'],
    ['//images///folder//', '/images/folder/f1.png'],
    ['/my folder/a.b', '/my_folder/a_b/f1.png'],
    ['/Größe/写真', '/Größe/写真/f1.png'],
  ])('%j gives %j', async (folder, filePath) => {
    const answer = await upload({ folder, fileName: 'f1.png', useUniqueFileName: 'false' })
    expect(answer.filePath).toBe(filePath)
    expect((await send(server, answer.url.slice(server.url.length))).status).toBe(200)
  })

  test('50 levels, made as needed', async () => {
    const folder = Array.from({ length: 50 }, (_, level) => `l${level}`).join('/')
    expect((await upload({ folder, useUniqueFileName: 'false' })).filePath).toBe(`/${folder}/a.png`)
  })
})

describe('flags', () => {
  test('isPrivateFile and isPublished', async () => {
    expect(await upload({ isPrivateFile: 'true' })).toMatchObject({ isPrivateFile: true, isPublished: true })
    expect(await upload({ isPublished: 'false' })).toMatchObject({ isPrivateFile: false, isPublished: false })
    expect(await upload({ isPrivateFile: 'null', isPublished: 'undefined' })).toMatchObject({
      isPrivateFile: false,
      isPublished: true,
    })
  })

  test('customCoordinates and description', async () => {
    expect(await upload({ customCoordinates: '10,10,100,100', description: 'Two shoes' })).toMatchObject({
      customCoordinates: '10,10,100,100',
      description: 'Two shoes',
    })
  })
})

describe('responseFields', () => {
  const onRequest = ['customMetadata', 'embeddedMetadata', 'metadata', 'selectedFieldsSchema']

  test('add their fields and no others', async () => {
    expect(Object.keys(await upload({}))).not.toEqual(
      expect.arrayContaining([expect.stringMatching(onRequest.join('|'))]),
    )
    for (const field of onRequest) {
      const answer = await upload({ responseFields: field })
      expect(onRequest.filter((name) => name in answer)).toEqual([field])
    }
  })

  test.each([
    ['a comma list', 'customMetadata, metadata'],
    ['a JSON array', '["customMetadata","metadata"]'],
  ])('as %s', async (_, responseFields) => {
    const answer = await upload({ responseFields })
    expect(onRequest.filter((name) => name in answer)).toEqual(['customMetadata', 'metadata'])
  })
})

describe('the form', () => {
  test('takes its parts in any order: file first, last, in the middle', async () => {
    const file: Part = { name: 'file', value: png(), fileName: 'x.png' }
    const fields: Part[] = [
      { name: 'fileName', value: 'order.png' },
      { name: 'tags', value: 'a,b' },
    ]
    for (const parts of [
      [file, ...fields],
      [...fields, file],
      [fields[0]!, file, fields[1]!],
    ]) {
      const answer = await uploadParts(server, parts)
      expect(answer.json(), answer.body.toString()).toMatchObject({ tags: ['a', 'b'], fileType: 'image' })
    }
  })

  test('ignores fields that nobody knows, whatever their names', async () => {
    const answer = await uploadParts(server, [
      { name: 'file', value: png(), fileName: 'x.png' },
      { name: 'fileName', value: 'x.png' },
      ...['__proto__', 'constructor', 'hasOwnProperty', 'unknown'].map((name) => ({ name, value: '1' })),
    ])
    expect(answer.status, answer.body.toString()).toBe(200)
    expect(answer.json()).toMatchObject({ fileType: 'image' })
  })

  test.each(['/api/v1/files/upload/', '/api/v2/files/upload/', '/api/v1/files/upload?x=1'])(
    'is taken at %s',
    async (target) => {
      const { body, type } = encodeForm([
        { name: 'file', value: png(), fileName: 'x.png' },
        { name: 'fileName', value: 'slash.png' },
      ])
      const authorization = `Basic ${Buffer.from(`${server.privateKey}:do_not_set`).toString('base64')}`
      const answer = await send(server, target, {
        method: 'POST',
        headers: { 'content-type': type, authorization },
        body,
      })
      expect(answer.status, answer.body.toString()).toBe(200)
    },
  )

  test('is taken with chunked encoding', async () => {
    const { body, type } = encodeForm([
      { name: 'file', value: png(), fileName: 'x.png' },
      { name: 'fileName', value: 'chunked.png' },
    ])
    const answer = await send(server, '/api/v1/files/upload', {
      method: 'POST',
      headers: {
        'content-type': type,
        'transfer-encoding': 'chunked',
        authorization: basic(server.privateKey),
      },
      body,
    })
    expect(answer.json()).toMatchObject({ width: 4, height: 3 })
  })
})

describe('the private key', () => {
  const key = () => server.privateKey
  test.each<[string, () => string]>([
    ['with an empty password', () => `Basic ${Buffer.from(`${key()}:`).toString('base64')}`],
    ['with the password of the SDKs', () => `Basic ${Buffer.from(`${key()}:do_not_set`).toString('base64')}`],
    ['without a colon', () => `Basic ${Buffer.from(key()).toString('base64')}`],
    ['not encoded', () => `Basic ${key()}`],
    ['with a lower-case scheme', () => `basic ${Buffer.from(`${key()}:`).toString('base64')}`],
  ])('is taken %s', async (_, authorization) => {
    for (const version of ['v1', 'v2'] as const) {
      const answer = await uploadFile(
        server,
        png(),
        { fileName: 'k.png' },
        { version, authorization: authorization() },
      )
      expect(answer.status, answer.body.toString()).toBe(200)
    }
  })
})

test('every answer carries its request id, twice', async () => {
  const answers = [
    await uploadFile(server, png(), { fileName: 'id.png' }),
    await uploadFile(server, png(), { fileName: 'id.png' }, { authorization: null }),
    await send(server, '/v1/files'),
    await send(server, '/health'),
    await send(server, '/no/such/thing'),
    await send(server, `/${server.id}/missing.jpg`),
  ]
  const ids = answers.map((answer) => answer.headers['x-ik-requestid'])
  expect(ids.every((id) => typeof id === 'string' && id.length >= 16)).toBe(true)
  expect(new Set(ids).size).toBe(answers.length)
  expect(answers.map((answer) => answer.headers['x-request-id'])).toEqual(ids)
})
