import { badRequest } from '../kernel/errors.ts'

/** The body of a request as an object; no body counts as an empty one. @throws TintypeError bad-request. */
export function objectOf(body: unknown): Record<string, unknown> {
  if (body === undefined || body === null) return {}
  if (typeof body !== 'object' || Array.isArray(body)) {
    throw badRequest('The body of the request should be a JSON object.')
  }
  return body as Record<string, unknown>
}

/** Whether a parameter is there and says something: older SDKs send what is not set as null. */
export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}
