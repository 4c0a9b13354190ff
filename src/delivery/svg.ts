/** Elements that draw, without those that run, link, embed documents or animate attributes. */
const ELEMENTS = new Set(
  (
    'svg g defs symbol use title desc switch path rect circle ellipse line polyline polygon text tspan textPath ' +
    'image marker pattern clipPath mask linearGradient radialGradient stop filter feBlend feColorMatrix ' +
    'feComponentTransfer feComposite feConvolveMatrix feDiffuseLighting feDisplacementMap feDistantLight ' +
    'feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR feGaussianBlur feMerge feMergeNode feMorphology ' +
    'feOffset fePointLight feSpecularLighting feSpotLight feTile feTurbulence style view'
  ).split(' '),
)

const SVG_NAMESPACE = 'http://www.w3.org/2000/svg'
/** Attributes that would make an element do more than draw, or that name other documents. */
const REFUSED_ATTRIBUTE = /^(?:on|xml:base$|target$|ping$|formaction$|action$|srcdoc$|src$)/i
const EMBEDDED_PICTURE = /^data:image\/(?:png|jpe?g|gif|webp|avif);base64,[A-Za-z0-9+/=\s]*$/i
/** Deeper documents are made to exhaust the stack of what reads them next. */
const MAX_DEPTH = 100

/**
 * Writes an SVG anew with what draws and nothing else: no scripts, event handlers, links, foreign markup, animations,
 * document types, or references to other documents. Takes time in proportion to the text. The answer's headers keep
 * scripts from running anyhow; this is for those who put the file elsewhere.
 * @returns undefined for what is not an SVG that can be read.
 */
export function sanitizeSvg(text: string): string | undefined {
  const out: string[] = []
  const open: { name: string; isKept: boolean; isStyle: boolean }[] = []
  /** Names of the namespaces' prefixes that mean SVG, as the root declares them. */
  let prefixes = new Set<string>()
  let at = 0
  let hasRoot = false
  while (at < text.length) {
    const mark = text.indexOf('<', at)
    const end = mark < 0 ? text.length : mark
    const parent = open.at(-1)
    if (end > at && parent?.isKept) out.push(keepText(text.slice(at, end), parent.isStyle))
    if (mark < 0) break
    if (text.startsWith('<!--', mark)) at = after(text, '-->', mark)
    else if (text.startsWith('<?', mark)) at = after(text, '?>', mark)
    else if (text.startsWith('<![CDATA[', mark)) {
      const close = after(text, ']]>', mark)
      if (parent?.isKept) out.push(keepText(escapeText(text.slice(mark + 9, close - 3)), parent.isStyle))
      at = close
    } else if (text.startsWith('<!', mark)) {
      // Entities that a document declares are not read, so what uses them is refused below.
      at = afterDoctype(text, mark)
    } else if (text.startsWith('</', mark)) {
      at = after(text, '>', mark)
      const name = text.slice(mark + 2, at - 1).trim()
      const element = open.pop()
      if (element?.name !== name) return undefined
      if (element.isKept) out.push(`</${name}>`)
      if (open.length === 0) return out.join('')
    } else {
      const tag = readTag(text, mark)
      if (!tag || open.length >= MAX_DEPTH) return undefined
      at = tag.end
      if (!hasRoot) {
        hasRoot = true
        prefixes = svgPrefixes(tag)
      }
      const [prefix, local] = splitName(tag.name)
      const isKept =
        (parent?.isKept ?? true) && prefixes.has(prefix) && ELEMENTS.has(local) && isPlain(local, tag)
      if (!parent && !isKept) return undefined
      if (isKept) out.push(`<${tag.name}${attributesOf(tag, local)}${tag.isEmpty ? '/' : ''}>`)
      if (!tag.isEmpty) open.push({ name: tag.name, isKept, isStyle: local === 'style' })
      else if (!parent) return out.join('')
    }
  }
  return undefined
}

type Tag = { name: string; attributes: [string, string][]; isEmpty: boolean; end: number }

const NAME = /[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?/y
const ATTRIBUTE = /\s+([^\s=<>"'/]+)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y
const TAG_END = /\s*(\/?)>/y

function readTag(text: string, mark: number): Tag | undefined {
  NAME.lastIndex = mark + 1
  const name = NAME.exec(text)?.[0]
  if (name === undefined) return undefined
  const attributes: [string, string][] = []
  let at = NAME.lastIndex
  for (;;) {
    ATTRIBUTE.lastIndex = at
    const found = ATTRIBUTE.exec(text)
    if (!found) break
    at = ATTRIBUTE.lastIndex
    attributes.push([found[1]!, found[2] ?? found[3] ?? ''])
  }
  TAG_END.lastIndex = at
  const found = TAG_END.exec(text)
  return found ? { name, attributes, isEmpty: found[1] === '/', end: TAG_END.lastIndex } : undefined
}

function splitName(name: string): [string, string] {
  const colon = name.indexOf(':')
  return colon < 0 ? ['', name] : [name.slice(0, colon), name.slice(colon + 1)]
}

/** An SVG without any declaration counts as one, as it does for browsers inside of HTML. */
function svgPrefixes({ attributes }: Tag): Set<string> {
  const declared = attributes.filter(([name]) => name === 'xmlns' || name.startsWith('xmlns:'))
  const prefixes = declared
    .filter(([, value]) => value === SVG_NAMESPACE)
    .map(([name]) => (name === 'xmlns' ? '' : name.slice(6)))
  return new Set(declared.some(([name]) => name === 'xmlns') ? prefixes : [...prefixes, ''])
}

/** Elements that declare a namespace of their own below the root could become others than their name says. */
function isPlain(local: string, { attributes }: Tag): boolean {
  return local === 'svg' || !attributes.some(([name]) => /^xmlns(?::|$)/.test(name))
}

function attributesOf({ attributes }: Tag, local: string): string {
  return attributes
    .filter(([name, value]) => keepsAttribute(name, value, local))
    .map(([name, value]) => ` ${name}="${value.replaceAll('"', '&quot;')}"`)
    .join('')
}

function keepsAttribute(name: string, raw: string, local: string): boolean {
  if (!/^[\w:.-]+$/.test(name) || REFUSED_ATTRIBUTE.test(name)) return false
  const value = decode(raw)
  if (value === undefined) return false
  if (/(?:^|:)href$/i.test(name)) {
    const target = value.trim()
    return /^#[\w.:-]+$/.test(target) || (local === 'image' && EMBEDDED_PICTURE.test(target))
  }
  if (name === 'xmlns' || name.startsWith('xmlns:')) return value.startsWith('http://www.w3.org/')
  return isHarmlessCss(value)
}

/** Presentation attributes and style sheets may refer to parts of the same document, and to nothing else. */
function isHarmlessCss(value: string): boolean {
  if (/@import|expression\s*\(|javascript:|vbscript:|-moz-binding|\\/i.test(value)) return false
  const references = value.match(/url\s*\([^)]*\)?/gi) ?? []
  return references.every((reference) => /^url\s*\(\s*["']?#[\w.:-]+["']?\s*\)$/i.test(reference))
}

function keepText(raw: string, isStyle: boolean): string {
  const value = decode(raw)
  if (value === undefined) return ''
  return isStyle && !isHarmlessCss(value) ? '' : raw
}

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

/** The text that an attribute or an element holds; undefined for entities that a document would have to declare. */
function decode(raw: string): string | undefined {
  let isKnown = true
  const value = raw.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w{1,10}))?;?/gi, (_, decimal, hex, name) => {
    if (decimal !== undefined || hex !== undefined) {
      const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal)
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : ''
    }
    const value = Object.hasOwn(ENTITIES, name ?? '') ? ENTITIES[name] : undefined
    if (value === undefined) isKnown = false
    return value ?? ''
  })
  return isKnown ? value : undefined
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function after(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from)
  return found < 0 ? text.length : found + mark.length
}

/** The internal subset may hold `>` in quotes and brackets. */
function afterDoctype(text: string, from: number): number {
  let depth = 0
  for (let at = from; at < text.length; at++) {
    const char = text[at]
    if (char === '"' || char === "'") {
      at = text.indexOf(char, at + 1)
      if (at < 0) return text.length
    } else if (char === '[') depth++
    else if (char === ']') depth--
    else if (char === '>' && depth <= 0) return at + 1
  }
  return text.length
}
