import type { Ids } from '../kernel/ids.ts'
import { joinPath, parentPath } from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import type { FileVersion, RunningJob, Store, Tables } from '../store/store.ts'
import { copiesOf } from './file-places.ts'
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

/** Most files of one step, and how long it goes on: on SQLite every upload waits until it is over. */
const FILES_OF_STEP = 50
const STEP_MS = 25
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
      const files = await tx.folderTrees.files(sourcePath, undefined, FILES_OF_STEP)
      if (files.length === 0) {
        await tx.folderTrees.remove(sourcePath)
        return { count: 0, isLast: true }
      }
      const count = await inTime(
        await counterparts(tx, files, sourcePath, targetPath),
        async ({ file, folderId, target }) => {
          const nowMs = clock.now()
          if (target) await tx.files.merge(file, target, nowMs)
          else await tx.files.relocate(file, { folderId, name: file.name, nowMs })
        },
      )
      return { count, isLast: false }
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
        const files = await tx.folderTrees.files(sourcePath, progress.afterFile, FILES_OF_STEP)
        const pairs = await counterparts(tx, files, sourcePath, targetPath)
        const count = await inTime(pairs, async ({ file, folderId, target }) => {
          const [sources, history] = await Promise.all([
            includeVersions ? tx.files.versions(file.fileId) : [file],
            target ? tx.files.versionCount(target.fileId) : { highest: 0 },
          ])
          const place = { folderId, target, highest: history.highest, nowMs: clock.now() }
          await Promise.all(copiesOf(sources, place, ids).map((each) => tx.files.addVersion(each)))
        })
        isLast = files.length < FILES_OF_STEP && count === pairs.length
        const last = count === pairs.length ? files.at(-1) : pairs[count - 1]?.file
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

/**
 * Where files of a tree go: the folder, which is there, and the file that has the name there already. Both files are
 * held until the transaction ends.
 */
async function counterparts(tx: Tables, found: FileVersion[], sourcePath: string, targetPath: string) {
  const paths = found.flatMap(({ folderPath, name }) => [
    { folderPath, name },
    { folderPath: moved(folderPath, sourcePath, targetPath), name },
  ])
  // Not `lockPaths`: this is the job that keeps the others out of these folders. In the same order, though.
  const ordered = paths.toSorted((one, other) => (joined(one) < joined(other) ? -1 : 1))
  await Promise.all(ordered.map(({ folderPath, name }) => tx.files.lockPath(folderPath, name)))
  // Changed or deleted, perhaps, before they were held.
  const current = new Map(
    (await tx.files.byIds(found.map((each) => each.fileId))).map((each) => [each.fileId, each]),
  )
  const files = found.flatMap((each) => current.get(each.fileId) ?? [])
  const folderPaths = [...new Set(files.map((file) => file.folderPath))]
  const folders = await Promise.all(
    folderPaths.map((path) => tx.folders.byPath(moved(path, sourcePath, targetPath))),
  )
  const folderIds = new Map(folderPaths.map((path, at) => [path, folders[at]!.folderId]))
  const targets = await Promise.all(
    files.map((file) => tx.files.atPath(moved(file.folderPath, sourcePath, targetPath), file.name)),
  )
  return files.map((file, at) => ({
    file,
    folderId: folderIds.get(file.folderPath)!,
    target: targets[at],
  }))
}

/** Does as many of the things as the time of a step allows, at least one. @returns how many. */
async function inTime<T>(things: T[], act: (thing: T) => Promise<void>): Promise<number> {
  const endMs = performance.now() + STEP_MS
  let count = 0
  for (const thing of things) {
    await act(thing)
    count += 1
    if (performance.now() >= endMs) break
  }
  return count
}

function joined(place: { folderPath: string; name: string }): string {
  return joinPath(place.folderPath, place.name)
}

/** The path that a folder at or below the source gets. */
function moved(path: string, sourcePath: string, targetPath: string): string {
  return targetPath + path.slice(sourcePath.length)
}
