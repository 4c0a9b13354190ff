import { badRequest, TintypeError } from '../kernel/errors.ts'
import { hmac, SHA1_HEX, sameDigest, sha256Hex, TEN_DIGIT_SECONDS } from './digest.ts'
import { type FindKey, MAX_LIFETIME_SEC, rememberUntilMs, type SigningKey } from './upload-token.ts'

/** The four credential fields of a v1 upload, as they came. */
export type UploadSignatureFields = {
  publicKey?: string | undefined
  signature?: string | undefined
  expire?: string | undefined
  token?: string | undefined
}

export type AuthenticatedSignature<K extends SigningKey> = {
  key: K
  /** SHA-256 hex under which the one-time store remembers the token; another `expire` gives the same. */
  useKey: string
  expiresAtMs: number
}

const INVALID_EXPIRE =
  'Your request contains invalid expire parameter. Expire parameter should be a Unix time in less than 1 hour into the future.'

/**
 * The alphabet keeps a token from being a path with a query, so that the signature of a URL (same key, same HMAC,
 * no separator) is never one of an upload (trust E4, V06).
 */
const TOKEN = /^[A-Za-z0-9_-]{1,128}$/

/**
 * Checks the client-side credentials of a v1 upload: HMAC-SHA1 hex of token + expire under the private key. The
 * caller consumes `useKey` next; until then the token is not used up.
 * @throws TintypeError bad-request, or forbidden for an unknown public key, with the contract's wording.
 */
export async function verifyUploadSignature<K extends SigningKey>(
  fields: UploadSignatureFields,
  options: { findKey: FindKey<K>; nowMs: number; skewSec: number },
): Promise<AuthenticatedSignature<K>> {
  const publicKey = required(fields, 'publicKey')
  const signature = required(fields, 'signature')
  const expire = required(fields, 'expire')
  const token = required(fields, 'token')
  if (!TEN_DIGIT_SECONDS.test(expire)) throw badRequest(INVALID_EXPIRE)
  const expireSec = Number(expire)
  const nowSec = Math.floor(options.nowMs / 1000)
  if (expireSec + options.skewSec <= nowSec) throw badRequest(INVALID_EXPIRE)
  if (expireSec > nowSec + MAX_LIFETIME_SEC + options.skewSec) throw badRequest(INVALID_EXPIRE)
  if (!TOKEN.test(token)) {
    throw badRequest(
      'Your request contains invalid token parameter. It should be 1 to 128 letters, digits, hyphens and underscores; we suggest a V4 UUID.',
    )
  }
  const key = await options.findKey(publicKey)
  if (!key || key.publicKey !== publicKey) {
    throw new TintypeError('forbidden', 'Your account cannot be authenticated.')
  }
  const expected = hmac('sha1', key.privateKey, token + expire)
  if (!SHA1_HEX.test(signature) || !sameDigest(expected, Buffer.from(signature, 'hex'))) {
    throw badRequest('Your request contains invalid signature parameter.')
  }
  return {
    key,
    // NUL occurs in no JWT, so a v1 token never shares its entry with a v2 token.
    useKey: sha256Hex(`v1\0${publicKey}\0${token}`),
    expiresAtMs: rememberUntilMs(expireSec, options),
  }
}

function required(fields: UploadSignatureFields, name: keyof UploadSignatureFields): string {
  const value = fields[name]
  if (!value) throw badRequest(`Your request is missing ${name} parameter.`)
  return value
}
