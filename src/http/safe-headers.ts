/**
 * Headers of every answer that is no file: it is data for programs, so nothing in it is run, loaded, framed or told to
 * others, whatever a browser takes it for. Pages and scripts that are meant for browsers loosen what they need.
 */
const DATA: Record<string, string> = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  // Pages of other origins cannot pull it into their process; those that may read it do so by CORS.
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
}

/** The same for what stands in the place of a file, such as an error: other sites embed files. */
const IN_PLACE_OF_FILES: Record<string, string> = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'cross-origin',
}

/** What an answer to this raw target begins with. @param deliveryPrefix of delivery URLs, with both slashes. */
export function safeHeadersFor(target: string, deliveryPrefix: string): Record<string, string> {
  return target.startsWith(deliveryPrefix) ? IN_PLACE_OF_FILES : DATA
}

/** The same as text, for what is answered past the framework. */
export const SAFE_HEADER_LINES = Object.entries(DATA)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('')
