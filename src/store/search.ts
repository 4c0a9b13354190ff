import { createHash } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import { badRequest } from '../kernel/errors.ts'
import { type Condition, type FieldRef, printSearch, searchFields } from '../query/query.ts'
import { compile, type Dialect, type Session } from './engine.ts'
import { type FolderRow, fileVersionOf, folderOf, type VersionRow } from './records.ts'
import {
  combine,
  flag,
  inFolder,
  isGroup,
  type Predicate,
  predicateOf,
  printPredicate,
  type SideTest,
  SOURCES,
  type Source,
  type Test,
} from './search-predicate.ts'
import type { ListedAsset, SearchOptions, SearchPage, SortKey } from './store.ts'
import { versionSelection } from './version-columns.ts'

/** What a sort orders by; see `list.ts`. Nulls are the lowest, and equals follow in order of insertion. */
const SORTS = {
  NAME: { version: 'name', folder: 'name', isNullable: false },
  CREATED: { version: 'created_at', folder: 'created_at', isNullable: false },
  UPDATED: { version: 'updated_at', folder: 'updated_at', isNullable: false },
  HEIGHT: { version: 'height_px', folder: undefined, isNullable: true },
  WIDTH: { version: 'width_px', folder: undefined, isNullable: true },
  SIZE: { version: 'size_bytes', folder: undefined, isNullable: false },
  RELEVANCE: { version: 'created_at', folder: 'created_at', isNullable: false },
} as const satisfies Record<SortKey, object>

/** Tests of one search that are counted before it is planned; what comes after them is not thought selective. */
const MAX_COUNTED = 16

export type SearchLimits = {
  /** Up to so many matches are sorted; beyond, the order is walked and each asset tested. */
  sortedMatches: number
}

/**
 * Prepares searching. For each source of rows there are two ways to a page: to collect all rows that an index finds
 * for the most selective tests and sort what passes the rest, or to walk the index of the order and test each row
 * until the page is full. The first is fast when few rows pass, the second when many do; counting up to a limit in
 * the indexes decides. Where an index holds the rows of one value in the wanted order, the second is as fast as it
 * can be.
 */
export function prepareSearch(dialect: Dialect, limits: SearchLimits) {
  return async (session: Session, options: SearchOptions): Promise<SearchPage> => {
    const { condition, types } = wantedOf(options)
    const { key, descending } = options.sort
    const fingerprint = fingerprintOf(options)
    const cursor = options.cursor === undefined ? undefined : parseCursor(options.cursor, fingerprint, key)
    const order: Order = { ...SORTS[key], descending, after: cursor }

    const parts: Part[] = []
    for (const type of types) {
      const source = SOURCES[type]
      const predicate = combine('and', [
        ...scopeOf(options, source, dialect),
        condition ? predicateOf(condition, source, dialect) : true,
      ])
      if (predicate !== false) parts.push({ source, predicate })
    }
    const load = condition ? 'search' : 'heavy'
    const counts = await countTests(session, parts, { dialect, limits, load })
    const steps = parts.map((part) => planPart(part, counts, { order, limits }))
    const from = (cursor?.position ?? 0) + options.skip
    if (steps.length === 0) return { assets: [], total: { count: 0, isExact: true } }
    const query = printPage(steps, { order, dialect, limit: options.limit + 1, skip: options.skip })
    const rows = await session.read(compile({ compile: () => query.compile(dialect.db) }), load)

    const hasMore = rows.length > options.limit
    const page = hasMore ? rows.slice(0, options.limit) : rows
    const last = page.at(-1)
    return {
      assets: page.map(assetOf),
      total: totalOf(rows, { from, seen: page.length, hasMore }),
      ...(hasMore && {
        nextCursor: printCursor(
          {
            value: last!.page_value,
            seq: last!.page_seq,
            kind: last!.page_kind,
            position: from + page.length,
          },
          fingerprint,
        ),
      }),
    }
  }
}

type Part = { source: Source; predicate: Predicate }
type Order = (typeof SORTS)[SortKey] & { descending: boolean; after: Cursor | undefined }

/** The condition of a search, or of a list in the terms of one, and the types of asset that it may give. */
function wantedOf({ query, type, tags, name }: SearchOptions) {
  if (query) return { condition: query.condition, types: query.assetTypes }
  const terms: Condition[] = []
  const texts = (values: string[]) => values.map((text) => ({ type: 'text' as const, text }))
  if (tags && tags.length > 0) {
    terms.push({ kind: 'in', field: fieldOf('tags'), negated: false, values: texts(tags) })
  }
  if (name !== undefined)
    terms.push({ kind: 'in', field: fieldOf('name'), negated: false, values: texts([name]) })
  const condition: Condition | undefined = terms.length > 1 ? { kind: 'and', terms } : terms[0]
  return { condition, types: type === 'all' ? (['file', 'folder'] as const) : [type] }
}

const FIELDS = searchFields({ customFields: [], embeddedFields: [] })

function fieldOf(name: 'tags' | 'name'): FieldRef {
  return FIELDS.get(name)!.ref
}

/** What limits a search beside its condition. */
function scopeOf({ folderPath, fileType }: SearchOptions, source: Source, dialect: Dialect) {
  const { table, type } = source
  const scope: Predicate[] = []
  if (folderPath !== undefined) {
    const column = table === 'folders' ? 'parent_seq' : 'folder_seq'
    scope.push(inFolder(column, [folderPath], dialect, type === 'file-version' ? 'none' : 'equal'))
  }
  if (fileType !== undefined) {
    scope.push(type === 'folder' ? false : flag('is_image', fileType === 'image' ? 1 : 0, source))
  }
  return scope
}

// How many rows pass a test

type Counts = Map<Test, number>

/** Whether an index finds the rows that pass a test. */
function isCounted(predicate: Predicate): predicate is Test {
  if (typeof predicate === 'boolean' || isGroup(predicate)) return false
  return !predicate.negated && (predicate.kind === 'side' || predicate.index !== 'none')
}

function* testsOf(predicate: Predicate): Generator<Test> {
  if (typeof predicate === 'boolean') return
  if (isGroup(predicate)) {
    for (const term of predicate.terms) yield* testsOf(term)
  } else if (isCounted(predicate)) yield predicate
}

/** Counts the rows that pass each test, by indexes alone and up to the limit. */
async function countTests(
  session: Session,
  parts: Part[],
  { dialect, limits, load }: { dialect: Dialect; limits: SearchLimits; load: 'heavy' | 'search' },
): Promise<Counts> {
  const tests: { test: Test; source: Source }[] = []
  for (const { source, predicate } of parts) {
    for (const test of testsOf(predicate)) {
      if (tests.length < MAX_COUNTED) tests.push({ test, source })
    }
  }
  const counts: Counts = new Map()
  // A folder alone needs no count: within it every order has its index.
  if (tests.length === 0 || load === 'heavy') return counts
  const columns = tests.map(
    ({ test, source }, i) => sql`(SELECT count(*) FROM (
      ${printFound(test, source, dialect)} LIMIT ${limits.sortedMatches + 1}) AS found) AS ${sql.ref(`c${i}`)}`,
  )
  const query = sql<Record<string, number>>`SELECT ${sql.join(columns)}`
  const [row] = await session.read(compile({ compile: () => query.compile(dialect.db) }), load)
  for (const [i, { test }] of tests.entries()) counts.set(test, row![`c${i}`]!)
  return counts
}

/** Selects the numbers of the rows that pass a test; also of some that are not of the source. */
function printFound(test: Test, source: Source, dialect: Dialect): RawBuilder<unknown> {
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
    WHERE ${isOfSource(source)} AND ${printPredicate(test, source, dialect)}`
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

/** The tests that together find all rows that pass a predicate, and how many they find; the cheapest such. */
function finders(predicate: Predicate, counts: Counts): { tests: Test[]; count: number } | undefined {
  if (typeof predicate === 'boolean') return undefined
  if (!isGroup(predicate)) {
    const count = isCounted(predicate) ? counts.get(predicate) : undefined
    return count === undefined ? undefined : { tests: [predicate], count }
  }
  const found = predicate.terms.map((term) => finders(term, counts))
  if (predicate.kind === 'and') {
    return found.reduce((best, each) => (each && (!best || each.count < best.count) ? each : best), undefined)
  }
  if (!found.every((each) => each !== undefined)) return undefined
  return {
    tests: found.flatMap(({ tests }) => tests),
    count: found.reduce((sum, { count }) => sum + count, 0),
  }
}

// Plans

/** How a part's rows are found. */
type Step = Part & {
  way: /** All at once, by their numbers or by one index. */
    | { kind: 'collect'; tests: Test[] }
    /** All entries of side tables at once, in which the wanted order is known. */
    | { kind: 'entries'; tests: SideTest[]; isSortedFirst: boolean }
    /** In order. `entries`: those of a side table whose index gives the order. */
    | { kind: 'walk'; index: string | undefined; entries?: SideTest; isUnique: boolean }
}

/** From so many entries on it is worth to sort them first and then read only the rows of one page. */
const SORTED_FIRST = 500

function planPart(
  part: Part,
  counts: Counts,
  { order, limits }: { order: Order; limits: SearchLimits },
): Step {
  const { source, predicate } = part
  const found = finders(predicate, counts)
  if (!found || found.count > limits.sortedMatches) {
    return { ...part, way: { kind: 'walk', ...walkOf(source, predicate, order) } }
  }
  const { tests, count } = found
  const sides = tests.filter((test) => test.kind === 'side' && test.hasTime) as SideTest[]
  if (order[source.side] !== 'created_at' || sides.length < tests.length) {
    return { ...part, way: { kind: 'collect', tests } }
  }
  const isSortedFirst = count > SORTED_FIRST && needsRow(without(predicate, tests), source)
  return { ...part, way: { kind: 'entries', tests: sides, isSortedFirst } }
}

/** Whether a predicate can only be judged with the row itself. Of folders, the root has to be told apart. */
function needsRow(predicate: Predicate, source: Source): boolean {
  if (source.type === 'folder') return true
  if (typeof predicate === 'boolean') return false
  return isGroup(predicate)
    ? predicate.terms.some((term) => needsRow(term, source))
    : predicate.kind === 'column'
}

/** The index to walk: of the order, within the smallest set that one index holds in this order. */
function walkOf(
  source: Source,
  predicate: Predicate,
  order: Order,
): { index: string | undefined; entries?: SideTest; isUnique: boolean } {
  const column = order[source.side]
  const terms = typeof predicate === 'object' && predicate.kind === 'and' ? predicate.terms : [predicate]
  const tests = terms.filter(isCounted)
  const isInFolder = tests.some(
    (test) =>
      test.kind === 'column' &&
      test.index === 'equal' &&
      (test.column === 'folder_seq' || test.column === 'parent_seq'),
  )
  if (source.type === 'folder') {
    if (column === undefined) return { index: undefined, isUnique: false }
    return { index: isInFolder ? `folders_in_parent_by_${column}` : `folders_by_${column}`, isUnique: false }
  }
  if (source.type === 'file-version') {
    return { index: column === 'created_at' ? 'versions_past' : undefined, isUnique: false }
  }
  if (isInFolder) {
    return column === 'name'
      ? { index: 'versions_path', isUnique: true }
      : { index: `versions_in_folder_by_${column}`, isUnique: false }
  }
  if (column === 'created_at') {
    const entries = tests.find((test) => test.kind === 'side' && test.createdIndex !== undefined) as
      | SideTest
      | undefined
    if (entries) return { index: entries.createdIndex, entries, isUnique: false }
    const test = tests.find(({ createdIndex }) => createdIndex !== undefined)
    if (test) return { index: test.createdIndex, isUnique: false }
  }
  return { index: `versions_by_${column}`, isUnique: false }
}

// Statements

type PageRow = VersionRow & {
  page_kind: number
  page_value: string | number | null
  page_seq: number
  total: number | null
} & {
  [C in (typeof FOLDER_COLUMNS)[number] as `d_${C}`]: FolderRow[C]
} & { d_parent_id: string | null }

const FOLDER_COLUMNS = ['folder_id', 'path', 'name', 'created_at', 'updated_at', 'custom_metadata'] as const

/** Kinds of rows of a page, in their order where everything else is equal. */
const FOLDER = 0
const VERSION = 1

const kindOf = ({ table }: Source) => (table === 'folders' ? FOLDER : VERSION)

function printPage(
  steps: Step[],
  { order, dialect, limit, skip }: { order: Order; dialect: Dialect; limit: number; skip: number },
) {
  const collected: RawBuilder<unknown>[] = []
  const sums: RawBuilder<unknown>[] = []
  const branches: RawBuilder<unknown>[] = []
  const most = limit + skip
  for (const step of steps) {
    const { source, way } = step
    const kind = kindOf(source)
    if (way.kind === 'entries' && way.isSortedFirst) {
      for (const sorted of printSortedEntries(step, way.tests, order, dialect)) {
        branches.push(sql`${sorted} LIMIT ${most}`)
      }
    } else if (way.kind !== 'walk') {
      const name = sql.ref(`matches_${collected.length}`)
      const rows =
        way.kind === 'collect'
          ? printCollected(step, way.tests, order, dialect)
          : printEntries(step, way.tests, dialect)
      collected.push(sql`${name} AS MATERIALIZED (${rows})`)
      sums.push(sql`(SELECT count(*) FROM ${name})`)
      for (const segment of segmentsOf(order, { value: sql`m.v`, seq: sql`m.seq`, kind, isNull: false })) {
        branches.push(sql`SELECT m.seq, m.v, ${sql.lit(kind)} AS kind FROM ${name} AS m WHERE ${segment}
          ${printOrder(order, 'm.v', 'm.seq')} LIMIT ${most}`)
      }
    } else {
      for (const walked of printWalks(step, way, order, dialect)) branches.push(sql`${walked} LIMIT ${most}`)
    }
  }
  // No branch means that the cursor stands behind the last asset.
  const union =
    branches.length === 0
      ? sql`SELECT 0 AS seq, NULL AS v, 0 AS kind WHERE 1 = 0`
      : sql.join(
          branches.map((branch) => sql`SELECT * FROM (${branch}) AS part`),
          sql` UNION ALL `,
        )
  const total = sums.length === steps.length ? sql.join(sums, sql` + `) : sql`CAST(NULL AS bigint)`
  return sql<PageRow>`
    WITH ${collected.length > 0 ? sql`${sql.join(collected)},` : sql``}
    page AS (SELECT seq, v, kind FROM (${union}) AS found
      ${printOrder(order, 'v', 'seq', 'kind')} LIMIT ${limit} OFFSET ${skip})
    SELECT page.kind AS page_kind, page.v AS page_value, page.seq AS page_seq, ${total} AS total,
      ${sql.join(versionSelection.map((name) => sql.raw(name)))},
      ${sql.join(FOLDER_COLUMNS.map((name) => sql`d.${sql.ref(name)} AS ${sql.ref(`d_${name}`)}`))},
      p.folder_id AS d_parent_id
    FROM page
    LEFT JOIN versions AS v ON page.kind = ${sql.lit(VERSION)} AND v.seq = page.seq
    LEFT JOIN folders AS f ON f.seq = v.folder_seq
    LEFT JOIN folders AS d ON page.kind = ${sql.lit(FOLDER)} AND d.seq = page.seq
    LEFT JOIN folders AS p ON p.seq = d.parent_seq
    ${printOrder(order, 'page.v', 'page.seq', 'page.kind')}`
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
  const rest = printPredicate(without(predicate, tests), source, dialect)
  const select = sql`SELECT s.seq, ${column ? sql.ref(`s.${column}`) : sql`CAST(NULL AS bigint)`} AS v
    FROM ${sql.table(source.table)} AS s`
  const index = tests.length === 1 ? indexOf(tests[0]!, source, column) : undefined
  if (index !== undefined) {
    const passes = printPredicate(tests[0]!, source, dialect)
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
  const isOnce = tests.length === 1 && tests[0]!.entry !== undefined && !tests[0]!.finds
  return isOnce ? found[0]! : sql`SELECT DISTINCT seq, v FROM (${sql.join(found, sql` UNION ALL `)}) AS found`
}

/** All assets of a part that pass, by the entries of side tables; rows are read only where they have to be. */
function printEntries({ source, predicate }: Step, tests: SideTest[], dialect: Dialect) {
  const rest = without(predicate, tests)
  const found = printFoundOnce(tests, source, dialect)
  if (rest === true && !needsRow(rest, source)) return found
  const passes = printPredicate(rest, source, dialect, sql.ref('e.seq'))
  if (!needsRow(rest, source)) return sql`SELECT e.seq, e.v FROM (${found}) AS e WHERE ${passes}`
  return sql`SELECT e.seq, e.v FROM (${found}) AS e
    ${dialect.thenJoin} ${sql.table(source.table)} AS s ${dialect.byRowNumber} ON s.seq = e.seq
    WHERE ${isOfSource(source)} AND ${passes}`
}

/** The same in order, from the cursor on; rows are read until the page is full. */
function printSortedEntries({ source, predicate }: Step, tests: SideTest[], order: Order, dialect: Dialect) {
  const found = printFoundOnce(tests, source, dialect)
  const kind = kindOf(source)
  const passes = printPredicate(without(predicate, tests), source, dialect, sql.ref('e.seq'))
  const segments = segmentsOf(order, { value: sql`f.v`, seq: sql`f.seq`, kind, isNull: false })
  return segments.map(
    (segment) => sql`SELECT e.seq, e.v, ${sql.lit(kind)} AS kind
      FROM (SELECT f.seq, f.v FROM (${found}) AS f WHERE ${segment} ${printOrder(order, 'f.v', 'f.seq')}
        LIMIT ${Number.MAX_SAFE_INTEGER}) AS e
      ${dialect.thenJoin} ${sql.table(source.table)} AS s ${dialect.byRowNumber} ON s.seq = e.seq
      WHERE ${dialect.isInTime(sql`e.seq`)} AND ${isOfSource(source)} AND ${passes} ${printOrder(order, 'e.v', 'e.seq')}`,
  )
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
function printWalks(
  { source, predicate }: Step,
  { index, entries, isUnique }: Extract<Step['way'], { kind: 'walk' }>,
  order: Order,
  dialect: Dialect,
): RawBuilder<unknown>[] {
  const column = order[source.side]
  const kind = kindOf(source)
  const value = entries ? 'e.created_at' : column && `s.${column}`
  const seq = entries ? `e.${source.side}_seq` : 's.seq'
  const rest = entries ? without(predicate, [entries]) : predicate
  const isJoined = !entries || needsRow(rest, source)
  const from = entries
    ? sql`${sql.table(entries.table)} AS e ${dialect.byIndex(entries.createdIndex!)}
        ${isJoined ? sql`${dialect.thenJoin} ${sql.table(source.table)} AS s ${dialect.byRowNumber} ON s.seq = ${sql.ref(seq)}` : sql``}`
    : sql`${sql.table(source.table)} AS s ${index ? dialect.byIndex(index) : sql``}`
  const conditions = [dialect.isInTime(sql.ref(seq))]
  if (isJoined) conditions.push(isOfSource(source))
  if (entries) {
    conditions.push(isEntryOfSource(entries, source, 'e'))
    const columnOf = (name: string) => sql.ref(`e.${name}`)
    conditions.push(entries.passes(columnOf))
    if (entries.once) conditions.push(entries.once(columnOf))
  }
  if (rest !== true) conditions.push(printPredicate(rest, source, dialect, sql.ref(seq)))
  const segments = segmentsOf(order, {
    value: value ? sql.ref(value) : sql`NULL`,
    seq: sql.ref(seq),
    kind,
    isNull: value === undefined,
  })
  // A constant cannot be ordered by, and where values are unique, an index has no more to order by.
  const ordered =
    value === undefined ? printOrder(order, seq) : printOrder(order, value, ...(isUnique ? [] : [seq]))
  return segments.map(
    (
      segment,
    ) => sql`SELECT ${sql.ref(seq)} AS seq, ${value ? sql.ref(value) : sql`CAST(NULL AS bigint)`} AS v,
      ${sql.lit(kind)} AS kind FROM ${from} WHERE ${sql.join([...conditions, segment], sql` AND `)} ${ordered}`,
  )
}

/** What is left of a predicate for rows that pass one of these tests already. */
function without(predicate: Predicate, tests: Test[]): Predicate {
  const isPassed = (term: Predicate): boolean =>
    typeof term === 'object' &&
    (isGroup(term)
      ? term.kind === 'or' && tests.every((test) => term.terms.includes(test))
      : tests.length === 1 && term === tests[0])
  if (isPassed(predicate)) return true
  if (typeof predicate === 'object' && predicate.kind === 'and') {
    return combine(
      'and',
      predicate.terms.filter((term) => !isPassed(term)),
    )
  }
  return predicate
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

// Pages

function assetOf(row: PageRow): ListedAsset {
  if (row.page_kind === VERSION) {
    return { type: row.is_current === 1 ? 'file' : 'file-version', file: fileVersionOf(row) }
  }
  const folder = folderOf({
    folder_id: row.d_folder_id,
    path: row.d_path,
    name: row.d_name,
    created_at: row.d_created_at,
    updated_at: row.d_updated_at,
    custom_metadata: row.d_custom_metadata,
    parent_id: row.d_parent_id,
  })
  return { type: 'folder', folder }
}

/** How many assets the search gives on all its pages, as far as it is known. */
function totalOf(
  rows: PageRow[],
  { from, seen, hasMore }: { from: number; seen: number; hasMore: boolean },
): SearchPage['total'] {
  const counted = rows[0]?.total
  if (counted !== undefined && counted !== null) return { count: counted, isExact: true }
  if (hasMore) return { count: from + seen + 1, isExact: false }
  // An empty page says only that there is nothing behind its beginning.
  return seen > 0 || from === 0 ? { count: from + seen, isExact: true } : { count: 0, isExact: false }
}

type Cursor = {
  /** What the last asset of the page before is ordered by. */
  value: string | number | null
  seq: number
  kind: number
  /** Assets up to and with it, at the time of the page before. */
  position: number
}

function printCursor({ value, seq, kind, position }: Cursor, fingerprint: string): string {
  return Buffer.from(JSON.stringify([value, seq, kind, position, fingerprint])).toString('base64url')
}

/** @throws TintypeError bad-request for a cursor that is none, or of another search. */
function parseCursor(text: string, fingerprint: string, key: SortKey): Cursor {
  const invalid = () => badRequest('Your request contains invalid value for cursor parameter.')
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString())
  } catch {
    throw invalid()
  }
  if (!Array.isArray(parsed) || parsed.length !== 5) throw invalid()
  const [value, seq, kind, position, of] = parsed
  const isNumber = (number: unknown) => Number.isSafeInteger(number) && (number as number) >= 0
  const isValue = key === 'NAME' ? typeof value === 'string' : value === null || Number.isSafeInteger(value)
  if (!isValue || !isNumber(seq) || !isNumber(kind) || !isNumber(position)) throw invalid()
  if (of !== fingerprint) {
    throw badRequest(
      'The cursor belongs to another list: all parameters but limit and skip must be those that gave it.',
    )
  }
  return { value, seq, kind, position }
}

/** What a cursor is bound to: everything that decides which assets come, and in which order. */
function fingerprintOf({ query, type, sort, folderPath, fileType, tags, name }: SearchOptions): string {
  const asked = query ? [printSearch(query), query.assetTypes] : [type, tags, name]
  return createHash('sha256')
    .update(JSON.stringify([asked, sort.key, sort.descending, folderPath, fileType]))
    .digest('base64url')
    .slice(0, 11)
}
