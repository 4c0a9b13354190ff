import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { Server } from './server.ts'

export type Answer = {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  /** The body as JSON; throws when it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of the API are judged by assertions, not by types
  json(): any
}

export type RequestOptions = {
  method?: string
  headers?: Record<string, string>
  body?: Buffer | string
}

/**
 * One HTTP request whose target is sent as it is written: no normalising of dots, percent signs or slashes, no
 * added headers, no redirects followed.
 * @param target path with query.
 */
export function send(
  server: Pick<Server, 'url'>,
  target: string,
  options: RequestOptions = {},
): Promise<Answer> {
  const { hostname, port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        hostname,
        port,
        path: target,
        method: options.method ?? 'GET',
        headers: options.headers ?? {},
        agent: false,
        timeout: 30_000,
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const body = Buffer.concat(chunks)
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body,
            json: () => JSON.parse(body.toString('utf8')),
          })
        })
      },
    )
    request.on('timeout', () => request.destroy(new Error(`no answer to ${target} in time`)))
    request.on('error', reject)
    request.end(options.body)
  })
}

/** Value of the Authorization header for a private key, as curl and the SDKs send it. */
export function basic(privateKey: string): string {
  return `Basic ${Buffer.from(`${privateKey}:`).toString('base64')}`
}

/** One part of a form: a text field, or a file with a name. */
export type Part = { name: string; value: string | Buffer; fileName?: string; type?: string }

export type UploadOptions = {
  version?: 'v1' | 'v2'
  /** Value of the Authorization header; null sends none. */
  authorization?: string | null
  headers?: Record<string, string>
}

/** Sends a form to the upload API, parts in the given order. */
export function uploadParts(server: Server, parts: Part[], options: UploadOptions = {}): Promise<Answer> {
  const { body, type } = encodeForm(parts)
  const authorization = options.authorization === undefined ? basic(server.privateKey) : options.authorization
  return send(server, `/api/${options.version ?? 'v1'}/files/upload`, {
    method: 'POST',
    headers: {
      'content-type': type,
      'content-length': String(body.length),
      ...(authorization === null ? {} : { authorization }),
      ...options.headers,
    },
    body,
  })
}

/** Uploads bytes with further fields as text. */
export function uploadFile(
  server: Server,
  file: Buffer | string,
  fields: Record<string, string>,
  options: UploadOptions = {},
): Promise<Answer> {
  const part: Part =
    typeof file === 'string' ? { name: 'file', value: file } : { name: 'file', value: file, fileName: 'x' }
  return uploadParts(
    server,
    [part, ...Object.entries(fields).map(([name, value]) => ({ name, value }))],
    options,
  )
}

const BOUNDARY = '----tintype-test-boundary'

/** A multipart/form-data body, written out so that tests control each byte. */
export function encodeForm(parts: Part[]): { body: Buffer; type: string } {
  const chunks: Buffer[] = []
  for (const { name, value, fileName, type } of parts) {
    const file = fileName === undefined ? '' : `; filename="${fileName}"`
    const contentType =
      fileName === undefined
        ? type
          ? `Content-Type: ${type}\r\n`
          : ''
        : `Content-Type: ${type ?? 'application/octet-stream'}\r\n`
    chunks.push(
      Buffer.from(
        `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n${contentType}\r\n`,
      ),
      Buffer.from(value as string),
      Buffer.from('\r\n'),
    )
  }
  chunks.push(Buffer.from(`--${BOUNDARY}--\r\n`))
  return { body: Buffer.concat(chunks), type: `multipart/form-data; boundary=${BOUNDARY}` }
}
