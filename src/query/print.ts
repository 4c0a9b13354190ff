import { printArea } from './area.ts'
import type { Comparison, Condition, FieldRef, Value } from './ast.ts'
import { fieldKey } from './fields.ts'
import { printDate } from './values.ts'

/** The canonical text of a condition: parsing it gives an equal condition. */
export function printCondition(condition: Condition): string {
  switch (condition.kind) {
    case 'and':
      return condition.terms
        .map((term) => (term.kind === 'or' ? `(${printCondition(term)})` : printCondition(term)))
        .join(' AND ')
    case 'or':
      return condition.terms.map(printCondition).join(' OR ')
    case 'not':
      return `NOT (${printCondition(condition.term)})`
    default:
      return printComparison(condition)
  }
}

function printComparison(comparison: Comparison): string {
  const field = printField(comparison.field)
  switch (comparison.kind) {
    case 'compare': {
      const { op, value } = comparison
      const isPeriod = value.type === 'date' && value.period !== undefined
      return `${field} ${isPeriod ? ':' : op === '!=' ? 'NOT =' : op} ${printValue(value)}`
    }
    case 'in': {
      const values = comparison.values.map(printValue)
      return `${field} ${not(comparison)}IN [${values.join(', ')}]`
    }
    case 'prefix':
      return `${field} : ${printText(comparison.prefix)}`
    case 'within':
      return `${field} : ${printText(comparison.path)}`
    case 'has':
      return `${field} ${not(comparison)}HAS ${printText(comparison.words.join(' '))}`
    case 'exists':
      return `${field} ${not(comparison)}EXISTS`
    case 'area':
      return `${field} ${not(comparison)}= ${printText(printArea(comparison.area))}`
  }
}

function not(comparison: { negated: boolean }): string {
  return comparison.negated ? 'NOT ' : ''
}

function printField(field: FieldRef): string {
  const key = fieldKey(field)
  return field.scope === 'asset' ? key : printText(key)
}

function printValue(value: Value): string {
  switch (value.type) {
    case 'text':
      return printText(value.text)
    case 'number':
      return String(value.number)
    case 'boolean':
      return String(value.boolean)
    case 'date':
      return printText(printDate(value))
  }
}

function printText(text: string): string {
  let escaped = ''
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!
    const code = text.charCodeAt(i)
    if (character === '"' || character === '\\') escaped += `\\${character}`
    else if (code < 0x20 || code === 0x7f) escaped += `\\u${code.toString(16).padStart(4, '0')}`
    else escaped += character
  }
  return `"${escaped}"`
}
