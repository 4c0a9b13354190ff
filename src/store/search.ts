import { sql } from 'kysely'
import { type Condition, type FieldRef, searchFields } from '../query/query.ts'
import { compile, type Dialect, type Session } from './engine.ts'
import { fileVersionOf, folderOf } from './records.ts'
import { type Cursor, fingerprintOf, parseCursor, printCursor } from './search-cursor.ts'
import { type Counts, isStraight, type Order, type Part, planPart, SORTS, testsOf } from './search-plan.ts'
import { combine, type Predicate, SOURCES, type Source, type Test } from './search-predicate.ts'
import { type PageRow, printFound, printPage, VERSION } from './search-print.ts'
import { flag, inFolder, predicateOf } from './search-tests.ts'
import type { ListedAsset, SearchOptions, SearchPage } from './store.ts'

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
    const undecided = parts.filter((part) => !isStraight(part, order))
    const counts = await countTests(session, undecided, { dialect, limits, load })
    const isSearch = condition !== undefined
    const steps = parts.map((part) => planPart(part, counts, { order, ...limits, isSearch }))
    const from = (cursor?.position ?? 0) + options.skip
    if (steps.length === 0) return { assets: [], total: { count: 0, isExact: true } }
    const query = printPage(steps, {
      order,
      dialect,
      limit: options.limit + 1,
      skip: options.skip,
      isTimed: isSearch,
      // Later pages know it from the first one, by the cursor; of lists those behind `skip` do without.
      withTotal: from === 0 || (isSearch && cursor === undefined),
    })
    const rows = await session.readAs(compile({ compile: () => query.compile(dialect.db) }), foundOf, load)

    const hasMore = rows.length > options.limit
    const page = hasMore ? rows.slice(0, options.limit) : rows
    const last = page.at(-1)
    const exactUpTo = steps.map(({ way }) =>
      way.kind === 'walk' ? way.countsUpTo : Number.POSITIVE_INFINITY,
    )
    const total = totalOf(rows[0], { from, seen: page.length, hasMore, cursor, exactUpTo })
    return {
      assets: page.map(({ asset }) => asset),
      total,
      ...(hasMore && {
        nextCursor: printCursor(
          {
            value: last!.value,
            seq: last!.seq,
            kind: last!.kind,
            position: from + page.length,
            total,
          },
          fingerprint,
        ),
      }),
    }
  }
}

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

/** An asset of a page, with its place in the order and what the row tells of all pages. */
type Found = {
  asset: ListedAsset
  kind: number
  value: PageRow['page_value']
  seq: number
  totals: (number | null)[]
}

function foundOf(row: PageRow): Found {
  return {
    asset: assetOf(row),
    kind: row.page_kind,
    value: row.page_value,
    seq: row.page_seq,
    totals: [row.total_0, row.total_1, row.total_2].filter((count) => count !== undefined),
  }
}

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
  first: Found | undefined,
  page: {
    from: number
    seen: number
    hasMore: boolean
    cursor: Cursor | undefined
    /** What each part is counted up to. */
    exactUpTo: number[]
  },
): SearchPage['total'] {
  const { from, seen, hasMore, cursor, exactUpTo } = page
  if (!hasMore && (seen > 0 || from === 0)) return { count: from + seen, isExact: true }
  const atLeast = from + seen + (hasMore ? 1 : 0)
  const counts = first?.totals ?? []
  if (counts.length > 0 && counts.every((count) => count !== null)) {
    const count = counts.reduce((sum, each) => sum + each, 0)
    const isExact = counts.every((each, i) => each <= exactUpTo[i]!)
    return { count: Math.max(count, atLeast), isExact }
  }
  if (cursor && cursor.total.count >= atLeast) return cursor.total
  // An empty page says only that there is nothing behind its beginning.
  return { count: seen === 0 ? 0 : atLeast, isExact: false }
}
