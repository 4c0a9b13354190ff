import type { FastifyInstance } from 'fastify'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'

type Version = { Params: { fileId: string; versionId: string } }

/** A file's versions: list, details, deletion, restoring (contract notes 1.3). */
export function registerVersions(app: FastifyInstance, deps: HttpDeps): void {
  const { account, library, delivery, presenterFor, originFor } = deps

  app.get<{ Params: { fileId: string } }>('/v1/files/:fileId/versions', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    return (await library.versions.list(request.params.fileId)).map(presenterFor(request).file)
  })

  app.get<Version>('/v1/files/:fileId/versions/:versionId', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const { fileId, versionId } = request.params
    return presenterFor(request).file(await library.versions.get(fileId, versionId))
  })

  app.delete<Version>('/v1/files/:fileId/versions/:versionId', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'write')
    const { fileId, versionId } = request.params
    const { withdrawnBlobs } = await library.versions.remove(fileId, versionId)
    await delivery.forget(withdrawnBlobs)
    return reply.code(204).send()
  })

  app.put<Version>('/v1/files/:fileId/versions/:versionId/restore', async (request) => {
    await requireKey(request.headers.authorization, account, 'write')
    const { fileId, versionId } = request.params
    const restored = await library.versions.restore(fileId, versionId, originFor(request))
    return presenterFor(request).file(restored)
  })
}
