import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { Value } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { blobOptions, openBlobs } from '../../src/blobs/blobs.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { blobsSuite } from './blobs.suite.ts'

/** Two makes of the protocol: what one does the other may not, such as conditional writes and streams of no known length. */
const STORES = [
  {
    name: 'Swift (TINTYPE_TEST_S3_ENDPOINT)',
    endpoint: process.env.TINTYPE_TEST_S3_ENDPOINT,
    bucket: process.env.TINTYPE_TEST_S3_BUCKET ?? 'tintype',
    region: process.env.TINTYPE_TEST_S3_REGION ?? 'us-east-1',
    accessKey: process.env.TINTYPE_TEST_S3_ACCESS_KEY ?? '',
    secretKey: process.env.TINTYPE_TEST_S3_SECRET_KEY ?? '',
  },
  {
    name: 'Ceph (TINTYPE_TEST_S3B_ENDPOINT)',
    endpoint: process.env.TINTYPE_TEST_S3B_ENDPOINT,
    bucket: process.env.TINTYPE_TEST_S3B_BUCKET ?? 'tintype',
    region: process.env.TINTYPE_TEST_S3B_REGION ?? 'us-east-1',
    accessKey: process.env.TINTYPE_TEST_S3B_ACCESS_KEY ?? '',
    secretKey: process.env.TINTYPE_TEST_S3B_SECRET_KEY ?? '',
  },
]

for (const { name, endpoint, bucket, region, accessKey, secretKey } of STORES) {
  async function newSubject(changes: { endpoint?: string; cacheBytes?: number; attempts?: number } = {}) {
    const dataDir = await mkdtemp(join(tmpdir(), 'blobs-s3-'))
    // A prefix of its own, so that runs on one bucket do not meet.
    const prefix = `test-${Date.now()}-${Math.random().toString(36).slice(2)}/`
    const defaults = Value.Create(blobOptions)
    const s3 = {
      ...defaults.s3,
      endpoint: endpoint!,
      bucket,
      region,
      accessKey,
      secretKey,
      prefix,
      ...changes,
    }
    const options = { ...defaults, driver: 's3' as const, s3, dataDir }
    const blobs = await openBlobs(options, { log: silentLog })
    return {
      blobs,
      options,
      cacheNames: () => readdir(join(dataDir, 'blob-cache')),
      stagingNames: () => readdir(join(dataDir, 'staging')),
      async end() {
        for await (const { sha256 } of blobs.list()) await blobs.remove(sha256)
        await blobs.close()
        await rm(dataDir, { recursive: true })
      },
    }
  }

  describe.skipIf(endpoint === undefined)(`with ${name}`, () => {
    blobsSuite('S3', newSubject)

    test('keeps no more local copies than the cache may hold', async () => {
      const subject = await newSubject({ cacheBytes: 250_000 })
      const keys: string[] = []
      for (let index = 0; index < 5; index++) {
        const writer = subject.blobs.stage({ maxBytes: () => 1_000_000 })
        await writer.write(Buffer.alloc(100_000, index))
        const staged = await writer.finish()
        await subject.blobs.commit(staged)
        keys.push(staged.sha256)
      }
      for (const key of keys) await subject.blobs.withLocalFile(key, async () => {})
      expect((await subject.cacheNames()).sort()).toEqual(keys.slice(3).sort())
      await subject.blobs.withLocalFile(keys[0]!, async () => {})
      expect((await subject.cacheNames()).sort()).toEqual([keys[0]!, keys[4]!].sort())
      await subject.end()
    })

    test('takes over the copies of an earlier run', async () => {
      const subject = await newSubject()
      const writer = subject.blobs.stage({ maxBytes: () => 1_000_000 })
      await writer.write(Buffer.from('kept'))
      const { sha256 } = await writer.finish().then(async (staged) => {
        await subject.blobs.commit(staged)
        return staged
      })
      await subject.blobs.withLocalFile(sha256, async () => {})
      const again = await openBlobs(subject.options, { log: silentLog })
      expect((await again.readAll(sha256)).toString()).toBe('kept')
      expect(await subject.cacheNames()).toEqual([sha256])
      await again.close()
      await subject.end()
    })

    test('aborts the multipart uploads of processes that died', async () => {
      const subject = await newSubject()
      const client = new S3Client({
        endpoint: endpoint!,
        region,
        forcePathStyle: true,
        credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
      })
      const Key = `${subject.options.s3.prefix}${'0'.repeat(64)}`
      await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }))
      expect(await subject.blobs.sweepStaging(3_600_000)).toBe(0)
      await expect.poll(() => subject.blobs.sweepStaging(0), { timeout: 5000 }).toBe(1)
      const left = await client.send(
        new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: subject.options.s3.prefix }),
      )
      expect(left.Uploads ?? []).toEqual([])
      client.destroy()
      await subject.end()
    })
  })
}

test('a store that cannot be reached is said to be unavailable', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'blobs-s3-'))
  const defaults = Value.Create(blobOptions)
  const s3 = {
    ...defaults.s3,
    // The discard port: nothing listens there.
    endpoint: 'http://127.0.0.1:9',
    bucket: 'none',
    accessKey: 'a',
    secretKey: 'b',
    attempts: 1,
  }
  const opening = openBlobs({ ...defaults, driver: 's3', s3, dataDir }, { log: silentLog })
  await expect(opening).rejects.toMatchObject({ kind: 'unavailable' })
  await rm(dataDir, { recursive: true })
})
