// Uploads from the browser to Tintype. Plain ECMAScript in one file without imports, so that a server can send it
// as it is, as a module or as a classic script.

/** @import { ImageKitOptions, ResponseMetadata, SigningRequest, Transformation, UploadCallback, UploadError, UploadOptions, UploadResult, UrlOptions } from './imagekit.d.ts' */

/** Seconds that a token lives unless the options say otherwise: time to start an upload, little to steal one. */
const DEFAULT_EXPIRE_SEC = 600

/** Options of `upload` that are no form fields. `file` and the credentials are appended by name. */
const NOT_FIELDS = new Set([
  'file',
  'token',
  'signature',
  'expire',
  'publicKey',
  'onProgress',
  'abortSignal',
  'xhr',
])

/** Long names of transformation parameters and their codes (contract notes 3.1 to 3.6). */
const CODES = /** @type {Record<string, string>} */ ({
  width: 'w',
  height: 'h',
  aspectRatio: 'ar',
  background: 'bg',
  border: 'b',
  crop: 'c',
  cropMode: 'cm',
  dpr: 'dpr',
  focus: 'fo',
  zoom: 'z',
  x: 'x',
  y: 'y',
  xCenter: 'xc',
  yCenter: 'yc',
  quality: 'q',
  format: 'f',
  lossless: 'lo',
  progressive: 'pr',
  metadata: 'md',
  colorProfile: 'cp',
  density: 'dn',
  defaultImage: 'di',
  named: 'n',
  original: 'orig',
  page: 'pg',
  radius: 'r',
  rotation: 'rt',
  rotate: 'rt',
  flip: 'fl',
  blur: 'bl',
  opacity: 'o',
  trim: 't',
  colorReplace: 'cr',
  videoCodec: 'vc',
  audioCodec: 'ac',
  startOffset: 'so',
  endOffset: 'eo',
  duration: 'du',
  streamingResolutions: 'sr',
  fontSize: 'fs',
  fontFamily: 'ff',
  fontColor: 'co',
  innerAlignment: 'ia',
  padding: 'pa',
  alpha: 'al',
  typography: 'tg',
  lineHeight: 'lh',
  layerMode: 'lm',
  grayscale: 'e-grayscale',
  contrastStretch: 'e-contrast',
  sharpen: 'e-sharpen',
  unsharpMask: 'e-usm',
  shadow: 'e-shadow',
  gradient: 'e-gradient',
  distort: 'e-distort',
  colorize: 'e-colorize',
  aiRemoveBackground: 'e-bgremove',
  aiRemoveBackgroundExternal: 'e-removedotbg',
  aiChangeBackground: 'e-changebg',
  aiDropShadow: 'e-dropshadow',
  aiEdit: 'e-edit',
  aiRetouch: 'e-retouch',
  aiUpscale: 'e-upscale',
  aiVariation: 'e-genvar',
})

export class ImageKitInvalidRequestError extends Error {
  /** @type {'ImageKitInvalidRequestError'} */
  name = 'ImageKitInvalidRequestError'
  /**
   * @param {string} message
   * @param {{ help?: string | undefined, $ResponseMetadata?: ResponseMetadata }} [detail]
   */
  constructor(message, detail = {}) {
    super(message)
    this.help = detail.help
    this.$ResponseMetadata = detail.$ResponseMetadata
  }
}

export class ImageKitAuthenticationError extends Error {
  /** @type {'ImageKitAuthenticationError'} */
  name = 'ImageKitAuthenticationError'
  /**
   * @param {string} message
   * @param {{ statusCode?: number, cause?: unknown }} [detail]
   */
  constructor(message, detail = {}) {
    super(message, { cause: detail.cause })
    this.statusCode = detail.statusCode
  }
}

export class ImageKitServerError extends Error {
  /** @type {'ImageKitServerError'} */
  name = 'ImageKitServerError'
  /**
   * @param {string} message
   * @param {{ help?: string | undefined, $ResponseMetadata?: ResponseMetadata }} [detail]
   */
  constructor(message, detail = {}) {
    super(message)
    this.help = detail.help
    this.$ResponseMetadata = detail.$ResponseMetadata
  }
}

export class ImageKitUploadNetworkError extends Error {
  /** @type {'ImageKitUploadNetworkError'} */
  name = 'ImageKitUploadNetworkError'
}

export class ImageKitAbortError extends Error {
  /** @type {'ImageKitAbortError'} */
  name = 'ImageKitAbortError'
  /** @param {unknown} reason */
  constructor(reason) {
    super('Upload aborted')
    this.reason = reason
  }
}

export class ImageKit {
  /** @param {ImageKitOptions} options */
  constructor(options) {
    if (!options?.publicKey) throw new ImageKitInvalidRequestError('Missing publicKey during initialization')
    if (!options.urlEndpoint)
      throw new ImageKitInvalidRequestError('Missing urlEndpoint during initialization')
    if (/^private_/.test(options.publicKey)) {
      throw new ImageKitInvalidRequestError('publicKey is a private key: it must never reach a browser')
    }
    const { apiVersion = 'v2', transformationPosition = 'path' } = options
    if (apiVersion !== 'v1' && apiVersion !== 'v2') {
      throw new ImageKitInvalidRequestError('Invalid apiVersion parameter: use "v1" or "v2"')
    }
    if (transformationPosition !== 'path' && transformationPosition !== 'query') {
      throw new ImageKitInvalidRequestError('Invalid transformationPosition parameter: use "path" or "query"')
    }
    /** @type {Readonly<ImageKitOptions>} */
    this.options = Object.freeze({ ...options, apiVersion, transformationPosition })
  }

  /**
   * @overload
   * @param {UploadOptions} uploadOptions
   * @returns {Promise<UploadResult>}
   */
  /**
   * @overload
   * @param {UploadOptions} uploadOptions
   * @param {UploadCallback} callback
   * @returns {void}
   */
  /**
   * @param {UploadOptions} uploadOptions
   * @param {UploadCallback} [callback]
   */
  upload(uploadOptions, callback) {
    const result = upload(this.options, uploadOptions)
    if (!callback) return result
    result.then(
      // Off the promise, so that an error thrown by the callback shows up as the page's own.
      (value) => setTimeout(callback, 0, null, value),
      (/** @type {UploadError} */ error) => setTimeout(callback, 0, error, null),
    )
  }

  /** @param {UrlOptions} urlOptions */
  url(urlOptions) {
    return buildUrl(this.options, urlOptions)
  }
}

export default ImageKit

/**
 * Asks for credentials, then sends the form.
 * @param {Readonly<ImageKitOptions>} options
 * @param {UploadOptions} uploadOptions
 * @returns {Promise<UploadResult>}
 */
async function upload(options, uploadOptions) {
  if (!uploadOptions?.file) throw new ImageKitInvalidRequestError('Missing file parameter for upload')
  if (!uploadOptions.fileName) throw new ImageKitInvalidRequestError('Missing fileName parameter for upload')
  const signal = uploadOptions.abortSignal
  const fields = formFields(uploadOptions)
  const credentials = await obtainCredentials(options, uploadOptions, fields)
  if (signal?.aborted) throw new ImageKitAbortError(signal.reason)

  const form = new FormData()
  // Credentials and fields first: the server can then refuse a bad request before it receives the file.
  for (const [name, value] of Object.entries(credentials)) form.append(name, value)
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  const { file, fileName } = uploadOptions
  if (typeof file === 'string') form.append('file', file)
  else form.append('file', file, fileName)

  const base = (options.endpoint ?? new URL(options.urlEndpoint).origin).replace(/\/+$/, '')
  return send(`${base}/api/${options.apiVersion}/files/upload`, form, uploadOptions)
}

/**
 * The form fields as text. The same strings are signed and sent, so they are brought into the form that the browser
 * gives to values of a multipart form: line ends as CR LF and no lone surrogates. Otherwise a description of two
 * lines would no longer match its token.
 * @param {UploadOptions} uploadOptions
 * @returns {Record<string, string>}
 */
function formFields(uploadOptions) {
  /** @type {Record<string, string>} */
  const fields = {}
  for (const [name, value] of Object.entries(uploadOptions)) {
    if (NOT_FIELDS.has(name) || value === undefined || value === null) continue
    fields[name] = new TextDecoder('utf-8', { ignoreBOM: true })
      .decode(new TextEncoder().encode(fieldText(name, value)))
      .replace(/\r\n|\r|\n/g, '\r\n')
  }
  return fields
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function fieldText(name, value) {
  if (Array.isArray(value) && (name === 'tags' || name === 'responseFields')) return value.join(',')
  if (typeof value === 'object') return JSON.stringify(value)
  return String(value)
}

/**
 * The form fields that authenticate this upload.
 * @param {Readonly<ImageKitOptions>} options
 * @param {UploadOptions} uploadOptions
 * @param {Record<string, string>} fields
 * @returns {Promise<Record<string, string>>}
 */
async function obtainCredentials(options, uploadOptions, fields) {
  const { publicKey, apiVersion } = options
  /** @type {Record<string, unknown>} */
  let given = uploadOptions
  if (!uploadOptions.token) {
    const request = { uploadPayload: fields, expire: options.expire ?? DEFAULT_EXPIRE_SEC, publicKey }
    given = await authenticate(options, request, uploadOptions.abortSignal)
  }
  const needed = apiVersion === 'v1' ? ['token', 'signature', 'expire'] : ['token']
  for (const name of needed) {
    if (!given?.[name]) {
      throw new ImageKitAuthenticationError(
        `Missing ${name} for upload. With apiVersion "${apiVersion}" the authentication endpoint must answer with ${needed.join(', ')}.`,
      )
    }
  }
  const credentials = Object.fromEntries(needed.map((name) => [name, String(given[name])]))
  return apiVersion === 'v1' ? { publicKey, ...credentials } : credentials
}

/**
 * @param {Readonly<ImageKitOptions>} options
 * @param {SigningRequest} request
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<Record<string, unknown>>}
 */
async function authenticate(options, request, signal) {
  const { authenticationEndpoint, apiVersion } = options
  if (!authenticationEndpoint) {
    throw new ImageKitInvalidRequestError('Missing authentication endpoint for upload')
  }
  if (signal?.aborted) throw new ImageKitAbortError(signal.reason)
  try {
    if (typeof authenticationEndpoint === 'function') return await authenticationEndpoint(request, { signal })
    const init =
      apiVersion === 'v1'
        ? {}
        : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(request) }
    // One answer serves one upload, so a cached one is always wrong.
    const response = await fetch(authenticationEndpoint, {
      ...init,
      cache: 'no-store',
      signal: signal ?? null,
    })
    const body = await response.json().catch(() => undefined)
    if (!response.ok || typeof body !== 'object' || body === null) {
      throw new ImageKitAuthenticationError(
        body?.message ?? `The authentication endpoint answered ${response.status}`,
        { statusCode: response.status },
      )
    }
    return body
  } catch (error) {
    if (signal?.aborted) throw new ImageKitAbortError(signal.reason)
    if (error instanceof ImageKitAuthenticationError) throw error
    const message = typeof authenticationEndpoint === 'function' ? messageOf(error) : undefined
    throw new ImageKitAuthenticationError(
      message ?? 'Request to authentication endpoint failed due to network error',
      {
        cause: error,
      },
    )
  }
}

/**
 * XMLHttpRequest rather than fetch: only it tells how much of a body has been sent.
 * @param {string} url
 * @param {FormData} form
 * @param {UploadOptions} uploadOptions
 * @returns {Promise<UploadResult>}
 */
function send(url, form, uploadOptions) {
  const { onProgress, abortSignal } = uploadOptions
  return new Promise((resolve, reject) => {
    const xhr = /** @type {XMLHttpRequest} */ (uploadOptions.xhr ?? new XMLHttpRequest())
    const abort = () => {
      xhr.abort()
      reject(new ImageKitAbortError(abortSignal?.reason))
    }
    xhr.open('POST', url)
    // A listener on `upload` costs a CORS preflight, so there is one only if somebody wants to know.
    if (onProgress) xhr.upload.addEventListener('progress', (event) => onProgress(event))
    xhr.addEventListener('loadend', () => abortSignal?.removeEventListener('abort', abort))
    xhr.addEventListener('error', () =>
      reject(
        new ImageKitUploadNetworkError('Request to ImageKit upload endpoint failed due to network error'),
      ),
    )
    // Aborted by the owner of a given `xhr` rather than by the signal.
    xhr.addEventListener('abort', () => reject(new ImageKitAbortError(abortSignal?.reason)))
    xhr.addEventListener('load', () => {
      try {
        resolve(readAnswer(xhr))
      } catch (error) {
        reject(error)
      }
    })
    abortSignal?.addEventListener('abort', abort)
    xhr.send(form)
  })
}

/**
 * @param {XMLHttpRequest} xhr
 * @returns {UploadResult}
 */
function readAnswer(xhr) {
  const $ResponseMetadata = readMetadata(xhr)
  let body
  try {
    body = JSON.parse(xhr.responseText)
  } catch {
    body = undefined
  }
  if (typeof body !== 'object' || body === null) {
    throw new ImageKitServerError('The server did not answer in JSON. Is the endpoint right?', {
      $ResponseMetadata,
    })
  }
  if (xhr.status >= 200 && xhr.status < 300) {
    return Object.defineProperty(body, '$ResponseMetadata', { value: $ResponseMetadata })
  }
  const detail = { help: body.help, $ResponseMetadata }
  if (xhr.status >= 400 && xhr.status < 500) {
    throw new ImageKitInvalidRequestError(
      body.message ?? 'Invalid request. Please check the parameters.',
      detail,
    )
  }
  throw new ImageKitServerError(body.message ?? 'Server error occurred while uploading the file.', detail)
}

/**
 * @param {XMLHttpRequest} xhr
 * @returns {ResponseMetadata}
 */
function readMetadata(xhr) {
  /** @type {Record<string, string>} */
  const headers = {}
  for (const line of xhr
    .getAllResponseHeaders()
    .trim()
    .split(/[\r\n]+/)) {
    const colon = line.indexOf(':')
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { statusCode: xhr.status, headers, requestId: headers['x-request-id'] ?? headers['x-ik-requestid'] }
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof Error && error.message ? error.message : undefined
}

/**
 * @param {Readonly<ImageKitOptions>} options
 * @param {UrlOptions} urlOptions
 */
function buildUrl(options, urlOptions) {
  const { queryParameters = {} } = urlOptions
  // Newer SDKs allow a path as `src`.
  const isAbsolute = /^https?:\/\//i.test(urlOptions.src ?? '')
  const src = isAbsolute ? urlOptions.src : undefined
  const path = isAbsolute ? undefined : urlOptions.src || urlOptions.path
  if (!src && !path) return ''
  const steps = printTransformation(urlOptions.transformation)
  const inPath = (urlOptions.transformationPosition ?? options.transformationPosition) === 'path' && !src
  const url = new URL(src ?? urlOptions.urlEndpoint ?? options.urlEndpoint)
  if (path) {
    const [name = '', ...query] = path.split('?')
    const parts = [url.pathname, ...(steps && inPath ? [`tr:${steps}`] : []), name]
    // One slash between parts; those inside a part stay, e.g. of a web-proxy path (https://...).
    url.pathname = parts
      .map((part) => part.replace(/^\/+|\/+$/g, ''))
      .filter(Boolean)
      .join('/')
    url.search = query.join('?')
  }
  for (const [name, value] of Object.entries(queryParameters)) url.searchParams.append(name, String(value))
  if (!steps || inPath) return url.href
  // Appended as text: URLSearchParams would turn the commas of a transformation into escapes.
  const escaped = steps.replace(/[\s"<>#&+]|[^\x20-\x7e]+/g, (text) => encodeURIComponent(text))
  const [base, hash] = url.href.split('#')
  return `${base}${url.search ? '&' : '?'}tr=${escaped}${hash === undefined ? '' : `#${hash}`}`
}

/** @param {Transformation[] | undefined} steps */
function printTransformation(steps = []) {
  return steps.map(printStep).filter(Boolean).join(':')
}

/** @param {Transformation} step */
function printStep(step) {
  const parts = []
  for (const [name, value] of Object.entries(step)) {
    if (value === undefined || value === null) continue
    const code = Object.hasOwn(CODES, name) ? CODES[name] : name
    if (typeof value === 'object')
      throw new ImageKitInvalidRequestError(`Transformation ${name} must be text`)
    const isEffect = code?.startsWith('e-')
    if (name === 'raw') parts.push(String(value))
    else if (value === '-' || (isEffect && (value === true || value === 'true' || value === '')))
      parts.push(code)
    else if (isEffect && (value === false || value === 'false')) continue
    // Slashes would end the transformation in a path, so paths inside values spell them @@.
    else if (code === 'di' || code === 'ff') {
      parts.push(
        `${code}-${String(value)
          .replace(/^\/+|\/+$/g, '')
          .replaceAll('/', '@@')}`,
      )
    } else parts.push(`${code}-${value}`)
  }
  return parts.join(',')
}
