import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { NODE_FLAGS } from '../../scripts/bootstrap.mjs'

const root = join(import.meta.dirname, '../..')

export type Exit = { code: number | null; signal: NodeJS.Signals | null }

/** A running Tintype process and what a client has to know of it. */
export type Server = {
  /** Origin, without a trailing slash. */
  url: string
  /** URL endpoint of delivery, without a trailing slash. */
  endpoint: string
  id: string
  publicKey: string
  privateKey: string
  dataDir: string
  /** What commands have to be told to work on its library. */
  settings: Record<string, string>
  pid: number
  /** Milliseconds from the start of the process until it answered. */
  readyMs: number
  /** Everything the process has written so far. */
  output(): string
  /** Sends a signal and waits for the end. Safe to call again after it. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  /** Resolves when the process has ended, however it did. */
  ended: Promise<Exit>
  /** Ends the process and deletes its data. */
  dispose(): Promise<void>
}

export type ServerOptions = {
  /** Settings, on top of fixed keys, a free port and a temporary data folder. `undefined` takes one away. */
  env?: Record<string, string | undefined>
  /** Keeps the data of an earlier server; else a new folder. */
  dataDir?: string
  /** Command and arguments, for starts other than `node src/main.ts`. */
  command?: string[]
  /** The process is killed when it does not answer by then. */
  timeoutMs?: number
}

/**
 * Starts the product as its users do, in a process of its own, and waits until it answers. In a run of
 * `npm run test:cluster` it is several processes behind a load balancer, unless the test has set-ups of its own.
 */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const hasOwnSetUp = options.command !== undefined || options.env?.TINTYPE_DATABASE_URL !== undefined
  if (!process.env.CLUSTER_NODES || hasOwnSetUp) return startAlone(options)
  const { startServerAsCluster } = await import('./cluster-server.ts')
  return startServerAsCluster(options, startAlone)
}

async function startAlone(options: ServerOptions): Promise<Server> {
  const started = await launchServer(options)
  const { url, child, ended, output, env } = started
  const deadline = Date.now() + (options.timeoutMs ?? 20_000)
  const beganMs = performance.now()
  let failure: string | undefined
  ended.then(({ code, signal }) => {
    failure = `the server ended by itself (code ${code}, signal ${signal})`
  })
  while (!(await answers(`${url}/health`))) {
    if (Date.now() > deadline) failure ??= 'the server did not answer in time'
    if (failure !== undefined) {
      child.kill('SIGKILL')
      throw new Error(`${failure}:\n${output()}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
  const readyMs = performance.now() - beganMs
  const stop = (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    return ended
  }
  return {
    url,
    endpoint: `${url}/${env.TINTYPE_ID}`,
    id: env.TINTYPE_ID ?? '',
    publicKey: env.TINTYPE_PUBLIC_KEY ?? '',
    privateKey: env.TINTYPE_PRIVATE_KEY ?? '',
    dataDir: started.dataDir,
    settings: { TINTYPE_DATA_DIR: started.dataDir },
    pid: child.pid!,
    readyMs,
    output,
    stop,
    ended,
    async dispose() {
      await stop('SIGKILL')
      await rm(dirname(started.dataDir), { recursive: true, force: true })
    },
  }
}

/** Starts the process and waits for nothing: for starts that are meant to fail. */
export async function launchServer(options: ServerOptions = {}) {
  const dataDir = options.dataDir ?? join(await mkdtemp(join(tmpdir(), 'tintype-test-')), 'data')
  const port = await freePort()
  const env: Record<string, string | undefined> = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    PORT: String(port),
    TINTYPE_DATA_DIR: dataDir,
    TINTYPE_ID: 'acceptance',
    TINTYPE_PUBLIC_KEY: 'public_acceptance00000000000000000000000',
    TINTYPE_PRIVATE_KEY: `private_acceptance${port}0000000000000000000`,
    ...options.env,
  }
  const [program, ...args] = options.command ?? [process.execPath, ...NODE_FLAGS, join(root, 'src/main.ts')]
  const child: ChildProcess = spawn(program!, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk
  })
  child.stderr!.on('data', (chunk: Buffer) => {
    text += chunk
  })
  const ended = new Promise<Exit>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }))
    child.on('error', (error) => {
      text += error.message
      resolve({ code: null, signal: null })
    })
  })
  return { child, url: `http://127.0.0.1:${env.PORT}`, dataDir, env, ended, output: () => text }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

/** A port of the loopback that nothing listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
