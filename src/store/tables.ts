import type { Generated } from 'kysely'

/**
 * The tables as they lie in the database, one column a line. Booleans are 0 and 1 and JSON is text on both engines,
 * so that one query serves both and text comes back exactly as it went in. `seq` is the engine's own row number:
 * short in indexes, in order of insertion, never shown outside.
 */
export type Database = {
  folders: FoldersTable
  files: FilesTable
  versions: VersionsTable
  version_tags: VersionTagsTable
  version_fields: VersionFieldsTable
  folder_fields: FolderFieldsTable
  version_words: VersionWordsTable
  folder_words: FolderWordsTable
  version_locations: VersionLocationsTable
  fields: FieldsTable
  api_keys: ApiKeysTable
  settings: SettingsTable
  used_tokens: UsedTokensTable
  jobs: JobsTable
  folder_locks: FolderLocksTable
  webhook_deliveries: WebhookDeliveriesTable
  webhook_failures: WebhookFailuresTable
  usage_counts: UsageCountsTable
  stored_bytes: StoredBytesTable
  documents: DocumentsTable
  purge_log: PurgeLogTable
  schema_migrations: SchemaMigrationsTable
}

export type FoldersTable = {
  seq: Generated<number>
  folder_id: string
  /** Null only for the root. */
  parent_seq: number | null
  path: string
  name: string
  created_at: number
  updated_at: number
  custom_metadata: string
}

/** What outlives a file's versions: the highest number ever used, since numbers never come back. */
export type FilesTable = {
  file_id: string
  highest_number: number
}

export type VersionsTable = {
  seq: Generated<number>
  version_id: string
  file_id: string
  number: number
  is_current: number
  folder_seq: number
  name: string
  blob: string
  size_bytes: number
  mime: string
  format: string
  is_image: number
  width_px: number | null
  height_px: number | null
  orientation: number | null
  has_alpha: number | null
  duration_sec: number | null
  bit_rate: number | null
  video_codec: string | null
  audio_codec: string | null
  is_private: number
  is_published: number
  custom_coordinates: string | null
  access_key: string
  created_at: number
  updated_at: number
  tags: string | null
  ai_tags: string | null
  description: string | null
  custom_metadata: string
  embedded_metadata: string
}

/**
 * What the search finds assets by; `search-rows.ts` derives all of it from `versions` and `folders`. `created_at` is
 * the asset's, so that the assets with one value lie in the usual order, and `is_current` the version's, by a trigger.
 */
export type VersionTagsTable = {
  version_seq: number
  tag: string
  /** 0: set by a person, 1: by an extension. */
  is_ai: number
  is_current: number
  created_at: number
}

/** One row per value of custom or embedded metadata. */
export type VersionFieldsTable = FieldValueColumns & { version_seq: number; is_current: number }
export type FolderFieldsTable = FieldValueColumns & { folder_seq: number }

type FieldValueColumns = {
  /** `c.` and the name of a custom metadata field, or `e.` and the name of embedded metadata. */
  field: string
  /** Of a list, from 0. */
  position: number
  /** The beginning of a text, as much as an index can hold, and what follows it, if anything. */
  text_value: string | null
  text_rest: string | null
  number_value: number | null
  /** The milliseconds of a value that is a date too. */
  date_value: number | null
  /** 0, 1, or 2 for a value that exists but is never equal to another. */
  boolean_value: number | null
  created_at: number
}

/** One row per word of a text that is searched by its words; `field` as above, or `name` or `tags`. */
export type VersionWordsTable = WordColumns & { version_seq: number; is_current: number }
export type FolderWordsTable = WordColumns & { folder_seq: number }

type WordColumns = { field: string; word: string; created_at: number }

/** Where a picture was taken, in degrees. */
export type VersionLocationsTable = { version_seq: number; latitude: number; longitude: number }

export type FieldsTable = {
  id: string
  name: string
  label: string
  schema: string
  description: string | null
  created_at: number
  deleted_at: number | null
}

export type ApiKeysTable = {
  id: string
  name: string
  public_key: string
  private_key: string
  scope: string
  is_restricted: number
  created_at: number
  expires_at: number | null
  disabled_at: number | null
}

export type SettingsTable = { key: string; value: string }

export type UsedTokensTable = { key: string; expires_at: number }

export type JobsTable = {
  id: string
  kind: string
  payload: string
  state: string
  attempts: Generated<number>
  run_at: number
  created_at: number
  finished_at: number | null
  progress: Generated<string>
  last_error: string | null
  /** Set while the job runs: a secret of the worker that holds it. */
  lease_token: string | null
  /** How often its holder has shown that it lives. */
  lease_beats: Generated<number>
  dedupe_key: string | null
}

/** The folders that a job holds, each with all that is below it. */
export type FolderLocksTable = { path: string; job_id: string }

/** Which job delivers to which target; those about one subject, in the order of `seq`. */
export type WebhookDeliveriesTable = {
  seq: Generated<number>
  job_id: string
  target: string
  subject: string | null
}

/** Targets that have not taken anything for a while. */
export type WebhookFailuresTable = { target: string; since: number }

/** How often something was asked for on a day, and the bytes that answered. */
export type UsageCountsTable = {
  /** Days since the Unix epoch, in UTC. */
  day: number
  topic: string
  name: string
  requests: number
  bytes: number
}

/** Triggers keep the sum of its rows equal to that of the sizes of all versions. */
export type StoredBytesTable = { seq: Generated<number>; bytes: number }

/** What every server removes from its own cache; `payload` is JSON. */
export type PurgeLogTable = { seq: Generated<number>; id: string; payload: string; created_at: number }

export type SchemaMigrationsTable = { version: number; name: string; applied_at: number }

export type DocumentsTable = {
  kind: string
  id: string
  unique_name: string | null
  body: string
  created_at: number
  updated_at: number
}
