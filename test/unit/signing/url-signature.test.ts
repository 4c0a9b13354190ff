import { createHmac } from 'node:crypto'
import ImageKit from '@imagekit/nodejs'
import fc from 'fast-check'
import ImageKit6 from 'imagekit'
import { describe, expect, it } from 'vitest'
import { signUrl, verifyUrlSignature } from '../../../src/signing/signing.ts'

const NOW_SEC = 1_790_000_000
const ENDPOINT = 'https://media.example/demo'
const KEY = 'private_tests_0123456789abcdef'
const six = new ImageKit6({ publicKey: 'public_tests', privateKey: KEY, urlEndpoint: ENDPOINT })
const seven = new ImageKit({ privateKey: KEY })

const sign = (text: string, expiry = '9999999999', key = KEY) =>
  createHmac('sha1', key)
    .update(text + expiry)
    .digest('hex')
const verify = (rawTarget: string, change: object = {}) =>
  verifyUrlSignature({
    rawTarget,
    endpointPath: '/demo',
    keys: [KEY],
    nowMs: Date.now(),
    skewSec: 60,
    ...change,
  })
/** What a browser puts on the request line for a URL. */
const targetOf = (url: string) => new URL(url).pathname + new URL(url).search

describe('signUrl', () => {
  it('gives the golden vector of the contract', () => {
    const url = signUrl({
      url: 'https://ik.imagekit.io/demo/sdk-testing-files/future-search.png',
      urlEndpoint: 'https://ik.imagekit.io/demo/',
      privateKey: 'dummy-key',
    })
    expect(url).toBe(
      'https://ik.imagekit.io/demo/sdk-testing-files/future-search.png?ik-s=32dbbbfc5f945c0403c71b54c38e76896ef2d6b0',
    )
  })

  it('signs as the official SDK does, with and without an expiry', () => {
    const plain = seven.helper.buildSrc({
      src: '/a/b.jpg',
      urlEndpoint: ENDPOINT,
      transformation: [{ width: 300 }],
    })
    const signed = seven.helper.buildSrc({
      src: '/a/b.jpg',
      urlEndpoint: ENDPOINT,
      transformation: [{ width: 300 }],
      expiresIn: 300,
    })
    const expiresAtSec = Number(/ik-t=(\d+)/.exec(signed)![1])
    expect(signUrl({ url: plain, urlEndpoint: ENDPOINT, privateKey: KEY, expiresAtSec })).toBe(signed)
    expect(signUrl({ url: plain, urlEndpoint: ENDPOINT, privateKey: KEY })).toBe(
      seven.helper.buildSrc({
        src: '/a/b.jpg',
        urlEndpoint: ENDPOINT,
        transformation: [{ width: 300 }],
        signed: true,
      }),
    )
  })

  it('refuses what it could not verify', () => {
    const options = { url: `${ENDPOINT}/a.jpg`, urlEndpoint: ENDPOINT, privateKey: KEY }
    expect(() => signUrl({ ...options, expiresAtSec: Date.now() })).toThrow(RangeError)
    expect(() => signUrl({ ...options, urlEndpoint: 'https://media.example/demo2' })).toThrow(RangeError)
  })
})

describe('verifyUrlSignature: URLs of the official SDKs', () => {
  const cases: [string, string][] = []
  for (const path of [
    '/a.jpg',
    '/dir/a b.jpg',
    '/dir/é ü.jpg',
    '/日本/写真.jpg',
    "/x'(1)[2].jpg",
    '/ik-seo/a/b.jpg',
  ]) {
    for (const expiresIn of [undefined, 300]) {
      for (const transformationPosition of ['path', 'query'] as const) {
        const name = `${path} ${transformationPosition} ${expiresIn ?? 'for ever'}`
        const transformation = [{ width: 300, height: 400 }, { rotation: 90 }]
        cases.push(
          [
            `v6 ${name}`,
            six.url({
              path,
              transformation,
              transformationPosition,
              signed: true,
              ...(expiresIn ? { expireSeconds: expiresIn } : {}),
            }),
          ],
          [
            `v7 ${name}`,
            seven.helper.buildSrc({
              src: path,
              urlEndpoint: ENDPOINT,
              transformation,
              transformationPosition,
              signed: true,
              ...(expiresIn ? { expiresIn } : {}),
            }),
          ],
        )
      }
    }
  }
  cases.push(
    [
      'v6 query parameters',
      six.url({
        src: `${ENDPOINT}/a.jpg?v=1`,
        queryParameters: { x: 'y z', q: 'a&b' },
        transformation: [{ raw: 'l-text,i-hi,l-end' }],
        signed: true,
      }),
    ],
    [
      'v7 query parameters',
      seven.helper.buildSrc({
        src: 'a.jpg',
        urlEndpoint: ENDPOINT,
        queryParameters: { x: 'y z', q: 'a&b' },
        transformation: [{ overlay: { type: 'text', text: 'ünder / score', encoding: 'base64' } }],
        signed: true,
      }),
    ],
  )
  it.each(cases)('%s', (_, url) => {
    expect(url).toMatch(/ik-s=[0-9a-f]{40}$/)
    const target = targetOf(url)
    const result = verify(target)
    expect(result).toMatchObject({ valid: true, present: true })
    expect(result.expiresAtSec === null).toBe(!url.includes('ik-t='))
    for (let at = '/demo/'.length; at < target.length; at += 1) {
      const changed = `${target.slice(0, at)}${target[at] === 'a' ? 'b' : 'a'}${target.slice(at + 1)}`
      expect(verify(changed).valid, changed).toBe(false)
    }
    expect(verify(target, { keys: ['private_other'] }).valid).toBe(false)
  })

  it('verifies the full URL when the SDK was given another endpoint than the source', () => {
    const url = six.url({ src: 'https://cdn.example/demo/a.jpg', signed: true })
    expect(verify(targetOf(url)).valid).toBe(false)
    expect(verify(targetOf(url), { endpointUrl: 'https://cdn.example/demo' }).valid).toBe(true)
  })
})

describe('verifyUrlSignature: spellings', () => {
  it.each([
    ['the text as it was written', 'dir/é [1] b.jpg', '/demo/dir/%C3%A9%20[1]%20b.jpg'],
    ['the text as it was written, sent in lower-case escapes', 'dir/é.jpg', '/demo/dir/%c3%a9.jpg'],
    ['raw bytes on the wire, signed encoded', 'dir/%C3%A9.jpg', '/demo/dir/é.jpg'],
    [
      'raw bytes as node:http shows them',
      'dir/é.jpg',
      `/demo/dir/${Buffer.from('é.jpg').toString('latin1')}`,
    ],
    ['encodeURI of brackets', 'a%5B1%5D.jpg', '/demo/a[1].jpg'],
  ])('accepts %s', (_, signed, target) => {
    expect(verify(`${target}?ik-s=${sign(signed)}`).valid).toBe(true)
  })

  it.each([
    ['an equals sign hidden in an escape', 'p.jpg?tr=w-100', '/demo/p.jpg?tr%3Dw-100&'],
    ['a question mark hidden in an escape', 'p.jpg?tr=w-100', '/demo/p.jpg%3Ftr=w-100?'],
    ['an ampersand hidden in an escape', 'p.jpg?a=1&tr=w-9', '/demo/p.jpg?a=1%26tr=w-9&'],
    ['a letter spelt as an escape', 'p.jpg?tr=w-100', '/demo/p.jpg?%74r=w-100&'],
    ['escapes in other case than signed', 'dir/%C3%A9.jpg', '/demo/dir/%c3%a9.jpg?'],
    ['a slash spelt as an escape', 'a/b.jpg', '/demo/a%2Fb.jpg?'],
    ['a second round of escapes', 'a%20b.jpg', '/demo/a%2520b.jpg?'],
    ['a comma spelt as an escape', 'p.jpg?tr=w-1,h-1', '/demo/p.jpg?tr=w-1%2Ch-1&'],
  ])('refuses %s', (_, signed, prefix) => {
    expect(verify(`${prefix}ik-s=${sign(signed)}`).valid).toBe(false)
  })
})

describe('verifyUrlSignature: forgeries', () => {
  const E = String(NOW_SEC)
  const at = (nowSec: number) => ({ nowMs: nowSec * 1000 })
  const S = sign('a.jpg')
  const T = sign('a.jpg', E)

  it('honours an expiry up to the leeway', () => {
    const target = `/demo/a.jpg?ik-t=${E}&ik-s=${T}`
    expect(verify(target, at(NOW_SEC - 1))).toEqual({ valid: true, present: true, expiresAtSec: NOW_SEC })
    expect(verify(target, at(NOW_SEC + 59)).valid).toBe(true)
    expect(verify(target, at(NOW_SEC + 60))).toEqual({ valid: false, present: true, expiresAtSec: NOW_SEC })
    expect(verify(target, { ...at(NOW_SEC), skewSec: 0 }).valid).toBe(false)
    expect(verify(`/demo/a.jpg?ik-s=${T}&ik-t=${E}`, at(NOW_SEC)).valid).toBe(true)
  })

  it.each([
    ['no signature', '/demo/a.jpg', false],
    ['an empty signature', '/demo/a.jpg?ik-s=', true],
    ['upper case', `/demo/a.jpg?ik-s=${S.toUpperCase()}`, true],
    ['a short signature', `/demo/a.jpg?ik-s=${S.slice(1)}`, true],
    ['a long signature', `/demo/a.jpg?ik-s=${S}0`, true],
    ['the signature twice', `/demo/a.jpg?ik-s=${S}&ik-s=${S}`, true],
    ['an array', `/demo/a.jpg?ik-s[]=${S}`, false],
    ['the name spelt as an escape', `/demo/a.jpg?i%6b-s=${S}`, true],
    ['the expiry removed', `/demo/a.jpg?ik-s=${T}`, true],
    ['the expiry without signature', `/demo/a.jpg?ik-t=${E}`, true],
    ['the expiry prolonged', `/demo/a.jpg?ik-t=${NOW_SEC + 1}&ik-s=${T}`, true],
    ['the expiry twice', `/demo/a.jpg?ik-t=${E}&ik-t=${E}&ik-s=${T}`, true],
    ['the expiry on both sides', `/demo/a.jpg?ik-t=${E}&ik-s=${T}&ik-t=${E}`, true],
    ['the expiry a fraction', `/demo/a.jpg?ik-t=${E}.0&ik-s=${sign('a.jpg', `${E}.0`)}`, true],
    ['the expiry empty', `/demo/a.jpg?ik-t=&ik-s=${sign('a.jpg', '')}`, true],
    ['the expiry negative', `/demo/a.jpg?ik-t=-${E}&ik-s=${sign('a.jpg', `-${E}`)}`, true],
    ['an extra parameter behind', `/demo/a.jpg?ik-s=${S}&tr=w-1`, true],
    ['an extra parameter in front', `/demo/a.jpg?tr=w-1&ik-s=${S}`, true],
    ['a transformation in the path', `/demo/tr:w-1/a.jpg?ik-s=${S}`, true],
    ['another file', `/demo/b.jpg?ik-s=${S}`, true],
    ['another endpoint', `/other/a.jpg?ik-s=${S}`, true],
    ['an endpoint with the same beginning', `/demo2/a.jpg?ik-s=${S}`, true],
  ])('refuses %s', (_, target, present) => {
    expect(verify(target, at(NOW_SEC - 100))).toEqual({ valid: false, present, expiresAtSec: null })
  })

  it('refuses a transformation moved between path and query', () => {
    const moved = sign('a.jpg?tr=w-1')
    expect(verify(`/demo/a.jpg?tr=w-1&ik-s=${moved}`).valid).toBe(true)
    expect(verify(`/demo/tr:w-1/a.jpg?ik-s=${moved}`).valid).toBe(false)
  })

  it('cannot be made to read part of the path as time', () => {
    const signature = sign('a.jpg?v=12', E)
    expect(verify(`/demo/a.jpg?v=12&ik-t=${E}&ik-s=${signature}`, at(NOW_SEC)).valid).toBe(true)
    expect(verify(`/demo/a.jpg?v=1&ik-t=2${E}&ik-s=${signature}`, at(NOW_SEC)).valid).toBe(false)
  })

  it('accepts any of several keys while they are being rotated', () => {
    const target = `/demo/a.jpg?ik-s=${sign('a.jpg', undefined, 'old')}`
    expect(verify(target, { keys: ['new', 'old'] }).valid).toBe(true)
    expect(verify(target, { keys: ['new'] }).valid).toBe(false)
    expect(verify(target, { keys: [] }).valid).toBe(false)
  })

  it('serves an endpoint that is a whole origin', () => {
    expect(verify(`/a.jpg?ik-s=${S}`, { endpointPath: '' }).valid).toBe(true)
    expect(verify(`/a.jpg?ik-s=${S}`, { endpointPath: '/' }).valid).toBe(true)
  })

  it('accepts no target that it has not signed, and throws on none', () => {
    const word = fc.constantFrom(
      'ik-s=',
      'ik-t=',
      '&',
      '?',
      '/',
      '%',
      '%C3',
      '%69k-s=',
      S,
      T,
      E,
      'a.jpg',
      '/demo/',
    )
    const target = fc.array(fc.oneof(word, fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 12 })
    const signed = [
      `/demo/a.jpg?ik-s=${S}`,
      `/demo/a.jpg?ik-t=${E}&ik-s=${T}`,
      `/demo/a.jpg?ik-s=${T}&ik-t=${E}`,
    ]
    fc.assert(
      fc.property(target, (parts) => {
        const text = `/demo/${parts.join('')}`
        expect(verify(text, at(NOW_SEC)).valid).toBe(signed.includes(text))
      }),
      { numRuns: 2000 },
    )
  })

  it('stays quick on a long hostile target', () => {
    const target = `/demo/${'?ik-s=&%C3'.repeat(1600)}`
    expect(verify(target)).toEqual({ valid: false, present: true, expiresAtSec: null })
  })
})
