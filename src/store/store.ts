import type { ApiKey, Field, FileVersion, Folder, Job } from './records.ts'

export type * from './records.ts'

export type AssetType = 'file' | 'file-version' | 'folder' | 'all'
export type SortKey = 'NAME' | 'CREATED' | 'UPDATED' | 'HEIGHT' | 'WIDTH' | 'SIZE' | 'RELEVANCE'
export type Sort = { key: SortKey; descending: boolean }

export type ListOptions = {
  type: AssetType
  sort: Sort
  /** Only what lies directly in this folder; absent: the whole library. */
  folderPath?: string
  fileType?: 'image' | 'non-image'
  /** Any of these, among tags and AI tags. */
  tags?: string[]
  /** Exact name. */
  name?: string
  limit: number
  skip: number
}

export type ListedAsset =
  | { type: 'file' | 'file-version'; file: FileVersion }
  | { type: 'folder'; folder: Folder }

/** A version as it is handed in; the store adds nothing but the folder's path. */
export type NewVersion = Omit<FileVersion, 'folderPath' | 'isCurrent'>

export type Files = {
  /** The current version at a path. */
  atPath(folderPath: string, name: string): Promise<FileVersion | undefined>
  /** The current version of a file. */
  byId(fileId: string): Promise<FileVersion | undefined>
  /** All versions, the newest number first. */
  versions(fileId: string): Promise<FileVersion[]>
  version(fileId: string, versionId: string): Promise<FileVersion | undefined>
  /** The version that a URL's `ik-obj-version` names. */
  byAccessKey(fileId: string, accessKey: string): Promise<FileVersion | undefined>
  list(options: ListOptions): Promise<ListedAsset[]>
  /**
   * Serialises writers of one path across processes until the transaction ends; a no-op where the engine has one
   * writer. Call it first in a transaction that decides version numbers or path conflicts.
   */
  lockPath(folderPath: string, name: string): Promise<void>
  /** How many versions a file has and the highest number ever used. */
  versionCount(fileId: string): Promise<{ count: number; highest: number }>
  /**
   * Inserts a version and makes it the current one of its file.
   * @throws TintypeError conflict, when another file holds the path.
   */
  addVersion(version: NewVersion): Promise<void>
  // Update, delete, copy, move and search follow with the media library API.
}

export type Folders = {
  byPath(path: string): Promise<Folder | undefined>
  /** The folder at a path, made with its parents if it is not there. `path` is normal: `/` or `/a/b`. */
  ensure(path: string, nowMs: number, newId: () => string): Promise<Folder>
}

export type Fields = {
  list(options?: { includeDeleted?: boolean }): Promise<Field[]>
}

export type Keys = {
  list(): Promise<ApiKey[]>
  add(key: ApiKey): Promise<void>
}

export type Settings = {
  get(key: string): Promise<unknown>
  set(key: string, value: unknown): Promise<void>
}

export type Tokens = {
  /**
   * Marks a one-time token as used. True exactly once for a key, over all processes, until it is swept.
   * @param key SHA-256 hex of what identifies the token.
   */
  consume(key: string, expiresAtMs: number): Promise<boolean>
  sweep(nowMs: number): Promise<number>
}

export type Jobs = {
  enqueue(job: Pick<Job, 'id' | 'kind' | 'payload' | 'runAtMs' | 'createdAtMs'>): Promise<void>
  byId(id: string): Promise<Job | undefined>
}

export type Tables = {
  files: Files
  folders: Folders
  fields: Fields
  keys: Keys
  settings: Settings
  tokens: Tokens
  jobs: Jobs
}

export type Store = Tables & {
  readonly engine: 'sqlite' | 'postgres'
  /**
   * Runs `work` in one transaction: all of it is durable when the promise resolves, or none of it happened. `work`
   * calls the store and nothing else, since on SQLite every other writer waits meanwhile; it may run again after
   * a serialization failure, so it must not have effects outside the store.
   */
  transaction<T>(work: (tx: Tables) => Promise<T>): Promise<T>
  /** Which of these blobs at least one version refers to. */
  referencedBlobs(sha256: string[]): Promise<Set<string>>
  /** A cheap proof that the database answers. */
  check(): Promise<void>
  close(): Promise<void>
}
