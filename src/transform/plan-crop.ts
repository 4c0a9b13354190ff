import { badRequest } from '../kernel/errors.ts'
import type { Background, CropStrategy, Distortion, Position } from './ast.ts'
import type { Geometry, Rect, Size } from './operations.ts'

/** Which point a crop keeps: a share of the spare room (0 left or top, 1 right or bottom), or a point of the image. */
export type FocusPoint =
  | { kind: 'share'; x: number; y: number }
  /** In pixels of the source image. */
  | { kind: 'point'; x: number; y: number }

/** What a step asks for, in whole pixels. */
export type GeometryRequest = {
  widthPx: number | undefined
  heightPx: number | undefined
  strategy: CropStrategy
  focus: FocusPoint
  /** Top left corner or centre of an extracted region. */
  leftPx?: number
  topPx?: number
  centerXPx?: number
  centerYPx?: number
  background: Background
  /** Scaling beyond this before cropping would be waste; the region is then cut out first. */
  maxIntermediatePx: number
}

const CENTER: FocusPoint = { kind: 'share', x: 0.5, y: 0.5 }

const SHARES: Record<Position, [number, number]> = {
  center: [0.5, 0.5],
  top: [0.5, 0],
  bottom: [0.5, 1],
  left: [0, 0.5],
  right: [1, 0.5],
  top_left: [0, 0],
  top_right: [1, 0],
  bottom_left: [0, 1],
  bottom_right: [1, 1],
}

export function focusOf(position: Position): FocusPoint {
  const [x, y] = SHARES[position]
  return { kind: 'share', x, y }
}

type Box = { source: Size; target: Size; request: GeometryRequest }
type Strategy = (box: Box) => Geometry | null

// Each with an example: a source of 400 × 300 asked for 200 × 200 (manual, "Crop, Crop Modes and Focus").
const strategies: Record<CropStrategy, Strategy> = {
  // 267 × 200, of which 200 × 200.
  maintain_ratio: cover,
  // The same; a source of 100 × 300 gives 100 × 100.
  maintain_ratio_no_enlarge(box) {
    const { source, target } = box
    const share = Math.min(1, source.widthPx / target.widthPx, source.heightPx / target.heightPx)
    return cover({ ...box, target: scaled(target, share) })
  },
  // 200 × 200, distorted.
  force: ({ source, target }) => resizeTo(source, target),
  // 200 × 150; never larger than the source.
  at_max: ({ source, target }) => resizeTo(source, scaled(source, Math.min(1, fitShare(source, target)))),
  // 200 × 150; a smaller source grows.
  at_max_enlarge: ({ source, target }) => resizeTo(source, scaled(source, fitShare(source, target))),
  // 267 × 200.
  at_least: ({ source, target }) => resizeTo(source, scaled(source, coverShare(source, target))),
  // The middle 200 × 200 as it is.
  extract,
  // 200 × 150 on a canvas of 200 × 200.
  pad_resize: (box) => padResize(box, fitShare(box.source, box.target)),
  pad_resize_no_enlarge: (box) => padResize(box, Math.min(1, fitShare(box.source, box.target))),
  // The middle 200 × 200; where the source is smaller, canvas.
  pad_extract: padExtract,
  // 400 × 300: the canvas is never smaller than the source.
  pad_extract_no_shrink: (box) =>
    padExtract({
      ...box,
      target: {
        widthPx: Math.max(box.source.widthPx, box.target.widthPx),
        heightPx: Math.max(box.source.heightPx, box.target.heightPx),
      },
    }),
}

/**
 * Plans what w, h, ar, c, cm, fo, x, y, xc, yc and dpr do together.
 * @returns null if the image stays as it is.
 * @throws TintypeError bad-request if a region lies outside of the image.
 */
export function planGeometry(source: Size, request: GeometryRequest): Geometry | null {
  const { widthPx, heightPx, strategy } = request
  if (widthPx !== undefined && heightPx !== undefined) {
    return strategies[strategy]({ source, target: { widthPx, heightPx }, request })
  }
  if (widthPx === undefined && heightPx === undefined) return null
  return planOneSide(source, request)
}

/** One side given: the other follows, and nothing is cropped. Extraction keeps the whole of the other side. */
function planOneSide(source: Size, request: GeometryRequest): Geometry | null {
  const { widthPx, heightPx, strategy } = request
  if (strategy === 'extract' || strategy === 'pad_extract' || strategy === 'pad_extract_no_shrink') {
    const target = { widthPx: widthPx ?? source.widthPx, heightPx: heightPx ?? source.heightPx }
    return strategies[strategy]({ source, target, request })
  }
  const share = widthPx !== undefined ? widthPx / source.widthPx : heightPx! / source.heightPx
  const mayGrow = !['at_max', 'maintain_ratio_no_enlarge', 'pad_resize_no_enlarge'].includes(strategy)
  if (share > 1 && !mayGrow) return null
  const size = scaled(source, share)
  return resizeTo(source, { widthPx: widthPx ?? size.widthPx, heightPx: heightPx ?? size.heightPx })
}

function cover({ source, target, request }: Box): Geometry | null {
  const share = coverShare(source, target)
  const whole = scaled(source, share)
  const size = {
    widthPx: Math.max(whole.widthPx, target.widthPx),
    heightPx: Math.max(whole.heightPx, target.heightPx),
  }
  if (same(size, target)) return resizeTo(source, target)
  if (size.widthPx * size.heightPx > request.maxIntermediatePx)
    return coverByExtraction(source, target, request)
  const crop = windowIn(size, target, request.focus, share)
  return { kind: 'geometry', extract: null, resize: same(size, source) ? null : size, crop, pad: null }
}

/** The same picture the other way round, for sources so narrow that scaling them whole would cost too much. */
function coverByExtraction(source: Size, target: Size, request: GeometryRequest): Geometry {
  const window = scaled(target, 1 / coverShare(source, target))
  const inside = {
    widthPx: Math.min(window.widthPx, source.widthPx),
    heightPx: Math.min(window.heightPx, source.heightPx),
  }
  return {
    kind: 'geometry',
    extract: windowIn(source, inside, request.focus, 1),
    resize: target,
    crop: null,
    pad: null,
  }
}

function extract({ source, target, request }: Box): Geometry | null {
  const { leftPx, topPx, centerXPx, centerYPx, focus } = request
  const fallback = windowIn(source, target, focus, 1)
  const left =
    leftPx ?? (centerXPx === undefined ? fallback.leftPx : Math.round(centerXPx - target.widthPx / 2))
  const top =
    topPx ?? (centerYPx === undefined ? fallback.topPx : Math.round(centerYPx - target.heightPx / 2))
  const inside =
    left >= 0 &&
    top >= 0 &&
    left + target.widthPx <= source.widthPx &&
    top + target.heightPx <= source.heightPx
  if (!inside) {
    throw badRequest(
      `The region to extract (${target.widthPx}x${target.heightPx} at ${left},${top}) is not inside the image, which is ${source.widthPx}x${source.heightPx}. Use cm-pad_extract to pad it.`,
    )
  }
  if (same(source, target)) return null
  return {
    kind: 'geometry',
    extract: { leftPx: left, topPx: top, ...target },
    resize: null,
    crop: null,
    pad: null,
  }
}

function padResize({ source, target, request }: Box, share: number): Geometry | null {
  const size = scaled(source, share)
  const inside = {
    widthPx: Math.min(size.widthPx, target.widthPx),
    heightPx: Math.min(size.heightPx, target.heightPx),
  }
  if (same(inside, target)) return resizeTo(source, target)
  return {
    kind: 'geometry',
    extract: null,
    resize: same(inside, source) ? null : inside,
    crop: null,
    pad: padding(inside, target, request),
  }
}

function padExtract({ source, target, request }: Box): Geometry | null {
  const window = {
    widthPx: Math.min(source.widthPx, target.widthPx),
    heightPx: Math.min(source.heightPx, target.heightPx),
  }
  const cut = same(window, source) ? null : extractClamped(source, window, request)
  if (same(window, target)) {
    return cut && { kind: 'geometry', extract: cut, resize: null, crop: null, pad: null }
  }
  return { kind: 'geometry', extract: cut, resize: null, crop: null, pad: padding(window, target, request) }
}

function extractClamped(source: Size, window: Size, request: GeometryRequest): Rect {
  const fallback = windowIn(source, window, request.focus, 1)
  const left =
    request.leftPx ??
    (request.centerXPx === undefined ? fallback.leftPx : Math.round(request.centerXPx - window.widthPx / 2))
  const top =
    request.topPx ??
    (request.centerYPx === undefined ? fallback.topPx : Math.round(request.centerYPx - window.heightPx / 2))
  return {
    ...window,
    leftPx: clamp(left, 0, source.widthPx - window.widthPx),
    topPx: clamp(top, 0, source.heightPx - window.heightPx),
  }
}

function padding(inside: Size, target: Size, request: GeometryRequest): NonNullable<Geometry['pad']> {
  const { leftPx, topPx } = windowIn(
    target,
    inside,
    request.focus.kind === 'share' ? request.focus : CENTER,
    1,
  )
  return { size: target, leftPx, topPx, background: request.background }
}

/** Places a window in an area; `share` is how much the source was scaled to become the area. */
function windowIn(area: Size, window: Size, focus: FocusPoint, share: number): Rect {
  const spareX = area.widthPx - window.widthPx
  const spareY = area.heightPx - window.heightPx
  const left = focus.kind === 'share' ? spareX * focus.x : focus.x * share - window.widthPx / 2
  const top = focus.kind === 'share' ? spareY * focus.y : focus.y * share - window.heightPx / 2
  if (focus.kind === 'share') return { ...window, leftPx: Math.round(left), topPx: Math.round(top) }
  return { ...window, leftPx: clamp(Math.round(left), 0, spareX), topPx: clamp(Math.round(top), 0, spareY) }
}

function resizeTo(source: Size, size: Size): Geometry | null {
  return same(source, size) ? null : { kind: 'geometry', extract: null, resize: size, crop: null, pad: null }
}

function scaled(size: Size, share: number): Size {
  return {
    widthPx: Math.max(1, Math.round(size.widthPx * share)),
    heightPx: Math.max(1, Math.round(size.heightPx * share)),
  }
}

function fitShare(source: Size, target: Size): number {
  return Math.min(target.widthPx / source.widthPx, target.heightPx / source.heightPx)
}

function coverShare(source: Size, target: Size): number {
  return Math.max(target.widthPx / source.widthPx, target.heightPx / source.heightPx)
}

function same(a: Size, b: Size): boolean {
  return a.widthPx === b.widthPx && a.heightPx === b.heightPx
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max)
}

/** Size of the smallest upright canvas that holds an image rotated by the given degrees. */
export function rotatedSize(size: Size, degrees: number): Size {
  const quarter = ((degrees % 360) + 360) % 360
  if (quarter % 180 === 0) return size
  if (quarter % 90 === 0) return { widthPx: size.heightPx, heightPx: size.widthPx }
  const radians = (quarter * Math.PI) / 180
  const sin = Math.abs(Math.sin(radians))
  const cos = Math.abs(Math.cos(radians))
  return {
    widthPx: Math.round(size.widthPx * cos + size.heightPx * sin),
    heightPx: Math.round(size.widthPx * sin + size.heightPx * cos),
  }
}

/**
 * Size after a distortion. A perspective keeps the canvas. An arc bends the middle line of the image into a part of
 * a circle, keeping that line's length, and takes the smallest canvas around it.
 */
export function distortedSize(size: Size, distortion: Distortion): Size {
  if (distortion.kind === 'perspective') return size
  const angle = (Math.abs(distortion.degrees) * Math.PI) / 180
  const { outer, inner } = arcRadii(size, angle)
  const half = angle / 2
  const width = 2 * outer * (half >= Math.PI / 2 ? 1 : Math.sin(half))
  const bottom = half <= Math.PI / 2 ? inner * Math.cos(half) : outer * Math.cos(half)
  return { widthPx: Math.max(1, Math.round(width)), heightPx: Math.max(1, Math.round(outer - bottom)) }
}

export function arcRadii(size: Size, angle: number): { outer: number; inner: number } {
  const middle = size.widthPx / angle
  return { outer: middle + size.heightPx / 2, inner: Math.max(0, middle - size.heightPx / 2) }
}
