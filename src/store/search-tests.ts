import { type RawBuilder, sql } from 'kysely'
import { boundsOf, type Comparison, type Condition, type FieldRef, type Value } from '../query/query.ts'
import type { Dialect } from './engine.ts'
import { liesIn } from './search-area.ts'
import {
  type ColumnOf,
  type ColumnTest,
  combine,
  joined,
  negate,
  type Predicate,
  type SideTest,
  type Source,
} from './search-predicate.ts'
import { HEAD_LENGTH, indexedWord, splitText, storable } from './search-rows.ts'

/**
 * What a condition says of the rows of a source. Negations are moved down to the tests, where a missing value is
 * decided; so the tests alone must be two-valued, whatever stands above them.
 */
export function predicateOf(condition: Condition, source: Source, dialect: Dialect): Predicate {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return combine(
        condition.kind,
        condition.terms.map((term) => predicateOf(term, source, dialect)),
      )
    case 'not':
      return negate(predicateOf(condition.term, source, dialect))
    default: {
      const plain = testOf(condition, source, dialect)
      return combine('and', [applies(condition.field, source), isNegated(condition) ? negate(plain) : plain])
    }
  }
}

/** Whether an asset has the field at all. */
function applies({ appliesTo }: FieldRef, source: Source): Predicate {
  if (appliesTo === 'all') return true
  if (source.type === 'folder') return false
  return appliesTo === 'files' || flag('is_image', 1, source)
}

function isNegated(comparison: Comparison): boolean {
  return comparison.kind === 'compare'
    ? comparison.op === '!='
    : 'negated' in comparison && comparison.negated
}

/** A column of 0 and 1. The value is spelled out, so that partial indexes are found. */
export function flag(column: string, value: 0 | 1, source: Source): ColumnTest {
  const passes: ColumnTest['passes'] = (c) => sql`${c} = ${sql.lit(value)}`
  const createdIndex = source.type === 'file' ? RARE_FLAGS[`${column} ${value}`] : undefined
  return createdIndex ? { ...columnTest(column, passes, 'equal'), createdIndex } : columnTest(column, passes)
}

/** Flags that few files have; the opposite is no use to an index. */
const RARE_FLAGS: Record<string, string> = {
  'is_private 1': 'versions_private',
  'is_published 0': 'versions_drafts',
  'has_alpha 1': 'versions_alpha',
  'is_image 0': 'versions_non_image',
}

function columnTest(
  column: string,
  passes: ColumnTest['passes'],
  index: ColumnTest['index'] = 'none',
): ColumnTest {
  return { kind: 'column', negated: false, column, passes, index }
}

/** The test of a comparison as if it was not negated. */
function testOf(comparison: Comparison, source: Source, dialect: Dialect): Predicate {
  const { field } = comparison
  if (field.scope === 'customMetadata') return fieldTest(`c.${field.name}`, comparison, source, dialect)
  if (field.scope === 'embeddedMetadata') {
    if (source.type === 'folder') return false
    return field.type === 'location'
      ? locationTest(comparison)
      : fieldTest(`e.${field.name}`, comparison, source, dialect)
  }
  return ASSET_TESTS[field.name]!(comparison, source, dialect)
}

type AssetTest = (comparison: Comparison, source: Source, dialect: Dialect) => Predicate

const byDate =
  (column: string): AssetTest =>
  (comparison, { type }) =>
    datesOf(comparison, (passes, isOneSpan) =>
      columnTest(column, passes, type !== 'file' ? 'none' : isOneSpan ? 'range' : 'pieces'),
    )
const byInteger =
  (column: string): AssetTest =>
  (comparison, { type }) =>
    integerTest(comparison, column, type === 'file' ? 'range' : 'none')
const byFlag =
  (column: string): AssetTest =>
  (comparison, source) => {
    const [value] = valuesOf(comparison)
    return value?.type === 'boolean' && flag(column, value.boolean ? 1 : 0, source)
  }

/** The fields of the search that are no metadata. On folders only those come here that folders have. */
const ASSET_TESTS: Record<string, AssetTest> = {
  id: (comparison, { table }, dialect) => {
    const ids = textsOf(comparison)
    return columnTest(
      table === 'folders' ? 'folder_id' : 'file_id',
      (c) => oneOrMore(c, ids, dialect),
      'range',
    )
  },
  name(comparison, source, dialect) {
    if (comparison.kind === 'has') return wordsTest('name', comparison.words, source)
    const index = source.type === 'file-version' ? 'none' : 'range'
    if (comparison.kind === 'prefix') {
      return columnTest('name', (c) => beginsWith(c, storable(comparison.prefix)), index)
    }
    return columnTest('name', (c) => oneOrMore(c, textsOf(comparison), dialect), index)
  },
  tags(comparison, source, dialect) {
    if (comparison.kind === 'has') return wordsTest('tags', comparison.words, source)
    if (comparison.kind === 'exists') {
      return {
        kind: 'side',
        negated: false,
        table: 'version_tags',
        hasTime: true,
        passes: () => sql.lit(true),
      }
    }
    const tags = textsOf(comparison)
    return {
      kind: 'side',
      negated: false,
      table: 'version_tags',
      hasTime: true,
      passes: (c) => oneOrMore(c('tag'), tags, dialect),
      ...(tags.length === 1 && {
        createdIndex: 'version_tags_tag',
        // The same word may be a tag and an AI tag.
        once: (c) => sql`(${c('is_ai')} = 0 OR NOT EXISTS (SELECT 1 FROM version_tags AS y
          WHERE y.version_seq = ${c('version_seq')} AND y.tag = ${c('tag')} AND y.is_ai = 0))`,
      }),
    }
  },
  type: (comparison, { type }) => textsOf(comparison).includes(type),
  path(comparison, { table, type }, dialect) {
    const column = table === 'folders' ? 'parent_seq' : 'folder_seq'
    if (comparison.kind === 'within') {
      if (comparison.path === '/') return true
      const path = storable(comparison.path)
      const folders = sql`SELECT seq FROM folders WHERE path = ${path} OR ${beginsWith(sql.ref('path'), `${path}/`)}`
      return columnTest(column, (c) => dialect.isAmong(c, folders), 'range')
    }
    const paths = textsOf(comparison)
    return inFolder(column, paths, dialect, type === 'file-version' ? 'none' : 'equal')
  },
  createdAt: byDate('created_at'),
  updatedAt: byDate('updated_at'),
  // Who uploaded a file is not kept.
  createdBy: () => false,
  height: byInteger('height_px'),
  width: byInteger('width_px'),
  size: byInteger('size_bytes'),
  format: (comparison, { type }, dialect) => {
    const formats = textsOf(comparison)
    const test = columnTest(
      'format',
      (c) => oneOrMore(c, formats, dialect),
      type === 'file' ? 'range' : 'none',
    )
    return type === 'file' && formats.length === 1 ? { ...test, createdIndex: 'versions_format' } : test
  },
  private: byFlag('is_private'),
  published: byFlag('is_published'),
  transparency: byFlag('has_alpha'),
}

/** Whether an asset lies directly in one of these folders. */
export function inFolder(
  column: string,
  paths: string[],
  dialect: Dialect,
  index: ColumnTest['index'],
): ColumnTest {
  if (paths.length === 1) {
    return columnTest(column, (c) => sql`${c} = (SELECT seq FROM folders WHERE path = ${paths[0]})`, index)
  }
  const folders = sql`SELECT seq FROM folders WHERE ${dialect.isAnyOf(sql.ref('path'), paths)}`
  return columnTest(column, (c) => dialect.isAmong(c, folders), 'range')
}

/** The values that a comparison asks for. */
function valuesOf(comparison: Comparison): Value[] {
  if (comparison.kind === 'in') return comparison.values
  return comparison.kind === 'compare' ? [comparison.value] : []
}

function textsOf(comparison: Comparison): string[] {
  return valuesOf(comparison).flatMap((value) => (value.type === 'text' ? [storable(value.text)] : []))
}

function oneOrMore(column: RawBuilder<unknown>, texts: string[], dialect: Dialect): RawBuilder<unknown> {
  return texts.length === 1 ? sql`${column} = ${texts[0]}` : dialect.isAnyOf(column, texts)
}

/** The texts that begin with `prefix` lie between it and its successor, since texts compare by code point. */
function beginsWith(column: RawBuilder<unknown>, prefix: string): RawBuilder<unknown> {
  const end = successorOf(prefix)
  return end === undefined
    ? sql`${column} >= ${prefix}`
    : sql`(${column} >= ${prefix} AND ${column} < ${end})`
}

/** The first text after all that begin with `prefix`, or undefined when there is none. */
function successorOf(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!)
  while (points.length > 0) {
    const last = points.pop()!
    if (last === 0x10ffff) continue
    // Surrogates are no characters; what follows them in UTF-8 is U+E000.
    const next = last === 0xd7ff ? 0xe000 : last + 1
    return String.fromCodePoint(...points, next)
  }
  return undefined
}

/** All words, the last one as a beginning. */
function wordsTest(field: string, words: string[], { side }: Source): Predicate {
  const last = words.length - 1
  return combine(
    'and',
    words.map((word, i): SideTest => {
      const known = indexedWord(word)
      return {
        kind: 'side',
        negated: false,
        table: `${side}_words`,
        hasTime: true,
        passes: (c) =>
          sql`${c('field')} = ${storable(field)}
            AND ${i === last ? beginsWith(c('word'), known) : sql`${c('word')} = ${known}`}`,
      }
    }),
  )
}

/** Tests of whole numbers; the query's numbers need not be whole, nor fit into 64 bits. */
function integerTest(comparison: Comparison, column: string, index: ColumnTest['index']): Predicate {
  const numbers = valuesOf(comparison).flatMap((value) => (value.type === 'number' ? [value.number] : []))
  const fits = numbers.filter((number) => Number.isSafeInteger(number))
  if (comparison.kind !== 'compare' || comparison.op === '=' || comparison.op === '!=') {
    if (fits.length === 0) return false
    return columnTest(
      column,
      (c) =>
        joined(
          'or',
          fits.map((number) => sql`${c} = ${number}`),
        ),
      index,
    )
  }
  const bound = (number: number) =>
    Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, number))
  const number = numbers[0]!
  switch (comparison.op) {
    case '<':
      return columnTest(column, (c) => sql`${c} < ${bound(Math.ceil(number))}`, index)
    case '<=':
      return columnTest(column, (c) => sql`${c} <= ${bound(Math.floor(number))}`, index)
    case '>':
      return columnTest(column, (c) => sql`${c} > ${bound(Math.floor(number))}`, index)
    case '>=':
      return columnTest(column, (c) => sql`${c} >= ${bound(Math.ceil(number))}`, index)
  }
}

/** Tests of times; a date of the query is a span, see `DateValue`. */
function datesOf<T>(
  comparison: Comparison,
  test: (passes: ColumnTest['passes'], isOneSpan: boolean) => T,
): T | false {
  const spans = valuesOf(comparison).flatMap((value) => (value.type === 'date' ? [value] : []))
  if (spans.length === 0) return false
  if (comparison.kind !== 'compare' || comparison.op === '=' || comparison.op === '!=') {
    return test(
      (c) =>
        joined(
          'or',
          spans.map(({ ms, spanMs }) => sql`(${c} >= ${ms} AND ${c} < ${ms + spanMs})`),
        ),
      spans.length === 1,
    )
  }
  const { ms, spanMs } = spans[0]!
  switch (comparison.op) {
    case '<':
      return test((c) => sql`${c} < ${ms}`, true)
    case '<=':
      return test((c) => sql`${c} < ${ms + spanMs}`, true)
    case '>':
      return test((c) => sql`${c} >= ${ms + spanMs}`, true)
    case '>=':
      return test((c) => sql`${c} >= ${ms}`, true)
  }
}

/** Tests of the values of a metadata field. `key` as in the tables of values. */
function fieldTest(key: string, comparison: Comparison, source: Source, dialect: Dialect): Predicate {
  const { field } = comparison
  const table = `${source.side}_fields`
  const isField = (c: ColumnOf) => sql`${c('field')} = ${storable(key)}`
  const isList = field.type === 'list' || field.type === 'mixed-list'
  const test = (
    passes: (column: ColumnOf) => RawBuilder<unknown>,
    createdIndex?: 'text' | 'number' | 'boolean',
  ): SideTest => ({
    kind: 'side',
    negated: false,
    table,
    hasTime: true,
    passes: (c) => sql`${isField(c)} AND ${passes(c)}`,
    ...(createdIndex && { createdIndex: `${table}_${createdIndex}` }),
    ...(!isList && { entry: `${table} ${key}` }),
  })
  switch (comparison.kind) {
    case 'exists': {
      // In a list even an empty text is a value.
      const isText = (text: RawBuilder<unknown>) => (isList ? sql`${text} >= ''` : sql`${text} > ''`)
      const finds = ['number_value', 'date_value', 'boolean_value'].map(
        (name) => (c: ColumnOf) => sql`${isField(c)} AND ${c(name)} IS NOT NULL`,
      )
      return {
        ...test((c) =>
          isList ? sql.lit(true) : sql`(${c('text_value')} IS NULL OR ${isText(c('text_value'))})`,
        ),
        finds: [(c) => sql`${isField(c)} AND ${isText(c('text_value'))}`, ...finds],
      }
    }
    case 'has':
      return wordsTest(key, comparison.words, source)
    case 'prefix':
      return test((c) => textBegins(c, comparison.prefix))
    case 'compare':
    case 'in':
      break
    default:
      return false
  }
  if (field.type === 'date') return datesOf(comparison, (passes) => test((c) => passes(c('date_value'))))
  const values = valuesOf(comparison)
  if (comparison.kind === 'compare' && comparison.op !== '=' && comparison.op !== '!=') {
    const [value] = values
    if (value?.type !== 'number') return false
    return test((c) => sql`${c('number_value')} ${sql.raw(comparison.op)} ${value.number}`)
  }
  const texts = values.flatMap((value) => (value.type === 'text' ? [splitText(value.text)] : []))
  const short = texts.filter(({ rest }) => rest === null).map(({ head }) => head)
  const long = texts.filter(({ rest }) => rest !== null)
  const numbers = values.flatMap((value) => (value.type === 'number' ? [value.number] : []))
  const booleans = values.flatMap((value) => (value.type === 'boolean' ? [Number(value.boolean)] : []))
  const isOne = values.length === 1
  const tests: Predicate[] = []
  if (short.length > 0) {
    tests.push(test((c) => oneOrMore(c('text_value'), short, dialect), isOne ? 'text' : undefined))
  }
  for (const { head, rest } of long) {
    tests.push(
      test(
        (c) => sql`${c('text_value')} = ${head} AND ${c('text_rest')} = ${rest}`,
        isOne ? 'text' : undefined,
      ),
    )
  }
  if (numbers.length > 0) {
    const isAmong = (column: RawBuilder<unknown>) =>
      joined(
        'or',
        numbers.map((number) => sql`${column} = ${number}`),
      )
    tests.push(test((c) => isAmong(c('number_value')), isOne ? 'number' : undefined))
  }
  for (const boolean of new Set(booleans)) {
    const index = isOne ? 'boolean' : undefined
    tests.push(test((c) => sql`${c('boolean_value')} = ${sql.lit(boolean)}`, index))
  }
  return combine('or', tests)
}

/** A prefix that reaches beyond the heads of long texts is split as they are. */
function textBegins(column: ColumnOf, prefix: string): RawBuilder<unknown> {
  const known = storable(prefix)
  if (known.length < HEAD_LENGTH) return beginsWith(column('text_value'), known)
  const { head, rest } = splitText(known)
  return sql`${column('text_value')} = ${head} AND ${beginsWith(column('text_rest'), rest!)}`
}

function locationTest(comparison: Comparison): Predicate {
  const side = (passes: SideTest['passes']): SideTest => ({
    kind: 'side',
    negated: false,
    table: 'version_locations',
    hasTime: false,
    passes,
  })
  if (comparison.kind === 'exists') return side(() => sql.lit(true))
  if (comparison.kind !== 'area') return false
  const { south, north, west, east } = boundsOf(comparison.area)
  const { area } = comparison
  return side((c) => {
    const [latitude, longitude] = [c('latitude'), c('longitude')]
    const isNear = sql`${latitude} >= ${south} AND ${latitude} <= ${north}
      AND ${longitude} >= ${west} AND ${longitude} <= ${east}`
    const lies = liesIn(area, latitude, longitude)
    return lies ? sql`${isNear} AND ${lies}` : isNear
  })
}
