import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { SharedFiles } from './blobs.ts'

/** Files beside the blobs of a bucket, under names of their own. Errors are those of the SDK: nobody depends on it. */
export function createS3Shared(client: S3Client, place: { bucket: string; prefix: string }): SharedFiles {
  const { bucket: Bucket, prefix } = place
  return {
    async fetch(name, path) {
      let note: string | undefined
      let body: Readable
      try {
        const found = await client.send(new GetObjectCommand({ Bucket, Key: prefix + name }))
        note = found.Metadata?.note
        body = found.Body as Readable
      } catch (error) {
        const { $metadata } = error as { $metadata?: { httpStatusCode?: number } }
        if ($metadata?.httpStatusCode === 404) return undefined
        throw error
      }
      const handle = await open(path, 'w', 0o600)
      try {
        await pipeline(body, handle.createWriteStream())
      } finally {
        await handle.close().catch(() => {})
      }
      return note
    },
    async keep(name, bytes, note) {
      await client.send(
        new PutObjectCommand({
          Bucket,
          Key: prefix + name,
          Body: bytes,
          ContentLength: bytes.length,
          Metadata: { note },
        }),
      )
    },
    async removeAll(start) {
      let ContinuationToken: string | undefined
      do {
        const page = await client.send(
          new ListObjectsV2Command({ Bucket, Prefix: prefix + start, ContinuationToken }),
        )
        for (const { Key } of page.Contents ?? []) await client.send(new DeleteObjectCommand({ Bucket, Key }))
        ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined
      } while (ContinuationToken !== undefined)
    },
  }
}
