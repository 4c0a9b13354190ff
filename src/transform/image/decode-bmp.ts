import type { Pixels } from './picture.ts'

/** How the pixels of a bitmap are packed (Windows `biCompression`). */
const COMPRESSION = { rgb: 0, rle8: 1, rle4: 2, bitfields: 3, alphaBitfields: 6 } as const
const FILE_HEADER_BYTES = 14
const CORE_HEADER_BYTES = 12

export type BmpHeader = {
  widthPx: number
  heightPx: number
  topDown: boolean
  bitsPerPx: number
  compression: number
  /** Offset of the palette or of the masks that follow the header. */
  tableStart: number
  colors: number
  entryBytes: 3 | 4
}

/**
 * Reads the header of a device-independent bitmap.
 * @param at offset of the header: 14 in a BMP file.
 * @throws RangeError beyond the end, Error for kinds that are not supported.
 */
export function readBmpHeader(bytes: Buffer, at: number = FILE_HEADER_BYTES): BmpHeader {
  const headerBytes = bytes.readUInt32LE(at)
  if (headerBytes === CORE_HEADER_BYTES) {
    return {
      widthPx: bytes.readUInt16LE(at + 4),
      heightPx: bytes.readUInt16LE(at + 6),
      topDown: false,
      bitsPerPx: bytes.readUInt16LE(at + 10),
      compression: COMPRESSION.rgb,
      tableStart: at + CORE_HEADER_BYTES,
      colors: 0,
      entryBytes: 3,
    }
  }
  if (headerBytes < 40 || headerBytes > 256) throw new Error('unknown kind of bitmap header')
  const height = bytes.readInt32LE(at + 8)
  return {
    widthPx: bytes.readInt32LE(at + 4),
    heightPx: Math.abs(height),
    topDown: height < 0,
    bitsPerPx: bytes.readUInt16LE(at + 14),
    compression: bytes.readUInt32LE(at + 16),
    // Longer headers hold the masks themselves, where the shorter one is followed by them.
    tableStart: at + (headerBytes === 40 ? 40 : headerBytes),
    colors: bytes.readUInt32LE(at + 32),
    entryBytes: 4,
  }
}

/** Decodes a BMP file. @throws Error, RangeError for what is broken or not supported. */
export function decodeBmp(bytes: Buffer, limits: { maxPx: number }): Pixels {
  return decodeBitmap(bytes, readBmpHeader(bytes), bytes.readUInt32LE(10), limits)
}

/**
 * Decodes the pixels of a bitmap.
 * @param dataStart offset of the pixels.
 */
export function decodeBitmap(
  bytes: Buffer,
  header: BmpHeader,
  dataStart: number,
  { maxPx }: { maxPx: number },
): Pixels {
  const { widthPx, heightPx, bitsPerPx, compression } = header
  if (widthPx < 1 || heightPx < 1 || widthPx * heightPx > maxPx) throw new Error('bitmap size out of bounds')
  const isRle = compression === COMPRESSION.rle8 || compression === COMPRESSION.rle4
  const indexed = bitsPerPx <= 8 ? readPalette(bytes, header, dataStart) : undefined
  if (indexed) {
    const indexes = isRle ? unpackRle(bytes, header, dataStart) : unpackIndexes(bytes, header, dataStart)
    const data = Buffer.alloc(widthPx * heightPx * 3)
    for (let i = 0; i < indexes.length; i++) data.set(indexed[indexes[i]!] ?? BLACK, i * 3)
    return { data, widthPx, heightPx, channels: 3 }
  }
  return unpackDirect(bytes, header, dataStart)
}

const BLACK = new Uint8Array(3)

function readPalette(bytes: Buffer, header: BmpHeader, dataStart: number): Uint8Array[] {
  const { bitsPerPx, tableStart, entryBytes } = header
  if (![1, 2, 4, 8].includes(bitsPerPx)) throw new Error('unknown depth of bitmap')
  const most = 1 << bitsPerPx
  const count = Math.min(header.colors || most, most, Math.floor((dataStart - tableStart) / entryBytes))
  const palette: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    const at = tableStart + i * entryBytes
    palette.push(Uint8Array.of(bytes.readUInt8(at + 2), bytes.readUInt8(at + 1), bytes.readUInt8(at)))
  }
  return palette
}

function rowOf(y: number, { topDown, heightPx }: BmpHeader): number {
  return topDown ? y : heightPx - 1 - y
}

function unpackIndexes(bytes: Buffer, header: BmpHeader, dataStart: number): Uint8Array {
  const { widthPx, heightPx, bitsPerPx } = header
  if (header.compression !== COMPRESSION.rgb) throw new Error('unknown compression of bitmap')
  const stride = Math.ceil((widthPx * bitsPerPx) / 32) * 4
  checkLength(bytes, dataStart + stride * heightPx)
  const out = new Uint8Array(widthPx * heightPx)
  const perByte = 8 / bitsPerPx
  const mask = (1 << bitsPerPx) - 1
  for (let y = 0; y < heightPx; y++) {
    const from = dataStart + stride * y
    const to = rowOf(y, header) * widthPx
    for (let x = 0; x < widthPx; x++) {
      const byte = bytes[from + Math.floor(x / perByte)]!
      out[to + x] = (byte >> (8 - bitsPerPx - (x % perByte) * bitsPerPx)) & mask
    }
  }
  return out
}

/** Runs of one index, literal runs, and jumps (RLE8 and RLE4). What is jumped over has the index 0. */
function unpackRle(bytes: Buffer, header: BmpHeader, dataStart: number): Uint8Array {
  const { widthPx, heightPx } = header
  const isFour = header.compression === COMPRESSION.rle4
  const out = new Uint8Array(widthPx * heightPx)
  let [x, y, at] = [0, 0, dataStart]
  const put = (index: number) => {
    if (x < widthPx && y < heightPx) out[rowOf(y, header) * widthPx + x] = index
    x++
  }
  while (at + 1 < bytes.length && y < heightPx) {
    const count = bytes[at]!
    const value = bytes[at + 1]!
    at += 2
    if (count > 0) {
      for (let i = 0; i < count; i++) put(isFour ? (i % 2 === 0 ? value >> 4 : value & 15) : value)
    } else if (value === 0) [x, y] = [0, y + 1]
    else if (value === 1) break
    else if (value === 2) {
      x += bytes.readUInt8(at)
      y += bytes.readUInt8(at + 1)
      at += 2
    } else {
      const length = isFour ? Math.ceil(value / 2) : value
      checkLength(bytes, at + length)
      for (let i = 0; i < value; i++) {
        const byte = bytes[at + (isFour ? i >> 1 : i)]!
        put(isFour ? (i % 2 === 0 ? byte >> 4 : byte & 15) : byte)
      }
      at += length + (length % 2)
    }
  }
  return out
}

type Mask = { shift: number; max: number }

function unpackDirect(bytes: Buffer, header: BmpHeader, dataStart: number): Pixels {
  const { widthPx, heightPx, bitsPerPx } = header
  if (![16, 24, 32].includes(bitsPerPx)) throw new Error('unknown depth of bitmap')
  const stride = Math.ceil((widthPx * bitsPerPx) / 32) * 4
  checkLength(bytes, dataStart + stride * heightPx)
  const masks = masksOf(bytes, header)
  const channels = masks[3]!.max > 0 ? 4 : 3
  const data = Buffer.alloc(widthPx * heightPx * channels)
  const pxBytes = bitsPerPx / 8
  let seenAlpha = false
  for (let y = 0; y < heightPx; y++) {
    const from = dataStart + stride * y
    let to = rowOf(y, header) * widthPx * channels
    for (let x = 0; x < widthPx; x++) {
      const value = bytes.readUIntLE(from + x * pxBytes, pxBytes)
      for (let channel = 0; channel < channels; channel++) {
        const { shift, max } = masks[channel]!
        const level = max === 0 ? 0 : Math.round((((value >>> shift) & max) / max) * 255)
        data[to++] = level
        if (channel === 3 && level > 0) seenAlpha = true
      }
    }
  }
  // Many writers leave the fourth byte at zero and mean an opaque picture.
  if (channels === 4 && !seenAlpha) for (let i = 3; i < data.length; i += 4) data[i] = 255
  return { data, widthPx, heightPx, channels }
}

function masksOf(bytes: Buffer, header: BmpHeader): Mask[] {
  const { bitsPerPx, compression } = header
  if (compression === COMPRESSION.rgb) {
    if (bitsPerPx === 16) return [0x7c00, 0x3e0, 0x1f, 0].map(maskOf)
    return [0xff0000, 0xff00, 0xff, bitsPerPx === 32 ? 0xff000000 : 0].map(maskOf)
  }
  if (compression !== COMPRESSION.bitfields && compression !== COMPRESSION.alphaBitfields) {
    throw new Error('unknown compression of bitmap')
  }
  // In longer headers the masks stand where they would follow the short one.
  const headerStart = FILE_HEADER_BYTES
  const start = Math.min(header.tableStart, headerStart + 40)
  const hasAlpha = compression === COMPRESSION.alphaBitfields || header.tableStart >= headerStart + 56
  return [0, 4, 8, 12].map((offset) =>
    offset === 12 && !hasAlpha ? maskOf(0) : maskOf(bytes.readUInt32LE(start + offset)),
  )
}

function maskOf(mask: number): Mask {
  if (mask === 0) return { shift: 0, max: 0 }
  const shift = 31 - Math.clz32(mask & -mask)
  return { shift, max: mask >>> shift }
}

function checkLength(bytes: Buffer, needed: number) {
  if (needed > bytes.length) throw new Error('the file ends before its pixels')
}
