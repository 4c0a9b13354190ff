import { inflateSync } from 'node:zlib'
import type { ByteSource } from './byte-source.ts'
import { type ImageHeader, MAX_BLOCK_BYTES } from './image.ts'

/** Chunks before the pixels that are looked at: a file of empty chunks must not hold us. */
const MAX_CHUNKS = 1000
/** Chunks of pixels that are stepped over for metadata behind them; each beyond the head costs a read. */
const MAX_PIXEL_CHUNKS = 64
const XMP_KEYWORD = 'XML:com.adobe.xmp\0'

/** PNG and APNG (PNG specification, third edition). */
export async function readPng(bytes: ByteSource): Promise<ImageHeader> {
  const header: ImageHeader = {}
  const first = await bytes.read(8, 25)
  if (first.length < 25 || first.toString('latin1', 4, 8) !== 'IHDR') return header
  header.widthPx = first.readUInt32BE(8)
  header.heightPx = first.readUInt32BE(12)
  const colorType = first[17]!
  header.hasAlpha = (colorType & 4) !== 0
  header.hasColorProfile = false
  let at = 8
  let pixelChunks = 0
  for (let count = 0; count < MAX_CHUNKS; count++) {
    const start = await bytes.read(at, 8)
    if (start.length < 8) break
    const length = start.readUInt32BE(0)
    const type = start.toString('latin1', 4, 8)
    if (type === 'IEND' || (type === 'IDAT' && ++pixelChunks > MAX_PIXEL_CHUNKS)) break
    if (type === 'tRNS') header.hasAlpha = true
    else if (type === 'iCCP') header.hasColorProfile = true
    else if (type === 'acTL') header.pages = readFrames(await bytes.read(at + 8, 4))
    else if (type === 'pHYs' && length === 9) {
      const body = await bytes.read(at + 8, 9)
      if (body.length === 9 && body[8] === 1) header.density = Math.round(body.readUInt32BE(0) * 0.0254)
    } else if (type === 'eXIf' && length <= MAX_BLOCK_BYTES) header.exif ??= await bytes.read(at + 8, length)
    else if (type === 'iTXt' && length <= MAX_BLOCK_BYTES)
      header.xmp ??= readXmp(await bytes.read(at + 8, length))
    at += 12 + length
  }
  return header
}

function readFrames(body: Buffer): number | undefined {
  return body.length === 4 ? body.readUInt32BE(0) : undefined
}

function readXmp(chunk: Buffer): Buffer | undefined {
  if (chunk.toString('latin1', 0, XMP_KEYWORD.length) !== XMP_KEYWORD) return undefined
  const compressed = chunk[XMP_KEYWORD.length] === 1
  const languageEnd = chunk.indexOf(0, XMP_KEYWORD.length + 2)
  const keywordEnd = languageEnd < 0 ? -1 : chunk.indexOf(0, languageEnd + 1)
  if (keywordEnd < 0) return undefined
  const text = chunk.subarray(keywordEnd + 1)
  if (!compressed) return text
  try {
    // The cap stops a chunk of a few kilobytes that inflates to gigabytes.
    return inflateSync(text, { maxOutputLength: MAX_BLOCK_BYTES })
  } catch {
    return undefined
  }
}
