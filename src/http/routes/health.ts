import type { FastifyInstance } from 'fastify'
import { TintypeError } from '../../kernel/errors.ts'
import type { HttpDeps } from '../http.ts'

/** `GET /health`: 200 when requests can be served, 503 when the database does not answer, when the disk
 * has failed to keep something and still does, or when the server is about to stop. */
export function registerHealth(app: FastifyInstance, { store, blobs, isLeaving }: HttpDeps): void {
  app.get('/health', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
    if (isLeaving())
      throw new TintypeError('unavailable', 'The server is about to stop.', {
        headers: { 'retry-after': '1' },
      })
    try {
      await store.check()
      if (blobs.isSuspect) await blobs.check()
    } catch (cause) {
      // Whatever it is: nobody is to be sent here.
      throw new TintypeError('unavailable', 'The server cannot reach what it has stored.', {
        cause,
        headers: { 'retry-after': '1' },
      })
    }
    return { status: 'ok' }
  })
}
