import { createHmac, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OPERATIONS } from '../../src/http/openapi/operations.ts'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { expectRefusal, expectWireRefusal, traces } from '../support/refusals.ts'
import { startTintype, TEST_KEYS, type TestTintype, upload } from '../support/tintype.ts'
import { exchange, head } from '../support/wire.ts'

const URL_KEY = 'url_key_0123456789abcdefghij'
let tintype: TestTintype
let separate: TestTintype
beforeAll(async () => {
  tintype = await startTintype()
  await put(tintype, '/private/photo.jpg', png(5, 5, 1), { isPrivateFile: 'true' })
  await put(tintype, '/nodots', png(5, 5, 2), { isPrivateFile: 'true' })
  separate = await startTintype({
    env: {
      TINTYPE_SIGNING_URL_SIGNING_KEY: URL_KEY,
      TINTYPE_SIGNING_OLD_URL_SIGNING_KEYS: 'old_key_0123456789abc',
    },
  })
  await put(separate, '/private/photo.jpg', png(5, 5, 1), { isPrivateFile: 'true' })
  await put(separate, '/nodots', png(5, 5, 2), { isPrivateFile: 'true' })
})
afterAll(async () => {
  await tintype.stop()
  await separate.stop()
})

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const KEY = TEST_KEYS.privateKey
const protectedOperations = OPERATIONS.filter(({ access }) => access !== 'none')
const pathOf = (path: string) => path.replaceAll(/\{[^}]+\}/g, '598821f949c0a938d57563bd')

describe('every operation of the API', () => {
  test.each(protectedOperations.map(({ method, path, access }) => [method, path, access] as const))(
    'A01 %s %s lets nobody in without a key',
    async (method, path, access) => {
      const ask = async (headers: Record<string, string>, query = '') => {
        const response = await fetch(`${tintype.url}${pathOf(path)}${query}`, { method, headers })
        return {
          status: response.status,
          headers: response.headers,
          body: await response.text(),
          requestId: response.headers.get('x-ik-requestid'),
        }
      }
      const origin = { origin: 'https://evil.example' }
      const nobody = await ask(origin)
      // A form may carry credentials instead, and there is none here.
      if (access === 'upload') expectRefusal(nobody, [400, 401])
      else expectRefusal(nobody, 401, 'Your request does not contain private API key.')
      // A09
      if (access !== 'upload') expect(nobody.headers.get('access-control-allow-origin')).toBeNull()
      expect(nobody.headers.get('access-control-allow-credentials')).toBeNull()

      for (const [authorization, status] of [
        [basic('private_unknown:'), 403],
        [basic(`${TEST_KEYS.publicKey}:`), 403],
        [`Bearer ${KEY}`, 401],
        ['Basic', 401],
        ['Basic ====', 401],
        [basic(`:${KEY}`), 401],
        [`Digest username="${KEY}"`, 401],
      ] as const) {
        expectRefusal(await ask({ authorization }), status)
      }
      // A06
      const inQuery = await ask(
        {},
        `?privateKey=${KEY}&authorization=${encodeURIComponent(basic(`${KEY}:`))}&key=${KEY}`,
      )
      expectRefusal(inQuery, access === 'upload' ? [400, 401] : 401)
      expect(inQuery.body).not.toContain(KEY)
      const elsewhere = await ask({
        'x-api-key': KEY,
        cookie: `authorization=${KEY}`,
        'proxy-authorization': basic(`${KEY}:`),
      })
      expectRefusal(elsewhere, access === 'upload' ? [400, 401] : 401)
    },
  )
})

describe('keys that are nearly right', () => {
  test.each<[string, string, string]>([
    ['A04', 'one character less', KEY.slice(0, -1)],
    ['A04', 'one character more', `${KEY}x`],
    ['A04', 'the first half', KEY.slice(0, KEY.length / 2)],
    ['A04', 'upper case', KEY.toUpperCase()],
    ['A04', 'a space in front', ` ${KEY}`],
    ['A04', 'a space behind', `${KEY} `],
    ['A04', 'a line end behind', `${KEY}\n`],
    ['A04', 'NUL behind', `${KEY}\0`],
    ['A04', 'full width', KEY.replace('p', 'ｐ')],
    ['A04', 'twice', `${KEY}${KEY}`],
    ['A04', 'a byte-order mark', `\ufeff${KEY}`],
    ['A04', '1 MB of it', KEY.repeat(200)],
    ['A04', 'SQL', `' OR '1'='1`],
    ['A04', '__proto__', '__proto__'],
    ['A04', 'a wildcard', '%'],
    ['A04', 'nothing but a password', `x:${KEY}`],
  ])('%s %s is refused', async (_id, _name, key) => {
    const answer = await call(tintype, 'GET', '/v1/files', undefined, basic(`${key}:`))
    expect([401, 403]).toContain(answer.status)
  })

  test.each<[string, string, string]>([
    ['A02', 'an empty password', basic(`${KEY}:`)],
    ['A02', 'do_not_set', basic(`${KEY}:do_not_set`)],
    ['A02', 'a password with colons', basic(`${KEY}:a:b:c`)],
    ['A02', 'no colon', basic(KEY)],
    ['A02', 'no encoding', `Basic ${KEY}`],
  ])('%s %s is let in', async (_id, _name, authorization) => {
    expect((await call(tintype, 'GET', '/v1/files', undefined, authorization)).status).toBe(200)
  })

  test('A01 two Authorization headers are one that is garbled, or the first', async () => {
    const wrongFirst = `${head('GET /v1/files HTTP/1.1', { Authorization: basic('x:'), Connection: 'close' }).slice(0, -2)}Authorization: ${tintype.authorization}\r\n\r\n`
    const { answers } = await exchange(tintype.url, [wrongFirst])
    expectWireRefusal(answers[0], [400, 401, 403])
  })

  test('A01 a wrong key is refused before the body, which is not spooled', async () => {
    const before = await traces(tintype)
    const { answers, closed } = await exchange(tintype.url, [
      head('POST /api/v1/files/upload HTTP/1.1', {
        Authorization: basic('private_wrong:'),
        'Content-Type': 'multipart/form-data; boundary=XX',
        'Content-Length': 10_000_000,
      }),
    ])
    expectWireRefusal(answers[0], 403)
    expect(closed).toBe(true)
    expect(await traces(tintype)).toEqual(before)
  })
})

describe('A10 forwarded headers that nobody vouches for', () => {
  test.each([
    ['X-Forwarded-Host', 'evil.example'],
    ['X-Forwarded-Proto', 'javascript'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-For', '203.0.113.9'],
    ['X-Forwarded-Port', '9'],
    ['Forwarded', 'host=evil.example;proto=https'],
    ['X-Real-IP', '203.0.113.9'],
  ])('A10 %s: %s changes no URL', async (name, value) => {
    const response = await fetch(`${tintype.url}/v1/files?path=/private`, {
      headers: { authorization: tintype.authorization, [name]: value },
    })
    const [file] = (await response.json()) as { url: string }[]
    expect(file!.url.startsWith(`${tintype.url}/demo/`)).toBe(true)
  })

  test('A10 and A08: another X-Forwarded-For each time does not make another guesser', async () => {
    const strict = await startTintype({ env: { TINTYPE_HTTP_LIMITS_FAILED_AUTHENTICATIONS_MAX: '5' } })
    try {
      const statuses: number[] = []
      for (let at = 0; at < 8; at++) {
        const response = await fetch(`${strict.url}/v1/files`, {
          headers: { authorization: basic(`private_guess${at}:`), 'x-forwarded-for': `198.51.100.${at}` },
        })
        statuses.push(response.status)
        if (response.status === 429) {
          expect(response.headers.get('x-ratelimit-limit')).toBe('5')
          expect(Number(response.headers.get('x-ratelimit-reset'))).toBeGreaterThan(0)
          expect(response.headers.get('x-ratelimit-interval')).toBe('60000')
          expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
        }
      }
      expect(statuses).toEqual([403, 403, 403, 403, 403, 429, 429, 429])
      // Deliveries need no key, and are not hindered.
      expect((await fetch(`${strict.url}/health`)).status).toBe(200)
    } finally {
      await strict.stop()
    }
  })

  test('A10 a proxy in the list is believed, for the right address only', async () => {
    const behind = await startTintype({ env: { TINTYPE_HTTP_TRUSTED_PROXIES: '10.0.0.1' } })
    try {
      const response = await fetch(`${behind.url}/v1/files`, {
        headers: { authorization: behind.authorization, 'x-forwarded-host': 'evil.example' },
      })
      expect(response.status).toBe(200)
      await put(behind, '/a.png', png())
      const listed = await fetch(`${behind.url}/v1/files`, {
        headers: { authorization: behind.authorization, 'x-forwarded-host': 'evil.example' },
      })
      expect(JSON.stringify(await listed.json())).not.toContain('evil.example')
    } finally {
      await behind.stop()
    }
  })
})

describe('one-time credentials', () => {
  const nowSec = () => Math.floor(Date.now() / 1000)
  const token = (fields: Record<string, string>) => {
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const text = `${encode({ alg: 'HS256', typ: 'JWT', kid: TEST_KEYS.publicKey })}.${encode({ ...fields, iat: nowSec(), exp: nowSec() + 600, jti: randomUUID() })}`
    return `${text}.${createHmac('sha256', KEY).update(text).digest('base64url')}`
  }
  const send = (fields: Record<string, string>, api: 'v1' | 'v2') =>
    upload(tintype, png(3, 3, 9), fields, { api, authorization: null })

  test('J11 E6: no other spelling of a used token works', async () => {
    const fields = { fileName: 'once.png' }
    const good = token(fields)
    expect((await send({ ...fields, token: good }, 'v2')).status).toBe(200)
    const before = await traces(tintype)
    const [header, payload, mac] = good.split('.') as [string, string, string]
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const spellings = [
      good,
      `${good}=`,
      `${good}==`,
      `${good}\n`,
      `${good}\r\n`,
      `${good} `,
      ` ${good}`,
      `\t${good}`,
      `${header}=.${payload}.${mac}`,
      `${header}.${payload}=.${mac}`,
      `${header}.${payload}.${mac.slice(0, 9)} ${mac.slice(9)}`,
      `${header}.${payload}.${mac.slice(0, 9)}\n${mac.slice(9)}`,
      good.replaceAll('-', '+').replaceAll('_', '/'),
      `Bearer ${good}`,
      encodeURIComponent(`${good}=`),
      ...[...alphabet].map((last) => `${header}.${payload}.${mac.slice(0, -1)}${last}`),
    ]
    for (const spelling of spellings) {
      const answer = await send({ ...fields, token: spelling }, 'v2')
      expect(answer.status, spelling).toBe(400)
    }
    expect(await traces(tintype)).toEqual(before)
  })

  test('J13 a forged token does not burn the real one', async () => {
    const fields = { fileName: 'burn.png' }
    const good = token(fields)
    for (const end of ['A', 'B', 'C']) {
      const forged = `${good.slice(0, -4)}AAA${end}`
      expect((await send({ ...fields, token: forged }, 'v2')).status).toBe(400)
    }
    expect((await send({ ...fields, token: good }, 'v2')).status).toBe(200)
  })

  const signUpload = (name: string, expire: string, key = KEY) =>
    createHmac('sha1', key)
      .update(name + expire)
      .digest('hex')

  test('V05 E5: a shifted boundary makes no second use of a v1 signature', async () => {
    const expire = String(nowSec() + 600)
    const name = `tok${randomUUID()}12`
    const signature = signUpload(name, expire)
    const common = { fileName: 'v1.png', publicKey: TEST_KEYS.publicKey, signature }
    expect((await send({ ...common, token: name, expire }, 'v1')).status).toBe(200)
    const before = await traces(tintype)
    for (const cut of [1, 2, 3]) {
      const shifted = { ...common, token: name.slice(0, -cut), expire: name.slice(-cut) + expire }
      expect((await send(shifted, 'v1')).status).toBe(400)
      const other = { ...common, token: name + expire.slice(0, cut), expire: expire.slice(cut) }
      expect((await send(other, 'v1')).status).toBe(400)
    }
    expect(await traces(tintype)).toEqual(before)
  })

  test.each(['private/photo.jpg', '/private/photo.jpg', 'photo.jpg', 'a:b', 'a?b=c', '..', ''])(
    'V06 E4: %j, which could be a path, is no token of an upload',
    async (name) => {
      const expire = String(nowSec() + 600)
      const answer = await send(
        {
          fileName: 'a.png',
          publicKey: TEST_KEYS.publicKey,
          token: name,
          expire,
          signature: signUpload(name, expire),
        },
        'v1',
      )
      expect(answer.status).toBe(400)
    },
  )

  test('V06 G06 a signature for an upload opens no file whose name has a dot or a folder, with one key for both', async () => {
    const expire = String(nowSec() + 600)
    for (const name of ['privatephoto', 'private_photo-jpg', randomUUID()]) {
      const signature = signUpload(name, expire)
      for (const path of ['private/photo.jpg', name]) {
        const response = await fetch(`${tintype.url}/demo/${path}?ik-t=${expire}&ik-s=${signature}`)
        expect([401, 404]).toContain(response.status)
      }
    }
  })

  test('V06 G06 with a key for URLs of its own, no signature of the one kind is one of the other', async () => {
    const expire = String(nowSec() + 600)
    const asUrl = await fetch(
      `${separate.url}/demo/nodots?ik-t=${expire}&ik-s=${signUpload('nodots', expire)}`,
    )
    expect(asUrl.status).toBe(401)
    const signed = await fetch(
      `${separate.url}/demo/nodots?ik-t=${expire}&ik-s=${signUpload('nodots', expire, URL_KEY)}`,
    )
    expect(signed.status).toBe(200)
    const asUpload = await upload(
      separate,
      png(),
      {
        fileName: 'a.png',
        publicKey: TEST_KEYS.publicKey,
        token: 'nodots',
        expire,
        signature: signUpload('nodots', expire, URL_KEY),
      },
      { authorization: null },
    )
    expect(asUpload.status).toBe(400)
  })

  test('G08 an earlier key for URLs is honoured beside the new one, and no other', async () => {
    const statusWith = async (key: string) => {
      const signature = createHmac('sha1', key).update('private/photo.jpg9999999999').digest('hex')
      return (await fetch(`${separate.url}/demo/private/photo.jpg?ik-s=${signature}`)).status
    }
    expect(await statusWith(URL_KEY)).toBe(200)
    expect(await statusWith('old_key_0123456789abc')).toBe(200)
    expect(await statusWith('older_key_0123456789')).toBe(401)
    expect(await statusWith(KEY)).toBe(401)
  })
})

describe('signed URLs over the wire', () => {
  const sign = (text: string, expiry = '9999999999') =>
    createHmac('sha1', KEY)
      .update(text + expiry)
      .digest('hex')
  const PATH = 'private/photo.jpg'
  const S = sign(PATH)
  const soon = String(Math.floor(Date.now() / 1000) + 600)
  const past = String(Math.floor(Date.now() / 1000) - 600)
  const T = sign(PATH, soon)
  const get = async (target: string) => {
    const { answers } = await exchange(tintype.url, [head(`GET ${target} HTTP/1.1`, { Connection: 'close' })])
    return answers[0]!
  }
  const FORGED: [id: string, name: string, target: string][] = [
    [
      'G01',
      'a flipped digit',
      `/demo/${PATH}?ik-s=${S.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'))}`,
    ],
    ['G01', 'upper case', `/demo/${PATH}?ik-s=${S.toUpperCase()}`],
    ['G01', 'short', `/demo/${PATH}?ik-s=${S.slice(1)}`],
    ['G01', 'empty', `/demo/${PATH}?ik-s=`],
    ['G01', 'twice', `/demo/${PATH}?ik-s=${S}&ik-s=${S}`],
    ['G01', 'an array', `/demo/${PATH}?ik-s[]=${S}`],
    ['G01', 'zeros', `/demo/${PATH}?ik-s=${'0'.repeat(40)}`],
    [
      'G01',
      'of the public key',
      `/demo/${PATH}?ik-s=${createHmac('sha1', TEST_KEYS.publicKey).update(`${PATH}9999999999`).digest('hex')}`,
    ],
    [
      'G01',
      'of an empty key',
      `/demo/${PATH}?ik-s=${createHmac('sha1', '').update(`${PATH}9999999999`).digest('hex')}`,
    ],
    ['G02', 'the end removed', `/demo/${PATH}?ik-s=${T}`],
    ['G02', 'the end prolonged', `/demo/${PATH}?ik-t=${Number(soon) + 1}&ik-s=${T}`],
    ['G02', 'the end twice', `/demo/${PATH}?ik-t=${soon}&ik-t=${soon}&ik-s=${T}`],
    ['G02', 'the end a fraction', `/demo/${PATH}?ik-t=${soon}.0&ik-s=${sign(PATH, `${soon}.0`)}`],
    ['G02', 'the end with a space', `/demo/${PATH}?ik-t=%20${soon}&ik-s=${sign(PATH, ` ${soon}`)}`],
    ['G02', 'the end negative', `/demo/${PATH}?ik-t=-1&ik-s=${sign(PATH, '-1')}`],
    ['G02', 'the end in eleven digits', `/demo/${PATH}?ik-t=99999999999&ik-s=${sign(PATH, '99999999999')}`],
    ['G02', 'the end past', `/demo/${PATH}?ik-t=${past}&ik-s=${sign(PATH, past)}`],
    ['G04', 'a transformation added', `/demo/${PATH}?tr=w-1&ik-s=${S}`],
    ['G04', 'a transformation added behind', `/demo/${PATH}?ik-s=${S}&tr=w-1`],
    ['G04', 'a transformation in the path', `/demo/tr:w-1/${PATH}?ik-s=${S}`],
    ['G04', 'a transformation taken away', `/demo/${PATH}?ik-s=${sign(`${PATH}?tr=w-1`)}`],
    ['G04', 'moved from the query to the path', `/demo/tr:w-1/${PATH}?ik-s=${sign(`${PATH}?tr=w-1`)}`],
    ['G04', 'an extra parameter', `/demo/${PATH}?x=1&ik-s=${S}`],
    ['G04', 'a download', `/demo/${PATH}?ik-attachment=true&ik-s=${S}`],
    ['G04', 'a version', `/demo/${PATH}?ik-obj-version=x&ik-s=${S}`],
    ['G04', 'another file', `/demo/nodots?ik-s=${S}`],
    ['G04', 'a special ending', `/demo/${PATH}/ik-thumbnail.jpg?ik-s=${S}`],
    ['G04', 'another name for search engines', `/demo/ik-seo/private/photo/x.jpg?ik-s=${S}`],
    ['G05', 'the path encoded', `/demo/private%2Fphoto.jpg?ik-s=${S}`],
    ['G05', 'a letter encoded', `/demo/%70rivate/photo.jpg?ik-s=${S}`],
    ['G05', 'encoded twice', `/demo/private%252Fphoto.jpg?ik-s=${S}`],
    ['G05', 'slashes doubled', `/demo/private//photo.jpg?ik-s=${S}`],
    ['G05', 'the name of the parameter encoded', `/demo/${PATH}?i%6b-s=${S}`],
    ['G05', 'the question mark encoded', `/demo/${PATH}%3Fik-s=${S}`],
    [
      'G03',
      'E5: a digit of the path taken for time',
      `/demo/${PATH}?v=1&ik-t=2${soon}&ik-s=${sign(`${PATH}?v=12`, soon)}`,
    ],
  ]
  test.each(FORGED)('%s %s is refused', async (_id, _name, target) => {
    expectWireRefusal(await get(target), [400, 401, 404])
  })

  test('G07 a signed answer is private and ends with its signature', async () => {
    const answer = await get(`/demo/${PATH}?ik-t=${soon}&ik-s=${T}`)
    expect(answer.status).toBe(200)
    const [, maxAge] = /^private, max-age=(\d+)$/.exec(answer.headers.get('cache-control') ?? '') ?? []
    expect(Number(maxAge)).toBeLessThanOrEqual(600)
    expect((await get(`/demo/${PATH}`)).status).toBe(401)
  })
})
