import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { catalog } from '../../src/transform/catalog.ts'
import { canReadProc, residentMb } from '../support/attack.ts'
import { basic, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'
import { type Exchange, exchange, head } from '../support/wire.ts'

// The long form: npm run test:attack -- --long fuzz-text
const rounds = Number(process.env.TINTYPE_FUZZ_ROUNDS ?? 150)
const seed = Number(process.env.TINTYPE_FUZZ_SEED ?? 1)
/** Longest time for an answer on a machine that does other things, too. */
const LIMIT_MS = 20_000
const MAX_GROWTH_MB = 700
const FOR_EACH = { numRuns: rounds, seed, endOnFailure: true }
const TIMEOUT_MS = 60_000 + rounds * 1000

let server: Server
let startMb = 0
beforeAll(async () => {
  // A process of its own, so that a crash is one, and its memory can be told from ours.
  server = await startServer({
    env: { TINTYPE_HTTP_LIMITS_FAILED_AUTHENTICATIONS_MAX: '0' },
    timeoutMs: 90_000,
  })
  const photo = await sharp({ create: { width: 120, height: 80, channels: 3, background: '#336699' } })
    .jpeg()
    .toBuffer()
  for (const [fileName, bytes] of [
    ['photo.jpg', photo],
    ['a.png', png(20, 20, 3)],
  ] as const) {
    const answer = await uploadFile(server, bytes, { fileName, useUniqueFileName: 'false', tags: 'x,y' })
    expect(answer.status).toBe(200)
  }
  startMb = residentMb(server.pid)
})
afterAll(() => server.dispose())

afterEach(async () => {
  const health = await fetch(`${server.url}/health`)
  expect(health.status).toBe(200)
  const picture = await fetch(`${server.endpoint}/photo.jpg?tr=w-10`)
  expect(picture.status).toBe(200)
  await picture.arrayBuffer()
  if (canReadProc) expect(residentMb(server.pid) - startMb).toBeLessThan(MAX_GROWTH_MB)
})

/** Every answer is one: in time, no 5xx but 501, an error in the contract's shape. */
function judge({ answers, tookMs }: Exchange, what: () => string, mayBeSilent = false): void {
  expect(tookMs, what()).toBeLessThan(LIMIT_MS)
  if (!mayBeSilent) expect(answers.length, what()).toBeGreaterThan(0)
  for (const answer of answers) {
    const isAnswer = answer.status < 500 || answer.status === 501
    expect(isAnswer, `${answer.status} ${answer.body.toString('utf8', 0, 300)} for ${what()}`).toBe(true)
    if (answer.status >= 400 && answer.body.length > 0) {
      expect(JSON.parse(answer.body.toString()), what()).toMatchObject({
        message: expect.stringMatching(/\S/),
      })
    }
  }
}
const ask = (target: string, headers: Record<string, string> = {}) =>
  exchange(
    server.url,
    [
      Buffer.concat([
        Buffer.from(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`),
        ...Object.entries(headers).map(([name, value]) => Buffer.from(`${name}: ${value}\r\n`)),
        Buffer.from('\r\n'),
      ]),
    ],
    { timeoutMs: LIMIT_MS },
  )

/** Cuts, doubles, moves and changes pieces of a text. */
const mutations = fc.array(
  fc.record({
    at: fc.nat(),
    length: fc.nat(40),
    kind: fc.constantFrom('cut', 'double', 'insert', 'swap', 'many', 'end'),
    text: fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.string({ unit: 'binary', maxLength: 3 }),
      fc.constantFrom(
        '\0',
        '\r\n',
        '%',
        '%00',
        '%ff',
        '--',
        '"',
        "'",
        '\\',
        '/',
        '..',
        ',',
        ':',
        '_',
        '-',
        '(',
        ')',
        '[',
        ']',
        '{',
        '}',
        '=',
        '&',
        '?',
        '#',
        '9'.repeat(30),
        '\u202e',
        '\ud800',
        'é',
        'e\u0301',
        '🐈',
      ),
    ),
  }),
  { minLength: 1, maxLength: 6 },
)
type Mutations = typeof mutations extends fc.Arbitrary<infer T> ? T : never

function mutate(text: string, changes: Mutations): string {
  let current = text
  for (const { at, length, kind, text: insert } of changes) {
    const from = at % (current.length + 1)
    const piece = current.slice(from, from + length)
    const rest = current.slice(from + length)
    const before = current.slice(0, from)
    if (kind === 'cut') current = before + rest
    else if (kind === 'double') current = before + piece + piece + rest
    else if (kind === 'insert') current = before + insert + piece + rest
    else if (kind === 'swap') current = before + rest + piece
    else if (kind === 'many') current = before + insert.repeat(1 + (at % 50)) + piece + rest
    else current = before + insert
  }
  return current.slice(0, 9000)
}
const from = (texts: readonly string[]) =>
  fc.tuple(fc.constantFrom(...texts), mutations).map(([text, changes]) => mutate(text, changes))
/** What may stand in the first line of a request as it is. */
const asTarget = (text: string) => text.replace(/[\s\x00-\x1f\x7f]/g, '').toWellFormed()

describe(`seed ${seed}, ${rounds} rounds each`, () => {
  const steps = fc
    .array(
      fc
        .array(
          fc.constantFrom(
            ...catalog.flatMap((definition) => definition.examples),
            'l-image,i-a.png,w-20,l-end',
            'l-text,i-Hello,fs-20,l-end',
            'l-image,i-ik_canvas,bg-red,w-bw_div_2,h-10,l-end',
            'if-w_gt_5,w-9,if-else,rt-90,if-end',
            'w-iw_mul_0.5_add_3',
            'n-ik_ml_thumbnail',
          ),
          { minLength: 1, maxLength: 4 },
        )
        .map((parameters) => parameters.join(',')),
      { minLength: 1, maxLength: 4 },
    )
    .map((parts) => parts.join(':'))
  const transformations = fc.tuple(steps, mutations).map(([text, changes]) => mutate(text, changes))

  test(
    'X01 X04 X06 transformations, in the path and in the query, encoded and not',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          transformations,
          fc.constantFrom('path', 'query', 'raw path', 'raw query'),
          async (text, form) => {
            const written = form.startsWith('raw') ? asTarget(text) : encodeURIComponent(text.toWellFormed())
            const target = form.endsWith('path')
              ? `/${server.id}/tr:${written}/photo.jpg`
              : `/${server.id}/photo.jpg?tr=${written}`
            const result = await ask(target)
            judge(result, () => target)
            for (const { headers, status } of result.answers) {
              if (status === 200) expect([...headers.values()].join(), target).not.toMatch(/NaN|Infinity/)
            }
          },
        ),
        FOR_EACH,
      )
    },
    TIMEOUT_MS,
  )

  test(
    'P08 paths of URLs',
    async () => {
      const paths = [
        `/${server.id}/photo.jpg`,
        `/${server.id}/tr:w-5/photo.jpg?ik-attachment=true&updatedAt=1`,
        `/${server.id}/ik-seo/photo/name.jpg`,
        `/${server.id}/photo.jpg/ik-thumbnail.jpg?tr=w-5`,
        `/${server.id}/%2e%2e/..%2f/photo.jpg`,
        `/${server.id}/http://127.0.0.1/a.jpg?tr=w-5`,
        '/v1/files?type=file&limit=5',
        '/v1/files/598821f949c0a938d57563bd/details',
        '/v1/files/598821f949c0a938d57563bd/versions/598821f949c0a938d57563bd',
        '/v1/metadata?url=http%3A%2F%2Flocalhost%2Fa.jpg',
        '/v1/transformations/explain?tr=w-100&path=%2Fphoto.jpg',
        '/api/v1/files/upload',
        '/health',
        '/metrics',
      ]
      await fc.assert(
        fc.asyncProperty(from(paths), fc.boolean(), async (text, hasKey) => {
          const target = `/${asTarget(text).replace(/^\//, '')}`
          const result = await ask(target, hasKey ? { Authorization: basic(server.privateKey) } : {})
          judge(result, () => target)
        }),
        FOR_EACH,
      )
    },
    TIMEOUT_MS,
  )

  test(
    'P10 searches and listings',
    async () => {
      const searches = [
        'name = "photo.jpg"',
        '(size > "1mb" AND width > 500) OR NOT tags IN ["a", "b"]',
        'createdAt > "7d" AND format = "jpg"',
        '"customMetadata.brand" : "N" AND private = false',
        'path : "/a" AND type = "file" OR embeddedMetadata.ISO > 100',
        'name NOT = "x" AND tags NOT IN ["x"]',
      ]
      const parameters = [
        'searchQuery',
        'sort',
        'tags',
        'path',
        'name',
        'limit',
        'skip',
        'type',
        'fileType',
        'cursor',
      ]
      await fc.assert(
        fc.asyncProperty(
          from(searches),
          fc.constantFrom(...parameters),
          fc.boolean(),
          async (text, name, isSearch) => {
            const query = new URLSearchParams({ [isSearch ? 'searchQuery' : name]: text.toWellFormed() })
            const target = `/v1/files?${query}`.slice(0, 12_000)
            judge(await ask(target, { Authorization: basic(server.privateKey) }), () => text)
          },
        ),
        FOR_EACH,
      )
    },
    TIMEOUT_MS,
  )

  const nowSec = Math.floor(Date.now() / 1000)
  const encode = (text: string) => Buffer.from(text).toString('base64url')
  const sign = (header: string, payload: string) => {
    const text = `${encode(header)}.${encode(payload)}`
    return `${text}.${createHmac('sha256', server.privateKey).update(text).digest('base64url')}`
  }
  const multipart = (fields: [string, string | Buffer][]) =>
    Buffer.concat([
      ...fields.flatMap(([name, value]) => [
        Buffer.from(
          `--XX\r\nContent-Disposition: form-data; name="${name}"${name === 'file' ? '; filename="x"' : ''}\r\n\r\n`,
        ),
        Buffer.from(value as string),
        Buffer.from('\r\n'),
      ]),
      Buffer.from('--XX--\r\n'),
    ])
  const post = (body: Buffer, headers: Record<string, string | number>, version = 'v1') =>
    exchange(
      server.url,
      [
        Buffer.concat([
          Buffer.from(
            head(`POST /api/${version}/files/upload HTTP/1.1`, {
              Connection: 'close',
              'Content-Type': 'multipart/form-data; boundary=XX',
              'Content-Length': body.length,
              ...headers,
            }),
          ),
          body,
        ]),
      ],
      { timeoutMs: LIMIT_MS },
    )

  test(
    'J01–J07 tokens, well signed and not',
    async () => {
      const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(nowSec, nowSec + 600, nowSec * 1000))
      const good = { fileName: 'a.png' }
      let wrongly = 0
      await fc.assert(
        fc.asyncProperty(
          fc.oneof(
            fc
              .tuple(
                mutations,
                fc.constant(JSON.stringify({ alg: 'HS256', typ: 'JWT', kid: server.publicKey })),
              )
              .map(
                ([changes, text]) =>
                  [
                    mutate(text, changes),
                    JSON.stringify({ ...good, iat: nowSec, exp: nowSec + 600 }),
                  ] as const,
              ),
            fc
              .tuple(mutations, fc.constant(JSON.stringify({ ...good, iat: nowSec, exp: nowSec + 600 })))
              .map(
                ([changes, text]) =>
                  [
                    JSON.stringify({ alg: 'HS256', typ: 'JWT', kid: server.publicKey }),
                    mutate(text, changes),
                  ] as const,
              ),
            fc
              .tuple(number, number, fc.json())
              .map(
                ([iat, exp, extra]) =>
                  [
                    JSON.stringify({ alg: 'HS256', typ: 'JWT', kid: server.publicKey }),
                    `{"fileName":"a.png","iat":${iat},"exp":${exp},"x":${extra}}`,
                  ] as const,
              ),
          ),
          fc.option(mutations),
          async ([header, payload], changes) => {
            const token = changes ? mutate(sign(header, payload), changes) : sign(header, payload)
            const body = multipart([
              ['file', png(2, 2, 1)],
              ['fileName', 'a.png'],
              ['token', token.toWellFormed()],
            ])
            const result = await post(body, {}, 'v2')
            judge(result, () => `${header} ${payload} ${token}`)
            // Accepted is only what says exactly what the form says.
            if (result.answers[0]?.status === 200) {
              const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
              if (claims.fileName !== 'a.png' || claims.exp > nowSec + 3700 || claims.exp < nowSec - 40)
                wrongly++
            }
          },
        ),
        FOR_EACH,
      )
      expect(wrongly).toBe(0)
    },
    TIMEOUT_MS,
  )

  test(
    'M01–M08 multipart bodies',
    async () => {
      const values = fc.oneof(
        fc.string({ unit: 'binary', maxLength: 30 }),
        fc.json(),
        fc.constantFrom(
          'true',
          'false',
          '',
          'null',
          'undefined',
          '/a/b',
          '[]',
          '{}',
          '[{"name":"remove-bg"}]',
          '{"pre":"w-5"}',
          '0,0,5,5',
          '"file.size" > 1',
          'a,b',
        ),
      )
      const names = fc.oneof(
        fc.constantFrom(
          'fileName',
          'folder',
          'tags',
          'isPrivateFile',
          'useUniqueFileName',
          'customCoordinates',
          'responseFields',
          'extensions',
          'customMetadata',
          'transformation',
          'checks',
          'webhookUrl',
          'description',
          'overwriteFile',
          'token',
          '__proto__',
          'constructor',
          'tags[]',
        ),
        fc.string({ maxLength: 10 }),
      )
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(names, values), { maxLength: 8 }),
          fc.option(mutations, { freq: 3 }),
          fc.boolean(),
          fc.constantFrom('v1', 'v2'),
          async (fields, changes, hasKey, version) => {
            const whole = multipart([
              ['file', png(3, 3, 1)],
              ['fileName', 'fuzz.png'],
              ...fields.map(([name, value]): [string, string] => [
                name.replace(/["\r\n]/g, ''),
                value.toWellFormed(),
              ]),
            ])
            const body = changes ? Buffer.from(mutate(whole.toString('latin1'), changes), 'latin1') : whole
            const authorization = hasKey ? { Authorization: basic(server.privateKey) } : {}
            judge(await post(body, authorization as Record<string, string>, version), () =>
              body.toString('latin1'),
            )
          },
        ),
        FOR_EACH,
      )
    },
    TIMEOUT_MS,
  )

  test(
    'M14 JSON bodies of every operation',
    async () => {
      const routes = [
        ['POST', '/v1/folder', '{"folderName":"a","parentFolderPath":"/"}'],
        ['DELETE', '/v1/folder', '{"folderPath":"/a"}'],
        ['POST', '/v1/files/addTags', '{"fileIds":["598821f949c0a938d57563bd"],"tags":["a"]}'],
        ['POST', '/v1/files/batch/deleteByFileIds', '{"fileIds":["598821f949c0a938d57563bd"]}'],
        [
          'POST',
          '/v1/files/copy',
          '{"sourceFilePath":"/a.png","destinationPath":"/b/","includeFileVersions":false}',
        ],
        ['POST', '/v1/files/move', '{"sourceFilePath":"/x.png","destinationPath":"/b/"}'],
        ['PUT', '/v1/files/rename', '{"filePath":"/x.png","newFileName":"b.png","purgeCache":false}'],
        [
          'POST',
          '/v1/bulkJobs/copyFolder',
          '{"sourceFolderPath":"/a","destinationPath":"/b","includeVersions":false}',
        ],
        [
          'POST',
          '/v1/customMetadataFields',
          '{"name":"brand","label":"Brand","schema":{"type":"Text","minLength":1}}',
        ],
        ['POST', '/v1/files/purge', '{"url":"http://localhost/a.jpg"}'],
        ['POST', '/v1/named-transformations', '{"name":"small","transformation":"w-10"}'],
        [
          'PATCH',
          '/v1/files/598821f949c0a938d57563bd/details',
          '{"tags":["a"],"customCoordinates":"0,0,1,1","customMetadata":{"a":1}}',
        ],
      ] as const
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...routes),
          mutations,
          fc.option(fc.json()),
          async ([method, path, json], changes, other) => {
            const body = Buffer.from((other ?? mutate(json, changes)).toWellFormed())
            const result = await exchange(
              server.url,
              [
                Buffer.concat([
                  Buffer.from(
                    head(`${method} ${path} HTTP/1.1`, {
                      Authorization: basic(server.privateKey),
                      Connection: 'close',
                      'Content-Type': 'application/json',
                      'Content-Length': body.length,
                    }),
                  ),
                  body,
                ]),
              ],
              { timeoutMs: LIMIT_MS },
            )
            judge(result, () => `${method} ${path} ${body}`)
          },
        ),
        FOR_EACH,
      )
    },
    TIMEOUT_MS,
  )

  test(
    'M02 requests as bytes',
    async () => {
      const requests = [
        'GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
        `GET /${server?.id ?? 'x'}/photo.jpg HTTP/1.1\r\nHost: a\r\nRange: bytes=0-5, 7-9\r\nIf-None-Match: "x", W/"y"\r\nAccept: image/webp;q=0.5, */*\r\nConnection: close\r\n\r\n`,
        'POST /v1/folder HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}',
        'POST /api/v1/files/upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=XX\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n--XX\r\n0\r\n\r\n',
        'OPTIONS /api/v2/files/upload HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n',
      ]
      await fc.assert(
        fc.asyncProperty(from(requests), async (text) => {
          judge(
            await exchange(server.url, [Buffer.from(text, 'latin1')], {
              halfClose: true,
              quietMs: 100,
              timeoutMs: LIMIT_MS,
            }),
            () => text,
            true,
          )
        }),
        FOR_EACH,
      )
    },
    TIMEOUT_MS,
  )
})
