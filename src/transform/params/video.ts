import { type Codec, choice, quantity } from '../codecs.ts'
import { parsePlainNumber } from '../expr.ts'
import { define } from './definition.ts'

const SOURCE = 'features/video-transformation/README.md'

const resolutions: Codec<number[]> = {
  parse(text) {
    const values = text.split('_').map(parsePlainNumber)
    if (
      values.some((value) => value === undefined || ![240, 360, 480, 720, 1080, 1440, 2160].includes(value))
    ) {
      throw new Error('must be some of 240, 360, 480, 720, 1080, 1440, 2160, joined by underscores')
    }
    return values as number[]
  },
  print: (value) => value.join('_'),
  describe: 'some of 240, 360, 480, 720, 1080, 1440, 2160, joined by underscores',
}

export const videoParams = [
  define({
    key: 'so',
    name: 'startOffset',
    group: 'video',
    codec: quantity,
    places: ['video'],
    summary: 'Where the video begins, in seconds.',
    examples: ['so-5'],
    source: SOURCE,
  }),
  define({
    key: 'eo',
    name: 'endOffset',
    group: 'video',
    codec: quantity,
    places: ['video'],
    summary: 'Where the video ends, in seconds.',
    examples: ['eo-15'],
    source: SOURCE,
  }),
  define({
    key: 'du',
    name: 'duration',
    group: 'video',
    codec: quantity,
    places: ['video'],
    summary: 'How long the video lasts, in seconds.',
    examples: ['du-10'],
    source: SOURCE,
  }),
  define({
    key: 'vc',
    name: 'videoCodec',
    group: 'video',
    codec: choice(['h264', 'vp9', 'av1', 'none']),
    places: ['video'],
    summary: 'Video codec; none leaves the sound alone.',
    examples: ['vc-h264'],
    source: SOURCE,
  }),
  define({
    key: 'ac',
    name: 'audioCodec',
    group: 'video',
    codec: choice(['aac', 'opus', 'none']),
    places: ['video'],
    summary: 'Audio codec; none mutes.',
    examples: ['ac-none'],
    source: SOURCE,
  }),
  define({
    key: 'sr',
    name: 'streamingResolutions',
    group: 'video',
    codec: resolutions,
    places: ['video'],
    summary: 'Resolutions of an adaptive stream.',
    examples: ['sr-240_360_480'],
    source: SOURCE,
  }),
]
