import { describe, expect, test } from 'vitest'
import { parseAddress } from '../../../src/delivery/address.ts'
import { TintypeError } from '../../../src/kernel/errors.ts'

describe('parseAddress', () => {
  test.each([
    ['/demo/a.jpg', '/a.jpg', null],
    ['/demo/x/y/a.jpg', '/x/y/a.jpg', null],
    ['/demo//x///a.jpg', '/x/a.jpg', null],
    ['/demo/tr:w-200/a.jpg', '/a.jpg', 'w-200'],
    ['/demo/tr:w-200,h-2:rt-90/x/a.jpg', '/x/a.jpg', 'w-200,h-2:rt-90'],
    ['/demo/tr%3Aw-200/a.jpg', '/a.jpg', 'w-200'],
    ['/demo/a.jpg?tr=w-200', '/a.jpg', 'w-200'],
    ['/demo/a.jpg?tr=w-200%2Ch-5', '/a.jpg', 'w-200%2Ch-5'],
    ['/demo/a.jpg?tr=l-text,i-a+b%20c,l-end', '/a.jpg', 'l-text,i-a%20b%20c,l-end'],
    ['/demo/tr:w-1/a.jpg?tr=h-2', '/a.jpg', 'w-1:h-2'],
    ['/demo/a.jpg?x=1&tr=w-5&y=2', '/a.jpg', 'w-5'],
    ['/demo/a.jpg?tr=', '/a.jpg', null],
    ['/demo/tr:/a.jpg', '/a.jpg', null],
    ['/demo/x/tr:w-1/a.jpg', '/x/tr:w-1/a.jpg', null],
    ['/demo/%E5%86%99%E7%9C%9F.jpg', '/写真.jpg', null],
    // NFD becomes NFC.
    ['/demo/e%CC%81.jpg', '/é.jpg', null],
    ['/demo/a%2Fb.jpg', '/a/b.jpg', null],
    ['/demo/%252e%252e/a.jpg', '/%2e%2e/a.jpg', null],
    ['/demo/ik-seo/x/photo/a-nice-view.jpg', '/x/photo.jpg', null],
    ['/demo/tr:w-5/ik-seo/photo/a-nice-view.jpg', '/photo.jpg', 'w-5'],
    ['/demo/ik-seo/tr:w-5/x/photo/a-nice-view.jpg', '/x/photo.jpg', 'w-5'],
  ])('%s', (target, path, transformation) => {
    expect(parseAddress(target, '/demo')).toMatchObject({ path, transformation })
  })

  test.each([
    ['/other/a.jpg', 'not-found'],
    ['/demo', 'not-found'],
    ['/demo/', 'not-found'],
    ['/demo/tr:w-5', 'not-found'],
    ['/demo/../a.jpg', 'not-found'],
    ['/demo/%2e%2e/a.jpg', 'not-found'],
    ['/demo/..%2fa.jpg', 'not-found'],
    ['/demo/./a.jpg', 'not-found'],
    ['/demo/a%00.jpg', 'bad-request'],
    ['/demo/a%0d%0a.jpg', 'bad-request'],
    ['/demo/%ff.jpg', 'bad-request'],
    ['/demo/%c0%af.jpg', 'bad-request'],
    ['/demo/%zz.jpg', 'bad-request'],
    [`/demo/${'a'.repeat(30_000)}`, 'bad-request'],
  ])('%s is refused', (target, kind) => {
    expect(() => parseAddress(target, '/demo')).toThrow(TintypeError)
    try {
      parseAddress(target, '/demo')
    } catch (error) {
      expect((error as TintypeError).kind).toBe(kind)
    }
  })

  test.each([
    ['/demo/https://example.com/a/b.jpg', 'https://example.com/a/b.jpg', null],
    ['/demo/https:/example.com/a/b.jpg', 'https://example.com/a/b.jpg', null],
    ['/demo/HTTP://example.com/a%20b.jpg', 'http://example.com/a%20b.jpg', null],
    ['/demo/tr:w-5/https://example.com/a.jpg', 'https://example.com/a.jpg', 'w-5'],
    ['/demo/https%3A%2F%2Fexample.com%2Fa%2520b.jpg%3Fx=1', 'https://example.com/a%20b.jpg?x=1', null],
    ['/demo/https://example.com/a.jpg?b=1&tr=w-5&ik-s=x&c=%20', 'https://example.com/a.jpg?b=1&c=%20', 'w-5'],
    ['/demo/https%3A%2F%2Fexample.com%2Fa.jpg?b=1', 'https://example.com/a.jpg', null],
  ])('%s is a URL', (target, url, transformation) => {
    expect(parseAddress(target, '/demo')).toMatchObject({ path: '', url, transformation })
  })
  test.each(['/demo/https', '/demo/https:', '/demo/x/https://example.com/a.jpg', '/demo/https:///a.jpg'])(
    '%s is a path',
    (target) => {
      expect(parseAddress(target, '/demo').url).toBeNull()
    },
  )

  test('endings, also several', () => {
    const suffixOf = (path: string) => parseAddress(`/demo/${path}`, '/demo').suffix
    expect(suffixOf('a.webm/ik-video.mp4')).toBe('ik-video.mp4')
    expect(suffixOf('a.webm/ik-video.mp4/ik-thumbnail.jpg')).toBe('ik-video.mp4/ik-thumbnail.jpg')
    expect(suffixOf('https://example.com/a.gif/ik-thumbnail.jpg')).toBe('ik-thumbnail.jpg')
    expect(suffixOf('a.mp4/ik-master.m3u8?tr=sr-240_360')).toBe('ik-master.m3u8')
  })

  test('parameters of ours', () => {
    expect(
      parseAddress(
        '/demo/a.jpg?ik-attachment=true&ik-attachment-filename=my%20file&ik-obj-version=abc',
        '/demo',
      ),
    ).toMatchObject({ attachment: true, attachmentName: 'my file', versionKey: 'abc' })
    expect(parseAddress('/demo/a.jpg?ik-attachment=false', '/demo').attachment).toBe(false)
    expect(parseAddress('/demo/a.mp4/ik-thumbnail.jpg', '/demo')).toMatchObject({
      path: '/a.mp4',
      suffix: 'ik-thumbnail.jpg',
    })
    expect(parseAddress('/demo/ik-thumbnail.jpg', '/demo').suffix).toBeNull()
  })
})
