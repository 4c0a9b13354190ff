import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import type { TintypeError } from '../kernel/errors.ts'
import { createEndpoint, methodUrl } from './endpoint.ts'
import { failedStatus, invalidAnswer, rateLimited, refusedRequest, unavailable } from './failures.ts'
import { createGoogleTokens, parseServiceAccount } from './google-token.ts'
import { readImage } from './image-input.ts'
import type { Provider } from './provider.ts'
import type { AutoTaggingRequest } from './requests.ts'
import { chooseTags } from './tags.ts'

export const googleOptions = Type.Object({
  endpoint: Type.String({
    default: 'https://vision.googleapis.com',
    pattern: '^https?://',
    description: 'Address of the Cloud Vision API, for google-auto-tagging.',
  }),
  apiKey: Type.Optional(
    Type.String({ minLength: 1, description: 'API key of Google Cloud with Cloud Vision enabled. Secret.' }),
  ),
  serviceAccountJson: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Key of a service account, as the JSON text of its file; instead of `apiKey`. Secret.',
    }),
  ),
  timeoutMs: Type.Integer({
    default: 60_000,
    minimum: 100,
    description:
      'Longest wait for an answer of Cloud Vision; protects the workers from a service that hangs.',
  }),
})
export type GoogleOptions = Static<typeof googleOptions>

const SERVICE = 'Google Cloud Vision'
const SCOPE = 'https://www.googleapis.com/auth/cloud-vision'
const METHOD = ['v1', 'images:annotate']
/** The service takes JSON of at most 10 MB, and base64 adds a third. */
const MAX_IMAGE_BYTES = 7 * 1024 * 1024
const MAX_ANSWER_BYTES = 1024 * 1024

const annotateAnswer = Type.Object({
  responses: Type.Array(
    Type.Object({
      labelAnnotations: Type.Optional(
        Type.Array(Type.Object({ description: Type.String(), score: Type.Optional(Type.Number()) }), {
          maxItems: 1000,
        }),
      ),
      error: Type.Optional(
        Type.Object({ code: Type.Optional(Type.Integer()), message: Type.Optional(Type.String()) }),
      ),
    }),
    { minItems: 1, maxItems: 1 },
  ),
})

/**
 * Labels by Google Cloud Vision (`images:annotate`, LABEL_DETECTION).
 * @returns undefined without credentials.
 * @throws Error when the service account's key cannot be read.
 */
export function createGoogleAutoTagging(options: GoogleOptions): Provider | undefined {
  if (options.apiKey === undefined && options.serviceAccountJson === undefined) return undefined
  const { apiKey, timeoutMs } = options
  const tokens =
    apiKey === undefined
      ? createGoogleTokens(parseServiceAccount(options.serviceAccountJson!), { scope: SCOPE, timeoutMs })
      : undefined
  const url = methodUrl(options.endpoint, METHOD)
  const endpoint = createEndpoint({ service: SERVICE, urls: [url], timeoutMs })

  /** In a header, since URLs end up in the logs of everything in between. */
  const authorize = async (signal: AbortSignal): Promise<Record<string, string>> =>
    tokens ? { authorization: `Bearer ${await tokens.get(signal)}` } : { 'x-goog-api-key': apiKey! }

  return {
    id: 'google',
    serves: ['google-auto-tagging'],
    async run(extension, asset, signal) {
      const request = extension as AutoTaggingRequest
      const image = await readImage(asset, {
        service: SERVICE,
        mimes: ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/bmp'],
        maxBytes: MAX_IMAGE_BYTES,
        previewSidePx: 1600,
      })
      const answer = await endpoint.exchange({
        url,
        headers: {
          ...(await authorize(signal)),
          'content-type': 'application/json',
          accept: 'application/json',
        },
        body: JSON.stringify({
          requests: [
            {
              image: { content: image.bytes.toString('base64') },
              features: [{ type: 'LABEL_DETECTION', maxResults: request.maxTags }],
            },
          ],
        }),
        maxBytes: MAX_ANSWER_BYTES,
        signal,
      })
      if (answer.status === 401) tokens?.forget()
      const value = endpoint.readJson(answer)
      if (!Value.Check(annotateAnswer, value)) throw invalidAnswer(SERVICE)
      const [result] = value.responses
      if (result!.error?.code) throw failedAnnotation(result!.error)
      const labels = result!.labelAnnotations ?? []
      return {
        kind: 'ai-tags',
        tags: chooseTags(
          labels.map(({ description, score = 0 }) => ({ name: description, confidence: score * 100 })),
          request,
        ),
      }
    },
  }
}

/** An image can fail inside an answer that succeeds; the numbers are those of `google.rpc.Code`. */
function failedAnnotation(error: { code?: number; message?: string }): TintypeError {
  const cause = new Error(`code ${error.code}: ${error.message?.slice(0, 500)}`)
  switch (error.code) {
    case 8:
      return rateLimited(SERVICE, cause)
    case 4:
    case 13:
    case 14:
      return unavailable(SERVICE, cause)
    case 7:
    case 16:
      return failedStatus(SERVICE, { status: 403, headers: {}, detail: cause.message })
    default:
      return refusedRequest(SERVICE, cause, 'could not read the image')
  }
}
