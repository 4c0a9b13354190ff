import { afterEach, describe, expect, test } from 'vitest'
import {
  EXTENSION_NAMES,
  type ExtensionConfig,
  type Extensions,
  type MetadataField,
} from '../../../src/extensions/extensions.ts'
import { createSafeFetch } from '../../../src/kernel/safe-fetch.ts'
import { assetOf, openExtensions } from '../../support/extensions.ts'
import { png } from '../../support/images.ts'
import { API_KEY, startTokens, startVision } from '../../support/providers/google.ts'
import { startChat, startModelServer } from '../../support/providers/model-server.ts'
import { ACCESS_KEY_ID, SECRET_ACCESS_KEY, startRekognition } from '../../support/providers/rekognition.ts'
import { CUT_OUT, formOf, REMOVE_BG_KEY, startRemoveBg } from '../../support/providers/remove-bg.ts'
import { type Service, startService } from '../../support/providers/service.ts'

const open: { close(): Promise<void> }[] = []
const kept = <T extends { close(): Promise<void> }>(thing: T): T => {
  open.push(thing)
  return thing
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close()))
})

const tagging = (name: 'google-auto-tagging' | 'aws-auto-tagging', minConfidence = 0, maxTags = 30) => ({
  name,
  minConfidence,
  maxTags,
})
const bodyOf = (service: Service, at = 0) => JSON.parse(service.requests[at]!.body.toString('utf8'))

describe('an installation without any service', () => {
  test('can do no extension, and says what to set', async () => {
    const extensions = kept(openExtensions({}))
    for (const name of EXTENSION_NAMES) expect(extensions.isConfigured(name)).toBe(false)
    const request: ExtensionConfig = { name: 'remove-bg' }
    const refusal = {
      kind: 'bad-request',
      message:
        'The extension remove-bg is not set up on this server. Set TINTYPE_REMOVE_BG_API_KEY, or TINTYPE_AI_HTTP_URL for a model server of your own.',
    }
    expect(() => extensions.check([request], [])).toThrow(expect.objectContaining(refusal))
    await expect(extensions.run(request, assetOf())).rejects.toMatchObject(refusal)
  })

  test('does not count half of the credentials', () => {
    const extensions = kept(openExtensions({ aws: { accessKeyId: 'AKIA' }, chat: { url: 'http://h' } }))
    expect(extensions.isConfigured('aws-auto-tagging')).toBe(false)
    expect(extensions.isConfigured('ai-tasks')).toBe(false)
  })
})

describe('google-auto-tagging', () => {
  test('tags by Cloud Vision with an API key, which no URL shows', async () => {
    const vision = kept(await startVision())
    const extensions = kept(openExtensions({ google: { endpoint: vision.url, apiKey: API_KEY } }))
    const bytes = png(9, 9)
    const request = tagging('google-auto-tagging', 80, 2)
    expect(await extensions.run(request, assetOf({ bytes }))).toEqual({
      kind: 'ai-tags',
      tags: [
        { name: 'Toy', confidence: 91.73, source: 'google-auto-tagging' },
        { name: 'Teddy bear', confidence: 83.52, source: 'google-auto-tagging' },
      ],
    })
    expect(bodyOf(vision)).toEqual({
      requests: [
        {
          image: { content: bytes.toString('base64') },
          features: [{ type: 'LABEL_DETECTION', maxResults: 2 }],
        },
      ],
    })
    expect(vision.requests[0]!.path).toBe('/v1/images:annotate')
  })

  test('drops what is below the confidence, whatever the service sends', async () => {
    const score = (description: string, value: number) => ({
      mid: '',
      description,
      score: value,
      topicality: 0,
    })
    const labels = [
      score('low', 0.4999),
      score('even', 0.5),
      score(' Even ', 0.7),
      score('\u0000', 0.9),
      score('over', 7),
    ]
    const vision = kept(await startVision({ labels }))
    const extensions = kept(openExtensions({ google: { endpoint: vision.url, apiKey: API_KEY } }))
    expect(await extensions.run(tagging('google-auto-tagging', 50), assetOf())).toEqual({
      kind: 'ai-tags',
      tags: [
        { name: 'over', confidence: 100, source: 'google-auto-tagging' },
        { name: 'Even', confidence: 70, source: 'google-auto-tagging' },
      ],
    })
  })

  test('asks nobody for no tags', async () => {
    const vision = kept(await startVision())
    const extensions = kept(openExtensions({ google: { endpoint: vision.url, apiKey: API_KEY } }))
    expect(await extensions.run(tagging('google-auto-tagging', 0, 0), assetOf())).toEqual({
      kind: 'ai-tags',
      tags: [],
    })
    expect(vision.requests).toHaveLength(0)
  })

  test('signs in as a service account, once for many pictures, and again when the token is refused', async () => {
    const tokens = kept(await startTokens())
    let valid = () => tokens.latest()
    const vision = kept(await startVision({ token: () => valid() }))
    const extensions = kept(
      openExtensions({ google: { endpoint: vision.url, serviceAccountJson: tokens.keyFile } }),
    )
    const run = () => extensions.run(tagging('google-auto-tagging', 0, 1), assetOf())
    const results = await Promise.all([run(), run(), run()])
    expect(results.map((result) => result.kind)).toEqual(['ai-tags', 'ai-tags', 'ai-tags'])
    expect(tokens.requests).toHaveLength(1)

    valid = () => 'revoked'
    await expect(run()).rejects.toMatchObject({
      message: 'Google Cloud Vision refused the credentials of this server.',
    })
    valid = () => tokens.latest()
    await run()
    expect(tokens.requests).toHaveLength(2)
  })

  test('tells a key that Google does not know from one that cannot be read', async () => {
    const tokens = kept(await startTokens())
    const other = kept(await startTokens())
    const foreign = JSON.parse(tokens.keyFile)
    foreign.private_key = JSON.parse(other.keyFile).private_key
    const settings = (key: object) => ({ google: { serviceAccountJson: JSON.stringify(key) } })
    const run = (key: object) =>
      kept(openExtensions(settings(key))).run(tagging('google-auto-tagging'), assetOf())
    const refusal = { kind: 'internal', message: 'Google sign-in refused the credentials of this server.' }
    await expect(run(foreign)).rejects.toMatchObject(refusal)
    await expect(run({ ...foreign, private_key: 'no key' })).rejects.toMatchObject(refusal)
    expect(() => openExtensions(settings({ client_email: 'someone@example.com' }))).toThrow('private_key')
    expect(() => openExtensions({ google: { serviceAccountJson: 'secret text' } })).toThrow(
      /^extensions.google.serviceAccountJson is not JSON$/,
    )
  })
})

describe('aws-auto-tagging', () => {
  const settings = (service: Service) => ({
    aws: { endpoint: service.url, accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET_ACCESS_KEY },
  })

  test('tags by Rekognition, with a request whose signature holds', async () => {
    const rekognition = kept(await startRekognition())
    const extensions = kept(openExtensions(settings(rekognition)))
    const bytes = png(9, 9)
    expect(await extensions.run(tagging('aws-auto-tagging', 70, 3), assetOf({ bytes }))).toEqual({
      kind: 'ai-tags',
      tags: [
        { name: 'Teddy Bear', confidence: 98.52, source: 'aws-auto-tagging' },
        { name: 'Toy', confidence: 98.52, source: 'aws-auto-tagging' },
        { name: 'Sweets', confidence: 77.84, source: 'aws-auto-tagging' },
      ],
    })
    expect(bodyOf(rekognition)).toEqual({
      Image: { Bytes: bytes.toString('base64') },
      MaxLabels: 3,
      MinConfidence: 70,
    })
  })

  test('is refused with a wrong secret', async () => {
    const rekognition = kept(await startRekognition())
    const { aws } = settings(rekognition)
    const extensions = kept(openExtensions({ aws: { ...aws, secretAccessKey: 'wrong' } }))
    await expect(extensions.run(tagging('aws-auto-tagging'), assetOf())).rejects.toMatchObject({
      kind: 'internal',
      message: 'Amazon Rekognition refused the credentials of this server.',
    })
  })

  test('sends a rendering where the file is of a format or size that the service does not take', async () => {
    const rekognition = kept(await startRekognition())
    const extensions = kept(openExtensions(settings(rekognition)))
    const asked: number[] = []
    const asset = assetOf({
      mime: 'image/webp',
      read: async () => {
        throw new Error('not to be read')
      },
      preview: async ({ maxSidePx }) => {
        asked.push(maxSidePx)
        return asked.length === 1 ? Buffer.alloc(6_000_000) : png(5, 5)
      },
    })
    await extensions.run(tagging('aws-auto-tagging'), asset)
    expect(asked).toEqual([1600, 800])
    expect(bodyOf(rekognition).Image.Bytes).toBe(png(5, 5).toString('base64'))

    const tooLarge = assetOf({ sizeBytes: 6_000_000, preview: async () => Buffer.alloc(6_000_000) })
    await expect(extensions.run(tagging('aws-auto-tagging'), tooLarge)).rejects.toMatchObject({
      kind: 'too-large',
      message: 'The file is too large for Amazon Rekognition.',
    })
  })

  test('is for images only', async () => {
    const rekognition = kept(await startRekognition())
    const extensions = kept(openExtensions(settings(rekognition)))
    await expect(
      extensions.run(tagging('aws-auto-tagging'), assetOf({ fileType: 'non-image', mime: 'video/mp4' })),
    ).rejects.toMatchObject({ kind: 'unsupported', message: 'The extension can be applied to images only.' })
    expect(rekognition.requests).toHaveLength(0)
  })
})

describe('remove-bg', () => {
  test.each(['', '/', '/v1.0', '/v1.0/removebg'])(
    'sends the form to the endpoint with path "%s"',
    async (path) => {
      const service = kept(await startRemoveBg())
      const extensions = kept(
        openExtensions({ removeBg: { endpoint: `${service.url}${path}`, apiKey: REMOVE_BG_KEY } }),
      )
      const bytes = png(9, 9)
      const options = { add_shadow: true, semitransparency: false, bg_color: '81d4fa', bg_image_url: '' }
      expect(await extensions.run({ name: 'remove-bg', options }, assetOf({ bytes }))).toEqual({
        kind: 'file',
        bytes: CUT_OUT,
        mime: 'image/png',
        extension: 'png',
      })
      const form = await formOf(service.requests[0]!)
      const image = form.get('image_file') as File
      expect(Buffer.from(await image.arrayBuffer())).toEqual(bytes)
      expect(image.type).toBe('image/png')
      form.delete('image_file')
      expect(Object.fromEntries(form)).toEqual({
        size: 'auto',
        format: 'png',
        add_shadow: 'true',
        semitransparency: 'false',
        bg_color: '81d4fa',
      })
    },
  )

  test('takes nothing but a picture for a result', async () => {
    const service = kept(
      await startService(() => ({
        headers: { 'content-type': 'image/png' },
        body: '<svg xmlns="http://www.w3.org/2000/svg"/>',
      })),
    )
    const extensions = kept(openExtensions({ removeBg: { endpoint: service.url, apiKey: 'k' } }))
    await expect(extensions.run({ name: 'remove-bg' }, assetOf())).rejects.toMatchObject({
      kind: 'internal',
      message: 'remove.bg gave an answer that cannot be used.',
    })
  })
})

const fields: MetadataField[] = [
  { name: 'color', type: 'SingleSelect', selectOptions: ['red', 'blue'] },
  { name: 'sizes', type: 'MultiSelect', selectOptions: ['S', 'M', 'L'] },
]
const tasks: ExtensionConfig = {
  name: 'ai-tasks',
  tasks: [
    { type: 'select_tags', instruction: 'Which clothes?', vocabulary: ['shirt', 'dress'], max_selections: 1 },
    { type: 'select_metadata', instruction: 'Which color?', field: 'color' },
    { type: 'select_metadata', instruction: 'Which sizes?', field: 'sizes', min_selections: 1 },
    { type: 'yes_no', instruction: 'Luxury?', on_yes: { add_tags: ['luxury'], remove_tags: ['budget'] } },
  ],
}
const answers = [
  { selections: ['Dress', 'shirt', 'hat'] },
  { selections: ['blue'] },
  { selections: ['L', 'S'] },
  { answer: 'yes' },
]
const changes = {
  addTags: ['dress', 'luxury'],
  removeTags: ['budget'],
  setMetadata: { color: 'blue', sizes: ['L', 'S'] },
  unsetMetadata: [],
}
const questions = [
  {
    kind: 'select',
    instruction: 'Which clothes?',
    vocabulary: ['shirt', 'dress'],
    valueType: 'text',
    minSelections: 0,
    maxSelections: 1,
  },
  {
    kind: 'select',
    instruction: 'Which color?',
    vocabulary: ['red', 'blue'],
    valueType: 'text',
    minSelections: 0,
    maxSelections: 1,
  },
  {
    kind: 'select',
    instruction: 'Which sizes?',
    vocabulary: ['S', 'M', 'L'],
    valueType: 'text',
    minSelections: 1,
    maxSelections: 3,
  },
  { kind: 'yes-no', instruction: 'Luxury?' },
]

describe('a model server of the operator', () => {
  const serve = async (given: Record<string, unknown>, more: object = {}) => {
    const server = kept(await startModelServer(given))
    return { server, extensions: kept(openExtensions({ http: { url: server.url, ...more } })) }
  }

  test('does every extension, and gets its token and the picture', async () => {
    const { server, extensions } = await serve({}, { token: 'model-token' })
    for (const name of EXTENSION_NAMES) expect(extensions.isConfigured(name)).toBe(true)
    const bytes = png(9, 9)
    await expect(extensions.run({ name: 'ai-auto-description' }, assetOf({ bytes }))).rejects.toThrow()
    expect(server.requests[0]!.headers.authorization).toBe('Bearer model-token')
    expect(bodyOf(server)).toEqual({
      version: 1,
      extension: 'ai-auto-description',
      task: 'description',
      image: { mime: 'image/png', data: bytes.toString('base64') },
    })
  })

  test('tags under either name', async () => {
    const { server, extensions } = await serve({
      tags: {
        tags: [
          { name: 'cat', confidence: 97 },
          { name: 'sofa', confidence: 12.3456 },
        ],
        model: 'any',
      },
    })
    expect(await extensions.run(tagging('aws-auto-tagging', 10, 5), assetOf())).toEqual({
      kind: 'ai-tags',
      tags: [
        { name: 'cat', confidence: 97, source: 'aws-auto-tagging' },
        { name: 'sofa', confidence: 12.35, source: 'aws-auto-tagging' },
      ],
    })
    expect(bodyOf(server)).toMatchObject({ task: 'tags', minConfidence: 10, maxTags: 5 })
  })

  test('describes', async () => {
    const { extensions } = await serve({ description: { description: ' A cat\n on a \u202esofa. ' } })
    expect(await extensions.run({ name: 'ai-auto-description' }, assetOf())).toEqual({
      kind: 'description',
      description: 'A cat on a sofa.',
    })
  })

  test('answers questions, and never sees what follows from the answers', async () => {
    const { server, extensions } = await serve({ questions: { answers } })
    const asset = assetOf({ fields })
    expect(await extensions.run(tasks, asset)).toEqual({ kind: 'changes', changes })
    expect(bodyOf(server).questions).toEqual(questions)
    expect(JSON.stringify(bodyOf(server))).not.toContain('luxury')
  })

  test('gives a cut-out as a picture, or as JSON with one', async () => {
    const cut = png(6, 4, 7)
    for (const answer of [cut, { image: { data: cut.toString('base64') } }]) {
      const { server, extensions } = await serve({ 'cut-out': answer })
      expect(await extensions.run({ name: 'remove-bg', options: { add_shadow: true } }, assetOf())).toEqual({
        kind: 'file',
        bytes: cut,
        mime: 'image/png',
        extension: 'png',
      })
      expect(bodyOf(server)).toMatchObject({ task: 'cut-out', addShadow: true })
    }
  })

  test('leaves to the others what it is not for', async () => {
    const vision = kept(await startVision())
    const { server, extensions } = await serve({}, { extensions: ['aws-auto-tagging'] })
    expect(EXTENSION_NAMES.filter(extensions.isConfigured)).toEqual(['aws-auto-tagging'])
    const both = kept(
      openExtensions({ http: { url: server.url }, google: { endpoint: vision.url, apiKey: API_KEY } }),
    )
    await both.run(tagging('google-auto-tagging'), assetOf())
    expect(vision.requests).toHaveLength(1)
    expect(server.requests).toHaveLength(0)
  })

  test('is never sent to fetch a background, and neither is this server into its own network', async () => {
    const { server, extensions } = await serve({ 'cut-out': png(6, 4) })
    const request = { name: 'remove-bg' as const, options: { bg_image_url: `${server.url}/admin` } }
    await expect(extensions.run(request, assetOf())).rejects.toMatchObject({
      kind: 'bad-request',
      message: 'The background image could not be downloaded from the given URL.',
    })
    expect(server.requests).toHaveLength(0)
  })
})

describe('a language model', () => {
  const serve = async (content: string | null) => {
    const server = kept(await startChat(content))
    const chat = { url: `${server.url}/v1`, model: 'seeing-model', apiKey: 'sk-test' }
    return { server, extensions: kept(openExtensions({ chat })) }
  }

  test('describes', async () => {
    const { server, extensions } = await serve('A red car.')
    expect(await extensions.run({ name: 'ai-auto-description' }, assetOf())).toEqual({
      kind: 'description',
      description: 'A red car.',
    })
    expect(server.requests[0]!.headers.authorization).toBe('Bearer sk-test')
    expect(bodyOf(server)).toMatchObject({ model: 'seeing-model', max_tokens: 2048 })
  })

  test.each([
    ['JSON', JSON.stringify({ answers })],
    ['JSON in a block of code', `Here you are:\n\`\`\`json\n${JSON.stringify({ answers }, null, 2)}\n\`\`\``],
  ])('answers questions with %s', async (_, content) => {
    const { server, extensions } = await serve(content)
    expect(await extensions.run(tasks, assetOf({ fields }))).toEqual({ kind: 'changes', changes })
    const { messages, response_format } = bodyOf(server)
    expect(JSON.parse(messages[1].content[0].text)).toEqual(
      questions.map((question, at) => ({ number: at + 1, ...question })),
    )
    expect(response_format.json_schema.schema.properties.answers.items.anyOf).toHaveLength(2)
  })

  test.each([
    ['nothing', null],
    ['refusal', 'I cannot help with that.'],
    ['other JSON', '{"result": []}'],
    ['too few answers', '{"answers": [{"selections": []}]}'],
    ['answers of other kinds', JSON.stringify({ answers: [...answers].reverse() })],
  ])('fails on %s', async (_, content) => {
    const { extensions } = await serve(content)
    await expect(extensions.run(tasks, assetOf({ fields }))).rejects.toMatchObject({
      kind: 'internal',
      message: 'The language model gave an answer that cannot be used.',
    })
  })
})

test('check refuses tasks whose fields do not exist', () => {
  const extensions: Extensions = kept(openExtensions({ chat: { url: 'http://127.0.0.1:1', model: 'm' } }))
  extensions.check([tasks], fields)
  expect(() => extensions.check([tasks], fields.slice(0, 1))).toThrow(
    'Your request contains invalid extensions parameter. The custom metadata field sizes does not exist.',
  )
})

test('a background that a client names is fetched under the rules for URLs that are not trusted', async () => {
  const backdrop = kept(await startService(() => ({ status: 404 })))
  const server = kept(await startModelServer({ 'cut-out': png(6, 4) }))
  const extensions = kept(
    openExtensions(
      { http: { url: server.url } },
      { safeFetch: createSafeFetch({ allowPrivateNetwork: true, failureFloorMs: 0 }) },
    ),
  )
  await expect(
    extensions.run({ name: 'remove-bg', options: { bg_image_url: `${backdrop.url}/a.png` } }, assetOf()),
  ).rejects.toMatchObject({ kind: 'bad-request' })
  expect(backdrop.requests).toHaveLength(1)
  expect(server.requests).toHaveLength(0)
})
