import { badRequest, TintypeError } from '../kernel/errors.ts'
import { joinPath } from '../kernel/paths.ts'
import type { FileVersion, Store, Tables } from '../store/store.ts'

export const FILE_MISSING = 'The requested file does not exist.'
export const VERSION_MISSING = 'The requested file version does not exist.'

const ID = /^[0-9a-f]{24}$/

export function isId(text: string): boolean {
  return ID.test(text)
}

/** @throws TintypeError bad-request for what no file can have as its id. */
export function checkFileId(fileId: string): void {
  if (!isId(fileId)) throw badRequest('Your request contains invalid fileId parameter.')
}

/** @throws TintypeError bad-request for what no version can have as its id. */
export function checkVersionId(versionId: string): void {
  if (!isId(versionId)) throw badRequest('Your request contains invalid versionId parameter.')
}

/** A file that is moved on and on while somebody waits for it: a bound for what cannot last. */
const MAX_MOVES = 20

/**
 * Holds files against uploads, restores, moves and deletions until the transaction ends. What is read of them before
 * may be outdated; what this gives is not.
 * @returns the current versions, without files that are not there.
 * @throws TintypeError locked, while a bulk job holds a folder of theirs.
 */
export async function lockFiles(tx: Tables, fileIds: string[]): Promise<FileVersion[]> {
  const locked = new Set<string>()
  for (let attempt = 0; attempt < MAX_MOVES; attempt += 1) {
    const files = await tx.files.byIds(fileIds)
    // A file may have moved to a path that is not locked yet while the lock on its old path was waited for.
    const open = files.filter((file) => !locked.has(joinPath(file.folderPath, file.name)))
    if (open.length === 0) return files
    await lockPaths(tx, open)
    for (const file of open) locked.add(joinPath(file.folderPath, file.name))
  }
  throw new TintypeError('unavailable', 'The file is being moved, please try again.', {
    headers: { 'retry-after': '1' },
  })
}

/**
 * Holds several paths. In one order always, so that two that wait for each other are rare.
 * @throws TintypeError locked, while a bulk job holds a folder of theirs.
 */
export async function lockPaths(tx: Tables, places: { folderPath: string; name: string }[]): Promise<void> {
  await tx.folders.enter(...places.map((place) => place.folderPath))
  const byPath = new Map(places.map((place) => [joinPath(place.folderPath, place.name), place]))
  for (const [, place] of [...byPath].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await tx.files.lockPath(place.folderPath, place.name)
  }
}

/** Those of the blobs that no version refers to any more. */
export async function unusedBlobs(store: Store, blobs: string[]): Promise<string[]> {
  if (blobs.length === 0) return []
  const used = await store.referencedBlobs(blobs)
  return blobs.filter((blob) => !used.has(blob))
}
