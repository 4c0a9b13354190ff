import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { readVersion } from '../../kernel/version.ts'
import type { HttpDeps } from '../http.ts'

/** `GET /openapi.json` and `GET /docs`: the API for programs and for people. Neither tells anything of the account. */
export function registerDocs(app: FastifyInstance, { baseUrlFor }: Pick<HttpDeps, 'baseUrlFor'>): void {
  const version = readVersion()

  // The descriptions are loaded when somebody reads them: they are large, and few servers are ever asked.
  app.get('/openapi.json', async (request, reply) => {
    const { describeApi } = await import('../openapi/document.ts')
    reply
      .header('access-control-allow-origin', '*')
      .header('cross-origin-resource-policy', 'cross-origin')
      .header('cache-control', 'no-cache')
    return { ...describeApi(version), servers: [{ url: baseUrlFor(request) }] }
  })

  app.get('/docs', async (request, reply) => {
    const { describeApiAsPage, PAGE_STYLE } = await import('../openapi/page.ts')
    const styleHash = createHash('sha256').update(PAGE_STYLE).digest('base64')
    return reply
      .headers({
        'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
        'cache-control': 'no-cache',
      })
      .type('text/html; charset=utf-8')
      .send(describeApiAsPage(version, baseUrlFor(request)))
  })
}
