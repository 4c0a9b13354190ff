import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call } from '../support/api.ts'
import { type Canary, DOWNLOAD_FAILED, startCanary } from '../support/attack.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let canary: Canary
let tintype: TestTintype
beforeAll(async () => {
  canary = await startCanary()
  tintype = await startTintype({
    // What a failure costs at least is judged elsewhere; here it would only add up.
    env: { TINTYPE_ALLOW_PRIVATE_NETWORK: 'false', TINTYPE_FETCH_FAILURE_FLOOR_MS: '0' },
  })
})
afterAll(async () => {
  await tintype?.stop()
  await canary?.close()
})

/** P stands for the canary's port. */
const at = (url: string) => url.replaceAll(':P', `:${canary.port}`)

/** Uploads from the URL and expects the one refusal, and that nobody came to the canary. */
async function expectRefused(url: string) {
  const before = canary.hits()
  const { status, body } = await upload(tintype, url, { fileName: 'x.png' })
  expect(status, JSON.stringify(body)).toBe(400)
  expect(body.message).toBe(DOWNLOAD_FAILED)
  expect(canary.hits() - before).toBe(0)
}

describe('S01 refuses loopback in every spelling:', () => {
  test.each([
    'http://127.0.0.1:P/',
    'http://127.1:P/',
    'http://127.0.1:P/',
    'http://127.255.255.254:P/',
    'http://2130706433:P/',
    'http://0x7f000001:P/',
    'http://0x7f.1:P/',
    'http://0X7F.0x00.0x00.0x01:P/',
    'http://017700000001:P/',
    'http://0177.0.0.1:P/',
    'http://00000177.1:P/',
    'http://127.0.0.1.:P/',
    'http://①②⑦.⓪.⓪.①:P/',
    'http://１２７.０.０.１:P/',
    'http://127。0。0。1:P/',
    'http://127．0．0．1:P/',
    'http://%31%32%37.0.0.1:P/',
    'http://127%2E0%2e0%2E1:P/',
    'http:///127.0.0.1:P/',
    'HTTPS://127.0.0.1:P/',
    'http://0:P/',
    'http://0.0.0.0:P/',
    'http://00:P/',
    'http://localhost:P/',
    'http://LocalHost:P/',
    'http://localhost.:P/',
    'http://a.b.localhost:P/',
    'http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:P/',
    'http://[::1]:P/',
    'http://[0000:0:0:0:0:0:0:0001]:P/',
    'http://[::]:P/',
    'http://[::ffff:127.0.0.1]:P/',
    'http://[::FFFF:7f00:1]:P/',
    'http://[0:0:0:0:0:ffff:127.0.0.1]:P/',
    'http://[::127.0.0.1]:P/',
    'http://[::7f00:1]:P/',
    'http://[64:ff9b::7f00:1]:P/',
    'http://[64:ff9b:1::7f00:1]:P/',
    'http://[2002:7f00:1::]:P/',
    'http://[2001:0:7f00:1::]:P/',
    'http://[::5efe:7f00:1]:P/',
    'http://[2606:4700::5efe:7f00:1]:P/',
    'http://[fe80::1]:P/',
    'http://[fc00::1]:P/',
    'http://[fec0::1]:P/',
  ])('S01 refuses %s', (url) => expectRefused(at(url)))
})

describe('S03 refuses schemes, ports and tricks of the parser:', () => {
  test.each([
    'http://user@127.0.0.1:P/',
    'http://user:pass@127.0.0.1:P/',
    'http://93.184.216.34@127.0.0.1:P/',
    'http://127.0.0.1:P#@93.184.216.34/',
    'http://127.0.0.1:P?@93.184.216.34/',
    'http://93.184.216.34\\@127.0.0.1:P/',
    'http://127.0.\t0.1:P/',
    'http://127.0.0.1:P/\r\nHost: evil',
    'http://93.184.216.34\n.127.0.0.1:P/',
    'http://93.184.216.34:22/',
    'http://93.184.216.34:25/',
    'http://93.184.216.34:0/',
    'http://93.184.216.34:6379/',
    'http://93.184.216.34:2375/',
    'http://93.184.216.34:65536/',
    'http://[::1%25lo]:P/',
    'http://[127.0.0.1]:P/',
    'http://[::1/',
    'http://',
    'https://?',
  ])('S03 refuses %j', (url) => expectRefused(at(url)))

  test.each([
    'file:///etc/passwd',
    'file://127.0.0.1/etc/passwd',
    'gopher://127.0.0.1:P/_x',
    'ftp://127.0.0.1:P/',
    'dict://127.0.0.1:P/',
    'ldap://127.0.0.1:P/',
    'ws://127.0.0.1:P/',
    'unix:/var/run/docker.sock',
    'jar:http://127.0.0.1:P/!/',
    'blob:http://127.0.0.1:P/x',
    'view-source:http://127.0.0.1:P/',
    'ht\ntp://127.0.0.1:P/',
    '//127.0.0.1:P/',
    'http:\\\\127.0.0.1:P/',
    'http:/\\127.0.0.1:P/',
    ' http://127.0.0.1:P/',
    'data:text/html,http://127.0.0.1:P/',
  ])('S03 and B04 take %j for no URL, and for no file either', async (text) => {
    const before = canary.hits()
    const { status, body } = await upload(tintype, at(text), { fileName: 'x.png' })
    expect(status, JSON.stringify(body)).toBe(400)
    expect(body.message).toMatch(/invalid file parameter|could not be downloaded/)
    expect(canary.hits() - before).toBe(0)
  })

  test('S03 refuses its own API and its own pages', async () => {
    for (const path of ['/v1/files', '/health', '/demo/x.png']) await expectRefused(tintype.url + path)
  })

  test.each([
    ['20 KB', `http://127.0.0.1:P/${'a'.repeat(20_000)}`],
    ['200 KB', `http://93.184.216.34/${'a'.repeat(200_000)}`],
    ['a host of 365 characters', `http://${'a'.repeat(64)}.${'b'.repeat(300)}/`],
  ])('S03 refuses a URL of %s', async (_, url) => {
    const before = canary.hits()
    const { status } = await upload(tintype, at(url), { fileName: 'x.png' })
    expect(status).toBe(400)
    expect(canary.hits() - before).toBe(0)
  })

  test('B04 a path is base64 like any other text of these letters, and reads no file', async () => {
    const { status, body } = await upload(tintype, '/etc/passwd', { fileName: 'x.bin' })
    expect(status, JSON.stringify(body)).toBe(200)
    const stored = Buffer.from(await (await fetch(String(body.url))).arrayBuffer())
    expect(stored).toEqual(Buffer.from('/etc/passwd', 'base64'))
  })
})

describe('one client for all: the other ways out refuse the same', () => {
  const SPELLINGS = [
    'http://127.1:P/x.png',
    'http://2130706433:P/x.png',
    'http://localhost:P/x.png',
    'http://[::1]:P/x.png',
    'http://[::ffff:127.0.0.1]:P/x.png',
    'http://169.254.169.254/latest/meta-data/',
  ]

  test.each(SPELLINGS)('W01 webhookUrl of an upload: %s', async (url) => {
    const before = canary.hits()
    const { status, body } = await upload(tintype, png(), { fileName: 'hook.png', webhookUrl: at(url) })
    expect(status, JSON.stringify(body)).toBe(400)
    expect(body.message).toContain('webhookUrl')
    expect(canary.hits() - before).toBe(0)
  })

  test.each(SPELLINGS)('W01 an endpoint for webhooks: %s', async (url) => {
    const { status, body } = await call(tintype, 'POST', '/v1/webhooks', { url: at(url) })
    expect(status, JSON.stringify(body)).toBe(400)
    expect(canary.hits()).toBe(0)
  })

  test.each(SPELLINGS)('S06 metadata by URL asks nobody: %s', async (url) => {
    const { status, body } = await call(tintype, 'GET', `/v1/metadata?url=${encodeURIComponent(at(url))}`)
    expect(status).toBe(400)
    expect(body.message).toBe('The url should be accessible using your ImageKit.io account.')
    expect(canary.hits()).toBe(0)
  })

  describe('origins', () => {
    beforeAll(async () => {
      const create = async (path: string, body: object) => (await call(tintype, 'POST', path, body)).body
      const proxy = await create('/v1/accounts/origins', { type: 'WEB_PROXY', name: 'Proxy' })
      const endpoint = (urlPrefix: string, id: string) =>
        create('/v1/accounts/url-endpoints', { description: urlPrefix, urlPrefix, origins: [id] })
      await endpoint('proxy', proxy.id)
      for (const [index, url] of SPELLINGS.entries()) {
        const baseUrl = at(url).replace(/\/x\.png$/, '')
        const folder = await create('/v1/accounts/origins', {
          type: 'WEB_FOLDER',
          name: `f${index}`,
          baseUrl,
        })
        if (folder.id) await endpoint(`folder${index}`, folder.id)
      }
    })

    test.each(SPELLINGS)('S01 a web proxy: %s', async (url) => {
      const answer = await fetch(`${tintype.url}/demo/proxy/${encodeURIComponent(at(url))}`)
      expect([answer.status, answer.headers.get('ik-error')]).toEqual([
        404,
        'ECONNREFUSED - The origin could not be reached.',
      ])
      expect(canary.hits()).toBe(0)
    })

    test.each(SPELLINGS.map((url, index) => ({ url, index })))(
      'S01 a web folder: $url',
      async ({ index }) => {
        const answer = await fetch(`${tintype.url}/demo/folder${index}/a.png`)
        expect(answer.status).toBe(404)
        expect(canary.hits()).toBe(0)
      },
    )
  })
})

test('the canary sings: with the private network allowed the same URL reaches it', async () => {
  const open = await startTintype()
  try {
    const before = canary.hits()
    const { status, body } = await upload(open, at('http://127.1:P/'), { fileName: 'x.txt' })
    expect(status, JSON.stringify(body)).toBe(200)
    expect(body.size).toBe(6)
    expect(canary.hits() - before).toBe(1)
  } finally {
    await open.stop()
  }
})
