import { TintypeError } from '../kernel/errors.ts'
import { sniff } from '../media/media.ts'
import { invalidAnswer } from './failures.ts'
import type { ExtensionAsset, ExtensionResult } from './provider.ts'

export type ImageInput = { bytes: Buffer; mime: string }

/** What a service takes. */
export type ImageLimits = {
  service: string
  mimes: readonly string[]
  maxBytes: number
  /** Longer side of the rendering that is sent when the file itself does not fit. */
  previewSidePx: number
}

/** Sides tried when a rendering is still too large, as parts of the first. */
const SMALLER = [1, 0.5, 0.25]

/**
 * The image as a service takes it: the file's own bytes where they fit, else a rendering of it.
 * @throws TintypeError unsupported when the file is no image, too-large when even a small rendering does not fit.
 */
export async function readImage(asset: ExtensionAsset, limits: ImageLimits): Promise<ImageInput> {
  if (asset.fileType !== 'image') {
    throw new TintypeError('unsupported', 'The extension can be applied to images only.')
  }
  if (limits.mimes.includes(asset.mime) && asset.sizeBytes <= limits.maxBytes) {
    const bytes = await asset.read()
    if (bytes.length <= limits.maxBytes) return { bytes, mime: asset.mime }
  }
  for (const part of SMALLER) {
    const bytes = await asset.preview({ maxSidePx: Math.round(limits.previewSidePx * part) })
    if (bytes.length <= limits.maxBytes) return { bytes, mime: 'image/jpeg' }
  }
  throw new TintypeError('too-large', `The file is too large for ${limits.service}.`)
}

const RESULT_EXTENSIONS = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp' } as const

/**
 * Makes bytes from a service a result. Their kind is read from the bytes: what is stored and delivered later must be
 * an image, whatever the service says it sent.
 */
export async function imageResult(service: string, bytes: Buffer): Promise<ExtensionResult> {
  const { mime } = await sniff(bytes.subarray(0, 4100), '')
  if (!Object.hasOwn(RESULT_EXTENSIONS, mime)) {
    throw invalidAnswer(service, new Error(`expected an image, got ${mime}`))
  }
  const known = mime as keyof typeof RESULT_EXTENSIONS
  return { kind: 'file', bytes, mime: known, extension: RESULT_EXTENSIONS[known] }
}
