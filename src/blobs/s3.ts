import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type MultipartUpload,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { TintypeError } from '../kernel/errors.ts'
import { createKeyLock } from '../kernel/key-lock.ts'
import type { Log } from '../kernel/log.ts'
import type { BlobOptions, Blobs, ByteRange, Staged } from './blobs.ts'
import { readFileStream } from './file-stream.ts'
import { fileSystemError } from './fs-errors.ts'
import { createHasher } from './hasher.ts'
import { checkBytes, checkKey, SHA256 } from './keys.ts'
import { openLocalCache } from './local-cache.ts'
import { createS3Shared } from './s3-shared.ts'
import { openStaging } from './staging.ts'

/** Parts of one upload that are sent at a time. */
const PARTS_IN_FLIGHT = 2
/** S3 takes 10,000 parts; fewer leave room for stores that count differently. */
const MAX_PARTS = 9000
/** An object this young needs no renewal of its age: `gc` waits much longer. */
const FRESH_MS = 60 * 60 * 1000

/**
 * Blobs in a bucket of an S3 store: `<prefix><sha256>`. Uploads are staged on local disk, since a stream cannot be
 * sent again when the store fails; an upload is acknowledged when the store has it.
 * @throws TintypeError unavailable, when the bucket cannot be reached.
 */
export async function openS3Blobs(
  options: BlobOptions & { dataDir: string },
  deps: { log: Log },
): Promise<Blobs> {
  const { s3, dataDir } = options
  const client = createClient(s3)
  const publicClient =
    s3.publicEndpoint === '' ? client : createClient({ ...s3, endpoint: s3.publicEndpoint })
  const Bucket = s3.bucket
  try {
    await client.send(new HeadBucketCommand({ Bucket }))
  } catch (error) {
    client.destroy()
    deps.log.error({ bucket: Bucket, endpoint: s3.endpoint, err: error }, 'the bucket cannot be used')
    throw new TintypeError('unavailable', 'The bucket of the files cannot be used.', { cause: error })
  }
  const hasher = createHasher()
  const staging = await openStaging(
    {
      folder: join(dataDir, 'staging'),
      memoryBytes: options.memoryBytes,
      reservedBytes: options.reservedBytes,
      becomeBlobs: false,
    },
    { hasher },
  )
  const cache = await openLocalCache({ folder: join(dataDir, 'blob-cache'), maxBytes: s3.cacheBytes })
  const lockKey = createKeyLock()
  const ownerKey = `${s3.prefix}tintype-library.json`

  function keyOf(sha256: string): string {
    checkKey(sha256)
    return `${s3.prefix}${sha256}`
  }

  async function head(Key: string): Promise<{ sizeBytes: number; modifiedMs: number } | undefined> {
    try {
      const found = await client.send(new HeadObjectCommand({ Bucket, Key }))
      return { sizeBytes: found.ContentLength ?? 0, modifiedMs: found.LastModified?.getTime() ?? 0 }
    } catch (error) {
      const translated = storeError(error)
      if (translated.kind === 'not-found') return undefined
      throw translated
    }
  }

  async function owner(): Promise<string | undefined> {
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: ownerKey }))
      return String(JSON.parse(await Body!.transformToString()).id)
    } catch (error) {
      const translated = storeError(error)
      if (translated.kind === 'not-found') return undefined
      throw translated
    }
  }

  /** A copy onto itself is the only way to renew an object's age without sending it again. */
  async function renew(Key: string): Promise<boolean> {
    try {
      await client.send(
        new CopyObjectCommand({
          Bucket,
          Key,
          CopySource: `${Bucket}/${Key}`,
          MetadataDirective: 'REPLACE',
          ContentType: 'application/octet-stream',
        }),
      )
      return true
    } catch (error) {
      deps.log.warn({ key: Key, err: error }, 'an object could not be renewed; it is sent again')
      return false
    }
  }

  async function commitObject(staged: Staged): Promise<void> {
    const Key = keyOf(staged.sha256)
    const found = await head(Key)
    if (found?.sizeBytes === staged.sizeBytes) {
      if (Date.now() - found.modifiedMs < FRESH_MS || (await renew(Key))) return staging.release(staged)
    }
    const body = staging.bodyOf(staged)!
    if (body.kind === 'memory') await putWhole(Key, staged, body.bytes)
    else await putFile(Key, staged, body.handle!)
    if (body.kind !== 'file') return staging.release(staged)
    // What follows an upload, thumbnails and inspections, needs a local file: this one.
    await staging.release(staged, { keepFile: true })
    await cache.adopt(staged.sha256, body.path, staged.sizeBytes)
  }

  async function putWhole(Key: string, staged: Staged, Body: Buffer) {
    await client.send(
      new PutObjectCommand({
        Bucket,
        Key,
        Body,
        ContentLength: Body.length,
        ContentType: 'application/octet-stream',
        ContentMD5: md5(Body),
        ChecksumSHA256: Buffer.from(staged.sha256, 'hex').toString('base64'),
      }),
    )
  }

  async function putFile(Key: string, staged: Staged, handle: FileHandle) {
    if (staged.sizeBytes <= s3.partBytes) {
      const bytes = Buffer.allocUnsafeSlow(staged.sizeBytes)
      await readFully(handle, bytes, 0)
      return putWhole(Key, staged, bytes)
    }
    const { UploadId } = await client.send(
      new CreateMultipartUploadCommand({ Bucket, Key, ContentType: 'application/octet-stream' }),
    )
    try {
      const parts = await sendParts({ Key, UploadId: UploadId!, handle, sizeBytes: staged.sizeBytes })
      await client.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: parts } }),
      )
    } catch (error) {
      // The answer to a completion may be lost and its repetition refused: what counts is whether the object is there.
      const arrived = await head(Key).catch(() => undefined)
      if (arrived?.sizeBytes === staged.sizeBytes && arrived.modifiedMs > Date.now() - FRESH_MS) return
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })).catch((cause) => {
        deps.log.warn({ key: Key, err: cause }, 'a failed upload to the object store is left for the sweeper')
      })
      throw error
    }
    const arrived = await head(Key)
    if (arrived?.sizeBytes !== staged.sizeBytes)
      throw new Error('the object store kept another size than it was sent')
  }

  async function sendParts(upload: { Key: string; UploadId: string; handle: FileHandle; sizeBytes: number }) {
    const { Key, UploadId, handle, sizeBytes } = upload
    const partBytes = Math.max(s3.partBytes, Math.ceil(sizeBytes / MAX_PARTS))
    const count = Math.ceil(sizeBytes / partBytes)
    const parts: { ETag: string | undefined; PartNumber: number }[] = []
    let next = 0
    let failed = false
    const sender = async () => {
      // One buffer for all parts of a sender: garbage of this size would pile up before it is collected.
      const buffer = Buffer.allocUnsafeSlow(partBytes)
      while (next < count && !failed) {
        const index = next++
        const at = index * partBytes
        try {
          const Body = buffer.subarray(0, Math.min(partBytes, sizeBytes - at))
          await readFully(handle, Body, at)
          const sent = await client.send(
            new UploadPartCommand({
              Bucket,
              Key,
              UploadId,
              PartNumber: index + 1,
              Body,
              ContentLength: Body.length,
              ContentMD5: md5(Body),
            }),
          )
          parts[index] = { ETag: sent.ETag, PartNumber: index + 1 }
        } catch (error) {
          failed = true
          throw error
        }
      }
    }
    // All senders end before the caller aborts the upload or closes the file under them.
    const results = await Promise.allSettled(Array.from({ length: PARTS_IN_FLIGHT }, sender))
    for (const result of results) if (result.status === 'rejected') throw result.reason
    return parts
  }

  async function fetchObject(sha256: string, range?: ByteRange): Promise<Readable> {
    const Range = range && `bytes=${range.start}-${range.end}`
    try {
      const found = await client.send(new GetObjectCommand({ Bucket, Key: keyOf(sha256), Range }))
      return found.Body as Readable
    } catch (error) {
      throw storeError(error)
    }
  }

  async function read(sha256: string, range?: ByteRange): Promise<Readable> {
    checkKey(sha256)
    // Local copies go on being read while the store is away.
    const cached = await cache.open(sha256)
    if (cached) return readFileStream(cached, range)
    return translateErrors(await fetchObject(sha256, range))
  }

  async function download(sha256: string, path: string): Promise<number> {
    const body = await fetchObject(sha256)
    const handle = await open(path, 'w', 0o600)
    const hash = createHash('sha256')
    let sizeBytes = 0
    try {
      await pipeline(body, async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          hash.update(chunk)
          await handle.write(chunk, 0, chunk.length, sizeBytes)
          sizeBytes += chunk.length
        }
      })
    } catch (error) {
      throw isFileSystemError(error) ? fileSystemError(error) : storeError(error)
    } finally {
      await handle.close()
    }
    if (hash.digest('hex') !== sha256) {
      throw new TintypeError('internal', 'The server could not access its storage.', {
        cause: new Error(`the object store gave other bytes than those of ${sha256}`),
      })
    }
    return sizeBytes
  }

  return {
    shared: createS3Shared(client, { bucket: Bucket, prefix: s3.derivativesPrefix }),
    stage: staging.stage,
    async commit(staged) {
      if (!staging.bodyOf(staged)) throw new TintypeError('internal', 'The upload could not be processed.')
      try {
        await lockKey(staged.sha256, () => commitObject(staged))
      } catch (error) {
        await staging.release(staged)
        throw isFileSystemError(error) ? fileSystemError(error) : storeError(error)
      }
    },
    discard: (staged) => staging.release(staged),
    read,
    async readAll(sha256) {
      const parts: Buffer[] = []
      for await (const part of await read(sha256)) parts.push(part as Buffer)
      return checkBytes(Buffer.concat(parts), sha256)
    },
    async stat(sha256) {
      const found = await head(keyOf(sha256))
      return found && { sizeBytes: found.sizeBytes }
    },
    async withLocalFile(sha256, use) {
      checkKey(sha256)
      return cache.withFile(sha256, (path) => download(sha256, path), use)
    },
    async remove(sha256, { olderThanMs = 0 } = {}) {
      const Key = keyOf(sha256)
      await lockKey(sha256, async () => {
        try {
          if (olderThanMs > 0) {
            const found = await head(Key)
            if (!found || Date.now() - found.modifiedMs < olderThanMs) return
          }
          await client.send(new DeleteObjectCommand({ Bucket, Key }))
        } catch (error) {
          throw storeError(error)
        }
        await cache.remove(sha256)
      })
    },
    presign(sha256, { expiresSec, contentType, disposition }) {
      const command = new GetObjectCommand({
        Bucket,
        Key: keyOf(sha256),
        ResponseContentType: contentType,
        ...(disposition === undefined ? {} : { ResponseContentDisposition: disposition }),
      })
      return getSignedUrl(publicClient, command, { expiresIn: expiresSec })
    },
    async *list() {
      let ContinuationToken: string | undefined
      do {
        const page = await client
          .send(new ListObjectsV2Command({ Bucket, Prefix: s3.prefix, ContinuationToken }))
          .catch((error) => {
            throw storeError(error)
          })
        for (const { Key, Size, LastModified } of page.Contents ?? []) {
          const sha256 = Key!.slice(s3.prefix.length)
          if (!SHA256.test(sha256)) continue
          yield { sha256, sizeBytes: Size ?? 0, modifiedMs: LastModified?.getTime() ?? 0 }
        }
        ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined
      } while (ContinuationToken !== undefined)
    },
    async setAside(sha256) {
      const Key = keyOf(sha256)
      const target = `${s3.prefix}damaged/${sha256}`
      await lockKey(sha256, async () => {
        try {
          await client.send(new CopyObjectCommand({ Bucket, Key: target, CopySource: `${Bucket}/${Key}` }))
          await client.send(new DeleteObjectCommand({ Bucket, Key }))
        } catch (error) {
          throw storeError(error)
        }
        await cache.remove(sha256)
      })
      return `${Bucket}/${target}`
    },
    owner,
    async claim(id) {
      if ((await owner()) !== undefined) return
      const Body = Buffer.from(`${JSON.stringify({ id })}\n`)
      // Servers of one library that do this at once write the same.
      await client
        .send(new PutObjectCommand({ Bucket, Key: ownerKey, Body, ContentMD5: md5(Body) }))
        .catch((error) => {
          throw storeError(error)
        })
    },
    async *leftovers() {
      yield* staging.leftovers()
      for await (const { Key, Initiated } of openUploads()) {
        yield { name: Key!, sizeBytes: 0, modifiedMs: Initiated?.getTime() ?? 0 }
      }
    },
    async sweepStaging(olderThanMs) {
      const count = await staging.sweep(olderThanMs)
      return (
        count +
        (await abortStaleUploads(olderThanMs).catch((error) => {
          throw storeError(error)
        }))
      )
    },
    async check() {
      const Key = `${s3.prefix}check-${randomUUID()}`
      const Body = Buffer.from(Key)
      try {
        await client.send(new PutObjectCommand({ Bucket, Key, Body, ContentMD5: md5(Body) }))
        await client
          .send(new GetObjectCommand({ Bucket, Key }))
          .then(({ Body }) => (Body as Readable).resume())
        await client.send(new DeleteObjectCommand({ Bucket, Key }))
      } catch (error) {
        throw storeError(error)
      }
    },
    async close() {
      client.destroy()
      publicClient.destroy()
      await hasher.close()
    },
  }

  /** Multipart uploads that were begun and neither completed nor aborted. */
  async function* openUploads(): AsyncIterable<MultipartUpload> {
    let KeyMarker: string | undefined
    let UploadIdMarker: string | undefined
    do {
      const page = await client.send(
        new ListMultipartUploadsCommand({ Bucket, Prefix: s3.prefix, KeyMarker, UploadIdMarker }),
      )
      yield* page.Uploads ?? []
      KeyMarker = page.IsTruncated ? page.NextKeyMarker : undefined
      UploadIdMarker = page.NextUploadIdMarker
    } while (KeyMarker !== undefined)
  }

  async function abortStaleUploads(olderThanMs: number): Promise<number> {
    let count = 0
    for await (const { Key, UploadId, Initiated } of openUploads()) {
      if (!Initiated || Date.now() - Initiated.getTime() < olderThanMs) continue
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
      count++
    }
    return count
  }
}

function createClient(s3: BlobOptions['s3']): S3Client {
  return new S3Client({
    region: s3.region,
    ...(s3.endpoint !== '' && { endpoint: s3.endpoint }),
    ...(s3.accessKey !== '' && {
      credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
    }),
    forcePathStyle: s3.forcePathStyle,
    maxAttempts: s3.attempts,
    // Stores other than AWS refuse or ignore the SDK's newer default checksums.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // The SDK waits for ever by default: a store that accepts and falls silent would take every request with it.
    requestHandler: {
      connectionTimeout: s3.connectTimeoutMs,
      requestTimeout: s3.requestTimeoutMs,
      socketTimeout: s3.requestTimeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: 256 },
      httpsAgent: { keepAlive: true, maxSockets: 256 },
    },
  })
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('base64')
}

async function readFully(handle: FileHandle, bytes: Buffer, at: number) {
  let done = 0
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, at + done)
    if (bytesRead === 0) throw new Error('a staged file is shorter than what was received')
    done += bytesRead
  }
}

/** The store may fail in the middle of a body. */
function translateErrors(body: Readable): Readable {
  const translated = new Readable({
    read() {
      body.resume()
    },
    destroy(error, callback) {
      body.destroy()
      callback(error)
    },
  })
  body.on('data', (chunk) => {
    if (!translated.push(chunk)) body.pause()
  })
  body.on('end', () => translated.push(null))
  body.on('error', (error) => translated.destroy(storeError(error)))
  body.on('close', () => {
    if (!body.readableEnded && !translated.destroyed)
      translated.destroy(storeError(new Error('the body was cut')))
  })
  body.pause()
  return translated
}

const LOCAL_ERRORS = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EACCES', 'EMFILE', 'ENFILE', 'ENOENT'])

/** An error of the local disk, where uploads are staged and copies kept. */
function isFileSystemError(error: unknown): boolean {
  return LOCAL_ERRORS.has((error as NodeJS.ErrnoException).code ?? '')
}

/** What the object store said: an object that is not there, or a store that does not work. */
function storeError(cause: unknown): TintypeError {
  if (cause instanceof TintypeError) return cause
  const { name, $metadata } = cause as { name?: string; $metadata?: { httpStatusCode?: number } }
  const isAbsent = name === 'NoSuchKey' || name === 'NotFound' || $metadata?.httpStatusCode === 404
  if (isAbsent && name !== 'NoSuchBucket' && name !== 'NoSuchUpload') {
    return new TintypeError('not-found', 'The file could not be found in storage.', { cause })
  }
  return new TintypeError('unavailable', 'The storage is not available. Please try again later.', {
    headers: { 'retry-after': '5' },
    cause,
  })
}
