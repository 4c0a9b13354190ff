import type { ParamValues, Typography } from '../ast.ts'
import { type Codec, choice, color, integer, libraryPath, quantity } from '../codecs.ts'
import { parsePlainNumber, parseQuantity, printNumber, printQuantity } from '../expr.ts'
import { define } from './definition.ts'

const PAGE = 'features/image-transformations/overlay-using-layers.md'

const padding: Codec<ParamValues['pa']> = {
  parse(text) {
    const parts = text.split('_').map(parsePlainNumber)
    if (parts.some((part) => part === undefined)) return parseQuantity(text)
    const [a, b, c, d] = parts as number[]
    if (parts.length > 4 || parts.some((part) => part! > 65_535))
      throw new Error('must be one to four numbers')
    if (b === undefined) return a!
    return [a!, b, c ?? a!, d ?? b]
  },
  print: (value) => (Array.isArray(value) ? value.map(printNumber).join('_') : printQuantity(value)),
  describe: 'one to four numbers in CSS order (10_20_30_40), or an expression for all sides',
}

const typography: Codec<Typography> = {
  parse(text) {
    const words = text.split('_')
    if (words.length > 3 || words.some((word) => word !== 'b' && word !== 'i' && word !== 'strikethrough')) {
      throw new Error('must be b, i, strikethrough, or several joined by underscores')
    }
    return {
      bold: words.includes('b'),
      italic: words.includes('i'),
      strikethrough: words.includes('strikethrough'),
    }
  },
  print: (value) =>
    [value.bold && 'b', value.italic && 'i', value.strikethrough && 'strikethrough']
      .filter(Boolean)
      .join('_'),
  describe: 'b, i, strikethrough, or several joined by underscores',
}

export const textParams = [
  define({
    key: 'fs',
    name: 'fontSize',
    group: 'text',
    codec: quantity,
    places: ['text'],
    summary: 'Font size in pixels.',
    examples: ['fs-45', 'fs-bh_div_20'],
    source: `${PAGE}#transformation-of-text-overlay`,
  }),
  define({
    key: 'ff',
    name: 'fontFamily',
    group: 'text',
    codec: libraryPath,
    places: ['text'],
    summary: 'A built-in font, or the path of a font file in the media library.',
    examples: ['ff-Lato', 'ff-fonts@@Poppins-Regular.ttf'],
    source: 'features/image-transformations/supported-text-font-list.md',
  }),
  define({
    key: 'co',
    name: 'fontColor',
    group: 'text',
    codec: color,
    places: ['text'],
    summary: 'Colour of the text.',
    examples: ['co-red', 'co-FFAABB50'],
    source: `${PAGE}#transformation-of-text-overlay`,
  }),
  define({
    key: 'ia',
    name: 'innerAlignment',
    group: 'text',
    codec: choice(['left', 'right', 'center']),
    places: ['text'],
    summary: 'How lines are aligned with one another.',
    examples: ['ia-left'],
    source: `${PAGE}#transformation-of-text-overlay`,
  }),
  define({
    key: 'pa',
    name: 'padding',
    group: 'text',
    codec: padding,
    places: ['text'],
    summary: 'Space around the text.',
    examples: ['pa-10', 'pa-25_75', 'pa-bw_mul_0.01'],
    source: `${PAGE}#transformation-of-text-overlay`,
  }),
  define({
    key: 'al',
    name: 'alpha',
    group: 'text',
    codec: integer(1, 9),
    places: ['text', 'canvas'],
    summary: 'Opacity of the layer in tenths.',
    examples: ['al-5'],
    source: `${PAGE}#transformation-of-text-overlay`,
  }),
  define({
    key: 'tg',
    name: 'typography',
    group: 'text',
    codec: typography,
    places: ['text'],
    summary: 'Bold, italics, strikethrough.',
    examples: ['tg-b', 'tg-b_i'],
    source: `${PAGE}#transformation-of-text-overlay`,
  }),
  define({
    key: 'lh',
    name: 'lineHeight',
    group: 'text',
    codec: quantity,
    places: ['text'],
    summary: 'Distance of lines in pixels, for text of several lines.',
    examples: ['lh-60'],
    source: 'contract 3.5',
  }),
]
