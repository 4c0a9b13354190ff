/** An element of a parsed document; text is that between its children, joined. */
export type XmlElement = {
  /** Qualified name as written. */
  name: string
  attributes: Map<string, string>
  children: XmlElement[]
  text: string
}

/** XMP nests some ten levels; deeper documents are made to exhaust the stack of what walks them. */
const MAX_DEPTH = 40
const MAX_ELEMENTS = 20_000

/**
 * Parses XML leniently: a document type or an unknown entity ends it, since what they stand for is what billion
 * laughs and file inclusion are made of. Time grows with the length of the text alone.
 * @returns the root element, or undefined for what is not XML.
 */
export function parseXml(text: string): XmlElement | undefined {
  const root: XmlElement = { name: '', attributes: new Map(), children: [], text: '' }
  const open = [root]
  let elements = 0
  let at = 0
  while (at < text.length) {
    const parent = open[open.length - 1]!
    const mark = text.indexOf('<', at)
    if (mark < 0) break
    if (mark > at && open.length > 1) {
      const part = decodeEntities(text.slice(at, mark))
      if (part === undefined) return undefined
      parent.text += part
    }
    if (text.startsWith('<!--', mark)) at = skip(text, '-->', mark)
    else if (text.startsWith('<?', mark)) at = skip(text, '?>', mark)
    else if (text.startsWith('<![CDATA[', mark)) {
      const end = skip(text, ']]>', mark)
      parent.text += text.slice(mark + 9, end - 3)
      at = end
    } else if (text.startsWith('<!', mark)) return undefined
    else if (text.startsWith('</', mark)) {
      at = skip(text, '>', mark)
      const name = text.slice(mark + 2, at - 1).trim()
      if (open.length < 2 || parent.name !== name) return undefined
      open.pop()
    } else {
      const tag = readTag(text, mark)
      if (!tag || ++elements > MAX_ELEMENTS) return undefined
      parent.children.push(tag.element)
      at = tag.end
      if (!tag.isEmpty) {
        if (open.length > MAX_DEPTH) return undefined
        open.push(tag.element)
      }
    }
  }
  return open.length === 1 ? root.children[0] : undefined
}

function skip(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from)
  return found < 0 ? text.length + mark.length : found + mark.length
}

const NAME = /[^\s<>/="'&!?]+/y
const ATTRIBUTE = /\s+([^\s<>/="'&]+)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y
const TAG_END = /\s*(\/?)>/y

function readTag(
  text: string,
  mark: number,
): { element: XmlElement; end: number; isEmpty: boolean } | undefined {
  NAME.lastIndex = mark + 1
  const name = NAME.exec(text)?.[0]
  if (name === undefined) return undefined
  const attributes = new Map<string, string>()
  let at = NAME.lastIndex
  for (;;) {
    ATTRIBUTE.lastIndex = at
    const found = ATTRIBUTE.exec(text)
    if (!found) break
    at = ATTRIBUTE.lastIndex
    const value = decodeEntities(found[2] ?? found[3] ?? '')
    if (value === undefined) return undefined
    attributes.set(found[1]!, value)
  }
  TAG_END.lastIndex = at
  const end = TAG_END.exec(text)
  if (!end) return undefined
  return {
    element: { name, attributes, children: [], text: '' },
    end: TAG_END.lastIndex,
    isEmpty: end[1] === '/',
  }
}

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

/** @returns undefined for entities that a document would have to declare. */
function decodeEntities(text: string): string | undefined {
  if (!text.includes('&')) return text
  let isKnown = true
  const decoded = text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w{1,10}));/g,
    (_, decimal, hex, name) => {
      if (name !== undefined) {
        const value = Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : undefined
        if (value === undefined) isKnown = false
        return value ?? ''
      }
      const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal)
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : ''
    },
  )
  return isKnown ? decoded : undefined
}
