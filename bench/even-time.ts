/**
 * `node bench/even-time.ts`: whether the time of a refusal tells what it must not (trust A04, L07): how near a guessed
 * key or signature comes, and whether a file exists. Writes bench/results/even-time.md.
 *
 *   node bench/even-time.ts --pairs=1000    fewer requests, a rough look; writes nothing
 *
 * Two requests that must take equally long are sent in turns, in random order, on one connection. Beside their
 * difference stands the noise: the same measured with the first request in both places.
 */
import { createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { basic, uploadFile } from '../test/support/http-client.ts'
import { png } from '../test/support/images.ts'
import { type Server, startServer } from '../test/support/server.ts'
import { type Connection, openConnection } from './client.ts'

const DEFAULT_PAIRS = 20_000
const pairs = Number(process.argv.find((arg) => arg.startsWith('--pairs='))?.slice(8) ?? DEFAULT_PAIRS)
const WARM_UP = 500

/** Two requests that have to be answered alike, and as what. */
type Question = { name: string; status: number; requests: [Buffer, Buffer] }

const requestOf = (path: string, headers: Record<string, string> = {}) =>
  Buffer.from(
    [
      `GET ${path} HTTP/1.1`,
      'host: 127.0.0.1',
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      '',
      '',
    ].join('\r\n'),
  )

/** Changes one character of a text, into one that it may have. */
const changed = (text: string, at: number) =>
  text.slice(0, at) + (text[at] === 'a' ? 'b' : 'a') + text.slice(at + 1)

function questionsOf(server: Server, strict: boolean): Question[] {
  const { id, privateKey } = server
  if (strict) {
    const asked = (file: string) => requestOf(`/${id}/${file}`)
    return [
      { name: 'a public file, and none', status: 401, requests: [asked('public.png'), asked('missed.png')] },
      { name: 'a private file, and none', status: 401, requests: [asked('secret.png'), asked('missed.png')] },
      { name: 'a draft, and none', status: 401, requests: [asked('drafts.png'), asked('missed.png')] },
    ]
  }
  const listed = (key: string) => requestOf('/v1/files?limit=1', { authorization: basic(key) })
  const last = privateKey.length - 1
  const signature = createHmac('sha1', privateKey).update('secret.png9999999999').digest('hex')
  const signed = (text: string) => requestOf(`/${id}/secret.png?ik-s=${text}`)
  return [
    {
      name: 'a key that is wrong at its end, and at its beginning',
      status: 403,
      requests: [listed(changed(privateKey, last)), listed(changed(privateKey, 'private_'.length))],
    },
    {
      name: 'a key that is wrong at its end, and one that is another altogether',
      status: 403,
      requests: [
        listed(changed(privateKey, last)),
        listed(`private_${'z'.repeat(privateKey.length - 'private_'.length)}`),
      ],
    },
    {
      name: 'a signature that is wrong at its end, and at its beginning',
      status: 401,
      requests: [signed(changed(signature, signature.length - 1)), signed(changed(signature, 0))],
    },
  ]
}

const medianOf = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

/** @returns the medians of both in microseconds, and that of the differences within the pairs. */
async function compare(connection: Connection, [first, second]: [Buffer, Buffer], status: number) {
  const ask = async (request: Buffer) => {
    const startMs = performance.now()
    const answer = await connection.exchange([request])
    if (answer.status !== status) throw new Error(`an answer with status ${answer.status}`)
    return (performance.now() - startMs) * 1000
  }
  const times: [number[], number[]] = [[], []]
  const differences: number[] = []
  for (let at = -WARM_UP; at < pairs; at += 1) {
    const isFirst = Math.random() < 0.5
    const one = await ask(isFirst ? first : second)
    const other = await ask(isFirst ? second : first)
    if (at < 0) continue
    const [a, b] = isFirst ? [one, other] : [other, one]
    times[0].push(a)
    times[1].push(b)
    differences.push(a - b)
  }
  return { first: medianOf(times[0]), second: medianOf(times[1]), difference: medianOf(differences) }
}

async function measure(strict: boolean): Promise<string[]> {
  const server = await startServer({ env: { TINTYPE_DELIVERY_RESTRICT_UNSIGNED: String(strict) } })
  try {
    const put = async (fileName: string, fields: Record<string, string> = {}) => {
      const answer = await uploadFile(server, png(30, 20), {
        fileName,
        useUniqueFileName: 'false',
        ...fields,
      })
      if (answer.status !== 200) throw new Error(answer.body.toString())
    }
    await put('public.png')
    await put('secret.png', { isPrivateFile: 'true' })
    await put('drafts.png', { isPublished: 'false' })
    const connection = await openConnection(Number(new URL(server.url).port))
    const rows: string[] = []
    for (const { name, status, requests } of questionsOf(server, strict)) {
      const noise = await compare(connection, [requests[0], requests[0]], status)
      const found = await compare(connection, requests, status)
      rows.push(
        `| ${name} | ${[found.first, found.second, found.difference, noise.difference].map((us) => us.toFixed(1)).join(' | ')} |`,
      )
    }
    connection.close()
    return rows
  } finally {
    await server.dispose()
  }
}

const rows = [...(await measure(false)), ...(await measure(true))]
const text = [
  '# The time of refusals',
  '',
  '<!-- Written by bench/even-time.ts; do not edit. -->',
  '',
  `Microseconds at the client, medians of ${pairs.toLocaleString('en')} pairs in random order; ${new Date().toISOString().slice(0, 10)}.`,
  `${cpus().length} × ${cpus()[0]?.model.trim() || process.arch}, Node ${process.versions.node}. The last three are asked for where only signed URLs are`,
  'answered. “Noise” is the difference when both requests are the first one.',
  '',
  '| | first | second | difference | noise |',
  '| --- | ---: | ---: | ---: | ---: |',
  ...rows,
  '',
].join('\n')
console.log(text)
if (pairs === DEFAULT_PAIRS) writeFileSync(new URL('./results/even-time.md', import.meta.url), text)
