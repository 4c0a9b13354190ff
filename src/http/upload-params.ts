import { badRequest } from '../kernel/errors.ts'
import { type ResponseField, TAGS_TOO_LONG, tagsAreTooLong, type UploadParams } from '../library/library.ts'

const RESPONSE_FIELDS: ResponseField[] = [
  'tags',
  'customCoordinates',
  'isPrivateFile',
  'embeddedMetadata',
  'isPublished',
  'customMetadata',
  'metadata',
  'selectedFieldsSchema',
]
const MAX_DESCRIPTION_CHARACTERS = 10_000
const MAX_JSON_DEPTH = 32
const MAX_JSON_KEYS = 1000

/**
 * Turns the fields of an upload form into typed parameters (contract notes 1.1 and 6.2). Unknown fields are
 * ignored; `undefined` and `null`, which an older SDK sends literally, count as absent.
 * @throws TintypeError bad-request naming the field that cannot be read. A privacy flag that cannot be read is
 * refused, never taken as public (trust M13).
 */
export function parseUploadParams(fields: [name: string, value: string][]): UploadParams {
  const values = collect(fields)
  const text = (name: string) => single(values, name)
  const flag = (name: string, fallback: boolean) => {
    const value = text(name)
    if (value === undefined || value === '') return fallback
    if (value === 'true') return true
    if (value === 'false') return false
    throw badRequest(`Your request contains invalid ${name} parameter. It should be true or false.`)
  }
  const fileName = values.get('fileName')
  if (fileName === undefined || fileName.length === 0 || fileName[0] === '') {
    throw badRequest('Your request is missing fileName parameter.')
  }
  return {
    fileName: fileName[0]!,
    folder: text('folder') ?? '/',
    useUniqueFileName: flag('useUniqueFileName', true),
    tags: parseTags(list(values, 'tags')),
    isPrivateFile: flag('isPrivateFile', false),
    isPublished: flag('isPublished', true),
    customCoordinates: parseCoordinates(text('customCoordinates')),
    responseFields: parseResponseFields(list(values, 'responseFields')),
    overwriteFile: flag('overwriteFile', true),
    overwriteAITags: flag('overwriteAITags', true),
    overwriteTags: flag('overwriteTags', true),
    overwriteCustomMetadata: flag('overwriteCustomMetadata', true),
    customMetadata: parseObject(text('customMetadata'), 'customMetadata'),
    description: parseDescription(text('description')),
    checks: text('checks') === '' ? undefined : text('checks'),
    webhookUrl: text('webhookUrl') === '' ? undefined : text('webhookUrl'),
    extensions: text('extensions')?.trim() === '' ? undefined : text('extensions'),
    transformation: parseTransformationField(text('transformation')),
  }
}

const LISTS = new Set(['tags', 'responseFields'])

function collect(fields: [string, string][]): Map<string, string[]> {
  const values = new Map<string, string[]>()
  for (const [rawName, value] of fields) {
    const name = LISTS.has(rawName.replace(/\[\]$/, '')) ? rawName.replace(/\[\]$/, '') : rawName
    const known = values.get(name)
    if (known === undefined) values.set(name, [value])
    else if (LISTS.has(name)) known.push(value)
    else throw badRequest(`Your request contains ${name} parameter more than once.`)
  }
  return values
}

function isAbsent(value: string): boolean {
  return value === 'undefined' || value === 'null'
}

function single(values: Map<string, string[]>, name: string): string | undefined {
  const value = values.get(name)?.[0]
  return value === undefined || isAbsent(value) ? undefined : value
}

/** A list on the wire: `a,b`, a JSON array, or the field repeated (contract notes 1.14, 2). */
function list(values: Map<string, string[]>, name: string): string[] | undefined {
  const raw = values.get(name)?.filter((value) => !isAbsent(value))
  if (raw === undefined || raw.length === 0) return undefined
  const items = raw.flatMap((value) => {
    if (!value.trimStart().startsWith('[')) return value.split(',')
    const parsed = parseJson(value, name)
    if (!Array.isArray(parsed) || parsed.some((item) => typeof item !== 'string')) {
      throw badRequest(`Your request contains invalid ${name} parameter. It should be a list of strings.`)
    }
    return parsed as string[]
  })
  return items.map((item) => item.trim()).filter((item) => item !== '')
}

/** @returns the tags without doubles, or undefined when the request has none. */
export function parseTags(tags: string[] | undefined): string[] | undefined {
  if (tags === undefined || tags.length === 0) return undefined
  if (tags.some((tag) => tag.includes('%'))) {
    throw badRequest(
      "Your request contains invalid value for tags parameter. The character '%' is not allowed.",
    )
  }
  if (tagsAreTooLong(tags)) throw badRequest(TAGS_TOO_LONG)
  return [...new Set(tags)]
}

/** `x,y,width,height` in whole pixels. @throws TintypeError bad-request for anything else. */
export function parseCoordinates(value: string | undefined): string | undefined {
  if (value === undefined || value.trim() === '') return undefined
  const numbers = value.split(',').map((part) => part.trim())
  const valid =
    numbers.length === 4 &&
    numbers.every((number) => /^[0-9]{1,7}$/.test(number)) &&
    Number(numbers[2]) > 0 &&
    Number(numbers[3]) > 0
  if (!valid) {
    throw badRequest(
      'Your request contains invalid customCoordinates parameter. It should be in the format x,y,width,height.',
    )
  }
  return numbers.map(Number).join(',')
}

/** @returns undefined for an empty one. @throws TintypeError bad-request for one that is too long. */
export function parseDescription(text: string | undefined): string | undefined {
  if (text !== undefined && text.length > MAX_DESCRIPTION_CHARACTERS) {
    throw badRequest(
      `Your request contains invalid description parameter. It can be at most ${MAX_DESCRIPTION_CHARACTERS} characters long.`,
    )
  }
  return text === '' ? undefined : text
}

function parseResponseFields(names: string[] | undefined): ResponseField[] {
  const unknown = names?.find((name) => !RESPONSE_FIELDS.includes(name as ResponseField))
  if (unknown !== undefined) {
    throw badRequest(
      `Your request contains invalid responseFields parameter. Please provide any of the following: ${RESPONSE_FIELDS.join(', ')}.`,
    )
  }
  return (names ?? []) as ResponseField[]
}

function parseObject(value: string | undefined, name: string): Record<string, unknown> | undefined {
  if (value === undefined || value.trim() === '') return undefined
  const parsed = parseJson(value, name)
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw badRequest(`Your request contains invalid ${name} parameter. It should be a JSON object.`)
  }
  return parsed as Record<string, unknown>
}

/** What it holds is the library's to judge; here it is only read. */
function parseTransformationField(value: string | undefined): unknown {
  if (value === undefined || value.trim() === '') return undefined
  try {
    return parseJson(value, 'transformation')
  } catch (cause) {
    throw badRequest('The file could not be uploaded because the transformation field is invalid.', { cause })
  }
}

/** JSON with bounds on depth and keys: a deep or huge value costs more to walk than to send (trust M14). */
function parseJson(text: string, name: string): unknown {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (cause) {
    throw badRequest(`Your request contains invalid ${name} parameter. It should be valid JSON.`, { cause })
  }
  let keys = 0
  const walk = (value: unknown, depth: number) => {
    if (typeof value !== 'object' || value === null) return
    const children = Object.entries(value)
    keys += children.length
    if (depth > MAX_JSON_DEPTH || keys > MAX_JSON_KEYS || Object.hasOwn(value, '__proto__')) {
      throw badRequest(`Your request contains invalid ${name} parameter. It is too deep or too large.`)
    }
    for (const [, child] of children) walk(child, depth + 1)
  }
  walk(parsed, 1)
  return parsed
}
