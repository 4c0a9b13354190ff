import { randomUUID } from 'node:crypto'
import {
  type FileHandle,
  link,
  mkdir,
  open,
  opendir,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { TintypeError } from '../kernel/errors.ts'
import { createKeyLock } from '../kernel/key-lock.ts'
import type { Log } from '../kernel/log.ts'
import type { Metrics } from '../kernel/metrics.ts'
import type { BlobOptions, Blobs, Staged } from './blobs.ts'
import { createCommitter } from './committer.ts'
import { readFileStream } from './file-stream.ts'
import { createFolderSync } from './folder-sync.ts'
import { fileSystemError } from './fs-errors.ts'
import { createHasher } from './hasher.ts'
import { checkBytes, checkKey, SHA256 } from './keys.ts'
import { openStaging } from './staging.ts'

const MARKER = 'tintype-data.json'
const OWNER = 'tintype-library.json'
const SHARD = /^[0-9a-f]{2}$/
const SHARDS = Array.from({ length: 256 }, (_, number) => number.toString(16).padStart(2, '0'))
/** 1 had a second level of folders, so that most uploads had to make one and sync two more. */
const LAYOUT = 2

/** Where the blobs of a data folder are: for copies and backups of the folder that make no detour through memory. */
export function diskBlobPath(dataDir: string, sha256: string): string {
  checkKey(sha256)
  return join(dataDir, 'blobs', sha256.slice(0, 2), sha256)
}

/**
 * Blobs in a folder of the local file system: `<dataDir>/blobs/ab/<sha256>`, staged in `<dataDir>/staging`.
 * @throws TintypeError unavailable, when the folder was used before but its blobs are gone (an unmounted volume
 * must not turn into an empty library), or when it cannot be written.
 */
export async function openDiskBlobs(
  options: Pick<BlobOptions, 'memoryBytes' | 'reservedBytes'> & { dataDir: string },
  deps: { log: Log; metrics?: Metrics },
): Promise<Blobs> {
  const root = join(options.dataDir, 'blobs')
  const syncFolder = createFolderSync()
  await prepareDataFolder(options.dataDir, root, { syncFolder, log: deps.log }).catch((error) => {
    deps.log.error({ dataDir: options.dataDir, err: error }, 'the data folder cannot be used')
    throw startError(error)
  })
  const hasher = createHasher()
  const committer = createCommitter()
  const staging = await openStaging(
    {
      folder: join(options.dataDir, 'staging'),
      memoryBytes: options.memoryBytes,
      reservedBytes: options.reservedBytes,
      becomeBlobs: true,
    },
    { hasher },
  )
  const lockKey = createKeyLock()
  const uses = new Map<string, { count: number; ended: PromiseWithResolvers<void> }>()

  /** A disk that has failed to write or sync once is not trusted before it has shown that it can (trust F02). */
  let isSuspect = false
  const failures = deps.metrics?.counter(
    'tintype_storage_failures_total',
    'How often the disk could not keep a file, for want of space aside.',
  )
  // Shown from the start: an increase is seen between two values only.
  failures?.add({}, 0)
  deps.metrics?.gauge(
    'tintype_storage_suspect',
    'Whether the disk could not keep a file and has not been seen to work since.',
    () => [{ value: isSuspect ? 1 : 0 }],
  )

  const pathOf = (sha256: string) => diskBlobPath(options.dataDir, sha256)

  /** What the disk said of something that it had to keep. */
  function writeError(cause: unknown): TintypeError {
    const error = fileSystemError(cause)
    if (error.cause instanceof Error && 'syscall' in error.cause && error.kind === 'internal') {
      isSuspect = true
      failures?.add()
      deps.log.error({ err: error.cause }, 'the disk could not keep a file')
    }
    return error
  }

  async function commitStaged(staged: Staged, path: string): Promise<void> {
    const taken = await staging.takeFromMemory(staged)
    if (!taken) return commitFile(staged, path)
    let bytes: ArrayBuffer | undefined
    try {
      bytes = await committer.commit({ ...taken, path })
    } finally {
      staging.giveBack({ draft: taken.draft, bytes })
    }
  }

  async function commitFile(staged: Staged, path: string): Promise<void> {
    const file = await staging.toFile(staged)
    try {
      // A failed sync is never tried again: the kernel may have dropped the dirty pages and would report success.
      await file.handle!.datasync()
      // Over an equal blob too: that costs less than to ask, renews its age, and heals it where it was damaged.
      await rename(file.path, path).catch((error) => renameAnew(error, file.path, path))
    } catch (error) {
      await staging.release(staged)
      throw error
    }
    // Where this fails the blob stays: it is whole, a later commit of the same bytes does not take it for kept, and
    // an equal one that it has replaced may belong to files that were kept long ago.
    await Promise.all([staging.release(staged, { keepFile: true }), syncFolder(dirname(path))])
  }

  /** Somebody has tidied up: the folder is made again. */
  async function renameAnew(error: NodeJS.ErrnoException, from: string, to: string) {
    if (error.code !== 'ENOENT') throw error
    await mkdir(dirname(to), { recursive: true, mode: 0o700 })
    await syncFolder(root)
    await rename(from, to)
  }

  async function openForRead(sha256: string): Promise<FileHandle> {
    return open(pathOf(sha256), 'r').catch((error) => {
      throw fileSystemError(error)
    })
  }

  return {
    get isSuspect() {
      return isSuspect
    },
    stage(limits) {
      const writer = staging.stage(limits)
      const watch = <T>(work: Promise<T>) =>
        work.catch((cause: unknown) => {
          throw writeError(cause)
        })
      return {
        get sizeBytes() {
          return writer.sizeBytes
        },
        write: (chunk) => watch(writer.write(chunk)),
        finish: () => watch(writer.finish()),
        abort: writer.abort,
      }
    },
    async commit(staged) {
      if (!staging.bodyOf(staged)) throw new TintypeError('internal', 'The upload could not be processed.')
      const path = pathOf(staged.sha256)
      try {
        await lockKey(staged.sha256, () => commitStaged(staged, path))
      } catch (cause) {
        const error = writeError(cause)
        if (error.kind !== 'not-found') throw error
        throw new TintypeError('internal', 'The server could not access its storage.', { cause })
      }
    },
    discard: (staged) => staging.release(staged),
    async read(sha256, range) {
      return readFileStream(await openForRead(sha256), range)
    },
    async readAll(sha256) {
      const handle = await openForRead(sha256)
      try {
        return checkBytes(await handle.readFile(), sha256)
      } catch (error) {
        throw fileSystemError(error)
      } finally {
        await handle.close()
      }
    },
    async stat(sha256) {
      const sizeBytes = await sizeOf(pathOf(sha256))
      return sizeBytes === undefined ? undefined : { sizeBytes }
    },
    async withLocalFile(sha256, use) {
      const path = pathOf(sha256)
      const held = uses.get(sha256) ?? { count: 0, ended: Promise.withResolvers<void>() }
      held.count++
      uses.set(sha256, held)
      try {
        if ((await sizeOf(path)) === undefined) {
          throw new TintypeError('not-found', 'The file could not be found in storage.')
        }
        return await use(path)
      } finally {
        if (--held.count === 0) {
          uses.delete(sha256)
          held.ended.resolve()
        }
      }
    },
    async remove(sha256, { olderThanMs = 0 } = {}) {
      const path = pathOf(sha256)
      await uses.get(sha256)?.ended.promise
      await lockKey(sha256, async () => {
        try {
          // Asked under the lock of commits: an upload of the same bytes may have renewed the age since `list`.
          if (olderThanMs > 0 && Date.now() - (await stat(path)).mtimeMs < olderThanMs) return
          await unlink(path)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileSystemError(error)
        }
      })
    },
    list: () => listBlobs(root),
    async setAside(sha256) {
      const folder = join(options.dataDir, 'damaged')
      const target = join(folder, sha256)
      await lockKey(sha256, async () => {
        try {
          await mkdir(folder, { recursive: true, mode: 0o700 })
          await rename(pathOf(sha256), target)
          await Promise.all([folder, dirname(pathOf(sha256))].map(syncFolder))
        } catch (error) {
          throw fileSystemError(error)
        }
      })
      return target
    },
    async owner() {
      return (await readMarker(join(root, OWNER)))?.id
    },
    async claim(libraryId) {
      await claimMarker(join(root, OWNER), libraryId)
      await syncFolder(root)
    },
    leftovers: staging.leftovers,
    sweepStaging: staging.sweep,
    async check() {
      const probe = Buffer.from(randomUUID())
      try {
        const { path, handle } = await staging.createFile()
        try {
          await handle.write(probe, 0, probe.length, 0)
          await handle.datasync()
          await handle.read(Buffer.alloc(probe.length), 0, probe.length, 0)
          await readdir(root)
        } finally {
          await handle.close().catch(() => {})
          await staging.removeFile(path).catch(() => {})
        }
        isSuspect = false
      } catch (cause) {
        const error = fileSystemError(cause)
        if (error.kind === 'no-space') throw error
        throw new TintypeError('unavailable', 'The server could not access its storage.', { cause })
      }
    },
    async close() {
      await Promise.all([hasher.close(), committer.close()])
    },
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fileSystemError(error)
  }
}

async function* listBlobs(
  root: string,
): AsyncIterable<{ sha256: string; sizeBytes: number; modifiedMs: number }> {
  for (const shard of await readdir(root)) {
    if (!SHARD.test(shard)) continue
    const folder = join(root, shard)
    for await (const entry of await opendir(folder)) {
      if (!SHA256.test(entry.name)) continue
      // Removed since the folder was read.
      const found = await stat(join(folder, entry.name)).catch(() => undefined)
      if (found) yield { sha256: entry.name, sizeBytes: found.size, modifiedMs: found.mtimeMs }
    }
  }
}

/**
 * A data folder carries a marker with an id, and so does the folder of the blobs in it: a missing or foreign one
 * means that a volume is not mounted where it was.
 */
async function prepareDataFolder(
  dataDir: string,
  root: string,
  { syncFolder, log }: { syncFolder: (folder: string) => Promise<void>; log: Log },
) {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  // In this order: another server that starts at the same moment writes them in the other.
  const marker = await readMarker(join(dataDir, MARKER))
  const blobMarker = await readMarker(join(root, MARKER))
  if (marker !== undefined && marker.id !== blobMarker?.id) {
    throw new TintypeError(
      'unavailable',
      'The data folder was used before, but its blobs are not there. Is the volume mounted?',
    )
  }
  if (blobMarker !== undefined && blobMarker.layout > LAYOUT) {
    throw new TintypeError('unavailable', 'The data folder was written by a newer release of Tintype.')
  }
  let id = blobMarker?.id ?? randomUUID()
  await mkdir(root, { recursive: true, mode: 0o700 })
  const there = new Set(await readdir(root))
  const missing = SHARDS.filter((shard) => !there.has(shard))
  await Promise.all(missing.map((shard) => mkdir(join(root, shard), { recursive: true, mode: 0o700 })))
  await syncFolder(root)
  if (blobMarker !== undefined && blobMarker.layout < LAYOUT) await flatten(root, syncFolder, log)
  // The blobs' own marker first: a crash between the two leaves a folder that the next start completes.
  if (blobMarker === undefined) id = await claimMarker(join(root, MARKER), id)
  else if (blobMarker.layout !== LAYOUT) await writeMarker(join(root, MARKER), id)
  await syncFolder(root)
  if (marker !== undefined) return
  await writeMarker(join(dataDir, MARKER), id)
  await syncFolder(dataDir)
  await syncFolder(dirname(dataDir))
}

/** Brings the blobs of layout 1 up by one folder. Goes on where it was interrupted. */
async function flatten(root: string, syncFolder: (folder: string) => Promise<void>, log: Log) {
  log.info({ folder: root }, 'the blobs are put into fewer folders, once')
  for (const shard of SHARDS) {
    const folder = join(root, shard)
    for (const second of await readdir(folder)) {
      if (!SHARD.test(second)) continue
      const names = await readdir(join(folder, second))
      await Promise.all(names.map((name) => rename(join(folder, second, name), join(folder, name))))
      await rmdir(join(folder, second))
    }
    await syncFolder(folder)
  }
}

type Marker = { id: string; layout: number }

async function readMarker(path: string): Promise<Marker | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const { id, layout } = JSON.parse(text) ?? {}
  if (typeof id !== 'string' || typeof layout !== 'number') {
    throw new Error('the marker of the data folder is damaged')
  }
  return { id, layout }
}

/** Makes a marker, unless another server has just made it. @returns the id that it carries. */
async function claimMarker(path: string, id: string): Promise<string> {
  const own = `${path}.${id}`
  await writeMarker(own, id)
  try {
    await link(own, path)
    return id
  } catch (error) {
    const found = await readMarker(path)
    if (found !== undefined) return found.id
    // A file system without links.
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw error
    await rename(own, path)
    return id
  } finally {
    await rm(own, { force: true })
  }
}

async function writeMarker(path: string, id: string) {
  // Of one's own: two servers may start at the same moment.
  const draft = `${path}.${randomUUID()}.tmp`
  const handle = await open(draft, 'w', 0o600)
  try {
    await handle.writeFile(`${JSON.stringify({ id, layout: LAYOUT })}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(draft, path)
}

function startError(error: unknown): TintypeError {
  if (error instanceof TintypeError) return error
  return new TintypeError('unavailable', 'The data folder cannot be used. Does the server own it?', {
    cause: error,
  })
}
