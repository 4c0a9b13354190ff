import { describe, expect, test } from 'vitest'
import {
  attachment,
  cacheControl,
  contentHeaders,
  contentTypeOf,
  errorHeader,
} from '../../../src/delivery/headers.ts'
import { accepts, chooseFormat } from '../../../src/delivery/negotiate.ts'
import { parseRange } from '../../../src/http/send.ts'
import { outputOf, parseTransformation } from '../../../src/transform/transform.ts'

describe('headers of content', () => {
  const headers = (contentType: string, download = false) =>
    contentHeaders({ contentType, fileName: 'a.bin', download })

  test.each([
    'image/jpeg',
    'video/mp4',
    'audio/mpeg',
    'text/plain; charset=utf-8',
    'text/css',
    'application/pdf',
    'font/woff2',
  ])('%s is shown, in a sandbox', (type) => {
    expect(headers(type)['content-disposition']).toBeUndefined()
    expect(headers(type)['content-security-policy']).toContain('sandbox')
    expect(headers(type)['x-content-type-options']).toBe('nosniff')
  })
  test.each([
    'text/html',
    'application/xhtml+xml',
    'text/xml',
    'application/octet-stream',
    'application/javascript',
    '',
  ])('%s is a download', (type) => {
    expect(headers(type)['content-disposition']).toBe('attachment; filename="a.bin"')
    expect(headers(type)['content-security-policy']).toBe("default-src 'none'; sandbox")
  })
  test('SVG is shown without scripts', () => {
    expect(headers('image/svg+xml')['content-disposition']).toBeUndefined()
    expect(headers('image/svg+xml')['content-security-policy']).not.toContain('script')
    expect(headers('image/svg+xml')['content-security-policy']).toContain('sandbox')
  })
  test.each([
    ['a.jpg', 'attachment; filename="a.jpg"'],
    ['a "b".jpg', `attachment; filename="a _b_.jpg"; filename*=UTF-8''a%20%22b%22.jpg`],
    ["naïve (1)'.jpg", `attachment; filename="na_ve (1)'.jpg"; filename*=UTF-8''na%C3%AFve%20%281%29%27.jpg`],
    [
      'a\r\nSet-Cookie: x',
      `attachment; filename="a__Set-Cookie: x"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x`,
    ],
    ['\ud800.jpg', `attachment; filename="_.jpg"; filename*=UTF-8''%EF%BF%BD.jpg`],
  ])('%j', (name, expected) => {
    expect(attachment(name)).toBe(expected)
  })
  test.each([
    ['text/html', 'text/html; charset=utf-8'],
    ['application/json', 'application/json; charset=utf-8'],
    ['image/png', 'image/png'],
    // These say in their first bytes how they are encoded, and a charset would overrule that.
    ['image/svg+xml', 'image/svg+xml'],
    ['text/xml', 'text/xml'],
    ['application/xml', 'application/xml'],
  ])('text is UTF-8, XML speaks for itself: %s', (mime, contentType) => {
    expect(contentTypeOf(mime)).toBe(contentType)
  })
  test('signed answers are private and end with the signature', () => {
    const base = { maxAgeSec: 3600, nowMs: 1_000_000, shared: false }
    expect(cacheControl({ ...base, shared: true, expiresAtSec: null })).toBe('public, max-age=3600')
    expect(cacheControl({ ...base, expiresAtSec: 1060 })).toBe('private, max-age=60')
    expect(cacheControl({ ...base, expiresAtSec: 900 })).toBe('private, max-age=0')
    expect(cacheControl({ ...base, expiresAtSec: 99_999 })).toBe('private, max-age=3600')
  })
  test('ik-error is one ASCII line', () => {
    expect(errorHeader('not-found', 'Not Found')).toBe('ENOENT - Not Found')
    expect(errorHeader('bad-request', 'é\r\nX: 1')).toBe('UNIDENTIFIED - ???X: 1')
  })
})

describe('formats', () => {
  const choose = (text: string, accept: string, extra: object = {}) =>
    chooseFormat({
      request: outputOf(parseTransformation(text)),
      sourceFormat: 'jpg',
      alpha: false,
      accept,
      defaultFormat: 'auto',
      offerAvif: false,
      ...extra,
    }).format
  const modern = 'image/avif,image/webp,image/apng,*/*;q=0.8'

  test.each([
    ['w-1', modern, {}, 'webp'],
    ['w-1', 'image/*,*/*', {}, 'jpg'],
    ['w-1', '*/*', { alpha: true }, 'png'],
    ['w-1', '*/*', { sourceFormat: 'png' }, 'jpg'],
    ['w-1', '*/*', { sourceFormat: 'gif' }, 'gif'],
    ['w-1', modern, { offerAvif: true }, 'avif'],
    ['w-1,cp-true', modern, { offerAvif: true }, 'webp'],
    ['w-1,e-usm-1-1-1-1', modern, { offerAvif: true }, 'webp'],
    ['w-1', modern, { offerAvif: true, sourceFormat: 'heic' }, 'webp'],
    ['w-1', 'image/webp;q=0', {}, 'jpg'],
    ['w-1,f-auto', modern, { defaultFormat: 'orig' }, 'webp'],
    ['w-1', modern, { defaultFormat: 'orig' }, 'jpg'],
    ['w-1,f-orig', modern, { sourceFormat: 'png' }, 'png'],
    ['w-1,f-orig', modern, { sourceFormat: 'tiff', alpha: true }, 'png'],
    ['w-1,f-avif', '', {}, 'avif'],
    ['f-jpeg', modern, {}, 'jpg'],
    ['f-gif', modern, { sourceFormat: 'gif' }, 'gif'],
  ])('%s for %s %o is %s', (text, accept, extra, expected) => {
    expect(choose(text, accept, extra)).toBe(expected)
  })
  test('what cannot be', () => {
    expect(() => choose('f-gif', modern)).toThrow('f-gif')
    expect(() => choose('f-mp4', modern)).toThrow('f-mp4')
  })
  test('Accept is read by type and quality', () => {
    expect(accepts('text/html, IMAGE/WebP ;q=0.5', 'image/webp')).toBe(true)
    expect(accepts('image/webp;q=0.000', 'image/webp')).toBe(false)
    expect(accepts('', 'image/webp')).toBe(false)
  })
})

describe('parseRange', () => {
  test.each([
    ['bytes=0-99', { start: 0, end: 99 }],
    ['bytes=900-', { start: 900, end: 999 }],
    ['bytes=-100', { start: 900, end: 999 }],
    ['bytes=-5000', { start: 0, end: 999 }],
    ['bytes=0-99999', { start: 0, end: 999 }],
    ['bytes=1000-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-2', null],
    ['bytes=0--1', null],
    ['bytes=0-1,5-6', null],
    ['bytes=-', null],
    ['items=0-1', null],
    ['bytes=99999999999999999999-', null],
  ])('%s', (text, expected) => {
    expect(parseRange(text, 1000)).toEqual(expected)
  })
})
