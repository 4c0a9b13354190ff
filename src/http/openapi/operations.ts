import { type TSchema, Type } from 'typebox'
import { fieldSchema, fieldSchemaChange, type ShapeName, shape, UPLOAD_FIELDS } from './shapes.ts'

/** One method of one path of the API, as the document and the page describe it. */
export type Operation = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** With `{name}` for its parameters. */
  path: string
  tag: string
  /** What it does, in one line. */
  summary: string
  /** What a key needs to be allowed; `upload` takes a token or signature too, `none` needs no key. */
  access: 'read' | 'write' | 'manage' | 'upload' | 'none'
  query?: Record<string, TSchema>
  body?: TSchema
  /** Content type of the body. */
  bodyType?: 'application/json' | 'multipart/form-data'
  /** By status: the shape of the body, or null where there is none. */
  answers: Record<number, TSchema | null>
  /** Shapes of what else may be answered, by status; those that every operation has are not named. */
  errors: Record<number, ShapeName>
}

const id = Type.String()
const ids = Type.Array(Type.String())
const path = Type.String({ description: 'A path in the library, such as /photos/a.jpg.' })
const flag = Type.Optional(Type.Boolean())
const text = Type.Optional(Type.String())
const empty = Type.Object({})
const bad = { 400: 'Error' } as const
const missing = { 400: 'Error', 404: 'Error' } as const
const withReason = { 400: 'ErrorWithReason', 404: 'ErrorWithReason' } as const
const locked = { ...withReason, 423: 'Error' } as const
const errorsOfFiles = Type.Array(Type.Object({ fileId: Type.String(), error: Type.String() }))
const updated = Type.Object({ successfullyUpdatedFileIds: ids })
const partlyUpdated = Type.Object({ successfullyUpdatedFileIds: ids, errors: errorsOfFiles })
const asset = Type.Union([shape('FileDetails'), shape('FolderDetails')])
const dates = {
  startDate: Type.String({ format: 'date', description: 'First day, YYYY-MM-DD in UTC.' }),
  endDate: Type.String({ format: 'date' }),
}

const uploads = (['v1', 'v2'] as const).map((version): Operation => {
  const credentials: Record<string, TSchema> =
    version === 'v1'
      ? { token: text, expire: Type.Optional(Type.Integer()), signature: text, publicKey: text }
      : { token: Type.Optional(Type.String({ description: 'A signed token that holds all other fields.' })) }
  return {
    method: 'POST',
    path: `/api/${version}/files/upload`,
    tag: 'Upload',
    summary:
      version === 'v1'
        ? 'Uploads a file, with a private key or with the signature of a one-time token.'
        : 'Uploads a file, with a private key or with a one-time token that is signed with all fields.',
    access: 'upload',
    body: Type.Object({ ...UPLOAD_FIELDS, ...credentials }),
    bodyType: 'multipart/form-data',
    answers: { 200: shape('UploadResult'), 202: Type.Object({ message: Type.String() }) },
    errors: bad,
  }
})

const files: Operation[] = [
  {
    method: 'GET',
    path: '/v1/files',
    tag: 'Files',
    summary: 'Lists and searches files, versions and folders.',
    access: 'read',
    query: {
      type: Type.Optional(Type.String({ description: 'file (default), file-version, folder or all.' })),
      sort: Type.Optional(
        Type.String({
          description:
            'ASC_ or DESC_ and NAME, CREATED (default), UPDATED, HEIGHT, WIDTH, SIZE or RELEVANCE.',
        }),
      ),
      path: Type.Optional(Type.String({ description: 'Only what lies directly in this folder.' })),
      searchQuery: Type.Optional(Type.String({ description: 'Such as: name : "a" AND size > "1mb".' })),
      fileType: Type.Optional(Type.String({ description: 'all (default), image or non-image.' })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
      skip: Type.Optional(Type.Integer({ minimum: 0 })),
      tags: Type.Optional(Type.String({ description: 'Any of these, separated by commas.' })),
      name: Type.Optional(Type.String({ description: 'This exact name.' })),
      cursor: Type.Optional(Type.String({ description: 'x-next-cursor of the page before.' })),
    },
    answers: { 200: Type.Array(asset) },
    errors: bad,
  },
  {
    method: 'GET',
    path: '/v1/files/{fileId}/details',
    tag: 'Files',
    summary: 'Gives what is known of a file.',
    access: 'read',
    answers: { 200: shape('FileDetails') },
    errors: missing,
  },
  {
    method: 'PATCH',
    path: '/v1/files/{fileId}/details',
    tag: 'Files',
    summary: 'Changes tags, coordinates, metadata or description of a file, or publishes it.',
    access: 'write',
    body: Type.Object({
      removeAITags: Type.Optional(Type.Union([ids, Type.Literal('all')])),
      webhookUrl: text,
      extensions: Type.Optional(Type.Array(shape('ExtensionRequest'))),
      tags: Type.Optional(Type.Union([ids, Type.Null()])),
      customCoordinates: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      customMetadata: Type.Optional(
        Type.Object({}, { additionalProperties: true, description: 'null takes a value away.' }),
      ),
      description: text,
      publish: Type.Optional(Type.Object({ isPublished: Type.Boolean(), includeFileVersions: flag })),
    }),
    answers: { 200: shape('UpdatedFile') },
    errors: { 400: 'ErrorWithFields', 404: 'Error' },
  },
  {
    method: 'DELETE',
    path: '/v1/files/{fileId}',
    tag: 'Files',
    summary: 'Deletes a file with all its versions.',
    access: 'write',
    answers: { 204: null },
    errors: missing,
  },
  {
    method: 'POST',
    path: '/v1/files/batch/deleteByFileIds',
    tag: 'Files',
    summary: 'Deletes up to 100 files: all of them, or none if one is missing.',
    access: 'write',
    body: Type.Object({ fileIds: Type.Array(id, { maxItems: 100 }) }),
    answers: { 200: Type.Object({ successfullyDeletedFileIds: ids }) },
    errors: { 400: 'Error', 404: 'ErrorWithMissingFiles' },
  },
  {
    method: 'POST',
    path: '/v1/files/copy',
    tag: 'Files',
    summary: 'Copies a file into a folder.',
    access: 'write',
    body: Type.Object({ sourceFilePath: path, destinationPath: path, includeFileVersions: flag }),
    answers: { 204: null },
    errors: locked,
  },
  {
    method: 'POST',
    path: '/v1/files/move',
    tag: 'Files',
    summary: 'Moves a file into a folder.',
    access: 'write',
    body: Type.Object({ sourceFilePath: path, destinationPath: path }),
    answers: { 204: null },
    errors: locked,
  },
  {
    method: 'PUT',
    path: '/v1/files/rename',
    tag: 'Files',
    summary: 'Renames a file, and purges the old URL if asked.',
    access: 'write',
    body: Type.Object({ filePath: path, newFileName: Type.String(), purgeCache: flag }),
    answers: { 200: Type.Object({ purgeRequestId: text }), 207: shape('ErrorWithReason') },
    errors: { ...locked, 409: 'ErrorWithReason' },
  },
  ...(['addTags', 'removeTags', 'removeAITags'] as const).map((name): Operation => {
    const member = name === 'removeAITags' ? 'AITags' : 'tags'
    return {
      method: 'POST',
      path: `/v1/files/${name}`,
      tag: 'Files',
      summary: `${name === 'addTags' ? 'Adds tags to' : name === 'removeTags' ? 'Takes tags off' : 'Takes AI tags off'} up to 50 files.`,
      access: 'write',
      body: Type.Object({ fileIds: Type.Array(id, { maxItems: 50 }), [member]: ids }),
      answers: { 200: updated, 207: partlyUpdated },
      errors: { 400: 'Error', 404: 'ErrorWithMissingFiles' },
    }
  }),
]

const versions: Operation[] = [
  {
    method: 'GET',
    path: '/v1/files/{fileId}/versions',
    tag: 'Versions',
    summary: 'Lists the versions of a file, the current one first.',
    access: 'read',
    answers: { 200: Type.Array(shape('FileDetails')) },
    errors: missing,
  },
  {
    method: 'GET',
    path: '/v1/files/{fileId}/versions/{versionId}',
    tag: 'Versions',
    summary: 'Gives what is known of a version.',
    access: 'read',
    answers: { 200: shape('FileDetails') },
    errors: missing,
  },
  {
    method: 'DELETE',
    path: '/v1/files/{fileId}/versions/{versionId}',
    tag: 'Versions',
    summary: 'Deletes a version that is not the current one.',
    access: 'write',
    answers: { 204: null },
    errors: missing,
  },
  {
    method: 'PUT',
    path: '/v1/files/{fileId}/versions/{versionId}/restore',
    tag: 'Versions',
    summary: 'Makes a version the current one.',
    access: 'write',
    answers: { 200: shape('FileDetails') },
    errors: missing,
  },
]

const metadata: Operation[] = [
  {
    method: 'GET',
    path: '/v1/files/{fileId}/metadata',
    tag: 'Metadata',
    summary: 'Reads EXIF, a perceptual hash and the like from a stored file.',
    access: 'read',
    answers: { 200: shape('Metadata') },
    errors: missing,
  },
  {
    method: 'GET',
    path: '/v1/metadata',
    tag: 'Metadata',
    summary: 'The same of a delivery URL of this server, also of a transformed image.',
    access: 'read',
    query: { url: Type.String() },
    answers: { 200: shape('Metadata') },
    errors: missing,
  },
  {
    method: 'POST',
    path: '/v1/customMetadataFields',
    tag: 'Metadata',
    summary: 'Defines a custom metadata field.',
    access: 'write',
    body: Type.Object({
      name: Type.String(),
      label: Type.String(),
      schema: fieldSchema,
      description: text,
    }),
    answers: { 201: shape('CustomMetadataField') },
    errors: { 400: 'ErrorWithFields' },
  },
  {
    method: 'GET',
    path: '/v1/customMetadataFields',
    tag: 'Metadata',
    summary: 'Lists the custom metadata fields.',
    access: 'read',
    query: { includeDeleted: flag, folderPath: text },
    answers: { 200: Type.Array(shape('CustomMetadataField')) },
    errors: {},
  },
  {
    method: 'PATCH',
    path: '/v1/customMetadataFields/{id}',
    tag: 'Metadata',
    summary: 'Changes label, schema or description of a field.',
    access: 'write',
    body: Type.Object({ label: text, schema: Type.Optional(fieldSchemaChange), description: text }),
    answers: { 200: shape('CustomMetadataField') },
    errors: { 400: 'ErrorWithFields', 404: 'Error' },
  },
  {
    method: 'DELETE',
    path: '/v1/customMetadataFields/{id}',
    tag: 'Metadata',
    summary: 'Deletes a field; its name stays reserved.',
    access: 'write',
    answers: { 204: null },
    errors: missing,
  },
]

const folders: Operation[] = [
  {
    method: 'POST',
    path: '/v1/folder',
    tag: 'Folders',
    summary: 'Makes a folder, with its parents.',
    access: 'write',
    body: Type.Object({ folderName: Type.String(), parentFolderPath: path }),
    answers: { 201: empty },
    errors: { 400: 'ErrorWithReason', 423: 'Error' },
  },
  {
    method: 'DELETE',
    path: '/v1/folder',
    tag: 'Folders',
    summary: 'Deletes a folder with everything in it.',
    access: 'write',
    body: Type.Object({ folderPath: path }),
    answers: { 204: null },
    errors: locked,
  },
  {
    method: 'POST',
    path: '/v1/bulkJobs/copyFolder',
    tag: 'Folders',
    summary: 'Copies a folder in the background.',
    access: 'write',
    body: Type.Object({
      sourceFolderPath: path,
      destinationPath: path,
      includeVersions: flag,
      includeFileVersions: Type.Optional(Type.Boolean({ description: 'The older name of includeVersions.' })),
    }),
    answers: { 200: Type.Object({ jobId: id }) },
    errors: locked,
  },
  {
    method: 'POST',
    path: '/v1/bulkJobs/moveFolder',
    tag: 'Folders',
    summary: 'Moves a folder in the background.',
    access: 'write',
    body: Type.Object({ sourceFolderPath: path, destinationPath: path }),
    answers: { 200: Type.Object({ jobId: id }) },
    errors: locked,
  },
  {
    method: 'POST',
    path: '/v1/bulkJobs/renameFolder',
    tag: 'Folders',
    summary: 'Renames a folder in the background.',
    access: 'write',
    body: Type.Object({ folderPath: path, newFolderName: Type.String(), purgeCache: flag }),
    answers: { 202: Type.Object({ jobId: id }) },
    errors: { ...locked, 409: 'ErrorWithReason' },
  },
  {
    method: 'GET',
    path: '/v1/bulkJobs/{jobId}',
    tag: 'Folders',
    summary: 'Tells how a background job stands.',
    access: 'read',
    answers: { 200: shape('BulkJob'), 207: shape('PartialBulkJob') },
    errors: { 404: 'Error' },
  },
]

const cache: Operation[] = [
  {
    method: 'POST',
    path: '/v1/files/purge',
    tag: 'Cache',
    summary: 'Removes what is kept of a URL, or of all URLs that begin so (final *).',
    access: 'write',
    body: Type.Object({ url: Type.String() }),
    answers: { 201: Type.Object({ requestId: Type.String() }) },
    errors: bad,
  },
  {
    method: 'GET',
    path: '/v1/files/purge/{requestId}',
    tag: 'Cache',
    summary: 'Tells whether a purge is done.',
    access: 'read',
    answers: {
      200: Type.Object({ status: Type.Union([Type.Literal('Pending'), Type.Literal('Completed')]) }),
    },
    errors: bad,
  },
]

/** The five operations of what an administrator edits at run time. */
function collection(options: {
  path: string
  tag: string
  one: string
  change: 'PATCH' | 'PUT'
  create: TSchema
  update: TSchema
  shape: ShapeName
  refusals: ShapeName
  /** Operations on one of them that answer 400 to more than their body: all that take an id of a certain form. */
  refuses: ('GET' | 'DELETE')[]
}): Operation[] {
  const { tag, one, refusals, refuses } = options
  const item = { tag, path: `${options.path}/{id}` }
  return [
    {
      method: 'GET',
      path: options.path,
      tag,
      summary: `Lists the ${tag.toLowerCase()}.`,
      access: 'read',
      answers: { 200: Type.Array(shape(options.shape)) },
      errors: {},
    },
    {
      method: 'POST',
      path: options.path,
      tag,
      summary: `Makes ${one}.`,
      access: 'manage',
      body: options.create,
      answers: { 201: shape(options.shape) },
      errors: { 400: refusals },
    },
    {
      ...item,
      method: 'GET',
      summary: `Gives ${one}.`,
      access: 'read',
      answers: { 200: shape(options.shape) },
      errors: refuses.includes('GET') ? missing : { 404: 'Error' },
    },
    {
      ...item,
      method: options.change,
      summary: options.change === 'PUT' ? `Replaces ${one}.` : `Changes ${one}.`,
      access: 'manage',
      body: options.update,
      answers: { 200: shape(options.shape) },
      errors: { 400: refusals, 404: 'Error' },
    },
    {
      ...item,
      method: 'DELETE',
      summary: `Deletes ${one}.`,
      access: 'manage',
      answers: { 204: null },
      errors: refuses.includes('DELETE') ? missing : { 404: 'Error' },
    },
  ]
}

const account: Operation[] = [
  {
    method: 'GET',
    path: '/v1/accounts/usage',
    tag: 'Usage',
    summary: 'Bytes delivered and stored, and units used, up to but without the end date.',
    access: 'read',
    query: dates,
    answers: { 200: shape('Usage') },
    errors: bad,
  },
  {
    method: 'GET',
    path: '/v1/accounts/usage-analytics',
    tag: 'Usage',
    summary: 'What was delivered, by status, asset, format, browser and more; both dates are included.',
    access: 'read',
    query: dates,
    answers: { 200: shape('UsageAnalytics') },
    errors: bad,
  },
  ...collection({
    path: '/v1/accounts/origins',
    tag: 'Origins',
    one: 'an origin',
    change: 'PUT',
    create: shape('OriginRequest'),
    update: shape('OriginRequest'),
    shape: 'Origin',
    refusals: 'Error',
    refuses: ['DELETE'],
  }),
  ...collection({
    path: '/v1/accounts/url-endpoints',
    tag: 'URL endpoints',
    one: 'a URL endpoint',
    change: 'PUT',
    create: shape('UrlEndpointRequest'),
    update: shape('UrlEndpointRequest'),
    shape: 'UrlEndpoint',
    refusals: 'Error',
    refuses: ['DELETE'],
  }),
  ...collection({
    path: '/v1/named-transformations',
    tag: 'Named transformations',
    one: 'a named transformation',
    change: 'PATCH',
    create: Type.Object({ name: Type.String(), transformation: Type.String(), enabled: flag }),
    update: Type.Object({ name: text, transformation: text, enabled: flag }),
    shape: 'NamedTransformation',
    refusals: 'Error',
    refuses: [],
  }),
  ...collection({
    path: '/v1/saved-extensions',
    tag: 'Saved extensions',
    one: 'a saved extension',
    change: 'PATCH',
    create: Type.Object({
      name: Type.String(),
      description: Type.String(),
      config: shape('ExtensionConfig'),
    }),
    update: Type.Object({ name: text, description: text, config: Type.Optional(shape('ExtensionConfig')) }),
    shape: 'SavedExtension',
    refusals: 'ErrorWithFields',
    refuses: ['GET', 'DELETE'],
  }),
]

const endpointMembers = {
  url: Type.String(),
  events: Type.Optional(Type.Array(Type.String(), { description: 'Types of events, or * for all.' })),
  description: text,
  enabled: flag,
  secret: text,
}
const webhooks: Operation[] = [
  {
    method: 'GET',
    path: '/v1/webhooks',
    tag: 'Webhooks',
    summary: 'Lists the endpoints that are told of events.',
    access: 'manage',
    answers: { 200: Type.Array(shape('WebhookEndpoint')) },
    errors: {},
  },
  {
    method: 'POST',
    path: '/v1/webhooks',
    tag: 'Webhooks',
    summary: 'Makes an endpoint and shows its secret, this once.',
    access: 'manage',
    body: Type.Object(endpointMembers),
    answers: { 201: shape('NewWebhookEndpoint') },
    errors: bad,
  },
  {
    method: 'GET',
    path: '/v1/webhooks/{id}',
    tag: 'Webhooks',
    summary: 'Gives an endpoint.',
    access: 'manage',
    answers: { 200: shape('WebhookEndpoint') },
    errors: { 404: 'Error' },
  },
  {
    method: 'PATCH',
    path: '/v1/webhooks/{id}',
    tag: 'Webhooks',
    summary: 'Changes an endpoint, or lets it get events again.',
    access: 'manage',
    body: Type.Object({ ...endpointMembers, url: text }),
    answers: { 200: shape('WebhookEndpoint') },
    errors: missing,
  },
  {
    method: 'DELETE',
    path: '/v1/webhooks/{id}',
    tag: 'Webhooks',
    summary: 'Deletes an endpoint.',
    access: 'manage',
    answers: { 204: null },
    errors: { 404: 'Error' },
  },
  {
    method: 'POST',
    path: '/v1/webhooks/{id}/rotate-secret',
    tag: 'Webhooks',
    summary: 'Makes a new secret and shows it, this once.',
    access: 'manage',
    answers: { 200: shape('NewWebhookEndpoint') },
    errors: missing,
  },
  {
    method: 'GET',
    path: '/v1/webhooks/{id}/deliveries',
    tag: 'Webhooks',
    summary: 'Lists what was sent to an endpoint, the newest first.',
    access: 'manage',
    query: {
      state: Type.Optional(Type.String({ description: 'pending, delivered or failed.' })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
      skip: Type.Optional(Type.Integer({ minimum: 0 })),
    },
    answers: { 200: Type.Array(shape('WebhookDelivery')) },
    errors: missing,
  },
  {
    method: 'POST',
    path: '/v1/webhooks/{id}/deliveries/{deliveryId}/replay',
    tag: 'Webhooks',
    summary: 'Sends one event once more.',
    access: 'manage',
    answers: { 202: Type.Object({ deliveryId: Type.String() }) },
    errors: missing,
  },
  {
    method: 'POST',
    path: '/v1/webhooks/{id}/replay-failed',
    tag: 'Webhooks',
    summary: 'Sends all events once more that could not be delivered.',
    access: 'manage',
    answers: { 202: Type.Object({ replayed: Type.Integer({ minimum: 0 }) }) },
    errors: { 404: 'Error' },
  },
]

const others: Operation[] = [
  {
    method: 'GET',
    path: '/v1/transformations/explain',
    tag: 'Delivery',
    summary: 'Says what a transformation does to an asset, step by step, without rendering it.',
    access: 'read',
    query: { tr: Type.String(), path },
    answers: { 200: Type.Object({}, { additionalProperties: true }) },
    errors: missing,
  },
  {
    method: 'GET',
    path: '/health',
    tag: 'Server',
    summary: 'Tells whether the server can serve.',
    access: 'none',
    answers: { 200: Type.Object({ status: Type.Literal('ok') }) },
    errors: { 503: 'Error' },
  },
  {
    method: 'GET',
    path: '/openapi.json',
    tag: 'Server',
    summary: 'This description for programs.',
    access: 'none',
    answers: { 200: Type.Object({}, { additionalProperties: true }) },
    errors: {},
  },
]

/** Everything that the API can do, in the order in which it is shown. */
export const OPERATIONS: readonly Operation[] = [
  ...uploads,
  ...files,
  ...versions,
  ...folders,
  ...metadata,
  ...cache,
  ...account,
  ...webhooks,
  ...others,
]
