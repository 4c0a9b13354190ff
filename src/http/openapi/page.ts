import type { TSchema } from 'typebox'
import { describeStatus, errorsOf, isOptional } from './document.ts'
import { OPERATIONS, type Operation } from './operations.ts'
import { SHAPES, type ShapeName } from './shapes.ts'

/** How deep members of members are shown. */
const MAX_DEPTH = 4

export const PAGE_STYLE = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }
code, th { font-family: ui-monospace, monospace; font-size: .875em; overflow-wrap: anywhere }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none }
details { border: 1px solid var(--line); border-radius: .375rem; margin: .5rem 0; padding: .5rem .75rem }
details[open] { padding-bottom: 1rem }
summary { cursor: pointer }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th, td { text-align: left; vertical-align: top; padding: .125rem .5rem .125rem 0; border-top: 1px solid var(--line) }
th { font-weight: 500 }
h4 { margin: 1rem 0 .25rem }
.method { display: inline-block; min-width: 4.5em; font-weight: 600 }
`

const ACCESS: Record<Operation['access'], string> = {
  read: 'Needs a private key that may read.',
  write: 'Needs a private key that may write.',
  manage: 'Needs a standard private key.',
  upload: 'Needs a private key that may write, or a one-time token in the form.',
  none: 'Needs no key.',
}

/** The whole API as one HTML page without scripts. @param base of the URLs, without a trailing slash. */
export function describeApiAsPage(version: string, base: string): string {
  const tags = [...new Set(OPERATIONS.map((operation) => operation.tag))]
  const links = tags.map((tag) => `<li><a href="#${anchor(tag)}">${escaped(tag)}</a></li>`)
  const sections = tags.map(
    (tag) =>
      `<section><h2 id="${anchor(tag)}">${escaped(tag)}</h2>${OPERATIONS.filter(
        (operation) => operation.tag === tag,
      )
        .map(describeOperation)
        .join('')}</section>`,
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tintype API</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<h1>Tintype API</h1>
<p>Version ${escaped(version)}, at <code>${escaped(base)}</code>. For programs: <a href="/openapi.json">openapi.json</a>
(OpenAPI 3.1).</p>
<p>The private key is the user name of HTTP Basic authentication; the password does not matter. Errors answer with
<code>{"message", "help"}</code>. Every answer has an <code>x-ik-requestid</code> header.</p>
<nav aria-label="Groups"><ul>${links.join('')}</ul></nav>
<main>${sections.join('\n')}</main>
</body>
</html>
`
}

function describeOperation(operation: Operation): string {
  const { method, path, summary, access, query, body, bodyType, answers } = operation
  const parts = [`<p>${escaped(ACCESS[access])}</p>`]
  if (query) parts.push('<h4>Query</h4>', tableOf(rowsOfMembers(query)))
  if (body) {
    const type = bodyType ?? 'application/json'
    parts.push(`<h4>Body <code>${type}</code></h4>`, tableOf(rowsOf(body)))
  }
  for (const [status, schema] of Object.entries(answers)) {
    parts.push(`<h4>${status} ${escaped(describeStatus(Number(status)))}</h4>`)
    if (schema !== null) parts.push(tableOf(rowsOf(schema)))
  }
  const errors = Object.keys(errorsOf(operation)).map(
    (status) => `<code>${status}</code> ${escaped(describeStatus(Number(status)))}`,
  )
  if (errors.length > 0) parts.push(`<h4>Errors</h4><p>${errors.join('<br>')}</p>`)
  return `<details><summary><code><span class="method">${method}</span> ${escaped(path)}</code> ${escaped(summary)}</summary>${parts.join('')}</details>`
}

type Row = { name: string; type: string; isRequired: boolean; description: string }

type AnySchema = TSchema & {
  $ref?: string
  type?: string
  const?: unknown
  description?: string
  properties?: Record<string, TSchema>
  items?: TSchema
  anyOf?: TSchema[]
}

/** Members of a schema, or of the items of a list, under dotted names. */
function rowsOf(schema: TSchema, prefix = '', depth = 0): Row[] {
  const node = resolved(schema)
  if (node.items) return rowsOf(node.items, `${prefix}[]`, depth)
  if (node.anyOf) {
    return mergeRows(node.anyOf.map((part) => rowsOf(part, prefix, depth)))
  }
  return node.properties ? rowsOfMembers(node.properties, prefix, depth) : []
}

/** Members of all alternatives, each with what it can be in any of them. */
function mergeRows(alternatives: Row[][]): Row[] {
  const merged = new Map<string, Row & { alternatives: number }>()
  for (const row of alternatives.flat()) {
    const known = merged.get(row.name)
    if (!known) {
      merged.set(row.name, { ...row, alternatives: 1 })
      continue
    }
    known.alternatives += 1
    known.isRequired &&= row.isRequired
    if (!known.type.split(' or ').includes(row.type)) known.type += ` or ${row.type}`
  }
  return [...merged.values()].map(({ alternatives: count, ...row }) => ({
    ...row,
    isRequired: row.isRequired && count === alternatives.length,
  }))
}

function rowsOfMembers(members: Record<string, TSchema>, prefix = '', depth = 0): Row[] {
  return Object.entries(members).flatMap(([name, member]) => {
    const full = prefix === '' ? name : `${prefix}.${name}`
    const row: Row = {
      name: full,
      type: typeOf(member),
      isRequired: !isOptional(member),
      description: resolved(member).description ?? '',
    }
    return depth + 1 < MAX_DEPTH ? [row, ...rowsOf(member, full, depth + 1)] : [row]
  })
}

function typeOf(schema: TSchema): string {
  const node = resolved(schema)
  if (node.anyOf) return [...new Set(node.anyOf.map(typeOf))].join(' or ')
  if (node.const !== undefined) return JSON.stringify(node.const)
  if (node.items) return `list of ${typeOf(node.items)}`
  return node.type ?? 'any'
}

function resolved(schema: TSchema): AnySchema {
  const { $ref } = schema as AnySchema
  return $ref === undefined ? schema : SHAPES[$ref.slice($ref.lastIndexOf('/') + 1) as ShapeName]
}

function tableOf(rows: Row[]): string {
  if (rows.length === 0) return ''
  const lines = rows.map(
    ({ name, type, isRequired, description }) =>
      `<tr><th scope="row">${escaped(name)}</th><td>${escaped(type)}${isRequired ? '' : ', optional'}</td><td>${escaped(description)}</td></tr>`,
  )
  return `<table><tbody>${lines.join('')}</tbody></table>`
}

function anchor(tag: string): string {
  return tag.toLowerCase().replaceAll(' ', '-')
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
