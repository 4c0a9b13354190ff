import { randomBytes } from 'node:crypto'
import { describe, expect, it, test } from 'vitest'
import { createSealer, SEALING_KEY_PATTERN } from '../../../src/kernel/sealer.ts'

const [one, two] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')] as const
const sealer = createSealer({ current: one, previous: [] })

describe('a sealed secret', () => {
  test.each(['', 'private_x', '{"secretKey":"ä€😀"}', 'x'.repeat(100_000)])('is opened again: %#', (text) => {
    const sealed = sealer.seal(text, 'a/1')
    expect(sealed).toMatch(/^sealed:1:[0-9a-f]{8}:[A-Za-z0-9_-]+$/)
    if (text !== '') expect(sealed).not.toContain(text.slice(0, 20))
    expect(sealer.open(sealed, 'a/1')).toBe(text)
    expect(sealer.keyIdOf(sealed)).toBe(sealer.keyId)
  })

  it('is another one each time', () => {
    const texts = Array.from({ length: 100 }, () => sealer.seal('same', 'a/1'))
    expect(new Set(texts).size).toBe(100)
  })

  it('belongs to its place', () => {
    const sealed = sealer.seal('text', 'a/1')
    for (const place of ['a/2', 'a/', '']) {
      expect(() => sealer.open(sealed, place)).toThrow('was changed or is not in its place')
    }
  })

  it('cannot be changed or cut anywhere', () => {
    const sealed = sealer.seal('some text', 'a/1')
    const start = sealed.lastIndexOf(':') + 1
    for (let at = start; at < sealed.length; at += 1) {
      const bytes = Buffer.from(sealed.slice(start), 'base64url')
      const index = Math.floor(((at - start) / (sealed.length - start)) * bytes.length)
      bytes[index]! ^= 1
      const changed = sealed.slice(0, start) + bytes.toString('base64url')
      expect(() => sealer.open(changed, 'a/1'), changed).toThrow('was changed')
      expect(() => sealer.open(sealed.slice(0, at), 'a/1')).toThrow('was changed')
    }
    expect(() => sealer.open(`${sealed}AAAA`, 'a/1')).toThrow('was changed')
  })

  it('is opened with an earlier key, and not without it', () => {
    const sealed = sealer.seal('text', 'a/1')
    const rotated = createSealer({ current: two, previous: [one] })
    expect(rotated.open(sealed, 'a/1')).toBe('text')
    expect(rotated.keyIdOf(rotated.seal('text', 'a/1'))).not.toBe(sealer.keyId)
    const without = createSealer({ current: two, previous: [] })
    expect(without.knows(sealer.keyId!)).toBe(false)
    expect(() => without.open(sealed, 'a/1')).toThrow(
      `under a key that the settings do not have (${sealer.keyId}). Set TINTYPE_ENCRYPTION_KEY`,
    )
    expect(() => createSealer({ previous: [] }).open(sealed, 'a/1')).toThrow('TINTYPE_ENCRYPTION_KEY')
  })
})

test('without a key, and before there was one, text is as it is', () => {
  const none = createSealer({ previous: [one] })
  expect(none.keyId).toBeUndefined()
  expect(none.seal('private_a', 'a/1')).toBe('private_a')
  expect(none.open(sealer.seal('text', 'a/1'), 'a/1')).toBe('text')
  expect(sealer.open('private_a', 'a/1')).toBe('private_a')
  expect(sealer.keyIdOf('{"a":1}')).toBeUndefined()
})

test('a key can be written in several ways', () => {
  const bytes = randomBytes(32)
  const ways = (['base64', 'base64url', 'hex'] as const).map((encoding) => bytes.toString(encoding))
  for (const way of ways) expect(way).toMatch(new RegExp(SEALING_KEY_PATTERN))
  const ids = ways.map((current) => createSealer({ current, previous: [] }).keyId)
  expect(new Set(ids).size).toBe(1)
  for (const wrong of ['', 'short', 'x'.repeat(32), `${ways[2]}0`, `${ways[0]}=`]) {
    expect(wrong).not.toMatch(new RegExp(SEALING_KEY_PATTERN))
  }
})
