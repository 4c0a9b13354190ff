import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { createEndpoint, methodUrl } from '../../../src/extensions/endpoint.ts'

describe('methodUrl', () => {
  test.each([
    ['https://h', 'https://h/v1.0/removebg'],
    ['https://h/', 'https://h/v1.0/removebg'],
    ['https://h/v1.0', 'https://h/v1.0/removebg'],
    ['https://h/v1.0/', 'https://h/v1.0/removebg'],
    ['https://h/v1.0/removebg', 'https://h/v1.0/removebg'],
    ['https://h/proxy', 'https://h/proxy/v1.0/removebg'],
    ['https://h/proxy/v1.0?tenant=1', 'https://h/proxy/v1.0/removebg?tenant=1'],
    ['http://127.0.0.1:9/removebg', 'http://127.0.0.1:9/removebg/v1.0/removebg'],
  ])('of %s', (endpoint, url) => {
    expect(methodUrl(endpoint, ['v1.0', 'removebg'])).toBe(url)
  })

  test('keeps the colon of a method of Google', () => {
    expect(methodUrl('https://h', ['v1', 'images:annotate'])).toBe('https://h/v1/images:annotate')
    expect(methodUrl('https://h/v1/images:annotate', ['v1', 'images:annotate'])).toBe(
      'https://h/v1/images:annotate',
    )
  })
})

describe('createEndpoint', () => {
  test.each(['127.0.0.1', '[::1]', 'localhost'])('reaches %s, since the operator named it', async (host) => {
    const server = createServer((_, response) => response.end('{"ok":true}'))
    await new Promise<void>((ready) => server.listen(0, host === '[::1]' ? '::1' : '127.0.0.1', ready))
    const url = `http://${host}:${(server.address() as AddressInfo).port}/`
    const endpoint = createEndpoint({ service: 'Test', urls: [url], timeoutMs: 2000 })
    const signal = new AbortController().signal
    expect(await endpoint.postJson({ url, body: {}, maxBytes: 1000, signal })).toEqual({ ok: true })
    // Named is the place, not everything beside it.
    await expect(
      createEndpoint({ service: 'Test', urls: ['https://example.com'], timeoutMs: 2000 }).postJson({
        url,
        body: {},
        maxBytes: 1000,
        signal,
      }),
    ).rejects.toMatchObject({ kind: 'internal', message: 'Test gave an answer that cannot be used.' })
    await new Promise((done) => server.close(done))
  })
})
