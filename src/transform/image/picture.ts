import sharp, { type Sharp } from 'sharp'
import type { Size } from '../operations.ts'

/** Eight-bit sRGB pixels, three or four channels, alpha not premultiplied. */
export type Pixels = { data: Buffer; widthPx: number; heightPx: number; channels: 3 | 4 }

/**
 * An image on its way: a pipeline that has not run yet. Sharp runs its operations in an order of its own, so an
 * operation may join the pipeline only if its rank is above those in it; otherwise the pixels are made first.
 */
export type Picture = {
  pipeline: Sharp
  size: Size
  hasAlpha: boolean
  rank: number
}

/** Ranks of the operations in sharp's fixed order: it cuts after a resize only once it has flipped and extended. */
export const RANK = { source: 0, geometry: 1, flip: 2, extend: 3, crop: 4, blur: 5, sharpen: 6 } as const

export function pictureOf(pixels: Pixels): Picture {
  return {
    pipeline: sharpOf(pixels),
    size: { widthPx: pixels.widthPx, heightPx: pixels.heightPx },
    hasAlpha: pixels.channels === 4,
    rank: RANK.source,
  }
}

export function sharpOf({ data, widthPx, heightPx, channels }: Pixels): Sharp {
  return sharp(data, { raw: { width: widthPx, height: heightPx, channels }, limitInputPixels: false })
}

/** Runs the pipeline. */
export async function pixelsOf(picture: Picture): Promise<Pixels> {
  const { data, info } = await picture.pipeline
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  if (info.channels === 3 || info.channels === 4) {
    return { data, widthPx: info.width, heightPx: info.height, channels: info.channels }
  }
  return {
    data: widen(data, info.channels),
    widthPx: info.width,
    heightPx: info.height,
    channels: info.channels === 2 ? 4 : 3,
  }
}

/** Grey (and alpha) as RGB (and alpha). */
function widen(data: Buffer, channels: number): Buffer {
  const pixels = data.length / channels
  const wide = Buffer.allocUnsafe(pixels * (channels === 2 ? 4 : 3))
  let to = 0
  for (let i = 0; i < data.length; i += channels) {
    const grey = data[i]!
    wide[to++] = grey
    wide[to++] = grey
    wide[to++] = grey
    if (channels === 2) wide[to++] = data[i + 1]!
  }
  return wide
}

/** The same pixels with an alpha channel. */
export function withAlpha(pixels: Pixels): Pixels {
  if (pixels.channels === 4) return pixels
  const { data } = pixels
  const wide = Buffer.allocUnsafe((data.length / 3) * 4)
  let to = 0
  for (let i = 0; i < data.length; i += 3) {
    wide[to++] = data[i]!
    wide[to++] = data[i + 1]!
    wide[to++] = data[i + 2]!
    wide[to++] = 255
  }
  return { ...pixels, data: wide, channels: 4 }
}
