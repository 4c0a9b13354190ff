import { randomBytes, randomUUID } from 'node:crypto'

/** A source of identifiers, injectable so that tests can predict them. */
export type Ids = {
  /** 24 lower-case hex digits: the shape of every asset, version, folder and job id (contract notes, 1.0). */
  next(): string
  /** A request id (UUID v4), sent as `x-ik-requestid`. */
  request(): string
  /** `length` characters of `[A-Za-z0-9]`, from a cryptographic source; used for name suffixes and opaque keys. */
  token(length: number): string
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

function randomToken(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length * 2)) {
      // Bytes past the last whole multiple of 62 would favour the first letters of the alphabet.
      if (byte < 248 && text.length < length) text += ALPHABET[byte % 62]
    }
  }
  return text
}

/**
 * Ids begin with the second of their making (4 bytes), so that rows inserted together lie together in an
 * index; the other 8 bytes are random, so that ids cannot be guessed and two nodes never meet.
 */
export const systemIds: Ids = {
  next: () =>
    Math.floor(Date.now() / 1000)
      .toString(16)
      .padStart(8, '0') + randomBytes(8).toString('hex'),
  request: () => randomUUID(),
  token: randomToken,
}
