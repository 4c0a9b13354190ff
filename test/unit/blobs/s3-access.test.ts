import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type BlobOptions, blobOptions, openBlobs } from '../../../src/blobs/blobs.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { type Service, startService } from '../../support/providers/service.ts'

let dataDir: string
let store: Service
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tintype-s3-'))
  store = await startService(() => ({ status: 200 }))
  // What this machine has must not be found instead.
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE']) {
    vi.stubEnv(name, undefined)
  }
  vi.stubEnv('AWS_CONFIG_FILE', join(dataDir, 'none'))
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(dataDir, 'none'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await store.close()
  await rm(dataDir, { recursive: true })
})

async function open(changes: Partial<BlobOptions['s3']>) {
  const defaults = Value.Create(blobOptions)
  const s3 = { ...defaults.s3, endpoint: store.url, bucket: 'media', ...changes }
  return openBlobs({ ...defaults, driver: 's3', s3, dataDir }, { log: silentLog })
}
const credentialOf = ({ requests }: Service) =>
  /Credential=([^/]+)\//.exec(requests[0]!.headers.authorization!)?.[1]

test('the keys of the settings count', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'OFENVIRONMENT')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'x')
  const blobs = await open({ accessKey: 'OFSETTINGS', secretKey: 'y' })
  expect(credentialOf(store)).toBe('OFSETTINGS')
  await blobs.close()
})

test('without keys in the settings those of the environment do', async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'OFENVIRONMENT')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'x')
  vi.stubEnv('AWS_SESSION_TOKEN', 'session')
  const blobs = await open({})
  expect(credentialOf(store)).toBe('OFENVIRONMENT')
  expect(store.requests[0]!.headers['x-amz-security-token']).toBe('session')
  await blobs.close()
})

test('and without those the role of the pod or the machine does', async () => {
  const role = await startService(() => ({
    body: {
      AccessKeyId: 'OFROLE',
      SecretAccessKey: 'x',
      Token: 'of the role',
      Expiration: new Date(Date.now() + 3_600_000).toISOString(),
    },
  }))
  vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${role.url}/role`)
  const blobs = await open({})
  expect(credentialOf(store)).toBe('OFROLE')
  expect(store.requests[0]!.headers['x-amz-security-token']).toBe('of the role')
  await blobs.close()
  await role.close()
})

test.each([
  [true, 'https://store.example', '/media/blobs/'],
  [false, 'https://media.store.example', '/blobs/'],
])('the bucket is in the path or in the host name (path style: %s)', async (forcePathStyle, base, start) => {
  const blobs = await open({
    accessKey: 'A',
    secretKey: 'S',
    publicEndpoint: 'https://store.example',
    forcePathStyle,
  })
  const sha256 = 'a'.repeat(64)
  const url = new URL(
    await blobs.presign!(sha256, { expiresSec: 60, contentType: 'image/png', disposition: undefined }),
  )
  expect([url.origin, url.pathname]).toEqual([base, `${start}${sha256}`])
  await blobs.close()
})
