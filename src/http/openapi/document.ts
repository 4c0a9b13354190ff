import type { TSchema } from 'typebox'
import { OPERATIONS, type Operation } from './operations.ts'
import { SHAPES, type ShapeName, shape } from './shapes.ts'

export type OpenApiDocument = {
  openapi: string
  info: { title: string; version: string; description: string }
  paths: Record<string, Record<string, unknown>>
  components: { schemas: Record<string, TSchema>; securitySchemes: Record<string, unknown> }
}

/** Statuses that any operation with a key may answer. */
const COMMON_ERRORS: Record<number, ShapeName> = { 401: 'Error', 403: 'Error', 429: 'Error' }

const DESCRIPTIONS: Record<number, string> = {
  200: 'Done.',
  201: 'Made.',
  202: 'Accepted; it is done in the background.',
  204: 'Done; there is no body.',
  207: 'Done in part.',
  400: 'Something in the request is wrong.',
  401: 'The request has no private key.',
  403: 'The key is unknown, expired, disabled, or may not do this.',
  404: 'It does not exist.',
  409: 'Something else is in its place.',
  423: 'A background job holds the folder.',
  429: 'Too many requests.',
  503: 'The server cannot serve now.',
}

/** Errors of an operation by status, those that it shares with all others included. */
export function errorsOf({ access, errors }: Operation): Record<number, ShapeName> {
  return access === 'none' ? errors : { ...errors, ...COMMON_ERRORS }
}

/** What a status means. */
export function describeStatus(status: number): string {
  return DESCRIPTIONS[status] ?? ''
}

/** The OpenAPI 3.1 document of the API. @param version of the product. */
export function describeApi(version: string): OpenApiDocument {
  const paths: OpenApiDocument['paths'] = {}
  for (const operation of OPERATIONS) {
    const item = paths[operation.path] ?? {}
    item[operation.method.toLowerCase()] = describeOperation(operation)
    paths[operation.path] = item
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tintype',
      version,
      description:
        'A media library and delivery server that speaks the ImageKit API. Everything below /v1 also answers below /v2.',
    },
    paths,
    components: {
      schemas: SHAPES,
      securitySchemes: {
        privateKey: {
          type: 'http',
          scheme: 'basic',
          description: 'The private key is the user name; the password does not matter.',
        },
      },
    },
  }
}

function describeOperation(operation: Operation) {
  const { method, path, tag, summary, access, query = {}, body, answers } = operation
  const pathParameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    in: 'path',
    name,
    required: true,
    schema: { type: 'string' },
  }))
  const queryParameters = Object.entries(query).map(([name, schema]) => {
    const { description, ...rest } = schema as TSchema & { description?: string }
    return {
      in: 'query',
      name,
      required: !isOptional(schema),
      ...(description === undefined ? {} : { description }),
      schema: rest,
    }
  })
  const errors = Object.entries(errorsOf(operation)).map(([status, name]) => [status, shape(name)] as const)
  return {
    operationId: operationId(operation),
    tags: [tag],
    summary,
    ...(access === 'none' ? {} : { security: [{ privateKey: [] }, ...(access === 'upload' ? [{}] : [])] }),
    parameters: [...pathParameters, ...queryParameters],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { [operation.bodyType ?? 'application/json']: { schema: body } },
          },
        }),
    responses: Object.fromEntries(
      [...Object.entries(answers), ...errors].map(([status, schema]) => [
        status,
        {
          description: DESCRIPTIONS[Number(status)] ?? '',
          ...(schema === null ? {} : { content: { 'application/json': { schema } } }),
          ...(status === '429' ? { headers: RATE_LIMIT_HEADERS } : {}),
          ...(method === 'GET' && path === '/v1/files' && status === '200' ? { headers: LIST_HEADERS } : {}),
        },
      ]),
    ),
  }
}

const header = (type: string, description: string) => ({ description, schema: { type } })
const RATE_LIMIT_HEADERS = {
  'X-RateLimit-Limit': header('integer', 'Most requests in an interval.'),
  'X-RateLimit-Reset': header('integer', 'Milliseconds until the next request may come.'),
  'X-RateLimit-Interval': header('integer', 'The interval in milliseconds.'),
  'retry-after-ms': header('integer', 'The same as X-RateLimit-Reset, where SDKs look for it.'),
}
const LIST_HEADERS = {
  'x-total-count': header('integer', 'How many assets there are on all pages.'),
  'x-total-count-relation': header('string', 'eq, or gte where to count them all would take long.'),
  'x-next-cursor': header('string', 'Where the next page begins; absent on the last one.'),
}

/** `GET /v1/files/{fileId}/versions` → `get-v1-files-fileId-versions`. */
function operationId({ method, path }: Operation): string {
  return `${method.toLowerCase()}${path.replace(/[{}]/g, '').replace(/[/.]/g, '-')}`
}

/** TypeBox marks optional members apart from their schema. */
export function isOptional(schema: TSchema): boolean {
  return '~optional' in schema
}
