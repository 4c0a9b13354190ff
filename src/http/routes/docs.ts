import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { readVersion } from '../../kernel/version.ts'
import type { HttpDeps } from '../http.ts'
import { describeApi } from '../openapi/document.ts'
import { describeApiAsPage, PAGE_STYLE } from '../openapi/page.ts'

/** `GET /openapi.json` and `GET /docs`: the API for programs and for people. Neither tells anything of the account. */
export function registerDocs(app: FastifyInstance, { baseUrlFor }: Pick<HttpDeps, 'baseUrlFor'>): void {
  const version = readVersion()
  const document = describeApi(version)
  const styleHash = createHash('sha256').update(PAGE_STYLE).digest('base64')

  app.get('/openapi.json', async (request, reply) => {
    reply.header('access-control-allow-origin', '*').header('cache-control', 'no-cache')
    return { ...document, servers: [{ url: baseUrlFor(request) }] }
  })

  app.get('/docs', async (request, reply) =>
    reply
      .headers({
        'content-security-policy': `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-cache',
      })
      .type('text/html; charset=utf-8')
      .send(describeApiAsPage(version, baseUrlFor(request))),
  )
}
