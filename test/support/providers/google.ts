import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { jwtVerify } from 'jose'
import { type Service, startService } from './service.ts'

export const API_KEY = 'AIza-test-key'

type Label = { mid: string; description: string; score: number; topicality: number }

const failure = (code: number, status: string, message: string) => ({
  status: code,
  body: { error: { code, message, status } },
})

/** Cloud Vision's `images:annotate`, as its REST reference has it, for one feature: LABEL_DETECTION. */
export function startVision(options: { labels?: Label[]; token?: () => string } = {}): Promise<Service> {
  const labels = options.labels ?? LABELS
  return startService(({ method, path, headers, body }) => {
    if (method !== 'POST' || path !== '/v1/images:annotate') return failure(404, 'NOT_FOUND', 'Not found.')
    if (options.token) {
      if (headers.authorization !== `Bearer ${options.token()}`) {
        return failure(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.')
      }
    } else if (headers['x-goog-api-key'] !== API_KEY) {
      return failure(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.')
    }
    const { requests } = JSON.parse(body.toString('utf8'))
    const [{ image, features }] = requests
    if (features[0].type !== 'LABEL_DETECTION') return failure(400, 'INVALID_ARGUMENT', 'Unknown feature.')
    if (Buffer.from(image.content, 'base64').length === 0) {
      return { body: { responses: [{ error: { code: 3, message: 'Bad image data.' } }] } }
    }
    return { body: { responses: [{ labelAnnotations: labels.slice(0, features[0].maxResults) }] } }
  })
}

const LABELS: Label[] = [
  { mid: '/m/0138tl', description: 'Toy', score: 0.9173, topicality: 0.9173 },
  { mid: '/m/0kmg4', description: 'Teddy bear', score: 0.8352, topicality: 0.8352 },
  { mid: '/m/06fvc', description: 'Red', score: 0.8177, topicality: 0.8177 },
  { mid: '/m/0fd4x', description: 'Stuffed toy', score: 0.7625, topicality: 0.7625 },
]

/** Google's token endpoint for service accounts (RFC 7523), and a key file that it knows. */
export async function startTokens(): Promise<Service & { keyFile: string; latest: () => string }> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  let issued = 0
  const service: Service = await startService(async ({ method, path, headers, body }) => {
    const form = new URLSearchParams(body.toString('utf8'))
    const isGrant =
      method === 'POST' &&
      path === '/token' &&
      headers['content-type'] === 'application/x-www-form-urlencoded' &&
      form.get('grant_type') === 'urn:ietf:params:oauth:grant-type:jwt-bearer'
    if (!isGrant || !(await isAssertion(form.get('assertion'), publicKey, `${service.url}/token`))) {
      return { status: 400, body: { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' } }
    }
    issued += 1
    return { body: { access_token: `ya29.${issued}`, expires_in: 3599, token_type: 'Bearer' } }
  })
  const keyFile = JSON.stringify({
    type: 'service_account',
    project_id: 'test',
    private_key_id: 'key-1',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    client_email: 'tagger@test.iam.example',
    token_uri: `${service.url}/token`,
  })
  return { ...service, keyFile, latest: () => `ya29.${issued}` }
}

async function isAssertion(assertion: string | null, key: KeyObject, audience: string): Promise<boolean> {
  try {
    const { payload, protectedHeader } = await jwtVerify(
      assertion ?? '',
      createPublicKey(key.export({ type: 'spki', format: 'pem' })),
      {
        algorithms: ['RS256'],
        issuer: 'tagger@test.iam.example',
        audience,
      },
    )
    return (
      protectedHeader.kid === 'key-1' &&
      payload.scope === 'https://www.googleapis.com/auth/cloud-vision' &&
      payload.exp! - payload.iat! === 3600
    )
  } catch {
    return false
  }
}
