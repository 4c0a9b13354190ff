import { badRequest, notFound, TintypeError } from '../kernel/errors.ts'
import { type Rewriter, rewrite } from './rewriters/rewriters.ts'

/** What a delivery URL asks for, before anything is looked up. */
export type Address = {
  /** Path of the asset: `/a/b.jpg`, in NFC. Empty where a URL is asked for. */
  path: string
  /** Absolute URL of the asset at a web proxy; null for paths. */
  url: string | null
  /** The transformation as written, from the path and the query; null if there is none. */
  transformation: string | null
  /** `ik-obj-version`: the access key of a version. */
  versionKey: string | null
  attachment: boolean
  /** Name for the download, without its extension. */
  attachmentName: string | null
  /** Special endings of the path, such as `ik-thumbnail.jpg`, as written; null without any. */
  suffix: string | null
  /** `ik-sanitizeSvg`: whether an SVG is to be delivered without anything that is no drawing. */
  sanitizesSvg: boolean
}

/** Endings of a path that ask for something other than the asset itself (contract notes 1.11). */
const SUFFIXES = new Set([
  'ik-thumbnail.jpg',
  'ik-video.mp4',
  'ik-gif-video.mp4',
  'ik-master.m3u8',
  'ik-master.mpd',
  'ik-seek-thumbnail-track.vtt',
  'ik-gensubtitle.vtt',
  'ik-gensubtitle.transcript',
  'ik-genchapter.vtt',
])

const MAX_TARGET_LENGTH = 24_576

/**
 * Reads a raw request target. The path is decoded exactly once, and only after it has been taken apart, so that
 * no spelling can mean something else to a later reader (trust P08).
 * @param target as `node:http` gives it: `/demo/tr:w-200/a.jpg?x=1`.
 * @param endpointPath path of the URL endpoint, e.g. `/demo`.
 * @param rewriter another service whose URLs the endpoint understands as well.
 * @throws TintypeError not-found outside of the endpoint, bad-request for what cannot be decoded.
 */
export function parseAddress(
  target: string,
  endpointPath: string,
  rewriter: Rewriter | null = null,
): Address {
  if (target.length > MAX_TARGET_LENGTH) throw badRequest('The URL is too long.')
  const queryStart = target.indexOf('?')
  const rawPath = queryStart < 0 ? target : target.slice(0, queryStart)
  const queryText = queryStart < 0 ? '' : target.slice(queryStart + 1)
  const query = parseQuery(queryText)
  if (!rawPath.startsWith(`${endpointPath}/`)) throw notFound('Not Found')
  const taken = takeTransformation(rawPath.slice(endpointPath.length))
  const rewritten = rewriter
    ? rewrite(rewriter, { path: taken.rest, query: queryText })
    : { path: taken.rest, transformation: null }
  const fromQuery = query.get('tr')
  const asset = parseUrlAsset(rewritten.path, queryText) ?? parsePathAsset(rewritten.path)
  return {
    ...asset,
    transformation: joinTransformations(taken.text, rewritten.transformation, fromQuery),
    versionKey: decodeValue(query.get('ik-obj-version')),
    attachment: decodeValue(query.get('ik-attachment')) === 'true' || query.has('ik-attachment-filename'),
    attachmentName: decodeValue(query.get('ik-attachment-filename')),
    sanitizesSvg: decodeValue(query.get('ik-sanitizeSvg')) === 'true',
  }
}

type Asset = Pick<Address, 'path' | 'url' | 'suffix'>

function parsePathAsset(rest: string): Asset {
  const segments = decodePath(rest)
  const suffix = takeSuffix(segments)
  if (segments.length === 0) throw notFound('Not Found')
  if (/^ik-genimg-prompte?-/.test(segments[0]!)) {
    throw new TintypeError(
      'not-implemented',
      'Images from prompts (ik-genimg) cannot be made by this server.',
    )
  }
  return { path: `/${applySeo(segments).join('/')}`, url: null, suffix }
}

/**
 * The absolute URL that follows the endpoint, as it is or percent-encoded as a whole. SDKs and proxies make one slash
 * of two (contract notes 3.9). What of the query is not ours belongs to a URL that is not encoded.
 */
function parseUrlAsset(rest: string, query: string): Asset | undefined {
  const match = /^\/+(https?)(:|%3a)(?:\/|%2f){1,2}(?!\/|%2f)(.+)$/i.exec(rest)
  if (!match) return undefined
  const [, scheme, colon, tail] = match as unknown as [string, string, string, string]
  const isEncoded = colon !== ':'
  const text = isEncoded ? (decodeValue(tail) ?? tail) : tail
  const parts = text.split('/')
  const suffix = takeSuffix(parts)
  const path = parts.join('/')
  const foreign = isEncoded ? [] : query.split('&').filter((pair) => pair !== '' && !OWN_PARAMETER.test(pair))
  return {
    path: '',
    url: `${scheme.toLowerCase()}://${path}${foreign.length === 0 ? '' : `?${foreign.join('&')}`}`,
    suffix,
  }
}

/** Query parameters that mean something here, however they are spelt. */
const OWN_PARAMETER = /^(?:tr|ik-|updatedAt|%)/i

/** The first occurrence of each parameter, raw but with `+` as the encoded space that it means in a query. */
function parseQuery(text: string): Map<string, string> {
  const values = new Map<string, string>()
  if (text === '') return values
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=')
    const name = decodeValue(equals < 0 ? pair : pair.slice(0, equals))!
    if (!values.has(name)) values.set(name, equals < 0 ? '' : pair.slice(equals + 1).replaceAll('+', '%20'))
  }
  return values
}

function decodeValue(text: string | undefined): string | null {
  if (text === undefined) return null
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * The transformation is the segment right after the endpoint, or after `ik-seo`, which SDKs are told to add to their
 * endpoint. Names in the library hold no colon, so nothing is hidden by it.
 */
function takeTransformation(path: string): { text: string | null; rest: string } {
  const match = /^(\/+ik-seo)?\/+tr(?::|%3a)/i.exec(path)
  if (!match) return { text: null, rest: path }
  const end = path.indexOf('/', match[0].length)
  const segment = path.slice(match[0].length, end < 0 ? path.length : end)
  return { text: segment, rest: end < 0 ? '' : (match[1] ?? '') + path.slice(end) }
}

/** All forms together are one chain: first what the path says, then the query. */
function joinTransformations(...texts: (string | null | undefined)[]): string | null {
  const parts = texts.filter((part) => part !== null && part !== undefined && part !== '')
  return parts.length === 0 ? null : parts.join(':')
}

function decodePath(raw: string): string[] {
  let decoded: string
  try {
    decoded = decodeURIComponent(raw)
  } catch (cause) {
    throw badRequest('The path of the URL is not valid percent-encoded UTF-8.', { cause })
  }
  if (/[\u0000-\u001f\u007f]/.test(decoded)) throw badRequest('The path of the URL has control characters.')
  const segments = decoded
    .normalize('NFC')
    .split('/')
    .filter((segment) => segment !== '')
  if (segments.some((segment) => segment === '.' || segment === '..')) throw notFound('Not Found')
  return segments
}

function takeSuffix(segments: string[]): string | null {
  const taken: string[] = []
  while (segments.length > 1 && SUFFIXES.has(segments.at(-1)!)) taken.unshift(segments.pop()!)
  return taken.length === 0 ? null : taken.join('/')
}

/** `ik-seo/<path without extension>/<any name>.<extension>` is `<path>.<extension>` (manual, dynamic SEO suffix). */
function applySeo(segments: string[]): string[] {
  if (segments[0] !== 'ik-seo' || segments.length < 3) return segments
  const name = segments.at(-1)!
  const dot = name.lastIndexOf('.')
  if (dot <= 0) return segments
  const path = segments.slice(1, -1)
  return [...path.slice(0, -1), path.at(-1)! + name.slice(dot)]
}
