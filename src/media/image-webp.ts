import type { ByteSource } from './byte-source.ts'
import { type ImageHeader, MAX_BLOCK_BYTES } from './image.ts'

const MAX_CHUNKS = 20_000

/** WebP: lossy, lossless and extended (RFC 9649). */
export async function readWebp(bytes: ByteSource): Promise<ImageHeader> {
  const header: ImageHeader = { hasAlpha: false, hasColorProfile: false }
  let frames = 0
  let at = 12
  for (let count = 0; count < MAX_CHUNKS; count++) {
    const start = await bytes.read(at, 18)
    if (start.length < 8) break
    const type = start.toString('latin1', 0, 4)
    const length = start.readUInt32LE(4)
    const body = start.subarray(8)
    if (type === 'VP8X' && body.length >= 10) {
      const flags = body[0]!
      header.hasAlpha = (flags & 0x10) !== 0
      header.widthPx = body.readUIntLE(4, 3) + 1
      header.heightPx = body.readUIntLE(7, 3) + 1
      // Without the flags for animation, EXIF or XMP nothing of interest follows.
      if ((flags & 0x0e) === 0) {
        header.hasColorProfile = (flags & 0x20) !== 0
        break
      }
    } else if (type === 'VP8L' && header.widthPx === undefined && body[0] === 0x2f && body.length >= 5) {
      const bits = body.readUInt32LE(1)
      header.widthPx = (bits & 0x3fff) + 1
      header.heightPx = ((bits >>> 14) & 0x3fff) + 1
      header.hasAlpha = ((bits >>> 28) & 1) === 1
      break
    } else if (type === 'VP8 ' && header.widthPx === undefined && body.length >= 10) {
      if (body[3] === 0x9d && body[4] === 0x01 && body[5] === 0x2a) {
        header.widthPx = body.readUInt16LE(6) & 0x3fff
        header.heightPx = body.readUInt16LE(8) & 0x3fff
      }
      break
    } else if (type === 'ANMF') frames++
    else if (type === 'ICCP') header.hasColorProfile = true
    else if (type === 'EXIF' && length <= MAX_BLOCK_BYTES)
      header.exif ??= await readExif(bytes, at + 8, length)
    else if (type === 'XMP ' && length <= MAX_BLOCK_BYTES) header.xmp ??= await bytes.read(at + 8, length)
    at += 8 + length + (length & 1)
  }
  if (frames > 1) header.pages = frames
  return header
}

/** Some writers keep JPEG's prefix before the TIFF structure. */
async function readExif(bytes: ByteSource, at: number, length: number): Promise<Buffer> {
  const block = await bytes.read(at, length)
  return block.toString('latin1', 0, 6) === 'Exif\0\0' ? block.subarray(6) : block
}
