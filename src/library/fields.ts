import { badRequest, notFound, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import type { Field, FieldSchema, FieldType, FieldValue, Store } from '../store/store.ts'
import { checkValue, parseDate } from './custom-metadata.ts'

/** Custom metadata fields: what may be kept with assets beyond their file (OpenAPI, `CustomMetadataField`). */
export type FieldLibrary = {
  list(options: { includeDeleted: boolean }): Promise<Field[]>
  /** @throws TintypeError bad-request with an `errors` object that names each wrong member. */
  create(body: unknown): Promise<Field>
  /**
   * Changes label, schema or description; a `type` in the schema is ignored, since values of the old type exist.
   * Values that assets already have stay, also where the new schema would refuse them.
   */
  update(id: string, body: unknown): Promise<Field>
  /** Deletes the field; its name stays reserved and values that assets have stay with them. */
  remove(id: string): Promise<void>
}

const ID = /^[0-9a-f]{24}$/
const TYPES: FieldType[] = ['Text', 'Textarea', 'Number', 'Date', 'Boolean', 'SingleSelect', 'MultiSelect']
/** Which members of a schema each type may have besides the common ones. */
const MEMBERS: Record<FieldType, string[]> = {
  Text: ['minLength', 'maxLength'],
  Textarea: ['minLength', 'maxLength'],
  Number: ['minValue', 'maxValue'],
  Date: ['minValue', 'maxValue'],
  Boolean: [],
  SingleSelect: ['selectOptions'],
  MultiSelect: ['selectOptions'],
}
const COMMON_MEMBERS = ['type', 'isValueRequired', 'defaultValue']
/** A name becomes part of search queries and URLs of other tools, so it stays simple and short. */
const NAME = /^[\p{L}\p{M}\p{N}_-]{1,100}$/u
const MAX_LABEL_CHARACTERS = 200
const MAX_OPTIONS = 1000
const MAX_DESCRIPTION_CHARACTERS = 1000

const NAME_TAKEN = 'A custom metadata field with this name already exists.'
const LABEL_TAKEN = 'A custom metadata field with this label already exists.'
const NO_FIELD = 'No such custom metadata field exists.'

export function createFieldLibrary(deps: { store: Store; ids: Ids; clock: Clock }): FieldLibrary {
  const { store, ids, clock } = deps

  async function refuseTakenLabel(label: string, exceptId?: string): Promise<void> {
    const fields = await store.fields.list()
    if (fields.some((field) => field.label === label && field.id !== exceptId)) throw badRequest(LABEL_TAKEN)
  }

  return {
    list: (options) => store.fields.list(options),

    async create(body) {
      const given = objectOf(body)
      const errors: Record<string, string> = {}
      const { name, label, schema: rawSchema, description = null } = given
      if (typeof name !== 'string' || !NAME.test(name)) {
        errors.name = 'should be 1 to 100 letters, digits, hyphens and underscores'
      }
      checkLabel(label, errors)
      checkDescription(description, errors)
      const schema = checkSchema(rawSchema, undefined, errors)
      if (Object.keys(errors).length > 0) throw badRequest('Invalid field object', { extra: { errors } })
      const all = await store.fields.list({ includeDeleted: true })
      if (all.some((field) => field.name === name)) throw badRequest(NAME_TAKEN)
      await refuseTakenLabel(label as string)
      const field = {
        id: ids.next(),
        name: name as string,
        label: label as string,
        schema,
        description: description as string | null,
      }
      await store.fields.add({ ...field, createdAtMs: clock.now() }).catch((error: unknown) => {
        throw isConflict(error) ? badRequest(NAME_TAKEN) : error
      })
      return { ...field, deletedAtMs: null }
    },

    async update(id, body) {
      const field = await find(id)
      if (field.deletedAtMs !== null) throw badRequest('Cannot update a deleted custom metadata fields.')
      const given = objectOf(body)
      if (given.name !== undefined && given.name !== field.name) throw badRequest('Name cannot be updated.')
      const { label = field.label, description = field.description } = given
      if (given.label === undefined && given.schema === undefined && given.description === undefined) {
        throw badRequest('Either label or schema should be provided.')
      }
      const errors: Record<string, string> = {}
      checkLabel(label, errors)
      checkDescription(description, errors)
      const schema =
        given.schema === undefined ? field.schema : checkSchema(given.schema, field.schema.type, errors)
      if (Object.keys(errors).length > 0) throw badRequest('Invalid schema object.', { extra: { errors } })
      await refuseTakenLabel(label as string, id)
      const changed = { ...field, label: label as string, schema, description: description as string | null }
      await store.fields.change(changed).catch((error: unknown) => {
        throw isConflict(error) ? badRequest(LABEL_TAKEN) : error
      })
      return changed
    },

    async remove(id) {
      const field = await find(id)
      if (field.deletedAtMs !== null) throw notFound(NO_FIELD)
      await store.fields.remove(id, clock.now())
    },
  }

  async function find(id: string): Promise<Field> {
    if (!ID.test(id)) throw badRequest('Your request contains invalid ID parameter.')
    const field = await store.fields.byId(id)
    if (!field) throw notFound(NO_FIELD)
    return field
  }
}

function objectOf(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest('Invalid field object')
  }
  return body as Record<string, unknown>
}

function isConflict(error: unknown): boolean {
  return error instanceof TintypeError && error.kind === 'conflict'
}

function checkLabel(label: unknown, errors: Record<string, string>): void {
  if (typeof label !== 'string' || label.trim() === '' || label.length > MAX_LABEL_CHARACTERS) {
    errors.label = `should be a text of 1 to ${MAX_LABEL_CHARACTERS} characters`
  }
}

function checkDescription(description: unknown, errors: Record<string, string>): void {
  if (description === null) return
  if (typeof description !== 'string' || description.length > MAX_DESCRIPTION_CHARACTERS) {
    errors.description = `should be a text of at most ${MAX_DESCRIPTION_CHARACTERS} characters`
  }
}

/**
 * Checks a schema object and writes what is wrong into `errors`, by member.
 * @param fixedType the type that an existing field has; a type in the object is then ignored.
 */
function checkSchema(
  raw: unknown,
  fixedType: FieldType | undefined,
  errors: Record<string, string>,
): FieldSchema {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    errors.schema = 'should be of type object'
    return { type: 'Text' }
  }
  const given = raw as Record<string, unknown>
  const type = fixedType ?? (given.type as FieldType)
  if (!TYPES.includes(type)) {
    errors.type = `should be one of ${TYPES.join(', ')}`
    return { type: 'Text' }
  }
  const schema: Record<string, unknown> = { type }
  for (const [member, value] of Object.entries(given)) {
    if (member === 'type' || value === undefined || value === null) continue
    if (![...COMMON_MEMBERS, ...MEMBERS[type]].includes(member)) errors[member] = 'not allowed for this type'
    else schema[member] = value
  }
  const problems = {
    minLength: checkLength(schema.minLength),
    maxLength: checkLength(schema.maxLength),
    minValue: checkBound(schema.minValue, type),
    maxValue: checkBound(schema.maxValue, type),
    isValueRequired: isOneOf(schema.isValueRequired, ['boolean']) ? undefined : 'should be of type boolean',
    selectOptions: MEMBERS[type].includes('selectOptions') ? checkOptions(schema.selectOptions) : undefined,
  }
  for (const [member, problem] of Object.entries(problems)) if (problem) errors[member] = problem
  if (Object.keys(errors).length > 0) return schema as FieldSchema
  if (isAbove(schema.minLength, schema.maxLength)) errors.maxLength = 'should be at least minLength'
  if (isAbove(schema.minValue, schema.maxValue)) errors.maxValue = 'should be at least minValue'
  if (schema.isValueRequired === true && schema.defaultValue === undefined) {
    errors.defaultValue = 'is required, since isValueRequired is true'
  } else if (schema.defaultValue !== undefined) {
    const problem = checkValue(schema.defaultValue as FieldValue, schema as FieldSchema)
    if (problem) errors.defaultValue = problem
  }
  return schema as FieldSchema
}

function isOneOf(value: unknown, types: string[]): boolean {
  return value === undefined || types.includes(typeof value)
}

function checkLength(value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'number') return 'should be of type number'
  return Number.isSafeInteger(value) && value >= 0 ? undefined : 'should be a whole number of at least 0'
}

function checkBound(value: unknown, type: FieldType): string | undefined {
  if (value === undefined) return undefined
  if (type === 'Number') return typeof value === 'number' ? undefined : 'should be of type number'
  return typeof value === 'string' && parseDate(value) !== undefined
    ? undefined
    : 'should be a date in ISO 8601 format'
}

function checkOptions(value: unknown): string | undefined {
  if (!Array.isArray(value) || value.length === 0) return 'should be an array with at least one option'
  if (value.length > MAX_OPTIONS) return `should have at most ${MAX_OPTIONS} options`
  if (!value.every((option) => ['string', 'number', 'boolean'].includes(typeof option))) {
    return 'should contain only strings, numbers and booleans'
  }
  return new Set(value).size === value.length ? undefined : 'should not contain an option twice'
}

function isAbove(min: unknown, max: unknown): boolean {
  if (min === undefined || max === undefined) return false
  if (typeof min === 'string') return parseDate(min)! > parseDate(max as string)!
  return (min as number) > (max as number)
}
