import type { Format, Pages } from '../ast.ts'
import { boolean, type Codec, choice, encodeValue, integer, libraryPath, quantity, text } from '../codecs.ts'
import { parsePlainNumber } from '../expr.ts'
import { define } from './definition.ts'

const PAGE = 'features/image-transformations/resize-crop-and-other-transformations.md'

const FORMATS = [
  'auto',
  'orig',
  'jpg',
  'png',
  'webp',
  'avif',
  'gif',
  'svg',
  'mp4',
  'webm',
] as const satisfies Format[]

/** `orig` alone, as players write it, means `orig-true`. */
const booleanOrBare: Codec<boolean> = {
  ...boolean,
  parse: (value) => (value === '' ? true : boolean.parse(value)),
}

const pages: Codec<Pages> = {
  parse(value) {
    if (value.startsWith('name-')) {
      const list = value.slice(5)
      const names = list.startsWith('"') && list.endsWith('"') ? list.slice(1, -1).split('"_"') : [list]
      if (names.some((name) => name === '' || name.includes('"'))) throw new Error('has an empty layer name')
      return { kind: 'names', names }
    }
    const ranges = value.split('_').map((part) => {
      const [first, last, ...rest] = part.split('-')
      const from = page(first!)
      if (rest.length > 0) throw new Error('has a malformed range')
      const to = last === undefined ? from : last === '' ? null : page(last)
      if (to !== null && to < from) throw new Error('has a range that ends before it begins')
      return { from, to }
    })
    if (ranges.length > 100) throw new Error('has more than 100 ranges')
    return { kind: 'numbers', ranges }
  },
  print(value) {
    if (value.kind === 'names') {
      return `name-${value.names.map((name) => `"${encodeValue(name)}"`).join('_')}`
    }
    return value.ranges
      .map(({ from, to }) => (to === null ? `${from}-` : to === from ? String(from) : `${from}-${to}`))
      .join('_')
  },
  describe: 'a page number from 1; for layered files also 1_3_5, 2-4, 4-, or name-"layer"',
}

function page(value: string): number {
  const number = parsePlainNumber(value)
  if (number === undefined || !Number.isInteger(number) || number < 1 || number > 100_000) {
    throw new Error('must be a page number from 1')
  }
  return number
}

export const outputParams = [
  define({
    key: 'q',
    name: 'quality',
    group: 'output',
    codec: integer(1, 100),
    places: ['image', 'video'],
    summary: 'Quality of lossy formats.',
    examples: ['q-90', 'w-200,q-50'],
    source: `${PAGE}#quality-q`,
  }),
  define({
    key: 'f',
    name: 'format',
    group: 'output',
    codec: choice(FORMATS, { jpeg: 'jpg' }),
    places: ['image', 'video'],
    summary:
      'Output format. "auto" chooses by the Accept header; "gif" only for GIF sources; "orig" keeps the format.',
    examples: ['f-webp', 'f-auto', 'f-png'],
    source: `${PAGE}#format-f`,
  }),
  define({
    key: 'lo',
    name: 'lossless',
    group: 'output',
    codec: boolean,
    places: ['image'],
    summary: 'Lossless compression of WebP, AVIF and PNG.',
    examples: ['lo-true,f-webp'],
    source: `${PAGE}#lossless-webp-and-png-lo`,
  }),
  define({
    key: 'pr',
    name: 'progressive',
    group: 'output',
    codec: boolean,
    places: ['image'],
    summary: 'Progressive JPEG.',
    examples: ['f-jpg,pr-true'],
    source: `${PAGE}#progressive-image-pr`,
  }),
  define({
    key: 'cp',
    name: 'colorProfile',
    group: 'output',
    codec: boolean,
    places: ['image'],
    summary: 'Keeps the colour profile of the source. AVIF is then not chosen.',
    examples: ['f-jpg,cp-true'],
    source: `${PAGE}#color-profile-cp`,
  }),
  define({
    key: 'md',
    name: 'metadata',
    group: 'output',
    codec: boolean,
    places: ['image'],
    summary: 'Keeps the metadata of the source.',
    examples: ['md-true'],
    source: `${PAGE}#image-metadata-md`,
  }),
  define({
    key: 'dn',
    name: 'density',
    group: 'output',
    codec: quantity,
    places: ['image'],
    summary: 'Pixels per inch written into the output, 1 to 1200.',
    examples: ['dn-300'],
    source: 'contract 3.2',
  }),
  define({
    key: 'orig',
    name: 'original',
    group: 'output',
    codec: booleanOrBare,
    places: ['image', 'video'],
    summary: 'The original bytes; every other parameter is ignored.',
    examples: ['orig-true'],
    source: `${PAGE}#original-image-orig`,
  }),
  define({
    key: 'di',
    name: 'defaultImage',
    group: 'output',
    codec: libraryPath,
    places: ['image'],
    summary: 'The image that is delivered, transformed alike, when the requested one does not exist.',
    examples: ['w-200,di-fallback.jpg', 'di-@@path@@to@@image.jpg'],
    source: 'features/default-images.md',
  }),
  define({
    key: 'n',
    name: 'named',
    group: 'output',
    codec: text({
      maxLength: 128,
      pattern: /^[A-Za-z0-9_]+$/,
      describe: 'the name of a named transformation',
    }),
    places: ['image', 'video'],
    summary: 'A named transformation.',
    examples: ['n-ik_ml_thumbnail'],
    source: 'features/named-transformations.md',
  }),
  define({
    key: 'pg',
    name: 'page',
    group: 'output',
    codec: pages,
    places: ['image'],
    summary: 'The page, frame or layers to take from a file that has several.',
    examples: ['pg-2'],
    source: `${PAGE}#page-pg`,
  }),
]
