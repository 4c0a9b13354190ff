import type { Selectable } from 'kysely'
import type {
  ApiKeysTable,
  DocumentsTable,
  FieldsTable,
  FoldersTable,
  JobsTable,
  VersionsTable,
} from './tables.ts'

/** Records: what the store gives and takes. Rows become records in `store/` only; wire shapes are made in `http/` only. */

export type AiTag = { name: string; confidence: number; source: string }

/** A value of a custom metadata field. */
export type FieldValue = string | number | boolean | (string | number | boolean)[]

/**
 * One version of a file with everything that is known of it. The current version stands for the file: listing
 * and delivery read it. The first version's id equals the file's id (OpenAPI examples).
 */
export type FileVersion = {
  versionId: string
  fileId: string
  /** 1-based number in the file's history; `Version N` on the wire. Never reused. */
  number: number
  isCurrent: boolean
  folderId: string
  /** Path of the folder: `/` or `/a/b`, without a trailing slash. */
  folderPath: string
  name: string
  /** SHA-256 of the bytes. */
  blob: string
  sizeBytes: number
  mime: string
  format: string
  fileType: 'image' | 'non-image'
  widthPx: number | null
  heightPx: number | null
  orientation: number | null
  hasAlpha: boolean | null
  durationSec: number | null
  bitRate: number | null
  videoCodec: string | null
  audioCodec: string | null
  tags: string[] | null
  aiTags: AiTag[] | null
  isPrivate: boolean
  isPublished: boolean
  customCoordinates: string | null
  customMetadata: Record<string, FieldValue>
  embeddedMetadata: Record<string, unknown>
  description: string | null
  /** Opaque 32 characters that address this version in URLs (`ik-obj-version`). */
  accessKey: string
  createdAtMs: number
  updatedAtMs: number
}

export type Folder = {
  folderId: string
  /** `/a/b`; the root is `/`. */
  path: string
  /** Empty for the root. */
  name: string
  parentId: string | null
  customMetadata: Record<string, FieldValue>
  createdAtMs: number
  updatedAtMs: number
}

export type FieldType = 'Text' | 'Textarea' | 'Number' | 'Date' | 'Boolean' | 'SingleSelect' | 'MultiSelect'

export type FieldSchema = {
  type: FieldType
  selectOptions?: (string | number | boolean)[]
  defaultValue?: FieldValue
  isValueRequired?: boolean
  minValue?: number | string
  maxValue?: number | string
  minLength?: number
  maxLength?: number
}

/** A custom metadata field. Names of deleted fields stay reserved (contract notes 1.5). */
export type Field = {
  id: string
  name: string
  label: string
  schema: FieldSchema
  description: string | null
  deletedAtMs: number | null
}

export type KeyScope = 'none' | 'read' | 'write'

/** A key pair. The private key itself is kept, since it is the HMAC key of tokens and URL signatures. */
export type ApiKey = {
  id: string
  name: string
  publicKey: string
  privateKey: string
  /** What the key may do with the media library; a standard pair has `write`. */
  scope: KeyScope
  /** Restricted keys never change what belongs to the whole account: origins, URL endpoints and the like. */
  isRestricted: boolean
  createdAtMs: number
  /** From then on the key is refused. */
  expiresAtMs: number | null
  disabledAtMs: number | null
}

/** How often something was asked for on a day, and the bytes of the answers. */
export type UsageCount = {
  /** Days since the Unix epoch, in UTC. */
  day: number
  /** What kind of thing `name` is, e.g. `status`. */
  topic: string
  name: string
  requests: number
  bytes: number
}

export type Job = {
  id: string
  /** e.g. `folder.move`: one of `JobKind`. */
  kind: string
  payload: Record<string, unknown>
  state: 'ready' | 'running' | 'done' | 'dead'
  /** How often it was begun. */
  attempts: number
  runAtMs: number
  createdAtMs: number
  finishedAtMs: number | null
  /** Where a handler goes on after an interruption; parts of it are shown to clients that ask for the job. */
  progress: Record<string, unknown>
  /** Why it was retried, or is dead. */
  lastError: string | null
  /** Set while it runs: the token of the lease. */
  leaseToken: string | null
}

/** A current version with its folder's path, as the store reads it. */
export type VersionRow = Omit<Selectable<VersionsTable>, 'seq' | 'folder_seq'> & {
  folder_id: string
  folder_path: string
}

export type FolderRow = Omit<Selectable<FoldersTable>, 'seq' | 'parent_seq'> & { parent_id: string | null }

export function fileVersionOf(row: VersionRow): FileVersion {
  return {
    versionId: row.version_id,
    fileId: row.file_id,
    number: row.number,
    isCurrent: row.is_current === 1,
    folderId: row.folder_id,
    folderPath: row.folder_path,
    name: row.name,
    blob: row.blob,
    sizeBytes: row.size_bytes,
    mime: row.mime,
    format: row.format,
    fileType: row.is_image === 1 ? 'image' : 'non-image',
    widthPx: row.width_px,
    heightPx: row.height_px,
    orientation: row.orientation,
    hasAlpha: row.has_alpha === null ? null : row.has_alpha === 1,
    durationSec: row.duration_sec,
    bitRate: row.bit_rate,
    videoCodec: row.video_codec,
    audioCodec: row.audio_codec,
    tags: row.tags === null ? null : JSON.parse(row.tags),
    aiTags: row.ai_tags === null ? null : JSON.parse(row.ai_tags),
    isPrivate: row.is_private === 1,
    isPublished: row.is_published === 1,
    customCoordinates: row.custom_coordinates,
    customMetadata: objectOf(row.custom_metadata),
    embeddedMetadata: objectOf(row.embedded_metadata),
    description: row.description,
    accessKey: row.access_key,
    createdAtMs: row.created_at,
    updatedAtMs: row.updated_at,
  }
}

/** The columns of a version except its place: those depend on rows of other tables. */
export function versionColumnsOf(version: Omit<FileVersion, 'folderPath' | 'isCurrent' | 'folderId'>) {
  return {
    version_id: version.versionId,
    file_id: version.fileId,
    number: version.number,
    name: version.name,
    blob: version.blob,
    size_bytes: version.sizeBytes,
    mime: version.mime,
    format: version.format,
    is_image: version.fileType === 'image' ? 1 : 0,
    width_px: version.widthPx,
    height_px: version.heightPx,
    orientation: version.orientation,
    has_alpha: version.hasAlpha === null ? null : Number(version.hasAlpha),
    duration_sec: version.durationSec,
    bit_rate: version.bitRate,
    video_codec: version.videoCodec,
    audio_codec: version.audioCodec,
    is_private: Number(version.isPrivate),
    is_published: Number(version.isPublished),
    custom_coordinates: version.customCoordinates,
    access_key: version.accessKey,
    created_at: version.createdAtMs,
    updated_at: version.updatedAtMs,
    tags: version.tags === null ? null : JSON.stringify(version.tags),
    ai_tags: version.aiTags === null ? null : JSON.stringify(version.aiTags),
    description: version.description,
    custom_metadata: JSON.stringify(version.customMetadata),
    embedded_metadata: JSON.stringify(version.embeddedMetadata),
  }
}

export function folderOf(row: FolderRow): Folder {
  return {
    folderId: row.folder_id,
    path: row.path,
    name: row.name,
    parentId: row.parent_id,
    customMetadata: objectOf(row.custom_metadata),
    createdAtMs: row.created_at,
    updatedAtMs: row.updated_at,
  }
}

export function fieldOf(row: Omit<Selectable<FieldsTable>, 'created_at'>): Field {
  return {
    id: row.id,
    name: row.name,
    label: row.label,
    schema: JSON.parse(row.schema),
    description: row.description,
    deletedAtMs: row.deleted_at,
  }
}

export function apiKeyOf(row: Selectable<ApiKeysTable>): ApiKey {
  return {
    id: row.id,
    name: row.name,
    publicKey: row.public_key,
    privateKey: row.private_key,
    scope: row.scope as KeyScope,
    isRestricted: row.is_restricted === 1,
    createdAtMs: row.created_at,
    expiresAtMs: row.expires_at,
    disabledAtMs: row.disabled_at,
  }
}

export function jobOf(row: Omit<Selectable<JobsTable>, 'lease_beats' | 'dedupe_key'>): Job {
  return {
    id: row.id,
    kind: row.kind,
    payload: JSON.parse(row.payload),
    state: row.state as Job['state'],
    attempts: row.attempts,
    runAtMs: row.run_at,
    createdAtMs: row.created_at,
    finishedAtMs: row.finished_at,
    progress: JSON.parse(row.progress),
    lastError: row.last_error,
    leaseToken: row.lease_token,
  }
}

// Most files carry no metadata: their text need not be parsed.
function objectOf<T>(json: string): Record<string, T> {
  return json === '{}' ? {} : JSON.parse(json)
}

export type DocumentKind = 'named-transformation' | 'saved-extension' | 'origin' | 'url-endpoint' | 'webhook'

/** Something that an administrator edits at run time and that is read whole. */
export type StoredDocument = {
  kind: DocumentKind
  id: string
  /** A name that no other document of the kind may have; null if names may repeat. */
  uniqueName: string | null
  body: Record<string, unknown>
  createdAtMs: number
  updatedAtMs: number
}

export function documentOf(row: Selectable<DocumentsTable>): StoredDocument {
  return {
    kind: row.kind as DocumentKind,
    id: row.id,
    uniqueName: row.unique_name,
    body: JSON.parse(row.body) as Record<string, unknown>,
    createdAtMs: row.created_at,
    updatedAtMs: row.updated_at,
  }
}
