import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { TintypeError } from './errors.ts'

/**
 * Encrypts secrets before they are stored, so that whoever gets hold of the database, or of a backup of it, does not
 * have them. Without a key it stores them as they are.
 */
export type Sealer = {
  /** Which key is used for what is stored from now on; undefined for none. */
  readonly keyId: string | undefined
  /** @param place where it is stored. It cannot be opened anywhere else, so that nobody can swap two secrets. */
  seal(text: string, place: string): string
  /**
   * Gives what was sealed, under the current key or an earlier one, and what is not sealed as it is.
   * @throws TintypeError unavailable, when its key is not known, or it was changed or belongs to another place.
   */
  open(text: string, place: string): string
  /** Under which key a stored text is sealed; undefined for one that is not sealed. */
  keyIdOf(text: string): string | undefined
  knows(keyId: string): boolean
}

/** 32 bytes, as base64 or in hexadecimal. */
export const SEALING_KEY_PATTERN = '^(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=?)$'

/** Nothing that is stored otherwise begins so: neither JSON nor a private key. */
const PREFIX = 'sealed:1:'
const KEY_BYTES = 32
/** What AES-GCM is made for (NIST SP 800-38D, 5.2.1.1). Random ones suffice for 2^32 secrets under one key. */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** @param keys the current one, and those that are still read. */
export function createSealer(keys: { current?: string | undefined; previous: readonly string[] }): Sealer {
  const current = keys.current === undefined ? undefined : keyOf(keys.current)
  const known = new Map(
    [...(current ? [current] : []), ...keys.previous.map(keyOf)].map(({ id, bytes }) => [id, bytes]),
  )

  const keyIdOf = (text: string) =>
    text.startsWith(PREFIX) ? text.slice(PREFIX.length).split(':', 1)[0] : undefined

  return {
    keyId: current?.id,
    keyIdOf,
    knows: (keyId) => known.has(keyId),
    seal(text, place) {
      if (!current) return text
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', current.bytes, nonce)
      cipher.setAAD(Buffer.from(place))
      const parts = [nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]
      return `${PREFIX}${current.id}:${Buffer.concat(parts).toString('base64url')}`
    },
    open(text, place) {
      const keyId = keyIdOf(text)
      if (keyId === undefined) return text
      const key = known.get(keyId)
      if (!key) throw new TintypeError('unavailable', unknownKeyMessage([keyId]))
      try {
        const bytes = Buffer.from(text.slice(PREFIX.length + keyId.length + 1), 'base64url')
        const nonce = bytes.subarray(0, NONCE_BYTES)
        const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
        decipher.setAAD(Buffer.from(place))
        decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
        return (
          decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
        )
      } catch (cause) {
        throw new TintypeError(
          'unavailable',
          'A secret in the database was changed or is not in its place.',
          {
            cause,
          },
        )
      }
    },
  }
}

/** What an operator reads when secrets cannot be opened. The ids say nothing of the keys. */
export function unknownKeyMessage(keyIds: readonly string[]): string {
  return `Secrets in the database are encrypted under a key that the settings do not have (${keyIds.join(', ')}). Set TINTYPE_ENCRYPTION_KEY, or add the key to TINTYPE_PREVIOUS_ENCRYPTION_KEYS.`
}

function keyOf(text: string): { id: string; bytes: Buffer } {
  const bytes = /^[0-9a-fA-F]{64}$/.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64')
  if (bytes.length !== KEY_BYTES)
    throw new TintypeError('internal', 'An encryption key does not have 32 bytes.')
  const id = createHash('sha256').update('tintype key id ').update(bytes).digest('hex').slice(0, 8)
  return { id, bytes }
}
