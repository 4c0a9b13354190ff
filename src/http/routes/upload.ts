import cors from '@fastify/cors'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Staged } from '../../blobs/blobs.ts'
import { badRequest, TintypeError } from '../../kernel/errors.ts'
import {
  authenticateUploadToken,
  checkUploadClaims,
  usedTokenError,
  verifyUploadSignature,
} from '../../signing/signing.ts'
import { requireKey, requireScope } from '../auth.ts'
import type { HttpDeps } from '../http.ts'
import { type Form, MISSING_FILE, receiveForm, stopReading } from '../multipart.ts'
import { createSpoolGuard, type SpoolTicket } from '../spool-guard.ts'
import { parseUploadParams } from '../upload-params.ts'

type UploadApi = 'v1' | 'v2'

/** Fields that authenticate a client-side upload; a request with a private key must carry none of them. */
const CREDENTIALS: Record<UploadApi, string[]> = {
  v1: ['publicKey', 'signature', 'expire', 'token'],
  v2: ['token'],
}
const BOTH_KINDS: Record<UploadApi, string> = {
  v1: 'Your request contains both signature and basic auth parameter. Use only one method, you might be exposing your private API key.',
  v2: 'Your request contains both token and basic auth parameter. Use only one method, you might be exposing your private API key.',
}
/** A token in an error message is cut here: the documented text repeats it, whatever its length. */
const SHOWN_TOKEN_CHARACTERS = 200

/** `POST /api/v1/files/upload` and `/api/v2/files/upload` (contract notes 1.1 and 1.2), open to other origins. */
export async function registerUpload(app: FastifyInstance, deps: HttpDeps): Promise<void> {
  await app.register(
    async (scope) => {
      await scope.register(cors, {
        origin: deps.options.corsOrigins.includes('*') ? '*' : deps.options.corsOrigins,
        methods: ['POST'],
        credentials: false,
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
        scope.post(`/${api}/files/upload`, (request, reply) => handleUpload(api, request, reply))
      }
    },
    { prefix: '/api' },
  )

  const guard = createSpoolGuard(deps.options.spool)

  async function handleUpload(api: UploadApi, request: FastifyRequest, reply: FastifyReply) {
    const { library, blobs, account } = deps
    const { authorization } = request.headers
    let ticket: SpoolTicket | undefined
    try {
      if (authorization !== undefined) await requireKey(authorization, account, 'write')
      else ticket = await guard.enter(request.ip)
      const form = await receiveForm(request.raw, {
        blobs: ticket === undefined ? blobs : accountedBlobs(blobs, ticket),
        options: deps.options.multipart,
        sizeLimit: library.uploads.sizeLimit,
        highestSizeLimit: library.uploads.highestSizeLimit,
        admit: async (fields) => {
          if (authorization !== undefined) refuseCredentials(api, fields)
        },
      })
      return await takeForm(api, form, request, reply)
    } catch (error) {
      if (!request.raw.complete) stopReading(request.raw)
      throw error
    } finally {
      ticket?.leave()
    }
  }

  async function takeForm(api: UploadApi, form: Form, request: FastifyRequest, reply: FastifyReply) {
    const { library, blobs } = deps
    let staged: Staged | undefined = form.file?.kind === 'bytes' ? form.file.staged : undefined
    try {
      if (request.headers.authorization === undefined) {
        await authenticateForm(api, form.fields)
        // From here on the token is used up, so that repeating the request cannot help.
        reply.header('x-should-retry', 'false')
      } else refuseCredentials(api, form.fields)
      if (form.file === undefined) throw badRequest(MISSING_FILE)
      const params = parseUploadParams(form.fields)
      if (form.file.kind === 'url') staged = await library.uploads.download(form.file.url)
      const file = await library.uploads.upload(staged!, params)
      const asked = (field: (typeof params.responseFields)[number]) => params.responseFields.includes(field)
      reply.removeHeader('x-should-retry')
      return deps.presenterFor(request).upload(file, {
        responseFields: params.responseFields,
        metadata: asked('metadata') ? await library.metadata(file) : undefined,
        fields: asked('selectedFieldsSchema') ? await library.fields.list({ includeDeleted: false }) : [],
      })
    } catch (error) {
      if (staged) await blobs.discard(staged)
      throw error
    }
  }

  /**
   * Authenticates a client-side upload and uses its token up, in a transaction of its own that is committed before
   * anything else happens: exactly one request wins, and the token stays used whatever comes after (trust 2.2).
   */
  async function authenticateForm(api: UploadApi, fields: Form['fields']): Promise<void> {
    const context = {
      findKey: (publicKey: string) => deps.account.findByPublicKey(publicKey),
      nowMs: deps.clock.now(),
      skewSec: deps.signing.uploadSkewSec,
    }
    const value = (name: string) => fields.find((field) => field[0] === name)?.[1]
    if (api === 'v1') {
      if (!CREDENTIALS.v1.some((name) => value(name) !== undefined)) {
        throw new TintypeError('unauthorized', 'Your request does not contain private API key.')
      }
      refuseRepeated(fields, CREDENTIALS.v1)
      const { key, useKey, expiresAtMs } = await verifyUploadSignature(
        {
          publicKey: value('publicKey'),
          signature: value('signature'),
          expire: value('expire'),
          token: value('token'),
        },
        context,
      )
      requireScope(key, 'write')
      await useUp(useKey, expiresAtMs, value('token')!)
      return
    }
    refuseRepeated(fields, CREDENTIALS.v2)
    const { key, useKey, expiresAtMs, claims } = await authenticateUploadToken(value('token'), context)
    requireScope(key, 'write')
    await useUp(useKey, expiresAtMs, value('token')!)
    checkUploadClaims({ ...context, claims, fields: fields.filter(([name]) => name !== 'token') })
  }

  async function useUp(useKey: string, expiresAtMs: number, token: string): Promise<void> {
    const isFirst = await deps.store.transaction((tx) => tx.tokens.consume(useKey, expiresAtMs))
    if (!isFirst) throw usedTokenError(token.slice(0, SHOWN_TOKEN_CHARACTERS))
  }
}

function refuseCredentials(api: UploadApi, fields: Form['fields']): void {
  if (fields.some(([name]) => CREDENTIALS[api].includes(name))) throw badRequest(BOTH_KINDS[api])
}

function refuseRepeated(fields: Form['fields'], names: string[]): void {
  for (const name of names) {
    if (fields.filter((field) => field[0] === name).length > 1) {
      throw badRequest(`Your request contains ${name} parameter more than once.`)
    }
  }
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
