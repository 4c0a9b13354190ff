import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Chain, Color, Params, Quantity, Typography } from './ast.ts'
import { evaluate } from './expr.ts'
import type { Size } from './operations.ts'
import { baseScope, checkSize, type PlanEnv } from './plan.ts'

const BLACK: Color = { red: 0, green: 0, blue: 0, alpha: 1 }
const CLEAR: Color = { red: 0, green: 0, blue: 0, alpha: 0 }

/** Font size of text without `fs` (manual, "Basic text overlay"). */
const DEFAULT_FONT_SIZE = 45
/** "If the text layer takes up more than 16,383 pixels horizontally or vertically, then the request will error out." */
export const MAX_TEXT_SIDE_PX = 16_383
const MAX_FONT_SIZE = 4096

/**
 * Image layers lose their uniform edges unless `t-false` says otherwise (manual, "Transformation of image overlay").
 */
export function withDefaultTrim(chain: Chain): Chain {
  if (chain.some((step) => step.kind === 'pass' && step.params.t !== undefined)) return chain
  const [first, ...rest] = chain
  if (first?.kind === 'pass') return [{ ...first, params: { ...first.params, t: true } }, ...rest]
  return [{ kind: 'pass', params: { t: true }, layers: [] }, ...chain]
}

export type CanvasPlan = {
  size: Size
  color: Color
  gradient: {
    angleDeg: number
    from: Color
    to: Color
    stopShare: number | null
    stopPx: number | null
  } | null
  /** What remains to be done to the block. */
  params: Params
}

/** Plans a block of colour or gradient. It is as large as its base where w or h is missing. */
export function planCanvas(params: Params, base: Size, env: PlanEnv): CanvasPlan {
  const size = {
    widthPx: side('w', params.w === 'auto' ? undefined : params.w, base.widthPx, base) ?? base.widthPx,
    heightPx: side('h', params.h, base.heightPx, base) ?? base.heightPx,
  }
  checkSize(size, env.limits)
  if (params.bg && params.bg.kind !== 'color') {
    throw badRequest('A layer of ik_canvas takes a color as bg.')
  }
  const color = params.bg?.color ?? BLACK
  const gradient = params['e-gradient']
  const rest: Params = params.r ? { r: params.r } : {}
  const opaque = color.alpha === 1 && params.al !== undefined
  const stop = gradient && number('e-gradient', gradient.stop, base)
  if (stop !== undefined && stop <= 0) throw badRequest('The stop point (sp) of e-gradient must be above 0.')
  return {
    size,
    color: opaque ? { ...color, alpha: params.al! / 10 } : color,
    gradient: gradient
      ? {
          ...gradient,
          stopShare: stop! <= 1 ? stop! : null,
          stopPx: stop! <= 1 ? null : stop!,
        }
      : null,
    params: gradient && params.al !== undefined ? { ...rest, o: params.al * 10 } : rest,
  }
}

export type TextPlan = {
  fontSizePx: number
  /** A built-in name or a library path; null for the default font. */
  family: string | null
  color: Color
  align: 'left' | 'right' | 'center'
  /** Top, right, bottom, left. */
  paddingPx: [number, number, number, number]
  /** Lines wrap at this width, padding included; null: only where the text says. */
  widthPx: number | null
  lineHeightPx: number | null
  /** Whether the box is as wide as `widthPx` although the text needs less (`t-false`). */
  keepWidth: boolean
  typography: Typography
  background: Color
  /** What remains to be done to the drawn text. */
  params: Params
}

/** Plans a text layer. */
export function planText(params: Params, base: Size): TextPlan {
  if (params.bg && params.bg.kind !== 'color') throw badRequest('A text layer takes a color as bg.')
  const fontSizePx = params.fs === undefined ? DEFAULT_FONT_SIZE : number('fs', params.fs, base)
  if (fontSizePx < 1 || fontSizePx > MAX_FONT_SIZE) {
    throw badRequest(`Invalid transformation: the value of "fs" must be from 1 to ${MAX_FONT_SIZE}.`)
  }
  const width = side('w', params.w === 'auto' ? undefined : params.w, base.widthPx, base)
  const lineHeightPx = params.lh === undefined ? null : number('lh', params.lh, base)
  if (lineHeightPx !== null && (lineHeightPx < 1 || lineHeightPx > MAX_TEXT_SIDE_PX)) {
    throw badRequest('Invalid transformation: the value of "lh" is out of range.')
  }
  const rest: Params = {}
  if (params.r) rest.r = params.r
  if (params.rt !== undefined) rest.rt = params.rt
  if (params.fl) rest.fl = params.fl
  if (params.al !== undefined && params.al < 10) rest.o = params.al * 10
  return {
    fontSizePx,
    family: params.ff ?? null,
    color: params.co ?? BLACK,
    align: params.ia ?? 'center',
    paddingPx: padding(params.pa, base),
    widthPx: width ?? null,
    lineHeightPx,
    keepWidth: params.t === false,
    typography: params.tg ?? { bold: false, italic: false, strikethrough: false },
    background: params.bg?.color ?? CLEAR,
    params: rest,
  }
}

function padding(value: Params['pa'], base: Size): [number, number, number, number] {
  const sides = Array.isArray(value) ? value : value === undefined ? 0 : number('pa', value, base)
  const all = (Array.isArray(sides) ? sides : [sides, sides, sides, sides]).map(Math.round)
  if (all.some((px) => px < 0 || px > MAX_TEXT_SIDE_PX)) {
    throw badRequest('Invalid transformation: the value of "pa" is out of range.')
  }
  return [all[0]!, all[1]!, all[2]!, all[3]!]
}

function side(key: string, value: Quantity | undefined, ofPx: number, base: Size): number | undefined {
  if (value === undefined) return undefined
  const amount = number(key, value, base)
  if (amount <= 0) throw badRequest(`Invalid transformation: the value of "${key}" must be above 0.`)
  return Math.max(1, Math.round(amount < 1 ? amount * ofPx : amount))
}

function number(key: string, value: Quantity, base: Size): number {
  try {
    return evaluate(value, baseScope(base))
  } catch (cause) {
    if (cause instanceof TintypeError) throw cause
    throw badRequest(
      `Invalid transformation: the value of "${key}" ${(cause as Error).message}. Text layers and blocks know bw, bh and bar only.`,
      { cause },
    )
  }
}
