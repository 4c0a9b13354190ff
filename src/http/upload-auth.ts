import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Clock } from '../kernel/time.ts'
import type { Account } from '../library/library.ts'
import {
  authenticateUploadToken,
  checkUploadClaims,
  type SigningOptions,
  usedTokenError,
  verifyUploadSignature,
} from '../signing/signing.ts'
import type { ApiKey, Store } from '../store/store.ts'
import { requireScope } from './auth.ts'

export type UploadApi = 'v1' | 'v2'
export type FormFields = readonly (readonly [name: string, value: string])[]

/** Credentials that a client-side upload carries in its form instead of a private key. */
export type UploadAuth = {
  /** @throws TintypeError bad-request: beside a private key they mean that the key has reached a browser. */
  refuseBeside(api: UploadApi, fields: FormFields): void
  /**
   * Looks at the credentials that have arrived before the file, so that a forged upload is refused before its bytes
   * are read. Says nothing about those that are still to come, and uses nothing up.
   */
  screen(api: UploadApi, fields: FormFields): Promise<void>
  /**
   * Authenticates a whole form and uses its token up, in a transaction of its own that is committed before anything
   * else happens: exactly one request wins, and the token stays used whatever comes after (trust 2.2).
   * @returns the key whose holder signed.
   */
  authenticate(api: UploadApi, fields: FormFields): Promise<ApiKey>
}

const CREDENTIALS: Record<UploadApi, string[]> = {
  v1: ['publicKey', 'signature', 'expire', 'token'],
  v2: ['token'],
}
const BESIDE_KEY: Record<UploadApi, string> = {
  v1: 'Your request contains both signature and basic auth parameter. Use only one method, you might be exposing your private API key.',
  v2: 'Your request contains both token and basic auth parameter. Use only one method, you might be exposing your private API key.',
}
/** A token in an error message is cut here: the documented text repeats it, whatever its length. */
const SHOWN_TOKEN_CHARACTERS = 200

export function createUploadAuth(deps: {
  account: Account
  store: Pick<Store, 'transaction'>
  signing: SigningOptions
  clock: Clock
}): UploadAuth {
  const { account, store, signing, clock } = deps

  /** Checks who signed; the caller uses the token up next. */
  async function recognise(api: UploadApi, fields: FormFields) {
    const names = CREDENTIALS[api]
    for (const name of names) {
      if (fields.filter((field) => field[0] === name).length > 1) {
        throw badRequest(`Your request contains ${name} parameter more than once.`)
      }
    }
    const context = {
      findKey: (publicKey: string) => account.findByPublicKey(publicKey),
      nowMs: clock.now(),
      skewSec: signing.uploadSkewSec,
    }
    const value = (name: string) => fields.find((field) => field[0] === name)?.[1]
    const authenticated =
      api === 'v2'
        ? await authenticateUploadToken(value('token'), context)
        : {
            claims: undefined,
            ...(await verifyUploadSignature(
              {
                publicKey: value('publicKey'),
                signature: value('signature'),
                expire: value('expire'),
                token: value('token'),
              },
              context,
            )),
          }
    requireScope(authenticated.key, 'write')
    return { ...authenticated, context, token: value('token')! }
  }

  const carries = (fields: FormFields, name: string) => fields.some((field) => field[0] === name)

  return {
    refuseBeside(api, fields) {
      if (CREDENTIALS[api].some((name) => carries(fields, name))) throw badRequest(BESIDE_KEY[api])
    },
    async screen(api, fields) {
      if (CREDENTIALS[api].every((name) => carries(fields, name))) await recognise(api, fields)
    },
    async authenticate(api, fields) {
      if (api === 'v1' && !CREDENTIALS.v1.some((name) => carries(fields, name))) {
        throw new TintypeError('unauthorized', 'Your request does not contain private API key.')
      }
      const { key, claims, useKey, expiresAtMs, context, token } = await recognise(api, fields)
      const isFirst = await store.transaction((tx) => tx.tokens.consume(useKey, expiresAtMs))
      if (!isFirst) throw usedTokenError(token.slice(0, SHOWN_TOKEN_CHARACTERS))
      if (claims) {
        checkUploadClaims({ ...context, claims, fields: fields.filter(([name]) => name !== 'token') })
      }
      return key
    },
  }
}
