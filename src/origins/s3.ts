import { Readable } from 'node:stream'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { TintypeError } from '../kernel/errors.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import {
  type DriverDeps,
  type OriginDocument,
  type OriginDriver,
  OriginFailure,
  objectName,
} from './driver.ts'
import { fetchFailure, statusFailure } from './http-answer.ts'

/** Names of regions as they occur in hosts of endpoints: `s3.eu-west-1.wasabisys.com`. */
const REGION = /(?:^|[.-])([a-z]{2}(?:-gov)?-[a-z]+-\d)(?=\.)/

/** A bucket of S3 or of a store that speaks its protocol (`S3`, `S3_COMPATIBLE`, `CLOUDINARY_BACKUP`). */
export function createS3(origin: OriginDocument, deps: DriverDeps): OriginDriver {
  const endpoint = typeof origin.endpoint === 'string' ? origin.endpoint : undefined
  const region = endpoint === undefined ? undefined : REGION.exec(new URL(endpoint).hostname)?.[1]
  const client = new S3Client({
    region: region ?? 'us-east-1',
    // The contract has no region for buckets of AWS: the service says where one is.
    followRegionRedirects: endpoint === undefined,
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: origin.s3ForcePathStyle === true,
    // Without keys the SDK takes the role of the machine.
    ...(origin.useIAMRole === true
      ? {}
      : {
          credentials: {
            accessKeyId: String(origin.accessKey),
            secretAccessKey: String(origin.secretKey),
          },
        }),
    requestHandler: guardedHandler(deps.safeFetch, deps.maxBytes, `origin:${origin.id}`),
    maxAttempts: 2,
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  return {
    handles: ({ url }) => url === null,
    async open({ path, known }) {
      try {
        const found = await client.send(
          new GetObjectCommand({
            Bucket: String(origin.bucket),
            Key: objectName(origin.prefix, path),
            ...(known?.etag ? { IfNoneMatch: known.etag } : {}),
          }),
        )
        const body = found.Body as Readable
        return {
          kind: 'found',
          etag: found.ETag ?? null,
          lastModified: found.LastModified?.toUTCString() ?? null,
          cacheControl: found.CacheControl ?? null,
          isPrivate: found.Metadata?.isprivatefile?.toLowerCase() === 'true',
          body,
          discard: () => body.destroy(),
        }
      } catch (error) {
        const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
        if (status === 304 && known) return { kind: 'unchanged', cacheControl: null }
        throw storeFailure(error, status)
      }
    },
  }
}

function storeFailure(error: unknown, status: number | undefined): unknown {
  if (error instanceof TintypeError) return fetchFailure(error)
  if (error instanceof Error && error.cause instanceof TintypeError) return fetchFailure(error.cause)
  const { name } = error as Error
  if (name === 'NoSuchKey' || name === 'NoSuchBucket') return statusFailure(404)
  if (name === 'CredentialsProviderError') {
    return new OriginFailure('EACCES', 'There are no credentials for the origin.', error)
  }
  return status === undefined
    ? new OriginFailure('UNIDENTIFIED', 'The origin could not be asked.', error)
    : statusFailure(status)
}

type SignedRequest = {
  method: string
  protocol: string
  hostname: string
  port?: number
  path: string
  query?: Record<string, string | string[] | null>
  headers: Record<string, string>
}

/** Sends what the SDK has signed through the guard that all requests to configured hosts pass. */
function guardedHandler(safeFetch: SafeFetch, maxBytes: number, key: string) {
  return {
    async handle(request: SignedRequest) {
      const port = request.port === undefined ? '' : `:${request.port}`
      const { headers } = request
      const response = await safeFetch.open(
        `${request.protocol}//${request.hostname}${port}${request.path}${queryText(request.query)}`,
        {
          failureMessage: 'The origin could not be reached.',
          maxBytes,
          headers,
          followRedirects: false,
          key,
        },
      )
      const body = Readable.from(response.body, { objectMode: false })
      body.once('close', response.discard)
      return {
        response: {
          statusCode: response.status,
          headers: Object.fromEntries(
            Object.entries(response.headers).flatMap(([name, value]) =>
              value === undefined ? [] : [[name, String(value)]],
            ),
          ),
          body,
        },
      }
    },
    metadata: { handlerProtocol: 'http/1.1' },
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
    destroy() {},
  }
}

function queryText(query: SignedRequest['query'] = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value ?? []].flat().map((one) => `${encodeURIComponent(name)}=${encodeURIComponent(one)}`),
  )
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}
