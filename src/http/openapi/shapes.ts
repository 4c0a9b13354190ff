import { type TSchema, Type } from 'typebox'
import {
  EXTENSION_NAMES,
  extensionConfigSchema,
  extensionRequestSchema,
} from '../../extensions/extensions.ts'

/** What the API's requests and answers are made of, under the names that they have in the OpenAPI document. */

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const oneOf = (values: readonly string[]) => Type.Union(values.map((value) => Type.Literal(value)))
const time = Type.String({ format: 'date-time', description: 'ISO 8601 in UTC, with milliseconds.' })
const id = Type.String({ pattern: '^[0-9a-f]{24}$' })
const count = Type.Integer({ minimum: 0 })
const anyObject = (description: string) => Type.Object({}, { additionalProperties: true, description })

export type ShapeName =
  | 'Error'
  | 'ErrorWithReason'
  | 'ErrorWithFields'
  | 'ErrorWithMissingFiles'
  | 'FileDetails'
  | 'UpdatedFile'
  | 'FolderDetails'
  | 'Metadata'
  | 'UploadResult'
  | 'CustomMetadataField'
  | 'BulkJob'
  | 'PartialBulkJob'
  | 'ExtensionRequest'
  | 'ExtensionConfig'
  | 'SavedExtension'
  | 'NamedTransformation'
  | 'OriginRequest'
  | 'Origin'
  | 'UrlEndpointRequest'
  | 'UrlEndpoint'
  | 'Usage'
  | 'UsageAnalytics'
  | 'WebhookEndpoint'
  | 'NewWebhookEndpoint'
  | 'WebhookDelivery'

/** Points at a shape, which the document has once. */
export function shape(name: ShapeName): TSchema {
  return Type.Unsafe({ $ref: `#/components/schemas/${name}` })
}

const FIELD_TYPES = ['Text', 'Textarea', 'Number', 'Date', 'Boolean', 'SingleSelect', 'MultiSelect'] as const
const scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()])

const fieldRules = {
  selectOptions: Type.Optional(Type.Array(scalar)),
  defaultValue: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Array(scalar)])),
  isValueRequired: Type.Optional(Type.Boolean()),
  minValue: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  maxValue: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  minLength: Type.Optional(count),
  maxLength: Type.Optional(count),
}
export const fieldSchema = Type.Object({ type: oneOf(FIELD_TYPES), ...fieldRules })
export const fieldSchemaChange = Type.Object(fieldRules)

const customMetadata = anyObject('Values of custom metadata fields by the names of the fields.')
const embeddedMetadata = anyObject('What the file itself carries (EXIF, IPTC, XMP), by tag.')
const aiTags = nullable(
  Type.Array(Type.Object({ name: Type.String(), confidence: Type.Number(), source: Type.String() })),
)
const versionInfo = Type.Object({ id, name: Type.String() })
const customCoordinates = nullable(
  Type.String({ description: 'A region of interest in pixels: x,y,width,height.' }),
)
const tags = nullable(Type.Array(Type.String()))
const selectedFieldsSchema = anyObject('Schemas of the custom metadata fields that apply, by their names.')
const streams = {
  bitRate: Type.Optional(Type.Number({ description: 'Bits a second.' })),
  duration: Type.Optional(Type.Number({ description: 'Seconds.' })),
  audioCodec: Type.Optional(Type.String()),
  videoCodec: Type.Optional(Type.String()),
}
const size = { height: Type.Optional(count), width: Type.Optional(count) }

const fileDetails = {
  type: oneOf(['file', 'file-version']),
  name: Type.String(),
  createdAt: time,
  updatedAt: time,
  fileId: id,
  tags,
  AITags: aiTags,
  versionInfo,
  embeddedMetadata,
  isPublished: Type.Boolean(),
  isPrivateFile: Type.Boolean(),
  customCoordinates,
  customMetadata,
  description: nullable(Type.String()),
  filePath: Type.String(),
  url: Type.String(),
  thumbnail: nullable(Type.String()),
  fileType: oneOf(['image', 'non-image']),
  mime: Type.String(),
  ...size,
  size: count,
  hasAlpha: Type.Optional(Type.Boolean()),
  ...streams,
}

const status = Type.Optional(oneOf(['success', 'pending', 'failed']))
const extensionStatus = Type.Optional(
  Type.Object(Object.fromEntries(EXTENSION_NAMES.map((name) => [name, status]))),
)

const exifGroup = Type.Optional(Type.Object({}, { additionalProperties: true }))
const exif = Type.Object(
  {
    image: exifGroup,
    thumbnail: exifGroup,
    exif: exifGroup,
    gps: exifGroup,
    interoperability: exifGroup,
    makernote: exifGroup,
  },
  { description: 'Tags by the groups that cameras write.' },
)
const metadata = {
  ...size,
  size: count,
  format: Type.String(),
  hasColorProfile: Type.Optional(Type.Boolean()),
  quality: Type.Optional(Type.Number()),
  density: Type.Optional(Type.Number()),
  hasTransparency: Type.Optional(Type.Boolean()),
  pHash: Type.Optional(Type.String({ pattern: '^[0-9a-f]{16}$' })),
  exif: Type.Optional(exif),
  ...streams,
}

const jobFacts = {
  jobId: id,
  type: oneOf(['COPY_FOLDER', 'MOVE_FOLDER', 'RENAME_FOLDER']),
  progress: Type.Object({ done: count, total: count }),
  purgeRequestId: Type.Optional(Type.String()),
}

const rewriter = Type.Object({
  type: oneOf(['CLOUDINARY', 'IMGIX', 'AKAMAI']),
  preserveAssetDeliveryTypes: Type.Optional(Type.Boolean()),
})
const endpoint = {
  description: Type.String({ minLength: 1, maxLength: 1000 }),
  urlPrefix: Type.Optional(Type.String({ maxLength: 100 })),
  origins: Type.Optional(Type.Array(Type.String(), { maxItems: 10 })),
  urlRewriter: Type.Optional(rewriter),
  settings: Type.Optional(
    anyObject('Delivery settings of this endpoint that differ from those of the server.'),
  ),
}

const text = Type.String()
const bucket = { bucket: text, prefix: Type.Optional(text) }
const awsKeys = { accessKey: text, secretKey: text }
const awsBucket = { ...bucket, ...awsKeys, useIAMRole: Type.Optional(Type.Boolean()) }
const originCommon = {
  name: Type.String({ pattern: '^[a-zA-Z0-9 ]+$', maxLength: 100 }),
  includeCanonicalHeader: Type.Optional(Type.Boolean()),
  baseUrlForCanonicalHeader: Type.Optional(text),
}
const forward = Type.Optional(Type.Boolean())
const originTypes = {
  S3: awsBucket,
  S3_COMPATIBLE: { ...bucket, ...awsKeys, endpoint: text, s3ForcePathStyle: Type.Optional(Type.Boolean()) },
  CLOUDINARY_BACKUP: awsBucket,
  WEB_FOLDER: { baseUrl: text, forwardHostHeaderToOrigin: forward },
  WEB_PROXY: {},
  GCS: { ...bucket, clientEmail: text, privateKey: text },
  AZURE_BLOB: { container: text, prefix: Type.Optional(text), accountName: text, sasToken: text },
  AKENEO_PIM: { baseUrl: text, clientId: text, clientSecret: text, username: text, password: text },
}
const SECRETS = new Set([
  'accessKey',
  'secretKey',
  'privateKey',
  'sasToken',
  'clientId',
  'clientSecret',
  'username',
  'password',
])
const originRequests = Object.entries(originTypes).map(([type, members]) =>
  Type.Object({ type: Type.Literal(type), ...originCommon, ...members }),
)
const originAnswers = Object.entries(originTypes).map(([type, members]: [string, Record<string, TSchema>]) =>
  Type.Object({
    id: Type.String(),
    type: Type.Literal(type),
    ...originCommon,
    ...Object.fromEntries(Object.entries(members).filter(([name]) => !SECRETS.has(name))),
  }),
)

const usageEntry = { bandwidthBytes: count, requestCount: count }
const grouped = (members: Record<string, TSchema> = { name: Type.String() }) => {
  const list = Type.Array(Type.Object({ ...members, ...usageEntry }))
  return Type.Object({ byBandwidth: list, byRequests: list })
}
const counted = Type.Array(Type.Object({ name: Type.String(), requestCount: count }))

const webhookEndpoint = {
  id: Type.String(),
  url: Type.String(),
  events: Type.Array(Type.String()),
  description: Type.String(),
  enabled: Type.Boolean(),
  disabledReason: nullable(Type.String()),
  failingSince: nullable(time),
  createdAt: nullable(time),
  updatedAt: nullable(time),
}

const error = {
  message: Type.String({ description: 'What is wrong, for a person.' }),
  help: Type.String(),
}

export const SHAPES: Record<ShapeName, TSchema> = {
  Error: Type.Object(error),
  ErrorWithReason: Type.Object({ ...error, reason: Type.Optional(Type.String()) }),
  ErrorWithFields: Type.Object({
    ...error,
    errors: Type.Optional(anyObject('What is wrong, by the member that it is about.')),
  }),
  ErrorWithMissingFiles: Type.Object({ ...error, missingFileIds: Type.Optional(Type.Array(id)) }),
  FileDetails: Type.Object(fileDetails),
  UpdatedFile: Type.Object({ ...fileDetails, extensionStatus }),
  FolderDetails: Type.Object({
    type: Type.Literal('folder'),
    folderId: id,
    name: Type.String(),
    folderPath: Type.String(),
    customMetadata,
    createdAt: time,
    updatedAt: time,
  }),
  Metadata: Type.Object(metadata),
  UploadResult: Type.Object({
    fileId: id,
    name: Type.String(),
    size: count,
    versionInfo,
    filePath: Type.String(),
    url: Type.String(),
    fileType: oneOf(['image', 'non-image']),
    ...size,
    orientation: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })),
    thumbnailUrl: Type.Optional(Type.String()),
    ...streams,
    tags,
    AITags: aiTags,
    isPrivateFile: Type.Boolean(),
    isPublished: Type.Boolean(),
    customCoordinates,
    description: Type.Optional(Type.String()),
    customMetadata: Type.Optional(customMetadata),
    embeddedMetadata: Type.Optional(embeddedMetadata),
    metadata: Type.Optional(shape('Metadata')),
    selectedFieldsSchema: Type.Optional(selectedFieldsSchema),
    extensionStatus,
  }),
  CustomMetadataField: Type.Object({
    id,
    name: Type.String(),
    label: Type.String(),
    schema: fieldSchema,
    description: Type.Optional(Type.String()),
    isDeleted: Type.Optional(Type.Boolean()),
  }),
  BulkJob: Type.Object({
    ...jobFacts,
    status: oneOf(['Pending', 'Completed', 'Failed']),
    message: Type.Optional(Type.String()),
    help: Type.Optional(Type.String()),
  }),
  PartialBulkJob: Type.Object({
    ...jobFacts,
    status: Type.Literal('Partial success'),
    message: Type.String(),
    help: Type.String(),
  }),
  ExtensionRequest: extensionRequestSchema,
  ExtensionConfig: extensionConfigSchema,
  SavedExtension: Type.Object({
    id: Type.String({ pattern: '^ext_' }),
    name: Type.String(),
    description: Type.String(),
    config: shape('ExtensionConfig'),
    createdAt: time,
    updatedAt: time,
  }),
  NamedTransformation: Type.Object({
    id: Type.String(),
    name: Type.String({ pattern: '^[A-Za-z0-9_]+$' }),
    transformation: Type.String(),
    enabled: Type.Boolean(),
    createdAt: time,
  }),
  OriginRequest: Type.Union(originRequests),
  Origin: Type.Union(originAnswers),
  UrlEndpointRequest: Type.Object(endpoint),
  UrlEndpoint: Type.Object({ id: Type.String(), ...endpoint }),
  Usage: Type.Object({
    bandwidthBytes: count,
    mediaLibraryStorageBytes: count,
    videoProcessingUnitsCount: count,
    extensionUnitsCount: count,
    originalCacheStorageBytes: count,
  }),
  UsageAnalytics: Type.Object({
    startDate: Type.String(),
    endDate: Type.String(),
    generatedAt: time,
    bandwidthBytes: count,
    requestCount: count,
    cache: Type.Object({ hitCount: count, missCount: count, errorCount: count }),
    statusCodes: counted,
    errorReasons: counted,
    extensions: Type.Array(Type.Object({ name: Type.String(), operationCount: count })),
    videoProcessing: Type.Array(
      Type.Object({ codec: Type.String(), resolution: Type.String(), durationSeconds: Type.Number() }),
    ),
    top404Assets: counted,
    browser: grouped(),
    country: grouped({ code: Type.String(), name: Type.String() }),
    device: grouped(),
    format: grouped(),
    topImages: grouped(),
    topVideos: grouped(),
    topOtherAssets: grouped(),
    topImageTransforms: grouped(),
    topVideoTransforms: grouped(),
    topReferrers: grouped(),
    topUserAgents: grouped(),
    urlEndpoints: grouped(),
  }),
  WebhookEndpoint: Type.Object(webhookEndpoint),
  NewWebhookEndpoint: Type.Object({ ...webhookEndpoint, secret: Type.String() }),
  WebhookDelivery: Type.Object({
    id: Type.String(),
    eventId: Type.String(),
    eventType: Type.String(),
    state: oneOf(['pending', 'delivered', 'failed']),
    attempts: count,
    createdAt: nullable(time),
    lastAttemptAt: nullable(time),
    lastStatus: nullable(Type.Integer()),
    lastDurationMs: nullable(Type.Number()),
    lastError: nullable(Type.String()),
    nextAttemptAt: nullable(time),
    body: anyObject('The event as it is sent.'),
  }),
}

const flag = Type.Optional(Type.Boolean())
const listText = Type.Optional(
  Type.Array(Type.String(), { description: 'A list: `a,b`, JSON, or the field repeated.' }),
)

/** Fields of an upload form besides those that authenticate it. All of them are text on the wire. */
export const UPLOAD_FIELDS = {
  file: Type.String({ description: 'The bytes, or as text: an http(s) URL, base64, or a data URI.' }),
  fileName: Type.String(),
  folder: Type.Optional(Type.String()),
  useUniqueFileName: flag,
  tags: listText,
  isPrivateFile: flag,
  isPublished: flag,
  customCoordinates: Type.Optional(Type.String()),
  responseFields: listText,
  extensions: Type.Optional(Type.Array(shape('ExtensionRequest'))),
  webhookUrl: Type.Optional(Type.String()),
  overwriteFile: flag,
  overwriteAITags: flag,
  overwriteTags: flag,
  overwriteCustomMetadata: flag,
  customMetadata: Type.Optional(anyObject('JSON text: values by the names of the fields.')),
  transformation: Type.Optional(
    Type.Object({
      pre: Type.Optional(Type.String()),
      post: Type.Optional(
        Type.Array(
          Type.Object({
            type: oneOf(['transformation', 'gif-to-video', 'thumbnail', 'abs']),
            value: Type.Optional(Type.String()),
            protocol: Type.Optional(oneOf(['hls', 'dash'])),
          }),
        ),
      ),
    }),
  ),
  checks: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
}
