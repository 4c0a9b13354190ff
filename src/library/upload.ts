import { type Static, Type } from 'typebox'
import type { Blobs, Staged } from '../blobs/blobs.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import { cleanFileName, normalizeFolderPath, suffixName } from '../kernel/paths.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'
import { type Inspection, inspect, type MediaOptions, sniff } from '../media/media.ts'
import { CHECKS_FAILED_MESSAGE, evaluateChecks, parseChecks } from '../query/query.ts'
import type { FileVersion, NewVersion, Store, Tables } from '../store/store.ts'
import { defaultMetadata, validateMetadata } from './custom-metadata.ts'
import type { Events, Origin, Outbox } from './events.ts'

export const uploadOptions = Type.Object({
  maxFileBytes: Type.Integer({
    default: 25 * 1024 * 1024,
    minimum: 1,
    description: 'Largest image, audio or raw file (seed v2: 25 MB); protects the disk.',
  }),
  maxVideoBytes: Type.Integer({
    default: 300 * 1024 * 1024,
    minimum: 1,
    description: 'Largest video (seed v2: 300 MB); protects the disk.',
  }),
  maxVersions: Type.Integer({
    default: 100,
    minimum: 1,
    description: 'Most versions of a file (seed v2: 100).',
  }),
  urlHeadersTimeoutMs: Type.Integer({
    default: 8000,
    minimum: 1,
    description:
      'How long the server behind a URL may take until its response headers are here (seed v2: 8 s).',
  }),
})
export type UploadOptions = Static<typeof uploadOptions>

export type ResponseField =
  | 'tags'
  | 'customCoordinates'
  | 'isPrivateFile'
  | 'embeddedMetadata'
  | 'isPublished'
  | 'customMetadata'
  | 'metadata'
  | 'selectedFieldsSchema'

/** Parameters of an upload, typed; undefined where the request does not carry one. */
export type UploadParams = {
  fileName: string
  folder: string
  useUniqueFileName: boolean
  tags: string[] | undefined
  isPrivateFile: boolean
  isPublished: boolean
  /** `x,y,width,height`. */
  customCoordinates: string | undefined
  responseFields: ResponseField[]
  overwriteFile: boolean
  overwriteAITags: boolean
  overwriteTags: boolean
  overwriteCustomMetadata: boolean
  customMetadata: Record<string, unknown> | undefined
  description: string | undefined
  checks: string | undefined
  webhookUrl: string | undefined
}

export const FILE_TOO_LARGE = 'Your request contains invalid file parameter. The file size exceeds limits.'
const FILE_EXISTS =
  'A file with the same name already exists at the exact location. We could not overwrite it because both overwriteFile and useUniqueFileName are set to false.'
const DOWNLOAD_FAILED =
  'Your request contains invalid file parameter. The file could not be downloaded from the given URL.'
const UNIQUE_SUFFIX_LENGTH = 9

export type Uploader = {
  /** Largest file in bytes, given its first bytes: videos may be larger than the rest. */
  sizeLimit(head: Buffer): Promise<number>
  readonly highestSizeLimit: number
  /**
   * Brings the bytes behind a URL into staging.
   * @param key whose download it is; one key gets only its share of those that run at once.
   * @throws TintypeError bad-request when they cannot be had.
   */
  download(url: string, key: string): Promise<Staged>
  /**
   * Makes staged bytes a file, or a new version of the file at that path. When it resolves the upload is durable;
   * when it throws nothing of it is visible and the staged bytes are gone.
   */
  upload(staged: Staged, params: UploadParams, origin: Origin): Promise<FileVersion>
}

export function createUploader(
  options: UploadOptions & { media: MediaOptions },
  deps: {
    store: Store
    blobs: Blobs
    safeFetch: SafeFetch
    events: Events
    ids: Ids
    clock: Clock
    log: Log
  },
): Uploader {
  const { store, blobs, safeFetch, events, ids, clock, log } = deps
  const highestSizeLimit = Math.max(options.maxFileBytes, options.maxVideoBytes)
  const sizeLimit = async (head: Buffer) =>
    (await sniff(head, '')).kind === 'video' ? options.maxVideoBytes : options.maxFileBytes

  async function download(url: string, key: string): Promise<Staged> {
    const response = await safeFetch.open(url, {
      headersTimeoutMs: options.urlHeadersTimeoutMs,
      maxBytes: highestSizeLimit,
      key,
      failureMessage: DOWNLOAD_FAILED,
      tooLargeMessage: FILE_TOO_LARGE,
    })
    if (response.status !== 200) {
      response.discard()
      throw badRequest(`${DOWNLOAD_FAILED} The server answered with status ${response.status}.`)
    }
    const writer = blobs.stage({ maxBytes: () => highestSizeLimit })
    try {
      for await (const chunk of response.body) await writer.write(chunk)
      if (writer.sizeBytes === 0) throw badRequest(`${DOWNLOAD_FAILED} The file is empty.`)
      return await writer.finish()
    } catch (error) {
      response.discard()
      await writer.abort()
      throw error
    }
  }

  async function upload(staged: Staged, params: UploadParams, origin: Origin): Promise<FileVersion> {
    try {
      if (staged.sizeBytes > (await sizeLimit(staged.head)))
        throw new TintypeError('too-large', FILE_TOO_LARGE)
      const folderPath = normalizeFolderPath(params.folder)
      const cleanName = cleanFileName(params.fileName)
      const name = params.useUniqueFileName
        ? suffixName(cleanName, ids.token(UNIQUE_SUFFIX_LENGTH))
        : cleanName
      const fields = await store.fields.list()
      const customMetadata =
        params.customMetadata === undefined ? undefined : validateMetadata(params.customMetadata, fields)
      const checks =
        params.checks === undefined
          ? undefined
          : parseChecks(params.checks, {
              nowMs: clock.now(),
              customFields: fields.map(({ name, schema }) => ({ name, type: schema.type })),
            })
      const inspection = await inspect(
        {
          head: staged.head,
          sizeBytes: staged.sizeBytes,
          name,
          localPath: () => staged.localPath(),
        },
        { log, options: options.media },
      )
      const requested = { ...params, fileName: cleanName, folder: folderPath }
      if (checks && !evaluateChecks(checks, describeForChecks(requested, staged, inspection))) {
        throw badRequest(CHECKS_FAILED_MESSAGE)
      }

      // Bytes first, rows second: a crash in between leaves an unreferenced blob, which gc sweeps, never a row
      // without its bytes.
      await blobs.commit(staged)
      const described = { staged, inspection, params, customMetadata, defaults: defaultMetadata(fields) }
      const outbox = await events.open()
      return await store.transaction((tx) =>
        saveVersion(tx, { folderPath, name, ...described }, { outbox, origin }),
      )
    } catch (error) {
      await blobs.discard(staged)
      throw error
    }
  }

  async function saveVersion(
    tx: Tables,
    file: NewFile,
    { outbox, origin }: { outbox: Outbox; origin: Origin },
  ): Promise<FileVersion> {
    const { folderPath, name, params } = file
    const nowMs = clock.now()
    // Issued together, in this order, the statements travel to the database in one message.
    const [, , folder, previous] = await Promise.all([
      tx.folders.enter(folderPath),
      tx.files.lockPath(folderPath, name),
      tx.folders.ensure(folderPath, nowMs, ids.next),
      tx.files.atPath(folderPath, name),
    ])
    if (previous && !params.overwriteFile) throw badRequest(FILE_EXISTS)
    let number = 1
    if (previous) {
      const { count, highest } = await tx.files.versionCount(previous.fileId)
      if (count >= options.maxVersions) {
        throw badRequest(`A file can have a maximum of ${options.maxVersions} versions.`, {
          reason: 'VERSION_LIMIT_EXCEEDED',
        })
      }
      number = highest + 1
    }
    const versionId = ids.next()
    const version: NewVersion = {
      ...describe(file, previous),
      versionId,
      // The first version's id is the file's id (OpenAPI, upload examples).
      fileId: previous?.fileId ?? versionId,
      number,
      folderId: folder.folderId,
      name,
      accessKey: ids.token(32),
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    }
    await tx.files.addVersion(version)
    const saved = { ...version, folderPath, isCurrent: true }
    await outbox.add(tx, { type: previous ? 'file-version.created' : 'file.created', file: saved, origin })
    return saved
  }

  return { sizeLimit, highestSizeLimit, download, upload }
}

type NewFile = {
  folderPath: string
  name: string
  staged: Staged
  inspection: Inspection
  params: UploadParams
  customMetadata: FileVersion['customMetadata'] | undefined
  defaults: FileVersion['customMetadata']
}

/** What the new version says of itself; what it takes over from the previous one follows the overwrite flags. */
function describe(file: NewFile, previous: FileVersion | undefined) {
  const { staged, inspection, params } = file
  return {
    blob: staged.sha256,
    sizeBytes: staged.sizeBytes,
    mime: inspection.mime,
    format: inspection.format,
    fileType: inspection.fileType,
    widthPx: inspection.widthPx ?? null,
    heightPx: inspection.heightPx ?? null,
    orientation: inspection.orientation ?? null,
    hasAlpha: inspection.hasAlpha ?? null,
    durationSec: inspection.durationSec ?? null,
    bitRate: inspection.bitRate ?? null,
    videoCodec: inspection.videoCodec ?? null,
    audioCodec: inspection.audioCodec ?? null,
    embeddedMetadata: inspection.embedded,
    tags: params.tags ?? (params.overwriteTags ? null : (previous?.tags ?? null)),
    aiTags: params.overwriteAITags ? null : (previous?.aiTags ?? null),
    customMetadata:
      file.customMetadata ??
      (previous && !params.overwriteCustomMetadata ? previous.customMetadata : file.defaults),
    isPrivate: params.isPrivateFile,
    isPublished: params.isPublished,
    customCoordinates: params.customCoordinates ?? null,
    description: params.description ?? null,
  }
}

/** What an upload's `checks` can ask about. */
function describeForChecks(params: UploadParams, staged: Staged, inspection: Inspection) {
  return {
    request: { ...params, tags: params.tags ?? [], customMetadata: params.customMetadata ?? {} },
    file: { size: staged.sizeBytes, mime: inspection.mime },
    mediaMetadata: {
      width: inspection.widthPx ?? null,
      height: inspection.heightPx ?? null,
      duration: inspection.durationSec ?? null,
      videoCodec: inspection.videoCodec ?? null,
      audioCodec: inspection.audioCodec ?? null,
      bitRate: inspection.bitRate ?? null,
    },
  }
}
