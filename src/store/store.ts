import { type Static, Type } from 'typebox'
import type { Log } from '../kernel/log.ts'
import { createSealer, SEALING_KEY_PATTERN, type Sealer } from '../kernel/sealer.ts'
import { type Clock, systemClock } from '../kernel/time.ts'
import type { SearchQuery } from '../query/query.ts'
import { type BlobRows, prepareBlobRows } from './blob-rows.ts'
import { type Deliveries, prepareDeliveries } from './deliveries.ts'
import { openSqlite } from './dialects/sqlite.ts'
import { prepareDocuments } from './documents.ts'
import type { Engine, PoolState, Session } from './engine.ts'
import { prepareFields } from './fields.ts'
import type { FileChanges } from './file-changes.ts'
import { prepareFiles } from './files.ts'
import { type FolderTrees, prepareFolderTrees } from './folder-trees.ts'
import { prepareFolders } from './folders.ts'
import { prepareJobs } from './jobs.ts'
import { prepareKeys } from './keys.ts'
import { migrate } from './migrate.ts'
import { type PurgeLog, preparePurgeLog } from './purge-log.ts'
import type {
  ApiKey,
  DocumentKind,
  Field,
  FileVersion,
  Folder,
  Job,
  StoredDocument,
  UsageCount,
} from './records.ts'
import { fillSearchRows } from './search-rows.ts'
import { createSecrets, type Secrets } from './secrets.ts'
import { prepareSettings } from './settings.ts'
import { createTableRows, type TableRows } from './table-rows.ts'
import { prepareTokens } from './tokens.ts'
import { prepareUsage } from './usage.ts'

export type { BlobInUse, BlobUser } from './blob-rows.ts'
export type { Deliveries } from './deliveries.ts'
export type { FileChanges, VersionChanges } from './file-changes.ts'
export type { FolderTrees, Transfer } from './folder-trees.ts'
export { backUpSqlite, checkSqliteFile, type DatabaseFacts, inspectDatabase } from './inspect.ts'
export type * from './records.ts'
export type { Secrets, SecretsReport } from './secrets.ts'
export type { Row, RowKey, TableRows } from './table-rows.ts'
export type { VersionCopy } from './tree-files.ts'

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

/** A search, or a list (without `query`) that goes on at a cursor. `type`, `tags` and `name` count in a list only. */
export type SearchOptions = ListOptions & {
  query?: SearchQuery
  /** `nextCursor` of the page before. */
  cursor?: string
}

export type SearchPage = {
  assets: ListedAsset[]
  /** How many assets there are on all pages; at least as many, where to count them all would take long. */
  total: { count: number; isExact: boolean }
  /** Where the next page begins; absent on the last one. */
  nextCursor?: string
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
  /**
   * A page of the assets that a query finds. Pages joined by cursors show no asset twice and leave none out, whatever
   * is inserted meanwhile.
   * @throws TintypeError bad-request for a wrong cursor, timeout when it takes longer than `searchTimeoutMs`,
   * unavailable when too many long searches are running.
   */
  search(options: SearchOptions): Promise<SearchPage>
  /**
   * Serialises writers of one path across processes until the transaction ends; a no-op where the engine has one
   * writer. Call it first in a transaction that decides version numbers or path conflicts.
   */
  lockPath(folderPath: string, name: string): Promise<void>
  /** How many versions a file has and the highest number ever used. */
  versionCount(fileId: string): Promise<{ count: number; highest: number }>
  /**
   * Inserts a version and makes it the current one of its file.
   * @param options.isFirst whether the file has no other, so that none has to be retired. Its number does not tell: of
   * a history that is copied, number 1 may come last.
   * @throws TintypeError conflict, when another file holds the path.
   */
  addVersion(version: NewVersion, options?: { isFirst: boolean }): Promise<void>
  /**
   * Inserts the only version of a new file, if the folder is there and nothing has this name in it, without asking
   * before. @returns whether it did; when it did not, its transaction must not go on.
   * @throws TintypeError conflict, when it did not and has values that cannot be written without it.
   */
  addFirstVersion(version: Omit<NewVersion, 'folderId'>, folderPath: string): Promise<boolean>
} & FileChanges

export type Folders = {
  byPath(path: string): Promise<Folder | undefined>
  /** The folder at a path, made with its parents if it is not there. `path` is normal: `/` or `/a/b`. */
  ensure(path: string, nowMs: number, newId: () => string): Promise<Folder>
  /**
   * Keeps these folders where they are until the transaction ends. Call it first in a transaction that puts files or
   * folders into them, or takes files out of them: before `lockPath`, since bulk jobs wait for whoever has entered.
   * @throws TintypeError locked, while a bulk job holds one of them.
   */
  enter(...paths: string[]): Promise<void>
}

export type Fields = {
  list(options?: { includeDeleted?: boolean }): Promise<Field[]>
  /** Also a deleted one. */
  byId(id: string): Promise<Field | undefined>
  /** @throws TintypeError conflict, when the name was ever used or a living field has the label. */
  add(field: Omit<Field, 'deletedAtMs'> & { createdAtMs: number }): Promise<void>
  /** @throws TintypeError conflict, when another living field has the label. */
  change(field: Pick<Field, 'id' | 'label' | 'schema' | 'description'>): Promise<void>
  /** Marks the field as deleted; its name stays taken. */
  remove(id: string, nowMs: number): Promise<void>
}

export type Documents = {
  /** All of a kind, the oldest first. */
  list(kind: DocumentKind): Promise<StoredDocument[]>
  byId(kind: DocumentKind, id: string): Promise<StoredDocument | undefined>
  /** @throws TintypeError conflict, when another document of the kind has the unique name. */
  add(document: Omit<StoredDocument, 'createdAtMs' | 'updatedAtMs'>, nowMs: number): Promise<void>
  /** @throws TintypeError conflict, when another document of the kind has the unique name. */
  change(document: Omit<StoredDocument, 'createdAtMs' | 'updatedAtMs'>, nowMs: number): Promise<void>
  /** @returns whether it was there. */
  remove(kind: DocumentKind, id: string): Promise<boolean>
}

export type Keys = {
  list(): Promise<ApiKey[]>
  /** @throws TintypeError conflict, when one of its keys is there already. */
  add(key: ApiKey): Promise<void>
  /** Writes name, scope, expiry and disabling; the keys themselves never change, but how they are encrypted. */
  change(key: ApiKey): Promise<void>
  remove(id: string): Promise<void>
  /** Holds off other changes of keys that call it too, until the transaction ends. */
  lock(): Promise<void>
}

export type Usage = {
  /** Adds to what was counted before. */
  add(counts: UsageCount[]): Promise<void>
  /** Sums over some days, both ends included; of all topics, or of one. */
  between(days: { firstDay: number; lastDay: number; topic?: string }): Promise<Omit<UsageCount, 'day'>[]>
  /** Keeps, of a topic and day, the names with the most requests and those with the most bytes. */
  trim(which: { day: number; topic: string; keep: number }): Promise<void>
  /** Bytes of all versions of all files together. */
  storedBytes(): Promise<number>
  /** Forgets days, and folds what is kept of the stored bytes. */
  tidy(beforeDay: number): Promise<void>
}

export type Settings = {
  get(key: string): Promise<unknown>
  set(key: string, value: unknown): Promise<void>
  /** Sets what is not set yet. @returns what is set now, the same for all who do it at once. */
  keep(key: string, value: unknown): Promise<unknown>
  /** All whose keys begin so. There are few settings. */
  startingWith(start: string): Promise<{ key: string; value: unknown }[]>
}

export type Tokens = {
  /**
   * Marks a one-time token as used. True exactly once for a key, over all processes, until it is swept.
   * @param key SHA-256 hex of what identifies the token.
   */
  consume(key: string, expiresAtMs: number): Promise<boolean>
  /** Forgets up to `limit` that have expired, the oldest first. @returns how many there were. */
  sweep(nowMs: number, limit: number): Promise<number>
}

export type NewJob = Pick<Job, 'id' | 'kind' | 'payload' | 'createdAtMs'> & {
  /** When it is due, by the clock of whoever enqueues it; at once if absent. */
  runAtMs?: number
  /** Keeps a second job with the same key out for as long as the first is not finished. */
  dedupeKey?: string
}

/** The right to run a job. It ends when the job is given to another worker, which has another token. */
export type Lease = { id: string; leaseToken: string }

/**
 * The queue. A job is enqueued in the transaction of what caused it. A worker claims it, beats while it runs it, and
 * completes, retries, buries or releases it; each of these does nothing and gives false once the lease is lost.
 */
export type Jobs = {
  /** @returns false when the job is there already, by its id or its `dedupeKey`. */
  enqueue(job: NewJob): Promise<boolean>
  byId(id: string): Promise<Job | undefined>
  /** The newest first. */
  list(filter: { kind?: string; state?: Job['state']; limit: number; skip?: number }): Promise<Job[]>
  /** What waits, runs and has failed for good, by kind and state. */
  stats(): Promise<{ kind: string; state: Job['state']; count: number; oldestRunAtMs: number }[]>
  /** The earliest due time of the ready jobs of each of these kinds; kinds without any are left out. */
  nextRuns(kinds: readonly string[]): Promise<Map<string, number>>
  /** Takes up to `limit` due jobs, those due first; each is given to one claimer only, over all processes. */
  claim(options: { kind: string; limit: number; nowMs: number; leaseToken: string }): Promise<Job[]>
  /** Shows that the holder is alive. @returns the leases that still hold, each as `id token`. */
  beat(leases: Lease[]): Promise<Set<string>>
  /** Writes the progress, and beats. */
  save(lease: Lease, progress: Job['progress']): Promise<boolean>
  complete(lease: Lease, nowMs: number): Promise<boolean>
  /** Makes it ready again, from `runAtMs` on. */
  retry(lease: Lease, next: { runAtMs: number; error: string }): Promise<boolean>
  /** Ends it as dead: it runs no more unless it is requeued. */
  bury(lease: Lease, end: { nowMs: number; error: string }): Promise<boolean>
  /** Gives it back as if it had not been claimed. */
  release(lease: Lease): Promise<boolean>
  /** The same, to run from `runAtMs` on. */
  postpone(lease: Lease, runAtMs: number): Promise<boolean>
  /** All jobs that are claimed, with the number of beats so far. */
  running(): Promise<(Lease & { kind: string; attempts: number; beats: number })[]>
  /** Takes a job from a holder that has not beaten since `beats` was read. */
  takeBack(seen: Lease & { beats: number; dead: boolean; nowMs: number; error: string }): Promise<boolean>
  /** Makes dead jobs ready again, with all attempts before them. @returns how many. */
  requeue(which: { ids?: string[]; kind?: string; nowMs: number }): Promise<number>
  /** Deletes finished jobs, the oldest first. @returns how many. */
  sweep(before: { doneBeforeMs: number; deadBeforeMs: number; limit: number }): Promise<number>
}

/** A claimed job in the hands of its handler. */
export type RunningJob = {
  /** As it was claimed, with the progress of the last step. */
  readonly job: Job
  /** Aborted when the lease is lost or the process stops; the handler then ends soon, by throwing. */
  readonly signal: AbortSignal
  /**
   * Runs `work` in one transaction that also saves what it gives as the job's progress: the step is done exactly
   * once, however often the job is begun. Nothing of it happens when the lease is lost.
   */
  step(work: (tx: Tables) => Promise<Job['progress']>): Promise<void>
}

export type Tables = {
  files: Files
  folders: Folders
  folderTrees: FolderTrees
  fields: Fields
  documents: Documents
  keys: Keys
  usage: Usage
  purgeLog: PurgeLog
  settings: Settings
  tokens: Tokens
  jobs: Jobs
  deliveries: Deliveries
}

export type Store = Tables &
  BlobRows & {
    readonly engine: 'sqlite' | 'postgres'
    /**
     * Runs `work` in one transaction: all of it is durable when the promise resolves, or none of it happened. `work`
     * calls the store and nothing else, since on SQLite every other writer waits meanwhile; it may run again after
     * a serialization failure, so it must not have effects outside the store.
     */
    transaction<T>(work: (tx: Tables) => Promise<T>): Promise<T>
    /** Whole tables, for what carries a library elsewhere. */
    readonly rows: TableRows
    readonly secrets: Secrets
    /** A cheap proof that the database answers. */
    check(): Promise<void>
    /**
     * A number that is another one after every commit, in this process or others: what was read after asking for it
     * still holds while it stays the same. Undefined where the engine cannot tell without being asked over a network.
     */
    changeStamp(): number | undefined
    /** The connections to the database server; none where there is no server. */
    pools(): PoolState[]
    /** Calls `listener` after each commit in this process that enqueued jobs. @returns what ends it. */
    onEnqueued(listener: () => void): () => void
    close(): Promise<void>
  }

export const storeOptions = Type.Object({
  databaseUrl: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      description: 'PostgreSQL to keep the metadata in. Absent: a SQLite file in the data folder.',
    }),
  ),
  file: Type.Optional(
    Type.String({ description: 'The SQLite file. Absent: `tintype.db` in the data folder.' }),
  ),
  lockWaitMs: Type.Integer({
    default: 5000,
    minimum: 0,
    description:
      'How long a write waits for another process that writes the SQLite file, before it is refused.',
  }),
  transactionTimeoutMs: Type.Integer({
    default: 10_000,
    minimum: 100,
    description:
      'A transaction that takes longer is rolled back: protects all other writers from one that hangs.',
  }),
  batchTransactions: Type.Integer({
    default: 64,
    minimum: 1,
    description:
      'How many waiting transactions share one commit of SQLite: protects the first from waiting for ever.',
  }),
  batchMs: Type.Integer({
    default: 10,
    minimum: 0,
    description:
      'For how long transactions may join a commit of SQLite: protects the first from waiting for ever.',
  }),
  sortedMatches: Type.Integer({
    default: 10_000,
    minimum: 0,
    description:
      'Lists and searches sort up to so many matches, and beyond walk the order: protects both rare and frequent ones from taking long.',
  }),
  searchTimeoutMs: Type.Integer({
    default: 2000,
    minimum: 10,
    description:
      'A search that takes longer is ended: protects the processor from queries that no index helps.',
  }),
  searchPoolSize: Type.Integer({
    default: 4,
    minimum: 1,
    description:
      'Connections to PostgreSQL for searches, and how many long searches wait for another on SQLite: protects everything else from many at once.',
  }),
  poolSize: Type.Integer({
    default: 10,
    minimum: 1,
    description:
      'Connections to PostgreSQL for transactions and long queries: protects the server from too many.',
  }),
  readPoolSize: Type.Integer({
    default: 4,
    minimum: 1,
    description: 'Further connections for short reads: keeps delivery alive while the others are all taken.',
  }),
  connectTimeoutMs: Type.Integer({
    default: 2000,
    minimum: 100,
    description: 'How long a request waits for a connection to PostgreSQL: protects requests from piling up.',
  }),
  statementTimeoutMs: Type.Integer({
    default: 30_000,
    minimum: 100,
    description: 'PostgreSQL ends a statement after this long: protects it from queries that run wild.',
  }),
  encryptionKey: Type.Optional(
    Type.String({
      pattern: SEALING_KEY_PATTERN,
      description:
        'Encrypts the private keys and the credentials of origins and webhooks in the database: 32 random bytes in base64 (`openssl rand -base64 32`) or hexadecimal. Secret. Absent: they are not encrypted.',
    }),
  ),
  previousEncryptionKeys: Type.Array(Type.String({ pattern: SEALING_KEY_PATTERN }), {
    default: [],
    description: 'Keys that are still read, while they are being replaced. Secret.',
  }),
})

export type StoreOptions = Static<typeof storeOptions>

/**
 * Opens the metadata store and brings its schema up to date.
 * @throws Error that names what is wrong when the database is damaged, unreachable, or written by a newer release.
 */
export async function openStore(
  options: StoreOptions,
  { log, clock = systemClock }: { log: Log; clock?: Clock },
): Promise<Store> {
  const engine = await openEngine(options, log)
  try {
    await migrate(engine, log, clock)
    await fillSearchRows(engine, log)
  } catch (error) {
    await engine.close()
    throw error
  }
  const sealer = createSealer({ current: options.encryptionKey, previous: options.previousEncryptionKeys })
  const tablesOn = prepareTables(engine, options, sealer)
  const listeners = new Set<() => void>()
  const notify = () => {
    for (const listener of listeners) listener()
  }
  return {
    engine: engine.dialect.engine,
    ...tablesOn(engine.session, notify),
    async transaction(work) {
      let hasEnqueued = false
      const value = await engine.transaction((session) => {
        hasEnqueued = false
        return work(
          tablesOn(session, () => {
            hasEnqueued = true
          }),
        )
      })
      if (hasEnqueued) notify()
      return value
    },
    onEnqueued(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    ...prepareBlobRows(engine),
    rows: createTableRows(engine),
    secrets: createSecrets(engine, sealer),
    check: engine.check,
    changeStamp: engine.changeStamp,
    pools: engine.pools,
    close: engine.close,
  }
}

async function openEngine(options: StoreOptions, log: Log): Promise<Engine> {
  const { databaseUrl } = options
  if (databaseUrl !== undefined) {
    // Its client is no use to those who keep their library in SQLite.
    const { openPostgres } = await import('./dialects/postgres.ts')
    return openPostgres({ ...options, databaseUrl }, log)
  }
  if (options.file === undefined) throw new Error('The store needs a databaseUrl or a file.')
  return openSqlite({ ...options, file: options.file })
}

function prepareTables(
  { dialect }: Engine,
  options: StoreOptions,
  sealer: Sealer,
): (session: Session, onEnqueued: () => void) => Tables {
  const files = prepareFiles(dialect, options)
  const folders = prepareFolders(dialect)
  const folderTrees = prepareFolderTrees(dialect)
  const fields = prepareFields(dialect)
  const documents = prepareDocuments(dialect, sealer)
  const keys = prepareKeys(dialect, sealer)
  const usage = prepareUsage(dialect)
  const purgeLog = preparePurgeLog(dialect)
  const settings = prepareSettings(dialect)
  const tokens = prepareTokens(dialect)
  const jobs = prepareJobs(dialect)
  const deliveries = prepareDeliveries(dialect)
  return (session, onEnqueued) => ({
    files: files(session),
    folders: folders(session),
    folderTrees: folderTrees(session),
    fields: fields(session),
    documents: documents(session),
    keys: keys(session),
    usage: usage(session),
    purgeLog: purgeLog(session),
    settings: settings(session),
    tokens: tokens(session),
    jobs: jobs(session, onEnqueued),
    deliveries: deliveries(session),
  })
}
