/** Annex K of ITU T.81, luminance, in zigzag order: what quality 50 stands for in the widespread encoders. */
const LUMINANCE = [
  16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58,
  51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103,
  62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
]

/**
 * Estimates the quality setting (1–100) of the encoder from the first quantization table.
 * @param segments bodies of DQT segments.
 * @returns undefined if there is no table.
 */
export function estimateJpegQuality(segments: Buffer[]): number | undefined {
  const table = firstTable(segments)
  if (!table) return undefined
  let scaled = 0
  let standard = 0
  for (let at = 0; at < 64; at++) {
    // What encoders have clamped says nothing of their scale.
    if (table[at]! <= 1 || table[at]! >= 255) continue
    scaled += table[at]!
    standard += LUMINANCE[at]!
  }
  if (scaled === 0) return table[0]! <= 1 ? 100 : 1
  const percent = (scaled / standard) * 100
  const quality = percent <= 100 ? (200 - percent) / 2 : 5000 / percent
  return Math.max(1, Math.min(100, Math.round(quality)))
}

function firstTable(segments: Buffer[]): number[] | undefined {
  for (const segment of segments) {
    let at = 0
    while (at < segment.length) {
      const wide = segment[at]! >> 4 === 1
      const id = segment[at]! & 15
      const size = wide ? 128 : 64
      if (at + 1 + size > segment.length) break
      if (id === 0) {
        return Array.from({ length: 64 }, (_, index) =>
          wide ? segment.readUInt16BE(at + 1 + index * 2) : segment[at + 1 + index]!,
        )
      }
      at += 1 + size
    }
  }
  return undefined
}
