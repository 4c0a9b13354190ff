import fc from 'fast-check'
import type { Condition } from '../../src/query/ast.ts'
import { join, negate } from '../../src/query/ast.ts'
import type { FieldDefinition, Operator } from '../../src/query/fields.ts'
import { parseLiteral } from '../../src/query/literals.ts'
import { type Area, searchFields, splitWords, type Value } from '../../src/query/query.ts'
import type { Asset } from './search-library.ts'
import { CUSTOM_FIELDS, POOLS, SEARCH_NOW } from './search-library.ts'

/** Any condition of the search language, with values that occur in the library, or nearly do. */
export function anyCondition(assets: Asset[]): fc.Arbitrary<Condition> {
  const fields = [...searchFields({ customFields: CUSTOM_FIELDS, embeddedFields: [] }).values()]
  const comparison = fc.oneof(...fields.map((definition) => anyComparison(definition, assets)))
  return fc.letrec<{ condition: Condition }>((tie) => ({
    condition: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 2, arbitrary: comparison },
      {
        weight: 2,
        arbitrary: fc
          .array(tie('condition'), { minLength: 2, maxLength: 4 })
          .map((terms) => join('and', terms)),
      },
      {
        weight: 2,
        arbitrary: fc
          .array(tie('condition'), { minLength: 2, maxLength: 4 })
          .map((terms) => join('or', terms)),
      },
      { weight: 1, arbitrary: tie('condition').map(negate) },
    ),
  })).condition
}

function anyComparison(definition: FieldDefinition, assets: Asset[]): fc.Arbitrary<Condition> {
  const field = fc.constant(definition.ref)
  const negated = fc.boolean()
  const value = definition.ref.type === 'location' ? fc.constant<Value>(NONE) : anyValue(definition, assets)
  const texts = fc.constantFrom(...textsOf(definition, assets))
  const build: Record<Operator, () => fc.Arbitrary<Condition>> = {
    '=': () =>
      definition.ref.type === 'location'
        ? fc.record({ kind: fc.constant('area'), field, negated, area: anyArea(assets) })
        : fc.record({ kind: fc.constant('compare'), field, op: fc.constantFrom('=', '!='), value }),
    order: () =>
      fc.record({
        kind: fc.constant('compare'),
        field,
        op: fc.constantFrom('<', '<=', '>', '>='),
        value: value.filter(({ type }) => type === 'number' || type === 'date'),
      }),
    ':': () =>
      definition.ref.type === 'path'
        ? fc.record({ kind: fc.constant('within'), field, path: fc.constantFrom(...POOLS.folders, '/none') })
        : fc.record({ kind: fc.constant('prefix'), field, prefix: anyPrefix(texts) }),
    IN: () =>
      fc.record({
        kind: fc.constant('in'),
        field,
        negated,
        values: fc.uniqueArray(value, { minLength: 1, maxLength: 4, selector: JSON.stringify }),
      }),
    HAS: () => fc.record({ kind: fc.constant('has'), field, negated, words: anyWords(texts) }),
    EXISTS: () => fc.record({ kind: fc.constant('exists'), field, negated }),
  }
  return fc.oneof(...definition.operators.map((operator) => build[operator]()))
}

const NONE: Value = { type: 'text', text: '' }

function anyPrefix(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(texts, fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 195, max: 260 })))
    .map(([text, length]) => Array.from(text).slice(0, length).join(''))
    .filter((prefix) => prefix !== '')
}

function anyWords(texts: fc.Arbitrary<string>): fc.Arbitrary<string[]> {
  return fc
    .tuple(texts, fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 9 }))
    .map(([text, count, length]) => {
      const words = splitWords(text).slice(0, count)
      const last = words.pop()
      return last === undefined ? [] : [...words, Array.from(last).slice(0, length).join('')]
    })
    .filter((words) => words.length > 0)
}

/** Texts like those that the field holds. */
function textsOf({ ref }: FieldDefinition, assets: Asset[]): string[] {
  if (ref.scope === 'embeddedMetadata') return ['red', 'Dress', '500', 'été', 'none']
  if (ref.scope === 'customMetadata') return [...POOLS.brands, 'summer', '500', 'line\nbreak', 'none']
  switch (ref.name) {
    case 'id':
      return [...assets.slice(0, 30).map(({ id }) => id), 'none']
    case 'name':
      return [...POOLS.names, ...assets.filter(({ type }) => type === 'folder').map(({ name }) => name)]
    default:
      return POOLS.tags
  }
}

function anyValue(definition: FieldDefinition, assets: Asset[]): fc.Arbitrary<Value> {
  const { ref, allowed } = definition
  const date = (text: string) =>
    parseLiteral(text, {
      quoted: true,
      definition: { ...definition, ref: { ...ref, type: 'date' } },
      nowMs: SEARCH_NOW,
    })!
  const text = (texts: readonly string[]) =>
    fc.constantFrom(...texts).map((each): Value => ({ type: 'text', text: each }))
  const number = (numbers: readonly number[]) =>
    fc.constantFrom(...numbers).map((each): Value => ({ type: 'number', number: each }))
  const boolean = fc.boolean().map((each): Value => ({ type: 'boolean', boolean: each }))
  switch (ref.type) {
    case 'token':
      return text(allowed ?? ['jpg', 'png', 'webp', 'gif', 'pdf', 'mp4', 'txt', 'svg'])
    case 'path':
      return text([...POOLS.folders, '/none'])
    case 'text':
    case 'list':
      return text(textsOf(definition, assets))
    case 'select':
    case 'mixed-list':
      return fc.oneof(text(['summer', 'winter', '500', 'true', 'none']), number([500, 250.5, 0, 1]), boolean)
    case 'number':
      if (ref.scope === 'customMetadata') return number([...POOLS.numbers, 50, 0.3])
      return number([0, 1, 99, 99.5, 100, 480, 640, 1920, -1, 1e300, 639.999])
    case 'size':
      return number([0, 1, 1023, 1024, 1025, 2 ** 20, 5_000_000_000_123, Number.MAX_SAFE_INTEGER])
    case 'date':
      return fc.oneof(
        fc
          .constantFrom(...POOLS.dates, '7d', '1h', '2w', '4m', '1y', '0h', '2026-01-31T00:00:00.500Z')
          .map(date),
        fc.constantFrom(...assets).map(({ created }) => date(new Date(created).toISOString().slice(0, 19))),
      )
    case 'boolean':
      return boolean
    case 'location':
      throw new Error('a location is no value')
  }
}

function anyArea(assets: Asset[]): fc.Arbitrary<Area> {
  const known = assets.flatMap(({ location }) => (location ? [location] : []))
  const near = fc
    .tuple(fc.constantFrom(...known), fc.constantFrom(-1, -0.001, 0, 0, 0.5), fc.constantFrom(-1, 0, 0.25))
    .map(([{ latitude, longitude }, north, east]) => ({
      latitude: Math.max(-90, Math.min(90, latitude + north)),
      longitude: Math.max(-180, Math.min(180, longitude + east)),
    }))
  return fc.oneof(
    fc.record({
      kind: fc.constant('circle' as const),
      center: near,
      radiusM: fc.constantFrom(1, 1000, 55_555, 200_000, 5_000_000, 20_050_000),
    }),
    fc.tuple(near, near).map(([a, b]) => ({
      kind: 'box' as const,
      south: Math.min(a.latitude, b.latitude),
      west: Math.min(a.longitude, b.longitude),
      north: Math.max(a.latitude, b.latitude),
      east: Math.max(a.longitude, b.longitude),
    })),
    fc.array(near, { minLength: 4, maxLength: 4 }).map((corners) => ({ kind: 'polygon' as const, corners })),
  )
}
