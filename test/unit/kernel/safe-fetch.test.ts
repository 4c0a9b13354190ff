import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TintypeError } from '../../../src/kernel/errors.ts'
import { FetchFailure } from '../../../src/kernel/network-policy.ts'
import {
  createSafeFetch,
  type SafeFetchDependencies,
  type SafeFetchOptions,
  type SafeFetchRequest,
} from '../../../src/kernel/safe-fetch.ts'
import { TLS_CERTIFICATE, TLS_KEY } from './tls-fixture.ts'

const MESSAGE = 'The file could not be downloaded from the given URL.'
const QUICK = { failureFloorMs: 0 } satisfies Partial<SafeFetchOptions>
const LOCAL = { ...QUICK, allowPrivateNetwork: true } satisfies Partial<SafeFetchOptions>

const servers: (Server | TcpServer)[] = []
const sockets = new Set<Socket>()

async function listen<T extends Server | TcpServer>(server: T): Promise<{ server: T; port: number }> {
  servers.push(server)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  return { server, port: (server.address() as AddressInfo).port }
}

/** A server that answers every connection with the given bytes and then does as told. */
function raw(answer: (socket: Socket) => void) {
  return listen(
    createTcpServer((socket) => {
      socket.once('data', () => answer(socket))
    }),
  )
}

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))))
})

const request = (extra: Partial<SafeFetchRequest> = {}): SafeFetchRequest => ({
  failureMessage: MESSAGE,
  maxBytes: 1_000_000,
  ...extra,
})

async function download(
  url: string,
  options: Partial<SafeFetchOptions> = LOCAL,
  extra: Partial<SafeFetchRequest> = {},
  dependencies: SafeFetchDependencies = {},
) {
  const response = await createSafeFetch(options, dependencies).open(url, request(extra))
  const chunks: Buffer[] = []
  for await (const chunk of response.body) chunks.push(chunk)
  return { ...response, bytes: Buffer.concat(chunks) }
}

/** The failure's private code, after asserting that its public face gives nothing away. */
async function failureOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(TintypeError)
  const failure = error as TintypeError
  if (failure.kind !== 'bad-request') return failure.kind
  expect(failure.message).toBe(MESSAGE)
  expect(failure.extra).toBeUndefined()
  expect(failure.cause).toBeInstanceOf(FetchFailure)
  return (failure.cause as FetchFailure).code
}

describe('hostile URLs', () => {
  let port: number
  let connections: number

  beforeEach(async () => {
    connections = 0
    const { server, port: canary } = await listen(createServer((_, answer) => answer.end('secret')))
    server.on('connection', () => connections++)
    port = canary
  })

  // P stands for the canary's port.
  const refused = [
    'http://127.0.0.1:P/',
    'http://127.0.0.2:P/',
    'http://127.1:P/',
    'http://127.0.1:P/',
    'http://2130706433:P/',
    'http://0x7f000001:P/',
    'http://0x7f.1:P/',
    'http://0x7f.0x0.0x0.0x1:P/',
    'http://017700000001:P/',
    'http://0177.0.0.1:P/',
    'http://0177.1:P/',
    'http://127.0.0.1.:P/',
    'http://①②⑦.⓪.⓪.①:P/',
    'http://127。0。0。1:P/',
    'http://%31%32%37.0.0.1:P/',
    'http://127%2e0%2e0%2e1:P/',
    'http:127.0.0.1:P/',
    'http:/127.0.0.1:P/',
    'http:///127.0.0.1:P/',
    'HTTP://127.0.0.1:P/',
    'http://0:P/',
    'http://0.0.0.0:P/',
    'http://0x0:P/',
    'http://localhost:P/',
    'http://LOCALHOST:P/',
    'http://localhost.:P/',
    'http://a.localhost:P/',
    'http://ⓛocalhost:P/',
    'http://[::1]:P/',
    'http://[0:0:0:0:0:0:0:1]:P/',
    'http://[::]:P/',
    'http://[::ffff:127.0.0.1]:P/',
    'http://[::ffff:7f00:1]:P/',
    'http://[::ffff:8.8.8.8]:P/',
    'http://[::127.0.0.1]:P/',
    'http://[::7f00:1]:P/',
    'http://[64:ff9b::127.0.0.1]:P/',
    'http://[64:ff9b:1::7f00:1]:P/',
    'http://[2002:7f00:1::]:P/',
    'http://[2001:0:7f00:1::]:P/',
    'http://[::5efe:7f00:1]:P/',
    'http://[2606:4700::5efe:7f00:1]:P/',
    'http://[2606:4700::200:5efe:7f00:1]:P/',
    'http://[fe80::1]:P/',
    'http://[fec0::1]:P/',
    'http://[fc00::1]:P/',
    'http://[fd00:ec2::254]/',
    'http://[ff02::1]:P/',
    'http://[100::1]:P/',
    'http://[2001:db8::1]:P/',
    'http://[3fff::1]:P/',
    'http://[5f00::1]:P/',
    'http://10.0.0.1:P/',
    'http://172.16.0.1:P/',
    'http://172.31.255.255:P/',
    'http://192.168.1.1:P/',
    'http://169.254.169.254/latest/meta-data/',
    'http://169.254.170.2/',
    'http://0xa9fea9fe/',
    'http://2852039166/',
    'http://100.64.0.1:P/',
    'http://100.100.100.200/',
    'http://168.63.129.16/',
    'http://192.0.0.192/',
    'http://192.0.2.1:P/',
    'http://198.18.0.1:P/',
    'http://198.51.100.1:P/',
    'http://203.0.113.1:P/',
    'http://224.0.0.1:P/',
    'http://240.0.0.1:P/',
    'http://255.255.255.255:P/',
    'https://127.0.0.1:P/',
    'file:///etc/passwd',
    'file://127.0.0.1/etc/passwd',
    'gopher://127.0.0.1:P/_x',
    'ftp://127.0.0.1:P/',
    'dict://127.0.0.1:P/',
    'ws://127.0.0.1:P/',
    'data:text/plain,x',
    'blob:http://127.0.0.1:P/x',
    'javascript:1',
    'unix:/var/run/docker.sock',
    'jar:http://127.0.0.1:P/!/',
    '//127.0.0.1:P/',
    '127.0.0.1:P',
    '/etc/passwd',
    '',
    ' ',
    'http://',
    'http://:P/',
    'ht\ntp://127.0.0.1:P/',
    'http://127.0.\t0.1:P/',
    'http://93.184.216.34\n/',
    'http://93.184.216.34\\@127.0.0.1:P/',
    'http:\\\\127.0.0.1:P/',
    'http://93.184.216.34\u0000.127.0.0.1:P/',
    'http://user@93.184.216.34:P/',
    'http://user:pass@127.0.0.1:P/',
    'http://93.184.216.34@127.0.0.1:P/',
    'http://:@:pass@127.0.0.1:P/',
    'http://127.0.0.1:P#@93.184.216.34/',
    'http://127.0.0.1:P?@93.184.216.34/',
    'http://93.184.216.34:22/',
    'http://93.184.216.34:25/',
    'http://93.184.216.34:0/',
    'http://93.184.216.34:6379/',
    'http://93.184.216.34:5432/',
    'http://93.184.216.34:99999/',
    'http://[::1%25lo]:P/',
    'http://[127.0.0.1]:P/',
    `http://93.184.216.34/${'a'.repeat(200_000)}`,
    `http://${'a'.repeat(300)}.example/`,
  ]

  test.each(refused)('%j is refused without a connection', async (text) => {
    const code = await failureOf(download(text.replaceAll(':P', `:${port}`), QUICK))
    expect(['url-refused', 'address-refused']).toContain(code)
    expect(connections).toBe(0)
  })

  test('the canary can be reached when the private network is allowed', async () => {
    const { bytes } = await download(`http://127.1:${port}/`)
    expect(bytes.toString()).toBe('secret')
    expect(connections).toBe(1)
  })

  test.each([
    'http://169.254.169.254/',
    'http://[fd00:ec2::254]/',
    'http://100.100.100.200/',
    'http://0.0.0.0/',
  ])('%s stays closed when the private network is allowed', async (url) => {
    expect(await failureOf(download(url, LOCAL))).toBe('address-refused')
  })

  test.each([['127.0.0.0/8'], ['127.0.0.1'], ['canary.internal'], ['*.internal']])(
    'the allow list opens %s and nothing else',
    async (entry) => {
      const options = { ...QUICK, allowHosts: [entry] }
      const byName = !/^\d/.test(entry)
      const url = `http://${byName ? 'canary.internal' : '127.0.0.1'}:${port}/`
      const resolve = async () => ['127.0.0.1']
      expect((await download(url, options, {}, { resolve })).bytes.toString()).toBe('secret')
      expect(await failureOf(download(`http://[::1]:${port}/`, options))).toBe('address-refused')
      expect(
        await failureOf(
          download(`http://xinternal:${port}/`, options, {}, { resolve: async () => ['10.0.0.1'] }),
        ),
      ).toBe('address-refused')
    },
  )

  test.each(['10.0.0.0/99', 'a/b', '', '*', 'a*b', 'host:80'])(
    'a bad allow list entry %j is a start-up error',
    (entry) => {
      expect(() => createSafeFetch({ allowHosts: [entry] })).toThrow(/allowHosts/)
    },
  )

  describe('names', () => {
    const open = (answers: string[][], options: Partial<SafeFetchOptions> = QUICK) => {
      let lookups = 0
      const resolve = async () => answers[Math.min(lookups++, answers.length - 1)]!
      return {
        result: download(`http://rebind.example:${port}/`, options, {}, { resolve }),
        lookups: () => lookups,
      }
    }

    test.each([
      ['a private address', ['127.0.0.1']],
      ['a private address among public ones', ['93.184.216.34', '127.0.0.1']],
      ['an IPv6 loopback among public ones', ['93.184.216.34', '::1']],
      ['a mapped address', ['::ffff:127.0.0.1']],
      ['something that is no address', ['localhost']],
    ])('that resolve to %s are refused', async (_, answer) => {
      expect(await failureOf(open([answer]).result)).toBe('address-refused')
      expect(connections).toBe(0)
    })

    test('that rebind between check and connection find no second look-up', async () => {
      // Nothing listens at the first address, which is the checked one; the canary only appears in a second answer.
      const attempt = open([['127.0.0.2'], ['127.0.0.1']], { ...QUICK, allowHosts: ['127.0.0.2'] })
      expect(await failureOf(attempt.result)).toBe('connection-failed')
      expect(attempt.lookups()).toBe(1)
      expect(connections).toBe(0)
    })

    test('connect to the checked address and keep their Host', async () => {
      let lookups = 0
      const seen: IncomingHttpHeaders[] = []
      const { port: named } = await listen(
        createServer((incoming, answer) => {
          seen.push(incoming.headers)
          answer.end('ok')
        }),
      )
      const resolve = async () => [lookups++ === 0 ? '127.0.0.1' : '10.9.9.9']
      const { bytes } = await download(`http://name.example:${named}/`, LOCAL, {}, { resolve })
      expect(bytes.toString()).toBe('ok')
      expect(lookups).toBe(1)
      expect(seen[0]!.host).toBe(`name.example:${named}`)
    })

    test('that do not resolve, or never, fail like all others', async () => {
      expect(await failureOf(open([[]]).result)).toBe('unresolved')
      const broken = async () => {
        throw new Error('ENOTFOUND')
      }
      expect(await failureOf(download('http://none.example/', QUICK, {}, { resolve: broken }))).toBe(
        'unresolved',
      )
      const silent = () => new Promise<string[]>(() => {})
      expect(
        await failureOf(
          download('http://silent.example/', { ...QUICK, dnsTimeoutMs: 30 }, {}, { resolve: silent }),
        ),
      ).toBe('unresolved')
    })
  })
})

describe('redirects', () => {
  async function chain(respond: (path: string) => { status?: number; location?: string; body?: string }) {
    const seen: { path: string; headers: IncomingHttpHeaders }[] = []
    const { port } = await listen(
      createServer((incoming, answer) => {
        seen.push({ path: incoming.url!, headers: incoming.headers })
        const { status = 302, location, body = '' } = respond(incoming.url!)
        answer.writeHead(location === undefined ? 200 : status, location === undefined ? {} : { location })
        answer.end(body)
      }),
    )
    return { base: `http://127.0.0.1:${port}`, seen }
  }

  test('three are followed, relative ones too, and the final URL is told', async () => {
    const { base } = await chain((path) => {
      const hop = Number(path.slice(1))
      return hop < 3 ? { location: `/${hop + 1}` } : { body: 'end' }
    })
    const answer = await download(`${base}/0`)
    expect(answer).toMatchObject({ status: 200, finalUrl: `${base}/3` })
    expect(answer.bytes.toString()).toBe('end')
  })

  test('a fourth is not', async () => {
    const { base, seen } = await chain((path) => ({ location: `/${Number(path.slice(1)) + 1}` }))
    expect(await failureOf(download(`${base}/0`))).toBe('redirect-refused')
    expect(seen).toHaveLength(4)
  })

  test('a loop ends', async () => {
    const { base } = await chain(() => ({ location: '/' }))
    expect(await failureOf(download(`${base}/`))).toBe('redirect-refused')
  })

  test.each([
    'http://169.254.169.254/',
    'http://[::1]:8080/',
    'http://0x0a000001/',
    'file:///etc/passwd',
    'gopher://127.0.0.1/',
    '//10.0.0.1/',
    'http://user:pass@example.com/',
    'http://93.184.216.34:22/',
    'http:\\\\10.0.0.1/',
  ])('to %s are judged from the start', async (location) => {
    const { base } = await chain(() => ({ location }))
    const options = { ...QUICK, allowHosts: ['127.0.0.1'] }
    expect(['url-refused', 'address-refused']).toContain(await failureOf(download(`${base}/`, options)))
  })

  test('to a name with a private address are refused', async () => {
    const { base } = await chain(() => ({ location: 'http://inside.example/' }))
    const options = { ...QUICK, allowHosts: ['127.0.0.1'] }
    const resolve = async () => ['10.0.0.1']
    expect(await failureOf(download(`${base}/`, options, {}, { resolve }))).toBe('address-refused')
  })

  test('from https to http are refused', async () => {
    const plain = await chain(() => ({ body: 'plain' }))
    const { port } = await listen(
      createTlsServer({ key: TLS_KEY, cert: TLS_CERTIFICATE }, (_, answer) => {
        answer.writeHead(302, { location: plain.base })
        answer.end()
      }),
    )
    const resolve = async () => ['127.0.0.1']
    const url = `https://tls.example:${port}/`
    expect(await failureOf(download(url, LOCAL, {}, { resolve, ca: TLS_CERTIFICATE }))).toBe(
      'redirect-refused',
    )
    expect(plain.seen).toHaveLength(0)
  })

  test('never carry credentials, and other headers only to the same origin', async () => {
    const other = await chain(() => ({ body: 'x' }))
    const first = await chain((path) =>
      path === '/a' ? { location: '/b' } : { location: `${other.base}/c` },
    )
    const headers = { Authorization: 'Basic x', Cookie: 'a=b', 'X-Api-Key': 'k', 'User-Agent': 'me' }
    await download(`${first.base}/a`, LOCAL, { headers })
    expect(first.seen[0]!.headers).toMatchObject({
      authorization: 'Basic x',
      cookie: 'a=b',
      'x-api-key': 'k',
    })
    expect(first.seen[1]!.headers).toMatchObject({ 'x-api-key': 'k', 'user-agent': 'me' })
    expect(first.seen[1]!.headers).not.toHaveProperty('authorization')
    expect(first.seen[1]!.headers).not.toHaveProperty('cookie')
    expect(other.seen[0]!.headers).toMatchObject({ 'user-agent': 'me' })
    expect(other.seen[0]!.headers).not.toHaveProperty('x-api-key')
    expect(other.seen[0]!.headers).not.toHaveProperty('authorization')
  })

  test('are the response when not wanted, and for POST', async () => {
    const { base, seen } = await chain(() => ({ location: '/next' }))
    expect(await download(`${base}/`, LOCAL, { followRedirects: false })).toMatchObject({ status: 302 })
    expect(await download(`${base}/`, LOCAL, { method: 'POST', body: '{}' })).toMatchObject({ status: 302 })
    expect(seen).toHaveLength(2)
  })
})

describe('requests', () => {
  test('ask for identity encoding, close the connection and keep framing to themselves', async () => {
    const seen: IncomingHttpHeaders[] = []
    const { server, port } = await listen(
      createServer((incoming, answer) => {
        seen.push(incoming.headers)
        answer.end()
      }),
    )
    let connections = 0
    server.on('connection', () => connections++)
    const fetch = createSafeFetch(LOCAL)
    for (let i = 0; i < 2; i++) {
      const headers = {
        Host: 'evil',
        'Accept-Encoding': 'gzip',
        'Transfer-Encoding': 'chunked',
        Connection: 'keep-alive',
      }
      const response = await fetch.open(`http://127.0.0.1:${port}/`, request({ headers }))
      for await (const _ of response.body) expect.unreachable()
    }
    expect(connections).toBe(2)
    expect(seen[0]).toMatchObject({
      host: `127.0.0.1:${port}`,
      'accept-encoding': 'identity',
      connection: 'close',
    })
    expect(seen[0]).not.toHaveProperty('transfer-encoding')
  })

  test('carry a body', async () => {
    const { port } = await listen(
      createServer((incoming, answer) => {
        incoming.pipe(answer)
      }),
    )
    const { bytes } = await download(`http://127.0.0.1:${port}/`, LOCAL, { method: 'POST', body: '{"a":1}' })
    expect(bytes.toString()).toBe('{"a":1}')
  })

  test('go to literal IPv6 addresses too', async (context) => {
    const server = createServer((incoming, answer) => answer.end(incoming.headers.host))
    servers.push(server)
    const error = await new Promise((ready) =>
      server.once('error', ready).listen(0, '::1', () => ready(undefined)),
    )
    if (error) return context.skip('no IPv6 here')
    const { port } = server.address() as AddressInfo
    expect((await download(`http://[0:0::1]:${port}/`)).bytes.toString()).toBe(`[::1]:${port}`)
  })

  test('with a header that would split the request fail', async () => {
    const { port } = await listen(createServer((_, answer) => answer.end()))
    const headers = { 'x-a': 'b\r\nx-c: d' }
    expect(await failureOf(download(`http://127.0.0.1:${port}/`, LOCAL, { headers }))).toBe(
      'connection-failed',
    )
  })

  test('proxy variables of the environment are not read', async () => {
    const { port } = await listen(createServer((_, answer) => answer.end('direct')))
    process.env.HTTP_PROXY = 'http://127.0.0.1:1'
    try {
      expect((await download(`http://127.0.0.1:${port}/`)).bytes.toString()).toBe('direct')
    } finally {
      delete process.env.HTTP_PROXY
    }
  })
})

describe('certificates', () => {
  async function secure() {
    const { port } = await listen(
      createTlsServer({ key: TLS_KEY, cert: TLS_CERTIFICATE }, (_, answer) => answer.end('secure')),
    )
    return port
  }
  const resolve = async () => ['127.0.0.1']

  test('trusted: the name is the one of the URL, not the address', async () => {
    const url = `https://tls.example:${await secure()}/`
    expect((await download(url, LOCAL, {}, { resolve, ca: TLS_CERTIFICATE })).bytes.toString()).toBe('secure')
  })

  test('self-signed or for another name: refused, even if the environment says otherwise', async () => {
    const port = await secure()
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    try {
      expect(await failureOf(download(`https://tls.example:${port}/`, LOCAL, {}, { resolve }))).toBe(
        'connection-failed',
      )
      const other = download(`https://other.example:${port}/`, LOCAL, {}, { resolve, ca: TLS_CERTIFICATE })
      expect(await failureOf(other)).toBe('connection-failed')
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    }
  })
})

describe('responses', () => {
  const local = (port: number) => `http://127.0.0.1:${port}/`
  const head = (...lines: string[]) => `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`

  test('no headers in time', async () => {
    const { port } = await raw(() => {})
    expect(await failureOf(download(local(port), { ...LOCAL, headersTimeoutMs: 60 }))).toBe('headers-timeout')
  })

  test('headers that drip', async () => {
    const { port } = await raw((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n')
      const drip = setInterval(() => socket.write('x-a: b\r\n'), 10)
      socket.on('close', () => clearInterval(drip))
    })
    expect(await failureOf(download(local(port), LOCAL, { headersTimeoutMs: 80 }))).toBe('headers-timeout')
  })

  test('the time for headers spans redirects', async () => {
    const { port } = await raw((socket) => {
      setTimeout(() => socket.end('HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n'), 50)
    })
    expect(await failureOf(download(local(port), { ...LOCAL, headersTimeoutMs: 120 }))).toBe(
      'headers-timeout',
    )
  })

  test('headers that come late but in time', async () => {
    const { port } = await raw((socket) => setTimeout(() => socket.end(`${head('content-length: 2')}ok`), 60))
    expect((await download(local(port), { ...LOCAL, headersTimeoutMs: 5000 })).bytes.toString()).toBe('ok')
  })

  test.each([
    ['a megabyte of headers', (socket: Socket) => socket.write(head(`x: ${'a'.repeat(1_000_000)}`))],
    ['no status line', (socket: Socket) => socket.end('hello world\r\n\r\n')],
    [
      'a protocol switch',
      (socket: Socket) =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    ],
    [
      'content-length twice',
      (socket: Socket) => socket.end(`${head('content-length: 2', 'content-length: 5')}hello`),
    ],
    ['negative content-length', (socket: Socket) => socket.end(`${head('content-length: -1')}hello`)],
    [
      'content-length with chunks',
      (socket: Socket) =>
        socket.end(`${head('content-length: 3', 'transfer-encoding: chunked')}3\r\nabc\r\n0\r\n\r\n`),
    ],
    ['bad chunks', (socket: Socket) => socket.end(`${head('transfer-encoding: chunked')}zz\r\nabc\r\n`)],
    ['chunks cut', (socket: Socket) => socket.end(`${head('transfer-encoding: chunked')}a\r\nabc`)],
    ['a short body', (socket: Socket) => socket.end(`${head('content-length: 10')}abc`)],
    [
      'a reset in the body',
      (socket: Socket) => {
        socket.write(`${head('content-length: 10')}abc`, () => socket.resetAndDestroy())
      },
    ],
    ['a reset at once', (socket: Socket) => socket.resetAndDestroy()],
  ] as [string, (socket: Socket) => void][])('%s: failed', async (_, answer) => {
    const { port } = await raw(answer)
    const code = await failureOf(download(local(port), { ...LOCAL, headersTimeoutMs: 2000 }))
    expect(['connection-failed', 'response-invalid', 'truncated']).toContain(code)
  })

  test('endless interim responses', async () => {
    const { port } = await raw((socket) => {
      const more = setInterval(
        () => socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n'.repeat(100)),
        5,
      )
      socket.on('close', () => clearInterval(more))
    })
    expect(await failureOf(download(local(port), { ...LOCAL, headersTimeoutMs: 5000 }))).toBe(
      'response-invalid',
    )
  })

  test.each([
    ['gzip', 'content-encoding: gzip'],
    ['br', 'content-encoding: br'],
    ['nested', 'content-encoding: gzip, gzip'],
    ['identity and gzip', 'content-encoding: identity, gzip'],
    ['two headers', 'content-encoding: identity\r\ncontent-encoding: gzip'],
  ])('%s encoding is refused', async (_, line) => {
    const { port } = await raw((socket) =>
      socket.end(Buffer.concat([Buffer.from(head(line)), gzipSync('x')])),
    )
    expect(await failureOf(download(local(port)))).toBe('encoding-refused')
  })

  test('gzip as a transfer encoding is refused', async () => {
    const { port } = await raw((socket) => socket.end(`${head('transfer-encoding: gzip, chunked')}0\r\n\r\n`))
    expect(await failureOf(download(local(port)))).toBe('encoding-refused')
  })

  test('identity encoding is read', async () => {
    const { port } = await raw((socket) => socket.end(`${head('content-encoding: Identity')}abc`))
    expect((await download(local(port))).bytes.toString()).toBe('abc')
  })

  test('a body that announces too much is refused before it is read', async () => {
    const { port } = await raw((socket) => socket.write(head('content-length: 1000001')))
    const error = await createSafeFetch(LOCAL)
      .open(local(port), request({ tooLargeMessage: 'The file size exceeds limits.' }))
      .catch((caught: unknown) => caught)
    expect(error).toMatchObject({ kind: 'too-large', message: 'The file size exceeds limits.' })
  })

  test('an endless body stops at the limit', async () => {
    let sentBytes = 0
    const { port } = await raw((socket) => {
      socket.write(head())
      const pump = () => {
        while (!socket.destroyed) {
          sentBytes += 65_536
          if (!socket.write(Buffer.alloc(65_536))) break
        }
      }
      socket.on('drain', pump)
      pump()
    })
    expect(await failureOf(download(local(port), LOCAL, { maxBytes: 100_000 }))).toBe('too-large')
    expect(sentBytes).toBeLessThan(50_000_000)
  })

  test('exactly the limit is taken, one byte more is not', async () => {
    const { port } = await raw((socket) => socket.end(head() + 'x'.repeat(1000)))
    expect((await download(local(port), LOCAL, { maxBytes: 1000 })).bytes).toHaveLength(1000)
    expect(await failureOf(download(local(port), LOCAL, { maxBytes: 999 }))).toBe('too-large')
  })

  test('a dripping body is cut off, also after a fast beginning', async () => {
    const { port } = await raw((socket) => {
      socket.write(head() + 'x'.repeat(50_000))
      const drip = setInterval(() => socket.write('x'), 10)
      socket.on('close', () => clearInterval(drip))
    })
    expect(await failureOf(download(local(port), { ...LOCAL, graceMs: 100 }))).toBe('too-slow')
  })

  test('a slow reader on our side is no slow sender', async () => {
    const { port } = await raw((socket) => socket.end(head('content-length: 200000') + 'x'.repeat(200_000)))
    const response = await createSafeFetch({ ...LOCAL, graceMs: 40, minBytesPerSec: 100_000 }).open(
      local(port),
      request(),
    )
    let bytes = 0
    for await (const chunk of response.body) {
      bytes += chunk.length
      await new Promise((wake) => setTimeout(wake, 60))
    }
    expect(bytes).toBe(200_000)
  })

  test('a body that never ends is cut off at the total time', async () => {
    const { port } = await raw((socket) => {
      socket.write(head())
      const more = setInterval(() => socket.write('x'.repeat(100)), 5)
      socket.on('close', () => clearInterval(more))
    })
    expect(await failureOf(download(local(port), { ...LOCAL, totalTimeoutMs: 150, minBytesPerSec: 0 }))).toBe(
      'too-long',
    )
  })

  test('every status comes through', async () => {
    const { port } = await listen(
      createServer((incoming, answer) => {
        answer.writeHead(Number(incoming.url!.slice(1)))
        answer.end()
      }),
    )
    for (const status of [200, 204, 206, 304, 404, 500]) {
      expect(await download(`${local(port)}${status}`)).toMatchObject({ status })
    }
  })

  test('HEAD has no body, whatever it announces', async () => {
    const { port } = await raw((socket) => socket.end(head('content-length: 99999999')))
    const answer = await download(local(port), LOCAL, { method: 'HEAD' })
    expect(answer.headers['content-length']).toBe('99999999')
    expect(answer.bytes).toHaveLength(0)
  })

  test('who wants the status only gets it whatever the body', async () => {
    const { port } = await raw((socket) =>
      socket.write(head('content-encoding: gzip', 'content-length: 99999999')),
    )
    expect(await download(local(port), LOCAL, { readBody: false })).toMatchObject({ status: 200 })
  })

  test('refused, closed and unresolved look the same from outside', async () => {
    const { server, port } = await listen(createTcpServer())
    await new Promise((done) => server.close(done))
    const resolve = async () => []
    const messages = await Promise.all(
      [
        download(local(port), LOCAL),
        download('http://nowhere.example/', LOCAL, {}, { resolve }),
        download('http://10.0.0.1/', QUICK),
      ].map((work) => work.catch((error: Error) => error.message)),
    )
    expect(new Set(messages)).toEqual(new Set([MESSAGE]))
  })
})

describe('slots', () => {
  async function slow() {
    const waiting: (() => void)[] = []
    const { port } = await listen(
      createServer((_, answer) => {
        waiting.push(() => answer.end('done'))
      }),
    )
    return { url: `http://127.0.0.1:${port}/`, waiting }
  }
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((wake) => setTimeout(wake, 5))
  }
  const finish = async (response: { body: AsyncIterable<Buffer> }) => {
    for await (const _ of response.body);
  }

  test('a full line is answered rate-limited; discard and end of body make room', async () => {
    const { url, waiting } = await slow()
    const fetch = createSafeFetch({ ...LOCAL, maxConcurrent: 1, maxQueued: 1 })
    const first = fetch.open(url, request())
    const second = fetch.open(url, request())
    await until(() => waiting.length === 1)
    const third = await fetch.open(url, request()).catch((error: unknown) => error)
    expect(third).toMatchObject({ kind: 'rate-limited' })
    waiting[0]!()
    const response = await first
    response.discard()
    response.discard()
    await until(() => waiting.length === 2)
    waiting[1]!()
    await finish(await second)
    const fourth = fetch.open(url, request())
    await until(() => waiting.length === 3)
    waiting[2]!()
    await finish(await fourth)
  })

  test('failures give the slot back', async () => {
    const { url, waiting } = await slow()
    const fetch = createSafeFetch({ ...LOCAL, maxConcurrent: 1, maxQueued: 0, headersTimeoutMs: 30 })
    for (let i = 0; i < 3; i++) expect(await failureOf(fetch.open(url, request()))).toBe('headers-timeout')
    expect(waiting).toHaveLength(3)
  })

  test('one key does not hold all slots', async () => {
    const { url, waiting } = await slow()
    const fetch = createSafeFetch({ ...LOCAL, maxConcurrent: 2, maxConcurrentPerKey: 1, maxQueued: 5 })
    const opened = [fetch.open(url, request({ key: 'a' }))]
    await until(() => waiting.length === 1)
    opened.push(fetch.open(url, request({ key: 'a' })), fetch.open(url, request({ key: 'b' })))
    await until(() => waiting.length === 2)
    waiting[1]!()
    await finish(await opened[2]!)
    waiting[0]!()
    await finish(await opened[0]!)
    await until(() => waiting.length === 3)
    waiting[2]!()
    await finish(await opened[1]!)
  })

  test('a wait for a slot ends in rate-limited, and a caller who leaves the line leaves no trace', async () => {
    const { url, waiting } = await slow()
    const fetch = createSafeFetch({ ...LOCAL, maxConcurrent: 1, maxQueued: 1, queueTimeoutMs: 40 })
    const first = fetch.open(url, request())
    await until(() => waiting.length === 1)
    const leaver = new AbortController()
    const left = fetch.open(url, request({ signal: leaver.signal }))
    leaver.abort(new Error('gone'))
    expect(await failureOf(left)).toBe('aborted')
    expect(await failureOf(fetch.open(url, request()))).toBe('rate-limited')
    waiting[0]!()
    await finish(await first)
  })

  test('an abort ends the exchange before headers and in the body', async () => {
    const { url, waiting } = await slow()
    const early = new AbortController()
    const fetch = createSafeFetch(LOCAL)
    const first = fetch.open(url, request({ signal: early.signal }))
    await until(() => waiting.length === 1)
    early.abort()
    expect(await failureOf(first)).toBe('aborted')

    const { port } = await raw((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nabc'))
    const late = new AbortController()
    const response = await fetch.open(`http://127.0.0.1:${port}/`, request({ signal: late.signal }))
    const reading = finish(response)
    late.abort()
    expect(await failureOf(reading)).toBe('aborted')
  })

  test('a signal that has fired already sends nothing', async () => {
    const { url, waiting } = await slow()
    expect(await failureOf(createSafeFetch(LOCAL).open(url, request({ signal: AbortSignal.abort() })))).toBe(
      'aborted',
    )
    expect(waiting).toHaveLength(0)
  })
})

test('failures are never reported before the floor', async () => {
  const startMs = performance.now()
  expect(await failureOf(download('http://10.0.0.1/', { failureFloorMs: 120 }))).toBe('address-refused')
  // Timers count whole milliseconds, of another clock.
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(117)
})
