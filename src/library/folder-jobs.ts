import type { Ids } from '../kernel/ids.ts'
import { parentPath } from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import type { RunningJob, Store, Tables, Transfer, VersionCopy } from '../store/store.ts'
import type { Purges } from './purges.ts'

/** What the jobs on folders are told. */
export type FolderPayload = {
  sourcePath: string
  /** The path that the folder itself gets; undefined when it is deleted. */
  targetPath: string | undefined
  /** Files that were in it when the job was asked for. */
  total: number
  includeVersions: boolean
  purgeCache: boolean
}

/** The handlers of the jobs on folders. Each step is one transaction; an interrupted job goes on behind the last. */
export type FolderJobs = {
  runCopy(running: RunningJob): Promise<void>
  runMove(running: RunningJob): Promise<void>
  runRename(running: RunningJob): Promise<void>
  runDelete(running: RunningJob): Promise<void>
}

/** Bounds of one step: on SQLite every upload waits until it is over. */
const FILES_OF_STEP = 100
const VERSIONS_OF_STEP = 200
const FOLDERS_OF_STEP = 200

type CopyProgress = {
  done: number
  /** All folders up to this one are copied; absent: all of them are. */
  afterFolder?: string | null
  /** All files up to this one are copied. */
  afterFile?: { folderPath: string; name: string }
}

export function createFolderJobs(deps: {
  store: Store
  ids: Ids
  clock: Clock
  purges: Pick<Purges, 'enqueue'>
}): FolderJobs {
  const { ids, clock, purges } = deps

  /** Repeats a step until it says that nothing is left. */
  async function repeat(
    running: RunningJob,
    step: (tx: Tables, done: number) => Promise<{ count: number; isLast: boolean }>,
  ) {
    let isLast = false
    while (!isLast) {
      await running.step(async (tx) => {
        const { done = 0 } = running.job.progress as { done?: number }
        const result = await step(tx, done)
        isLast = result.isLast
        return { ...running.job.progress, done: done + result.count }
      })
    }
  }

  async function move(running: RunningJob) {
    const { sourcePath, targetPath } = payloadOf(running)
    // As a whole if there is nothing to merge it with: its files need no change at all.
    let isMoved = false
    await running.step(async (tx) => {
      const nowMs = clock.now()
      // It is not there when an earlier attempt has come to the end.
      isMoved = !(await tx.folders.byPath(sourcePath))
      if (!isMoved && !(await tx.folders.byPath(targetPath))) {
        await tx.folders.ensure(parentPath(targetPath)!, nowMs, ids.next)
        await tx.folderTrees.reparent(sourcePath, targetPath, nowMs)
        isMoved = true
      } else if (!isMoved) {
        await tx.folderTrees.adopt(sourcePath, targetPath, nowMs)
      }
      return running.job.progress
    })
    if (isMoved) return
    await repeat(running, async (tx) => {
      const files = await tx.folderTrees.transfers(sourcePath, targetPath, undefined, FILES_OF_STEP)
      if (files.length === 0) {
        await tx.folderTrees.remove(sourcePath)
        return { count: 0, isLast: true }
      }
      const free = files.filter((file) => !file.target)
      await tx.folderTrees.relocateAll(free, clock.now())
      const taken = files.filter((file) => file.target)
      const histories = await tx.folderTrees.histories(taken.map((file) => file.fileId))
      const merged = firstOf(taken, (file) =>
        numbered(file, histories.get(file.fileId)!, file.target!.fileId),
      )
      await tx.folderTrees.adoptVersions(merged.versions, clock.now())
      return { count: free.length + merged.count, isLast: false }
    })
  }

  async function copy(running: RunningJob) {
    const { sourcePath, targetPath, includeVersions } = payloadOf(running)
    const progressOf = () => running.job.progress as CopyProgress
    while (progressOf().afterFolder !== null) {
      await running.step(async (tx) => {
        const progress = progressOf()
        const folders = await tx.folderTrees.folders(sourcePath, progress.afterFolder ?? '', FOLDERS_OF_STEP)
        for (const folder of folders) {
          const path = moved(folder.path, sourcePath, targetPath)
          if (await tx.folders.byPath(path)) continue
          await tx.folders.ensure(path, clock.now(), ids.next)
          if (Object.keys(folder.customMetadata).length > 0) {
            await tx.folderTrees.setCustomMetadata(path, folder.customMetadata)
          }
        }
        const isLast = folders.length < FOLDERS_OF_STEP
        return { ...progress, afterFolder: isLast ? null : folders.at(-1)!.path }
      })
    }
    let isLast = false
    while (!isLast) {
      await running.step(async (tx) => {
        const progress = progressOf()
        const found = await tx.folderTrees.transfers(
          sourcePath,
          targetPath,
          progress.afterFile,
          FILES_OF_STEP,
        )
        const histories = includeVersions
          ? await tx.folderTrees.histories(found.map((file) => file.fileId))
          : undefined
        const { count, versions } = firstOf(found, (file) => {
          const history = histories?.get(file.fileId) ?? [{ number: file.number, isCurrent: true }]
          return copiesOfFile(file, history, ids)
        })
        await tx.folderTrees.copyVersions(versions, clock.now())
        isLast = count === found.length && found.length < FILES_OF_STEP
        const last = found[count - 1]
        return {
          ...progress,
          done: (progress.done ?? 0) + count,
          ...(last ? { afterFile: { folderPath: last.folderPath, name: last.name } } : {}),
        }
      })
    }
  }

  return {
    runCopy: copy,
    runMove: move,

    async runRename(running) {
      await move(running)
      const { targetPath, purgeCache } = payloadOf(running)
      const { purgeRequestId, purgeFailed } = running.job.progress
      if (!purgeCache || purgeRequestId !== undefined || purgeFailed) return
      await running.step(async (tx) => {
        // What is kept goes by the files themselves, which are found where they are now.
        const target = encodeURI(`${targetPath}/`)
        const requestId = await purges.enqueue(tx, { target, isPrefix: true })
        const outcome = requestId === undefined ? { purgeFailed: true } : { purgeRequestId: requestId }
        return { ...running.job.progress, ...outcome }
      })
    },

    async runDelete(running) {
      const { sourcePath } = running.job.payload as FolderPayload
      await repeat(running, async (tx) => {
        const files = await tx.folderTrees.files(sourcePath, undefined, FILES_OF_STEP)
        await tx.files.remove(files.map((file) => file.fileId))
        const isLast = files.length < FILES_OF_STEP
        if (isLast) await tx.folderTrees.remove(sourcePath)
        return { count: files.length, isLast }
      })
    },
  }
}

function payloadOf({ job }: RunningJob): FolderPayload & { targetPath: string } {
  return job.payload as FolderPayload & { targetPath: string }
}

type History = { number: number; isCurrent: boolean }[]

/** Versions of a file as the next ones of the file that has its name already, or as the first ones of a new one. */
function numbered({ fileId, folderId, target }: Transfer, history: History, intoFileId: string) {
  const highest = target?.highest ?? 0
  return history.map(({ number, isCurrent }, index) => ({
    from: { fileId, number },
    fileId: intoFileId,
    number: highest + 1 + index,
    isCurrent,
    folderId,
  }))
}

function copiesOfFile(file: Transfer, history: History, ids: Ids): VersionCopy[] {
  const copyId = file.target?.fileId ?? ids.next()
  return numbered(file, history, copyId).map((version, index) => ({
    ...version,
    // The first version's id is the file's id (OpenAPI, upload examples).
    versionId: !file.target && index === 0 ? copyId : ids.next(),
    accessKey: ids.token(32),
  }))
}

/** The versions of as many of the files as one step may touch, at least one. */
function firstOf<T>(
  files: Transfer[],
  versionsOf: (file: Transfer) => T[],
): { count: number; versions: T[] } {
  const versions: T[] = []
  let count = 0
  for (const file of files) {
    const own = versionsOf(file)
    if (count > 0 && versions.length + own.length > VERSIONS_OF_STEP) break
    versions.push(...own)
    count += 1
  }
  return { count, versions }
}

/** The path that a folder at or below the source gets. */
function moved(path: string, sourcePath: string, targetPath: string): string {
  return targetPath + path.slice(sourcePath.length)
}
