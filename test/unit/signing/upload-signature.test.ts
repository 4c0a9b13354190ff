import { createHmac, randomUUID } from 'node:crypto'
import ImageKit from '@imagekit/nodejs'
import ImageKit6 from 'imagekit'
import { describe, expect, it } from 'vitest'
import { TintypeError } from '../../../src/kernel/errors.ts'
import { verifyUploadSignature } from '../../../src/signing/signing.ts'

const NOW_SEC = 1_790_000_000
const pair = { publicKey: 'public_tests', privateKey: 'private_tests_0123456789abcdef' }
const options = {
  findKey: (publicKey: string) => (publicKey === pair.publicKey ? pair : undefined),
  nowMs: NOW_SEC * 1000,
  skewSec: 30,
}
const INVALID_EXPIRE =
  'Your request contains invalid expire parameter. Expire parameter should be a Unix time in less than 1 hour into the future.'

const sign = (token: string, expire: string, key = pair.privateKey) =>
  createHmac('sha1', key)
    .update(token + expire)
    .digest('hex')
const EXPIRE = String(NOW_SEC + 600)
const TOKEN = 'c48c1b1e-5d47-4f0e-9ffb-2f2f6dd6f5e0'
const GOOD = { publicKey: pair.publicKey, token: TOKEN, expire: EXPIRE, signature: sign(TOKEN, EXPIRE) }

async function refusal(fields: object): Promise<string> {
  try {
    await verifyUploadSignature(fields, options)
  } catch (error) {
    if (error instanceof TintypeError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'accepted'
}

describe('verifyUploadSignature', () => {
  it('accepts what the official SDKs sign', async () => {
    const expire = NOW_SEC + 1800
    const six = new ImageKit6({ ...pair, urlEndpoint: 'https://media.example/demo' })
    const seven = new ImageKit({ privateKey: pair.privateKey })
    for (const signed of [
      six.getAuthenticationParameters(randomUUID(), expire),
      seven.helper.getAuthenticationParameters(randomUUID(), expire),
    ]) {
      const fields = { publicKey: pair.publicKey, ...signed, expire: String(signed.expire) }
      const result = await verifyUploadSignature(fields, options)
      expect(result.key).toBe(pair)
      expect(result.expiresAtMs).toBe((expire + 30 + 3600) * 1000)
    }
  })

  it.each(['publicKey', 'signature', 'expire', 'token'])('names a missing %s', async (name) => {
    const message = `bad-request: Your request is missing ${name} parameter.`
    expect(await refusal({ ...GOOD, [name]: undefined })).toBe(message)
    expect(await refusal({ ...GOOD, [name]: '' })).toBe(message)
  })

  it.each(['public_unknown', 'PUBLIC_TESTS', pair.privateKey])('does not know %s', async (publicKey) => {
    expect(await refusal({ ...GOOD, publicKey })).toBe('forbidden: Your account cannot be authenticated.')
  })

  it.each([
    ['milliseconds', String((NOW_SEC + 600) * 1000)],
    ['more than an hour', String(NOW_SEC + 3631)],
    ['the past', String(NOW_SEC - 30)],
    ['nine digits', '999999999'],
    ['a sign', `+${EXPIRE}`],
    ['a fraction', `${EXPIRE}.0`],
    ['an exponent', '1.79e9'],
    ['hex', '0x6AB13B80'],
    ['a leading zero', `0${EXPIRE}`],
    ['a space', ` ${EXPIRE}`],
    ['other digits', '١٧٩٠٠٠٠٦٠٠'],
    ['not a number', 'NaN'],
  ])('refuses an expire with %s though it is well signed', async (_, expire) => {
    expect(await refusal({ ...GOOD, expire, signature: sign(TOKEN, expire) })).toBe(
      `bad-request: ${INVALID_EXPIRE}`,
    )
  })

  it('allows a full hour, and a clock that is off by the leeway', async () => {
    for (const sec of [NOW_SEC + 3600, NOW_SEC + 3630, NOW_SEC - 29]) {
      expect(await refusal({ ...GOOD, expire: String(sec), signature: sign(TOKEN, String(sec)) })).toBe(
        'accepted',
      )
    }
  })

  it.each([
    ['in upper case', GOOD.signature.toUpperCase()],
    ['short', GOOD.signature.slice(1)],
    ['long', `${GOOD.signature}0`],
    ['in base64', Buffer.from(GOOD.signature, 'hex').toString('base64')],
    ['of another key', sign(TOKEN, EXPIRE, 'private_other')],
    ['of the public key', sign(TOKEN, EXPIRE, pair.publicKey)],
    ['of another token', sign('other', EXPIRE)],
  ])('refuses a signature %s', async (_, signature) => {
    expect(await refusal({ ...GOOD, signature })).toBe(
      'bad-request: Your request contains invalid signature parameter.',
    )
  })

  it.each(['private/photo.jpg', 'photo.jpg', 'photo.jpg?v=12', 'a b', 'é', 'x'.repeat(129)])(
    'refuses the token %j, which a URL could be',
    async (token) => {
      expect(await refusal({ ...GOOD, token, signature: sign(token, EXPIRE) })).toMatch(
        /^bad-request: Your request contains invalid token parameter\./,
      )
    },
  )

  it('cannot be made to read part of the token as time', async () => {
    // One HMAC serves "tok12" + E and "tok1" + "2E": only the split with ten digits counts.
    const signature = sign('tok12', EXPIRE)
    expect(await refusal({ ...GOOD, token: 'tok12', signature })).toBe('accepted')
    expect(await refusal({ ...GOOD, token: 'tok1', expire: `2${EXPIRE}`, signature })).toBe(
      `bad-request: ${INVALID_EXPIRE}`,
    )
    expect(await refusal({ ...GOOD, token: `tok12${EXPIRE[0]}`, expire: EXPIRE.slice(1), signature })).toBe(
      `bad-request: ${INVALID_EXPIRE}`,
    )
  })

  it('keys the one-time store on the token under its public key alone', async () => {
    const first = await verifyUploadSignature(GOOD, options)
    const expire = String(NOW_SEC + 700)
    const resigned = await verifyUploadSignature({ ...GOOD, expire, signature: sign(TOKEN, expire) }, options)
    expect(resigned.useKey).toBe(first.useKey)
    const other = await verifyUploadSignature(
      { ...GOOD, token: 'other', signature: sign('other', EXPIRE) },
      options,
    )
    expect(other.useKey).not.toBe(first.useKey)
  })
})
