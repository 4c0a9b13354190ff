import type { Background, Color, CornerRadius, Distortion } from './ast.ts'

export type Size = { widthPx: number; heightPx: number }
export type Rect = Size & { leftPx: number; topPx: number }

/**
 * What one step does to the sizes of an image: cut a region out of it as it is, scale that, cut the result, and
 * lay the result on a larger canvas. Each part is optional; they apply in this order.
 */
export type Geometry = {
  kind: 'geometry'
  extract: Rect | null
  resize: Size | null
  crop: Rect | null
  pad: { size: Size; leftPx: number; topPx: number; background: Background } | null
}

/** What a step does, with every number worked out: the renderer adds no policy of its own. */
export type Operation =
  | Geometry
  | { kind: 'trim'; tolerance: number }
  | { kind: 'replace-color'; to: Color; tolerance: number; from: Color | null }
  | { kind: 'grayscale' }
  | { kind: 'contrast' }
  | { kind: 'sharpen'; amount: number }
  | { kind: 'unsharp'; radius: number; sigma: number; amount: number; threshold: number }
  | { kind: 'blur'; radiusPx: number }
  | { kind: 'colorize'; color: Color; intensity: number }
  | {
      kind: 'gradient'
      angleDeg: number
      from: Color
      to: Color
      stopShare: number | null
      stopPx: number | null
    }
  | { kind: 'distort'; distortion: Distortion; size: Size }
  | { kind: 'border'; widthPx: number; color: Color }
  | { kind: 'round'; cornersPx: [number, number, number, number] | 'ellipse' }
  | { kind: 'opacity'; share: number }
  | { kind: 'shadow'; blur: number; opacity: number; dxPx: number; dyPx: number }
  | { kind: 'flip'; horizontal: boolean; vertical: boolean }
  | { kind: 'rotate'; degrees: number; size: Size }
  | { kind: 'flatten'; color: Color }

/** The size that an image of the given size has after an operation. */
export function sizeAfter(operation: Operation, size: Size): Size {
  switch (operation.kind) {
    case 'geometry':
      return operation.pad?.size ?? operation.crop ?? operation.resize ?? operation.extract ?? size
    case 'border':
      return {
        widthPx: size.widthPx + 2 * operation.widthPx,
        heightPx: size.heightPx + 2 * operation.widthPx,
      }
    case 'rotate':
    case 'distort':
      return operation.size
    default:
      return size
  }
}

/** Radii in pixels, never more than half of the shorter side. */
export function cornersInPx(corners: readonly CornerRadius[], size: Size): [number, number, number, number] {
  const most = Math.floor(Math.min(size.widthPx, size.heightPx) / 2)
  const px = corners.map((corner) => (corner === 'max' ? most : Math.min(corner, most)))
  return [px[0]!, px[1]!, px[2]!, px[3]!]
}
