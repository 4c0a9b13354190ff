import { TintypeError } from '../kernel/errors.ts'
import type { Clock } from '../kernel/time.ts'
import { type DriverDeps, type OriginAnswer, OriginFailure } from './driver.ts'
import { fetchFailure } from './http-answer.ts'

/** A token is renewed this long before it ends, so that none ends on its way. */
const RENEW_BEFORE_MS = 60_000
const MAX_ANSWER_BYTES = 64 * 1024

export type Tokens = {
  /**
   * Runs `use` with a token, and once more with a new one if the origin refused the first.
   * @throws OriginFailure
   */
  with(use: (token: string) => Promise<OriginAnswer>): Promise<OriginAnswer>
}

/**
 * Keeps the access token of an OAuth 2 token endpoint (RFC 6749, 5.1).
 * @param grant makes the request for a token.
 */
export function createTokens(
  grant: () => Promise<{ url: string; headers: Record<string, string>; body: string }>,
  { safeFetch, clock }: { safeFetch: DriverDeps['safeFetch']; clock: Clock },
): Tokens {
  let current: { token: string; expiresAtMs: number } | undefined
  let pending: Promise<string> | undefined

  async function renew(): Promise<string> {
    const { url, headers, body } = await grant()
    const answer = await readJson(url, headers, body)
    const { access_token: token, expires_in: lifeSec } = answer as Record<string, unknown>
    if (typeof token !== 'string' || token === '' || typeof lifeSec !== 'number') throw refused()
    current = { token, expiresAtMs: clock.now() + lifeSec * 1000 }
    return token
  }

  async function readJson(url: string, headers: Record<string, string>, body: string): Promise<unknown> {
    try {
      const response = await safeFetch.open(url, {
        failureMessage: 'The origin could not be signed in to.',
        maxBytes: MAX_ANSWER_BYTES,
        method: 'POST',
        headers: { accept: 'application/json', ...headers },
        body,
        followRedirects: false,
      })
      const chunks: Buffer[] = []
      for await (const chunk of response.body) chunks.push(chunk)
      if (response.status !== 200) throw refused()
      return JSON.parse(Buffer.concat(chunks).toString('utf8'))
    } catch (error) {
      if (error instanceof TintypeError) throw fetchFailure(error)
      throw error instanceof SyntaxError ? refused() : error
    }
  }

  async function get(): Promise<string> {
    if (current && clock.now() < current.expiresAtMs - RENEW_BEFORE_MS) return current.token
    pending ??= renew().finally(() => {
      pending = undefined
    })
    return pending
  }

  return {
    async with(use) {
      const token = await get()
      try {
        return await use(token)
      } catch (error) {
        if (!(error instanceof OriginFailure) || error.code !== 'EACCES') throw error
        // Tokens can be revoked before they end.
        if (current?.token === token) current = undefined
        return use(await get())
      }
    },
  }
}

function refused(): OriginFailure {
  return new OriginFailure('EACCES', 'The origin did not accept the configured credentials.')
}
