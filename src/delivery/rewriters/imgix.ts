import { hexColor, namedColor } from './colors.ts'
import { number, numberAs, type QueryRules, rewriteQuery } from './query.ts'
import type { RawUrl, Rewritten } from './rewriters.ts'

const FITS: Record<string, string | undefined> = {
  clip: 'c-at_max_enlarge',
  crop: undefined,
  fill: 'cm-pad_resize',
  fillmax: 'cm-pad_resize',
  max: 'c-at_max',
  scale: 'c-force',
  facearea: 'fo-face',
}

const FORMATS: Record<string, string> = {
  jpeg: 'jpeg',
  jpg: 'jpg',
  jp2: 'jpg',
  png: 'png',
  png8: 'png',
  png32: 'png',
  webp: 'webp',
  gif: 'gif',
  avif: 'avif',
}

const ORIENTATIONS: Record<string, number> = { 1: 0, 6: 90, 3: 180, 8: 270, 0: 0, 90: 90, 180: 180, 270: 270 }

const MAX_SHARPEN = 99

/** What of imgix is understood (manual, Imgix URL-rewriter). */
const RULES: QueryRules = {
  w: numberAs('w', 1, 65_535),
  h: numberAs('h', 1, 65_535),
  ar(text) {
    const match = /^(\d{1,4}(?:\.\d{1,4})?):(\d{1,4}(?:\.\d{1,4})?)$/.exec(text)
    return match ? `ar-${match[1]}-${match[2]}` : undefined
  },
  fit: (text) => (Object.hasOwn(FITS, text) ? FITS[text] : undefined),
  crop(text) {
    if (text === 'faces') return 'fo-auto'
    const sides = text.split(',')
    const vertical = sides.find((side) => side === 'top' || side === 'bottom')
    const horizontal = sides.find((side) => side === 'left' || side === 'right')
    const known = [vertical, horizontal].filter((side) => side !== undefined)
    return known.length === 0 || known.length !== sides.length ? undefined : `fo-${known.join('_')}`
  },
  fm: (text) => (Object.hasOwn(FORMATS, text) ? `f-${FORMATS[text]}` : undefined),
  q: numberAs('q', 1, 100),
  orient: (text) => (Object.hasOwn(ORIENTATIONS, text) ? `rt-${ORIENTATIONS[text]}` : undefined),
  'fill-color': background,
  bg: background,
  dpr: numberAs('dpr', 0.1, 5),
  // The manual multiplies by 20; more than 99 is not known here.
  sharp(text) {
    const value = number(text, 1, 100)
    return value === undefined ? undefined : `e-sharpen-${Math.min(MAX_SHARPEN, Math.round(value * 20))}`
  },
  con: (text) => (number(text, -100, 100) ? 'e-contrast' : undefined),
  usm(text, all) {
    const amount = number(text, -100, 100)
    if (amount === undefined) return undefined
    const radius = number(all.get('usmrad') ?? '', 0, 500) ?? 2.5
    return amount > 0 ? `e-usm-${radius}-${(amount / 5).toFixed(2)}-1-0.05` : undefined
  },
  blur(text) {
    const value = number(text, 0, 2000)
    return value ? `bl-${Math.min(100, Math.max(1, Math.round(value / 20)))}` : undefined
  },
  trim: (text) => (text === 'auto' || text === 'color' ? 't-true' : undefined),
}

function background(text: string): string | undefined {
  const color = hexColor(text, true) ?? namedColor(text)
  return color && `bg-${color}`
}

export function rewriteImgix(url: RawUrl): Rewritten {
  return rewriteQuery(url, RULES)
}
