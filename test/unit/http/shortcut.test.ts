import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Asked, Recalled } from '../../../src/http/recalled.ts'
import { createShortcut, readHead } from '../../../src/http/shortcut.ts'

/** A server that has answers to `/hot…` in memory, and tells of all else what it has read. */
type Rig = {
  server: Server
  port: number
  counts: { shortcuts: number; unfinished: number }
  /** The server's ends of connections by the clients' ports, and how many requests they are at. */
  connections: Map<number, { socket: Socket; open: number }>
}

const hotBody = (target: string) => Buffer.from(`the body of ${target} `.repeat(20))

/** @param isEager whether it takes the shortcut. */
async function startRig(isEager: boolean): Promise<Rig> {
  const counts = { shortcuts: 0, unfinished: 0 }
  const answer = ({ method, target, headers }: Asked): Recalled | undefined => {
    if (!/^(GET|HEAD)$/.test(method) || !target.startsWith('/hot') || hasBody(headers)) return undefined
    const body = hotBody(`${target} ${headers.accept}`)
    const isKnown = headers['if-none-match'] === '"x"'
    const pairs = ['x-ik-requestid', 'id', 'x-request-id', 'id', 'etag', '"x"']
    let lines = 'etag: "x"\r\n'
    if (!isKnown) {
      pairs.push('content-length', String(body.length))
      lines += `content-length: ${body.length}\r\n`
    }
    return {
      status: isKnown ? 304 : 200,
      head: { pairs, lines, requestId: 'id' },
      body: isKnown || method === 'HEAD' ? null : body,
    }
  }
  const shortcut = createShortcut({
    answer(asked) {
      const recalled = answer(asked)
      if (recalled) counts.shortcuts += 1
      return recalled
    },
    keepAliveMs: 75_000,
    begin() {
      counts.unfinished += 1
      return () => {
        counts.unfinished -= 1
      }
    },
  })
  const server = createServer({ keepAliveTimeout: 75_000 }, (request, response) => {
    shortcut.note(request, response)
    const { method = '', url = '', headers } = request
    const recalled = answer({ method, target: url, headers })
    if (recalled) {
      response.writeHead(recalled.status, recalled.head.pairs).end(recalled.body)
      if (isEager) shortcut.follow(request, response)
      return
    }
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    request.on('end', () => {
      const text = JSON.stringify([method, url, request.rawHeaders, bytes])
      response.writeHead(200, { 'content-length': Buffer.byteLength(text) }).end(text)
    })
  })
  const connections: Rig['connections'] = new Map()
  server.on('connection', (socket) => connections.set(socket.remotePort!, { socket, open: 0 }))
  server.on('request', ({ socket }, response) => {
    const connection = connections.get(socket.remotePort!)!
    connection.open += 1
    response.on('close', () => {
      connection.open -= 1
    })
  })
  // Whether Node still answers what came before nonsense depends on how it reads: here from pieces, too.
  if (!isEager) server.on('connection', (socket) => socket.on('data', () => {}))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, port: (server.address() as AddressInfo).port, counts, connections }
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

/** Sends pieces, each by itself, and gives all that comes back until the server is done or closes. */
async function talk({ port, connections }: Rig, pieces: Buffer[]): Promise<string> {
  const socket = await new Promise<Socket>((resolve) => {
    const opened = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(opened))
  })
  let text = ''
  let isClosed = false
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    isClosed = true
  })
  const until = async (isSo: () => boolean) => {
    while (!isClosed && !isSo()) await sleep(1)
  }
  await until(() => connections.has(socket.localPort!))
  const peer = connections.get(socket.localPort!)!
  let sentBytes = 0
  for (const piece of pieces) {
    if (isClosed) break
    socket.write(piece)
    sentBytes += piece.length
    await until(() => peer.socket.bytesRead >= sentBytes)
    await sleep(1)
  }
  await until(() => peer.open === 0 && text.length === peer.socket.bytesWritten)
  await sleep(1)
  if (peer.socket.destroyed || peer.socket.writableEnded) await until(() => false)
  socket.destroy()
  return `${text.replaceAll(/\r\nDate: [^\r]+/g, '\r\nDate: …')}${isClosed ? 'closed' : 'open'}`
}

let eager: Rig
let plain: Rig
beforeAll(async () => {
  eager = await startRig(true)
  plain = await startRig(false)
})
afterAll(() => {
  for (const { server } of [eager, plain]) {
    server.closeAllConnections()
    server.close()
  }
})

const hot = 'GET /hot/a HTTP/1.1\r\nHost: h\r\n\r\n'
const cold = 'GET /cold HTTP/1.1\r\nHost: h\r\n\r\n'
const post = 'POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde'

async function expectAlike(pieces: string[]): Promise<number> {
  const bytes = pieces.map((piece) => Buffer.from(piece, 'latin1'))
  const before = eager.counts.shortcuts
  const [ours, nodes] = await Promise.all([talk(eager, bytes), talk(plain, bytes)])
  expect(ours).toBe(nodes)
  expect(eager.counts.unfinished).toBe(0)
  return eager.counts.shortcuts - before
}

describe('the shortcut', () => {
  it.each<[string, string[], number]>([
    // The first goes to Node, which makes the connection watched; the second, too, which brings both into step.
    ['is taken by the third of equal requests', [hot, hot, hot, hot, hot], 3],
    ['is taken again after another request', [hot, hot, hot, cold, hot, cold, hot], 3],
    ['is not taken in the middle of a body', [hot, hot, `${post.slice(0, -5)}`, 'abcde', hot, hot], 1],
    ['is not taken for pieces of requests', [hot, hot, hot.slice(0, 9), hot.slice(9), cold, hot], 1],
    ['is not taken for two at once', [hot, hot, hot + hot, hot, hot], 1],
    [
      'is not taken for what another request goes on with',
      [hot, hot, 'POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 32\r\nA: ', hot, hot, hot, hot],
      1,
    ],
    [
      'is not taken for a body that looks like a request',
      [hot, hot, post.replace('5\r\n\r\nabcde', `${hot.length}\r\n\r\n`), hot, hot],
      0,
    ],
    [
      'is not taken where the connection is to be closed',
      [hot, hot, hot.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'), hot],
      0,
    ],
    [
      'is taken for HEAD and for what the client has',
      [hot, hot, hot.replace('GET', 'HEAD'), hot.replace('\r\n\r\n', '\r\nIf-None-Match: "x"\r\n\r\n'), hot],
      3,
    ],
    ['is not taken by HTTP/1.0', [hot, hot, hot.replace('1.1', '1.0'), hot], 0],
    ['is not taken without a host', [hot, hot, 'GET /hot/a HTTP/1.1\r\n\r\n', hot], 0],
  ])('%s', async (_, pieces, shortcuts) => {
    expect(await expectAlike(pieces)).toBe(shortcuts)
  })

  it('answers as Node does, whatever comes in whatever pieces', { timeout: 120_000 }, async () => {
    const request = fc.constantFrom(
      hot,
      hot,
      hot.replace('/hot/a', '/hot/b?x=%20'),
      hot.replace('\r\n\r\n', '\r\nAccept: image/webp, */*\r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nAccept: a\r\nAccept: b\r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nX-Folded: a\r\n b\r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nX-Latin: \u00e9\r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nX-Empty:\r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nX-Spaces:  a  b  \r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nX-Bad : a\r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nContent-Length: 0\r\n\r\n'),
      hot.replace('\r\n\r\n', '\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'),
      hot.replaceAll('\r\n', '\n'),
      hot.replace('GET', 'HEAD'),
      `\r\n${hot}`,
      cold,
      cold,
      post,
      'POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n',
      'GET /hot/a HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      'nonsense\r\n\r\n',
    )
    const conversation = fc
      .tuple(
        fc.array(request, { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat({ max: 400 }), { maxLength: 3 }),
        fc.boolean(),
      )
      .map(([requests, cuts, areSeparate]) => {
        const all = [hot, hot, ...requests]
        const pieces = areSeparate ? all : [hot, hot, requests.join('')]
        // Cuts fall where they may: into lines, between requests, into bodies.
        return pieces.flatMap((piece, at) => {
          const cut = cuts[at % Math.max(1, cuts.length)]
          return at < 2 || cut === undefined || cut === 0 || cut >= piece.length
            ? [piece]
            : [piece.slice(0, cut), piece.slice(cut)]
        })
      })
    let shortcuts = 0
    await fc.assert(
      fc.asyncProperty(conversation, async (pieces) => {
        shortcuts += await expectAlike(pieces)
      }),
      { numRuns: 250 },
    )
    expect(shortcuts).toBeGreaterThan(20)
  })

  it('leaves what a slow reader has not taken to Node', async () => {
    const socket = connect({ port: eager.port, host: '127.0.0.1', noDelay: true })
    socket.on('error', () => {})
    let received = 0
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    for (let at = 0; at < 3; at++) {
      socket.write(hot)
      await sleep(10)
    }
    const each = received / 3
    socket.pause()
    const count = 4000
    for (let at = 0; at < count; at++) socket.write(hot)
    await sleep(100)
    socket.resume()
    for (let before = -1; before !== received; ) {
      before = received
      await sleep(60)
    }
    expect(received).toBe(each * (count + 3))
    expect(eager.counts.unfinished).toBe(0)
    socket.destroy()
  })
})

describe('a head', () => {
  const read = (text: string) => readHead(Buffer.from(text, 'latin1'))
  it('is read as Node would', () => {
    expect(read('GET /a?b HTTP/1.1\r\nHOST: h\r\nAccept:  x, y \r\nX:\r\n\r\n')).toEqual({
      method: 'GET',
      target: '/a?b',
      headers: { host: 'h', accept: 'x, y', x: '' },
      fields: 3,
    })
  })
  it.each([
    '',
    '\n',
    '\r\n\r\n',
    hot.slice(0, -1),
    `${hot}x`,
    ` ${hot}`,
    post,
    hot.replace('GET', 'get'),
    hot.replace('/hot/a', 'http://h/hot/a'),
    hot.replace('/hot/a', '/hot a'),
    hot.replace('/hot/a', '/hot\u00e9'),
    hot.replace('Host', 'Host '),
    hot.replace('Host: h', 'Host: h\rX: y'),
    hot.replace('Host: h', 'Host: h\0'),
    hot.replace('Host: h', '__proto__: x'),
    `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
  ])('%j is left to Node', (text) => {
    expect(read(text)).toBeUndefined()
  })
})
