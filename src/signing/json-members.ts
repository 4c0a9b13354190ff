/**
 * Reads the members of a JSON object with the exact text of each value. `JSON.parse` cannot serve here: it keeps
 * the last of two equal keys, so two readers of one text may see different values (trust J06), and it forgets how a
 * value was spelt (trust J07).
 * @returns member name -> JSON text of its value, or undefined if the text is not one JSON object, nests deeper than
 * `maxDepth`, or repeats a key at any level.
 */
export function parseJsonMembers(text: string, maxDepth = 32): Map<string, string> | undefined {
  // The scan below relies on well-formed text; it never has to judge syntax itself.
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  } catch {
    return undefined
  }
  const members = new Map<string, string>()
  /** One entry per open bracket: the keys seen in an object, undefined for an array. */
  const open: (Set<string> | undefined)[] = []
  let memberName: string | undefined
  let valueStart = 0
  let expectsKey = false
  const endMember = (end: number) => {
    if (memberName !== undefined) members.set(memberName, text.slice(valueStart, end).trim())
    memberName = undefined
  }
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index]!
    if (character === '"') {
      const end = stringEnd(text, index)
      if (expectsKey) {
        const key = JSON.parse(text.slice(index, end)) as string
        const keys = open.at(-1)!
        if (keys.has(key)) return undefined
        keys.add(key)
        expectsKey = false
        if (open.length === 1) {
          memberName = key
          valueStart = text.indexOf(':', end) + 1
        }
      }
      index = end - 1
    } else if (character === '{' || character === '[') {
      if (open.length === maxDepth) return undefined
      open.push(character === '{' ? new Set() : undefined)
      expectsKey = character === '{'
    } else if (character === '}' || character === ']') {
      if (open.length === 1) endMember(index)
      open.pop()
      expectsKey = false
    } else if (character === ',') {
      if (open.length === 1) endMember(index)
      expectsKey = open.at(-1) !== undefined
    }
  }
  return members
}

/** Where the string that begins at `start` ends, closing quote included. */
function stringEnd(text: string, start: number): number {
  let index = start + 1
  while (text[index] !== '"') index += text[index] === '\\' ? 2 : 1
  return index + 1
}
