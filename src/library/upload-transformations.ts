import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Inspection } from '../media/media.ts'
import { type Chain, parseTransformation } from '../transform/transform.ts'
import type { PostTransformation } from './events.ts'

/** What an upload's `transformation` asks for, parsed. */
export type UploadTransformations = {
  pre: { text: string; chain: Chain } | undefined
  post: PostTransformation[]
}

/** Each is a render of its own; a request must not make a job of an hour. */
const MAX_POST = 20
const INVALID = 'The file could not be uploaded because the transformation field is invalid.'
const NOT_TRANSFORMABLE =
  'The file could not be uploaded because transformations are supported only for image and video files.'
const INCOMPATIBLE =
  'The file could not be uploaded because the detected file type & post-transformation are incompatible.'

/**
 * Reads `transformation`: `{ pre, post }`. `post` may itself be JSON text, as the manual asks for it.
 * @returns undefined where nothing is asked for.
 * @throws TintypeError bad-request with the contract's message and an `errors` object that names what is wrong.
 */
export function parseUploadTransformations(value: unknown): UploadTransformations | undefined {
  if (value === undefined) return undefined
  if (!isObject(value)) throw invalid('transformation', 'should be an object')
  for (const name of Object.keys(value)) {
    if (name !== 'pre' && name !== 'post') throw invalid(name, 'is not known')
  }
  const { pre } = value
  if (pre !== undefined && pre !== null && typeof pre !== 'string') throw invalid('pre', 'should be a string')
  const items = readPost(value.post)
  const text = typeof pre === 'string' ? pre.trim().replace(/^tr:/, '') : ''
  if (text === '' && items.length === 0) return undefined
  return {
    pre: text === '' ? undefined : { text, chain: parseChain(text, 'pre') },
    post: items.map(readItem),
  }
}

/**
 * Whether the file's type can be transformed as asked.
 * @throws TintypeError bad-request with the contract's messages; not-implemented for what needs video encoding.
 */
export function checkTransformable(
  { pre, post }: UploadTransformations,
  { kind, format, fileType }: Pick<Inspection, 'kind' | 'format' | 'fileType'>,
): void {
  const isVideo = kind === 'video'
  if (fileType !== 'image' && !isVideo) throw badRequest(NOT_TRANSFORMABLE)
  for (const { type } of post) {
    const fits = {
      transformation: true,
      'gif-to-video': format === 'gif',
      thumbnail: isVideo,
      abs: isVideo,
    }
    if (!fits[type]) throw badRequest(INCOMPATIBLE)
  }
  if ((isVideo && (pre || post.length > 0)) || post.some(({ type }) => type === 'gif-to-video')) {
    throw new TintypeError('not-implemented', 'This server cannot transform or make videos yet.', {
      headers: { 'x-should-retry': 'false' },
    })
  }
}

function readPost(post: unknown): unknown[] {
  if (post === undefined || post === null || post === '') return []
  let items = post
  if (typeof post === 'string') {
    try {
      items = JSON.parse(post)
    } catch {
      throw invalid('post', 'should be an array')
    }
  }
  if (!Array.isArray(items)) throw invalid('post', 'should be an array')
  if (items.length > MAX_POST) throw invalid('post', `should have at most ${MAX_POST} items`)
  return items
}

function readItem(item: unknown, at: number): PostTransformation {
  const place = `post[${at}]`
  if (!isObject(item)) throw invalid(place, 'should be an object')
  const { type, value, protocol, ...others } = item
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw invalid(`${place}.${unknown}`, 'is not known')
  if (type !== 'transformation' && type !== 'gif-to-video' && type !== 'thumbnail' && type !== 'abs') {
    throw invalid(`${place}.type`, 'should be one of transformation, gif-to-video, thumbnail, abs')
  }
  const needsValue = type === 'transformation' || type === 'abs'
  if (value === undefined ? needsValue : typeof value !== 'string' || (needsValue && value.trim() === '')) {
    throw invalid(`${place}.value`, needsValue ? 'is required and should be a string' : 'should be a string')
  }
  if (type === 'abs' ? protocol !== 'hls' && protocol !== 'dash' : protocol !== undefined) {
    throw invalid(`${place}.protocol`, type === 'abs' ? 'should be hls or dash' : 'is only for abs')
  }
  if (typeof value === 'string' && type === 'transformation') parseChain(value, `${place}.value`)
  return {
    type,
    ...(value === undefined ? {} : { value: value as string }),
    ...(protocol === undefined ? {} : { protocol: protocol as 'hls' | 'dash' }),
  }
}

function parseChain(text: string, place: string): Chain {
  try {
    return parseTransformation(text, { form: 'url' })
  } catch (error) {
    if (!(error instanceof TintypeError)) throw error
    throw invalid(place, error.message)
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(place: string, problem: string): TintypeError {
  return badRequest(INVALID, { extra: { errors: { [place]: problem } } })
}
