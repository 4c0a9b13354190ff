import { TintypeError } from '../kernel/errors.ts'

export const SHA256 = /^[0-9a-f]{64}$/

/**
 * Hashes come from our own records; checked all the same, since paths and keys are made of them.
 * @throws TintypeError internal, for anything but lower-case hex of a SHA-256.
 */
export function checkKey(sha256: string) {
  if (!SHA256.test(sha256)) throw new TintypeError('internal', 'The server could not access its storage.')
}
