import { describe, expect, it } from 'vitest'
import { ownTarget, readUrlParameter } from '../../../src/http/own-url.ts'

describe('ownTarget', () => {
  const base = 'https://media.example.com'
  it.each<[string, string, string | undefined]>([
    [base, 'https://media.example.com/demo/a.jpg', '/demo/a.jpg'],
    [base, 'http://media.example.com/demo/a.jpg?tr=w-1&x=y', '/demo/a.jpg?tr=w-1&x=y'],
    [base, 'HTTPS://MEDIA.EXAMPLE.COM/demo/tr:w-200/a.jpg', '/demo/tr:w-200/a.jpg'],
    [base, 'https://media.example.com:443/demo/a.jpg', '/demo/a.jpg'],
    [base, 'https://media.example.com/demo/gr%C3%B6%C3%9Fe.jpg', '/demo/gr%C3%B6%C3%9Fe.jpg'],
    [base, 'https://media.example.com/demo/größe.jpg', '/demo/gr%C3%B6%C3%9Fe.jpg'],
    [base, 'https://media.example.com/demo/a.jpg#frag', '/demo/a.jpg'],
    [`${base}/cdn`, 'https://media.example.com/cdn/demo/a.jpg', '/demo/a.jpg'],
    [`${base}/cdn/`, 'https://media.example.com/cdn/demo/a.jpg', '/demo/a.jpg'],
    [`${base}/cdn`, 'https://media.example.com/demo/a.jpg', undefined],
    [base, 'https://media.example.com:8443/demo/a.jpg', undefined],
    [base, 'https://other.example.com/demo/a.jpg', undefined],
    [base, 'https://media.example.com.evil.com/demo/a.jpg', undefined],
    [base, 'https://media.example.com@evil.com/demo/a.jpg', undefined],
    [base, 'https://media.example.com/demo', undefined],
    [base, 'https://media.example.com/demo2/a.jpg', undefined],
    [base, 'https://media.example.com/demo/../v1/files', undefined],
    [base, 'ftp://media.example.com/demo/a.jpg', undefined],
    [base, 'javascript://media.example.com/demo/a.jpg', undefined],
    [base, '//media.example.com/demo/a.jpg', undefined],
    [base, '', undefined],
  ])('%s: %s', (baseUrl, url, target) => {
    expect(ownTarget(url, baseUrl, 'demo')).toBe(target)
  })
})

describe('readUrlParameter', () => {
  const url = 'https://h/demo/a.jpg'
  it.each<[string, string, string | undefined]>([
    ['encoded', `url=${encodeURIComponent(`${url}?tr=w-1&x=2`)}`, `${url}?tr=w-1&x=2`],
    ['encoded, with others', `a=1&url=${encodeURIComponent(url)}&b=2`, url],
    ['not encoded', `url=${url}`, url],
    ['not encoded, spilling over', `url=${url}?tr=w-1&ik-t=5&ik-s=ab`, `${url}?tr=w-1&ik-t=5&ik-s=ab`],
    ['not encoded, with another behind', `url=${url}&b=2`, url],
    [
      'escapes of its own are left alone',
      `url=https://h/demo/a%20b.jpg?x=%26`,
      'https://h/demo/a%20b.jpg?x=%26',
    ],
    ['half encoded, as axios does', 'url=https:%2F%2Fh%2Fdemo%2Fa.jpg%3Ftr%3Dw-1', `${url}?tr=w-1`],
    ['with + for a space', 'url=https%3A%2F%2Fh%2Fdemo%2Fa+b.jpg', 'https://h/demo/a b.jpg'],
    ['the first of two', `url=${encodeURIComponent(url)}&url=x`, url],
    ['broken escapes', 'url=%zz', '%zz'],
    ['a name that only ends so', `curl=${url}`, undefined],
    ['none', 'a=1', undefined],
    ['empty', 'url=', ''],
  ])('%s', (_, query, expected) => {
    expect(readUrlParameter(`/v1/metadata?${query}`)).toBe(expected)
  })

  it('is undefined without a query', () => {
    expect(readUrlParameter('/v1/metadata')).toBeUndefined()
  })
})
