import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJsonMembers } from '../../../src/signing/json-members.ts'

describe('parseJsonMembers', () => {
  it('keeps the exact text of each value', () => {
    const text = ' { "a" : 1.50e1 , "b\\n":"x,}:\\"", "c":{ "d" : [1, {"e":2}] },"f":[],"g":null } '
    expect([...parseJsonMembers(text)!]).toEqual([
      ['a', '1.50e1'],
      ['b\n', '"x,}:\\""'],
      ['c', '{ "d" : [1, {"e":2}] }'],
      ['f', '[]'],
      ['g', 'null'],
    ])
    expect([...parseJsonMembers('{}')!]).toEqual([])
  })

  it.each(['', 'null', '1', '"x"', '[]', '{', '{"a":1,}', '{"a":1}{}'])('refuses %j', (text) => {
    expect(parseJsonMembers(text)).toBeUndefined()
  })

  it.each(['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '{"x":[{"a":1,"a":2}]}', '{"x":{"y":{},"y":[]}}'])(
    'refuses the repeated key in %j',
    (text) => {
      expect(parseJsonMembers(text)).toBeUndefined()
    },
  )

  it('allows one key in several objects, and strings that look like keys', () => {
    expect(parseJsonMembers('{"a":{"a":["a","a",{"a":"a"}]},"b":{"a":1}}')?.size).toBe(2)
  })

  it('limits the depth', () => {
    expect(parseJsonMembers('{"a":[[]]}', 3)?.size).toBe(1)
    expect(parseJsonMembers('{"a":[[[]]]}', 3)).toBeUndefined()
  })

  it('agrees with JSON.parse on every object', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 4 })), (value) => {
        const members = parseJsonMembers(JSON.stringify(value, null, 1))!
        expect([...members.keys()].sort()).toEqual(Object.keys(value).sort())
        for (const [name, text] of members)
          expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value))[name])
      }),
      { numRuns: 300 },
    )
  })
})
