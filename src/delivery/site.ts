import type { EndpointSettings } from '../origins/origins.ts'
import type { Store, StoredDocument } from '../store/store.ts'
import type { Chain } from '../transform/transform.ts'
import type { Rewriter } from './rewriters/rewriters.ts'

/** A URL endpoint as delivery needs it. */
export type Endpoint = {
  id: string
  /** What delivery URLs of the endpoint begin with: `/demo`, `/demo/products`. */
  path: string
  /** Its own settings over those of the server. */
  settings: EndpointSettings
  /** Where files are looked for that the library does not have, in this order. */
  origins: OriginDocument[]
  rewriter: Rewriter | null
}

/** An origin as it is stored; its other members belong to its type. */
export type OriginDocument = { id: string; type: string } & Record<string, unknown>

/** What an administrator has set up for delivery, as of one moment. */
export type Site = {
  /** The endpoints with a prefix, by it. */
  byPrefix: ReadonlyMap<string, Endpoint>
  byDefault: Endpoint
  /** Named transformations; null for those that are disabled. */
  named: ReadonlyMap<string, string | null>
  /** Chains whose names have been replaced. They hold as long as the names do. */
  expanded: WeakMap<Chain, Chain>
}

export type SiteReader = {
  /** The site, at most MAX_AGE_MS old. */
  read(): Site | Promise<Site>
  /** Has the next `read` look anew: something has been changed here. */
  expire(): void
}

/** With the time that reading takes, a change is seen by every server of the installation within a second. */
const MAX_AGE_MS = 800

const DEFAULT_ENDPOINT = 'default'

/** Reads URL endpoints, origins and named transformations, and keeps them for a moment. */
export function createSiteReader(
  options: EndpointSettings,
  deps: { store: Pick<Store, 'documents'>; accountId: string },
): SiteReader {
  const { store, accountId } = deps
  let known: { site: Site; readAtMs: number } | undefined
  let reading: Promise<Site> | undefined
  let generation = 0

  async function readAnew(): Promise<Site> {
    const startedIn = generation
    const readAtMs = performance.now()
    const [endpoints, origins, named] = await Promise.all([
      store.documents.list('url-endpoint'),
      store.documents.list('origin'),
      store.documents.list('named-transformation'),
    ])
    const site = siteOf({ endpoints, origins, named }, options, `/${accountId}`)
    // What was read before a change here is not worth keeping.
    if (startedIn === generation) known = { site, readAtMs }
    return site
  }

  return {
    read() {
      // Its age is no matter of the wall clock, which may be set back.
      if (known && performance.now() - known.readAtMs < MAX_AGE_MS) return known.site
      reading ??= readAnew().finally(() => {
        reading = undefined
      })
      return reading
    },
    expire() {
      generation += 1
      known = undefined
      reading = undefined
    },
  }
}

function siteOf(
  documents: { endpoints: StoredDocument[]; origins: StoredDocument[]; named: StoredDocument[] },
  options: EndpointSettings,
  root: string,
): Site {
  const origins = new Map(
    documents.origins.map(({ id, body }) => [id, { ...body, id, type: String(body.type) } as OriginDocument]),
  )
  const endpointOf = ({ id, body }: Pick<StoredDocument, 'id' | 'body'>): Endpoint => ({
    id,
    path: body.urlPrefix === '' ? root : `${root}/${body.urlPrefix}`,
    settings: { ...options, ...(body.settings as Partial<EndpointSettings> | undefined) },
    origins: (body.origins as string[]).flatMap((originId) => origins.get(originId) ?? []),
    rewriter: (body.urlRewriter as Rewriter | undefined) ?? null,
  })
  const isDefault = ({ id }: StoredDocument) => id === DEFAULT_ENDPOINT
  const stored = documents.endpoints.find(isDefault)
  return {
    byPrefix: new Map(
      documents.endpoints
        .filter((document) => !isDefault(document))
        .map((document) => [document.body.urlPrefix as string, endpointOf(document)]),
    ),
    byDefault: endpointOf(stored ?? { id: DEFAULT_ENDPOINT, body: { urlPrefix: '', origins: [] } }),
    named: new Map(
      documents.named.map(({ body }) => [
        body.name as string,
        body.enabled === false ? null : (body.transformation as string),
      ]),
    ),
    expanded: new WeakMap(),
  }
}

/**
 * The endpoint that a raw request target names. Prefixes hold no character that is ever percent-encoded, so a
 * spelling of its own belongs to the default endpoint.
 */
export function endpointFor(target: string, site: Site): Endpoint {
  if (site.byPrefix.size === 0) return site.byDefault
  const start = site.byDefault.path.length + 1
  const end = target.slice(start).search(/[/?]/)
  const segment = target.slice(start, end < 0 ? undefined : start + end)
  return site.byPrefix.get(segment) ?? site.byDefault
}
