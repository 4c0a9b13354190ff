import {
  COMPONENTS,
  type ExifTag,
  GPS_TAGS,
  IMAGE_TAGS,
  INTEROPERABILITY_TAGS,
  PRINTERS_BY_NAME,
  printPlain,
} from './exif-tags.ts'
import type { ImageHeader } from './image.ts'
import { readIptc } from './iptc.ts'
import type { ExifTree } from './media.ts'
import type { TiffDirectory, TiffFile, TiffValue } from './tiff.ts'
import { readXmp, type XmpProperty } from './xmp.ts'

/** All of it together: it goes into every record, search index and answer. */
const MAX_TOTAL_CHARS = 256 * 1024
/** Values longer than this are not descriptions but data (previews, curves). */
const MAX_TEXT_CHARS = 16_384

/**
 * EXIF, IPTC and XMP of an image in one flat object, with the names and values that ExifTool prints; dates are
 * ISO 8601 in UTC, as the API's example shows. Where blocks name the same thing, the reliable source stays.
 * @returns an empty object if the headers hold no metadata.
 */
export function readEmbedded(header: ImageHeader): Record<string, unknown> {
  const result = new Map<string, unknown>()
  if (header.tiff) addExif(header.tiff, result)
  // Of equals the last in the file stays, as with ExifTool.
  const iptc = header.iptc ? readIptc(header.iptc) : new Map<string, unknown>()
  if (!header.iptcIsLast) for (const [name, value] of iptc) result.set(name, value)
  if (header.xmp) addXmp(readXmp(header.xmp), result)
  if (header.extendedXmp) addXmp(readXmp(header.extendedXmp), result)
  if (header.iptcIsLast) for (const [name, value] of iptc) result.set(name, value)
  const plain: Record<string, unknown> = {}
  let charsLeft = MAX_TOTAL_CHARS
  for (const [name, value] of result) {
    const shown = Array.isArray(value)
      ? value.map((item) => showValue(name, item, result))
      : showValue(name, value, result)
    if (shown === undefined || name === '__proto__') continue
    charsLeft -= JSON.stringify(shown).length
    if (charsLeft < 0) break
    plain[name] = shown
  }
  return plain
}

function addExif(tiff: TiffFile, result: Map<string, unknown>) {
  const add = (directory: TiffDirectory, tags: Map<number, ExifTag>, isMinor = false) => {
    for (const [tag, value] of directory) {
      const known = tags.get(tag)
      if (!known || (isMinor && result.has(known.name))) continue
      const printed = (known.print ?? printPlain)(value, tiff.littleEndian)
      if (printed !== undefined) result.set(known.name, printed)
    }
  }
  add(tiff.image, IMAGE_TAGS)
  add(tiff.exif, IMAGE_TAGS)
  add(tiff.gps, GPS_TAGS)
  add(tiff.interoperability, INTEROPERABILITY_TAGS)
  // What describes the thumbnail never stands for the picture.
  add(tiff.thumbnail, IMAGE_TAGS, true)
}

/** Copies of what EXIF says; EXIF itself is the better source. */
const COPIES = new Set(['exif', 'exifEX', 'tiff'])
const MINOR = new Set(['xmp:CreateDate', 'xmp:ModifyDate'])

function addXmp(properties: XmpProperty[], result: Map<string, unknown>) {
  for (const { prefix, name, values } of properties) {
    const isMinor = COPIES.has(prefix) || prefix === 'crs' || MINOR.has(`${prefix}:${name}`)
    if (isMinor && result.has(name)) continue
    if (name === 'ComponentsConfiguration') {
      result.set(name, values.map((value) => COMPONENTS[Number(value)] ?? value).join(','))
      continue
    }
    const isCopy = COPIES.has(prefix) || prefix === 'aux'
    const printed = isCopy ? values.map((value) => printCopy(name, value)) : values
    result.set(name, printed.length === 1 ? printed[0] : printed)
  }
}

/** XMP writes EXIF's quotients as `1/250`; coordinates and dates have forms of their own. */
function printCopy(name: string, text: string): unknown {
  if (name === 'LensInfo') {
    const parts = text.split(/\s+/).map(quotient)
    return (
      PRINTERS_BY_NAME.get(name)?.(
        parts.map((part) => part ?? Number.NaN),
        true,
      ) ?? text
    )
  }
  const value = quotient(text)
  if (value === undefined) return text
  return (PRINTERS_BY_NAME.get(name) ?? printPlain)([value], true)
}

function quotient(text: string): number | undefined {
  // Digits with a zero before them are a version, not a number.
  const found = /^(-?(?:0|[1-9]\d*)(?:\.\d+)?)(?:\/(-?\d+))?$/.exec(text)
  if (!found) return undefined
  return Number(found[1]) / Number(found[2] ?? 1)
}

const NUMBER = /^-?(\d|[1-9]\d{1,14})(\.\d{1,16})?(e[-+]?\d{1,3})?$/i
const DATE = /^(\d{4})[:-](\d\d)[:-](\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/
const OFFSETS: Record<string, string> = {
  ModifyDate: 'OffsetTime',
  DateTimeOriginal: 'OffsetTimeOriginal',
  CreateDate: 'OffsetTimeDigitized',
}

/** Numbers and booleans as such, as ExifTool's JSON has them; dates in ISO 8601. */
function showValue(name: string, value: unknown, all: Map<string, unknown>): unknown {
  if (typeof value !== 'string') return value
  if (value.length > MAX_TEXT_CHARS) return undefined
  if (NUMBER.test(value)) return Number(value)
  if (/^(true|false)$/i.test(value)) return value.toLowerCase() === 'true'
  return toIsoDate(value, all.get(OFFSETS[name] ?? '')) ?? value
}

/** @param offset `+02:00` from the tag that goes with the date; without any zone a date is taken as UTC. */
function toIsoDate(text: string, offset: unknown): string | undefined {
  const found = DATE.exec(text)
  if (!found) return undefined
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone] = found
  const known = zone ?? (typeof offset === 'string' && /^[+-]\d\d:\d\d$/.test(offset) ? offset : 'Z')
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}${known}`)
  // Cameras without a set clock write zeros.
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}

/**
 * The EXIF tree of the legacy metadata: raw numbers and texts under ExifTool's names, as the OpenAPI's examples
 * show (`Orientation: 1`, `ComponentsConfiguration: "\x01\x02\x03\0"`).
 */
export function readExifTree(header: ImageHeader): ExifTree {
  const tiff = header.tiff
  const raw = (directory: TiffDirectory | undefined, tags: Map<number, ExifTag>) => {
    const result: Record<string, unknown> = {}
    for (const [tag, value] of directory ?? []) {
      const name = RAW_NAMES.get(tag) ?? tags.get(tag)?.name
      const shown = rawValue(value)
      if (name !== undefined && shown !== undefined) result[name] = shown
    }
    return result
  }
  return {
    image: raw(tiff?.image, IMAGE_TAGS),
    thumbnail: raw(tiff?.thumbnail, IMAGE_TAGS),
    exif: raw(tiff?.exif, IMAGE_TAGS),
    gps: raw(tiff?.gps, GPS_TAGS),
    interoperability: raw(tiff?.interoperability, INTEROPERABILITY_TAGS),
    // Their formats are the makers' secrets.
    makernote: {},
  }
}

/** Pointers, which ExifTool follows instead of printing them. */
const RAW_NAMES = new Map([
  [0x8769, 'ExifOffset'],
  [0x8825, 'GPSInfo'],
  [0xa005, 'InteropOffset'],
  [0x0201, 'ThumbnailOffset'],
])

function rawValue(value: TiffValue): unknown {
  if (typeof value === 'string') return value
  if (Buffer.isBuffer(value)) return value.length <= 1024 ? value.toString('latin1') : undefined
  const finite = value.map((number) => (Number.isFinite(number) ? number : 0))
  return finite.length === 1 ? finite[0] : finite.length <= 64 ? finite : undefined
}
