import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call, put } from '../support/api.ts'
import { gifOf, hugeAvif, pngOf, webpOf } from '../support/attack-images.ts'
import { png } from '../support/images.ts'
import { flood, type Reply, type Service, startService } from '../support/providers/service.ts'
import { scanSource } from '../support/source-scan.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

describe('S06 one client for every way out: the sources', () => {
  const root = join(import.meta.dirname, '../../src')
  const sources = globSync('**/*.ts', { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
  const importersOf = (pattern: RegExp) =>
    sources
      .filter(({ text }) =>
        scanSource(text).imports.some(({ specifier, typeOnly }) => !typeOnly && pattern.test(specifier)),
      )
      .map(({ path }) => path)
      .sort()

  test('S06 undici is behind the guard alone', () => {
    expect(importersOf(/^undici/)).toEqual(['kernel/guarded-connection.ts'])
  })

  test('S06 one module uses the fetch of the platform, and none its relatives', () => {
    const users = sources.filter(({ text }) =>
      /(?:^|[=(,;{\s])(?:await |return |globalThis\.)(?:fetch\(|WebSocket|EventSource)|new (?:WebSocket|EventSource|XMLHttpRequest)\b/m.test(
        text,
      ),
    )
    // The collector of traces is named by the operator; a redirect from there is an error.
    expect(users.map(({ path }) => path)).toEqual(['kernel/tracing.ts'])
    expect(users[0]!.text).toContain("redirect: 'error'")
  })

  test('S06 no module of Node opens a connection but where an operator has named the place', () => {
    const clients = /^(?:node:)?(?:https|http2|tls|dgram|dns|dns\/promises)$/
    expect(importersOf(clients).filter((path) => path !== 'kernel/safe-fetch.ts')).toEqual([])
    // `node:http` serves, `node:net` judges addresses.
    for (const { path, text } of sources) {
      expect(
        /\b(?:http|net)\.(?:request|get|connect|createConnection)\(|import \{[^}]*\b(?:request|get|connect|createConnection)\b[^}]*\} from 'node:(?:http|net)'/.test(
          text,
        ),
        path,
      ).toBe(false)
    }
  })

  test('S06 clients of their own are those of stores that the operator configures', () => {
    expect(importersOf(/^(?:@aws-sdk\/|pg$|ioredis|redis|@redis\/)/)).toEqual(OPERATORS_OWN)
    // The one whose place an administrator of the API may name sends what it has signed through the guard.
    const origin = sources.find(({ path }) => path === 'origins/s3.ts')!.text
    expect(origin).toContain('requestHandler: guardedHandler(deps.safeFetch')
  })

  test('S06 the guard is opened with the settings, or for the hosts that an operator has named', () => {
    const makers = sources
      .filter(({ text, path }) => text.includes('createSafeFetch(') && path !== 'kernel/safe-fetch.ts')
      .map(({ path }) => path)
      .sort()
    expect(makers).toEqual([
      'cli-webhooks.ts',
      'compose.ts',
      'extensions/endpoint.ts',
      'library/webhooks.ts',
      'transform/models/http-model.ts',
    ])
  })
})

/** Modules that talk to stores and services of the operator's own choice, by clients of their own. */
const OPERATORS_OWN = [
  'blobs/s3-shared.ts',
  'blobs/s3.ts',
  'counters/redis.ts',
  'extensions/aws-auto-tagging.ts',
  'origins/s3.ts',
  'store/dialects/postgres.ts',
  'store/inspect.ts',
]

describe('W05 the answer of a third party is a stranger’s upload', () => {
  let service: Service
  let tintype: TestTintype
  let reply: Reply = {}
  beforeAll(async () => {
    service = await startService(() => reply)
    tintype = await startTintype({
      env: {
        TINTYPE_REMOVE_BG_ENDPOINT: service.url,
        TINTYPE_REMOVE_BG_API_KEY: 'key',
        TINTYPE_EXTENSIONS_FIRST_RETRY_MS: '10',
        TINTYPE_EXTENSIONS_REMOVE_BG_MAX_RESULT_BYTES: '3000000',
      },
    })
  })
  afterAll(async () => {
    await tintype?.stop()
    await service?.close()
  })

  const image = (body: Buffer | string, type = 'image/png'): Reply => ({
    headers: { 'content-type': type },
    body,
  })
  test.each<[string, Reply, 'taken' | 'failed']>([
    ['a page', image('<script>alert(1)</script>'), 'failed'],
    [
      'an active drawing',
      image('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 'image/svg+xml'),
      'failed',
    ],
    ['a program', image('MZ\0\0\0\0\0\0\0\0\0\0'), 'failed'],
    ['nothing', image(''), 'failed'],
    ['a picture without end', flood, 'failed'],
    ['more than the settings allow', image(Buffer.concat([png(), Buffer.alloc(4_000_000)])), 'failed'],
    ['a PNG of 99 megapixels', image(pngOf(9999, 9999)), 'taken'],
    ['a WebP of 268 megapixels in 38 bytes', image(webpOf(16_383, 16_383), 'image/webp'), 'taken'],
    ['an AVIF of 81 megapixels in 2 KB', image(hugeAvif(), 'image/avif'), 'failed'],
    ['10,000 frames', image(gifOf(8, 8, { frames: 10_000, frame: [8, 8] }), 'image/gif'), 'failed'],
  ])('W05 %s', async (what, answer, expected) => {
    reply = answer
    const file = await put(tintype, `/w05/${what.replace(/\W/g, '-')}.png`, png(20, 10), {
      extensions: JSON.stringify([{ name: 'remove-bg' }]),
    })
    const unfinished = async () => {
      const jobs = await tintype.store.jobs.list({ kind: 'extension.run', limit: 100 })
      return jobs.filter(({ state }) => state === 'ready' || state === 'running').length
    }
    await expect.poll(unfinished, { timeout: 20_000 }).toBe(0)
    const { body } = await call(tintype, 'GET', `/v1/files/${file.fileId}/details`)
    // Either way the upload stands; a picture that is costly to draw is kept as any upload of it would be.
    expect(body.versionInfo.name).toBe(expected === 'taken' ? 'Version 2' : 'Version 1')
    const shown = await fetch(`${tintype.url}${new URL(body.url).pathname}?tr=w-10`)
    expect([200, 400]).toContain(shown.status)
  })
})
