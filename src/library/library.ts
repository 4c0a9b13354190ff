import type { Blobs } from '../blobs/blobs.ts'
import { badRequest, notFound } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'
import type { MediaOptions } from '../media/media.ts'
import type { FileVersion, ListedAsset, ListOptions, Store } from '../store/store.ts'
import type { Renderer } from '../transform/transform.ts'
import { createFieldLibrary, type FieldLibrary } from './fields.ts'
import { type LegacyMetadata, readLegacyMetadata } from './metadata.ts'
import { createUploader, type Uploader, type UploadOptions } from './upload.ts'

export { type Account, accountOptions, openAccount } from './account.ts'
export { housekeepingOptions, startHousekeeping } from './housekeeping.ts'
export type { LegacyMetadata } from './metadata.ts'
export { FILE_TOO_LARGE, type ResponseField, type UploadParams, uploadOptions } from './upload.ts'

/** What the product does with assets, apart from delivering them. */
export type Library = {
  uploads: Uploader
  /** The current version of a file. @throws TintypeError bad-request for a malformed id, not-found. */
  file(fileId: string): Promise<FileVersion>
  list(options: ListOptions): Promise<ListedAsset[]>
  fields: FieldLibrary
  /** The legacy metadata object of a version: EXIF tree, perceptual hash and the like, read from its bytes. */
  metadata(version: FileVersion): Promise<LegacyMetadata>
}

const ID = /^[0-9a-f]{24}$/

export function createLibrary(
  options: { upload: UploadOptions; media: MediaOptions },
  deps: {
    store: Store
    blobs: Blobs
    safeFetch: SafeFetch
    renderer: Pick<Renderer, 'analyse'>
    ids: Ids
    clock: Clock
    log: Log
  },
): Library {
  const { store, blobs, renderer, log } = deps
  return {
    uploads: createUploader({ ...options.upload, media: options.media }, deps),
    async file(fileId) {
      if (!ID.test(fileId)) throw badRequest('Your request contains invalid fileId parameter.')
      const file = await store.files.byId(fileId)
      if (!file) throw notFound('The requested file does not exist.')
      return file
    },
    list: (listOptions) => store.files.list(listOptions),
    fields: createFieldLibrary(deps),
    metadata: (version) => readLegacyMetadata(version, { blobs, renderer, log }),
  }
}
