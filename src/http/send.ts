import type { Readable } from 'node:stream'
import type { Delivered } from '../delivery/delivery.ts'

/** Larger bodies are streamed; up to this size one buffer is read and sent at once. */
const MAX_BUFFERED_BYTES = 1024 * 1024

/** What of a request decides how a body is sent. */
export type SendRequest = {
  method: string
  headers: {
    range?: string | undefined
    'if-none-match'?: string | undefined
    'if-modified-since'?: string | undefined
    'if-range'?: string | undefined
  }
}

export type Answer = { status: number; headers: Record<string, string>; body: Buffer | Readable | null }

/** The head of an answer, and what of the bytes goes after it. */
export type AnswerPlan = {
  status: number
  headers: Record<string, string>
  body: 'all' | 'none' | { start: number; end: number }
}

/**
 * Decides how to answer with what delivery gives: conditional requests (RFC 9110, 13), HEAD, and single byte ranges
 * (14). A Range that is malformed or asks for several ranges is ignored, as the RFC allows and old clients need (rclone
 * sends `bytes=0--1`).
 */
export function planAnswer(delivered: Delivered, request: SendRequest): AnswerPlan {
  const headers: Record<string, string> = {
    ...delivered.headers,
    etag: delivered.etag,
    'last-modified': new Date(delivered.lastModifiedMs).toUTCString(),
  }
  if (isUnchanged(delivered, request)) return { status: 304, headers, body: 'none' }
  headers['content-type'] = delivered.contentType
  headers['accept-ranges'] = 'bytes'
  const range = rangeFor(delivered, request)
  if (range === 'unsatisfiable') {
    headers['content-range'] = `bytes */${delivered.sizeBytes}`
    headers['content-length'] = '0'
    return { status: 416, headers, body: 'none' }
  }
  const lengthBytes = range ? range.end - range.start + 1 : delivered.sizeBytes
  headers['content-length'] = String(lengthBytes)
  if (range) headers['content-range'] = `bytes ${range.start}-${range.end}/${delivered.sizeBytes}`
  return {
    status: range ? 206 : 200,
    headers,
    body: request.method === 'HEAD' ? 'none' : (range ?? 'all'),
  }
}

/** The part of the bytes that goes out. */
export function partOf(bytes: Buffer, body: AnswerPlan['body']): Buffer | null {
  if (body === 'none') return null
  return body === 'all' ? bytes : bytes.subarray(body.start, body.end + 1)
}

/**
 * Makes an answer of what delivery gives, with its body.
 * @throws TintypeError when the bytes cannot be read; nothing has been sent by then.
 */
export async function answerDelivered(delivered: Delivered, request: SendRequest): Promise<Answer> {
  const { status, headers, body } = planAnswer(delivered, request)
  if (body === 'none') return { status, headers, body: null }
  const known = delivered.fromMemory()
  if (!known && delivered.redirect) {
    const { url, expiresSec } = await delivered.redirect()
    // Whoever keeps the redirect must not use it when the URL has ended.
    const cacheControl = `private, max-age=${Math.floor(expiresSec / 2)}`
    return {
      status: 302,
      headers: { location: url, 'cache-control': cacheControl, 'content-length': '0' },
      body: null,
    }
  }
  if (known || delivered.sizeBytes <= MAX_BUFFERED_BYTES) {
    return { status, headers, body: partOf(known ?? (await delivered.readAll()), body) }
  }
  return { status, headers, body: await delivered.open(body === 'all' ? undefined : body) }
}

/** If-None-Match decides alone where it is sent; If-Modified-Since only without it. */
function isUnchanged(delivered: Delivered, { headers }: SendRequest): boolean {
  const tags = headers['if-none-match']
  if (tags !== undefined) {
    return (
      tags.trim() === '*' || tags.split(',').some((tag) => tag.trim().replace(/^W\//, '') === delivered.etag)
    )
  }
  const since = headers['if-modified-since']
  if (since === undefined) return false
  const sinceMs = Date.parse(since)
  return Number.isFinite(sinceMs) && Math.floor(delivered.lastModifiedMs / 1000) * 1000 <= sinceMs
}

function rangeFor(
  delivered: Delivered,
  { headers }: SendRequest,
): { start: number; end: number } | 'unsatisfiable' | null {
  const { range, 'if-range': ifRange } = headers
  if (range === undefined) return null
  if (ifRange !== undefined && !matchesIfRange(ifRange.trim(), delivered)) return null
  return parseRange(range, delivered.sizeBytes)
}

function matchesIfRange(value: string, delivered: Delivered): boolean {
  if (value.startsWith('"')) return value === delivered.etag
  const timeMs = Date.parse(value)
  return Number.isFinite(timeMs) && Math.floor(delivered.lastModifiedMs / 1000) * 1000 === timeMs
}

/**
 * Reads `bytes=0-99`, `bytes=100-` and `bytes=-50`.
 * @returns null for what is to be ignored.
 */
export function parseRange(
  text: string,
  sizeBytes: number,
): { start: number; end: number } | 'unsatisfiable' | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text.trim())
  if (!match) return null
  const [, first, last] = match as unknown as [string, string, string]
  if (first === '') {
    if (last === '') return null
    const suffixBytes = Number(last)
    if (suffixBytes === 0 || sizeBytes === 0) return 'unsatisfiable'
    return { start: Math.max(0, sizeBytes - suffixBytes), end: sizeBytes - 1 }
  }
  const start = Number(first)
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)
  if (start >= sizeBytes) return 'unsatisfiable'
  return end < start ? null : { start, end }
}
