import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** HMAC of UTF-8 text under a key that is taken as UTF-8 text, as every scheme of the contract does. */
export function hmac(algorithm: 'sha1' | 'sha256', key: string | Buffer, message: string): Buffer {
  return createHmac(algorithm, key).update(message, 'utf8').digest()
}

/** Compares two digests without a timing oracle; digests of unequal length are unequal and never throw. */
export function sameDigest(expected: Buffer, received: Buffer): boolean {
  return expected.length === received.length && timingSafeEqual(expected, received)
}

export function sha256Hex(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}

/** Lower-case SHA-1 hex: the only spelling of a signature that is accepted, so that it has exactly one. */
export const SHA1_HEX = /^[0-9a-f]{40}$/

/**
 * Unix seconds with exactly ten digits. The documented HMACs join a text and a time without a separator; a fixed
 * width makes the split unique, so one signature cannot be read as another text with another time (trust E5).
 */
export const TEN_DIGIT_SECONDS = /^[1-9][0-9]{9}$/
