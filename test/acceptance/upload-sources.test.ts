import { readFile } from 'node:fs/promises'
import { createServer, type Server as HttpServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixture, fixturesDir } from '../support/fixtures.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer({
    env: { TINTYPE_ALLOW_PRIVATE_NETWORK: 'true', TINTYPE_UPLOAD_MAX_FILE_BYTES: '3000000' },
  })
})
afterAll(() => server?.dispose())

const stored = async (answer: { url: string }) =>
  (await send(server, answer.url.slice(server.url.length))).body

describe('base64', () => {
  const picture = png(20, 10, 0xfffefd)
  const plain = picture.toString('base64')

  test.each([
    ['plain', plain],
    ['a data URI', `data:image/png;base64,${plain}`],
    ['a data URI that lies about the type', `data:text/html;base64,${plain}`],
    ['a data URI with a parameter', `data:image/png;charset=utf-8;base64,${plain}`],
    ['broken into lines', plain.replace(/.{76}/g, '$&\r\n')],
  ])('%s gives the same bytes', async (_, file) => {
    const answer = await uploadFile(server, file, { fileName: 'b.png' })
    expect(answer.status, answer.body.toString()).toBe(200)
    expect(answer.json()).toMatchObject({ size: picture.length, width: 20, height: 10, fileType: 'image' })
    expect((await stored(answer.json())).equals(picture)).toBe(true)
  })

  test.each([
    ['without padding', plain.replace(/=+$/, '')],
    ['URL-safe', plain.replaceAll('+', '-').replaceAll('/', '_')],
  ])('%s gives the same bytes or is refused', async (_, file) => {
    const answer = await uploadFile(server, file, { fileName: 'b.png' })
    if (answer.status === 200) expect((await stored(answer.json())).equals(picture)).toBe(true)
    else expect(answer.status).toBe(400)
  })

  test.each([
    ['one bad character', `${plain.slice(0, 40)}*${plain.slice(40)}`],
    ['a plus turned into a space', `${plain.slice(0, 40)} ${plain.slice(41)}`],
    ['text', 'this is no file at all!'],
    ['a data URI that is not base64', 'data:text/plain,hello'],
    ['an empty data URI', 'data:image/png;base64,'],
    ['padding in the middle', `${plain.slice(0, 40)}==${plain.slice(40)}`],
  ])('%s is refused', async (_, file) => {
    const answer = await uploadFile(server, file, { fileName: 'b.png' })
    expect(answer.status).toBe(400)
    expect(answer.json().message).toMatch(/file/)
  })

  test.runIf(fixturesDir)('a large photograph through both SDKs', async () => {
    const photo = await readFile(fixture('photos/picos.jpg'))
    const text = photo.toString('base64')
    const six = await sdk6(server).upload({ file: text, fileName: 'six.jpg' })
    expect((await stored(six)).equals(photo)).toBe(true)
    const seven = await sdk7(server).files.upload({
      file: `data:image/jpeg;base64,${text}`,
      fileName: 'seven.jpg',
    })
    expect(seven).toMatchObject({ size: photo.length, width: six.width, height: six.height })
  })
})

describe('a URL', () => {
  const picture = png(30, 20, 0xabcdef)
  const photo = Buffer.alloc(2_000_000, 'photograph')
  let origin: HttpServer
  let base: string
  const seen: { url: string; headers: NodeJS.Dict<string | string[]> }[] = []

  const routes: Record<string, RequestListener> = {
    '/picture.png': (_, response) => response.end(picture),
    '/photo': (_, response) => response.end(photo),
    '/redirect': (_, response) => response.writeHead(302, { location: '/picture.png' }).end(),
    '/loop': (_, response) => response.writeHead(302, { location: '/loop' }).end(),
    '/to-file': (_, response) => response.writeHead(302, { location: 'file:///etc/hostname' }).end(),
    '/missing': (_, response) => response.writeHead(404).end('no'),
    '/error': (_, response) => response.writeHead(500).end('no'),
    '/empty': (_, response) => response.end(),
    '/no-content': (_, response) => response.writeHead(204).end(),
    '/short': (_, response) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('cut', () => response.destroy())
    },
    '/too-large': (_, response) => response.end(Buffer.alloc(3_000_001)),
    '/says-too-large': (_, response) =>
      response.writeHead(200, { 'content-length': '900000000000' }).write('x'),
    '/endless': (request, response) => {
      const chunk = Buffer.alloc(65_536)
      const more = () => {
        while (!request.destroyed && response.write(chunk));
      }
      response.on('drain', more)
      more()
    },
    '/gzip': (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(picture)),
    '/slow-headers': () => {},
  }

  beforeAll(async () => {
    origin = createServer((request, response) => {
      seen.push({ url: request.url!, headers: request.headers })
      const route = routes[request.url!.split('?')[0]!]
      if (route) route(request, response)
      else response.writeHead(404).end()
    })
    await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve))
    base = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`
  })
  afterAll(() => {
    origin.closeAllConnections()
    origin.close()
  })

  const fromUrl = (path: string, fields: Record<string, string> = {}) =>
    uploadFile(server, base + path, { fileName: 'from-url.png', ...fields })

  test('brings the bytes in, through both SDKs too', async () => {
    const answer = await fromUrl('/picture.png?a=b%20c')
    expect(answer.status, answer.body.toString()).toBe(200)
    expect(answer.json()).toMatchObject({ size: picture.length, width: 30, height: 20 })
    expect((await stored(answer.json())).equals(picture)).toBe(true)
    expect(seen.at(-1)!.url).toBe('/picture.png?a=b%20c')
    const six = await sdk6(server).upload({ file: `${base}/photo`, fileName: 'six.bin' })
    expect((await stored(six)).equals(photo)).toBe(true)
    const seven = await sdk7(server).files.upload({ file: `${base}/picture.png`, fileName: 'seven.png' })
    expect(seven).toMatchObject({ width: 30, height: 20 })
  })

  test('is asked without our keys or a compression', async () => {
    await fromUrl('/picture.png')
    const { headers } = seen.at(-1)!
    expect(headers.authorization).toBeUndefined()
    expect(headers.cookie).toBeUndefined()
    expect(headers['accept-encoding'] ?? 'identity').toBe('identity')
  })

  test('may redirect', async () => {
    expect((await fromUrl('/redirect')).json()).toMatchObject({ size: picture.length })
  })

  test.each(['/loop', '/to-file', '/missing', '/error', '/empty', '/no-content', '/short', '/gzip'])(
    '%s is refused',
    async (path) => {
      const answer = await fromUrl(path)
      expect(answer.status, answer.body.toString()).toBe(400)
      expect(answer.json().message).toMatch(/file/)
    },
  )

  test.each(['/too-large', '/says-too-large', '/endless'])('%s exceeds the limit', async (path) => {
    const answer = await fromUrl(path)
    expect(answer.status).toBe(400)
    expect(answer.json().message).toBe(
      'Your request contains invalid file parameter. The file size exceeds limits.',
    )
  })

  test('has eight seconds for its headers', async () => {
    const began = Date.now()
    const answer = await fromUrl('/slow-headers')
    expect(answer.status).toBe(400)
    expect(Date.now() - began).toBeGreaterThan(6500)
    expect(Date.now() - began).toBeLessThan(12_000)
  })

  test.each([
    'ftp://example.com/a.jpg',
    'file:///etc/passwd',
    'http://',
    'http://user:pass@127.0.0.1/a.jpg',
    'http://127.0.0.1:1/closed',
    'http://127.0.0.1:22/ssh',
    'http://does-not-exist.invalid/a.jpg',
    `http://127.0.0.1/${'a'.repeat(10_000)}`,
  ])('%s is refused', async (url) => {
    const answer = await uploadFile(server, url, { fileName: 'x.jpg' })
    expect(answer.status, answer.body.toString()).toBe(400)
    expect(answer.json().message).toMatch(/file/)
  })

  test('nothing of what was refused is in the library', async () => {
    const headers = { authorization: basic(server.privateKey) }
    const before = (await send(server, '/v1/files', { headers })).json().length
    await Promise.all(['/short', '/missing', '/too-large'].map((path) => fromUrl(path)))
    expect((await send(server, '/v1/files', { headers })).json()).toHaveLength(before)
  })
})

describe('a URL into the private network, which the settings do not allow', () => {
  let closed: Server
  let origin: HttpServer
  let requests = 0
  beforeAll(async () => {
    closed = await startServer()
    origin = createServer((_, response) => {
      requests++
      response.end(png())
    })
    await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve))
  })
  afterAll(async () => {
    origin.close()
    await closed.dispose()
  })

  test.each([
    '127.0.0.1',
    'localhost',
    '127.1',
    '0x7f000001',
    '2130706433',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
  ])('%s is refused without a packet', async (host) => {
    const { port } = origin.address() as AddressInfo
    const answer = await uploadFile(closed, `http://${host}:${port}/a.png`, { fileName: 'x.png' })
    expect(answer.status).toBe(400)
    expect(answer.json().message).toMatch(/could not be downloaded/)
    expect(answer.json().message).not.toContain('127')
    expect(requests).toBe(0)
  })
})
