import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TintypeError } from '../kernel/errors.ts'
import { createKeyLock } from '../kernel/key-lock.ts'
import { fileSystemError } from './fs-errors.ts'
import { SHA256 } from './keys.ts'

/** Local copies of blobs, the least recently used of which make room for others. */
export type LocalCache = {
  /** Runs `use` with the path of a copy that stays until it settles; `download` writes it to the path that it gets. */
  withFile<T>(
    sha256: string,
    download: (path: string) => Promise<number>,
    use: (path: string) => Promise<T>,
  ): Promise<T>
  /** A handle to read a copy with, if there is one. */
  open(sha256: string): Promise<FileHandle | undefined>
  /** Moves a file in. */
  adopt(sha256: string, path: string, sizeBytes: number): Promise<void>
  /** Removes a copy, once nobody uses it. */
  remove(sha256: string): Promise<void>
}

type Entry = { sizeBytes: number; uses: number; doomed: boolean }

/** @param options.folder holds nothing but the copies; what it holds from an earlier run is taken over. */
export async function openLocalCache(options: { folder: string; maxBytes: number }): Promise<LocalCache> {
  const { folder, maxBytes } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  // In the order of their last use, the longest ago first.
  const entries = new Map<string, Entry>()
  const lockKey = createKeyLock()
  const downloads = new Map<string, Promise<void>>()
  let totalBytes = 0
  await takeOver()
  await makeRoom()

  async function takeOver() {
    const found: { sha256: string; sizeBytes: number; modifiedMs: number }[] = []
    for (const name of await readdir(folder)) {
      const path = join(folder, name)
      const file = await stat(path)
      // Unfinished downloads of an earlier run have names of their own.
      if (SHA256.test(name)) found.push({ sha256: name, sizeBytes: file.size, modifiedMs: file.mtimeMs })
      else await rm(path, { force: true })
    }
    found.sort((a, b) => a.modifiedMs - b.modifiedMs)
    for (const { sha256, sizeBytes } of found) add(sha256, sizeBytes)
  }

  function add(sha256: string, sizeBytes: number): Entry {
    const entry = { sizeBytes, uses: 0, doomed: false }
    entries.set(sha256, entry)
    totalBytes += sizeBytes
    return entry
  }

  function touch(sha256: string): Entry | undefined {
    const entry = entries.get(sha256)
    if (!entry || entry.doomed) return undefined
    entries.delete(sha256)
    entries.set(sha256, entry)
    return entry
  }

  async function drop(sha256: string, entry: Entry) {
    if (entries.get(sha256) === entry) entries.delete(sha256)
    totalBytes -= entry.sizeBytes
    await lockKey(sha256, async () => {
      // A newer copy may lie under the name by now.
      if (!entries.has(sha256)) await rm(join(folder, sha256), { force: true })
    })
  }

  async function makeRoom() {
    for (const [sha256, entry] of entries) {
      if (totalBytes <= maxBytes) return
      if (entry.uses === 0) await drop(sha256, entry)
    }
  }

  async function fetchOnce(sha256: string, download: (path: string) => Promise<number>): Promise<void> {
    const partial = join(folder, `${sha256}.part`)
    try {
      const sizeBytes = await download(partial)
      await lockKey(sha256, async () => {
        await rename(partial, join(folder, sha256))
        add(sha256, sizeBytes)
      })
    } catch (error) {
      await rm(partial, { force: true }).catch(() => {})
      throw error instanceof TintypeError ? error : fileSystemError(error)
    }
  }

  return {
    async withFile(sha256, download, use) {
      let entry = touch(sha256)
      while (!entry) {
        // Everyone who wants the same copy waits for one download.
        let running = downloads.get(sha256)
        if (!running) {
          running = fetchOnce(sha256, download).finally(() => downloads.delete(sha256))
          downloads.set(sha256, running)
        }
        await running
        entry = touch(sha256)
      }
      entry.uses++
      try {
        await makeRoom()
        return await use(join(folder, sha256))
      } finally {
        entry.uses--
        if (entry.uses === 0 && entry.doomed) await drop(sha256, entry)
        else await makeRoom()
      }
    },
    async open(sha256) {
      if (!touch(sha256)) return undefined
      // An open descriptor outlives the removal of the name.
      return open(join(folder, sha256), 'r').catch(() => undefined)
    },
    async adopt(sha256, path, sizeBytes) {
      if (sizeBytes > maxBytes || entries.has(sha256) || downloads.has(sha256)) {
        await rm(path, { force: true })
        return
      }
      try {
        await lockKey(sha256, async () => {
          await rename(path, join(folder, sha256))
          if (!entries.has(sha256)) add(sha256, sizeBytes)
        })
      } catch (error) {
        await rm(path, { force: true })
        throw fileSystemError(error)
      }
      await makeRoom()
    },
    async remove(sha256) {
      const entry = entries.get(sha256)
      if (!entry) return
      entry.doomed = true
      if (entry.uses === 0) await drop(sha256, entry)
    },
  }
}
