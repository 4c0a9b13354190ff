import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'

/** 1×1 PNG. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

let tintype: TestTintype

beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

const part = (headers: string, body: string | Buffer) =>
  Buffer.concat([Buffer.from(`--XX\r\n${headers}\r\n\r\n`), Buffer.from(body), Buffer.from('\r\n')])
const END = Buffer.from('--XX--\r\n')
const field = (name: string, value: string) => part(`Content-Disposition: form-data; name="${name}"`, value)
const filePart = (body: Buffer = PIXEL) =>
  part(
    'Content-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: application/octet-stream',
    body,
  )

async function post(
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: { message: string; help: string } }> {
  const response = await fetch(`${tintype.url}/api/v1/files/upload`, {
    method: 'POST',
    body: new Uint8Array(body),
    headers: {
      authorization: tintype.authorization,
      'content-type': 'multipart/form-data; boundary=XX',
      ...headers,
    },
  })
  return { status: response.status, body: (await response.json()) as { message: string; help: string } }
}

async function countFiles(): Promise<number> {
  return (await tintype.library.search(LIST_ALL)).assets.length
}
const LIST_ALL = {
  type: 'file',
  sort: { key: 'CREATED', descending: false },
  limit: 1000,
  skip: 0,
} as const

async function stagedFiles(): Promise<string[]> {
  const perNode = tintype.nodes.map(({ dataDir }) => readdir(join(dataDir, 'staging')))
  return (await Promise.all(perNode)).flat()
}

describe('hostile and broken bodies', () => {
  const name = field('fileName', 'a.png')
  const many = (count: number) =>
    Buffer.concat(Array.from({ length: count }, (_, index) => field(`f${index}`, 'x')))
  const cases: [string, Buffer, Record<string, string>?][] = [
    ['no boundary', Buffer.concat([filePart(), name, END]), { 'content-type': 'multipart/form-data' }],
    ['not multipart', Buffer.from('{}'), { 'content-type': 'application/json' }],
    [
      'a form that is not multipart',
      Buffer.from('a=b'),
      { 'content-type': 'application/x-www-form-urlencoded' },
    ],
    [
      'another boundary',
      Buffer.concat([filePart(), name, END]),
      { 'content-type': 'multipart/form-data; boundary=YY' },
    ],
    [
      'a boundary of 300 bytes',
      Buffer.concat([filePart(), END]),
      { 'content-type': `multipart/form-data; boundary=${'X'.repeat(300)}` },
    ],
    ['an empty body', Buffer.alloc(0)],
    ['no parts', END],
    ['no final delimiter', Buffer.concat([filePart(), name])],
    ['a body cut inside the file', filePart().subarray(0, 120)],
    ['a body cut inside a header', filePart().subarray(0, 30)],
    ['no file', Buffer.concat([name, END])],
    ['an empty file', Buffer.concat([filePart(Buffer.alloc(0)), name, END])],
    ['no fileName', Buffer.concat([filePart(), END])],
    ['an empty fileName', Buffer.concat([filePart(), field('fileName', ''), END])],
    ['two files', Buffer.concat([filePart(), filePart(), name, END])],
    ['three files', Buffer.concat([filePart(), filePart(), filePart(), name, END])],
    [
      'file twice, once as text',
      Buffer.concat([filePart(), field('file', 'https://example.com/a.png'), name, END]),
    ],
    [
      'fileName as a file',
      Buffer.concat([
        filePart(),
        part('Content-Disposition: form-data; name="fileName"; filename="x"', 'a.png'),
        END,
      ]),
    ],
    ['two fileNames', Buffer.concat([filePart(), name, name, END])],
    ['65 fields', Buffer.concat([filePart(), many(65), name, END])],
    ['10,000 fields', Buffer.concat([many(10_000), END])],
    ['a field of 65 KiB', Buffer.concat([field('folder', 'x'.repeat(65 * 1024)), filePart(), name, END])],
    [
      'a customMetadata of 300 KiB',
      Buffer.concat([field('customMetadata', 'x'.repeat(300 * 1024)), filePart(), name, END]),
    ],
    ['a field name of 10 KB', Buffer.concat([field('n'.repeat(10_000), 'x'), filePart(), name, END])],
    [
      'fields of 2 MB together',
      Buffer.concat([
        ...Array.from({ length: 40 }, (_, i) => field(`f${i}`, 'x'.repeat(50_000))),
        filePart(),
        name,
        END,
      ]),
    ],
    ['base64 with a wrong character', Buffer.concat([field('file', 'iVBORw0KGgo!AAAA'), name, END])],
    ['a data URI that is not base64', Buffer.concat([field('file', 'data:text/html,<b>x</b>'), name, END])],
    ['a data URI without a comma', Buffer.concat([field('file', 'data:image/png;base64'), name, END])],
    ['an empty text file field', Buffer.concat([field('file', ''), name, END])],
    ['a URL of 9 KB', Buffer.concat([field('file', `https://example.com/${'a'.repeat(9000)}`), name, END])],
    [
      'a privacy flag that cannot be read',
      Buffer.concat([filePart(), name, field('isPrivateFile', 'maybe'), END]),
    ],
    ['a folder that climbs', Buffer.concat([filePart(), name, field('folder', '/a/../b'), END])],
    ['51 folders', Buffer.concat([filePart(), name, field('folder', 'a/'.repeat(51)), END])],
    [
      'unknown custom metadata',
      Buffer.concat([filePart(), name, field('customMetadata', '{"brand":"Nike"}'), END]),
    ],
  ]

  it.each(cases)('answers %s with a 400 and leaves nothing behind', async (_case, body, headers) => {
    const before = await countFiles()
    const answer = await post(body, headers)
    expect(answer.status).toBe(400)
    expect(answer.body.message).toMatch(/\S/)
    expect(answer.body.help).toMatch(/\S/)
    expect(await countFiles()).toBe(before)
    expect(await stagedFiles()).toEqual([])
  })

  it('refuses compressed bodies', async () => {
    const answer = await post(Buffer.concat([filePart(), name, END]), { 'content-encoding': 'gzip' })
    expect(answer.status).toBe(415)
  })

  it('takes parts in any order and ignores unknown fields', async () => {
    const answer = await post(
      Buffer.concat([
        field('constructor', 'x'),
        name,
        field('unknown', 'x'),
        filePart(),
        field('tags', 'a,b'),
        END,
      ]),
    )
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ tags: ['a', 'b'], fileType: 'image', width: 1, height: 1 })
  })

  it('keeps JSON-typed parts as text', async () => {
    const typed = (fieldName: string, value: string) =>
      part(`Content-Disposition: form-data; name="${fieldName}"\r\nContent-Type: application/json`, value)
    const answer = await post(Buffer.concat([filePart(), name, typed('isPrivateFile', 'true'), END]))
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ isPrivateFile: true })
  })

  it('leaves nothing when the client goes away in the middle', async () => {
    const { port, hostname } = new URL(tintype.url)
    const before = await countFiles()
    const body = Buffer.concat([name, filePart(Buffer.alloc(3_000_000, 1))])
    for (const cut of [10, 200, 100_000, 2_000_000]) {
      const socket = connect(Number(port), hostname)
      socket.write(
        `POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nAuthorization: ${tintype.authorization}\r\n` +
          `Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: ${body.length + END.length}\r\n\r\n`,
      )
      await new Promise<void>((resolve) => socket.write(body.subarray(0, cut), () => resolve()))
      await new Promise((resolve) => setTimeout(resolve, 30))
      socket.destroy()
    }
    await expect.poll(stagedFiles, { timeout: 5000 }).toEqual([])
    expect(await countFiles()).toBe(before)
  })
})

describe('size limits', () => {
  it('apply to each kind while the bytes stream in', async () => {
    const small = await startTintype({
      env: { TINTYPE_UPLOAD_MAX_FILE_BYTES: '100000', TINTYPE_UPLOAD_MAX_VIDEO_BYTES: '200000' },
    })
    try {
      const message = 'Your request contains invalid file parameter. The file size exceeds limits.'
      const png = Buffer.concat([PIXEL, Buffer.alloc(100_001 - PIXEL.length)])
      expect(await upload(small, png, { fileName: 'a.png' })).toMatchObject({
        status: 400,
        body: { message },
      })
      expect((await upload(small, png.subarray(0, 100_000), { fileName: 'a.png' })).status).toBe(200)
      const mp4 = Buffer.concat([
        Buffer.from('00000018667479706d703432000000006d70343269736f6d', 'hex'),
        Buffer.alloc(199_976),
      ])
      expect((await upload(small, mp4, { fileName: 'a.mp4' })).status).toBe(200)
      const tooLong = Buffer.concat([mp4, Buffer.alloc(1)])
      expect(await upload(small, tooLong, { fileName: 'a.mp4' })).toMatchObject({
        status: 400,
        body: { message },
      })
      const base64 = png.toString('base64')
      expect(await upload(small, base64, { fileName: 'a.png' })).toMatchObject({
        status: 400,
        body: { message },
      })
      for (const { dataDir } of small.nodes) {
        expect(await readdir(join(dataDir, 'staging'))).toEqual([])
      }
    } finally {
      await small.stop()
    }
  })

  it('let the client read the answer although it still sends', async () => {
    // Of a node itself: a load balancer has connections of its own to clients.
    const node = { ...tintype, url: tintype.nodes[0]!.url }
    const answer = await upload(node, Buffer.alloc(64 * 1024 * 1024), { fileName: 'a.bin' })
    expect(answer.status).toBe(400)
    expect(answer.headers.get('connection')).toBe('close')
  })
})

describe('authentication', () => {
  it.each([
    ['no key', null, 401, 'Your request does not contain private API key.'],
    ['another scheme', 'Bearer abc', 401, 'Your request does not contain private API key.'],
    ['garbled', 'Basic ***', 401, 'Your request does not contain private API key.'],
    [
      'an unknown key',
      `Basic ${Buffer.from('private_x:').toString('base64')}`,
      403,
      'Your account cannot be authenticated.',
    ],
  ] as const)('refuses %s', async (_case, authorization, status, message) => {
    const answer = await upload(tintype, PIXEL, { fileName: 'a.png' }, { authorization })
    expect(answer).toMatchObject({ status, body: { message } })
    expect(await stagedFiles()).toEqual([])
  })

  it('ignores the password and accepts the key without a colon or without encoding', async () => {
    const { privateKey } = TEST_KEYS
    for (const authorization of [
      `Basic ${Buffer.from(`${privateKey}:do_not_set`).toString('base64')}`,
      `Basic ${Buffer.from(privateKey).toString('base64')}`,
      `Basic ${privateKey}`,
      `basic ${privateKey}:`,
    ]) {
      expect((await upload(tintype, PIXEL, { fileName: 'a.png' }, { authorization })).status).toBe(200)
    }
  })

  it('refuses a private key together with client-side credentials', async () => {
    const v1 = await upload(tintype, PIXEL, { fileName: 'a.png', signature: 'x' })
    expect(v1.status).toBe(400)
    expect(v1.body.message).toMatch(/contains both signature and basic auth parameter/)
    const v2 = await upload(tintype, PIXEL, { fileName: 'a.png', token: 'x' }, { api: 'v2' })
    expect(v2.status).toBe(400)
    expect(v2.body.message).toMatch(/contains both token and basic auth parameter/)
  })

  it('answers every request with both request ids', async () => {
    const answer = await upload(tintype, undefined, {})
    expect(answer.headers.get('x-ik-requestid')).toMatch(/^[0-9a-f-]{36}$/)
    expect(answer.headers.get('x-request-id')).toBe(answer.headers.get('x-ik-requestid'))
  })
})

describe('early refusal', () => {
  /** Sends the head of a request, waits for the first answer, and sends nothing else. */
  async function firstAnswer(head: string[], body = ''): Promise<string> {
    // Of a node itself: a load balancer has connections of its own to clients.
    const { port, hostname } = new URL(tintype.nodes[0]!.url)
    const socket = connect(Number(port), hostname)
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
    const [data] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    return data.toString()
  }
  const head = (authorization: string | undefined, bytes: number) => [
    'POST /api/v1/files/upload HTTP/1.1',
    'Host: x',
    'Expect: 100-continue',
    'Content-Type: multipart/form-data; boundary=XX',
    `Content-Length: ${bytes}`,
    ...(authorization === undefined ? [] : [`Authorization: ${authorization}`]),
  ]

  it('asks a client that waits for it to send its body', async () => {
    expect(await firstAnswer(head(tintype.authorization, 1000))).toMatch(/^HTTP\/1\.1 100 /)
  })

  it('refuses a wrong key before the body', async () => {
    const answer = await firstAnswer(head('Basic cHJpdmF0ZV94Og==', 1000))
    expect(answer).toMatch(/^HTTP\/1\.1 403 /)
    expect(answer).toContain('Your account cannot be authenticated.')
    expect(answer).toMatch(/connection: close/i)
  })

  it('refuses a declared length over every limit before the body', async () => {
    const answer = await firstAnswer(head(tintype.authorization, 600_000_000))
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toContain('The file size exceeds limits.')
  })

  it('refuses a forged signature that comes before the file without waiting for the file', async () => {
    const form = Buffer.concat([
      field('publicKey', TEST_KEYS.publicKey),
      field('token', 'abc'),
      field('expire', String(Math.floor(Date.now() / 1000) + 600)),
      field('signature', '0'.repeat(40)),
      part('Content-Disposition: form-data; name="file"; filename="a.png"', PIXEL),
    ])
    const [, ...rest] = head(undefined, 10_000_000)
    const lines = ['POST /api/v1/files/upload HTTP/1.1', ...rest.filter((line) => !line.startsWith('Expect'))]
    const answer = await firstAnswer(lines, form.toString('latin1'))
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toContain('invalid signature parameter')
    expect(await stagedFiles()).toEqual([])
  })
})
