import { type RawBuilder, sql } from 'kysely'
import type { Dialect } from './engine.ts'
import type { FolderRow, VersionRow } from './records.ts'
import { isOnePerAsset, needsRow, type Order, type Step, type Walk, without } from './search-plan.ts'
import { type ColumnTest, printPredicate, type SideTest, type Source, type Test } from './search-predicate.ts'
import { versionSelection } from './version-columns.ts'

export type PageRow = VersionRow & {
  page_kind: number
  page_value: string | number | null
  page_seq: number
  /** How many assets each part gives, if all are counted; more than the limit is only a lower bound. */
  total_0: number | null
  total_1?: number | null
  total_2?: number | null
} & {
  [C in (typeof FOLDER_COLUMNS)[number] as `d_${C}`]: FolderRow[C]
} & { d_parent_id: string | null }

const FOLDER_COLUMNS = ['folder_id', 'path', 'name', 'created_at', 'updated_at', 'custom_metadata'] as const

/** Kinds of rows of a page, in their order where everything else is equal. */
const FOLDER = 0
export const VERSION = 1

const kindOf = ({ table }: Source) => (table === 'folders' ? FOLDER : VERSION)

/** What all statements of one search have in common. */
type Printing = {
  order: Order
  dialect: Dialect
  /** Whether rows are tested one by one until the page is full, which may take longer than a search may. */
  isTimed: boolean
}

/** Rows `seq, v, kind` in the wanted order; `order` is kept apart, since a union is ordered as a whole. */
type Branch = {
  rows: RawBuilder<unknown>
  order: RawBuilder<unknown>
  /** Whether an index gives the rows in this order. */
  isWalk: boolean
}

/** Most parts of one search: one for each type of asset. */
const PARTS = [0, 1, 2] as const

/** The statement that gives a page of what the steps find, with as much of the total as they tell. */
export function printPage(
  steps: Step[],
  options: Printing & { limit: number; skip: number; withTotal: boolean },
) {
  const { order, dialect, withTotal } = options
  const collected: RawBuilder<unknown>[] = []
  const totals: (RawBuilder<unknown> | undefined)[] = []
  const branches: Branch[] = []
  for (const step of steps) {
    const { source, way } = step
    if (way.kind === 'walk') {
      branches.push(...printWalks(step, way, options))
      totals.push(withTotal ? printWalkCount(step, way, { ...options, limit: way.countsUpTo }) : undefined)
    } else if (way.kind === 'entries' && way.isSortedFirst) {
      branches.push(...printSortedEntries(step, way.tests, options))
      totals.push(undefined)
    } else {
      const rows =
        way.kind === 'collect'
          ? printCollected(step, way.tests, order, dialect)
          : printEntries(step, way.tests, dialect)
      let matches = sql`(${rows})`
      if (way.kind === 'entries' && way.count !== undefined) totals.push(sql`CAST(${way.count} AS bigint)`)
      else {
        matches = sql.ref(`matches_${collected.length}`)
        // Sorted for the page, and counted.
        collected.push(sql`${matches} AS MATERIALIZED (${rows})`)
        totals.push(sql`(SELECT count(*) FROM ${matches})`)
      }
      const kind = kindOf(source)
      for (const segment of segmentsOf(order, { value: sql`m.v`, seq: sql`m.seq`, kind, isNull: false })) {
        branches.push({
          rows: sql`SELECT m.seq, m.v, ${sql.lit(kind)} AS kind FROM ${matches} AS m WHERE ${segment}`,
          order: printOrder(order, 'm.v', 'm.seq'),
          isWalk: false,
        })
      }
    }
  }
  const known = totals.every((total) => total !== undefined) ? totals : []
  const total = PARTS.slice(0, steps.length).map(
    (i) => sql`${known[i] ?? sql`CAST(NULL AS bigint)`} AS ${sql.ref(`total_${i}`)}`,
  )
  const columns: RawBuilder<unknown>[] = []
  const joins: RawBuilder<unknown>[] = []
  if (steps.some(({ source }) => source.table === 'versions')) {
    columns.push(...versionSelection.map((name) => sql.raw(name)))
    joins.push(
      sql`LEFT JOIN versions AS v ON page.kind = ${sql.lit(VERSION)} AND v.seq = page.seq`,
      sql`LEFT JOIN folders AS f ON f.seq = v.folder_seq`,
    )
  }
  if (steps.some(({ source }) => source.table === 'folders')) {
    columns.push(...FOLDER_COLUMNS.map((name) => sql`d.${sql.ref(name)} AS ${sql.ref(`d_${name}`)}`))
    columns.push(sql`p.folder_id AS d_parent_id`)
    joins.push(
      sql`LEFT JOIN folders AS d ON page.kind = ${sql.lit(FOLDER)} AND d.seq = page.seq`,
      sql`LEFT JOIN folders AS p ON p.seq = d.parent_seq`,
    )
  }
  return sql<PageRow>`
    WITH ${collected.length > 0 ? sql`${sql.join(collected)},` : sql``}
    page AS (${printBranches(branches, options)})
    SELECT page.kind AS page_kind, page.v AS page_value, page.seq AS page_seq, ${sql.join(total)},
      ${sql.join(columns)}
    FROM page ${sql.join(joins, sql` `)}
    ${printOrder(order, 'page.v', 'page.seq', 'page.kind')}`
}

/** One page of several ordered branches. Of several, each gives no more than the page can need. */
function printBranches(
  branches: Branch[],
  { order, dialect, limit, skip }: Printing & { limit: number; skip: number },
): RawBuilder<unknown> {
  // None means that the cursor stands behind the last asset.
  if (branches.length === 0) return sql`SELECT 0 AS seq, NULL AS v, 0 AS kind WHERE 1 = 0`
  if (branches.length === 1) {
    return sql`${branches[0]!.rows} ${branches[0]!.order} LIMIT ${limit} OFFSET ${skip}`
  }
  const parts = branches.map((branch) =>
    branch.isWalk && dialect.mergesUnions
      ? branch.rows
      : sql`SELECT * FROM (${branch.rows} ${branch.order} LIMIT ${limit + skip}) AS part`,
  )
  return sql`SELECT seq, v, kind FROM (${sql.join(parts, sql` UNION ALL `)}
    ${printOrder(order, 'v', 'seq', 'kind')} LIMIT ${limit} OFFSET ${skip}) AS found`
}

function printOrder({ descending }: Order, first: string, ...rest: string[]): RawBuilder<unknown> {
  const nulls = descending ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'
  const direction = descending ? 'DESC' : 'ASC'
  return sql.raw(
    `ORDER BY ${[`${first} ${nulls}`, ...rest.map((term) => `${term} ${direction}`)].join(', ')}`,
  )
}

/** All rows of a part that pass, with what they are ordered by. */
function printCollected({ source, predicate }: Step, tests: Test[], order: Order, dialect: Dialect) {
  const column = order[source.side]
  const rest = printPredicate(without(predicate, tests), { source, dialect })
  const select = sql`SELECT s.seq, ${column ? sql.ref(`s.${column}`) : sql`CAST(NULL AS bigint)`} AS v
    FROM ${sql.table(source.table)} AS s`
  const index = tests.length === 1 ? indexOf(tests[0]!, source, column) : undefined
  if (index !== undefined) {
    const passes = printPredicate(tests[0]!, { source, dialect, isIndexed: () => true })
    return sql`${select} ${dialect.byIndex(index)} WHERE ${isOfSource(source)} AND ${passes} AND ${rest}`
  }
  const found = sql.join(
    tests.map((test) => sql`SELECT seq FROM (${printFound(test, source, dialect)}) AS found`),
    sql` UNION ALL `,
  )
  return sql`${select} ${dialect.byRowNumber}
    WHERE ${dialect.isAmong(sql.ref('s.seq'), found)} AND ${isOfSource(source)} AND ${rest}`
}

/** Every asset that tests of side tables find, once, with the time of its creation. */
function printFoundOnce(tests: SideTest[], source: Source, dialect: Dialect): RawBuilder<unknown> {
  const found = tests.map((test) => printFound(test, source, dialect))
  return isOnePerAsset(tests)
    ? found[0]!
    : sql`SELECT DISTINCT seq, v FROM (${sql.join(found, sql` UNION ALL `)}) AS found`
}

/** All assets of a part that pass, by the entries of side tables; rows are read only where they have to be. */
function printEntries({ source, predicate }: Step, tests: SideTest[], dialect: Dialect) {
  const rest = without(predicate, tests)
  const found = printFoundOnce(tests, source, dialect)
  if (rest === true && !needsRow(rest, source)) return found
  const passes = printPredicate(rest, { source, dialect, seq: sql.ref('hit.seq') })
  if (!needsRow(rest, source)) return sql`SELECT hit.seq, hit.v FROM (${found}) AS hit WHERE ${passes}`
  return sql`SELECT hit.seq, hit.v FROM (${found}) AS hit
    ${dialect.joinRow(source.table, sql`hit.seq`)}
    WHERE ${isOfSource(source)} AND ${passes}`
}

/** The same in order, from the cursor on; rows are read until the page is full. */
function printSortedEntries(
  { source, predicate }: Step,
  tests: SideTest[],
  { order, dialect, isTimed }: Printing,
): Branch[] {
  const found = printFoundOnce(tests, source, dialect)
  const kind = kindOf(source)
  const passes = printPredicate(without(predicate, tests), { source, dialect, seq: sql.ref('hit.seq') })
  const segments = segmentsOf(order, { value: sql`f.v`, seq: sql`f.seq`, kind, isNull: false })
  return segments.map((segment) => ({
    rows: sql`SELECT hit.seq, hit.v, ${sql.lit(kind)} AS kind
      FROM (SELECT f.seq, f.v FROM (${found}) AS f WHERE ${segment} ${printOrder(order, 'f.v', 'f.seq')}
        LIMIT ${Number.MAX_SAFE_INTEGER}) AS hit
      ${dialect.joinRow(source.table, sql`hit.seq`)}
      WHERE ${isInTime(isTimed, sql`hit.seq`, dialect)} AND ${isOfSource(source)} AND ${passes}`,
    order: printOrder(order, 'hit.v', 'hit.seq'),
    isWalk: false,
  }))
}

function isInTime(isTimed: boolean, seq: RawBuilder<unknown>, dialect: Dialect): RawBuilder<unknown> {
  return isTimed ? dialect.isInTime(seq) : sql.lit(true)
}

/** The index in which the rows that pass a test of a column lie in one piece, with the order's column if there is one. */
function indexOf(test: Test, { type }: Source, orderColumn: string | undefined): string | undefined {
  if (test.kind === 'side' || test.index === 'pieces' || type === 'file-version') return undefined
  const { column } = test
  if (column === 'parent_seq') return `folders_in_parent_by_${orderColumn ?? 'name'}`
  if (type === 'folder') return column === 'folder_id' ? undefined : `folders_by_${column}`
  if (column === 'file_id') return 'versions_current'
  if (column === 'folder_seq') {
    return orderColumn === 'name' ? 'versions_path' : `versions_in_folder_by_${orderColumn}`
  }
  return column === 'format' ? 'versions_format' : (test.createdIndex ?? `versions_by_${column}`)
}

/** The rows of a part in order, from the cursor on; one statement for each stretch of the index. */
function printWalks(step: Step, walk: Walk, printing: Printing): Branch[] {
  const { source } = step
  const { order } = printing
  const { entries, isUnique } = walk
  const column = order[source.side]
  const value = entries ? 'e.created_at' : column && `s.${column}`
  const seq = entries ? `e.${source.side}_seq` : 's.seq'
  const segments = segmentsOf(order, {
    value: value ? sql.ref(value) : sql`NULL`,
    seq: sql.ref(seq),
    kind: kindOf(source),
    isNull: value === undefined,
  })
  // A constant cannot be ordered by, and where values are unique, an index has no more to order by.
  const ordered =
    value === undefined ? printOrder(order, seq) : printOrder(order, value, ...(isUnique ? [] : [seq]))
  return segments.map((segment) => ({
    rows: sql`
      SELECT ${sql.ref(seq)} AS seq, ${value ? sql.ref(value) : sql`CAST(NULL AS bigint)`} AS v,
        ${sql.lit(kindOf(source))} AS kind
      ${printWalked(step, walk, printing)} AND ${segment}`,
    order: ordered,
    isWalk: true,
  }))
}

/** How many rows a walk gives, up to a limit; undefined where each row would have to be judged for it. */
function printWalkCount(step: Step, walk: Walk, printing: Printing & { limit: number }) {
  const { predicate } = step
  const rest = walk.passed ? without(predicate, [walk.passed]) : predicate
  if (rest !== true) return undefined
  return sql`(SELECT count(*) FROM (SELECT 1 ${printWalked(step, walk, printing)} LIMIT ${printing.limit + 1}) AS walked)`
}

/** From where a walk takes its rows, and which. */
function printWalked(
  { source, predicate }: Step,
  { index, entries, passed, column }: Walk,
  { dialect, isTimed }: Printing,
) {
  const seq = sql.ref(entries ? `e.${source.side}_seq` : 's.seq')
  const rest = entries ? without(predicate, [entries]) : predicate
  // A range of what is ordered by is a stretch of the index that is walked.
  const isIndexed = (test: ColumnTest) => test === passed || test.column === column
  const passes = rest === true ? sql`` : sql`AND ${printPredicate(rest, { source, dialect, seq, isIndexed })}`
  if (!entries) {
    return sql`FROM ${sql.table(source.table)} AS s ${index ? dialect.byIndex(index) : sql``}
      WHERE ${isInTime(isTimed, seq, dialect)} AND ${isOfSource(source)} ${passes}`
  }
  const columnOf = (name: string) => sql.ref(`e.${name}`)
  const isEntry = [isEntryOfSource(entries, source, 'e'), entries.passes(columnOf)]
  if (entries.once) isEntry.push(entries.once(columnOf))
  const rows = dialect.joinRow(source.table, seq)
  const isJoined = needsRow(rest, source)
  return sql`FROM ${sql.table(entries.table)} AS e ${dialect.byIndex(entries.createdIndex!)} ${isJoined ? rows : sql``}
    WHERE ${isInTime(isTimed, seq, dialect)} AND ${sql.join(isEntry, sql` AND `)}
      ${isJoined ? sql`AND ${isOfSource(source)}` : sql``} ${passes}`
}

/**
 * What lies behind the cursor, in stretches that an index holds in one piece: those without a value, and those from
 * a value on.
 */
function segmentsOf(
  { descending, after, isNullable, folder }: Order,
  row: { value: RawBuilder<unknown>; seq: RawBuilder<unknown>; kind: number; isNull: boolean },
): RawBuilder<unknown>[] {
  if (!after) return [sql.lit(true)]
  const { value, seq, kind } = row
  const mayBeNull = row.isNull || isNullable || folder === undefined
  const isBehind = sql.raw(descending ? '<' : '>')
  // Rows of another kind with the same number come before or after the cursor's as a whole.
  const isKindBehind = descending ? kind < after.kind : kind > after.kind
  const isSeqBehind = isKindBehind
    ? sql`${seq} ${isBehind}= ${after.seq}`
    : sql`${seq} ${isBehind} ${after.seq}`
  if (after.value === null) {
    const segments = [row.isNull ? isSeqBehind : sql`${value} IS NULL AND ${isSeqBehind}`]
    // Upwards, all values lie behind nothing.
    if (!descending && !row.isNull) segments.push(sql`${value} IS NOT NULL`)
    return segments
  }
  const segments: RawBuilder<unknown>[] = []
  if (!row.isNull) {
    const compared = isKindBehind ? sql`${isBehind}${sql.raw('=')}` : isBehind
    segments.push(sql`(${value}, ${seq}) ${compared} (${after.value}, ${after.seq})`)
  }
  if (descending && mayBeNull) segments.push(row.isNull ? sql.lit(true) : sql`${value} IS NULL`)
  return segments
}

/** Selects the numbers of the rows that pass a test; also of some that are not of the source. */
export function printFound(test: Test, source: Source, dialect: Dialect): RawBuilder<unknown> {
  if (test.kind === 'side') {
    const finds = test.finds ?? [test.passes]
    return sql.join(
      finds.map(
        (
          passes,
        ) => sql`SELECT ${sql.ref(`x.${source.side}_seq`)} AS seq${test.hasTime ? sql`, x.created_at AS v` : sql``}
          FROM ${sql.table(test.table)} AS x WHERE ${isEntryOfSource(test, source, 'x')} AND ${passes((name) => sql.ref(`x.${name}`))}`,
      ),
      sql` UNION ALL `,
    )
  }
  return sql`SELECT s.seq FROM ${sql.table(source.table)} AS s
    WHERE ${isOfSource(source)} AND ${printPredicate(test, { source, dialect, isIndexed: () => true })}`
}

function isOfSource({ type }: Source): RawBuilder<unknown> {
  if (type === 'folder') return sql`s.parent_seq IS NOT NULL`
  return sql`s.is_current = ${sql.lit(type === 'file' ? 1 : 0)}`
}

/** Whether an entry of a side table belongs to a row of the source, as far as the entry itself tells. */
function isEntryOfSource(test: SideTest, { type }: Source, alias: string): RawBuilder<unknown> {
  if (type === 'folder' || !test.hasTime) return sql.lit(true)
  return sql`${sql.ref(`${alias}.is_current`)} = ${sql.lit(type === 'file' ? 1 : 0)}`
}
