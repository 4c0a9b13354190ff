import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TintypeError } from '../../../src/kernel/errors.ts'
import { type Condition, type FieldRef, join, negate, type Value } from '../../../src/query/ast.ts'
import type { FieldDefinition, Operator } from '../../../src/query/fields.ts'
import {
  type CustomField,
  checksFields,
  comparisons,
  evaluateChecks,
  evaluateSearch,
  parseChecks,
  parseSearch,
  printChecks,
  printSearch,
  type SearchDocument,
  searchFields,
} from '../../../src/query/query.ts'
import { parseDate } from '../../../src/query/values.ts'
import { splitWords } from '../../../src/query/words.ts'
import { anyArea } from './any-area.ts'

const NOW = Date.UTC(2026, 4, 31, 8, 30)
const customFields: CustomField[] = [
  { name: 'text', type: 'Text' },
  { name: 'number', type: 'Number' },
  { name: 'date', type: 'Date' },
  { name: 'flag', type: 'Boolean' },
  { name: 'choice', type: 'SingleSelect' },
  { name: 'choices', type: 'MultiSelect' },
  { name: 'a "b" \\ c.d\n', type: 'Text' },
]
const options = { nowMs: NOW, customFields }

// Values

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('AND', 'a', "'", '"', '\\'),
)
const filledText = anyText.filter((text) => text !== '')
const number = fc
  .oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.double({ min: 0, max: 10, noNaN: true }),
  )
  .map((value) => value + 0)
const ago = fc
  .tuple(fc.integer({ min: 0, max: 400 }), fc.constantFrom('h', 'd', 'w', 'm', 'y'))
  .map(([count, unit]) => `${count}${unit}`)
const isoDate = fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
const date = fc
  .oneof(
    ago,
    isoDate.map((value) => value.toISOString()),
    isoDate.map((value) => value.toISOString().slice(0, 19)),
    isoDate.map((value) => value.toISOString().slice(0, 10)),
  )
  .map((text) => parseDate(text, NOW)!)

function anyValue({ ref, allowed }: FieldDefinition): fc.Arbitrary<Value> {
  const texts = (text: fc.Arbitrary<string>) => text.map((value): Value => ({ type: 'text', text: value }))
  const numbers = number.map((value): Value => ({ type: 'number', number: value }))
  const booleans = fc.boolean().map((value): Value => ({ type: 'boolean', boolean: value }))
  switch (ref.type) {
    case 'text':
    case 'list':
      return texts(
        ref.name === 'name' || ref.name === 'fileName'
          ? anyText.map((text) => text.normalize('NFC'))
          : anyText,
      )
    case 'token':
      return texts(
        allowed ? fc.constantFrom(...allowed) : fc.constantFrom('jpg', 'png', 'image/png', 'h264', ''),
      )
    case 'path':
      return texts(anyPath)
    case 'select':
    case 'mixed-list':
      return fc.oneof(texts(anyText), numbers, booleans)
    case 'number':
      return numbers
    case 'size':
      return fc.maxSafeNat().map((value): Value => ({ type: 'number', number: value }))
    case 'date':
      return date
    case 'boolean':
      return booleans
    case 'location':
      throw new Error('a location is no value')
  }
}

const anyPath = fc
  .array(
    filledText.map((text) => text.normalize('NFC').replaceAll('/', '_')),
    { maxLength: 3 },
  )
  .map((names) => `/${names.join('/')}`)
const anyWords = fc
  .array(anyText)
  .map((texts) => splitWords(texts.join(' ')))
  .filter((words) => words.length > 0)

// Conditions

function anyComparison(definition: FieldDefinition, hasMeansElement: boolean): fc.Arbitrary<Condition> {
  const field: FieldRef = definition.ref
  const negated = fc.boolean()
  const build: Record<Operator, () => fc.Arbitrary<Condition>> = {
    '=': () =>
      field.type === 'location'
        ? fc.record({ kind: fc.constant('area'), field: fc.constant(field), negated, area: anyArea })
        : fc.record({
            kind: fc.constant('compare'),
            field: fc.constant(field),
            op: fc.constantFrom('=', '!='),
            value: anyValue(definition),
          }),
    order: () =>
      fc.record({
        kind: fc.constant('compare'),
        field: fc.constant(field),
        op: fc.constantFrom('<', '<=', '>', '>='),
        value: anyValue(definition).filter(({ type }) => type === 'number' || type === 'date'),
      }),
    ':': () => {
      if (field.type === 'path') {
        return fc.record({ kind: fc.constant('within'), field: fc.constant(field), path: anyPath })
      }
      const prefix = field.type === 'token' ? fc.constantFrom('image', 'h2') : filledText
      return fc.record({
        kind: fc.constant('prefix'),
        field: fc.constant(field),
        prefix: prefix.map((text) => text.normalize('NFC')).filter((text) => text !== ''),
      })
    },
    IN: () =>
      fc.record({
        kind: fc.constant('in'),
        field: fc.constant(field),
        negated,
        values: fc.uniqueArray(anyValue(definition), {
          minLength: 1,
          maxLength: 4,
          selector: JSON.stringify,
        }),
      }),
    HAS: () =>
      hasMeansElement
        ? build.IN()
        : fc.record({ kind: fc.constant('has'), field: fc.constant(field), negated, words: anyWords }),
    EXISTS: () => fc.record({ kind: fc.constant('exists'), field: fc.constant(field), negated }),
  }
  const operators = definition.operators.filter((operator) => !(operator === ':' && field.type === 'date'))
  return fc.oneof(...operators.map((operator) => build[operator]()))
}

function anyCondition(
  fields: Map<string, FieldDefinition>,
  hasMeansElement: boolean,
): fc.Arbitrary<Condition> {
  const comparison = fc.oneof(
    ...[...fields.values()].map((definition) => anyComparison(definition, hasMeansElement)),
  )
  return fc.letrec<{ condition: Condition }>((tie) => ({
    condition: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      comparison,
      fc.array(tie('condition'), { minLength: 2, maxLength: 3 }).map((terms) => join('and', terms)),
      fc.array(tie('condition'), { minLength: 2, maxLength: 3 }).map((terms) => join('or', terms)),
      tie('condition').map(negate),
    ),
  })).condition
}

const searchTable = searchFields({ customFields, embeddedFields: [] })
const anySearch = anyCondition(searchTable, false)
const anyChecks = anyCondition(checksFields({ customFields }), true)
const limits = { maxBytes: 1e6, maxDepth: 100 }

describe('print and parse are inverse', () => {
  test('searches', () => {
    fc.assert(
      fc.property(anySearch, (condition) => {
        const text = printSearch({ condition, assetTypes: [] })
        expect(parseSearch(text, { ...options, limits }).condition).toEqual(condition)
      }),
      { numRuns: 500 },
    )
  })

  test('checks', () => {
    fc.assert(
      fc.property(anyChecks, (condition) => {
        expect(parseChecks(printChecks({ condition }), { ...options, limits })).toEqual({ condition })
      }),
      { numRuns: 500 },
    )
  })
})

// Evaluation

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const shortText = fc.constantFrom('a', 'b', 'red dress', 'A', '', '1')
const anyDocument: fc.Arbitrary<SearchDocument> = fc.record({
  type: fc.constantFrom('file', 'file-version', 'folder'),
  id: shortText,
  name: shortText,
  folderPath: fc.constantFrom('/', '/a', '/a/b'),
  createdAtMs: fc.integer({ min: NOW - 1e10, max: NOW }),
  updatedAtMs: fc.integer({ min: NOW - 1e10, max: NOW }),
  fileType: fc.constantFrom('image', 'non-image'),
  tags: fc.option(fc.array(shortText, { maxLength: 3 })),
  aiTags: fc.option(fc.array(fc.record({ name: shortText }), { maxLength: 2 })),
  widthPx: fc.option(fc.nat(10)),
  heightPx: fc.option(fc.nat(10)),
  sizeBytes: fc.nat(10),
  format: fc.constantFrom('jpg', 'png', ''),
  isPrivate: fc.boolean(),
  isPublished: fc.boolean(),
  hasAlpha: fc.option(fc.boolean()),
  customMetadata: fc.dictionary(
    fc.constantFrom('text', 'number', 'choice', 'choices', 'date'),
    fc.anything(),
  ),
  embeddedMetadata: fc.dictionary(fc.constantFrom('Keywords', 'DateTimeOriginal'), fc.anything()),
  location: maybe(fc.record({ latitude: fc.constant(1), longitude: fc.constant(1) })),
})

describe('evaluation', () => {
  const all = { assetTypes: ['file', 'file-version', 'folder'] } as const
  const holds = (condition: Condition, document: SearchDocument) =>
    evaluateSearch({ condition, assetTypes: [...all.assetTypes] }, document)

  test('never throws, and NOT, AND and OR are those of logic', () => {
    fc.assert(
      fc.property(anySearch, anySearch, anyDocument, (a, b, document) => {
        const [isA, isB] = [holds(a, document), holds(b, document)]
        expect(holds(negate(a), document)).toBe(!isA)
        expect(holds(join('and', [a, b]), document)).toBe(isA && isB)
        expect(holds(join('or', [a, b]), document)).toBe(isA || isB)
      }),
      { numRuns: 500 },
    )
  })

  test('a negated comparison is the complement among the assets that have the field', () => {
    fc.assert(
      fc.property(anySearch, anyDocument, (condition, document) => {
        for (const comparison of comparisons(condition)) {
          const opposite: Condition | undefined =
            comparison.kind === 'compare'
              ? comparison.op === '=' || comparison.op === '!='
                ? { ...comparison, op: comparison.op === '=' ? '!=' : '=' }
                : undefined
              : 'negated' in comparison
                ? { ...comparison, negated: !comparison.negated }
                : undefined
          if (!opposite) continue
          const exists = holds({ kind: 'exists', field: comparison.field, negated: false }, document)
          const missing = holds({ kind: 'exists', field: comparison.field, negated: true }, document)
          const truths = [holds(comparison, document), holds(opposite, document)]
          expect(truths.filter(Boolean)).toHaveLength(exists || missing ? 1 : 0)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('checks never throw, whatever the upload is like', () => {
    fc.assert(
      fc.property(anyChecks, fc.object(), (condition, object) => {
        const subject = { request: object, file: object, mediaMetadata: object }
        expect(typeof evaluateChecks({ condition }, subject as never)).toBe('boolean')
      }),
    )
  })
})

// Hostile text

const fragment = fc.oneof(
  fc.constantFrom(
    ...['name', 'tags', 'size', 'createdAt', '"customMetadata.choice"', "'file.size'", '"request.tags"'],
    ...['=', ':', '<', '<=', '>', '>=', 'IN', 'NOT', 'HAS', 'EXISTS', 'AND', 'OR', '(', ')', '[', ']', ','],
    ...[
      '"a"',
      "'b'",
      '1',
      '1mb',
      '7d',
      'true',
      '2020-01-01',
      '"40,100 5km"',
      '"',
      "'",
      '\\',
      '\\u12',
      '\u0000',
    ],
    ...['%', '_', '--', ';', '/*', '$1', '?', '\u202e', '\ud800', '𝒜', 'constructor', '__proto__'],
  ),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.array(fragment, { maxLength: 40 }).map((parts) => parts.join(' ')),
  fc.array(fragment, { maxLength: 40 }).map((parts) => parts.join('')),
)

describe('hostile texts', () => {
  test('give a query that prints and parses, or a TintypeError', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        for (const [parse, print] of [
          [parseSearch, printSearch],
          [parseChecks, printChecks],
        ] as const) {
          let query: ReturnType<typeof parseSearch>
          try {
            query = parse(text, options) as never
          } catch (error) {
            expect(error).toBeInstanceOf(TintypeError)
            expect((error as TintypeError).kind).toBe('bad-request')
            expect((error as TintypeError).message.length).toBeLessThan(1000)
            continue
          }
          expect(parse(print(query), { ...options, limits })).toEqual(query)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test.each([
    ['parentheses', '('],
    ['negations', 'NOT '],
    ['quotes', '"'],
    ['escaped quotes', '\\"'],
    ['brackets', '['],
    ['commas', ','],
    ['digits', '1'],
    ['dots', '1.'],
    ['words', 'a '],
    ['minus signs', '-'],
    ['spaces', ' '],
    ['list starts', 'tags IN ['],
    ['values', '1,'],
    ['joined conditions', 'width=1 AND '],
    ['marks', 'e\u0301'],
  ])('many %s are refused, alone and as a value', (_, unit) => {
    const many = unit.repeat(Math.floor(8000 / unit.length))
    for (const text of [
      many,
      `width = ${many}`,
      `size = "${many}"`,
      `createdAt > '${many}'`,
      `width IN [${many}`,
    ]) {
      expect(() => parseSearch(text, options)).toThrow(TintypeError)
    }
  })
})
