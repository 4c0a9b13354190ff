import { hmac, SHA1_HEX, sameDigest, TEN_DIGIT_SECONDS } from './digest.ts'

/** What is signed in place of an expiry when a URL never expires; `ik-t` is then left out (contract notes 1.11). */
const NO_EXPIRY = '9999999999'

/** Characters that senders percent-encode and that separate nothing in a URL, each with its escape. */
const PLAIN_ESCAPE = /%(?:20|22|3C|3E|5B|5C|5D|5E|60|7B|7C|7D)/gi
const NON_ASCII_ESCAPES = /(?:%[89A-F][0-9A-F])+/gi
const TO_ESCAPE = /[ "<>[\\\]^`{|}]|[^\x00-\x7f]+/g

export type UrlSignature = {
  /** True only for a good signature that has not expired. */
  valid: boolean
  /** The target carries signature parameters, good or bad. */
  present: boolean
  /** The signed expiry, null if there is none or the signature is not good. */
  expiresAtSec: number | null
}

/**
 * Signs a delivery URL (contract notes 1.11): HMAC-SHA1 hex of the URL without its endpoint and without a leading
 * slash, followed by the expiry.
 * @param options.url the whole URL, percent-encoded as it will be requested.
 * @param options.expiresAtSec Unix seconds; absent: the URL never expires.
 */
export function signUrl(options: {
  url: string
  urlEndpoint: string
  privateKey: string
  expiresAtSec?: number
}): string {
  const { url, privateKey, expiresAtSec } = options
  const base = options.urlEndpoint.endsWith('/') ? options.urlEndpoint : `${options.urlEndpoint}/`
  if (!url.startsWith(base)) throw new RangeError('the URL to sign does not begin with the URL endpoint')
  if (expiresAtSec !== undefined && !TEN_DIGIT_SECONDS.test(String(expiresAtSec))) {
    throw new RangeError('the expiry to sign is not a Unix time of ten digits')
  }
  const signature = hmac('sha1', privateKey, url.slice(base.length) + (expiresAtSec ?? NO_EXPIRY))
  const separator = url.includes('?') ? '&' : '?'
  const expiry = expiresAtSec === undefined ? '' : `ik-t=${expiresAtSec}&`
  return `${url}${separator}${expiry}ik-s=${signature.toString('hex')}`
}

/**
 * Verifies the signature of a delivery request over the raw text of its target, never over a re-assembled form:
 * what is signed and what is served must be the same bytes (trust G04, G05).
 * @param options.rawTarget path and query as `node:http` gives them.
 * @param options.endpointPath path of the URL endpoint, e.g. `/demo`; empty if the endpoint is a whole origin.
 * @param options.endpointUrl the endpoint's public URL: SDKs sign the full URL when it does not begin with the
 * endpoint they were given (contract notes 6.4).
 * @param options.keys every private or URL-signing key that is valid now, so that keys can be rotated.
 * @param options.skewSec how long a URL is honoured past its expiry, for clients that sign without leeway.
 */
export function verifyUrlSignature(options: {
  rawTarget: string
  endpointPath: string
  endpointUrl?: string
  keys: readonly string[]
  nowMs: number
  skewSec: number
}): UrlSignature {
  const { keys, endpointUrl } = options
  const endpoint = options.endpointPath.replace(/\/+$/, '')
  const target = readUtf8(options.rawTarget)
  const present = hasSignatureParameter(target)
  const refused: UrlSignature = { valid: false, present, expiresAtSec: null }
  const parts = splitSignature(target)
  if (!parts || !target.startsWith(`${endpoint}/`)) return refused
  const { signature, expiry } = parts
  const unsigned = parts.unsigned.slice(endpoint.length + 1)
  // A second ik-t or ik-s, in any spelling, would let two readers see two signatures (trust G02).
  if (hasSignatureParameter(unsigned)) return refused
  if (!SHA1_HEX.test(signature) || (expiry !== undefined && !TEN_DIGIT_SECONDS.test(expiry))) return refused

  const received = Buffer.from(signature, 'hex')
  const spellings = spellingsOf(unsigned)
  const signedTexts = endpointUrl
    ? [...spellings, ...spellings.map((text) => `${endpointUrl.replace(/\/+$/, '')}/${text}`)]
    : spellings
  let matches = false
  // All of them are computed, so that the time does not tell which key or spelling came near.
  for (const key of keys) {
    for (const text of signedTexts) {
      if (sameDigest(hmac('sha1', key, text + (expiry ?? NO_EXPIRY)), received)) matches = true
    }
  }
  if (!matches) return refused
  const expiresAtSec = expiry === undefined || expiry === NO_EXPIRY ? null : Number(expiry)
  const isLive = expiresAtSec === null || options.nowMs < (expiresAtSec + options.skewSec) * 1000
  return { valid: isLive, present: true, expiresAtSec }
}

/**
 * Takes the trailing signature parameters off a target: `ik-t` before `ik-s` as SDKs write them, or the other order,
 * which the documentation shows too.
 */
function splitSignature(
  target: string,
): { unsigned: string; signature: string; expiry: string | undefined } | undefined {
  const queryStart = target.indexOf('?')
  if (queryStart < 0) return undefined
  const pairs = target.slice(queryStart + 1).split('&')
  const take = (name: string) => (pairs.at(-1)?.startsWith(`${name}=`) ? pairs.pop()!.slice(5) : undefined)
  let expiry = take('ik-t')
  const signature = take('ik-s')
  if (signature === undefined) return undefined
  expiry ??= take('ik-t')
  const path = target.slice(0, queryStart)
  return { unsigned: pairs.length === 0 ? path : `${path}?${pairs.join('&')}`, signature, expiry }
}

/**
 * The spellings of one target that name the same resource: as it came, with its plain and non-ASCII escapes decoded
 * (older SDKs sign the text before the browser encodes it), and with what was sent plainly encoded. Escapes of letters and of
 * characters with a meaning in URLs stay as they are: if `tr%3Dw-100` counted as `tr=w-100`, a signed URL could be
 * respelt into one whose transformation is no longer seen.
 */
function spellingsOf(text: string): string[] {
  const decoded = text
    .replace(PLAIN_ESCAPE, (triplet) => String.fromCharCode(Number.parseInt(triplet.slice(1), 16)))
    .replace(NON_ASCII_ESCAPES, (escapes) => {
      try {
        return decodeURIComponent(escapes)
      } catch {
        return escapes
      }
    })
  const encoded = text.isWellFormed() ? text.replace(TO_ESCAPE, (run) => encodeURIComponent(run)) : text
  return [...new Set([text, decoded, encoded])]
}

/** `node:http` gives raw UTF-8 bytes of a target as one character each; clients signed the characters. */
function readUtf8(target: string): string {
  if (!/[\x80-\xff]/.test(target) || /[^\x00-\xff]/.test(target)) return target
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(target, 'latin1'))
  } catch {
    return target
  }
}

function hasSignatureParameter(target: string): boolean {
  const queryStart = target.indexOf('?')
  if (queryStart < 0) return false
  return target
    .slice(queryStart + 1)
    .split(/[&?;]/)
    .some((pair) => {
      const name = pair.split('=', 1)[0]!
      const decoded = name.replace(/%([0-7][0-9a-f])/gi, (_, hex) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      )
      return /^ik-[st]$/i.test(decoded.trim())
    })
}
