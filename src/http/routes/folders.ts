import type { FastifyInstance } from 'fastify'
import { requireKey } from '../auth.ts'
import { parseFolderCreation, parseFolderDeletion } from '../folder-params.ts'
import type { HttpDeps } from '../http.ts'

/** `POST /v1/folder` and `DELETE /v1/folder` (contract notes 1.4). */
export function registerFolders(app: FastifyInstance, { account, library }: HttpDeps): void {
  app.post('/v1/folder', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'write')
    await library.folders.create(parseFolderCreation(request.body))
    return reply.code(201).send({})
  })

  app.delete('/v1/folder', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'write')
    await library.folders.remove(parseFolderDeletion(request.body))
    return reply.code(204).send()
  })
}
