import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { TintypeError } from '../../../src/kernel/errors.ts'
import { authenticateUploadToken, checkUploadClaims, usedTokenError } from '../../../src/signing/signing.ts'

const NOW_SEC = 1_790_000_000
const nowMs = NOW_SEC * 1000 + 250
const skewSec = 30
const pair = { publicKey: 'public_tests', privateKey: 'private_tests_0123456789abcdef', name: 'first' }
const other = { publicKey: 'public_other', privateKey: 'private_other_0123456789abcdef', name: 'second' }
const findKey = (publicKey: string) => [pair, other].find((key) => key.publicKey === publicKey)

const MISSING = 'Your request is missing token parameter.'
const INVALID = 'Your request has invalid token.'
const EXPIRED = 'Your request contains expired token.'
const MISMATCH =
  'Your request contains invalid payload. It does not match with the payload used to generate token.'

const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
const encode = (value: unknown) => Buffer.from(text(value)).toString('base64url')
const HEADER = { alg: 'HS256', typ: 'JWT', kid: pair.publicKey }
const CLAIMS = { fileName: 'a.jpg', iat: NOW_SEC, exp: NOW_SEC + 600 }

/** Signs whatever header and payload, given as values or as raw JSON text, the way a key holder could. */
function sign(header: unknown, payload: unknown, key = pair.privateKey, hash = 'sha256'): string {
  const signed = `${encode(header)}.${encode(payload)}`
  return `${signed}.${createHmac(hash, key).update(signed).digest('base64url')}`
}

const authenticate = (token: string | undefined) =>
  authenticateUploadToken(token, { findKey, nowMs, skewSec })

async function refusal(work: () => unknown): Promise<string> {
  try {
    await work()
  } catch (error) {
    if (error instanceof TintypeError && error.kind === 'bad-request') return error.message
    throw error
  }
  return 'accepted'
}

async function verify(token: string, fields: [string, string][] = [['fileName', 'a.jpg']]): Promise<string> {
  return await refusal(async () => {
    const { claims } = await authenticate(token)
    checkUploadClaims({ claims, fields, nowMs, skewSec })
  })
}

describe('authenticateUploadToken', () => {
  it('accepts the token of the documented recipe and tells whose it is', async () => {
    const token = await new SignJWT({ fileName: 'a.jpg', useUniqueFileName: 'false' })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: pair.publicKey })
      .setIssuedAt(NOW_SEC)
      .setExpirationTime(NOW_SEC + 400)
      .sign(Buffer.from(pair.privateKey))
    const result = await authenticate(token)
    expect(result.key.name).toBe('first')
    expect(result.useKey).toMatch(/^[0-9a-f]{64}$/)
    expect([...result.claims]).toContainEqual(['useUniqueFileName', '"false"'])
    checkUploadClaims({
      claims: result.claims,
      fields: [
        ['useUniqueFileName', 'false'],
        ['fileName', 'a.jpg'],
      ],
      nowMs,
      skewSec,
    })
  })

  it('asks for an active key pair asynchronously too', async () => {
    const token = sign({ ...HEADER, kid: other.publicKey }, CLAIMS, other.privateKey)
    const result = await authenticateUploadToken(token, {
      findKey: async (kid) => findKey(kid),
      nowMs,
      skewSec,
    })
    expect(result.key.name).toBe('second')
  })

  it.each([undefined, ''])('names a missing token: %j', async (token) => {
    expect(await refusal(() => authenticate(token))).toBe(MISSING)
  })

  const good = sign(HEADER, CLAIMS)
  const [head, body, mac] = good.split('.') as [string, string, string]
  const publicMac = createHmac('sha256', pair.publicKey).update(`${head}.${body}`).digest('base64url')
  it.each<[string, string]>([
    ['garbage', 'x'],
    ['one dot', `${head}.${body}`],
    ['four parts', `${good}.${mac}`],
    ['five parts (JWE)', `${good}.${mac}.${mac}`],
    ['empty parts', '..'],
    ['empty signature', `${head}.${body}.`],
    ['short signature', `${head}.${body}.${mac.slice(0, 20)}`],
    ['long signature', `${head}.${body}.${mac}AAAA`],
    ['signature of another token', `${head}.${encode({ ...CLAIMS, fileName: 'b.jpg' })}.${mac}`],
    ['one MiB', 'a'.repeat(1024 * 1024)],
    ['just over 16 KiB', sign(HEADER, { ...CLAIMS, pad: 'x'.repeat(16 * 1024) })],
    ['standard base64 alphabet', good.replaceAll('-', '+').replaceAll('_', '/').concat('+')],
    ['padding', `${good}=`],
    ['trailing newline', `${good}\n`],
    ['leading space', ` ${good}`],
    ['space in the signature', `${head}.${body}.${mac.slice(0, 9)} ${mac.slice(9)}`],
    ['header that is no JSON', sign('{', CLAIMS)],
    ['header that is an array', sign([], CLAIMS)],
    ['header that is null', sign('null', CLAIMS)],
    ['header that is not UTF-8', `${Buffer.from([0xff, 0xfe]).toString('base64url')}.${body}.${mac}`],
    ['payload that is no JSON', sign(HEADER, 'fileName')],
    ['payload that is a string', sign(HEADER, '"x"')],
    ['payload that is an array', sign(HEADER, [CLAIMS])],
    ['payload with trailing text', sign(HEADER, `${JSON.stringify(CLAIMS)}x`)],
    ['payload with a byte-order mark', sign(HEADER, `\ufeff${JSON.stringify(CLAIMS)}`)],
    ['payload nested 6,000 deep', sign(HEADER, `{"a":${'['.repeat(6000)}${']'.repeat(6000)}}`)],
    ['payload with a repeated key', sign(HEADER, '{"fileName":"a.jpg","fileName":"b.jpg","iat":1,"exp":2}')],
    ['payload with a key repeated in an escape', sign(HEADER, '{"exp":1,"\\u0065xp":2}')],
    ['payload with a repeated key inside', sign(HEADER, '{"customMetadata":{"a":1,"a":2}}')],
    [
      'header with a repeated key',
      sign('{"alg":"none","alg":"HS256","typ":"JWT","kid":"public_tests"}', CLAIMS),
    ],
    ['alg none without a signature', `${encode({ ...HEADER, alg: 'none' })}.${body}.`],
    ['alg none, well signed', sign({ ...HEADER, alg: 'none' }, CLAIMS)],
    ['alg None', sign({ ...HEADER, alg: 'None' }, CLAIMS)],
    ['alg hs256', sign({ ...HEADER, alg: 'hs256' }, CLAIMS)],
    ['alg HS384', sign({ ...HEADER, alg: 'HS384' }, CLAIMS, pair.privateKey, 'sha384')],
    ['alg HS512', sign({ ...HEADER, alg: 'HS512' }, CLAIMS, pair.privateKey, 'sha512')],
    ['alg RS256', sign({ ...HEADER, alg: 'RS256' }, CLAIMS)],
    ['alg in an array', sign({ ...HEADER, alg: ['HS256'] }, CLAIMS)],
    ['alg missing', sign({ typ: 'JWT', kid: pair.publicKey }, CLAIMS)],
    ['alg as __proto__', sign('{"__proto__":{"alg":"HS256"},"typ":"JWT","kid":"public_tests"}', CLAIMS)],
    ['typ missing', sign({ alg: 'HS256', kid: pair.publicKey }, CLAIMS)],
    ['typ of another kind', sign({ ...HEADER, typ: 'at+jwt' }, CLAIMS)],
    ['signed with the public key', `${head}.${body}.${publicMac}`],
    ['signed with an empty key', sign(HEADER, CLAIMS, '')],
    ['signed with the key of another pair', sign(HEADER, CLAIMS, other.privateKey)],
    ['kid unknown', sign({ ...HEADER, kid: 'public_unknown' }, CLAIMS)],
    ['kid missing', sign({ alg: 'HS256', typ: 'JWT' }, CLAIMS)],
    ['kid empty', sign({ ...HEADER, kid: '' }, CLAIMS)],
    ['kid a path', sign({ ...HEADER, kid: '../../dev/null' }, CLAIMS, '')],
    ['kid an injection', sign({ ...HEADER, kid: "x' UNION SELECT 'key" }, CLAIMS, 'key')],
    ['kid in an array', sign({ ...HEADER, kid: [pair.publicKey] }, CLAIMS)],
    ['kid a number', sign({ ...HEADER, kid: 1 }, CLAIMS)],
    ['kid of 129 bytes', sign({ ...HEADER, kid: 'é'.repeat(64).concat('x') }, CLAIMS)],
    ['kid the private key', sign({ ...HEADER, kid: pair.privateKey }, CLAIMS)],
    ['kid in other case', sign({ ...HEADER, kid: 'PUBLIC_TESTS' }, CLAIMS)],
    ['header brings a key', sign({ ...HEADER, jwk: { kty: 'oct', k: 'AA' } }, CLAIMS)],
    ['header names a key set', sign({ ...HEADER, jku: 'https://evil.example/keys' }, CLAIMS)],
    ['header names a certificate', sign({ ...HEADER, x5u: 'https://evil.example/cert' }, CLAIMS)],
    ['header with crit', sign({ ...HEADER, crit: ['exp'] }, CLAIMS)],
    ['header with b64', sign({ ...HEADER, b64: false, crit: ['b64'] }, CLAIMS)],
  ])('refuses %s', async (_, token) => {
    expect(await refusal(() => authenticate(token))).toBe(INVALID)
  })

  it('never looks up a key for a header that it refuses anyway', async () => {
    const asked: string[] = []
    const spy = (kid: string) => {
      asked.push(kid)
      return pair
    }
    const options = { findKey: spy, nowMs, skewSec }
    for (const header of [
      { ...HEADER, alg: 'none' },
      { ...HEADER, kid: 'k'.repeat(100_000) },
    ]) {
      expect(await refusal(() => authenticateUploadToken(sign(header, CLAIMS), options))).toBe(INVALID)
    }
    expect(asked).toEqual([])
  })

  it('does not trust a key store that answers with another pair', async () => {
    const token = sign({ ...HEADER, kid: 'public_tests ' }, CLAIMS)
    expect(await refusal(() => authenticateUploadToken(token, { findKey: () => pair, nowMs, skewSec }))).toBe(
      INVALID,
    )
  })

  it('refuses every respelling of a good token, so that one-time use cannot be bypassed', async () => {
    // The last character of a 32-byte MAC carries two bits that decoders ignore.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    let refused = 0
    for (const last of alphabet) {
      const respelt = `${head}.${body}.${mac.slice(0, -1)}${last}`
      if (respelt === good) continue
      expect(await refusal(() => authenticate(respelt))).toBe(INVALID)
      refused += 1
    }
    expect(refused).toBe(63)
  })

  it('refuses every token with one changed character', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length - 1),
        fc.string({ unit: 'binary', minLength: 1 }),
        async (at, part) => {
          const changed = good.slice(0, at) + part + good.slice(at + 1)
          fc.pre(changed !== good)
          expect(await refusal(() => authenticate(changed))).toBe(INVALID)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('keys the one-time store on what is signed', async () => {
    const first = await authenticate(good)
    expect((await authenticate(good)).useKey).toBe(first.useKey)
    expect((await authenticate(sign(HEADER, { ...CLAIMS, jti: '1' }))).useKey).not.toBe(first.useKey)
  })

  it.each<[string, unknown, number]>([
    ['a usual end', NOW_SEC + 600, NOW_SEC + 600],
    ['an end in two days, when it could become valid', NOW_SEC + 172_800, NOW_SEC + 172_800],
    ['a past end', NOW_SEC - 9999, NOW_SEC + 1],
    ['no end', undefined, NOW_SEC + 1],
    ['an end in text', '2000000000', NOW_SEC + 1],
    ['an absurd end', 1e300, NOW_SEC + 1],
    ['an end in milliseconds', nowMs, nowMs],
    ['a negative end', -5, NOW_SEC + 1],
  ])('remembers a token with %s until no node can accept it', async (_, exp, endSec) => {
    const { expiresAtMs } = await authenticate(sign(HEADER, { ...CLAIMS, exp }))
    const bounded = endSec > 253_402_300_799 ? NOW_SEC + 1 : endSec
    expect(expiresAtMs).toBe((bounded + skewSec + 3600) * 1000)
  })
})

describe('checkUploadClaims: times', () => {
  it.each<[string, object | string, string]>([
    ['at its last second', { exp: NOW_SEC + 1 }, 'accepted'],
    ['expired within the leeway', { exp: NOW_SEC - 29, iat: NOW_SEC - 100 }, 'accepted'],
    ['expired at the end of the leeway', { exp: NOW_SEC - 30, iat: NOW_SEC - 100 }, EXPIRED],
    ['long expired', { exp: 1, iat: 0 }, EXPIRED],
    ['exactly an hour', { exp: NOW_SEC + 3600 }, 'accepted'],
    ['an hour and a second', { exp: NOW_SEC + 3601 }, INVALID],
    ['an hour ahead of a fast clock', { iat: NOW_SEC + 30, exp: NOW_SEC + 3630 }, 'accepted'],
    ['issued in the future', { iat: NOW_SEC + 31, exp: NOW_SEC + 3630 }, INVALID],
    ['issued a day ago, for a day and more', { iat: NOW_SEC - 86_400, exp: NOW_SEC + 60 }, INVALID],
    ['ending before it was issued', { iat: NOW_SEC + 20, exp: NOW_SEC + 10 }, INVALID],
    ['no exp', { exp: undefined }, INVALID],
    ['no iat', { iat: undefined }, INVALID],
    ['exp a string', { exp: String(NOW_SEC + 600) }, INVALID],
    ['exp in milliseconds', { exp: (NOW_SEC + 600) * 1000 }, INVALID],
    ['exp a fraction', { exp: NOW_SEC + 600.5 }, INVALID],
    ['exp huge', { exp: 1e300 }, INVALID],
    ['exp negative', { exp: -1 }, INVALID],
    ['exp null', { exp: null }, INVALID],
    ['exp true', { exp: true }, INVALID],
    ['exp in an array', { exp: [NOW_SEC + 600] }, INVALID],
    ['exp with an exponent', `{"fileName":"a.jpg","iat":${NOW_SEC},"exp":17900006e2}`, INVALID],
    ['iat a string', { iat: String(NOW_SEC) }, INVALID],
    ['iat negative', { iat: -1 }, INVALID],
    ['nbf reached', { nbf: NOW_SEC + 30 }, 'accepted'],
    ['nbf in the future', { nbf: NOW_SEC + 31 }, INVALID],
    ['nbf a string', { nbf: '0' }, INVALID],
  ])('%s', async (_, claims, outcome) => {
    const payload = typeof claims === 'string' ? claims : { ...CLAIMS, ...claims }
    expect(await verify(sign(HEADER, payload))).toBe(outcome)
  })
})

describe('checkUploadClaims: payload against form', () => {
  const signed = (payload: object) => sign(HEADER, { iat: NOW_SEC, exp: NOW_SEC + 600, ...payload })
  const F: [string, string] = ['fileName', 'a.jpg']

  it.each<[string, object, [string, string][], boolean]>([
    ['nothing signed, nothing sent', {}, [], true],
    ['the same in another order', { fileName: 'a.jpg', tags: 'x,y' }, [['tags', 'x,y'], F], true],
    ['claims about the token', { fileName: 'a.jpg', jti: '1', iss: 'a', sub: 'b', aud: 'c' }, [F], true],
    ['a missing field', { fileName: 'a.jpg', folder: '/x' }, [F], false],
    ['an extra field', { fileName: 'a.jpg' }, [F, ['folder', '/x']], false],
    ['an extra empty field', { fileName: 'a.jpg' }, [F, ['folder', '']], false],
    ['a renamed field', { fileName: 'a.jpg' }, [['filename', 'a.jpg']], false],
    ['a changed value', { fileName: 'a.jpg' }, [['fileName', 'b.jpg']], false],
    ['a trailing space', { fileName: 'a.jpg' }, [['fileName', 'a.jpg ']], false],
    ['another case', { fileName: 'a.jpg' }, [['fileName', 'A.jpg']], false],
    ['another normalisation', { fileName: '\u00e9' }, [['fileName', 'e\u0301']], false],
    ['a repeated field', { fileName: 'a.jpg' }, [F, F], false],
    ['a repeated field, changed', { fileName: 'a.jpg' }, [F, ['fileName', 'b.jpg']], false],
    ['a form field called exp', { fileName: 'a.jpg' }, [F, ['exp', String(NOW_SEC + 600)]], false],
    ['a form field called aud', { fileName: 'a.jpg', aud: 'x' }, [F, ['aud', 'x']], false],
    [
      'a boolean as its text',
      { fileName: 'a.jpg', isPrivateFile: true },
      [F, ['isPrivateFile', 'true']],
      true,
    ],
    [
      'a boolean as another text',
      { fileName: 'a.jpg', isPrivateFile: true },
      [F, ['isPrivateFile', '1']],
      false,
    ],
    ['the other boolean', { fileName: 'a.jpg', isPrivateFile: true }, [F, ['isPrivateFile', 'false']], false],
    ['an integer', { fileName: 'a.jpg', n: 12 }, [F, ['n', '12']], true],
    ['an integer with a zero', { fileName: 'a.jpg', n: 12 }, [F, ['n', '012']], false],
    ['a fraction', { fileName: 'a.jpg', n: 1.5 }, [F, ['n', '1.5']], false],
    ['null', { fileName: 'a.jpg', folder: null }, [F, ['folder', 'null']], false],
    ['null against empty', { fileName: 'a.jpg', folder: null }, [F, ['folder', '']], false],
    ['tags in an array', { fileName: 'a.jpg', tags: ['a', 'b'] }, [F, ['tags', 'a,b']], true],
    ['tags in an array with a comma', { fileName: 'a.jpg', tags: ['a,b'] }, [F, ['tags', 'a,b']], false],
    ['tags in an array with a number', { fileName: 'a.jpg', tags: ['a', 1] }, [F, ['tags', 'a,1']], false],
    ['tags nested', { fileName: 'a.jpg', tags: [['a', 'b']] }, [F, ['tags', 'a,b']], false],
    ['tags as JSON text', { fileName: 'a.jpg', tags: ['a', 'b'] }, [F, ['tags', '["a","b"]']], false],
    ['no tags against empty', { fileName: 'a.jpg', tags: [] }, [F, ['tags', '']], false],
    [
      'another array',
      { fileName: 'a.jpg', responseFields: ['tags'] },
      [F, ['responseFields', 'tags']],
      false,
    ],
    ['a file name in an array', { fileName: ['a.jpg'] }, [F], false],
    [
      'an object as its text',
      { fileName: 'a.jpg', customMetadata: { a: 1, b: ['x'] } },
      [F, ['customMetadata', '{"a":1,"b":["x"]}']],
      true,
    ],
    [
      'an object in another spelling',
      { fileName: 'a.jpg', customMetadata: { a: 1, b: 2 } },
      [F, ['customMetadata', '{"b":2,"a":1}']],
      false,
    ],
    ['an object against [object Object]', { o: {} }, [['o', '[object Object]']], false],
    ['the text of an object', { o: '{"a":1}' }, [['o', '{"a":1}']], true],
    ['the text "true"', { o: 'true' }, [['o', 'true']], true],
  ])('%s', async (_, payload, fields, agrees) => {
    expect(await verify(signed(payload), fields)).toBe(agrees ? 'accepted' : MISMATCH)
  })

  it('compares numbers by their spelling', async () => {
    const raw = (n: string) => sign(HEADER, `{"iat":${NOW_SEC},"exp":${NOW_SEC + 600},"n": ${n} }`)
    expect(await verify(raw('100'), [['n', '100']])).toBe('accepted')
    expect(await verify(raw('1e2'), [['n', '100']])).toBe(MISMATCH)
    expect(await verify(raw('100.0'), [['n', '100']])).toBe(MISMATCH)
    expect(await verify(raw('9007199254740993'), [['n', '9007199254740992']])).toBe(MISMATCH)
  })

  it('treats names of object members like any other', async () => {
    const token = sign(HEADER, `{"__proto__":"x","iat":${NOW_SEC},"exp":${NOW_SEC + 600}}`)
    expect(await verify(token, [['__proto__', 'x']])).toBe('accepted')
    expect(await verify(token, [])).toBe(MISMATCH)
    expect(await verify(signed({}), [['constructor', 'x']])).toBe(MISMATCH)
  })

  it('accepts a form exactly when it equals the signed strings', async () => {
    const name = fc
      .string({ unit: 'binary', maxLength: 12 })
      .filter((text) => !/^(iat|exp|nbf|jti|iss|sub|aud)$/.test(text))
    const pairs = fc.uniqueArray(fc.tuple(name, fc.string({ unit: 'binary' })), {
      selector: ([key]) => key,
      maxLength: 8,
    })
    await fc.assert(
      fc.asyncProperty(pairs, fc.nat(), fc.string(), async (fields, pick, noise) => {
        const members = fields.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
        const token = sign(
          HEADER,
          `{${[...members, `"iat":${NOW_SEC}`, `"exp":${NOW_SEC + 9}`].join(' , ')}}`,
        )
        expect(await verify(token, fields.toReversed())).toBe('accepted')
        if (fields.length === 0 || noise === '') return
        const changed = fields.with(pick % fields.length, [
          fields[pick % fields.length]![0],
          fields[pick % fields.length]![1] + noise,
        ])
        expect(await verify(token, changed)).toBe(MISMATCH)
      }),
      { numRuns: 200 },
    )
  })
})

describe('usedTokenError', () => {
  it('uses the observed wording and stops the retries of SDKs', () => {
    const error = usedTokenError('abc')
    expect(error.kind).toBe('bad-request')
    expect(error.message).toBe(
      "The token with value 'abc' has been used before. We suggest using V4 UUIDs, or another random string with enough entropy to avoid collisions.",
    )
    expect(error.headers).toEqual({ 'x-should-retry': 'false' })
  })
})
