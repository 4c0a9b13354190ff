import { type Codec, decodeBase64Text, encodeValue, flag, integer, parseNamedParts } from '../codecs.ts'
import { define } from './definition.ts'

const SOURCE = 'contract 3.4'

const prompt: Codec<{ prompt: string }> = {
  parse(text) {
    if (text.startsWith('prompte-')) return { prompt: decodeBase64Text(text.slice('prompte-'.length)) }
    if (text.startsWith('prompt-') && text.length > 'prompt-'.length) {
      return { prompt: text.slice('prompt-'.length) }
    }
    throw new Error('must have a prompt: prompt-<text> or prompte-<base64>')
  },
  print: (value) => `prompt-${encodeValue(value.prompt)}`,
  describe: 'prompt-<text> or prompte-<base64>',
}

/** Parameters that need a model or a third party; they are read, and refused where no provider is set up. */
export const modelParams = [
  define({
    key: 'e-bgremove',
    name: 'aiRemoveBackground',
    group: 'model',
    codec: flag,
    places: ['image'],
    summary: 'Removes the background.',
    examples: ['e-bgremove'],
    source: SOURCE,
  }),
  define({
    key: 'e-removedotbg',
    name: 'aiRemoveBackgroundExternal',
    group: 'model',
    codec: flag,
    places: ['image'],
    summary: 'Removes the background by a third party.',
    examples: ['e-removedotbg'],
    source: SOURCE,
  }),
  define({
    key: 'e-dropshadow',
    name: 'aiDropShadow',
    group: 'model',
    codec: {
      parse(text) {
        const parts = parseNamedParts(text === 'true' ? '' : text, [
          { name: 'az' },
          { name: 'el' },
          { name: 'st' },
        ])
        return {
          azimuthDeg: integer(0, 360).parse(parts.get('az') ?? '215'),
          elevationDeg: integer(0, 90).parse(parts.get('el') ?? '45'),
          saturation: integer(0, 100).parse(parts.get('st') ?? '60'),
        }
      },
      print: (value) => `az-${value.azimuthDeg}_el-${value.elevationDeg}_st-${value.saturation}`,
      describe: 'parts az (0–360), el (0–90), st (0–100), joined by underscores',
    },
    places: ['image'],
    summary: 'A realistic shadow of an object on a transparent background.',
    examples: ['e-dropshadow-az-215_el-45_st-60'],
    source: SOURCE,
  }),
  define({
    key: 'e-changebg',
    name: 'aiChangeBackground',
    group: 'model',
    codec: prompt,
    places: ['image'],
    summary: 'Replaces the background as the prompt says.',
    examples: ['e-changebg-prompt-snow road'],
    source: SOURCE,
  }),
  define({
    key: 'e-edit',
    name: 'aiEdit',
    group: 'model',
    codec: prompt,
    places: ['image'],
    summary: 'Edits the image as the prompt says.',
    examples: ['e-edit-prompt-add a hat'],
    source: SOURCE,
  }),
  define({
    key: 'e-retouch',
    name: 'aiRetouch',
    group: 'model',
    codec: flag,
    places: ['image'],
    summary: 'Improves the quality.',
    examples: ['e-retouch'],
    source: SOURCE,
  }),
  define({
    key: 'e-upscale',
    name: 'aiUpscale',
    group: 'model',
    codec: flag,
    places: ['image'],
    summary: 'Enlarges with invented detail.',
    examples: ['e-upscale'],
    source: SOURCE,
  }),
  define({
    key: 'e-genvar',
    name: 'aiVariation',
    group: 'model',
    codec: flag,
    places: ['image'],
    summary: 'A variation of the image.',
    examples: ['e-genvar'],
    source: SOURCE,
  }),
]
