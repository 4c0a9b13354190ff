import type { Cursor } from './search-cursor.ts'
import {
  combine,
  isGroup,
  type Predicate,
  type SideTest,
  type Source,
  type Test,
} from './search-predicate.ts'
import type { SortKey } from './store.ts'

/** What a sort orders by; where there is no word of relevance, the time of
 * creation takes its place. Folders have no size. Nulls are the lowest, and equals follow in order of insertion. */
export const SORTS = {
  NAME: { version: 'name', folder: 'name', isNullable: false },
  CREATED: { version: 'created_at', folder: 'created_at', isNullable: false },
  UPDATED: { version: 'updated_at', folder: 'updated_at', isNullable: false },
  HEIGHT: { version: 'height_px', folder: undefined, isNullable: true },
  WIDTH: { version: 'width_px', folder: undefined, isNullable: true },
  SIZE: { version: 'size_bytes', folder: undefined, isNullable: false },
  RELEVANCE: { version: 'created_at', folder: 'created_at', isNullable: false },
} as const satisfies Record<SortKey, object>

export type Part = { source: Source; predicate: Predicate }
export type Order = (typeof SORTS)[SortKey] & { descending: boolean; after: Cursor | undefined }

/** Of what is not sorted as a whole, so many are counted for the total. */
const COUNTED_WALK = 2000

/** How many rows pass a test, up to a limit. */
export type Counts = Map<Test, number>

/** Whether an index finds the rows that pass a test. */
function isCounted(predicate: Predicate): predicate is Test {
  if (typeof predicate === 'boolean' || isGroup(predicate)) return false
  return !predicate.negated && (predicate.kind === 'side' || predicate.index !== 'none')
}

/** The tests of a predicate that an index can count. */
export function* testsOf(predicate: Predicate): Generator<Test> {
  if (typeof predicate === 'boolean') return
  if (isGroup(predicate)) {
    for (const term of predicate.terms) yield* testsOf(term)
  } else if (isCounted(predicate)) yield predicate
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

/** How a part's rows are found. */
export type Step = Part & {
  way: /** All at once, by their numbers or by one index. */
    | { kind: 'collect'; tests: Test[] }
    /**
     * All entries of side tables at once, in which the wanted order is known. `count`: how many they are, where each is
     * an asset that passes.
     */
    | { kind: 'entries'; tests: SideTest[]; isSortedFirst: boolean; count?: number }
    /** In order. `entries`: those of a side table whose index gives the order. */
    | ({ kind: 'walk'; countsUpTo: number } & Walk)
}

export type Walk = {
  index: string | undefined
  /** What the index orders by. */
  column: string | undefined
  /** Whether no two rows of the index are equal in what it is ordered by. */
  isUnique: boolean
  entries?: SideTest
  /** The test that all rows of the index, or the stretch of it that is walked, pass. */
  passed?: Test
}

/**
 * Whether an index holds just the rows of a part, in order. Then there is nothing to decide: walking it is as fast as
 * can be, however many there are.
 */
export function isStraight({ source, predicate }: Part, order: Order): boolean {
  const { passed } = walkOf(source, predicate, order)
  return passed !== undefined && without(predicate, [passed]) === true
}

/** From so many entries on it is worth to sort them first and then read only the rows of one page. */
const SORTED_FIRST = 500

/**
 * Decides how the rows of a part are found.
 * @param options.isSearch searches tell their totals as far as matches are sorted, wherever that takes no judging.
 */
export function planPart(
  part: Part,
  counts: Counts,
  { order, sortedMatches, isSearch }: { order: Order; sortedMatches: number; isSearch: boolean },
): Step {
  const { source, predicate } = part
  const found = finders(predicate, counts)
  if (!found || found.count > sortedMatches) {
    const isCountedFar = isSearch && isStraight(part, order)
    const countsUpTo = isCountedFar ? sortedMatches : Math.min(COUNTED_WALK, sortedMatches)
    return { ...part, way: { kind: 'walk', countsUpTo, ...walkOf(source, predicate, order) } }
  }
  const { tests, count } = found
  const sides = tests.filter((test) => test.kind === 'side' && test.hasTime) as SideTest[]
  if (order[source.side] !== 'created_at' || sides.length < tests.length) {
    return { ...part, way: { kind: 'collect', tests } }
  }
  const rest = without(predicate, tests)
  if (rest === true && !needsRow(rest, source) && isOnePerAsset(sides)) {
    return { ...part, way: { kind: 'entries', tests: sides, isSortedFirst: false, count } }
  }
  const isSortedFirst = count > SORTED_FIRST && needsRow(rest, source)
  return { ...part, way: { kind: 'entries', tests: sides, isSortedFirst } }
}

/** Whether tests of side tables find every asset by one entry only. */
export function isOnePerAsset([test, ...others]: SideTest[]): boolean {
  return others.length === 0 && test?.entry !== undefined && !test.finds
}

/** Whether a predicate can only be judged with the row itself. Of folders, the root has to be told apart. */
export function needsRow(predicate: Predicate, source: Source): boolean {
  if (source.type === 'folder') return true
  if (typeof predicate === 'boolean') return false
  return isGroup(predicate)
    ? predicate.terms.some((term) => needsRow(term, source))
    : predicate.kind === 'column'
}

/** The index to walk: of the order, within the smallest set that one index holds in this order. */
function walkOf(source: Source, predicate: Predicate, order: Order): Walk {
  const column = order[source.side]
  const terms = typeof predicate === 'object' && predicate.kind === 'and' ? predicate.terms : [predicate]
  const tests = terms.filter(isCounted)
  const folder = tests.find(
    (test) =>
      test.kind === 'column' &&
      test.index === 'equal' &&
      (test.column === 'folder_seq' || test.column === 'parent_seq'),
  )
  const inFolder = folder && { passed: folder }
  if (source.type === 'folder') {
    if (column === undefined) return { index: undefined, column, isUnique: false }
    return {
      index: inFolder ? `folders_in_parent_by_${column}` : `folders_by_${column}`,
      column,
      isUnique: false,
      ...inFolder,
    }
  }
  if (source.type === 'file-version') {
    return { index: column === 'created_at' ? 'versions_past' : undefined, column, isUnique: false }
  }
  if (inFolder) {
    return column === 'name'
      ? { index: 'versions_path', column, isUnique: true, ...inFolder }
      : { index: `versions_in_folder_by_${column}`, column, isUnique: false, ...inFolder }
  }
  if (column === 'created_at') {
    const known = tests.filter(({ createdIndex }) => createdIndex !== undefined)
    const entries = known.find((test) => test.kind === 'side') as SideTest | undefined
    const passed = entries ?? known[0]
    if (passed) {
      return { index: passed.createdIndex, column, isUnique: false, passed, ...(entries && { entries }) }
    }
  }
  return { index: `versions_by_${column}`, column, isUnique: false }
}

/** What is left of a predicate for rows that pass one of these tests already. */
export function without(predicate: Predicate, tests: Test[]): Predicate {
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
