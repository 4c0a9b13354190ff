import type { FastifyInstance } from 'fastify'
import { badRequest } from '../../kernel/errors.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'
import { objectOf } from '../json-body.ts'
import { ownTarget } from '../own-url.ts'

/** Purge requests and their status (contract notes 1.6). */
export function registerPurge(app: FastifyInstance, { account, library, baseUrlFor }: HttpDeps): void {
  app.post('/v1/files/purge', async (request, reply) => {
    await requireKey(request.headers.authorization, account, 'write')
    const { url } = objectOf(request.body)
    const target = typeof url === 'string' && ownTarget(url, baseUrlFor(request), account.id)
    if (!target) throw badRequest('The URL is not valid for cache purging.')
    const requestId = await library.purges.request(target.slice(account.id.length + 1))
    return reply.code(201).send({ requestId })
  })

  app.get<{ Params: { requestId: string } }>('/v1/files/purge/:requestId', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    return { status: await library.purges.status(request.params.requestId) }
  })
}
