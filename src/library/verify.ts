import { createHash } from 'node:crypto'
import type { Blobs } from '../blobs/blobs.ts'
import { TintypeError } from '../kernel/errors.ts'
import { inParallel } from '../kernel/in-parallel.ts'
import type { Store } from '../store/store.ts'
import { BLOBS_AT_ONCE, blobsInUse, type Progress } from './copy-blobs.ts'

/** Problems of one kind that are described one by one; beyond, they are only counted. */
const MAX_DESCRIBED = 1000
const MAX_USERS = 5
const BATCH = 500

export type BlobProblem = {
  sha256: string
  sizeBytes: number
  problem: string
  /** Paths of some of the files that show it. */
  files: string[]
}

export type Problems<T> = { count: number; bytes: number; list: T[] }

export type VerifyReport = {
  checked: { blobs: number; bytes: number; rows: number }
  /** Blobs whose bytes are not those of their hash. */
  damaged: Problems<BlobProblem>
  /** Blobs that files refer to and that are not there. */
  missing: Problems<BlobProblem>
  /** Versions whose size is not that of their blob. */
  mismatched: Problems<BlobProblem>
  /** Blobs that no file refers to and that are older than the grace period. */
  orphans: Problems<{ sha256: string; sizeBytes: number; ageSec: number }>
  /** What dead uploads have left in staging. */
  temporary: Problems<{ name: string; sizeBytes: number; ageSec: number }>
  /** What was done about it. */
  repaired: { restored: number; setAside: string[]; removedOrphans: number; removedTemporary: number }
}

export type VerifyOptions = {
  /** Younger blobs and staged bytes may belong to uploads that are under way. */
  graceMs: number
  stagingMaxAgeMs: number
  nowMs: number
  /** Trusts sizes and hashes nothing. */
  quick: boolean
  /**
   * Takes damaged blobs out of the storage, brings those back that `from` has, and removes orphans and what dead
   * uploads have left.
   */
  repair: boolean
}

/** Holds every blob against its hash and every row against its blob, also while a server runs (trust F05, F06). */
export async function verifyLibrary(
  options: VerifyOptions,
  deps: {
    store: Pick<Store, 'blobsInUse' | 'referencedBlobs' | 'blobUsers'>
    blobs: Blobs
    /** Another storage that may have whole copies, such as that of a backup. */
    from?: Pick<Blobs, 'read' | 'stat'>
    onProgress?: (progress: Progress) => void
  },
): Promise<VerifyReport> {
  const { store, blobs, onProgress } = deps
  const none = <T>(): Problems<T> => ({ count: 0, bytes: 0, list: [] })
  const report: VerifyReport = {
    checked: { blobs: 0, bytes: 0, rows: 0 },
    damaged: none(),
    missing: none(),
    mismatched: none(),
    orphans: none(),
    temporary: none(),
    repaired: { restored: 0, setAside: [], removedOrphans: 0, removedTemporary: 0 },
  }
  const damaged = new Set<string>()
  const add = <T>(problems: Problems<T>, problem: T, sizeBytes: number) => {
    problems.count += 1
    problems.bytes += sizeBytes
    if (problems.list.length < MAX_DESCRIBED) problems.list.push(problem)
  }
  const describe = async (sha256: string, sizeBytes: number, problem: string): Promise<BlobProblem> => ({
    sha256,
    sizeBytes,
    problem,
    files: (await store.blobUsers(sha256, MAX_USERS)).map(({ path }) => path),
  })

  await checkBlobs()
  await checkRows()
  await checkStaging()
  return report

  /** The storage: what it holds, and whether somebody needs it. */
  async function checkBlobs(): Promise<void> {
    for await (const batch of inBatches(blobs.list(), BATCH)) {
      await inParallel(batch, BLOBS_AT_ONCE, checkBlob)
      const used = await store.referencedBlobs(batch.map(({ sha256 }) => sha256))
      for (const { sha256, sizeBytes, modifiedMs } of batch) {
        const ageMs = options.nowMs - modifiedMs
        if (used.has(sha256) || damaged.has(sha256) || ageMs < options.graceMs) continue
        add(report.orphans, { sha256, sizeBytes, ageSec: Math.round(ageMs / 1000) }, sizeBytes)
        if (!options.repair) continue
        await blobs.remove(sha256, { olderThanMs: options.graceMs })
        report.repaired.removedOrphans += 1
      }
    }
  }

  async function checkBlob({ sha256, sizeBytes }: { sha256: string; sizeBytes: number }): Promise<void> {
    const problem = options.quick ? undefined : await damageOf(sha256)
    report.checked.blobs += 1
    report.checked.bytes += sizeBytes
    onProgress?.({ what: 'blobs', done: report.checked.blobs, total: 0, bytes: report.checked.bytes })
    if (problem === undefined) return
    damaged.add(sha256)
    add(report.damaged, await describe(sha256, sizeBytes, problem), sizeBytes)
    if (options.repair) await repairBlob(sha256, { isThere: true })
  }

  /** @returns what is wrong with a blob; nothing when it has gone since it was listed. */
  async function damageOf(sha256: string): Promise<string | undefined> {
    const hash = createHash('sha256')
    let sizeBytes = 0
    try {
      for await (const chunk of await blobs.read(sha256)) {
        hash.update(chunk as Buffer)
        sizeBytes += (chunk as Buffer).length
      }
    } catch (error) {
      if (error instanceof TintypeError && error.kind === 'not-found') return undefined
      if (error instanceof TintypeError && error.kind === 'unavailable') throw error
      return `it cannot be read: ${messageOf(error)}`
    }
    if (hash.digest('hex') === sha256) return undefined
    return `its ${sizeBytes} bytes have another hash`
  }

  /** The rows: whether each has its blob, in its size. */
  async function checkRows(): Promise<void> {
    await inParallel(
      blobsInUse(store),
      BLOBS_AT_ONCE,
      async ({ sha256, sizeBytes, largestBytes, versions }) => {
        report.checked.rows += versions
        const found = await blobs.stat(sha256)
        if (!found) {
          // The file may have been deleted since its row was read.
          if (!(await store.referencedBlobs([sha256])).has(sha256)) return
          if (await blobs.stat(sha256)) return
          const isSetAside = report.damaged.list.some((known) => known.sha256 === sha256)
          if (isSetAside) return
          add(report.missing, await describe(sha256, sizeBytes, 'it is not in the storage'), sizeBytes)
          if (options.repair) await repairBlob(sha256, { isThere: false })
          return
        }
        if (found.sizeBytes === sizeBytes && found.sizeBytes === largestBytes) return
        if (damaged.has(sha256)) return
        const problem = `it has ${found.sizeBytes} bytes, but a version says ${sizeBytes === found.sizeBytes ? largestBytes : sizeBytes}`
        add(report.mismatched, await describe(sha256, found.sizeBytes, problem), found.sizeBytes)
      },
    )
  }

  async function checkStaging(): Promise<void> {
    for await (const { name, sizeBytes, modifiedMs } of blobs.leftovers()) {
      const ageMs = options.nowMs - modifiedMs
      if (ageMs < options.stagingMaxAgeMs) continue
      add(report.temporary, { name, sizeBytes, ageSec: Math.round(ageMs / 1000) }, sizeBytes)
    }
    if (!options.repair || report.temporary.count === 0) return
    report.repaired.removedTemporary = await blobs.sweepStaging(options.stagingMaxAgeMs)
  }

  /** Takes what is there aside, and brings back a whole copy if there is one. */
  async function repairBlob(sha256: string, { isThere }: { isThere: boolean }): Promise<void> {
    if (isThere) report.repaired.setAside.push(await blobs.setAside(sha256))
    const { from } = deps
    if (!from || !(await from.stat(sha256))) return
    const writer = blobs.stage({ maxBytes: () => Number.POSITIVE_INFINITY })
    try {
      for await (const chunk of await from.read(sha256)) await writer.write(chunk as Buffer)
      const staged = await writer.finish()
      if (staged.sha256 !== sha256) return await blobs.discard(staged)
      await blobs.commit(staged)
      report.repaired.restored += 1
    } catch (error) {
      await writer.abort()
      throw error
    }
  }
}

async function* inBatches<T>(items: AsyncIterable<T>, size: number): AsyncIterable<T[]> {
  let batch: T[] = []
  for await (const item of items) {
    batch.push(item)
    if (batch.length < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** Problems that lose bytes and are still there. */
export function damageLeft(report: VerifyReport): number {
  return report.damaged.count + report.missing.count + report.mismatched.count - report.repaired.restored
}

function messageOf(error: unknown): string {
  const { cause } = error as { cause?: unknown }
  return cause instanceof Error ? cause.message : (error as Error).message
}
