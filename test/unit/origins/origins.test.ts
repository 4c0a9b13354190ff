import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { importSPKI, jwtVerify } from 'jose'
import { Default } from 'typebox/value'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TintypeError } from '../../../src/kernel/errors.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { createSafeFetch } from '../../../src/kernel/safe-fetch.ts'
import type { MediaOptions } from '../../../src/media/media.ts'
import {
  type FindRequest,
  type OriginDocument,
  type OriginOptions,
  type Origins,
  openOrigins,
  originOptions,
} from '../../../src/origins/origins.ts'
import { type Received, type Reply, type Service, startService } from '../../support/providers/service.ts'

const media: MediaOptions = { probeTimeoutMs: 5000, ffprobe: 'ffprobe' }

let service: Service
let answer: (request: Received) => Reply
let dir: string
let nowMs = Date.parse('2026-06-01T00:00:00Z')
let origins: Origins

beforeAll(async () => {
  service = await startService((request) => answer(request))
})
afterAll(() => service.close())
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tintype-origins-'))
  service.requests.length = 0
  service.fail()
  origins = await open()
})
afterEach(() => rm(dir, { recursive: true, force: true }))

function open(options: Partial<OriginOptions> = {}, allowPrivateNetwork = true): Promise<Origins> {
  return openOrigins(
    {
      ...(Default(originOptions, {}) as OriginOptions),
      gcsUrl: `${service.url}/gcs`,
      gcsTokenUrl: `${service.url}/token`,
      azureUrl: `${service.url}/azure-{account}`,
      cacheDir: dir,
      media,
      ...options,
    },
    {
      safeFetch: createSafeFetch({ allowPrivateNetwork, failureFloorMs: 0 }),
      clock: { now: () => nowMs },
      log: silentLog,
    },
  )
}

const webFolder = (more: Record<string, unknown> = {}): OriginDocument => ({
  id: 'web',
  type: 'WEB_FOLDER',
  name: 'Web',
  baseUrl: `${service.url}/files/`,
  ...more,
})
const find = (path: string, origin: OriginDocument | OriginDocument[], more: Partial<FindRequest> = {}) =>
  origins.find({
    path,
    url: null,
    host: null,
    origins: [origin].flat(),
    followCacheControl: false,
    ...more,
  })
const textOf = async (
  path: string,
  origin: OriginDocument | OriginDocument[],
  more: Partial<FindRequest> = {},
) => {
  const file = await find(path, origin, more)
  return file && (await file.readAll()).toString()
}
const failureOf = async (path: string, origin: OriginDocument | OriginDocument[]) => {
  const error = await find(path, origin).then(
    () => undefined,
    (thrown: TintypeError) => thrown,
  )
  return error && `${error.kind} ${error.headers?.['ik-error']}`
}

describe('web servers', () => {
  test('give files by their path below the base URL', async () => {
    answer = ({ path }) => ({ body: `file ${path}`, headers: { 'content-type': 'text/html' } })
    const file = await find('a b/ü?.txt', webFolder())
    expect(await text(await file!.open())).toBe('file /files/a%20b/%C3%BC%3F.txt')
    expect(await text(await file!.open({ start: 5, end: 10 }))).toBe('/files')
    expect(file).toMatchObject({ name: 'ü?.txt', mime: 'text/plain', isPrivate: false, canonicalUrl: null })
    expect(service.requests[0]!.headers).toMatchObject({ 'x-req-from': 'imagekit', accept: '*/*' })
    expect(await file!.withLocalFile((path) => readFile(path, 'utf8'))).toMatch(/^file/)
  })
  test('mark private files, get the client’s host, and are named as canonical, where it is set', async () => {
    answer = ({ headers }) => ({ body: headers.host!, headers: { 'Is-Private-File': 'true' } })
    const origin = webFolder({
      forwardHostHeaderToOrigin: true,
      includeCanonicalHeader: true,
      baseUrlForCanonicalHeader: 'https://www.example.com/',
    })
    const file = await find('x/a b.txt', origin, { host: 'static.example.com' })
    expect(file).toMatchObject({ isPrivate: true, canonicalUrl: 'https://www.example.com/x/a%20b.txt' })
    expect((await file!.readAll()).toString()).toBe('static.example.com')
    expect(await textOf('x/a b.txt', origin, { host: 'other.example.com' })).toBe('other.example.com')
    expect(await textOf('x/a b.txt', webFolder(), { host: 'static.example.com' })).toBe(
      new URL(service.url).host,
    )
  })
})

describe('a copy', () => {
  test('is used until it is old, then checked, and replaced when it has changed', async () => {
    let version = 1
    answer = ({ headers }) =>
      headers['if-none-match'] === `"${version}"`
        ? { status: 304 }
        : { body: `version ${version}`, headers: { etag: `"${version}"` } }
    const first = await find('a.txt', webFolder())
    expect(await textOf('a.txt', webFolder())).toBe('version 1')
    expect(service.requests).toHaveLength(1)
    nowMs += 86_400_000
    expect(await textOf('a.txt', webFolder())).toBe('version 1')
    expect(service.requests).toHaveLength(2)
    expect(await textOf('a.txt', webFolder())).toBe('version 1')
    expect(service.requests).toHaveLength(2)
    version = 2
    nowMs += 86_400_000
    const second = await find('a.txt', webFolder())
    expect((await second!.readAll()).toString()).toBe('version 2')
    expect(second!.sha256).not.toBe(first!.sha256)
    expect(second!.modifiedAtMs).toBe(nowMs)
  })
  test('follows Cache-Control where that is wanted', async () => {
    let count = 0
    answer = () => ({ body: `${++count}`, headers: { 'cache-control': 'public, max-age=60' } })
    const follow = { followCacheControl: true }
    expect(await textOf('a.txt', webFolder(), follow)).toBe('1')
    nowMs += 59_000
    expect(await textOf('a.txt', webFolder(), follow)).toBe('1')
    nowMs += 1000
    expect(await textOf('a.txt', webFolder())).toBe('1')
    expect(await textOf('a.txt', webFolder(), follow)).toBe('2')
    expect((await find('a.txt', webFolder(), follow))!.originMaxAgeSec).toBe(60)
  })
  test.each([
    ['no-store', 0],
    ['max-age=5, s-maxage="7"', 7],
    ['public', null],
    ['max-age=-1', null],
  ])('of an answer with Cache-Control: %s', async (value, expected) => {
    answer = () => ({ body: 'x', headers: { 'cache-control': value } })
    expect((await find('a.txt', webFolder()))!.originMaxAgeSec).toBe(expected)
  })
  test('is used on while its origin is down, and goes when the origin has lost the file', async () => {
    answer = () => ({ body: 'kept' })
    await find('a.txt', webFolder())
    nowMs += 86_400_000
    service.fail({ status: 500 })
    expect(await textOf('a.txt', webFolder())).toBe('kept')
    expect(await textOf('a.txt', webFolder())).toBe('kept')
    expect(service.requests).toHaveLength(2)
    nowMs += 30_000
    service.fail({ status: 404 })
    expect(await find('a.txt', webFolder())).toBeUndefined()
    service.fail()
    nowMs += 10_000
    expect(await textOf('a.txt', webFolder())).toBe('kept')
  })
  test('is fetched once, however many ask at the same time', async () => {
    answer = () => (response) => void setTimeout(() => response.end('once'), 50)
    const all = await Promise.all(Array.from({ length: 20 }, () => textOf('a.txt', webFolder())))
    expect(new Set(all)).toEqual(new Set(['once']))
    expect(service.requests).toHaveLength(1)
  })
  test('outlives a restart, unless it was damaged', async () => {
    answer = ({ path }) => ({ body: `of ${path}` })
    const file = await find('a.txt', webFolder())
    await find('b.txt', webFolder())
    const damaged = await file!.withLocalFile(async (path) => path)
    origins = await open()
    expect(await textOf('a.txt', webFolder())).toBe('of /files/a.txt')
    expect(service.requests).toHaveLength(2)
    await writeFile(damaged, 'xx /files/a.txt')
    origins = await open()
    expect(await textOf('a.txt', webFolder())).toBe('of /files/a.txt')
    expect(await textOf('b.txt', webFolder())).toBe('of /files/b.txt')
    expect(service.requests).toHaveLength(3)
  })
  test('makes room for others, but not while it is in use', async () => {
    origins = await open({ cacheMiB: 1 })
    answer = ({ path }) => ({ body: path.padEnd(400_000, '.') })
    const first = await find('1.txt', webFolder())
    await first!.withLocalFile(async (path) => {
      for (const name of ['2.txt', '3.txt', '4.txt']) await find(name, webFolder())
      expect(await readFile(path, 'utf8')).toMatch(/^\/files\/1\.txt/)
    })
    await expect.poll(async () => (await filesIn(dir)).length).toBe(2)
    const error = await first!.readAll().catch((thrown: TintypeError) => thrown)
    expect(error).toMatchObject({ kind: 'unavailable', headers: { 'retry-after': '1' } })
  })
  test('is another one when the settings of the origin are others', async () => {
    answer = ({ path }) => ({ body: path })
    expect(await textOf('a.txt', webFolder())).toBe('/files/a.txt')
    expect(await textOf('a.txt', webFolder({ baseUrl: `${service.url}/other` }))).toBe('/other/a.txt')
    expect(await textOf('a.txt', webFolder({ name: 'Renamed' }))).toBe('/files/a.txt')
    expect(service.requests).toHaveLength(2)
  })
  test('goes when it is purged', async () => {
    answer = ({ path }) => ({ body: path })
    for (const path of ['x/a.txt', 'x/b.txt', 'y/a.txt']) await find(path, webFolder())
    const purge = (place: string, isPrefix: boolean) =>
      origins.purge({ place, isPrefix, origins: [webFolder()] })
    expect(await purge('x/a.txt', false)).toHaveLength(1)
    expect(await purge('x/', true)).toHaveLength(1)
    await find('x/a.txt', webFolder())
    await find('y/a.txt', webFolder())
    expect(service.requests).toHaveLength(4)
  })
})

async function filesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => /[0-9a-f]{64}\.[0-9a-f]{32}$/.test(name))
}

describe('failures', () => {
  test.each([
    [404, undefined],
    [410, undefined],
    [401, 'not-found EACCES - The origin refused access to the file.'],
    [403, 'not-found EACCES - The origin refused access to the file.'],
    [500, 'not-found UNIDENTIFIED - The origin answered with the status 500.'],
    [206, 'not-found UNIDENTIFIED - The origin answered with the status 206.'],
  ])('status %i', async (status, expected) => {
    answer = () => ({ status, body: 'secret of the origin' })
    expect(await failureOf('a.txt', webFolder())).toBe(expected)
    if (expected === undefined) expect(await find('a.txt', webFolder())).toBeUndefined()
    // The origin is left alone for a moment.
    expect(service.requests).toHaveLength(1)
    nowMs += 10_000
    await failureOf('a.txt', webFolder())
    expect(service.requests).toHaveLength(2)
  })
  test('a closed port, a private address and a name that does not exist look alike', async () => {
    const failures = [
      await failureOf('a.txt', webFolder({ baseUrl: 'http://127.0.0.1:9' })),
      await failureOf('a.txt', webFolder({ baseUrl: 'http://nobody.invalid' })),
      await failureOf('a.txt', webFolder({ baseUrl: 'http://169.254.169.254/latest' })),
    ]
    origins = await open({}, false)
    failures.push(await failureOf('a.txt', webFolder()))
    expect(new Set(failures)).toEqual(new Set(['not-found ECONNREFUSED - The origin could not be reached.']))
    expect(service.requests).toHaveLength(0)
  })
  test('files that are too large, announced or not', async () => {
    origins = await open({ maxFileMiB: 1 })
    const tooLarge = 'too-large ELIMIT - The file of the origin is too large.'
    answer = () => ({ body: Buffer.alloc(1024 * 1024 + 1), headers: { 'content-length': '1048577' } })
    expect(await failureOf('a.txt', webFolder())).toBe(tooLarge)
    answer = () => (response) => void response.end(Buffer.alloc(1024 * 1024 + 1))
    expect(await failureOf('b.txt', webFolder())).toBe(tooLarge)
    expect(await filesIn(dir)).toEqual([])
    expect(await readdir(join(dir, 'tmp'))).toEqual([])
  })
  test('a cut body is not kept', async () => {
    answer = () => (response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('only a part')
      setTimeout(() => response.destroy(), 20)
    }
    expect(await failureOf('a.txt', webFolder())).toBe(
      'not-found UNIDENTIFIED - The origin did not send the whole file.',
    )
    expect(await filesIn(dir)).toEqual([])
  })
  test('the next origin is asked, and what went wrong is told when none has the file', async () => {
    answer = ({ path }) => (path.startsWith('/files/') ? { status: 403 } : { body: 'of the second' })
    const second = webFolder({ baseUrl: `${service.url}/second` })
    expect(await textOf('a.txt', [webFolder(), second])).toBe('of the second')
    answer = ({ path }) => ({ status: path.startsWith('/files/') ? 403 : 404 })
    expect(await failureOf('b.txt', [webFolder(), second])).toMatch(/EACCES/)
    expect(await failureOf('b.txt', [second, webFolder()])).toMatch(/EACCES/)
  })
  test('a type without a driver', async () => {
    expect(await failureOf('a.txt', { id: 'x', type: 'FTP' })).toMatch(/^not-implemented/)
  })
})

test('web proxies give URLs, and others do not', async () => {
  answer = ({ path }) => ({ body: path })
  const proxy: OriginDocument = { id: 'proxy', type: 'WEB_PROXY', name: 'Proxy' }
  const url = `${service.url}/some/a%20b.txt?x=1`
  expect(await textOf('', [webFolder(), proxy], { url })).toBe('/some/a%20b.txt?x=1')
  expect((await find('', proxy, { url }))!.name).toBe('a b.txt')
  expect(await find('a.txt', proxy)).toBeUndefined()
  expect(await find('', webFolder(), { url })).toBeUndefined()
})

test('Azure: a container with a shared access signature', async () => {
  answer = ({ path }) => ({ body: path, headers: { 'x-ms-meta-isprivatefile': 'true' } })
  const origin: OriginDocument = {
    id: 'azure',
    type: 'AZURE_BLOB',
    name: 'Azure',
    accountName: 'shop',
    container: 'images',
    prefix: '/big/',
    sasToken: '?sv=2019-12-12&sig=a%2Bb',
  }
  const file = await find('x/a.txt', origin)
  expect((await file!.readAll()).toString()).toBe('/azure-shop/images/big/x/a.txt?sv=2019-12-12&sig=a%2Bb')
  expect(file!.isPrivate).toBe(true)
})

describe('Google Cloud Storage', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const bucket = (more: Record<string, unknown> = {}): OriginDocument => ({
    id: 'gcs',
    type: 'GCS',
    name: 'Google',
    bucket: 'pictures',
    prefix: '',
    clientEmail: 'robot@project.iam.gserviceaccount.com',
    privateKey,
    ...more,
  })

  test('is read with a token of the service account, which is used again and renewed', async () => {
    let issued = 0
    let good = 'token-1'
    answer = ({ path, headers }) => {
      if (path === '/token') return { body: { access_token: `token-${++issued}`, expires_in: 3600 } }
      if (headers.authorization !== `Bearer ${good}`) return { status: 401 }
      return { body: path, headers: { 'x-goog-meta-isprivatefile': 'true', etag: '"1"' } }
    }
    const file = await find('x/ä.txt', bucket())
    expect((await file!.readAll()).toString()).toBe('/gcs/pictures/x/%C3%A4.txt')
    expect(file!.isPrivate).toBe(true)
    await find('b.txt', bucket())
    expect(issued).toBe(1)
    const form = new URLSearchParams(service.requests[0]!.body.toString())
    expect(form.get('grant_type')).toBe('urn:ietf:params:oauth:grant-type:jwt-bearer')
    const { payload } = await jwtVerify(form.get('assertion')!, await importSPKI(publicKey, 'RS256'), {
      currentDate: new Date(nowMs),
      audience: `${service.url}/token`,
      issuer: 'robot@project.iam.gserviceaccount.com',
    })
    expect(payload).toMatchObject({ scope: 'https://www.googleapis.com/auth/devstorage.read_only' })
    // A token that was revoked is replaced once.
    good = 'token-2'
    expect(await textOf('c.txt', bucket())).toBe('/gcs/pictures/c.txt')
    good = 'none'
    expect(await failureOf('d.txt', bucket())).toMatch(/EACCES/)
    expect(issued).toBe(3)
  })
  test('with keys that are refused or none', async () => {
    answer = () => ({ status: 400, body: { error: 'invalid_grant' } })
    const refused = /EACCES - The origin did not accept/
    expect(await failureOf('a.txt', bucket())).toMatch(refused)
    expect(await failureOf('a.txt', bucket({ privateKey: 'none' }))).toMatch(/EACCES - The private key/)
    answer = () => ({ body: 'not JSON' })
    expect(await failureOf('b.txt', bucket())).toMatch(refused)
  })
})

test('Akeneo: product, asset and reference entity media', async () => {
  answer = ({ path, headers, body }) => {
    if (path === '/api/oauth/v1/token') {
      expect(headers.authorization).toBe(`Basic ${Buffer.from('id:secret').toString('base64')}`)
      expect(JSON.parse(body.toString())).toEqual({ grant_type: 'password', username: 'u', password: 'p' })
      return { body: { access_token: 'good', expires_in: 3600 } }
    }
    return headers.authorization === 'Bearer good' ? { body: path } : { status: 401 }
  }
  const origin: OriginDocument = {
    id: 'akeneo',
    type: 'AKENEO_PIM',
    name: 'PIM',
    baseUrl: service.url,
    clientId: 'id',
    clientSecret: 'secret',
    username: 'u',
    password: 'p',
  }
  expect(await textOf('media-files/f/d/1/d/fd1d_a.txt', origin)).toBe(
    '/api/rest/v1/media-files/f/d/1/d/fd1d_a.txt/download',
  )
  expect(await textOf('asset-media-files/a.txt', origin)).toBe('/api/rest/v1/asset-media-files/a.txt')
  expect(await textOf('reference-entities-media-files/a.txt', origin)).toBe(
    '/api/rest/v1/reference-entities-media-files/a.txt',
  )
  expect(await find('a.txt', origin)).toBeUndefined()
})

describe('S3', () => {
  const bucket = (more: Record<string, unknown> = {}): OriginDocument => ({
    id: 's3',
    type: 'S3_COMPATIBLE',
    name: 'Bucket',
    bucket: 'pictures',
    prefix: 'big',
    accessKey: 'AKID',
    secretKey: 'SECRET',
    endpoint: service.url,
    s3ForcePathStyle: true,
    ...more,
  })
  const s3Error = (status: number, code: string): Reply => ({
    status,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`,
  })

  test('is asked for the object with a signature, and marks private ones in its metadata', async () => {
    answer = ({ path }) => ({ body: path, headers: { 'x-amz-meta-isprivatefile': 'true', etag: '"1"' } })
    const file = await find('x/a b.txt', bucket())
    expect((await file!.readAll()).toString()).toMatch(/^\/pictures\/big\/x\/a%20b\.txt/)
    expect(file!.isPrivate).toBe(true)
    expect(service.requests[0]!.headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/us-east-1\/s3\/aws4_request/,
    )
    answer = ({ headers }) => (headers['if-none-match'] === '"1"' ? { status: 304 } : s3Error(500, 'X'))
    nowMs += 86_400_000
    expect(await textOf('x/a b.txt', bucket())).toMatch(/^\/pictures/)
  })
  test('fails as its error codes say', async () => {
    answer = () => s3Error(404, 'NoSuchKey')
    expect(await find('a.txt', bucket())).toBeUndefined()
    answer = () => s3Error(403, 'AccessDenied')
    expect(await failureOf('b.txt', bucket())).toMatch(/EACCES/)
    answer = () => s3Error(503, 'SlowDown')
    expect(await failureOf('c.txt', bucket())).toMatch(/UNIDENTIFIED/)
    expect(await failureOf('d.txt', bucket({ endpoint: 'http://169.254.169.254' }))).toMatch(/ECONNREFUSED/)
    origins = await open({ maxFileMiB: 1 })
    answer = () => ({ body: Buffer.alloc(2 * 1024 * 1024), headers: { 'content-length': '2097152' } })
    expect(await failureOf('e.txt', bucket())).toMatch(/^too-large ELIMIT/)
  })
})
