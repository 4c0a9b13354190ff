import type { CropStrategy, Focus, Position } from '../ast.ts'
import { type Codec, choice, coordinate, decimal, length, orWord, quantity, ratio } from '../codecs.ts'
import { define } from './definition.ts'

const PAGE = 'features/image-transformations/resize-crop-and-other-transformations.md'

export const POSITIONS = [
  'center',
  'top',
  'left',
  'bottom',
  'right',
  'top_left',
  'top_right',
  'bottom_left',
  'bottom_right',
] as const satisfies Position[]

/** The 80 COCO classes as the manual spells them, and faces. */
export const OBJECTS = new Set(
  `face person bicycle car motorcycle airplane bus train truck boat trafficLight fireHydrant stopSign parkingMeter
   bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella handbag tie suitcase frisbee skis
   snowboard sportsBall kite baseballBat baseballGlove skateboard surfboard tennisRacket bottle wineGlass cup fork
   knife spoon bowl banana apple sandwich orange broccoli carrot hotDog pizza donut cake chair couch pottedPlant bed
   diningTable toilet tv laptop mouse remote keyboard cellPhone microwave oven toaster sink refrigerator book clock
   vase scissors teddyBear hairDrier toothbrush`.split(/\s+/),
)

const STRATEGIES = [
  'maintain_ratio',
  'maintain_ratio_no_enlarge',
  'force',
  'at_max',
  'at_max_enlarge',
  'at_least',
  'extract',
  'pad_resize',
  'pad_resize_no_enlarge',
  'pad_extract',
  'pad_extract_no_shrink',
] as const satisfies CropStrategy[]

const focus: Codec<Focus> = {
  parse(text) {
    const position = POSITIONS.find((known) => known === text)
    if (position) return { kind: 'position', position }
    if (text === 'custom') return { kind: 'custom' }
    if (text === 'auto') return { kind: 'auto' }
    const names = text.split('_')
    if (names.every((name) => OBJECTS.has(name))) return { kind: 'object', names }
    throw new Error(`must be one of ${POSITIONS.join(', ')}, custom, auto, face, or the name of an object`)
  },
  print(value) {
    if (value.kind === 'position') return value.position
    return value.kind === 'object' ? value.names.join('_') : value.kind
  },
  describe: `one of ${POSITIONS.join(', ')}, custom, auto, face, or an object's name`,
}

export const geometryParams = [
  define({
    key: 'w',
    name: 'width',
    group: 'geometry',
    codec: orWord(length, 'auto'),
    places: ['image', 'text', 'canvas', 'video'],
    summary:
      'Width in pixels; below 1 it is a share of the width. Alone it keeps the aspect ratio. "auto" reads Sec-CH-Width.',
    examples: ['w-200', 'w-0.4', 'w-iw_div_2', 'w-auto'],
    source: `${PAGE}#width-w`,
  }),
  define({
    key: 'h',
    name: 'height',
    group: 'geometry',
    codec: length,
    places: ['image', 'canvas', 'video'],
    summary: 'Height in pixels; below 1 it is a share of the height. Alone it keeps the aspect ratio.',
    examples: ['h-200', 'h-0.4', 'h-ih_mul_0.5'],
    source: `${PAGE}#height-h`,
  }),
  define({
    key: 'ar',
    name: 'aspectRatio',
    group: 'geometry',
    codec: ratio,
    places: ['image', 'video'],
    summary:
      'Aspect ratio; gives the other side when only one of w and h is set, and is ignored when both are.',
    examples: ['w-400,ar-4-3', 'w-400,ar-iar_div_2'],
    source: `${PAGE}#aspect-ratio-ar`,
  }),
  define({
    key: 'c',
    name: 'crop',
    group: 'geometry',
    codec: choice(STRATEGIES),
    places: ['image', 'video'],
    summary: 'How the image is fitted into w × h. maintain_ratio (fill and crop) is the default.',
    examples: ['w-300,h-200,c-at_max', 'w-300,h-200,c-force'],
    source: `${PAGE}#crop-crop-modes-and-focus`,
  }),
  define({
    key: 'cm',
    name: 'cropMode',
    group: 'geometry',
    codec: choice(STRATEGIES),
    places: ['image', 'video'],
    summary: 'Fits by cutting a region out (extract) or by padding (pad_resize, pad_extract).',
    examples: ['w-300,h-200,cm-pad_resize,bg-F3F3F3', 'w-200,h-200,cm-extract'],
    source: `${PAGE}#crop-crop-modes-and-focus`,
  }),
  define({
    key: 'fo',
    name: 'focus',
    group: 'geometry',
    codec: focus,
    places: ['image', 'video'],
    summary: 'What a crop keeps, or at which side a padded image sits.',
    examples: ['w-200,h-200,fo-top_left', 'w-200,h-300,fo-auto', 'w-200,h-200,fo-custom'],
    source: `${PAGE}#focus-fo`,
  }),
  define({
    key: 'x',
    name: 'x',
    group: 'geometry',
    codec: coordinate,
    places: ['image'],
    summary: 'Left edge of the region that cm-extract cuts out; the strength of a displacement layer.',
    examples: ['w-200,h-200,cm-extract,x-10,y-20'],
    source: `${PAGE}#extract-crop-strategy-cm-extract`,
  }),
  define({
    key: 'y',
    name: 'y',
    group: 'geometry',
    codec: coordinate,
    places: ['image'],
    summary: 'Top edge of the region that cm-extract cuts out; the strength of a displacement layer.',
    examples: ['w-200,h-200,cm-extract,x-10,y-20'],
    source: `${PAGE}#extract-crop-strategy-cm-extract`,
  }),
  define({
    key: 'xc',
    name: 'xCenter',
    group: 'geometry',
    codec: coordinate,
    places: ['image'],
    summary: 'Horizontal centre of the region that cm-extract cuts out.',
    examples: ['w-200,h-200,cm-extract,xc-200,yc-150'],
    source: `${PAGE}#extract-crop-strategy-cm-extract`,
  }),
  define({
    key: 'yc',
    name: 'yCenter',
    group: 'geometry',
    codec: coordinate,
    places: ['image'],
    summary: 'Vertical centre of the region that cm-extract cuts out.',
    examples: ['w-200,h-200,cm-extract,xc-200,yc-150'],
    source: `${PAGE}#extract-crop-strategy-cm-extract`,
  }),
  define({
    key: 'z',
    name: 'zoom',
    group: 'geometry',
    codec: decimal(0, 100, { exclusiveMin: true }),
    places: ['image'],
    summary:
      'How near a face or object is cropped; above 1 is nearer. Ignored without fo-face or fo-<object>.',
    examples: ['w-150,h-150,fo-face,z-2.0'],
    source: `${PAGE}#zoom-z`,
  }),
  define({
    key: 'dpr',
    name: 'dpr',
    group: 'geometry',
    codec: orWord(quantity, 'auto'),
    places: ['image', 'video'],
    summary:
      'Multiplies w and h, 0.1 to 5. Ignored when a side would be below 1 or above 5000 pixels. "auto" reads Sec-CH-DPR.',
    examples: ['w-200,dpr-2', 'w-200,dpr-auto'],
    source: `${PAGE}#dpr-dpr`,
  }),
]
