import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { png } from '../support/images.ts'
import { traces } from '../support/refusals.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'
import { exchange, head, open, readAnswers } from '../support/wire.ts'

const PICTURE = png(40, 40, 3)
const LARGE = Buffer.alloc(12_000_000, 'tintype')
let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype({
    env: {
      TINTYPE_HTTP_HEADERS_TIMEOUT_SEC: '2',
      TINTYPE_HTTP_MIN_BODY_BYTES_PER_SEC: '1000',
      TINTYPE_HTTP_BODY_GRACE_SEC: '2',
      TINTYPE_HTTP_STALLED_ANSWER_SEC: '3',
      TINTYPE_HTTP_SPOOL_MAX_UPLOADS_PER_CLIENT: '100',
    },
  })
  await upload(tintype, PICTURE, { fileName: 'a.png', useUniqueFileName: 'false' })
  await upload(tintype, LARGE, { fileName: 'large.bin', useUniqueFileName: 'false' })
})
afterAll(() => tintype.stop())

const uploadHead = (authorization: string | undefined, length: number | undefined) =>
  head('POST /api/v1/files/upload HTTP/1.1', {
    Authorization: authorization,
    'Content-Type': 'multipart/form-data; boundary=XX',
    ...(length === undefined ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': length }),
  })
const FILE_HEAD = '--XX\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'

/** Sends pieces, then one piece at a time, until the server closes. */
async function drip(url: string, first: string, piece: string, everyMs: number) {
  const socket = await open(url)
  const received: Buffer[] = []
  let closed = false
  socket.on('data', (chunk: Buffer) => received.push(chunk))
  socket.on('close', () => {
    closed = true
  })
  socket.on('end', () => {
    closed = true
  })
  const startMs = performance.now()
  socket.write(first)
  while (!closed && performance.now() - startMs < 30_000) {
    await sleep(everyMs)
    if (piece !== '' && socket.writable) socket.write(piece)
  }
  socket.destroy()
  return { closed, ...readAnswers(Buffer.concat(received)) }
}

describe.concurrent('M03 slow senders', () => {
  test.each([
    ['nothing at all', () => '', '', 500],
    ['half a request line', () => 'GET /hea', '', 500],
    ['a header a second', () => 'GET /health HTTP/1.1\r\nHost: a\r\n', 'X: y\r\n', 500],
  ])('%s is ended within the time for headers', async (_name, first, piece, everyMs) => {
    const { closed, answers } = await drip(tintype.url, first(), piece, everyMs)
    expect(closed).toBe(true)
    for (const answer of answers) expect(answer.status).toBe(408)
  })

  test.each([
    ['an upload by length', () => uploadHead(tintype.authorization, 100_000) + FILE_HEAD, 'x'],
    [
      'an upload in chunks',
      () =>
        `${uploadHead(tintype.authorization, undefined)}${FILE_HEAD.length.toString(16)}\r\n${FILE_HEAD}\r\n`,
      '1\r\nx\r\n',
    ],
    ['an upload that stops', () => uploadHead(tintype.authorization, 100_000) + FILE_HEAD, ''],
    ['an upload of nobody', () => uploadHead(undefined, 100_000) + FILE_HEAD, 'x'],
    [
      'a JSON body',
      () =>
        head('POST /v1/folder HTTP/1.1', {
          Authorization: tintype.authorization,
          'Content-Type': 'application/json',
          'Content-Length': 5000,
        }),
      ' ',
    ],
  ])('%s, a byte at a time, is ended after the grace', async (_name, first, piece) => {
    const { closed, answers } = await drip(tintype.url, first(), piece, 100)
    expect(closed).toBe(true)
    expect(answers.map(({ status }) => status)).toEqual([408])
  })

  test('a slow one that keeps to the rate is served', async () => {
    const rest = '\r\n--XX\r\nContent-Disposition: form-data; name="fileName"\r\n\r\nslow.bin\r\n--XX--\r\n'
    const bytes = 9000
    const first = uploadHead(tintype.authorization, FILE_HEAD.length + bytes + rest.length) + FILE_HEAD
    const pieces = Array.from({ length: 30 }, () => 'x'.repeat(bytes / 30))
    const { answers } = await exchange(tintype.url, [first, ...pieces, rest], { pauseMs: 100, quietMs: 500 })
    expect(answers.map(({ status }) => status)).toEqual([200])
  })

  test('whatever its rate, a request ends with the time for a request', async () => {
    const short = await startTintype({
      env: { TINTYPE_HTTP_HEADERS_TIMEOUT_SEC: '1', TINTYPE_HTTP_REQUEST_TIMEOUT_SEC: '2' },
    })
    try {
      const first = uploadHead(short.authorization, 100_000_000) + FILE_HEAD
      const { closed, answers } = await drip(short.url, first, 'x'.repeat(2000), 100)
      expect(closed).toBe(true)
      expect(answers.map(({ status }) => status)).toEqual([408])
    } finally {
      await short.stop()
    }
  })
})

test('M03 slow senders leave nothing behind', async () => {
  await expect.poll(async () => (await traces(tintype)).staged, { timeout: 5000 }).toBe(0)
})

describe('places for uploads of nobody', () => {
  const unknown = (length: number) => uploadHead(undefined, length) + FILE_HEAD
  let narrow: TestTintype
  beforeAll(async () => {
    narrow = await startTintype({
      env: {
        TINTYPE_HTTP_MIN_BODY_BYTES_PER_SEC: '1000',
        TINTYPE_HTTP_BODY_GRACE_SEC: '2',
        TINTYPE_HTTP_SPOOL_MAX_UPLOADS_PER_CLIENT: '1',
      },
    })
  })
  afterAll(() => narrow.stop())

  test('M03 who waits for one is not called slow', async () => {
    const first = exchange(
      narrow.url,
      [unknown(50_000), ...Array.from({ length: 30 }, () => 'x'.repeat(200))],
      { pauseMs: 100, timeoutMs: 10 },
    )
    await sleep(200)
    const second = await exchange(narrow.url, [uploadHead(undefined, 8), '--XX--\r\n'])
    await first
    expect(second.answers.map(({ status }) => status)).toEqual([401])
  })

  test('M15 who goes away in the middle of a file gives it back', async () => {
    for (let at = 0; at < 5; at++) {
      const socket = await open(narrow.url)
      await new Promise<void>((done) => socket.write(`${unknown(50_000)}abc`, () => done()))
      await sleep(50)
      socket.destroy()
    }
    const { answers } = await exchange(narrow.url, [uploadHead(undefined, 8), '--XX--\r\n'])
    expect(answers.map(({ status }) => status)).toEqual([401])
  })
})

test('M03 a client that does not read its answer is cut off; one that reads slowly is not', async () => {
  const reader = async (pauseMs: number, maxMs: number) => {
    const socket = await open(tintype.url)
    socket.pause()
    socket.write(head('GET /demo/large.bin HTTP/1.1', { Connection: 'close' }))
    let bytes = 0
    let closed = false
    socket.on('close', () => {
      closed = true
    })
    const startMs = performance.now()
    while (!closed && performance.now() - startMs < maxMs) {
      await sleep(pauseMs)
      for (let taken = 0; taken < 500_000; ) {
        const chunk: Buffer | null = socket.read()
        if (chunk === null) break
        taken += chunk.length
        bytes += chunk.length
      }
    }
    socket.destroy()
    return bytes
  }
  const [stalled, slow] = await Promise.all([reader(6000, 11_000), reader(50, 40_000)])
  expect(stalled).toBeLessThan(LARGE.length)
  expect(slow).toBeGreaterThan(LARGE.length)
}, 60_000)

test('M03 originals are delivered while 1,000 connections idle and 50 send slowly', async () => {
  const sockets: Socket[] = []
  try {
    await Promise.all(
      Array.from({ length: 1000 }, async () => {
        const socket = await open(tintype.url)
        sockets.push(socket.resume())
      }),
    )
    for (let at = 0; at < 50; at++) {
      const socket = await open(tintype.url)
      socket.write(uploadHead(tintype.authorization, 100_000) + FILE_HEAD)
      sockets.push(socket.resume())
    }
    for (let at = 0; at < 30; at++) {
      const response = await fetch(`${tintype.url}/demo/a.png`)
      expect(response.status).toBe(200)
      expect(Buffer.from(await response.arrayBuffer()).equals(PICTURE)).toBe(true)
    }
    // All of them are gone by themselves in the end.
    await expect
      .poll(() => sockets.filter((socket) => !socket.closed).length, {
        timeout: 10_000,
      })
      .toBe(0)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})

test('M03 connections beyond the most are refused at once, and the others served', async () => {
  const narrow = await startTintype({ env: { TINTYPE_HTTP_MAX_CONNECTIONS: '5' } })
  const sockets: Socket[] = []
  try {
    for (let at = 0; at < 5; at++) sockets.push(await open(narrow.url))
    await sleep(50)
    const sixth = await open(narrow.url)
    sockets.push(sixth)
    sixth.resume()
    await expect.poll(() => sixth.closed, { timeout: 5000 }).toBe(true)
    const { answers } = await new Promise<ReturnType<typeof readAnswers>>((resolve) => {
      sockets[0]!.once('data', (bytes: Buffer) => resolve(readAnswers(bytes)))
      sockets[0]!.write(head('GET /health HTTP/1.1'))
    })
    expect(answers[0]?.status).toBe(200)
  } finally {
    for (const socket of sockets) socket.destroy()
    await narrow.stop()
  }
})
