import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Blobs, openBlobs } from './blobs/blobs.ts'
import type { Config } from './config/config.ts'
import { badRequest } from './kernel/errors.ts'
import { silentLog } from './kernel/log.ts'
import { checkStorage, hasAccount, isHalfMoved } from './library/library.ts'
import { openStore, type Store } from './store/store.ts'

/** What of an installation commands work on, beside a server that may be running. */
export type Installation = {
  store: Store
  blobs: Blobs
  close(): Promise<void>
}

export function databaseFileOf(config: Config): string {
  return config.store.file ?? join(resolve(config.dataDir), 'tintype.db')
}

/** Whether metadata and blobs are both in the data folder. */
export function isEmbedded(config: Config): boolean {
  return config.store.databaseUrl === undefined && !usesBucket(config)
}

export function usesBucket(config: Config): boolean {
  const { driver, s3 } = config.blobs
  return (driver ?? (s3.bucket === '' ? 'disk' : 's3')) === 's3'
}

/**
 * Opens the database and the blobs that settings name.
 * @param options.create makes an empty one where none is.
 * @throws TintypeError bad-request, when there is none.
 */
export async function openInstallation(config: Config, options: { create: boolean }): Promise<Installation> {
  if (!options.create && config.store.databaseUrl === undefined) await requireFile(databaseFileOf(config))
  const blobs = await openOnlyBlobs(config)
  const store = await openStore({ ...config.store, file: databaseFileOf(config) }, { log: silentLog }).catch(
    async (error: unknown) => {
      await blobs.close()
      throw error
    },
  )
  const close = async () => {
    await store.close()
    await blobs.close()
  }
  if (!options.create) {
    await requireLibrary(store, blobs).catch(async (error: unknown) => {
      await close()
      throw error
    })
  }
  return { store, blobs, close }
}

/** In an empty database every file would be garbage. @throws TintypeError bad-request. */
async function requireLibrary(store: Store, blobs: Blobs): Promise<void> {
  if (await isHalfMoved(store)) {
    throw badRequest(
      'A library is being moved into this database, and the move has not come to its end. Run "tintype migrate-data" again.',
    )
  }
  if (await hasAccount(store)) return checkStorage({ store, blobs })
  throw badRequest(
    'There is no library here: no server has ever been started on this database. Name the one of the installation with --store.databaseUrl=URL or --data-dir=FOLDER.',
  )
}

/** Opens the blobs alone; what they need of local disk is apart from that of a running server. */
export async function openOnlyBlobs(config: Config): Promise<Blobs> {
  const dataDir = resolve(config.dataDir)
  if (!usesBucket(config)) return openBlobs({ ...config.blobs, dataDir }, { log: silentLog })
  const scratch = await mkdtemp(join((await isThere(dataDir)) ? dataDir : tmpdir(), '.tintype-command-'))
  const remove = () => rm(scratch, { recursive: true, force: true })
  try {
    const blobs = await openBlobs({ ...config.blobs, dataDir: scratch }, { log: silentLog })
    return {
      ...blobs,
      async close() {
        await blobs.close()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/** @throws TintypeError bad-request, when there is no library at this place. */
export async function requireFile(file: string): Promise<void> {
  if (await isThere(file)) return
  throw badRequest(
    `There is no library here: ${file} does not exist. Name the data folder of the installation with --data-dir=FOLDER.`,
  )
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
