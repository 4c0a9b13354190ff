import type { Background, CornerRadius, Radius } from '../ast.ts'
import {
  border,
  type Codec,
  color,
  decimal,
  decodeBase64Text,
  encodeValue,
  integer,
  parseSignedNumber,
} from '../codecs.ts'
import { evaluate, parsePlainNumber, printNumber } from '../expr.ts'
import { cornersInPx } from '../operations.ts'
import { rotatedSize } from '../plan-crop.ts'
import { define } from './definition.ts'

const PAGE = 'features/image-transformations/resize-crop-and-other-transformations.md'

const background: Codec<Background> = {
  parse(text) {
    if (text === 'dominant') return { kind: 'dominant' }
    const [word, ...rest] = text.split('_')
    if (word === 'blurred') return parseBlurred(rest)
    if (text.startsWith('gradient_dominant') || text.startsWith('gradient-dominant')) {
      const palette = text.slice('gradient_dominant'.length)
      if (palette === '' || palette === '_2' || palette === '_auto')
        return { kind: 'gradient-dominant', palette: 2 }
      if (palette === '_4') return { kind: 'gradient-dominant', palette: 4 }
      throw new Error(
        'has an unknown palette; use gradient_dominant, gradient_dominant_2 or gradient_dominant_4',
      )
    }
    if (text === 'genfill') return { kind: 'genfill', prompt: null }
    if (text.startsWith('genfill-prompt-'))
      return { kind: 'genfill', prompt: text.slice('genfill-prompt-'.length) }
    if (text.startsWith('genfill-prompte-')) {
      return { kind: 'genfill', prompt: decodeBase64Text(text.slice('genfill-prompte-'.length)) }
    }
    return { kind: 'color', color: color.parse(text) }
  },
  print(value) {
    switch (value.kind) {
      case 'color':
        return color.print(value.color)
      case 'blurred':
        return `blurred_${value.intensity === 'auto' ? 'auto' : printNumber(value.intensity)}_${printNumber(value.brightness)}`
      case 'dominant':
        return 'dominant'
      case 'gradient-dominant':
        return `gradient_dominant_${value.palette}`
      case 'genfill':
        return value.prompt === null ? 'genfill' : `genfill-prompt-${encodeValue(value.prompt)}`
    }
  },
  describe: 'a color, blurred[_intensity][_brightness], dominant, or gradient_dominant[_2|_4]',
}

function parseBlurred(rest: string[]): Background {
  const [intensityText, brightnessText, ...more] = rest
  const intensity =
    intensityText === undefined || intensityText === 'auto' ? 'auto' : integer(0, 100).parse(intensityText)
  const brightness = brightnessText === undefined ? 0 : integer(-255, 255).parse(brightnessText)
  if (more.length > 0) throw new Error('has too many parts; use blurred_<intensity>_<brightness>')
  return { kind: 'blurred', intensity, brightness }
}

const radius: Codec<Radius> = {
  parse(text) {
    const corners = text.split('_').map((part): CornerRadius => {
      if (part === 'max') return 'max'
      const value = parsePlainNumber(part)
      if (value === undefined || !Number.isInteger(value) || value > 65_535) {
        throw new Error('must be whole pixels or max, once or for each of the four corners')
      }
      return value
    })
    const [a, b, c, d] = corners
    if (corners.length === 1) return { corners: [a!, a!, a!, a!] }
    if (corners.length === 4) return { corners: [a!, b!, c!, d!] }
    throw new Error('must have one radius or four: top left, top right, bottom right, bottom left')
  },
  print({ corners }) {
    return corners.every((corner) => corner === corners[0]) ? String(corners[0]) : corners.join('_')
  },
  describe: 'whole pixels or max, once or as tl_tr_br_bl',
}

const rotation: Codec<number | 'auto'> = {
  parse(text) {
    if (text === 'auto') return 'auto'
    const value = parseSignedNumber(text)
    if (value === undefined || Math.abs(value) > 36_000)
      throw new Error('must be degrees, N<degrees>, or auto')
    return value === 0 ? 0 : value
  },
  print: (value) => (value === 'auto' ? 'auto' : printNumber(value)),
  describe: 'degrees clockwise, N<degrees> counter-clockwise, or auto',
}

const trim: Codec<boolean | number> = {
  parse(text) {
    if (text === 'true') return true
    if (text === 'false') return false
    return integer(1, 99).parse(text)
  },
  print: String,
  describe: 'true, false, or a threshold from 1 to 99',
}

/** The threshold of `t-true`, measured as the official editor presets it (contract 3.3). */
export const DEFAULT_TRIM = 10

export const lookParams = [
  define({
    key: 't',
    name: 'trim',
    group: 'look',
    codec: trim,
    places: ['image', 'text'],
    summary: 'Cuts off edges of one colour; the number says how far a pixel may differ from it.',
    examples: ['t-true', 't-15'],
    source: `${PAGE}#trim-edges-t`,
    plan: (value) =>
      value === false ? [] : [{ kind: 'trim', tolerance: value === true ? DEFAULT_TRIM : value }],
  }),
  define({
    key: 'bg',
    name: 'background',
    group: 'look',
    codec: background,
    places: ['image', 'text', 'canvas', 'video'],
    summary: 'What fills padding, rounded or rotated corners, and transparent areas.',
    examples: ['w-300,h-200,cm-pad_resize,bg-F3F3F3', 'w-800,h-600,cm-pad_resize,bg-blurred_25_N30'],
    source: `${PAGE}#background-bg`,
    plan(value, { params, warn }) {
      // Padding that shows another background has been filled by the geometry already.
      if (value.kind !== 'color') {
        if (value.kind !== 'genfill' && params.cm === undefined && params.c === undefined) {
          warn('bg has no effect without a padding crop mode')
        }
        return []
      }
      const opaque = params.o !== undefined && params.o < 100
      return [{ kind: 'flatten', color: opaque ? { ...value.color, alpha: 1 } : value.color }]
    },
  }),
  define({
    key: 'b',
    name: 'border',
    group: 'look',
    codec: border,
    places: ['image', 'video'],
    summary: 'A border around the image, outside of it.',
    examples: ['w-300,b-5_FFF000', 'b-cw_mul_0.05_yellow'],
    source: `${PAGE}#border-b`,
    plan(value, { scope, warn }) {
      const widthPx = Math.round(evaluate(value.width, scope))
      if (widthPx < 1) {
        warn('b has no effect: the border is less than a pixel wide')
        return []
      }
      return [{ kind: 'border', widthPx: Math.min(widthPx, 65_535), color: value.color }]
    },
  }),
  define({
    key: 'r',
    name: 'radius',
    group: 'look',
    codec: radius,
    places: ['image', 'text', 'canvas', 'video'],
    summary: 'Rounds the corners, after the resize of the step. "max" gives a circle or an oval.',
    examples: ['w-200,h-200,r-20', 'r-max', 'r-10_20_30_40'],
    source: `${PAGE}#radius-r`,
    plan({ corners }, { size }) {
      if (corners.every((corner) => corner === 'max')) return [{ kind: 'round', cornersPx: 'ellipse' }]
      const cornersPx = cornersInPx(corners, size)
      return cornersPx.every((corner) => corner === 0) ? [] : [{ kind: 'round', cornersPx }]
    },
  }),
  define({
    key: 'rt',
    name: 'rotation',
    group: 'look',
    codec: rotation,
    places: ['image', 'text', 'video'],
    summary: 'Rotates clockwise; the canvas grows as needed. "auto" follows the EXIF orientation.',
    examples: ['rt-90', 'rt-N40', 'rt-auto'],
    source: `${PAGE}#rotate-rt`,
    plan(value, { size }) {
      if (value === 'auto') return []
      const degrees = ((value % 360) + 360) % 360
      return degrees === 0 ? [] : [{ kind: 'rotate', degrees, size: rotatedSize(size, degrees) }]
    },
  }),
  define({
    key: 'fl',
    name: 'flip',
    group: 'look',
    codec: {
      parse(text) {
        if (text === 'h') return { horizontal: true, vertical: false }
        if (text === 'v') return { horizontal: false, vertical: true }
        if (text === 'h_v' || text === 'v_h') return { horizontal: true, vertical: true }
        throw new Error('must be h, v or h_v')
      },
      print: ({ horizontal, vertical }) => (horizontal ? (vertical ? 'h_v' : 'h') : 'v'),
      describe: 'h, v or h_v',
    },
    places: ['image', 'text'],
    summary: 'Mirrors left to right (h), top to bottom (v), or both.',
    examples: ['fl-h', 'fl-h_v'],
    source: 'contract 3.3',
    plan: (value) => [{ kind: 'flip', ...value }],
  }),
  define({
    key: 'bl',
    name: 'blur',
    group: 'look',
    codec: decimal(1, 100),
    places: ['image'],
    summary: 'Gaussian blur.',
    examples: ['bl-10'],
    source: `${PAGE}#blur-bl`,
    plan: (value) => [{ kind: 'blur', radiusPx: value }],
  }),
  define({
    key: 'o',
    name: 'opacity',
    group: 'look',
    codec: integer(0, 100),
    places: ['image'],
    summary: 'Opacity in percent. With bg the result is blended with that colour and opaque.',
    examples: ['o-50', 'o-50,bg-blue'],
    source: `${PAGE}#opacity-o`,
    plan: (value) => (value === 100 ? [] : [{ kind: 'opacity', share: value / 100 }]),
  }),
  define({
    key: 'cr',
    name: 'colorReplace',
    group: 'look',
    codec: {
      parse(text) {
        const [to, tolerance, from, ...more] = text.split('_')
        if (more.length > 0) throw new Error('has too many parts; use <to>_<tolerance>_<from>')
        return {
          to: color.parse(to!),
          tolerance: tolerance === undefined ? 35 : integer(0, 100).parse(tolerance),
          from: from === undefined ? null : color.parse(from),
        }
      },
      print: (value) =>
        `${color.print(value.to)}_${value.tolerance}${value.from ? `_${color.print(value.from)}` : ''}`,
      describe:
        'a color, optionally _tolerance (0–100, default 35) and _from-color (default: the dominant one)',
    },
    places: ['image'],
    summary: 'Replaces one colour, and what is near it, by another; shading is kept.',
    examples: ['cr-FF0000', 'cr-FF0000_20_00FF00'],
    source: 'contract 3.3',
    plan: (value) => [{ kind: 'replace-color', ...value }],
  }),
]
