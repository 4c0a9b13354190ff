/**
 * Runs in a network namespace in which every address leads to this machine: a Tintype with its default settings, a name
 * server, one public web server that misbehaves as its paths say, and a canary at every other address. Uploads from the
 * URLs of the table and prints what came of it as JSON.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { createSecureContext, createServer as createTlsServer } from 'node:tls'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { png } from '../images.ts'
import { startTintype, upload } from '../tintype.ts'
import { CASES, PUBLIC, PUBLIC6 } from './cases.ts'
import { CERTIFICATES } from './certificates.ts'
import { startNameServer } from './dns.ts'

const LOOPBACK6 = '00000000000000000000000000000001'

const names = startNameServer(
  {
    'public.test': { a: [PUBLIC] },
    'good-tls.test': { a: [PUBLIC] },
    'self-tls.test': { a: [PUBLIC] },
    'expired-tls.test': { a: [PUBLIC] },
    'wrong-tls.test': { a: [PUBLIC] },
    'loopback.test': { a: ['127.0.0.1'] },
    'private.test': { a: ['10.1.2.3'] },
    'metadata.test': { a: ['169.254.169.254'] },
    'mixed.test': { a: ['127.0.0.1', PUBLIC] },
    'mixed-last.test': { a: [PUBLIC, PUBLIC, '192.168.1.1'] },
    'loopback6.test': { aaaa: [LOOPBACK6] },
    'mixed6.test': { a: [PUBLIC], aaaa: [LOOPBACK6] },
    'mapped.test': { aaaa: ['00000000000000000000ffff7f000001'] },
    'nat64.test': { aaaa: ['0064ff9b0000000000000000a9fea9fe'] },
    'cname.test': { cname: 'localhost', a: ['127.0.0.1'] },
    'empty.test': {},
    'silent.test': 'silent',
  },
  { 'rebind.test': [PUBLIC, '127.0.0.1'], 'rebind-twice.test': [PUBLIC, '127.0.0.1'] },
)

const picture = png(6, 4)
const gzipped = gzipSync(picture)
const seen: { url: string; headers: NodeJS.Dict<string | string[]> }[] = []
const held = new Set<ServerResponse>()
let mostHeld = 0

/** Answers that Node's own server would not give. */
const raw =
  (text: string, then?: (socket: Socket) => void) => (_: IncomingMessage, response: ServerResponse) => {
    const socket = response.socket!
    socket.write(text, () => then?.(socket))
  }
const end = (socket: Socket) => socket.end()
const encoded = (encoding: string, body: Buffer) => (_: IncomingMessage, response: ServerResponse) =>
  response.writeHead(200, { 'content-encoding': encoding }).end(body)
const OK = 'HTTP/1.1 200 OK\r\n'

const routes: Record<string, (request: IncomingMessage, response: ServerResponse) => unknown> = {
  '/ok': (_, response) => response.end(picture),
  '/redirect': (request, response) =>
    response
      .writeHead(302, {
        location: new URL(request.url!, 'http://x').searchParams.get('to')!,
        'set-cookie': 'session=secret; Path=/',
      })
      .end(),
  '/loop': (_, response) => response.writeHead(307, { location: '/loop' }).end(),
  '/never': () => {},
  '/late': (_, response) => setTimeout(() => response.end(picture), 7000),
  '/hold': (_, response) => {
    held.add(response)
    mostHeld = Math.max(mostHeld, held.size)
    response.on('close', () => held.delete(response))
  },
  '/drip-headers': (_, { socket }) => {
    socket!.write(OK)
    const drip = setInterval(() => socket!.write('x-a: b\r\n'), 200)
    socket!.on('close', () => clearInterval(drip))
  },
  '/endless-103': (_, { socket }) => {
    const text = 'HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n'.repeat(20)
    const more = setInterval(() => socket!.write(text), 20)
    socket!.on('close', () => clearInterval(more))
  },
  '/headers-1mb': raw(`${OK}x: ${'a'.repeat(1_000_000)}\r\n\r\n`),
  '/switch': raw('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
  '/drip-body': (_, response) => {
    response.writeHead(200).flushHeaders()
    const drip = setInterval(() => response.write('x'), 200)
    response.on('close', () => clearInterval(drip))
  },
  '/endless': (_, response) => {
    const chunk = Buffer.alloc(1 << 20, 'x')
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', more)
    more()
  },
  '/gzip': encoded('gzip', gzipped),
  '/br': encoded('br', brotliCompressSync(picture)),
  '/gzip-twice': encoded('gzip, gzip', gzipSync(gzipped)),
  '/gzip-bomb': encoded('gzip', gzipSync(Buffer.alloc(50_000_000))),
  '/gzip-lie': encoded('gzip', picture),
  '/gzip-transfer': raw(`${OK}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, end),
  '/short': raw(`${OK}content-length: 1000\r\n\r\ncut`, end),
  '/negative': raw(`${OK}content-length: -1\r\n\r\nabc`, end),
  '/nan': raw(`${OK}content-length: 3x\r\n\r\nabc`, end),
  '/twice': raw(`${OK}content-length: 3\r\ncontent-length: 5\r\n\r\nhello`, end),
  '/length-and-chunks': raw(
    `${OK}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    end,
  ),
  '/bad-chunks': raw(`${OK}transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n`, end),
  '/cut-chunks': raw(`${OK}transfer-encoding: chunked\r\n\r\na\r\nabc`, end),
  '/reset': (_, { socket }) => socket!.resetAndDestroy(),
  '/reset-body': raw(`${OK}content-length: 1000\r\n\r\nabc`, (socket) => socket.resetAndDestroy()),
  '/no-status': raw('hello world\r\n\r\n', end),
  '/empty-answer': (_, { socket }) => socket!.end(),
  '/long': raw(`${OK}content-length: 3\r\n\r\nabcdefghi`, end),
  '/huge': raw(`${OK}content-length: 1000000000000\r\n\r\nx`),
  '/nothing': (_, response) => response.end(),
}

const http = createHttpServer((request, response) => {
  seen.push({ url: request.url!, headers: request.headers })
  const path = request.url!.split('?', 1)[0]!
  const status = /^\/status\/(\d+)$/.exec(path)?.[1]
  if (status) response.writeHead(Number(status)).end()
  else if (path.startsWith('/named/')) {
    response.writeHead(200, { 'content-disposition': 'attachment; filename="../../evil.html"' }).end(picture)
  } else if (Object.hasOwn(routes, path)) routes[path]!(request, response)
  else response.writeHead(404).end()
})
http.on('clientError', (_, socket) => socket.destroy())
const tls = createTlsServer({
  ...CERTIFICATES['good-tls.test'],
  SNICallback: (name, callback) =>
    callback(null, createSecureContext(CERTIFICATES[name] ?? CERTIFICATES['good-tls.test'])),
})
tls.on('secureConnection', (socket) => http.emit('connection', socket))
tls.on('tlsClientError', () => {})

/** Addresses, other than the public ones, at which somebody knocked. */
const canary: string[] = []
let connections = 0
const door = (port: number) =>
  new Promise<void>((resolve) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {})
      const address = socket.localAddress!.replace('::ffff:', '')
      if (address !== PUBLIC && address !== PUBLIC6) {
        canary.push(`${address}:${port}`)
        socket.end(`${OK}content-length: 6\r\nconnection: close\r\n\r\nsecret`)
        return
      }
      connections += 1
      const inner = port === 443 ? tls : http
      inner.emit('connection', socket)
    })
    server.listen(port, '::', resolve)
  })
for (const port of [80, 443, 8080]) await door(port)

const settled = async (condition: () => boolean) => {
  while (!condition()) await new Promise((wake) => setTimeout(wake, 10))
}

const tintype = await startTintype({
  env: {
    TINTYPE_ALLOW_PRIVATE_NETWORK: 'false',
    TINTYPE_FETCH_GRACE_MS: '3000',
    TINTYPE_UPLOAD_MAX_VIDEO_BYTES: '30000000',
  },
})
const attempt = async (url: string) => {
  const startMs = performance.now()
  const { status, body } = await upload(tintype, url, { fileName: 'kept-name.png' })
  return { status, body, ms: performance.now() - startMs }
}

// Many at once from one key: some hold places, some wait, and the rest is refused. Delivery and health go on.
const own = await upload(tintype, picture, { fileName: 'own.png' })
const many = Array.from({ length: 90 }, () => attempt(`http://${PUBLIC}/hold`))
let refusedNow = 0
for (const one of many)
  one.then(({ status }) => {
    if (status === 429) refusedNow += 1
  })
await settled(() => refusedNow > 0 && held.size >= 8)
await new Promise((wake) => setTimeout(wake, 300))
const meanwhile = [
  (await fetch(`${tintype.url}/health`)).status,
  (await fetch(String(own.body.url))).status,
  (await upload(tintype, picture, { fileName: 'meanwhile.png' })).status,
]
const letGo = setInterval(() => {
  for (const response of held) response.end(picture)
}, 10)
const crowd = (await Promise.all(many)).map(({ status, body }) => ({ status, message: body.message }))
clearInterval(letGo)

const before = { seen: seen.length, connections }
// The two questions of one name must come one after the other.
const results = await Promise.all(
  CASES.map(async ({ url }) => {
    if (url.endsWith('?again')) await settled(() => (names.asked.get('rebind-twice.test') ?? 0) > 0)
    return attempt(url)
  }),
)
const requests = seen.length - before.seen
const opened = connections - before.connections
const files = (await (
  await fetch(`${tintype.url}/v1/files?limit=1000`, { headers: { authorization: tintype.authorization } })
).json()) as { name: string }[]

const report = {
  swallows: process.env.SWALLOWS === '1',
  results,
  canary,
  crowd,
  mostHeld,
  meanwhile,
  requests,
  connections: opened,
  lookups: Object.fromEntries(names.asked),
  names: files.map(({ name }) => name),
  sentHeaders: [...new Set(seen.flatMap(({ headers }) => Object.keys(headers)))],
  acceptEncodings: [...new Set(seen.map(({ headers }) => headers['accept-encoding']))],
}
process.stdout.write(`\n${JSON.stringify(report)}\n`, () => process.exit(0))
