import { badRequest } from '../kernel/errors.ts'
import { isGiven, objectOf } from './json-body.ts'

/** @throws TintypeError bad-request with MISSING_PARAMETER or INVALID_PARAMETER, as all of these. */
export function parseFolderCreation(body: unknown): { folderName: string; parentFolderPath: string } {
  const given = objectOf(body)
  return { folderName: textOf(given, 'folderName'), parentFolderPath: textOf(given, 'parentFolderPath') }
}

export function parseFolderDeletion(body: unknown): string {
  return textOf(objectOf(body), 'folderPath')
}

export function parseFolderMove(body: unknown): { sourceFolderPath: string; destinationPath: string } {
  const given = objectOf(body)
  return {
    sourceFolderPath: textOf(given, 'sourceFolderPath'),
    destinationPath: textOf(given, 'destinationPath'),
  }
}

export function parseFolderCopy(
  body: unknown,
): ReturnType<typeof parseFolderMove> & { includeVersions: boolean } {
  const given = objectOf(body)
  // The name of older documents and SDKs counts where the newer one is not there (contract notes 1.4).
  const name = isGiven(given.includeVersions) ? 'includeVersions' : 'includeFileVersions'
  return { ...parseFolderMove(body), includeVersions: flagOf(given, name) }
}

export function parseFolderRename(body: unknown): {
  folderPath: string
  newFolderName: string
  purgeCache: boolean
} {
  const given = objectOf(body)
  return {
    folderPath: textOf(given, 'folderPath'),
    newFolderName: textOf(given, 'newFolderName'),
    purgeCache: flagOf(given, 'purgeCache'),
  }
}

function textOf(given: Record<string, unknown>, name: string): string {
  const value = given[name]
  if (!isGiven(value)) throw badRequest(`${name} parameter is missing.`, { reason: 'MISSING_PARAMETER' })
  if (typeof value !== 'string') {
    throw badRequest(`Your request contains invalid ${name} parameter. It should be a string.`, {
      reason: 'INVALID_PARAMETER',
    })
  }
  return value
}

function flagOf(given: Record<string, unknown>, name: string): boolean {
  const value = given[name]
  if (!isGiven(value)) return false
  if (typeof value !== 'boolean') {
    throw badRequest(`Your request contains invalid ${name} parameter. It should be true or false.`, {
      reason: 'INVALID_PARAMETER',
    })
  }
  return value
}
