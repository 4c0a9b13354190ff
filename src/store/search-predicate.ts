import { type RawBuilder, sql } from 'kysely'
import {
  type Area,
  type AssetType,
  boundsOf,
  type Comparison,
  type Condition,
  type FieldRef,
  type Value,
} from '../query/query.ts'
import type { Dialect } from './engine.ts'
import { HEAD_LENGTH, indexedWord, splitText, storable } from './search-rows.ts'

/** One of the sets of rows that a search goes through; its rows are called `s`. */
export type Source = {
  type: AssetType
  table: 'versions' | 'folders'
  /** What the names of its side tables begin with. */
  side: 'version' | 'folder'
}

export const SOURCES: Record<AssetType, Source> = {
  file: { type: 'file', table: 'versions', side: 'version' },
  'file-version': { type: 'file-version', table: 'versions', side: 'version' },
  folder: { type: 'folder', table: 'folders', side: 'folder' },
}

/** A test of one column of a row. */
export type ColumnTest = {
  kind: 'column'
  negated: boolean
  column: string
  /** Whether the column passes; null counts as no. */
  passes(column: RawBuilder<unknown>): RawBuilder<unknown>
  /** Whether an index finds the rows that pass: in several pieces of it, in one, or in the one of a single value. */
  index: 'none' | 'pieces' | 'range' | 'equal'
  /** The index that holds just the rows that pass, in order of creation. */
  createdIndex?: string
}

export type ColumnOf = (name: string) => RawBuilder<unknown>

/** Whether a row has an entry in a side table that passes. */
export type SideTest = {
  kind: 'side'
  negated: boolean
  table: string
  /** Whether an entry with these columns passes. */
  passes(column: ColumnOf): RawBuilder<unknown>
  /** What finds the entries that pass by indexes, each a part of them, where `passes` cannot. */
  finds?: SideTest['passes'][]
  /** The index in which all entries that pass lie in order of the assets' creation, if they do. */
  createdIndex?: string
  /** Whether entries repeat when their asset was made, and whether it is current. */
  hasTime: boolean
  /** Tests with the same key ask the same one entry of an asset. */
  entry?: string
  /** What keeps one asset from coming twice in that order. */
  once?(column: ColumnOf): RawBuilder<unknown>
}

/** A condition about the rows of one source; what is known without looking at them is true or false. */
export type Predicate = boolean | Group | Test
export type Group = { kind: 'and' | 'or'; terms: Predicate[] }
export type Test = ColumnTest | SideTest

export function isGroup(predicate: Predicate): predicate is Group {
  return typeof predicate !== 'boolean' && (predicate.kind === 'and' || predicate.kind === 'or')
}

/** Joins predicates, without what changes nothing. */
export function combine(kind: 'and' | 'or', terms: Predicate[]): Predicate {
  const decisive = kind === 'or'
  const open: Predicate[] = []
  for (const term of terms) {
    if (term === decisive) return decisive
    if (typeof term === 'boolean') continue
    if (term.kind === kind) open.push(...term.terms)
    else open.push(term)
  }
  const rest = kind === 'and' ? merged(open) : open
  if (rest.length === 0) return !decisive
  return rest.length === 1 ? rest[0]! : { kind, terms: rest }
}

/** Tests of one column, or of one entry, as one test: a lower and an upper bound are one stretch of an index. */
function merged(terms: Predicate[]): Predicate[] {
  const known = new Map<string, number>()
  const result: Predicate[] = []
  for (const term of terms) {
    const key = mergeKeyOf(term)
    const at = key === undefined ? undefined : known.get(key)
    if (at === undefined) {
      if (key !== undefined) known.set(key, result.length)
      result.push(term)
    } else result[at] = both(result[at] as Test, term as Test)
  }
  return result
}

function mergeKeyOf(term: Predicate): string | undefined {
  if (typeof term === 'boolean' || isGroup(term) || term.negated) return undefined
  if (term.kind === 'side') return term.finds ? undefined : term.entry
  return term.index === 'none' ? undefined : term.column
}

function both(a: Test, b: Test): Test {
  const createdIndex = a.createdIndex ?? b.createdIndex
  const index = createdIndex === undefined ? {} : { createdIndex }
  if (a.kind === 'side' && b.kind === 'side') {
    return {
      ...a,
      ...index,
      passes: (column: ColumnOf) => sql`(${a.passes(column)}) AND (${b.passes(column)})`,
    }
  }
  const [first, second] = [a as ColumnTest, b as ColumnTest]
  const best = [first, second].find((test) => test.index === 'equal') ?? first
  return {
    ...best,
    ...index,
    passes: (c: RawBuilder<unknown>) => sql`(${first.passes(c)}) AND (${second.passes(c)})`,
  }
}

function negate(predicate: Predicate): Predicate {
  if (typeof predicate === 'boolean') return !predicate
  if (isGroup(predicate)) {
    return combine(predicate.kind === 'and' ? 'or' : 'and', predicate.terms.map(negate))
  }
  return { ...predicate, negated: !predicate.negated }
}

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

/** The SQL of a predicate about `s`. */
export function printPredicate(
  predicate: Predicate,
  source: Source,
  dialect: Dialect,
  /** The number of the row, where it is known before `s` is read. */
  seq: RawBuilder<unknown> = sql.ref('s.seq'),
): RawBuilder<unknown> {
  if (typeof predicate === 'boolean') return sql.lit(predicate)
  switch (predicate.kind) {
    case 'and':
    case 'or':
      return joined(
        predicate.kind,
        predicate.terms.map((term) => printPredicate(term, source, dialect, seq)),
      )
    case 'column': {
      const passes = predicate.passes(sql.ref(`s.${predicate.column}`))
      return predicate.negated ? sql`(${passes}) IS NOT TRUE` : sql`(${passes})`
    }
    case 'side': {
      const entries = sql`SELECT 1 FROM ${sql.table(predicate.table)} AS x
        WHERE ${sql.ref(`x.${source.side}_seq`)} = ${seq}
          AND ${predicate.passes((name) => {
            const column = sql.ref(`x.${name}`)
            // All entries of a row lie together: a planner without statistics might take an index of values instead.
            return name.endsWith('_value') ? dialect.unindexed(column) : column
          })}`
      return sql`${sql.raw(predicate.negated ? 'NOT ' : '')}${dialect.existsInRow(entries)}`
    }
  }
}

/** Joins terms as a balanced tree, since SQLite limits the depth of expressions. */
export function joined(kind: 'and' | 'or', terms: RawBuilder<unknown>[]): RawBuilder<unknown> {
  if (terms.length === 1) return terms[0]!
  const middle = Math.ceil(terms.length / 2)
  const word = sql.raw(kind === 'and' ? 'AND' : 'OR')
  return sql`(${joined(kind, terms.slice(0, middle))} ${word} ${joined(kind, terms.slice(middle))})`
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

/** Mean radius of the earth (IUGG), as in the query's own areas. */
const EARTH_RADIUS_M = 6_371_008.8

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

/** Whether a place lies in an area, once it lies within the area's bounds; undefined when those are the area. */
function liesIn(
  area: Area,
  lat: RawBuilder<unknown>,
  lon: RawBuilder<unknown>,
): RawBuilder<unknown> | undefined {
  switch (area.kind) {
    case 'box':
      return undefined
    case 'circle': {
      const { latitude, longitude } = area.center
      const angle = area.radiusM / EARTH_RADIUS_M / 2
      if (angle >= Math.PI / 2) return undefined
      // The haversine of the distance, compared with that of the radius.
      const sine = (degrees: RawBuilder<unknown>) => sql`sin(radians(${degrees}) / 2)`
      const latitudeSine = sine(sql`${lat} - ${double(flush(latitude))}`)
      const longitudeSine = sine(sql`${lon} - ${double(flush(longitude))}`)
      const cosine = Math.cos((latitude * Math.PI) / 180)
      return sql`${latitudeSine} * ${latitudeSine}
        + ${double(cosine)} * cos(radians(${lat})) * ${longitudeSine} * ${longitudeSine} <= ${Math.sin(angle) ** 2}`
    }
    case 'polygon': {
      const corners = area.corners.map((corner) => [flush(corner.latitude), flush(corner.longitude)] as const)
      const sides = corners.map(([latA, lonA], i) => {
        const [latB, lonB] = corners.at(i - 1)!
        return { latA, lonA, latB, lonB }
      })
      const isOnSide = sides.map(
        ({ latA, lonA, latB, lonB }) => sql`(
          ${double(lonB - lonA)} * (${lat} - ${double(latA)}) - ${double(latB - latA)} * (${lon} - ${double(lonA)}) = 0
          AND ${lat} >= ${Math.min(latA, latB)} AND ${lat} <= ${Math.max(latA, latB)}
          AND ${lon} >= ${Math.min(lonA, lonB)} AND ${lon} <= ${Math.max(lonA, lonB)})`,
      )
      // Even-odd rule: how many sides lie east of the place.
      const crossings = sides
        .filter(({ latA, latB }) => latA !== latB)
        .map(
          ({
            latA,
            lonA,
            latB,
            lonB,
          }) => sql`(CASE WHEN (${double(latA)} > ${lat}) <> (${double(latB)} > ${lat})
            AND ${lon} < ${double(lonA)} + (${lat} - ${double(latA)}) / ${double(latB - latA)} * ${double(lonB - lonA)}
            THEN 1 ELSE 0 END)`,
        )
      const isInside = crossings.length > 0 ? sql`(${sql.join(crossings, sql` + `)}) % 2 = 1` : sql.lit(false)
      return joined('or', [...isOnSide, isInside])
    }
  }
}

/** A number whose type no context tells. */
function double(number: number): RawBuilder<number> {
  return sql`CAST(${number} AS double precision)`
}

/** Nothing on earth is this small, and PostgreSQL calls the product of two such numbers an error. */
function flush(degrees: number): number {
  return Math.abs(degrees) < 1e-100 ? 0 : degrees
}
