import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, openConnection, runExchanges } from './client.ts'
import { type Contender, type ContenderName, cpuSeconds, residentBytes } from './contenders.ts'
import { photo } from './photo.ts'

/** What one slice of work on one contender gave. */
export type Measurement = Record<string, number>

export type Scenario = {
  name: string
  title: string
  contenders: ContenderName[]
  /** The figures that a slice gives, with their units, the main one first. */
  figures: { key: string; unit: string; higherIsBetter: boolean }[]
  /** Done once per contender before the rounds: warm-up and what the slices need. */
  prepare?: (contender: Contender) => Promise<void>
  slice(contender: Contender, size: Size): Promise<Measurement>
}

export type Size = 'quick' | 'full'

const KB = 1000
const MB = 1_000_000
const BOUNDARY = 'tintype-bench'
let serial = 0

/** The bytes around a file in an upload request, and a tail that makes the file's content unlike any other. */
function frame(contender: Contender, fileBytes: number): { before: Buffer; tail: Buffer; after: Buffer } {
  const number = String(++serial).padStart(12, '0')
  const name = `bench-${number}.jpg`
  const field = (key: string, value: string) =>
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`
  const part =
    field('fileName', name) +
    field('useUniqueFileName', 'false') +
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: image/jpeg\r\n\r\n`
  const tail = Buffer.from(number)
  const after = Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  const length = Buffer.byteLength(part) + fileBytes + tail.length + after.length
  const head =
    `POST ${contender.uploadPath} HTTP/1.1\r\nHost: localhost\r\n${contender.headers}` +
    `Content-Type: multipart/form-data; boundary=${BOUNDARY}\r\nContent-Length: ${length}\r\n\r\n`
  return { before: Buffer.from(head + part), tail, after }
}

function uploadRequest(contender: Contender, file: Buffer): Buffer[] {
  const { before, tail, after } = frame(contender, file.length)
  return [before, file, tail, after]
}

function getRequest(contender: Contender, path: string): Buffer[] {
  return [Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${contender.headers}\r\n`)]
}

async function withConnections<T>(
  contender: Contender,
  count: number,
  use: (all: Connection[]) => Promise<T>,
) {
  const connections = await Promise.all(Array.from({ length: count }, () => openConnection(contender.port)))
  try {
    return await use(connections)
  } finally {
    for (const connection of connections) connection.close()
  }
}

/** Runs equal exchanges and gives their rate and the server's CPU time for each. */
async function rate(
  contender: Contender,
  options: { clients: number; count: number; request: () => Buffer[] },
) {
  return withConnections(contender, options.clients, async (connections) => {
    const cpuBefore = cpuSeconds(contender.pid)
    const seconds = await runExchanges(connections, options.count, options.request)
    const cpuMs = ((cpuSeconds(contender.pid) - cpuBefore) / options.count) * 1000
    return { perSecond: options.count / seconds, cpuMs }
  })
}

function uploadScenario(options: {
  name: string
  title: string
  fileBytes: number
  clients: number
  count: Record<Size, number>
}): Scenario {
  const { name, title, fileBytes, clients, count } = options
  const run = (contender: Contender, uploads: number) =>
    rate(contender, { clients, count: uploads, request: () => uploadRequest(contender, photo(fileBytes)) })
  return {
    name,
    title,
    contenders: ['tintype', 'express', 'limit-full', 'limit-fsync'],
    figures: RATE_FIGURES,
    prepare: async (contender) => {
      await run(contender, Math.ceil(count.quick / 2))
    },
    slice: (contender, size) => run(contender, count[size]),
  }
}

const RATE_FIGURES = [
  { key: 'perSecond', unit: 'requests/s', higherIsBetter: true },
  { key: 'cpuMs', unit: 'ms CPU/request', higherIsBetter: false },
]

const uploadLarge: Scenario = {
  name: 'upload-200m',
  title: 'upload 200 MB, one at a time',
  contenders: ['tintype', 'express', 'limit-full', 'limit-fsync'],
  figures: [
    { key: 'mbPerSecond', unit: 'MB/s', higherIsBetter: true },
    { key: 'riseMiB', unit: 'MiB memory rise', higherIsBetter: false },
  ],
  async slice(contender, size) {
    const fileBytes = (size === 'full' ? 200 : 50) * MB
    const start = photo(MB)
    const filler = Buffer.alloc(MB, 'no two large files of one benchmark are equal ')
    const { before, tail, after } = frame(contender, fileBytes)
    function* pieces() {
      yield before
      yield start
      for (let sent = start.length; sent < fileBytes; sent += filler.length) {
        yield filler.subarray(0, Math.min(filler.length, fileBytes - sent))
      }
      yield tail
      yield after
    }
    const idle = residentBytes(contender.pid)
    let peak = idle
    const watch = setInterval(() => {
      peak = Math.max(peak, residentBytes(contender.pid))
    }, 20)
    try {
      return await withConnections(contender, 1, async ([connection]) => {
        const began = performance.now()
        const { status } = await connection!.stream(pieces())
        if (status !== 200) throw new Error(`an upload with status ${status}`)
        const seconds = (performance.now() - began) / 1000
        return { mbPerSecond: fileBytes / MB / seconds, riseMiB: (peak - idle) / 1024 / 1024 }
      })
    } finally {
      clearInterval(watch)
    }
  },
}

/** Path of a picture that each contender has been given to deliver. */
const originals = new Map<ContenderName, string>()

const original: Scenario = {
  name: 'original',
  title: 'original of 100 KB, warm, 16 clients',
  contenders: ['tintype', 'express'],
  figures: RATE_FIGURES,
  async prepare(contender) {
    const [before, ...rest] = uploadRequest(contender, photo(100 * KB))
    const text = before!.toString('latin1')
    const headers = Object.fromEntries(
      text
        .slice(0, text.indexOf('\r\n\r\n'))
        .split('\r\n')
        .slice(1)
        .map((line) => line.split(/: (.*)/, 2) as [string, string])
        .filter(([key]) => !/^(host|content-length)$/i.test(key)),
    )
    const body = Buffer.concat([before!.subarray(text.indexOf('\r\n\r\n') + 4), ...rest])
    const answer = await fetch(`http://127.0.0.1:${contender.port}${contender.uploadPath}`, {
      method: 'POST',
      headers,
      body: new Uint8Array(body),
    })
    originals.set(contender.name, contender.originalPath!((await answer.json()) as { url: string }))
    await this.slice(contender, 'quick')
  },
  slice: (contender, size) =>
    rate(contender, {
      clients: 16,
      count: size === 'full' ? 6000 : 1500,
      request: () => getRequest(contender, originals.get(contender.name)!),
    }),
}

const list: Scenario = {
  name: 'list-100',
  title: 'list of 100 files, 8 clients',
  contenders: ['tintype', 'express', 'limit-full'],
  figures: RATE_FIGURES,
  async prepare(contender) {
    const request = () => uploadRequest(contender, photo(100 * KB))
    await rate(contender, { clients: 8, count: 200, request })
    await this.slice(contender, 'quick')
  },
  slice: (contender, size) =>
    rate(contender, {
      clients: 8,
      count: size === 'full' ? 1500 : 300,
      request: () => getRequest(contender, `${contender.listPath}?limit=100&skip=0`),
    }),
}

/** Memory of a server some seconds after its start, before any request but those for its health. */
export async function idleMiB(contender: Contender): Promise<number> {
  await sleep(2000)
  return residentBytes(contender.pid) / 1024 / 1024
}

export const scenarios: Scenario[] = [
  uploadScenario({
    name: 'upload-100k',
    title: 'upload 100 KB JPEG, 16 at once',
    fileBytes: 100 * KB,
    clients: 16,
    count: { quick: 200, full: 800 },
  }),
  uploadScenario({
    name: 'upload-2m',
    title: 'upload 2 MB JPEG, 4 at once',
    fileBytes: 2 * MB,
    clients: 4,
    count: { quick: 16, full: 60 },
  }),
  uploadLarge,
  original,
  list,
]
