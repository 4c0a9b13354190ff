import type { FieldRef, Value } from './ast.ts'
import type { FieldDefinition } from './fields.ts'
import { parseDate, parseNumber, parseSize } from './values.ts'

/**
 * Reads one literal as a value of a field, or gives undefined when it is none. Numbers, sizes, dates and booleans
 * may stand with or without quotes, since the field decides; only where texts, numbers and booleans live side by
 * side (`select`, `mixed-list`) do the quotes decide, so that `500` and `"500"` stay different values.
 */
export function parseLiteral(
  text: string,
  options: { quoted: boolean; definition: FieldDefinition; nowMs: number },
): Value | undefined {
  const { ref, allowed, aliases } = options.definition
  switch (ref.type) {
    case 'text':
    case 'list':
      return textValue(normalText(ref, text))
    case 'token': {
      const lower = text.toLowerCase()
      const token = aliases && Object.hasOwn(aliases, lower) ? aliases[lower]! : lower
      return allowed && !allowed.includes(token) ? undefined : textValue(token)
    }
    case 'path': {
      const path = parsePath(text)
      return path === undefined ? undefined : textValue(path)
    }
    case 'select':
    case 'mixed-list':
      if (options.quoted) return textValue(text)
      return booleanValue(text) ?? numberValue(parseNumber(text)) ?? textValue(text)
    case 'number':
      return numberValue(parseNumber(text))
    case 'size':
      return numberValue(parseSize(text))
    case 'date':
      return parseDate(text, options.nowMs)
    case 'boolean':
      return booleanValue(text)
    case 'location':
      return undefined
  }
}

/** A folder path in normal form (`/` or `/a/b`), with or without slashes at its ends. */
export function parsePath(text: string): string | undefined {
  if (text === '') return undefined
  const names = text
    .normalize('NFC')
    .split('/')
    .filter((name) => name !== '')
  return `/${names.join('/')}`
}

/** A text as it is compared: names are stored in NFC, so that both spellings of an accent find them. */
export function normalText({ scope, name }: FieldRef, text: string): string {
  const isName = (scope === 'asset' && name === 'name') || (scope === 'request' && name === 'fileName')
  return isName ? text.normalize('NFC') : text
}

/** What a field's literals look like, for errors. */
export function describeLiteral({ ref, allowed }: FieldDefinition): string {
  if (allowed) return allowed.map((value) => `"${value}"`).join(', ')
  switch (ref.type) {
    case 'text':
    case 'token':
    case 'list':
      return 'a text such as "red"'
    case 'path':
      return 'a folder path such as "/red/"'
    case 'select':
    case 'mixed-list':
      return 'a text, a number, true or false'
    case 'number':
      return 'a number'
    case 'size':
      return 'a size such as 1024 or "1mb"'
    case 'date':
      return 'a date such as "2020-01-31", "2020-01-31T12:00:00" or "7d"'
    case 'boolean':
      return 'true or false'
    case 'location':
      return 'a location such as "40,100 5km", "40,100|50,105" or four corners'
  }
}

function textValue(text: string): Value {
  return { type: 'text', text }
}

function numberValue(number: number | undefined): Value | undefined {
  return number === undefined ? undefined : { type: 'number', number }
}

function booleanValue(text: string): Value | undefined {
  return text === 'true' || text === 'false' ? { type: 'boolean', boolean: text === 'true' } : undefined
}
