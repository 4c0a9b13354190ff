// Signs uploads on the application's own backend, where the private key lives.
import { createHmac, randomUUID } from 'node:crypto'

/** @import { AuthenticationOptions, FastifyReplyLike, FastifyRequestLike, KeyPair, SigningDemand } from './server.d.ts' */

const MAX_EXPIRE_SEC = 3600
const DEFAULT_EXPIRE_SEC = 600
/** A signing request is a few form fields; anything larger is not one. */
const MAX_BODY_BYTES = 64 * 1024
/**
 * Names that a payload must not use: `file` and `token` are never signed, and the others would speak about the token
 * itself, e.g. prolong it.
 */
const RESERVED = new Set(['file', 'token', 'iat', 'exp', 'nbf', 'jti', 'iss', 'sub', 'aud'])

/** Thrown inside a handler for what the page did wrong; its message is sent. */
class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** @param {KeyPair & { payload: Readonly<Record<string, string>>, expiresInSec?: number, nowMs?: number }} options */
export function createUploadToken({ payload, expiresInSec, publicKey, privateKey, nowMs = Date.now() }) {
  checkPayload(payload)
  const iat = Math.floor(nowMs / 1000)
  const header = { alg: 'HS256', typ: 'JWT', kid: publicKey }
  // The audience lets other services that share the key tell this token from theirs.
  // The id keeps two equal uploads of one second from sharing a token, which works only once.
  const claims = {
    ...payload,
    iat,
    exp: iat + lifetimeSec(expiresInSec),
    aud: 'tintype-upload',
    jti: randomUUID(),
  }
  const signed = `${base64url(header)}.${base64url(claims)}`
  return `${signed}.${createHmac('sha256', privateKey).update(signed).digest('base64url')}`
}

/** @param {KeyPair & { expiresInSec?: number, nowMs?: number }} options */
export function createUploadSignature({ privateKey, expiresInSec, nowMs = Date.now() }) {
  // Made here and never taken from the page: a page could name a path and receive the signature of its URL.
  const token = randomUUID()
  const expire = Math.floor(nowMs / 1000) + lifetimeSec(expiresInSec)
  return {
    token,
    expire,
    signature: createHmac('sha1', privateKey).update(`${token}${expire}`).digest('hex'),
  }
}

/** @param {AuthenticationOptions<Request>} options */
export function createWebHandler(options) {
  const answer = createAnswer(options)
  return async (/** @type {Request} */ request) => {
    const { status, headers, body } = await answer(request, {
      method: request.method,
      origin: request.headers.get('origin') ?? undefined,
      contentType: request.headers.get('content-type') ?? undefined,
      readBody: () => readJson(request.body ?? []),
    })
    return new Response(body ?? null, { status, headers })
  }
}

/** @param {AuthenticationOptions<any>} options */
export function createExpressHandler(options) {
  const answer = createAnswer(options)
  return async (
    /** @type {import('node:http').IncomingMessage & { body?: unknown }} */ request,
    /** @type {import('node:http').ServerResponse} */ response,
    /** @type {((error: unknown) => void) | undefined} */ next,
  ) => {
    try {
      const { status, headers, body } = await answer(request, {
        method: request.method ?? 'GET',
        origin: single(request.headers.origin),
        contentType: request.headers['content-type'],
        // express.json() has read the stream already and left the value here.
        readBody: async () => (request.body === undefined ? await readJson(request) : request.body),
      })
      response.writeHead(status, headers).end(body)
    } catch (error) {
      // Plain node:http has nobody to hand the error to, and an unhandled one would end the process.
      if (next) return next(error)
      response.writeHead(500, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      response.end(JSON.stringify({ message: 'The upload could not be authorised.' }))
    }
  }
}

/** @param {AuthenticationOptions<any>} options */
export function createFastifyHandler(options) {
  const answer = createAnswer(options)
  return async (/** @type {FastifyRequestLike} */ request, /** @type {FastifyReplyLike} */ reply) => {
    const { status, headers, body } = await answer(request, {
      method: request.method,
      origin: single(request.headers.origin),
      contentType: single(request.headers['content-type']),
      readBody: async () => request.body,
    })
    reply.code(status)
    for (const [name, value] of Object.entries(headers)) reply.header(name, value)
    return reply.send(body)
  }
}

/**
 * @typedef {{ method: string, origin: string | undefined, contentType: string | undefined, readBody: () => Promise<unknown> }} Question
 * @typedef {{ status: number, headers: Record<string, string>, body?: string }} Answer
 */

/**
 * What all frameworks share.
 * @param {AuthenticationOptions<any>} options
 * @returns {(request: unknown, question: Question) => Promise<Answer>}
 */
function createAnswer(options) {
  if (typeof options.authorize !== 'function') {
    throw new TypeError('authorize is missing: without it everybody could upload')
  }
  if (!options.publicKey || !options.privateKey) throw new TypeError('publicKey and privateKey are required')
  lifetimeSec(options.maxExpireSec)
  const version = options.apiVersion ?? 'v2'
  const method = version === 'v2' ? 'POST' : 'GET'
  return async (request, question) => {
    const headers = baseHeaders(options, question.origin)
    if (question.method === 'OPTIONS') {
      headers['access-control-allow-methods'] = method
      headers['access-control-allow-headers'] = 'content-type'
      return { status: 204, headers }
    }
    headers['content-type'] = 'application/json; charset=utf-8'
    try {
      if (question.method !== method)
        throw new Refusal(405, `The authentication endpoint answers ${method} only.`)
      const value =
        version === 'v2' ? await answerV2(options, request, question) : await answerV1(options, request)
      return { status: 200, headers, body: JSON.stringify(value) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      if (error.status === 405) headers.allow = `${method}, OPTIONS`
      return { status: error.status, headers, body: JSON.stringify({ message: error.message }) }
    }
  }
}

/**
 * @param {AuthenticationOptions<any>} options
 * @param {unknown} request
 * @param {Question} question
 */
async function answerV2(options, request, question) {
  // Other types can be sent by a form of any page without a preflight, and with the user's cookies.
  if (!/^application\/json\b/i.test(question.contentType ?? '')) {
    throw new Refusal(415, 'The request must be application/json.')
  }
  const body = await question.readBody()
  if (!isRecord(body)) throw new Refusal(400, 'The request must be a JSON object.')
  const { uploadPayload, expire, publicKey } = body
  if (publicKey !== undefined && publicKey !== options.publicKey) {
    throw new Refusal(400, 'publicKey is not the one that this endpoint signs for.')
  }
  const maxSec = options.maxExpireSec ?? MAX_EXPIRE_SEC
  if (expire !== undefined && !(Number.isInteger(expire) && Number(expire) > 0)) {
    throw new Refusal(400, 'expire must be a whole number of seconds, less than one hour.')
  }
  try {
    checkPayload(uploadPayload)
  } catch (error) {
    throw new Refusal(400, /** @type {Error} */ (error).message)
  }
  const payload = /** @type {Record<string, string>} */ (uploadPayload)
  await requireAuthorization(options, request, { apiVersion: 'v2', uploadPayload: payload })
  const expiresInSec = Math.min(expire === undefined ? DEFAULT_EXPIRE_SEC : Number(expire), maxSec)
  return { token: createUploadToken({ ...signer(options), payload, expiresInSec }) }
}

/**
 * @param {AuthenticationOptions<any>} options
 * @param {unknown} request
 */
async function answerV1(options, request) {
  await requireAuthorization(options, request, { apiVersion: 'v1', uploadPayload: {} })
  const expiresInSec = Math.min(DEFAULT_EXPIRE_SEC, options.maxExpireSec ?? MAX_EXPIRE_SEC)
  return createUploadSignature({ ...signer(options), expiresInSec })
}

/**
 * @param {AuthenticationOptions<any>} options
 * @param {unknown} request
 * @param {SigningDemand} demand
 */
async function requireAuthorization(options, request, demand) {
  if ((await options.authorize(request, demand)) !== true)
    throw new Refusal(403, 'You may not make this upload.')
}

/** @param {AuthenticationOptions<any>} options */
function signer({ publicKey, privateKey, now }) {
  return { publicKey, privateKey, nowMs: now ? now() : Date.now() }
}

/**
 * @param {AuthenticationOptions<any>} options
 * @param {string | undefined} origin
 * @returns {Record<string, string>}
 */
function baseHeaders({ allowedOrigins = [] }, origin) {
  /** @type {Record<string, string>} */
  // An answer serves one upload: a cache would hand it out twice (trust V07).
  const headers = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
  if (allowedOrigins.length === 0) return headers
  headers.vary = 'Origin'
  if (allowedOrigins.includes('*')) headers['access-control-allow-origin'] = '*'
  else if (origin && allowedOrigins.includes(origin)) headers['access-control-allow-origin'] = origin
  return headers
}

/**
 * @param {unknown} payload
 * @throws {TypeError}
 */
function checkPayload(payload) {
  if (!isRecord(payload)) throw new TypeError('uploadPayload must be an object of form fields.')
  for (const [name, value] of Object.entries(payload)) {
    if (RESERVED.has(name)) throw new TypeError(`uploadPayload must not contain ${name}.`)
    if (typeof value !== 'string')
      throw new TypeError(`uploadPayload.${name} must be a string, as it is sent.`)
  }
}

/** @param {number | undefined} seconds */
function lifetimeSec(seconds = DEFAULT_EXPIRE_SEC) {
  if (Number.isInteger(seconds) && seconds > 0 && seconds <= MAX_EXPIRE_SEC) return seconds
  throw new TypeError(`a token lives 1 to ${MAX_EXPIRE_SEC} seconds`)
}

/** @param {AsyncIterable<Uint8Array> | Iterable<Uint8Array>} stream */
async function readJson(stream) {
  const chunks = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new Refusal(413, 'The request is too large.')
    chunks.push(chunk)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new Refusal(400, 'The request must be a JSON object.')
  }
}

/** @param {unknown} object */
function base64url(object) {
  return Buffer.from(JSON.stringify(object)).toString('base64url')
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @param {string | string[] | undefined} value */
function single(value) {
  return Array.isArray(value) ? value[0] : value
}
