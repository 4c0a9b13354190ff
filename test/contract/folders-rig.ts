import { Value } from 'typebox/value'
import { systemIds } from '../../src/kernel/ids.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { systemClock } from '../../src/kernel/time.ts'
import { createEvents } from '../../src/library/events.ts'
import { createFolderLibrary, type FolderLibrary } from '../../src/library/folders.ts'
import type { Store } from '../../src/store/store.ts'
import { createWorker, type JobHandler, type WorkerOptions, workerOptions } from '../../src/worker/worker.ts'
import { upload } from './uploads.ts'

export type FolderNode = {
  store: Store
  folders: FolderLibrary
  /** Uploads like the library does; the content is told apart by `seed`. @throws TintypeError locked. */
  put(folderPath: string, name: string, seed: number): Promise<void>
  /** Waits until a job has ended, wherever it ran. @throws when it is dead. */
  finish(jobId: string): Promise<void>
  stop(): Promise<void>
}

/** Who asks for everything here. */
export const ORIGIN = { endpoint: 'http://localhost/demo', requestId: 'test' }

const noEvents = createEvents({
  subscribers: async () => [],
  present: () => ({ file: () => ({}), upload: () => ({}) }),
  ids: systemIds,
  clock: systemClock,
})

/** One process's part of the work on folders: the library and a worker, on a store of its own. */
export function startFolderNode(
  store: Store,
  options: { maxVersions?: number; worker?: Partial<WorkerOptions> } = {},
): FolderNode {
  const folders = createFolderLibrary(
    { maxObjects: 100_000, maxVersions: options.maxVersions ?? 100 },
    {
      ...{ store, events: noEvents, ids: systemIds, clock: systemClock },
      purges: { enqueue: async () => undefined },
    },
  )
  const bulk = { concurrency: 2, maxAttempts: 5, firstRetryMs: 10, maxRetryMs: 100 }
  const handlers: Record<string, JobHandler> = {
    'folder.copy': { ...bulk, run: folders.runCopy },
    'folder.move': { ...bulk, run: folders.runMove },
    'folder.rename': { ...bulk, run: folders.runRename },
    'folder.delete': { ...bulk, run: folders.runDelete },
  }
  const worker = createWorker(
    {
      ...(Value.Default(workerOptions, { pollMs: 20, leaseMs: 2000 }) as WorkerOptions),
      ...options.worker,
    },
    { store, handlers, ids: systemIds, clock: systemClock, log: silentLog },
  )
  worker.start()
  return {
    store,
    folders,
    put: (folderPath, name, seed) =>
      store.transaction(async (tx) => {
        await tx.folders.enter(folderPath)
        await upload(tx, folderPath, name, { blob: blobOf(seed) })
      }),
    async finish(jobId) {
      for (;;) {
        const job = await store.jobs.byId(jobId)
        if (job?.state === 'done') return
        if (job?.state === 'dead') throw new Error(`the job is dead: ${job.lastError}`)
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    },
    stop: () => worker.drain(),
  }
}

export const blobOf = (seed: number) => seed.toString(16).padStart(64, '0')

/** All folders with their files, and of each file the seeds of its versions, the oldest first. */
export type Tree = Record<string, Record<string, number[]>>

/**
 * Everything that is in a store.
 * @throws when a folder does not lie where its path says, or a current version is not the newest.
 */
export async function readTree(store: Store): Promise<Tree> {
  const sort = { key: 'NAME', descending: false } as const
  const all = async (type: 'folder' | 'file' | 'file-version') => {
    const found = []
    for (let skip = 0; ; skip += 1000) {
      const { assets } = await store.files.search({ type, sort, limit: 1000, skip })
      found.push(...assets)
      if (assets.length < 1000) return found
    }
  }
  const tree: Tree = { '/': {} }
  const root = await store.folders.byPath('/')
  const pathOf = new Map([[root!.folderId, '']])
  const folders = (await all('folder')).flatMap((each) => (each.type === 'folder' ? [each.folder] : []))
  for (const folder of folders) pathOf.set(folder.folderId, folder.path)
  for (const { path, name, parentId } of folders) {
    const parent = parentId === null ? undefined : pathOf.get(parentId)
    if (parent === undefined || path !== `${parent}/${name}`) {
      throw new Error(`the folder ${path} named ${name} lies in ${parent}`)
    }
    tree[path] = {}
  }
  const versions = [...(await all('file')), ...(await all('file-version'))].flatMap((each) =>
    each.type === 'folder' ? [] : [each.file],
  )
  for (const { folderPath, name, number, blob } of versions.toSorted((a, b) => a.number - b.number)) {
    const folder = tree[folderPath]
    if (!folder) throw new Error(`${name} lies in ${folderPath}, which is not there`)
    folder[name] = [...(folder[name] ?? []), Number.parseInt(blob, 16)]
    void number
  }
  for (const { folderPath, name, isCurrent, blob } of versions) {
    if (isCurrent && tree[folderPath]![name]!.at(-1) !== Number.parseInt(blob, 16)) {
      throw new Error(`the current version of ${folderPath}/${name} is not the newest`)
    }
  }
  return tree
}
