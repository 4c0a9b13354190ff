import { hash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { TintypeError } from '../kernel/errors.ts'
import { HEAD_BYTES, type Staged, type StagingWriter } from './blobs.ts'
import { fileSystemError } from './fs-errors.ts'
import type { Hasher, StreamHash } from './hasher.ts'

/**
 * Bytes that are written and hashed at once; two such batches are in flight for each large upload. For larger writes the
 * kernel looks for larger pieces of memory, and can take ten times as long for that as for the write.
 */
const BATCH_BYTES = 256 * 1024
/** Batches that wait for the next large upload: making them anew costs more than hashing them does. */
const SPARE_BATCHES = 16
/** Memory that waits for the next small uploads: fresh pages cost more than to copy into them does. */
const SPARE_MEMORY_BYTES = 4 * 1024 * 1024
const SMALLEST_MEMORY_BYTES = 64 * 1024
const SPACE_CHECK_MS = 1000
/** What may wait to be synced: the disk then works while a large upload arrives, not only when it is complete. */
const UNSYNCED_BYTES = 16 * 1024 * 1024

export type StagingOptions = {
  /** On the volume of the blobs, so that a rename moves a file into place. */
  folder: string
  memoryBytes: number
  reservedBytes: number
  /** Whether staged files become blobs themselves, so that they have to be synced. */
  becomeBlobs: boolean
}

/** Where staged bytes are: in memory, or in a file of the staging folder. */
export type StagedBody =
  | { kind: 'memory'; bytes: Buffer }
  | { kind: 'file'; path: string; handle: FileHandle | undefined }

/** A body that is nobody else's: its memory may be given to another thread. */
export type TakenBody = { bytes: ArrayBuffer; length: number; draft: string }

export type Staging = {
  stage(options: { maxBytes: () => number }): StagingWriter
  /** The body of staged bytes; undefined after they were released. */
  bodyOf(staged: Staged): StagedBody | undefined
  /** Puts the body into a file if it is not in one. */
  toFile(staged: Staged): Promise<{ path: string; handle: FileHandle | undefined }>
  /**
   * Takes the body out of memory, with the path of a new file for it; undefined where it is in a file already. The
   * staged bytes are released with it, and whoever has taken it gives it back.
   */
  takeFromMemory(staged: Staged): Promise<TakenBody | undefined>
  /** @param bytes the memory of what was taken; absent where it was lost. */
  giveBack(taken: Pick<TakenBody, 'draft'> & { bytes?: ArrayBuffer }): void
  /** Forgets staged bytes; `keepFile` when the file was moved away. */
  release(staged: Staged, options?: { keepFile?: boolean }): Promise<void>
  /** A new file in the staging folder, that nothing else can have opened. */
  createFile(): Promise<{ path: string; handle: FileHandle }>
  removeFile(path: string): Promise<void>
  /** What lies in the folder, apart from what this process writes. */
  leftovers(): AsyncIterable<{ name: string; sizeBytes: number; modifiedMs: number }>
  sweep(olderThanMs: number): Promise<number>
}

/** Receives uploads on local disk before they become blobs. */
export async function openStaging(options: StagingOptions, deps: { hasher: Hasher }): Promise<Staging> {
  const { folder } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const bodies = new WeakMap<Staged, StagedBody>()
  const openPaths = new Set<string>()
  const spares: Batch[] = []
  const memory = createSpareMemory()
  let spaceCheckedMs = Number.NEGATIVE_INFINITY
  let allowanceBytes = 0

  async function checkSpace(incomingBytes: number) {
    const nowMs = performance.now()
    if (nowMs - spaceCheckedMs > SPACE_CHECK_MS || incomingBytes > allowanceBytes) {
      const volume = await statfs(folder)
      // A twentieth of a small volume is enough; the reserve lets the database go on when uploads fill the disk.
      const reserveBytes = Math.min(options.reservedBytes, (volume.blocks * volume.bsize) / 20)
      allowanceBytes = volume.bavail * volume.bsize - reserveBytes
      spaceCheckedMs = nowMs
    }
    if (incomingBytes > allowanceBytes) {
      throw new TintypeError('no-space', 'The server has no space left to store the file.', {
        cause: new Error(`${allowanceBytes} bytes left for uploads`),
      })
    }
    allowanceBytes -= incomingBytes
  }

  function newPath() {
    const path = join(folder, randomBytes(16).toString('hex'))
    openPaths.add(path)
    return path
  }

  async function createFile() {
    const path = newPath()
    try {
      // Exclusive: a link planted under the name would otherwise decide where the bytes go.
      return { path, handle: await open(path, 'wx+', 0o600) }
    } catch (error) {
      openPaths.delete(path)
      throw fileSystemError(error)
    }
  }

  async function removeFile(path: string) {
    openPaths.delete(path)
    await rm(path, { force: true })
  }

  function staged(detail: { sha256: string; sizeBytes: number; head: Buffer }, body: StagedBody): Staged {
    const result: Staged = { ...detail, localPath: async () => (await toFile(result)).path }
    bodies.set(result, body)
    return result
  }

  const moves = new WeakMap<Staged, Promise<{ path: string; handle: FileHandle | undefined }>>()

  async function toFile(target: Staged) {
    const body = bodies.get(target)
    if (!body) throw new TintypeError('internal', 'The upload could not be processed.')
    if (body.kind === 'file') return body
    let move = moves.get(target)
    if (!move) {
      move = writeMemoryBody(target, body.bytes)
      moves.set(target, move)
      // A failed write must not stand for later tries, e.g. once space has returned.
      move.catch(() => moves.delete(target))
    }
    return move
  }

  async function writeMemoryBody(target: Staged, bytes: Buffer) {
    await checkSpace(bytes.length)
    const file = await createFile()
    try {
      await writeFully(file.handle, bytes, 0)
    } catch (error) {
      await file.handle.close().catch(() => {})
      await removeFile(file.path)
      throw fileSystemError(error)
    }
    if (!bodies.has(target)) {
      await file.handle.close()
      await removeFile(file.path)
      throw new TintypeError('internal', 'The upload could not be processed.')
    }
    bodies.set(target, { kind: 'file', ...file })
    return file
  }

  async function takeFromMemory(target: Staged) {
    await moves.get(target)
    const body = bodies.get(target)
    if (body?.kind !== 'memory') return undefined
    // Taken before anything is waited for: a second one that asks finds nothing.
    bodies.delete(target)
    await checkSpace(body.bytes.length)
    const { buffer, length } = body.bytes
    return { bytes: buffer as ArrayBuffer, length, draft: newPath() }
  }

  async function release(target: Staged, { keepFile = false } = {}) {
    const body = bodies.get(target)
    bodies.delete(target)
    if (body?.kind !== 'file') return
    await body.handle?.close().catch(() => {})
    if (keepFile) openPaths.delete(body.path)
    else await removeFile(body.path)
  }

  return {
    bodyOf: (target) => bodies.get(target),
    toFile,
    takeFromMemory,
    giveBack({ bytes, draft }) {
      openPaths.delete(draft)
      if (bytes) memory.give(bytes)
    },
    release,
    createFile,
    removeFile,
    stage: ({ maxBytes }) =>
      createWriter({
        maxBytes,
        memoryBytes: options.memoryBytes,
        unsyncedBytes: options.becomeBlobs ? UNSYNCED_BYTES : Number.POSITIVE_INFINITY,
        checkSpace,
        createFile,
        removeFile,
        startHash: () => deps.hasher.start(),
        takeMemory: options.becomeBlobs ? memory.take : (bytes) => new ArrayBuffer(bytes),
        takeBatch: () => spares.pop() ?? newBatch(),
        giveBatch: (batch) => {
          if (spares.length < SPARE_BATCHES) spares.push(batch)
        },
        staged,
      }),
    async *leftovers() {
      for (const name of await readdir(folder)) {
        const path = join(folder, name)
        if (openPaths.has(path)) continue
        const found = await stat(path).catch(() => undefined)
        if (found) yield { name, sizeBytes: found.size, modifiedMs: found.mtimeMs }
      }
    },
    async sweep(olderThanMs) {
      let count = 0
      for (const name of await readdir(folder)) {
        const path = join(folder, name)
        if (openPaths.has(path)) continue
        const found = await stat(path).catch(() => undefined)
        if (!found || Date.now() - found.mtimeMs < olderThanMs) continue
        await rm(path, { force: true, recursive: true })
        count++
      }
      return count
    },
  }
}

type WriterParts = {
  maxBytes: () => number
  memoryBytes: number
  unsyncedBytes: number
  checkSpace(incomingBytes: number): Promise<void>
  createFile(): Promise<{ path: string; handle: FileHandle }>
  removeFile(path: string): Promise<void>
  startHash(): StreamHash
  /** Memory that nothing else is in, for at least so many bytes. */
  takeMemory(bytes: number): ArrayBuffer
  takeBatch(): Batch
  /** Takes a batch back that nothing reads or writes any more. */
  giveBatch(batch: Batch): void
  staged(detail: { sha256: string; sizeBytes: number; head: Buffer }, body: StagedBody): Staged
}

/** Small bodies stay in memory; what grows past `memoryBytes` is streamed to a file. */
function createWriter(parts: WriterParts): StagingWriter {
  let sizeBytes = 0
  let state: 'open' | 'failed' | 'finished' | 'aborted' = 'open'
  let chunks: Buffer[] = []
  let spill: Spill | undefined
  let pending: Promise<unknown> = Promise.resolve()

  async function take(chunk: Buffer) {
    if (state !== 'open') throw new TintypeError('internal', 'The upload could not be processed.')
    if (sizeBytes + chunk.length > parts.maxBytes()) {
      throw new TintypeError(
        'too-large',
        'Your request contains invalid file parameter. The file size exceeds limits.',
      )
    }
    sizeBytes += chunk.length
    if (spill) return spill.write(chunk)
    chunks.push(chunk)
    if (sizeBytes <= parts.memoryBytes) return
    await parts.checkSpace(sizeBytes)
    spill = createSpill(parts, await parts.createFile())
    const collected = chunks
    chunks = []
    for (const one of collected) await spill.write(one)
  }

  async function complete(): Promise<Staged> {
    if (state !== 'open') throw new TintypeError('internal', 'The upload could not be processed.')
    state = 'finished'
    if (!spill) {
      const bytes = Buffer.from(parts.takeMemory(sizeBytes), 0, sizeBytes)
      let at = 0
      for (const chunk of chunks) at += chunk.copy(bytes, at)
      chunks = []
      const head = bytes.subarray(0, HEAD_BYTES)
      return parts.staged({ sha256: hash('sha256', bytes), sizeBytes, head }, { kind: 'memory', bytes })
    }
    const { sha256, head, path, handle } = await spill.finish()
    return parts.staged({ sha256, sizeBytes, head }, { kind: 'file', path, handle })
  }

  // One call runs at a time, also when a caller does not wait: the order of the bytes is the order of the calls.
  function enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = pending.then(work).catch((error) => {
      if (state === 'open' || state === 'finished') state = 'failed'
      throw fileSystemError(error)
    })
    pending = result.catch(() => {})
    return result
  }

  return {
    get sizeBytes() {
      return sizeBytes
    },
    write: (chunk) => enqueue(() => take(chunk)),
    finish: () => enqueue(complete),
    async abort() {
      if (state === 'finished' || state === 'aborted') return
      state = 'aborted'
      await pending
      chunks = []
      await spill?.abort()
      spill = undefined
    },
  }
}

type Spill = {
  write(chunk: Buffer): Promise<void>
  finish(): Promise<{ sha256: string; head: Buffer; path: string; handle: FileHandle }>
  abort(): Promise<void>
}

type Batch = { shared: SharedArrayBuffer; bytes: Buffer; filled: number; busy: Promise<unknown> }

/**
 * Streams a large body into a file: each full batch is written and hashed at the same time on other threads while
 * the next one fills. Memory stays at two batches and the head, whatever the size of the body.
 */
function createSpill(parts: WriterParts, file: { path: string; handle: FileHandle }): Spill {
  const streamHash = parts.startHash()
  const batches = [parts.takeBatch(), parts.takeBatch()]
  const head = Buffer.allocUnsafeSlow(HEAD_BYTES)
  let headBytes = 0
  let current = 0
  let writtenBytes = 0
  let unsyncedBytes = 0
  let syncing: Promise<void> | undefined
  let synced: Promise<void> = Promise.resolve()

  async function flush(batch: Batch) {
    const bytes = batch.bytes.subarray(0, batch.filled)
    const at = writtenBytes
    writtenBytes += batch.filled
    batch.filled = 0
    const writing = parts.checkSpace(bytes.length).then(() => writeFully(file.handle, bytes, at))
    writing.then(
      () => syncSome(bytes.length),
      () => {},
    )
    batch.busy = Promise.all([writing, streamHash.update(batch.shared, bytes.length)])
    // Looked at before the batch is used again; until then a rejection is not unhandled.
    batch.busy.catch(() => {})
  }

  /** What fails here fails the upload: a sync that comes after it would report success. */
  function syncSome(bytes: number) {
    unsyncedBytes += bytes
    if (unsyncedBytes < parts.unsyncedBytes || syncing) return
    unsyncedBytes = 0
    const before = synced
    syncing = file.handle.datasync().finally(() => {
      syncing = undefined
    })
    synced = Promise.all([before, syncing]).then(() => {})
    synced.catch(() => {})
  }

  function giveBatches() {
    for (const batch of batches.splice(0)) parts.giveBatch({ ...batch, filled: 0, busy: Promise.resolve() })
  }

  return {
    async write(chunk) {
      if (headBytes < HEAD_BYTES) headBytes += chunk.copy(head, headBytes)
      let offset = 0
      while (offset < chunk.length) {
        const batch = batches[current]!
        if (batch.filled === 0) await batch.busy
        const copied = chunk.copy(batch.bytes, batch.filled, offset)
        offset += copied
        batch.filled += copied
        if (batch.filled === BATCH_BYTES) {
          await flush(batch)
          current = 1 - current
        }
      }
    },
    async finish() {
      const batch = batches[current]!
      if (batch.filled > 0) await flush(batch)
      for (const { busy } of batches) await busy
      await synced
      const sha256 = await streamHash.digest()
      giveBatches()
      return { sha256, head: head.subarray(0, headBytes), ...file }
    },
    async abort() {
      // The file must not be closed under a running write: its descriptor could belong to another file by then.
      await Promise.allSettled([...batches.map((batch) => batch.busy), synced])
      streamHash.drop()
      giveBatches()
      await file.handle.close().catch(() => {})
      await parts.removeFile(file.path)
    },
  }
}

/** Memory for bodies, in powers of two so that what one upload leaves fits the next. */
function createSpareMemory() {
  const spare: ArrayBuffer[] = []
  let spareBytes = 0
  return {
    take(bytes: number): ArrayBuffer {
      const wanted = Math.max(SMALLEST_MEMORY_BYTES, 2 ** Math.ceil(Math.log2(Math.max(bytes, 1))))
      const index = spare.findLastIndex((memory) => memory.byteLength === wanted)
      if (index === -1) return new ArrayBuffer(wanted)
      spareBytes -= wanted
      return spare.splice(index, 1)[0]!
    },
    give(memory: ArrayBuffer) {
      if (spareBytes + memory.byteLength > SPARE_MEMORY_BYTES) return
      spareBytes += memory.byteLength
      spare.push(memory)
    },
  }
}

function newBatch(): Batch {
  const shared = new SharedArrayBuffer(BATCH_BYTES)
  return { shared, bytes: Buffer.from(shared), filled: 0, busy: Promise.resolve() }
}

/** A write may take fewer bytes than it was given. */
async function writeFully(handle: FileHandle, bytes: Buffer, at: number) {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
}
