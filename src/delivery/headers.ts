/** Types that a browser shows without running anything. What is not here is downloaded instead of shown (trust C07). */
const INERT = new Set([
  'image/jpeg',
  'image/png',
  'image/webp',
  'image/gif',
  'image/avif',
  'image/heic',
  'image/heif',
  'image/tiff',
  'image/bmp',
  'image/x-icon',
  'image/vnd.microsoft.icon',
  'image/apng',
  'image/jxl',
  'text/plain',
  'text/csv',
  'text/css',
  'text/vtt',
  'application/json',
  'application/pdf',
  'application/vnd.apple.mpegurl',
  'application/dash+xml',
])

/** Keeps a document from running scripts, loading anything, or belonging to our origin. */
const SANDBOX = "default-src 'none'; sandbox"
/** SVG may use its own styles and embedded pictures, and nothing else. */
const SVG_SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

/**
 * Headers that make user content harmless in a browser, whatever its bytes are.
 * @param options.download ask the browser to save the file, under this name.
 */
export function contentHeaders(options: {
  contentType: string
  fileName: string
  download: boolean
}): Record<string, string> {
  const type = options.contentType.split(';', 1)[0]!.trim().toLowerCase()
  const isSvg = type === 'image/svg+xml'
  const inert = INERT.has(type) || /^(video|audio|font)\//.test(type)
  const headers: Record<string, string> = {
    'x-content-type-options': 'nosniff',
    'content-security-policy': isSvg ? SVG_SANDBOX : SANDBOX,
    // The URL of a page or a PDF may hold a signature, which its links would tell to others.
    'referrer-policy': 'no-referrer',
    'access-control-allow-origin': '*',
    'cross-origin-resource-policy': 'cross-origin',
    'timing-allow-origin': '*',
  }
  if (options.download || (!inert && !isSvg)) {
    headers['content-disposition'] = attachment(options.fileName)
  }
  return headers
}

/** `Content-Disposition` with an ASCII name for old clients and the exact one for others (RFC 6266, RFC 5987). */
export function attachment(fileName: string): string {
  const ascii = fileName.replace(/[^\x20-\x7e]/g, '_').replace(/["\\%]/g, '_')
  const simple = `attachment; filename="${ascii}"`
  if (ascii === fileName) return simple
  const exact = encodeURIComponent(fileName.toWellFormed()).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${simple}; filename*=UTF-8''${exact}`
}

/** The content type to send: text without a charset is UTF-8. XML, and so SVG, says itself how it is encoded. */
export function contentTypeOf(mime: string): string {
  return /^text\/(?!xml$)|^application\/(json|javascript)$/.test(mime) ? `${mime}; charset=utf-8` : mime
}

/**
 * How long the answer may be kept. Signed answers only in the client's own cache, and never past the signature's end
 * (trust G07).
 */
export function cacheControl(options: {
  maxAgeSec: number
  shared: boolean
  expiresAtSec: number | null
  nowMs: number
}): string {
  const left =
    options.expiresAtSec === null
      ? options.maxAgeSec
      : options.expiresAtSec - Math.floor(options.nowMs / 1000)
  const maxAgeSec = Math.max(0, Math.min(options.maxAgeSec, left))
  return `${options.shared ? 'public' : 'private'}, max-age=${maxAgeSec}`
}

/** A file's name with another extension; used for downloads of converted images. */
export function withExtension(fileName: string, extension: string): string {
  const dot = fileName.lastIndexOf('.')
  return `${dot > 0 ? fileName.slice(0, dot) : fileName}.${extension}`
}

const ERROR_CODES: Record<string, string> = {
  'not-found': 'ENOENT',
  unauthorized: 'EACCES',
  forbidden: 'EACCES',
  'too-large': 'ELIMIT',
  unavailable: 'EBUSY',
}

/** The `ik-error` header of a failed delivery (contract notes 1.11). */
export function errorHeader(kind: string, message: string): string {
  const text = message.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
  return `${ERROR_CODES[kind] ?? 'UNIDENTIFIED'} - ${text}`
}
