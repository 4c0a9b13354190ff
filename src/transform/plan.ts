import { badRequest, TintypeError } from '../kernel/errors.ts'
import type {
  Background,
  Chain,
  Comparison,
  Focus,
  LayerPosition,
  Offset,
  ParamKey,
  Params,
  PassStep,
  Quantity,
} from './ast.ts'
import { catalog, paramOf } from './catalog.ts'
import { evaluate, type Scope } from './expr.ts'
import { type Operation, type Size, sizeAfter } from './operations.ts'
import { type FocusPoint, focusOf, planGeometry } from './plan-crop.ts'

/** Bounds of what a render may make. */
export type PlanLimits = {
  /** Pixels of one output frame, also of every intermediate image. */
  maxOutputPx: number
  /** Pixels of all frames of an animated output together. */
  maxAnimationPx: number
  maxFrames: number
  /** Pixels of an image that gets a shadow (manual, limits). */
  maxShadowPx: number
}

export const defaultPlanLimits: PlanLimits = {
  maxOutputPx: 25_000_000,
  maxAnimationPx: 50_000_000,
  maxFrames: 500,
  maxShadowPx: 2_000_000,
}

/** An image between two steps. */
export type PlanState = {
  size: Size
  /** Size before the first step. */
  initial: Size
  /** Size of the image that a layer is placed on; undefined outside of layers. */
  base?: Size | undefined
  /** `x,y,w,h` of the asset in its original pixels. */
  customCoordinates?: string | null
  /** The most salient point, if the step asks for it: pixels of the current image. */
  salientPoint?: { x: number; y: number } | undefined
}

export type PlanEnv = {
  limits: PlanLimits
  /** Values of the client hints, for `w-auto` and `dpr-auto`. */
  hints?: { widthPx?: number | undefined; dpr?: number | undefined }
  warn?(message: string): void
}

/** Parameters beyond this many pixels are ignored, as the manual's limits say. */
const MAX_DIMENSION = 65_535
const MAX_DPR_PX = 5000

/** The order of operations within a step; the order in the text does not matter. Layers come after all of these. */
const ORDER: (ParamKey | 'geometry')[] = [
  't',
  'geometry',
  'cr',
  'e-grayscale',
  'e-contrast',
  'e-colorize',
  'e-sharpen',
  'e-usm',
  'bl',
  'e-gradient',
  'e-distort',
  'b',
  'r',
  'o',
  'e-shadow',
  'fl',
  'rt',
  'bg',
]

/** Whether the step needs the salient point of the image before it can be planned. */
export function needsSalientPoint(step: PassStep): boolean {
  return step.params.fo?.kind === 'auto'
}

/**
 * Plans one step without its layers.
 * @throws TintypeError bad-request where a value makes no sense for this image, not-implemented for what needs a provider.
 */
export function planStep(
  step: PassStep,
  state: PlanState,
  env: PlanEnv,
): { operations: Operation[]; size: Size } {
  const { params } = step
  refuseModels(params)
  const scope = scopeOf(state)
  const warn = env.warn ?? (() => {})
  const operations: Operation[] = []
  let size = state.size
  for (const key of ORDER) {
    const planned =
      key === 'geometry'
        ? planStepGeometry(params, { ...state, size }, env, scope)
        : planParam(key, params, size, scope, env)
    for (const operation of planned) {
      operations.push(operation)
      size = sizeAfter(operation, size)
      checkSize(size, env.limits)
    }
  }
  for (const { key, group } of catalog) {
    if (params[key] !== undefined && (group === 'video' || group === 'text'))
      warn(`${key} has no effect on an image`)
  }
  return { operations, size }
}

function planParam(key: ParamKey, params: Params, size: Size, scope: Scope, env: PlanEnv): Operation[] {
  const value = params[key]
  const definition = paramOf(key)
  if (value === undefined || !definition.plan) return []
  return publicly(key, () =>
    definition.plan!(value as never, {
      size,
      scope,
      params,
      maxShadowPx: env.limits.maxShadowPx,
      warn: env.warn ?? (() => {}),
    }),
  )
}

/** Gives errors of expressions the name of the parameter. */
function publicly<T>(key: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof TintypeError) throw cause
    throw badRequest(`Invalid transformation: the value of "${key}" ${(cause as Error).message}.`, { cause })
  }
}

export function checkSize(size: Size, limits: PlanLimits) {
  if (
    size.widthPx * size.heightPx > limits.maxOutputPx ||
    Math.max(size.widthPx, size.heightPx) > MAX_DIMENSION
  ) {
    throw badRequest(
      `The transformation asks for an image of ${size.widthPx}x${size.heightPx} pixels, which exceeds the maximum image resolution of ${limits.maxOutputPx / 1e6} megapixels.`,
    )
  }
}

function refuseModels(params: Params) {
  for (const { key, group } of catalog) {
    if (group === 'model' && params[key] !== undefined) throw needsProvider(`"${key}"`)
  }
  if (params.fo?.kind === 'object') throw needsProvider(`"fo-${params.fo.names.join('_')}"`)
  if (params.bg?.kind === 'genfill') throw needsProvider('"bg-genfill"')
}

function needsProvider(what: string) {
  return new TintypeError(
    'not-implemented',
    `${what} needs an AI provider, and none is set up on this server.`,
    { reason: 'PROVIDER_MISSING' },
  )
}

function scopeOf(state: PlanState): Scope {
  const { size, initial, base } = state
  const scope: Scope = {
    iw: initial.widthPx,
    ih: initial.heightPx,
    iar: initial.widthPx / initial.heightPx,
    cw: size.widthPx,
    ch: size.heightPx,
    car: size.widthPx / size.heightPx,
  }
  return base ? { ...scope, ...baseScope(base) } : scope
}

/** The variables that text layers and blocks may use. */
export function baseScope(base: Size): Scope {
  return { bw: base.widthPx, bh: base.heightPx, bar: base.widthPx / base.heightPx }
}

/** A side in pixels: a share of the current side below 1; undefined if there is none or it is to be ignored. */
function resolveSide(
  key: 'w' | 'h',
  value: Quantity | undefined,
  currentPx: number,
  scope: Scope,
  warn: (message: string) => void,
): number | undefined {
  if (value === undefined) return undefined
  const number = publicly(key, () => evaluate(value, scope))
  if (number <= 0) throw badRequest(`Invalid transformation: the value of "${key}" must be above 0.`)
  const px = number < 1 ? number * currentPx : number
  if (px > MAX_DIMENSION) {
    warn(`${key} is ignored: it is above ${MAX_DIMENSION} pixels`)
    return undefined
  }
  return px
}

function planStepGeometry(params: Params, state: PlanState, env: PlanEnv, scope: Scope): Operation[] {
  const warn = env.warn ?? (() => {})
  const source = state.size
  let width = resolveSide('w', params.w === 'auto' ? hintedWidth(env) : params.w, source.widthPx, scope, warn)
  let height = resolveSide('h', params.h, source.heightPx, scope, warn)
  if (params.ar !== undefined) {
    if ((width === undefined) === (height === undefined)) {
      warn(`ar is ignored: ${width === undefined ? 'it needs w or h' : 'both w and h are set'}`)
    } else {
      const ratio = publicly('ar', () => evaluate(params.ar!, scope))
      if (ratio <= 0) throw badRequest('Invalid transformation: the value of "ar" must be above 0.')
      if (width !== undefined) height = width / ratio
      else width = height! * ratio
    }
  }
  const dpr = resolveDpr(params, width, height, env, scope, warn)
  const strategy = params.cm ?? params.c ?? 'maintain_ratio'
  const background = paddingBackground(params.bg)
  if (
    background.kind === 'blurred' &&
    (strategy !== 'pad_resize' || width === undefined || height === undefined)
  ) {
    throw badRequest('bg-blurred can only be used with cm-pad_resize and both w and h.')
  }
  const coordinate = (key: 'x' | 'y' | 'xc' | 'yc') => {
    const value = params[key]
    return value === undefined ? undefined : Math.round(publicly(key, () => evaluate(value, scope)))
  }
  const px = (value: number | undefined) =>
    value === undefined ? undefined : Math.max(1, Math.round(value * dpr))
  const geometry = planGeometry(source, {
    widthPx: px(width),
    heightPx: px(height),
    strategy,
    focus: resolveFocus(params.fo, state, warn),
    ...optional({
      leftPx: coordinate('x'),
      topPx: coordinate('y'),
      centerXPx: coordinate('xc'),
      centerYPx: coordinate('yc'),
    }),
    background,
    maxIntermediatePx: env.limits.maxOutputPx,
  })
  return geometry ? [geometry] : []
}

/** What padding shows: black by default. A half transparent colour is laid under the whole image at the end of the step. */
function paddingBackground(background: Background | undefined): Background {
  if (background === undefined) return { kind: 'color', color: { red: 0, green: 0, blue: 0, alpha: 1 } }
  if (background.kind !== 'color' || background.color.alpha === 1) return background
  return { kind: 'color', color: { ...background.color, alpha: 0 } }
}

function optional<T extends Record<string, number | undefined>>(values: T): { [K in keyof T]?: number } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: number
  }
}

/** `w-auto`: the width that the browser hints at, rounded up to the next hundred (manual, client hints). */
function hintedWidth(env: PlanEnv): number | undefined {
  const hinted = env.hints?.widthPx
  return hinted === undefined ? undefined : Math.ceil(hinted / 100) * 100
}

function resolveDpr(
  params: Params,
  width: number | undefined,
  height: number | undefined,
  env: PlanEnv,
  scope: Scope,
  warn: (message: string) => void,
): number {
  if (params.dpr === undefined) return 1
  if (width === undefined && height === undefined) {
    warn('dpr is ignored: it needs w or h')
    return 1
  }
  // The hinted width counts device pixels already.
  const hintCountsIt = params.w === 'auto' && env.hints?.widthPx !== undefined
  if (params.dpr === 'auto') return hintCountsIt ? 1 : usableDpr(env.hints?.dpr ?? 1, width, height, warn)
  const value = publicly('dpr', () => evaluate(params.dpr as Quantity, scope))
  if (value < 0.1 || value > 5) {
    throw badRequest('Invalid transformation: the value of "dpr" must be from 0.1 to 5.')
  }
  return hintCountsIt ? 1 : usableDpr(value, width, height, warn)
}

function usableDpr(
  dpr: number,
  width: number | undefined,
  height: number | undefined,
  warn: (message: string) => void,
): number {
  const fits = [width, height].every(
    (side) => side === undefined || (side * dpr >= 1 && side * dpr <= MAX_DPR_PX),
  )
  if (!fits) warn(`dpr is ignored: a side would be below 1 or above ${MAX_DPR_PX} pixels`)
  return fits ? dpr : 1
}

function resolveFocus(
  focus: Focus | undefined,
  state: PlanState,
  warn: (message: string) => void,
): FocusPoint {
  if (focus === undefined) return focusOf('center')
  if (focus.kind === 'position') return focusOf(focus.position)
  if (focus.kind === 'auto') {
    return state.salientPoint ? { kind: 'point', ...state.salientPoint } : focusOf('center')
  }
  const custom = parseCustomCoordinates(state.customCoordinates)
  if (!custom) {
    warn('fo-custom has no effect: the image has no custom coordinates')
    return focusOf('center')
  }
  // The coordinates are those of the original; after an earlier resize they shrink with it.
  return {
    kind: 'point',
    x: ((custom.x + custom.width / 2) * state.size.widthPx) / state.initial.widthPx,
    y: ((custom.y + custom.height / 2) * state.size.heightPx) / state.initial.heightPx,
  }
}

function parseCustomCoordinates(text: string | null | undefined) {
  const numbers = text?.split(',').map(Number)
  if (numbers?.length !== 4 || numbers.some((number) => !Number.isFinite(number))) return undefined
  const [x, y, width, height] = numbers as [number, number, number, number]
  return { x, y, width, height }
}

/** Whether a condition holds for the image at this point. */
export function holds(condition: Comparison[][], state: PlanState): boolean {
  const values = {
    w: state.size.widthPx,
    h: state.size.heightPx,
    ar: state.size.widthPx / state.size.heightPx,
    iw: state.initial.widthPx,
    ih: state.initial.heightPx,
    iar: state.initial.widthPx / state.initial.heightPx,
  }
  return condition.some((all) =>
    all.every(({ property, operator, value }) => {
      // Ratios such as 4:3 have no exact decimal form.
      const tolerance = property.endsWith('ar') ? RATIO_TOLERANCE : 0
      return compare(values[property], operator, value, tolerance)
    }),
  )
}

const RATIO_TOLERANCE = 0.0005

function compare(
  actual: number,
  operator: Comparison['operator'],
  value: number,
  tolerance: number,
): boolean {
  const equal = Math.abs(actual - value) <= tolerance
  switch (operator) {
    case 'eq':
      return equal
    case 'ne':
      return !equal
    case 'gt':
      return actual > value && !equal
    case 'gte':
      return actual > value || equal
    case 'lt':
      return actual < value && !equal
    case 'lte':
      return actual < value || equal
  }
}

/** Where a layer of the given size goes: its top left corner on the base, which may lie outside of it. */
export function planPlacement(
  position: LayerPosition,
  sizes: { base: Size; layer: Size; layerInitial: Size },
): { leftPx: number; topPx: number } {
  const { base, layer } = sizes
  const scope: Scope = {
    ...baseScope(base),
    iw: sizes.layerInitial.widthPx,
    ih: sizes.layerInitial.heightPx,
    iar: sizes.layerInitial.widthPx / sizes.layerInitial.heightPx,
    cw: layer.widthPx,
    ch: layer.heightPx,
    car: layer.widthPx / layer.heightPx,
  }
  const { lx, ly, lxc, lyc } = position
  if (lx === undefined && ly === undefined && lxc === undefined && lyc === undefined) {
    const share = focusOf(position.lfo ?? 'center') as { x: number; y: number }
    return {
      leftPx: Math.round((base.widthPx - layer.widthPx) * share.x),
      topPx: Math.round((base.heightPx - layer.heightPx) * share.y),
    }
  }
  const anchor = focusOf(position.lap ?? 'top_left') as { x: number; y: number }
  return {
    leftPx: placeOnAxis('lx', lx, lxc, base.widthPx, layer.widthPx, anchor.x, scope),
    topPx: placeOnAxis('ly', ly, lyc, base.heightPx, layer.heightPx, anchor.y, scope),
  }
}

function placeOnAxis(
  key: 'lx' | 'ly',
  corner: Offset | undefined,
  center: Offset | undefined,
  baseLength: number,
  layerLength: number,
  anchor: number,
  scope: Scope,
): number {
  const offset = center ?? corner ?? { from: 'start', distance: 0 }
  const distance = publicly(center ? `${key}c` : key, () => evaluate(offset.distance, scope))
  const origin = baseLength * anchor
  if (center) {
    const middle = offset.from === 'end' ? baseLength - distance : origin + distance
    return Math.round(middle - layerLength / 2)
  }
  const start = offset.from === 'end' ? baseLength - layerLength - distance : origin + distance
  // "If the lx or ly value exceeds the dimensions of the input image, the values are adjusted to fit."
  const spare = baseLength - layerLength
  return Math.round(spare < 0 ? start : Math.min(Math.max(start, 0), spare))
}

/** What the source image is like before its first step. */
export function initialSize(traits: { widthPx: number; heightPx: number; orientation: number }): Size {
  const { widthPx, heightPx } = traits
  return traits.orientation >= 5 ? { widthPx: heightPx, heightPx: widthPx } : { widthPx, heightPx }
}

export type ImagePlan = {
  size: Size
  /** False where only the pixels can tell (trimming): the size is then an upper bound. */
  exact: boolean
  /** The operations of each step that applies. */
  steps: Operation[][]
  warnings: string[]
}

/**
 * Plans a whole chain from the traits of its source, without the pixels: what `explain` shows and what admission
 * counts with. Layers do not change the size of their base and are not planned here.
 */
export function planImage(
  chain: Chain,
  source: { size: Size; customCoordinates?: string | null },
  env: PlanEnv,
): ImagePlan {
  const plan: ImagePlan = { size: source.size, exact: true, steps: [], warnings: [] }
  const stepEnv: PlanEnv = { ...env, warn: (message) => plan.warnings.push(message) }
  const walk = (steps: Chain) => {
    for (const step of steps) {
      const state: PlanState = {
        size: plan.size,
        initial: source.size,
        customCoordinates: source.customCoordinates ?? null,
      }
      if (step.kind === 'if') {
        walk(holds(step.condition, state) ? step.whenTrue : step.whenFalse)
        continue
      }
      const { operations, size } = planStep(step, state, stepEnv)
      if (operations.some((operation) => operation.kind === 'trim')) plan.exact = false
      plan.steps.push(operations)
      plan.size = size
    }
  }
  walk(chain)
  return plan
}
