import { type FileHandle, open } from 'node:fs/promises'
import type { InspectionSource } from './media.ts'

/** Reads beyond the head: what a crafted file can make us do with its offsets and chains of small boxes. */
const MAX_READS = 512
const MAX_READ_BYTES = 16 * 1024 * 1024

/** A file's bytes at any offset: from the head where it suffices, else from the local file. */
export type ByteSource = {
  readonly sizeBytes: number
  /** The bytes from `offset`, fewer at the end of the file, none beyond it or once the budget of reads is spent. */
  read(offset: number, length: number): Promise<Buffer>
  close(): Promise<void>
}

/** Opens the file only when something beyond the head is asked for. */
export function createByteSource(
  source: Pick<InspectionSource, 'head' | 'sizeBytes' | 'localPath'>,
): ByteSource {
  let handle: FileHandle | undefined
  let reads = 0
  let readBytes = 0
  return {
    sizeBytes: source.sizeBytes,
    async read(offset, length) {
      if (!Number.isSafeInteger(offset) || offset < 0 || length <= 0) return Buffer.alloc(0)
      const end = Math.min(offset + length, source.sizeBytes)
      if (end <= source.head.length) return source.head.subarray(offset, Math.max(offset, end))
      if (end <= offset) return Buffer.alloc(0)
      reads++
      readBytes += end - offset
      if (reads > MAX_READS || readBytes > MAX_READ_BYTES) return Buffer.alloc(0)
      handle ??= await open(await source.localPath(), 'r')
      const bytes = Buffer.alloc(end - offset)
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset)
      return bytes.subarray(0, bytesRead)
    },
    async close() {
      await handle?.close()
    },
  }
}
