import { badRequest, type TintypeError } from '../kernel/errors.ts'
import type { Point } from './area.ts'
import { type AssetType, type Condition, comparisons, type FieldRef } from './ast.ts'
import { evaluateCondition } from './evaluate.ts'
import { ASSET_TYPES, type CustomField, checksFields, type EmbeddedField, searchFields } from './fields.ts'
import { SyntaxProblem, tokenize } from './lexer.ts'
import { type Dialect, parseCondition, type QueryLimits } from './parse.ts'
import { printCondition } from './print.ts'

export { type Area, boundsOf, contains, type Point, parseArea } from './area.ts'
export type {
  AssetType,
  Comparison,
  Condition,
  DateValue,
  FieldRef,
  FieldScope,
  FieldType,
  Value,
} from './ast.ts'
export { comparisons } from './ast.ts'
export { instant } from './evaluate.ts'
export type { CustomField, CustomFieldType, EmbeddedField, FieldDefinition, Operator } from './fields.ts'
export { checksFields, fieldKey, searchFields } from './fields.ts'
export type { QueryLimits } from './parse.ts'
export { hasWords, splitWords } from './words.ts'

export const QUERY_LIMITS: QueryLimits = {
  maxBytes: 8192,
  maxDepth: 20,
  maxComparisons: 200,
  maxListValues: 1000,
}

export type QueryOptions = {
  /** The time that relative dates are counted back from. */
  nowMs: number
  /** The custom metadata fields that are defined; others are unknown to the query. */
  customFields?: readonly CustomField[]
  /** Fields of the embedded metadata beyond Keywords, DateTimeOriginal and LocationTaken. */
  embeddedFields?: readonly EmbeddedField[]
  limits?: Partial<QueryLimits>
}

export type SearchQuery = {
  condition: Condition
  /**
   * The types of asset that the search gives, on top of the condition. All, when the query speaks of `type` itself.
   * Else files, and folders too when every field of the query is one for which the manual promises "files &
   * folders" (`id`, `name`, `path`, custom metadata); never old versions.
   */
  assetTypes: AssetType[]
}

/** What `evaluateSearch` asks of an asset. */
export type SearchDocument = {
  type: AssetType
  id: string
  name: string
  /** Folder that holds the asset, `/` or `/a/b`. */
  folderPath: string
  createdAtMs: number
  updatedAtMs: number
  createdBy?: string | null
  fileType?: 'image' | 'non-image'
  tags?: readonly string[] | null
  aiTags?: readonly { name: string }[] | null
  widthPx?: number | null
  heightPx?: number | null
  sizeBytes?: number
  format?: string
  isPrivate?: boolean
  isPublished?: boolean
  hasAlpha?: boolean | null
  customMetadata?: Readonly<Record<string, unknown>>
  embeddedMetadata?: Readonly<Record<string, unknown>>
  /** What `embeddedMetadata.LocationTaken` is compared with. */
  location?: Point | null
}

/** Fields for which the search manual says that they give "files & folders"; see `SearchQuery.assetTypes`. */
const FINDS_FOLDERS = new Set(['id', 'name', 'path'])

/**
 * Parses a `searchQuery` (search manual and contract notes, 2). What the manual leaves open is decided so:
 *
 * - AND binds tighter than OR, as in conditional transformations; `NOT` may also stand before a condition or group.
 * - Keywords may be written in any case. Strings stand in `"` or `'` (the manual's Java samples), with `\"`, `\\`
 *   and the escapes of JSON and Go inside; an unknown escape is an error. One stray quote at the very end is
 *   overlooked, since the manual's Node and Java samples have it.
 * - Names of metadata fields must be quoted, as the manual demands; other fields may be. A whole condition in quotes,
 *   as one passage prints it, is an error that says so.
 * - `createdAt > "7d"` is newer than seven days: a relative value is a point in the past. `4m` is four months.
 * - Dates without a time are 00:00:00 UTC; `=` compares to the second (see `DateValue.spanMs`).
 * - `1kb` is 1024 bytes; units may be written in any case, with or without quotes.
 * - Numbers, dates and booleans may be quoted where the field decides the type. In select fields `500` and `"500"`
 *   are different values.
 * - `:` is "begins with", on `path` "in this folder or below"; an empty text after it and an empty list are errors.
 * - `NOT =`, `NOT IN`, `NOT HAS` are complements: they hold where the value is missing (`tags NOT IN ["a"]` finds
 *   untagged files), but only for assets that have the field (`FieldRef.appliesTo`).
 * - `HAS` ignores case and wants all words, the last one as the beginning of a word.
 * - `format` is the format of the content, so `.jpeg` files are `jpg`; `jpeg` is accepted for it.
 * - Which types of asset are found without a word of `type`: see `SearchQuery.assetTypes`.
 *
 * @throws TintypeError bad-request that tells the column (1-based) and what was expected there.
 */
export function parseSearch(text: string, options: QueryOptions): SearchQuery {
  const { customFields = [], embeddedFields = [] } = options
  const dialect: Dialect = {
    fields: searchFields({ customFields, embeddedFields }),
    mayBeBare: ({ ref }) => ref.scope === 'asset',
    hasMeansElement: false,
    overlooksStrayQuote: true,
    nowMs: options.nowMs,
    limits: { ...QUERY_LIMITS, ...options.limits },
  }
  const condition = parseText(text, dialect, (detail) =>
    badRequest(`Your request contains invalid syntax for the searchQuery parameter: ${detail}`),
  )
  return { condition, assetTypes: assetTypesOf(condition) }
}

/** The canonical text of a query; `parseSearch` with the same options gives an equal query. */
export function printSearch(query: SearchQuery): string {
  return printCondition(query.condition)
}

/** Whether an asset is among the results of a query. The definition of the language; the store's SQL must agree with it. */
export function evaluateSearch(query: SearchQuery, document: SearchDocument): boolean {
  if (!query.assetTypes.includes(document.type)) return false
  return evaluateCondition(query.condition, {
    applies: (field) =>
      field.appliesTo === 'all' ||
      (document.type !== 'folder' && (field.appliesTo === 'files' || document.fileType === 'image')),
    read: (field) => readDocument(document, field),
  })
}

/** Public messages of the two ways in which `checks` fail (OpenAPI, upload). */
export const CHECKS_SYNTAX_MESSAGE = 'Your request contains invalid syntax for the checks parameter.'
export const CHECKS_FAILED_MESSAGE = "Your request failed 'checks' validation."

export type Checks = { condition: Condition }

/** What `evaluateChecks` asks of an upload: the request with its defaults, and what is known of the file. */
export type ChecksSubject = {
  request: {
    /** As it will be stored, but for the unique suffix. */
    fileName: string
    useUniqueFileName: boolean
    tags: readonly string[]
    /** `/` or `/a/b`. */
    folder: string
    isPrivateFile: boolean
    isPublished: boolean
    customCoordinates?: string | null
    webhookUrl?: string | null
    overwriteFile: boolean
    overwriteAITags: boolean
    overwriteTags: boolean
    overwriteCustomMetadata: boolean
    customMetadata: Readonly<Record<string, unknown>>
  }
  file: { /** Bytes. */ size: number; mime: string }
  /** Pixels, seconds, bits per second; absent where they do not apply. */
  mediaMetadata: {
    width?: number | null
    height?: number | null
    duration?: number | null
    videoCodec?: string | null
    audioCodec?: string | null
    bitRate?: number | null
  }
}

/**
 * Parses the `checks` of an upload (upload manual, "Upload API checks"): the language of `parseSearch` with the
 * fields of `checksFields`, whose names are always quoted. Here `HAS` asks a list for one whole element, `:` on a
 * date is a year, month or day, and no stray quote is overlooked, since a check that is misread protects nothing.
 * A missing value fails every check that is not negated.
 * @throws TintypeError bad-request with the contract's message; `errors.checks` tells the column and what was expected.
 */
export function parseChecks(text: string, options: Omit<QueryOptions, 'embeddedFields'>): Checks {
  const dialect: Dialect = {
    fields: checksFields({ customFields: options.customFields ?? [] }),
    mayBeBare: () => false,
    hasMeansElement: true,
    overlooksStrayQuote: false,
    nowMs: options.nowMs,
    limits: { ...QUERY_LIMITS, ...options.limits },
  }
  const condition = parseText(text, dialect, (detail) =>
    badRequest(CHECKS_SYNTAX_MESSAGE, { extra: { errors: { checks: detail } } }),
  )
  return { condition }
}

/** The canonical text of checks; `parseChecks` with the same options gives equal checks. */
export function printChecks(checks: Checks): string {
  return printCondition(checks.condition)
}

/** Whether an upload passes its checks. */
export function evaluateChecks(checks: Checks, subject: ChecksSubject): boolean {
  return evaluateCondition(checks.condition, {
    applies: () => true,
    read: ({ scope, name }) => {
      switch (scope) {
        case 'request':
          return own(subject.request, name)
        case 'request.customMetadata':
          return own(subject.request.customMetadata, name)
        case 'file':
          return own(subject.file, name)
        case 'mediaMetadata':
          return own(subject.mediaMetadata, name)
        default:
          return undefined
      }
    },
  })
}

function parseText(text: string, dialect: Dialect, fail: (detail: string) => TintypeError): Condition {
  const { maxBytes } = dialect.limits
  if (text.length > maxBytes || new TextEncoder().encode(text).length > maxBytes) {
    throw fail(`longer than ${maxBytes} bytes.`)
  }
  try {
    return parseCondition(tokenize(dialect.overlooksStrayQuote ? withoutStrayQuote(text) : text), dialect)
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) throw error
    throw fail(`at column ${error.position + 1}, ${error.message}.`)
  }
}

/** Drops a lone quote at the end, which could only open a string without an end. */
function withoutStrayQuote(text: string): string {
  const trimmed = text.trimEnd()
  const last = trimmed.at(-1)
  if (last !== '"' && last !== "'") return text
  try {
    tokenize(text)
    return text
  } catch (error) {
    const isStray = error instanceof SyntaxProblem && error.position === trimmed.length - 1
    return isStray ? trimmed.slice(0, -1) : text
  }
}

function assetTypesOf(condition: Condition): AssetType[] {
  let findsFolders = true
  for (const { field } of comparisons(condition)) {
    if (field.scope === 'asset' && field.name === 'type') return [...ASSET_TYPES]
    if (!(field.scope === 'customMetadata' || (field.scope === 'asset' && FINDS_FOLDERS.has(field.name)))) {
      findsFolders = false
    }
  }
  return findsFolders ? ['file', 'folder'] : ['file']
}

function readDocument(document: SearchDocument, { scope, name }: FieldRef): unknown {
  if (scope === 'customMetadata') return own(document.customMetadata, name)
  if (scope === 'embeddedMetadata') {
    return name === 'LocationTaken' ? document.location : own(document.embeddedMetadata, name)
  }
  return ASSET_READERS[name]?.(document)
}

const ASSET_READERS: Record<string, (document: SearchDocument) => unknown> = {
  id: (document) => document.id,
  name: (document) => document.name,
  tags: (document) => [...(document.tags ?? []), ...(document.aiTags ?? []).map((tag) => tag.name)],
  type: (document) => document.type,
  path: (document) => document.folderPath,
  createdAt: (document) => document.createdAtMs,
  updatedAt: (document) => document.updatedAtMs,
  createdBy: (document) => document.createdBy,
  height: (document) => document.heightPx,
  width: (document) => document.widthPx,
  size: (document) => document.sizeBytes,
  format: (document) => document.format,
  private: (document) => document.isPrivate,
  published: (document) => document.isPublished,
  transparency: (document) => document.hasAlpha,
}

/** An own member, so that a field named `constructor` finds nothing. */
function own(object: object | undefined, name: string): unknown {
  return object !== undefined && Object.hasOwn(object, name)
    ? (object as Record<string, unknown>)[name]
    : undefined
}
