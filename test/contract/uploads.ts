import { systemIds } from '../../src/kernel/ids.ts'
import type { NewVersion, Tables } from '../../src/store/store.ts'

export const NOW = Date.parse('2026-03-01T12:00:00Z')

/** A version with unremarkable properties, except for those given. */
export function newVersion(folderId: string, name: string, changes: Partial<NewVersion> = {}): NewVersion {
  const fileId = changes.fileId ?? systemIds.next()
  return {
    versionId: fileId,
    fileId,
    number: 1,
    folderId,
    name,
    blob: '0'.repeat(64),
    sizeBytes: 1000,
    mime: 'image/jpeg',
    format: 'jpg',
    fileType: 'image',
    widthPx: 640,
    heightPx: 480,
    orientation: 1,
    hasAlpha: false,
    durationSec: null,
    bitRate: null,
    videoCodec: null,
    audioCodec: null,
    tags: null,
    aiTags: null,
    isPrivate: false,
    isPublished: true,
    customCoordinates: null,
    customMetadata: {},
    embeddedMetadata: {},
    description: null,
    accessKey: systemIds.token(32),
    createdAtMs: NOW,
    updatedAtMs: NOW,
    ...changes,
  }
}

/** An upload as the library does it: the next version of what lies at the path, or a new file. */
export async function upload(tx: Tables, path: string, name: string, changes: Partial<NewVersion> = {}) {
  await tx.files.lockPath(path, name)
  const folder = await tx.folders.ensure(path, NOW, systemIds.next)
  const found = await tx.files.atPath(path, name)
  const history = found
    ? {
        fileId: found.fileId,
        versionId: systemIds.next(),
        number: (await tx.files.versionCount(found.fileId)).highest + 1,
      }
    : {}
  const version = newVersion(folder.folderId, name, { ...changes, ...history })
  await tx.files.addVersion(version)
  return version
}
