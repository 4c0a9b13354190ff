import { readFile } from 'node:fs/promises'
import { TintypeError } from '../kernel/errors.ts'
import type { EndpointSettings } from '../origins/origins.ts'
import {
  type Chain,
  chainMakesAlpha,
  ENGINE_VERSION,
  needsModels,
  type Output,
  outputOf,
  printTransformation,
  sourcesOf,
  wantsHints,
} from '../transform/transform.ts'
import {
  type ChainFacts,
  type Context,
  type Delivered,
  type DeliveryRequest,
  downloadName,
  type Shown,
  throughMemory,
} from './context.ts'
import { openFile } from './derivatives.ts'
import { cacheControl, contentHeaders, withExtension } from './headers.ts'
import { pendingPage, resolveModels } from './models.ts'
import { chooseFormat } from './negotiate.ts'
import { type Found, findSources, hasForeign, NO_SOURCES, renderInto, sha256, sourceKey } from './render.ts'
import { maxAgeOf, type Source, sourceHeaders } from './source.ts'

/** Reads of a derivative that others keep removing: each purge costs one, and two servers may share the folder. */
const READ_ATTEMPTS = 5

const MIME: Record<string, string> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  avif: 'image/avif',
  gif: 'image/gif',
}

/** Answers with a transformed image, rendered now or before. */
export async function deliverDerivative(shown: Shown, chain: Chain): Promise<Delivered> {
  const { address, source, access, context, request } = shown
  const { deps } = context
  const { settings } = shown.endpoint
  const asked = factsOf(chain, context)
  const resolved = asked.needsModels
    ? await resolveModels(shown, chain)
    : { source, chain, layers: undefined }
  if (resolved === 'pending') return pendingPage()
  const facts = factsOf(resolved.chain, context)
  const hints = settings.clientHints ? readHints(facts, request) : NO_HINTS
  const { output, variesByAccept } = decideOutput({
    source: resolved.source,
    facts,
    accept: header(request, 'accept') ?? '',
    saveData: header(request, 'save-data')?.trim().toLowerCase() === 'on',
    settings,
  })
  const layers = facts.needsSources ? await findSources(facts.sources, shown, resolved.layers) : NO_SOURCES
  const key =
    sourceKey(source.blob, asked.text) +
    digest({ source: resolved.source, facts, output, hints: hints.values, layers })
  const obtain = () =>
    context.derivatives.getOrMake(key, output.format, (outputPath) =>
      renderInto({ ...resolved, output, hints: hints.values, layers, outputPath }, context),
    )
  const { derivative, hit } = await obtain()
  /** A derivative that was removed after it had been found, here or by another server, is made again. */
  const read = async <T>(open: (path: string) => Promise<T>): Promise<T> => {
    let found = derivative
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await open(found.path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        await context.derivatives.forgetMissing(key)
        found = (await obtain()).derivative
        if (found.sha256 === derivative.sha256 && attempt < READ_ATTEMPTS) continue
        throw new TintypeError('unavailable', 'The image has just been made anew. Please try again.', {
          headers: { 'retry-after': '1' },
          cause: error,
        })
      }
    }
  }
  const contentType = MIME[output.format]!
  const vary = [
    ...(variesByAccept ? ['Accept'] : []),
    ...hints.names,
    ...(settings.saveDataQuality > 0 ? ['Save-Data'] : []),
  ]
  return {
    contentType,
    etag: `"${derivative.sha256}"`,
    lastModifiedMs: source.updatedAtMs,
    headers: {
      ...contentHeaders({
        contentType,
        fileName: downloadName(address, withExtension(source.name, output.format)),
        download: address.attachment,
      }),
      ...sourceHeaders(source),
      'cache-control': cacheControl({
        maxAgeSec: maxAgeOf(source, shown.endpoint),
        shared: !source.isPrivate && !access.signed,
        expiresAtSec: access.expiresAtSec,
        nowMs: deps.clock.now(),
      }),
      ...(vary.length > 0 ? { vary: vary.join(', ') } : {}),
      ...contentDpr(hints, derivative.widthPx),
      'x-tintype-cache': hit ? 'hit' : 'miss',
    },
    sizeBytes: derivative.sizeBytes,
    reusableBy:
      shown.isReusable && hit && !hasForeign(layers) ? vary.map((name) => name.toLowerCase()) : undefined,
    fromMemory: () => context.memory.get(derivative.sha256),
    open: (range) => read((path) => openFile(path, range)),
    readAll: () =>
      throughMemory(derivative.sha256, derivative.sizeBytes, context, () => read((path) => readFile(path))),
  }
}

/** What is asked of a chain on every request. */
export function readFacts(chain: Chain): ChainFacts {
  const sources = sourcesOf(chain)
  return {
    text: printTransformation(chain),
    output: outputOf(chain),
    alphaOfOpaque: chainMakesAlpha(chain, false),
    alphaOfAlpha: chainMakesAlpha(chain, true),
    wants: wantsHints(chain),
    sources,
    needsSources: sources.images.length + sources.fonts.length > 0,
    needsModels: needsModels(chain),
  }
}

/** Chains that come from the cache by text are the same objects again. */
function factsOf(chain: Chain, { facts }: Context): ChainFacts {
  const known = facts.get(chain)
  if (known) return known
  const fresh = readFacts(chain)
  facts.set(chain, fresh)
  return fresh
}

/** Decides how the result is encoded: what the chain says, then the settings. */
export function decideOutput(request: {
  source: Pick<Source, 'format' | 'hasAlpha'>
  facts: ChainFacts
  accept: string
  saveData: boolean
  settings: EndpointSettings
}): { output: Output; variesByAccept: boolean } {
  const { source, facts, settings } = request
  const asked = facts.output
  const { format, variesByAccept } = chooseFormat({
    request: asked,
    sourceFormat: source.format,
    alpha: source.hasAlpha ? facts.alphaOfAlpha : facts.alphaOfOpaque,
    accept: request.accept,
    defaultFormat: settings.defaultFormat,
    offerAvif: settings.offerAvif,
  })
  const saving = request.saveData && settings.saveDataQuality > 0
  return {
    variesByAccept,
    output: {
      format,
      quality: asked.quality ?? (saving ? settings.saveDataQuality : settings.defaultQuality),
      lossless: asked.lossless,
      progressive: asked.progressive,
      keepColorProfile: asked.keepColorProfile ?? settings.keepColorProfile,
      keepMetadata: asked.keepMetadata ?? settings.keepMetadata,
      density: asked.density,
    },
  }
}

/** Everything that decides the bytes of a derivative. Equivalent URLs have one, since the chain is printed. */
function digest(parts: {
  source: Source
  facts: ChainFacts
  output: Output
  hints: { widthPx?: number; dpr?: number }
  layers: Found
}): string {
  const { source, output, layers } = parts
  const sources = [...layers.images, ...layers.fonts].map(([path, layer]) => [path, layer.blob])
  const text = JSON.stringify([
    ENGINE_VERSION,
    source.blob,
    source.customCoordinates,
    parts.facts.text,
    output,
    parts.hints,
    sources,
  ])
  return sha256(text).slice(0, 40)
}

type Hints = { values: { widthPx?: number; dpr?: number }; names: string[] }
const NO_HINTS: Hints = { values: {}, names: [] }

/** Reads the client hints that the chain asks for (manual, client hints). */
function readHints({ wants }: ChainFacts, request: DeliveryRequest): Hints {
  const hints: Hints = { values: {}, names: [] }
  if (wants.width) {
    hints.names.push('Sec-CH-Width')
    const widthPx = positive(header(request, 'sec-ch-width'), 65_535)
    if (widthPx !== undefined) hints.values.widthPx = widthPx
  }
  if (wants.dpr) {
    hints.names.push('Sec-CH-DPR')
    const dpr = positive(header(request, 'sec-ch-dpr'), 10)
    if (dpr !== undefined) hints.values.dpr = dpr
  }
  return hints
}

/** Content-DPR = chosen width / (hinted width / DPR). */
function contentDpr({ values }: Hints, widthPx: number): Record<string, string> {
  if (values.dpr === undefined) return {}
  const ratio = values.widthPx === undefined ? values.dpr : widthPx / (values.widthPx / values.dpr)
  return { 'content-dpr': String(Math.round(ratio * 100) / 100) }
}

function positive(text: string | undefined, max: number): number | undefined {
  const value = text !== undefined && /^\d{1,5}(\.\d{1,4})?$/.test(text) ? Number(text) : 0
  return value > 0 && value <= max ? value : undefined
}

function header(request: DeliveryRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}
