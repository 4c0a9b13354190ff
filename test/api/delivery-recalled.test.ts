import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signUrl } from '../../src/signing/signing.ts'
import { call, put } from '../support/api.ts'
import { type Answer, send } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { startTintype, TEST_KEYS, type TestTintype } from '../support/tintype.ts'
import { exchange, head } from '../support/wire.ts'

let tintype: TestTintype
let lookups = 0
beforeAll(async () => {
  // Nothing but the tests commits anything.
  tintype = await startTintype({ env: { TINTYPE_USAGE_FLUSH_MS: '3600000' } })
  const { files } = tintype.store
  const { atPath } = files
  files.atPath = (folderPath, name) => {
    lookups += 1
    return atPath(folderPath, name)
  }
})
afterAll(() => tintype.stop())

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  send(tintype, `/demo${path}`, { method, headers })

/** Asks, and tells whether the answer came from memory. */
async function ask(...request: Parameters<typeof get>): Promise<{ answer: Answer; isRecalled: boolean }> {
  const before = lookups
  const answer = await get(...request)
  return { answer, isRecalled: lookups === before }
}

/** Asks until the answer comes from memory. */
async function warm(...request: Parameters<typeof get>): Promise<Answer> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const { answer, isRecalled } = await ask(...request)
    if (isRecalled) return answer
  }
  throw new Error(`never answered from memory: ${request[0]}`)
}

describe('an answer from memory', () => {
  const picture = png(120, 80, 1)
  beforeAll(async () => {
    await put(tintype, '/same/a.png', picture)
  })

  it.each<[string, Record<string, string>, string?]>([
    ['a plain request', {}],
    ['HEAD', {}, 'HEAD'],
    ['a part', { range: 'bytes=10-19' }],
    ['the last bytes', { range: 'bytes=-5' }],
    ['a part behind the end', { range: 'bytes=999999-' }],
    ['several parts', { range: 'bytes=0-1,4-5' }],
    ['a part of what it still is', { range: 'bytes=0-9', 'if-range': 'ETAG' }],
    ['a part of what it was before', { range: 'bytes=0-9', 'if-range': '"other"' }],
    ['what the client has', { 'if-none-match': 'ETAG' }],
    ['what the client has, among others', { 'if-none-match': '"other", W/ETAG' }],
    ['what the client has not', { 'if-none-match': '"other"' }],
    ['what is newer', { 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' }],
    ['what is not newer', { 'if-modified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' }],
    ['what the client has, by HEAD', { 'if-none-match': 'ETAG' }, 'HEAD'],
    ['another encoding, which there is not', { 'accept-encoding': 'gzip', connection: 'close' }],
  ])('is the same as from the library: %s', async (_, headers, method = 'GET') => {
    for (const path of ['/same/a.png', '/tr:w-40/same/a.png', '/same/a.png?ik-attachment=true']) {
      const { etag } = (await get(path)).headers
      const asked = Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name, value.replace('ETAG', etag!)]),
      )
      await warm(path)
      const recalled = await ask(path, asked, method)
      await tintype.store.settings.set('something', Math.random())
      const lookedUp = await ask(path, asked, method)
      expect([recalled.isRecalled, lookedUp.isRecalled]).toEqual([true, false])
      const facts = ({ status, body, headers: sent }: Answer) => {
        const ids = [sent['x-ik-requestid'], sent['x-request-id']]
        expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/)
        expect(ids[1]).toBe(ids[0])
        return { status, body, headers: { ...sent, date: '', 'x-ik-requestid': '', 'x-request-id': '' } }
      }
      expect(facts(recalled.answer)).toEqual(facts(lookedUp.answer))
    }
  })

  it('is chosen by the Accept header', async () => {
    const path = '/tr:w-50,f-auto/same/a.png'
    const [webp, other] = [{ accept: 'image/webp' }, { accept: 'image/*' }]
    expect((await warm(path, webp)).headers['content-type']).toBe('image/webp')
    expect((await warm(path, other)).headers['content-type']).toBe('image/jpeg')
    const again = await ask(path, webp)
    expect(again.isRecalled).toBe(true)
    expect(again.answer.headers['content-type']).toBe('image/webp')
  })

  it('is not given to other methods, nor to a request with a body', async () => {
    await warm('/same/a.png')
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      expect((await get('/same/a.png', {}, method)).status).toBe(404)
    }
    const { status, body } = await send(tintype, '/demo/same/a.png', {
      body: 'x',
      headers: { 'content-length': '1' },
    })
    expect([status, body.equals(picture)]).toEqual([200, true])
  })

  it('comes past the HTTP server on a connection that has asked for such before', async () => {
    const path = '/same/shortcut.png'
    const bytes = png(30, 20, 3)
    await put(tintype, path, bytes)
    await warm(path)
    let read = 0
    tintype.http.app.server.on('request', () => {
      read += 1
    })
    const request = head(`GET /demo${path} HTTP/1.1`)
    const { answers } = await exchange(tintype.url, [request, request, request, request])
    expect(answers.map(({ status, body }) => [status, body.equals(bytes)])).toEqual(
      Array.from({ length: 4 }, () => [200, true]),
    )
    expect(read).toBe(2)
    const [first, last] = [answers[0]!, answers[3]!].map(({ headers }) =>
      [...headers].filter(
        ([name]) => name !== 'date' && !name.endsWith('requestid') && !name.endsWith('request-id'),
      ),
    )
    expect(last).toEqual(first)
    expect(new Set(answers.map(({ headers }) => headers.get('x-ik-requestid'))).size).toBe(4)
    const found = await tintype.store.files.atPath('/same', 'shortcut.png')
    await tintype.store.files.updateVersion(found!, { isPrivate: true, updatedAtMs: found!.updatedAtMs })
    const after = await exchange(tintype.url, [request, request, request])
    expect(after.answers.map(({ status }) => status)).toEqual([401, 401, 401])
  })

  it('is counted like any other', async () => {
    const path = '/same/counted.png'
    await put(tintype, path, png(9, 9, 77))
    const sent: Answer[] = []
    const load = async (headers?: Record<string, string>, method?: string) => {
      const { answer, isRecalled } = await ask(path, headers, method)
      sent.push(answer)
      return isRecalled
    }
    while (!(await load())) expect(sent.length).toBeLessThan(20)
    const agent = { 'user-agent': 'Mozilla/5.0 Firefox/140.0', referer: 'https://shop.example/?x' }
    expect(await load(agent)).toBe(true)
    expect(await load(agent)).toBe(true)
    expect(await load({ ...agent, range: 'bytes=0-4' })).toBe(true)
    expect(await load({}, 'HEAD')).toBe(true)
    const day = new Date().toISOString().slice(0, 10)
    const dates = `startDate=${day}&endDate=${day}`
    expect((await call(tintype, 'GET', `/v1/accounts/usage-analytics?${dates}`)).status).toBe(200)
    const rows = await tintype.store.usage.between({ firstDay: 0, lastDay: 100_000 })
    const countOf = (topic: string, name: string) =>
      rows.find((row) => row.topic === topic && row.name === name)
    const bytes = sent.reduce((sum, { body }) => sum + body.length, 0)
    expect(countOf('image', path)).toMatchObject({ requests: sent.length, bytes })
    expect(countOf('browser', 'Firefox')?.requests).toBe(3)
    expect(countOf('referrer', 'https://shop.example/')?.requests).toBe(3)
  })
})

describe('what was answered from memory is refused, or is another, at the very next request', () => {
  type File = { fileId: string; filePath: string }
  const bytes = png(60, 40, 5)
  const current = async ({ fileId }: File) => (await tintype.store.files.byId(fileId))!
  const change = async (file: File, changes: { isPrivate?: boolean; isPublished?: boolean }) => {
    const version = await current(file)
    await tintype.store.files.updateVersion(version, { ...changes, updatedAtMs: version.updatedAtMs })
  }
  const api = async (method: string, path: string, body?: unknown) => {
    const { status } = await call(tintype, method, path, body)
    expect(status).toBeLessThan(300)
  }
  const elsewhere = (statement: string) => {
    const db = new DatabaseSync(join(tintype.dataDir, 'tintype.db'))
    db.exec(statement)
    db.close()
  }
  const folderOf = ({ filePath }: File) => filePath.slice(0, filePath.lastIndexOf('/'))

  it.each<[string, (file: File) => Promise<void> | void, number]>([
    ['made private', (file) => change(file, { isPrivate: true }), 401],
    ['made a draft', (file) => change(file, { isPublished: false }), 404],
    [
      'unpublished over the API',
      ({ fileId }) => api('PATCH', `/v1/files/${fileId}/details`, { publish: { isPublished: false } }),
      404,
    ],
    ['deleted', ({ fileId }) => api('DELETE', `/v1/files/${fileId}`), 404],
    [
      'renamed',
      ({ filePath }) => api('PUT', '/v1/files/rename', { filePath, newFileName: 'renamed.png' }),
      404,
    ],
    [
      'moved',
      (file) =>
        api('POST', '/v1/files/move', {
          sourceFilePath: file.filePath,
          destinationPath: `${folderOf(file)}/to`,
        }),
      404,
    ],
    [
      'made private by another process',
      ({ fileId }) => elsewhere(`UPDATE versions SET is_private = 1 WHERE file_id = '${fileId}'`),
      401,
    ],
    [
      'made a draft by another process',
      ({ fileId }) => elsewhere(`UPDATE versions SET is_published = 0 WHERE file_id = '${fileId}'`),
      404,
    ],
  ])('%s', async (name, act, status) => {
    const folder = `/next/${name.replaceAll(' ', '-')}`
    await put(tintype, `${folder}/to/other.png`, png(2, 2, 1))
    const file = (await put(tintype, `${folder}/a.png`, bytes)) as File
    const version = await current(file)
    const requests: Parameters<typeof get>[] = [
      [`${file.filePath}`],
      [`/tr:w-30${file.filePath}`],
      [`${file.filePath}?tr=n-ik_ml_thumbnail`],
      [`${file.filePath}?ik-obj-version=${version.accessKey}`],
    ]
    const etags: string[] = []
    for (const request of requests) etags.push((await warm(...request)).headers.etag!)
    await act(file)
    for (const [at, [path]] of requests.entries()) {
      // A named transformation is shown of a private file too.
      const expected = status === 401 && path.includes('n-ik_ml_thumbnail') ? 200 : status
      const conditions: Record<string, string>[] = [
        {},
        { range: 'bytes=0-0' },
        { 'if-none-match': etags[at]! },
      ]
      for (const headers of conditions) {
        for (const method of ['GET', 'HEAD']) {
          const { answer, isRecalled } = await ask(path, headers, method)
          expect(isRecalled, `${method} ${path}`).toBe(false)
          if (expected !== 200) expect(answer.status, `${method} ${path}`).toBe(expected)
        }
      }
    }
  })

  it('replaced, and restored', async () => {
    const path = '/next/replaced/a.png'
    const newer = png(60, 40, 6)
    const { fileId } = (await put(tintype, path, bytes)) as File
    expect((await warm(path)).body.equals(bytes)).toBe(true)
    await put(tintype, path, newer)
    expect((await get(path)).body.equals(newer)).toBe(true)
    expect((await warm(path)).body.equals(newer)).toBe(true)
    await api('PUT', `/v1/files/${fileId}/versions/${fileId}/restore`)
    expect((await get(path)).body.equals(bytes)).toBe(true)
  })

  it('named, when the name means something else or is gone', async () => {
    await put(tintype, '/next/named/a.png', bytes)
    const { body } = await call(tintype, 'POST', '/v1/named-transformations', {
      name: 'recalled',
      transformation: 'w-20,f-png',
    })
    const path = '/tr:n-recalled/next/named/a.png'
    const widthOf = (answer: Answer) => answer.body.readUInt32BE(16)
    expect(widthOf(await warm(path))).toBe(20)
    const place = `/v1/named-transformations/${body.id ?? 'recalled'}`
    const changed = await call(tintype, 'PATCH', place, { transformation: 'w-10,f-png' })
    expect(changed.status, JSON.stringify(changed.body)).toBe(200)
    expect(widthOf(await get(path))).toBe(10)
    expect(widthOf(await warm(path))).toBe(10)
    expect((await call(tintype, 'DELETE', place)).status).toBeLessThan(300)
    expect((await get(path)).status).toBeGreaterThanOrEqual(400)
  })

  it('a layer, when its picture is gone', async () => {
    await put(tintype, '/next/layer/a.png', bytes)
    const layer = (await put(tintype, '/next/layer/logo.png', png(8, 8, 9))) as File
    const path = '/tr:l-image,i-next@@layer@@logo.png,l-end/next/layer/a.png'
    expect((await warm(path)).status).toBe(200)
    await change(layer, { isPrivate: true })
    expect((await get(path)).status).toBe(404)
  })
})

describe('nothing is answered from memory', () => {
  it('that is private, with or without a signature or a name', async () => {
    const file = await put(tintype, '/never/private.png', png(10, 10, 3), { isPrivateFile: 'true' })
    const url = signUrl({
      url: `http://x/demo${file.filePath}`,
      urlEndpoint: 'http://x/demo',
      privateKey: TEST_KEYS.privateKey,
      expiresAtSec: 4_000_000_000,
    })
    const signed = url.slice('http://x/demo'.length)
    for (let attempt = 0; attempt < 4; attempt++) {
      for (const [path, status] of [
        [file.filePath, 401],
        [`/tr:w-5${file.filePath}`, 401],
        [`/tr:n-ik_ml_thumbnail${file.filePath}`, 200],
        [signed, 200],
      ] as [string, number][]) {
        const { answer, isRecalled } = await ask(path)
        expect([path, answer.status, isRecalled]).toEqual([path, status, false])
      }
    }
  })

  it('that is signed, though it is public', async () => {
    await put(tintype, '/never/signed.png', png(10, 10, 4))
    const url = signUrl({
      url: 'http://x/demo/never/signed.png',
      urlEndpoint: 'http://x/demo',
      privateKey: TEST_KEYS.privateKey,
      expiresAtSec: 4_000_000_000,
    })
    for (let attempt = 0; attempt < 4; attempt++) {
      const { answer, isRecalled } = await ask(url.slice('http://x/demo'.length))
      expect([answer.status, isRecalled]).toEqual([200, false])
    }
  })

  it('that does not exist', async () => {
    for (let attempt = 0; attempt < 3; attempt++) {
      const { answer, isRecalled } = await ask('/never/none.png')
      expect([answer.status, isRecalled]).toEqual([404, false])
    }
  })
})
