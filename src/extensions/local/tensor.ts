import type { MaskActivation, Normalization } from './job.ts'

/** How a model wants its picture. */
export type InputLayout = {
  widthPx: number
  heightPx: number
  /** Colours one after the other (NCHW), or pixel by pixel (NHWC). */
  planar: boolean
  type: 'float32' | 'uint8'
}

/** Mean and standard deviation of red, green and blue, on a scale of 0 to 1. */
const SCALES: Record<Exclude<Normalization, 'none'>, { mean: number[]; std: number[] }> = {
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  clip: { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] },
  half: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  unit: { mean: [0, 0, 0], std: [1, 1, 1] },
}

/**
 * Reads how a model wants its picture from the shape of its input.
 * @param shape four dimensions; a text, or a number below 1, is one that the model leaves open.
 * @throws Error when it is no picture of three colours.
 */
export function planInput(
  shape: readonly (number | string)[],
  type: string,
  openSizePx: number,
): InputLayout {
  if (type !== 'float32' && type !== 'uint8') throw new Error(`the model takes ${type}, not float32 or uint8`)
  const planar = shape[1] === 3
  if (shape.length !== 4 || !(planar || shape[3] === 3)) {
    throw new Error(`the model takes [${shape.join(', ')}], not a picture of three colours`)
  }
  const [height, width] = planar ? [shape[2], shape[3]] : [shape[1], shape[2]]
  const side = (value: number | string | undefined) =>
    typeof value === 'number' && value >= 1 ? value : openSizePx
  return { widthPx: side(width), heightPx: side(height), planar, type }
}

/** Puts the bytes of a picture (red, green, blue, pixel by pixel) into the order and scale of a model. */
export function fillTensor(
  rgb: Uint8Array,
  layout: InputLayout,
  normalization: Normalization,
): Float32Array | Uint8Array {
  const pixels = layout.widthPx * layout.heightPx
  const data = layout.type === 'uint8' ? new Uint8Array(pixels * 3) : new Float32Array(pixels * 3)
  const scale = layout.type === 'uint8' || normalization === 'none' ? undefined : SCALES[normalization]
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let color = 0; color < 3; color++) {
      const value = rgb[pixel * 3 + color]!
      const at = layout.planar ? color * pixels + pixel : pixel * 3 + color
      data[at] = scale ? (value / 255 - scale.mean[color]!) / scale.std[color]! : value
    }
  }
  return data
}

/**
 * Turns the output of a mask model into the bytes of a grey picture.
 * @param activation `minmax` stretches the numbers that occur over the whole range, as salient-object models need it.
 */
export function readMask(output: ArrayLike<number>, activation: MaskActivation): Uint8Array<ArrayBuffer> {
  let low = 0
  let range = 1
  if (activation === 'minmax') {
    let high = Number.NEGATIVE_INFINITY
    low = Number.POSITIVE_INFINITY
    for (let at = 0; at < output.length; at++) {
      low = Math.min(low, output[at]!)
      high = Math.max(high, output[at]!)
    }
    range = high - low
  }
  const mask = new Uint8Array(output.length)
  for (let at = 0; at < output.length; at++) {
    const value = activation === 'sigmoid' ? 1 / (1 + Math.exp(-output[at]!)) : output[at]!
    // A flat output tells nothing apart: nothing is cut away.
    const opacity = range === 0 ? 1 : (value - low) / range
    mask[at] = Math.round(Math.min(Math.max(opacity, 0), 1) * 255)
  }
  return mask
}
