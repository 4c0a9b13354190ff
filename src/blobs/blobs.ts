import type { Readable } from 'node:stream'
import { type Static, Type } from 'typebox'
import type { Log } from '../kernel/log.ts'
import type { Metrics } from '../kernel/metrics.ts'
import { openDiskBlobs } from './disk.ts'

export { diskBlobPath } from './disk.ts'

const MIB = 1024 * 1024

/** Where blobs are kept, and the limits of receiving them. */
export const blobOptions = Type.Object({
  driver: Type.Optional(
    Type.Union([Type.Literal('disk'), Type.Literal('s3')], {
      description:
        'Where blobs are kept: in the data folder, or in an S3 bucket. Absent: S3 if a bucket is set.',
    }),
  ),
  memoryBytes: Type.Integer({
    minimum: 0,
    maximum: 16 * MIB,
    default: MIB,
    description: 'Uploads up to this size wait in memory; larger ones are streamed to disk. Protects memory.',
  }),
  reservedBytes: Type.Integer({
    minimum: 0,
    default: 256 * MIB,
    description:
      'Free space of the data volume that uploads leave alone (at most a twentieth of the volume). Protects the database, which must go on when uploads fill the disk.',
  }),
  s3: Type.Object({
    endpoint: Type.String({ default: '', description: 'URL of the object store; empty for AWS itself.' }),
    publicEndpoint: Type.String({
      default: '',
      description: 'URL at which clients reach the object store, where it is another one; for redirects.',
    }),
    region: Type.String({ default: 'us-east-1', description: 'Region of the bucket.' }),
    bucket: Type.String({ default: '', description: 'Bucket of the blobs; it must exist.' }),
    prefix: Type.String({
      default: 'blobs/',
      pattern: '^([A-Za-z0-9._-]+/)*$',
      description: 'Beginning of all keys, so that a bucket can hold other things too.',
    }),
    derivativesPrefix: Type.String({
      default: 'derivatives/',
      pattern: '^([A-Za-z0-9._-]+/)+$',
      description:
        'Beginning of the keys of derivatives that servers share. A rule of the bucket may end them after some time.',
    }),
    accessKey: Type.String({
      default: '',
      description: 'Access key; empty takes the credentials of the environment or the machine.',
    }),
    secretKey: Type.String({ default: '', description: 'Secret key that goes with the access key.' }),
    forcePathStyle: Type.Boolean({
      default: true,
      description: 'Put the bucket into the path instead of the host name, as most stores but AWS want it.',
    }),
    cacheBytes: Type.Integer({
      minimum: 0,
      default: 1024 * MIB,
      description: 'Local copies of blobs that programs need as files. Protects the local disk.',
    }),
    partBytes: Type.Integer({
      minimum: 5 * MIB,
      maximum: 64 * MIB,
      default: 8 * MIB,
      description:
        'Size of the parts in which large blobs are sent; two are in memory at a time. Protects memory.',
    }),
    connectTimeoutMs: Type.Integer({
      minimum: 100,
      default: 3000,
      description: 'Time to reach the object store. Protects requests from a store that has gone away.',
    }),
    requestTimeoutMs: Type.Integer({
      minimum: 1000,
      default: 30_000,
      description: 'Time until the object store answers, and longest silence in a transfer.',
    }),
    attempts: Type.Integer({
      minimum: 1,
      maximum: 5,
      default: 5,
      description: 'How often a request that the object store could not answer is sent.',
    }),
  }),
})
export type BlobOptions = Static<typeof blobOptions>

/**
 * Opens the storage that the options name.
 * @param options.dataDir folder of the installation; object stores keep their staging and cache there.
 * @throws TintypeError unavailable, when the storage cannot be used.
 */
export async function openBlobs(
  options: BlobOptions & { dataDir: string },
  deps: { log: Log; metrics?: Metrics },
): Promise<Blobs> {
  const driver = options.driver ?? (options.s3.bucket === '' ? 'disk' : 's3')
  if (driver === 'disk') return openDiskBlobs(options, deps)
  // Loaded on demand: the SDK takes more memory and time to start than the rest of the server.
  const { openS3Blobs } = await import('./s3.ts')
  return openS3Blobs(options, deps)
}

/** Bytes of a staged upload's beginning that are kept at hand for sniffing and header parsing. */
export const HEAD_BYTES = 256 * 1024

/**
 * Bytes that have been received, hashed and counted but are not part of the library yet. Small ones may live
 * in memory; `localPath` puts them on disk when a program needs a file.
 */
export type Staged = {
  /** Lower-case hex SHA-256 of the bytes: the key under which `commit` keeps them. */
  readonly sha256: string
  readonly sizeBytes: number
  /** The first bytes, at most HEAD_BYTES. */
  readonly head: Buffer
  /** Path of a local file with exactly these bytes, valid until `commit` or `discard`. Made by us, never by a user. */
  localPath(): Promise<string>
}

/** Receives the bytes of one upload. */
export type StagingWriter = {
  /** Bytes taken so far. */
  readonly sizeBytes: number
  /**
   * Takes the next bytes, and with them the chunk itself: it must not be written to afterwards. Resolves when more
   * may be sent (backpressure). Calls are worked off in order; after an abort those that wait are refused.
   * @throws TintypeError too-large, at the first byte over the writer's limit; `no-space` when the volume is full.
   */
  write(chunk: Buffer): Promise<void>
  finish(): Promise<Staged>
  /** Forgets the bytes and leaves nothing behind. Safe to call at any time, also twice. */
  abort(): Promise<void>
}

export type ByteRange = { start: number /** inclusive */; end: number }

/** Files that can be made again and that several servers may use. */
export type SharedFiles = {
  /** Writes a file to a local path. @returns the note that it was kept with; undefined when there is no such file. */
  fetch(name: string, path: string): Promise<string | undefined>
  /** @param note ASCII, at most 1 KB. */
  keep(name: string, bytes: Buffer, note: string): Promise<void>
  /** Removes all files whose names begin so. */
  removeAll(start: string): Promise<void>
}

/**
 * Content-addressed storage: a blob's key is the SHA-256 of its bytes, so a blob never changes, equal bytes are
 * kept once, and copying, moving, versioning and restoring files move no bytes.
 */
export type Blobs = {
  /** Absent where the storage is one server's own. */
  readonly shared?: SharedFiles
  /** Starts an upload of at most `maxBytes()` bytes; asked at each write, since the limit depends on the kind of file that the first bytes tell. */
  stage(options: { maxBytes: () => number }): StagingWriter
  /**
   * Makes staged bytes durable under their hash: when it resolves they survive a power cut (file synced, renamed
   * into place, folder synced). Idempotent: bytes that are there already are kept and their age is renewed, so
   * that a concurrent `gc` does not remove them.
   */
  commit(staged: Staged): Promise<void>
  /** Forgets staged bytes; nothing happens after a commit. */
  discard(staged: Staged): Promise<void>
  /** @throws TintypeError not-found, unavailable. */
  read(sha256: string, range?: ByteRange): Promise<Readable>
  /** The whole blob in memory; for small ones only. @throws TintypeError internal, when it is damaged. */
  readAll(sha256: string): Promise<Buffer>
  stat(sha256: string): Promise<{ sizeBytes: number } | undefined>
  /**
   * Calls `use` with the path of a local file that holds the blob (the blob itself on disk, a bounded local copy
   * from an object store); the file stays until `use` settles.
   */
  withLocalFile<T>(sha256: string, use: (path: string) => Promise<T>): Promise<T>
  /**
   * Removes a blob; nothing happens when it is not there.
   * @param options.olderThanMs keep it if it was committed more recently than this long ago: an upload of the same
   * bytes may have renewed it since the caller found that nothing refers to it.
   */
  remove(sha256: string, options?: { olderThanMs?: number }): Promise<void>
  /**
   * A URL under which whoever has it can fetch a blob from the object store itself, for so long. Absent where there is
   * no such store.
   */
  presign?(
    sha256: string,
    options: { expiresSec: number; contentType: string; disposition: string | undefined },
  ): Promise<string>
  /** Every blob, in no order; for `gc` and `verify`, never on a hot path. */
  list(): AsyncIterable<{ sha256: string; sizeBytes: number; modifiedMs: number }>
  /**
   * Takes a damaged blob out of the storage, so that an upload of the same bytes brings it back whole. Its bytes are
   * kept beside the storage. @returns where.
   */
  setAside(sha256: string): Promise<string>
  /** What lies in staging; uploads that are under way in another process are among it. */
  leftovers(): AsyncIterable<{ name: string; sizeBytes: number; modifiedMs: number }>
  /** Removes what uploads that died have left in staging and that is older than the given age. Gives the count. */
  sweepStaging(olderThanMs: number): Promise<number>
  /** Id of the library that the storage belongs to; undefined before one has claimed it. */
  owner(): Promise<string | undefined>
  /** Says in the storage that it belongs to a library. Nothing happens where it belongs to one already. */
  claim(libraryId: string): Promise<void>
  /** Proves that blobs can be written and read here. @throws TintypeError unavailable, no-space. */
  check(): Promise<void>
  /** Whether the storage has failed to keep something since a `check` succeeded; absent where others look after it. */
  readonly isSuspect?: boolean
  close(): Promise<void>
}
