import type { IncomingMessage } from 'node:http'
import { finished, type Readable } from 'node:stream'
import { Busboy } from '@fastify/busboy'
import { type Static, Type } from 'typebox'
import type { Blobs, Staged, StagingWriter } from '../blobs/blobs.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import { createBase64Decoder } from './base64.ts'

export const multipartOptions = Type.Object({
  maxFields: Type.Integer({
    default: 64,
    minimum: 1,
    description: 'Most form fields in one upload; protects memory.',
  }),
  maxFieldBytes: Type.Integer({
    default: 64 * 1024,
    minimum: 1024,
    description: 'Longest value of a field; protects memory.',
  }),
  maxJsonFieldBytes: Type.Integer({
    default: 256 * 1024,
    minimum: 1024,
    description: 'Longest value of customMetadata, extensions and transformation; protects memory.',
  }),
  maxFieldBytesTotal: Type.Integer({
    default: 1024 * 1024,
    minimum: 1024,
    description: 'All field values of an upload together; protects memory.',
  }),
})
export type MultipartOptions = Static<typeof multipartOptions>

/** A received form. Whoever holds it commits or discards `file.staged`. */
export type Form = {
  /** Name and value of every field except `file`, in the order of arrival; values are UTF-8 text, never retyped. */
  fields: [name: string, value: string][]
  file: FormFile | undefined
}

export type FormFile = { kind: 'bytes'; staged: Staged } | { kind: 'url'; url: string }

const JSON_FIELDS = new Set(['customMetadata', 'extensions', 'transformation'])
const PART_HEADER_BYTES = 16 * 1024
const MAX_FIELD_NAME_BYTES = 200
const MAX_URL_BYTES = 8 * 1024
/** Enough to tell a URL or data URI from base64 and to find the comma of a data URI. */
const TEXT_PROBE_BYTES = 256
/** Of a file, what may have arrived without being written. */
const MAX_WAITING_BYTES = 256 * 1024
/** What is still read from a refused request, so that small ones end in peace (trust M12). */
const DRAIN_BYTES = 64 * 1024
/** How long a refused client may take to read the answer before its connection is cut. */
export const LINGER_MS = 2000

export const MISSING_FILE = 'Your request is missing file parameter.'
export const BROKEN_BODY = 'Your request body could not be read. Send a complete multipart/form-data body.'
const BAD_BASE64 =
  'Your request contains invalid file parameter. It is neither binary content, nor base64, nor an http(s) URL.'

/**
 * Receives a multipart upload: streams the file part into staging while it arrives (whatever its form: binary,
 * base64, data URI) and collects the fields, in any order. Nothing stays behind when it fails.
 *
 * `@fastify/busboy` is driven directly, since the multipart plugin cuts base64 fields short, retypes JSON parts and
 * answers 500 to broken bodies (trust E11–E13).
 * @param upload.admit called with the fields so far before the first byte of the file is read; may refuse.
 * @throws TintypeError bad-request, unsupported, too-large, or what `admit` throws.
 */
export function receiveForm(
  request: IncomingMessage,
  upload: {
    blobs: Blobs
    options: MultipartOptions
    /** Largest file in bytes, given its first bytes. */
    sizeLimit: (head: Buffer) => Promise<number>
    /** Largest file of any kind; the limit until the first bytes are known. */
    highestSizeLimit: number
    admit: (fields: Form['fields']) => Promise<void>
  },
): Promise<Form> {
  const { options } = upload
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    return Promise.reject(new TintypeError('unsupported', 'Compressed request bodies are not supported.'))
  }
  if (!/^multipart\/form-data *(?:;|$)/i.test(request.headers['content-type'] ?? '')) {
    return Promise.reject(badRequest(MISSING_FILE))
  }
  // It has closed already, and would not say so again.
  if (request.destroyed && !request.complete) return Promise.reject(badRequest(BROKEN_BODY))
  let busboy: InstanceType<typeof Busboy>
  try {
    busboy = new Busboy({
      headers: request.headers as typeof request.headers & { 'content-type': string },
      highWaterMark: 1024 * 1024,
      fileHwm: 1024 * 1024,
      limits: {
        fieldSize: options.maxJsonFieldBytes,
        fields: options.maxFields,
        files: 2,
        parts: options.maxFields + 2,
        headerPairs: 100,
        headerSize: PART_HEADER_BYTES,
      },
      isPartAFile: (name, _type, fileName) => name === 'file' || fileName !== undefined,
    })
  } catch (cause) {
    return Promise.reject(badRequest(MISSING_FILE, { cause }))
  }

  return new Promise((resolve, reject) => {
    const fields: Form['fields'] = []
    let fieldBytes = 0
    let settled = false
    let writer: StagingWriter | undefined
    let filePart: Promise<FormFile | undefined> | undefined
    let fileStream: Readable | undefined
    const tooManyFields = () =>
      fail(badRequest(`Your request has too many fields. At most ${options.maxFields} are allowed.`))

    const fail = (error: unknown) => {
      if (settled) return
      settled = true
      request.unpipe(busboy)
      stopReading(request)
      busboy.removeAllListeners('field').removeAllListeners('file')
      busboy.on('error', () => {})
      busboy.destroy()
      // It ends with its sender gone; otherwise whoever reads it would wait for ever, and keep the sender's place.
      fileStream?.destroy()
      const cleanUp = async () => {
        await writer?.abort()
        const file = await filePart?.catch(() => undefined)
        if (file?.kind === 'bytes') await upload.blobs.discard(file.staged)
      }
      cleanUp().then(
        () => reject(error),
        () => reject(error),
      )
    }

    busboy.on('field', (name, value, _nameTruncated, valueTruncated) => {
      const bytes = Buffer.byteLength(value)
      fieldBytes += bytes
      if (name === undefined) return fail(badRequest(BROKEN_BODY))
      if (Buffer.byteLength(name) > MAX_FIELD_NAME_BYTES) {
        return fail(badRequest('Your request contains a field with too long a name.'))
      }
      const limit = JSON_FIELDS.has(name) ? options.maxJsonFieldBytes : options.maxFieldBytes
      if (valueTruncated || bytes > limit || fieldBytes > options.maxFieldBytesTotal) {
        return fail(badRequest(`Your request contains invalid ${name} parameter. The value is too long.`))
      }
      fields.push([name, value])
    })
    busboy.on('file', (name, stream, fileName, _encoding, type) => {
      // The stream of a body that ends early fails after we have stopped looking; that must not end the process.
      stream.on('error', () => {})
      if (name !== 'file') {
        return fail(badRequest(`Your request contains invalid ${name} parameter. It should not be a file.`))
      }
      if (filePart !== undefined) return fail(badRequest('Your request contains more than one file.'))
      fileStream = stream
      const isText = fileName === undefined && type === 'text/plain'
      filePart = takeFilePart(stream, isText, {
        admit: () => upload.admit(fields),
        open: () => {
          writer = openLimitedWriter(upload)
          return writer
        },
      })
      filePart.catch(fail)
    })
    busboy.on('fieldsLimit', tooManyFields)
    busboy.on('partsLimit', tooManyFields)
    busboy.on('filesLimit', () => fail(badRequest('Your request contains more than one file.')))
    busboy.on('error', (cause: unknown) => fail(badRequest(BROKEN_BODY, { cause })))
    busboy.on('finish', () => {
      Promise.resolve(filePart).then((file) => {
        if (settled) return
        settled = true
        resolve({ fields, file })
      }, fail)
    })
    request.on('close', () => {
      if (!request.complete) fail(badRequest(BROKEN_BODY))
    })
    request.on('error', (cause) => fail(badRequest(BROKEN_BODY, { cause })))
    request.pipe(busboy)
  })
}

/** A staging writer whose limit follows from what the first bytes say the file is. */
function openLimitedWriter(upload: {
  blobs: Blobs
  sizeLimit: (head: Buffer) => Promise<number>
  highestSizeLimit: number
}): StagingWriter {
  const SNIFF_BYTES = 4100
  let limit = upload.highestSizeLimit
  let head: Buffer | undefined = Buffer.alloc(0)
  let judged: Promise<number> | undefined
  const inner = upload.blobs.stage({ maxBytes: () => limit })
  return {
    get sizeBytes() {
      return inner.sizeBytes
    },
    async write(chunk) {
      if (head !== undefined) {
        head = Buffer.concat([head, chunk.subarray(0, SNIFF_BYTES - head.length)])
        if (head.length >= SNIFF_BYTES) {
          // One answer for all that wait for it: they go on in their order.
          judged ??= upload.sizeLimit(head)
          limit = await judged
          head = undefined
        }
      }
      await inner.write(chunk)
    },
    finish: () => inner.finish(),
    abort: () => inner.abort(),
  }
}

/**
 * Consumes the `file` part. Text that begins with `http://` or `https://` is a URL, with `data:` a data URI,
 * anything else must be base64 (trust B04).
 */
async function takeFilePart(
  stream: Readable,
  isText: boolean,
  target: { admit: () => Promise<void>; open: () => StagingWriter },
): Promise<FormFile | undefined> {
  await target.admit()
  if (!isText) {
    const writer = target.open()
    await pour(stream, (chunk) => writer.write(chunk))
    if (writer.sizeBytes === 0) {
      await writer.abort()
      throw badRequest(MISSING_FILE)
    }
    return { kind: 'bytes', staged: await writer.finish() }
  }

  let probe: Buffer = Buffer.alloc(0)
  let writer: StagingWriter | undefined
  let decode: ((text: Buffer) => Buffer) | undefined
  const decoder = createBase64Decoder(BAD_BASE64)
  let isUrl = false
  const start = () => {
    const text = probe.toString('latin1')
    if (/^https?:\/\//i.test(text)) {
      isUrl = true
      return
    }
    writer = target.open()
    decode = decoder.decode
    if (/^data:/i.test(text)) {
      const comma = text.indexOf(',')
      if (comma < 0 || !/;base64$/i.test(text.slice(0, comma))) throw badRequest(BAD_BASE64)
      probe = probe.subarray(comma + 1)
    }
  }
  await pour(stream, async (chunk) => {
    if (decode) return writer!.write(decode(chunk))
    probe = Buffer.concat([probe, chunk])
    if (!isUrl && probe.length >= TEXT_PROBE_BYTES) {
      start()
      if (decode) await writer!.write((decode as (text: Buffer) => Buffer)(probe))
    }
    if (isUrl && probe.length > MAX_URL_BYTES) {
      throw badRequest('Your request contains invalid file parameter. The URL is too long.')
    }
  })
  if (probe.length === 0) throw badRequest(MISSING_FILE)
  if (!isUrl && !decode) {
    start()
    if (decode) await writer!.write((decode as (text: Buffer) => Buffer)(probe))
  }
  if (isUrl) return { kind: 'url', url: probe.toString('utf8').trim() }
  await writer!.write(decoder.end())
  if (writer!.sizeBytes === 0) {
    await writer!.abort()
    throw badRequest(MISSING_FILE)
  }
  return { kind: 'bytes', staged: await writer!.finish() }
}

/**
 * Hands each chunk of a stream on as it comes: iterating over the stream would copy those that have gathered into one.
 * The stream rests while more than `MAX_WAITING_BYTES` wait to be written.
 */
function pour(stream: Readable, write: (chunk: Buffer) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let waitingBytes = 0
    let last = Promise.resolve()
    stream.on('data', (chunk: Buffer) => {
      waitingBytes += chunk.length
      if (waitingBytes > MAX_WAITING_BYTES) stream.pause()
      last = write(chunk).then(() => {
        waitingBytes -= chunk.length
        if (waitingBytes <= MAX_WAITING_BYTES) stream.resume()
      })
      last.catch(reject)
    })
    finished(stream, { writable: false }, (error) => (error ? reject(error) : last.then(resolve, reject)))
  })
}

const stopped = new WeakSet<IncomingMessage>()

/**
 * Stops taking the body of a refused request. The connection stays open for a moment after the answer, since
 * closing it with unread bytes makes the kernel send a reset, and many clients then lose the answer.
 */
export function stopReading(request: IncomingMessage): void {
  if (request.complete || stopped.has(request)) return
  stopped.add(request)
  let drained = 0
  request.on('data', (chunk: Buffer) => {
    drained += chunk.length
    if (drained > DRAIN_BYTES) request.pause()
  })
  request.on('error', () => {})
  const { socket } = request
  socket.destroySoon = () => {
    socket.end()
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }
}
