import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import { badRequest } from '../../kernel/errors.ts'
import { MAX_TEXT_SIDE_PX, type TextPlan } from '../plan-layers.ts'
import { readFontFamily } from './font-name.ts'
import { BUILT_IN_FONTS, comparable } from './font-table.ts'
import type { RenderJob } from './job.ts'
import type { Pixels } from './picture.ts'
import * as pixels from './pixels.ts'

const DEFAULT_FAMILY = 'Open Sans'
/** Text that would cover more than this is refused before anything is drawn. */
const MAX_TEXT_AREA_PX = 50_000_000

/** Draws the text of a layer on its background, with its padding. */
export async function drawText(text: string, plan: TextPlan, job: RenderJob): Promise<Pixels> {
  checkArea(text, plan)
  const [top, right, bottom, left] = plan.paddingPx
  const font = await findFont(plan.family, job)
  const wrapPx = plan.widthPx === null ? null : Math.max(1, plan.widthPx - left - right)
  const ink = await drawInk(markup(text, plan, font.family), {
    align: plan.align,
    widthPx: Math.min(wrapPx ?? MAX_TEXT_SIDE_PX, MAX_TEXT_SIDE_PX),
    ...(font.file === undefined ? {} : { fontFile: font.file }),
  })
  const inner = plan.keepWidth && wrapPx !== null ? Math.max(wrapPx, ink.widthPx) : ink.widthPx
  const size = { widthPx: inner + left + right, heightPx: ink.heightPx + top + bottom }
  if (size.widthPx > MAX_TEXT_SIDE_PX || size.heightPx > MAX_TEXT_SIDE_PX) {
    throw badRequest(`The text of a layer takes up more than ${MAX_TEXT_SIDE_PX} pixels.`)
  }
  const spare = { left: 0, center: Math.round((inner - ink.widthPx) / 2), right: inner - ink.widthPx }[
    plan.align
  ]
  return pixels.compose(
    pixels.solid(size, plan.background),
    ink,
    { leftPx: left + spare, topPx: top },
    'over',
  )
}

function checkArea(text: string, plan: TextPlan) {
  const areaPx = text.length * plan.fontSizePx * Math.max(plan.fontSizePx, plan.lineHeightPx ?? 0) * 0.6
  if (areaPx > MAX_TEXT_AREA_PX) throw badRequest('The text of a layer is too long for its font size.')
}

async function findFont(name: string | null, job: RenderJob): Promise<{ family: string; file?: string }> {
  if (name === null) return { family: DEFAULT_FAMILY }
  const file = Object.hasOwn(job.fonts, name) ? job.fonts[name] : undefined
  if (file !== undefined) {
    const family = readFontFamily(await readFile(file))
    if (family === undefined) throw badRequest(`The file ${name} is not a TrueType or OpenType font.`)
    return { family, file }
  }
  const builtIn = BUILT_IN_FONTS.get(comparable(name))
  if (!builtIn) {
    throw badRequest(
      `The font "${name}" is not known. Use a built-in font or the path of a .ttf or .otf file.`,
    )
  }
  return { family: builtIn.family }
}

/** Pango markup for the text; whatever the text holds stays text. */
function markup(text: string, plan: TextPlan, family: string): string {
  const { color, typography, lineHeightPx } = plan
  const hex = ((1 << 24) | (color.red << 16) | (color.green << 8) | color.blue).toString(16).slice(1)
  const attributes: Record<string, string> = {
    font_family: family,
    // At 72 dots an inch a point is a pixel; Pango counts in 1024ths.
    size: String(Math.round(plan.fontSizePx * 1024)),
    foreground: `#${hex}`,
    ...(color.alpha < 1 ? { alpha: String(Math.max(1, Math.round(color.alpha * 65_535))) } : {}),
    ...(typography.bold ? { weight: 'bold' } : {}),
    ...(typography.italic ? { style: 'italic' } : {}),
    ...(typography.strikethrough ? { strikethrough: 'true' } : {}),
    ...(lineHeightPx === null
      ? {}
      : { line_height: String(Math.max(1025, Math.round(lineHeightPx * 1024))) }),
  }
  const list = Object.entries(attributes).map(([key, value]) => `${key}="${escapeMarkup(value)}"`)
  return `<span ${list.join(' ')}>${escapeMarkup(text)}</span>`
}

function escapeMarkup(text: string): string {
  return text
    .toWellFormed()
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/** Draws marked-up text and cuts it to what is inked. */
async function drawInk(
  text: string,
  options: { align: TextPlan['align']; widthPx: number; fontFile?: string },
): Promise<Pixels> {
  const { data, info } = await sharp({
    text: {
      text,
      rgba: true,
      dpi: 72,
      width: options.widthPx,
      align: options.align === 'center' ? 'centre' : options.align,
      wrap: 'word-char',
      ...(options.fontFile === undefined ? {} : { fontfile: options.fontFile }),
    },
    limitInputPixels: MAX_TEXT_AREA_PX * 4,
  })
    .raw()
    .toBuffer({ resolveWithObject: true })
  return { data, widthPx: info.width, heightPx: info.height, channels: 4 }
}
