import { TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import { parentPath } from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import type { RunningJob, Store, Tables, Transfer, VersionCopy } from '../store/store.ts'
import type { Events, NewEvent, Origin, Outbox } from './events.ts'
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
  /** Who asked for it; deletions tell nothing that depends on it. */
  origin: Origin | undefined
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
  events: Events
  ids: Ids
  clock: Clock
  purges: Pick<Purges, 'enqueue'>
}): FolderJobs {
  const { events, ids, clock, purges } = deps

  /** Repeats a step until it says that nothing is left. */
  async function repeat(
    running: RunningJob,
    step: (tx: Tables, outbox: Outbox) => Promise<{ count: number; isLast: boolean }>,
  ) {
    let isLast = false
    while (!isLast) {
      const outbox = await events.open()
      await running.step(async (tx) => {
        const { done = 0 } = running.job.progress as { done?: number }
        const result = await step(tx, outbox)
        isLast = result.isLast
        return { ...running.job.progress, done: done + result.count }
      })
    }
  }

  async function move(running: RunningJob) {
    const { sourcePath, targetPath } = payloadOf(running)
    // As a whole if there is nothing to merge it with: its files need no change at all.
    let isMoved = false
    const outbox = await events.open()
    await running.step(async (tx) => {
      let untold: string[] = []
      const nowMs = clock.now()
      // It is not there when an earlier attempt has come to the end.
      isMoved = !(await tx.folders.byPath(sourcePath))
      if (!isMoved && !(await tx.folders.byPath(targetPath))) {
        await tx.folders.ensure(parentPath(targetPath)!, nowMs, ids.next)
        await tx.folderTrees.reparent(sourcePath, targetPath, nowMs)
        isMoved = true
        untold = [targetPath]
      } else if (!isMoved) {
        if (outbox.wants('file.updated')) {
          const whole = await tx.folderTrees.unmatched(sourcePath, targetPath)
          untold = whole.map((path) => moved(path, sourcePath, targetPath))
        }
        await tx.folderTrees.adopt(sourcePath, targetPath, nowMs)
      }
      if (untold.length === 0 || !outbox.wants('file.updated')) return running.job.progress
      return { ...running.job.progress, untold } satisfies Untold
    })
    if (!isMoved) await moveFiles(running)
    await tellMoved(running)
  }

  /** Tells of the files that have moved with their folder, which needed no change themselves. */
  async function tellMoved(running: RunningJob) {
    const { origin } = payloadOf(running)
    const left = () => (running.job.progress as Untold).untold ?? []
    while (left().length > 0) {
      const outbox = await events.open()
      await running.step(async (tx) => {
        const { afterTold, ...progress } = running.job.progress as Untold
        const [path, ...rest] = left()
        const files = await tx.folderTrees.files(path!, afterTold, FILES_OF_STEP)
        await outbox.add(tx, ...files.map((file) => ({ type: 'file.updated' as const, file, origin })))
        const last = files.at(-1)
        if (!last || files.length < FILES_OF_STEP) return { ...progress, untold: rest }
        return { ...progress, afterTold: { folderPath: last.folderPath, name: last.name } }
      })
    }
  }

  async function moveFiles(running: RunningJob) {
    const { sourcePath, targetPath, origin } = payloadOf(running)
    await repeat(running, async (tx, outbox) => {
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
      if (outbox.wants('file.updated')) {
        const files = await tx.files.byIds(free.map((file) => file.fileId))
        await outbox.add(tx, ...files.map((file) => ({ type: 'file.updated' as const, file, origin })))
      }
      if (outbox.wants('file.deleted') || outbox.wants('file-version.created')) {
        const done = taken.slice(0, merged.count)
        const files = await tx.files.byIds(done.map((file) => file.target!.fileId))
        await outbox.add(
          tx,
          ...done.map(({ fileId }) => ({ type: 'file.deleted' as const, fileId })),
          ...files.map((file) => ({ type: 'file-version.created' as const, file, origin })),
        )
      }
      return { count: free.length + merged.count, isLast: false }
    })
  }

  async function copy(running: RunningJob) {
    const { sourcePath, targetPath, includeVersions, origin } = payloadOf(running)
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
      const outbox = await events.open()
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
        await outbox.add(tx, ...(await copiesToTell(tx, { outbox, versions, found, origin })))
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
    async runCopy(running) {
      await getHold(running)
      await copy(running)
    },

    async runMove(running) {
      await getHold(running)
      await move(running)
    },

    async runRename(running) {
      await getHold(running)
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
      await getHold(running)
      const { sourcePath } = running.job.payload as FolderPayload
      await repeat(running, async (tx, outbox) => {
        const files = await tx.folderTrees.files(sourcePath, undefined, FILES_OF_STEP)
        await tx.files.remove(files.map((file) => file.fileId))
        await outbox.add(tx, ...files.map(({ fileId }) => ({ type: 'file.deleted' as const, fileId })))
        const isLast = files.length < FILES_OF_STEP
        if (isLast) await tx.folderTrees.remove(sourcePath)
        return { count: files.length, isLast }
      })
    },
  }
}

/**
 * A job holds its folders from the moment it is asked for. Only one that was dead and is tried again has to get hold
 * of them anew.
 * @throws TintypeError locked, while another job holds them.
 */
async function getHold(running: RunningJob): Promise<void> {
  const { id, payload, lastError } = running.job
  if (lastError === null) return
  const { sourcePath, targetPath } = payload as FolderPayload
  const paths = targetPath === undefined ? [sourcePath] : [sourcePath, targetPath]
  await running.step(async (tx) => {
    await tx.folderTrees.freeze()
    if (!(await tx.folderTrees.isHolding(id))) {
      if ((await tx.folderTrees.heldNear(paths)) !== undefined) {
        throw new TintypeError('locked', 'Another bulk job is running on the folders of this one.')
      }
      await tx.folderTrees.hold(id, paths)
    }
    return running.job.progress
  })
}

/** Folders whose files have moved with them and are still to be told of, and how far the first one is. */
type Untold = { untold?: string[]; afterTold?: { folderPath: string; name: string } }

type MovePayload = FolderPayload & { targetPath: string; origin: Origin }

function payloadOf({ job }: RunningJob): MovePayload {
  return job.payload as MovePayload
}

/** What copies are to be told as: new files, or new versions of those that were there. */
async function copiesToTell(
  tx: Tables,
  copied: { outbox: Outbox; versions: VersionCopy[]; found: Transfer[]; origin: Origin },
): Promise<NewEvent[]> {
  const { outbox, versions, found, origin } = copied
  const events: NewEvent[] = []
  const targets = new Set(found.flatMap(({ target }) => (target ? [target.fileId] : [])))
  if (outbox.wants('file.created')) {
    const ids = new Set(versions.map(({ fileId }) => fileId).filter((fileId) => !targets.has(fileId)))
    for (const file of await tx.files.byIds([...ids])) events.push({ type: 'file.created', file, origin })
  }
  if (outbox.wants('file-version.created')) {
    for (const { fileId, versionId } of versions.filter((version) => targets.has(version.fileId))) {
      const file = await tx.files.version(fileId, versionId)
      if (file) events.push({ type: 'file-version.created', file, origin })
    }
  }
  return events
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
