import { contains, type Point } from './area.ts'
import type { Comparison, Condition, FieldRef, Value } from './ast.ts'
import { parsePath } from './literals.ts'
import { parseDate } from './values.ts'
import { hasWords, splitWords } from './words.ts'

/** How a condition is asked about one thing. */
export type Subject = {
  /** Whether this thing has the field at all; if not, every comparison of it is false. */
  applies(field: FieldRef): boolean
  /** The field's value: text, number, boolean, a list of these, a `Point`, or nothing. Dates as ISO text or milliseconds. */
  read(field: FieldRef): unknown
}

/** Whether a condition holds, by its definition and without any index. */
export function evaluateCondition(condition: Condition, subject: Subject): boolean {
  switch (condition.kind) {
    case 'and':
      return condition.terms.every((term) => evaluateCondition(term, subject))
    case 'or':
      return condition.terms.some((term) => evaluateCondition(term, subject))
    case 'not':
      return !evaluateCondition(condition.term, subject)
    default:
      if (!subject.applies(condition.field)) return false
      return evaluateComparison(condition, subject.read(condition.field))
  }
}

function evaluateComparison(comparison: Comparison, found: unknown): boolean {
  const { field } = comparison
  switch (comparison.kind) {
    case 'compare':
      switch (comparison.op) {
        case '=':
          return equals(found, comparison.value, field)
        case '!=':
          return !equals(found, comparison.value, field)
        default:
          return isOrdered(found, comparison.op, comparison.value)
      }
    case 'in': {
      const elements = Array.isArray(found) ? found : [found]
      const isAmong = elements.some((element) =>
        comparison.values.some((value) => equals(element, value, field)),
      )
      return isAmong !== comparison.negated
    }
    case 'prefix':
      return typeof found === 'string' && comparable(found, field).startsWith(comparison.prefix)
    case 'within': {
      const path = typeof found === 'string' ? comparable(found, field) : undefined
      if (path === undefined) return false
      return (
        path === comparison.path || path.startsWith(comparison.path === '/' ? '/' : `${comparison.path}/`)
      )
    }
    case 'has': {
      const texts: unknown[] = Array.isArray(found) ? found : [found]
      const words = texts.flatMap((text) => (typeof text === 'string' ? splitWords(text) : []))
      return hasWords(words, comparison.words) !== comparison.negated
    }
    case 'exists': {
      const isMissing =
        found === undefined || found === null || found === '' || (Array.isArray(found) && found.length === 0)
      return isMissing === comparison.negated
    }
    case 'area':
      return (isPoint(found) && contains(comparison.area, found)) !== comparison.negated
  }
}

/** Equality without conversion: a number never equals the text that spells it. */
function equals(found: unknown, value: Value, field: FieldRef): boolean {
  switch (value.type) {
    case 'text':
      return typeof found === 'string' && comparable(found, field) === value.text
    case 'number':
      return found === value.number
    case 'boolean':
      return found === value.boolean
    case 'date': {
      const ms = instant(found)
      return ms !== undefined && ms >= value.ms && ms < value.ms + value.spanMs
    }
  }
}

function isOrdered(found: unknown, op: '<' | '<=' | '>' | '>=', value: Value): boolean {
  if (value.type === 'number') {
    return typeof found === 'number' && compare(found, op, { from: value.number, past: undefined })
  }
  const ms = value.type === 'date' ? instant(found) : undefined
  if (value.type !== 'date' || ms === undefined) return false
  return compare(ms, op, { from: value.ms, past: value.ms + value.spanMs })
}

/** Compares with a number, or with a span of time that ends before `past`. */
function compare(
  found: number,
  op: '<' | '<=' | '>' | '>=',
  { from, past }: { from: number; past: number | undefined },
): boolean {
  switch (op) {
    case '<':
      return found < from
    case '>=':
      return found >= from
    case '<=':
      return past === undefined ? found <= from : found < past
    case '>':
      return past === undefined ? found > from : found >= past
  }
}

/** A stored text in the form in which query values of the field stand. */
function comparable(text: string, field: FieldRef): string {
  if (field.type === 'token') return text.toLowerCase()
  return field.type === 'path' ? (parsePath(text) ?? '/') : text
}

/** Milliseconds of a stored date (ISO text as a client gave it, or milliseconds), or undefined when it is none. */
export function instant(found: unknown): number | undefined {
  if (typeof found === 'number') return found
  if (typeof found !== 'string') return undefined
  const date = parseDate(found, 0)
  // Stored dates are never relative; a stored `7d` is no date.
  return date === undefined || date.ago ? undefined : date.ms
}

function isPoint(found: unknown): found is Point {
  return (
    typeof found === 'object' &&
    found !== null &&
    'latitude' in found &&
    typeof found.latitude === 'number' &&
    'longitude' in found &&
    typeof found.longitude === 'number'
  )
}
