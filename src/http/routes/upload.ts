import type { IncomingMessage } from 'node:http'
import cors from '@fastify/cors'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Staged } from '../../blobs/blobs.ts'
import { badRequest, TintypeError } from '../../kernel/errors.ts'
import { FILE_TOO_LARGE } from '../../library/library.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'
import { BROKEN_BODY, type Form, MISSING_FILE, receiveForm } from '../multipart.ts'
import { createSpoolGuard, type SpoolTicket } from '../spool-guard.ts'
import { createUploadAuth, type UploadApi } from '../upload-auth.ts'
import { parseUploadParams } from '../upload-params.ts'

/** What is certainly no form around a file any more, and what base64 with line breaks adds to its size. */
const FORM_OVERHEAD_BYTES = 16 * 1024 * 1024
const BASE64_GROWTH = 1.4

/** `POST /api/v1/files/upload` and `/api/v2/files/upload` (contract notes 1.1 and 1.2), open to other origins. */
export async function registerUpload(app: FastifyInstance, deps: HttpDeps): Promise<void> {
  await app.register(
    async (scope) => {
      await scope.register(cors, {
        origin: deps.options.corsOrigins.includes('*') ? '*' : deps.options.corsOrigins,
        methods: ['POST'],
        credentials: false,
        // Its refusal of odd preflights would be plain text.
        strictPreflight: false,
        maxAge: 86_400,
        exposedHeaders: [
          'x-ik-requestid',
          'x-request-id',
          'x-ratelimit-limit',
          'x-ratelimit-reset',
          'x-ratelimit-interval',
          'retry-after-ms',
        ],
      })
      // The body stays unread: the handler streams it.
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
      scope.removeContentTypeParser(['application/json', 'text/plain'])
      for (const api of ['v1', 'v2'] as const) {
        scope.post(`/${api}/files/upload`, { onRequest: refuseEarly }, (request, reply) =>
          handleUpload(api, request, reply),
        )
      }
    },
    { prefix: '/api' },
  )

  const { account, blobs, library } = deps
  const guard = createSpoolGuard(deps.options.spool)
  const auth = createUploadAuth(deps)

  /** Refuses what the headers alone decide, before a client that asks (`Expect: 100-continue`) sends its body. */
  async function refuseEarly(request: FastifyRequest) {
    const { authorization } = request.headers
    if (authorization !== undefined) await requireKey(authorization, account, 'write')
    const mostBytes = library.uploads.highestSizeLimit * BASE64_GROWTH + FORM_OVERHEAD_BYTES
    if (Number(request.headers['content-length'] ?? 0) > mostBytes) {
      throw new TintypeError('too-large', FILE_TOO_LARGE)
    }
  }

  async function handleUpload(api: UploadApi, request: FastifyRequest, reply: FastifyReply) {
    const isKnown = request.headers.authorization !== undefined
    const gone = goneSignal(request.raw)
    let ticket: SpoolTicket | undefined
    let leavePlace: (() => void) | undefined
    try {
      if (!isKnown) ticket = await guard.enter(request.ip, gone)
      leavePlace = await guard.takePlace(gone)
      const form = await receiveForm(request.raw, {
        blobs: ticket === undefined ? blobs : accountedBlobs(blobs, ticket),
        options: deps.options.multipart,
        sizeLimit: library.uploads.sizeLimit,
        highestSizeLimit: library.uploads.highestSizeLimit,
        admit: async (fields) => (isKnown ? auth.refuseBeside(api, fields) : auth.screen(api, fields)),
      })
      return await takeForm(api, form, request, reply)
    } finally {
      leavePlace?.()
      ticket?.leave()
    }
  }

  async function takeForm(api: UploadApi, form: Form, request: FastifyRequest, reply: FastifyReply) {
    let staged: Staged | undefined = form.file?.kind === 'bytes' ? form.file.staged : undefined
    try {
      const key = await authenticate(api, form, request, reply)
      if (form.file === undefined) throw badRequest(MISSING_FILE)
      const params = parseUploadParams(form.fields)
      if (form.file.kind === 'url') staged = await library.uploads.download(form.file.url, key.id)
      const { file, extensionStatus } = await library.uploads.upload(staged!, params, deps.originFor(request))
      const asked = (field: (typeof params.responseFields)[number]) => params.responseFields.includes(field)
      reply.removeHeader('x-should-retry')
      return deps.presenterFor(request).upload(file, {
        responseFields: params.responseFields,
        metadata: asked('metadata') ? await library.metadata(file) : undefined,
        extensionStatus,
        fields: asked('selectedFieldsSchema') ? await library.fields.list({ includeDeleted: false }) : [],
      })
    } catch (error) {
      if (staged) await blobs.discard(staged)
      throw error
    }
  }

  async function authenticate(api: UploadApi, form: Form, request: FastifyRequest, reply: FastifyReply) {
    const { authorization } = request.headers
    if (authorization !== undefined) {
      auth.refuseBeside(api, form.fields)
      return requireKey(authorization, account, 'write')
    }
    const key = await auth.authenticate(api, form.fields)
    deps.audit.noteKey(request, key)
    // The token is used up from here on, so that repeating the request cannot help.
    reply.header('x-should-retry', 'false')
    return key
  }
}

/** Aborts when the sender goes away before its body is complete. */
function goneSignal(request: IncomingMessage): AbortSignal {
  const gone = new AbortController()
  const leave = () => {
    if (!request.complete) gone.abort(badRequest(BROKEN_BODY))
  }
  if (request.destroyed) leave()
  else request.once('close', leave)
  return gone.signal
}

/** The same blobs, with every staged byte charged to the sender's network. */
function accountedBlobs(blobs: HttpDeps['blobs'], ticket: SpoolTicket): HttpDeps['blobs'] {
  return {
    ...blobs,
    stage(options) {
      const writer = blobs.stage(options)
      return {
        get sizeBytes() {
          return writer.sizeBytes
        },
        async write(chunk) {
          ticket.take(chunk.length)
          await writer.write(chunk)
        },
        finish: () => writer.finish(),
        abort: () => writer.abort(),
      }
    },
  }
}
