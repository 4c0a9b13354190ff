import { hash } from 'node:crypto'
import { TintypeError } from '../kernel/errors.ts'

export const SHA256 = /^[0-9a-f]{64}$/

/**
 * Hashes come from our own records; checked all the same, since paths and keys are made of them.
 * @throws TintypeError internal, for anything but lower-case hex of a SHA-256.
 */
export function checkKey(sha256: string) {
  if (!SHA256.test(sha256)) throw new TintypeError('internal', 'The server could not access its storage.')
}

/**
 * Gives whole blobs back only as what they are: a disk or a network may have changed them (trust F05, O04).
 * @throws TintypeError internal, when the bytes have another hash.
 */
export function checkBytes(bytes: Buffer, sha256: string): Buffer {
  if (hash('sha256', bytes) === sha256) return bytes
  throw new TintypeError('internal', 'The server could not access its storage.', {
    cause: new Error(`the blob ${sha256} is damaged: ${bytes.length} bytes with another hash`),
  })
}
