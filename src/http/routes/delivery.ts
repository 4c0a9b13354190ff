import type { FastifyInstance } from 'fastify'
import { badRequest } from '../../kernel/errors.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'
import { answerDelivered } from '../send.ts'

/** Delivery URLs, `GET` and `HEAD /<id>/…`, and what explains them. */
export function registerDelivery(
  app: FastifyInstance,
  deps: Pick<HttpDeps, 'account' | 'delivery' | 'baseUrlFor'>,
): void {
  const { account, delivery, baseUrlFor } = deps
  app.route({
    method: ['GET', 'HEAD'],
    url: `/${account.id}/*`,
    exposeHeadRoute: false,
    async handler(request, reply) {
      // The raw target: signatures are made over its bytes, and decoding it is the address parser's work.
      const delivered = await delivery.deliver({
        target: request.raw.url ?? '',
        headers: request.raw.headers,
        baseUrl: () => baseUrlFor(request),
      })
      const { status, headers, body } = await answerDelivered(delivered, {
        method: request.method,
        headers: request.raw.headers,
      })
      // The framework would make JSON of null.
      return reply
        .code(status)
        .headers(headers)
        .send(body ?? undefined)
    },
  })

  app.get<{ Querystring: Record<string, string | string[] | undefined> }>(
    '/v1/transformations/explain',
    async (request) => {
      await requireKey(request.headers.authorization, account, 'read')
      const { tr, path } = request.query
      if (typeof tr !== 'string') throw badRequest('Your request is missing tr parameter.')
      if (typeof path !== 'string' || path === '') throw badRequest('Your request is missing path parameter.')
      return delivery.explain({ transformation: tr, path, accept: request.headers.accept ?? '' })
    },
  )
}
