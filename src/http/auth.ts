import { TintypeError } from '../kernel/errors.ts'
import type { Account } from '../library/library.ts'
import type { ApiKey } from '../store/store.ts'

const NO_KEY = 'Your request does not contain private API key.'

/**
 * The private key that a request presents, or undefined without an Authorization header. The password is ignored:
 * official SDKs send an empty one or `do_not_set` (trust A02). `Basic base64(key)` without a colon and
 * `Basic private_…` without encoding are accepted too (OpenAPI, securitySchemes).
 * @throws TintypeError unauthorized for another scheme or a garbled value.
 */
export function readPrivateKey(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined
  const match = /^basic +([^\s]+)\s*$/i.exec(authorization)
  if (!match) throw new TintypeError('unauthorized', NO_KEY)
  const value = match[1]!
  if (value.startsWith('private_')) return value.split(':', 1)[0]!
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(value)) throw new TintypeError('unauthorized', NO_KEY)
  const key = Buffer.from(value, 'base64').toString('utf8').split(':', 1)[0]!
  if (key === '') throw new TintypeError('unauthorized', NO_KEY)
  return key
}

/** What a request does: reads, changes the library, or changes what belongs to the whole account. */
export type RequestScope = 'read' | 'write' | 'manage'

/**
 * Checks a request's private key.
 * @throws TintypeError unauthorized without a key, forbidden for an unknown, expired, disabled or too narrow one.
 */
export async function requireKey(
  authorization: string | undefined,
  account: Account,
  scope: RequestScope,
): Promise<ApiKey> {
  const candidate = readPrivateKey(authorization)
  if (candidate === undefined) throw new TintypeError('unauthorized', NO_KEY)
  const key = await account.authenticate(candidate)
  requireScope(key, scope)
  return key
}

/** @throws TintypeError forbidden, when a restricted key may not do this. */
export function requireScope(key: ApiKey, scope: RequestScope): void {
  const isTooNarrow =
    key.scope === 'none' ||
    (scope !== 'read' && key.scope === 'read') ||
    (scope === 'manage' && key.isRestricted)
  if (isTooNarrow) {
    throw new TintypeError('forbidden', 'Your API key does not have the permission for this request.')
  }
}
