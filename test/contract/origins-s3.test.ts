import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Default } from 'typebox/value'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/kernel/log.ts'
import { createSafeFetch } from '../../src/kernel/safe-fetch.ts'
import {
  type OriginDocument,
  type OriginOptions,
  openOrigins,
  originOptions,
} from '../../src/origins/origins.ts'

/** The two makes of the protocol that blobs are tested on. */
const STORES = ['S3', 'S3B'].map((name) => ({
  name,
  endpoint: process.env[`TINTYPE_TEST_${name}_ENDPOINT`],
  bucket: process.env[`TINTYPE_TEST_${name}_BUCKET`] ?? 'tintype',
  region: process.env[`TINTYPE_TEST_${name}_REGION`] ?? 'us-east-1',
  accessKey: process.env[`TINTYPE_TEST_${name}_ACCESS_KEY`] ?? '',
  secretKey: process.env[`TINTYPE_TEST_${name}_SECRET_KEY`] ?? '',
}))

describe.each(STORES)(
  'an origin in a real store ($name)',
  ({ endpoint, bucket, region, accessKey, secretKey }) => {
    test.skipIf(!endpoint)('gives its objects, their changes, and what its metadata says', async () => {
      const dir = await mkdtemp(join(tmpdir(), 'origins-s3-'))
      const client = new S3Client({
        endpoint: endpoint!,
        region,
        forcePathStyle: true,
        credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
      })
      const prefix = `origins-${Date.now()}`
      const Key = `${prefix}/a b/ü+&.txt`
      let nowMs = Date.now()
      const origins = await openOrigins(
        {
          ...(Default(originOptions, {}) as OriginOptions),
          maxAgeSec: 60,
          cacheDir: dir,
          media: { probeTimeoutMs: 1000, ffprobe: 'ffprobe' },
        },
        {
          safeFetch: createSafeFetch({ allowPrivateNetwork: true, deniedPorts: [] }),
          clock: { now: () => nowMs },
          log: silentLog,
        },
      )
      const origin: OriginDocument = {
        id: 'store',
        type: 'S3_COMPATIBLE',
        name: 'Store',
        bucket,
        prefix,
        accessKey,
        secretKey,
        endpoint: endpoint!,
        s3ForcePathStyle: true,
      }
      const find = (path: string, from = origin) =>
        origins.find({ path, url: null, host: null, origins: [from], followCacheControl: false })
      const put = (Body: string, Metadata: Record<string, string>) =>
        client.send(new PutObjectCommand({ Bucket: bucket, Key, Body, Metadata }))
      try {
        await put('first', {})
        const first = await find('a b/ü+&.txt')
        expect((await first!.readAll()).toString()).toBe('first')
        expect(first!.isPrivate).toBe(false)
        nowMs += 60_000
        expect((await find('a b/ü+&.txt'))!.sha256).toBe(first!.sha256)
        await put('second', { isprivatefile: 'true' })
        nowMs += 60_000
        const second = await find('a b/ü+&.txt')
        expect((await second!.readAll()).toString()).toBe('second')
        expect(second!.isPrivate).toBe(true)
        expect(await find('none.txt')).toBeUndefined()
        await expect(find('a b/ü+&.txt', { ...origin, secretKey: 'wrong' })).rejects.toMatchObject({
          kind: 'not-found',
          headers: { 'ik-error': expect.stringContaining('EACCES') },
        })
      } finally {
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }))
        client.destroy()
        await rm(dir, { recursive: true, force: true })
      }
    })
  },
)
