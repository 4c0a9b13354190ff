import type { FastifyInstance, FastifyReply } from 'fastify'
import type { BulkResult } from '../../library/library.ts'
import { requireKey } from '../auth.ts'
import { HELP } from '../errors.ts'
import {
  parseCopy,
  parseDeletion,
  parseFileUpdate,
  parseMove,
  parseRename,
  parseTagging,
} from '../file-params.ts'
import type { HttpDeps } from '../http.ts'

/** What changes files: details, deletion, copy, move, rename, tags in bulk (contract notes 1.3). */
export function registerFileChanges(app: FastifyInstance, deps: HttpDeps): void {
  const { account, library, delivery, presenterFor, originFor } = deps
  const authorize = (authorization: string | undefined) => requireKey(authorization, account, 'write')

  app.patch<{ Params: { fileId: string } }>('/v1/files/:fileId/details', async (request) => {
    await authorize(request.headers.authorization)
    const update = parseFileUpdate(request.body)
    const origin = originFor(request)
    const { file, extensionStatus, withdrawnBlobs } = await library.files.update(
      request.params.fileId,
      update,
      origin,
    )
    await delivery.forget(withdrawnBlobs)
    return {
      ...presenterFor(request).file(file),
      ...(extensionStatus === undefined ? {} : { extensionStatus }),
    }
  })

  app.delete<{ Params: { fileId: string } }>('/v1/files/:fileId', async (request, reply) => {
    await authorize(request.headers.authorization)
    const { withdrawnBlobs } = await library.files.remove(request.params.fileId)
    await delivery.forget(withdrawnBlobs)
    return reply.code(204).send()
  })

  app.post('/v1/files/batch/deleteByFileIds', async (request) => {
    await authorize(request.headers.authorization)
    const { fileIds, withdrawnBlobs } = await library.files.removeAll(parseDeletion(request.body))
    await delivery.forget(withdrawnBlobs)
    return { successfullyDeletedFileIds: fileIds }
  })

  app.post('/v1/files/copy', async (request, reply) => {
    await authorize(request.headers.authorization)
    await library.places.copy(parseCopy(request.body), originFor(request))
    return reply.code(204).send()
  })

  app.post('/v1/files/move', async (request, reply) => {
    await authorize(request.headers.authorization)
    await library.places.move(parseMove(request.body), originFor(request))
    return reply.code(204).send()
  })

  app.put('/v1/files/rename', async (request, reply) => {
    await authorize(request.headers.authorization)
    const params = parseRename(request.body)
    const purgeRequestId = await library.places.rename(params, originFor(request))
    if (!params.purgeCache) return {}
    if (purgeRequestId === undefined) {
      return reply.code(207).send({
        message:
          'File renamed successfully but we could not purge the CDN cache for old URL because of rate limits on purge API.',
        help: HELP,
        reason: 'PURGE_FAILED',
      })
    }
    return { purgeRequestId }
  })

  app.post('/v1/files/addTags', async (request, reply) => {
    await authorize(request.headers.authorization)
    const { fileIds, tags } = parseTagging(request.body, 'tags')
    return sendBulkResult(reply, await library.files.addTags(fileIds, tags, originFor(request)))
  })

  app.post('/v1/files/removeTags', async (request, reply) => {
    await authorize(request.headers.authorization)
    const { fileIds, tags } = parseTagging(request.body, 'tags')
    return sendBulkResult(reply, await library.files.removeTags(fileIds, tags, originFor(request)))
  })

  app.post('/v1/files/removeAITags', async (request, reply) => {
    await authorize(request.headers.authorization)
    const { fileIds, tags } = parseTagging(request.body, 'AITags')
    return sendBulkResult(reply, await library.files.removeAiTags(fileIds, tags, originFor(request)))
  })
}

/** 207 tells that some files could not take the change. */
function sendBulkResult(reply: FastifyReply, { fileIds, errors }: BulkResult): FastifyReply {
  const body = { successfullyUpdatedFileIds: fileIds }
  return errors.length === 0 ? reply.send(body) : reply.code(207).send({ ...body, errors })
}
