import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Blobs, diskBlobPath } from '../blobs/blobs.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import { inParallel } from '../kernel/in-parallel.ts'
import { type BlobInUse, backUpSqlite, checkSqliteFile, type Store } from '../store/store.ts'
import {
  BLOBS_AT_ONCE,
  blobsInUse,
  type CopyReport,
  copyBlobs,
  countBlobs,
  type Progress,
} from './copy-blobs.ts'
import { holdGarbage } from './garbage.ts'

const MANIFEST = 'backup.json'
const DATABASE = 'tintype.db'
const FORMAT = 1
/** How long blobs are kept from being collected, renewed while a backup goes on. */
const HOLD_MS = 10 * 60_000

/** What a backup says of itself; it is written last, so that a backup without one is unfinished. */
export type BackupManifest = {
  format: number
  createdAt: string
  product: string
  account: string
  database: { file: string; sizeBytes: number; sha256: string }
  blobs: { count: number; bytes: number }
}

type StorePair = {
  store: Pick<Store, 'settings' | 'blobsInUse'>
  /** Opens the store of a database file. */
  openCopy(file: string): Promise<Pick<Store, 'blobsInUse' | 'settings' | 'close'>>
}

/**
 * Copies an embedded installation into a folder, also while it runs: the database first, then every blob that this
 * copy of it refers to, then the manifest (trust F11). A folder that holds an earlier backup gets what is new. The
 * result is itself a data folder.
 * @param options.link links blobs instead of copying them: on one volume this takes no space, and no new disk either.
 */
export async function backUp(
  options: { databaseFile: string; folder: string; link: boolean; product: string; now: () => number },
  deps: StorePair & {
    blobs: Blobs
    /** Opens the storage of the backup, in its folder. */
    openTarget(): Promise<Blobs>
    onProgress?: (progress: Progress) => void
  },
): Promise<{ manifest: BackupManifest; copy: CopyReport }> {
  const { folder } = options
  await mkdir(folder, { recursive: true, mode: 0o700 })
  // From here on until the new manifest is there, the folder is no whole backup.
  await rm(join(folder, MANIFEST), { force: true })
  const hold = () => holdGarbage(deps.store, options.now() + HOLD_MS)
  await hold()
  const renewal = setInterval(() => void hold().catch(() => {}), HOLD_MS / 4)
  try {
    const fresh = join(folder, `${DATABASE}.new`)
    await rm(fresh, { force: true })
    await backUpSqlite(options.databaseFile, fresh)
    const file = join(folder, DATABASE)
    for (const end of ['', '-wal', '-shm']) await rm(`${file}${end}`, { force: true })
    await rename(fresh, file)

    const target = await deps.openTarget()
    const copied = await deps.openCopy(file)
    let copy: CopyReport
    let account: unknown
    try {
      account = await copied.settings.get('account.id')
      // The copy's own note would hold up its garbage for a while after it is restored.
      await holdGarbage(copied, undefined)
      const total = await countBlobs(copied)
      const onProgress = (done: number, bytes: number) =>
        deps.onProgress?.({ what: 'blobs', done, total, bytes })
      const wanted = blobsInUse(copied)
      copy = options.link
        ? await linkBlobs(wanted, { from: deps.blobs, to: target, folder, onProgress })
        : await copyBlobs(wanted, { from: deps.blobs, to: target, onProgress })
    } finally {
      await copied.close()
      await target.close()
    }
    await syncPath(file)
    const manifest: BackupManifest = {
      format: FORMAT,
      createdAt: new Date(options.now()).toISOString(),
      product: options.product,
      account: String(account ?? ''),
      database: { file: DATABASE, ...(await fingerprint(file)) },
      blobs: { count: copy.copied + copy.present, bytes: copy.copiedBytes },
    }
    await writeDurably(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`)
    return { manifest, copy }
  } finally {
    clearInterval(renewal)
    await holdGarbage(deps.store, undefined)
  }
}

async function linkBlobs(
  wanted: AsyncIterable<BlobInUse>,
  deps: {
    from: Blobs
    to: Blobs
    folder: string
    onProgress: (done: number, bytes: number) => void
  },
): Promise<CopyReport> {
  const report: CopyReport = { copied: 0, copiedBytes: 0, present: 0, missing: [], damaged: [] }
  let done = 0
  await inParallel(wanted, BLOBS_AT_ONCE, async ({ sha256, sizeBytes }) => {
    const target = diskBlobPath(deps.folder, sha256)
    const there = await deps.to.stat(sha256)
    if (there?.sizeBytes === sizeBytes) report.present += 1
    else {
      await mkdir(dirname(target), { recursive: true, mode: 0o700 })
      await rm(target, { force: true })
      try {
        await deps.from.withLocalFile(sha256, (path) =>
          link(path, target).catch(() => copyFile(path, target)),
        )
        report.copied += 1
        report.copiedBytes += sizeBytes
      } catch (error) {
        if (!(error instanceof TintypeError && error.kind === 'not-found')) throw error
        report.missing.push(sha256)
      }
    }
    done += 1
    deps.onProgress(done, report.copiedBytes)
  })
  return report
}

/** @throws TintypeError bad-request for a folder that holds no whole backup, or a damaged one. */
export async function readManifest(folder: string): Promise<BackupManifest> {
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => {
    throw badRequest(`${folder} holds no finished backup: it has no ${MANIFEST}.`)
  })
  const manifest = JSON.parse(text) as BackupManifest
  if (manifest.format !== FORMAT) {
    throw badRequest(
      `The backup in ${folder} has format ${manifest.format}, which this release does not know.`,
    )
  }
  const file = join(folder, manifest.database.file)
  const { sha256 } = await fingerprint(file).catch(() => {
    throw badRequest(`The backup in ${folder} has no database.`)
  })
  const problems = sha256 === manifest.database.sha256 ? [] : checkSqliteFile(file)
  // A server or `tintype verify` that has opened the backup may have changed the file without any harm.
  if (problems.length > 0)
    throw badRequest(`The database of the backup in ${folder} is damaged: ${problems[0]}`)
  return manifest
}

/**
 * Brings a backup back into an empty data folder: blobs first, each one hashed, then the database, so that a restore
 * that was interrupted can be run again and a half one never looks like a library.
 * @throws TintypeError bad-request, when there is a library in the data folder.
 */
export async function restore(
  options: { folder: string; dataDir: string },
  deps: Pick<StorePair, 'openCopy'> & {
    from: Pick<Blobs, 'read'>
    openTarget(): Promise<Blobs>
    onProgress?: (progress: Progress) => void
  },
): Promise<{ manifest: BackupManifest; copy: CopyReport }> {
  const { folder, dataDir } = options
  const manifest = await readManifest(folder)
  const file = join(dataDir, DATABASE)
  if (await isThere(file)) {
    throw badRequest(`There is a library in ${dataDir} already. Restore into another, empty data folder.`)
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const fresh = join(dataDir, `${DATABASE}.restoring`)
  for (const name of await readdir(dataDir)) {
    if (name.startsWith(`${DATABASE}.restoring`)) await rm(join(dataDir, name), { force: true })
  }
  await backUpSqlite(join(folder, manifest.database.file), fresh)
  const target = await deps.openTarget()
  const copied = await deps.openCopy(fresh)
  let copy: CopyReport
  try {
    const total = await countBlobs(copied)
    copy = await copyBlobs(blobsInUse(copied), {
      from: deps.from,
      to: target,
      onProgress: (done, bytes) => deps.onProgress?.({ what: 'blobs', done, total, bytes }),
    })
  } finally {
    await copied.close()
    await target.close()
  }
  await rename(fresh, file)
  await syncPath(dataDir)
  return { manifest, copy }
}

async function fingerprint(file: string): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return { sizeBytes: (await stat(file)).size, sha256: hash.digest('hex') }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function writeDurably(path: string, text: string): Promise<void> {
  const handle = await open(`${path}.tmp`, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${path}.tmp`, path)
  await syncPath(dirname(path))
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
