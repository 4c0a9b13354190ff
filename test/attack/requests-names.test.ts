import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { expectRefusal, expectWireRefusal } from '../support/refusals.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'
import { exchange, head } from '../support/wire.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype()
  await put(tintype, '/public/a.png', png(5, 5, 1))
  await put(tintype, '/private/secret.png', png(5, 5, 2), { isPrivateFile: 'true' })
})
afterAll(() => tintype.stop())

const asRefusal = (answer: Awaited<ReturnType<typeof call>>) => ({
  status: answer.status,
  body: JSON.stringify(answer.body),
  requestId: answer.headers.get('x-ik-requestid'),
})
/** One GET of delivery, its target exactly as written. */
const deliver = async (target: string) => {
  const { answers } = await exchange(tintype.url, [
    Buffer.concat([
      Buffer.from(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`, 'latin1'),
    ]),
  ])
  return answers[0]
}
const withUnderscores = (text: string) => text.replace(/[^\p{L}\p{M}\p{N}._-]/gu, '_')

describe('file names', () => {
  const CLEANED: [id: string, name: string, fileName: string][] = [
    ['P02', 'climbing', '../../../etc/passwd'],
    ['P02', 'climbing with backslashes', '..\\..\\windows\\win.ini'],
    ['P02', 'climbing, percent-encoded', '%2e%2e%2fetc%2fpasswd'],
    ['P02', 'climbing, encoded twice', '%252e%252e%252f'],
    ['P02', 'climbing in full width', '..／..／etc'],
    ['P02', 'an absolute path', '/etc/passwd'],
    ['P02', 'a drive', 'C:\\boot.ini'],
    ['P02', 'a UNC path', '\\\\server\\share'],
    ['P02', 'NUL', 'a.png\0.exe'],
    ['P02', 'CR and LF', 'a\r\nSet-Cookie: x=1\r\n\r\n<b>.png'],
    ['P02', 'a line separator', 'a\u2028b\u2029c.png'],
    ['P02', 'control characters', 'a\x01\x1b[31m\x7f.png'],
    ['P02', 'C1 controls', 'a\x85\x9b.png'],
    ['P02', 'right to left', 'a\u202egnp.exe'],
    ['P02', 'bidi isolates', 'a\u2066b\u2069.png'],
    ['P02', 'zero width', 'a\u200b\u200d\ufeff.png'],
    ['P02', 'quotes', 'a";filename="b.exe'],
    ['P02', 'markup', '<script>alert(1)</script>.png'],
    ['P02', 'SQL', "a'; DROP TABLE files;--.png"],
    ['P02', 'a shell', '$(reboot)`id`|&;.png'],
    ['P02', 'a template', '{{7*7}}#{7*7}.png'],
    ['P02', 'a format', '%s%n%x.png'],
    ['P02', 'a URL', 'http://example.com/a.png?x#y'],
    ['P09', 'an option of a program', '-i.png'],
    ['P09', 'a long option', '--version.png'],
    ['P09', 'a protocol', 'concat:a|b.png'],
    ['P09', 'standard input', '-'],
    ['P02', 'a device of Windows', 'CON'],
    ['P02', 'a device with an extension', 'nul.png'],
    ['P02', 'a stream', 'a.png::$DATA'],
    ['P02', 'a trailing dot', 'a.png.'],
    ['P02', 'a trailing space', 'a.png '],
    ['P02', 'three dots', '...'],
    ['P02', 'a hidden file', '.htaccess'],
    ['P02', 'what JavaScript objects have', '__proto__'],
    ['P02', 'an emoji', 'cat 🐈.png'],
    ['P02', 'a private-use character', 'a\ue000.png'],
    ['P02', 'other digits', '١٢٣.png'],
    ['P02', 'our transformation', 'tr:w-1'],
    ['P02', 'a query', 'a.png?tr=w-1&ik-s=x'],
    ['P02', '255 bytes', `${'a'.repeat(251)}.png`],
  ]
  test.each(CLEANED)('%s %s becomes harmless', async (_id, _name, fileName) => {
    const bytes = png(3, 3, fileName.length + 50)
    const answer = await upload(tintype, bytes, { fileName, folder: '/names', useUniqueFileName: 'false' })
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    const name = withUnderscores(fileName)
    expect(answer.body).toMatchObject({ name, filePath: `/names/${name}` })
    const url = String(answer.body.url)
    expect(url).toMatch(/^[\x21-\x7e]+$/)
    const original = await fetch(`${url}?ik-attachment=true`)
    expect(original.status).toBe(200)
    const disposition = original.headers.get('content-disposition') ?? ''
    expect(disposition).toMatch(
      /^attachment; filename="[\x20-\x7e]*"(?:; filename\*=UTF-8''[\x21-\x7e]+)?$|^attachment; filename=[!-~]+(?:; filename\*=UTF-8''[\x21-\x7e]+)?$/,
    )
    expect(original.headers.get('set-cookie')).toBeNull()
    expect(Buffer.from(await original.arrayBuffer()).equals(bytes)).toBe(true)
  })

  test.each([
    ['P03', 'nothing', ''],
    ['P02', 'a dot', '.'],
    ['P02', 'two dots', '..'],
    ['P02', '256 bytes', `${'a'.repeat(252)}.png`],
    ['P02', '256 bytes of few characters', `${'写'.repeat(84)}.png`],
    ['P02', '64 KB', 'a'.repeat(65_536)],
    ['P02', 'letters that grow when composed', '\ufb2c'.repeat(100)],
  ])('%s %s is refused', async (_id, _name, fileName) => {
    const answer = await upload(tintype, png(), { fileName, useUniqueFileName: 'false' })
    expectRefusal(
      { status: answer.status, body: JSON.stringify(answer.body), requestId: 'x' },
      400,
      /fileName/,
    )
  })

  test('P02 bytes that are no UTF-8, and half a character, become characters', async () => {
    for (const bytes of [
      Buffer.from([0x61, 0xff, 0xfe]),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from([0xc0, 0xaf]),
    ]) {
      const form = Buffer.concat([
        Buffer.from('--XX\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'),
        png(),
        Buffer.from('\r\n--XX\r\nContent-Disposition: form-data; name="fileName"\r\n\r\n'),
        bytes,
        Buffer.from('\r\n--XX--\r\n'),
      ])
      const headers = {
        Authorization: tintype.authorization,
        Connection: 'close',
        'Content-Type': 'multipart/form-data; boundary=XX',
        'Content-Length': form.length,
      }
      const { answers } = await exchange(tintype.url, [
        Buffer.concat([Buffer.from(head('POST /api/v1/files/upload HTTP/1.1', headers)), form]),
      ])
      expect(answers[0]?.status).toBe(200)
      expect(JSON.parse(answers[0]!.body.toString()).name).toMatch(/^[\p{L}\p{M}\p{N}._-]+$/u)
    }
  })

  test('P01 nothing of a name reaches the disk', async () => {
    await put(tintype, '/diskname/canary-name.png', png(7, 7, 7), { tags: 'canarytag' })
    const names = await readdir(tintype.dataDir, { recursive: true })
    expect(names.filter((name) => /canary|diskname/.test(name))).toEqual([])
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9._/-]+$/)
  })
})

describe('P05 one name, one spelling', () => {
  test('composed and decomposed are one file', async () => {
    await put(tintype, '/nfc/caf\u00e9.png', png(5, 5, 11))
    const again = await put(tintype, '/nfc/cafe\u0301.png', png(5, 5, 12))
    expect(again.versionInfo.name).toBe('Version 2')
    const composed = await fetch(`${tintype.url}/demo/nfc/caf%C3%A9.png`)
    const decomposed = await fetch(`${tintype.url}/demo/nfc/cafe%CC%81.png`)
    expect([composed.status, decomposed.status]).toEqual([200, 200])
    expect(composed.headers.get('etag')).toBe(decomposed.headers.get('etag'))
  })

  test.each([
    ['case', 'a.png', 'A.png'],
    ['the Turkish i', 'i.png', '\u0130.png'],
    ['the sharp s', 'ß.png', 'SS.png'],
    ['a ligature', 'ﬁ.png', 'fi.png'],
    ['full width', 'ａ.png', 'aa.png'],
    ['the Kelvin sign', 'k.png', 'Kk.png'],
  ])('%s makes two', async (name, one, other) => {
    const folder = `/pairs-${name.replaceAll(' ', '-')}`
    const first = await put(tintype, `${folder}/${one}`, png(5, 5, 21))
    const second = await put(tintype, `${folder}/${other}`, png(5, 5, 22))
    expect(second.fileId).not.toBe(first.fileId)
    expect(second.versionInfo.name).toBe('Version 1')
  })
})

describe('folders', () => {
  const create = (folderName: unknown, parentFolderPath: unknown = '/made') =>
    call(tintype, 'POST', '/v1/folder', { folderName, parentFolderPath })

  test.each([
    ['P07', 'two dots', '..', '/made'],
    ['P07', 'a dot', '.', '/made'],
    ['P07', 'a parent that climbs', 'a', '/made/../x'],
    ['P07', 'a parent of dots', 'a', '/./.'],
    ['P07', '51 levels', 'a', '/x'.repeat(50)],
    ['P07', '10,000 levels', 'a', '/x'.repeat(10_000)],
    ['P07', 'a name of 256 bytes', 'a'.repeat(256), '/made'],
    ['P07', 'no text', 7, '/made'],
    ['P07', 'an object', { a: 1 }, '/made'],
    ['P07', 'a list as parent', 'a', ['/made']],
    ['P07', 'nothing', '', '/made'],
  ])('%s %s is refused', async (_id, _name, name, parent) => {
    expectRefusal(asRefusal(await create(name, parent)), 400)
  })

  test.each([
    ['P07', 'our transformation', 'tr:w-100', 'tr_w-100'],
    ['P07', 'a slash', 'a/b', undefined],
    ['P07', 'NUL', 'a\0b', 'a_b'],
    ['P07', 'a line break', 'a\r\nb', 'a__b'],
    ['P07', 'right to left', 'a\u202eb', 'a_b'],
    ['P07', 'a dot inside', 'a.b', 'a_b'],
    ['P07', '__proto__', '__proto__', '__proto__'],
    ['P07', 'a lone surrogate', 'a\ud800', undefined],
    ['P07', 'SQL', "'; DROP TABLE folders;--", undefined],
  ])('%s %s is cleaned', async (_id, _name, name, expected) => {
    const answer = await create(name)
    expect([201, 400]).toContain(answer.status)
    const listed = await call(tintype, 'GET', '/v1/files?type=folder&path=/made')
    for (const folder of listed.body) expect(folder.name).toMatch(/^[\p{L}\p{M}\p{N}_-]+$/u)
    if (expected) expect(listed.body.map((folder: { name: string }) => folder.name)).toContain(expected)
  })

  test('P07 slashes collapse, and 50 levels are deep enough', async () => {
    const answer = await upload(tintype, png(), {
      fileName: 'deep.png',
      folder: `///${Array.from({ length: 50 }, (_, at) => `l${at}`).join('//')}//`,
      useUniqueFileName: 'false',
    })
    expect(answer.status).toBe(200)
    expect(String(answer.body.filePath).split('/')).toHaveLength(52)
    expect((await fetch(String(answer.body.url))).status).toBe(200)
  })
})

describe('P08 paths of delivery', () => {
  const TRICKS = [
    '/demo/../../../etc/passwd',
    '/demo/%2e%2e/%2e%2e/etc/passwd',
    '/demo/..%2f..%2fetc%2fpasswd',
    '/demo/..%5c..%5cetc%5cpasswd',
    '/demo/..\\..\\etc\\passwd',
    '/demo/%252e%252e%252fetc%252fpasswd',
    '/demo/..;/..;/etc/passwd',
    '/demo/.;/public/a.png',
    '/demo/....//....//etc/passwd',
    '/demo/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd',
    '/demo/%e0%80%ae%e0%80%ae/etc/passwd',
    '/demo/%f0%80%80%ae/etc/passwd',
    '/demo/%u002e%u002e/etc/passwd',
    '/demo/\u00c0\u00ae/etc/passwd',
    '/demo/public/a.png%00',
    '/demo/public/a.png%00.jpg',
    '/demo/public/%00a.png',
    '/demo/public/a.png%0d%0aSet-Cookie:%20x=1',
    '/demo/public/a.png%0a',
    '/demo/public/a.png%7f',
    '/demo/public/a.png%',
    '/demo/public/a.png%f',
    '/demo/public/a.png%zz',
    '/demo/public/a.png%ff',
    '/demo/public/a.png%ed%a0%80',
    '/demo/public/a.png;x=1',
    '/demo/public/a.png/',
    '/demo/public/a.png/..',
    '/demo/public/a.png/.',
    '/demo/public/./a.png',
    '/demo/public/../public/a.png',
    '/demo/PUBLIC/a.png',
    '/demo/public%2fa.png%2f..',
    '/demo//etc/passwd',
    '/demo/file:///etc/passwd',
    '/demo/C:/windows/win.ini',
    '/demo/~root/.ssh/id_rsa',
    '/demo/proc/self/environ',
    '/demo/.git/config',
    '/demo/.env',
    '/demo/__proto__',
    '/demo/constructor',
    '/demo/public/a.png.bak',
    '/demo/public',
    '/demo/',
    '/demo/%',
    '/demo/?',
    '/demo/ik-seo/../private/secret.png',
    '/demo/tr:w-1/../private/secret.png',
    '/demo/tr:w-1',
    '/demo/tr:/',
    '/demo/private/secret.png',
    '/demo/private%2Fsecret.png',
    '/demo/%70rivate/secret.png',
    '/demo//private//secret.png',
    '/demo/private/secret.png?',
    '/demo/private/secret.png?tr=orig-true',
    '/demo/tr:orig-true/private/secret.png',
    '/demo/TR:w-1/private/secret.png',
    '/demo/tr%3Aw-1/private/secret.png',
    '/demo/ik-seo/private/secret/x.png',
    '/demo/private/secret.png/ik-thumbnail.jpg',
    '/DEMO/public/a.png',
    '/dem%6f/private/secret.png',
    '/demo2/public/a.png',
    '/demo%2fpublic%2fa.png',
    '//demo/public/a.png',
    '/./demo/private/secret.png',
    '/v1/../demo/private/secret.png',
    'http://localhost/demo/private/secret.png',
    'http://evil.example/demo/private/secret.png',
    `/demo/${'a/'.repeat(5000)}x.png`,
    `/demo/${'a'.repeat(15_000)}`,
    `/demo/${'%41'.repeat(5000)}`,
    `/demo/public/a.png?${'x=y&'.repeat(3500)}`,
  ]
  /** What differs from a file's own URL only by what does not count. */
  const SAME_FILE = new Set([
    '/demo/public/a.png/',
    `/demo/public/a.png?${'x=y&'.repeat(3500)}`,
    '/demo/public/a.png/',
  ])

  test.each(TRICKS)('P08 %s', async (target) => {
    const answer = await deliver(target)
    if (SAME_FILE.has(target) && answer?.status === 200) {
      expect(answer.body.equals(png(5, 5, 1))).toBe(true)
      return
    }
    expectWireRefusal(answer, [400, 401, 404, 431])
    expect(answer!.headers.get('set-cookie')).toBeUndefined()
    expect(answer!.body.toString('latin1')).not.toContain('root:')
  })
})

describe('names that come in with the request and go out in headers', () => {
  test.each([
    ['P02', 'a\r\nSet-Cookie: x=1'],
    ['P02', 'a"; filename="b.exe'],
    ['P02', '../../etc/passwd'],
    ['P02', 'a\0b'],
    ['P02', '\u202egnp.exe'],
    ['P02', 'é'.repeat(2000)],
    ['P02', '%0d%0aSet-Cookie:x=1'],
    ['P02', '\\'],
    ['P02', ''],
  ])('%s ik-attachment-filename=%j', async (_id, name) => {
    const answer = await deliver(`/demo/public/a.png?ik-attachment-filename=${encodeURIComponent(name)}`)
    expect(answer?.status).toBe(200)
    expect(answer!.headers.get('set-cookie')).toBeUndefined()
    const disposition = answer!.headers.get('content-disposition') ?? ''
    expect(disposition).toMatch(
      /^attachment; filename="?(?:[^"\\\r\n]|\\["\\])*"?(?:; filename\*=UTF-8''[A-Za-z0-9%!#$&+.^_`|~-]+)?$/,
    )
    expect(disposition).not.toMatch(/filename="?[^;]*[/\0]/)
  })

  test.each([
    ['P02', '/demo/public/a.png?tr=w-%0d%0aSet-Cookie:x'],
    ['P02', '/demo/public/a.png?tr=zz-%F0%9F%90%88%0a'],
    ['P02', '/demo/tr:w-1%0d%0aX:y/public/a.png'],
    ['P02', '/demo/missing%E2%80%A8.png'],
  ])('%s ik-error of %s is one ASCII line', async (_id, target) => {
    const answer = await deliver(target)
    expect(answer!.status).toBeGreaterThanOrEqual(400)
    expect(answer!.headers.get('set-cookie')).toBeUndefined()
    expect(answer!.headers.get('x')).toBeUndefined()
    expect(answer!.headers.get('ik-error')).toMatch(/^[\x20-\x7e]+$/)
  })

  test('P02 a request id that the client brings is not sent back', async () => {
    const { answers } = await exchange(tintype.url, [
      head('GET /v1/files HTTP/1.1', {
        'X-Request-Id': 'evil',
        'x-ik-requestid': 'evil',
        Connection: 'close',
      }),
    ])
    expect([...answers[0]!.headers.values()].join()).not.toContain('evil')
  })

  test('P02 a Host that is no host does not reach the URLs of answers as something else', async () => {
    for (const host of [
      'a"b',
      "a'b",
      'a<script>',
      'evil.example/path',
      'user:pw@evil.example',
      'a b',
      'a\\b',
    ]) {
      const { answers } = await exchange(tintype.url, [
        head('GET /v1/files?path=/public HTTP/1.1', {
          Authorization: tintype.authorization,
          Connection: 'close',
          Host: host,
        }),
      ])
      expect(answers.length).toBeLessThanOrEqual(1)
      if (answers[0]?.status !== 200) continue
      for (const { url } of JSON.parse(answers[0].body.toString())) expect(() => new URL(url)).not.toThrow()
    }
  })
})

describe('P11 ids of somebody else', () => {
  const IDS = [
    '598821f949c0a938d57563bd',
    '../files',
    '%2e%2e',
    "' OR 1=1--",
    '1 OR 1=1',
    '*',
    '%00',
    'a'.repeat(5000),
    '__proto__',
    '[object Object]',
    '-1',
    '0',
    'null',
  ]
  const PATHS: [method: string, path: (id: string) => string, body?: object][] = [
    ['GET', (id) => `/v1/files/${id}/details`],
    ['GET', (id) => `/v1/files/${id}/versions`],
    ['GET', (id) => `/v1/files/${id}/versions/${id}`],
    ['GET', (id) => `/v1/files/${id}/metadata`],
    ['PATCH', (id) => `/v1/files/${id}/details`, { tags: ['x'] }],
    ['DELETE', (id) => `/v1/files/${id}`],
    ['DELETE', (id) => `/v1/files/${id}/versions/${id}`],
    ['PUT', (id) => `/v1/files/${id}/versions/${id}/restore`],
    ['GET', (id) => `/v1/bulkJobs/${id}`],
    ['GET', (id) => `/v1/files/purge/${id}`],
    ['PATCH', (id) => `/v1/customMetadataFields/${id}`, { label: 'x' }],
    ['DELETE', (id) => `/v1/customMetadataFields/${id}`],
    ['GET', (id) => `/v1/accounts/url-endpoints/${id}`],
    ['GET', (id) => `/v1/accounts/origins/${id}`],
  ]
  test.each(PATHS)('P11 %s %s', async (method, path, body) => {
    for (const id of IDS) {
      const answer = await call(tintype, method, path(encodeURIComponent(id)), body)
      expectRefusal(asRefusal(answer), [400, 404])
    }
    expect((await call(tintype, 'GET', '/v1/files?path=/public')).body).toHaveLength(1)
  })
})

describe('P10 searches and listings', () => {
  const list = (query: Record<string, string>) =>
    call(tintype, 'GET', `/v1/files?${new URLSearchParams(query)}`)

  test.each([
    ['SQL behind a value', `name = "a" OR 1=1--`],
    ['SQL in a field', `name" OR "1"="1`],
    ['a second statement', `name = "a"; DROP TABLE files`],
    ['a union', `name = "a" UNION SELECT private_key FROM keys`],
    ['a field that does not exist', 'privateKey = "x"'],
    ['a column of the database', 'key_hash = "x"'],
    ['__proto__', '__proto__ = "x"'],
    ['constructor', 'constructor = "x"'],
    ['a function', 'name = upper("a")'],
    ['an open quote', 'name = "a'],
    ['an open bracket', 'name IN ["a"'],
    ['an open parenthesis', '((name = "a")'],
    ['nothing but operators', 'AND OR NOT'],
    ['21 deep', `${'('.repeat(21)}name = "a"${')'.repeat(21)}`],
    ['2,000 deep', `${'('.repeat(2000)}name = "a"${')'.repeat(2000)}`],
    ['9 KB', `name = "${'a'.repeat(9000)}"`],
    [
      '5,000 conditions',
      Array.from({ length: 500 }, () => 'size>1')
        .join(' OR ')
        .concat(' OR size>1'.repeat(300)),
    ],
    ['a number beyond bounds', 'size > 1e999'],
    ['NaN', 'size > NaN'],
    ['a date that is none', 'createdAt > "soon"'],
    ['a list for one value', 'size = [1,2]'],
    ['NUL between', 'name\0= "a"'],
  ])('P10 %s is refused', async (_name, searchQuery) => {
    expectRefusal(asRefusal(await list({ searchQuery })), 400)
  })

  test.each([
    ['wildcards are letters', 'name : "%ecret"'],
    ['an underscore is a letter', 'name : "se_ret"'],
    ['a quote inside', `name = "a'b"`],
    ['an escaped quote', 'name = "a\\"b"'],
    ['SQL as text', `name = "' OR '1'='1"`],
    ['NUL as text', 'name = "a\0b"'],
    ['a regular expression', 'name = "(a+)+$"'],
    ['SQL as a tag', `tags IN ["a') OR 1=1--"]`],
    ['a JSON path', `tags IN ["$.x[0]"]`],
    ['a backslash', 'name = "\\\\"'],
  ])('P10 %s: nothing is found, and nothing else happens', async (_name, searchQuery) => {
    const answer = await list({ searchQuery })
    if (answer.status === 200) expect(answer.body).toEqual([])
    else expectRefusal(asRefusal(answer), 400)
  })

  test.each<[string, Record<string, string>]>([
    ['sort by SQL', { sort: 'ASC_NAME; DROP TABLE files' }],
    ['sort by a column', { sort: 'ASC_blob_key' }],
    ['sort by __proto__', { sort: 'ASC___proto__' }],
    ['a limit of text', { limit: '1 OR 1=1' }],
    ['a limit in hex', { limit: '0x10' }],
    ['a limit beyond bounds', { limit: '1001' }],
    ['a limit of nothing', { limit: '0' }],
    ['a negative skip', { skip: '-1' }],
    ['a skip beyond 64 bits', { skip: '99999999999999999999' }],
    ['a type that does not exist', { type: '__proto__' }],
    ['a file type that does not exist', { fileType: "image' OR '1" }],
    ['a path that climbs', { path: '/../..' }],
    ['a cursor of text', { cursor: "' OR 1=1" }],
    ['a cursor of JSON', { cursor: Buffer.from('{"__proto__":{"x":1}}').toString('base64url') }],
  ])('P10 %s is refused', async (_name, query) => {
    expectRefusal(asRefusal(await list(query)), 400)
  })

  test.each<[string, Record<string, string>]>([
    ['tags with SQL', { tags: "a') OR 1=1--" }],
    ['tags with wildcards', { tags: '%' }],
    ['a name with SQL', { name: "' OR '1'='1" }],
    ['a name with wildcards', { name: '%' }],
    ['a path with wildcards', { path: '/pub%' }],
  ])('P10 %s finds nothing', async (_name, query) => {
    const answer = await list(query)
    expect(answer.status === 200 ? answer.body : []).toEqual([])
    if (answer.status !== 200) expectRefusal(asRefusal(answer), 400)
  })
})
