import { type DriverDeps, encodePath, type OriginDocument, type OriginDriver } from './driver.ts'
import { openHttp } from './http-answer.ts'
import { createTokens } from './tokens.ts'

/** The kinds of media files in a PIM, and how a file's bytes are asked for (manual, Akeneo PIM). */
const MEDIA: { prefix: string; ending: string }[] = [
  { prefix: 'media-files/', ending: '/download' },
  { prefix: 'asset-media-files/', ending: '' },
  { prefix: 'reference-entities-media-files/', ending: '' },
]

/** Media files of an Akeneo PIM (`AKENEO_PIM`). */
export function createAkeneo(origin: OriginDocument, deps: DriverDeps): OriginDriver {
  const base = String(origin.baseUrl).replace(/\/+$/, '')
  const tokens = createTokens(
    async () => ({
      url: `${base}/api/oauth/v1/token`,
      headers: {
        'content-type': 'application/json',
        authorization: `Basic ${Buffer.from(`${origin.clientId}:${origin.clientSecret}`).toString('base64')}`,
      },
      body: JSON.stringify({
        grant_type: 'password',
        username: origin.username,
        password: origin.password,
      }),
    }),
    deps,
  )
  const mediaOf = (path: string) => MEDIA.find(({ prefix }) => path.startsWith(prefix))
  return {
    handles: ({ path, url }) => url === null && mediaOf(path) !== undefined,
    open: (request) =>
      tokens.with((token) =>
        openHttp(
          {
            url: `${base}/api/rest/v1/${encodePath(request.path)}${mediaOf(request.path)!.ending}`,
            headers: { authorization: `Bearer ${token}` },
            privateHeader: 'is-private-file',
            key: `origin:${origin.id}`,
          },
          request,
          deps,
        ),
      ),
  }
}
