import type { FastifyInstance } from 'fastify'
import type { HttpDeps } from '../http.ts'
import { sendDelivered } from '../send.ts'

/** GET and HEAD of delivery URLs: `/<id>/…`. */
export function registerDelivery(app: FastifyInstance, deps: Pick<HttpDeps, 'account' | 'delivery'>): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: `/${deps.account.id}/*`,
    exposeHeadRoute: false,
    async handler(request, reply) {
      // The raw target: signatures are made over its bytes, and decoding it is the address parser's work.
      const delivered = await deps.delivery.deliver({
        target: request.raw.url ?? '',
        headers: request.raw.headers,
      })
      const { raw: response } = reply
      const headers = reply.getHeaders()
      reply.hijack()
      for (const [name, value] of Object.entries(headers))
        if (value !== undefined) response.setHeader(name, value)
      try {
        await sendDelivered(delivered, { method: request.method, headers: request.raw.headers }, response)
      } catch (error) {
        request.log.error({ err: error }, 'sending a file failed')
        response.destroy()
      }
    },
  })
}
