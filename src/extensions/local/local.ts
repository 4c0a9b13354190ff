import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { type Static, Type } from 'typebox'
import { type BackgroundSource, readBackground } from '../background.ts'
import { imageResult, readImage } from '../image-input.ts'
import type { Provider } from '../provider.ts'
import type { AutoTaggingRequest, ExtensionName } from '../requests.ts'
import { chooseTags } from '../tags.ts'
import type { ModelFile, Normalization } from './job.ts'
import type { Pixels } from './pixels.ts'

const normalization = (value: Normalization) =>
  Type.Enum(['imagenet', 'clip', 'half', 'unit', 'none'], {
    default: value,
    description:
      'How the model wants its pixels: scaled as for ImageNet or CLIP models, to -1…1 (`half`), to 0…1 (`unit`), or as they are.',
  })
const inputSizePx = (value: number) =>
  Type.Integer({
    default: value,
    minimum: 16,
    maximum: 4096,
    description: "Side of the model's input, where the model file leaves it open.",
  })
const modelPath = (use: string) =>
  Type.Optional(
    Type.String({ minLength: 1, description: `ONNX file of a model ${use}. Needs onnxruntime-node.` }),
  )

export const localOptions = Type.Object({
  tagging: Type.Object({
    modelPath: modelPath('that classifies pictures, for google-auto-tagging and aws-auto-tagging'),
    labelsPath: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "What the model's outputs mean: a text file with a label a line, or JSON with a vector for each label.",
      }),
    ),
    activation: Type.Enum(['softmax', 'sigmoid', 'none'], {
      default: 'softmax',
      description:
        'What makes confidences of the outputs: softmax for one label a picture, sigmoid for several, none if the model has done it.',
    }),
    normalization: normalization('imagenet'),
    inputSizePx: inputSizePx(224),
  }),
  cutOut: Type.Object({
    modelPath: modelPath('that tells the subject of a picture from its background, for remove-bg'),
    activation: Type.Enum(['minmax', 'sigmoid', 'none'], {
      default: 'minmax',
      description:
        'What makes opacities of the outputs: stretching them to the full range, a sigmoid, or nothing.',
    }),
    normalization: normalization('imagenet'),
    inputSizePx: inputSizePx(320),
    format: Type.Enum(['png', 'webp'], { default: 'png', description: 'Format of the cut-out.' }),
  }),
  threads: Type.Integer({
    default: 1,
    minimum: 1,
    maximum: 64,
    description: 'Processors that a model may use at once; leaves the others to delivery.',
  }),
  maxMegapixels: Type.Number({
    default: 50,
    minimum: 1,
    description: 'Largest picture that is decoded for a model or a mask; protects memory.',
  }),
  timeoutMs: Type.Integer({
    default: 60_000,
    minimum: 100,
    description:
      'Longest time for one picture, loading the model included; then its process is killed. Ends what runs wild.',
  }),
  queue: Type.Integer({
    default: 32,
    minimum: 0,
    description: 'Most pictures that wait for the model; protects memory.',
  }),
  idleMs: Type.Integer({
    default: 60_000,
    minimum: 0,
    description: 'How long models stay in memory without work.',
  }),
})
export type LocalOptions = Static<typeof localOptions>

const SERVICE = 'The model of this server'
const MAX_IMAGE_BYTES = 64 * 1024 * 1024
const MIMES = ['image/jpeg', 'image/png', 'image/webp']

/**
 * Tags and cut-outs by model files on this machine; no picture leaves it.
 * @returns undefined without a model.
 * @throws Error when a file or the runtime is missing.
 */
export function createLocal(
  options: LocalOptions,
  deps: { pixels: Pixels; backgrounds: BackgroundSource },
): Provider | undefined {
  const { tagging, cutOut } = options
  const maxPixels = Math.round(options.maxMegapixels * 1e6)
  const tagger = tagging.modelPath === undefined ? undefined : modelFile(tagging.modelPath, tagging, options)
  const cutter = cutOut.modelPath === undefined ? undefined : modelFile(cutOut.modelPath, cutOut, options)
  if (!tagger && !cutter) return undefined
  assertRuntime()
  const labelsPath = tagger ? labelsFile(tagging.labelsPath) : ''
  const serves: ExtensionName[] = [
    ...(tagger ? (['google-auto-tagging', 'aws-auto-tagging'] as const) : []),
    ...(cutter ? (['remove-bg'] as const) : []),
  ]

  return {
    id: 'local',
    serves,
    async run(request, asset, signal) {
      const { bytes: image } = await readImage(asset, {
        service: SERVICE,
        mimes: MIMES,
        maxBytes: MAX_IMAGE_BYTES,
        previewSidePx: request.name === 'remove-bg' ? 5000 : 1600,
      })
      if (request.name === 'remove-bg') {
        const { options: wishes = {} } = request
        const result = await deps.pixels.run(
          {
            kind: 'cut-out',
            image,
            mask: { model: cutter!, activation: cutOut.activation },
            background: await readBackground(wishes, deps.backgrounds, signal),
            hardEdges: wishes.semitransparency === false,
            format: cutOut.format,
            maxPixels,
          },
          signal,
        )
        return imageResult(SERVICE, Buffer.from(result.bytes))
      }
      const { labels } = await deps.pixels.run(
        {
          kind: 'classify',
          image,
          model: tagger!,
          labelsPath,
          activation: tagging.activation,
          maxPixels,
        },
        signal,
      )
      return { kind: 'ai-tags', tags: chooseTags(labels, request as AutoTaggingRequest) }
    },
  }
}

function modelFile(
  path: string,
  model: { normalization: Normalization; inputSizePx: number },
  options: LocalOptions,
): ModelFile {
  return {
    path: existing(path, 'The model file'),
    normalization: model.normalization,
    inputSizePx: model.inputSizePx,
    threads: options.threads,
  }
}

function labelsFile(path: string | undefined): string {
  if (path === undefined) {
    throw new Error(
      'extensions.local.tagging.modelPath is set, but extensions.local.tagging.labelsPath is not',
    )
  }
  return existing(path, 'The labels file')
}

function existing(path: string, what: string): string {
  const absolute = resolve(path)
  if (!existsSync(absolute)) throw new Error(`${what} ${path} does not exist`)
  return absolute
}

/** Found out at the start, not at the first picture. The runtime is a package of its own, since it weighs 300 MB. */
function assertRuntime() {
  try {
    createRequire(import.meta.url).resolve('onnxruntime-node')
  } catch (cause) {
    throw new Error(
      'extensions.local needs the package onnxruntime-node: npm install --ignore-scripts onnxruntime-node',
      { cause },
    )
  }
}
