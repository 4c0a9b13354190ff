import type { ByteSource } from './byte-source.ts'
import { type ImageHeader, MAX_BLOCK_BYTES } from './image.ts'
import { estimateJpegQuality } from './jpeg-quality.ts'

const MAX_SEGMENTS = 1000
const EXIF = 'Exif\0\0'
/** Some writers spoil the first letters of `http://ns.adobe.com/xap/1.0/`. */
const XMP = '://ns.adobe.com/xap/1.0/'
const EXTENDED_XMP = 'http://ns.adobe.com/xmp/extension/\0'
const PHOTOSHOP = 'Photoshop 3.0\0'
const ICC = 'ICC_PROFILE\0'

/** JPEG (ITU T.81) with the application segments of JFIF, Exif, XMP, Photoshop and ICC. */
export async function readJpeg(bytes: ByteSource): Promise<ImageHeader> {
  const header: ImageHeader = { hasAlpha: false, hasColorProfile: false }
  const tables: Buffer[] = []
  const extended: Buffer[] = []
  let photoshop: Buffer | undefined
  let at = 2
  for (let count = 0; count < MAX_SEGMENTS; count++) {
    const start = await bytes.read(at, 4)
    if (start.length < 4 || start[0] !== 0xff) break
    const marker = start[1]!
    if (marker === 0xff) {
      at++
      continue
    }
    // Pixels begin, or the file ends.
    if (marker === 0xda || marker === 0xd9) break
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2
      continue
    }
    const length = start.readUInt16BE(2)
    if (length < 2) break
    const body = async () => bytes.read(at + 4, length - 2)
    if (isFrame(marker)) {
      const frame = await bytes.read(at + 4, 6)
      if (frame.length >= 6) {
        header.heightPx = frame.readUInt16BE(1)
        header.widthPx = frame.readUInt16BE(3)
      }
    } else if (marker === 0xdb) tables.push(await body())
    else if (marker === 0xe0) header.density ??= readJfifDensity(await bytes.read(at + 4, 14))
    else if (marker === 0xe1) {
      const segment = await body()
      if (startsWith(segment, EXIF)) header.exif ??= segment.subarray(EXIF.length)
      else if (startsWith(segment.subarray(4), XMP)) header.xmp ??= segment.subarray(4 + XMP.length)
      // After the name: a digest, the whole length, and the offset of this part.
      else if (startsWith(segment, EXTENDED_XMP)) extended.push(segment.subarray(EXTENDED_XMP.length))
    } else if (marker === 0xe2) {
      if (startsWith(await bytes.read(at + 4, ICC.length), ICC)) header.hasColorProfile = true
    } else if (marker === 0xed) {
      const segment = await body()
      if (startsWith(segment, PHOTOSHOP)) {
        const part = segment.subarray(PHOTOSHOP.length)
        header.iptcIsLast = header.xmp !== undefined
        // A resource block may continue in the next segment.
        photoshop = photoshop ? Buffer.concat([photoshop, part]).subarray(0, MAX_BLOCK_BYTES) : part
      }
    }
    at += 2 + length
  }
  if (photoshop) {
    const iptc = findIptc(photoshop)
    if (iptc) header.iptc = iptc
  }
  const quality = estimateJpegQuality(tables)
  if (quality !== undefined) header.quality = quality
  if (extended.length > 0) header.extendedXmp = joinExtendedXmp(extended)
  return header
}

/** Start of frame: 0xC0 to 0xCF but DHT, JPG and DAC. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
}

function startsWith(bytes: Buffer, text: string): boolean {
  return bytes.length >= text.length && bytes.toString('latin1', 0, text.length) === text
}

function readJfifDensity(segment: Buffer): number | undefined {
  if (segment.length < 12 || !startsWith(segment, 'JFIF\0')) return undefined
  const density = segment.readUInt16BE(8)
  if (density === 0) return undefined
  if (segment[7] === 1) return density
  return segment[7] === 2 ? Math.round(density * 2.54) : undefined
}

/** IPTC is resource 0x0404 of Photoshop's image resource blocks. */
function findIptc(resources: Buffer): Buffer | undefined {
  let at = 0
  while (at + 12 <= resources.length && resources.toString('latin1', at, at + 4) === '8BIM') {
    const id = resources.readUInt16BE(at + 4)
    // The name is a Pascal string padded to an even length.
    const nameBytes = (resources[at + 6]! + 2) & ~1
    const sizeAt = at + 6 + nameBytes
    if (sizeAt + 4 > resources.length) return undefined
    const size = resources.readUInt32BE(sizeAt)
    const dataAt = sizeAt + 4
    if (id === 0x0404) return resources.subarray(dataAt, Math.min(dataAt + size, resources.length))
    at = dataAt + size + (size & 1)
  }
  return undefined
}

/** Parts carry a digest (32 bytes), the whole length and their offset (4 bytes each). */
function joinExtendedXmp(parts: Buffer[]): Buffer {
  const digest = parts[0]!.toString('latin1', 0, 32)
  const usable = parts
    .filter((part) => part.length > 40 && part.toString('latin1', 0, 32) === digest)
    .sort((a, b) => a.readUInt32BE(36) - b.readUInt32BE(36))
  return Buffer.concat(usable.map((part) => part.subarray(40))).subarray(0, MAX_BLOCK_BYTES)
}
