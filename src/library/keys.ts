import { badRequest, notFound } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import type { ApiKey, KeyScope, Store, Tables } from '../store/store.ts'

/** Restricted pairs reach the media library only, and there no more than their name says (manual, "API keys"). */
export type KeyAccess = 'standard' | 'none' | 'read' | 'write'

export type KeyStatus = 'active' | 'expiring' | 'expired' | 'disabled'

/** Which pair is meant: its id, its public key, or its name if only one that goes on working has it. */
export type KeyReference = string

/** The key pairs of the installation, as an administrator changes them. */
export type Keyring = {
  list(): Promise<ApiKey[]>
  /** @throws TintypeError bad-request, when there are too many pairs, or none would be a standard one. */
  create(pair: { name: string; access: KeyAccess }): Promise<ApiKey>
  /** Changes what a restricted pair may do. */
  restrict(reference: KeyReference, access: KeyAccess): Promise<ApiKey>
  /** Makes a pair that may do the same, and lets the old one expire after a time. */
  roll(reference: KeyReference, expiresInMs: number): Promise<{ old: ApiKey; created: ApiKey }>
  disable(reference: KeyReference): Promise<ApiKey>
  enable(reference: KeyReference): Promise<ApiKey>
  remove(reference: KeyReference): Promise<ApiKey>
}

/** Pairs that work at once, those aside that are about to expire (manual, "API keys"). */
const MAX_PAIRS = 5
const MAX_NAME_CHARACTERS = 100

const NO_STANDARD = 'At least one standard key pair has to go on working. Create a standard one first.'

/**
 * Opens the keyring.
 * @param deps.isConfigured whether the settings hold a standard pair beside those of the store.
 */
export function createKeyring(deps: {
  store: Pick<Store, 'keys' | 'transaction'>
  ids: Ids
  clock: Clock
  isConfigured: boolean
}): Keyring {
  const { store, ids, clock, isConfigured } = deps
  const goesOn = (key: ApiKey) => keyStatus(key, clock.now()) === 'active'

  /** Runs one change that nothing else changes keys beside, and takes it back if no standard pair is left. */
  const change = <T>(work: (tx: Tables, keys: ApiKey[]) => Promise<T>): Promise<T> =>
    store.transaction(async (tx) => {
      await tx.keys.lock()
      const value = await work(tx, await tx.keys.list())
      const left = (await tx.keys.list()).filter((key) => !key.isRestricted && goesOn(key))
      if (left.length === 0 && !isConfigured) throw badRequest(NO_STANDARD)
      return value
    })

  const refuseTooMany = (keys: ApiKey[]) => {
    if (keys.filter(goesOn).length + Number(isConfigured) >= MAX_PAIRS) {
      throw badRequest(
        `There are ${MAX_PAIRS} key pairs already, which is the most. Delete or disable one first.`,
      )
    }
  }

  const find = (keys: ApiKey[], reference: KeyReference): ApiKey => {
    const exact = keys.find((key) => key.id === reference || key.publicKey === reference)
    if (exact) return exact
    const named = keys.filter((key) => key.name === reference)
    const going = named.filter(goesOn)
    if (named.length === 0) throw notFound(`There is no key pair "${reference}".`)
    if (named.length === 1) return named[0]!
    if (going.length === 1) return going[0]!
    const choice = named.map((key) => key.id).join(', ')
    throw badRequest(`Several key pairs have the name "${reference}". Give the id of one: ${choice}.`)
  }

  const edit = (reference: KeyReference, how: (key: ApiKey, keys: ApiKey[]) => ApiKey): Promise<ApiKey> =>
    change(async (tx, keys) => {
      const changed = how(find(keys, reference), keys)
      await tx.keys.change(changed)
      return changed
    })

  return {
    list: () => store.keys.list(),
    create: ({ name, access }) =>
      change(async (tx, keys) => {
        if (name.trim() === '' || name.length > MAX_NAME_CHARACTERS) {
          throw badRequest(`The name of a key pair has 1 to ${MAX_NAME_CHARACTERS} characters.`)
        }
        if (keys.some((key) => key.name === name && goesOn(key))) {
          throw badRequest(`There is a key pair with the name "${name}" already.`)
        }
        refuseTooMany(keys)
        const key = newKeyPair({ name, ...scopeOf(access) }, { ids, clock })
        await tx.keys.add(key)
        return key
      }),
    restrict: (reference, access) =>
      edit(reference, (key) => {
        if (!key.isRestricted || access === 'standard') {
          throw badRequest(
            'What a standard key pair may do cannot be changed. Create a restricted pair instead.',
          )
        }
        return { ...key, ...scopeOf(access) }
      }),
    roll: (reference, expiresInMs) =>
      change(async (tx, keys) => {
        const key = find(keys, reference)
        const nowMs = clock.now()
        if (keyStatus(key, nowMs) === 'expired') throw badRequest('This key pair has expired already.')
        const old = { ...key, expiresAtMs: Math.min(key.expiresAtMs ?? Infinity, nowMs + expiresInMs) }
        const created = newKeyPair(key, { ids, clock })
        await tx.keys.change(old)
        await tx.keys.add(created)
        return { old, created }
      }),
    disable: (reference) =>
      edit(reference, (key) => ({ ...key, disabledAtMs: key.disabledAtMs ?? clock.now() })),
    enable: (reference) =>
      edit(reference, (key, keys) => {
        if (key.disabledAtMs === null) throw badRequest('This key pair is not disabled.')
        refuseTooMany(keys)
        return { ...key, disabledAtMs: null }
      }),
    remove: (reference) =>
      change(async (tx, keys) => {
        const key = find(keys, reference)
        await tx.keys.remove(key.id)
        return key
      }),
  }
}

/** What becomes of requests with a key; `expiring` ones still work. */
export function keyStatus(key: ApiKey, nowMs: number): KeyStatus {
  if (key.disabledAtMs !== null) return 'disabled'
  if (key.expiresAtMs === null) return 'active'
  return key.expiresAtMs <= nowMs ? 'expired' : 'expiring'
}

/** A new pair with keys that cannot be guessed: 44 characters hold more than 256 bits. */
export function newKeyPair(
  { name, scope, isRestricted }: Pick<ApiKey, 'name' | 'scope' | 'isRestricted'>,
  { ids, clock }: { ids: Ids; clock: Clock },
): ApiKey {
  return {
    id: ids.next(),
    name,
    publicKey: `public_${ids.token(44)}`,
    privateKey: `private_${ids.token(44)}`,
    scope,
    isRestricted,
    createdAtMs: clock.now(),
    expiresAtMs: null,
    disabledAtMs: null,
  }
}

function scopeOf(access: KeyAccess): { scope: KeyScope; isRestricted: boolean } {
  return access === 'standard'
    ? { scope: 'write', isRestricted: false }
    : { scope: access, isRestricted: true }
}
