import { type Static, Type } from 'typebox'
import type { Rect } from '../operations.ts'
import { MODEL_OPERATIONS, type ModelOperation, type ModelParameters } from '../plan-models.ts'
import { createHttpModel } from './http-model.ts'

/** Who does what needs a model. None is set up by default. */
export const modelOptions = Type.Object({
  url: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description:
        'A server of your own that does what needs a model in transformations; docs/delivery.md says what it is asked.',
    }),
  ),
  token: Type.Optional(
    Type.String({ minLength: 1, description: 'Sent to that server as a bearer token. Secret.' }),
  ),
  operations: Type.Array(Type.Enum([...MODEL_OPERATIONS]), {
    default: [...MODEL_OPERATIONS],
    description: 'What that server does.',
  }),
  timeoutMs: Type.Integer({
    default: 120_000,
    minimum: 100,
    description: 'Longest wait for a model; ends calls of one that hangs.',
  }),
  maxResultMiB: Type.Integer({
    default: 64,
    minimum: 1,
    description: 'Largest answer that is taken from a model; protects memory.',
  }),
  maxConcurrent: Type.Integer({
    default: 2,
    minimum: 1,
    description: 'Pictures that models work on at once; protects them and memory.',
  }),
  maxQueued: Type.Integer({
    default: 32,
    minimum: 0,
    description: 'Pictures that wait for a model; further requests are answered 503.',
  }),
  waitMs: Type.Integer({
    default: 3000,
    minimum: 0,
    description:
      'How long a request waits for a model before it is answered with a page that says to come back.',
  }),
  failureMaxAgeSec: Type.Integer({
    default: 60,
    minimum: 0,
    description: 'How long a failure is answered at once before the model is asked again.',
  }),
})
export type ModelOptions = Static<typeof modelOptions>

export type ModelRequest = {
  operation: ModelOperation
  parameters: ModelParameters
  /** A PNG file. */
  image: Buffer
  widthPx: number
  heightPx: number
  signal: AbortSignal
}

export type ModelAnswer =
  | { kind: 'image'; bytes: Buffer }
  /** In pixels of the picture. */
  | { kind: 'objects'; objects: Rect[] }

/** Something that does operations. */
export type ModelProvider = {
  /** Names the provider in cache keys: pictures of another one are other pictures. */
  readonly id: string
  readonly operations: readonly ModelOperation[]
  /**
   * Does one operation once.
   * @throws TintypeError with a public message: bad-request where the picture or the parameters are to blame.
   */
  run(request: ModelRequest): Promise<ModelAnswer>
}

/**
 * The providers that the settings name, the most special first.
 * @param others providers that other parts of the server offer.
 */
export function createModelProviders(options: ModelOptions, others: ModelProvider[] = []): ModelProvider[] {
  const own = options.url === undefined ? [] : [createHttpModel({ ...options, url: options.url })]
  return [...others, ...own]
}
