import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { createEndpoint } from './endpoint.ts'
import { invalidAnswer, refusedCredentials } from './failures.ts'

/** The parts of a service account's key file that are used. */
const serviceAccount = Type.Object({
  client_email: Type.String({ minLength: 3 }),
  private_key: Type.String({ minLength: 1 }),
  private_key_id: Type.Optional(Type.String()),
  token_uri: Type.String({ pattern: '^https?://' }),
})
export type ServiceAccount = Static<typeof serviceAccount>

const tokenAnswer = Type.Object({
  access_token: Type.String({ minLength: 1, maxLength: 8192 }),
  expires_in: Type.Number({ minimum: 1, maximum: 86_400 }),
})

const SERVICE = 'Google sign-in'
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
/** Google's longest. */
const ASSERTION_LIFE_SEC = 3600
/** A token is renewed this long before it ends, so that none ends on its way. */
const RENEW_BEFORE_MS = 60_000

/** Access tokens of a service account. */
export type GoogleTokens = {
  /** A token that is good for some time yet. @throws TintypeError, see failures.ts. */
  get(signal: AbortSignal): Promise<string>
  /** The last token was refused: the next `get` asks for another one. */
  forget(): void
}

/**
 * @param json text of the key file.
 * @throws Error when it is not one.
 */
export function parseServiceAccount(json: string): ServiceAccount {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    // Not the parser's own message: it quotes the text, and the text is a private key.
    throw new Error('extensions.google.serviceAccountJson is not JSON')
  }
  const error = Value.Errors(serviceAccount, value)[0]
  if (error) {
    throw new Error(`extensions.google.serviceAccountJson: ${error.instancePath || 'it'} ${error.message}`)
  }
  return value as ServiceAccount
}

/**
 * Gets access tokens by a signed assertion (RFC 7523). `google-auth-library` would do the same with six packages and an
 * HTTP client of its own, past our limits on answers; with `jose`, which signs here anyway, it is one request.
 */
export function createGoogleTokens(
  account: ServiceAccount,
  options: { scope: string; timeoutMs: number; nowMs?: () => number },
): GoogleTokens {
  const nowMs = options.nowMs ?? Date.now
  const endpoint = createEndpoint({
    service: SERVICE,
    urls: [account.token_uri],
    timeoutMs: options.timeoutMs,
  })
  let current: { token: string; expiresAtMs: number } | undefined
  let pending: Promise<string> | undefined

  async function request(): Promise<string> {
    const issuedAtSec = Math.floor(nowMs() / 1000)
    const assertion = await sign(account, options.scope, issuedAtSec)
    const answer = await endpoint.exchange({
      url: account.token_uri,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams({ grant_type: GRANT_TYPE, assertion }).toString(),
      maxBytes: 64 * 1024,
      // Shared by all who wait for it, so none of them may end it for the others.
      signal: AbortSignal.timeout(options.timeoutMs),
    })
    // A 400 here is `invalid_grant` and the like: the key was revoked or the account is gone.
    if (answer.status === 400)
      throw refusedCredentials(SERVICE, new Error(answer.bytes.toString('utf8', 0, 500)))
    const value = endpoint.readJson(answer)
    if (!Value.Check(tokenAnswer, value)) throw invalidAnswer(SERVICE)
    current = { token: value.access_token, expiresAtMs: nowMs() + value.expires_in * 1000 }
    return value.access_token
  }

  return {
    get(signal) {
      signal.throwIfAborted()
      if (current && nowMs() < current.expiresAtMs - RENEW_BEFORE_MS) return Promise.resolve(current.token)
      pending ??= request().finally(() => {
        pending = undefined
      })
      return pending
    },
    forget() {
      current = undefined
    },
  }
}

async function sign(account: ServiceAccount, scope: string, issuedAtSec: number): Promise<string> {
  try {
    const { importPKCS8, SignJWT } = await import('jose')
    const key = await importPKCS8(account.private_key, 'RS256')
    return await new SignJWT({ scope })
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: account.private_key_id })
      .setIssuer(account.client_email)
      .setAudience(account.token_uri)
      .setIssuedAt(issuedAtSec)
      .setExpirationTime(issuedAtSec + ASSERTION_LIFE_SEC)
      .sign(key)
  } catch {
    throw refusedCredentials(SERVICE, new Error('the private key of the service account cannot be used'))
  }
}
