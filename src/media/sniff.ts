import { fileTypeFromBuffer } from 'file-type'
import type { Inspection } from './media.ts'
import { readXmlRoot } from './svg.ts'

/** The sniffer sees no more than this: its parsers are written by others and have looped on crafted files before. */
const SNIFF_BYTES = 4100
const UNKNOWN: FileKind = { mime: 'application/octet-stream', format: '', kind: 'other' }

export type FileKind = Pick<Inspection, 'mime' | 'format' | 'kind'>

/** Image types that the library treats as pictures; other `image/*` types (CAD drawings, camera raw) are files. */
const IMAGES: Record<string, FileKind> = Object.fromEntries(
  (
    [
      ['jpg', 'image/jpeg'],
      ['png', 'image/png'],
      ['apng', 'image/png', 'png'],
      ['gif', 'image/gif'],
      ['webp', 'image/webp'],
      ['avif', 'image/avif'],
      ['heic', 'image/heic'],
      ['heif', 'image/heif', 'heic'],
      ['tif', 'image/tiff', 'tiff'],
      ['bmp', 'image/bmp'],
      ['ico', 'image/x-icon'],
      ['psd', 'image/vnd.adobe.photoshop'],
      ['jxl', 'image/jxl'],
      ['jp2', 'image/jp2'],
    ] as const
  ).map(([extension, mime, format]) => [extension, { mime, format: format ?? extension, kind: 'image' }]),
)

/** Text formats are told apart by the extension alone (product manual, upload API). */
const TEXTS: Record<string, FileKind> = Object.fromEntries(
  (
    [
      ['css', 'text/css'],
      ['csv', 'text/csv'],
      ['htm', 'text/html', 'html'],
      ['html', 'text/html'],
      ['ics', 'text/calendar'],
      ['js', 'text/javascript'],
      ['json', 'application/json'],
      ['m3u8', 'application/vnd.apple.mpegurl'],
      ['map', 'application/json'],
      ['md', 'text/markdown'],
      ['mjs', 'text/javascript', 'js'],
      ['mpd', 'application/dash+xml'],
      ['srt', 'application/x-subrip'],
      ['tsv', 'text/tab-separated-values'],
      ['txt', 'text/plain'],
      ['vcf', 'text/vcard'],
      ['vtt', 'text/vtt'],
      ['webmanifest', 'application/manifest+json'],
      ['xml', 'application/xml'],
      ['yaml', 'application/yaml'],
      ['yml', 'application/yaml', 'yaml'],
    ] as const
  ).map(([extension, mime, format]) => [extension, { mime, format: format ?? extension, kind: 'text' }]),
)

const SVG: FileKind = { mime: 'image/svg+xml', format: 'svg', kind: 'image' }

/**
 * Tells the type of a file: binary formats and SVG by their bytes, text formats by the name's extension, and
 * `application/octet-stream` for the rest. Never by what the client claims.
 */
export async function sniff(head: Buffer, name: string): Promise<FileKind> {
  const quick = sniffCommonImage(head)
  if (quick) return quick
  if (head.length === 0) return UNKNOWN
  const extension = /\.([A-Za-z0-9]{1,12})$/.exec(name)?.[1]?.toLowerCase() ?? ''
  if (looksLikeText(head)) {
    if (Object.hasOwn(TEXTS, extension)) return TEXTS[extension]!
    const root = readXmlRoot(head)
    // Also one whose root lies beyond the head; the answer's headers keep it harmless in any case.
    if (root?.name === 'svg' || (root?.name === '' && extension === 'svg')) return SVG
  }
  return sniffBinary(head)
}

/** The formats of nearly all uploads, without the cost of the general detector. */
function sniffCommonImage(head: Buffer): FileKind | undefined {
  if (head.length < 12) return undefined
  const first = head.readUInt32BE(0)
  if (first >>> 8 === 0xffd8ff) return IMAGES.jpg
  if (first === 0x89504e47 && head.readUInt32BE(4) === 0x0d0a1a0a) return IMAGES.png
  if (first === 0x52494646 && head.readUInt32BE(8) === 0x57454250) return IMAGES.webp
  const text = head.toString('latin1', 0, 6)
  return text === 'GIF89a' || text === 'GIF87a' ? IMAGES.gif : undefined
}

async function sniffBinary(head: Buffer): Promise<FileKind> {
  let found: Awaited<ReturnType<typeof fileTypeFromBuffer>>
  try {
    found = await fileTypeFromBuffer(head.subarray(0, SNIFF_BYTES))
  } catch {
    // A crafted file that the detector cannot parse is an unknown one.
    return UNKNOWN
  }
  // The detector wants to see a directory, which most writers put at the end.
  if (!found) return isTiff(head) ? IMAGES.tif! : UNKNOWN
  if (Object.hasOwn(IMAGES, found.ext)) return IMAGES[found.ext]!
  const plain = found.mime.split(';', 1)[0]!
  const mime = USUAL_NAMES[plain] ?? plain
  return { mime, format: found.ext, kind: kindOf(mime) }
}

/** Names that browsers and other tools know better than the detector's. */
const USUAL_NAMES: Record<string, string> = {
  'audio/x-m4a': 'audio/mp4',
  'audio/vnd.wave': 'audio/wav',
  'video/matroska': 'video/x-matroska',
}

function isTiff(head: Buffer): boolean {
  if (head.length < 8) return false
  const mark = head.readUInt32BE(0)
  return mark === 0x49492a00 || mark === 0x4d4d002a || mark === 0x49492b00 || mark === 0x4d4d002b
}

function kindOf(mime: string): FileKind['kind'] {
  const [family] = mime.split('/', 1)
  if (family === 'video' || family === 'audio') return family
  // Its tracks decide; as a video it is looked at most thoroughly.
  if (mime === 'application/ogg') return 'video'
  if (family === 'text') return 'text'
  if (
    mime === 'application/pdf' ||
    mime === 'application/rtf' ||
    mime === 'application/epub+zip' ||
    mime.startsWith('application/vnd.openxmlformats-officedocument.') ||
    mime.startsWith('application/vnd.oasis.opendocument.')
  ) {
    return 'document'
  }
  return 'other'
}

/** UTF-16 announces itself by its byte order mark; any other text holds no control bytes but white space. */
function looksLikeText(head: Buffer): boolean {
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff)) return true
  const end = Math.min(head.length, SNIFF_BYTES)
  for (let at = 0; at < end; at++) {
    const byte = head[at]!
    if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d && byte !== 0x0c && byte !== 0x1b)
      return false
  }
  return true
}
