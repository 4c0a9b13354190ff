import sharp from 'sharp'
import { type Connection, openConnection, runExchanges } from './client.ts'
import { cpuSeconds, residentBytes } from './contenders.ts'
import { photo } from './photo.ts'
import type { Measurement, Size } from './scenarios.ts'
import { type Format, type ImageServer, type ImageServerName, untilIdle } from './transform-contenders.ts'

export type ImageScenario = {
  name: string
  title: string
  contenders: ImageServerName[]
  /** The figures that a slice gives, the main one first. */
  figures: { key: string; unit: string }[]
  slice(server: ImageServer, size: Size): Promise<Measurement>
}

export const KB = 1000
export const MB = 1_000_000
const WIDTH_PX = 400

let serial = 0

/** Gives a server a picture that it has not seen before, of the given size. @returns its name. */
async function placeNew(server: ImageServer, base: Buffer): Promise<string> {
  const number = String(++serial).padStart(12, '0')
  const fileName = `photo-${number}.jpg`
  await server.place(fileName, Buffer.concat([base, Buffer.from(number)]))
  return fileName
}

async function placeSeveral(server: ImageServer, base: Buffer, count: number): Promise<string[]> {
  const names: string[] = []
  for (let index = 0; index < count; index++) names.push(await placeNew(server, base))
  return names
}

const get = (target: string) => [Buffer.from(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`)]

async function withConnections<T>(
  server: ImageServer,
  count: number,
  use: (connections: Connection[]) => Promise<T>,
): Promise<T> {
  const connections = await Promise.all(Array.from({ length: count }, () => openConnection(server.port)))
  try {
    return await use(connections)
  } finally {
    for (const connection of connections) connection.close()
  }
}

/** Asks for each target once, one after the other. */
async function oneByOne(server: ImageServer, targets: string[]): Promise<Measurement> {
  return withConnections(server, 1, async (connections) => {
    const before = cpuSeconds(server.pid)
    const seconds = await runExchanges(connections, targets.length, (at) => get(targets[at]!))
    await untilIdle(server.pid)
    const cpu = cpuSeconds(server.pid) - before
    return { cpuMs: (cpu / targets.length) * 1000, wallMs: (seconds / targets.length) * 1000 }
  })
}

async function cold(server: ImageServer, base: Buffer, options: { count: number; format: Format }) {
  const names = await placeSeveral(server, base, options.count)
  await untilIdle(server.pid)
  return oneByOne(
    server,
    names.map((name) => server.target(name, { widthPx: WIDTH_PX, format: options.format })),
  )
}

const COLD_FIGURES = [
  { key: 'cpuMs', unit: 'ms CPU/image' },
  { key: 'wallMs', unit: 'ms/image' },
]

function coldScenario(options: {
  name: string
  title: string
  base: () => Buffer
  count: Record<Size, number>
}): ImageScenario {
  const { name, title, base, count } = options
  return {
    name,
    title,
    contenders: ['tintype', 'sharp', 'ipx', 'nginx'],
    figures: COLD_FIGURES,
    slice: (server, size) => cold(server, base(), { count: count[size], format: 'webp' }),
  }
}

/** Many clients ask for one new picture at once; beside it, one client for another. */
function herdScenario(clients: number, contenders: ImageServerName[]): ImageScenario {
  return {
    name: `herd-${clients}`,
    title: `${clients} clients, one new URL (2 MB JPEG → ${WIDTH_PX} px WebP)`,
    contenders,
    figures: [
      { key: 'times', unit: '× the time of one' },
      { key: 'cpuTimes', unit: '× the CPU time of one' },
      { key: 'herdMs', unit: 'ms until all have it' },
      { key: 'oneMs', unit: 'ms for one' },
    ],
    async slice(server, size) {
      const pairs = size === 'full' ? 5 : 2
      const sums = { one: 0, oneCpu: 0, herd: 0, herdCpu: 0 }
      for (let pair = 0; pair < pairs; pair++) {
        const [first, second] = await placeSeveral(server, photo(2 * MB), 2)
        const single = await oneByOne(server, [server.target(first!, { widthPx: WIDTH_PX, format: 'webp' })])
        sums.one += single.wallMs!
        sums.oneCpu += single.cpuMs!
        const target = server.target(second!, { widthPx: WIDTH_PX, format: 'webp' })
        await withConnections(server, clients, async (connections) => {
          const before = cpuSeconds(server.pid)
          sums.herd += (await runExchanges(connections, clients, () => get(target))) * 1000
          await untilIdle(server.pid)
          sums.herdCpu += (cpuSeconds(server.pid) - before) * 1000
        })
      }
      return {
        times: sums.herd / sums.one,
        cpuTimes: sums.herdCpu / sums.oneCpu,
        herdMs: sums.herd / pairs,
        oneMs: sums.one / pairs,
      }
    },
  }
}

/** A picture as it came from Tintype, given to those who only have it ready. */
const warmed = new Set<ImageServerName>()
let still: { target: string; bytes: Buffer } | undefined

async function warmTarget(server: ImageServer): Promise<string> {
  if (server.name !== 'tintype') {
    if (!still) throw new Error('Tintype has to be measured first')
    if (!warmed.has(server.name)) await server.place('still.webp', still.bytes)
    warmed.add(server.name)
    return server.stillTarget
  }
  if (!still) {
    const name = await placeNew(server, photo(2 * MB))
    const target = server.target(name, { widthPx: WIDTH_PX, format: 'webp' })
    const answer = await fetch(`http://127.0.0.1:${server.port}${target}`)
    still = { target, bytes: Buffer.from(await answer.arrayBuffer()) }
  }
  return still.target
}

const warm: ImageScenario = {
  name: 'warm',
  title: `${WIDTH_PX} px WebP, asked for again and again, 16 clients`,
  contenders: ['tintype', 'memory', 'nginx'],
  figures: [
    { key: 'perSecond', unit: 'requests/s' },
    { key: 'cpuUs', unit: 'µs CPU/request' },
  ],
  async slice(server, size) {
    const target = await warmTarget(server)
    const request = get(target)
    const count = size === 'full' ? 40_000 : 8000
    return withConnections(server, 16, async (connections) => {
      await runExchanges(connections, 2000, () => request)
      const before = cpuSeconds(server.pid)
      const seconds = await runExchanges(connections, count, () => request)
      const cpu = cpuSeconds(server.pid) - before
      return { perSecond: count / seconds, cpuUs: (cpu / count) * 1e6 }
    })
  },
}

const avif: ImageScenario = {
  name: 'avif',
  title: `2 MB JPEG → ${WIDTH_PX} px AVIF, and WebP beside it`,
  contenders: ['tintype', 'sharp', 'ipx'],
  figures: [
    { key: 'times', unit: '× the CPU time of WebP' },
    { key: 'cpuMs', unit: 'ms CPU/image' },
    { key: 'wallMs', unit: 'ms/image' },
  ],
  async slice(server, size) {
    const count = size === 'full' ? 4 : 2
    const webp = await cold(server, photo(2 * MB), { count, format: 'webp' })
    const own = await cold(server, photo(2 * MB), { count, format: 'avif' })
    return { times: own.cpuMs! / webp.cpuMs!, cpuMs: own.cpuMs!, wallMs: own.wallMs! }
  },
}

/** Memory while 200 clients ask for 200 pictures that are not there yet; what is too much is answered 503. */
const flood: ImageScenario = {
  name: 'flood',
  title: '200 clients, 200 new URLs of 2 MB JPEGs at once',
  contenders: ['tintype', 'sharp', 'ipx', 'nginx'],
  figures: [
    { key: 'peakMiB', unit: 'MiB memory at the peak' },
    { key: 'answered', unit: 'pictures' },
    { key: 'refused', unit: 'answers 503' },
    { key: 'seconds', unit: 's' },
  ],
  async slice(server, size) {
    const count = size === 'full' ? 200 : 40
    const names = await placeSeveral(server, photo(2 * MB), 20)
    const statuses: number[] = []
    const began = performance.now()
    const peakMiB = await peakOf(server, () =>
      withConnections(server, count, (connections) =>
        Promise.all(
          connections.map(async (connection, at) => {
            const widthPx = WIDTH_PX + Math.floor(at / names.length)
            const target = server.target(names[at % names.length]!, { widthPx, format: 'webp' })
            statuses.push((await connection.exchange(get(target))).status)
          }),
        ),
      ),
    )
    const seconds = (performance.now() - began) / 1000
    const answered = statuses.filter((status) => status === 200).length
    const refused = statuses.filter((status) => status === 503).length
    if (answered + refused !== count) throw new Error(`${server.name}: ${statuses.join(' ')}`)
    return { peakMiB, answered, refused, seconds }
  },
}

/** The most memory that a server and its children have while something runs, in MiB. */
export async function peakOf(server: ImageServer, run: () => Promise<unknown>): Promise<number> {
  let peak = residentBytes(server.pid)
  const watch = setInterval(() => {
    peak = Math.max(peak, residentBytes(server.pid))
  }, 10)
  try {
    await run()
  } finally {
    clearInterval(watch)
  }
  return Math.max(peak, residentBytes(server.pid)) / 1024 / 1024
}

export type Quality = { sizeBytes: number; psnrDb: number; type: string }

/** What the servers' pictures are worth: their length, and their distance from an exact resize of the same photo. */
export async function measureQuality(server: ImageServer, format: Format): Promise<Quality> {
  const name = await placeNew(server, photo(2 * MB))
  const answer = await fetch(
    `http://127.0.0.1:${server.port}${server.target(name, { widthPx: WIDTH_PX, format })}`,
  )
  if (!answer.ok) throw new Error(`${server.name}: ${answer.status} ${await answer.text()}`)
  const bytes = Buffer.from(await answer.arrayBuffer())
  const { data: got, info } = await sharp(bytes)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
  // From whole pixels: what shrinks while it decodes is judged here too.
  const whole = await sharp(photo(2 * MB))
    .png({ compressionLevel: 1 })
    .toBuffer()
  const exact = await sharp(whole).resize(info.width, info.height, { fit: 'fill' }).raw().toBuffer()
  let sum = 0
  for (let at = 0; at < exact.length; at++) sum += (exact[at]! - got[at]!) ** 2
  return {
    sizeBytes: bytes.length,
    psnrDb: 10 * Math.log10(255 ** 2 / (sum / exact.length)),
    type: answer.headers.get('content-type') ?? '',
  }
}

export const imageScenarios: ImageScenario[] = [
  coldScenario({
    name: 'cold-100k',
    title: `cold: 100 KB JPEG → ${WIDTH_PX} px WebP`,
    base: () => photo(100 * KB),
    count: { quick: 8, full: 24 },
  }),
  coldScenario({
    name: 'cold-2m',
    title: `cold: 2 MB JPEG → ${WIDTH_PX} px WebP`,
    base: () => photo(2 * MB),
    count: { quick: 4, full: 10 },
  }),
  coldScenario({
    name: 'cold-8m',
    title: `cold: 8 MB JPEG → ${WIDTH_PX} px WebP`,
    base: () => photo(8 * MB),
    count: { quick: 2, full: 4 },
  }),
  coldScenario({
    name: 'cold-srgb',
    title: `cold: 2 MB JPEG with an sRGB profile, as cameras write it → ${WIDTH_PX} px WebP`,
    base: withProfile,
    count: { quick: 4, full: 10 },
  }),
  herdScenario(16, ['tintype', 'sharp', 'ipx']),
  herdScenario(200, ['tintype']),
  warm,
  avif,
  flood,
]

let profiled: Buffer | undefined

/** Makes what `cold-srgb` asks for. */
export async function makeProfiled(): Promise<void> {
  profiled = await sharp(photo(2 * MB))
    .withIccProfile('srgb')
    .jpeg({ quality: 85 })
    .toBuffer()
}

function withProfile(): Buffer {
  if (!profiled) throw new Error('the picture with a profile was not made')
  return profiled
}
