// Real services for the tests: PostgreSQL, two S3 stores, Redis, a load balancer, a browser, media programs, tools that
// trace programs and break the machine under a server, and sample files.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { root } from './bootstrap.mjs'

const STATE = join(root, '.cache/services')

/** Ports that the services of one run take together: the third takes most, 41 in a row. */
const BLOCK_SIZE = 60

/**
 * Every service: its script, where in the run's block of ports its own begin, and which of the values that it prints
 * the tests get under which name.
 */
const SERVICES = [
  {
    name: 'postgres',
    port: { variable: 'PG_PORT', offset: 0 },
    exports: { DATABASE_URL: 'TINTYPE_TEST_POSTGRES_URL' },
  },
  {
    name: 's3',
    port: { variable: 'S3_PORT', offset: 1 },
    exports: s3Names('TINTYPE_TEST_S3'),
  },
  {
    name: 's3-ceph',
    port: { variable: 'S3_CEPH_PORT', offset: 10 },
    exports: s3Names('TINTYPE_TEST_S3B'),
  },
  {
    name: 'redis',
    port: { variable: 'REDIS_PORT', offset: 8 },
    exports: { REDIS_URL: 'TINTYPE_TEST_REDIS_URL' },
  },
  { name: 'haproxy', exports: same('HAPROXY_PATH') },
  { name: 'media-tools', exports: same('FFMPEG_PATH', 'FFPROBE_PATH', 'EXIFTOOL_PATH') },
  { name: 'attack-tools', exports: same('STRACE_PATH') },
  {
    name: 'fault-tools',
    exports: same('MKFS_EXT4_PATH', 'PRLIMIT_PATH', 'FAKETIME_LIBRARY'),
  },
  { name: 'browser', exports: same('CHROMIUM_PATH', 'CHROMIUM_FLAGS') },
  {
    name: 'fixtures',
    env: { FIXTURES_DIR: join(root, '.cache/fixtures'), FIXTURES_SET: 'full' },
    exports: same('FIXTURES_DIR'),
  },
]

function s3Names(prefix) {
  return Object.fromEntries(
    ['ENDPOINT', 'REGION', 'BUCKET', 'ACCESS_KEY', 'SECRET_KEY'].map((part) => [
      `S3_${part}`,
      `${prefix}_${part}`,
    ]),
  )
}

function same(...names) {
  return Object.fromEntries(names.map((name) => [name, name]))
}

/**
 * Starts the services whose values some file under test/ asks for.
 * @returns the variables for the tests, those for scripts that control the services, what could not be started (service
 * and reason), and how to stop it all.
 */
export async function startServices() {
  stopLeftOvers()
  const state = join(STATE, String(process.pid))
  mkdirSync(state, { recursive: true })
  const asked = readTestSources()
  const started = []
  const missing = []
  const env = {}
  const control = { TINTYPE_SERVICES_STATE: state }
  let stopping = false
  const firstPort = await findFreeBlock()
  const starts = SERVICES.filter((service) =>
    Object.values(service.exports).some((name) => asked.includes(name)),
  ).map(async (service) => {
    const began = Date.now()
    const own = { TINTYPE_SERVICES_STATE: state, ...service.env }
    if (service.port) own[service.port.variable] = String(firstPort + service.port.offset)
    Object.assign(control, own)
    started.push({ service, own })
    const { code, stdout, stderr } = await runScript(service.name, 'start', own)
    if (stopping) return
    if (code !== 0) {
      const reason = stderr.trim().split('\n').pop() || `exit code ${code}`
      missing.push({ name: service.name, reason })
      process.stderr.write(`${stderr.trim()}\n`)
      return
    }
    const line = stdout.trim().split('\n').pop() ?? ''
    for (const pair of line.split(' ')) {
      const at = pair.indexOf('=')
      const name = service.exports[pair.slice(0, at)]
      if (name) env[name] = pair.slice(at + 1)
    }
    process.stdout.write(
      `service ${service.name}: ready after ${Math.round((Date.now() - began) / 1000)} s\n`,
    )
  })
  const stop = async () => {
    stopping = true
    await Promise.all(started.map(({ service, own }) => runScript(service.name, 'stop', own)))
    rmSync(state, { recursive: true, force: true })
  }
  return { env, control, missing, ready: Promise.all(starts), stop }
}

/** The text of all test sources: a service that none of them names need not be installed. */
function readTestSources() {
  return readdirSync(join(root, 'test'), { recursive: true })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(join(root, 'test', path), 'utf8'))
    .join('\n')
}

function runScript(name, verb, env) {
  return new Promise((resolve) => {
    // A group of its own: Ctrl-C must not end a script half-way, since `stop` needs what `start` noted down.
    const child = spawn('bash', [join(root, `scripts/services/${name}.sh`), verb], {
      env: { ...process.env, ...env },
      detached: true,
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
    child.on('error', (error) => resolve({ code: -1, stdout, stderr: error.message }))
    // `exit`, not `close`: a service that stays in the background may hold the pipes open.
    child.on('exit', (code) => setTimeout(() => resolve({ code, stdout, stderr }), 50))
  })
}

/** First port of a block that nothing listens on; runs at the same time begin their search at different places. */
async function findFreeBlock() {
  // Below the ports that systems hand out by themselves.
  const [lowest, blocks] = [20_000, 200]
  for (let at = 0; at < blocks; at++) {
    const first = lowest + ((process.pid + at) % blocks) * BLOCK_SIZE
    let free = true
    for (let port = first; free && port < first + BLOCK_SIZE; port++) free = await isFree(port)
    if (free) return first
  }
  throw new Error(`no ${BLOCK_SIZE} free ports in a row for the test services`)
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Ends what a test run that was killed has left running. */
function stopLeftOvers() {
  if (!existsSync(STATE)) return
  for (const pid of readdirSync(STATE)) {
    if (isAlive(Number(pid))) continue
    const state = join(STATE, pid)
    for (const { name, port } of SERVICES) {
      if (!port) continue
      for (const file of readdirSync(state)) {
        const match = /^(.+)-(\d+)\.state$/.exec(file)
        if (match?.[1] !== name) continue
        spawnSync('bash', [join(root, `scripts/services/${name}.sh`), 'stop'], {
          env: { ...process.env, TINTYPE_SERVICES_STATE: state, [port.variable]: match[2] },
          stdio: 'ignore',
        })
      }
    }
    rmSync(state, { recursive: true, force: true })
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}
