import {
  type DriverDeps,
  encodePath,
  type OriginDocument,
  type OriginDriver,
  OriginFailure,
  objectName,
} from './driver.ts'
import { openHttp } from './http-answer.ts'
import { createTokens } from './tokens.ts'

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only'
/** Google's longest. */
const ASSERTION_LIFE_SEC = 3600

/** A bucket of Google Cloud Storage (XML API), read as a service account (`GCS`). */
export function createGcs(origin: OriginDocument, deps: DriverDeps): OriginDriver {
  const { gcsTokenUrl } = deps.services
  const base = `${deps.services.gcsUrl.replace(/\/+$/, '')}/${encodeURIComponent(String(origin.bucket))}`
  const tokens = createTokens(async () => {
    const nowSec = Math.floor(deps.clock.now() / 1000)
    const assertion = await signAssertion(origin, gcsTokenUrl, nowSec)
    return {
      url: gcsTokenUrl,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      // RFC 7523.
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion,
      }).toString(),
    }
  }, deps)
  return {
    handles: ({ url }) => url === null,
    open: (request) =>
      tokens.with((token) =>
        openHttp(
          {
            url: `${base}/${encodePath(objectName(origin.prefix, request.path))}`,
            headers: { authorization: `Bearer ${token}` },
            privateHeader: 'x-goog-meta-isprivatefile',
            key: `origin:${origin.id}`,
          },
          request,
          deps,
        ),
      ),
  }
}

async function signAssertion(origin: OriginDocument, audience: string, nowSec: number): Promise<string> {
  try {
    const { importPKCS8, SignJWT } = await import('jose')
    const key = await importPKCS8(String(origin.privateKey).replaceAll('\\n', '\n'), 'RS256')
    return await new SignJWT({ scope: SCOPE })
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT' })
      .setIssuer(String(origin.clientEmail))
      .setAudience(audience)
      .setIssuedAt(nowSec)
      .setExpirationTime(nowSec + ASSERTION_LIFE_SEC)
      .sign(key)
  } catch {
    // Without the cause: it may quote the key.
    throw new OriginFailure('EACCES', 'The private key of the origin cannot be used.')
  }
}
