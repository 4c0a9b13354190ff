import { parseXml, type XmlElement } from './xml.ts'
import { XMP_FLAT_NAMES, XMP_PREFIXES } from './xmp-tags.ts'

/** A property of a packet, structures flattened to the names of their members. */
export type XmpProperty = {
  /** Usual prefix of the namespace, e.g. `dc`; empty for namespaces that are not known here. */
  prefix: string
  /** ExifTool's name. */
  name: string
  /** More than one where the property, or a structure it lies in, is a list. */
  values: string[]
}

const RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#'
const MAX_PROPERTIES = 4096
/** Names of nested structures are joined: without a limit each leaf could carry the names of the whole packet. */
const MAX_NAME_CHARS = 200
/** Each scope that declares one has a map of its own. */
const MAX_NAMESPACES = 64

type Node = { prefix: string; local: string; element: XmlElement; namespaces: Map<string, string> }

/**
 * Reads an XMP packet (ISO 16684-1): simple values, structures, arrays and language alternatives.
 * @returns nothing for what is not well-formed.
 */
export function readXmp(packet: Buffer): XmpProperty[] {
  const root = parseXml(decodePacket(packet))
  if (!root) return []
  const found = new Map<string, XmpProperty>()
  const add = (prefix: string, name: string, value: string) => {
    const key = `${prefix} ${name}`
    const before = found.get(key)
    if (before) before.values.push(value)
    else if (found.size < MAX_PROPERTIES) found.set(key, { prefix, name, values: [value] })
  }
  const toolkit = root.attributes.get('x:xmptk') ?? root.attributes.get('x:xaptk')
  if (toolkit !== undefined) add('x', 'XMPToolkit', toolkit)
  for (const { element, namespaces } of findDescriptions(root)) {
    const about = element.attributes.get('rdf:about') ?? element.attributes.get('about')
    if (about && !found.has('rdf About')) add('rdf', 'About', about)
    for (const property of membersOf(element, namespaces)) walk(property, '', property.prefix, add)
  }
  return [...found.values()]
}

function decodePacket(packet: Buffer): string {
  if (packet[0] === 0xfe && packet[1] === 0xff)
    return Buffer.from(packet.subarray(2, packet.length & ~1))
      .swap16()
      .toString('utf16le')
  if (packet[0] === 0xff && packet[1] === 0xfe) return packet.subarray(2).toString('utf16le')
  const text = packet.toString('utf8')
  // Padding may follow the packet.
  const end = text.lastIndexOf('>')
  return text.slice(text.indexOf('<'), end + 1)
}

function findDescriptions(root: XmlElement): { element: XmlElement; namespaces: Map<string, string> }[] {
  const rdf = root.name.endsWith(':RDF') ? root : root.children.find((child) => child.name.endsWith(':RDF'))
  if (!rdf) return []
  const namespaces = withNamespaces(withNamespaces(new Map(), root), rdf)
  return rdf.children
    .filter((child) => child.name.endsWith(':Description'))
    .map((element) => ({ element, namespaces: withNamespaces(namespaces, element) }))
}

function withNamespaces(outer: Map<string, string>, element: XmlElement): Map<string, string> {
  if (outer.size >= MAX_NAMESPACES) return outer
  let result = outer
  for (const [name, value] of element.attributes) {
    if (!name.startsWith('xmlns:') || result.size >= MAX_NAMESPACES) continue
    if (result === outer) result = new Map(outer)
    result.set(name.slice(6), value)
  }
  return result
}

/** The prefix of a name as the table of namespaces knows it, whatever the document calls it. */
function resolve(qualified: string, namespaces: Map<string, string>): { prefix: string; local: string } {
  const colon = qualified.indexOf(':')
  if (colon < 0) return { prefix: '', local: qualified }
  const written = qualified.slice(0, colon)
  const uri = namespaces.get(written)
  const local = qualified.slice(colon + 1)
  if (uri === RDF || (uri === undefined && written === 'rdf')) return { prefix: 'rdf', local }
  if (written === 'xml') return { prefix: 'xml', local }
  return { prefix: (uri !== undefined && XMP_PREFIXES.get(uri)) || written, local }
}

/** Members of a structure or description: its attributes and its children. */
function* membersOf(element: XmlElement, outer: Map<string, string>): Iterable<Node> {
  for (const [name, value] of element.attributes) {
    const { prefix, local } = resolve(name, outer)
    if (prefix === 'rdf' || prefix === 'xml' || prefix === 'xmlns' || prefix === '') continue
    const attribute: XmlElement = { name, attributes: new Map(), children: [], text: value }
    yield { prefix, local, element: attribute, namespaces: outer }
  }
  for (const child of element.children) {
    const namespaces = withNamespaces(outer, child)
    yield { ...resolve(child.name, namespaces), element: child, namespaces }
  }
}

type Add = (prefix: string, name: string, value: string) => void

/** @param parentName flattened name so far; empty at the top. @param topPrefix that of the property at the top. */
function walk(node: Node, parentName: string, topPrefix: string, add: Add) {
  if (node.prefix === 'rdf') return
  const flat =
    XMP_FLAT_NAMES.get(`${parentName}/${node.prefix}:${node.local}`) ??
    XMP_FLAT_NAMES.get(`${node.prefix}:${node.local}`)
  const own = flat ?? capital(node.local)
  // A leading slash: the name stands for itself, whatever it lies in.
  const name = own.startsWith('/') ? own.slice(1) : parentName + own
  if (name.length <= MAX_NAME_CHARS) walkValue(node, name, topPrefix, add)
}

function walkValue(
  { element, namespaces }: Pick<Node, 'element' | 'namespaces'>,
  name: string,
  topPrefix: string,
  add: Add,
) {
  const only = element.children.length === 1 ? element.children[0]! : undefined
  const kind = only && resolve(only.name, withNamespaces(namespaces, only))
  if (
    only &&
    kind?.prefix === 'rdf' &&
    (kind.local === 'Bag' || kind.local === 'Seq' || kind.local === 'Alt')
  ) {
    const inner = withNamespaces(namespaces, only)
    for (const item of only.children) {
      const language = kind.local === 'Alt' ? item.attributes.get('xml:lang') : undefined
      const suffix = language === undefined || language === 'x-default' ? '' : `-${language}`
      walkValue({ element: item, namespaces: withNamespaces(inner, item) }, name + suffix, topPrefix, add)
    }
    return
  }
  const structure = only && kind?.prefix === 'rdf' && kind.local === 'Description' ? only : element
  const members = [
    ...membersOf(structure, structure === element ? namespaces : withNamespaces(namespaces, structure)),
  ]
  const value = members.find(({ prefix, local }) => prefix === 'rdf' && local === 'value')
  if (value) add(topPrefix, name, value.element.text.trim())
  else if (members.length > 0) for (const member of members) walk(member, name, topPrefix, add)
  else add(topPrefix, name, element.attributes.get('rdf:resource') ?? element.text.trim())
}

/** `Spatial.Rotation` and `my-name` become `SpatialRotation` and `MyName`. */
function capital(name: string): string {
  return name
    .split(/[^A-Za-z0-9_\u0080-\uffff]+/)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('')
}
