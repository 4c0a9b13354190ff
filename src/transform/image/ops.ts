import type { Background } from '../ast.ts'
import type { Geometry, Operation, Size } from '../operations.ts'
import { type Picture, type Pixels, pictureOf, pixelsOf, RANK, sharpOf, withAlpha } from './picture.ts'
import * as pixels from './pixels.ts'

/** Applies one operation. */
export async function applyOperation(picture: Picture, operation: Operation): Promise<Picture> {
  switch (operation.kind) {
    case 'geometry':
      return applyGeometry(picture, operation)
    case 'flip':
      return onPipeline(picture, RANK.flip, (pipeline) => {
        if (operation.vertical) pipeline.flip()
        if (operation.horizontal) pipeline.flop()
      })
    case 'blur':
      // The parameter is a radius; two standard deviations hold most of a Gaussian.
      return onPipeline(picture, RANK.blur, (pipeline) =>
        pipeline.blur(Math.max(0.3, operation.radiusPx / 2)),
      )
    case 'sharpen':
      return onPipeline(picture, RANK.sharpen, (pipeline) =>
        pipeline.sharpen({ sigma: 1, m1: operation.amount / 50, m2: operation.amount / 25 }),
      )
    case 'unsharp':
      return onRaw(picture, (raw) => unsharpMask(raw, operation))
    case 'trim':
      return trim(picture, operation.tolerance)
    case 'grayscale':
      return onRaw(picture, pixels.grayscale)
    case 'contrast':
      return onRaw(picture, pixels.contrastStretch)
    case 'colorize':
      return onRaw(picture, (raw) => pixels.colorize(raw, operation.color, operation.intensity))
    case 'replace-color':
      return onRaw(picture, (raw) => pixels.replaceColor(raw, operation))
    case 'gradient':
      return onRaw(picture, (raw) =>
        pixels.compose(raw, pixels.gradientCanvas(raw, operation), { leftPx: 0, topPx: 0 }, 'over'),
      )
    case 'distort':
      return onRaw(picture, (raw) => pixels.distort(raw, operation.distortion, operation.size))
    case 'border':
      return applyBorder(picture, operation)
    case 'round':
      return onRaw(picture, (raw) => roundCorners(raw, operation.cornersPx))
    case 'opacity':
      return onRaw(picture, (raw) => pixels.opacity(raw, operation.share))
    case 'shadow':
      return onRaw(picture, (raw) => dropShadow(raw, operation))
    case 'rotate':
      return rotate(picture, operation.degrees)
    case 'flatten':
      return picture.hasAlpha ? onRaw(picture, (raw) => pixels.flatten(raw, operation.color)) : picture
  }
}

/** Adds to the pipeline if sharp's order allows, else to a new one on the finished pixels. */
async function onPipeline(
  picture: Picture,
  rank: number,
  apply: (pipeline: Picture['pipeline']) => void,
): Promise<Picture> {
  const start = picture.rank < rank ? picture : pictureOf(await pixelsOf(picture))
  apply(start.pipeline)
  return { ...start, rank }
}

async function onRaw(picture: Picture, apply: (raw: Pixels) => Pixels | Promise<Pixels>): Promise<Picture> {
  return pictureOf(await apply(await pixelsOf(picture)))
}

async function applyGeometry(picture: Picture, geometry: Geometry): Promise<Picture> {
  const { extract, resize, crop, pad } = geometry
  const start = picture.rank < RANK.geometry ? picture : pictureOf(await pixelsOf(picture))
  const { pipeline } = start
  if (extract) pipeline.extract(rect(extract))
  if (resize) pipeline.resize(resize.widthPx, resize.heightPx, { fit: 'fill' })
  if (crop) pipeline.extract(rect(crop))
  const size = crop ?? resize ?? extract ?? start.size
  const inner: Picture = {
    ...start,
    size: { widthPx: size.widthPx, heightPx: size.heightPx },
    rank: crop ? RANK.crop : RANK.geometry,
  }
  return pad ? applyPadding(inner, pad) : inner
}

function rect(area: { leftPx: number; topPx: number; widthPx: number; heightPx: number }) {
  return { left: area.leftPx, top: area.topPx, width: area.widthPx, height: area.heightPx }
}

async function applyPadding(picture: Picture, pad: NonNullable<Geometry['pad']>): Promise<Picture> {
  const { background, size } = pad
  if (picture.rank >= RANK.extend) return applyPadding(pictureOf(await pixelsOf(picture)), pad)
  if (background.kind === 'color' && (background.color.alpha === 1 || picture.hasAlpha)) {
    const { color } = background
    const { leftPx, topPx } = pad
    picture.pipeline.extend({
      left: leftPx,
      top: topPx,
      right: size.widthPx - leftPx - picture.size.widthPx,
      bottom: size.heightPx - topPx - picture.size.heightPx,
      background: { r: color.red, g: color.green, b: color.blue, alpha: color.alpha },
    })
    return { ...picture, size, rank: RANK.extend }
  }
  const raw = await pixelsOf(picture)
  const canvas = await backgroundCanvas(raw, background, size)
  return pictureOf(pixels.compose(canvas, raw, pad, 'over'))
}

/** A canvas of the given size that shows a padding's background. */
async function backgroundCanvas(raw: Pixels, background: Background, size: Size): Promise<Pixels> {
  switch (background.kind) {
    case 'color':
      return pixels.solid(size, background.color)
    case 'dominant':
      return pixels.solid(size, pixels.dominantColor(raw, { borderOnly: true }))
    case 'gradient-dominant':
      return dominantGradient(raw, size, background.palette)
    case 'blurred': {
      const sigma =
        background.intensity === 'auto'
          ? Math.max(1, Math.min(size.widthPx, size.heightPx) / 25)
          : Math.max(0.3, background.intensity / 2)
      const covered = sharpOf(raw).resize(size.widthPx, size.heightPx, { fit: 'cover' })
      if (background.intensity !== 0) covered.blur(Math.min(1000, sigma))
      const blurred = await pixelsOf({
        pipeline: covered,
        size,
        hasAlpha: raw.channels === 4,
        rank: RANK.blur,
      })
      return background.brightness === 0 ? blurred : pixels.brighten(blurred, background.brightness)
    }
    case 'genfill':
      // The planner has refused it.
      throw new Error('genfill without a provider')
  }
}

function dominantGradient(raw: Pixels, size: Size, palette: 2 | 4): Pixels {
  const part = (left: number, top: number, width: number, height: number) =>
    pixels.dominantColor(cropPixels(raw, left, top, width, height))
  const halfWidth = Math.max(1, raw.widthPx >> 1)
  const halfHeight = Math.max(1, raw.heightPx >> 1)
  const right = raw.widthPx - halfWidth
  const bottom = raw.heightPx - halfHeight
  if (palette === 4) {
    return pixels.cornerGradient(size, [
      part(0, 0, halfWidth, halfHeight),
      part(right, 0, halfWidth, halfHeight),
      part(0, bottom, halfWidth, halfHeight),
      part(right, bottom, halfWidth, halfHeight),
    ])
  }
  // Along the axis on which the canvas is wider than the image, so that each end meets the side it comes from.
  const sideways = size.widthPx / size.heightPx > raw.widthPx / raw.heightPx
  const first = sideways ? part(0, 0, halfWidth, raw.heightPx) : part(0, 0, raw.widthPx, halfHeight)
  const second = sideways ? part(right, 0, halfWidth, raw.heightPx) : part(0, bottom, raw.widthPx, halfHeight)
  return pixels.cornerGradient(
    size,
    sideways ? [first, second, first, second] : [first, first, second, second],
  )
}

function cropPixels(raw: Pixels, left: number, top: number, widthPx: number, heightPx: number): Pixels {
  const { channels } = raw
  const data = Buffer.allocUnsafe(widthPx * heightPx * channels)
  for (let y = 0; y < heightPx; y++) {
    const from = ((top + y) * raw.widthPx + left) * channels
    raw.data.copy(data, y * widthPx * channels, from, from + widthPx * channels)
  }
  return { data, widthPx, heightPx, channels }
}

async function applyBorder(
  picture: Picture,
  operation: Extract<Operation, { kind: 'border' }>,
): Promise<Picture> {
  const { widthPx, color } = operation
  const start = picture.rank < RANK.extend ? picture : pictureOf(await pixelsOf(picture))
  if (color.alpha < 1 && !start.hasAlpha) {
    const raw = withAlpha(await pixelsOf(start))
    return applyBorder(pictureOf(raw), operation)
  }
  start.pipeline.extend({
    left: widthPx,
    top: widthPx,
    right: widthPx,
    bottom: widthPx,
    background: { r: color.red, g: color.green, b: color.blue, alpha: color.alpha },
  })
  return {
    ...start,
    size: { widthPx: start.size.widthPx + 2 * widthPx, heightPx: start.size.heightPx + 2 * widthPx },
    rank: RANK.extend,
  }
}

/** Removes edges of the colour of the top left pixel; an image of one colour stays as it is. */
async function trim(picture: Picture, tolerance: number): Promise<Picture> {
  const raw = await pixelsOf(picture)
  const box = contentBox(raw, (tolerance / 100) * 255)
  if (!box) return pictureOf(raw)
  return pictureOf(cropPixels(raw, box.left, box.top, box.right - box.left + 1, box.bottom - box.top + 1))
}

/** The smallest box around the pixels that differ from the top left one; undefined if there are none. */
export function contentBox(raw: Pixels, threshold: number) {
  const { data, widthPx, heightPx, channels } = raw
  const clear = channels === 4 && data[3] === 0
  const differs = (index: number) => {
    // Transparent pixels have no colour to compare.
    if (clear) return data[index + 3]! > threshold
    for (let c = 0; c < channels; c++) if (Math.abs(data[index + c]! - data[c]!) > threshold) return true
    return false
  }
  let left = widthPx
  let right = -1
  let top = -1
  let bottom = -1
  for (let y = 0; y < heightPx; y++) {
    const row = y * widthPx * channels
    let first = 0
    while (first < widthPx && !differs(row + first * channels)) first++
    if (first === widthPx) continue
    let last = widthPx - 1
    while (!differs(row + last * channels)) last--
    if (top < 0) top = y
    bottom = y
    if (first < left) left = first
    if (last > right) right = last
  }
  return top < 0 ? undefined : { left, top, right, bottom }
}

/** Multiplies the alpha channel by a rounded shape, drawn with antialiasing. */
async function roundCorners(
  raw: Pixels,
  corners: [number, number, number, number] | 'ellipse',
): Promise<Pixels> {
  const { widthPx: w, heightPx: h } = raw
  const shape =
    corners === 'ellipse'
      ? `<ellipse cx="${w / 2}" cy="${h / 2}" rx="${w / 2}" ry="${h / 2}"/>`
      : `<path d="${roundedPath(w, h, corners)}"/>`
  const mask = await sharpOf({ data: Buffer.alloc(w * h * 4), widthPx: w, heightPx: h, channels: 4 })
    .composite([
      {
        input: Buffer.from(
          `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}">${shape}</svg>`,
        ),
      },
    ])
    .raw()
    .toBuffer()
  const result = withAlpha(raw)
  for (let i = 3; i < mask.length; i += 4) result.data[i] = Math.round((result.data[i]! * mask[i]!) / 255)
  return result
}

function roundedPath(w: number, h: number, [tl, tr, br, bl]: [number, number, number, number]): string {
  return [
    `M${tl} 0H${w - tr}`,
    `A${tr} ${tr} 0 0 1 ${w} ${tr}V${h - br}`,
    `A${br} ${br} 0 0 1 ${w - br} ${h}H${bl}`,
    `A${bl} ${bl} 0 0 1 0 ${h - bl}V${tl}`,
    `A${tl} ${tl} 0 0 1 ${tl} 0Z`,
  ].join('')
}

async function unsharpMask(
  raw: Pixels,
  { sigma, amount, threshold }: { sigma: number; amount: number; threshold: number },
): Promise<Pixels> {
  if (sigma < 0.3 || amount === 0) return raw
  const blurred = await sharpOf(raw).blur(Math.min(1000, sigma)).raw().toBuffer()
  const { data, channels } = raw
  for (let i = 0; i < data.length; i++) {
    if (channels === 4 && (i & 3) === 3) continue
    const difference = data[i]! - blurred[i]!
    // The threshold is a share of the range, compared with twice the difference (ImageMagick's definition).
    if (Math.abs(2 * difference) < threshold * 255) continue
    const value = data[i]! + difference * amount
    data[i] = value < 0 ? 0 : value > 255 ? 255 : Math.round(value)
  }
  return raw
}

async function dropShadow(raw: Pixels, operation: Extract<Operation, { kind: 'shadow' }>): Promise<Pixels> {
  const image = withAlpha(raw)
  const { widthPx, heightPx, data } = image
  const shadow = Buffer.alloc(data.length)
  for (let y = 0; y < heightPx; y++) {
    const fromY = y - operation.dyPx
    if (fromY < 0 || fromY >= heightPx) continue
    for (let x = 0; x < widthPx; x++) {
      const fromX = x - operation.dxPx
      if (fromX < 0 || fromX >= widthPx) continue
      const alpha = data[(fromY * widthPx + fromX) * 4 + 3]!
      shadow[(y * widthPx + x) * 4 + 3] = Math.round(alpha * operation.opacity)
    }
  }
  const canvas: Pixels = { data: shadow, widthPx, heightPx, channels: 4 }
  if (operation.blur > 0)
    canvas.data = await sharpOf(canvas).blur(Math.max(0.3, operation.blur)).raw().toBuffer()
  return pixels.compose(canvas, image, { leftPx: 0, topPx: 0 }, 'over')
}

async function rotate(picture: Picture, degrees: number): Promise<Picture> {
  const raw = await pixelsOf(picture)
  const right = degrees % 90 === 0
  const source = right ? raw : withAlpha(raw)
  const pipeline = sharpOf(source).rotate(degrees, { background: { r: 0, g: 0, b: 0, alpha: 0 } })
  return pictureOf(
    await pixelsOf({ pipeline, size: picture.size, hasAlpha: source.channels === 4, rank: RANK.source }),
  )
}
