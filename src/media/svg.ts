/** What stands at the beginning of an XML document. */
export type XmlRoot = {
  /** Local name of the first element; empty if it lies beyond the bytes at hand. */
  name: string
  attributes: Map<string, string>
}

/** Prologue that is looked through for the root element; a longer one hides a drawing from nobody but us. */
const PROLOGUE_CHARS = 128 * 1024
const MAX_ATTRIBUTES = 256

/**
 * Finds the root element of an XML document without parsing it: no entity is expanded and no DTD is read.
 * @returns undefined when the bytes do not begin like XML.
 */
export function readXmlRoot(head: Buffer): XmlRoot | undefined {
  const text = decodeText(head)
  const unknown: XmlRoot = { name: '', attributes: new Map() }
  let at = skipSpace(text, 0)
  if (text[at] !== '<') return undefined
  for (let steps = 0; steps < 1000; steps++) {
    at = skipSpace(text, at)
    if (at >= text.length) return unknown
    if (text[at] !== '<') return undefined
    let end: number
    if (text.startsWith('<?', at)) end = after(text, '?>', at)
    else if (text.startsWith('<!--', at)) end = after(text, '-->', at)
    else if (text.startsWith('<!', at)) end = endOfDoctype(text, at)
    else return readElement(text, at)
    if (end < 0) return unknown
    at = end
  }
  return unknown
}

function decodeText(head: Buffer): string {
  if (head[0] === 0xff && head[1] === 0xfe) return head.subarray(2, PROLOGUE_CHARS * 2).toString('utf16le')
  if (head[0] === 0xfe && head[1] === 0xff) {
    const end = 2 + ((Math.min(head.length, PROLOGUE_CHARS * 2) - 2) & ~1)
    return Buffer.from(head.subarray(2, end)).swap16().toString('utf16le')
  }
  const start = head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? 3 : 0
  return head.subarray(start, PROLOGUE_CHARS).toString('utf8')
}

function skipSpace(text: string, from: number): number {
  let at = from
  while (at < text.length && (text.charCodeAt(at) <= 0x20 || text[at] === '\ufeff')) at++
  return at
}

function after(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from)
  return found < 0 ? -1 : found + mark.length
}

/** The internal subset may hold `>` in quotes, comments and brackets. */
function endOfDoctype(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const char = text[at]
    if (char === '"' || char === "'") {
      at = text.indexOf(char, at + 1)
      if (at < 0) return -1
    } else if (char === '[') depth++
    else if (char === ']') depth--
    else if (char === '>' && depth <= 0) return at + 1
    else if (char === '<' && text.startsWith('<!--', at)) {
      at = text.indexOf('-->', at)
      if (at < 0) return -1
    }
  }
  return -1
}

const NAME = /[A-Za-z_\u0080-\uffff][\w.\-\u0080-\uffff]*(?::[A-Za-z_\u0080-\uffff][\w.\-\u0080-\uffff]*)?/y
const ATTRIBUTE = /\s+([^\s=<>"'/]+)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y

function readElement(text: string, from: number): XmlRoot | undefined {
  NAME.lastIndex = from + 1
  const name = NAME.exec(text)?.[0]
  if (name === undefined) return undefined
  const attributes = new Map<string, string>()
  ATTRIBUTE.lastIndex = from + 1 + name.length
  while (attributes.size < MAX_ATTRIBUTES) {
    const found = ATTRIBUTE.exec(text)
    if (!found) break
    const key = found[1]!
    if (!attributes.has(key)) attributes.set(key, found[2] ?? found[3] ?? '')
  }
  return { name: name.slice(name.indexOf(':') + 1), attributes }
}

/**
 * The size of a drawing in CSS pixels: width and height where they are lengths, else the view box.
 * @param attributes those of the root element.
 */
export function readSvgSize(
  attributes: Map<string, string>,
): { widthPx: number; heightPx: number } | undefined {
  const box = attributes
    .get('viewBox')
    ?.trim()
    .split(/[\s,]+/)
    .map(Number)
  const boxWidth = box?.length === 4 && box[2]! > 0 ? box[2]! : undefined
  const boxHeight = box?.length === 4 && box[3]! > 0 ? box[3]! : undefined
  let width = readLength(attributes.get('width'))
  let height = readLength(attributes.get('height'))
  if (boxWidth !== undefined && boxHeight !== undefined) {
    if (width === undefined && height === undefined) {
      width = boxWidth
      height = boxHeight
    } else {
      // One given side and the box's ratio give the other, as browsers and renderers do.
      width ??= (height! * boxWidth) / boxHeight
      height ??= (width * boxHeight) / boxWidth
    }
  }
  if (width === undefined || height === undefined) return undefined
  const size = { widthPx: Math.round(width), heightPx: Math.round(height) }
  const plausible = (px: number) => Number.isSafeInteger(px) && px > 0 && px < 2 ** 31
  return plausible(size.widthPx) && plausible(size.heightPx) ? size : undefined
}

const UNIT_PX: Record<string, number> = {
  '': 1,
  px: 1,
  pt: 96 / 72,
  pc: 16,
  in: 96,
  cm: 96 / 2.54,
  mm: 96 / 25.4,
  q: 96 / 101.6,
  em: 16,
  rem: 16,
  ex: 8,
}

function readLength(text: string | undefined): number | undefined {
  const found = /^\s*\+?(\d+(?:\.\d*)?(?:e[+-]?\d{1,3})?|\.\d+(?:e[+-]?\d{1,3})?)\s*([a-z]{0,3})\s*$/i.exec(
    text ?? '',
  )
  const unit = UNIT_PX[found?.[2]?.toLowerCase() ?? '']
  if (!found || unit === undefined) return undefined
  const px = Number(found[1]) * unit
  return px > 0 && Number.isFinite(px) ? px : undefined
}
