import type { RawUrl, Rewritten } from './rewriters.ts'

/** How a query parameter of another service is written here; undefined for a value that makes no sense. */
export type QueryRules = Record<
  string,
  (value: string, all: ReadonlyMap<string, string>) => string | undefined
>

/** Translates the parameters of a query by a table. They are one step, whatever their order. */
export function rewriteQuery({ path, query }: RawUrl, rules: QueryRules): Rewritten {
  const all = new Map<string, string>()
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    if (equals < 1) continue
    const name = pair.slice(0, equals)
    if (!all.has(name)) all.set(name, decode(pair.slice(equals + 1)))
  }
  const parts = Object.entries(rules).flatMap(([name, rule]) => {
    const value = all.get(name)
    return value === undefined ? [] : (rule(value, all) ?? [])
  })
  return { path, transformation: parts.length === 0 ? null : [...new Set(parts)].join(',') }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

/** A number in plain digits. */
export function number(text: string, low: number, high: number): number | undefined {
  if (!/^-?\d{1,6}(?:\.\d{1,6})?$/.test(text)) return undefined
  const value = Number(text)
  return value >= low && value <= high ? value : undefined
}

/** A rule that keeps a number under another name. */
export function numberAs(name: string, low: number, high: number) {
  return (text: string) => (number(text, low, high) === undefined ? undefined : `${name}-${text}`)
}
