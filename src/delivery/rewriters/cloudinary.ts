import { hexColor, namedColor } from './colors.ts'
import { number } from './query.ts'
import type { RawUrl, Rewritten } from './rewriters.ts'

type Component = { key: string; value: string }
/** One parameter written as ours; undefined for values that make no sense. */
type Rule = (value: string) => string | undefined

const side =
  (name: string): Rule =>
  (value) =>
    number(value, 0.001, 65_535) === undefined ? undefined : `${name}-${value}`

const offset =
  (name: string): Rule =>
  (value) =>
    number(value, -65_535, 65_535) === undefined ? undefined : `${name}-${value.replace('-', 'N')}`

const seconds =
  (name: string): Rule =>
  (value) => {
    const time = number(value, 0, 100_000)
    return time === undefined ? undefined : `${name}-${time.toFixed(2)}`
  }

const GRAVITIES: Record<string, string> = {
  north: 'top',
  south: 'bottom',
  east: 'right',
  west: 'left',
  north_west: 'top_left',
  north_east: 'top_right',
  south_west: 'bottom_left',
  south_east: 'bottom_right',
  center: 'center',
  auto: 'auto',
  custom: 'custom',
  face: 'face',
}
const CROPS: Record<string, string> = {
  crop: 'cm-extract',
  fill: 'c-maintain_ratio',
  fit: 'c-at_max',
  pad: 'cm-pad_resize',
  scale: 'c-force',
}
const FORMATS = new Set(['auto', 'jpg', 'jpeg', 'png', 'webp', 'gif', 'avif'])
const QUALITIES: Record<string, number> = {
  auto: 70,
  'auto:low': 50,
  'auto:eco': 60,
  'auto:good': 70,
  'auto:best': 86,
}

function color(value: string): string | undefined {
  return value.startsWith('rgb:') ? hexColor(value.slice(4)) : namedColor(value)
}

const EFFECTS: Record<string, (amount: string | undefined) => string | undefined> = {
  blur: (amount) => hundredths('bl', amount ?? '100', 100),
  grayscale: () => 'e-grayscale',
  contrast: () => 'e-contrast',
  sharpen: (amount) => hundredths('e-sharpen', amount ?? '100', 99),
  unsharp_mask(amount) {
    const value = number(amount ?? '100', 1, 2000)
    return value === undefined ? undefined : `e-usm-0-${value / 100}-1-0.05`
  },
  trim(amount) {
    if (amount === undefined) return 't-true'
    return number(amount, 1, 99) === undefined ? undefined : `t-${Math.round(Number(amount))}`
  },
}

function hundredths(name: string, amount: string, most: number): string | undefined {
  const value = number(amount, 1, 10_000)
  return value === undefined ? undefined : `${name}-${Math.min(most, Math.max(1, Math.round(value / 100)))}`
}

/** What of Cloudinary is understood (manual, Cloudinary URL-rewriter). */
const RULES: Record<string, Rule> = {
  w: side('w'),
  h: side('h'),
  ar(value) {
    const match = /^(\d{1,4}(?:\.\d{1,4})?)(?::(\d{1,4}(?:\.\d{1,4})?))?$/.exec(value)
    return match ? `ar-${match[1]}-${match[2] ?? 1}` : undefined
  },
  c: (value) => (Object.hasOwn(CROPS, value) ? CROPS[value] : undefined),
  g: (value) => (Object.hasOwn(GRAVITIES, value) ? `fo-${GRAVITIES[value]}` : undefined),
  x: side('x'),
  y: side('y'),
  f: (value) => (FORMATS.has(value) ? `f-${value}` : undefined),
  q(value) {
    const known = Object.hasOwn(QUALITIES, value) ? QUALITIES[value] : number(value, 1, 100)
    return known === undefined ? undefined : `q-${known}`
  },
  a(value) {
    const degrees = number(value, -360, 360)
    return degrees === undefined ? undefined : `rt-${String(degrees).replace('-', 'N')}`
  },
  r(value) {
    const first = value.split(':', 1)[0]!
    return first === 'max' || number(first, 0, 65_535) !== undefined ? `r-${first}` : undefined
  },
  e(value) {
    const [name, amount] = value.split(':') as [string, string | undefined]
    return Object.hasOwn(EFFECTS, name) ? EFFECTS[name]!(amount) : undefined
  },
  bo(value) {
    const match = /^(\d{1,4})px_solid_(.+)$/.exec(value)
    const found = match && color(match[2]!)
    return found ? `b-${match[1]}_${found}` : undefined
  },
  b(value) {
    if (value === 'blurred') return 'bg-blurred'
    const [kind, blur, brightness] = value.split(':') as [string, string | undefined, string | undefined]
    if (kind === 'blurred') return blurred(blur ?? '', brightness)
    const found = color(value)
    return found && `bg-${found}`
  },
  dpr: (value) => (number(value, 0.1, 5) === undefined ? undefined : `dpr-${value}`),
  t: (value) => (/^\w{1,100}$/.test(value) ? `n-${value}` : undefined),
  z: (value) => (number(value, 0.01, 100) === undefined ? undefined : `z-${value}`),
  fl(value) {
    if (value === 'progressive:none') return 'pr-false'
    return /^progressive(?::(?:steep|semi))?$/.test(value) ? 'pr-true' : undefined
  },
  so: seconds('so'),
  eo: seconds('eo'),
  du: seconds('du'),
}

/** Keys of text and picture layers, and of the colour that text has. */
const LAYER_KEYS = ['l', 'u', 'co']

function blurred(blurText: string, brightnessText: string | undefined): string | undefined {
  const blur = number(blurText, 0, 2000)
  const brightness = brightnessText === undefined ? 0 : number(brightnessText, -300, 100)
  if (blur === undefined || brightness === undefined) return undefined
  const level = Math.trunc(brightness < 0 ? (brightness * 255) / 300 : (brightness * 255) / 100)
  return `bg-blurred_${Math.round(blur / 20)}${level === 0 ? '' : `_${String(level).replace('-', 'N')}`}`
}

/** What `image/upload` and the like are in URLs that were kept whole. */
const ASSET_TYPES = new Set(['image', 'video', 'raw'])
const DELIVERY_TYPES = new Set(['upload', 'fetch', 'private', 'authenticated', 'asset'])

/**
 * Takes the transformations at the beginning of a path.
 * @param preserveTypes whether `image/upload` before them is a part of the file's path.
 */
export function rewriteCloudinary({ path }: RawUrl, preserveTypes: boolean): Rewritten {
  const segments = path.split('/').filter((segment) => segment !== '')
  let types: string[] = []
  if (ASSET_TYPES.has(segments[0] ?? '') && DELIVERY_TYPES.has(segments[1] ?? ''))
    types = segments.splice(0, 2)
  const steps: Component[][] = []
  // The last segment is the file, whatever it looks like.
  while (segments.length > 1) {
    const components = componentsOf(segments[0]!)
    if (!components) break
    steps.push(components)
    segments.shift()
  }
  if (segments.length > 1 && /^v\d{1,12}$/.test(segments[0]!)) segments.shift()
  const chain = translate(steps)
  return {
    path: `/${[...(preserveTypes ? types : []), ...segments].join('/')}`,
    transformation: chain.length === 0 ? null : chain.join(':'),
  }
}

/** @returns undefined for a segment that is no transformation. */
function componentsOf(segment: string): Component[] | undefined {
  let text: string
  try {
    text = decodeURIComponent(segment)
  } catch {
    return undefined
  }
  const components: Component[] = []
  for (const part of text.split(',')) {
    const match = /^([a-z]{1,3})_(.+)$/s.exec(part)
    const key = match?.[1]
    if (key === undefined || !(Object.hasOwn(RULES, key) || LAYER_KEYS.includes(key))) return undefined
    components.push({ key, value: match![2]! })
  }
  return components
}

/**
 * Layers begin with `l_` and end with their own step, or with a later one that says `fl_layer_apply` and where they go.
 */
function translate(steps: Component[][]): string[] {
  const chain: string[] = []
  for (let index = 0; index < steps.length; index++) {
    const step = steps[index]!
    const layer = step.find(({ key }) => key === 'l' || key === 'u')
    if (!layer) {
      const parts = ownParts(step)
      if (parts.length > 0) chain.push(parts.join(','))
      continue
    }
    const end = steps.findIndex(
      (later, at) => at >= index && later.some(({ key, value }) => key === 'fl' && value === 'layer_apply'),
    )
    const last = end < 0 ? index : end
    const inner = steps.slice(index, last + 1)
    chain.push(layerOf(layer, inner, inner.at(-1)!))
    index = last
  }
  return chain
}

function ownParts(step: Component[]): string[] {
  const parts = step.flatMap(({ key, value }) =>
    Object.hasOwn(RULES, key) ? (RULES[key]!(value) ?? []) : [],
  )
  return [...new Set(parts)]
}

function layerOf(layer: Component, steps: Component[][], placed: Component[]): string {
  const isPosition = ({ key, value }: Component) =>
    ['g', 'x', 'y', 'l', 'u', 'co'].includes(key) || (key === 'fl' && value === 'layer_apply')
  const position = placed.flatMap(({ key, value }) => {
    if (key === 'x' || key === 'y') return offset(`l${key}`)(value) ?? []
    if (key !== 'g' || !Object.hasOwn(GRAVITIES, value)) return []
    const place = GRAVITIES[value]!
    return ['auto', 'custom', 'face'].includes(place) ? [] : `lfo-${place}`
  })
  const styling = steps.flat().flatMap(({ key, value }) => {
    const found = key === 'co' ? color(value) : undefined
    return found ? `co-${found}` : []
  })
  // With offsets from an edge the side at which they are counted is an anchor.
  const placing = position.some((part) => /^l[xy]-/.test(part))
    ? position.map((part) => part.replace(/^lfo-/, 'lap-'))
    : position
  const looks = steps.map((step) => ownParts(step.filter((component) => !isPosition(component))).join(','))
  const [first = '', ...others] = looks.filter((text) => text !== '')
  const { head, tail } = inputOf(layer.value)
  return [
    head,
    ...placing,
    ...tail,
    ...styling,
    ...(first === '' ? [] : [[first, ...others].join(':')]),
    'l-end',
  ].join(',')
}

const STYLES: Record<string, string> = {
  left: 'ia-left',
  start: 'ia-left',
  right: 'ia-right',
  end: 'ia-right',
  center: 'ia-center',
}

/** `text:Roboto_50_bold_left:words`, or the path of a picture with colons for slashes. */
function inputOf(value: string): { head: string; tail: string[] } {
  if (!value.startsWith('text:'))
    return { head: `l-image,i-${encode(value.replaceAll(':', '@@').replaceAll('/', '@@'))}`, tail: [] }
  const colon = value.indexOf(':', 5)
  const [font, size, ...styles] = value.slice(5, colon < 0 ? undefined : colon).split('_')
  const words = colon < 0 ? '' : decodeTwice(value.slice(colon + 1))
  const weights = styles.includes('bold') ? ['b'] : []
  if (styles.includes('italic')) weights.push('i')
  const align = styles.find((style) => Object.hasOwn(STYLES, style))
  return {
    head: `l-text,ie-${encode(Buffer.from(words).toString('base64'))}`,
    tail: [
      ...(font ? [`ff-${encode(font.replaceAll('/', '@@'))}`] : []),
      ...(size !== undefined && number(size, 1, 5000) !== undefined ? [`fs-${size}`] : []),
      ...(weights.length > 0 ? [`tg-${weights.join('_')}`] : []),
      ...(align === undefined ? [] : [STYLES[align]!]),
    ],
  }
}

/** Commas and slashes of texts are encoded twice there. */
function decodeTwice(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function encode(text: string): string {
  return encodeURIComponent(text)
}
