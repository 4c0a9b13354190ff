import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import sharp from 'sharp'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ExtensionOptions, Extensions } from '../../../src/extensions/extensions.ts'
import { createPixels } from '../../../src/extensions/local/pixels.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { createSafeFetch } from '../../../src/kernel/safe-fetch.ts'
import { assetOf, openExtensions } from '../../support/extensions.ts'
import { colorClassifier, onnxModel, redMask } from '../../support/onnx.ts'
import { startModelServer } from '../../support/providers/model-server.ts'
import { startService } from '../../support/providers/service.ts'

const RED = '#ff0000'
const BLUE = '#0000ff'

let folder: string
const open: { close(): Promise<void> }[] = []
const kept = <T extends { close(): Promise<void> }>(thing: T): T => {
  open.push(thing)
  return thing
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tintype-local-'))
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close()))
})
afterAll(() => rm(folder, { recursive: true }))

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

const flat = (background: string, width = 20, height = 20) =>
  sharp({ create: { width, height, channels: 3, background } })
const picture = (background: string) => flat(background).png().toBuffer()

/** Red on the left, blue on the right. */
const halves = async () =>
  flat(BLUE, 40, 20)
    .composite([{ input: await flat(RED, 20, 20).png().toBuffer(), left: 0, top: 0 }])
    .png()
    .toBuffer()

/** The four channels of the middle of the left and the right half. */
async function pixelsOf(bytes: Buffer): Promise<{ left: number[]; right: number[] }> {
  const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
  const at = (x: number) => {
    const offset = (Math.floor(info.height / 2) * info.width + x) * 4
    return [...data.subarray(offset, offset + 4)]
  }
  return { left: at(Math.floor(info.width / 4)), right: at(Math.floor((info.width * 3) / 4)) }
}

const tagging = { name: 'google-auto-tagging' as const, minConfidence: 0, maxTags: 3 }
type Tagging = Partial<ExtensionOptions['local']['tagging']>

const tagger = async (model: Buffer, labels: string, more: Tagging = {}, options: object = {}) =>
  kept(
    openExtensions({
      local: {
        tagging: {
          modelPath: await file('tagging.onnx', model),
          labelsPath: await file('labels', labels),
          normalization: 'unit',
          ...more,
        },
        ...options,
      },
    }),
  )
const tagsOf = async (extensions: Extensions, bytes: Buffer) => {
  const result = await extensions.run(tagging, assetOf({ bytes }))
  if (result.kind !== 'ai-tags') throw new Error(result.kind)
  return result.tags.map(({ name, confidence }) => [name, confidence])
}

describe('tagging by a model file', () => {
  test('names what the model sees, with the confidence that its outputs stand for', async () => {
    const extensions = await tagger(colorClassifier(5), 'red\ngreen\nblue\n')
    const top = Math.round((100 * 100 * Math.exp(5)) / (Math.exp(5) + 2)) / 100
    const result = await extensions.run(tagging, assetOf({ bytes: await picture(RED) }))
    expect(result).toMatchObject({
      kind: 'ai-tags',
      tags: [{ name: 'red', confidence: top, source: 'google-auto-tagging' }, {}, {}],
    })
    expect((await tagsOf(extensions, await picture(BLUE)))[0]).toEqual(['blue', top])
    expect(extensions.isConfigured('aws-auto-tagging')).toBe(true)
    expect(extensions.isConfigured('remove-bg')).toBe(false)
  })

  test('finds the labels nearest to a picture by their vectors', async () => {
    const labels = {
      labels: [
        { name: 'fire', embedding: [2, 0.2, 0] },
        { name: 'sea', embedding: [0, 0.5, 3] },
      ],
      scale: 50,
    }
    const extensions = await tagger(colorClassifier(1, 'side'), JSON.stringify(labels), { inputSizePx: 16 })
    const [[name, confidence] = []] = await tagsOf(extensions, await picture(BLUE))
    expect([name, confidence]).toEqual(['sea', 100])
    expect((await tagsOf(extensions, await picture(RED)))[0]![0]).toBe('fire')
  })

  test.each([
    [
      'none',
      [
        ['red', 100],
        ['green', 0],
        ['blue', 0],
      ],
    ],
    [
      'sigmoid',
      [
        ['red', 73.11],
        ['green', 50],
        ['blue', 50],
      ],
    ],
  ] as const)('takes outputs by %s', async (activation, expected) => {
    const extensions = await tagger(colorClassifier(), 'red\ngreen\nblue', { activation })
    expect(await tagsOf(extensions, await picture(RED))).toEqual(expected)
  })

  test('feeds models that want bytes, pixel by pixel', async () => {
    const model = onnxModel({
      input: [1, 8, 8, 3],
      inputType: 2,
      output: [1, 3],
      constants: { scale: { shape: [1], values: [255] } },
      nodes: [
        { op: 'Cast', inputs: ['in'], output: 'floats', attributes: { to: 1 } },
        { op: 'ReduceMean', inputs: ['floats'], output: 'means', attributes: { axes: [1, 2], keepdims: 0 } },
        { op: 'Div', inputs: ['means', 'scale'], output: 'out' },
      ],
    })
    const extensions = await tagger(model, 'red\n\nblue', { activation: 'none' })
    expect(await tagsOf(extensions, await picture('#ff00ff'))).toEqual([
      ['red', 100],
      ['blue', 100],
    ])
  })

  test.each([
    ['a model that is none', Buffer.from('nonsense'), 'a\nb\nc'],
    ['labels that are too few', colorClassifier(), 'a\nb'],
    ['vectors of another length', colorClassifier(), '{"labels":[{"name":"a","embedding":[1]}]}'],
    ['labels that are no JSON', colorClassifier(), '{"labels":'],
    [
      'a model that takes no picture',
      onnxModel({
        input: [1, 4],
        output: [1, 4],
        nodes: [{ op: 'Identity', inputs: ['in'], output: 'out' }],
      }),
      'a',
    ],
  ])('fails for good with %s', async (_, model, labels) => {
    const extensions = await tagger(model, labels)
    await expect(extensions.run(tagging, assetOf({ bytes: await picture(RED) }))).rejects.toMatchObject({
      kind: 'internal',
      message: 'The model of this server could not be used.',
    })
  })

  test('goes on after a picture that cannot be read', async () => {
    const extensions = await tagger(colorClassifier(), 'red\ngreen\nblue')
    const whole = await picture(RED)
    await expect(
      extensions.run(tagging, assetOf({ bytes: whole.subarray(0, whole.length - 30) })),
    ).rejects.toMatchObject({
      kind: 'unsupported',
      message: 'The image could not be read: it is corrupt, too large or not supported.',
    })
    expect((await tagsOf(extensions, whole))[0]![0]).toBe('red')
  })

  test('refuses pictures that would fill the memory, and formats that no one asked it to read', async () => {
    const extensions = await tagger(colorClassifier(), 'red\ngreen\nblue', {}, { maxMegapixels: 1 })
    const unsupported = { kind: 'unsupported' }
    const large = await flat(RED, 1001, 1000).png().toBuffer()
    await expect(extensions.run(tagging, assetOf({ bytes: large }))).rejects.toMatchObject(unsupported)
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    await expect(extensions.run(tagging, assetOf({ bytes: svg }))).rejects.toMatchObject(unsupported)
  })

  test('ends what takes too long or is not wanted any more, and goes on with the next', async () => {
    const extensions = await tagger(colorClassifier(), 'red\ngreen\nblue')
    const bytes = await picture(RED)
    await expect(extensions.run(tagging, assetOf({ bytes }), AbortSignal.timeout(1))).rejects.toMatchObject({
      kind: 'timeout',
      message: 'The extension was not done in time.',
    })
    expect((await tagsOf(extensions, bytes))[0]![0]).toBe('red')
  })

  test('takes one picture at a time and no more in line than it is set to', async () => {
    const extensions = await tagger(colorClassifier(), 'red\ngreen\nblue', {}, { queue: 2 })
    const bytes = await picture(RED)
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, () => extensions.run(tagging, assetOf({ bytes }))),
    )
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
    ])
    expect((results[4] as PromiseRejectedResult).reason).toMatchObject({ kind: 'rate-limited' })
  })

  test('says at the start what is missing', async () => {
    const modelPath = await file('tagging.onnx', colorClassifier())
    const start = (local: object) => () => openExtensions({ local })
    expect(start({ tagging: { modelPath } })).toThrow('extensions.local.tagging.labelsPath is not')
    expect(start({ tagging: { modelPath, labelsPath: '/no/labels' } })).toThrow(
      'The labels file /no/labels does not exist',
    )
    expect(start({ cutOut: { modelPath: '/no/model' } })).toThrow('The model file /no/model does not exist')
  })
})

describe('cutting out by a model file', () => {
  const cutter = async (more: object = {}, deps = {}) =>
    kept(
      openExtensions(
        {
          local: {
            cutOut: { modelPath: await file('mask.onnx', redMask()), normalization: 'unit', ...more },
          },
        },
        deps,
      ),
    )
  const cut = async (extensions: Extensions, bytes: Buffer, options = {}, asset = {}) => {
    const result = await extensions.run({ name: 'remove-bg', options }, assetOf({ bytes, ...asset }))
    if (result.kind !== 'file') throw new Error(result.kind)
    return result
  }

  test('makes all transparent but the subject, in the size of the picture', async () => {
    const extensions = await cutter()
    expect(extensions.isConfigured('remove-bg')).toBe(true)
    const result = await cut(extensions, await halves())
    expect([result.mime, result.extension]).toEqual(['image/png', 'png'])
    expect(await sharp(result.bytes).metadata()).toMatchObject({ width: 40, height: 20, channels: 4 })
    const { left, right } = await pixelsOf(result.bytes)
    expect(left).toEqual([255, 0, 0, 255])
    expect(right[3]).toBe(0)
  })

  test('turns a picture upright first', async () => {
    const turned = await sharp(await halves())
      .jpeg({ quality: 100 })
      .withExif({})
      .withMetadata({ orientation: 6 })
      .toBuffer()
    const result = await cut(await cutter(), turned, {}, { mime: 'image/jpeg' })
    expect(await sharp(result.bytes).metadata()).toMatchObject({ width: 20, height: 40 })
  })

  test('makes WebP where it is set to', async () => {
    const result = await cut(await cutter({ format: 'webp' }), await halves())
    expect([result.mime, result.extension]).toEqual(['image/webp', 'webp'])
  })

  test('has edges without half-transparent pixels where they are not wanted', async () => {
    const alphas = async (options: object) => {
      const { bytes } = await cut(await cutter(), await halves(), options)
      return new Set(await sharp(bytes).extractChannel(3).raw().toBuffer())
    }
    expect((await alphas({})).size).toBeGreaterThan(2)
    expect([...(await alphas({ semitransparency: false }))].sort()).toEqual([0, 255])
  })

  test.each([
    ['00ff00', [0, 255, 0, 255]],
    ['#0f0', [0, 255, 0, 255]],
    ['lime', [0, 255, 0, 255]],
  ])('puts the color %s behind', async (color, expected) => {
    const { bytes } = await cut(await cutter(), await halves(), { bg_color: color })
    expect(await pixelsOf(bytes)).toEqual({ left: [255, 0, 0, 255], right: expected })
  })

  test('refuses a color that there is not', async () => {
    await expect(cut(await cutter(), await halves(), { bg_color: 'nocolor' })).rejects.toMatchObject({
      kind: 'unsupported',
    })
  })

  test('puts a picture behind, which fills the place', async () => {
    const backdrop = await flat('#00ff00', 5, 9).jpeg({ quality: 100 }).toBuffer()
    const host = kept(
      await startService(() => ({ headers: { 'content-type': 'image/jpeg' }, body: backdrop })),
    )
    const safeFetch = createSafeFetch({ allowPrivateNetwork: true })
    const { bytes } = await cut(await cutter({}, { safeFetch }), await halves(), {
      bg_image_url: `${host.url}/a.jpg`,
    })
    const { left, right } = await pixelsOf(bytes)
    expect(left).toEqual([255, 0, 0, 255])
    expect(right[1]).toBeGreaterThan(250)
    expect(right[0]).toBeLessThan(5)
  })

  test('keeps what was transparent before', async () => {
    const clear = await sharp({ create: { width: 40, height: 20, channels: 4, background: '#ff000000' } })
      .png()
      .toBuffer()
    const { left } = await pixelsOf((await cut(await cutter(), clear)).bytes)
    expect(left[3]).toBe(0)
  })
})

describe('a process that dies', () => {
  test.each([
    ['by a signal, as a crash in a decoder does', 'process.kill(process.pid, "SIGSEGV")', 'unsupported'],
    ['by itself', 'process.exit(3)', 'internal'],
  ] as const)('%s fails its picture, and the next has another one', async (_, death, kind) => {
    const path = await file(
      'dying.mjs',
      `process.on('message', ({ id, job }) => {
         if (job.format === 'webp') ${death}
         else process.send({ id, result: { bytes: new Uint8Array([1]) } })
       })`,
    )
    const pixels = kept(
      createPixels({ timeoutMs: 5000, queue: 1, idleMs: 60_000 }, silentLog, pathToFileURL(path)),
    )
    const run = (format: 'webp' | 'png') =>
      pixels.run(
        {
          kind: 'cut-out',
          image: new Uint8Array(),
          mask: undefined,
          background: undefined,
          hardEdges: false,
          format,
          maxPixels: 1,
        },
        new AbortController().signal,
      )
    await expect(run('webp')).rejects.toMatchObject({ kind })
    expect(await run('png')).toEqual({ bytes: new Uint8Array([1]) })
  })
})

describe('masks of a model server', () => {
  test('are put over the picture here, whatever their size', async () => {
    const mask = await sharp(Buffer.from([255, 0]), { raw: { width: 2, height: 1, channels: 1 } })
      .resize(8, 4, { kernel: 'nearest' })
      .png()
      .toBuffer()
    const server = kept(await startModelServer({ 'cut-out': { mask: { data: mask.toString('base64') } } }))
    const extensions = kept(openExtensions({ http: { url: server.url } }))
    const result = await extensions.run({ name: 'remove-bg' }, assetOf({ bytes: await halves() }))
    if (result.kind !== 'file') throw new Error(result.kind)
    const { left, right } = await pixelsOf(result.bytes)
    expect([left, right[3]]).toEqual([[255, 0, 0, 255], 0])
  })

  test('or its cut-outs get the background that was asked for', async () => {
    const cut = await sharp({ create: { width: 40, height: 20, channels: 4, background: '#ff000080' } })
      .png()
      .toBuffer()
    const server = kept(await startModelServer({ 'cut-out': cut }))
    const extensions = kept(openExtensions({ http: { url: server.url } }))
    const options = { bg_color: 'blue', semitransparency: false }
    const result = await extensions.run({ name: 'remove-bg', options }, assetOf({ bytes: await halves() }))
    if (result.kind !== 'file') throw new Error(result.kind)
    expect((await pixelsOf(result.bytes)).left).toEqual([255, 0, 0, 255])
  })
})
