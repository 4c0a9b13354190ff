import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canReadProc, residentMb } from '../support/attack.ts'
import { bmpOf, icoOf, pngOf, psdOf, solid, svg, tiffStrip } from '../support/attack-images.ts'
import { fixture, fixturesDir } from '../support/fixtures.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { mutateImage, randomOf } from '../support/mutate-image.ts'
import { type Server, startServer } from '../support/server.ts'

/** The long form: `npm run test:attack -- --long fuzz-images`. */
const rounds = Number(process.env.TINTYPE_FUZZ_ROUNDS || 160)
const seed = Number(process.env.TINTYPE_FUZZ_SEED || 1)
const AT_ONCE = 4
/** 415 for formats without a decoder, 501 for what has become a video. */
const EXPECTED = new Set([200, 400, 415, 501])
/** As for single hostile files, and several are on their way at once. */
const MAX_MB = 900
/** Where what fails is kept, to be looked at and to become a fixture. */
const KEPT = join(import.meta.dirname, '../../.cache/fuzz')

/** Formats of which every seedling can be drawn. AVIF is not among them: of sequences only the header is read. */
const SERVED = new Set(['jpg', 'png', 'gif', 'webp'])

type Seedling = { format: string; bytes: Buffer }

/** Small pictures of each format, and real ones with all that cameras and editors put in. */
async function seedlings(): Promise<Seedling[]> {
  const picture = () => solid(48, 40)
  const made: [string, Buffer | Promise<Buffer>][] = [
    ['jpg', picture().jpeg().toBuffer()],
    ['jpg', picture().jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).withMetadata().toBuffer()],
    ['png', solid(48, 40, 4).png().toBuffer()],
    ['png', pngOf(30, 20, { transparent: true })],
    ['gif', picture().gif().toBuffer()],
    ['webp', solid(48, 40, 4).webp({ lossless: true }).toBuffer()],
    ['avif', picture().avif({ effort: 0 }).toBuffer()],
    ['tiff', picture().tiff({ compression: 'lzw' }).toBuffer()],
    ['tiff', tiffStrip(8, 8)],
    ['bmp', bmpOf(20, 20)],
    ['ico', icoOf(png(16, 16))],
    ['psd', psdOf(20, 10)],
    [
      'svg',
      svg(
        '<defs><linearGradient id="g"><stop offset="0" stop-color="red"/></linearGradient></defs><rect width="50" height="40" fill="url(#g)"/><text x="1" y="20">text</text>',
      ),
    ],
  ]
  const real = fixturesDir
    ? [
        'metadata/iphone-gps-orientation6.jpg',
        'metadata/pentax-gps-iptc-xmp.jpg',
        'metadata/htc-gps-as-text.jpg',
        'formats/logo-alpha.png',
        'formats/animated.apng.png',
        'formats/animated.gif',
        'formats/rose-alpha.webp',
        'formats/rose-lossy.webp',
        'formats/bunny-animated.webp',
        'formats/still.avif',
        'formats/sequence.avif',
        'formats/photo-hevc.heic',
        'formats/palette.tiff',
        'formats/tiled.tiff',
        'formats/small.bmp',
        'formats/layers.psd',
        'formats/logo.svg',
        'formats/photo.jxl',
      ].map((path): [string, Buffer] => [/\w+$/.exec(path)![0], readFileSync(fixture(path))])
    : []
  return Promise.all([...made, ...real].map(async ([format, bytes]) => ({ format, bytes: await bytes })))
}

describe(`fuzzing of images, seed ${seed}`, () => {
  let server: Server
  let all: Seedling[]
  let idleMb = 0
  beforeAll(async () => {
    all = await seedlings()
    server = await startServer({ env: { TINTYPE_TRANSFORM_PROCESSES: '2' } })
    for (const [index, one] of all.entries()) {
      const answer = await attempt(one.bytes, one.format, index)
      // All of them are whole: a rig that cannot serve them tests nothing.
      if (SERVED.has(one.format)) expect(answer, `${one.format} ${index}`).toEqual([200, 200, 200])
    }
    idleMb = residentMb(server.pid)
  })
  afterAll(() => server?.dispose())

  /** Uploads, asks for a thumbnail and for metadata. @returns the statuses. */
  async function attempt(bytes: Buffer, format: string, round: number): Promise<number[]> {
    const uploaded = await uploadFile(server, bytes, { fileName: `f${round}.${format}` })
    if (uploaded.status !== 200) return [uploaded.status]
    const { url, fileId } = uploaded.json()
    const query =
      format === 'svg' ? 'tr=w-60,f-png' : round % 3 === 0 ? 'tr=w-60,h-60,f-jpg' : 'tr=w-60,f-webp'
    const thumbnail = await send(server, `${new URL(url).pathname}?${query}`)
    const headers = { authorization: basic(server.privateKey) }
    const metadata = await send(server, `/v1/files/${fileId}/metadata`, { headers })
    return [uploaded.status, thumbnail.status, metadata.status]
  }

  test(
    `${rounds} broken files give no 5xx, no crash, no hang, and bounded memory`,
    async () => {
      let next = 0
      let peakMb = 0
      const counts = new Map<string, number>()
      const failures: string[] = []
      const worker = async () => {
        while (next < rounds && failures.length < 5) {
          const round = next++
          const random = randomOf(seed * 1_000_003 + round)
          const { format, bytes } = all[random(all.length)]!
          const broken = mutateImage(bytes, format, random)
          const outcome = await attempt(broken, format, round).catch((error: Error) => error.message)
          const name = String(outcome)
          counts.set(name, (counts.get(name) ?? 0) + 1)
          peakMb = Math.max(peakMb, residentMb(server.pid))
          if (typeof outcome === 'string' || !outcome.every((status) => EXPECTED.has(status))) {
            mkdirSync(KEPT, { recursive: true })
            writeFileSync(join(KEPT, `${seed}-${round}.${format}`), broken)
            failures.push(`round ${round}, ${format}: ${name}`)
          }
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, worker))
      const deaths = server.output().split('a render process died').length - 1
      console.log(
        `images: ${next} rounds, seed ${seed}: ${[...counts].map(([name, count]) => `${count} x ${name}`).join('; ')}; ${deaths} render processes died; peak ${Math.round(peakMb - idleMb)} MB above idle`,
      )
      expect(failures).toEqual([])
      expect((await send(server, '/health')).status).toBe(200)
      expect(server.output()).not.toMatch(/uncaught|unhandled/i)
      if (canReadProc) expect(peakMb - idleMb).toBeLessThan(MAX_MB)
    },
    60_000 + rounds * 1000,
  )
})
