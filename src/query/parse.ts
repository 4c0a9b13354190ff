import { parseArea } from './area.ts'
import { type Comparison, type Condition, join, negate, type Value } from './ast.ts'
import type { FieldDefinition, Operator } from './fields.ts'
import { describeToken, SyntaxProblem, type Token } from './lexer.ts'
import { describeLiteral, normalText, parseLiteral, parsePath } from './literals.ts'
import { parsePeriod } from './values.ts'
import { splitWords } from './words.ts'

/** What a parse of one of the two languages needs to know. */
export type Dialect = {
  /** Fields by the text that names them. */
  fields: ReadonlyMap<string, FieldDefinition>
  /** Whether a field may stand without quotes. */
  mayBeBare(definition: FieldDefinition): boolean
  /** `HAS` on a list asks for a whole element (checks) instead of for words (search). */
  hasMeansElement: boolean
  /** Whether one quote too many at the very end is no error. */
  overlooksStrayQuote: boolean
  nowMs: number
  limits: QueryLimits
}

export type QueryLimits = {
  /** Protects the parser and the logs. */
  maxBytes: number
  /** Levels of parentheses and NOT: protects the stack of everything that walks the tree. */
  maxDepth: number
  /** Protects the database from plans that take longer to make than to run. */
  maxComparisons: number
  /** Values of one list: keeps below the engines' limits on bound parameters. */
  maxListValues: number
}

type OrderOperator = '<' | '<=' | '>' | '>='

const KEYWORDS = new Set(['AND', 'OR', 'NOT', 'IN', 'HAS', 'EXISTS'])

/**
 * Parses tokens in one pass without backtracking; keywords in any case:
 *
 *     or         := and { "OR" and }
 *     and        := unit { "AND" unit }
 *     unit       := "(" or ")" | "NOT" unit | comparison
 *     comparison := field [ "NOT" ] operator value | field [ "NOT" ] "EXISTS"
 *
 * @throws SyntaxProblem
 */
export function parseCondition(tokens: Token[], dialect: Dialect): Condition {
  const cursor = createCursor(tokens)
  let comparisonCount = 0

  const parseChain = (kind: 'or' | 'and', parseTerm: (depth: number) => Condition, depth: number) => {
    const terms = [parseTerm(depth)]
    while (cursor.skipWord(kind)) terms.push(parseTerm(depth))
    return join(kind, terms)
  }
  const parseOr = (depth: number): Condition => parseChain('or', parseAnd, depth)
  const parseAnd = (depth: number): Condition => parseChain('and', parseUnit, depth)
  const parseUnit = (depth: number): Condition => {
    const token = cursor.peek()
    if (depth > dialect.limits.maxDepth) {
      throw new SyntaxProblem(token.position, `more than ${dialect.limits.maxDepth} levels of nesting`)
    }
    if (cursor.skipSymbol('(')) {
      const condition = parseOr(depth + 1)
      if (!cursor.skipSymbol(')')) throw expected('AND, OR or `)`', cursor.peek())
      return condition
    }
    if (cursor.skipWord('not')) return negate(parseUnit(depth + 1))
    comparisonCount++
    if (comparisonCount > dialect.limits.maxComparisons) {
      throw new SyntaxProblem(token.position, `more than ${dialect.limits.maxComparisons} comparisons`)
    }
    return parseComparison(cursor, dialect)
  }

  const condition = parseOr(0)
  const rest = cursor.peek()
  if (rest.kind !== 'end') throw expected('AND, OR or the end of the query', rest)
  return condition
}

type Cursor = {
  peek(): Token
  take(): Token
  /** Takes the next token if it is this keyword, in any case. */
  skipWord(word: string): boolean
  skipSymbol(symbol: string): boolean
}

function createCursor(tokens: Token[]): Cursor {
  let next = 0
  const peek = () => tokens[next]!
  const skip = (fits: boolean) => {
    if (fits) next++
    return fits
  }
  return {
    peek,
    take: () => {
      const token = tokens[next]!
      // The end stays where it is, so that whoever expects more finds it again.
      if (token.kind !== 'end') next++
      return token
    },
    skipWord: (word) => {
      const token = peek()
      return skip(token.kind === 'word' && token.text.toLowerCase() === word)
    },
    skipSymbol: (symbol) => {
      const token = peek()
      return skip(token.kind === 'symbol' && token.text === symbol)
    },
  }
}

function expected(what: string, token: Token): SyntaxProblem {
  return new SyntaxProblem(token.position, `expected ${what} but found ${describeToken(token)}`)
}

function parseComparison(cursor: Cursor, dialect: Dialect): Comparison {
  const definition = parseField(cursor.take(), dialect)
  const field = definition.ref
  const negated = cursor.skipWord('not')
  const token = cursor.take()
  const operator = operatorOf(token)
  const canBeNegated = operator !== ':' && operator !== 'order'
  if (operator === undefined || !definition.operators.includes(operator) || (negated && !canBeNegated)) {
    throw expected(describeOperators(definition, negated), token)
  }
  switch (operator) {
    case '=':
      return parseEquality(cursor, dialect, { definition, negated })
    case ':':
      return parsePrefix(cursor, definition)
    case 'order': {
      const valueToken = cursor.peek()
      const value = parseValue(cursor, dialect, definition)
      if (value.type !== 'number' && value.type !== 'date')
        throw expected('a number without quotes', valueToken)
      return { kind: 'compare', field, op: (token as { text: OrderOperator }).text, value }
    }
    case 'IN':
      return { kind: 'in', field, negated, values: parseList(cursor, dialect, definition) }
    case 'HAS': {
      if (dialect.hasMeansElement) {
        return { kind: 'in', field, negated, values: [parseValue(cursor, dialect, definition)] }
      }
      const valueToken = cursor.take()
      const words = splitWords(textOf(valueToken) ?? '')
      if (words.length === 0) throw expected('a text with at least one word', valueToken)
      return { kind: 'has', field, negated, words }
    }
    case 'EXISTS':
      return { kind: 'exists', field, negated }
  }
}

function parseField(token: Token, dialect: Dialect): FieldDefinition {
  const isName = token.kind === 'string' || (token.kind === 'word' && !KEYWORDS.has(token.text.toUpperCase()))
  if (!isName) throw expected('a field name', token)
  const definition = dialect.fields.get(token.text)
  if (definition === undefined) {
    throw new SyntaxProblem(
      token.position,
      `there is no field ${describeToken(token)}; ${fieldHint(token.text, dialect)}`,
    )
  }
  if (token.kind === 'word' && !dialect.mayBeBare(definition)) {
    throw new SyntaxProblem(token.position, `the field name must stand in quotes: "${token.text}"`)
  }
  return definition
}

function fieldHint(text: string, dialect: Dialect): string {
  for (const sign of [' ', '=', '<', '>', '[']) {
    if (text.includes(sign)) return 'only the name of the field stands in quotes, not the whole condition'
  }
  if (text.includes('customMetadata.')) return 'there is no such custom metadata field'
  const names = [...dialect.fields.values()]
    .filter(({ ref }) => ref.scope !== 'customMetadata' && ref.scope !== 'request.customMetadata')
    .map(({ ref }) => (ref.scope === 'asset' ? ref.name : `"${ref.scope}.${ref.name}"`))
  return `the fields are ${names.join(', ')} and custom metadata`
}

function operatorOf(token: Token): Operator | undefined {
  if (token.kind === 'symbol') {
    if (token.text === '=' || token.text === ':') return token.text
    return token.text.startsWith('<') || token.text.startsWith('>') ? 'order' : undefined
  }
  if (token.kind !== 'word') return undefined
  const word = token.text.toUpperCase()
  return word === 'IN' || word === 'HAS' || word === 'EXISTS' ? word : undefined
}

function describeOperators({ operators }: FieldDefinition, negated: boolean): string {
  const names = operators.flatMap((operator) => {
    if (operator === ':') return negated ? [] : [':']
    if (operator === 'order') return negated ? [] : ['<', '<=', '>', '>=']
    return negated ? [operator] : [operator, `NOT ${operator}`]
  })
  return `${names.join(', ')}${negated ? ' after NOT' : ''}`
}

function parseEquality(
  cursor: Cursor,
  dialect: Dialect,
  { definition, negated }: { definition: FieldDefinition; negated: boolean },
): Comparison {
  const field = definition.ref
  if (field.type !== 'location') {
    const value = parseValue(cursor, dialect, definition)
    return { kind: 'compare', field, op: negated ? '!=' : '=', value }
  }
  const token = cursor.take()
  const area = token.kind === 'string' ? parseArea(token.text) : undefined
  if (!area) throw expected(describeLiteral(definition), token)
  return { kind: 'area', field, negated, area }
}

function parsePrefix(cursor: Cursor, { ref }: FieldDefinition): Comparison {
  const token = cursor.take()
  const text = textOf(token) ?? ''
  if (ref.type === 'date') {
    const period = parsePeriod(text)
    if (!period) throw expected('a year, month or day such as "2020-01"', token)
    return { kind: 'compare', field: ref, op: '=', value: period }
  }
  if (text === '') throw expected('a text that is not empty', token)
  // Not empty, so it is a path.
  if (ref.type === 'path') return { kind: 'within', field: ref, path: parsePath(text)! }
  return {
    kind: 'prefix',
    field: ref,
    prefix: ref.type === 'token' ? text.toLowerCase() : normalText(ref, text),
  }
}

function parseList(cursor: Cursor, dialect: Dialect, definition: FieldDefinition): Value[] {
  const open = cursor.take()
  if (!(open.kind === 'symbol' && open.text === '[')) throw expected('a list such as ["a", "b"]', open)
  const values = new Map<string, Value>()
  do {
    const value = parseValue(cursor, dialect, definition)
    values.set(JSON.stringify(value), value)
    if (values.size > dialect.limits.maxListValues) {
      throw new SyntaxProblem(open.position, `more than ${dialect.limits.maxListValues} values in a list`)
    }
  } while (cursor.skipSymbol(','))
  if (!cursor.skipSymbol(']')) throw expected('`,` or `]`', cursor.peek())
  return [...values.values()]
}

function parseValue(cursor: Cursor, dialect: Dialect, definition: FieldDefinition): Value {
  const token = cursor.take()
  const text = textOf(token)
  const value =
    text === undefined
      ? undefined
      : parseLiteral(text, { quoted: token.kind === 'string', definition, nowMs: dialect.nowMs })
  if (value === undefined) throw expected(describeLiteral(definition), token)
  return value
}

/** The text of a literal; a keyword is one only in quotes, so that a forgotten value is not read as `AND`. */
function textOf(token: Token): string | undefined {
  if (token.kind === 'string') return token.text
  return token.kind === 'word' && !KEYWORDS.has(token.text) ? token.text : undefined
}
