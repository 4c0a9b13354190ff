import type { FastifyInstance } from 'fastify'
import type { Field } from '../../store/store.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'

/** CRUD of custom metadata fields (contract notes 1.5). */
export function registerMetadataFields(app: FastifyInstance, { account, library }: HttpDeps): void {
  app.post('/v1/customMetadataFields', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'write')
    return reply.code(201).send(presentField(await library.fields.create(request.body)))
  })

  // `folderPath` needs no answer of its own: without path policies every field applies everywhere.
  app.get<{ Querystring: { includeDeleted?: string } }>('/v1/customMetadataFields', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const fields = await library.fields.list({ includeDeleted: request.query.includeDeleted === 'true' })
    return fields.map(presentField)
  })

  app.patch<{ Params: { id: string } }>('/v1/customMetadataFields/:id', async (request) => {
    await requireKey(request.headers.authorization, account, 'write')
    return presentField(await library.fields.update(request.params.id, request.body))
  })

  app.delete<{ Params: { id: string } }>('/v1/customMetadataFields/:id', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'write')
    await library.fields.remove(request.params.id)
    return reply.code(204).send()
  })
}

function presentField({ id, name, label, schema, description, deletedAtMs }: Field) {
  return {
    id,
    name,
    label,
    schema,
    ...(description === null ? {} : { description }),
    ...(deletedAtMs === null ? {} : { isDeleted: true }),
  }
}
