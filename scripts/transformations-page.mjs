// The page docs/reference/transformations.md: every parameter of the grammar, from its table, with rendered examples.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { Default } from 'typebox/value'
import { silentLog } from '../src/kernel/log.ts'
import { catalog } from '../src/transform/catalog.ts'
import {
  createRenderer,
  ENGINE_VERSION,
  outputOf,
  parseTransformation,
  transformOptions,
} from '../src/transform/transform.ts'
import { root } from './bootstrap.mjs'

const IMAGES = 'docs/reference/images'
/** Longest side of an example as it is shown. */
const SHOWN_PX = 256

/** The picture that the examples are made of, 480 × 360. */
const SCENE = `<svg xmlns="http://www.w3.org/2000/svg" width="480" height="360">
<defs><linearGradient id="sky" x2="0" y2="1"><stop offset="0" stop-color="#2c6fbb"/><stop offset="0.75" stop-color="#f7d9a8"/></linearGradient>
<linearGradient id="sea" x2="0" y2="1"><stop offset="0" stop-color="#3f7f8f"/><stop offset="1" stop-color="#153a4a"/></linearGradient></defs>
<rect width="480" height="250" fill="url(#sky)"/><circle cx="350" cy="90" r="34" fill="#fff3c4"/>
<path d="M0 210 L90 120 L150 175 L230 80 L330 190 L400 140 L480 215 V260 H0Z" fill="#52627a"/>
<path d="M230 80 L205 110 L228 104 L246 116 L258 108Z" fill="#eef2f7"/>
<rect y="245" width="480" height="115" fill="url(#sea)"/><path d="M0 250 H480 V256 H0Z" fill="#e8c98f"/>
<path d="M150 300 h110 l-18 26 h-74z" fill="#b5432f"/><path d="M202 205 v95" stroke="#3b2a1c" stroke-width="5"/>
<path d="M207 210 L262 288 H207Z" fill="#fdfdfb"/><path d="M197 222 L158 288 H197Z" fill="#f0a53a"/>
<path d="M40 330 q20 -10 40 0 t40 0 M300 325 q20 -10 40 0 t40 0 M360 345 q20 -10 40 0 t40 0" stroke="#9cc4cc" stroke-width="3" fill="none"/>
</svg>`

/** A shape on nothing, for what works on transparency. */
const SHAPE = `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="220"><path d="M150 20 L180 90 L255 95 L197 142 L216 215 L150 174 L84 215 L103 142 L45 95 L120 90Z" fill="#c8402f" stroke="#7d1f14" stroke-width="6"/></svg>`

const GROUPS = [
  ['geometry', 'Size, crop and focus'],
  ['look', 'Colour and shape'],
  ['effect', 'Effects'],
  ['text', 'Text layers'],
  ['output', 'Format and delivery'],
  ['model', 'What needs a model'],
  ['video', 'Video'],
]

/** Whole texts of layers, conditions and expressions, and what they show. */
const COMPOSED = [
  ['l-text,i-Tintype,fs-60,co-FFFFFF,ff-Lobster,lfo-bottom,l-end', 'Text, at the bottom.'],
  [
    'l-text,ie-Q2Fmw6kg8J%2BMiiDZhdix2K3YqNinIOCkqOCkruCkuOCljeCkpOClhw%3D%3D,fs-40,co-white,bg-00000060,pa-12,l-end',
    'Scripts from right to left, of India, and emoji, as base64.',
  ],
  [
    'l-image,i-ik_canvas,bg-FF000040,w-bw_mul_0.5,h-bh,lx-0,ly-0,l-end',
    'A block of colour over the left half.',
  ],
  [
    'l-image,i-ik_canvas,e-gradient-ld-bottom_from-00000000_to-000000,w-bw,h-bh_div_2,lx-0,ly-bh_div_2,l-end',
    'A gradient over the lower half.',
  ],
  [
    'l-image,i-scene.png,w-120,b-4_white,lx-N20,ly-N20,l-end',
    'A picture, 20 pixels from the lower right corner.',
  ],
  ['l-image,i-shape.png,lm-multiply,l-end', 'A picture, multiplied.'],
  ['l-image,i-shape.png,lm-cutter,l-end', 'What the layer covers is kept.'],
  ['l-image,i-shape.png,lm-cutout,l-end', 'What the layer covers is cut out.'],
  ['w-200,h-200:r-max:rt-20', 'Steps, one after the other.'],
  ['w-iw_div_3_mul_2,h-ih_sub_100,c-force', 'Arithmetic: mul and div, then add and sub, then mod, then pow.'],
  ['if-ar_gt_1,w-200,h-100,if-else,h-200,w-100,if-end', 'A condition.'],
]

/** Keys whose examples look like the picture itself, or need what is not there. */
const UNSEEN = new Set(['n', 'orig', 'di', 'md', 'cp', 'dn', 'pg', 'q', 'f', 'lo', 'pr', 'z'])

/** Every example to be rendered. */
function listExamples() {
  const found = []
  for (const { key, group, examples } of catalog) {
    if (group === 'model' || group === 'video' || UNSEEN.has(key)) continue
    for (const [index, example] of examples.entries()) {
      if (/\.ttf|-auto$|fo-custom/.test(example) && !/fo-auto/.test(example)) continue
      const text = group === 'text' ? textWith(key, example) : example
      found.push({ key, example, ...fileOf(`${key}-${index}`, text, sourceOf(key, example)) })
    }
  }
  for (const [index, [text]] of COMPOSED.entries()) {
    found.push({ key: '', example: text, ...fileOf(`composed-${index}`, text, 'scene') })
  }
  return found
}

function sourceOf(key, example) {
  return key === 'e-shadow' || key === 't' || example.startsWith('o-') ? 'shape' : 'scene'
}

function textWith(key, example) {
  const words = ['ia', 'lh', 'pa'].includes(key) ? 'Two lines of text' : 'Tintype'
  const defaults = { fs: 'fs-60', co: 'co-white', bg: 'bg-00000060', w: 'w-260' }
  if (['ia', 'lh'].includes(key)) delete defaults.bg
  else delete defaults.w
  delete defaults[key]
  return `l-text,i-${words},${[...Object.values(defaults), example].join(',')},l-end`
}

function fileOf(name, text, source) {
  const hash = createHash('sha256')
    .update(`${ENGINE_VERSION}\n${text}\n${source === 'scene' ? SCENE : SHAPE}\n1`)
    .digest('hex')
  return { file: `${name}-${hash.slice(0, 8)}.webp`, text, source }
}

/** @returns {string} the page. */
export function describeTransformations() {
  const files = new Map(listExamples().map(({ key, example, file }) => [`${key}\n${example}`, file]))
  const code = (text) => `\`${text.replaceAll('|', '\\|')}\``
  const picture = (key, example) => {
    const file = files.get(`${key}\n${example}`)
    return file === undefined ? '' : `![${example.replaceAll('_', '\\_')}](images/${file})`
  }
  const sections = GROUPS.flatMap(([group, title]) => [
    `## ${title}`,
    '',
    ...(INTRODUCTIONS[group] ?? []),
    ...catalog
      .filter((definition) => definition.group === group)
      .flatMap(({ key, name, codec, places, summary, examples }) => [
        `### \`${key}\` — ${name}`,
        '',
        `${summary} The value is ${codec.describe.replaceAll('|', '\\|')}.${placesText(places)}`,
        '',
        ...(examples.some((example) => files.has(`${key}\n${example}`))
          ? [
              '| Example | Result |',
              '| --- | --- |',
              ...examples.map((example) => `| ${code(example)} | ${picture(key, example)} |`),
            ]
          : [`Examples: ${examples.map(code).join(', ')}`]),
        '',
      ]),
  ])
  return [
    '# Transformations',
    '',
    '<!-- Generated by scripts/gen-docs.mjs from the table of parameters; do not edit. -->',
    '',
    'A transformation stands in the path of a delivery URL or in its query; both mean the same:',
    '',
    '```',
    'https://media.example.com/<id>/tr:w-200,h-100:rt-90/photo.jpg',
    'https://media.example.com/<id>/photo.jpg?tr=w-200,h-100:rt-90',
    '```',
    '',
    '`,` separates the parameters of a step, whose order does not matter; `:` separates steps, which are done one after',
    'the other; `-` separates a key from its value, `_` the parts of a value. `N` before a number makes it negative, `@@`',
    'in a path is a slash. An unknown parameter or a value out of bounds is answered with a 400 that names it.',
    '`GET /v1/transformations/explain?tr=…&path=…` says what a transformation does to a file without doing it.',
    '',
    'The examples are made of this picture:',
    '',
    `![the picture of the examples](images/${SCENE_FILE})`,
    '',
    ...sections,
    '## Layers, steps, conditions and expressions',
    '',
    '`l-image`, `l-text` … `l-end` lay a picture or a text on the image. `i-` names the picture or the text, `ie-` has it in',
    'base64. `lx`, `ly` place the upper left corner, `lxc`, `lyc` the middle, from the left and top or, with `N`, from the',
    'right and bottom; `lfo` names one of nine places. `i-ik_canvas` is a block of colour or gradient. Layers nest three',
    'deep. Pictures of layers lose their uniform edges unless `t-false` says otherwise.',
    '',
    'Values of sizes and positions can be expressions of `iw`, `ih`, `iar` (the original), `cw`, `ch`, `car` (after the last',
    'step) and, in layers, `bw`, `bh`, `bar` (what the layer is laid on).',
    '',
    '| Example | What it shows | Result |',
    '| --- | --- | --- |',
    ...COMPOSED.map(([text, what]) => `| ${code(text)} | ${what} | ${picture('', text)} |`),
    '',
  ].join('\n')
}

const SCENE_FILE = 'scene.webp'

const INTRODUCTIONS = {
  model: [
    'These are refused with a 501 until a provider is set up; see [Delivery](../delivery.md#what-needs-a-model).',
    '',
  ],
  video: ['Videos are delivered as they are; transforming them is answered with a 501 that says so.', ''],
}

function placesText(places) {
  const names = { image: 'images', text: 'text layers', canvas: 'blocks of colour', video: 'videos' }
  const shown = places.filter((place) => place !== 'video').map((place) => names[place])
  return shown.length === 0 ? '' : ` For ${shown.join(', ')}.`
}

/** @returns {Promise<string[]>} files of examples that are missing, or that nothing shows any more. */
export async function listStaleExamples() {
  const wanted = new Set([SCENE_FILE, ...listExamples().map(({ file }) => file)])
  const dir = join(root, IMAGES)
  const present = existsSync(dir) ? await readdir(dir) : []
  return [...wanted]
    .filter((file) => !present.includes(file))
    .concat(present.filter((file) => !wanted.has(file)))
}

/** Renders the examples that are not there, and removes those that nothing shows any more. */
export async function renderExamples() {
  const stale = new Set(await listStaleExamples())
  if (stale.size === 0) return
  const dir = join(root, IMAGES)
  await mkdir(dir, { recursive: true })
  const work = await mkdtemp(join(tmpdir(), 'tintype-docs-'))
  const renderer = createRenderer(Default(transformOptions, {}), { log: silentLog })
  try {
    const sources = {}
    for (const [name, svg] of Object.entries({ scene: SCENE, shape: SHAPE })) {
      const path = join(work, `${name}.png`)
      const { width, height } = await sharp(Buffer.from(svg)).png().toFile(path)
      sources[name] = {
        path,
        format: 'png',
        sizeBytes: (await stat(path)).size,
        widthPx: width,
        heightPx: height,
      }
    }
    const examples = listExamples()
    for (const { file, text, source } of [...examples, { file: SCENE_FILE, text: '', source: 'scene' }]) {
      if (!stale.has(file)) continue
      const chain = text === '' ? [] : parseTransformation(text)
      const outputPath = join(work, 'out.png')
      await renderer.render({
        source: sources[source],
        sourceKey: source,
        chain,
        output: {
          format: 'png',
          quality: outputOf(chain).quality ?? 80,
          lossless: false,
          progressive: false,
          keepColorProfile: false,
          keepMetadata: false,
          density: null,
        },
        layers: { 'scene.png': sources.scene, 'shape.png': sources.shape },
        outputPath,
      })
      const bytes = await sharp(await readFile(outputPath))
        .resize(SHOWN_PX, SHOWN_PX, { fit: 'inside', withoutEnlargement: true })
        .webp({ quality: 80, effort: 6 })
        .toBuffer()
      await writeFile(join(dir, file), bytes)
      stale.delete(file)
    }
    for (const file of stale) await rm(join(dir, file))
  } finally {
    await renderer.close()
    await rm(work, { recursive: true, force: true })
  }
}
