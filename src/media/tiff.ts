import type { ByteSource } from './byte-source.ts'

/** Tags of all directories of one file; a real photograph has about a hundred. */
const MAX_TAGS = 4096
/** A value beyond this (tables of strips, embedded previews) is left out. */
const MAX_VALUE_BYTES = 64 * 1024
/** All values together: many entries may point at the same bytes, each with a copy for us to make. */
const MAX_TOTAL_BYTES = 4 * 1024 * 1024
/** Blocks with a format of their own, whatever type writers give them: XMP and IPTC. */
const BLOCK_TAGS = new Set([0x02bc, 0x83bb])
const MAX_BLOCK_BYTES = 1024 * 1024
/** Directories in a chain: the pages of a document. */
const MAX_PAGES = 1000

/** Numbers (a rational is its quotient: infinite or NaN when divided by zero), a text, or bytes of no known meaning. */
export type TiffValue = number[] | string | Buffer
export type TiffDirectory = Map<number, TiffValue>

/** The directories that photographs have; empty where absent. */
export type TiffFile = {
  littleEndian: boolean
  image: TiffDirectory
  thumbnail: TiffDirectory
  exif: TiffDirectory
  gps: TiffDirectory
  interoperability: TiffDirectory
  pages: number
}

const EXIF_POINTER = 0x8769
const GPS_POINTER = 0x8825
const INTEROPERABILITY_POINTER = 0xa005

/** Bytes of one value of each field type (TIFF 6.0, section 2; the last three from BigTIFF). */
const TYPE_BYTES: Record<number, number> = {
  1: 1,
  2: 1,
  3: 2,
  4: 4,
  5: 8,
  6: 1,
  7: 1,
  8: 2,
  9: 4,
  10: 8,
  11: 4,
  12: 8,
  13: 4,
  16: 8,
  17: 8,
  18: 8,
  129: 1,
}

/**
 * Reads a TIFF structure, which EXIF is too. Loops, wild offsets and huge counts end the reading of what they
 * concern; what was read until then stays.
 * @returns undefined when the bytes do not begin like TIFF.
 */
export async function readTiff(bytes: ByteSource): Promise<TiffFile | undefined> {
  const start = await bytes.read(0, 16)
  if (start.length < 8) return undefined
  const order = start.toString('latin1', 0, 2)
  if (order !== 'II' && order !== 'MM') return undefined
  const littleEndian = order === 'II'
  const version = littleEndian ? start.readUInt16LE(2) : start.readUInt16BE(2)
  const isBig = version === 43
  if (!isBig && version !== 42) return undefined
  const reader: Reader = {
    bytes,
    littleEndian,
    isBig,
    tagsLeft: MAX_TAGS,
    bytesLeft: MAX_TOTAL_BYTES,
    visited: new Set(),
  }
  const firstAt = isBig ? readUint64(start, 8, littleEndian) : readUint(start, 4, 4, littleEndian)

  const { directory: image, nextAt } = await readDirectory(reader, firstAt)
  const linked = async (from: TiffDirectory, tag: number) => {
    const at = numberOf(from.get(tag))
    return at === undefined ? new Map() : (await readDirectory(reader, at)).directory
  }
  const exif = await linked(image, EXIF_POINTER)
  const gps = await linked(image, GPS_POINTER)
  const interoperability = await linked(exif, INTEROPERABILITY_POINTER)
  const second = await readDirectory(reader, nextAt)
  let pages = 1
  for (let at = nextAt, after = second.nextAt; at !== 0 && pages < MAX_PAGES; pages++) {
    at = after
    after = at === 0 ? 0 : (await readDirectory(reader, at, { onlyLink: true })).nextAt
  }
  return { littleEndian, image, thumbnail: second.directory, exif, gps, interoperability, pages }
}

/** The first number of a value. */
export function numberOf(value: TiffValue | undefined): number | undefined {
  return Array.isArray(value) ? value[0] : undefined
}

type Reader = {
  bytes: ByteSource
  littleEndian: boolean
  isBig: boolean
  tagsLeft: number
  bytesLeft: number
  visited: Set<number>
}

async function readDirectory(
  reader: Reader,
  at: number,
  { onlyLink = false } = {},
): Promise<{ directory: TiffDirectory; nextAt: number }> {
  const directory: TiffDirectory = new Map()
  const nothing = { directory, nextAt: 0 }
  // A directory that was read already: a loop made to keep us busy.
  if (at < 8 || reader.visited.has(at)) return nothing
  reader.visited.add(at)
  const { bytes, littleEndian, isBig } = reader
  const countBytes = isBig ? 8 : 2
  const entryBytes = isBig ? 20 : 12
  const countField = await bytes.read(at, countBytes)
  if (countField.length < countBytes) return nothing
  const count = isBig ? readUint64(countField, 0, littleEndian) : readUint(countField, 0, 2, littleEndian)
  if (!onlyLink) {
    const entries = await bytes.read(at + countBytes, Math.min(count, reader.tagsLeft) * entryBytes)
    for (let entryAt = 0; entryAt + entryBytes <= entries.length; entryAt += entryBytes) {
      reader.tagsLeft--
      const tag = readUint(entries, entryAt, 2, littleEndian)
      if (directory.has(tag)) continue
      const value = await readEntry(reader, entries.subarray(entryAt, entryAt + entryBytes))
      if (value !== undefined) directory.set(tag, value)
    }
  }
  const linkBytes = isBig ? 8 : 4
  const link = await bytes.read(at + countBytes + count * entryBytes, linkBytes)
  if (link.length < linkBytes) return nothing
  return { directory, nextAt: isBig ? readUint64(link, 0, littleEndian) : readUint(link, 0, 4, littleEndian) }
}

async function readEntry(reader: Reader, entry: Buffer): Promise<TiffValue | undefined> {
  const { bytes, littleEndian, isBig } = reader
  const type = readUint(entry, 2, 2, littleEndian)
  const unit = TYPE_BYTES[type]
  if (unit === undefined) return undefined
  const count = isBig ? readUint64(entry, 4, littleEndian) : readUint(entry, 4, 4, littleEndian)
  const sizeBytes = count * unit
  const isBlock = BLOCK_TAGS.has(readUint(entry, 0, 2, littleEndian))
  if (sizeBytes > (isBlock ? MAX_BLOCK_BYTES : MAX_VALUE_BYTES) || sizeBytes > reader.bytesLeft)
    return undefined
  reader.bytesLeft -= sizeBytes
  const inlineAt = isBig ? 12 : 8
  const inlineBytes = isBig ? 8 : 4
  let data: Buffer
  if (sizeBytes <= inlineBytes) data = entry.subarray(inlineAt, inlineAt + sizeBytes)
  else {
    const at = isBig ? readUint64(entry, 12, littleEndian) : readUint(entry, 8, 4, littleEndian)
    data = await bytes.read(at, sizeBytes)
    if (data.length < sizeBytes) return undefined
  }
  return isBlock ? data : decodeValue(type, data, littleEndian)
}

function decodeValue(type: number, data: Buffer, littleEndian: boolean): TiffValue {
  switch (type) {
    case 2:
    case 129:
      return decodeText(data)
    case 7:
      return data
    default: {
      const unit = TYPE_BYTES[type]!
      const values: number[] = []
      for (let at = 0; at + unit <= data.length; at += unit)
        values.push(readNumber(type, data, at, littleEndian))
      return values
    }
  }
}

function readNumber(type: number, data: Buffer, at: number, littleEndian: boolean): number {
  switch (type) {
    case 5:
      return readUint(data, at, 4, littleEndian) / readUint(data, at + 4, 4, littleEndian)
    case 6:
      return data.readInt8(at)
    case 8:
      return littleEndian ? data.readInt16LE(at) : data.readInt16BE(at)
    case 9:
      return littleEndian ? data.readInt32LE(at) : data.readInt32BE(at)
    case 10:
      return littleEndian
        ? data.readInt32LE(at) / data.readInt32LE(at + 4)
        : data.readInt32BE(at) / data.readInt32BE(at + 4)
    case 11:
      return littleEndian ? data.readFloatLE(at) : data.readFloatBE(at)
    case 12:
      return littleEndian ? data.readDoubleLE(at) : data.readDoubleBE(at)
    case 17:
      return Number(littleEndian ? data.readBigInt64LE(at) : data.readBigInt64BE(at))
    case 16:
    case 18:
      return readUint64(data, at, littleEndian)
    default:
      return readUint(data, at, TYPE_BYTES[type]!, littleEndian)
  }
}

function readUint(data: Buffer, at: number, size: number, littleEndian: boolean): number {
  return littleEndian ? data.readUIntLE(at, size) : data.readUIntBE(at, size)
}

function readUint64(data: Buffer, at: number, littleEndian: boolean): number {
  if (data.length < at + 8) return 0
  return Number(littleEndian ? data.readBigUInt64LE(at) : data.readBigUInt64BE(at))
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** The standard says ASCII; writers use UTF-8, and old ones Latin-1. Ends at the first NUL. */
export function decodeText(data: Buffer): string {
  const end = data.indexOf(0)
  const text = end < 0 ? data : data.subarray(0, end)
  try {
    return utf8.decode(text)
  } catch {
    return text.toString('latin1')
  }
}
