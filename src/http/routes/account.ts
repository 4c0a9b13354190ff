import type { FastifyInstance } from 'fastify'
import { type Collection, withoutSecrets } from '../../library/library.ts'
import type { StoredDocument } from '../../store/store.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'

/**
 * What an administrator edits at run time: named transformations, saved extensions, origins and URL endpoints
 * (contract notes 1.7, 1.8, 1.10).
 */
export function registerAccount(app: FastifyInstance, deps: HttpDeps): void {
  const { library } = deps
  registerCollection(app, deps, {
    path: '/v1/named-transformations',
    collection: library.namedTransformations,
    change: 'PATCH',
    present: ({ id, body, createdAtMs }) => ({ id, ...body, createdAt: new Date(createdAtMs).toISOString() }),
  })
  registerCollection(app, deps, {
    path: '/v1/saved-extensions',
    collection: library.savedExtensions,
    change: 'PATCH',
    present: ({ id, body, createdAtMs, updatedAtMs }) => ({
      id,
      ...body,
      createdAt: new Date(createdAtMs).toISOString(),
      updatedAt: new Date(updatedAtMs).toISOString(),
    }),
  })
  registerCollection(app, deps, {
    path: '/v1/accounts/origins',
    collection: library.origins,
    change: 'PUT',
    present: ({ id, body }) => ({ id, ...withoutSecrets(body) }),
  })
  registerCollection(app, deps, {
    path: '/v1/accounts/url-endpoints',
    collection: library.urlEndpoints,
    change: 'PUT',
    present: ({ id, body }) => ({ id, ...body }),
  })
}

/** The five routes of a collection. */
function registerCollection(
  app: FastifyInstance,
  { account, delivery }: HttpDeps,
  resource: {
    path: string
    collection: Collection
    change: 'PATCH' | 'PUT'
    present: (document: StoredDocument) => Record<string, unknown>
  },
): void {
  const { path, collection, change, present } = resource
  type ById = { Params: { id: string } }

  app.get(path, async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    return (await collection.list()).map(present)
  })
  app.post(path, async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'manage')
    const created = await collection.create(request.body)
    delivery.settingsChanged()
    return reply.code(201).send(present(created))
  })
  app.get<ById>(`${path}/:id`, async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    return present(await collection.get(request.params.id))
  })
  app.route<ById>({
    method: change,
    url: `${path}/:id`,
    async handler(request) {
      await requireKey(request.headers.authorization, account, 'manage')
      const changed = await collection.update(request.params.id, request.body)
      delivery.settingsChanged()
      return present(changed)
    },
  })
  app.delete<ById>(`${path}/:id`, async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'manage')
    await collection.remove(request.params.id)
    delivery.settingsChanged()
    return reply.code(204).send()
  })
}
