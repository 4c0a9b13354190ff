import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { planQuestions, readChanges } from './ai-tasks.ts'
import { type BackgroundSource, readBackground } from './background.ts'
import { createEndpoint, type Endpoint, type EndpointAnswer } from './endpoint.ts'
import { invalidAnswer } from './failures.ts'
import { type ImageInput, imageResult, readImage } from './image-input.ts'
import type { Pixels } from './local/pixels.ts'
import type { ExtensionResult, Provider } from './provider.ts'
import { EXTENSION_NAMES, type ExtensionName, type RemoveBgRequest } from './requests.ts'
import { chooseTags, readDescription } from './tags.ts'

export const modelServerOptions = Type.Object({
  url: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description:
        'A model server of your own that does extensions; docs/extensions.md says what it is asked.',
    }),
  ),
  token: Type.Optional(
    Type.String({ minLength: 1, description: 'Sent to the model server as a bearer token. Secret.' }),
  ),
  extensions: Type.Array(Type.Enum([...EXTENSION_NAMES]), {
    default: [...EXTENSION_NAMES],
    description: 'Extensions that the model server does, unless the service of that name is set up.',
  }),
  maxImageBytes: Type.Integer({
    default: 16 * 1024 * 1024,
    minimum: 1024,
    description: 'Largest picture sent as it is; larger ones are sent smaller. Protects memory.',
  }),
  maxResultBytes: Type.Integer({
    default: 64 * 1024 * 1024,
    minimum: 1024,
    description: 'Largest answer taken from the model server; protects memory.',
  }),
  timeoutMs: Type.Integer({
    default: 60_000,
    minimum: 100,
    description: 'Longest wait for the model server; protects the workers from one that hangs.',
  }),
})
export type ModelServerOptions = Static<typeof modelServerOptions>

const SERVICE = 'The model server'
const MIMES = ['image/jpeg', 'image/png', 'image/webp']
/** Decoded size of a mask or cut-out; protects memory. */
const MAX_RESULT_PIXELS = 50_000_000

const tagsAnswer = Type.Object({
  tags: Type.Array(Type.Object({ name: Type.String(), confidence: Type.Number() }), { maxItems: 1000 }),
})
const descriptionAnswer = Type.Object({ description: Type.String() })
const questionsAnswer = Type.Object({
  answers: Type.Array(Type.Object({}), { maxItems: 10 }),
})
const base64 = Type.Object({ data: Type.String() })
const cutOutAnswer = Type.Union([Type.Object({ mask: base64 }), Type.Object({ image: base64 })])

/**
 * Extensions by a server that the operator runs. The protocol is ours: one POST with the picture and what is wanted,
 * one answer with what was found. What follows from it (limits, vocabularies, backgrounds, changes) is done here.
 * @returns undefined without a URL.
 */
export function createModelServer(
  options: ModelServerOptions,
  deps: { pixels: Pixels; backgrounds: BackgroundSource },
): Provider | undefined {
  const { url, token, timeoutMs, maxResultBytes } = options
  if (url === undefined) return undefined
  const endpoint = createEndpoint({ service: SERVICE, urls: [url], timeoutMs })

  async function ask(
    extension: ExtensionName,
    wishes: { task: string } & Record<string, unknown>,
    image: ImageInput,
    signal: AbortSignal,
  ): Promise<EndpointAnswer> {
    return endpoint.post({
      url: url!,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        'content-type': 'application/json',
        accept: wishes.task === 'cut-out' ? 'application/json, image/png, image/webp' : 'application/json',
      },
      body: JSON.stringify({
        version: 1,
        extension,
        ...wishes,
        image: { mime: image.mime, data: image.bytes.toString('base64') },
      }),
      maxBytes: wishes.task === 'cut-out' ? maxResultBytes : 1024 * 1024,
      signal,
    })
  }

  async function cutOut(
    request: RemoveBgRequest,
    image: ImageInput,
    signal: AbortSignal,
  ): Promise<ExtensionResult> {
    const wishes = request.options ?? {}
    const background = await readBackground(wishes, deps.backgrounds, signal)
    const addShadow = wishes.add_shadow ?? false
    const answer = await ask(request.name, { task: 'cut-out', addShadow }, image, signal)
    const { mask, cut } = readCutOut(endpoint, answer)
    const hardEdges = wishes.semitransparency === false
    // The picture as it came is the result where nothing is left to be done to it.
    if (cut && !background && !hardEdges) return imageResult(SERVICE, cut)
    const result = await deps.pixels.run(
      {
        kind: 'cut-out',
        image: cut ?? image.bytes,
        mask: mask && { image: mask },
        background,
        hardEdges,
        format: 'png',
        maxPixels: MAX_RESULT_PIXELS,
      },
      signal,
    )
    return imageResult(SERVICE, Buffer.from(result.bytes))
  }

  return {
    id: 'http',
    serves: options.extensions,
    async run(request, asset, signal) {
      const image = await readImage(asset, {
        service: SERVICE,
        mimes: MIMES,
        maxBytes: options.maxImageBytes,
        previewSidePx: request.name === 'remove-bg' ? 5000 : 1600,
      })
      switch (request.name) {
        case 'google-auto-tagging':
        case 'aws-auto-tagging': {
          const { minConfidence, maxTags } = request
          const answer = await ask(request.name, { task: 'tags', minConfidence, maxTags }, image, signal)
          const { tags } = read(tagsAnswer, endpoint.readJson(answer))
          return { kind: 'ai-tags', tags: chooseTags(tags, request) }
        }
        case 'ai-auto-description': {
          const answer = await ask(request.name, { task: 'description' }, image, signal)
          const { description } = read(descriptionAnswer, endpoint.readJson(answer))
          return { kind: 'description', description: readDescription(SERVICE, description) }
        }
        case 'ai-tasks': {
          const questions = planQuestions(request.tasks, asset.fields)
          const answer = await ask(request.name, { task: 'questions', questions }, image, signal)
          const { answers } = read(questionsAnswer, endpoint.readJson(answer))
          return {
            kind: 'changes',
            changes: readChanges(request.tasks, questions, answers, SERVICE, asset.fields),
          }
        }
        case 'remove-bg':
          return cutOut(request, image, signal)
      }
    },
  }
}

function read<T extends TSchema>(schema: T, value: unknown): Static<T> {
  if (!Value.Check(schema, value)) {
    const [error] = Value.Errors(schema, value)
    throw invalidAnswer(SERVICE, new Error(`${error?.instancePath} ${error?.message}`))
  }
  return value
}

/** The picture itself, or JSON with the picture or with its mask. */
function readCutOut(endpoint: Endpoint, answer: EndpointAnswer): { mask?: Buffer; cut?: Buffer } {
  if (answer.headers['content-type']?.startsWith('image/')) return { cut: answer.bytes }
  const value = read(cutOutAnswer, endpoint.readJson(answer))
  return 'mask' in value
    ? { mask: Buffer.from(value.mask.data, 'base64') }
    : { cut: Buffer.from(value.image.data, 'base64') }
}
