import { badRequest, type TintypeError } from '../kernel/errors.ts'
import { hmac, sameDigest, sha256Hex } from './digest.ts'
import { parseJsonMembers } from './json-members.ts'

/** The part of a key pair that signatures need; callers may hand over and get back richer records. */
export type SigningKey = { publicKey: string; privateKey: string }

/** Finds an active key pair by its public key. */
export type FindKey<K extends SigningKey> = (publicKey: string) => K | undefined | Promise<K | undefined>

/** Claim name -> the exact JSON text of its value. */
export type UploadClaims = ReadonlyMap<string, string>

export type AuthenticatedToken<K extends SigningKey> = {
  key: K
  claims: UploadClaims
  /** SHA-256 hex under which the one-time store remembers the token. */
  useKey: string
  /** Until when the one-time store must remember it; always finite. */
  expiresAtMs: number
}

/** Longest lifetime of a token or signature (seed 004: "must be less than one hour"). */
export const MAX_LIFETIME_SEC = 3600
/** A token is parsed before anybody is known, so its size is bounded first (trust J01). */
const MAX_TOKEN_CHARACTERS = 16 * 1024
/** Keeps the look-up of a key cheap for strangers (trust J03). */
const MAX_KEY_ID_BYTES = 128
/**
 * Used tokens are remembered this long past their end: another node whose clock runs ahead must not forget a token
 * while this node would still accept it (trust R07).
 */
const REMEMBER_MARGIN_SEC = 3600
/** The last second of the year 9999: a later `exp` is refused for good, so nothing need be remembered for it. */
const LAST_SECOND = 253_402_300_799
/** Header members that hand over a key, or change how the rest is read (RFC 7515 4.1, RFC 7797, trust J03). */
const REFUSED_HEADERS = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc']
/** Claims about the token itself; all others are upload parameters (trust J05). */
const TOKEN_CLAIMS = new Set(['iat', 'exp', 'nbf', 'jti', 'iss', 'sub', 'aud'])

const MISSING_TOKEN = 'Your request is missing token parameter.'
const INVALID_TOKEN = 'Your request has invalid token.'
const EXPIRED_TOKEN = 'Your request contains expired token.'
const PAYLOAD_MISMATCH =
  'Your request contains invalid payload. It does not match with the payload used to generate token.'

/**
 * Checks that an upload token (v2, JWT HS256) was made by the holder of one of our private keys. The caller must
 * consume `useKey` next and only then call `checkUploadClaims`: a token whose MAC is good is used up whatever comes
 * after, and one whose MAC is bad must never be (trust 2.2).
 * @throws TintypeError bad-request with the contract's wording.
 */
export async function authenticateUploadToken<K extends SigningKey>(
  token: string | undefined,
  options: { findKey: FindKey<K>; nowMs: number; skewSec: number },
): Promise<AuthenticatedToken<K>> {
  if (token === undefined || token === '') throw badRequest(MISSING_TOKEN)
  if (token.length > MAX_TOKEN_CHARACTERS) throw badRequest(INVALID_TOKEN)
  const parts = token.split('.')
  if (parts.length !== 3) throw badRequest(INVALID_TOKEN)
  const [headerBytes, payloadBytes, signature] = parts.map(parseCanonicalBase64url)
  if (!headerBytes || !payloadBytes || !signature) throw badRequest(INVALID_TOKEN)

  const keyId = readKeyId(headerBytes)
  const key = keyId === undefined ? undefined : await options.findKey(keyId)
  if (!key || key.publicKey !== keyId) throw badRequest(INVALID_TOKEN)
  const signedText = `${parts[0]}.${parts[1]}`
  if (!sameDigest(hmac('sha256', key.privateKey, signedText), signature)) throw badRequest(INVALID_TOKEN)

  const payload = decodeUtf8(payloadBytes)
  const claims = payload === undefined ? undefined : parseJsonMembers(payload)
  if (!claims) throw badRequest(INVALID_TOKEN)
  return {
    key,
    claims,
    useKey: sha256Hex(signedText),
    expiresAtMs: rememberUntilMs(readSeconds(claims.get('exp')), options),
  }
}

/**
 * Checks the times of an authenticated token and that the form carries exactly its payload.
 * @param options.fields names and values of the form in order of arrival, without `file` and `token`.
 * @throws TintypeError bad-request with the contract's wording.
 */
export function checkUploadClaims(options: {
  claims: UploadClaims
  fields: readonly (readonly [name: string, value: string])[]
  nowMs: number
  skewSec: number
}): void {
  const { claims, fields, skewSec } = options
  const nowSec = Math.floor(options.nowMs / 1000)
  const exp = readSeconds(claims.get('exp'))
  const iat = readSeconds(claims.get('iat'))
  if (exp === undefined || iat === undefined) throw badRequest(INVALID_TOKEN)
  if (exp + skewSec <= nowSec) throw badRequest(EXPIRED_TOKEN)
  if (exp > nowSec + MAX_LIFETIME_SEC + skewSec) throw badRequest(INVALID_TOKEN)
  if (exp <= iat || exp - iat > MAX_LIFETIME_SEC) throw badRequest(INVALID_TOKEN)
  if (iat > nowSec + skewSec) throw badRequest(INVALID_TOKEN)
  if (claims.has('nbf')) {
    const nbf = readSeconds(claims.get('nbf'))
    if (nbf === undefined || nbf > nowSec + skewSec) throw badRequest(INVALID_TOKEN)
  }
  if (!sameFields(claims, fields)) throw badRequest(PAYLOAD_MISMATCH)
}

/**
 * The answer to a token that was used before (contract notes 1.2). SDKs repeat a failed request with the same
 * token, so they are told to stop.
 */
export function usedTokenError(token: string): TintypeError {
  return badRequest(
    `The token with value '${token}' has been used before. We suggest using V4 UUIDs, or another random string with enough entropy to avoid collisions.`,
    { headers: { 'x-should-retry': 'false' } },
  )
}

/** When a used token may be forgotten: after it could no longer be accepted by any node. */
export function rememberUntilMs(
  expiresAtSec: number | undefined,
  options: { nowMs: number; skewSec: number },
): number {
  const nowSec = Math.ceil(options.nowMs / 1000)
  // A token without a usable end is refused whenever it comes, so the margin alone is enough for it.
  const endSec = expiresAtSec === undefined || expiresAtSec > LAST_SECOND ? nowSec : expiresAtSec
  return (Math.max(endSec, nowSec) + options.skewSec + REMEMBER_MARGIN_SEC) * 1000
}

/**
 * Bytes of a base64url text in its one canonical spelling. Decoders accept more (stray bits, padding, white space),
 * which would let one token be sent in many spellings (trust E6, J11).
 */
function parseCanonicalBase64url(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

/** The `kid` of a header that asks for exactly what we do: HS256 over a JWT (RFC 8725 3.1, 3.2). */
function readKeyId(headerBytes: Buffer): string | undefined {
  const text = decodeUtf8(headerBytes)
  const header = text === undefined ? undefined : parseJsonMembers(text)
  if (!header || REFUSED_HEADERS.some((name) => header.has(name))) return undefined
  if (readString(header.get('alg')) !== 'HS256' || readString(header.get('typ')) !== 'JWT') return undefined
  const keyId = readString(header.get('kid'))
  if (!keyId || Buffer.byteLength(keyId) > MAX_KEY_ID_BYTES) return undefined
  return keyId
}

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function readString(json: string | undefined): string | undefined {
  return json?.startsWith('"') ? (JSON.parse(json) as string) : undefined
}

/** Whole, non-negative seconds in plain digits; a fraction, an exponent or a string is not a time (trust J04). */
function readSeconds(json: string | undefined): number | undefined {
  if (json === undefined || !/^(0|[1-9][0-9]{0,15})$/.test(json)) return undefined
  const seconds = Number(json)
  return Number.isSafeInteger(seconds) ? seconds : undefined
}

function sameFields(claims: UploadClaims, fields: readonly (readonly [string, string])[]): boolean {
  const signed = new Map([...claims].filter(([name]) => !TOKEN_CLAIMS.has(name)))
  const seen = new Set<string>()
  for (const [name, value] of fields) {
    const json = signed.get(name)
    if (json === undefined || seen.has(name) || signedText(name, json) !== value) return false
    seen.add(name)
  }
  return seen.size === signed.size
}

/**
 * The form value that a signed value stands for, or undefined if there is none (trust J07): a string is itself, a
 * boolean or an integer is its JSON text, a list of tags is joined with commas, an object is its exact JSON text.
 */
function signedText(name: string, json: string): string | undefined {
  if (json.startsWith('"')) return JSON.parse(json) as string
  if (json === 'true' || json === 'false' || /^-?(0|[1-9][0-9]*)$/.test(json)) return json
  if (json.startsWith('{')) return json
  if (name === 'tags' && json.startsWith('[')) {
    const tags = JSON.parse(json) as unknown[]
    // A tag with a comma would read as two in the form.
    const areTags = tags.every((tag) => typeof tag === 'string' && tag !== '' && !tag.includes(','))
    return areTags && tags.length > 0 ? tags.join(',') : undefined
  }
  return undefined
}
