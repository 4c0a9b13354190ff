import { request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import ImageKit7 from '@imagekit/nodejs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Answer,
  basic,
  encodeForm,
  type Part,
  send,
  uploadFile,
  uploadParts,
} from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

const TOO_LARGE = 'Your request contains invalid file parameter. The file size exceeds limits.'
const MISSING_FILE = 'Your request is missing file parameter.'
const LIMIT = 200_000
const VIDEO_LIMIT = 400_000

let server: Server
beforeAll(async () => {
  server = await startServer({
    env: {
      TINTYPE_UPLOAD_MAX_FILE_BYTES: String(LIMIT),
      TINTYPE_UPLOAD_MAX_VIDEO_BYTES: String(VIDEO_LIMIT),
    },
  })
})
afterAll(() => server?.dispose())

async function count(): Promise<number> {
  const answer = await send(server, '/v1/files', { headers: { authorization: basic(server.privateKey) } })
  return answer.json().length
}

/** Sends a form that has to be refused, and checks that nothing came of it. */
async function refused(parts: Part[], status: number, message: string | RegExp, version: 'v1' | 'v2' = 'v1') {
  const before = await count()
  const answer = await uploadParts(server, parts, { version })
  expectError(answer, status, message)
  expect(await count()).toBe(before)
}

function expectError(answer: Answer, status: number, message: string | RegExp) {
  expect(answer.status, answer.body.toString()).toBe(status)
  const body = answer.json()
  if (typeof message === 'string') expect(body.message).toBe(message)
  else expect(body.message).toMatch(message)
  expect(body.help).toMatch(/\S/)
  expect(answer.headers['content-type']).toMatch(/^application\/json/)
  expect(answer.headers['x-ik-requestid']).toMatch(/\S/)
}

const file: Part = { name: 'file', value: png(), fileName: 'x.png' }
const field = (name: string, value: string): Part => ({ name, value })
const fileName = field('fileName', 'x.png')

describe.each(['v1', 'v2'] as const)('%s', (version) => {
  test('without a file', () => refused([fileName], 400, MISSING_FILE, version))

  test('with an empty file', () =>
    refused(
      [{ name: 'file', value: Buffer.alloc(0), fileName: 'x.png' }, fileName],
      400,
      MISSING_FILE,
      version,
    ))

  test('with an empty text as file', () => refused([field('file', ''), fileName], 400, MISSING_FILE, version))

  test('without a name', () => refused([file], 400, /missing fileName parameter/, version))

  test('with an empty name', () => refused([file, field('fileName', '')], 400, /fileName parameter/, version))

  test.each(['.', '..'])('with the name %s', (name) =>
    refused(
      [file, field('fileName', name), field('useUniqueFileName', 'false')],
      400,
      /fileName parameter/,
      version,
    ),
  )

  test('without a key', async () => {
    const answer = await uploadParts(server, [file, fileName], { version, authorization: null })
    if (version === 'v1') expectError(answer, 401, 'Your request does not contain private API key.')
    else expectError(answer, 400, 'Your request is missing token parameter.')
  })

  test.each([
    ['an unknown key', basic('private_wrong')],
    ['the public key', basic('public_acceptance00000000000000000000000')],
  ])('with %s', async (_, authorization) => {
    expectError(
      await uploadParts(server, [file, fileName], { version, authorization }),
      403,
      'Your account cannot be authenticated.',
    )
  })

  test.each(['Bearer abc', 'Basic', 'Basic !!!', `Basic ${Buffer.from(':x').toString('base64')}`])(
    'with the header %s',
    async (authorization) => {
      expectError(
        await uploadParts(server, [file, fileName], { version, authorization }),
        401,
        'Your request does not contain private API key.',
      )
    },
  )

  test('with both kinds of authentication', () =>
    refused(
      [
        file,
        fileName,
        field('token', 'abc'),
        ...(version === 'v1' ? [field('signature', 'a'), field('expire', '1')] : []),
      ],
      400,
      version === 'v1'
        ? 'Your request contains both signature and basic auth parameter. Use only one method, you might be exposing your private API key.'
        : 'Your request contains both token and basic auth parameter. Use only one method, you might be exposing your private API key.',
      version,
    ))

  test('onto a name that is taken', async () => {
    const parts = [
      file,
      field('fileName', `taken-${version}.png`),
      field('useUniqueFileName', 'false'),
      field('overwriteFile', 'false'),
    ]
    expect((await uploadParts(server, parts, { version })).status).toBe(200)
    await refused(
      parts,
      400,
      'A file with the same name already exists at the exact location. We could not overwrite it because both overwriteFile and useUniqueFileName are set to false.',
      version,
    )
  })

  test('overwriteFile=false does not matter where the name is made unique', async () => {
    const parts = [file, field('fileName', 'free.png'), field('overwriteFile', 'false')]
    expect((await uploadParts(server, parts, { version })).status).toBe(200)
    expect((await uploadParts(server, parts, { version })).status).toBe(200)
  })
})

describe('parameters', () => {
  test.each<[string, string, RegExp]>([
    ['isPrivateFile', 'yes', /isPrivateFile/],
    ['isPublished', '1', /isPublished/],
    ['useUniqueFileName', 'maybe', /useUniqueFileName/],
    ['overwriteFile', 'TRUE!', /overwriteFile/],
    ['overwriteTags', 'x', /overwriteTags/],
    ['overwriteAITags', 'x', /overwriteAITags/],
    ['overwriteCustomMetadata', 'x', /overwriteCustomMetadata/],
    ['tags', 'ten%off', /tags/],
    ['tags', 'a'.repeat(501), /Combined length of all tags should be less than or equal to 500/],
    ['tags', '[1,2]', /tags/],
    ['tags', '["a"', /tags/],
    ['customCoordinates', '10,10,100', /customCoordinates/],
    ['customCoordinates', '10,10,100,abc', /customCoordinates/],
    ['customCoordinates', '-1,0,10,10', /customCoordinates/],
    ['customCoordinates', '0,0,0,10', /customCoordinates/],
    ['responseFields', 'tags,secret', /responseFields/],
    ['customMetadata', 'not json', /customMetadata/],
    ['customMetadata', '[]', /customMetadata/],
    ['customMetadata', '{"nobody":"knows"}', /[Mm]etadata/],
    ['customMetadata', `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`, /customMetadata/],
    ['folder', '/a/../b', /'\.' & '\.\.' can not be used as folder-name/],
    ['folder', '/./b', /'\.' & '\.\.' can not be used as folder-name/],
    ['folder', Array.from({ length: 51 }, () => 'f').join('/'), /folder/],
    ['extensions', '[{"name":"google-auto-tagging","minConfidence":80,"maxTags":5}]', /not set up/],
    ['extensions', '[{"name":"nonsense"}]', /extensions/],
    ['transformation', '{"pre":"w-abc"}', /transformation/],
    ['webhookUrl', 'http://127.0.0.1/hook', /webhookUrl/],
    ['checks', '"file.size" < "1b"', /checks/],
  ])('%s=%s', (name, value, message) => refused([file, fileName, field(name, value)], 400, message))

  test.each(['fileName', 'folder', 'isPrivateFile', 'customMetadata'])('%s twice', (name) =>
    refused(
      [file, ...(name === 'fileName' ? [] : [fileName]), field(name, 'a'), field(name, 'b')],
      400,
      new RegExp(name),
    ),
  )

  test('fileName sent as a file', () =>
    refused([file, { name: 'fileName', value: 'x.png', fileName: 'x.png' }], 400, /fileName/))

  test('two files', () => refused([file, { ...file }, fileName], 400, /file/))

  test('a file part and a file text', () =>
    refused([file, field('file', 'https://example.com/a.jpg'), fileName], 400, /file/))

  test('10,000 fields', () =>
    refused(
      [file, fileName, ...Array.from({ length: 10_000 }, (_, at) => field(`f${at}`, 'x'))],
      400,
      /fields/,
    ))

  test('a field of 10 MB is refused, not cut', () =>
    refused([file, fileName, field('description', 'x'.repeat(10_000_000))], 400, /description/))
})

describe('sizes', () => {
  const bytes = (length: number) => Buffer.alloc(length, 7)
  const mp4 = (length: number) => {
    const video = bytes(length)
    Buffer.from('\0\0\0\x18ftypmp42\0\0\0\0mp42isom', 'latin1').copy(video)
    return video
  }
  const sized = (value: Buffer): Part => ({ name: 'file', value, fileName: 'big.bin' })

  test('as large as allowed', async () => {
    expect((await uploadParts(server, [sized(bytes(LIMIT)), fileName])).status).toBe(200)
  })
  test('one byte more', () => refused([sized(bytes(LIMIT + 1)), fileName], 400, TOO_LARGE))
  test('videos may be larger', async () => {
    expect((await uploadParts(server, [sized(mp4(VIDEO_LIMIT)), fileName])).status).toBe(200)
  })
  test('but not without end', () => refused([sized(mp4(VIDEO_LIMIT + 1)), fileName], 400, TOO_LARGE))
  test('base64 counts decoded', async () => {
    expect((await uploadFile(server, bytes(LIMIT).toString('base64'), { fileName: 'b.bin' })).status).toBe(
      200,
    )
    await refused([field('file', bytes(LIMIT + 1).toString('base64')), fileName], 400, TOO_LARGE)
  })

  test('too much is refused while it streams, long before its end', async () => {
    const { hostname, port } = new URL(server.url)
    const head = Buffer.from(
      '--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\nContent-Type: application/octet-stream\r\n\r\n',
    )
    const answer = await new Promise<{ status: number; sent: number }>((resolve, reject) => {
      let sent = 0
      const upload = request({
        hostname,
        port,
        method: 'POST',
        path: '/api/v1/files/upload',
        headers: {
          authorization: basic(server.privateKey),
          'content-type': 'multipart/form-data; boundary=b',
          'content-length': String(10_000_000_000),
        },
      })
      upload.on('response', (response) => {
        response.resume()
        clearInterval(timer)
        resolve({ status: response.statusCode!, sent })
        upload.destroy()
      })
      upload.on('error', (error) => sent < LIMIT && reject(error))
      upload.write(head)
      const timer = setInterval(() => {
        sent += 65_536
        upload.write(bytes(65_536))
      }, 5)
    })
    expect(answer.status).toBe(400)
    expect(answer.sent).toBeLessThan(20_000_000)
  })
})

describe('broken bodies', () => {
  const { body, type } = encodeForm([file, fileName])
  const post = (
    payload: Buffer | string,
    contentType: string | undefined,
    headers: Record<string, string> = {},
  ) =>
    send(server, '/api/v1/files/upload', {
      method: 'POST',
      headers: {
        authorization: basic(server.privateKey),
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
        ...headers,
      },
      body: payload,
    })

  test.each<[string, Buffer | string, string | undefined]>([
    ['no content type', body, undefined],
    ['no boundary', body, 'multipart/form-data'],
    ['an empty boundary', body, 'multipart/form-data; boundary='],
    ['another boundary', body, 'multipart/form-data; boundary=other'],
    ['no body', '', type],
    ['JSON', '{"file":"x"}', 'application/json'],
    ['urlencoded', 'file=x&fileName=y', 'application/x-www-form-urlencoded'],
    ['no final delimiter', body.subarray(0, -40), type],
    ['an end inside the file', body.subarray(0, 150), type],
    ['an end inside a part header', body.subarray(0, 50), type],
    ['a part without a name', body.toString('latin1').replace('name="file"; ', ''), type],
  ])('%s', async (_, payload, contentType) => {
    const before = await count()
    const answer = await post(payload, contentType)
    expect([400, 415], answer.body.toString()).toContain(answer.status)
    expect(answer.json().message).toMatch(/\S/)
    expect(await count()).toBe(before)
  })

  test('a compressed body', async () => {
    expect((await post(body, type, { 'content-encoding': 'gzip' })).status).toBe(415)
  })

  test('a client that hangs up leaves nothing behind', async () => {
    const before = await count()
    const { hostname, port } = new URL(server.url)
    await Promise.all(
      [60, 200, body.length - 20].map(
        (length) =>
          new Promise<void>((resolve) => {
            const socket = connect(Number(port), hostname, () => {
              socket.write(
                `POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic(server.privateKey)}\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n`,
              )
              socket.write(body.subarray(0, length), () => setTimeout(() => socket.destroy(), 50))
            })
            socket.on('close', () => resolve())
            socket.on('error', () => {})
          }),
      ),
    )
    await sleep(300)
    expect(await count()).toBe(before)
    expect((await send(server, '/health')).status).toBe(200)
  })
})

describe('what the SDKs make of it', () => {
  test('@imagekit/nodejs 7 throws its class for each status, with the message', async () => {
    const photo = png()
    const upload = (sdk: ImageKit7, params: object = {}) =>
      sdk.files.upload({ file: new File([new Uint8Array(photo)], 'x.png'), fileName: 'x.png', ...params })
    const forbidden = await upload(sdk7(server, 'private_wrong')).catch((error: unknown) => error)
    expect(forbidden).toBeInstanceOf(ImageKit7.PermissionDeniedError)
    expect(forbidden).toMatchObject({
      status: 403,
      message: '403 Your account cannot be authenticated.',
      error: { message: 'Your account cannot be authenticated.', help: expect.any(String) },
    })
    const bad = await upload(sdk7(server), { tags: ['50%'] }).catch((error: unknown) => error)
    expect(bad).toBeInstanceOf(ImageKit7.BadRequestError)
    expect((bad as InstanceType<typeof ImageKit7.APIError>).headers?.get('x-ik-requestid')).toMatch(/\S/)
    await expect(sdk7(server).files.get('598821f949c0a938d57563bd')).rejects.toBeInstanceOf(
      ImageKit7.NotFoundError,
    )
  })

  test('imagekit 6 rejects with the body and its response metadata', async () => {
    const error = await sdk6(server, 'v1', 'private_other')
      .upload({ file: png(), fileName: 'x.png' })
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      message: 'Your account cannot be authenticated.',
      help: expect.any(String),
    })
    expect((error as { $ResponseMetadata: { statusCode: number } }).$ResponseMetadata.statusCode).toBe(403)
  })
})

describe('other methods and paths', () => {
  test.each([
    ['GET', '/api/v1/files/upload'],
    ['DELETE', '/api/v2/files/upload'],
    ['POST', '/api/v3/files/upload'],
    ['GET', '/v1/nothing'],
  ])('%s %s', async (method, target) => {
    const answer = await send(server, target, {
      method,
      headers: { authorization: basic(server.privateKey) },
    })
    expect([404, 405]).toContain(answer.status)
    expect(answer.json().message).toMatch(/\S/)
  })
})
