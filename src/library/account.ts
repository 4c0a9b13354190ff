import { createHash, timingSafeEqual } from 'node:crypto'
import { type Static, Type } from 'typebox'
import type { Blobs } from '../blobs/blobs.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import type { ApiKey, Store } from '../store/store.ts'
import { newKeyPair } from './keys.ts'

export const accountOptions = Type.Object({
  id: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9_-]{1,64}$',
      description: 'ImageKit id: the first part of delivery URLs. Made on the first run if absent.',
    }),
  ),
  publicKey: Type.Optional(Type.String({ minLength: 1, description: 'Public key of the main key pair.' })),
  privateKey: Type.Optional(
    Type.String({ minLength: 1, description: 'Private key of the main key pair. Secret.' }),
  ),
})
export type AccountOptions = Static<typeof accountOptions>

/** Who this installation is, and whose requests it trusts. */
export type Account = {
  readonly id: string
  /** Set when this start made the account or its first keys; printed once. */
  readonly created: { publicKey: string; privateKey: string } | undefined
  /** All key pairs that may be used now, and not for nothing at all. */
  activeKeys(): Promise<ApiKey[]>
  /** @throws TintypeError forbidden, with the contract's wording, for a key that is unknown, expired or disabled. */
  authenticate(privateKey: string): Promise<ApiKey>
  findByPublicKey(publicKey: string): Promise<ApiKey | undefined>
}

/** Keys read from the store are used for this long, so that a revoked one is refused everywhere within a second (trust A07). */
const KEY_CACHE_MS = 800
/** Bits that a generated private key holds at least (trust J09). */
const WEAK_KEY_LENGTH = 32

/** Whether a private key holds less than a generated one and could be guessed. */
export function isWeakKey(privateKey: string): boolean {
  return privateKey.length < WEAK_KEY_LENGTH
}

/** Whether a server has ever been started on this database: the first one makes the account before all else. */
export async function hasAccount(store: Pick<Store, 'settings'>): Promise<boolean> {
  return (await store.settings.get('account.id')) !== undefined
}

const LIBRARY_ID = 'library.id'
const OF_ANOTHER =
  'The files in the storage belong to another library than the database (its tintype-library.json says so). Do the settings name the database and the data folder or bucket of the same library? A new library wants a storage of its own: an empty data folder, or another bucket or blobs.s3.prefix.'

/**
 * Makes sure that the storage is of the same library as the database, or of none, which it is of from then on: two
 * libraries in one storage would take each other's files for garbage.
 * @throws TintypeError unavailable.
 */
export async function claimStorage(deps: {
  store: Pick<Store, 'settings'>
  blobs: Pick<Blobs, 'owner' | 'claim'>
  ids: Ids
}): Promise<void> {
  const { store, blobs, ids } = deps
  const owner = await blobs.owner()
  // A database from before there were such ids, or from a backup of then, is the storage's.
  const id =
    (await store.settings.get(LIBRARY_ID)) ?? (await store.settings.keep(LIBRARY_ID, owner ?? ids.token(24)))
  if (owner === undefined) await blobs.claim(String(id))
  if ((owner ?? (await blobs.owner())) !== id) throw new TintypeError('unavailable', OF_ANOTHER)
}

/** The same for those who change nothing about it. @throws TintypeError bad-request. */
export async function checkStorage(deps: {
  store: Pick<Store, 'settings'>
  blobs: Pick<Blobs, 'owner'>
}): Promise<void> {
  const [owner, id] = await Promise.all([deps.blobs.owner(), deps.store.settings.get(LIBRARY_ID)])
  if (owner !== undefined && id !== undefined && owner !== id) throw badRequest(OF_ANOTHER)
}

/** Whether both databases are of one library, as after a move or out of a backup. */
export async function areOfOneLibrary(
  one: Pick<Store, 'settings'>,
  other: Pick<Store, 'settings'>,
): Promise<boolean> {
  const [id, otherId] = await Promise.all([one.settings.get(LIBRARY_ID), other.settings.get(LIBRARY_ID)])
  return id !== undefined && id === otherId
}

/** Opens the account; on the very first run makes an id and a key pair and stores them. */
export async function openAccount(
  options: AccountOptions,
  deps: { store: Store; ids: Ids; clock: Clock; log: Log },
): Promise<Account> {
  const { store, ids, clock, log } = deps
  let created: Account['created']
  const id = await store.transaction(async (tx) => {
    created = undefined
    const stored = await tx.settings.get('account.id')
    const accountId = options.id ?? (typeof stored === 'string' ? stored : ids.token(9).toLowerCase())
    if (typeof stored !== 'string') await tx.settings.set('account.id', accountId)
    if (options.privateKey === undefined && (await tx.keys.list()).length === 0) {
      const key = newKeyPair({ name: 'default', scope: 'write', isRestricted: false }, { ids, clock })
      await tx.keys.add(key)
      created = { publicKey: key.publicKey, privateKey: key.privateKey }
    }
    return accountId
  })

  const configured = configuredKeys(options, clock.now())
  if (options.privateKey !== undefined && isWeakKey(options.privateKey)) {
    log.warn({}, 'the configured private key is short and could be guessed; use one that Tintype generated')
  }

  let cache: { keys: { key: ApiKey; hash: Buffer; publicHash: Buffer }[]; readAtMs: number } | undefined
  const keys = async () => {
    if (!cache || clock.now() - cache.readAtMs > KEY_CACHE_MS || clock.now() < cache.readAtMs) {
      const all = [...configured, ...(await store.keys.list())]
      cache = {
        keys: all.map((key) => ({
          key,
          hash: sha256(key.privateKey),
          publicHash: sha256(key.publicKey),
        })),
        readAtMs: clock.now(),
      }
    }
    return cache.keys
  }
  const misused = new Set<string>()
  /** Whoever sends it has mixed up the two, or tries what lies open (trust A03). Once is enough for the log. */
  const noteMisuse = ({ id: keyId, publicKey }: ApiKey) => {
    if (publicKey === '' || misused.has(keyId)) return
    misused.add(keyId)
    log.warn({ key: keyId }, 'a public key was sent in the place of a private key')
  }
  const isActive = (key: ApiKey) =>
    key.disabledAtMs === null && (key.expiresAtMs === null || clock.now() < key.expiresAtMs)

  return {
    id,
    created,
    async activeKeys() {
      return (await keys()).map((entry) => entry.key).filter((key) => isActive(key) && key.scope !== 'none')
    },
    async authenticate(privateKey) {
      // Hashes are compared, all of them, so that neither a prefix nor the position of a key shows in the time.
      const candidate = sha256(privateKey)
      let found: ApiKey | undefined
      for (const { key, hash, publicHash } of await keys()) {
        if (timingSafeEqual(hash, candidate)) found = key
        if (timingSafeEqual(publicHash, candidate)) noteMisuse(key)
      }
      if (!found) throw new TintypeError('forbidden', 'Your account cannot be authenticated.')
      if (found.disabledAtMs !== null) throw new TintypeError('forbidden', 'Your account is disabled.')
      if (!isActive(found)) {
        throw new TintypeError('forbidden', 'Your request contains expired private API key.')
      }
      return found
    },
    async findByPublicKey(publicKey) {
      if (publicKey === '') return undefined
      return (await keys()).find((entry) => entry.key.publicKey === publicKey && isActive(entry.key))?.key
    },
  }
}

/** The key pair of the settings, if there is one; it is not in the store and always a standard one. */
export function configuredKeys(options: AccountOptions, nowMs: number): ApiKey[] {
  if (options.privateKey === undefined) return []
  return [
    {
      id: 'configured',
      name: 'configured',
      publicKey: options.publicKey ?? '',
      privateKey: options.privateKey,
      scope: 'write',
      isRestricted: false,
      createdAtMs: nowMs,
      expiresAtMs: null,
      disabledAtMs: null,
    },
  ]
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
