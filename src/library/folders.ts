import { type Static, Type } from 'typebox'
import { badRequest, notFound, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { JobKind } from '../kernel/job-kinds.ts'
import {
  cleanFolderName,
  joinPath,
  MAX_FOLDER_DEPTH,
  normalizeFolderPath,
  parentPath,
} from '../kernel/paths.ts'
import type { Clock } from '../kernel/time.ts'
import type { Folder, Job, Store, Tables } from '../store/store.ts'
import type { Events, Origin } from './events.ts'
import { createFolderJobs, type FolderJobs, type FolderPayload } from './folder-jobs.ts'
import type { Purges } from './purges.ts'

export const folderOptions = Type.Object({
  maxObjects: Type.Integer({
    default: 100_000,
    minimum: 1,
    description:
      'Most files, versions and folders that one copy, move, rename or deletion of a folder may touch (OpenAPI); protects the database.',
  }),
})
export type FolderOptions = Static<typeof folderOptions>

/** A bulk job as a client may see it. */
export type BulkJob = {
  jobId: string
  type: 'COPY_FOLDER' | 'MOVE_FOLDER' | 'RENAME_FOLDER'
  status: 'Pending' | 'Completed' | 'Partial success' | 'Failed'
  /** Files that are where they belong, of how many. */
  progress: { done: number; total: number }
  purgeRequestId: string | undefined
}

export type FolderLibrary = {
  /**
   * Makes a folder, with its parents, unless it is there.
   * @throws TintypeError bad-request with INVALID_FOLDER_PATH, locked.
   */
  create(params: { folderName: string; parentFolderPath: string }): Promise<Folder>
  /**
   * Deletes a folder with everything in it; when it resolves, all of it is gone.
   * @throws TintypeError not-found with FOLDER_NOT_FOUND, bad-request with TOO_MANY_OBJECTS, locked.
   */
  remove(folderPath: string): Promise<void>
  /**
   * Has a folder copied into another, which is made if it is not there.
   * @returns the job's id.
   * @throws TintypeError not-found with NO_FILES_FOLDER, bad-request with the contract's reasons, locked.
   */
  copy(
    params: { sourceFolderPath: string; destinationPath: string; includeVersions: boolean },
    origin: Origin,
  ): Promise<string>
  /** Has a folder moved into another. @throws TintypeError as `copy`. */
  move(params: { sourceFolderPath: string; destinationPath: string }, origin: Origin): Promise<string>
  /** Has a folder renamed in its place. @throws TintypeError not-found, conflict, bad-request, locked. */
  rename(
    params: { folderPath: string; newFolderName: string; purgeCache: boolean },
    origin: Origin,
  ): Promise<string>
  /** @throws TintypeError not-found. */
  job(jobId: string): Promise<BulkJob>
} & FolderJobs

const TYPES: Partial<Record<string, BulkJob['type']>> = {
  'folder.copy': 'COPY_FOLDER',
  'folder.move': 'MOVE_FOLDER',
  'folder.rename': 'RENAME_FOLDER',
} satisfies Partial<Record<JobKind, BulkJob['type']>>

const SOURCE_IS_LOCKED = 'A bulk job is running on given folder path, please try after sometime.'
const DESTINATION_IS_LOCKED = 'Destination folder path is already locked. Please try after sometime.'
/** A deletion of up to so many objects is one transaction. */
const REMOVED_AT_ONCE = 500
const POLL_MS = 25

export function createFolderLibrary(
  options: FolderOptions & { maxVersions: number },
  deps: { store: Store; events: Events; ids: Ids; clock: Clock; purges: Pick<Purges, 'enqueue'> },
): FolderLibrary {
  const { store, events, ids, clock } = deps
  const jobs = createFolderJobs(deps)

  /** Begins a bulk job, unless another holds one of the folders. Nobody changes any folder meanwhile. */
  function begin(
    kind: JobKind,
    paths: { sourcePath: string; targetPath: string | undefined; origin: Origin | undefined },
    check: (tx: Tables) => Promise<Omit<FolderPayload, 'sourcePath' | 'targetPath' | 'origin'>>,
  ): Promise<string> {
    return store.transaction(async (tx) => {
      const { sourcePath, targetPath } = paths
      const held = targetPath === undefined ? [sourcePath] : [sourcePath, targetPath]
      await refuseHeld(tx, held)
      const payload: FolderPayload = { ...paths, ...(await check(tx)) }
      const id = ids.next()
      await tx.jobs.enqueue({ id, kind, payload, createdAtMs: clock.now() })
      await tx.folderTrees.hold(id, held)
      return id
    })
  }

  /** What is in a tree. @throws TintypeError bad-request with TOO_MANY_OBJECTS. */
  async function countOf(tx: Tables, path: string) {
    const count = await tx.folderTrees.count(path, options.maxObjects)
    if (count.folders + count.versions > options.maxObjects) {
      throw badRequest(
        `Total nested assets (files, folders and file versions) are more than allowed limit of ${options.maxObjects} items.`,
        { reason: 'TOO_MANY_OBJECTS' },
      )
    }
    return count
  }

  /** Copies or moves: `all` versions of the files, or the current ones. */
  async function transfer(
    kind: 'folder.copy' | 'folder.move',
    params: { sourceFolderPath: string; destinationPath: string },
    { all, origin }: { all: boolean; origin: Origin },
  ): Promise<string> {
    const paths = { ...transferPaths(kind, params), origin }
    const { sourcePath, targetPath } = paths
    return begin(kind, paths, async (tx) => {
      if (!(await tx.folders.byPath(sourcePath))) {
        throw notFound(`No files & folder found at sourceFolderPath \`${params.sourceFolderPath}\`.`, {
          reason: 'NO_FILES_FOLDER',
        })
      }
      const count = await countOf(tx, sourcePath)
      const below = (await tx.folderTrees.depth(sourcePath)) - depthOf(sourcePath)
      if (depthOf(targetPath) + below > MAX_FOLDER_DEPTH) {
        throw badRequest(`The nesting of folders can be at most ${MAX_FOLDER_DEPTH} levels deep.`, {
          reason: 'INVALID_FOLDER_PATH',
        })
      }
      const { maxVersions } = options
      const merge = { source: sourcePath, target: targetPath, maxVersions, all }
      const overflowing = await tx.folderTrees.overflowing(merge)
      if (overflowing !== undefined) {
        throw badRequest(
          `The file \`${overflowing}\` would have more than the maximum of ${maxVersions} versions.`,
          { reason: 'VERSION_LIMIT_EXCEEDED' },
        )
      }
      return { total: count.files, includeVersions: all, purgeCache: false }
    })
  }

  return {
    ...jobs,
    async create({ folderName, parentFolderPath }) {
      const path = normalizeFolderPath(`${parentFolderPath}/${cleanFolderName(folderName)}`)
      return store.transaction(async (tx) => {
        await tx.folders.enter(path)
        return tx.folders.ensure(path, clock.now(), ids.next)
      })
    },

    async remove(folderPath) {
      const sourcePath = namedPath(folderPath)
      if (sourcePath === '/') throw badRequest('folderPath cannot be root.', { reason: 'SOURCE_IS_ROOT' })
      let isSmall = false
      const check = async (tx: Tables) => {
        if (!(await tx.folders.byPath(sourcePath))) {
          throw notFound(`No folder found with folderPath \`${folderPath}\`.`, { reason: 'FOLDER_NOT_FOUND' })
        }
        const count = await countOf(tx, sourcePath)
        isSmall = count.folders + count.versions <= REMOVED_AT_ONCE
        return { total: count.files, includeVersions: true, purgeCache: false }
      }
      const outbox = await events.open()
      await store.transaction(async (tx) => {
        await refuseHeld(tx, [sourcePath])
        await check(tx)
        if (!isSmall) return
        const files = await tx.folderTrees.files(sourcePath, undefined, REMOVED_AT_ONCE)
        await tx.files.remove(files.map((file) => file.fileId))
        await tx.folderTrees.remove(sourcePath)
        await outbox.add(tx, ...files.map(({ fileId }) => ({ type: 'file.deleted' as const, fileId })))
      })
      if (isSmall) return
      const paths = { sourcePath, targetPath: undefined, origin: undefined }
      await ended(await begin('folder.delete', paths, check))
    },

    copy: (params, origin) => transfer('folder.copy', params, { all: params.includeVersions, origin }),
    move: (params, origin) => transfer('folder.move', params, { all: true, origin }),

    async rename({ folderPath, newFolderName, purgeCache }, origin) {
      const sourcePath = namedPath(folderPath)
      const parent = parentPath(sourcePath)
      if (parent === null) throw badRequest('folderPath cannot be root.')
      const newName = cleanFolderName(newFolderName)
      const targetPath = joinPath(parent, newName)
      return begin('folder.rename', { sourcePath, targetPath, origin }, async (tx) => {
        if (!(await tx.folders.byPath(sourcePath))) throw notFound('Source folder not found.')
        if (await tx.folders.byPath(targetPath)) {
          throw new TintypeError(
            'conflict',
            `Folder with name ${newName} already exists at the same location.`,
          )
        }
        const { files: total } = await countOf(tx, sourcePath)
        return { total, includeVersions: true, purgeCache }
      })
    },

    async job(jobId) {
      const job = await store.jobs.byId(jobId)
      const type = job && TYPES[job.kind]
      if (!job || type === undefined) throw notFound('The requested job does not exist.')
      return bulkJobOf(job, type)
    },
  }

  /** Waits for a job that runs in this process or in another. @throws TintypeError internal when it has failed. */
  async function ended(jobId: string): Promise<void> {
    for (;;) {
      const job = await store.jobs.byId(jobId)
      if (job === undefined || job.state === 'done') return
      if (job.state === 'dead') {
        throw new TintypeError('internal', 'The folder could not be deleted completely.', {
          cause: job.lastError,
        })
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }
}

/** Keeps everybody out of all folders, and refuses those that a job holds. The first source, the second its target. */
async function refuseHeld(tx: Tables, paths: string[]): Promise<void> {
  await tx.folderTrees.freeze()
  const held = await tx.folderTrees.heldNear(paths)
  if (held !== undefined) {
    throw new TintypeError('locked', held === paths[0] ? SOURCE_IS_LOCKED : DESTINATION_IS_LOCKED)
  }
}

/** @throws TintypeError bad-request with the contract's reasons for paths that cannot be source and destination. */
function transferPaths(
  kind: 'folder.copy' | 'folder.move',
  params: { sourceFolderPath: string; destinationPath: string },
): { sourcePath: string; targetPath: string } {
  const sourcePath = namedPath(params.sourceFolderPath)
  const destination = normalizeFolderPath(params.destinationPath)
  if (sourcePath === '/') throw badRequest('sourceFolderPath cannot be root.', { reason: 'SOURCE_IS_ROOT' })
  const targetPath = joinPath(destination, sourcePath.slice(sourcePath.lastIndexOf('/') + 1))
  if (destination === sourcePath || targetPath === sourcePath) {
    throw badRequest('sourceFolderPath and destinationPath is same', {
      reason: 'SAME_SOURCE_AND_DESTINATION',
    })
  }
  const reason = kind === 'folder.move' ? 'INVALID_DESTINATION_PATH' : 'INVALID_FOLDER_PATH'
  if (isBelow(destination, sourcePath)) {
    throw badRequest(
      `This operation is not allowed because parent folder cannot be ${kind === 'folder.move' ? 'moved' : 'copied'} into child folder.`,
      { reason },
    )
  }
  // `/a/x/a` into `/` is `/a`, which it lies in: it would be merged into itself.
  if (isBelow(sourcePath, targetPath)) {
    throw badRequest(
      'This operation is not allowed because the folder of that name at destinationPath contains the source folder.',
      { reason },
    )
  }
  return { sourcePath, targetPath }
}

function bulkJobOf(job: Job, type: BulkJob['type']): BulkJob {
  const { total } = job.payload as FolderPayload
  const { done, purgeRequestId, purgeFailed } = job.progress as {
    done?: number
    purgeRequestId?: string
    purgeFailed?: boolean
  }
  const status = { ready: 'Pending', running: 'Pending', dead: 'Failed', done: 'Completed' } as const
  return {
    jobId: job.id,
    type,
    status: job.state === 'done' && purgeFailed ? 'Partial success' : status[job.state],
    progress: { done: job.state === 'done' ? total : Math.min(done ?? 0, total), total },
    purgeRequestId,
  }
}

/**
 * The path of a folder that should be there. Unlike the path of one that is to be made, it is not cleaned: what cannot
 * exist is not found.
 */
function namedPath(raw: string): string {
  return `/${raw
    .normalize('NFC')
    .split('/')
    .filter((part) => part !== '')
    .join('/')}`
}

function depthOf(path: string): number {
  return path.split('/').length - 1
}

function isBelow(path: string, above: string): boolean {
  return path.startsWith(`${above}/`)
}
