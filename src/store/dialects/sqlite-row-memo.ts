import { hash } from 'node:crypto'
import type { Query } from '../engine.ts'
import { rowMaker } from './sqlite-connection.ts'

/** Rows of each kind of page that are kept; a list of 1,000 assets fits twice. */
const MAX_REMEMBERED = 2000

/**
 * Makes records of rows, and gives the same record again for a row that is the same text again: of lists that are asked
 * for time and again, most rows have not changed. The rows of other pages are not kept: what lives as long as some
 * requests and then dies is what a garbage collector takes longest for.
 */
export function createRowMemo() {
  const memos = new WeakMap<(row: never) => unknown, Map<string, Map<string, unknown>>>()
  /** What has been made of rows with these columns, by their texts. */
  const memoOf = (make: (row: never) => unknown, columns: string) => {
    const byColumns = memos.get(make) ?? new Map<string, Map<string, unknown>>()
    memos.set(make, byColumns)
    const memo = byColumns.get(columns) ?? new Map<string, unknown>()
    byColumns.set(columns, memo)
    return memo
  }
  const isAskedAgain = createRepeats()

  /** @param result lines that the query gave as a step that asked for them: the columns, then one row each. */
  return <R, T>(query: Query<R>, result: string, make: (row: R) => T): T[] => {
    const [columns, ...lines] = result.split('\n')
    const memo = memoOf(make, columns!)
    const isKept = isAskedAgain(query, lines.length)
    let toRow: ((values: unknown[]) => object) | undefined
    return lines.map((line) => {
      const found = memo.get(line) as T | undefined
      if (found !== undefined) return found
      toRow ??= rowMaker(JSON.parse(columns!))
      const made = make(toRow(JSON.parse(line)) as R)
      if (!isKept) return made
      if (memo.size >= MAX_REMEMBERED) memo.delete(memo.keys().next().value!)
      // A part of a string keeps the whole of it in memory; this is a copy.
      memo.set(Buffer.from(line).toString(), made)
      return made
    })
  }
}

/** Tells whether a query comes again before others have given more rows than are kept. */
function createRepeats() {
  const rowsOf = new Map<string, number>()
  let total = 0
  const forget = (key: string) => {
    const rows = rowsOf.get(key)
    rowsOf.delete(key)
    total -= rows ?? 0
    return rows !== undefined
  }
  return ({ sql, parameters }: Query, rows: number): boolean => {
    const key = hash('sha256', JSON.stringify([sql, parameters]), 'base64')
    const isKnown = forget(key)
    // An empty page counts too, lest there be no end of them.
    rowsOf.set(key, rows + 1)
    total += rows + 1
    while (total > MAX_REMEMBERED) forget(rowsOf.keys().next().value!)
    return isKnown
  }
}
