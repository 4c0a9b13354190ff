import type { FastifyInstance } from 'fastify'
import type { HttpDeps } from '../http.ts'

/** `GET /health`: 200 when requests can be served, 503 when the database does not answer. */
export function registerHealth(app: FastifyInstance, { store }: HttpDeps): void {
  app.get('/health', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    await store.check()
    return { status: 'ok' }
  })
}
