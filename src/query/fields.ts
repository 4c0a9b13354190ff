import type { AssetType, FieldRef, FieldType } from './ast.ts'

/** `order` stands for `< <= > >=`. `=`, `IN`, `HAS` and `EXISTS` can be negated, `:` and `order` cannot. */
export type Operator = '=' | ':' | 'order' | 'IN' | 'HAS' | 'EXISTS'

export type FieldDefinition = {
  ref: FieldRef
  operators: readonly Operator[]
  /** The only values of a `token` field. */
  allowed?: readonly string[]
  /** Other spellings of values of a `token` field. */
  aliases?: Readonly<Record<string, string>>
  /** What the field holds, for the reference and the query builder. */
  summary: string
}

/** The type names of custom metadata fields in the API. */
export type CustomFieldType =
  | 'Text'
  | 'Textarea'
  | 'Number'
  | 'Date'
  | 'Boolean'
  | 'SingleSelect'
  | 'MultiSelect'
/** A custom metadata field as a query needs it. */
export type CustomField = { name: string; type: CustomFieldType }
/** A field of the embedded metadata beyond the documented three. */
export type EmbeddedField = { name: string; type: 'text' | 'number' | 'date' | 'list' }

/** What the columns of the two manuals' operator tables come down to; superset: every `=` may be negated. */
const SEARCH_OPERATORS: Record<FieldType, readonly Operator[]> = {
  text: ['=', ':', 'IN', 'HAS'],
  token: ['=', 'IN'],
  path: ['=', ':', 'IN'],
  list: ['IN', 'HAS'],
  'mixed-list': ['IN'],
  select: ['=', ':', 'order', 'IN'],
  number: ['=', 'order', 'IN'],
  size: ['=', 'order', 'IN'],
  date: ['=', 'order', 'IN'],
  boolean: ['='],
  location: ['='],
}

const CHECKS_OPERATORS: Record<FieldType, readonly Operator[]> = {
  ...SEARCH_OPERATORS,
  text: ['=', ':', 'IN'],
  token: ['=', ':', 'IN'],
  list: ['HAS', 'IN'],
  'mixed-list': ['HAS', 'IN'],
  date: ['=', ':', 'order', 'IN'],
}

const CUSTOM_TYPES: Record<CustomFieldType, FieldType> = {
  Text: 'text',
  Textarea: 'text',
  Number: 'number',
  Date: 'date',
  Boolean: 'boolean',
  SingleSelect: 'select',
  MultiSelect: 'mixed-list',
}

/** Value of `type` for each asset type. */
export const ASSET_TYPES: readonly AssetType[] = ['file', 'file-version', 'folder']

type Row = {
  name: string
  type: FieldType
  appliesTo?: FieldRef['appliesTo']
  operators?: readonly Operator[]
  allowed?: readonly string[]
  aliases?: Record<string, string>
  summary: string
}

/** The fields of the search language that are not metadata, in the order of the manual. */
const SEARCH_ROWS: Row[] = [
  { name: 'id', type: 'text', operators: ['=', 'IN'], summary: 'Id of the file or folder.' },
  {
    name: 'name',
    type: 'text',
    summary: 'Name; `=` and `:` (begins with) are case-sensitive, `HAS` is not.',
  },
  {
    name: 'tags',
    type: 'list',
    appliesTo: 'files',
    operators: ['IN', 'HAS', 'EXISTS'],
    summary: 'Tags and AI tags together.',
  },
  { name: 'type', type: 'token', allowed: ASSET_TYPES, summary: '`file`, `file-version` or `folder`.' },
  { name: 'path', type: 'path', summary: 'Folder that holds the asset; `:` includes its subfolders.' },
  { name: 'createdAt', type: 'date', summary: 'When the asset was first uploaded.' },
  { name: 'updatedAt', type: 'date', summary: 'When the asset was last modified.' },
  { name: 'createdBy', type: 'text', operators: ['=', 'IN'], summary: 'E-mail address of the uploader.' },
  { name: 'height', type: 'number', appliesTo: 'images', summary: 'Height in pixels; images only.' },
  { name: 'width', type: 'number', appliesTo: 'images', summary: 'Width in pixels; images only.' },
  { name: 'size', type: 'size', appliesTo: 'files', summary: 'Size in bytes, or with a unit (`1mb`).' },
  {
    name: 'format',
    type: 'token',
    appliesTo: 'files',
    aliases: { jpeg: 'jpg', tif: 'tiff', htm: 'html' },
    summary: 'Format, from the content: `jpg`, `png`, `mp4`, …',
  },
  { name: 'private', type: 'boolean', appliesTo: 'files', summary: 'Whether the file is private.' },
  { name: 'published', type: 'boolean', appliesTo: 'files', summary: 'Whether the file is published.' },
  {
    name: 'transparency',
    type: 'boolean',
    appliesTo: 'images',
    summary: 'Whether the image has an alpha channel.',
  },
]

const EMBEDDED_ROWS: Row[] = [
  { name: 'Keywords', type: 'list', operators: ['IN', 'EXISTS'], summary: 'Keywords in the file.' },
  {
    name: 'DateTimeOriginal',
    type: 'date',
    operators: [...SEARCH_OPERATORS.date, 'EXISTS'],
    summary: 'When the picture was taken.',
  },
  {
    name: 'LocationTaken',
    type: 'location',
    operators: ['=', 'EXISTS'],
    summary: 'Where the picture was taken.',
  },
]

const CHECKS_ROWS: Record<'request' | 'file' | 'mediaMetadata', Row[]> = {
  request: [
    { name: 'fileName', type: 'text', summary: 'File name as it will be stored.' },
    { name: 'useUniqueFileName', type: 'boolean', summary: 'Whether the name gets a unique suffix.' },
    { name: 'tags', type: 'list', summary: 'Tags of the request.' },
    { name: 'folder', type: 'path', summary: 'Folder; `:` includes its subfolders.' },
    { name: 'isPrivateFile', type: 'boolean', summary: 'Whether the file is to be private.' },
    { name: 'isPublished', type: 'boolean', summary: 'Whether the file is to be published.' },
    { name: 'customCoordinates', type: 'text', summary: '`x,y,width,height`.' },
    { name: 'webhookUrl', type: 'text', summary: 'URL for the results of extensions.' },
    { name: 'overwriteFile', type: 'boolean', summary: 'Whether an existing file gets a new version.' },
    { name: 'overwriteAITags', type: 'boolean', summary: 'Whether AI tags are removed on overwriting.' },
    { name: 'overwriteTags', type: 'boolean', summary: 'Whether tags are removed on overwriting.' },
    {
      name: 'overwriteCustomMetadata',
      type: 'boolean',
      summary: 'Whether custom metadata is removed on overwriting.',
    },
  ],
  file: [
    { name: 'size', type: 'size', summary: 'Size in bytes, or with a unit (`1mb`).' },
    { name: 'mime', type: 'token', summary: 'Media type of the content; `:` is begins with (`image`).' },
  ],
  mediaMetadata: [
    { name: 'width', type: 'number', summary: 'Width in pixels.' },
    { name: 'height', type: 'number', summary: 'Height in pixels.' },
    { name: 'duration', type: 'number', summary: 'Duration in seconds.' },
    { name: 'videoCodec', type: 'token', summary: 'Codec of the video: `h264`, `hevc`, …' },
    { name: 'audioCodec', type: 'token', summary: 'Codec of the audio: `aac`, `opus`, …' },
    { name: 'bitRate', type: 'number', summary: 'Bits per second.' },
  ],
}

/**
 * The fields that a search may name, by the text that names them (`name`, `customMetadata.brand`,
 * `embeddedMetadata.Keywords`).
 */
export function searchFields(options: {
  customFields: readonly CustomField[]
  embeddedFields: readonly EmbeddedField[]
}): Map<string, FieldDefinition> {
  const fields = new Map<string, FieldDefinition>()
  for (const row of SEARCH_ROWS) fields.set(row.name, define(row, 'asset', SEARCH_OPERATORS))
  const extra: Row[] = options.embeddedFields.map((field) => ({
    ...field,
    operators: [...SEARCH_OPERATORS[field.type], 'EXISTS'],
    summary: 'Embedded metadata.',
  }))
  for (const row of [...extra, ...EMBEDDED_ROWS]) {
    const definition = define({ ...row, appliesTo: 'files' }, 'embeddedMetadata', SEARCH_OPERATORS)
    fields.set(`embeddedMetadata.${row.name}`, definition)
  }
  addCustom(fields, options.customFields, 'customMetadata', SEARCH_OPERATORS)
  return fields
}

/** The fields that the `checks` of an upload may name (`request.folder`, `request.customMetadata.brand`, `file.size`). */
export function checksFields(options: {
  customFields: readonly CustomField[]
}): Map<string, FieldDefinition> {
  const fields = new Map<string, FieldDefinition>()
  for (const scope of ['request', 'file', 'mediaMetadata'] as const) {
    for (const row of CHECKS_ROWS[scope]) {
      fields.set(`${scope}.${row.name}`, define(row, scope, CHECKS_OPERATORS))
    }
  }
  addCustom(fields, options.customFields, 'request.customMetadata', CHECKS_OPERATORS)
  return fields
}

/** The text that names a field in a query. */
export function fieldKey(ref: FieldRef): string {
  return ref.scope === 'asset' ? ref.name : `${ref.scope}.${ref.name}`
}

function addCustom(
  fields: Map<string, FieldDefinition>,
  customFields: readonly CustomField[],
  scope: 'customMetadata' | 'request.customMetadata',
  operators: Record<FieldType, readonly Operator[]>,
) {
  for (const field of customFields) {
    const type = CUSTOM_TYPES[field.type]
    const row: Row = {
      name: field.name,
      type,
      operators: [...operators[type], 'EXISTS'],
      summary: `Custom metadata of type ${field.type}.`,
    }
    fields.set(`${scope}.${field.name}`, define(row, scope, operators))
  }
}

function define(
  row: Row,
  scope: FieldRef['scope'],
  operators: Record<FieldType, readonly Operator[]>,
): FieldDefinition {
  const { name, type, appliesTo = 'all', summary } = row
  return {
    ref: { scope, name, type, appliesTo },
    operators: row.operators ?? operators[type],
    ...(row.allowed && { allowed: row.allowed }),
    ...(row.aliases && { aliases: row.aliases }),
    summary,
  }
}
