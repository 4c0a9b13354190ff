import { createHash } from 'node:crypto'
import { badRequest } from '../kernel/errors.ts'
import { printSearch } from '../query/query.ts'
import type { SearchOptions, SearchPage, SortKey } from './store.ts'

/** Where a page ended. */
export type Cursor = {
  /** What the last asset of the page before is ordered by. */
  value: string | number | null
  seq: number
  kind: number
  /** Assets up to and with it, at the time of the page before. */
  position: number
  /** What was known of the total then. */
  total: SearchPage['total']
}

export function printCursor({ value, seq, kind, position, total }: Cursor, fingerprint: string): string {
  return Buffer.from(
    JSON.stringify([value, seq, kind, position, total.count, total.isExact, fingerprint]),
  ).toString('base64url')
}

/** @throws TintypeError bad-request for a cursor that is none, or of another search. */
export function parseCursor(text: string, fingerprint: string, key: SortKey): Cursor {
  const invalid = () => badRequest('Your request contains invalid value for cursor parameter.')
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString())
  } catch {
    throw invalid()
  }
  if (!Array.isArray(parsed) || parsed.length !== 7) throw invalid()
  const [value, seq, kind, position, count, isExact, of] = parsed
  const isNumber = (number: unknown) => Number.isSafeInteger(number) && (number as number) >= 0
  const isValue = key === 'NAME' ? typeof value === 'string' : value === null || Number.isSafeInteger(value)
  if (!isValue || ![seq, kind, position, count].every(isNumber)) throw invalid()
  if (of !== fingerprint) {
    throw badRequest(
      'The cursor belongs to another list: all parameters but limit and skip must be those that gave it.',
    )
  }
  return { value, seq, kind, position, total: { count, isExact: isExact === true } }
}

/** What a cursor is bound to: everything that decides which assets come, and in which order. */
export function fingerprintOf({
  query,
  type,
  sort,
  folderPath,
  fileType,
  tags,
  name,
}: SearchOptions): string {
  const asked = query ? [printSearch(query), query.assetTypes] : [type, tags, name]
  return createHash('sha256')
    .update(JSON.stringify([asked, sort.key, sort.descending, folderPath, fileType]))
    .digest('base64url')
    .slice(0, 11)
}
