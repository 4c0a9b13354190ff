import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { expectRefusal, expectWireRefusal, traces } from '../support/refusals.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'
import { exchange, head, open } from '../support/wire.ts'

const FILE_HEAD = '--XX\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
const FORM_END = '\r\n--XX\r\nContent-Disposition: form-data; name="fileName"\r\n\r\nx.bin\r\n--XX--\r\n'
const formHead = (length: number, more: Record<string, string> = {}) =>
  head('POST /api/v1/files/upload HTTP/1.1', {
    'Content-Type': 'multipart/form-data; boundary=XX',
    'Content-Length': length,
    ...more,
  })

describe('M15 uploads of nobody', () => {
  let tintype: TestTintype
  beforeAll(async () => {
    tintype = await startTintype({
      env: {
        TINTYPE_HTTP_TRUSTED_PROXIES: '127.0.0.1',
        TINTYPE_HTTP_SPOOL_MAX_UPLOADS_PER_CLIENT: '2',
        TINTYPE_HTTP_SPOOL_MAX_WAITING_PER_CLIENT: '3',
        TINTYPE_HTTP_SPOOL_MAX_BYTES_PER_CLIENT: '3000000',
        TINTYPE_HTTP_SPOOL_MAX_BYTES: '5000000',
      },
    })
  })
  afterAll(() => tintype.stop())

  /** An upload that sends so much of its file and then waits. */
  async function hold(address: string, bytes: number): Promise<Socket> {
    const socket = await open(tintype.url)
    const start = formHead(10_000_000, { 'X-Forwarded-For': address }) + FILE_HEAD
    await new Promise<void>((done) =>
      socket.write(Buffer.concat([Buffer.from(start), Buffer.alloc(bytes)]), () => done()),
    )
    return socket.resume()
  }
  const whole = (address: string, bytes: number, more: Record<string, string> = {}) => {
    const body = Buffer.concat([Buffer.from(FILE_HEAD), Buffer.alloc(bytes), Buffer.from(FORM_END)])
    return exchange(
      tintype.url,
      [Buffer.concat([Buffer.from(formHead(body.length, { 'X-Forwarded-For': address, ...more })), body])],
      { quietMs: 200 },
    )
  }
  const end = async (sockets: Socket[]) => {
    for (const socket of sockets) socket.destroy()
    await expect.poll(async () => (await traces(tintype)).staged, { timeout: 5000 }).toBe(0)
  }

  test('M15 too many of one network wait, then are refused; another network is not hindered', async () => {
    const sockets = []
    for (let at = 0; at < 5; at++) sockets.push(await hold(`198.51.100.${at}`, 1000))
    const { answers } = await whole('198.51.100.77', 10)
    expectWireRefusal(answers[0], 429, /Too many uploads at once/)
    expect(answers[0]!.headers.get('retry-after')).toMatch(/^\d+$/)
    const other = await whole('203.0.113.1', 10)
    expect(other.answers.map(({ status }) => status)).toEqual([401])
    // Whoever has a key is not hindered either.
    const known = await whole('198.51.100.77', 10, { Authorization: tintype.authorization })
    expect(known.answers.map(({ status }) => status)).toEqual([200])
    await end(sockets)
    const after = await whole('198.51.100.77', 10)
    expect(after.answers.map(({ status }) => status)).toEqual([401])
  })

  test('M15 a /64 of IPv6 is one network', async () => {
    const sockets = []
    for (let at = 0; at < 5; at++) sockets.push(await hold(`2001:db8:1:2::${at}`, 1000))
    expect((await whole('2001:db8:1:2:ffff::9', 10)).answers[0]?.status).toBe(429)
    expect((await whole('2001:db8:1:3::9', 10)).answers[0]?.status).toBe(401)
    await end(sockets)
  })

  test('M15 the bytes of one network, and of all together, are bounded; nothing is left', async () => {
    const tooMuch = await whole('198.51.100.1', 3_500_000)
    expectWireRefusal(tooMuch.answers[0], 429)
    const sockets = [await hold('192.0.2.1', 2_400_000), await hold('198.51.100.1', 2_400_000)]
    await expect
      .poll(async () => (await whole('203.0.113.1', 1_000_000)).answers[0]?.status, { timeout: 5000 })
      .toBe(429)
    await end(sockets)
    expect((await whole('203.0.113.1', 1_000_000)).answers[0]?.status).toBe(401)
  })
})

test('X08 uploads beyond those that can be received wait, then are refused, and the rest goes on', async () => {
  const tintype = await startTintype({
    env: {
      TINTYPE_HTTP_SPOOL_MAX_UPLOADS: '2',
      TINTYPE_HTTP_SPOOL_MAX_WAITING: '2',
      TINTYPE_HTTP_MIN_BODY_BYTES_PER_SEC: '0',
    },
  })
  const sockets: Socket[] = []
  let answered = 0
  try {
    await put(tintype, '/a.png', png())
    for (let at = 0; at < 5; at++) {
      const socket = await open(tintype.url)
      const start = formHead(10_000_000, { Authorization: tintype.authorization }) + FILE_HEAD
      await new Promise<void>((done) => socket.write(start, () => done()))
      socket.on('data', () => answered++)
      sockets.push(socket)
    }
    // One of the five is refused at once; then all places are taken.
    await expect.poll(() => answered, { timeout: 10_000 }).toBe(1)
    const refused = await upload(tintype, png(), { fileName: 'b.png' })
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect((await fetch(`${tintype.url}/demo/a.png`)).status).toBe(200)
    for (const socket of sockets) socket.destroy()
    await expect
      .poll(async () => (await upload(tintype, png(), { fileName: 'b.png' })).status, { timeout: 5000 })
      .toBe(200)
  } finally {
    for (const socket of sockets) socket.destroy()
    await tintype.stop()
  }
})

describe('sizes', () => {
  const LIMIT = 100_000
  let tintype: TestTintype
  beforeAll(async () => {
    tintype = await startTintype({
      env: { TINTYPE_UPLOAD_MAX_FILE_BYTES: String(LIMIT), TINTYPE_TRANSFORM_MAX_OUTPUT_MIB: '1' },
    })
  })
  afterAll(() => tintype.stop())

  test.each([
    ['M12', 'the limit', LIMIT, 200],
    ['M12', 'a byte more', LIMIT + 1, 400],
    ['M12', 'ten times more', LIMIT * 10, 400],
  ])('%s %s', async (_id, _name, size, status) => {
    const answer = await upload(tintype, randomBytes(size), { fileName: 'a.bin' })
    expect(answer.status).toBe(status)
    if (status === 400) {
      expect(answer.body.message).toBe(
        'Your request contains invalid file parameter. The file size exceeds limits.',
      )
    }
    expect((await traces(tintype)).staged).toBe(0)
  })

  test('M12 a client that says it sends little and sends much', async () => {
    const { answers, closed } = await exchange(
      tintype.url,
      [
        Buffer.concat([
          Buffer.from(formHead(FILE_HEAD.length + 10, { Authorization: tintype.authorization }) + FILE_HEAD),
          Buffer.alloc(500_000),
        ]),
      ],
      { quietMs: 1000 },
    )
    expectWireRefusal(answers[0], 400)
    expect(closed).toBe(true)
    expect((await traces(tintype)).staged).toBe(0)
  })

  test('X09 a result that is larger than allowed is refused, and nothing of it is kept', async () => {
    const noise = await sharp({
      create: {
        width: 200,
        height: 200,
        channels: 3,
        background: '#808080',
        noise: { type: 'gaussian', mean: 128, sigma: 60 },
      },
    })
      .jpeg({ quality: 60 })
      .toBuffer()
    await put(tintype, '/noise.jpg', noise)
    const response = await fetch(`${tintype.url}/demo/noise.jpg?tr=w-1500,h-1500,q-100,f-png`)
    expectRefusal(
      {
        status: response.status,
        body: await response.text(),
        requestId: response.headers.get('x-ik-requestid'),
      },
      400,
    )
    expect((await fetch(`${tintype.url}/demo/noise.jpg?tr=w-50`)).status).toBe(200)
  })
})

test('P06 many uploads of one name at once all get names of their own', async () => {
  const tintype = await startTintype()
  try {
    const names = new Set<unknown>()
    for (let round = 0; round < 4; round++) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, at) =>
          upload(tintype, png(2, 2, round * 50 + at), { fileName: 'same.png' }),
        ),
      )
      for (const { status, body } of answers) {
        expect(status).toBe(200)
        names.add(body.name)
      }
    }
    expect(names.size).toBe(200)
  } finally {
    await tintype.stop()
  }
})
