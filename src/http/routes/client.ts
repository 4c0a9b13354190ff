import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

/** Pages may keep a script this long; afterwards the ETag makes asking again cheap. */
const MAX_AGE_SEC = 3600

/**
 * Serves the browser client, so that a page can use it with one tag: `/client/imagekit.js` is a classic script with
 * the global `ImageKit`, `/client/imagekit.mjs` a module, and `/client/xhr.mjs` the shim for `@imagekit/javascript`.
 * The scripts hold nothing private, so every origin may load them.
 */
export function registerClient(app: FastifyInstance): void {
  const source = read('browser/imagekit.js')
  serve(app, '/client/imagekit.js', toClassicScript(source))
  serve(app, '/client/imagekit.mjs', source)
  serve(app, '/client/xhr.mjs', read('shims/xhr.js'))
}

/** Makes the module a classic script. The module imports nothing and exports only classes, by declaration. */
function toClassicScript(source: string): string {
  const body = source.replace(/^export default .*$/gm, '').replace(/^export (?=class )/gm, '')
  const errors = [...source.matchAll(/^export class (\w+Error)\b/gm)].map((match) => match[1])
  return `;(() => {\n'use strict'\n${body}\nglobalThis.ImageKit = Object.assign(ImageKit, { ${errors.join(', ')} })\n})()\n`
}

function read(path: string): string {
  return readFileSync(new URL(`../../../client/${path}`, import.meta.url), 'utf8')
}

function serve(app: FastifyInstance, url: string, text: string): void {
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`
  app.get(url, async (request, reply) => {
    reply
      .header('etag', etag)
      .header('cache-control', `public, max-age=${MAX_AGE_SEC}`)
      .header('access-control-allow-origin', '*')
      .header('cross-origin-resource-policy', 'cross-origin')
    const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
    if (known?.includes(etag) || known?.includes('*')) return reply.code(304).send()
    return reply.type('text/javascript; charset=utf-8').send(text)
  })
}
