import { type Static, Type } from 'typebox'
import { createEndpoint, type EndpointAnswer, methodUrl } from './endpoint.ts'
import { failedStatus, refusedRequest } from './failures.ts'
import { imageResult, readImage } from './image-input.ts'
import type { Provider } from './provider.ts'
import type { RemoveBgRequest } from './requests.ts'

export const removeBgOptions = Type.Object({
  endpoint: Type.String({
    default: 'https://api.remove.bg',
    pattern: '^https?://',
    description: 'Address of the remove.bg API.',
  }),
  apiKey: Type.Optional(Type.String({ minLength: 1, description: 'API key of remove.bg. Secret.' })),
  size: Type.Enum(['auto', 'preview', 'full', '50MP'], {
    default: 'auto',
    description: 'Largest result to ask for; `auto` takes the largest that the credit allows.',
  }),
  format: Type.Enum(['png', 'webp', 'auto'], {
    default: 'png',
    description: 'Format to ask for; remove.bg makes PNG up to 10 megapixels, WebP up to 50.',
  }),
  maxResultBytes: Type.Integer({
    default: 64 * 1024 * 1024,
    minimum: 1024,
    description: 'Largest picture taken from remove.bg; protects memory.',
  }),
  timeoutMs: Type.Integer({
    default: 60_000,
    minimum: 100,
    description: 'Longest wait for an answer of remove.bg; protects the workers from a service that hangs.',
  }),
})
export type RemoveBgOptions = Static<typeof removeBgOptions>

const SERVICE = 'remove.bg'
const METHOD = ['v1.0', 'removebg']
/** The service's own limit. */
const MAX_IMAGE_BYTES = 22 * 1024 * 1024

/**
 * Cut-outs by remove.bg (REST API 1.0).
 * @returns undefined without a key.
 */
export function createRemoveBg(options: RemoveBgOptions): Provider | undefined {
  const { apiKey, timeoutMs, maxResultBytes } = options
  if (apiKey === undefined) return undefined
  const url = methodUrl(options.endpoint, METHOD)
  const endpoint = createEndpoint({ service: SERVICE, urls: [url], timeoutMs })

  return {
    id: 'remove-bg',
    serves: ['remove-bg'],
    async run(extension, asset, signal) {
      const image = await readImage(asset, {
        service: SERVICE,
        mimes: ['image/jpeg', 'image/png', 'image/webp'],
        maxBytes: MAX_IMAGE_BYTES,
        previewSidePx: 5000,
      })
      const form = new FormData()
      form.set('image_file', new Blob([new Uint8Array(image.bytes)], { type: image.mime }), 'image')
      form.set('size', options.size)
      form.set('format', options.format)
      for (const [name, value] of Object.entries((extension as RemoveBgRequest).options ?? {})) {
        if (value !== '') form.set(name, String(value))
      }
      // The platform writes the form; only the sending is ours.
      const written = new Response(form)
      const answer = await endpoint.exchange({
        url,
        headers: {
          'x-api-key': apiKey,
          'content-type': written.headers.get('content-type')!,
          accept: 'image/*, application/json;q=0.5',
        },
        body: Buffer.from(await written.arrayBuffer()),
        maxBytes: maxResultBytes,
        signal,
      })
      if (answer.status !== 200) throw failedRemoval(answer)
      return imageResult(SERVICE, answer.bytes)
    },
  }
}

/** A 400 carries `{ errors: [{ title, code }] }`; the code that people meet gets words of its own. */
function failedRemoval(answer: EndpointAnswer) {
  const { status, headers } = answer
  const detail = answer.bytes.toString('utf8', 0, 500)
  if (status === 400 && detail.includes('"unknown_foreground"')) {
    return refusedRequest(SERVICE, new Error(`status 400: ${detail}`), 'found no foreground in the image')
  }
  // An empty or unasked success, too: only a 200 brings a picture.
  return failedStatus(SERVICE, { status: status < 300 ? 300 : status, headers, detail })
}
