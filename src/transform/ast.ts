/** The syntax tree of a transformation: plain data, so that it can be sent to a render process as it is. */

export type Variable = 'iw' | 'ih' | 'iar' | 'cw' | 'ch' | 'car' | 'bw' | 'bh' | 'bar' | 'idu' | 'bdu' | 'idn'

export type Operator = 'add' | 'sub' | 'mul' | 'div' | 'mod' | 'pow'

/** `operands[0] operators[0] operands[1] …`; one operand and no operator is a bare variable. */
export type Expr = { operands: (number | Variable)[]; operators: Operator[] }

/** A number, or an expression that becomes one when the sizes are known. */
export type Quantity = number | Expr

/** Channels 0–255; `alpha` 0–1 in hundredths. */
export type Color = { red: number; green: number; blue: number; alpha: number }

export type CropStrategy =
  | 'maintain_ratio'
  | 'maintain_ratio_no_enlarge'
  | 'force'
  | 'at_max'
  | 'at_max_enlarge'
  | 'at_least'
  | 'extract'
  | 'pad_resize'
  | 'pad_resize_no_enlarge'
  | 'pad_extract'
  | 'pad_extract_no_shrink'

export type Position =
  | 'center'
  | 'top'
  | 'left'
  | 'bottom'
  | 'right'
  | 'top_left'
  | 'top_right'
  | 'bottom_left'
  | 'bottom_right'

/** Where a crop looks: a side or corner, the asset's own coordinates, saliency, or what a model must find. */
export type Focus =
  | { kind: 'position'; position: Position }
  | { kind: 'custom' }
  | { kind: 'auto' }
  | { kind: 'object'; names: string[] }

export type Format = 'auto' | 'orig' | 'jpg' | 'png' | 'webp' | 'avif' | 'gif' | 'svg' | 'mp4' | 'webm'

export type Background =
  | { kind: 'color'; color: Color }
  | { kind: 'blurred'; intensity: number | 'auto'; brightness: number }
  | { kind: 'dominant' }
  | { kind: 'gradient-dominant'; palette: 2 | 4 }
  | { kind: 'genfill'; prompt: string | null }

/** Corner radii clockwise from the top left. */
export type Radius = { corners: [CornerRadius, CornerRadius, CornerRadius, CornerRadius] }
export type CornerRadius = number | 'max'

export type Pages =
  | { kind: 'numbers'; ranges: { from: number; to: number | null }[] }
  | { kind: 'names'; names: string[] }

export type Gradient = {
  /** Degrees clockwise from the top: the side at which the `to` colour is reached. */
  angleDeg: number
  from: Color
  to: Color
  /** At most 1: the share of the way; above: pixels. */
  stop: Quantity
}

export type Distortion =
  | { kind: 'perspective'; points: [number, number, number, number, number, number, number, number] }
  | { kind: 'arc'; degrees: number }

export type Typography = { bold: boolean; italic: boolean; strikethrough: boolean }

/** One value type a parameter; the parameter table has an entry for each key. */
export type ParamValues = {
  w: Quantity | 'auto'
  h: Quantity
  ar: Quantity
  c: CropStrategy
  cm: CropStrategy
  fo: Focus
  x: Quantity
  y: Quantity
  xc: Quantity
  yc: Quantity
  z: number
  dpr: Quantity | 'auto'

  q: number
  f: Format
  lo: boolean
  pr: boolean
  cp: boolean
  md: boolean
  dn: Quantity
  orig: boolean
  di: string
  n: string
  pg: Pages

  t: boolean | number
  bg: Background
  b: { width: Quantity; color: Color }
  r: Radius
  rt: number | 'auto'
  fl: { horizontal: boolean; vertical: boolean }
  bl: number
  o: number
  cr: { to: Color; tolerance: number; from: Color | null }
  'e-grayscale': true
  'e-contrast': true
  'e-sharpen': number
  'e-usm': { radius: number; sigma: number; amount: number; threshold: number }
  'e-shadow': { blur: number; saturation: number; xPercent: number; yPercent: number }
  'e-gradient': Gradient
  'e-colorize': { color: Color; intensity: number }
  'e-distort': Distortion

  'e-bgremove': true
  'e-removedotbg': true
  'e-dropshadow': { azimuthDeg: number; elevationDeg: number; saturation: number }
  'e-changebg': { prompt: string }
  'e-edit': { prompt: string }
  'e-retouch': true
  'e-upscale': true
  'e-genvar': true

  fs: Quantity
  ff: string
  co: Color
  ia: 'left' | 'right' | 'center'
  pa: Quantity | [number, number, number, number]
  al: number
  tg: Typography
  lh: Quantity

  so: Quantity
  eo: Quantity
  du: Quantity
  vc: 'h264' | 'vp9' | 'av1' | 'none'
  ac: 'aac' | 'opus' | 'none'
  sr: number[]
}

export type ParamKey = keyof ParamValues
export type Params = { [K in ParamKey]?: ParamValues[K] }

/** A distance from the near edge (left, top) or, written with `N`, from the far one (right, bottom). */
export type Offset = { from: 'start' | 'end'; distance: Quantity }

export type LayerPosition = {
  lx?: Offset
  ly?: Offset
  lxc?: Offset
  lyc?: Offset
  lap?: Position
  lfo?: Position
  /** Seconds, on video bases only; images ignore them. */
  lso?: Quantity
  leo?: Quantity
  ldu?: Quantity
}

export type LayerType = 'image' | 'text' | 'video' | 'subtitles'
export type LayerMode = 'multiply' | 'cutter' | 'cutout' | 'displace'

export type Layer = {
  type: LayerType
  /** A library path without a leading slash, `ik_canvas`, or the text. */
  input: string
  position: LayerPosition
  mode: LayerMode | null
  chain: Chain
}

export type Property = 'w' | 'h' | 'ar' | 'iw' | 'ih' | 'iar'
export type Comparison = {
  property: Property
  operator: 'eq' | 'ne' | 'gt' | 'gte' | 'lt' | 'lte'
  value: number
}

/** One pass over the pixels: its parameters in any order, then its layers in the order written. */
export type PassStep = { kind: 'pass'; params: Params; layers: Layer[] }
/** `condition` is an OR of ANDs. */
export type IfStep = { kind: 'if'; condition: Comparison[][]; whenTrue: Chain; whenFalse: Chain }
export type Step = PassStep | IfStep
export type Chain = Step[]
