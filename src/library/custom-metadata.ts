import { badRequest } from '../kernel/errors.ts'
import type { Field, FieldSchema, FieldValue } from '../store/store.ts'

/**
 * Checks custom metadata values against the defined fields and adds the defaults of required ones.
 * @returns the values as they are stored. A `null` value leaves the field out.
 * @throws TintypeError bad-request `Invalid custom metadata.` with an `errors` object that names each wrong field.
 */
export function validateMetadata(
  values: Record<string, unknown>,
  fields: Field[],
): Record<string, FieldValue> {
  const errors: Record<string, string> = {}
  const valid: Record<string, FieldValue> = defaultMetadata(fields)
  for (const [name, value] of Object.entries(values)) {
    const field = fields.find((candidate) => candidate.name === name)
    if (field === undefined) {
      errors[name] = 'is not a defined custom metadata field'
      continue
    }
    if (value === null) {
      if (field.schema.isValueRequired) errors[name] = 'is required'
      delete valid[name]
      continue
    }
    const problem = checkValue(value, field.schema)
    if (problem === undefined) valid[name] = value as FieldValue
    else errors[name] = problem
  }
  if (Object.keys(errors).length > 0) throw badRequest('Invalid custom metadata.', { extra: { errors } })
  return valid
}

/**
 * Puts changes into a file's values; `null` takes a value away, what is not named stays.
 * @throws TintypeError as `validateMetadata`; a required field cannot lose its value.
 */
export function mergeMetadata(
  current: Record<string, FieldValue>,
  changes: Record<string, unknown>,
  fields: Field[],
): Record<string, FieldValue> {
  const merged = new Map(Object.entries(current))
  const isDefined = (name: string) => fields.some((field) => field.name === name)
  // The value of a field that has been deleted since can still be taken away.
  const leftovers = Object.keys(changes).filter(
    (name) => changes[name] === null && merged.has(name) && !isDefined(name),
  )
  const others = Object.fromEntries(Object.entries(changes).filter(([name]) => !leftovers.includes(name)))
  const valid = validateMetadata(others, fields)
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) merged.delete(name)
    else merged.set(name, valid[name]!)
  }
  return Object.fromEntries(merged)
}

/** The default values of the fields that require one. */
export function defaultMetadata(fields: Field[]): Record<string, FieldValue> {
  const defaults: Record<string, FieldValue> = Object.create(null) as Record<string, FieldValue>
  for (const { name, schema } of fields) {
    if (schema.isValueRequired && schema.defaultValue !== undefined) defaults[name] = schema.defaultValue
  }
  return defaults
}

/** What is wrong with a value, or undefined. */
export function checkValue(value: unknown, schema: FieldSchema): string | undefined {
  switch (schema.type) {
    case 'Text':
    case 'Textarea':
      if (typeof value !== 'string') return 'should be of type string'
      if (schema.minLength !== undefined && value.length < schema.minLength) {
        return `should be at least ${schema.minLength} characters long`
      }
      if (schema.maxLength !== undefined && value.length > schema.maxLength) {
        return `should be at most ${schema.maxLength} characters long`
      }
      return undefined
    case 'Number':
      if (typeof value !== 'number' || !Number.isFinite(value)) return 'should be of type number'
      return checkRange(value, schema.minValue as number, schema.maxValue as number)
    case 'Date': {
      const timeMs = typeof value === 'string' ? parseDate(value) : undefined
      if (timeMs === undefined) return 'should be a date in ISO 8601 format'
      const bound = (limit: FieldSchema['minValue']) =>
        limit === undefined ? undefined : parseDate(String(limit))
      return checkRange(timeMs, bound(schema.minValue), bound(schema.maxValue), schema)
    }
    case 'Boolean':
      return typeof value === 'boolean' ? undefined : 'should be of type boolean'
    case 'SingleSelect':
      return schema.selectOptions?.includes(value as string)
        ? undefined
        : 'should be one of the select options of the field'
    case 'MultiSelect':
      if (!Array.isArray(value)) return 'should be an array'
      return value.every((item) => schema.selectOptions?.includes(item))
        ? undefined
        : 'should contain only select options of the field'
  }
}

function checkRange(
  value: number,
  min: number | undefined,
  max: number | undefined,
  shown: { minValue?: unknown; maxValue?: unknown } = { minValue: min, maxValue: max },
): string | undefined {
  if (min !== undefined && value < min) return `should be at least ${shown.minValue}`
  if (max !== undefined && value > max) return `should be at most ${shown.maxValue}`
  return undefined
}

const ISO_DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/

/** Milliseconds since the epoch of an ISO 8601 date or time, or undefined. */
export function parseDate(text: string): number | undefined {
  if (!ISO_DATE.test(text)) return undefined
  const timeMs = Date.parse(text)
  return Number.isNaN(timeMs) ? undefined : timeMs
}
