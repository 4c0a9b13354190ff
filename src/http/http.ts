import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
} from 'fastify'
import { type Static, Type } from 'typebox'
import type { Blobs } from '../blobs/blobs.ts'
import type { Counters } from '../counters/counters.ts'
import { type Delivery, errorHeader } from '../delivery/delivery.ts'
import type { AuditLog } from '../kernel/audit-log.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Metrics } from '../kernel/metrics.ts'
import type { Clock } from '../kernel/time.ts'
import type { Tracer } from '../kernel/tracing.ts'
import type { Account, Library, Origin, UsageMeter } from '../library/library.ts'
import type { SigningOptions } from '../signing/signing.ts'
import type { Store } from '../store/store.ts'
import { type AuditNotes, auditRequests } from './audit-hook.ts'
import { sendError, toTintypeError } from './errors.ts'
import { limitOptions, limitRequests } from './limits.ts'
import { LINGER_MS, multipartOptions, stopReading } from './multipart.ts'
import { createPresenter, type Presenter } from './present.ts'
import { type Asked, createRecalledAnswers } from './recalled.ts'
import { registerAccount } from './routes/account.ts'
import { registerBulkJobs } from './routes/bulk-jobs.ts'
import { registerClient } from './routes/client.ts'
import { registerDelivery } from './routes/delivery.ts'
import { registerDocs } from './routes/docs.ts'
import { registerFileChanges } from './routes/file-changes.ts'
import { registerFiles } from './routes/files.ts'
import { registerFolders } from './routes/folders.ts'
import { registerHealth } from './routes/health.ts'
import { registerMetadata } from './routes/metadata.ts'
import { registerMetadataFields } from './routes/metadata-fields.ts'
import { countRequests, registerMetrics } from './routes/metrics.ts'
import { registerPurge } from './routes/purge.ts'
import { registerUpload } from './routes/upload.ts'
import { registerUsage } from './routes/usage.ts'
import { registerVersions } from './routes/versions.ts'
import { registerWebhooks } from './routes/webhooks.ts'
import { SAFE_HEADER_LINES, safeHeadersFor } from './safe-headers.ts'
import { createShortcut } from './shortcut.ts'
import { watchBodies } from './slow-clients.ts'
import { spoolOptions } from './spool-guard.ts'
import { traceRequests } from './trace-hook.ts'
import { countDelivery } from './usage-hook.ts'

export const httpOptions = Type.Object({
  port: Type.Integer({
    default: 8080,
    minimum: 0,
    maximum: 65_535,
    description: 'Port that the server listens on; 0 takes a free one.',
  }),
  host: Type.String({
    default: '127.0.0.1',
    minLength: 1,
    description: 'Address that the server listens on; 0.0.0.0 opens it to the network.',
  }),
  publicUrl: Type.Optional(
    Type.String({
      pattern: '^https?://[^/\\s]+(/[^\\s]*)?$',
      description:
        'Base of the URLs in answers, e.g. https://media.example.com. From each request if absent.',
    }),
  ),
  trustedProxies: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    description:
      'Addresses of proxies whose X-Forwarded-* headers are believed. Empty: none, since anybody can send them.',
  }),
  requestTimeoutSec: Type.Integer({
    default: 300,
    minimum: 1,
    description: 'Longest time for a whole request to arrive; ends slow senders.',
  }),
  headersTimeoutSec: Type.Integer({
    default: 20,
    minimum: 1,
    description: 'Longest time for the headers of a request to arrive; ends slow senders.',
  }),
  minBodyBytesPerSec: Type.Integer({
    default: 1024,
    minimum: 0,
    description:
      'Slowest rate at which the body of a request may arrive while the server waits for it; ends slow senders. 0: any rate.',
  }),
  bodyGraceSec: Type.Integer({
    default: 10,
    minimum: 1,
    description: 'How long a sender may fall behind that rate before its request is ended.',
  }),
  stalledAnswerSec: Type.Integer({
    default: 120,
    minimum: 1,
    description:
      'How long a client may take nothing of an answer before its connection is cut; ends slow readers.',
  }),
  maxConnections: Type.Integer({
    default: 10_000,
    minimum: 1,
    description: 'Most open connections; protects memory and file descriptors.',
  }),
  drainDelaySec: Type.Integer({
    default: 0,
    minimum: 0,
    description:
      'How long after SIGTERM requests are still served while /health already says no, so that a load balancer stops sending any; a little more than it takes to notice.',
  }),
  drainTimeoutSec: Type.Integer({
    default: 30,
    minimum: 0,
    description: 'How long running requests may go on after SIGTERM.',
  }),
  corsOrigins: Type.Array(Type.String({ minLength: 1 }), {
    default: ['*'],
    description:
      'Origins of the pages that may upload from the browser; * allows all. Only uploads are opened.',
  }),
  metrics: Type.Union([Type.Literal('key'), Type.Literal('open'), Type.Literal('off')], {
    default: 'key',
    description:
      'Who may read `GET /metrics`: whoever has a private key, everybody (where a proxy keeps it inside), or nobody.',
  }),
  multipart: multipartOptions,
  spool: spoolOptions,
  limits: limitOptions,
})
export type HttpOptions = Static<typeof httpOptions>

export type HttpDeps = {
  options: HttpOptions
  signing: SigningOptions
  audit: AuditNotes
  account: Account
  library: Library
  delivery: Delivery
  store: Store
  usage: UsageMeter
  metrics: Metrics
  tracer: Tracer | undefined
  /** What rate limits count with. */
  counters: Counters
  blobs: Blobs
  clock: Clock
  ids: Ids
  /** Whether the server is about to stop, so that it should get no more requests. */
  isLeaving: () => boolean
  /** Shapes answers with the URLs that this request's client can reach. */
  presenterFor: (request: FastifyRequest) => Presenter
  /** Base of our URLs as this request's client sees them, without a trailing slash. */
  baseUrlFor: (request: FastifyRequest) => string
  /** Where a change comes from, for what is told of it. */
  originFor: (request: FastifyRequest) => Origin
}

/** Shapes files as answers do, for what is told of them elsewhere. */
export { createPresenter } from './present.ts'

/** What the server logs with; pino satisfies it. */
export type HttpLog = FastifyBaseLogger

export type HttpServer = {
  readonly app: FastifyInstance
  /** @returns the URL that it listens on. */
  listen(): Promise<string>
  /** Refuses new requests with 503, waits for the running ones, then closes. */
  drain(): Promise<void>
}

/** Longest path parameter that the router looks at: deep folders and long transformations live in delivery paths. */
const MAX_PARAM_LENGTH = 16_384

/** Longer than proxies keep connections, so that none sends a request on one that is just being closed. */
const KEEP_ALIVE_MS = 75_000

/** Puts the HTTP door together: hooks, errors, routes. Nothing listens yet. */
export async function createHttpServer(
  deps: Omit<HttpDeps, 'presenterFor' | 'baseUrlFor' | 'originFor' | 'isLeaving' | 'audit'> & {
    logger: HttpLog
    audit: AuditLog
    auditReads: boolean
  },
): Promise<HttpServer> {
  const { options, ids, account } = deps
  let leaving = false
  let draining = false
  let running = 0
  let idle: (() => void) | undefined
  const end = () => {
    running -= 1
    if (running === 0) idle?.()
  }
  const begin = (response: ServerResponse) => {
    running += 1
    // It is emitted once; `once` would wrap the listener anew for every request.
    response.on('close', end)
  }
  const app = Fastify({
    loggerInstance: deps.logger,
    logController: new LogController({ disableRequestLogging: true }),
    // Most requests log nothing, and a child of the logger costs as much as routing does; `sendError` names the request.
    childLoggerFactory: (logger) => logger,
    genReqId: () => ids.request(),
    trustProxy: options.trustedProxies.length > 0 ? options.trustedProxies : false,
    bodyLimit: 1024 * 1024,
    // Routes judge what they get by the contract's own wordings; the compilers would only take memory.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_PARAM_LENGTH },
    rewriteUrl: ({ url = '/' }) => withoutAlias(url, account.id),
    serverFactory: (handle) =>
      createServer(
        {
          requestTimeout: options.requestTimeoutSec * 1000,
          headersTimeout: options.headersTimeoutSec * 1000,
          // By itself Node looks for late ones every 30 s only.
          connectionsCheckingInterval: Math.min(30_000, options.headersTimeoutSec * 250),
          keepAliveTimeout: KEEP_ALIVE_MS,
          highWaterMark: 256 * 1024,
        },
        (request, response) => {
          shortcut.note(request, response)
          const recalled = answerRecalled(request)
          if (!recalled) return handle(request, response)
          begin(response)
          response.writeHead(recalled.status, recalled.head.pairs).end(recalled.body)
          shortcut.follow(request, response)
        },
      ),
    frameworkErrors: (error, request, reply) => {
      // No hook has seen this request: its URL could not be decoded.
      reply.headers({ 'x-ik-requestid': request.id, 'x-request-id': request.id, ...safeHeaders(request) })
      sendError(asDelivery(error, request), request, reply as never)
    },
    clientErrorHandler: answerBrokenRequest,
  })
  app.server.maxConnections = options.maxConnections
  const bodies = watchBodies({
    minBytesPerSec: options.minBodyBytesPerSec,
    graceSec: options.bodyGraceSec,
    refuse: (socket) => answerBrokenRequest({ code: 'ERR_HTTP_REQUEST_TIMEOUT' }, socket),
  })

  const safeHeaders = (request: FastifyRequest) => safeHeadersFor(request.raw.url ?? '', `/${account.id}/`)

  /** Delivery answers name their error in a header too, also where the router has refused the URL before them. */
  const asDelivery = (thrown: unknown, request: FastifyRequest): unknown => {
    if (new RegExp(`^/${account.id}(?:[/?]|$)`).test(request.raw.url ?? '')) {
      const { kind, message } = toTintypeError(thrown)
      return new TintypeError(kind, message, {
        headers: { 'ik-error': errorHeader(kind, message) },
        cause: thrown,
      })
    }
    return thrown
  }

  traceRequests(app, deps.tracer)
  app.addHook('onRequest', async (request, reply) => {
    begin(reply.raw)
    reply.headers({ 'x-ik-requestid': request.id, 'x-request-id': request.id, ...safeHeaders(request) })
    if (hasTwoHosts(request.raw.rawHeaders)) {
      reply.header('connection', 'close')
      throw badRequest('The request has more than one Host header.')
    }
    // The legacy SDK names a content type of the body that it does not send, as of a form.
    if (hasBody(request)) bodies.watch(request.raw)
    else delete request.raw.headers['content-type']
    if (draining) {
      reply.header('connection', 'close')
      throw new TintypeError('unavailable', 'The server is shutting down. Please try again.', {
        headers: { 'retry-after': '1' },
      })
    }
  })
  // Node would ask for the body at once; here it is asked for when nothing has refused the request by its headers.
  app.server.on('checkContinue', (request, response) => app.server.emit('request', request, response))
  app.addHook('preParsing', async (request, reply) => {
    if (request.headers.expect?.toLowerCase() === '100-continue') reply.raw.writeContinue()
  })
  app.addHook('onSend', async (request, reply, payload) => {
    // What the kernel takes at once needs no watching.
    if (payload !== null && typeof payload === 'object') {
      reply.raw.setTimeout(options.stalledAnswerSec * 1000, () => reply.raw.destroy())
    }
    // A body that has not been read to its end would be taken for the next request of the connection.
    const isUnread = hasBody(request) && !request.raw.complete
    if (draining || isUnread) reply.header('connection', 'close')
    if (isUnread) stopReading(request.raw)
  })
  const audit = auditRequests(app, { ...deps, reads: deps.auditReads })
  await limitRequests(app, { options: options.limits, account, counters: deps.counters, audit })
  const countRecalled = countRequests(app, { accountId: account.id, metrics: deps.metrics })
  const counter = countDelivery(app, { ...deps, accountId: account.id })
  const recalledAnswers = createRecalledAnswers({ ...deps, accountId: account.id, counter })
  const recall = (asked: Asked) => {
    const recalled = draining ? undefined : recalledAnswers(asked)
    if (recalled) countRecalled(asked.method, recalled.status)
    return recalled
  }
  const answerRecalled = ({ method = '', url = '', headers }: IncomingMessage) =>
    recall({ method, target: url, headers })
  const shortcut = createShortcut({
    answer: recall,
    keepAliveMs: KEEP_ALIVE_MS,
    begin() {
      running += 1
      return end
    },
  })
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const error = new TintypeError('not-found', 'The requested endpoint does not exist.')
    return sendError(asDelivery(error, request), request, reply)
  })

  const baseUrlFor = (request: FastifyRequest) => {
    if (options.publicUrl) return options.publicUrl.replace(/\/+$/, '')
    // It becomes part of URLs in answers, and is whatever the client says.
    if (!/^[A-Za-z0-9._~:[\]-]+$/.test(request.host)) throw badRequest('The Host header is not valid.')
    return `${request.protocol}://${request.host}`
  }
  const endpointFor = (request: FastifyRequest) => `${baseUrlFor(request)}/${account.id}`
  const full: HttpDeps = {
    ...deps,
    audit,
    isLeaving: () => leaving,
    baseUrlFor,
    presenterFor: (request) => createPresenter(endpointFor(request)),
    originFor: (request) => ({ endpoint: endpointFor(request), requestId: request.id }),
  }
  registerHealth(app, full)
  await registerUpload(app, full)
  registerFiles(app, full)
  registerFileChanges(app, full)
  registerVersions(app, full)
  registerMetadata(app, full)
  registerPurge(app, full)
  registerMetadataFields(app, full)
  registerAccount(app, full)
  registerUsage(app, full)
  registerFolders(app, full)
  registerBulkJobs(app, full)
  registerWebhooks(app, full)
  registerMetrics(app, full)
  registerClient(app)
  registerDocs(app, full)
  registerDelivery(app, full)
  await app.ready()

  return {
    app,
    listen: () => app.listen({ port: options.port, host: options.host }),
    async drain() {
      leaving = true
      if (options.drainDelaySec > 0) await sleep(options.drainDelaySec * 1000)
      draining = true
      if (running > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve
          setTimeout(resolve, options.drainTimeoutSec * 1000).unref()
        })
      }
      app.server.closeIdleConnections()
      // What never sent a whole request counts as busy, and once it is closed the server looks after late ones no more.
      const late = setTimeout(() => app.server.closeAllConnections(), LINGER_MS)
      await app.close()
      clearTimeout(late)
    },
  }
}

/** `/v2/…` is another name of `/v1/…`, which rclone's backend uses (contract notes 1.0). */
function withoutAlias(url: string, accountId: string): string {
  return url.startsWith('/v2/') && accountId !== 'v2' ? `/v1/${url.slice('/v2/'.length)}` : url
}

function noSchemas(): never {
  throw new Error('Routes have no schemas here.')
}

/** A proxy in front may go by the other one (RFC 9112, 3.2). */
function hasTwoHosts(rawHeaders: string[]): boolean {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1
}

function hasBody(request: FastifyRequest): boolean {
  const { headers } = request.raw
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Answers what could not even be parsed as HTTP. */
function answerBrokenRequest(error: { code?: string }, socket: import('node:net').Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const [status, message] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'The request did not arrive in time.']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ['431 Request Header Fields Too Large', 'The headers of the request are too large.']
        : ['400 Bad Request', 'The request is not valid HTTP.']
  const body = JSON.stringify({ message, help: 'Send a valid HTTP/1.1 request.' })
  if (socket.writable) {
    socket.end(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n${SAFE_HEADER_LINES}\r\n${body}`,
    )
  }
  // Node looks after it no more: a client that does not close its side would hold it for ever.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}
