/** What the process that handles pixels and models is asked, and how it replies. */

/** How the numbers of a pixel are scaled before a model sees them; named after where models come from. */
export type Normalization = 'imagenet' | 'clip' | 'half' | 'unit' | 'none'

export type Activation = 'softmax' | 'sigmoid' | 'none'

export type MaskActivation = 'minmax' | 'sigmoid' | 'none'

export type ModelFile = {
  /** Absolute. */
  path: string
  normalization: Normalization
  /** Side of the input where the model leaves it open. */
  inputSizePx: number
  threads: number
}

export type ClassifyJob = {
  kind: 'classify'
  image: Uint8Array
  model: ModelFile
  /** Absolute. */
  labelsPath: string
  activation: Activation
  maxPixels: number
}

export type Background = { color: string } | { image: Uint8Array }

export type CutOutJob = {
  kind: 'cut-out'
  image: Uint8Array
  /** Which pixels stay: a picture of their opacity, or the model that makes one; absent, all do. */
  mask: { image: Uint8Array } | { model: ModelFile; activation: MaskActivation } | undefined
  background: Background | undefined
  /** No half-transparent pixels. */
  hardEdges: boolean
  format: 'png' | 'webp'
  maxPixels: number
}

export type PixelJob = ClassifyJob | CutOutJob

export type PixelResult<Job extends PixelJob = PixelJob> = Job extends ClassifyJob
  ? { labels: { name: string; confidence: number }[] }
  : { bytes: Uint8Array }

export type PixelReply =
  | { id: number; result: PixelResult }
  /** `blame` tells whose fault it is: the file's, or that of the model and its settings. */
  | { id: number; error: { blame: 'image' | 'model'; message: string; detail: string } }
