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
  /** What a restricted key may do with the media library; a standard pair has `write`. */
  scope: KeyScope
  createdAtMs: number
  /** From then on the key is refused. */
  expiresAtMs: number | null
  disabledAtMs: number | null
}

export type Job = {
  id: string
  /** e.g. `folder.move`; the kinds are a table in `worker/handlers.ts`. */
  kind: string
  payload: Record<string, unknown>
  state: 'ready' | 'running' | 'done' | 'failed' | 'dead'
  attempts: number
  runAtMs: number
  createdAtMs: number
  finishedAtMs: number | null
  /** Shown to clients that ask for the job; handlers write it. */
  progress: Record<string, unknown>
  lastError: string | null
}
