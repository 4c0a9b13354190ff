import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixture, fixturesDir } from '../support/fixtures.ts'
import { send } from '../support/http-client.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

const FILE_ID = /^[0-9a-f]{24}$/

describe.runIf(fixturesDir)('uploads of real files through the official SDKs', () => {
  let server: Server
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server?.dispose())

  /** The bytes behind a URL of an answer. */
  const fetchBytes = async (url: string) => (await send(server, url.slice(server.url.length))).body

  test('@imagekit/nodejs 7: a photograph, as the README shows it', async () => {
    const photo = await readFile(fixture('photos/china.jpg'))
    const answer = await sdk7(server).files.upload({
      file: createReadStream(fixture('photos/china.jpg')),
      fileName: 'china.jpg',
    })
    const path = answer.filePath!
    expect(path).toMatch(/^\/china_[A-Za-z0-9_-]{9}\.jpg$/)
    // The whole answer: what the seeds show, and nothing that only comes on request.
    expect(answer).toEqual({
      fileId: expect.stringMatching(FILE_ID),
      name: path.slice(1),
      size: photo.length,
      versionInfo: { id: answer.fileId, name: 'Version 1' },
      filePath: path,
      url: `${server.endpoint}${path}`,
      thumbnailUrl: `${server.endpoint}/tr:n-media_library_thumbnail${path}`,
      fileType: 'image',
      height: 427,
      width: 640,
      orientation: 1,
      tags: null,
      AITags: null,
      isPrivateFile: false,
      isPublished: true,
      customCoordinates: null,
    })
    expect((await fetchBytes(answer.url!)).equals(photo)).toBe(true)
  })

  test('imagekit 6: a photograph with its promise and its response metadata', async () => {
    const photo = await readFile(fixture('photos/flower.jpg'))
    const answer = await sdk6(server).upload({ file: photo, fileName: 'flower.jpg', tags: ['tag1', 'tag2'] })
    expect(answer).toMatchObject({
      fileId: expect.stringMatching(FILE_ID),
      name: expect.stringMatching(/^flower_.{9}\.jpg$/),
      height: 427,
      width: 640,
      size: photo.length,
      fileType: 'image',
      tags: ['tag1', 'tag2'],
    })
    expect(answer.$ResponseMetadata.statusCode).toBe(200)
    expect(answer.$ResponseMetadata.headers['x-ik-requestid']).toMatch(/\S/)
    expect((await fetchBytes(answer.url)).equals(photo)).toBe(true)
  })

  test('imagekit 6: with a callback, through v2', async () => {
    const photo = await readFile(fixture('photos/leaves.jpg'))
    const answer = await new Promise<{ url: string; size: number } | null>((resolve, reject) => {
      sdk6(server, 'v2').upload(
        { file: photo, fileName: 'leaves.jpg', useUniqueFileName: false },
        (error, result) => (error ? reject(error) : resolve(result)),
      )
    })
    expect(answer).toMatchObject({ url: `${server.endpoint}/leaves.jpg`, size: photo.length })
  })

  test('@imagekit/nodejs 7: through v2', async () => {
    const photo = await readFile(fixture('photos/rocket.jpg'))
    const answer = await sdk7(server).beta.v2.files.upload({
      file: createReadStream(fixture('photos/rocket.jpg')),
      fileName: 'rocket.jpg',
      useUniqueFileName: false,
      tags: ['space'],
    })
    expect(answer).toMatchObject({ filePath: '/rocket.jpg', size: photo.length, tags: ['space'] })
  })

  const allFields = {
    fileName: 'all fields.jpg',
    useUniqueFileName: false,
    tags: ['t-shirt', 'round-neck', 'sale2019'],
    folder: '/images/products/',
    isPrivateFile: false,
    isPublished: true,
    customCoordinates: '10,10,100,100',
    overwriteFile: true,
    overwriteAITags: true,
    overwriteTags: true,
    overwriteCustomMetadata: true,
  }
  const allAnswers = {
    name: 'all_fields.jpg',
    filePath: '/images/products/all_fields.jpg',
    tags: ['t-shirt', 'round-neck', 'sale2019'],
    isPrivateFile: false,
    isPublished: true,
    customCoordinates: '10,10,100,100',
    fileType: 'image',
    AITags: null,
    customMetadata: {},
    embeddedMetadata: expect.any(Object),
    metadata: expect.objectContaining({ format: 'jpg', pHash: expect.stringMatching(/^[0-9a-f]{16}$/) }),
  }

  test('@imagekit/nodejs 7: every parameter at once', async () => {
    const answer = await sdk7(server).files.upload({
      file: createReadStream(fixture('photos/china.jpg')),
      ...allFields,
      description: 'Running shoes',
      customMetadata: {},
      responseFields: [
        'tags',
        'customCoordinates',
        'isPrivateFile',
        'embeddedMetadata',
        'isPublished',
        'customMetadata',
        'metadata',
        'selectedFieldsSchema',
      ],
    })
    expect(answer).toMatchObject({ ...allAnswers, description: 'Running shoes', selectedFieldsSchema: {} })
  })

  test('imagekit 6: every parameter at once, and undefined and null sent literally', async () => {
    const answer = await sdk6(server).upload({
      file: await readFile(fixture('photos/china.jpg')),
      ...allFields,
      customMetadata: {},
      responseFields: [
        'tags',
        'customCoordinates',
        'isPrivateFile',
        'embeddedMetadata',
        'isPublished',
        'customMetadata',
        'metadata',
      ],
      extensions: undefined,
      webhookUrl: null as unknown as string,
      checks: undefined,
    })
    expect(answer).toMatchObject(allAnswers)
    const plain = await sdk6(server).upload({
      file: await readFile(fixture('photos/china.jpg')),
      fileName: 'plain.jpg',
      isPrivateFile: undefined,
      isPublished: undefined,
      tags: undefined,
      folder: undefined,
      customCoordinates: undefined,
      useUniqueFileName: undefined,
      responseFields: undefined,
      overwriteFile: undefined,
    })
    expect(plain).toMatchObject({
      isPrivateFile: false,
      isPublished: true,
      tags: null,
      customCoordinates: null,
    })
    expect(plain.filePath).toMatch(/^\/plain_.{9}\.jpg$/)
  })

  test('a photograph that lies on its side: the size is the stored one, the orientation says how to turn it', async () => {
    const answer = await sdk7(server).files.upload({
      file: createReadStream(fixture('metadata/orientation6-2mp.jpg')),
      fileName: 'turned.jpg',
    })
    expect(answer).toMatchObject({ orientation: 6, fileType: 'image' })
    expect(answer.width!).toBeGreaterThan(answer.height!)
  })

  test.each([
    ['formats/rose-lossy.webp', 'image/webp', { width: 400, height: 301 }],
    ['formats/photo.avif', 'image/avif', {}],
    ['formats/photo-hevc.heic', 'image/heic', {}],
    ['formats/rgb-16bit.tiff', 'image/tiff', {}],
    ['formats/bunny.gif', 'image/gif', { width: 320, height: 180 }],
    ['formats/bunny-animated.webp', 'image/webp', { width: 320, height: 180 }],
    ['formats/logo-alpha.png', 'image/png', {}],
    ['formats/small.bmp', 'image/bmp', {}],
    ['formats/logo.svg', 'image/svg+xml', {}],
  ])('image %s', async (path, mime, size) => {
    const bytes = await readFile(fixture(path))
    const name = path.split('/').pop()!
    const answer = await sdk7(server).files.upload({ file: createReadStream(fixture(path)), fileName: name })
    expect(answer).toMatchObject({
      fileType: 'image',
      width: expect.any(Number),
      height: expect.any(Number),
      thumbnailUrl: expect.stringContaining('/tr:n-media_library_thumbnail/'),
      size: bytes.length,
      ...size,
    })
    const original = await send(server, answer.url!.slice(server.url.length))
    expect(original.headers['content-type']!.split(';')[0]).toBe(mime)
    expect(original.body.equals(bytes)).toBe(true)
    expect(await sdk7(server).files.get(answer.fileId!)).toMatchObject({ fileType: 'image', mime })
  })

  test.each([
    ['formats/one-page.pdf', 'application/pdf'],
    ['audio/speech.mp3', 'audio/mpeg'],
    ['audio/speech-front-center.wav', 'audio/'],
    ['video/subtitles.srt', 'application/x-subrip'],
  ])('non-image %s', async (path, mime) => {
    const bytes = await readFile(fixture(path))
    const name = path.split('/').pop()!
    const answer = await sdk7(server).files.upload({ file: createReadStream(fixture(path)), fileName: name })
    expect(answer).toMatchObject({ fileType: 'non-image', size: bytes.length })
    expect(answer).not.toHaveProperty('thumbnailUrl')
    expect(answer).not.toHaveProperty('orientation')
    const original = await send(server, answer.url!.slice(server.url.length))
    expect(original.headers['content-type']).toContain(mime)
    expect(original.body.equals(bytes)).toBe(true)
  })

  test.each([
    ['site.css', 'body { color: red }\n', 'text/css'],
    ['app.js', 'export const a = 1\n', 'javascript'],
    ['notes.txt', 'größe 写真\n', 'text/plain'],
    ['README', 'no extension, so the bytes have no type\n', 'application/octet-stream'],
    ['noise.xyz', Buffer.from('00ff00fe01fd', 'hex'), 'application/octet-stream'],
  ])('typed by its extension: %s', async (name, content, mime) => {
    const bytes = Buffer.from(content)
    const answer = await sdk6(server).upload({ file: bytes, fileName: name, useUniqueFileName: false })
    expect(answer).toMatchObject({ name, fileType: 'non-image', size: bytes.length })
    const original = await send(server, `/${server.id}/${name}`)
    expect(original.headers['content-type']).toContain(mime)
    expect(original.body.equals(bytes)).toBe(true)
  })

  test.each([
    [
      'video/robot.mp4',
      'video/mp4',
      { width: 560, height: 320, videoCodec: 'h264', audioCodec: 'aac' },
      5.568,
    ],
    [
      'video/film-720p-moov-at-end.mp4',
      'video/mp4',
      { width: 1280, height: 720, videoCodec: 'h264', audioCodec: 'aac' },
      9,
    ],
    [
      'video/robot.mov',
      'video/quicktime',
      { width: 560, height: 320, videoCodec: 'h264', audioCodec: 'aac' },
      5.599,
    ],
    [
      'video/film-480p-vp9-opus.webm',
      'video/webm',
      { width: 854, height: 480, videoCodec: 'vp9', audioCodec: 'opus' },
      4.007,
    ],
    [
      'video/two-audio-subs-chapters.mkv',
      'video/x-matroska',
      { width: 854, height: 480, videoCodec: 'h264', audioCodec: 'aac' },
      6.021,
    ],
  ])('video %s', async (path, mime, facts, durationSec) => {
    const bytes = await readFile(fixture(path))
    const name = path.split('/').pop()!
    const answer = await sdk7(server).files.upload({
      file: createReadStream(fixture(path)),
      fileName: name,
      responseFields: ['metadata'],
    })
    expect(answer).toMatchObject({ fileType: 'non-image', size: bytes.length, ...facts })
    expect(answer).not.toHaveProperty('thumbnailUrl')
    expect(Math.abs(answer.duration! - durationSec)).toBeLessThanOrEqual(1)
    // Bits per second of the whole file (contract notes 1.14, 10).
    const expectedBitRate = (bytes.length * 8) / durationSec
    expect(answer.bitRate!).toBeGreaterThan(expectedBitRate * 0.7)
    expect(answer.bitRate!).toBeLessThan(expectedBitRate * 1.3)
    const { width, height, bitRate, duration, audioCodec, videoCodec, size } = answer
    const format = path.split('.').pop()
    expect(answer.metadata).toEqual({
      height,
      width,
      bitRate,
      duration,
      audioCodec,
      videoCodec,
      size,
      format,
    })
    const original = await send(server, answer.url!.slice(server.url.length))
    expect(original.headers['content-type']).toBe(mime)
    expect(original.body.equals(bytes)).toBe(true)
  })

  test('a silent video has no audio codec', async () => {
    const answer = await sdk7(server).files.upload({
      file: createReadStream(fixture('video/silent-tiny.mp4')),
      fileName: 'silent.mp4',
    })
    expect(answer).toMatchObject({ videoCodec: 'h264', width: 320, height: 180 })
    expect(answer).not.toHaveProperty('audioCodec')
  })

  test('damaged pictures are kept as they are', async () => {
    for (const path of [
      'corrupt/cut-in-half.jpg',
      'corrupt/exif-loop.jpg',
      'corrupt/html-as.gif',
      'corrupt/no-moov.mov',
    ]) {
      const bytes = await readFile(fixture(path))
      const answer = await sdk7(server).files.upload({
        file: createReadStream(fixture(path)),
        fileName: path.split('/').pop()!,
        responseFields: ['metadata', 'embeddedMetadata'],
      })
      expect(answer, path).toMatchObject({ fileId: expect.stringMatching(FILE_ID), size: bytes.length })
      expect((await fetchBytes(answer.url!)).equals(bytes), path).toBe(true)
    }
  })

  test('twenty photographs at once stay apart', async () => {
    const names = ['china', 'flower', 'rocket', 'leaves', 'grace-hopper']
    const photos = await Promise.all(names.map((name) => readFile(fixture(`photos/${name}.jpg`))))
    const sdk = sdk6(server)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => sdk.upload({ file: photos[at % 5]!, fileName: 'same.jpg' })),
    )
    expect(new Set(answers.map((answer) => answer.filePath)).size).toBe(20)
    await Promise.all(
      answers.map(async (answer, at) => {
        expect((await fetchBytes(answer.url)).equals(photos[at % 5]!)).toBe(true)
      }),
    )
  })
})
