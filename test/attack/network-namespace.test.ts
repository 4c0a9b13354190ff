import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { DOWNLOAD_FAILED, findNamespace } from '../support/attack.ts'
import { CASES, type Case, CUT_OFF, PUBLIC, SWALLOWED } from '../support/attack-network/cases.ts'
import { AUTHORITY } from '../support/attack-network/certificates.ts'

type Answer = { status: number; body: Record<string, unknown>; ms: number }
type Report = {
  /** Whether there is an address at which packets are swallowed. */
  swallows: boolean
  results: Answer[]
  canary: string[]
  crowd: { status: number; message?: string }[]
  mostHeld: number
  meanwhile: number[]
  requests: number
  connections: number
  lookups: Record<string, number>
  names: string[]
  sentHeaders: string[]
  acceptEncodings: (string | undefined)[]
}

const namespace = findNamespace()
const reason = 'reason' in namespace ? ` (skipped: ${namespace.reason})` : ''
const HEADERS_TIMEOUT_MS = 8000
const TOO_LARGE = 'Your request contains invalid file parameter. The file size exceeds limits.'

describe.skipIf(reason)(`a network in which every address answers${reason}`, () => {
  let report: Report
  beforeAll(async () => {
    report = await runInside('unshare' in namespace ? namespace.unshare : [])
  }, 100_000)

  const label = ({ id, url, expected, why }: Case) => {
    const outcome = typeof expected === 'string' ? expected : `refused with status ${expected.status}`
    return `${id} ${decodeURIComponent(decodeURIComponent(url)).slice(0, 90)}${why ? ` (${why})` : ''}: ${outcome}`
  }

  test.each(CASES.map((one, index) => [label(one), one, index] as const))(
    '%s',
    (_, { id, expected }, index) => {
      const { status, body, ms } = report.results[index]!
      const text = JSON.stringify(body)
      if (expected === 'stored') {
        expect(status, text).toBe(200)
        return
      }
      expect(status, text).toBe(400)
      const message =
        expected === 'refused'
          ? [DOWNLOAD_FAILED, `${DOWNLOAD_FAILED} The file is empty.`]
          : expected === 'too-large'
            ? [TOO_LARGE]
            : [`${DOWNLOAD_FAILED} The server answered with status ${expected.status}.`]
      expect(message).toContain(body.message)
      expect(Object.keys(body).sort()).toEqual(['help', 'message'])
      // How soon something fails would tell a closed port from a private address. Who answers is public anyway.
      if (['S02', 'S04', 'S05', 'S17', 'S19'].includes(id)) expect(ms).toBeGreaterThan(240)
    },
  )

  test('S01 S02 S04 S05 nobody came to the canary at any address', () => {
    expect(report.canary).toEqual([])
  })

  test('S05 every name was looked up once for each fetch', () => {
    expect(report.lookups['rebind.test']).toBe(1)
    expect(report.lookups['rebind-twice.test']).toBe(2)
  })

  test('S07 no two requests shared a connection', () => {
    // Certificates that are refused, and redirects to refused targets, open connections without a request.
    expect(report.connections).toBeGreaterThanOrEqual(report.requests)
  })

  test('S04 S13 no credentials and no cookies were sent, and no encoding was asked for', () => {
    expect(report.sentHeaders.sort()).toEqual(['accept-encoding', 'connection', 'host', 'user-agent'])
    expect(report.acceptEncodings).toEqual(['identity'])
  })

  test('S19 where packets are swallowed a fetch ends with the time for the headers, like one that is not answered', (context) => {
    if (!report.swallows) context.skip('there is no device that swallows packets')
    const of = (url: string) => report.results[CASES.findIndex((one) => one.url === url)]!
    const [swallowed, silent] = [of(`http://${SWALLOWED}:8999/`), of(`http://${PUBLIC}/never`)]
    expect(swallowed.body).toEqual(silent.body)
    expect(swallowed.ms).toBeGreaterThan(HEADERS_TIMEOUT_MS - 50)
  })

  test('S14 nothing is in the library of what was refused', () => {
    const stored = CASES.filter(({ expected }) => expected === 'stored').length
    const fromCrowd = report.crowd.filter(({ status }) => status === 200).length
    // And the two that were uploaded as bytes.
    expect(report.names).toHaveLength(stored + fromCrowd + 2)
  })

  test('S16 names come from the request alone', () => {
    for (const name of report.names)
      expect(name).toMatch(/^(kept-name|own|meanwhile)_\w{9}\.png$|^[\w-]+\.png$/)
    expect(report.names.join()).not.toContain('evil')
  })

  test('S18 one key holds eight places, those behind wait, and the rest is refused at once', () => {
    const statuses = report.crowd.map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set([200, 429]))
    expect(statuses.filter((status) => status === 429).length).toBe(90 - 8 - 64)
    expect(report.mostHeld).toBe(8)
    expect(report.meanwhile).toEqual([200, 200, 200])
  })
})

/** Runs the rig in a namespace of its own and gives its report. */
async function runInside(unshare: string[]): Promise<Report> {
  const dir = await mkdtemp(join(tmpdir(), 'tintype-net-'))
  await writeFile(join(dir, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:1 attempts:2\n')
  await writeFile(join(dir, 'ca.pem'), AUTHORITY)
  const script = [
    'ip link set lo up',
    'ip route add local 0.0.0.0/0 dev lo',
    'ip -6 route add local ::/0 dev lo || true',
    ...Object.entries(CUT_OFF).map(([type, address]) => `ip route add ${type} ${address} table local`),
    // Both drop what is sent to them; not every system has both.
    'for type in dummy ifb; do ip link add swallow type $type && break; done 2> /dev/null',
    `{ if ip addr add 198.18.0.9/32 dev swallow && ip link set swallow up && ip route add ${SWALLOWED} dev swallow src 198.18.0.9 table local; then export SWALLOWS=1; fi; }`,
    `mount --bind ${dir}/resolv.conf /etc/resolv.conf`,
    'exec "$0" "$1"',
  ].join(' && ')
  const inside = join(import.meta.dirname, '../support/attack-network/inside.ts')
  const child = spawn('unshare', [...unshare, 'sh', '-c', script, process.execPath, inside], {
    env: {
      ...process.env,
      CLUSTER_NODES: '',
      NODE_EXTRA_CA_CERTS: join(dir, 'ca.pem'),
      // S08: whoever heeded these would knock at the canary.
      HTTP_PROXY: 'http://127.0.0.1:8080',
      HTTPS_PROXY: 'http://127.0.0.1:8080',
      ALL_PROXY: 'http://127.0.0.1:8080',
      http_proxy: 'http://127.0.0.1:8080',
      NO_PROXY: '127.0.0.1',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  await rm(dir, { recursive: true, force: true })
  const line = stdout.trim().split('\n').at(-1) ?? ''
  if (code !== 0 || !line.startsWith('{'))
    throw new Error(`the rig ended with ${code}: ${stderr.slice(-2000)}${stdout.slice(-500)}`)
  return JSON.parse(line) as Report
}
