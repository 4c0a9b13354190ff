import type { FastifyInstance } from 'fastify'
import { TintypeError } from '../../kernel/errors.ts'
import type { HttpDeps } from '../http.ts'

/** `GET /health`: 200 when requests can be served, 503 when the database does not answer or the server is about to stop. */
export function registerHealth(app: FastifyInstance, { store, isLeaving }: HttpDeps): void {
  app.get('/health', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    if (isLeaving())
      throw new TintypeError('unavailable', 'The server is about to stop.', {
        headers: { 'retry-after': '1' },
      })
    await store.check()
    return { status: 'ok' }
  })
}
