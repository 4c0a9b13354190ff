import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import type { SharedDerivatives } from './shared-derivatives.ts'

/** A finished derivative on disk. */
export type Derivative = {
  path: string
  sha256: string
  sizeBytes: number
  widthPx: number
  heightPx: number
  format: string
}

export type Made = { sha256: string; sizeBytes: number; widthPx: number; heightPx: number }

export type Derivatives = {
  /**
   * The derivative of a key, made if it is not there. However many ask at once, `make` runs once (trust X07), and a
   * client that leaves does not end it.
   * @param make writes the file to the path that it is given.
   */
  getOrMake(
    key: string,
    format: string,
    make: (path: string) => Promise<Made>,
  ): Promise<{ derivative: Derivative; hit: boolean }>
  /** Bytes in the cache. */
  readonly sizeBytes: number
  /** Sources (the first SOURCE_LENGTH characters of keys) that there are derivatives of. */
  sources(): string[]
  /**
   * Removes the derivatives whose keys begin with a source and what may follow it.
   * @returns the hashes of the removed bytes, when their files are gone.
   */
  purge(prefix: string): Promise<string[]>
  /** Forgets a derivative whose file is gone, so that it is made again; one that has been made meanwhile stays. */
  forgetMissing(key: string): Promise<void>
  clear(): Promise<void>
}

type Entry = Derivative & { verified: boolean }

/** Keys begin with the SHA-256 of the source's bytes, so that what was made of them can be found. */
export const SOURCE_LENGTH = 64

/** Longer than any render may take. */
const STALE_MS = 3_600_000

/** Left free on the volume; the cache stops growing before uploads and the database run out of space (trust X07). */
const RESERVED_SHARE = 0.1

/**
 * A cache of derivatives in a folder, under a budget of bytes, least recently used first out. Files are written
 * under a temporary name and renamed, so that no reader sees a part; after a restart the bytes of a file are compared with the hash
 * in its name before it is first used, since nothing here waits for the disk.
 */
export async function openDerivatives(
  options: { dir: string; maxBytes: number },
  deps: { log: Log; shared?: SharedDerivatives },
): Promise<Derivatives> {
  const { dir, maxBytes } = options
  const tempDir = join(dir, 'tmp')
  await mkdir(tempDir, { recursive: true, mode: 0o700 })
  await clearStale(tempDir)

  /** Removals that are under way: the same derivative made again has the same path. */
  const removing = new Map<string, Promise<void>>()
  const keysOf = new Map<string, Set<string>>()
  const forgetKey = (key: string) => {
    const source = key.slice(0, SOURCE_LENGTH)
    const keys = keysOf.get(source)
    keys?.delete(key)
    if (keys?.size === 0) keysOf.delete(source)
  }
  const entries = new LRUCache<string, Entry>({
    maxSize: maxBytes,
    sizeCalculation: (entry) => Math.max(1, entry.sizeBytes),
    onInsert(_entry, key) {
      const source = key.slice(0, SOURCE_LENGTH)
      const keys = keysOf.get(source)
      if (keys) keys.add(key)
      else keysOf.set(source, new Set([key]))
    },
    dispose(entry, key, reason) {
      if (reason !== 'set') forgetKey(key)
      const removal = rm(entry.path, { force: true }).catch(() => {})
      removing.set(entry.path, removal)
      removal.finally(() => removing.delete(entry.path))
    },
  })
  const { shared } = deps
  const making = new Map<string, Promise<{ derivative: Derivative; isShared: boolean }>>()
  for (const { key, entry } of await scan(dir)) entries.set(key, entry)

  async function find(key: string): Promise<Derivative | undefined> {
    const entry = entries.get(key)
    if (!entry || entry.verified) return entry
    const bytes = await readFile(entry.path).catch(() => undefined)
    if (bytes && hash(bytes).startsWith(entry.sha256)) {
      entry.verified = true
      return entry
    }
    deps.log.warn({ key }, 'a cached derivative was damaged and is made again')
    entries.delete(key)
    return undefined
  }

  async function makeFresh(key: string, format: string, make: (path: string) => Promise<Made>) {
    const tempPath = join(tempDir, randomUUID())
    try {
      await keepReserve()
      const sharedName = `${key}.${format}`
      const found = await shared?.find(sharedName, tempPath)
      const made = found ?? (await make(tempPath))
      // Others have written meanwhile, and this one may be large.
      await keepReserve()
      const folder = join(dir, key.slice(0, 2))
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const sha256 = made.sha256.slice(0, 32)
      const name = `${key}.${sha256}.${made.sizeBytes}.${made.widthPx}x${made.heightPx}.${format}`
      const entry: Entry = { ...made, sha256, path: join(folder, name), format, verified: true }
      await removing.get(entry.path)
      await rename(tempPath, entry.path)
      entries.set(key, entry)
      if (!found) shared?.keep(sharedName, entry.path, made)
      return { derivative: entry, isShared: found !== undefined }
    } catch (error) {
      await rm(tempPath, { force: true })
      await rm(`${tempPath}.icc`, { force: true })
      throw error
    }
  }

  async function keepReserve() {
    const missingBytes = await missingReserve()
    if (missingBytes <= 0) return
    // What is used least makes room, unless the volume is full of other things: then it would be lost in vain.
    if (missingBytes < entries.calculatedSize) {
      let freedBytes = 0
      for (let i = 0; i < 20 && freedBytes < missingBytes; i++) freedBytes += entries.pop()?.sizeBytes ?? 0
      await Promise.all(removing.values())
      if ((await missingReserve()) <= 0) return
    }
    throw new TintypeError('unavailable', 'The server has no space left for transformed images.', {
      headers: { 'retry-after': '10' },
    })
  }

  async function missingReserve(): Promise<number> {
    const { bavail, blocks, bsize } = await statfs(dir)
    return (blocks * RESERVED_SHARE - bavail) * bsize
  }

  return {
    get sizeBytes() {
      return entries.calculatedSize
    },
    async getOrMake(key, format, make) {
      const running = making.get(key)
      if (running) return { derivative: (await running).derivative, hit: false }
      const known = entries.get(key)
      if (known?.verified) return { derivative: known, hit: true }
      const promise = (async () => {
        const kept = await find(key)
        return kept ? { derivative: kept, isShared: false } : makeFresh(key, format, make)
      })()
      making.set(key, promise)
      try {
        const { derivative, isShared } = await promise
        return { derivative, hit: isShared }
      } finally {
        making.delete(key)
      }
    },
    sources: () => [...keysOf.keys()],
    async purge(prefix) {
      const found = keysOf.get(prefix.slice(0, SOURCE_LENGTH)) ?? []
      const keys = [...found].filter((key) => key.startsWith(prefix))
      const removed = keys.flatMap((key) => entries.peek(key) ?? [])
      for (const key of keys) entries.delete(key)
      await Promise.all([shared?.remove(prefix), ...removed.map((entry) => removing.get(entry.path))])
      return removed.map((entry) => entry.sha256)
    },
    async forgetMissing(key) {
      const entry = entries.peek(key)
      if (!entry || (await stat(entry.path).catch(() => undefined))) return
      // Whoever else has missed it may have had it made by now, under the same path.
      if (entries.peek(key) === entry) entries.delete(key)
    },
    async clear() {
      entries.clear()
    },
  }
}

/** Removes what processes that died were writing. Another one may share the folder; its files are younger. */
async function clearStale(tempDir: string): Promise<void> {
  for (const name of await readdir(tempDir)) {
    const path = join(tempDir, name)
    const info = await stat(path).catch(() => undefined)
    if (info && Date.now() - info.mtimeMs > STALE_MS) await rm(path, { recursive: true, force: true })
  }
}

/** Files of earlier runs, the least recently written first. */
async function scan(dir: string): Promise<{ key: string; entry: Entry }[]> {
  const found: { key: string; entry: Entry; modifiedMs: number }[] = []
  for (const shard of await readdir(dir, { withFileTypes: true })) {
    if (!shard.isDirectory() || !/^[0-9a-f]{2}$/.test(shard.name)) continue
    for (const name of await readdir(join(dir, shard.name))) {
      const path = join(dir, shard.name, name)
      const match = /^([0-9a-f]{40,128})\.([0-9a-f]{32})\.(\d+)\.(\d+)x(\d+)\.([a-z0-9]+)$/.exec(name)
      const info = await stat(path).catch(() => undefined)
      if (!match || !info || info.size !== Number(match[3])) {
        await rm(path, { force: true })
        continue
      }
      const [, key, sha256, sizeBytes, widthPx, heightPx, format] = match as unknown as string[]
      found.push({
        key: key!,
        modifiedMs: info.mtimeMs,
        entry: {
          path,
          sha256: sha256!,
          sizeBytes: Number(sizeBytes),
          widthPx: Number(widthPx),
          heightPx: Number(heightPx),
          format: format!,
          verified: false,
        },
      })
    }
  }
  return found.sort((a, b) => a.modifiedMs - b.modifiedMs)
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Streams a file, which stays readable when it is removed meanwhile. @throws ENOENT when it has been already. */
export async function openFile(path: string, range?: { start: number; end: number }) {
  const file = await open(path)
  return file.createReadStream(range ? { start: range.start, end: range.end } : {})
}
