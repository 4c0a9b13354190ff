import { createHmac, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

let tintype: TestTintype

beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

const seconds = () => Math.floor(Date.now() / 1000)

function sign(payload: Record<string, unknown>, options: { privateKey?: string; kid?: string } = {}): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${encode({ alg: 'HS256', typ: 'JWT', kid: options.kid ?? TEST_KEYS.publicKey })}.${encode(payload)}`
  const mac = createHmac('sha256', options.privateKey ?? TEST_KEYS.privateKey).update(text)
  return `${text}.${mac.digest('base64url')}`
}

function v2Fields(fields: Record<string, string>): Record<string, string> {
  return { ...fields, token: sign({ ...fields, iat: seconds(), exp: seconds() + 600, jti: randomUUID() }) }
}

function v1Fields(fields: Record<string, string>): Record<string, string> {
  const token = randomUUID()
  const expire = String(seconds() + 600)
  const signature = createHmac('sha1', TEST_KEYS.privateKey)
    .update(token + expire)
    .digest('hex')
  return { ...fields, publicKey: TEST_KEYS.publicKey, token, expire, signature }
}

const send = (api: 'v1' | 'v2', fields: Record<string, string>, server = tintype) =>
  upload(server, PIXEL, fields, { api, authorization: null })

describe.each([
  ['v1', v1Fields],
  ['v2', v2Fields],
] as const)('client-side upload %s', (api, fieldsOf) => {
  it('works once and then never again', async () => {
    const fields = fieldsOf({ fileName: 'a.png', useUniqueFileName: 'false', folder: `/${api}` })
    const first = await send(api, fields)
    expect(first.status).toBe(200)
    expect(first.body.filePath).toBe(`/${api}/a.png`)
    const second = await send(api, fields)
    expect(second.status).toBe(400)
    expect(second.body.message).toContain('has been used before. We suggest using V4 UUIDs')
    expect(second.headers.get('x-should-retry')).toBe('false')
  })

  it('uses the token up although the upload fails afterwards', async () => {
    const fields = fieldsOf({ fileName: 'a.png', tags: 'fifty%off' })
    const first = await send(api, fields)
    expect(first.status).toBe(400)
    expect(first.body.message).toContain('tags')
    expect(first.headers.get('x-should-retry')).toBe('false')
    expect((await send(api, fields)).body.message).toContain('has been used before')
  })

  it('lets exactly one of 50 parallel uploads win', async () => {
    const folder = `/race-${api}`
    const fields = fieldsOf({ fileName: 'a.png', folder })
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(api, fields)))
    const won = answers.filter((answer) => answer.status === 200)
    const lost = answers.filter(
      (answer) => answer.status === 400 && String(answer.body.message).includes('has been used before'),
    )
    expect([won.length, lost.length]).toEqual([1, 49])
    const query = { type: 'file', sort: { key: 'CREATED', descending: false }, folderPath: folder } as const
    const { assets } = await tintype.library.search({ ...query, limit: 100, skip: 0 })
    expect(assets).toHaveLength(1)
  })

  it('remembers used tokens over a restart', async () => {
    const first = await startTintype()
    const fields = fieldsOf({ fileName: 'a.png' })
    expect((await send(api, fields, first)).status).toBe(200)
    await first.close()
    const again = await startTintype({ dataDir: first.dataDir })
    expect((await send(api, fields, again)).body.message).toContain('has been used before')
    await again.close()
  })
})

describe('what a v2 token must equal', () => {
  const MISMATCH =
    'Your request contains invalid payload. It does not match with the payload used to generate token.'
  const base = { fileName: 'a.png', tags: 'a,b' }
  it.each([
    ['a changed field', { ...base, fileName: 'b.png' }],
    ['an extra field', { ...base, isPrivateFile: 'false' }],
    ['a missing field', { fileName: 'a.png' }],
  ])('refuses %s', async (_case, sent) => {
    const { token } = v2Fields(base)
    expect(await send('v2', { ...sent, token: token! })).toMatchObject({
      status: 400,
      body: { message: MISMATCH },
    })
  })

  it('refuses a repeated field', async () => {
    const fields = v2Fields(base)
    const form = new FormData()
    form.append('file', new Blob([new Uint8Array(PIXEL)]), 'a.png')
    for (const [name, value] of Object.entries(fields)) form.append(name, value)
    form.append('tags', 'a,b')
    const response = await fetch(`${tintype.url}/api/v2/files/upload`, { method: 'POST', body: form })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ message: MISMATCH })
  })

  it.each([
    ['a missing token', {}, 'Your request is missing token parameter.'],
    [
      'an expired token',
      { token: sign({ ...base, iat: seconds() - 700, exp: seconds() - 100 }) },
      'Your request contains expired token.',
    ],
    [
      'a token of another key',
      { token: sign({ ...base, iat: seconds(), exp: seconds() + 60 }, { privateKey: 'other' }) },
      'Your request has invalid token.',
    ],
    [
      'a token for longer than an hour',
      { token: sign({ ...base, iat: seconds(), exp: seconds() + 4000 }) },
      'Your request has invalid token.',
    ],
    ['no times at all', { token: sign(base) }, 'Your request has invalid token.'],
  ])('refuses %s', async (_case, credentials, message) => {
    expect(await send('v2', { ...base, ...credentials })).toMatchObject({ status: 400, body: { message } })
  })
})

describe('what other origins may do', () => {
  const preflight = (path: string) =>
    fetch(`${tintype.url}${path}`, {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' },
    })

  it('opens uploads, without credentials', async () => {
    for (const path of ['/api/v1/files/upload', '/api/v2/files/upload']) {
      const answer = await preflight(path)
      expect(answer.status).toBe(204)
      expect(answer.headers.get('access-control-allow-origin')).toBe('*')
      expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
    }
    const answer = await fetch(`${tintype.url}/api/v1/files/upload`, {
      method: 'POST',
      headers: { origin: 'https://app.example' },
    })
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(answer.headers.get('access-control-expose-headers')).toContain('x-request-id')
  })

  it('keeps the management API closed', async () => {
    for (const path of ['/v1/files', '/v1/files/x/details']) {
      const answer = await preflight(path)
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    }
    const answer = await fetch(`${tintype.url}/v1/files`, { headers: { origin: 'https://app.example' } })
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  })

  it('can be narrowed to known origins', async () => {
    const narrow = await startTintype({ env: { TINTYPE_HTTP_CORS_ORIGINS: 'https://app.example' } })
    try {
      const from = (origin: string) =>
        fetch(`${narrow.url}/api/v2/files/upload`, { method: 'POST', headers: { origin } })
      expect((await from('https://app.example')).headers.get('access-control-allow-origin')).toBe(
        'https://app.example',
      )
      expect((await from('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull()
    } finally {
      await narrow.stop()
    }
  })
})
