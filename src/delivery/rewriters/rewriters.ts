import { rewriteAkamai } from './akamai.ts'
import { rewriteCloudinary } from './cloudinary.ts'
import { rewriteImgix } from './imgix.ts'

/** The service whose URLs an endpoint understands, beside its own (manual, URL-rewriters). */
export type Rewriter = { type: 'CLOUDINARY' | 'IMGIX' | 'AKAMAI'; preserveAssetDeliveryTypes?: boolean }

/** A raw path below the endpoint and the raw query. */
export type RawUrl = { path: string; query: string }

export type Rewritten = {
  /** The path without what was translated. */
  path: string
  /** Null where there was nothing to translate. */
  transformation: string | null
}

/**
 * Translates a URL that was written for another service. What has a known key and a value that makes no sense is left
 * out, as the manual says.
 */
export function rewrite(rewriter: Rewriter, url: RawUrl): Rewritten {
  switch (rewriter.type) {
    case 'CLOUDINARY':
      return rewriteCloudinary(url, rewriter.preserveAssetDeliveryTypes === true)
    case 'IMGIX':
      return rewriteImgix(url)
    case 'AKAMAI':
      return rewriteAkamai(url)
  }
}
