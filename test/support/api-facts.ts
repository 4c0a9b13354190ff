/** What of an OpenAPI document a client can trip over. */
export type ApiFacts = Record<string, OperationFacts>

export type OperationFacts = {
  /** Such as `query skip`; with `!` when it is required. */
  parameters: string[]
  /** Members of the body by dotted path (`[]`: items of a list), with their types, and `!` when all bodies need them. */
  body: Record<string, string>
  /** Members of the answers by status. */
  responses: Record<string, Record<string, string>>
}

type Schema = {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  additionalProperties?: boolean | Schema
  allOf?: Schema[]
  oneOf?: Schema[]
  anyOf?: Schema[]
}
type Content = { content?: Record<string, { schema?: Schema }> }
type Operation = {
  parameters?: { in: string; name: string; required?: boolean }[]
  requestBody?: Content
  responses: Record<string, Content & { $ref?: string }>
}
type Document = { paths: Record<string, Record<string, unknown>> }

const METHODS = ['get', 'post', 'put', 'patch', 'delete']
/** Below this, members are examples rather than a contract. */
const MAX_DEPTH = 4
/** What cameras write differs from picture to picture. */
const OPEN_GROUP = /(?:^|\.)exif\.\w+$|(?:^|\.)(?:embeddedMetadata|selectedFieldsSchema)$/
/** Paths of the description that are no API: they carry types for the makers of SDKs. */
const NO_API = /^\/v1\/dummy\//

/** The facts of a document, by `METHOD /path`, in the order of their names. */
export function factsOf(document: Document): ApiFacts {
  const resolve = <T extends { $ref?: string }>(node: T): T => {
    if (node.$ref === undefined) return node
    let target: unknown = document
    for (const name of node.$ref.replace(/^#\//, '').split('/')) {
      target = (target as Record<string, unknown>)[name]
    }
    return resolve(target as T)
  }

  /** Writes the members of a schema into `into`, each with all types that any of its alternatives gives it. */
  const collect = (schema: Schema, path: string, into: Map<string, Set<string>>, depth: number) => {
    const node = resolve(schema)
    for (const part of [...(node.allOf ?? []), ...(node.oneOf ?? []), ...(node.anyOf ?? [])]) {
      collect(part, path, into, depth)
    }
    const types = into.get(path) ?? new Set()
    for (const type of typesOf(node)) types.add(type)
    if (types.size > 0) into.set(path, types)
    if (depth >= MAX_DEPTH || OPEN_GROUP.test(path)) return
    for (const [name, member] of Object.entries(node.properties ?? {})) {
      collect(member, path === '' ? name : `${path}.${name}`, into, depth + 1)
    }
    if (node.items) collect(node.items, `${path}[]`, into, depth)
  }

  const membersOf = ({ content }: Content): Map<string, string> => {
    const found = new Map<string, Set<string>>()
    for (const { schema } of Object.values(content ?? {})) if (schema) collect(schema, '', found, 0)
    found.delete('')
    return new Map([...found].sort().map(([path, types]) => [path, [...types].sort().join('|')]))
  }

  const bodyOf = (body: Content): Record<string, string> => {
    const required = new Set(Object.values(body.content ?? {}).flatMap(({ schema }) => requiredOf(schema)))
    return Object.fromEntries(
      [...membersOf(body)].map(([path, types]) => [path, types + (required.has(path) ? '!' : '')]),
    )
  }
  /** Members that every alternative of a schema requires. */
  const requiredOf = (schema: Schema | undefined): string[] => {
    if (schema === undefined) return []
    const node = resolve(schema)
    const alternatives = node.oneOf ?? node.anyOf
    const common = alternatives
      ?.map(requiredOf)
      .reduce((all, names) => all.filter((name) => names.includes(name)))
    return [...(node.required ?? []), ...(node.allOf ?? []).flatMap(requiredOf), ...(common ?? [])]
  }

  const paths = Object.entries(document.paths).filter(([path]) => !NO_API.test(path))
  const operations = paths.flatMap(([path, item]) =>
    METHODS.filter((method) => item[method] !== undefined).map((method) => {
      const { parameters = [], requestBody, responses } = item[method] as Operation
      const facts: OperationFacts = {
        parameters: parameters.map((p) => `${p.in} ${p.name}${p.required ? '!' : ''}`).sort(),
        body: requestBody ? bodyOf(requestBody) : {},
        responses: Object.fromEntries(
          Object.entries(responses)
            .map(([status, response]) => [status, Object.fromEntries(membersOf(resolve(response)))] as const)
            .sort(),
        ),
      }
      return [`${method.toUpperCase()} ${path}`, facts] as const
    }),
  )
  return Object.fromEntries(operations.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Types by their JSON names: numbers of all kinds as one, and without null, which descriptions often leave out. */
function typesOf(node: Schema): string[] {
  const declared = node.type === undefined ? [] : [node.type].flat()
  const values = node.const === undefined ? (node.enum ?? []) : [node.const]
  const implied =
    declared.length > 0
      ? declared
      : values.length > 0
        ? values.map((value) => (value === null ? 'null' : typeof value))
        : node.properties !== undefined
          ? ['object']
          : []
  return implied.filter((type) => type !== 'null').map((type) => (type === 'integer' ? 'number' : type))
}
