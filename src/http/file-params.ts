import { badRequest } from '../kernel/errors.ts'
import type { CopyParams, FileUpdate, MoveParams, RenameParams } from '../library/library.ts'
import { isGiven, objectOf } from './json-body.ts'
import { parseCoordinates, parseDescription, parseTags } from './upload-params.ts'

/** Most files of one bulk deletion, and of one bulk change of tags (contract notes 1.3). */
const MAX_DELETED = 100
const MAX_EDITED = 50

const EXAMPLE = "Please provide an array of strings. Example - ['t-shirt','summer-sale']."

/**
 * What `PATCH /v1/files/{fileId}/details` asks for. The contract knows two forms, details and publication; both may
 * come together.
 * @throws TintypeError bad-request naming the parameter that cannot be read.
 */
export function parseFileUpdate(body: unknown): FileUpdate {
  const given = objectOf(body)
  const update: FileUpdate = {}
  if (isGiven(given.extensions)) update.extensions = given.extensions
  if (isGiven(given.webhookUrl)) update.webhookUrl = textOf(given.webhookUrl, 'webhookUrl')
  if (isGiven(given.removeAITags)) update.removeAiTags = parseRemovedAiTags(given.removeAITags)
  if (given.tags !== undefined) update.tags = given.tags === null ? null : parseTagList(given.tags)
  if (given.customCoordinates !== undefined) {
    update.customCoordinates = parseCoordinates(textOf(given.customCoordinates, 'customCoordinates')) ?? null
  }
  if (given.description !== undefined) {
    update.description = parseDescription(textOf(given.description, 'description')) ?? null
  }
  if (given.customMetadata !== undefined) {
    const { customMetadata } = given
    if (typeof customMetadata !== 'object' || customMetadata === null || Array.isArray(customMetadata)) {
      throw badRequest('Invalid custom metadata.', { extra: { errors: {} } })
    }
    update.customMetadata = customMetadata as Record<string, unknown>
  }
  if (isGiven(given.publish)) update.publish = parsePublication(given.publish)
  return update
}

function parseRemovedAiTags(value: unknown): string[] | 'all' {
  if (value === 'all') return 'all'
  if (!isListOfTexts(value)) {
    throw badRequest(
      "Your request contains invalid value for removeAITags parameter. Please provide an array of strings or 'all'.",
    )
  }
  return value
}

/** No tags at all are null, as after an upload without tags. */
function parseTagList(value: unknown): string[] | null {
  if (!isListOfTexts(value)) {
    throw badRequest(`Your request contains invalid value for tags parameter. ${EXAMPLE}`)
  }
  return parseTags(value.map((tag) => tag.trim()).filter((tag) => tag !== '')) ?? null
}

function parsePublication(value: unknown): NonNullable<FileUpdate['publish']> {
  const { isPublished, includeFileVersions = false } = typeof value === 'object' ? objectOf(value) : {}
  if (typeof isPublished !== 'boolean' || typeof includeFileVersions !== 'boolean') {
    throw badRequest(
      'Your request contains invalid publish parameter. isPublished and includeFileVersions should be true or false.',
    )
  }
  return { isPublished, includeFileVersions }
}

/** @throws TintypeError bad-request for anything but a text and null. */
function textOf(value: unknown, name: string): string | undefined {
  if (value === null) return undefined
  if (typeof value !== 'string') {
    throw badRequest(`Your request contains invalid ${name} parameter. It should be a string.`)
  }
  return value
}

function isListOfTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

/** The files of a bulk deletion. @throws TintypeError bad-request with the contract's messages. */
export function parseDeletion(body: unknown): string[] {
  return parseFileIds(objectOf(body), MAX_DELETED, `fileIds cannot have more than ${MAX_DELETED} items.`)
}

/** The files and tags of a bulk change of tags. @throws TintypeError bad-request with the contract's messages. */
export function parseTagging(
  body: unknown,
  listName: 'tags' | 'AITags',
): { fileIds: string[]; tags: string[] } {
  const given = objectOf(body)
  const fileIds = parseFileIds(given, MAX_EDITED, `A maximum of ${MAX_EDITED} files can be edited at a time.`)
  const list = given[listName]
  if (list === undefined || list === null) throw badRequest(`${listName} parameter is missing.`)
  if (!isListOfTexts(list)) {
    const what = listName === 'tags' ? 'tags parameter' : 'AITags'
    throw badRequest(`Your request contains invalid value for ${what}. ${EXAMPLE}`)
  }
  const tags = list.map((tag) => tag.trim()).filter((tag) => tag !== '')
  if (tags.length === 0) throw badRequest(`${listName} array cannot be empty.`)
  return { fileIds, tags: listName === 'tags' ? (parseTags(tags) ?? []) : tags }
}

function parseFileIds(given: Record<string, unknown>, max: number, tooMany: string): string[] {
  const { fileIds } = given
  if (fileIds === undefined || fileIds === null) throw badRequest('fileIds parameter is missing.')
  if (!Array.isArray(fileIds)) throw badRequest('fileIds should be an Array.')
  if (fileIds.length === 0) throw badRequest('fileIds is empty.')
  if (fileIds.length > max) throw badRequest(tooMany)
  if (!isListOfTexts(fileIds)) throw badRequest('fileIds should be an Array of strings.')
  return fileIds
}

const INVALID_PARAMETERS = 'Your request is missing parameters / contains invalid parameters.'

/** @throws TintypeError bad-request with MISSING_PARAMETER or INVALID_PARAMETER. */
export function parseMove(body: unknown): MoveParams {
  const given = objectOf(body)
  return {
    sourceFilePath: pathOf(given, 'sourceFilePath'),
    destinationPath: pathOf(given, 'destinationPath'),
  }
}

/** @throws TintypeError as `parseMove`. */
export function parseCopy(body: unknown): CopyParams {
  return { ...parseMove(body), includeFileVersions: flagOf(objectOf(body), 'includeFileVersions') }
}

/** @throws TintypeError as `parseMove`. */
export function parseRename(body: unknown): RenameParams {
  const given = objectOf(body)
  return {
    filePath: pathOf(given, 'filePath'),
    newFileName: pathOf(given, 'newFileName'),
    purgeCache: flagOf(given, 'purgeCache'),
  }
}

function pathOf(given: Record<string, unknown>, name: string): string {
  const value = given[name]
  if (!isGiven(value)) throw badRequest(INVALID_PARAMETERS, { reason: 'MISSING_PARAMETER' })
  if (typeof value !== 'string') throw badRequest(INVALID_PARAMETERS, { reason: 'INVALID_PARAMETER' })
  return value
}

function flagOf(given: Record<string, unknown>, name: string): boolean {
  const value = given[name]
  if (!isGiven(value)) return false
  if (typeof value !== 'boolean') throw badRequest(INVALID_PARAMETERS, { reason: 'INVALID_PARAMETER' })
  return value
}
