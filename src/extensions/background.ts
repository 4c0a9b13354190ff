import { badRequest } from '../kernel/errors.ts'
import type { SafeFetch } from '../kernel/safe-fetch.ts'
import type { Background } from './local/job.ts'
import type { RemoveBgRequest } from './requests.ts'

/** Where the pictures come from that clients name as backgrounds. */
export type BackgroundSource = {
  safeFetch: SafeFetch
  /** Protects memory. */
  maxBytes: number
}

const FAILED = 'The background image could not be downloaded from the given URL.'

/**
 * The background that a client wants behind a cut-out. A picture is fetched here, under the rules for URLs that are not
 * trusted: a model server of the operator's own stands inside the network, and must not be told what to fetch.
 * @throws TintypeError bad-request when it cannot be had.
 */
export async function readBackground(
  wishes: NonNullable<RemoveBgRequest['options']>,
  source: BackgroundSource,
  signal: AbortSignal,
): Promise<Background | undefined> {
  const { bg_color: color = '', bg_image_url: imageUrl = '' } = wishes
  if (color !== '') return { color: /^[0-9a-f]{3,8}$/i.test(color) ? `#${color}` : color }
  if (imageUrl === '') return undefined
  const response = await source.safeFetch.open(imageUrl, {
    maxBytes: source.maxBytes,
    failureMessage: FAILED,
    signal,
  })
  if (response.status !== 200) {
    response.discard()
    throw badRequest(FAILED)
  }
  const chunks: Buffer[] = []
  for await (const chunk of response.body) chunks.push(chunk)
  return { image: Buffer.concat(chunks) }
}
