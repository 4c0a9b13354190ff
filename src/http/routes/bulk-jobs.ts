import type { FastifyInstance } from 'fastify'
import { requireKey } from '../auth.ts'
import { HELP } from '../errors.ts'
import { parseFolderCopy, parseFolderMove, parseFolderRename } from '../folder-params.ts'
import type { HttpDeps } from '../http.ts'

/** What a client reads of a job that did not come to a good end. */
const MESSAGES: Record<string, string> = {
  'Partial success': 'Folder renamed successfully but purging cache on nested files failed.',
  Failed:
    'The job failed and was given up. What it had done until then has been kept; the administrator of this server can retry it.',
}

/** `/v1/bulkJobs/…` (contract notes 1.4). */
export function registerBulkJobs(app: FastifyInstance, { account, library, originFor }: HttpDeps): void {
  app.post('/v1/bulkJobs/copyFolder', async (request) => {
    await requireKey(request.headers.authorization, account, 'write')
    return { jobId: await library.folders.copy(parseFolderCopy(request.body), originFor(request)) }
  })

  app.post('/v1/bulkJobs/moveFolder', async (request) => {
    await requireKey(request.headers.authorization, account, 'write')
    return { jobId: await library.folders.move(parseFolderMove(request.body), originFor(request)) }
  })

  app.post('/v1/bulkJobs/renameFolder', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'write')
    const jobId = await library.folders.rename(parseFolderRename(request.body), originFor(request))
    return reply.code(202).send({ jobId })
  })

  app.get<{ Params: { jobId: string } }>('/v1/bulkJobs/:jobId', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'read')
    const { jobId, type, status, purgeRequestId, progress } = await library.folders.job(request.params.jobId)
    const message = MESSAGES[status]
    return reply.code(status === 'Partial success' ? 207 : 200).send({
      jobId,
      type,
      status,
      ...(purgeRequestId === undefined ? {} : { purgeRequestId }),
      ...(message === undefined ? {} : { message, help: HELP }),
      progress,
    })
  })
}
