import { readFile, rm, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { LRUCache } from 'lru-cache'
import { TintypeError } from '../kernel/errors.ts'
import { createSlots, type Slots } from '../kernel/slots.ts'
import type { Clock } from '../kernel/time.ts'
import {
  type Chain,
  decideConditions,
  ENGINE_VERSION,
  focusOnObjects,
  initialSize,
  type Layer,
  type ModelProvider,
  type ModelSplit,
  nameOfModel,
  needsModels,
  type Output,
  type PassStep,
  printTransformation,
  type Size,
  sourcesOf,
  splitAtModel,
} from '../transform/transform.ts'
import type { Context, Delivered, DeliveryOptions, Shown } from './context.ts'
import { type Derivative, type Made, openFile } from './derivatives.ts'
import { findSources, renderInto, sha256, sourceKey } from './render.ts'
import { findSource, type Source } from './source.ts'

/** What is under way at models, and what has failed lately. */
export type ModelRuns = {
  slots: Slots
  failures: LRUCache<string, { error: TintypeError; untilMs: number }>
  clock: Clock
}

const MAX_FAILURES = 10_000

export function createModelRuns(options: DeliveryOptions['models'], clock: Clock): ModelRuns {
  return {
    slots: createSlots({
      max: options.maxConcurrent,
      maxPerShare: options.maxConcurrent,
      maxWaiting: options.maxQueued,
      maxWaitMs: options.timeoutMs,
      busyMessage: 'Too many images are waiting for a model. Please try again.',
    }),
    failures: new LRUCache({ max: MAX_FAILURES }),
    clock,
  }
}

/**
 * The provider of an operation.
 * @throws TintypeError not-implemented without one.
 */
export function providerOf(
  split: Pick<ModelSplit, 'operation' | 'parameters'>,
  { deps }: Pick<Context, 'deps'>,
): ModelProvider {
  const provider = deps.models?.find(({ operations }) => operations.includes(split.operation))
  if (provider) return provider
  throw new TintypeError(
    'not-implemented',
    `"${nameOfModel(split)}" needs an AI provider, and none is set up on this server.`,
    { reason: 'PROVIDER_MISSING' },
  )
}

/** Where the steps of a chain begin on a source. @throws TintypeError unsupported where its size is not known. */
export function startOf(
  source: Pick<Source, 'widthPx' | 'heightPx' | 'orientation' | 'customCoordinates'>,
  { deps }: Pick<Context, 'deps'>,
): { size: Size; customCoordinates: string | null } {
  const { widthPx, heightPx, orientation, customCoordinates } = source
  if (widthPx === null || heightPx === null) {
    throw new TintypeError('unsupported', 'The size of the image is not known.')
  }
  const upright = deps.renderer.autoOrient ? (orientation ?? 1) : 1
  return { size: initialSize({ widthPx, heightPx, orientation: upright }), customCoordinates }
}

/** What is left to render once models have done their part. */
export type Resolved = {
  source: Source
  chain: Chain
  /** Sources of layers that models have made, by the name that the chain has for them. */
  layers: Map<string, Source>
}

type Where = Pick<Shown, 'endpoint' | 'access' | 'context'>

/**
 * Has models do what a chain needs of them, one after the other. What they made is kept like a derivative, so that it is
 * asked for once.
 * @returns 'pending' when a model takes longer than a request waits (contract notes 3.4).
 * @throws TintypeError not-implemented without a provider; what the provider said, for a while.
 */
export async function resolveModels(shown: Shown, chain: Chain): Promise<Resolved | 'pending'> {
  return resolve(shown.source, chain, shown)
}

async function resolve(source: Source, chain: Chain, where: Where): Promise<Resolved | 'pending'> {
  const layers = new Map<string, Source>()
  let current = source
  let rest = chain
  for (;;) {
    if (rest.some(({ kind }) => kind === 'if') && needsModels(rest)) {
      rest = decideConditions(rest, startOf(current, where.context))
    }
    const withLayers = await resolveLayers(rest, where, layers)
    if (withLayers === 'pending') return 'pending'
    rest = withLayers
    const split = splitAtModel(rest)
    if (!split) return { source: current, chain: rest, layers }
    const result = await run({ source: current, root: source, split, layers }, where)
    if (result === 'pending') return 'pending'
    if (split.operation === 'detect') {
      const objects = JSON.parse(await readFile(result.path, 'utf8'))
      const [step, ...later] = split.after as [PassStep, ...Chain]
      rest = [...split.before, ...focusOnObjects(step, objects, result), ...later]
    } else {
      current = await sourceOf(result, current, where.context)
      rest = split.after
    }
  }
}

/** The same chain with layers that models have made instead of those that they have to make. */
async function resolveLayers(
  chain: Chain,
  where: Where,
  made: Map<string, Source>,
): Promise<Chain | 'pending'> {
  const result: Chain = []
  for (const step of chain) {
    if (step.kind !== 'pass') {
      result.push(step)
      continue
    }
    const layers: Layer[] = []
    for (const layer of step.layers) {
      if (layer.type !== 'image' || !needsModels(layer.chain)) {
        layers.push(layer)
        continue
      }
      const address = { path: `/${layer.input}`, url: null, versionKey: null }
      const source = await findSource({ ...where, address, host: null })
      if (source.isPrivate && !where.access.signed) {
        throw new TintypeError('not-found', `The image of a layer does not exist: ${layer.input}`)
      }
      const resolved = await resolve(source, layer.chain, where)
      if (resolved === 'pending') return 'pending'
      const input = `ik-model-${resolved.source.blob}`
      made.set(input, resolved.source)
      for (const [name, one] of resolved.layers) made.set(name, one)
      layers.push({ ...layer, input, chain: resolved.chain })
    }
    result.push({ ...step, layers })
  }
  return result
}

type Run = { source: Source; root: Source; split: ModelSplit; layers: Map<string, Source> }

/** One operation of a model: from what is kept, or done now. */
async function run(parts: Run, where: Where): Promise<Derivative | 'pending'> {
  const { context } = where
  const { split, source, root } = parts
  const provider = providerOf(split, context)
  const text = printTransformation(split.before)
  const key =
    sourceKey(root.blob, text) +
    sha256(
      JSON.stringify([
        ENGINE_VERSION,
        provider.id,
        split.operation,
        split.parameters,
        source.blob,
        source.customCoordinates,
        text,
      ]),
    ).slice(0, 40)
  const { failures, clock } = context.models
  const failed = failures.get(key)
  if (failed && clock.now() < failed.untilMs) throw failed.error
  const job = context.derivatives
    .getOrMake(key, split.operation === 'detect' ? 'json' : 'png', (path) =>
      make(path, parts, provider, where),
    )
    .then(({ derivative }) => derivative)
  job.catch((error: unknown) => {
    const known =
      error instanceof TintypeError
        ? error
        : new TintypeError('unavailable', 'The model could not do its part.', { cause: error })
    const untilMs = clock.now() + context.options.models.failureMaxAgeSec * 1000
    if (known.reason !== BUSY) failures.set(key, { error: known, untilMs })
  })
  return waitFor(job, context.options.models.waitMs)
}

const BUSY = 'MODELS_BUSY'

async function waitFor<T>(job: Promise<T>, waitMs: number): Promise<T | 'pending'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'pending'>((settle) => {
    timer = setTimeout(() => settle('pending'), waitMs)
  })
  try {
    return await Promise.race([job, late])
  } finally {
    clearTimeout(timer)
  }
}

const PNG: Output = {
  format: 'png',
  quality: 100,
  lossless: true,
  progressive: false,
  keepColorProfile: false,
  keepMetadata: false,
  density: null,
}

/** Renders what the model is to see, asks it, and writes what it made. */
async function make(path: string, parts: Run, provider: ModelProvider, where: Where): Promise<Made> {
  const { context } = where
  const { source, split, layers } = parts
  const release = await context.models.slots.take().catch((cause: unknown) => {
    throw new TintypeError('unavailable', 'Too many images are waiting for a model. Please try again.', {
      reason: BUSY,
      headers: { 'retry-after': '5' },
      cause,
    })
  })
  const [inputPath, rawPath] = [`${path}.in`, `${path}.raw`]
  try {
    const found = await findSources(sourcesOf(split.before), where, layers)
    const input = await renderInto(
      { source, chain: split.before, output: PNG, hints: {}, layers: found, outputPath: inputPath },
      context,
    )
    const answer = await provider.run({
      operation: split.operation,
      parameters: split.parameters,
      image: await readFile(inputPath),
      widthPx: input.widthPx,
      heightPx: input.heightPx,
      signal: AbortSignal.timeout(context.options.models.timeoutMs),
    })
    if (answer.kind === 'objects') {
      const text = JSON.stringify(answer.objects)
      await writeFile(path, text)
      const { widthPx, heightPx } = input
      return { sha256: sha256(text), sizeBytes: Buffer.byteLength(text), widthPx, heightPx }
    }
    // What others made is decoded and written anew by the render processes, before anything believes it to be an image.
    await writeFile(rawPath, answer.bytes)
    return await context.deps.renderer.render({
      source: {
        path: rawPath,
        format: formatOf(answer.bytes),
        sizeBytes: answer.bytes.length,
        widthPx: input.widthPx,
        heightPx: input.heightPx,
      },
      sourceKey: sha256(rawPath),
      chain: [],
      output: PNG,
      outputPath: path,
    })
  } finally {
    release()
    await rm(inputPath, { force: true })
    await rm(rawPath, { force: true })
  }
}

/** Models answer in PNG, JPEG or WebP; the decoder finds out whether that is true. */
function formatOf(bytes: Buffer): string {
  if (bytes[0] === 0xff) return 'jpg'
  return bytes.toString('latin1', 0, 4) === 'RIFF' ? 'webp' : 'png'
}

/** A picture that a model made, in the place of the one that it was made of. */
async function sourceOf(made: Derivative, previous: Source, { memory }: Context): Promise<Source> {
  const { path, sha256: blob, sizeBytes, widthPx, heightPx } = made
  const key = `${blob}.traits`
  const head = memory.get(key) ?? (await readHead(path))
  memory.set(key, head)
  const colorType = head[25]
  return {
    name: previous.name,
    isPrivate: previous.isPrivate,
    updatedAtMs: previous.updatedAtMs,
    customCoordinates: null,
    blob,
    sizeBytes,
    mime: 'image/png',
    format: 'png',
    fileType: 'image',
    widthPx,
    heightPx,
    orientation: null,
    hasAlpha: colorType === 4 || colorType === 6,
    file: {
      ...(previous.file?.canonicalUrl === undefined ? {} : { canonicalUrl: previous.file.canonicalUrl }),
      open: async (range) => openFile(path, range),
      readAll: () => readFile(path),
      withLocalFile: (use) => use(path),
    },
  }
}

const PNG_HEAD_BYTES = 26

async function readHead(path: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of await openFile(path, { start: 0, end: PNG_HEAD_BYTES - 1 })) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const PAGE = Buffer.from(
  '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Please wait</title>' +
    '<p>The image is being made. Please ask for it again in a few seconds.</p>',
)

/** What is answered while a model is at work (contract notes 3.4). */
export function pendingPage(): Delivered {
  return {
    contentType: 'text/html; charset=utf-8',
    etag: '"pending"',
    lastModifiedMs: 0,
    headers: {
      'is-intermediate-response': 'true',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      'access-control-allow-origin': '*',
      'retry-after': '5',
    },
    sizeBytes: PAGE.length,
    reusableBy: undefined,
    fromMemory: () => PAGE,
    open: async (range) => Readable.from([range ? PAGE.subarray(range.start, range.end + 1) : PAGE]),
    readAll: async () => PAGE,
  }
}
