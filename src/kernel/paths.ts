import { badRequest, TintypeError } from './errors.ts'

/** Deepest nesting of folders (seed v2, `folder`). */
export const MAX_FOLDER_DEPTH = 50
/** Longest file or folder name in bytes of UTF-8: what the usual file systems and object stores can hold too. */
export const MAX_NAME_BYTES = 255

const NOT_IN_FILE_NAME = /[^\p{L}\p{M}\p{N}._-]/gu
const NOT_IN_FOLDER_NAME = /[^\p{L}\p{M}\p{N}_-]/gu

/**
 * Cleans a file name as the upload documentation prescribes (seed v2, `fileName`): Unicode letters, marks and
 * numerals and `. _ -` stay, everything else becomes `_`. The result is in NFC, so that one name has one spelling.
 * @throws TintypeError bad-request when nothing usable is left or the name is too long.
 */
export function cleanFileName(raw: string): string {
  const name = raw.normalize('NFC').replace(NOT_IN_FILE_NAME, '_')
  if (name === '') throw badRequest('Your request is missing fileName parameter.')
  if (name === '.' || name === '..') {
    throw badRequest(
      "Your request contains invalid fileName parameter. '.' & '..' can not be used as file name.",
    )
  }
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw badRequest(
      `Your request contains invalid fileName parameter. The name can be at most ${MAX_NAME_BYTES} bytes long.`,
    )
  }
  return name
}

/** Cleans one folder name: as `cleanFileName`, but `.` becomes `_` too (OpenAPI, Create folder). */
export function cleanFolderName(raw: string): string {
  if (raw === '.' || raw === '..') {
    throw new TintypeError('bad-request', "'.' & '..' can not be used as folder-name", {
      reason: 'INVALID_FOLDER_PATH',
    })
  }
  const name = raw.normalize('NFC').replace(NOT_IN_FOLDER_NAME, '_')
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw badRequest(`A folder name can be at most ${MAX_NAME_BYTES} bytes long.`, {
      reason: 'INVALID_FOLDER_PATH',
    })
  }
  return name
}

/**
 * Brings a folder path that a client sends into its normal form: `/` or `/a/b`; doubled, leading and trailing
 * slashes do not count, names are cleaned.
 * @throws TintypeError bad-request for `.`, `..` and more than 50 levels.
 */
export function normalizeFolderPath(raw: string): string {
  const names = raw.split('/').filter((part) => part !== '')
  if (names.length > MAX_FOLDER_DEPTH) {
    throw badRequest(`The nesting of folders can be at most ${MAX_FOLDER_DEPTH} levels deep.`, {
      reason: 'INVALID_FOLDER_PATH',
    })
  }
  return `/${names.map(cleanFolderName).join('/')}`
}

/**
 * Splits a file path that a client names, without cleaning: what does not exist is simply not found.
 * `/a/b.jpg` gives `{ folderPath: '/a', name: 'b.jpg' }`.
 */
export function splitFilePath(raw: string): { folderPath: string; name: string } {
  const names = raw
    .normalize('NFC')
    .split('/')
    .filter((part) => part !== '')
  const name = names.pop() ?? ''
  return { folderPath: `/${names.join('/')}`, name }
}

/** `/` + `a.jpg` = `/a.jpg`; `/x` + `a.jpg` = `/x/a.jpg`. */
export function joinPath(folderPath: string, name: string): string {
  return folderPath === '/' ? `/${name}` : `${folderPath}/${name}`
}

/** Parent of a normal folder path; the root has none. */
export function parentPath(path: string): string | null {
  if (path === '/') return null
  const end = path.lastIndexOf('/')
  return end === 0 ? '/' : path.slice(0, end)
}

/**
 * Puts a suffix between a name and its extension: `image.jpg` + `iEyH1dQme` = `image_iEyH1dQme.jpg` (contract notes
 * 1.1). The stem is shortened where the whole would grow too long.
 */
export function suffixName(name: string, suffix: string): string {
  const dot = name.lastIndexOf('.')
  const stem = dot > 0 ? name.slice(0, dot) : name
  const extension = dot > 0 ? name.slice(dot) : ''
  const room = MAX_NAME_BYTES - Buffer.byteLength(extension) - suffix.length - 1
  let short = stem
  while (Buffer.byteLength(short) > room) short = [...short].slice(0, -1).join('')
  return `${short}_${suffix}${extension}`
}
