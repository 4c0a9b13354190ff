import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { OutputFormat, OutputRequest } from '../transform/transform.ts'

export type FormatChoice = {
  format: OutputFormat
  /** The answer depends on the Accept header. */
  variesByAccept: boolean
}

/**
 * Chooses the output format (manual, automatic image format conversion).
 * @param choice.alpha whether the result may be transparent.
 * @throws TintypeError bad-request for `f-gif` of something else, not-implemented for video formats.
 */
export function chooseFormat(choice: {
  request: OutputRequest
  sourceFormat: string
  alpha: boolean
  accept: string
  /** What an absent `f` means. */
  defaultFormat: 'auto' | 'orig'
  offerAvif: boolean
}): FormatChoice {
  const { request, sourceFormat, alpha } = choice
  const wanted = request.format ?? choice.defaultFormat
  switch (wanted) {
    case 'jpg':
    case 'png':
    case 'webp':
    case 'avif':
      return { format: wanted, variesByAccept: false }
    case 'gif':
      if (sourceFormat !== 'gif') throw badRequest('f-gif can only be used with GIF images.')
      return { format: 'gif', variesByAccept: false }
    case 'svg':
      throw badRequest('f-svg can only be used with SVG images that are not transformed.')
    case 'mp4':
    case 'webm':
      throw new TintypeError('not-implemented', `f-${wanted} cannot be made from an image by this server.`)
    case 'orig':
      return { format: sourceLike(sourceFormat, alpha), variesByAccept: false }
    case 'auto':
      return { format: automatic(choice), variesByAccept: true }
  }
}

function automatic(choice: {
  request: OutputRequest
  sourceFormat: string
  alpha: boolean
  accept: string
  offerAvif: boolean
}): OutputFormat {
  const { request, sourceFormat, accept } = choice
  const avifFits =
    choice.offerAvif &&
    sourceFormat !== 'heic' &&
    sourceFormat !== 'gif' &&
    !request.keepColorProfile &&
    !request.hasUnsharpMask
  if (avifFits && accepts(accept, 'image/avif')) return 'avif'
  if (accepts(accept, 'image/webp')) return 'webp'
  return sourceFormat === 'gif' ? 'gif' : choice.alpha ? 'png' : 'jpg'
}

/** The source's own format where it can be written and can hold what is needed. */
function sourceLike(sourceFormat: string, alpha: boolean): OutputFormat {
  switch (sourceFormat) {
    case 'png':
    case 'webp':
    case 'avif':
    case 'gif':
      return sourceFormat
    default:
      return alpha ? 'png' : 'jpg'
  }
}

/** Whether an Accept header names a type itself; a wildcard is no sign that the client can show it. */
export function accepts(header: string, type: string): boolean {
  return header.split(',', 64).some((part) => {
    const [name, ...parameters] = part.split(';')
    if (name!.trim().toLowerCase() !== type) return false
    const quality = parameters
      .map((parameter) => parameter.trim())
      .find((parameter) => /^q=/i.test(parameter))
    return quality === undefined || Number(quality.slice(2)) > 0
  })
}
