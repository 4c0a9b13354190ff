/** One step of a transformation: long names (`width`) or codes (`w`) with their values; `raw` is passed as it is. */
export type Transformation = Record<string, string | number | boolean | null | undefined>

export type UrlOptions = {
  /** A whole URL, e.g. the `url` of an upload's result (its transformation goes into the query), or a path. */
  src?: string
  /** A path below the URL endpoint. Give `src` or `path`. */
  path?: string
  /** Steps, applied from left to right. */
  transformation?: Transformation[]
  /** Where the transformation of a `path` goes; as in the constructor if absent. */
  transformationPosition?: 'path' | 'query'
  urlEndpoint?: string
  queryParameters?: Record<string, string | number | boolean>
}

/** What the backend is asked to sign (v2); posted as JSON to the authentication endpoint. */
export type SigningRequest = {
  /** Every form field of the upload but `file` and `token`, exactly as it will be sent. */
  uploadPayload: Record<string, string>
  /** Seconds that the token shall live. */
  expire: number
  publicKey: string
}

export type UploadTokenV2 = { token: string }
export type UploadSignatureV1 = { token: string; signature: string; expire: number | string }

export type ImageKitOptions = {
  publicKey: string
  /** e.g. `https://media.example.com/demo`. */
  urlEndpoint: string
  /**
   * The backend that signs: a URL (POSTed to with v2, fetched with v1), or a function of your own, e.g. to send your
   * session along.
   */
  authenticationEndpoint?:
    | string
    | ((
        request: SigningRequest,
        context: { signal: AbortSignal | undefined },
      ) => Promise<UploadTokenV2 | UploadSignatureV1> | UploadTokenV2 | UploadSignatureV1)
  /** v2 (default) signs every field of the upload; v1 signs only that some upload may happen. */
  apiVersion?: 'v1' | 'v2'
  /** Where Tintype answers API calls; the origin of `urlEndpoint` if absent. */
  endpoint?: string
  /** Seconds that a v2 token lives, 1 to 3600; 600 if absent. It must outlast the start of the upload, not its end. */
  expire?: number
  transformationPosition?: 'path' | 'query'
}

export type UploadProgress = { loaded: number; total: number; lengthComputable: boolean }

export type UploadOptions = {
  /** A File or Blob, or text: a URL to fetch, base64, or a data URI. */
  file: Blob | string
  fileName: string
  useUniqueFileName?: boolean
  tags?: string[] | string
  folder?: string
  isPrivateFile?: boolean
  isPublished?: boolean
  customCoordinates?: string
  responseFields?: string[] | string
  extensions?: object[] | string
  webhookUrl?: string
  overwriteFile?: boolean
  overwriteAITags?: boolean
  overwriteTags?: boolean
  overwriteCustomMetadata?: boolean
  customMetadata?: Record<string, unknown> | string
  transformation?: { pre?: string; post?: object[] } | string
  checks?: string
  description?: string
  /** Credentials that you already have; the authentication endpoint is then not asked. */
  token?: string
  signature?: string
  expire?: number | string
  onProgress?: (progress: UploadProgress) => void
  abortSignal?: AbortSignal
  /** An XMLHttpRequest of yours that has not been opened. */
  xhr?: object
}

export type ResponseMetadata = {
  statusCode: number
  headers: Record<string, string>
  requestId: string | undefined
}

export type UploadResult = {
  fileId: string
  name: string
  url: string
  filePath: string
  fileType: 'image' | 'non-image'
  size: number
  thumbnailUrl?: string
  height?: number
  width?: number
  tags?: string[] | null
  isPrivateFile?: boolean
  isPublished?: boolean
  customCoordinates?: string | null
  versionInfo: { id: string; name: string }
  /** Not enumerable. */
  readonly $ResponseMetadata: ResponseMetadata
  [field: string]: unknown
}

export type UploadCallback = (error: UploadError | null, result: UploadResult | null) => void

export type UploadError =
  | ImageKitInvalidRequestError
  | ImageKitAuthenticationError
  | ImageKitServerError
  | ImageKitUploadNetworkError
  | ImageKitAbortError

/** The request is wrong: something is missing before it is sent, or the server answered 4xx. */
export class ImageKitInvalidRequestError extends Error {
  readonly name: 'ImageKitInvalidRequestError'
  readonly help: string | undefined
  readonly $ResponseMetadata: ResponseMetadata | undefined
}

/** The authentication endpoint, or the function in its place, did not give credentials. */
export class ImageKitAuthenticationError extends Error {
  readonly name: 'ImageKitAuthenticationError'
  /** Status of the endpoint's answer, undefined if there was none. */
  readonly statusCode: number | undefined
}

/** The server failed (5xx), or answered with something that is not its own. */
export class ImageKitServerError extends Error {
  readonly name: 'ImageKitServerError'
  readonly help: string | undefined
  readonly $ResponseMetadata: ResponseMetadata | undefined
}

/** No answer: offline, refused by CORS, or cut off. */
export class ImageKitUploadNetworkError extends Error {
  readonly name: 'ImageKitUploadNetworkError'
}

/** `abortSignal` ended the upload; `reason` is the signal's. */
export class ImageKitAbortError extends Error {
  readonly name: 'ImageKitAbortError'
  readonly reason: unknown
}

export class ImageKit {
  constructor(options: ImageKitOptions)
  readonly options: Readonly<ImageKitOptions>
  /** Uploads one file. Without a callback it gives a promise that rejects with an `UploadError`. */
  upload(options: UploadOptions): Promise<UploadResult>
  upload(options: UploadOptions, callback: UploadCallback): void
  /** Builds a delivery URL. Gives an empty string without `src` and `path`. */
  url(options: UrlOptions): string
}

export default ImageKit
