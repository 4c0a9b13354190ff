import { afterEach, describe, expect, test } from 'vitest'
import { type ExtensionConfig, type Extensions, retryOf } from '../../../src/extensions/extensions.ts'
import { parseRetryAfter } from '../../../src/extensions/failures.ts'
import type { TintypeError } from '../../../src/kernel/errors.ts'
import { assetOf, openExtensions } from '../../support/extensions.ts'
import { awsFailure } from '../../support/providers/rekognition.ts'
import { removeBgFailure } from '../../support/providers/remove-bg.ts'
import {
  cut,
  drop,
  flood,
  hang,
  type Reply,
  type Service,
  stall,
  startService,
  zipped,
} from '../../support/providers/service.ts'

const QUICK = { timeoutMs: 300 }
const tagging = (name: 'google-auto-tagging' | 'aws-auto-tagging') => ({ name, minConfidence: 0, maxTags: 5 })
const tasks: ExtensionConfig = { name: 'ai-tasks', tasks: [{ type: 'yes_no', instruction: 'Is it?' }] }

/** Every way out to a service, each with a server of its own behind it. */
const WAYS: Record<string, { request: ExtensionConfig; open(url: string): Extensions; service: string }> = {
  google: {
    request: tagging('google-auto-tagging'),
    open: (endpoint) => openExtensions({ google: { endpoint, apiKey: 'k', ...QUICK } }),
    service: 'Google Cloud Vision',
  },
  aws: {
    request: tagging('aws-auto-tagging'),
    open: (endpoint) =>
      openExtensions({ aws: { endpoint, accessKeyId: 'AKIA', secretAccessKey: 's', ...QUICK } }),
    service: 'Amazon Rekognition',
  },
  'remove.bg': {
    request: { name: 'remove-bg' },
    open: (endpoint) =>
      openExtensions({ removeBg: { endpoint, apiKey: 'k', maxResultBytes: 1_000_000, ...QUICK } }),
    service: 'remove.bg',
  },
  'model server': {
    request: { name: 'remove-bg' },
    open: (url) => openExtensions({ http: { url, maxResultBytes: 1_000_000, ...QUICK } }),
    service: 'The model server',
  },
  'language model': {
    request: tasks,
    open: (url) => openExtensions({ chat: { url, model: 'm', ...QUICK } }),
    service: 'The language model',
  },
}

type Expected = { kind: TintypeError['kind']; message: string; retry: ReturnType<typeof retryOf> }
const passing = { retryable: true }
const final = { retryable: false }
const timeout: Expected = { kind: 'timeout', message: 'did not answer in time.', retry: passing }
const gone: Expected = { kind: 'unavailable', message: 'is not available at the moment.', retry: passing }
const useless: Expected = { kind: 'internal', message: 'gave an answer that cannot be used.', retry: final }
const refused: Expected = {
  kind: 'internal',
  message: 'refused the credentials of this server.',
  retry: final,
}

/** What may go wrong with any service. The bodies are of no protocol, as those of a proxy in between. */
const FAULTS: [string, Reply, Expected][] = [
  ['hangs', hang, timeout],
  ['stalls in the body', stall, timeout],
  ['breaks off', cut, gone],
  ['hangs up', drop, gone],
  ['sends without end', flood, useless],
  ['sends a packed bomb', zipped, useless],
  ['sends a web page', { headers: { 'content-type': 'text/html' }, body: '<h1>Hello</h1>' }, useless],
  ['sends nothing', {}, useless],
  ['sends JSON of another kind', { body: [1, 2, 3] }, useless],
  ['sends null', { headers: { 'content-type': 'application/json' }, body: 'null' }, useless],
  ['is down', { status: 503, body: 'Service Unavailable' }, gone],
  ['breaks', { status: 500, body: '<h1>Oops</h1>' }, gone],
  ['is forbidden', { status: 403, body: 'Forbidden' }, refused],
  [
    'knows no such place',
    { status: 404 },
    { kind: 'unsupported', message: 'refused the request.', retry: final },
  ],
  ['redirects', { status: 302, headers: { location: 'http://169.254.169.254/' } }, useless],
]

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close()))
})

async function failureOf(
  way: keyof typeof WAYS,
  reply: Reply,
): Promise<{ error: TintypeError; service: Service }> {
  const service = await startService(() => reply)
  const extensions = WAYS[way]!.open(service.url)
  open.push(service, extensions)
  const error = await extensions.run(WAYS[way]!.request, assetOf()).then(
    (result) => {
      throw new Error(`expected a failure, not ${JSON.stringify(result)}`)
    },
    (caught: TintypeError) => caught,
  )
  return { error, service }
}

describe.each(Object.keys(WAYS))('when %s', (way) => {
  test.each(FAULTS)('%s', async (_, reply, expected) => {
    const { error, service } = await failureOf(way, reply)
    expect({ kind: error.kind, message: error.message, retry: retryOf(error) }).toEqual({
      ...expected,
      message: `${WAYS[way]!.service} ${expected.message}`,
    })
    // Trying again is the job queue's.
    expect(service.requests).toHaveLength(1)
  })

  test('cannot be reached', async () => {
    const service = await startService(() => ({}))
    await service.close()
    const extensions = WAYS[way]!.open(service.url)
    open.push(extensions)
    const error = await extensions.run(WAYS[way]!.request, assetOf()).catch((caught) => caught)
    expect(error).toMatchObject({ kind: 'unavailable' })
  })

  test('is given up by the caller', async () => {
    const service = await startService(() => hang)
    const extensions = WAYS[way]!.open(service.url)
    open.push(service, extensions)
    const error = await extensions
      .run(WAYS[way]!.request, assetOf(), AbortSignal.timeout(50))
      .catch((caught) => caught)
    expect(error).toMatchObject({ kind: 'timeout' })
  })
})

const tooMany: Expected = { kind: 'rate-limited', message: 'has received too many requests.', retry: passing }
const unreadable: Expected = { kind: 'unsupported', message: 'could not read the image.', retry: final }
const wait = (status: number, seconds: string): Reply => ({ status, headers: { 'retry-after': seconds } })
const vision = (error: object): Reply => ({ body: { responses: [{ error }] } })

describe('what services say in their own words', () => {
  test.each<[keyof typeof WAYS, string, Reply, Expected]>([
    ['google', 'too many requests', wait(429, '7'), { ...tooMany, retry: { retryable: true, afterSec: 7 } }],
    ['google', 'a bad picture', vision({ code: 3, message: 'Bad image data.' }), unreadable],
    ['google', 'no quota for the picture', vision({ code: 8, message: 'Quota exceeded.' }), tooMany],
    ['google', 'a fault for the picture', vision({ code: 14 }), gone],
    ['google', 'no permission for the picture', vision({ code: 7 }), refused],
    ['google', 'no answer for the picture', { body: { responses: [] } }, useless],
    [
      'google',
      'a label of a wrong type',
      { body: { responses: [{ labelAnnotations: [{ description: 1 }] }] } },
      useless,
    ],
    ['aws', 'throttling', awsFailure('ThrottlingException'), tooMany],
    ['aws', 'too much throughput', awsFailure('ProvisionedThroughputExceededException'), tooMany],
    ['aws', 'an inner fault', awsFailure('InternalServerError', 500), gone],
    ['aws', 'an unknown key', awsFailure('UnrecognizedClientException'), refused],
    ['aws', 'no right', awsFailure('AccessDeniedException'), refused],
    ['aws', 'a bad picture', awsFailure('InvalidImageFormatException'), unreadable],
    [
      'aws',
      'too large a picture',
      awsFailure('ImageTooLargeException'),
      { kind: 'too-large', message: 'The file is too large for Amazon Rekognition.', retry: final },
    ],
    ['aws', 'labels that are no list', { body: { Labels: 'many' } }, useless],
    ['aws', 'a label without a name', { body: { Labels: [{ Confidence: 1 }] } }, useless],
    ['aws', 'a label that is null', { body: { Labels: [null] } }, useless],
    [
      'remove.bg',
      'too many requests',
      wait(429, '30'),
      { ...tooMany, retry: { retryable: true, afterSec: 30 } },
    ],
    [
      'remove.bg',
      'no foreground',
      removeBgFailure(400, 'Could not identify foreground in image.', 'unknown_foreground'),
      { kind: 'unsupported', message: 'found no foreground in the image.', retry: final },
    ],
    [
      'remove.bg',
      'no credit',
      removeBgFailure(402, 'Insufficient credits', 'insufficient_credits'),
      { kind: 'unsupported', message: 'has no credit left for this server.', retry: final },
    ],
    ['remove.bg', 'a wrong key', removeBgFailure(403, 'API Key invalid', 'auth_failed'), refused],
    [
      'remove.bg',
      'something else',
      removeBgFailure(400, 'Invalid parameters', 'invalid'),
      { kind: 'unsupported', message: 'refused the request.', retry: final },
    ],
    ['remove.bg', 'a success without a picture', { status: 204 }, useless],
    ['model server', 'later', wait(503, '120'), { ...gone, retry: { retryable: true, afterSec: 120 } }],
    [
      'model server',
      'never',
      { status: 501 },
      { kind: 'unsupported', message: 'refused the request.', retry: final },
    ],
    [
      'model server',
      'a mask that is no picture',
      { body: { mask: { data: 'AAAA' } } },
      {
        kind: 'unsupported',
        message: 'The image could not be read: it is corrupt, too large or not supported.',
        retry: final,
      },
    ],
    [
      'language model',
      'no credit',
      { status: 402 },
      { kind: 'unsupported', message: 'has no credit left for this server.', retry: final },
    ],
  ])('%s: %s', async (way, _, reply, expected) => {
    const { error } = await failureOf(way, reply)
    const { service } = WAYS[way]!
    expect({ kind: error.kind, retry: retryOf(error) }).toEqual({
      kind: expected.kind,
      retry: expected.retry,
    })
    expect([expected.message, `${service} ${expected.message}`]).toContain(error.message)
  })

  test('the secret key of AWS is in no failure', async () => {
    const service = await startService(({ headers }) => ({
      status: 400,
      body: { seen: headers.authorization },
    }))
    const secretAccessKey = 'very-secret-key'
    const extensions = openExtensions({
      aws: { endpoint: service.url, accessKeyId: 'AKIA', secretAccessKey },
    })
    open.push(service, extensions)
    const error: Error = await extensions
      .run(tagging('aws-auto-tagging'), assetOf())
      .catch((caught) => caught)
    expect(`${error.stack} ${JSON.stringify(error.cause)}`).not.toContain(secretAccessKey)
  })
})

describe('retryOf', () => {
  test('takes nothing for passing that it does not know', () => {
    expect(retryOf(new Error('x'))).toEqual({ retryable: false })
    expect(retryOf(undefined)).toEqual({ retryable: false })
  })

  test.each([
    ['12', 12],
    [' 0 ', 0],
    ['999999999', 3600],
    ['Tue, 24 Nov 2026 07:00:30 GMT', 30],
    ['Tue, 24 Nov 2026 06:00:00 GMT', 0],
    ['soon', undefined],
    ['-5', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('Retry-After %j is %j seconds', (value, seconds) => {
    expect(parseRetryAfter(value, Date.parse('2026-11-24T07:00:00Z'))).toBe(seconds)
  })
})
