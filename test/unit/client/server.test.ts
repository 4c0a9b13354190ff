import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { decodeJwt, jwtVerify } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type AuthenticationOptions,
  createExpressHandler,
  createFastifyHandler,
  createUploadSignature,
  createUploadToken,
  createWebHandler,
} from '../../../client/server/server.js'
import {
  authenticateUploadToken,
  checkUploadClaims,
  verifyUploadSignature,
} from '../../../src/signing/signing.ts'

const keys = { publicKey: 'public_backend', privateKey: 'private_backend_0123456789abcdef' }
const NOW_SEC = 1_790_000_000
const nowMs = NOW_SEC * 1000
const signing = {
  findKey: (publicKey: string) => (publicKey === keys.publicKey ? keys : undefined),
  nowMs,
  skewSec: 0,
}
const payload = { fileName: 'dress.jpg', useUniqueFileName: 'false', tags: 'summer,dress' }

describe('createUploadToken', () => {
  it('makes a token that the server accepts for exactly these fields', async () => {
    const token = createUploadToken({ ...keys, payload, expiresInSec: 400, nowMs })
    const { claims } = await authenticateUploadToken(token, signing)
    checkUploadClaims({ claims, fields: Object.entries(payload), nowMs, skewSec: 0 })
    const { payload: read, protectedHeader } = await jwtVerify(token, Buffer.from(keys.privateKey), {
      algorithms: ['HS256'],
      currentDate: new Date(nowMs),
    })
    expect(protectedHeader).toEqual({ alg: 'HS256', typ: 'JWT', kid: keys.publicKey })
    expect(read).toMatchObject({ ...payload, iat: NOW_SEC, exp: NOW_SEC + 400 })
  })

  it.each(['file', 'token', 'exp', 'iat', 'nbf', 'aud'])('refuses to sign the field %s', (name) => {
    expect(() => createUploadToken({ ...keys, payload: { ...payload, [name]: '9' } })).toThrow(TypeError)
  })

  it('refuses values that are not the text that is sent', () => {
    expect(() =>
      createUploadToken({ ...keys, payload: { useUniqueFileName: false as unknown as string } }),
    ).toThrow('uploadPayload.useUniqueFileName must be a string')
  })

  it.each([0, -1, 1.5, 3601, Number.NaN])('refuses a life of %d s', (expiresInSec) => {
    expect(() => createUploadToken({ ...keys, payload, expiresInSec })).toThrow(TypeError)
    expect(() => createUploadSignature({ ...keys, expiresInSec })).toThrow(TypeError)
  })
})

describe('createUploadSignature', () => {
  it('makes credentials that the server accepts, each time new ones', async () => {
    const first = createUploadSignature({ ...keys, nowMs })
    const second = createUploadSignature({ ...keys, nowMs })
    expect(first.token).not.toBe(second.token)
    const fields = { ...first, publicKey: keys.publicKey, expire: String(first.expire) }
    expect((await verifyUploadSignature(fields, signing)).key).toBe(keys)
  })
})

type Ask = (init: {
  method?: string
  headers?: Record<string, string>
  body?: string
}) => Promise<{ status: number; headers: Headers; body: Record<string, unknown> | undefined }>
type Options = Omit<AuthenticationOptions<never>, 'publicKey' | 'privateKey' | 'authorize'> & {
  authorize?: AuthenticationOptions<{ headers: unknown }>['authorize']
}

let closing: (() => Promise<unknown>) | undefined
afterEach(async () => {
  await closing?.()
  closing = undefined
})

async function read(response: Response) {
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? undefined : JSON.parse(text),
  }
}

const hosts: [string, (options: Options) => Promise<Ask>][] = [
  [
    'Web Request and Response',
    async (options) => {
      const handler = createWebHandler({ ...keys, now: () => nowMs, authorize: () => true, ...options })
      return async (init) => read(await handler(new Request('https://app.example/auth', init)))
    },
  ],
  [
    'node:http and Express',
    async (options) => {
      const handler = createExpressHandler({ ...keys, now: () => nowMs, authorize: () => true, ...options })
      const server = createServer((request, response) => void handler(request, response))
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      closing = () => new Promise((resolve) => server.close(resolve))
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth`
      return async (init) => read(await fetch(url, init))
    },
  ],
  [
    'Fastify',
    async (options) => {
      const app = Fastify()
      const handler = createFastifyHandler({ ...keys, now: () => nowMs, authorize: () => true, ...options })
      app.route({ method: ['GET', 'POST', 'OPTIONS'], url: '/auth', handler })
      const origin = await app.listen({ host: '127.0.0.1', port: 0 })
      closing = () => app.close()
      return async (init) => read(await fetch(`${origin}/auth`, init))
    },
  ],
]

describe.each(hosts)('authentication endpoint on %s', (host, start) => {
  const json = { 'content-type': 'application/json' }
  const question = (change: object = {}) => ({
    method: 'POST',
    headers: json,
    body: JSON.stringify({ uploadPayload: payload, expire: 400, publicKey: keys.publicKey, ...change }),
  })

  it('answers the request of the documentation', async () => {
    const ask = await start({})
    const { status, headers, body } = await ask(question())
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-type')).toMatch(/^application\/json/)
    expect(headers.get('access-control-allow-origin')).toBeNull()
    expect(Object.keys(body!)).toEqual(['token'])
    const { claims } = await authenticateUploadToken(body!.token as string, signing)
    checkUploadClaims({ claims, fields: Object.entries(payload), nowMs, skewSec: 0 })
    expect(decodeJwt(body!.token as string).exp).toBe(NOW_SEC + 400)
  })

  it.each([
    [3600, 3600],
    [100_000, 3600],
    [undefined, 600],
  ])('lets a token asked for %s s live %d s', async (expire, livesSec) => {
    const ask = await start({})
    const { body } = await ask(question({ expire }))
    expect(decodeJwt(body!.token as string).exp).toBe(NOW_SEC + livesSec)
  })

  it('caps the life at its own limit', async () => {
    const ask = await start({ maxExpireSec: 60 })
    const { body } = await ask(question())
    expect(decodeJwt(body!.token as string).exp).toBe(NOW_SEC + 60)
  })

  it.each([
    ['another public key', { publicKey: 'public_other' }],
    ['an expire in text', { expire: '400' }],
    ['a negative expire', { expire: -1 }],
    ['a fractional expire', { expire: 1.5 }],
    ['no payload', { uploadPayload: undefined }],
    ['a payload in an array', { uploadPayload: ['fileName'] }],
    ['a payload that sets exp', { uploadPayload: { ...payload, exp: '9999999999' } }],
    ['a payload with a number', { uploadPayload: { ...payload, n: 1 } }],
  ])('refuses %s', async (_, change) => {
    const ask = await start({})
    const { status, headers, body } = await ask(question(change))
    expect(status).toBe(400)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body!.message).toBeTypeOf('string')
    expect(body).not.toHaveProperty('token')
  })

  it('refuses a body that a plain form of another site could send', async () => {
    const ask = await start({})
    const { status } = await ask({ ...question(), headers: { 'content-type': 'text/plain' } })
    expect(status).toBe(415)
  })

  it('refuses other methods', async () => {
    const ask = await start({})
    const { status, headers } = await ask({ method: 'GET' })
    expect(status).toBe(405)
    expect(headers.get('allow')).toBe('POST, OPTIONS')
  })

  it('asks the application, which sees the request and the fields', async () => {
    const seen: unknown[] = []
    const ask = await start({
      authorize: async (request, demand) => {
        seen.push(
          request.headers instanceof Headers
            ? request.headers.get('cookie')
            : (request.headers as { cookie: string }).cookie,
        )
        seen.push(demand)
        return demand.uploadPayload.fileName === 'mine.jpg'
      },
    })
    const asked = question()
    const refused = await ask({ ...asked, headers: { ...asked.headers, cookie: 'session=1' } })
    expect(refused.status).toBe(403)
    expect(refused.body).not.toHaveProperty('token')
    expect(seen).toEqual(['session=1', { apiVersion: 'v2', uploadPayload: payload }])
    expect((await ask(question({ uploadPayload: { fileName: 'mine.jpg' } }))).status).toBe(200)
  })

  it('takes nothing but true for a yes', async () => {
    const ask = await start({ authorize: () => 'yes' as unknown as boolean })
    expect((await ask(question())).status).toBe(403)
  })

  it('opens itself to the origins that are listed', async () => {
    const ask = await start({ allowedOrigins: ['https://page.example'] })
    const from = (origin: string) => ({ ...question(), headers: { ...json, origin } })
    const listed = await ask(from('https://page.example'))
    expect(listed.headers.get('access-control-allow-origin')).toBe('https://page.example')
    expect(listed.headers.get('vary')).toBe('Origin')
    expect((await ask(from('https://evil.example'))).headers.get('access-control-allow-origin')).toBeNull()
    const preflight = await ask({ method: 'OPTIONS', headers: { origin: 'https://page.example' } })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-methods')).toBe('POST')
    expect(preflight.headers.get('access-control-allow-headers')).toBe('content-type')
  })

  it('answers v1 when asked to, and then only v1', async () => {
    const ask = await start({ apiVersion: 'v1' })
    const { status, headers, body } = await ask({ method: 'GET' })
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(Object.keys(body!).toSorted()).toEqual(['expire', 'signature', 'token'])
    const fields = { publicKey: keys.publicKey, ...body, expire: String(body!.expire) }
    expect((await verifyUploadSignature(fields, signing)).key).toBe(keys)
    expect((await ask(question())).status).toBe(405)
  })

  if (host !== 'Fastify') {
    it('refuses a body that is no JSON, and a large one', async () => {
      const ask = await start({})
      expect((await ask({ ...question(), body: '{' })).status).toBe(400)
      expect((await ask(question({ pad: 'x'.repeat(70_000) }))).status).toBe(413)
    })
  }
})

describe('createExpressHandler', () => {
  it('takes the body that express.json() has read', async () => {
    const handler = createExpressHandler({ ...keys, authorize: () => true })
    const server = createServer((request, response) => {
      Object.assign(request, { body: { uploadPayload: payload } })
      void handler(request, response)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closing = () => new Promise((resolve) => server.close(resolve))
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: 'not read',
    })
    expect(response.status).toBe(200)
  })

  it('hands what authorize throws to next, or answers 500 without its text', async () => {
    const failing = createExpressHandler({
      ...keys,
      authorize: () => Promise.reject(new Error('secret detail')),
    })
    const nexted: unknown[] = []
    const server = createServer((request, response) => {
      if (request.url === '/plain') return void failing(request, response)
      void failing(request, response, (error) => {
        nexted.push(error)
        response.end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closing = () => new Promise((resolve) => server.close(resolve))
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ uploadPayload: payload }),
    }
    const plain = await fetch(`${origin}/plain`, init)
    expect(plain.status).toBe(500)
    expect(await plain.text()).not.toContain('secret')
    await fetch(`${origin}/express`, init)
    expect(nexted).toEqual([new Error('secret detail')])
  })
})

describe('options', () => {
  it('insists on an authorize hook and on keys', () => {
    expect(() => createWebHandler({ ...keys } as never)).toThrow('authorize is missing')
    expect(() => createWebHandler({ publicKey: 'p', authorize: () => true } as never)).toThrow('required')
    expect(() => createWebHandler({ ...keys, authorize: () => true, maxExpireSec: 7200 })).toThrow('3600')
  })
})
