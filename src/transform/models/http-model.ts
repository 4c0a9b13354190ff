import { hash } from 'node:crypto'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { badRequest, TintypeError } from '../../kernel/errors.ts'
import { createSafeFetch } from '../../kernel/safe-fetch.ts'
import type { ModelAnswer, ModelOptions, ModelProvider, ModelRequest } from './models.ts'

const MEBI = 1024 * 1024
const UNAVAILABLE = 'The model that the transformation needs cannot be reached at the moment.'

const imageAnswer = Type.Object({ image: Type.Object({ data: Type.String({ minLength: 1 }) }) })
const side = Type.Number({ minimum: 0, maximum: 100_000 })
const objectsAnswer = Type.Object({
  objects: Type.Array(Type.Object({ x: side, y: side, width: side, height: side }), { maxItems: 1000 }),
})
const refusal = Type.Object({ message: Type.String({ minLength: 1, maxLength: 500 }) })

/**
 * A server of the operator's own, asked by JSON: one POST with the picture and what is wanted, one answer with another
 * picture or with places in it (docs/delivery.md). The operator chose its address, so private ones are allowed.
 */
export function createHttpModel(options: ModelOptions & { url: string }): ModelProvider {
  const { url, token, operations, timeoutMs } = options
  const { hostname, port } = new URL(url)
  const safeFetch = createSafeFetch({
    allowHosts: [hostname.replace(/^\[|\]$/g, '')],
    allowedLowPorts: [80, 443, ...(port !== '' && Number(port) < 1024 ? [Number(port)] : [])],
    deniedPorts: [],
    maxRedirects: 0,
    maxConcurrent: options.maxConcurrent,
    maxConcurrentPerKey: options.maxConcurrent,
    headersTimeoutMs: timeoutMs,
    totalTimeoutMs: timeoutMs,
    queueTimeoutMs: timeoutMs,
    failureFloorMs: 0,
  })

  async function exchange(body: string, signal: AbortSignal): Promise<{ status: number; text: string }> {
    try {
      const response = await safeFetch.open(url, {
        failureMessage: UNAVAILABLE,
        maxBytes: options.maxResultMiB * MEBI,
        method: 'POST',
        headers: {
          accept: 'application/json',
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body,
        followRedirects: false,
        signal,
      })
      const chunks: Buffer[] = []
      for await (const chunk of response.body) chunks.push(chunk)
      return { status: response.status, text: Buffer.concat(chunks).toString('utf8') }
    } catch (cause) {
      throw new TintypeError('unavailable', UNAVAILABLE, { headers: { 'retry-after': '30' }, cause })
    }
  }

  return {
    id: `http:${hash('sha256', url).slice(0, 16)}`,
    operations,
    async run(request) {
      const { operation, parameters, image, widthPx, heightPx } = request
      const { status, text } = await exchange(
        JSON.stringify({
          operation,
          parameters,
          image: { mime: 'image/png', width: widthPx, height: heightPx, data: image.toString('base64') },
        }),
        request.signal,
      )
      if (status === 200) return readAnswer(request, parseJson(text))
      const said = parseJson(text)
      // Only what the picture or the parameters are to blame for is meant for whoever asked.
      if (status === 400 || status === 422) {
        throw badRequest(Value.Check(refusal, said) ? said.message : 'The model did not accept the picture.')
      }
      throw new TintypeError('unavailable', UNAVAILABLE, {
        headers: { 'retry-after': '30' },
        cause: new Error(`status ${status}: ${text.slice(0, 500)}`),
      })
    },
  }
}

function readAnswer({ operation }: ModelRequest, answer: unknown): ModelAnswer {
  if (operation === 'detect' && Value.Check(objectsAnswer, answer)) {
    const objects = answer.objects.map(({ x, y, width, height }) => ({
      leftPx: x,
      topPx: y,
      widthPx: width,
      heightPx: height,
    }))
    return {
      kind: 'objects',
      objects: objects.filter(({ widthPx, heightPx }) => widthPx >= 1 && heightPx >= 1),
    }
  }
  if (operation !== 'detect' && Value.Check(imageAnswer, answer)) {
    return { kind: 'image', bytes: Buffer.from(answer.image.data, 'base64') }
  }
  throw new TintypeError('unavailable', 'The model gave an answer that cannot be used.', {
    cause: new Error(`not an answer to ${operation}`),
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
