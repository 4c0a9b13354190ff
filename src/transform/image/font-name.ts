/**
 * Reads the family name of a TrueType or OpenType font, which is what text is set by.
 * @returns undefined if the bytes are no such font.
 */
export function readFontFamily(font: Buffer): string | undefined {
  try {
    return findFamily(font)
  } catch (error) {
    // A table that points outside of the file.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

const TYPOGRAPHIC_FAMILY = 16
const FAMILY = 1

function findFamily(font: Buffer): string | undefined {
  const kind = font.readUInt32BE(0)
  if (kind !== 0x00010000 && kind !== 0x4f54544f && kind !== 0x74727565) return undefined
  const tables = font.readUInt16BE(4)
  for (let i = 0; i < tables; i++) {
    const at = 12 + i * 16
    if (font.toString('latin1', at, at + 4) === 'name') return readNames(font, font.readUInt32BE(at + 8))
  }
  return undefined
}

function readNames(font: Buffer, table: number): string | undefined {
  const count = font.readUInt16BE(table + 2)
  const texts = table + font.readUInt16BE(table + 4)
  const names = new Map<number, string>()
  for (let i = 0; i < count; i++) {
    const at = table + 6 + i * 12
    const platform = font.readUInt16BE(at)
    const id = font.readUInt16BE(at + 6)
    if (id !== FAMILY && id !== TYPOGRAPHIC_FAMILY) continue
    const start = texts + font.readUInt16BE(at + 10)
    const bytes = font.subarray(start, start + font.readUInt16BE(at + 8))
    // Windows and Unicode names are UTF-16, big end first; Macintosh names one byte a character.
    const name = platform === 1 ? bytes.toString('latin1') : utf16(bytes)
    if (name !== '' && (platform === 3 || !names.has(id))) names.set(id, name)
  }
  // Pango asks by the name that fontconfig lists first, the plain family.
  return names.get(FAMILY) ?? names.get(TYPOGRAPHIC_FAMILY)
}

function utf16(bytes: Buffer): string {
  return Buffer.from(bytes.subarray(0, bytes.length & ~1))
    .swap16()
    .toString('utf16le')
}
