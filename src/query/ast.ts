import type { Area } from './area.ts'

/**
 * How a field's values are compared.
 * - `text`: exact, case-sensitive. `token`: exact, both sides in lower case.
 * - `path`: a folder path; `list`: strings; `mixed-list` and `select`: strings, numbers and booleans side by side,
 *   where a number never equals the string that spells it.
 * - `size`: bytes. `date`: an instant. `location`: latitude and longitude in degrees.
 */
export type FieldType =
  | 'text'
  | 'token'
  | 'path'
  | 'list'
  | 'mixed-list'
  | 'select'
  | 'number'
  | 'size'
  | 'date'
  | 'boolean'
  | 'location'

export type AssetType = 'file' | 'file-version' | 'folder'

/** Where a field's value lies; `asset`, `customMetadata` and `embeddedMetadata` in searches, the others in checks. */
export type FieldScope =
  | 'asset'
  | 'customMetadata'
  | 'embeddedMetadata'
  | 'request'
  | 'request.customMetadata'
  | 'file'
  | 'mediaMetadata'

/**
 * A field of a parsed query: only ever one of the table's or of the schema that the caller passed, so `scope` and
 * `name` may select columns and JSON keys. `name` is user text within the metadata scopes (the name of a custom
 * field): bind it, do not splice it.
 */
export type FieldRef = {
  scope: FieldScope
  name: string
  type: FieldType
  /**
   * The assets that have the field. A comparison is false for every other asset, negated or not, so that
   * `width NOT = 100` gives images and `tags NOT IN […]` gives files (search manual, "supported parameters").
   */
  appliesTo: 'all' | 'files' | 'images'
}

/** `<count><unit>` before now; `m` is months. */
export type Ago = { count: number; unit: 'h' | 'd' | 'w' | 'm' | 'y' }

export type DateValue = {
  type: 'date'
  /** Milliseconds since the epoch, at which the value begins. */
  ms: number
  /**
   * How long the value lasts: 1000 where it was given to the second, 1 with a fraction, longer for a period. An
   * instant t is `=` for ms ≤ t < ms + spanMs, `<` before that and `>` after it, so exactly one of the three holds.
   */
  spanMs: number
  /** How a relative value was written; `ms` is resolved already. */
  ago?: Ago
  /** How a period was written (checks only): `2020`, `2020-01`, `2020-01-31`. */
  period?: string
}

export type Value =
  | { type: 'text'; text: string }
  | { type: 'number'; number: number }
  | { type: 'boolean'; boolean: boolean }
  | DateValue

/** One condition on one field. All are two-valued: a missing value fails what is not negated and passes what is. */
export type Comparison =
  /** `!=` is true where `=` is false, so also for a missing value. The ordering operators come with numbers and dates only. */
  | { kind: 'compare'; field: FieldRef; op: '=' | '!=' | '<' | '<=' | '>' | '>='; value: Value }
  /** The value, or one of the values of a list, is among these. */
  | { kind: 'in'; field: FieldRef; negated: boolean; values: Value[] }
  /** The text begins with `prefix`, case-sensitively for `text` and `select`, in lower case for `token`. */
  | { kind: 'prefix'; field: FieldRef; prefix: string }
  /** The folder is `path` or lies below it. `path` is normal: `/` or `/a/b`. */
  | { kind: 'within'; field: FieldRef; path: string }
  /** All words occur, the last one as the beginning of a word; see `splitWords`. */
  | { kind: 'has'; field: FieldRef; negated: boolean; words: string[] }
  /** There is a value: not null, not an empty text or list. */
  | { kind: 'exists'; field: FieldRef; negated: boolean }
  | { kind: 'area'; field: FieldRef; negated: boolean; area: Area }

/**
 * A condition in normal form: `and` and `or` have two or more terms, none of which has the same kind; `not` never
 * holds another `not`. `not` is the complement of its term, also where a field does not apply.
 */
export type Condition =
  | { kind: 'and'; terms: Condition[] }
  | { kind: 'or'; terms: Condition[] }
  | { kind: 'not'; term: Condition }
  | Comparison

/** Joins conditions in normal form. One condition stays as it is. */
export function join(kind: 'and' | 'or', terms: Condition[]): Condition {
  const flat = terms.flatMap((term) => (term.kind === kind ? term.terms : [term]))
  return flat.length === 1 ? flat[0]! : { kind, terms: flat }
}

/** The complement of a condition in normal form. */
export function negate(term: Condition): Condition {
  return term.kind === 'not' ? term.term : { kind: 'not', term }
}

/** Every comparison of a condition, from left to right. */
export function* comparisons(condition: Condition): Generator<Comparison> {
  switch (condition.kind) {
    case 'and':
    case 'or':
      for (const term of condition.terms) yield* comparisons(term)
      return
    case 'not':
      yield* comparisons(condition.term)
      return
    default:
      yield condition
  }
}
