export type Token =
  | { kind: 'word'; text: string; position: number }
  | { kind: 'string'; text: string; position: number }
  | { kind: 'symbol'; text: Symbol; position: number }
  | { kind: 'end'; position: number }

type Symbol = '(' | ')' | '[' | ']' | ',' | '=' | ':' | '<' | '<=' | '>' | '>='

/** What is wrong at which place; the dialect turns it into its public error. */
export class SyntaxProblem extends Error {
  /** Index of the UTF-16 unit at which the problem begins. */
  readonly position: number

  constructor(position: number, detail: string) {
    super(detail)
    this.position = position
  }
}

const SYMBOLS = new Set('()[],=:<>')
const ESCAPES: Record<string, string> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  '/': '/',
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\u0007',
}
/** Digits after the escapes that spell a code point, as JSON and Go write them (rclone quotes names as Go does). */
const CODE_POINT_DIGITS: Record<string, number> = { x: 2, u: 4, U: 8 }

/**
 * Cuts a query into tokens in one pass. Strings stand in `"` or `'`, with backslash escapes; a word is any run of
 * other characters, and may hold `:` where it begins with a digit, so that `createdAt < 2020-01-01T12:12:12` needs
 * no quotes while `name:2020` still has an operator.
 * @throws SyntaxProblem
 */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  let i = 0
  while (i < text.length) {
    const character = text[i]!
    if (isSpace(character)) {
      i++
    } else if (character === '"' || character === "'") {
      const { value, end } = readString(text, i)
      tokens.push({ kind: 'string', text: value, position: i })
      i = end
    } else if (SYMBOLS.has(character)) {
      const symbol = (
        (character === '<' || character === '>') && text[i + 1] === '=' ? `${character}=` : character
      ) as Symbol
      tokens.push({ kind: 'symbol', text: symbol, position: i })
      i += symbol.length
    } else {
      const end = endOfWord(text, i)
      tokens.push({ kind: 'word', text: text.slice(i, end), position: i })
      i = end
    }
  }
  tokens.push({ kind: 'end', position: text.length })
  return tokens
}

/** A token as an error shows it. */
export function describeToken(token: Token): string {
  if (token.kind === 'end') return 'the end of the query'
  const text = token.text.length > 40 ? `${token.text.slice(0, 40)}…` : token.text
  return token.kind === 'string' ? JSON.stringify(text) : `\`${text}\``
}

function isSpace(character: string): boolean {
  return (
    character === ' ' ||
    character === '\t' ||
    character === '\n' ||
    character === '\r' ||
    character === '\u00a0'
  )
}

function endOfWord(text: string, start: number): number {
  const first = text[start]!
  const mayHoldColon = first >= '0' && first <= '9'
  let i = start
  while (i < text.length) {
    const character = text[i]!
    if (isSpace(character) || character === '"' || character === "'") break
    if (SYMBOLS.has(character) && !(mayHoldColon && character === ':')) break
    if (character < ' ' || character === '\u007f') throw new SyntaxProblem(i, 'unexpected control character')
    i++
  }
  return i
}

function readString(text: string, start: number): { value: string; end: number } {
  const quote = text[start]!
  let value = ''
  let i = start + 1
  let plainFrom = i
  while (i < text.length) {
    const character = text[i]!
    if (character === quote) return { value: value + text.slice(plainFrom, i), end: i + 1 }
    if (character !== '\\') {
      i++
      continue
    }
    value += text.slice(plainFrom, i)
    const letter = text[i + 1] ?? ''
    const digits = CODE_POINT_DIGITS[letter]
    if (digits !== undefined) {
      value += readCodePoint(text, i, digits)
      i += 2 + digits
    } else {
      const escaped = ESCAPES[letter]
      if (escaped === undefined) {
        throw new SyntaxProblem(i, 'unknown escape; a backslash in a string is written as `\\\\`')
      }
      value += escaped
      i += 2
    }
    plainFrom = i
  }
  throw new SyntaxProblem(start, `string without a closing ${quote}`)
}

function readCodePoint(text: string, backslash: number, digits: number): string {
  let codePoint = 0
  for (let i = backslash + 2; i < backslash + 2 + digits; i++) {
    const digit = Number.parseInt(text[i] ?? '', 16)
    if (Number.isNaN(digit)) throw new SyntaxProblem(backslash, `expected ${digits} hexadecimal digits`)
    codePoint = codePoint * 16 + digit
  }
  if (codePoint > 0x10ffff) throw new SyntaxProblem(backslash, 'no such character')
  return String.fromCodePoint(codePoint)
}
