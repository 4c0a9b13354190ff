import type { ByteSource } from './byte-source.ts'
import type { ImageHeader } from './image.ts'

const MAX_BOXES = 64

/** JPEG 2000 in its usual container: the image header box (ISO/IEC 15444-1, annex I). */
export async function readJp2(bytes: ByteSource): Promise<ImageHeader> {
  const header = await findBox(bytes, 'jp2h')
  if (!header) return {}
  const inner = await bytes.read(header.at, 22)
  if (inner.length < 22 || inner.toString('latin1', 4, 8) !== 'ihdr') return {}
  return { heightPx: inner.readUInt32BE(8), widthPx: inner.readUInt32BE(12) }
}

/** JPEG XL, bare or in its container: the size header at the start of the codestream (ISO/IEC 18181-1). */
export async function readJxl(bytes: ByteSource): Promise<ImageHeader> {
  const start = await bytes.read(0, 2)
  const isBare = start[0] === 0xff && start[1] === 0x0a
  const whole = isBare ? undefined : await findBox(bytes, 'jxlc')
  // A codestream in parts: each begins with its number.
  const part = isBare || whole ? undefined : await findBox(bytes, 'jxlp')
  const at = isBare ? 2 : whole ? whole.at + 2 : part ? part.at + 6 : undefined
  if (at === undefined) return {}
  const size = await bytes.read(at, 12)
  return size.length < 12 ? {} : readJxlSize(size)
}

/** Bits are read from the lowest of each byte up. */
function readJxlSize(size: Buffer): ImageHeader {
  let position = 0
  const bits = (count: number): number => {
    let value = 0
    for (let index = 0; index < count; index++, position++) {
      const bit = (size[position >> 3]! >> (position & 7)) & 1
      value += bit * 2 ** index
    }
    return value
  }
  const isSmall = bits(1) === 1
  const side = () => (isSmall ? (bits(5) + 1) * 8 : bits([9, 13, 18, 30][bits(2)]!) + 1)
  const heightPx = side()
  const ratio = JXL_RATIOS[bits(3)]
  const widthPx = ratio ? Math.floor((heightPx * ratio[0]!) / ratio[1]!) : side()
  return { widthPx, heightPx }
}

const JXL_RATIOS: Record<number, [number, number]> = {
  1: [1, 1],
  2: [12, 10],
  3: [4, 3],
  4: [3, 2],
  5: [16, 9],
  6: [5, 4],
  7: [2, 1],
}

async function findBox(bytes: ByteSource, type: string): Promise<{ at: number } | undefined> {
  let at = 0
  for (let count = 0; count < MAX_BOXES; count++) {
    const start = await bytes.read(at, 16)
    if (start.length < 8) return undefined
    const short = start.readUInt32BE(0)
    const isLong = short === 1 && start.length === 16
    const length = isLong ? Number(start.readBigUInt64BE(8)) : short
    const headBytes = isLong ? 16 : 8
    if (start.toString('latin1', 4, 8) === type) return { at: at + headBytes }
    if (length < headBytes) return undefined
    at += length
  }
  return undefined
}
