import type { Blobs } from '../blobs/blobs.ts'
import type { Extensions } from '../extensions/extensions.ts'
import { notFound } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import type { NetworkPolicy } from '../kernel/network-policy.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'
import type { MediaOptions } from '../media/media.ts'
import { parseSearch } from '../query/query.ts'
import type { FileVersion, ListOptions, SearchPage, Store } from '../store/store.ts'
import type { Renderer } from '../transform/transform.ts'
import type { Collection } from './collection.ts'
import { createEvents, type Events, type PresentFor } from './events.ts'
import { createExtensionRuns, type ExtensionRunOptions, type ExtensionRuns } from './extension-runs.ts'
import { createFieldLibrary, type FieldLibrary } from './fields.ts'
import { createFilePlaces, type FilePlaces } from './file-places.ts'
import { createFileEditor, type FileEditor } from './files.ts'
import { createFolderLibrary, type FolderLibrary, type FolderOptions } from './folders.ts'
import { checkFileId, FILE_MISSING } from './held-files.ts'
import { type LegacyMetadata, readLegacyMetadata, readMetadataOfStream } from './metadata.ts'
import { createNamedTransformations } from './named-transformations.ts'
import { createOrigins } from './origins.ts'
import { createPreTransformer } from './pre-transformation.ts'
import { createPurges, type PurgeOptions, type Purges } from './purges.ts'
import { createSavedExtensions } from './saved-extensions.ts'
import { createUploader, type Uploader, type UploadOptions } from './upload.ts'
import { createUrlEndpoints } from './url-endpoints.ts'
import { createVersions, type Versions } from './versions.ts'
import { checkWebhookUrl, createWebhooks, type WebhookOptions, type Webhooks } from './webhooks.ts'

export {
  type Account,
  accountOptions,
  checkStorage,
  claimStorage,
  configuredKeys,
  hasAccount,
  isWeakKey,
  openAccount,
} from './account.ts'
export { type BackupManifest, backUp, readManifest, restore } from './backup.ts'
export type { Collection } from './collection.ts'
export type { CopyReport, Progress } from './copy-blobs.ts'
export {
  EVENT_TYPES,
  type FilePresenter,
  type Origin,
  type PostTransformation,
  type PresentFor,
  type TransformationFailure,
  type WebhookPayload,
} from './events.ts'
export { type ExtensionRunOptions, extensionRunOptions } from './extension-runs.ts'
export type { CopyParams, MoveParams, RenameParams } from './file-places.ts'
export type { BulkResult, FileUpdate } from './files.ts'
export { type BulkJob, folderOptions } from './folders.ts'
export { collectGarbage, type GarbageReport } from './garbage.ts'
export { housekeepingOptions, startHousekeeping, sweepTokens } from './housekeeping.ts'
export {
  createKeyring,
  type KeyAccess,
  type Keyring,
  type KeyStatus,
  keyStatus,
} from './keys.ts'
export type { LegacyMetadata } from './metadata.ts'
export { isHalfMoved, type MoveReport, moveLibrary } from './move-library.ts'
export { withoutSecrets } from './origins.ts'
export { type PurgePayload, purgeOptions } from './purges.ts'
export { TAGS_TOO_LONG, tagsAreTooLong } from './tags.ts'
export {
  FILE_TOO_LARGE,
  type PostPayload,
  type ResponseField,
  type UploadParams,
  uploadOptions,
} from './upload.ts'
export {
  extensionRun,
  startUsageMeter,
  type UsageAnalytics,
  type UsageMeter,
  type UsageSum,
  type UsageTopic,
  usageOptions,
  videoRun,
} from './usage.ts'
export { damageLeft, type VerifyReport, verifyLibrary } from './verify.ts'
export type { AttemptResult } from './webhook-sender.ts'
export {
  createWebhooks,
  type WebhookEndpoint,
  type WebhookOptions,
  type Webhooks,
  webhookOptions,
} from './webhooks.ts'

/** What the product does with assets, apart from delivering them. */
export type Library = {
  uploads: Uploader
  /** The current version of a file. @throws TintypeError bad-request for a malformed id, not-found. */
  file(fileId: string): Promise<FileVersion>
  /**
   * A page of assets: of a list, or of what a search query finds, which then decides instead of type, tags and name.
   * @throws TintypeError bad-request for a query or cursor that is none, timeout for a search that takes too long.
   */
  search(options: ListOptions & { searchQuery?: string; cursor?: string }): Promise<SearchPage>
  fields: FieldLibrary
  files: FileEditor
  places: FilePlaces
  versions: Versions
  purges: Purges
  folders: FolderLibrary
  namedTransformations: Collection
  savedExtensions: Collection
  origins: Collection
  urlEndpoints: Collection
  webhooks: Webhooks
  events: Events
  extensionRuns: ExtensionRuns
  /**
   * The legacy metadata object of a version: EXIF tree, perceptual hash and the like, read from its bytes.
   * @param options.strict whether an image of which nothing can be read is a bad-request.
   */
  metadata(version: FileVersion, options?: { strict: boolean }): Promise<LegacyMetadata>
  /** The same of other bytes, such as a transformed image. @throws TintypeError bad-request for a corrupt image. */
  metadataOf(bytes: AsyncIterable<Buffer>, name: string): Promise<LegacyMetadata>
}

export function createLibrary(
  options: {
    upload: UploadOptions
    media: MediaOptions
    folders: FolderOptions
    purge: PurgeOptions
    webhooks: WebhookOptions
    extensions: ExtensionRunOptions
  },
  deps: {
    store: Store
    blobs: Blobs
    safeFetch: SafeFetch
    /** With room for all deliveries of webhooks at once. */
    webhookFetch: SafeFetch
    policy: NetworkPolicy
    present: PresentFor
    renderer: Pick<Renderer, 'analyse' | 'render'>
    extensions: Extensions
    /** Folder for files that live as long as a request. */
    tempDir: string
    ids: Ids
    clock: Clock
    log: Log
  },
): Library {
  const { store, blobs, renderer, clock, log } = deps
  const purges = createPurges(options.purge, deps)
  const webhooks = createWebhooks(options.webhooks, { ...deps, safeFetch: deps.webhookFetch })
  const events = createEvents({ ...deps, subscribers: webhooks.subscribers })
  const extensionRuns = createExtensionRuns(
    { ...options.extensions, maxVersions: options.upload.maxVersions, media: options.media },
    { ...deps, events, checkCallback: (url) => checkWebhookUrl(url, 'webhookUrl', deps.policy) },
  )
  const preTransformer = createPreTransformer({ quality: options.upload.transformQuality }, deps)
  return {
    uploads: createUploader(
      { ...options.upload, media: options.media },
      { ...deps, events, extensionRuns, preTransformer },
    ),
    async file(fileId) {
      checkFileId(fileId)
      const file = await store.files.byId(fileId)
      if (!file) throw notFound(FILE_MISSING)
      return file
    },
    async search({ searchQuery, ...listOptions }) {
      if (searchQuery === undefined) return store.files.search(listOptions)
      const fields = await store.fields.list()
      const customFields = fields.map(({ name, schema }) => ({ name, type: schema.type }))
      const query = parseSearch(searchQuery, { nowMs: clock.now(), customFields })
      return store.files.search({ ...listOptions, query })
    },
    fields: createFieldLibrary(deps),
    files: createFileEditor({ ...deps, events, extensionRuns }),
    places: createFilePlaces(options.upload, { ...deps, events, purges }),
    versions: createVersions({ ...deps, events }),
    purges,
    folders: createFolderLibrary(
      { ...options.folders, maxVersions: options.upload.maxVersions },
      { ...deps, events, purges },
    ),
    namedTransformations: createNamedTransformations(deps),
    savedExtensions: createSavedExtensions(deps),
    origins: createOrigins(deps),
    urlEndpoints: createUrlEndpoints(deps),
    webhooks,
    events,
    extensionRuns,
    metadata: (version, strictness) => readLegacyMetadata(version, { blobs, renderer, log }, strictness),
    metadataOf: (bytes, name) =>
      readMetadataOfStream(bytes, name, {
        blobs,
        renderer,
        log,
        media: options.media,
        maxBytes: options.upload.maxVideoBytes,
      }),
  }
}
