import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { routesOf } from '../support/routes.ts'
import { startTintype, TEST_KEYS, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
beforeAll(async () => {
  tintype = await startTintype()
  await put(tintype, '/a.png', png(8, 8, 1))
  await put(tintype, '/private.png', png(8, 8, 2), { isPrivateFile: 'true' })
  await put(tintype, '/page.html', Buffer.from('<!doctype html><script>alert(1)</script>'))
  await put(
    tintype,
    '/a.svg',
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'),
  )
  await put(tintype, '/a.pdf', Buffer.from('%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n'))
})
afterAll(() => tintype.stop())

const policyOf = (headers: Headers) =>
  Object.fromEntries(
    (headers.get('content-security-policy') ?? '').split(';').map((part) => {
      const [name, ...values] = part.trim().split(' ')
      return [name!, values.join(' ')]
    }),
  )

/** What holds for every answer, whoever asks for what. */
function expectSafe(headers: Headers, what: string): void {
  expect(headers.get('x-content-type-options'), what).toBe('nosniff')
  expect(headers.get('referrer-policy'), what).toBe('no-referrer')
  const policy = policyOf(headers)
  expect(policy['default-src'], what).toBe("'none'")
  for (const source of Object.values(policy)) expect(source, what).not.toMatch(/unsafe-eval|\*|https?:/)
  expect(policy['script-src'], what).toBeUndefined()
  expect(headers.get('x-powered-by'), what).toBeNull()
  expect(headers.get('server'), what).toBeNull()
}

/** Data and pages of our own: nobody frames them, and other origins get them by CORS only. */
function expectOwn(headers: Headers, what: string): void {
  expectSafe(headers, what)
  expect(policyOf(headers)['frame-ancestors'], what).toBe("'none'")
  const isForAll = headers.get('access-control-allow-origin') === '*'
  expect(headers.get('cross-origin-resource-policy'), what).toMatch(
    isForAll ? /^(?:cross-origin|same-origin)$/ : /^same-origin$/,
  )
  expect(headers.get('cross-origin-opener-policy'), what).toBe('same-origin')
}

/** Files, and what stands in their place: any site may embed them, and they run nothing. */
function expectEmbeddable(headers: Headers, what: string): void {
  expectSafe(headers, what)
  expect(policyOf(headers), what).toHaveProperty('sandbox', '')
  expect(policyOf(headers)['frame-ancestors'], what).toBeUndefined()
  expect(headers.get('cross-origin-resource-policy'), what).toBe('cross-origin')
}

describe('every route', () => {
  it('answers with safe headers, to strangers and to key holders', async () => {
    const routes = routesOf(tintype.http.app.printRoutes({ commonPrefix: false })).filter(
      (route) => !route.includes('*'),
    )
    expect(routes.length).toBeGreaterThan(50)
    for (const route of [
      ...routes,
      'GET /nothing/here',
      'POST /v1/nothing',
      'PUT /docs',
      'OPTIONS /v1/files',
    ]) {
      const [method, path] = route.split(' ') as [string, string]
      for (const authorization of [undefined, tintype.authorization]) {
        const response = await fetch(tintype.url + path.replace(/\{\w+\}/g, 'x'), {
          method,
          headers: authorization === undefined ? {} : { authorization },
        })
        await response.arrayBuffer()
        expectOwn(response.headers, `${route} ${response.status}`)
        if (!/^\/(?:client\/|openapi\.json$|api\/)/.test(path)) {
          expect(response.headers.get('access-control-allow-origin'), route).toBeNull()
        }
      }
    }
  })
})

test.each([
  ['a file', '/a.png', {}, 200],
  ['a file again, from memory', '/a.png', {}, 200],
  ['a derivative', '/tr:w-4/a.png', {}, 200],
  ['a derivative from memory', '/tr:w-4/a.png', {}, 200],
  ['a part', '/a.png', { range: 'bytes=0-3' }, 206],
  ['no part', '/a.png', { range: 'bytes=9999999-' }, 416],
  ['nothing new', '/a.png', { 'if-modified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' }, 304],
  ['a missing file', '/none.png', {}, 404],
  ['a private file', '/private.png', {}, 401],
  ['a bad transformation', '/tr:l-image/a.png', {}, 400],
  ['a path that cannot be decoded', '/%zz', {}, 400],
  ['a page', '/page.html', {}, 200],
  ['a drawing', '/a.svg', {}, 200],
  ['a document', '/a.pdf', {}, 200],
])('delivery of %s', async (what, path, headers, status) => {
  const response = await fetch(`${tintype.url}/${TEST_KEYS.id}${path}`, { headers })
  await response.arrayBuffer()
  expect(response.status).toBe(status)
  expectEmbeddable(response.headers, what)
  if (status < 300) expect(response.headers.get('access-control-allow-origin')).toBe('*')
})

test('what is not even HTTP', async () => {
  const answer = await new Promise<string>((resolve, reject) => {
    // Of a node itself: a load balancer does not hand such a request on.
    const socket = connect(Number(new URL(tintype.nodes[0]!.url).port), '127.0.0.1', () =>
      socket.write('NONSENSE\r\n\r\n'),
    )
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('end', () => {
      socket.destroy()
      resolve(text)
    })
    socket.on('error', reject)
  })
  const [head, body] = answer.split('\r\n\r\n')
  const [status, ...lines] = head!.split('\r\n')
  expect(status).toBe('HTTP/1.1 400 Bad Request')
  expect(JSON.parse(body!)).toHaveProperty('message')
  expectOwn(
    new Headers(lines.map((line) => line.split(/: (.*)/, 2) as [string, string])),
    'what is not even HTTP',
  )
})

test('the scripts of the client may be loaded by any page', async () => {
  for (const name of ['imagekit.js', 'imagekit.mjs', 'xhr.mjs']) {
    const { headers } = await fetch(`${tintype.url}/client/${name}`)
    expect(headers.get('cross-origin-resource-policy')).toBe('cross-origin')
    expect(headers.get('content-type')).toBe('text/javascript; charset=utf-8')
  }
})
