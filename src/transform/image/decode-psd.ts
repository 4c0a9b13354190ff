import type { Pixels } from './picture.ts'

/** Colour modes of Photoshop files that can be shown (Adobe, "Photoshop File Formats Specification"). */
const MODES: Record<number, { name: string; channels: number }> = {
  1: { name: 'grey', channels: 1 },
  2: { name: 'indexed', channels: 1 },
  3: { name: 'rgb', channels: 3 },
  4: { name: 'cmyk', channels: 4 },
  8: { name: 'grey', channels: 1 },
}
const HEADER_BYTES = 26

/**
 * Decodes the flattened picture that Photoshop files carry beside their layers.
 * @throws Error, RangeError for what is broken, or was saved without that picture.
 */
export function decodePsd(bytes: Buffer, { maxPx }: { maxPx: number }): Pixels {
  if (bytes.toString('latin1', 0, 4) !== '8BPS' || bytes.readUInt16BE(4) !== 1) {
    throw new Error('not a Photoshop file, or a large one (PSB)')
  }
  const channels = bytes.readUInt16BE(12)
  const heightPx = bytes.readUInt32BE(14)
  const widthPx = bytes.readUInt32BE(18)
  const depth = bytes.readUInt16BE(22)
  const mode = MODES[bytes.readUInt16BE(24)]
  if (!mode || (depth !== 8 && depth !== 16)) throw new Error('a colour mode or depth that is not supported')
  if (widthPx < 1 || heightPx < 1 || widthPx * heightPx > maxPx) throw new Error('size out of bounds')
  if (channels < mode.channels || channels > 56) throw new Error('channels are missing')

  let at = HEADER_BYTES
  const section = () => {
    const start = at + 4
    at = start + bytes.readUInt32BE(at)
    return { start, end: at }
  }
  const colors = section()
  section()
  const layers = section()
  const hasAlpha = channels > mode.channels && isTransparent(bytes, layers)
  const planes = readPlanes(bytes, at, {
    widthPx,
    heightPx,
    depth,
    channels,
    wanted: mode.channels + (hasAlpha ? 1 : 0),
  })
  const palette = mode.name === 'indexed' ? bytes.subarray(colors.start, colors.start + 768) : undefined
  if (palette && palette.length < 768) throw new Error('the palette is missing')

  const count = widthPx * heightPx
  const data = Buffer.alloc(count * (hasAlpha ? 4 : 3))
  let to = 0
  for (let i = 0; i < count; i++) {
    const first = planes[0]![i]!
    if (palette) {
      for (let channel = 0; channel < 3; channel++) data[to++] = palette[channel * 256 + first]!
    } else if (mode.name === 'grey') {
      data[to++] = first
      data[to++] = first
      data[to++] = first
    } else if (mode.name === 'rgb') {
      for (let channel = 0; channel < 3; channel++) data[to++] = planes[channel]![i]!
    } else {
      // Ink is stored inverted: 255 is none.
      const black = planes[3]![i]!
      for (let channel = 0; channel < 3; channel++)
        data[to++] = Math.round((planes[channel]![i]! * black) / 255)
    }
    if (hasAlpha) data[to++] = planes[mode.channels]![i]!
  }
  return { data, widthPx, heightPx, channels: hasAlpha ? 4 : 3 }
}

/** A negative count of layers says that the first extra channel is the transparency of the flattened picture. */
function isTransparent(bytes: Buffer, { start, end }: { start: number; end: number }): boolean {
  if (end - start < 6 || bytes.readUInt32BE(start) < 2) return false
  return bytes.readInt16BE(start + 4) < 0
}

type Layout = { widthPx: number; heightPx: number; depth: number; channels: number; wanted: number }

/** The planes of the picture, one byte a pixel. */
function readPlanes(bytes: Buffer, start: number, layout: Layout): Uint8Array[] {
  const { widthPx, heightPx, depth, channels, wanted } = layout
  const rowBytes = widthPx * (depth / 8)
  const compression = bytes.readUInt16BE(start)
  const planes: Uint8Array[] = []
  if (compression === 0) {
    for (let plane = 0; plane < wanted; plane++) {
      const from = start + 2 + plane * rowBytes * heightPx
      const raw = bytes.subarray(from, from + rowBytes * heightPx)
      if (raw.length < rowBytes * heightPx) throw new Error('the file ends before its pixels')
      planes.push(narrow(raw, depth))
    }
    return planes
  }
  if (compression !== 1) throw new Error('a compression that is not supported')
  // A table of the packed length of each row of each plane, then the rows.
  let at = start + 2 + channels * heightPx * 2
  for (let plane = 0; plane < wanted; plane++) {
    const raw = new Uint8Array(rowBytes * heightPx)
    for (let y = 0; y < heightPx; y++) {
      const length = bytes.readUInt16BE(start + 2 + (plane * heightPx + y) * 2)
      if (at + length > bytes.length) throw new Error('the file ends before its pixels')
      unpackBits(bytes.subarray(at, at + length), raw, y * rowBytes, rowBytes)
      at += length
    }
    planes.push(narrow(raw, depth))
  }
  return planes
}

/** Apple's PackBits: runs and literals. */
function unpackBits(packed: Uint8Array, out: Uint8Array, start: number, length: number) {
  let at = 0
  let to = start
  const end = start + length
  while (at < packed.length && to < end) {
    const code = packed[at++]!
    if (code === 128) continue
    if (code > 128) {
      const runEnd = Math.min(end, to + 257 - code)
      out.fill(packed[at++] ?? 0, to, runEnd)
      to = runEnd
    } else {
      for (let i = 0; i <= code && to < end; i++) out[to++] = packed[at++] ?? 0
    }
  }
}

function narrow(raw: Uint8Array, depth: number): Uint8Array {
  if (depth === 8) return raw
  const out = new Uint8Array(raw.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = raw[i * 2]!
  return out
}
