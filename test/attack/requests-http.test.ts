import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { png } from '../support/images.ts'
import { expectWireRefusal, traces } from '../support/refusals.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'
import { exchange, head } from '../support/wire.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype()
  await upload(tintype, png(), { fileName: 'a.png', useUniqueFileName: 'false' })
})
afterAll(() => tintype.stop())

const TYPE = 'multipart/form-data; boundary=XX'
const FORM = Buffer.concat([
  Buffer.from('--XX\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'),
  png(3, 3, 5),
  Buffer.from('\r\n--XX\r\nContent-Disposition: form-data; name="fileName"\r\n\r\nx.png\r\n--XX--\r\n'),
])
/** What an attacker wants to be read as a request of its own: it makes a folder. */
const hidden = () => {
  const body = '{"folderName":"smuggled","parentFolderPath":"/"}'
  const headers = {
    Authorization: tintype.authorization,
    'Content-Type': 'application/json',
    'Content-Length': body.length,
  }
  return head('POST /v1/folder HTTP/1.1', headers) + body
}
const uploadHead = (headers: Record<string, string | number>) =>
  head('POST /api/v1/files/upload HTTP/1.1', {
    Authorization: tintype.authorization,
    'Content-Type': TYPE,
    ...headers,
  })
const chunk = (data: string) => `${data.length.toString(16)}\r\n${data}\r\n`
const form = FORM.toString('latin1')

async function smuggledFolder(): Promise<boolean> {
  const folder = await tintype.library
    .search({ type: 'folder', sort: { key: 'CREATED', descending: false }, limit: 10, skip: 0 })
    .then(({ assets }) => assets)
  return JSON.stringify(folder).includes('smuggled')
}

describe('shapes that two readers understand in two ways', () => {
  const CASES: [id: string, name: string, pieces: () => string[]][] = [
    [
      'M02',
      'a length and chunks',
      () => [`${uploadHead({ 'Content-Length': 6, 'Transfer-Encoding': 'chunked' })}0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'chunks and a length',
      () => [
        uploadHead({ 'Transfer-Encoding': 'chunked', 'Content-Length': 4 }) +
          `${chunk(form)}0\r\n\r\n${hidden()}`,
      ],
    ],
    [
      'M02',
      'two lengths that differ',
      () => [`${uploadHead({ 'Content-Length': 3 }).slice(0, -2)}Content-Length: 300\r\n\r\nabc${hidden()}`],
    ],
    [
      'M02',
      'two lengths that are equal',
      () => [`${uploadHead({ 'Content-Length': 3 }).slice(0, -2)}Content-Length: 3\r\n\r\nabc${hidden()}`],
    ],
    ['M02', 'a list of lengths', () => [`${uploadHead({ 'Content-Length': '3, 300' })}abc${hidden()}`]],
    ['M02', 'a length with a sign', () => [`${uploadHead({ 'Content-Length': '+3' })}abc${hidden()}`]],
    ['M02', 'a negative length', () => [`${uploadHead({ 'Content-Length': '-1' })}${hidden()}`]],
    ['M02', 'a length in hex', () => [`${uploadHead({ 'Content-Length': '0x3' })}abc${hidden()}`]],
    [
      'M02',
      'a length with a space inside',
      () => [`${uploadHead({ 'Content-Length': '1 0' })}abc${hidden()}`],
    ],
    [
      'M02',
      'a length beyond 64 bits',
      () => [`${uploadHead({ 'Content-Length': '99999999999999999999' })}abc`],
    ],
    [
      'M02',
      'a length before a colon',
      () => [`${uploadHead({}).slice(0, -2)}Content-Length : 3\r\n\r\nabc${hidden()}`],
    ],
    [
      'M02',
      'a folded header',
      () => [`${uploadHead({}).slice(0, -2)}X: a\r\n Content-Length: 3\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'a transfer encoding with a tab',
      () => [`${uploadHead({ 'Transfer-Encoding': '\tchunked', 'Content-Length': 4 })}0\r\n\r\n${hidden()}`],
    ],
    ['M02', 'xchunked', () => [`${uploadHead({ 'Transfer-Encoding': 'xchunked' })}0\r\n\r\n${hidden()}`]],
    [
      'M02',
      'chunked, identity',
      () => [`${uploadHead({ 'Transfer-Encoding': 'chunked, identity' })}0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'gzip without chunks',
      () => [`${uploadHead({ 'Transfer-Encoding': 'gzip' })}0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'transfer encodings twice',
      () => [
        `${uploadHead({ 'Transfer-Encoding': 'chunked' }).slice(0, -2)}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n${hidden()}`,
      ],
    ],
    [
      'M02',
      'a chunk size that is no number',
      () => [`${uploadHead({ 'Transfer-Encoding': 'chunked' })}zz\r\nabc\r\n0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'a negative chunk size',
      () => [`${uploadHead({ 'Transfer-Encoding': 'chunked' })}-1\r\nabc\r\n0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'a chunk size with 0x',
      () => [`${uploadHead({ 'Transfer-Encoding': 'chunked' })}0x3\r\nabc\r\n0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'a chunk size beyond 64 bits',
      () => [
        `${uploadHead({ 'Transfer-Encoding': 'chunked' })}fffffffffffffffff\r\nabc\r\n0\r\n\r\n${hidden()}`,
      ],
    ],
    [
      'M02',
      'a chunk that is longer than its size',
      () => [`${uploadHead({ 'Transfer-Encoding': 'chunked' })}3\r\nabcdef\r\n0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'a chunk without a line end',
      () => [`${uploadHead({ 'Transfer-Encoding': 'chunked' })}3\r\nabc0\r\n\r\n${hidden()}`],
    ],
    [
      'M02',
      'chunks that end in bare line feeds',
      () => [`${uploadHead({ 'Transfer-Encoding': 'chunked' })}3\nabc\n0\n\n${hidden()}`],
    ],
    [
      'M02',
      'a chunk extension of 100 KB',
      () => [
        `${uploadHead({ 'Transfer-Encoding': 'chunked' })}3;a=${'x'.repeat(100_000)}\r\nabc\r\n0\r\n\r\n`,
      ],
    ],
    [
      'M02',
      'bare line feeds in the head',
      () => [`${uploadHead({ 'Content-Length': 3 }).replaceAll('\r\n', '\n')}abc${hidden()}`],
    ],
    ['M02', 'a NUL in a header', () => [`${uploadHead({ X: 'a\0b', 'Content-Length': 3 })}abc${hidden()}`]],
    [
      'M02',
      'a bare carriage return in a header',
      () => [`${uploadHead({ X: 'a\rContent-Length: 0', 'Content-Length': 3 })}abc${hidden()}`],
    ],
    ['M02', 'no host', () => ['GET /health HTTP/1.1\r\n\r\n']],
    ['M02', 'two hosts', () => ['GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n']],
    ['M02', 'HTTP/9.9', () => ['GET /health HTTP/9.9\r\nHost: a\r\n\r\n']],
    ['M02', 'TLS', () => ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']],
    ['M02', 'HTTP/2', () => ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0']],
    ['M02', 'a method that nobody knows', () => [head('SMUGGLE /health HTTP/1.1')]],
    ['M02', 'a space in the target', () => [head('GET /demo/a b HTTP/1.1')]],
    ['M02', 'headers of 100 KB', () => [head('GET /health HTTP/1.1', { X: 'x'.repeat(100_000) })]],
    [
      'M02',
      '5,000 headers',
      () => [
        head(
          'GET /health HTTP/1.1',
          Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`X-${at}`, 'y'])),
        ),
      ],
    ],
    ['M02', 'a target of 100 KB', () => [head(`GET /demo/${'x'.repeat(100_000)} HTTP/1.1`)]],
  ]
  test.each(CASES)('%s %s: one refusal, and nothing is read from the rest', async (_id, _name, pieces) => {
    const before = await traces(tintype)
    const { answers, closed } = await exchange(tintype.url, pieces(), { timeoutMs: 8000, quietMs: 1500 })
    expect(answers.length).toBeLessThanOrEqual(1)
    if (answers[0]) {
      expect(answers[0].status).toBeGreaterThanOrEqual(400)
      expect(answers[0].status).toBeLessThan(500)
      // Node itself answers to a missing Host, without a body.
      if (_name !== 'no host')
        expect(JSON.parse(answers[0].body.toString())).toMatchObject({ message: expect.stringMatching(/\S/) })
    }
    expect(closed).toBe(true)
    expect(await smuggledFolder()).toBe(false)
    expect(await traces(tintype)).toEqual(before)
  })
})

describe('lengths that lie', () => {
  test('M02 a body that is longer than it says is cut there, and the rest is no request', async () => {
    const before = await traces(tintype)
    const { answers, closed } = await exchange(tintype.url, [
      uploadHead({ 'Content-Length': FORM.length - 40 }) + form + hidden(),
    ])
    expectWireRefusal(answers[0], 400)
    expect(answers.length).toBeLessThanOrEqual(2)
    expect(closed).toBe(true)
    expect(await smuggledFolder()).toBe(false)
    expect(await traces(tintype)).toEqual(before)
  })

  test('M02 a body that is shorter than it says, from a client that then hangs up', async () => {
    const before = await traces(tintype)
    const { closed } = await exchange(
      tintype.url,
      [uploadHead({ 'Content-Length': FORM.length + 10 }) + form],
      {
        halfClose: true,
      },
    )
    expect(closed).toBe(true)
    await expect.poll(() => traces(tintype), { timeout: 5000 }).toEqual(before)
  })

  test('M02 chunks that never end, from a client that then hangs up', async () => {
    const before = await traces(tintype)
    const { closed } = await exchange(
      tintype.url,
      [uploadHead({ 'Transfer-Encoding': 'chunked' }) + chunk(form)],
      {
        halfClose: true,
      },
    )
    expect(closed).toBe(true)
    await expect.poll(() => traces(tintype), { timeout: 5000 }).toEqual(before)
  })

  test('M02 a refused request whose body is still to come: the body is no request', async () => {
    const wrong = head('POST /api/v1/files/upload HTTP/1.1', {
      Authorization: 'Basic eDo=',
      'Content-Type': TYPE,
      'Content-Length': 5,
    })
    const { answers, closed } = await exchange(tintype.url, [wrong, hidden()], { pauseMs: 300 })
    expect(answers.map(({ status }) => status)).toEqual([403])
    expect(closed).toBe(true)
    expect(await smuggledFolder()).toBe(false)
  })

  test('M02 a body for a GET of delivery is not taken for the next request', async () => {
    const inner = hidden()
    const { answers } = await exchange(tintype.url, [
      head('GET /demo/a.png HTTP/1.1', { 'Content-Length': inner.length }) + inner,
    ])
    expect(answers.map(({ status }) => status)).toEqual([200])
    expect(await smuggledFolder()).toBe(false)
  })

  test('M02 two uploads in one go, in chunks and by length, are two uploads', async () => {
    const one =
      uploadHead({ 'Transfer-Encoding': 'chunked' }) + chunk(form.slice(0, 30)) + chunk(form.slice(30))
    const { answers } = await exchange(
      tintype.url,
      [
        `${one}0\r\nX-Trailer: y\r\n\r\n${uploadHead({ 'Content-Length': FORM.length, Connection: 'close' })}${form}`,
      ],
      { quietMs: 2000 },
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
  })
})

describe('Expect', () => {
  test('M02 something else than 100-continue is refused', async () => {
    const { answers } = await exchange(tintype.url, [
      uploadHead({ Expect: '200-maybe', 'Content-Length': 3 }),
    ])
    expect(answers.length).toBeLessThanOrEqual(1)
    if (answers[0]) expect([400, 417]).toContain(answers[0].status)
  })

  test('M02 a good one is asked for its body once', async () => {
    const { answers, interim } = await exchange(
      tintype.url,
      [uploadHead({ Expect: '100-continue', 'Content-Length': FORM.length, Connection: 'close' }), FORM],
      { pauseMs: 100 },
    )
    expect(interim).toBe(1)
    expect(answers.map(({ status }) => status)).toEqual([200])
  })

  test('M02 a second request inside the body of one that waits is no request', async () => {
    const { answers, closed } = await exchange(
      tintype.url,
      [
        head('POST /api/v1/files/upload HTTP/1.1', {
          Authorization: 'Basic eDo=',
          Expect: '100-continue',
          'Content-Type': TYPE,
          'Content-Length': 4,
        }),
        hidden(),
      ],
      { pauseMs: 200 },
    )
    expect(answers.map(({ status }) => status)).toEqual([403])
    expect(closed).toBe(true)
    expect(await smuggledFolder()).toBe(false)
  })
})

describe('methods and targets', () => {
  test.each([
    ['M02', 'CONNECT example.com:80 HTTP/1.1'],
    ['M02', 'TRACE /health HTTP/1.1'],
    ['M02', 'OPTIONS * HTTP/1.1'],
    ['M02', 'PROPFIND /v1/files HTTP/1.1'],
    ['M02', 'GET http://169.254.169.254/latest HTTP/1.1'],
    ['M02', 'GET //example.com/health HTTP/1.1'],
    ['M02', 'GET \\health HTTP/1.1'],
    ['M02', 'GET /%zz HTTP/1.1'],
    ['M02', 'GET /%00 HTTP/1.1'],
    ['M02', 'GET /health%2f..%2fv1%2ffiles HTTP/1.1'],
    ['M02', 'GET /v1/../v1/files HTTP/1.1'],
    ['M02', 'GET /V1/FILES HTTP/1.1'],
    ['M02', 'GET /v1//files HTTP/1.1'],
    ['M02', 'POST /health HTTP/1.1'],
    ['M02', 'DELETE /v1/files HTTP/1.1'],
    ['M02', 'GET /api/v1/files/upload HTTP/1.1'],
  ])('%s %s gets nothing', async (_id, startLine) => {
    const { answers } = await exchange(tintype.url, [head(startLine, { Connection: 'close' })], {
      timeoutMs: 3000,
    })
    expect(answers.length).toBeLessThanOrEqual(1)
    if (answers[0]) {
      expect(answers[0].status).toBeGreaterThanOrEqual(400)
      expect(answers[0].status).toBeLessThan(500)
    }
  })

  test('M02 an upgrade that nobody offers is an ordinary request', async () => {
    const { answers } = await exchange(tintype.url, [
      head('GET /health HTTP/1.1', {
        Connection: 'Upgrade, close',
        Upgrade: 'h2c',
        'HTTP2-Settings': 'AAMAAABk',
      }),
    ])
    expect(answers.map(({ status }) => status)).toEqual([200])
  })

  test('M02 X-HTTP-Method-Override and X-Original-URL mean nothing', async () => {
    const { answers } = await exchange(tintype.url, [
      head('GET /health HTTP/1.1', {
        'X-HTTP-Method-Override': 'DELETE',
        'X-Original-URL': '/v1/files',
        'X-Rewrite-URL': '/v1/files',
        Connection: 'close',
      }),
    ])
    expect(answers.map(({ status }) => status)).toEqual([200])
  })

  test('M02 a preflight that asks for nothing gets no text that is not JSON', async () => {
    const { answers } = await exchange(tintype.url, [
      head('OPTIONS /api/v2/files/upload HTTP/1.1', {
        Origin: 'https://a.example',
        'Access-Control-Request&-Method': 'POST',
        Connection: 'close',
      }),
    ])
    expect(answers.map(({ status, body }) => [status, body.length])).toEqual([[204, 0]])
  })
})
