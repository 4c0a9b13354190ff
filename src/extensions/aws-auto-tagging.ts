import type {
  DetectLabelsCommandOutput,
  RekognitionClient,
  RekognitionClientConfig,
  RekognitionServiceException,
} from '@aws-sdk/client-rekognition'
import { type Static, Type } from 'typebox'
import { TintypeError } from '../kernel/errors.ts'
import { createEndpoint, type Endpoint } from './endpoint.ts'
import {
  failedStatus,
  invalidAnswer,
  rateLimited,
  refusedCredentials,
  refusedRequest,
  timedOut,
} from './failures.ts'
import { readImage } from './image-input.ts'
import type { Provider } from './provider.ts'
import type { AutoTaggingRequest } from './requests.ts'
import { chooseTags } from './tags.ts'

export const awsOptions = Type.Object({
  endpoint: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description: 'Address of Amazon Rekognition, for aws-auto-tagging. Absent: that of the region.',
    }),
  ),
  region: Type.String({
    default: 'us-east-1',
    pattern: '^[a-z0-9-]{1,40}$',
    description: 'AWS region of Rekognition.',
  }),
  accessKeyId: Type.Optional(
    Type.String({ minLength: 1, description: 'AWS access key that may use rekognition:DetectLabels.' }),
  ),
  secretAccessKey: Type.Optional(
    Type.String({ minLength: 1, description: 'Secret key that belongs to `accessKeyId`. Secret.' }),
  ),
  timeoutMs: Type.Integer({
    default: 60_000,
    minimum: 100,
    description: 'Longest wait for an answer of Rekognition; protects the workers from a service that hangs.',
  }),
})
export type AwsOptions = Static<typeof awsOptions>

const SERVICE = 'Amazon Rekognition'
/** The service's own limit for images sent as bytes. */
const MAX_IMAGE_BYTES = 5 * 1024 * 1024
const MAX_ANSWER_BYTES = 1024 * 1024

/**
 * Labels by Amazon Rekognition (`DetectLabels`).
 * @returns undefined without both keys.
 */
export function createAwsAutoTagging(options: AwsOptions): Provider | undefined {
  const { accessKeyId, secretAccessKey, region, timeoutMs } = options
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined
  const url = options.endpoint ?? defaultEndpoint(region)
  const requestHandler = guardedHandler(createEndpoint({ service: SERVICE, urls: [url], timeoutMs }))
  let client: RekognitionClient | undefined

  return {
    id: 'aws',
    serves: ['aws-auto-tagging'],
    async run(extension, asset, signal) {
      const request = extension as AutoTaggingRequest
      const image = await readImage(asset, {
        service: SERVICE,
        mimes: ['image/jpeg', 'image/png'],
        maxBytes: MAX_IMAGE_BYTES,
        previewSidePx: 1600,
      })
      // Loaded on demand: the SDK takes a tenth of the memory of the whole server.
      const sdk = await import('@aws-sdk/client-rekognition')
      client ??= new sdk.RekognitionClient({
        endpoint: url,
        region,
        credentials: { accessKeyId, secretAccessKey },
        // Trying again is the job queue's, which spaces the tries and survives a restart.
        maxAttempts: 1,
        requestHandler,
      })
      const command = new sdk.DetectLabelsCommand({
        Image: { Bytes: image.bytes },
        MaxLabels: request.maxTags,
        MinConfidence: request.minConfidence,
      })
      let answer: DetectLabelsCommandOutput
      try {
        answer = await client.send(command, { abortSignal: signal })
      } catch (error) {
        const isServices = error instanceof sdk.RekognitionServiceException
        throw signal.aborted
          ? timedOut(SERVICE, error)
          : isServices
            ? failedCall(error)
            : failedOtherwise(error)
      }
      return { kind: 'ai-tags', tags: chooseTags(readLabels(answer), request) }
    },
    async close() {
      client?.destroy()
    },
  }
}

function defaultEndpoint(region: string): string {
  return `https://rekognition.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
}

/** The SDK passes on whatever the JSON held, so its types are wishes. */
function readLabels(answer: DetectLabelsCommandOutput): { name: string; confidence: number }[] {
  const labels: unknown = answer.Labels
  if (!Array.isArray(labels) || labels.length > 1000) throw invalidAnswer(SERVICE)
  return labels.map((label: { Name?: unknown; Confidence?: unknown } | null) => {
    const { Name: name, Confidence: confidence } = label ?? {}
    if (typeof name !== 'string' || typeof confidence !== 'number') throw invalidAnswer(SERVICE)
    return { name, confidence }
  })
}

/** What the SDK hands over to be sent: signed and complete. */
type SignedRequest = {
  protocol: string
  hostname: string
  port?: number
  path: string
  headers: Record<string, string>
  body: string | Uint8Array
}

/** Lets the SDK sign, write and read, but sends by our own client: with a bound on size, time and address. */
function guardedHandler(endpoint: Endpoint) {
  return {
    async handle(request: SignedRequest, options: { abortSignal?: unknown } = {}) {
      const { protocol, hostname, port, path, headers, body } = request
      const host = port === undefined ? hostname : `${hostname}:${port}`
      const answer = await endpoint.exchange({
        url: `${protocol}//${host}${path}`,
        headers,
        // A view of the bytes: a plain `Buffer.from(body)` asks the SDK's own kind of array for its text.
        body: typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength),
        maxBytes: MAX_ANSWER_BYTES,
        signal: options.abortSignal as AbortSignal,
      })
      // The SDK can read failures of its protocol only; what a proxy says is no JSON.
      if (answer.status >= 300 && !isJson(answer.bytes)) {
        const { status, headers, bytes } = answer
        throw failedStatus(SERVICE, { status, headers, detail: bytes.toString('utf8', 0, 500) })
      }
      const answerHeaders = Object.entries(answer.headers).map(([name, value]) => [name, String(value)])
      return {
        response: {
          statusCode: answer.status,
          headers: Object.fromEntries(answerHeaders) as Record<string, string>,
          body: new Uint8Array(answer.bytes),
        },
      }
    },
  } as unknown as NonNullable<RekognitionClientConfig['requestHandler']>
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString('utf8'))
    return true
  } catch {
    return false
  }
}

const CREDENTIAL_ERRORS = new Set([
  'AccessDeniedException',
  'UnrecognizedClientException',
  'InvalidSignatureException',
  'IncompleteSignatureException',
  'MissingAuthenticationTokenException',
  'ExpiredTokenException',
  'InvalidClientTokenId',
  'OptInRequired',
])
const THROTTLING_ERRORS = new Set([
  'ThrottlingException',
  'ProvisionedThroughputExceededException',
  'LimitExceededException',
  'TooManyRequestsException',
])

function failedOtherwise(error: unknown): TintypeError {
  return error instanceof TintypeError ? error : invalidAnswer(SERVICE, error)
}

/** What the service says went wrong. */
function failedCall(error: RekognitionServiceException): TintypeError {
  if (THROTTLING_ERRORS.has(error.name)) return rateLimited(SERVICE, error)
  if (CREDENTIAL_ERRORS.has(error.name)) return refusedCredentials(SERVICE, error)
  if (error.name === 'ImageTooLargeException') {
    return failedStatus(SERVICE, { status: 413, headers: {}, detail: error.name })
  }
  if (error.name === 'InvalidImageFormatException') {
    return refusedRequest(SERVICE, error, 'could not read the image')
  }
  return failedStatus(SERVICE, {
    status: error.$metadata.httpStatusCode ?? 500,
    headers: {},
    detail: `${error.name}: ${error.message.slice(0, 500)}`,
  })
}
