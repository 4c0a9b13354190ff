import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Span, Tracer } from '../kernel/tracing.ts'

const FIRST_SERVER_ERROR = 500

/**
 * A span around every request, of which all that is done for it becomes a part. Answers from memory, which do not come
 * this far, have none. Queries are left out: they may hold signatures.
 */
export function traceRequests(app: FastifyInstance, tracer: Tracer | undefined): void {
  if (!tracer) return
  const spans = new WeakMap<FastifyRequest, Span>()
  app.addHook('onRequest', (request, reply, done) => {
    const { method, url = '' } = request.raw
    const { traceparent } = request.headers
    const span = tracer.begin(method!, {
      kind: 'server',
      traceparent: typeof traceparent === 'string' ? traceparent : undefined,
      values: {
        'http.request.method': method!,
        'url.path': url.split('?', 1)[0]!,
        'tintype.request_id': request.id,
      },
    })
    spans.set(request, span)
    reply.raw.once('close', () => {
      const { statusCode } = reply.raw
      const route = request.routeOptions.url
      if (route !== undefined) {
        span.set('http.route', route)
        span.rename(`${method} ${route}`)
      }
      span.set('http.response.status_code', statusCode)
      span.end(statusCode >= FIRST_SERVER_ERROR ? new Error(`answered ${statusCode}`) : undefined)
    })
    span.within(done)
  })
  // The body arrives in events of the connection, which know nothing of the request.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spans.get(request)
    if (span) span.within(done)
    else done()
  })
}
