import { badRequest } from '../../kernel/errors.ts'
import type { Distortion } from '../ast.ts'
import {
  type Codec,
  color,
  decimal,
  flag,
  gradient,
  integer,
  parseNamedParts,
  parseSignedNumber,
} from '../codecs.ts'
import { evaluate, parsePlainNumber, printNumber } from '../expr.ts'
import { distortedSize } from '../plan-crop.ts'
import { define } from './definition.ts'

const PAGE = 'features/image-transformations/image-enhancement-and-color-manipulation.md'

/** What `e-sharpen` without a number means (the official editor's preset). */
const DEFAULT_SHARPEN = 50

const distortion: Codec<Distortion> = {
  parse(text) {
    if (text.startsWith('a-')) {
      const degrees = parseSignedNumber(text.slice(2))
      if (degrees === undefined || degrees === 0 || Math.abs(degrees) > 360) {
        throw new Error('must have an arc from N360 to 360 degrees other than 0')
      }
      return { kind: 'arc', degrees }
    }
    if (!text.startsWith('p-')) throw new Error('must be p-<four corners> or a-<degrees>')
    const points = text.slice(2).split('_').map(parseSignedNumber)
    if (points.length !== 8 || points.some((point) => point === undefined || Math.abs(point) > 65_535)) {
      throw new Error('must have eight numbers: x1_y1_x2_y2_x3_y3_x4_y4, clockwise from the top left')
    }
    const [x1, y1, x2, y2, x3, y3, x4, y4] = points as number[]
    if (
      !isConvexClockwise([
        [x1!, y1!],
        [x2!, y2!],
        [x3!, y3!],
        [x4!, y4!],
      ])
    ) {
      throw new Error('must have corners that go clockwise from the top left around a convex shape')
    }
    return { kind: 'perspective', points: [x1!, y1!, x2!, y2!, x3!, y3!, x4!, y4!] }
  },
  print: (value) =>
    value.kind === 'arc' ? `a-${printNumber(value.degrees)}` : `p-${value.points.map(printNumber).join('_')}`,
  describe: 'p-x1_y1_x2_y2_x3_y3_x4_y4 (corners, clockwise from the top left) or a-<degrees>',
}

function isConvexClockwise(points: [number, number][]): boolean {
  return points.every((point, index) => {
    const next = points[(index + 1) % 4]!
    const after = points[(index + 2) % 4]!
    const turn = (next[0] - point[0]) * (after[1] - next[1]) - (next[1] - point[1]) * (after[0] - next[0])
    return turn > 0
  })
}

export const effectParams = [
  define({
    key: 'e-grayscale',
    name: 'grayscale',
    group: 'effect',
    codec: flag,
    places: ['image'],
    summary: 'Shades of grey.',
    examples: ['e-grayscale'],
    source: 'features/image-transformations/resize-crop-and-other-transformations.md#grayscale-e-grayscale',
    plan: () => [{ kind: 'grayscale' }],
  }),
  define({
    key: 'e-contrast',
    name: 'contrastStretch',
    group: 'effect',
    codec: flag,
    places: ['image'],
    summary: 'Stretches the contrast over the whole range.',
    examples: ['e-contrast'],
    source: `${PAGE}#contrast-stretch-e-contrast`,
    plan: () => [{ kind: 'contrast' }],
  }),
  define({
    key: 'e-sharpen',
    name: 'sharpen',
    group: 'effect',
    codec: {
      parse: (text) => (text === '' || text === 'true' ? DEFAULT_SHARPEN : integer(1, 99).parse(text)),
      print: String,
      describe: 'nothing, or an integer from 1 to 99',
    },
    places: ['image'],
    summary: 'Sharpens.',
    examples: ['e-sharpen', 'e-sharpen-10'],
    source: `${PAGE}#sharpen-e-sharpen`,
    plan: (amount) => [{ kind: 'sharpen', amount }],
  }),
  define({
    key: 'e-usm',
    name: 'unsharpMask',
    group: 'effect',
    codec: {
      parse(text) {
        const values = text.split('-').map(parsePlainNumber)
        const [radius, sigma, amount, threshold] = values
        if (values.length !== 4 || values.some((value) => value === undefined || value > 1000)) {
          throw new Error('must have four positive numbers: radius-sigma-amount-threshold')
        }
        return { radius: radius!, sigma: sigma!, amount: amount!, threshold: threshold! }
      },
      print: (value) => [value.radius, value.sigma, value.amount, value.threshold].map(printNumber).join('-'),
      describe: 'four positive numbers: radius-sigma-amount-threshold',
    },
    places: ['image'],
    summary: 'Unsharp mask. AVIF is then not chosen.',
    examples: ['e-usm-2-2-0.8-0.024'],
    source: `${PAGE}#unsharp-mask-e-usm`,
    plan: (value) => [{ kind: 'unsharp', ...value }],
  }),
  define({
    key: 'e-shadow',
    name: 'shadow',
    group: 'effect',
    codec: {
      parse(text) {
        const parts = parseNamedParts(text === 'true' ? '' : text, [
          { name: 'bl' },
          { name: 'st' },
          { name: 'x' },
          { name: 'y' },
        ])
        return {
          blur: integer(0, 15).parse(parts.get('bl') ?? '10'),
          saturation: integer(0, 100).parse(parts.get('st') ?? '30'),
          xPercent: integer(-100, 100).parse(parts.get('x') ?? '2'),
          yPercent: integer(-100, 100).parse(parts.get('y') ?? '2'),
        }
      },
      print: (value) =>
        `bl-${value.blur}_st-${value.saturation}_x-${printNumber(value.xPercent)}_y-${printNumber(value.yPercent)}`,
      describe: 'parts bl (0–15), st (0–100), x and y (N100–100), joined by underscores',
    },
    places: ['image'],
    summary: 'A shadow under what is not transparent. Images of at most 2 megapixels.',
    examples: ['e-shadow', 'e-shadow-bl-15_st-40_x-10_y-N5'],
    source: `${PAGE}#shadow-e-shadow`,
    plan(value, { size, maxShadowPx }) {
      if (size.widthPx * size.heightPx > maxShadowPx) {
        throw badRequest(
          `e-shadow is limited to images of ${maxShadowPx / 1e6} megapixels. Resize the image in the same step or before it.`,
        )
      }
      return [
        {
          kind: 'shadow',
          blur: value.blur,
          opacity: value.saturation / 100,
          dxPx: Math.round((value.xPercent / 100) * size.widthPx),
          dyPx: Math.round((value.yPercent / 100) * size.heightPx),
        },
      ]
    },
  }),
  define({
    key: 'e-gradient',
    name: 'gradient',
    group: 'effect',
    codec: { ...gradient, parse: (text) => gradient.parse(text === 'true' ? '' : text) },
    places: ['image', 'canvas'],
    summary: 'A linear gradient over the image.',
    examples: ['e-gradient', 'e-gradient-ld-top_right_from-FF000040_to-00FF0040_sp-0.9'],
    source: `${PAGE}#gradient-e-gradient`,
    plan(value, { scope }) {
      const stop = evaluate(value.stop, scope)
      if (stop <= 0) throw badRequest('The stop point (sp) of e-gradient must be above 0.')
      return [
        {
          kind: 'gradient',
          angleDeg: value.angleDeg,
          from: value.from,
          to: value.to,
          stopShare: stop <= 1 ? stop : null,
          stopPx: stop <= 1 ? null : stop,
        },
      ]
    },
  }),
  define({
    key: 'e-colorize',
    name: 'colorize',
    group: 'effect',
    codec: {
      parse(text) {
        const parts = parseNamedParts(text === 'true' ? '' : text, [{ name: 'co' }, { name: 'in' }])
        return {
          color: color.parse(parts.get('co') ?? '808080'),
          intensity: decimal(0, 100).parse(parts.get('in') ?? '35'),
        }
      },
      print: (value) => `co-${color.print(value.color)}_in-${printNumber(value.intensity)}`,
      describe: 'parts co (color, default gray) and in (0–100, default 35), joined by an underscore',
    },
    places: ['image'],
    summary: 'Tints the image.',
    examples: ['e-colorize-co-red_in-50'],
    source: 'contract 3.3',
    plan: (value) => [{ kind: 'colorize', color: value.color, intensity: value.intensity / 100 }],
  }),
  define({
    key: 'e-distort',
    name: 'distort',
    group: 'effect',
    codec: distortion,
    places: ['image'],
    summary: 'Moves the corners (perspective) or bends the image along an arc.',
    examples: ['e-distort-p-50_50_350_20_380_280_30_260', 'e-distort-a-60'],
    source: 'contract 3.3',
    plan: (value, { size }) => [{ kind: 'distort', distortion: value, size: distortedSize(size, value) }],
  }),
]
