import { badRequest, notFound, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import { cleanFileName, normalizeFolderPath, splitFilePath } from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import type { FileVersion, Folder, NewVersion, Store, Tables } from '../store/store.ts'
import type { Events, NewEvent, Origin, Outbox } from './events.ts'
import { lockPaths } from './held-files.ts'
import type { Purges } from './purges.ts'

export type CopyParams = {
  sourceFilePath: string
  /** The folder; made if it is not there. */
  destinationPath: string
  includeFileVersions: boolean
}
export type MoveParams = Omit<CopyParams, 'includeFileVersions'>
export type RenameParams = {
  filePath: string
  newFileName: string
  /** Whether what is kept of the old URLs is to be removed. */
  purgeCache: boolean
}

export type FilePlaces = {
  /**
   * Copies a file into a folder. A file of the same name there gets the copies as its newest versions.
   * @throws TintypeError bad-request with SAME_SOURCE_AND_DESTINATION, INVALID_FOLDER_PATH, VERSION_LIMIT_EXCEEDED;
   * not-found with SOURCE_FILE_MISSING.
   */
  copy(params: CopyParams, origin: Origin): Promise<void>
  /**
   * Moves a file with all its versions into a folder. A file of the same name there gets them as its newest versions.
   * @throws TintypeError as `copy`.
   */
  move(params: MoveParams, origin: Origin): Promise<void>
  /**
   * Gives a file another name in its folder.
   * @returns the id of the purge request; undefined without one, or when the requests of the month are used up.
   * @throws TintypeError bad-request, not-found with FILE_MISSING, conflict with FILE_ALREADY_EXISTS.
   */
  rename(params: RenameParams, origin: Origin): Promise<string | undefined>
}

const INVALID_PARAMETERS = 'Your request is missing parameters / contains invalid parameters.'

export function createFilePlaces(
  options: { maxVersions: number },
  deps: { store: Store; purges: Pick<Purges, 'enqueue'>; events: Events; ids: Ids; clock: Clock },
): FilePlaces {
  const { store, purges, events, ids, clock } = deps

  type Transfer = {
    source: FileVersion
    folder: Folder
    /** The file that has the name there already. */
    target: FileVersion | undefined
    nowMs: number
  }

  /** Finds what goes where, and holds both paths. */
  async function begin(tx: Tables, { sourceFilePath, destinationPath }: MoveParams): Promise<Transfer> {
    const from = splitFilePath(sourceFilePath)
    const folderPath = destinationFolder(destinationPath)
    if (from.folderPath === folderPath) {
      throw badRequest(INVALID_PARAMETERS, { reason: 'SAME_SOURCE_AND_DESTINATION' })
    }
    await lockPaths(tx, [from, { folderPath, name: from.name }])
    const source = await tx.files.atPath(from.folderPath, from.name)
    if (!source) {
      throw notFound(`No file found with filePath \`${sourceFilePath}\`.`, { reason: 'SOURCE_FILE_MISSING' })
    }
    const nowMs = clock.now()
    const folder = await tx.folders.ensure(folderPath, nowMs, ids.next)
    return { source, folder, target: await tx.files.atPath(folderPath, from.name), nowMs }
  }

  function checkVersionLimit(count: number) {
    if (count > options.maxVersions)
      throw badRequest(INVALID_PARAMETERS, { reason: 'VERSION_LIMIT_EXCEEDED' })
  }

  return {
    async copy(params, origin) {
      const outbox = await events.open()
      await store.transaction(async (tx) => {
        const { source, folder, target, nowMs } = await begin(tx, params)
        const sources = params.includeFileVersions ? await tx.files.versions(source.fileId) : [source]
        const { count, highest } = target
          ? await tx.files.versionCount(target.fileId)
          : { count: 0, highest: 0 }
        checkVersionLimit(count + sources.length)
        const copies = copiesOf(sources, { folderId: folder.folderId, target, highest, nowMs }, ids)
        for (const copy of copies) await tx.files.addVersion(copy)
        await outbox.add(tx, ...copyEvents(copies, { isNew: !target, folderPath: folder.path, origin }))
      })
    },

    async move(params, origin) {
      const outbox = await events.open()
      await store.transaction(async (tx) => {
        const { source, folder, target, nowMs } = await begin(tx, params)
        if (!target) {
          await tx.files.relocate(source, { folderId: folder.folderId, name: source.name, nowMs })
          const moved = { ...source, folderId: folder.folderId, folderPath: folder.path, updatedAtMs: nowMs }
          await outbox.add(tx, { type: 'file.updated', file: moved, origin })
          return
        }
        const [own, others] = await Promise.all([
          tx.files.versionCount(source.fileId),
          tx.files.versionCount(target.fileId),
        ])
        checkVersionLimit(own.count + others.count)
        await tx.files.merge(source, target, nowMs)
        await addMergeEvents(tx, outbox, { source, target, origin })
      })
    },

    async rename({ filePath, newFileName, purgeCache }, origin) {
      const outbox = await events.open()
      return store.transaction(async (tx) => {
        const { folderPath, name } = splitFilePath(filePath)
        const newName = newNameOf(newFileName)
        if (newName === name) {
          throw badRequest('newFileName cannot be the same as its existing name.', {
            reason: 'SAME_OLD_AND_NEW_NAME',
          })
        }
        await lockPaths(tx, [
          { folderPath, name },
          { folderPath, name: newName },
        ])
        const file = await tx.files.atPath(folderPath, name)
        if (!file) {
          throw notFound(`No file found in media library at filePath ${filePath}`, { reason: 'FILE_MISSING' })
        }
        if (await tx.files.atPath(folderPath, newName)) {
          throw new TintypeError(
            'conflict',
            `File with name ${newName} already exists at the same location.`,
            { reason: 'FILE_ALREADY_EXISTS' },
          )
        }
        const nowMs = clock.now()
        await tx.files.relocate(file, { folderId: file.folderId, name: newName, nowMs })
        const renamed = { ...file, name: newName, updatedAtMs: nowMs }
        await outbox.add(tx, { type: 'file.updated', file: renamed, origin })
        if (!purgeCache) return undefined
        return purges.enqueue(tx, { blobs: await tx.files.blobsOf([file.fileId]) })
      })
    },
  }
}

/**
 * New versions with the content of others, for the file `target` or for a new one. Added in this order, the last is the
 * current one, as it is in the source.
 * @param place.highest highest number that `target` has ever used; 0 for a new file.
 */
function copiesOf(
  sources: FileVersion[],
  place: { folderId: string; target: FileVersion | undefined; highest: number; nowMs: number },
  ids: Ids,
): NewVersion[] {
  const { folderId, target, highest, nowMs } = place
  const fileId = target?.fileId ?? ids.next()
  const ordered = sources.toSorted((a, b) => a.number - b.number)
  const copies = ordered.map(
    (version, index): NewVersion => ({
      ...version,
      fileId,
      // The first version's id is the file's id (OpenAPI, upload examples).
      versionId: !target && index === 0 ? fileId : ids.next(),
      number: highest + 1 + index,
      folderId,
      accessKey: ids.token(32),
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    }),
  )
  const currentAt = ordered.findIndex((version) => version.isCurrent)
  copies.push(...copies.splice(currentAt, 1))
  return copies
}

/** What copies that have just been added are to be told as: a new file, or new versions of one. */
export function copyEvents(
  copies: NewVersion[],
  place: { isNew: boolean; folderPath: string; origin: Origin },
): NewEvent[] {
  const { isNew, folderPath, origin } = place
  const files = copies.map((copy, at) => ({ ...copy, folderPath, isCurrent: at === copies.length - 1 }))
  return isNew
    ? [{ type: 'file.created', file: files.at(-1)!, origin }]
    : files.map((file) => ({ type: 'file-version.created', file, origin }))
}

/** Tells of a file that has become the newest version of another. */
export async function addMergeEvents(
  tx: Tables,
  outbox: Outbox,
  merge: { source: FileVersion; target: FileVersion; origin: Origin },
): Promise<void> {
  if (!outbox.wants('file.deleted') && !outbox.wants('file-version.created')) return
  const merged = (await tx.files.byId(merge.target.fileId))!
  await outbox.add(
    tx,
    { type: 'file.deleted', fileId: merge.source.fileId },
    { type: 'file-version.created', file: merged, origin: merge.origin },
  )
}

function destinationFolder(path: string): string {
  try {
    return normalizeFolderPath(path)
  } catch (error) {
    if (!(error instanceof TintypeError) || error.reason !== undefined) throw error
    throw badRequest(error.message, { reason: 'INVALID_FOLDER_PATH' })
  }
}

function newNameOf(raw: string): string {
  try {
    return cleanFileName(raw)
  } catch (error) {
    if (!(error instanceof TintypeError)) throw error
    throw badRequest(error.message.replaceAll('fileName', 'newFileName'), { reason: 'INVALID_PARAMETER' })
  }
}
