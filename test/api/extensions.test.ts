import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { API_KEY, startVision } from '../support/providers/google.ts'
import { startModelServer } from '../support/providers/model-server.ts'
import { ACCESS_KEY_ID, SECRET_ACCESS_KEY, startRekognition } from '../support/providers/rekognition.ts'
import { CUT_OUT, REMOVE_BG_KEY, startRemoveBg } from '../support/providers/remove-bg.ts'
import { drop, type Received, type Service, startService } from '../support/providers/service.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let services: Record<'vision' | 'rekognition' | 'removeBg' | 'models' | 'receiver', Service>
let tintype: TestTintype

beforeEach(async () => {
  services = {
    vision: await startVision(),
    rekognition: await startRekognition(),
    removeBg: await startRemoveBg(),
    models: await startModelServer({
      description: { description: 'A purple thing.' },
      questions: { answers: [{ selections: ['red', 'huge'] }, { answer: 'yes' }] },
    }),
    receiver: await startService(() => ({ status: 200 })),
  }
  tintype = await start()
})
afterEach(async () => {
  await tintype.stop()
  await Promise.all(Object.values(services).map((service) => service.close()))
})

const start = (env: Record<string, string> = {}) =>
  startTintype({
    env: {
      TINTYPE_GOOGLE_VISION_ENDPOINT: services.vision.url,
      TINTYPE_GOOGLE_VISION_API_KEY: API_KEY,
      TINTYPE_AWS_REKOGNITION_ENDPOINT: services.rekognition.url,
      TINTYPE_AWS_ACCESS_KEY_ID: ACCESS_KEY_ID,
      TINTYPE_AWS_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY,
      TINTYPE_REMOVE_BG_ENDPOINT: services.removeBg.url,
      TINTYPE_REMOVE_BG_API_KEY: REMOVE_BG_KEY,
      TINTYPE_AI_HTTP_URL: services.models.url,
      TINTYPE_EXTENSIONS_SYNC_DEADLINE_MS: '2000',
      TINTYPE_EXTENSIONS_FIRST_RETRY_MS: '20',
      TINTYPE_WEBHOOKS_FIRST_RETRY_MS: '20',
      ...env,
    },
  })
const restart = async (env: Record<string, string>) => {
  await tintype.stop()
  tintype = await start(env)
}

const google = { name: 'google-auto-tagging', minConfidence: 80, maxTags: 3 }
const aws = { name: 'aws-auto-tagging', minConfidence: 90, maxTags: 5 }
const GOOGLE_TAGS = [
  { name: 'Toy', confidence: 91.73, source: 'google-auto-tagging' },
  { name: 'Teddy bear', confidence: 83.52, source: 'google-auto-tagging' },
  { name: 'Red', confidence: 81.77, source: 'google-auto-tagging' },
]
const AWS_TAGS = [
  { name: 'Teddy Bear', confidence: 98.52, source: 'aws-auto-tagging' },
  { name: 'Toy', confidence: 98.52, source: 'aws-auto-tagging' },
]

const uploadWith = (extensions: object[], fields: Record<string, string> = {}, bytes = png(8, 6)) =>
  upload(tintype, bytes, {
    fileName: 'a.png',
    useUniqueFileName: 'false',
    extensions: JSON.stringify(extensions),
    ...fields,
  })
const patch = (fileId: unknown, body: object) => call(tintype, 'PATCH', `/v1/files/${fileId}/details`, body)
const details = async (fileId: unknown) => (await call(tintype, 'GET', `/v1/files/${fileId}/details`)).body
const callbackUrl = () => `${services.receiver.url}/done`
const bodyOf = (request: Received) => JSON.parse(request.body.toString('utf8'))
const callbacks = async (count = 1) => {
  await expect.poll(() => services.receiver.requests.length, { timeout: 10_000 }).toBe(count)
  return services.receiver.requests.map(bodyOf)
}

describe('auto-tagging on upload', () => {
  it('is done within the request, by all that are asked for', async () => {
    const { status, body } = await uploadWith([google, aws], { webhookUrl: callbackUrl() })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      AITags: [...GOOGLE_TAGS, ...AWS_TAGS],
      extensionStatus: { 'google-auto-tagging': 'success', 'aws-auto-tagging': 'success' },
    })
    expect(await details(body.fileId)).toMatchObject({ AITags: [...GOOGLE_TAGS, ...AWS_TAGS] })
    // Only what was pending is called back about.
    expect(await tintype.store.jobs.list({ limit: 10 })).toEqual([])
  })

  it('goes on in the background when the service takes longer, and calls back', async () => {
    await restart({ TINTYPE_EXTENSIONS_SYNC_DEADLINE_MS: '50' })
    services.vision.slow(300)
    const { body } = await uploadWith([google, aws], { webhookUrl: callbackUrl() })
    expect(body.extensionStatus).toMatchObject({ 'google-auto-tagging': 'pending' })
    const done = (
      await callbacks(JSON.stringify(body.extensionStatus).includes('"aws-auto-tagging":"pending"') ? 2 : 1)
    ).find(({ service }) => service === 'google-auto-tagging')
    expect(done).toMatchObject({
      service: 'google-auto-tagging',
      status: 'SUCCESS',
      fileObject: { fileId: body.fileId, type: 'file', url: expect.stringContaining(tintype.url) },
    })
    expect(done.fileObject.AITags).toEqual(expect.arrayContaining(GOOGLE_TAGS))
    expect((await details(body.fileId)).AITags).toEqual(expect.arrayContaining([...GOOGLE_TAGS, ...AWS_TAGS]))
  })

  it('says at once when it has failed for good', async () => {
    services.vision.fail({
      status: 403,
      body: { error: { code: 403, message: 'no', status: 'PERMISSION_DENIED' } },
    })
    const { status, body } = await uploadWith([google], { webhookUrl: callbackUrl() })
    expect(status).toBe(200)
    expect(body).toMatchObject({ AITags: null, extensionStatus: { 'google-auto-tagging': 'failed' } })
    expect(await tintype.store.jobs.list({ limit: 10 })).toEqual([])
  })

  it.each([
    ['a dropped connection', drop],
    ['too many requests', { status: 429, headers: { 'retry-after': '0' } }],
    ['an error of the service', { status: 503 }],
  ])('is tried three times in the background after %s, then reported as failed', async (_, reply) => {
    services.vision.fail(reply)
    const { body } = await uploadWith([google], { webhookUrl: callbackUrl() })
    expect(body.extensionStatus).toEqual({ 'google-auto-tagging': 'pending' })
    expect(await callbacks()).toEqual([
      {
        service: 'google-auto-tagging',
        status: 'FAILURE',
        fileId: body.fileId,
        error: { message: expect.stringContaining('Google') },
      },
    ])
    expect(services.vision.requests).toHaveLength(4)
    expect(await tintype.store.jobs.list({ state: 'dead', limit: 10 })).toMatchObject([
      { kind: 'extension.run' },
    ])
  })

  it('replaces tags on overwrite, or keeps those that are there', async () => {
    await put(tintype, '/a.png', png(2, 2), { extensions: JSON.stringify([aws]) })
    const kept = await uploadWith([google], { overwriteAITags: 'false' })
    expect(kept.body.AITags).toEqual([...AWS_TAGS, ...GOOGLE_TAGS])
    const replaced = await uploadWith([google])
    expect(replaced.body.AITags).toEqual(GOOGLE_TAGS)
    expect((await put(tintype, '/a.png', png(3, 3))).AITags).toBeNull()
  })

  it('fails at once for what is no image, and asks nobody', async () => {
    const { body } = await uploadWith([google], {}, Buffer.from('text'))
    expect(body.extensionStatus).toEqual({ 'google-auto-tagging': 'failed' })
    expect(services.vision.requests).toEqual([])
  })
})

describe('remove-bg', () => {
  it('becomes a new version of the same file with everything else kept', async () => {
    const { body } = await uploadWith([{ name: 'remove-bg', options: { bg_color: 'green' } }], {
      tags: 'one',
      webhookUrl: callbackUrl(),
    })
    expect(body.extensionStatus).toEqual({ 'remove-bg': 'pending' })
    const [done] = await callbacks()
    expect(done).toMatchObject({
      service: 'remove-bg',
      status: 'SUCCESS',
      fileObject: {
        fileId: body.fileId,
        versionInfo: { name: 'Version 2' },
        tags: ['one'],
        filePath: '/a.png',
      },
    })
    expect(await details(body.fileId)).toMatchObject({
      versionInfo: { name: 'Version 2' },
      width: 6,
      height: 4,
    })
    const original = await fetch(`${tintype.url}/demo/a.png?tr=orig-true`)
    expect(Buffer.from(await original.arrayBuffer())).toEqual(CUT_OUT)
    const versions = await call(tintype, 'GET', `/v1/files/${body.fileId}/versions`)
    expect(versions.body).toHaveLength(2)
  })

  it('applies to the version that it was made of, and to no other', async () => {
    let answer: (() => void) | undefined
    services.removeBg.fail((response) => {
      answer = () => {
        response.writeHead(200, { 'content-type': 'image/png' })
        response.end(CUT_OUT)
      }
    })
    const { body } = await uploadWith([{ name: 'remove-bg' }], { webhookUrl: callbackUrl() })
    await expect.poll(() => answer).toBeDefined()
    await put(tintype, '/a.png', png(9, 9))
    answer!()
    expect(await callbacks()).toMatchObject([
      { status: 'FAILURE', error: { message: expect.stringContaining('replaced') } },
    ])
    expect(await details(body.fileId)).toMatchObject({ versionInfo: { name: 'Version 2' }, width: 9 })
  })

  it('has what other extensions of the request found out, however long they take', async () => {
    let answer: (() => void) | undefined
    services.models.fail((response) => {
      services.models.fail()
      answer = () => response.end(JSON.stringify({ description: 'Late.' }))
    })
    const { body } = await uploadWith([{ name: 'remove-bg' }, { name: 'ai-auto-description' }])
    await expect.poll(() => answer).toBeDefined()
    await expect.poll(() => services.removeBg.requests.length).toBe(1)
    answer!()
    await expect
      .poll(async () => details(body.fileId), { timeout: 5000 })
      .toMatchObject({ description: 'Late.', versionInfo: { name: 'Version 2' } })
  })

  it('tells of a file that was deleted meanwhile', async () => {
    await restart({ TINTYPE_EXTENSIONS_FIRST_RETRY_MS: '200' })
    services.removeBg.fail({ status: 503 })
    const { body } = await uploadWith([{ name: 'remove-bg' }], { webhookUrl: callbackUrl() })
    await expect.poll(() => services.removeBg.requests.length).toBe(1)
    await call(tintype, 'DELETE', `/v1/files/${body.fileId}`)
    expect(await callbacks()).toMatchObject([{ status: 'FAILURE', fileId: body.fileId }])
  })

  it('takes nothing that is no image', async () => {
    services.removeBg.fail({ headers: { 'content-type': 'image/png' }, body: '<html>' })
    await uploadWith([{ name: 'remove-bg' }], { webhookUrl: callbackUrl() })
    expect(await callbacks()).toMatchObject([{ status: 'FAILURE' }])
    expect(services.removeBg.requests).toHaveLength(1)
  })
})

describe('descriptions and tasks', () => {
  it('write the description, tags and custom metadata', async () => {
    await call(tintype, 'POST', '/v1/customMetadataFields', {
      name: 'size',
      label: 'Size',
      schema: { type: 'Text' },
    })
    const tasks = [
      { type: 'select_tags', instruction: 'Which color?', vocabulary: ['red', 'blue'] },
      {
        type: 'yes_no',
        instruction: 'Is it large?',
        on_yes: { set_metadata: [{ field: 'size', value: 'L' }], remove_tags: ['old'] },
      },
    ]
    const { body } = await uploadWith([{ name: 'ai-auto-description' }, { name: 'ai-tasks', tasks }], {
      tags: 'old,new',
      webhookUrl: callbackUrl(),
    })
    expect(body.extensionStatus).toEqual({ 'ai-auto-description': 'pending', 'ai-tasks': 'pending' })
    await callbacks(2)
    expect(await details(body.fileId)).toMatchObject({
      description: 'A purple thing.',
      tags: ['new', 'red'],
      customMetadata: { size: 'L' },
    })
  })

  it('come from saved extensions too', async () => {
    const saved = await call(tintype, 'POST', '/v1/saved-extensions', {
      name: 'describe',
      description: 'd',
      config: { name: 'ai-auto-description' },
    })
    const { body } = await uploadWith([{ name: 'saved-extension', id: saved.body.id }])
    expect(body.extensionStatus).toEqual({ 'ai-auto-description': 'pending' })
    await expect.poll(async () => (await details(body.fileId)).description).toBe('A purple thing.')
    const missing = await uploadWith([{ name: 'saved-extension', id: 'ext_none' }])
    expect(missing).toMatchObject({
      status: 400,
      body: { message: 'The requested saved extension does not exist.' },
    })
  })
})

describe('extensions on update', () => {
  it('run after AI tags were removed, and leave those of other sources', async () => {
    const first = await uploadWith([google, aws])
    const { status, body } = await patch(first.body.fileId, {
      removeAITags: ['Toy', 'Red'],
      extensions: [{ ...google, maxTags: 1 }],
      tags: ['x'],
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({ tags: ['x'], extensionStatus: { 'google-auto-tagging': 'success' } })
    expect(body.AITags).toEqual([GOOGLE_TAGS[1], AWS_TAGS[0], GOOGLE_TAGS[0]])
  })

  it('tell of the update that follows', async () => {
    const hook = await startService(() => ({ status: 200 }))
    await call(tintype, 'POST', '/v1/webhooks', { url: hook.url })
    const { body } = await uploadWith([{ name: 'remove-bg' }, { name: 'ai-auto-description' }])
    await expect.poll(() => hook.requests.length).toBe(3)
    const types = hook.requests.map((request) => bodyOf(request).type)
    expect(types[0]).toBe('file.created')
    expect(types.slice(1).sort()).toEqual(['file-version.created', 'file.updated'])
    expect(hook.requests.map((request) => bodyOf(request).data.fileId)).toEqual([
      body.fileId,
      body.fileId,
      body.fileId,
    ])
    await hook.close()
  })
})

describe('requests that cannot be done', () => {
  it.each([
    ['no JSON', 'x', 'invalid extensions parameter'],
    ['an unknown name', '[{"name":"ai-magic"}]', 'extensions[0].name'],
    ['a missing member', '[{"name":"aws-auto-tagging","maxTags":5}]', 'extensions[0]'],
    [
      'a wrong number',
      '[{"name":"aws-auto-tagging","maxTags":50,"minConfidence":1}]',
      'extensions[0].maxTags',
    ],
    ['the same twice', JSON.stringify([google, google]), 'more than once'],
    [
      'an unknown field',
      '[{"name":"ai-tasks","tasks":[{"type":"select_metadata","instruction":"i","field":"nix"}]}]',
      'nix does not exist',
    ],
  ])('are refused before anything is stored: %s', async (_, extensions, message) => {
    const answer = await uploadWith([], { extensions })
    expect(answer.status).toBe(400)
    expect(answer.body.message).toContain(message)
    expect((await call(tintype, 'GET', '/v1/files')).body).toEqual([])
  })

  it.each(['http://169.254.169.254/x', 'ftp://example.com', 'nonsense'])(
    'such as callbacks to %s',
    async (webhookUrl) => {
      const answer = await uploadWith([google], { webhookUrl })
      expect(answer.status).toBe(400)
      expect(answer.body.message).toContain('webhookUrl')
      expect(services.vision.requests).toEqual([])
      const file = await put(tintype, '/b.png', png(1, 1))
      expect((await patch(file.fileId, { webhookUrl })).status).toBe(400)
    },
  )

  it('name the setting that is missing', async () => {
    await restart({ TINTYPE_GOOGLE_VISION_API_KEY: '', TINTYPE_AI_HTTP_URL: '' })
    const answer = await uploadWith([google])
    expect(answer).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('TINTYPE_GOOGLE_VISION_API_KEY') },
    })
  })

  it('end with the units of the month', async () => {
    await restart({ TINTYPE_EXTENSIONS_UNITS_PER_MONTH: '5' })
    expect((await uploadWith([google, aws])).status).toBe(200)
    expect((await uploadWith([google])).status).toBe(200)
    const answer = await uploadWith([aws])
    expect(answer).toMatchObject({ status: 400, body: { message: 'Extensions quota exceeded.' } })
    expect((await uploadWith([])).status).toBe(200)
  })
})
