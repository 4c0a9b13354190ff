import { createHash, randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { LRUCache } from 'lru-cache'
import { TintypeError } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { inspect, type MediaOptions } from '../media/media.ts'

/** What is known of a file that came from an origin, beside its bytes. */
export type CachedFacts = {
  sha256: string
  sizeBytes: number
  name: string
  mime: string
  format: string
  fileType: 'image' | 'non-image'
  widthPx: number | null
  heightPx: number | null
  orientation: number | null
  hasAlpha: boolean | null
  isPrivate: boolean
  etag: string | null
  lastModified: string | null
  /** When these bytes were first seen here. */
  modifiedAtMs: number
  /** When the origin last said that they are current. */
  checkedAtMs: number
  /** How long the origin lets them be kept; null if it does not say. */
  originMaxAgeSec: number | null
  /** Which origin, and where in it: for purging. */
  originKey: string
  place: string
}

export type CachedFile = CachedFacts & {
  open(range?: { start: number; end: number }): Promise<Readable>
  readAll(): Promise<Buffer>
  /** Calls `use` with the path of the file, which stays until `use` settles. */
  withLocalFile<T>(use: (path: string) => Promise<T>): Promise<T>
}

/** What an origin sent, to be stored. */
export type Incoming = Pick<
  CachedFacts,
  'name' | 'isPrivate' | 'etag' | 'lastModified' | 'checkedAtMs' | 'originMaxAgeSec' | 'originKey' | 'place'
> & { body: AsyncIterable<Buffer> }

export type OriginCache = {
  get(key: string): Promise<CachedFile | undefined>
  put(key: string, incoming: Incoming): Promise<CachedFile>
  /** Notes that the origin still has these bytes. */
  renew(key: string, changes: Pick<CachedFacts, 'checkedAtMs' | 'originMaxAgeSec'>): Promise<void>
  remove(key: string): Promise<void>
  /** Keys of the files that a test accepts. */
  keys(accepts: (facts: CachedFacts) => boolean): string[]
  /** Bytes of all files. */
  sizeBytes(): number
}

type Entry = { facts: CachedFacts; verified: boolean }

/** As much as the library's inspection reads. */
const HEAD_BYTES = 256 * 1024
/** Left free on the volume for uploads and the database. */
const RESERVED_SHARE = 0.1
const INDEX_VERSION = 1

/**
 * Copies of files from origins in a folder, under a budget of bytes, least recently used first out. A file has its
 * facts in a second one beside it, written last, so that what a crash leaves is thrown away at the next start; after a
 * start the bytes are held against their hash before they are first used.
 */
export async function openOriginCache(
  options: { dir: string; maxBytes: number; media: MediaOptions },
  { log }: { log: Log },
): Promise<OriginCache> {
  const { dir } = options
  const tempDir = join(dir, 'tmp')
  await rm(tempDir, { recursive: true, force: true })
  await mkdir(tempDir, { recursive: true, mode: 0o700 })
  const uses = new Map<string, number>()
  /** Files that are to go when nobody uses them any more. */
  const doomed = new Set<string>()

  const pathOf = (key: string, sha256: string) => join(dir, key.slice(0, 2), `${key}.${sha256.slice(0, 32)}`)
  const factsPathOf = (key: string) => join(dir, key.slice(0, 2), `${key}.json`)
  const removeFile = (path: string) => {
    if (uses.has(path)) doomed.add(path)
    else void rm(path, { force: true }).catch(() => {})
  }

  const entries = new LRUCache<string, Entry>({
    maxSize: options.maxBytes,
    sizeCalculation: ({ facts }) => Math.max(1, facts.sizeBytes),
    dispose({ facts }, key, reason) {
      const path = pathOf(key, facts.sha256)
      if (reason === 'set') {
        // The same bytes again lie under the same name.
        if (entries.peek(key)?.facts.sha256 !== facts.sha256) removeFile(path)
        return
      }
      removeFile(path)
      void rm(factsPathOf(key), { force: true }).catch(() => {})
    },
  })
  for (const { key, facts } of await scan(dir, pathOf)) entries.set(key, { facts, verified: false })

  async function writeFacts(key: string, facts: CachedFacts): Promise<void> {
    const temp = join(tempDir, randomUUID())
    await writeFile(temp, JSON.stringify({ version: INDEX_VERSION, ...facts }), { mode: 0o600 })
    await rename(temp, factsPathOf(key))
  }

  async function keepReserve(): Promise<void> {
    const { bavail, blocks } = await statfs(dir)
    if (bavail >= blocks * RESERVED_SHARE) return
    for (let count = 0; count < 5; count++) entries.pop()
    throw new TintypeError('unavailable', 'The server has no space left for files of origins.', {
      headers: { 'retry-after': '10' },
    })
  }

  function fileOf(key: string, facts: CachedFacts): CachedFile {
    const path = pathOf(key, facts.sha256)
    return {
      ...facts,
      async open(range) {
        const handle = await open(path).catch(gone)
        return createReadStream(path, { fd: handle, ...(range ?? {}) })
      },
      readAll: () => readFile(path).catch(gone),
      async withLocalFile(use) {
        uses.set(path, (uses.get(path) ?? 0) + 1)
        try {
          return await use(path)
        } finally {
          const left = uses.get(path)! - 1
          if (left > 0) uses.set(path, left)
          else {
            uses.delete(path)
            if (doomed.delete(path)) removeFile(path)
          }
        }
      },
    }
  }

  return {
    async get(key) {
      const entry = entries.get(key)
      if (!entry) return undefined
      const { facts } = entry
      if (!entry.verified) {
        if ((await hashFile(pathOf(key, facts.sha256))) !== facts.sha256) {
          log.warn({ name: facts.name }, 'a copy of a file from an origin was damaged and is fetched again')
          entries.delete(key)
          return undefined
        }
        entry.verified = true
      }
      return fileOf(key, facts)
    },
    async put(key, { body, ...incoming }) {
      await keepReserve()
      const temp = join(tempDir, randomUUID())
      try {
        const received = await receive(body, temp)
        const inspection = await inspect(
          {
            head: received.head,
            sizeBytes: received.sizeBytes,
            name: incoming.name,
            localPath: async () => temp,
          },
          { log, options: options.media },
        )
        const previous = entries.peek(key)?.facts
        const facts: CachedFacts = {
          ...incoming,
          sha256: received.sha256,
          sizeBytes: received.sizeBytes,
          mime: inspection.mime,
          format: inspection.format,
          fileType: inspection.fileType,
          widthPx: inspection.widthPx ?? null,
          heightPx: inspection.heightPx ?? null,
          orientation: inspection.orientation ?? null,
          hasAlpha: inspection.hasAlpha ?? null,
          modifiedAtMs: previous?.sha256 === received.sha256 ? previous.modifiedAtMs : incoming.checkedAtMs,
        }
        const path = pathOf(key, facts.sha256)
        await mkdir(join(dir, key.slice(0, 2)), { recursive: true, mode: 0o700 })
        doomed.delete(path)
        await rename(temp, path)
        await writeFacts(key, facts)
        entries.set(key, { facts, verified: true })
        return fileOf(key, facts)
      } finally {
        await rm(temp, { force: true })
      }
    },
    async renew(key, changes) {
      const entry = entries.peek(key)
      if (!entry) return
      entry.facts = { ...entry.facts, ...changes }
      await writeFacts(key, entry.facts)
    },
    async remove(key) {
      entries.delete(key)
    },
    keys: (accepts) => [...entries.entries()].filter(([, { facts }]) => accepts(facts)).map(([key]) => key),
    sizeBytes: () => entries.calculatedSize,
  }
}

function gone(cause: unknown): never {
  throw new TintypeError('unavailable', 'The file is being fetched anew. Please try again.', {
    headers: { 'retry-after': '1' },
    cause,
  })
}

/** Writes a body to a file. @returns its hash, size and first bytes. */
async function receive(body: AsyncIterable<Buffer>, path: string) {
  const hash = createHash('sha256')
  const heads: Buffer[] = []
  let headBytes = 0
  let sizeBytes = 0
  await pipeline(
    Readable.from(body, { objectMode: false }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        sizeBytes += chunk.length
        if (headBytes < HEAD_BYTES) {
          const part = chunk.subarray(0, HEAD_BYTES - headBytes)
          heads.push(part)
          headBytes += part.length
        }
        yield chunk
      }
    },
    createWriteStream(path, { mode: 0o600 }),
  )
  return { sha256: hash.digest('hex'), sizeBytes, head: Buffer.concat(heads) }
}

async function hashFile(path: string): Promise<string | undefined> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk)
    return hash.digest('hex')
  } catch {
    return undefined
  }
}

/** Files of earlier runs, those that were checked longest ago first. What has no facts, or the wrong size, goes. */
async function scan(
  dir: string,
  pathOf: (key: string, sha256: string) => string,
): Promise<{ key: string; facts: CachedFacts }[]> {
  const found: { key: string; facts: CachedFacts }[] = []
  for (const shard of await readdir(dir, { withFileTypes: true })) {
    if (!shard.isDirectory() || !/^[0-9a-f]{2}$/.test(shard.name)) continue
    const folder = join(dir, shard.name)
    const names = await readdir(folder)
    const kept = new Set<string>()
    for (const name of names) {
      const key = /^([0-9a-f]{64})\.json$/.exec(name)?.[1]
      if (key === undefined) continue
      const facts = await readFacts(join(folder, name))
      const path = facts && pathOf(key, facts.sha256)
      const info = path === undefined ? undefined : await stat(path).catch(() => undefined)
      if (!facts || info?.size !== facts.sizeBytes) continue
      found.push({ key, facts })
      kept.add(name).add(path!.slice(folder.length + 1))
    }
    for (const name of names) if (!kept.has(name)) await rm(join(folder, name), { force: true })
  }
  return found.sort((a, b) => a.facts.checkedAtMs - b.facts.checkedAtMs)
}

async function readFacts(path: string): Promise<CachedFacts | undefined> {
  try {
    const { version, ...facts } = JSON.parse(await readFile(path, 'utf8'))
    return version === INDEX_VERSION ? facts : undefined
  } catch {
    return undefined
  }
}
