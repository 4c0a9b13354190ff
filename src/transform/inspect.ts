import { badRequest } from '../kernel/errors.ts'
import type { Chain, Format, Params, PassStep, Quantity } from './ast.ts'

/** Walks every step of a chain, both branches of conditions included, layers not. */
function* passSteps(chain: Chain): Generator<PassStep> {
  for (const step of chain) {
    if (step.kind === 'pass') yield step
    else {
      yield* passSteps(step.whenTrue)
      yield* passSteps(step.whenFalse)
    }
  }
}

/** What a chain says about its output; the last word counts. */
export type OutputRequest = {
  format: Format | undefined
  quality: number | undefined
  lossless: boolean
  progressive: boolean
  keepColorProfile: boolean | undefined
  keepMetadata: boolean | undefined
  density: Quantity | null
  original: boolean
  defaultImage: string | undefined
  /** An unsharp mask keeps AVIF from being chosen (manual, automatic format conversion). */
  hasUnsharpMask: boolean
}

export function outputOf(chain: Chain): OutputRequest {
  const merged: Params = {}
  let hasUnsharpMask = false
  for (const { params } of passSteps(chain)) {
    Object.assign(merged, params)
    if (params['e-usm']) hasUnsharpMask = true
  }
  return {
    format: merged.f,
    quality: merged.q,
    lossless: merged.lo ?? false,
    progressive: merged.pr ?? false,
    keepColorProfile: merged.cp,
    keepMetadata: merged.md,
    density: density(merged),
    original: merged.orig ?? false,
    defaultImage: merged.di,
    hasUnsharpMask,
  }
}

function density(params: Params): Quantity | null {
  if (params.dn === undefined) return null
  if (typeof params.dn === 'number' && (params.dn < 1 || params.dn > 1200)) {
    throw badRequest('Invalid transformation: the value of "dn" must be from 1 to 1200.')
  }
  return params.dn
}

/** Library paths that a chain needs besides its source: images of layers and font files, each once. */
export function sourcesOf(chain: Chain): { images: string[]; fonts: string[] } {
  const images = new Set<string>()
  const fonts = new Set<string>()
  const walk = (steps: Chain) => {
    for (const step of passSteps(steps)) {
      if (step.params.ff !== undefined && /\.(ttf|otf)$/i.test(step.params.ff)) fonts.add(step.params.ff)
      for (const layer of step.layers) {
        if (layer.type === 'image' && layer.input !== 'ik_canvas') images.add(layer.input)
        walk(layer.chain)
      }
    }
  }
  walk(chain)
  return { images: [...images], fonts: [...fonts] }
}

/** Whether a chain reads client hints, so that the answer varies by them. */
export function wantsHints(chain: Chain): { width: boolean; dpr: boolean } {
  let width = false
  let dpr = false
  const walk = (steps: Chain) => {
    for (const step of passSteps(steps)) {
      if (step.params.w === 'auto') width = true
      if (step.params.dpr === 'auto') dpr = true
      for (const layer of step.layers) walk(layer.chain)
    }
  }
  walk(chain)
  return { width, dpr }
}

/**
 * Whether the result may have transparent pixels, judged from the parameters alone: what decides between JPEG and PNG
 * where the format is free. Errs towards yes.
 */
export function chainMakesAlpha(chain: Chain, sourceHasAlpha: boolean): boolean {
  let alpha = sourceHasAlpha
  for (const step of chain) {
    if (step.kind === 'if') {
      alpha = chainMakesAlpha(step.whenTrue, alpha) || chainMakesAlpha(step.whenFalse, alpha)
      continue
    }
    const { params } = step
    const rotates = typeof params.rt === 'number' && params.rt % 90 !== 0
    const makes =
      params.r !== undefined ||
      rotates ||
      (params.o !== undefined && params.o < 100) ||
      params['e-shadow'] !== undefined ||
      params['e-distort'] !== undefined ||
      (params.b !== undefined && params.b.color.alpha < 1)
    if (makes) alpha = true
    if (params.bg?.kind === 'color') {
      const blends = params.bg.color.alpha === 1 || (params.o !== undefined && params.o < 100)
      if (blends) alpha = false
      else if (params.cm !== undefined || params.c !== undefined) alpha = true
    }
    if (step.layers.some((layer) => layer.mode === 'cutter' || layer.mode === 'cutout')) alpha = true
  }
  return alpha
}

function namesOthers(chain: Chain): boolean {
  for (const { params } of passSteps(chain)) if (params.n !== undefined) return true
  return false
}

/** Depth to which named transformations may name others. */
const MAX_NAME_DEPTH = 5

/**
 * Replaces every `n` by the steps it stands for; other parameters of its step follow as a step of their own.
 * @param lookup gives the chain of a name, or undefined.
 * @throws TintypeError bad-request for an unknown name.
 */
export async function expandNamed(
  chain: Chain,
  lookup: (name: string) => Promise<Chain | undefined>,
  depth = 0,
): Promise<Chain> {
  // The same object comes back where there is nothing to do, so that what is remembered of it still holds.
  if (!namesOthers(chain)) return chain
  const result: Chain = []
  for (const step of chain) {
    if (step.kind === 'if') {
      result.push({
        ...step,
        whenTrue: await expandNamed(step.whenTrue, lookup, depth),
        whenFalse: await expandNamed(step.whenFalse, lookup, depth),
      })
      continue
    }
    const { n: name, ...rest } = step.params
    if (name !== undefined) {
      const named = depth < MAX_NAME_DEPTH ? await lookup(name) : undefined
      if (!named) throw badRequest(`The named transformation "${name}" does not exist.`)
      result.push(...(await expandNamed(named, lookup, depth + 1)))
      if (Object.keys(rest).length === 0 && step.layers.length === 0) continue
    }
    result.push({ ...step, params: rest })
  }
  return result
}
