import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { Delivered } from '../delivery/delivery.ts'

/** Larger bodies are streamed; up to this size one buffer is read and sent at once. */
const MAX_BUFFERED_BYTES = 1024 * 1024

/** Headers of a request that decide how a body is sent. */
export type SendRequest = {
  method: string
  headers: {
    range?: string | undefined
    'if-none-match'?: string | undefined
    'if-modified-since'?: string | undefined
    'if-range'?: string | undefined
  }
}

/**
 * Sends what delivery gives: conditional requests (RFC 9110, 13), HEAD, and single byte ranges (14). A Range that is
 * malformed or asks for several ranges is ignored, as the RFC allows and old clients need (rclone sends `bytes=0--1`).
 */
export async function sendDelivered(
  delivered: Delivered,
  request: SendRequest,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('etag', delivered.etag)
  response.setHeader('last-modified', new Date(delivered.lastModifiedMs).toUTCString())
  for (const [name, value] of Object.entries(delivered.headers)) response.setHeader(name, value)
  if (isUnchanged(delivered, request)) {
    response.statusCode = 304
    response.end()
    return
  }
  response.setHeader('content-type', delivered.contentType)
  response.setHeader('accept-ranges', 'bytes')
  const range = rangeFor(delivered, request)
  if (range === 'unsatisfiable') {
    response.statusCode = 416
    response.setHeader('content-range', `bytes */${delivered.sizeBytes}`)
    response.setHeader('content-length', 0)
    response.end()
    return
  }
  const lengthBytes = range ? range.end - range.start + 1 : delivered.sizeBytes
  response.setHeader('content-length', lengthBytes)
  if (range) {
    response.statusCode = 206
    response.setHeader('content-range', `bytes ${range.start}-${range.end}/${delivered.sizeBytes}`)
  } else response.statusCode = 200
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  if (delivered.bytes || delivered.sizeBytes <= MAX_BUFFERED_BYTES) {
    const bytes = delivered.bytes ?? (await delivered.readAll())
    response.end(range ? bytes.subarray(range.start, range.end + 1) : bytes)
    return
  }
  const body = await delivered.open(range ?? undefined)
  if (response.destroyed) {
    body.destroy()
    return
  }
  try {
    await pipeline(body, response)
  } catch (error) {
    // The client left, or the file could not be read to its end: the connection is cut, so that nobody takes a part for the whole.
    response.destroy()
    if ((error as { code?: string }).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
  if (!response.closed && !response.writableFinished) await once(response, 'close')
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
