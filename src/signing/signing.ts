import { type Static, Type } from 'typebox'

export {
  type AuthenticatedSignature,
  type UploadSignatureFields,
  verifyUploadSignature,
} from './upload-signature.ts'
export {
  type AuthenticatedToken,
  authenticateUploadToken,
  checkUploadClaims,
  type FindKey,
  MAX_LIFETIME_SEC,
  type SigningKey,
  type UploadClaims,
  usedTokenError,
} from './upload-token.ts'
export { signUrl, type UrlSignature, verifyUrlSignature } from './url-signature.ts'
export { signWebhook } from './webhook-signature.ts'

export const signingOptions = Type.Object({
  uploadSkewSec: Type.Integer({
    default: 30,
    minimum: 0,
    maximum: 300,
    description:
      'How far the clock of the backend that signs uploads may be off. Small, since it lengthens the life of every token.',
  }),
  urlSkewSec: Type.Integer({
    default: 60,
    minimum: 0,
    maximum: 300,
    description:
      'How long a signed URL is honoured past its expiry, for clients that sign without leeway (rclone signs for 0 s).',
  }),
  urlSigningKey: Type.Optional(
    Type.String({
      minLength: 16,
      description:
        'A key for signed URLs of their own, so that no upload signature can ever be one of a URL. Private keys then no longer sign URLs. Secret.',
    }),
  ),
  oldUrlSigningKeys: Type.Array(Type.String({ minLength: 16 }), {
    default: [],
    description:
      'Earlier keys for signed URLs that are honoured beside it, until nobody signs with them any more. Secret.',
  }),
})
export type SigningOptions = Static<typeof signingOptions>
