import { badRequest, TintypeError } from '../../kernel/errors.ts'
import type { Chain, Layer, PassStep } from '../ast.ts'
import { evaluate } from '../expr.ts'
import type { Size } from '../operations.ts'
import { planPlacement } from '../plan.ts'
import { planCanvas, planText, withDefaultTrim } from '../plan-layers.ts'
import { type Picture, type Pixels, pictureOf, pixelsOf } from './picture.ts'
import * as pixels from './pixels.ts'
import { type RunContext, runChain } from './render.ts'
import { frameOf, openSource } from './source.ts'
import { drawText } from './text.ts'

/** Lays the layers of a step on a picture, in the order written. */
export async function applyLayers(picture: Picture, layers: Layer[], context: RunContext): Promise<Picture> {
  if (layers.length === 0) return picture
  let base = await pixelsOf(picture)
  for (const layer of layers) base = await applyLayer(base, layer, context)
  return pictureOf(base)
}

async function applyLayer(base: Pixels, layer: Layer, context: RunContext): Promise<Pixels> {
  const { picture, initial } = await renderLayer(layer, base, context)
  const at = planPlacement(layer.position, { base, layer: picture, layerInitial: initial })
  switch (layer.mode) {
    case 'displace':
      return pixels.displace(base, picture, at, strengthOf(layer.chain, base))
    case 'multiply':
    case 'cutter':
    case 'cutout':
      return pixels.compose(base, picture, at, layer.mode)
    default:
      return pixels.compose(base, picture, at, 'over')
  }
}

type RenderedLayer = { picture: Pixels; initial: Size }

/** Renders a layer; for an animation the result serves every frame. */
async function renderLayer(layer: Layer, base: Size, context: RunContext): Promise<RenderedLayer> {
  const key = `${base.widthPx}x${base.heightPx}`
  const known = context.rendered.get(layer)
  if (known?.key === key) return known.result
  const result = await renderFresh(layer, base, context)
  context.rendered.set(layer, { key, result })
  return result
}

async function renderFresh(layer: Layer, base: Size, context: RunContext): Promise<RenderedLayer> {
  switch (layer.type) {
    case 'text':
      return renderText(layer, base, context)
    case 'image':
      return layer.input === 'ik_canvas'
        ? renderCanvas(layer, base, context)
        : renderImage(layer, base, context)
    default:
      throw new TintypeError(
        'not-implemented',
        `Layers of the type "${layer.type}" cannot be laid on an image.`,
      )
  }
}

async function renderImage(layer: Layer, base: Size, context: RunContext): Promise<RenderedLayer> {
  const file = context.job.layers[layer.input]
  if (!file) throw badRequest(`The image of a layer does not exist: ${layer.input}.`)
  const source = await openSource(file, context.job.limits, context.job.autoOrient, layer.chain)
  const picture = await runChain(withDefaultTrim(layer.chain), context, {
    open: (atLeast) => source.picture(frameOf(layer.chain, source) ?? 0, atLeast),
    size: source.size,
    base,
    customCoordinates: file.customCoordinates ?? null,
  })
  return { picture: await pixelsOf(picture), initial: source.size }
}

async function renderCanvas(layer: Layer, base: Size, context: RunContext): Promise<RenderedLayer> {
  const { first, rest } = splitFirst(layer.chain)
  const plan = planCanvas(first.params, base, context.env)
  const block = plan.gradient
    ? pixels.gradientCanvas(plan.size, plan.gradient)
    : pixels.solid(plan.size, plan.color)
  const step: PassStep = { kind: 'pass', params: plan.params, layers: first.layers }
  const picture = await runChain([step, ...rest], context, {
    open: async () => pictureOf(block),
    size: plan.size,
    base,
    customCoordinates: null,
  })
  return { picture: await pixelsOf(picture), initial: plan.size }
}

async function renderText(layer: Layer, base: Size, context: RunContext): Promise<RenderedLayer> {
  const { first, rest } = splitFirst(layer.chain)
  const plan = planText(first.params, base)
  const text = await drawText(layer.input, plan, context.job)
  const step: PassStep = { kind: 'pass', params: plan.params, layers: first.layers }
  const size = { widthPx: text.widthPx, heightPx: text.heightPx }
  const picture = await runChain([step, ...rest], context, {
    open: async () => pictureOf(text),
    size,
    base,
    customCoordinates: null,
  })
  return { picture: await pixelsOf(picture), initial: size }
}

/** What the layer itself is made of stands in its first step. */
function splitFirst(chain: Chain): { first: PassStep; rest: Chain } {
  const [first, ...rest] = chain
  if (first?.kind === 'pass') return { first, rest }
  return { first: { kind: 'pass', params: {}, layers: [] }, rest: chain }
}

function strengthOf(chain: Chain, base: Size): { xPx: number; yPx: number } {
  const params = chain.find((step) => step.kind === 'pass')?.params
  if (params?.x === undefined && params?.y === undefined) {
    throw badRequest('A layer with lm-displace needs x or y: how far it moves the pixels.')
  }
  const scope = { bw: base.widthPx, bh: base.heightPx, bar: base.widthPx / base.heightPx }
  return {
    xPx: params.x === undefined ? 0 : evaluate(params.x, scope),
    yPx: params.y === undefined ? 0 : evaluate(params.y, scope),
  }
}
