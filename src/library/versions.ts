import { badRequest, notFound } from '../kernel/errors.ts'
import type { Clock } from '../kernel/time.ts'
import type { FileVersion, Store } from '../store/store.ts'
import type { Events, Origin } from './events.ts'
import type { Withdrawn } from './files.ts'
import {
  checkFileId,
  checkVersionId,
  FILE_MISSING,
  lockFiles,
  unusedBlobs,
  VERSION_MISSING,
} from './held-files.ts'

export type Versions = {
  /** All versions of a file, the current one first, the others from the newest on. @throws TintypeError not-found. */
  list(fileId: string): Promise<FileVersion[]>
  /** @throws TintypeError bad-request for a malformed id, not-found. */
  get(fileId: string, versionId: string): Promise<FileVersion>
  /** Deletes a version that is not the current one. @throws TintypeError bad-request, not-found. */
  remove(fileId: string, versionId: string): Promise<Withdrawn>
  /** Makes a version the current one; no version is added or lost. @throws TintypeError not-found. */
  restore(fileId: string, versionId: string, origin: Origin): Promise<FileVersion>
}

export function createVersions(deps: { store: Store; events: Events; clock: Clock }): Versions {
  const { store, events, clock } = deps
  return {
    async list(fileId) {
      checkFileId(fileId)
      const versions = await store.files.versions(fileId)
      if (versions.length === 0) throw notFound(FILE_MISSING)
      return versions.sort((a, b) => Number(b.isCurrent) - Number(a.isCurrent) || b.number - a.number)
    },

    async get(fileId, versionId) {
      checkFileId(fileId)
      checkVersionId(versionId)
      const version = await store.files.version(fileId, versionId)
      if (!version) throw notFound(VERSION_MISSING)
      return version
    },

    async remove(fileId, versionId) {
      checkFileId(fileId)
      checkVersionId(versionId)
      const outbox = await events.open()
      const { blob } = await store.transaction(async (tx) => {
        await lockFiles(tx, [fileId])
        const version = await tx.files.version(fileId, versionId)
        if (!version) throw notFound('The requested asset does not exist.')
        if (version.isCurrent) throw badRequest('You cannot delete current version of a file.')
        await tx.files.removeVersion(version)
        await outbox.add(tx, { type: 'file-version.deleted', fileId, versionId })
        return version
      })
      return { withdrawnBlobs: await unusedBlobs(store, [blob]) }
    },

    async restore(fileId, versionId, origin) {
      checkFileId(fileId)
      checkVersionId(versionId)
      const outbox = await events.open()
      return store.transaction(async (tx) => {
        const [file] = await lockFiles(tx, [fileId])
        if (!file) throw notFound(FILE_MISSING)
        const version = await tx.files.version(fileId, versionId)
        if (!version) throw notFound(VERSION_MISSING)
        if (version.isCurrent) return version
        const restored = await tx.files.makeCurrent(version, clock.now())
        await outbox.add(tx, { type: 'file.updated', file: restored, origin })
        return restored
      })
    },
  }
}
