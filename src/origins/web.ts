import { type DriverDeps, encodePath, type OriginDocument, type OriginDriver } from './driver.ts'
import { openHttp } from './http-answer.ts'

const PRIVATE_HEADER = 'is-private-file'

/** A web server whose files lie below one URL (`WEB_FOLDER`). */
export function createWebFolder(origin: OriginDocument, deps: DriverDeps): OriginDriver {
  const base = String(origin.baseUrl).replace(/\/+$/, '')
  return {
    handles: ({ url }) => url === null,
    open(request) {
      const hostHeader = origin.forwardHostHeaderToOrigin === true ? request.host : null
      return openHttp(
        {
          url: `${base}/${encodePath(request.path)}`,
          ...(hostHeader ? { hostHeader } : {}),
          privateHeader: PRIVATE_HEADER,
          key: `origin:${origin.id}`,
        },
        request,
        deps,
      )
    },
  }
}

/** Any public URL (`WEB_PROXY`). */
export function createWebProxy(origin: OriginDocument, deps: DriverDeps): OriginDriver {
  return {
    handles: ({ url }) => url !== null,
    open: (request) =>
      openHttp(
        { url: request.url!, privateHeader: PRIVATE_HEADER, key: `origin:${origin.id}` },
        request,
        deps,
      ),
  }
}
