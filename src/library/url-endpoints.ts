import { Value } from 'typebox/value'
import { badRequest } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Clock } from '../kernel/time.ts'
import { ownEndpointSettings } from '../origins/origins.ts'
import type { Store, StoredDocument } from '../store/store.ts'
import { type Collection, createCollection } from './collection.ts'

/** Id of the endpoint that is always there, with an empty prefix. */
export const DEFAULT_ENDPOINT = 'default'
const MAX_ENDPOINTS = 100
const MAX_ORIGINS = 10
const REWRITERS = ['CLOUDINARY', 'IMGIX', 'AKAMAI']

/** URL endpoints: prefixes of delivery URLs with their ordered origins (contract notes 1.10). */
export function createUrlEndpoints(deps: { store: Store; ids: Ids; clock: Clock }): Collection {
  const { store, clock } = deps
  const collection = createCollection(
    {
      kind: 'url-endpoint',
      newId: () => deps.ids.token(9),
      limit: MAX_ENDPOINTS,
      limitMessage: `You can create up to ${MAX_ENDPOINTS} URL-endpoints.`,
      missingMessage: 'URL-endpoint not found.',
      uniqueName: {
        of: (body) => body.urlPrefix as string,
        takenMessage: 'A URL-endpoint with this urlPrefix already exists.',
      },
      parse: (body, previous) => parseEndpoint(body, previous, store),
      beforeRemove({ id }) {
        if (id === DEFAULT_ENDPOINT) throw badRequest('Default URL-endpoint cannot be deleted.')
      },
    },
    deps,
  )

  /** The default endpoint exists from the beginning; its row is written when it is first changed. */
  async function ensureDefault(): Promise<void> {
    if (await store.documents.byId('url-endpoint', DEFAULT_ENDPOINT)) return
    const { kind, id, uniqueName, body } = defaultEndpoint(clock.now())
    await store.documents.add({ kind, id, uniqueName, body }, clock.now()).catch(() => {
      // Another request was first; the row is there either way, or the next read says that it is not.
    })
  }

  return {
    async list() {
      const endpoints = await collection.list()
      const hasDefault = endpoints.some(({ id }) => id === DEFAULT_ENDPOINT)
      return hasDefault ? endpoints : [defaultEndpoint(clock.now()), ...endpoints]
    },
    async get(id) {
      if (id === DEFAULT_ENDPOINT) await ensureDefault()
      return collection.get(id)
    },
    create: (body) => collection.create(body),
    async update(id, body) {
      if (id === DEFAULT_ENDPOINT) await ensureDefault()
      return collection.update(id, body)
    },
    async remove(id) {
      if (id === DEFAULT_ENDPOINT) await ensureDefault()
      await collection.remove(id)
    },
  }
}

function defaultEndpoint(nowMs: number): StoredDocument {
  return {
    kind: 'url-endpoint',
    id: DEFAULT_ENDPOINT,
    uniqueName: '',
    body: { description: 'Default URL-endpoint', urlPrefix: '', origins: [] },
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  }
}

async function parseEndpoint(
  body: Record<string, unknown>,
  previous: Record<string, unknown> | undefined,
  store: Store,
): Promise<Record<string, unknown>> {
  const isDefault = previous?.urlPrefix === ''
  const { description, urlPrefix = isDefault ? '' : undefined, origins = [], urlRewriter } = body
  if (typeof description !== 'string' || description === '' || description.length > 1000) {
    throw badRequest('description is required')
  }
  if (typeof urlPrefix !== 'string') throw badRequest('urlPrefix must be a string')
  if (isDefault && urlPrefix !== '')
    throw badRequest('urlPrefix of the default URL-endpoint cannot be changed.')
  if (!isDefault && urlPrefix === '') {
    throw badRequest(
      'urlPrefix cannot be empty string. This is reserved for the default URL-endpoint created by ImageKit.',
    )
  }
  if (!isDefault && !/^[A-Za-z0-9-]{1,100}$/.test(urlPrefix)) {
    throw badRequest('urlPrefix can contain only letters, digits and hyphens, at most 100.')
  }
  if (!Array.isArray(origins) || origins.length > MAX_ORIGINS) {
    throw badRequest(`origins must be an array of at most ${MAX_ORIGINS} origin ids`)
  }
  const known = new Set((await store.documents.list('origin')).map(({ id }) => id))
  if (origins.some((id) => typeof id !== 'string' || !known.has(id))) {
    throw badRequest('Origin does not exists. Please create origin before using it in URL-endpoint.')
  }
  // Clients that know nothing of settings replace the whole endpoint; a restriction must not go by that.
  const settings = parseSettings(body.settings === undefined ? previous?.settings : body.settings)
  return {
    description,
    urlPrefix,
    origins: [...new Set(origins as string[])],
    ...(urlRewriter === undefined || urlRewriter === null ? {} : { urlRewriter: parseRewriter(urlRewriter) }),
    ...(settings === undefined ? {} : { settings }),
  }
}

/** Settings of the endpoint's own; null takes all of them back. */
function parseSettings(raw: unknown): Record<string, unknown> | undefined {
  if (raw === undefined || raw === null) return undefined
  const [error] = Value.Errors(ownEndpointSettings, raw)
  if (error) {
    const name = error.instancePath.slice(1)
    const unknown = Object.keys(raw).find((key) => !Object.hasOwn(ownEndpointSettings.properties, key))
    throw badRequest(
      unknown === undefined
        ? `settings${name === '' ? '' : `.${name}`} ${error.message}`
        : `settings.${unknown} is not a setting of URL-endpoints`,
    )
  }
  return Object.keys(raw).length === 0 ? undefined : (raw as Record<string, unknown>)
}

function parseRewriter(raw: unknown): Record<string, unknown> {
  const { type, preserveAssetDeliveryTypes = false } = raw as Record<string, unknown>
  if (typeof type !== 'string' || !REWRITERS.includes(type)) {
    throw badRequest(`Invalid urlRewriter type. Must be one of ${REWRITERS.join(', ')}`)
  }
  if (type !== 'CLOUDINARY') return { type }
  if (typeof preserveAssetDeliveryTypes !== 'boolean') {
    throw badRequest('preserveAssetDeliveryTypes must be a boolean')
  }
  return { type, preserveAssetDeliveryTypes }
}
