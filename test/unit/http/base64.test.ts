import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createBase64Decoder } from '../../../src/http/base64.ts'

function decode(...pieces: string[]): Buffer {
  const decoder = createBase64Decoder('not base64')
  const parts = pieces.map((piece) => decoder.decode(Buffer.from(piece, 'latin1')))
  return Buffer.concat([...parts, decoder.end()])
}

describe('base64 decoder', () => {
  it('gives the same bytes however the text is cut, wrapped, padded or spelled', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 7 }), (bytes, size) => {
        const expected = Buffer.from(bytes)
        const standard = expected.toString('base64')
        const wrapped = standard.replace(/.{10}/g, '$&\r\n')
        for (const text of [standard, wrapped, standard.replace(/=+$/, ''), expected.toString('base64url')]) {
          const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
          expect(decode(...pieces).equals(expected)).toBe(true)
        }
      }),
    )
  })

  it.each(['abc!', 'ab c', 'a', 'abcde', 'ab=c', '=abc', 'YQ===', 'é', 'YWJj\u0000'])('refuses %j', (text) =>
    expect(() => decode(text)).toThrow('not base64'),
  )

  it('refuses text after the padding, also in a later piece', () => {
    expect(() => decode('YQ==', 'YQ')).toThrow('not base64')
    expect(() => decode('YQ==', '=YQ')).toThrow('not base64')
    expect(() => decode('YQ=', '==')).toThrow('not base64')
    expect(decode('YQ=', '\r\n', '=').toString()).toBe('a')
  })
})
