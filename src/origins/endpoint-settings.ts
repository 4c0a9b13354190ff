import { type Static, Type } from 'typebox'

/**
 * How a URL endpoint delivers. Each is a setting of the server and can be another one for a URL endpoint, like the
 * image settings and the security settings of the service's dashboard.
 */
export const endpointSettings = Type.Object({
  maxAgeSec: Type.Integer({
    default: 3600,
    minimum: 0,
    maximum: 31_536_000,
    description:
      'How long browsers and CDNs may keep an answer. Bounds how long a file that became private is still shown.',
  }),
  defaultQuality: Type.Integer({
    default: 80,
    minimum: 1,
    maximum: 100,
    description: 'Quality of transformed images without q.',
  }),
  defaultFormat: Type.Union([Type.Literal('auto'), Type.Literal('orig')], {
    default: 'auto',
    description:
      'What a transformation without f means: the best format that the browser accepts, or that of the source.',
  }),
  offerAvif: Type.Boolean({
    default: false,
    description: 'Whether the best format may be AVIF. It is small and slow to make.',
  }),
  keepColorProfile: Type.Boolean({
    default: false,
    description: 'Whether transformed images keep their colour profile unless cp says otherwise.',
  }),
  keepMetadata: Type.Boolean({
    default: false,
    description: 'Whether transformed images keep their metadata unless md says otherwise.',
  }),
  optimizeOriginals: Type.Boolean({
    default: false,
    description:
      'Whether images are delivered in the default format and quality also without a transformation.',
  }),
  clientHints: Type.Boolean({
    default: true,
    description: 'Whether w-auto and dpr-auto follow what the browser says of its screen.',
  }),
  saveDataQuality: Type.Integer({
    default: 0,
    minimum: 0,
    maximum: 100,
    description:
      'Quality, where q does not say, for browsers that ask to save data (Save-Data: on); 0 ignores them.',
  }),
  restrictUnsigned: Type.Boolean({
    default: false,
    description: 'Answers signed URLs only, for public files too.',
  }),
  restrictUnnamed: Type.Boolean({
    default: false,
    description: 'Allows named transformations only, so that nobody can ask for ever new sizes.',
  }),
  followOriginCacheControl: Type.Boolean({
    default: false,
    description:
      'Whether files of origins are kept as long as their Cache-Control says, here and by browsers; otherwise as long as origins.maxAgeSec and maxAgeSec say.',
  }),
})
export type EndpointSettings = Static<typeof endpointSettings>

/** The settings that one URL endpoint has of its own. */
export const ownEndpointSettings = Type.Partial(endpointSettings, { additionalProperties: false })
