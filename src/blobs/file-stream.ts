import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { ByteRange } from './blobs.ts'
import { fileSystemError } from './fs-errors.ts'

const READ_BYTES = 256 * 1024

/** Large reads straight from the descriptor; closes it at the end, on errors and when the reader goes away. */
export function readFileStream(handle: FileHandle, range: ByteRange | undefined): Readable {
  let position = range?.start ?? 0
  const end = range === undefined ? Number.POSITIVE_INFINITY : range.end + 1
  return new Readable({
    highWaterMark: READ_BYTES,
    read() {
      const length = Math.min(READ_BYTES, end - position)
      if (length <= 0) {
        this.push(null)
        return
      }
      handle.read(Buffer.allocUnsafeSlow(length), 0, length, position).then(
        ({ bytesRead, buffer }) => {
          position += bytesRead
          this.push(bytesRead === 0 ? null : buffer.subarray(0, bytesRead))
        },
        (error) => this.destroy(fileSystemError(error)),
      )
    },
    destroy(error, callback) {
      handle.close().then(
        () => callback(error),
        () => callback(error),
      )
    },
  })
}
