import type { ByteSource } from './byte-source.ts'
import type { ImageHeader } from './image.ts'

/** Frames counted in a GIF; a longer animation is over every limit anyway. */
const MAX_GIF_FRAMES = 10_000
/** Blocks between frames, of which an animation has two for each. */
const MAX_GIF_BLOCKS = 50_000
/** A GIF is walked through windows of this size, so that its many small blocks cost few reads. */
const GIF_WINDOW_BYTES = 256 * 1024
const MAX_GIF_BYTES = 8 * 1024 * 1024

/** GIF 87a and 89a: size of the logical screen, frames, transparency of any frame. */
export async function readGif(bytes: ByteSource): Promise<ImageHeader> {
  const screen = await bytes.read(0, 13)
  if (screen.length < 13) return {}
  const header: ImageHeader = {
    widthPx: screen.readUInt16LE(6),
    heightPx: screen.readUInt16LE(8),
    hasAlpha: false,
  }
  let window = screen
  let windowAt = 0
  const byteAt = async (at: number): Promise<number | undefined> => {
    if (at < windowAt || at >= windowAt + window.length) {
      if (at >= MAX_GIF_BYTES) return undefined
      window = await bytes.read(at, GIF_WINDOW_BYTES)
      windowAt = at
    }
    return window[at - windowAt]
  }
  const skipBlocks = async (from: number): Promise<number | undefined> => {
    let at = from
    for (;;) {
      // Within the window without a promise for each block.
      const local = at - windowAt
      const size = local >= 0 && local < window.length ? window[local] : await byteAt(at)
      if (size === undefined) return undefined
      at += 1 + size
      if (size === 0) return at
    }
  }
  let frames = 0
  let at: number | undefined = 13 + colorTableBytes(screen[10]!)
  for (let blocks = 0; at !== undefined && frames < MAX_GIF_FRAMES && blocks < MAX_GIF_BLOCKS; blocks++) {
    const mark = await byteAt(at)
    if (mark === 0x2c) {
      const flags = await byteAt(at + 9)
      if (flags === undefined) break
      frames++
      at = await skipBlocks(at + 11 + colorTableBytes(flags))
    } else if (mark === 0x21) {
      if ((await byteAt(at + 1)) === 0xf9 && ((await byteAt(at + 3)) ?? 0) & 1) header.hasAlpha = true
      at = await skipBlocks(at + 2)
    } else break
  }
  // Without a picture it is something else behind six bytes of GIF, and its size is made of that.
  if (frames === 0) return { hasAlpha: false }
  if (frames > 1) header.pages = frames
  return header
}

function colorTableBytes(flags: number): number {
  return flags & 0x80 ? 3 << ((flags & 7) + 1) : 0
}

/** BMP, from the OS/2 core header to version 5. A negative height means rows from the top. */
export async function readBmp(bytes: ByteSource): Promise<ImageHeader> {
  const head = await bytes.read(0, 70)
  if (head.length < 26) return {}
  const size = head.readUInt32LE(14)
  if (size === 12) return { widthPx: head.readUInt16LE(18), heightPx: head.readUInt16LE(20), hasAlpha: false }
  if (size < 40 || head.length < 54) return {}
  const header: ImageHeader = {
    widthPx: head.readInt32LE(18),
    heightPx: Math.abs(head.readInt32LE(22)),
    hasAlpha: size >= 56 && head.length >= 70 && head.readUInt32LE(66) !== 0,
  }
  const density = Math.round(head.readInt32LE(38) * 0.0254)
  if (density > 0) header.density = density
  return header
}

/** ICO and CUR: the largest picture stands for the file. */
export async function readIco(bytes: ByteSource): Promise<ImageHeader> {
  const head = await bytes.read(0, 6)
  if (head.length < 6) return {}
  const count = head.readUInt16LE(4)
  const entries = await bytes.read(6, Math.min(count, 256) * 16)
  const header: ImageHeader = { hasAlpha: true }
  for (let at = 0; at + 16 <= entries.length; at += 16) {
    // 0 stands for 256.
    const widthPx = entries[at]! || 256
    const heightPx = entries[at + 1]! || 256
    if (widthPx * heightPx > (header.widthPx ?? 0) * (header.heightPx ?? 0))
      Object.assign(header, { widthPx, heightPx })
  }
  return header
}

/** Photoshop documents: size of the canvas. */
export async function readPsd(bytes: ByteSource): Promise<ImageHeader> {
  const head = await bytes.read(0, 26)
  if (head.length < 26) return {}
  return { widthPx: head.readUInt32BE(18), heightPx: head.readUInt32BE(14) }
}
