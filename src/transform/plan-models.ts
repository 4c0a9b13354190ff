import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Chain, ParamKey, Params, PassStep, Quantity } from './ast.ts'
import { evaluate } from './expr.ts'
import type { Rect, Size } from './operations.ts'
import { defaultPlanLimits, holds, planImage } from './plan.ts'

/** What a model can be asked for, named as the parameters are. */
export const MODEL_OPERATIONS = [
  'bgremove',
  'removedotbg',
  'dropshadow',
  'changebg',
  'edit',
  'retouch',
  'upscale',
  'genvar',
  'genfill',
  'detect',
] as const
export type ModelOperation = (typeof MODEL_OPERATIONS)[number]

/** What a model is told beside the picture. */
export type ModelParameters = Record<string, string | number | string[]>

/** How the parameter is written that asks for an operation. */
export function nameOfModel({ operation, parameters }: Pick<ModelSplit, 'operation' | 'parameters'>): string {
  if (operation === 'detect') return `fo-${(parameters.objects as string[]).join('_')}`
  return operation === 'genfill' ? 'bg-genfill' : `e-${operation}`
}

/** A chain at its first parameter that needs a model. */
export type ModelSplit = {
  operation: ModelOperation
  parameters: ModelParameters
  /** What gives the picture that the model sees. */
  before: Chain
  /** What is done with the model's picture; for `detect` the step that is to be focused comes first. */
  after: Chain
}

/** The parameters that are an operation of their own. */
const EFFECTS: {
  [K in ParamKey]?: { operation: ModelOperation; parameters(params: Params): ModelParameters }
} = {
  'e-bgremove': { operation: 'bgremove', parameters: () => ({}) },
  'e-removedotbg': { operation: 'removedotbg', parameters: () => ({}) },
  'e-dropshadow': { operation: 'dropshadow', parameters: (params) => ({ ...params['e-dropshadow']! }) },
  'e-changebg': { operation: 'changebg', parameters: (params) => ({ ...params['e-changebg']! }) },
  'e-edit': { operation: 'edit', parameters: (params) => ({ ...params['e-edit']! }) },
  'e-retouch': { operation: 'retouch', parameters: () => ({}) },
  'e-upscale': { operation: 'upscale', parameters: () => ({}) },
  'e-genvar': { operation: 'genvar', parameters: () => ({}) },
}

/** The parameters that decide a picture's frame, which `bg-genfill` fills. */
const GEOMETRY = [
  'w',
  'h',
  'ar',
  'c',
  'cm',
  'fo',
  'x',
  'y',
  'xc',
  'yc',
  'z',
  'dpr',
  't',
] as const satisfies ParamKey[]

/** Whether a model has to do a part of a chain, or of one of its layers, whatever its conditions say. */
export function needsModels(chain: Chain): boolean {
  return chain.some((step) =>
    step.kind === 'if'
      ? needsModels(step.whenTrue) || needsModels(step.whenFalse)
      : modelsOf(step).length > 0 || step.layers.some((layer) => needsModels(layer.chain)),
  )
}

/**
 * Puts the steps that apply in the place of conditions behind which a model waits, as far as the first model: until
 * there, sizes are known.
 * @param source the picture before the first step.
 * @throws TintypeError not-implemented where only the pixels can tell the size.
 */
export function decideConditions(
  chain: Chain,
  source: { size: Size; customCoordinates: string | null },
): Chain {
  const index = chain.findIndex((step) =>
    step.kind === 'if' ? needsModels([step]) : modelsOf(step).length > 0,
  )
  const step = chain[index]
  if (step?.kind !== 'if') return chain
  const before = chain.slice(0, index)
  const { size, exact } = planImage(before, source, { limits: defaultPlanLimits })
  if (!exact) {
    throw new TintypeError(
      'not-implemented',
      'Behind trimming (t) a condition (if) cannot decide about what needs a model; leave out one of them.',
    )
  }
  const isTrue = holds(step.condition, { size, initial: source.size })
  const applied = isTrue ? step.whenTrue : step.whenFalse
  return decideConditions([...before, ...applied, ...chain.slice(index + 1)], source)
}

/**
 * Finds the first step of a chain that needs a model. Only steps of the chain itself are looked at; see
 * `decideConditions`.
 * @throws TintypeError bad-request for two in one step.
 */
export function splitAtModel(chain: Chain): ModelSplit | undefined {
  for (const [index, step] of chain.entries()) {
    if (step.kind !== 'pass') continue
    const found = modelsOf(step)
    if (found.length === 0) continue
    if (found.length > 1) {
      throw badRequest('Only one parameter that needs a model can be in a step; chain the others with ":".')
    }
    const [before, later] = [chain.slice(0, index), chain.slice(index + 1)]
    const { operation, parameters, prepare, rest } = found[0]!
    return {
      operation,
      parameters,
      before: prepare ? [...before, prepare] : before,
      after: isEmpty(rest) ? later : [rest, ...later],
    }
  }
  return undefined
}

type Found = {
  operation: ModelOperation
  parameters: ModelParameters
  /** A step that makes the picture which the model gets. */
  prepare?: PassStep
  /** What remains of the step. */
  rest: PassStep
}

function modelsOf(step: PassStep): Found[] {
  const { params } = step
  const found: Found[] = []
  for (const [key, { operation, parameters }] of Object.entries(EFFECTS)) {
    if (params[key as ParamKey] === undefined) continue
    found.push({ operation, parameters: parameters(params), rest: without(step, [key as ParamKey]) })
  }
  if (params.fo?.kind === 'object') {
    found.push({ operation: 'detect', parameters: { objects: params.fo.names }, rest: step })
  }
  if (params.bg?.kind === 'genfill') {
    const frame = Object.fromEntries(
      GEOMETRY.flatMap((key) => (params[key] === undefined ? [] : [[key, params[key]]])),
    ) as Params
    const isPadding = params.cm?.startsWith('pad_') && params.w !== undefined && params.h !== undefined
    if (!isPadding) {
      throw badRequest('bg-genfill can only be used with w, h and cm-pad_resize or cm-pad_extract.')
    }
    found.push({
      operation: 'genfill',
      parameters: params.bg.prompt === null ? {} : { prompt: params.bg.prompt },
      prepare: { kind: 'pass', params: { ...frame, bg: CLEAR }, layers: [] },
      rest: without(step, [...GEOMETRY, 'bg']),
    })
  }
  return found
}

const CLEAR = { kind: 'color', color: { red: 0, green: 0, blue: 0, alpha: 0 } } as const

function without({ params, layers }: PassStep, keys: readonly ParamKey[]): PassStep {
  const rest = Object.fromEntries(
    Object.entries(params).filter(([key]) => !keys.includes(key as ParamKey)),
  ) as Params
  return { kind: 'pass', params: rest, layers }
}

function isEmpty({ params, layers }: PassStep): boolean {
  return Object.keys(params).length === 0 && layers.length === 0
}

/**
 * Writes a step that focuses on objects as steps that cut a region out and size it: with w and h the region has their
 * ratio; with ar alone that; with neither it is tight (manual, "Object-aware cropping"). Without an object the middle
 * counts.
 * @param objects where they are, in pixels of the picture.
 */
export function focusOnObjects(step: PassStep, objects: Rect[], size: Size): PassStep[] {
  const rest = without(step, ['fo', 'z'])
  if (objects.length === 0) return [rest]
  const { params } = step
  const { w, h, ar, cm } = rest.params
  const center = boundsOf(objects)
  if (cm === 'extract' || cm?.startsWith('pad_extract')) {
    const [xc, yc] = [center.leftPx + center.widthPx / 2, center.topPx + center.heightPx / 2]
    return [{ ...rest, params: { ...rest.params, xc: Math.round(xc), yc: Math.round(yc) } }]
  }
  const ratio = ratioOf({ w, h, ar }, size)
  const region = regionAround(center, { ratio, zoom: params.z ?? 1, size })
  const cut: PassStep = {
    kind: 'pass',
    params: { w: region.widthPx, h: region.heightPx, cm: 'extract', x: region.leftPx, y: region.topPx },
    layers: [],
  }
  const sized = without(rest, w === undefined && h === undefined ? ['ar', 'c', 'cm'] : ['cm'])
  return isEmpty(sized) ? [cut] : [cut, sized]
}

function boundsOf(objects: Rect[]): Rect {
  const leftPx = Math.min(...objects.map((object) => object.leftPx))
  const topPx = Math.min(...objects.map((object) => object.topPx))
  const rightPx = Math.max(...objects.map((object) => object.leftPx + object.widthPx))
  const bottomPx = Math.max(...objects.map((object) => object.topPx + object.heightPx))
  return { leftPx, topPx, widthPx: rightPx - leftPx, heightPx: bottomPx - topPx }
}

/** Width over height of what is asked for; undefined where the object's own counts. */
function ratioOf(
  { w, h, ar }: { w: Params['w']; h: Params['h']; ar: Params['ar'] },
  size: Size,
): number | undefined {
  const scope = {
    iw: size.widthPx,
    ih: size.heightPx,
    iar: size.widthPx / size.heightPx,
    cw: size.widthPx,
    ch: size.heightPx,
    car: size.widthPx / size.heightPx,
  }
  const value = (quantity: Quantity, side: number) => {
    try {
      const number = evaluate(quantity, scope)
      return number < 1 ? number * side : number
    } catch {
      // The step itself is going to say what is wrong with it.
      return undefined
    }
  }
  if (w !== undefined && w !== 'auto' && h !== undefined) {
    const [width, height] = [value(w, size.widthPx), value(h, size.heightPx)]
    return width && height ? width / height : undefined
  }
  return ar === undefined ? undefined : value(ar, Number.NaN)
}

/** The smallest region of a ratio around an object, larger or smaller by the zoom, inside the picture. */
function regionAround(
  object: Rect,
  { ratio, zoom, size }: { ratio: number | undefined; zoom: number; size: Size },
): Rect {
  let [width, height] = [object.widthPx / zoom, object.heightPx / zoom]
  if (ratio !== undefined && ratio > 0 && Number.isFinite(ratio)) {
    if (width / height < ratio) width = height * ratio
    else height = width / ratio
  }
  const shrink = Math.min(1, size.widthPx / width, size.heightPx / height)
  // Keeping the ratio matters where it was asked for; else each side is cut by itself.
  const widthPx = clamp(Math.round(ratio ? width * shrink : Math.min(width, size.widthPx)), 1, size.widthPx)
  const heightPx = clamp(
    Math.round(ratio ? height * shrink : Math.min(height, size.heightPx)),
    1,
    size.heightPx,
  )
  const leftPx = Math.round(object.leftPx + object.widthPx / 2 - widthPx / 2)
  const topPx = Math.round(object.topPx + object.heightPx / 2 - heightPx / 2)
  return {
    leftPx: clamp(leftPx, 0, size.widthPx - widthPx),
    topPx: clamp(topPx, 0, size.heightPx - heightPx),
    widthPx,
    heightPx,
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}
