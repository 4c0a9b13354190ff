import type { Operator, Quantity, Variable } from './ast.ts'

/** Variables and what they stand for; `cw`, `ch`, `car` are those of the last finished step. */
export type Scope = { [V in Variable]?: number }

const VARIABLES = new Set<string>([
  'iw',
  'ih',
  'iar',
  'cw',
  'ch',
  'car',
  'bw',
  'bh',
  'bar',
  'idu',
  'bdu',
  'idn',
])
const OPERATORS = new Set<string>(['add', 'sub', 'mul', 'div', 'mod', 'pow'])

/** Bounds the work that one value may ask for. */
export const MAX_OPERATORS = 32

// The manual's own order ("Calculation Sequence for multiple operators"): not the one of school.
const PRECEDENCE: Operator[][] = [['mul', 'div'], ['add', 'sub'], ['mod'], ['pow']]

/** A non-negative decimal number in plain digits; undefined for anything else. */
export function parsePlainNumber(text: string): number | undefined {
  if (text.length === 0 || text.length > 24) return undefined
  let dots = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 46) {
      dots++
      if (i === 0 || i === text.length - 1) return undefined
    } else if (code < 48 || code > 57) return undefined
  }
  return dots > 1 ? undefined : Number(text)
}

export function isOperator(text: string): text is Operator {
  return OPERATORS.has(text)
}

/**
 * Reads `iw_div_2`, `400`, `bw_sub_cw`.
 * @throws Error with a public reason.
 */
export function parseQuantity(text: string): Quantity {
  const tokens = text.split('_', 2 * MAX_OPERATORS + 2)
  if (tokens.length > 2 * MAX_OPERATORS + 1) throw new Error(`has more than ${MAX_OPERATORS} operators`)
  if (tokens.length % 2 === 0) throw new Error('is an incomplete expression')
  const operands: (number | Variable)[] = []
  const operators: Operator[] = []
  for (const [index, token] of tokens.entries()) {
    if (index % 2 === 1) {
      if (!isOperator(token)) throw new Error(`has an unknown operator "${token}"`)
      operators.push(token)
      continue
    }
    const number = parsePlainNumber(token)
    if (number !== undefined) operands.push(number)
    else if (VARIABLES.has(token)) operands.push(token as Variable)
    else throw new Error(tokens.length === 1 ? 'is not a number' : `has an unknown value "${token}"`)
  }
  const only = operands[0]
  if (operators.length === 0 && typeof only === 'number') return only
  return { operands, operators }
}

export function printQuantity(quantity: Quantity): string {
  if (typeof quantity === 'number') return printNumber(quantity)
  const parts: string[] = []
  for (const [index, operand] of quantity.operands.entries()) {
    parts.push(typeof operand === 'number' ? printNumber(operand) : operand)
    const operator = quantity.operators[index]
    if (operator) parts.push(operator)
  }
  return parts.join('_')
}

/** The shortest plain decimal; JavaScript's own text would switch to exponents, which the grammar does not know. */
export function printNumber(value: number): string {
  const text = String(Math.abs(value))
  const plain = text.includes('e')
    ? Math.abs(value)
        .toFixed(20)
        .replace(/\.?0+$/, '')
    : text
  return value < 0 ? `N${plain}` : plain
}

/**
 * Evaluates in the documented order: mul and div, then add and sub, then mod, then pow, each from the left.
 * @throws Error with a public reason for a variable that has no value here and for a result that is not finite.
 */
export function evaluate(quantity: Quantity, scope: Scope): number {
  if (typeof quantity === 'number') return quantity
  let values = quantity.operands.map((operand) => {
    if (typeof operand === 'number') return operand
    const value = scope[operand]
    if (value === undefined) throw new Error(`uses "${operand}", which has no value here`)
    return value
  })
  let operators = quantity.operators
  for (const group of PRECEDENCE) {
    const restValues = [values[0]!]
    const restOperators: Operator[] = []
    for (const [index, operator] of operators.entries()) {
      const right = values[index + 1]!
      if (group.includes(operator)) restValues.push(apply(operator, restValues.pop()!, right))
      else {
        restOperators.push(operator)
        restValues.push(right)
      }
    }
    values = restValues
    operators = restOperators
  }
  const result = values[0]!
  if (!Number.isFinite(result)) throw new Error('does not give a finite number')
  return result
}

function apply(operator: Operator, left: number, right: number): number {
  switch (operator) {
    case 'add':
      return left + right
    case 'sub':
      return left - right
    case 'mul':
      return left * right
    case 'div':
      return left / right
    case 'mod':
      return left % right
    case 'pow':
      return left ** right
  }
}
