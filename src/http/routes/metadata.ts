import type { FastifyInstance } from 'fastify'
import { badRequest, notFound, TintypeError } from '../../kernel/errors.ts'
import { requireKey } from '../auth.ts'
import type { HttpDeps } from '../http.ts'
import { ownTarget, readUrlParameter } from '../own-url.ts'

const INACCESSIBLE = 'The requested file does not exist or is inaccessible at this time.'

/** The legacy metadata object, by file id and by URL (contract notes 1.3). */
export function registerMetadata(app: FastifyInstance, deps: HttpDeps): void {
  const { account, library, delivery, baseUrlFor } = deps

  app.get<{ Params: { fileId: string } }>('/v1/files/:fileId/metadata', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const file = await library.file(request.params.fileId).catch(inaccessible)
    return library.metadata(file, { strict: true })
  })

  // A URL with a transformation means the transformed image, any other the original.
  app.get('/v1/metadata', async (request) => {
    await requireKey(request.headers.authorization, account, 'read')
    const url = readUrlParameter(request.raw.url ?? '')
    const target = url && ownTarget(url, baseUrlFor(request), account.id)
    if (!target) throw badRequest('The url should be accessible using your ImageKit.io account.')
    const { version, isTransformed } = await delivery.find(target).catch(inaccessible)
    if (!isTransformed) return library.metadata(version, { strict: true })
    const delivered = await delivery.deliver({ target, headers: {}, isTrusted: true }).catch(inaccessible)
    return library.metadataOf(await delivered.open(), version.name)
  })
}

/** Says "not found" in the words of the metadata API; other errors pass. */
function inaccessible(error: unknown): never {
  const isHidden =
    error instanceof TintypeError && (error.kind === 'not-found' || error.kind === 'unauthorized')
  throw isHidden ? notFound(INACCESSIBLE, { cause: error }) : error
}
