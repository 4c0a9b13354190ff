import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  ImageKit,
  ImageKitAbortError,
  ImageKitAuthenticationError,
  ImageKitInvalidRequestError,
  type ImageKitOptions,
  ImageKitServerError,
  ImageKitUploadNetworkError,
  type SigningRequest,
  type UploadOptions,
} from '../../../client/browser/imagekit.js'
import { createExpressHandler } from '../../../client/server/server.js'
import {
  authenticateUploadToken,
  checkUploadClaims,
  verifyUploadSignature,
} from '../../../src/signing/signing.ts'
import { NodeXhr } from './node-xhr.ts'

const keys = { publicKey: 'public_client', privateKey: 'private_client_0123456789abcdef' }
const signing = {
  findKey: (publicKey: string) => (publicKey === keys.publicKey ? keys : undefined),
  nowMs: Date.now(),
  skewSec: 30,
}

type Received = { url: string; names: string[]; fields: [string, string][]; file: string }
let server: Server
let origin: string
let received: Received[] = []
let answer: (response: ServerResponse) => void
let authRequests = 0

beforeAll(async () => {
  const auth = {
    v2: createExpressHandler({ ...keys, authorize: () => true }),
    v1: createExpressHandler({ ...keys, authorize: () => true, apiVersion: 'v1' }),
  }
  server = createServer(async (request, response) => {
    if (request.url === '/auth' || request.url === '/auth-v1') {
      authRequests += 1
      return auth[request.url === '/auth' ? 'v2' : 'v1'](request, response)
    }
    if (request.url === '/auth-down') {
      return response
        .writeHead(503, { 'content-type': 'application/json' })
        .end('{"message":"Sign in first."}')
    }
    if (request.url === '/auth-html') return response.end('<html>')
    if (request.url === '/auth-empty') return response.end('{}')
    received.push(await readForm(request))
    answer(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  Object.assign(globalThis, { XMLHttpRequest: NodeXhr })
})
afterAll(() => {
  Reflect.deleteProperty(globalThis, 'XMLHttpRequest')
  server.close()
})
beforeEach(() => {
  received = []
  authRequests = 0
  answer = (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'x-request-id': 'r-1' })
    response.end(JSON.stringify({ fileId: 'f1', url: `${origin}/demo/abc.jpg` }))
  }
})

async function readForm(request: IncomingMessage): Promise<Received> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const form = await new Response(Buffer.concat(chunks), {
    headers: { 'content-type': request.headers['content-type']! },
  }).formData()
  const file = form.get('file')!
  return {
    url: request.url!,
    names: [...form.keys()],
    fields: [...form].filter(([, value]) => typeof value === 'string') as [string, string][],
    file: typeof file === 'string' ? file : `${file.name}:${await file.text()}`,
  }
}

/** What the server checks about a v2 form. */
async function verify(form: Received): Promise<void> {
  const token = form.fields.find(([name]) => name === 'token')?.[1]
  const { claims } = await authenticateUploadToken(token, signing)
  const fields = form.fields.filter(([name]) => name !== 'token' && name !== 'file')
  checkUploadClaims({ claims, fields, nowMs: Date.now(), skewSec: 30 })
}

const client = (options: Partial<ImageKitOptions> = {}) =>
  new ImageKit({
    publicKey: keys.publicKey,
    urlEndpoint: `${origin}/demo`,
    authenticationEndpoint: `${origin}/auth`,
    apiVersion: 'v2',
    ...options,
  })
const file = () => new File(['photo'], 'local.jpg', { type: 'image/jpeg' })
const failure = (promise: Promise<unknown>) => promise.then(() => undefined).catch((error: unknown) => error)

describe('upload, v2', () => {
  it('works as in the documentation, with a callback', async () => {
    const imagekit = client()
    const [error, result] = await new Promise<[unknown, { url: string } | null]>((resolve) => {
      imagekit.upload({ file: file(), fileName: 'abc.jpg', tags: ['tag1'] }, (e, r) => resolve([e, r]))
    })
    expect(error).toBeNull()
    expect(imagekit.url({ src: result!.url, transformation: [{ height: 300, width: 400 }] })).toBe(
      `${origin}/demo/abc.jpg?tr=h-300,w-400`,
    )
    expect(received).toHaveLength(1)
    expect(received[0]).toMatchObject({ url: '/api/v2/files/upload', file: 'abc.jpg:photo' })
    expect(received[0]!.names).toEqual(['token', 'fileName', 'tags', 'file'])
    await verify(received[0]!)
  })

  it('gives a promise without a callback, with the metadata of the answer', async () => {
    const result = await client().upload({ file: file(), fileName: 'abc.jpg' })
    expect(result.fileId).toBe('f1')
    expect(result.$ResponseMetadata).toMatchObject({ statusCode: 200, requestId: 'r-1' })
    expect(Object.keys(result)).toEqual(['fileId', 'url'])
  })

  it('signs exactly the text that it sends, whatever the values', async () => {
    await client().upload({
      file: 'https://photos.example/1.jpg',
      fileName: 'e\u0301 \ud83d\ude00 \ud800.jpg',
      tags: ['a', 'b'],
      useUniqueFileName: false,
      folder: '/x',
      responseFields: ['tags', 'metadata'],
      extensions: [{ name: 'remove-bg', options: { add_shadow: true } }],
      customMetadata: { price: 12.5, 'ü"': [1, null] },
      transformation: { pre: 'w-100', post: [{ type: 'transformation', value: 'h-5' }] },
      checks: "'file.size' < '1MB'\nAND 'mediaMetadata.width' > 10",
      description: 'line one\nline two\rline three\r\nline four\n',
      isPrivateFile: undefined as unknown as boolean,
      webhookUrl: null as unknown as string,
      onProgress() {},
    })
    const form = received[0]!
    await verify(form)
    const values = Object.fromEntries(form.fields)
    expect(values).toMatchObject({
      fileName: 'e\u0301 \ud83d\ude00 \ufffd.jpg',
      tags: 'a,b',
      useUniqueFileName: 'false',
      responseFields: 'tags,metadata',
      extensions: '[{"name":"remove-bg","options":{"add_shadow":true}}]',
      customMetadata: '{"price":12.5,"ü\\"":[1,null]}',
      description: 'line one\r\nline two\r\nline three\r\nline four\r\n',
      file: 'https://photos.example/1.jpg',
    })
    expect(form.names).not.toContain('isPrivateFile')
    expect(form.names).not.toContain('webhookUrl')
    expect(form.names).not.toContain('onProgress')
  })

  it('signs exactly the text that it sends, for any text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 40 }), async (description) => {
        received = []
        await client().upload({ file: 'aGVsbG8=', fileName: 'a.txt', description })
        await verify(received[0]!)
      }),
      { numRuns: 60 },
    )
  })

  it('takes a function in place of the endpoint', async () => {
    const asked: SigningRequest[] = []
    const imagekit = client({
      expire: 120,
      authenticationEndpoint: async (request) => {
        asked.push(request)
        return { token: 'from-the-function' }
      },
    })
    await imagekit.upload({ file: file(), fileName: 'abc.jpg', tags: ['x', 'y'] })
    expect(asked).toEqual([
      { uploadPayload: { fileName: 'abc.jpg', tags: 'x,y' }, expire: 120, publicKey: keys.publicKey },
    ])
    expect(received[0]!.fields[0]).toEqual(['token', 'from-the-function'])
  })

  it('asks nobody when it is given a token', async () => {
    await client().upload({ file: file(), fileName: 'abc.jpg', token: 'mine' })
    expect(authRequests).toBe(0)
    expect(received[0]!.names).toEqual(['token', 'fileName', 'file'])
  })

  it('asks for a new token for each upload', async () => {
    const imagekit = client()
    await imagekit.upload({ file: file(), fileName: 'abc.jpg' })
    await imagekit.upload({ file: file(), fileName: 'abc.jpg' })
    expect(authRequests).toBe(2)
  })

  it('reports progress', async () => {
    const seen: number[] = []
    await client().upload({
      file: file(),
      fileName: 'abc.jpg',
      onProgress: ({ loaded, total }) => seen.push(loaded / total),
    })
    expect(seen).toEqual([1])
  })

  it('uploads to another endpoint when told to', async () => {
    const imagekit = client({ urlEndpoint: 'https://cdn.example/demo', endpoint: `${origin}/prefix/` })
    await imagekit.upload({ file: file(), fileName: 'abc.jpg' })
    expect(received[0]!.url).toBe('/prefix/api/v2/files/upload')
  })

  it('uses an XMLHttpRequest that it is given', async () => {
    const xhr = new NodeXhr()
    await client().upload({ file: file(), fileName: 'abc.jpg', xhr })
    expect(xhr.status).toBe(200)
  })
})

describe('upload, v1', () => {
  const v1 = () => client({ apiVersion: 'v1', authenticationEndpoint: `${origin}/auth-v1` })

  it('sends the four credential fields', async () => {
    await v1().upload({ file: file(), fileName: 'abc.jpg', tags: ['a'] })
    expect(received[0]!.url).toBe('/api/v1/files/upload')
    expect(received[0]!.names.toSorted()).toEqual(
      ['expire', 'file', 'fileName', 'publicKey', 'signature', 'tags', 'token'].toSorted(),
    )
    const result = await verifyUploadSignature(Object.fromEntries(received[0]!.fields), signing)
    expect(result.key).toBe(keys)
  })

  it('asks nobody when it is given credentials', async () => {
    const given = { token: 't', signature: 's', expire: 12 }
    await v1().upload({ file: file(), fileName: 'abc.jpg', ...given })
    expect(authRequests).toBe(0)
    expect(Object.fromEntries(received[0]!.fields)).toMatchObject({
      token: 't',
      signature: 's',
      expire: '12',
    })
  })

  it('misses what v1 needs', async () => {
    const imagekit = client({ apiVersion: 'v1', authenticationEndpoint: async () => ({ token: 'only' }) })
    const error = await failure(imagekit.upload({ file: file(), fileName: 'abc.jpg' }))
    expect(error).toBeInstanceOf(ImageKitAuthenticationError)
    expect((error as Error).message).toMatch(/^Missing signature for upload\./)
    expect(received).toEqual([])
  })
})

describe('errors', () => {
  const upload = (options: Partial<ImageKitOptions> = {}, fields: Partial<UploadOptions> = {}) =>
    failure(client(options).upload({ file: file(), fileName: 'abc.jpg', ...fields }))

  it.each([
    ['file', { file: '' }],
    ['fileName', { fileName: '' }],
  ])('misses %s before anything is sent', async (name, fields) => {
    const error = await upload({}, fields)
    expect(error).toBeInstanceOf(ImageKitInvalidRequestError)
    expect((error as Error).message).toBe(`Missing ${name} parameter for upload`)
    expect(authRequests).toBe(0)
  })

  it('refuses options that cannot work', () => {
    expect(() => client({ publicKey: '' })).toThrow('Missing publicKey')
    expect(() => client({ urlEndpoint: '' })).toThrow('Missing urlEndpoint')
    expect(() => client({ publicKey: keys.privateKey })).toThrow('must never reach a browser')
    expect(() => client({ apiVersion: 'v3' as 'v2' })).toThrow('apiVersion')
    expect(() => client({ transformationPosition: 'host' as 'path' })).toThrow('transformationPosition')
  })

  it('tells the message and help of a refusal', async () => {
    answer = (response) => {
      response.writeHead(400, { 'content-type': 'application/json', 'x-request-id': 'r-2' })
      response.end('{"message":"Your request contains expired token.","help":"Ask for a new one."}')
    }
    const error = await upload()
    expect(error).toBeInstanceOf(ImageKitInvalidRequestError)
    expect(error).toMatchObject({
      message: 'Your request contains expired token.',
      help: 'Ask for a new one.',
      $ResponseMetadata: { statusCode: 400, requestId: 'r-2' },
    })
  })

  it('hands errors to the callback', async () => {
    answer = (response) => response.writeHead(400).end('{"message":"no"}')
    const outcome = await new Promise<unknown[]>((resolve) => {
      client().upload({ file: file(), fileName: 'abc.jpg' }, (...args) => resolve(args))
    })
    expect(outcome[0]).toBeInstanceOf(ImageKitInvalidRequestError)
    expect(outcome[1]).toBeNull()
  })

  it.each([
    ['a failing server', 500, '{"message":"Broken"}', 'Broken'],
    ['a proxy in front', 502, '<html>', 'The server did not answer in JSON. Is the endpoint right?'],
    [
      'something else at the endpoint',
      200,
      '<html>',
      'The server did not answer in JSON. Is the endpoint right?',
    ],
  ])('reports %s', async (_, status, body, message) => {
    answer = (response) => response.writeHead(status).end(body)
    const error = await upload()
    expect(error).toBeInstanceOf(ImageKitServerError)
    expect(error).toMatchObject({ message, $ResponseMetadata: { statusCode: status } })
  })

  it('reports a connection that breaks', async () => {
    answer = (response) => response.destroy()
    expect(await upload()).toBeInstanceOf(ImageKitUploadNetworkError)
  })

  it.each([
    ['a refusing authentication endpoint', '/auth-down', 'Sign in first.', 503],
    ['an endpoint that answers with a page', '/auth-html', 'The authentication endpoint answered 200', 200],
    ['an endpoint without a token', '/auth-empty', /^Missing token for upload/, undefined],
  ])('reports %s', async (_, path, message, statusCode) => {
    const error = await upload({ authenticationEndpoint: `${origin}${path}` })
    expect(error).toBeInstanceOf(ImageKitAuthenticationError)
    expect((error as Error).message).toMatch(message)
    expect((error as ImageKitAuthenticationError).statusCode).toBe(statusCode)
    expect(received).toEqual([])
  })

  it('reports an authentication endpoint that is not there, missing, or a function that throws', async () => {
    expect(await upload({ authenticationEndpoint: 'http://127.0.0.1:9/auth' })).toMatchObject({
      name: 'ImageKitAuthenticationError',
      message: 'Request to authentication endpoint failed due to network error',
    })
    expect(await upload({ authenticationEndpoint: undefined as unknown as string })).toBeInstanceOf(
      ImageKitInvalidRequestError,
    )
    const thrown = new Error('Session is over')
    const own = await upload({ authenticationEndpoint: () => Promise.reject(thrown) })
    expect(own).toMatchObject({
      name: 'ImageKitAuthenticationError',
      message: 'Session is over',
      cause: thrown,
    })
  })
})

describe('abort', () => {
  it('before the start', async () => {
    const signal = AbortSignal.abort('changed my mind')
    const error = await failure(client().upload({ file: file(), fileName: 'abc.jpg', abortSignal: signal }))
    expect(error).toBeInstanceOf(ImageKitAbortError)
    expect((error as ImageKitAbortError).reason).toBe('changed my mind')
    expect(authRequests).toBe(0)
  })

  it('while the token is being fetched', async () => {
    const controller = new AbortController()
    const imagekit = client({
      authenticationEndpoint: async () => {
        controller.abort('late')
        return { token: 'x' }
      },
    })
    const error = await failure(
      imagekit.upload({ file: file(), fileName: 'abc.jpg', abortSignal: controller.signal }),
    )
    expect(error).toBeInstanceOf(ImageKitAbortError)
    expect(received).toEqual([])
  })

  it('during the upload', async () => {
    const controller = new AbortController()
    answer = () => controller.abort('enough')
    const error = await failure(
      client().upload({ file: file(), fileName: 'abc.jpg', abortSignal: controller.signal }),
    )
    expect(error).toBeInstanceOf(ImageKitAbortError)
    expect((error as ImageKitAbortError).reason).toBe('enough')
  })
})
