import type { Color, Distortion } from '../ast.ts'
import type { Size } from '../operations.ts'
import { arcRadii } from '../plan-crop.ts'
import type { Pixels } from './picture.ts'
import { withAlpha } from './picture.ts'

/** Effects on raw pixels. All give new pixels or change those that they are handed, which nobody else holds. */

const LUMA = [0.2126, 0.7152, 0.0722] as const

export function grayscale(pixels: Pixels): Pixels {
  const { data, channels } = pixels
  for (let i = 0; i < data.length; i += channels) {
    const grey = Math.round(LUMA[0] * data[i]! + LUMA[1] * data[i + 1]! + LUMA[2] * data[i + 2]!)
    data[i] = grey
    data[i + 1] = grey
    data[i + 2] = grey
  }
  return pixels
}

/** Stretches each channel so that 2 % of the darkest and 1 % of the lightest values clip. */
export function contrastStretch(pixels: Pixels): Pixels {
  const { data, channels } = pixels
  const count = data.length / channels
  for (let channel = 0; channel < 3; channel++) {
    const histogram = new Uint32Array(256)
    for (let i = channel; i < data.length; i += channels) histogram[data[i]!]!++
    const low = percentile(histogram, count * 0.02)
    const high = 255 - percentile(histogram.toReversed(), count * 0.01)
    if (high <= low) continue
    const table = Uint8Array.from({ length: 256 }, (_, value) =>
      clampByte(((value - low) * 255) / (high - low)),
    )
    for (let i = channel; i < data.length; i += channels) data[i] = table[data[i]!]!
  }
  return pixels
}

function percentile(histogram: Uint32Array, count: number): number {
  let seen = 0
  for (let value = 0; value < 256; value++) {
    seen += histogram[value]!
    if (seen > count) return value
  }
  return 255
}

export function opacity(pixels: Pixels, share: number): Pixels {
  const result = withAlpha(pixels)
  const { data } = result
  for (let i = 3; i < data.length; i += 4) data[i] = Math.round(data[i]! * share)
  return result
}

export function colorize(pixels: Pixels, color: Color, intensity: number): Pixels {
  const { data, channels } = pixels
  const share = intensity * color.alpha
  const add = [color.red * share, color.green * share, color.blue * share] as const
  const keep = 1 - share
  for (let i = 0; i < data.length; i += channels) {
    data[i] = Math.round(data[i]! * keep + add[0])
    data[i + 1] = Math.round(data[i + 1]! * keep + add[1])
    data[i + 2] = Math.round(data[i + 2]! * keep + add[2])
  }
  return pixels
}

/** Lays the image on a colour. The result has an alpha channel only if the colour is not opaque. */
export function flatten(pixels: Pixels, color: Color): Pixels {
  if (pixels.channels === 3) return pixels
  const { data, widthPx, heightPx } = pixels
  const opaque = color.alpha === 1
  const out = opaque ? Buffer.allocUnsafe((data.length / 4) * 3) : data
  const step = opaque ? 3 : 4
  let to = 0
  for (let i = 0; i < data.length; i += 4) {
    const top = data[i + 3]! / 255
    const under = color.alpha * (1 - top)
    const alpha = top + under
    const scale = alpha === 0 ? 0 : 1 / alpha
    out[to] = Math.round((data[i]! * top + color.red * under) * scale)
    out[to + 1] = Math.round((data[i + 1]! * top + color.green * under) * scale)
    out[to + 2] = Math.round((data[i + 2]! * top + color.blue * under) * scale)
    if (!opaque) out[to + 3] = Math.round(alpha * 255)
    to += step
  }
  return { data: out, widthPx, heightPx, channels: opaque ? 3 : 4 }
}

/** Fills a canvas with one colour. */
export function solid(size: Size, color: Color): Pixels {
  const pixel = Buffer.from([color.red, color.green, color.blue, Math.round(color.alpha * 255)])
  return { data: Buffer.alloc(size.widthPx * size.heightPx * 4, pixel), ...size, channels: 4 }
}

export type LinearGradient = {
  angleDeg: number
  from: Color
  to: Color
  /** Where `to` is reached: a share of the way, or pixels. */
  stopShare: number | null
  stopPx: number | null
}

/** A canvas with a linear gradient; as in CSS, its line is as long as the corners need. */
export function gradientCanvas(size: Size, gradient: LinearGradient): Pixels {
  const { widthPx, heightPx } = size
  const radians = (gradient.angleDeg * Math.PI) / 180
  const dx = Math.sin(radians)
  const dy = -Math.cos(radians)
  const lengthPx = Math.abs(widthPx * dx) + Math.abs(heightPx * dy)
  const stopPx = gradient.stopPx ?? lengthPx * gradient.stopShare!
  const table = gradientTable(gradient.from, gradient.to)
  const data = Buffer.allocUnsafe(widthPx * heightPx * 4)
  let to = 0
  for (let y = 0; y < heightPx; y++) {
    for (let x = 0; x < widthPx; x++) {
      const along = (x + 0.5 - widthPx / 2) * dx + (y + 0.5 - heightPx / 2) * dy + lengthPx / 2
      const at = Math.min(1023, Math.max(0, Math.round((along / stopPx) * 1023))) * 4
      data[to++] = table[at]!
      data[to++] = table[at + 1]!
      data[to++] = table[at + 2]!
      data[to++] = table[at + 3]!
    }
  }
  return { data, widthPx, heightPx, channels: 4 }
}

/** 1024 colours from one to the other, mixed premultiplied so that a transparent end does not darken the way. */
function gradientTable(from: Color, to: Color): Uint8Array {
  const table = new Uint8Array(1024 * 4)
  for (let i = 0; i < 1024; i++) {
    const share = i / 1023
    const alpha = from.alpha * (1 - share) + to.alpha * share
    const mix = (a: number, b: number) =>
      alpha === 0 ? a : Math.round((a * from.alpha * (1 - share) + b * to.alpha * share) / alpha)
    table[i * 4] = mix(from.red, to.red)
    table[i * 4 + 1] = mix(from.green, to.green)
    table[i * 4 + 2] = mix(from.blue, to.blue)
    table[i * 4 + 3] = Math.round(alpha * 255)
  }
  return table
}

export type Blend = 'over' | 'multiply' | 'cutter' | 'cutout'

/**
 * Lays a picture on a base. `multiply` darkens, `cutter` keeps the base where the layer is, `cutout` removes it there.
 * Parts outside of the base are dropped.
 */
export function compose(
  base: Pixels,
  layer: Pixels,
  at: { leftPx: number; topPx: number },
  blend: Blend,
): Pixels {
  if (blend === 'cutter' || blend === 'cutout') return cut(withAlpha(base), layer, at, blend === 'cutter')
  const { data, channels, widthPx, heightPx } = base
  const top = withAlpha(layer)
  const fromX = Math.max(0, -at.leftPx)
  const toX = Math.min(top.widthPx, widthPx - at.leftPx)
  const fromY = Math.max(0, -at.topPx)
  const toY = Math.min(top.heightPx, heightPx - at.topPx)
  for (let y = fromY; y < toY; y++) {
    let source = (y * top.widthPx + fromX) * 4
    let target = ((y + at.topPx) * widthPx + fromX + at.leftPx) * channels
    for (let x = fromX; x < toX; x++, source += 4, target += channels) {
      const layerAlpha = top.data[source + 3]! / 255
      if (layerAlpha === 0) continue
      const baseAlpha = channels === 4 ? data[target + 3]! / 255 : 1
      const alpha = layerAlpha + baseAlpha * (1 - layerAlpha)
      for (let c = 0; c < 3; c++) {
        const below = data[target + c]!
        const above = top.data[source + c]!
        const mixed =
          blend === 'multiply' ? above * (1 - baseAlpha) + (baseAlpha * above * below) / 255 : above
        data[target + c] = Math.round((mixed * layerAlpha + below * baseAlpha * (1 - layerAlpha)) / alpha)
      }
      if (channels === 4) data[target + 3] = Math.round(alpha * 255)
    }
  }
  return base
}

function cut(
  base: Pixels,
  layer: Pixels,
  at: { leftPx: number; topPx: number },
  keepInside: boolean,
): Pixels {
  const top = withAlpha(layer)
  const { data, widthPx, heightPx } = base
  for (let y = 0; y < heightPx; y++) {
    for (let x = 0; x < widthPx; x++) {
      const layerX = x - at.leftPx
      const layerY = y - at.topPx
      const inside = layerX >= 0 && layerY >= 0 && layerX < top.widthPx && layerY < top.heightPx
      const cover = inside ? top.data[(layerY * top.widthPx + layerX) * 4 + 3]! / 255 : 0
      const index = (y * widthPx + x) * 4 + 3
      data[index] = Math.round(data[index]! * (keepInside ? cover : 1 - cover))
    }
  }
  return base
}

/** Moves the pixels of the base by the layer's red (horizontal) and green (vertical): 128 stays, 255 moves the whole strength. */
export function displace(
  base: Pixels,
  map: Pixels,
  at: { leftPx: number; topPx: number },
  strength: { xPx: number; yPx: number },
): Pixels {
  const { data, widthPx, heightPx, channels } = base
  const out = Buffer.from(data)
  for (let y = 0; y < map.heightPx; y++) {
    for (let x = 0; x < map.widthPx; x++) {
      const baseX = x + at.leftPx
      const baseY = y + at.topPx
      if (baseX < 0 || baseY < 0 || baseX >= widthPx || baseY >= heightPx) continue
      const index = (y * map.widthPx + x) * map.channels
      const cover = map.channels === 4 ? map.data[index + 3]! / 255 : 1
      const fromX = baseX + ((map.data[index]! - 128) / 127) * strength.xPx * cover
      const fromY = baseY + ((map.data[index + 1]! - 128) / 127) * strength.yPx * cover
      sample(data, base, fromX, fromY, out, (baseY * widthPx + baseX) * channels, true)
    }
  }
  return { ...base, data: out }
}

/** Writes the bilinear sample at (x, y) to `out[to…]`; outside of the image: nothing, or the nearest edge. */
function sample(
  data: Buffer,
  size: Pixels,
  x: number,
  y: number,
  out: Buffer,
  to: number,
  clampEdges: boolean,
) {
  const { widthPx, heightPx, channels } = size
  let px = x
  let py = y
  if (clampEdges) {
    px = Math.min(Math.max(px, 0), widthPx - 1)
    py = Math.min(Math.max(py, 0), heightPx - 1)
  }
  const x0 = Math.floor(px)
  const y0 = Math.floor(py)
  const fx = px - x0
  const fy = py - y0
  let red = 0
  let green = 0
  let blue = 0
  let alpha = 0
  for (let j = 0; j < 2; j++) {
    const row = y0 + j
    if (row < 0 || row >= heightPx) continue
    for (let i = 0; i < 2; i++) {
      const column = x0 + i
      const weight = (i === 0 ? 1 - fx : fx) * (j === 0 ? 1 - fy : fy)
      if (column < 0 || column >= widthPx || weight === 0) continue
      const index = (row * widthPx + column) * channels
      const cover = (channels === 4 ? data[index + 3]! : 255) * weight
      red += data[index]! * cover
      green += data[index + 1]! * cover
      blue += data[index + 2]! * cover
      alpha += cover
    }
  }
  if (alpha === 0) {
    out.fill(0, to, to + channels)
    return
  }
  out[to] = Math.round(red / alpha)
  out[to + 1] = Math.round(green / alpha)
  out[to + 2] = Math.round(blue / alpha)
  if (channels === 4) out[to + 3] = Math.round(alpha)
}

/** Replaces what is near one colour by another, keeping the difference between each pixel and that colour. */
export function replaceColor(
  pixels: Pixels,
  change: { to: Color; tolerance: number; from: Color | null },
): Pixels {
  const { data, channels } = pixels
  const from = change.from ?? dominantColor(pixels)
  // The longest possible distance in the RGB cube is 100 %.
  const limit = (change.tolerance / 100) * Math.hypot(255, 255, 255)
  for (let i = 0; i < data.length; i += channels) {
    const dr = data[i]! - from.red
    const dg = data[i + 1]! - from.green
    const db = data[i + 2]! - from.blue
    if (Math.hypot(dr, dg, db) > limit) continue
    data[i] = clampByte(change.to.red + dr)
    data[i + 1] = clampByte(change.to.green + dg)
    data[i + 2] = clampByte(change.to.blue + db)
  }
  return pixels
}

/** The most frequent colour among 4096 classes, averaged; transparent pixels do not count. */
export function dominantColor(pixels: Pixels, options: { borderOnly?: boolean } = {}): Color {
  const { data, widthPx, heightPx, channels } = pixels
  const counts = new Uint32Array(4096)
  const sums = new Float64Array(4096 * 3)
  const take = (index: number) => {
    if (channels === 4 && data[index + 3]! < 128) return
    const red = data[index]!
    const green = data[index + 1]!
    const blue = data[index + 2]!
    const bin = ((red >> 4) << 8) | ((green >> 4) << 4) | (blue >> 4)
    counts[bin]!++
    sums[bin * 3] = sums[bin * 3]! + red
    sums[bin * 3 + 1] = sums[bin * 3 + 1]! + green
    sums[bin * 3 + 2] = sums[bin * 3 + 2]! + blue
  }
  if (options.borderOnly) {
    for (let x = 0; x < widthPx; x++) {
      take(x * channels)
      take(((heightPx - 1) * widthPx + x) * channels)
    }
    for (let y = 1; y < heightPx - 1; y++) {
      take(y * widthPx * channels)
      take((y * widthPx + widthPx - 1) * channels)
    }
  } else for (let i = 0; i < data.length; i += channels) take(i)
  let best = 0
  for (let bin = 1; bin < 4096; bin++) if (counts[bin]! > counts[best]!) best = bin
  const count = counts[best]!
  if (count === 0) return { red: 0, green: 0, blue: 0, alpha: 1 }
  return {
    red: Math.round(sums[best * 3]! / count),
    green: Math.round(sums[best * 3 + 1]! / count),
    blue: Math.round(sums[best * 3 + 2]! / count),
    alpha: 1,
  }
}

/** Brightness by a fixed amount, as `bg-blurred` takes it. */
export function brighten(pixels: Pixels, amount: number): Pixels {
  const { data, channels } = pixels
  for (let i = 0; i < data.length; i += channels) {
    for (let c = 0; c < 3; c++) data[i + c] = clampByte(data[i + c]! + amount)
  }
  return pixels
}

/** A canvas of mixtures of the four corner colours (top left, top right, bottom left, bottom right). */
export function cornerGradient(size: Size, corners: [Color, Color, Color, Color]): Pixels {
  const { widthPx, heightPx } = size
  const data = Buffer.allocUnsafe(widthPx * heightPx * 3)
  const channelsOf = corners.map((color) => [color.red, color.green, color.blue])
  let to = 0
  for (let y = 0; y < heightPx; y++) {
    const down = heightPx === 1 ? 0 : y / (heightPx - 1)
    for (let x = 0; x < widthPx; x++) {
      const right = widthPx === 1 ? 0 : x / (widthPx - 1)
      for (let c = 0; c < 3; c++) {
        const above = channelsOf[0]![c]! * (1 - right) + channelsOf[1]![c]! * right
        const below = channelsOf[2]![c]! * (1 - right) + channelsOf[3]![c]! * right
        data[to++] = Math.round(above * (1 - down) + below * down)
      }
    }
  }
  return { data, widthPx, heightPx, channels: 3 }
}

export function distort(pixels: Pixels, distortion: Distortion, size: Size): Pixels {
  const source = withAlpha(pixels)
  const data = Buffer.alloc(size.widthPx * size.heightPx * 4)
  const locate =
    distortion.kind === 'perspective'
      ? perspectiveInverse(source, distortion.points)
      : arcInverse(source, size, distortion.degrees)
  for (let y = 0; y < size.heightPx; y++) {
    for (let x = 0; x < size.widthPx; x++) {
      const from = locate(x + 0.5, y + 0.5)
      if (from)
        sample(source.data, source, from[0] - 0.5, from[1] - 0.5, data, (y * size.widthPx + x) * 4, false)
    }
  }
  return { data, ...size, channels: 4 }
}

type Locate = (x: number, y: number) => [number, number] | undefined

/** From a point of the result back to the source: the homography of the four corners, inverted. */
function perspectiveInverse(source: Size, points: readonly number[]): Locate {
  const { widthPx: w, heightPx: h } = source
  const corners: [number, number][] = [
    [0, 0],
    [w, 0],
    [w, h],
    [0, h],
  ]
  // Eight equations for the mapping from result to source.
  const rows: number[][] = []
  for (const [index, [u, v]] of corners.entries()) {
    const x = points[index * 2]!
    const y = points[index * 2 + 1]!
    rows.push([x, y, 1, 0, 0, 0, -u * x, -u * y, u])
    rows.push([0, 0, 0, x, y, 1, -v * x, -v * y, v])
  }
  const [a, b, c, d, e, f, g, i] = solve(rows) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return (x, y) => {
    const scale = g * x + i * y + 1
    if (scale <= 0) return undefined
    const u = (a * x + b * y + c) / scale
    const v = (d * x + e * y + f) / scale
    return u < -1 || v < -1 || u > w + 1 || v > h + 1 ? undefined : [u, v]
  }
}

/** Gaussian elimination with pivoting on an n × (n+1) system. */
function solve(rows: number[][]): number[] {
  const n = rows.length
  for (let column = 0; column < n; column++) {
    let pivot = column
    for (let row = column + 1; row < n; row++) {
      if (Math.abs(rows[row]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = row
    }
    ;[rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!]
    const head = rows[column]!
    for (let row = 0; row < n; row++) {
      if (row === column || head[column] === 0) continue
      const factor = rows[row]![column]! / head[column]!
      for (let k = column; k <= n; k++) rows[row]![k] = rows[row]![k]! - factor * head[k]!
    }
  }
  return rows.map((row, index) => row[n]! / row[index]!)
}

function arcInverse(source: Size, size: Size, degrees: number): Locate {
  const angle = (Math.abs(degrees) * Math.PI) / 180
  const { outer, inner } = arcRadii(source, angle)
  const downward = degrees < 0
  return (x, y) => {
    const dx = x - size.widthPx / 2
    // The centre of the circle lies one outer radius below the top; for negative arcs the picture is turned over.
    const dy = outer - (downward ? size.heightPx - y : y)
    const radius = Math.hypot(dx, dy)
    if (radius > outer + 1 || radius < inner - 1) return undefined
    const theta = Math.atan2(dx, dy)
    if (Math.abs(theta) > angle / 2 + 1 / Math.max(1, radius)) return undefined
    const u = (theta / angle + 0.5) * source.widthPx
    const v = outer - radius
    return [u, downward ? source.heightPx - v : v]
  }
}

function clampByte(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : Math.round(value)
}
