import { isDeepStrictEqual } from 'node:util'
import { type Static, Type } from 'typebox'
import type { Blobs, Staged } from '../blobs/blobs.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { JobKind } from '../kernel/job-kinds.ts'
import { createKeyLock } from '../kernel/key-lock.ts'
import type { Log } from '../kernel/log.ts'
import { cleanFileName, joinPath, normalizeFolderPath, suffixName } from '../kernel/paths.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Clock } from '../kernel/time.ts'
import { type Inspection, inspect, type MediaOptions, sniff } from '../media/media.ts'
import { CHECKS_FAILED_MESSAGE, evaluateChecks, parseChecks } from '../query/query.ts'
import type { Field, FileVersion, NewVersion, Store, Tables } from '../store/store.ts'
import { defaultMetadata, validateMetadata } from './custom-metadata.ts'
import type { Events, Origin, Outbox, PostTransformation } from './events.ts'
import {
  aiTagsOf,
  type ExtensionRuns,
  type ExtensionStatus,
  extensionStatusOf,
  type TriedExtensions,
} from './extension-runs.ts'
import { nameForFormat, type PreTransformer } from './pre-transformation.ts'
import {
  checkTransformable,
  parseUploadTransformations,
  type UploadTransformations,
} from './upload-transformations.ts'

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
  transformQuality: Type.Integer({
    default: 80,
    minimum: 1,
    maximum: 100,
    description: 'Quality of images that are transformed before they are stored, without q.',
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
  /** JSON text or the value that it stands for; checked by the extensions. */
  extensions: unknown
  /** `{ pre, post }`, not checked yet. */
  transformation: unknown
}

/** What an upload has come to. */
export type Uploaded = {
  file: FileVersion
  /** By extension; undefined where none was asked for. */
  extensionStatus: Record<string, ExtensionStatus> | undefined
}

/** What a job is told that makes a derivative for later. */
export type PostPayload = { fileId: string; transformation: PostTransformation; origin: Origin }

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
  upload(staged: Staged, params: UploadParams, origin: Origin): Promise<Uploaded>
}

/** Undoes a transaction that had to ask after all. */
const NOT_AS_EXPECTED = new Error('The upload is no new file in a folder that is there.')

const POST_KIND: JobKind = 'derivative.make'

export function createUploader(
  options: UploadOptions & { media: MediaOptions },
  deps: {
    store: Store
    blobs: Blobs
    safeFetch: SafeFetch
    events: Events
    extensionRuns: ExtensionRuns
    preTransformer: PreTransformer
    ids: Ids
    clock: Clock
    log: Log
  },
): Uploader {
  const { store, blobs, safeFetch, events, extensionRuns, preTransformer, ids, clock, log } = deps
  const highestSizeLimit = Math.max(options.maxFileBytes, options.maxVideoBytes)
  const sizeLimit = async (head: Buffer) =>
    (await sniff(head, '')).kind === 'video' ? options.maxVideoBytes : options.maxFileBytes

  const lockPath = createKeyLock()
  /**
   * Uploads of one path wait for each other in the database, each with one of the few connections: here they wait
   * without one, so that others need not wait for them. SQLite has one writer and commits those that wait together.
   */
  function inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
    return store.engine === 'postgres' ? lockPath(path, work) : work()
  }

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

  async function upload(staged: Staged, params: UploadParams, origin: Origin): Promise<Uploaded> {
    let own = staged
    try {
      if (staged.sizeBytes > (await sizeLimit(staged.head)))
        throw new TintypeError('too-large', FILE_TOO_LARGE)
      const folderPath = normalizeFolderPath(params.folder)
      const cleanName = cleanFileName(params.fileName)
      const transformations = parseUploadTransformations(params.transformation)
      const { customMetadata, checks } = await checkAgainstFields(params)
      const planned = await extensionRuns.plan(params)
      let name = params.useUniqueFileName ? suffixName(cleanName, ids.token(UNIQUE_SUFFIX_LENGTH)) : cleanName
      let inspection = await inspectStaged(own, name)
      if (transformations) checkTransformable(transformations, inspection)
      if (transformations?.pre) {
        const made = await transformBefore(own, {
          ...{ pre: transformations.pre, inspection, params, folderPath, name, origin },
        })
        own = made.staged
        if (made.format !== undefined) {
          if (made.format !== inspection.format) name = nameForFormat(name, made.format)
          inspection = await inspectStaged(own, name)
        }
      }
      const requested = { ...params, fileName: cleanName, folder: folderPath }
      if (checks && !evaluateChecks(checks, describeForChecks(requested, own, inspection))) {
        throw badRequest(CHECKS_FAILED_MESSAGE)
      }

      // Bytes first, rows second: a crash in between leaves an unreferenced blob, which gc sweeps, never a row
      // without its bytes.
      await blobs.commit(own)
      const extensions = planned && (await extensionRuns.tryNow(planned, contentOf(own, inspection)))
      const described = {
        ...{ folderPath, name, staged: own, inspection, params, customMetadata },
        ...{ extensions, transformations },
      }
      const outbox = await events.open()
      const save = () => saveInOneGo(described, { outbox, origin })
      const file = await inTurn(joinPath(folderPath, name), save)
      return { file, extensionStatus: extensionStatusOf(extensions) }
    } catch (error) {
      await blobs.discard(own)
      throw error
    }
  }

  /** What a request says in terms of custom metadata fields; most say nothing, and need not wait for them. */
  async function checkAgainstFields({ customMetadata, checks }: UploadParams) {
    if (customMetadata === undefined && checks === undefined) return {}
    const fields = await store.fields.list()
    const customFields = fields.map(({ name, schema }) => ({ name, type: schema.type }))
    return {
      customMetadata: customMetadata && validateMetadata(customMetadata, fields),
      checks: checks === undefined ? undefined : parseChecks(checks, { nowMs: clock.now(), customFields }),
    }
  }

  const inspectStaged = (staged: Staged, name: string) =>
    inspect(
      { head: staged.head, sizeBytes: staged.sizeBytes, name, localPath: () => staged.localPath() },
      { log, options: options.media },
    )

  /** Transforms the bytes; that it failed is told, since the file is nowhere to be found then. */
  async function transformBefore(
    staged: Staged,
    request: {
      pre: NonNullable<UploadTransformations['pre']>
      inspection: Inspection
      params: UploadParams
      folderPath: string
      name: string
      origin: Origin
    },
  ) {
    const { pre, inspection, params, folderPath, name, origin } = request
    const { customCoordinates } = params
    try {
      return await preTransformer.transform(staged, { chain: pre.chain, inspection, customCoordinates })
    } catch (error) {
      const isFinal = error instanceof TintypeError && error.kind !== 'unavailable'
      const outbox = isFinal ? await events.open() : undefined
      if (outbox?.wants('upload.pre-transform.error')) {
        const reason = 'encoding_failed' as const
        const event = { folderPath, name, transformation: pre.text, reason, origin }
        await store.transaction((tx) => outbox.add(tx, { type: 'upload.pre-transform.error', ...event }))
      }
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
    const [, , folder, previous, fields] = await Promise.all([
      tx.folders.enter(folderPath),
      tx.files.lockPath(folderPath, name),
      tx.folders.ensure(folderPath, nowMs, ids.next),
      tx.files.atPath(folderPath, name),
      tx.fields.list(),
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
      ...describe(file, { previous, defaults: defaultMetadata(fields) }),
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
    await tx.files.addVersion(version, { isFirst: previous === undefined })
    knownFields = fields
    return announce(tx, { ...version, folderPath, isCurrent: true }, { file, outbox, origin })
  }

  /** What a saved version brings about. */
  async function announce(
    tx: Tables,
    saved: FileVersion,
    { file, outbox, origin }: { file: NewFile; outbox: Outbox; origin: Origin },
  ): Promise<FileVersion> {
    const { extensions, transformations } = file
    const type = saved.number === 1 ? 'file.created' : 'file-version.created'
    await outbox.add(tx, { type, file: saved, origin })
    if (extensions) await extensionRuns.enqueue(tx, extensions, saved, origin)
    if (transformations) await followUp(tx, { outbox, file: saved, transformations, origin })
    return saved
  }

  /** The fields as they were when they were last read; they seldom change. */
  let knownFields: Field[] | undefined

  /**
   * Most uploads are new files in a folder that is there, and need not ask before they write: all statements then
   * travel to the database in one message, and the uploads behind wait half as long.
   */
  async function saveInOneGo(
    file: NewFile,
    context: { outbox: Outbox; origin: Origin },
  ): Promise<FileVersion> {
    const { folderPath, name } = file
    const expected = knownFields
    if (expected) {
      const id = ids.next()
      const nowMs = clock.now()
      const version: Omit<NewVersion, 'folderId'> = {
        ...describe(file, { previous: undefined, defaults: defaultMetadata(expected) }),
        ...{ versionId: id, fileId: id, number: 1, name, accessKey: ids.token(32) },
        ...{ createdAtMs: nowMs, updatedAtMs: nowMs },
      }
      try {
        return await store.transaction(async (tx) => {
          const [, , fields, folder, isAdded] = await Promise.all([
            tx.folders.enter(folderPath),
            tx.files.lockPath(folderPath, name),
            tx.fields.list(),
            tx.folders.byPath(folderPath),
            tx.files.addFirstVersion(version, folderPath),
          ])
          if (!isAdded || !folder || !isDeepStrictEqual(fields, expected)) throw NOT_AS_EXPECTED
          const saved = { ...version, folderId: folder.folderId, folderPath, isCurrent: true }
          return announce(tx, saved, { file, ...context })
        })
      } catch (error) {
        const isConflict = error instanceof TintypeError && error.kind === 'conflict'
        if (error !== NOT_AS_EXPECTED && !isConflict) throw error
      }
    }
    return store.transaction((tx) => saveVersion(tx, file, context))
  }

  /** Tells of the transformation that was made, and has the others made. */
  async function followUp(
    tx: Tables,
    upload: { outbox: Outbox; file: FileVersion; transformations: UploadTransformations; origin: Origin },
  ): Promise<void> {
    const { outbox, file, transformations, origin } = upload
    if (transformations.pre) {
      const transformation = transformations.pre.text
      await outbox.add(tx, { type: 'upload.pre-transform.success', file, transformation, origin })
    }
    for (const transformation of transformations.post) {
      const payload: PostPayload = { fileId: file.fileId, transformation, origin }
      await tx.jobs.enqueue({ id: ids.next(), kind: POST_KIND, payload, createdAtMs: clock.now() })
    }
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
  extensions: TriedExtensions | undefined
  transformations: UploadTransformations | undefined
}

/** What the bytes say. */
function contentOf(staged: Staged, inspection: Inspection) {
  return {
    blob: staged.sha256,
    sizeBytes: staged.sizeBytes,
    mime: inspection.mime,
    format: inspection.format,
    fileType: inspection.fileType,
    widthPx: inspection.widthPx ?? null,
    heightPx: inspection.heightPx ?? null,
  }
}

/** What the new version says of itself; what it takes over from the previous one follows the overwrite flags. */
function describe(
  file: NewFile,
  { previous, defaults }: { previous: FileVersion | undefined; defaults: FileVersion['customMetadata'] },
) {
  const { staged, inspection, params } = file
  return {
    ...contentOf(staged, inspection),
    orientation: inspection.orientation ?? null,
    hasAlpha: inspection.hasAlpha ?? null,
    durationSec: inspection.durationSec ?? null,
    bitRate: inspection.bitRate ?? null,
    videoCodec: inspection.videoCodec ?? null,
    audioCodec: inspection.audioCodec ?? null,
    embeddedMetadata: inspection.embedded,
    tags: params.tags ?? (params.overwriteTags ? null : (previous?.tags ?? null)),
    aiTags: aiTagsOf(params.overwriteAITags ? null : (previous?.aiTags ?? null), file.extensions),
    customMetadata:
      file.customMetadata ??
      (previous && !params.overwriteCustomMetadata ? previous.customMetadata : defaults),
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
