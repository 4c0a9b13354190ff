import sharp from 'sharp'
import { decodeBitmap, readBmpHeader } from './decode-bmp.ts'
import { type Pixels, pixelsOf, RANK } from './picture.ts'

const ENTRY_BYTES = 16
const MAX_ENTRIES = 256

/** Decodes the largest picture of an icon file. @throws Error, RangeError for what is broken. */
export async function decodeIco(bytes: Buffer, limits: { maxPx: number }): Promise<Pixels> {
  const count = bytes.readUInt16LE(4)
  if (count < 1 || count > MAX_ENTRIES) throw new Error('an icon file without pictures')
  const entries = Array.from({ length: count }, (_, index) => {
    const at = 6 + index * ENTRY_BYTES
    // 0 stands for 256.
    const widthPx = bytes.readUInt8(at) || 256
    const heightPx = bytes.readUInt8(at + 1) || 256
    const sizeBytes = bytes.readUInt32LE(at + 8)
    return { area: widthPx * heightPx, sizeBytes, start: bytes.readUInt32LE(at + 12) }
  })
  const best = entries.reduce((a, b) =>
    b.area > a.area || (b.area === a.area && b.sizeBytes > a.sizeBytes) ? b : a,
  )
  const picture = bytes.subarray(best.start, best.start + best.sizeBytes)
  const isPng = picture.length > 8 && picture.readUInt32BE(0) === 0x89504e47
  return isPng ? decodePng(picture, limits) : decodeDib(picture, limits)
}

async function decodePng(bytes: Buffer, { maxPx }: { maxPx: number }): Promise<Pixels> {
  const pipeline = sharp(bytes, { limitInputPixels: maxPx }).ensureAlpha()
  const { width: widthPx, height: heightPx } = await pipeline.metadata()
  return pixelsOf({ pipeline, size: { widthPx, heightPx }, hasAlpha: true, rank: RANK.source })
}

/** A bitmap of twice the height: the picture, then a mask of one bit for each pixel that is not to be drawn. */
function decodeDib(bytes: Buffer, limits: { maxPx: number }): Pixels {
  const header = readBmpHeader(bytes, 0)
  const heightPx = header.heightPx / 2
  if (!Number.isInteger(heightPx)) throw new Error('an icon without a mask')
  const { widthPx, bitsPerPx, tableStart, entryBytes } = header
  const colors = bitsPerPx <= 8 ? header.colors || 1 << bitsPerPx : 0
  const dataStart = tableStart + colors * entryBytes
  const picture = decodeBitmap(bytes, { ...header, heightPx }, dataStart, limits)
  if (picture.channels === 4 && picture.data.some((value, index) => index % 4 === 3 && value < 255)) {
    return picture
  }
  const maskStart = dataStart + Math.ceil((widthPx * bitsPerPx) / 32) * 4 * heightPx
  const maskStride = Math.ceil(widthPx / 32) * 4
  const data = Buffer.alloc(widthPx * heightPx * 4)
  for (let y = 0; y < heightPx; y++) {
    const row = header.topDown ? y : heightPx - 1 - y
    for (let x = 0; x < widthPx; x++) {
      const byte = bytes[maskStart + row * maskStride + (x >> 3)] ?? 0
      const isMasked = ((byte >> (7 - (x & 7))) & 1) === 1
      const from = (y * widthPx + x) * picture.channels
      data.set(picture.data.subarray(from, from + 3), (y * widthPx + x) * 4)
      data[(y * widthPx + x) * 4 + 3] = isMasked ? 0 : 255
    }
  }
  return { data, widthPx, heightPx, channels: 4 }
}
