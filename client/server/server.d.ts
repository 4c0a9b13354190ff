import type { IncomingMessage, ServerResponse } from 'node:http'

export type KeyPair = {
  publicKey: string
  /** Never leaves the backend. */
  privateKey: string
}

/** What the page asks the backend to sign; see `SigningRequest` of the browser part. */
export type SigningDemand = {
  apiVersion: 'v1' | 'v2'
  /** The form fields of the upload (v2); empty with v1, which signs no fields. */
  uploadPayload: Readonly<Record<string, string>>
}

export type AuthenticationOptions<R> = KeyPair & {
  /**
   * Decides whether whoever sent `request` may make this upload: look at your session, and at the fields, e.g. that
   * `folder` is the user's own. Anything but `true` is answered with 403.
   */
  authorize: (request: R, demand: SigningDemand) => boolean | Promise<boolean>
  /**
   * What is signed. v2 (default) binds the token to the fields; v1 lets its holder upload with any fields, so it is
   * never answered unless asked for here.
   */
  apiVersion?: 'v1' | 'v2'
  /** Longest life of a token, at most 3600 (default). A page may ask for less. */
  maxExpireSec?: number
  /** Origins of pages on other hosts that may ask (CORS), or `*`; none if absent. */
  allowedOrigins?: readonly string[]
  /** Milliseconds since the epoch, for tests. */
  now?: () => number
}

/**
 * The one-time token of a v2 upload: a JWT (HS256) over exactly the fields of the form.
 * @param options.payload the form fields but `file` and `token`; values are the strings that will be sent.
 * @param options.expiresInSec 1 to 3600; 600 if absent.
 * @throws TypeError for a payload that could not be sent or would speak about the token itself.
 */
export function createUploadToken(
  options: KeyPair & { payload: Readonly<Record<string, string>>; expiresInSec?: number; nowMs?: number },
): string

/**
 * The credentials of a v1 upload: HMAC-SHA1 of token + expire.
 * @param options.expiresInSec 1 to 3600; 600 if absent.
 */
export function createUploadSignature(options: KeyPair & { expiresInSec?: number; nowMs?: number }): {
  token: string
  expire: number
  signature: string
}

/** An authentication endpoint for frameworks that speak Web `Request` and `Response`. */
export function createWebHandler(
  options: AuthenticationOptions<Request>,
): (request: Request) => Promise<Response>

/**
 * An authentication endpoint for Express, and for plain `node:http`. Works with and without `express.json()`. What
 * `authorize` throws goes to `next`, or is answered with 500 if there is none.
 */
export function createExpressHandler<R extends IncomingMessage = IncomingMessage>(
  options: AuthenticationOptions<R>,
): (request: R, response: ServerResponse, next?: (error: unknown) => void) => Promise<void>

/** An authentication endpoint for Fastify; register it for the methods GET (v1), POST (v2) and OPTIONS. */
export function createFastifyHandler<R extends FastifyRequestLike = FastifyRequestLike>(
  options: AuthenticationOptions<R>,
): (request: R, reply: FastifyReplyLike) => Promise<unknown>

export type FastifyRequestLike = {
  method: string
  headers: Record<string, string | string[] | undefined>
  body?: unknown
}
export type FastifyReplyLike = {
  code(status: number): unknown
  header(name: string, value: string): unknown
  send(body?: unknown): unknown
}
