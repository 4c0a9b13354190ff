import { type RawBuilder, sql } from 'kysely'
import type { AssetType } from '../query/query.ts'
import type { Dialect } from './engine.ts'

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

export function negate(predicate: Predicate): Predicate {
  if (typeof predicate === 'boolean') return !predicate
  if (isGroup(predicate)) {
    return combine(predicate.kind === 'and' ? 'or' : 'and', predicate.terms.map(negate))
  }
  return { ...predicate, negated: !predicate.negated }
}

/** What the SQL of a predicate depends on. */
export type Printing = {
  source: Source
  dialect: Dialect
  /** The number of the row, where it is known before `s` is read. */
  seq?: RawBuilder<unknown>
  /** Whether an index may be used for the test. For all others none is: a plan is decided before it is printed. */
  isIndexed?: (test: ColumnTest) => boolean
}

/** The SQL of a predicate about `s`. */
export function printPredicate(predicate: Predicate, printing: Printing): RawBuilder<unknown> {
  if (typeof predicate === 'boolean') return sql.lit(predicate)
  const { source, dialect, seq = sql.ref('s.seq'), isIndexed } = printing
  switch (predicate.kind) {
    case 'and':
    case 'or':
      return joined(
        predicate.kind,
        predicate.terms.map((term) => printPredicate(term, printing)),
      )
    case 'column': {
      const column = sql.ref(`s.${predicate.column}`)
      const type = TEXT_COLUMNS.has(predicate.column) ? 'text' : 'number'
      const passes = predicate.passes(isIndexed?.(predicate) ? column : dialect.unindexed(column, type))
      return predicate.negated ? sql`(${passes}) IS NOT TRUE` : sql`(${passes})`
    }
    case 'side': {
      const entries = sql`SELECT 1 FROM ${sql.table(predicate.table)} AS x
        WHERE ${sql.ref(`x.${source.side}_seq`)} = ${seq}
          AND ${predicate.passes((name) => {
            const column = sql.ref(`x.${name}`)
            // All entries of a row lie together, so that no index of values is of use.
            if (!name.endsWith('_value')) return column
            return dialect.unindexed(column, name === 'text_value' ? 'text' : 'number')
          })}`
      return sql`${sql.raw(predicate.negated ? 'NOT ' : '')}${dialect.existsInRow(entries)}`
    }
  }
}

const TEXT_COLUMNS = new Set(['name', 'format', 'file_id', 'folder_id'])

/** Joins terms as a balanced tree, since SQLite limits the depth of expressions. */
export function joined(kind: 'and' | 'or', terms: RawBuilder<unknown>[]): RawBuilder<unknown> {
  if (terms.length === 1) return terms[0]!
  const middle = Math.ceil(terms.length / 2)
  const word = sql.raw(kind === 'and' ? 'AND' : 'OR')
  return sql`(${joined(kind, terms.slice(0, middle))} ${word} ${joined(kind, terms.slice(middle))})`
}
