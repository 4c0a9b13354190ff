/** One import of a module by a source file. */
export type Import = {
  /** As written: `./parse.ts`, `node:fs`, `sharp`. */
  specifier: string
  /** `import type`, which leaves no trace at run time. */
  typeOnly: boolean
}

export type SourceScan = {
  imports: Import[]
  /** The text without comments and without the contents of strings. */
  code: string
}

/** Reads the imports and the bare code out of the text of a TypeScript module. */
export function scanSource(text: string): SourceScan {
  const { code, strings } = separate(text)
  const imports: Import[] = []
  // In `code` every string has become a numbered placeholder between quotation marks.
  const add = (index: string | undefined, typeOnly: boolean) => {
    const specifier = strings[Number(index)]
    if (specifier !== undefined) imports.push({ specifier, typeOnly })
  }
  for (const match of code.matchAll(
    /\b(?:import|export)\s+(type\b(?!\s*,|\s+from\b))?[^'";=()]*?\bfrom\s*"(\d+)"/g,
  )) {
    add(match[2], match[1] !== undefined)
  }
  for (const match of code.matchAll(/\bimport\s*\(?\s*"(\d+)"/g)) add(match[1], false)
  for (const match of code.matchAll(/\brequire\s*\(\s*"(\d+)"/g)) add(match[1], false)
  // The file of a child process or worker thread is named by a URL, not by an import.
  for (const match of code.matchAll(/\bnew\s+URL\s*\(\s*"(\d+)"\s*,\s*import\.meta\.url/g))
    add(match[1], false)
  return { imports, code: code.replaceAll(/"\d+"/g, '""') }
}

/** Takes comments out and replaces every string by `"N"`, N being its index in `strings`. */
function separate(text: string): { code: string; strings: string[] } {
  const strings: string[] = []
  // Depth of braces at which the code inside `${…}` of each open template ends.
  const templates: number[] = []
  let code = ''
  let depth = 0
  let at = 0
  const keep = (value: string) => {
    code += `"${strings.length}"`
    strings.push(value)
  }
  while (at < text.length) {
    const char = text[at]!
    const rest = text.slice(at, at + 2)
    if (rest === '//') at = endOf(text, '\n', at)
    else if (rest === '/*') at = endOf(text, '*/', at + 2) + 2
    else if (char === "'" || char === '"') {
      const end = endOfString(text, at, char)
      keep(text.slice(at + 1, end))
      at = end + 1
    } else if (char === '`' || (char === '}' && templates.at(-1) === depth)) {
      if (char === '}') templates.pop()
      const { end, opens } = endOfTemplatePart(text, at + 1)
      keep(text.slice(at + 1, end))
      if (opens) templates.push(depth)
      at = end + (opens ? 2 : 1)
    } else if (char === '/' && startsRegex(code)) {
      at = endOfRegex(text, at)
      code += '/ /'
    } else {
      if (char === '{') depth++
      if (char === '}') depth--
      code += char
      at++
    }
  }
  return { code, strings }
}

function endOf(text: string, mark: string, from: number): number {
  const end = text.indexOf(mark, from)
  return end < 0 ? text.length : end
}

function endOfString(text: string, start: number, quote: string): number {
  let at = start + 1
  while (at < text.length && text[at] !== quote) at += text[at] === '\\' ? 2 : 1
  return at
}

function endOfTemplatePart(text: string, start: number): { end: number; opens: boolean } {
  let at = start
  while (at < text.length && text[at] !== '`') {
    if (text.startsWith('${', at)) return { end: at, opens: true }
    at += text[at] === '\\' ? 2 : 1
  }
  return { end: at, opens: false }
}

/** A slash divides after a value and starts a regular expression after anything else. */
function startsRegex(before: string): boolean {
  const last = before.trimEnd()
  return !/[\w$)\]}"]$/.test(last) || /\b(?:return|typeof|case|in|of|yield|await)$/.test(last)
}

function endOfRegex(text: string, start: number): number {
  let inClass = false
  let at = start + 1
  while (at < text.length && text[at] !== '\n') {
    const char = text[at]
    if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '/' && !inClass) return at + 1
    at += char === '\\' ? 2 : 1
  }
  return at
}
