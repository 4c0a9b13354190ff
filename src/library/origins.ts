import { badRequest } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store } from '../store/store.ts'
import { type Collection, createCollection } from './collection.ts'

type Member = {
  type: 'string' | 'boolean' | 'url'
  required?: true
  /** Never given out again. */
  secret?: true
  default?: unknown
  maxCharacters?: number
}

const BUCKET: Record<string, Member> = {
  bucket: { type: 'string', required: true, maxCharacters: 100 },
  prefix: { type: 'string', default: '', maxCharacters: 100 },
  accessKey: { type: 'string', required: true, secret: true, maxCharacters: 100 },
  secretKey: { type: 'string', required: true, secret: true, maxCharacters: 100 },
}
const COMMON: Record<string, Member> = {
  name: { type: 'string', required: true, maxCharacters: 100 },
  includeCanonicalHeader: { type: 'boolean', default: false },
  baseUrlForCanonicalHeader: { type: 'url' },
}
/** The types of origins with their members (OpenAPI, `OriginRequest` and `OriginResponse`). */
const TYPES: Record<string, Record<string, Member>> = {
  S3: { ...BUCKET, useIAMRole: { type: 'boolean' } },
  S3_COMPATIBLE: {
    ...BUCKET,
    endpoint: { type: 'url', required: true },
    s3ForcePathStyle: { type: 'boolean', default: false },
  },
  CLOUDINARY_BACKUP: { ...BUCKET, useIAMRole: { type: 'boolean' } },
  WEB_FOLDER: {
    baseUrl: { type: 'url', required: true },
    forwardHostHeaderToOrigin: { type: 'boolean', default: false },
  },
  WEB_PROXY: {},
  GCS: {
    bucket: { type: 'string', required: true, maxCharacters: 100 },
    prefix: { type: 'string', default: '', maxCharacters: 100 },
    clientEmail: { type: 'string', required: true, maxCharacters: 320 },
    privateKey: { type: 'string', required: true, secret: true, maxCharacters: 8192 },
  },
  AZURE_BLOB: {
    container: { type: 'string', required: true, maxCharacters: 100 },
    prefix: { type: 'string', default: '', maxCharacters: 100 },
    accountName: { type: 'string', required: true, maxCharacters: 100 },
    sasToken: { type: 'string', required: true, secret: true, maxCharacters: 2048 },
  },
  AKENEO_PIM: {
    baseUrl: { type: 'url', required: true },
    clientId: { type: 'string', required: true, secret: true, maxCharacters: 100 },
    clientSecret: { type: 'string', required: true, secret: true, maxCharacters: 100 },
    username: { type: 'string', required: true, secret: true, maxCharacters: 100 },
    password: { type: 'string', required: true, secret: true, maxCharacters: 100 },
  },
}
const MAX_ORIGINS = 100

/** External storage that delivery falls back to (contract notes 1.10). Secrets go in and never come out. */
export function createOrigins(deps: { store: Store; ids: Ids; clock: Clock }): Collection {
  return createCollection(
    {
      kind: 'origin',
      newId: () => deps.ids.token(9),
      limit: MAX_ORIGINS,
      limitMessage: `You can create up to ${MAX_ORIGINS} origins.`,
      missingMessage: 'Origin not found.',
      parse: (body) => parseOrigin(body),
      async beforeRemove({ id }) {
        const endpoints = await deps.store.documents.list('url-endpoint')
        if (endpoints.some((endpoint) => (endpoint.body.origins as string[]).includes(id))) {
          throw badRequest('The origin is used by a URL-endpoint. Please remove it there first.')
        }
      },
    },
    deps,
  )
}

/** What may be shown of an origin. */
export function withoutSecrets(body: Record<string, unknown>): Record<string, unknown> {
  const members = TYPES[body.type as string] ?? {}
  return Object.fromEntries(Object.entries(body).filter(([name]) => !members[name]?.secret))
}

function parseOrigin(body: Record<string, unknown>): Record<string, unknown> {
  const type = body.type
  if (typeof type !== 'string' || !Object.hasOwn(TYPES, type)) {
    throw badRequest(`Invalid origin type. Must be one of ${Object.keys(TYPES).join(', ')}`)
  }
  const members = { ...COMMON, ...TYPES[type] }
  const origin: Record<string, unknown> = { type }
  for (const [name, member] of Object.entries(members)) {
    const value = body[name] ?? member.default
    // With a role of the machine there are no keys to keep.
    const optional = !member.required || (member.secret && body.useIAMRole === true)
    if (value === undefined && optional) continue
    const expected = member.type === 'boolean' ? 'boolean' : 'string'
    const isMissing = value === '' && member.required
    if (typeof value !== expected || isMissing) {
      throw badRequest(
        member.required ? `${name} is required and must be a ${expected}` : `${name} must be a ${expected}`,
      )
    }
    if (member.maxCharacters !== undefined && (value as string).length > member.maxCharacters) {
      throw badRequest(`${name} can be at most ${member.maxCharacters} characters long`)
    }
    if (member.type === 'url' && !isHttpUrl(value as string)) {
      throw badRequest(`${name} must be an http or https URL`)
    }
    origin[name] = value
  }
  if (!/^[a-zA-Z0-9 ]+$/.test(origin.name as string)) {
    throw badRequest('name can contain only letters, digits and spaces')
  }
  const unknown = Object.keys(body).find((name) => name !== 'type' && !Object.hasOwn(members, name))
  if (unknown !== undefined) throw badRequest(`${unknown} is not allowed for origins of type ${type}`)
  if (origin.includeCanonicalHeader === true && origin.baseUrlForCanonicalHeader === undefined) {
    throw badRequest('baseUrlForCanonicalHeader is required when includeCanonicalHeader is true')
  }
  return origin
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}
