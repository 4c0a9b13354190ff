import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './server.ts'

/** Where haproxy is, if it was installed. */
export const haproxyPath = process.env.HAPROXY_PATH

export type Balancer = { url: string; stop(): Promise<void> }

/**
 * Starts haproxy in front of servers: requests of the API go to each in turn, those of delivery to one by their URL, so
 * that its cache is used; a server that does not answer its health check gets none, and a request that could not be
 * handed over at all goes to another.
 * @param ports of servers on the loopback.
 */
export async function startBalancer(ports: number[]): Promise<Balancer> {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-balancer-'))
  const port = await freePort()
  const file = join(folder, 'haproxy.cfg')
  await writeFile(file, configuration(port, ports))
  const child = spawn(haproxyPath!, ['-f', file, '-db'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk
  })
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()))
  const url = `http://127.0.0.1:${port}`
  for (let attempt = 0; ; attempt += 1) {
    const response = await fetch(`${url}/health`).catch(() => undefined)
    await response?.arrayBuffer()
    if (response?.ok) break
    if (attempt > 300 || child.exitCode !== null) {
      child.kill('SIGKILL')
      throw new Error(`the load balancer did not become ready: ${errors}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    url,
    async stop() {
      child.kill('SIGKILL')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function configuration(port: number, servers: number[]): string {
  const nodes = [
    '  option httpchk GET /health',
    '  default-server check inter 500ms fall 2 rise 1',
    ...servers.map((server, index) => `  server node${index + 1} 127.0.0.1:${server}`),
    // When none is healthy they answer for themselves, and to an upload only when it has read their answer.
    '  option allbackups',
    ...servers.map((server, index) => `  server unwell${index + 1} 127.0.0.1:${server} backup no-check`),
  ].join('\n')
  return `global
  maxconn 4000
defaults
  mode http
  timeout connect 3s
  timeout client 310s
  timeout server 310s
  option redispatch
  retries 3
  retry-on conn-failure
  http-error status 503 content-type application/json string '{"message":"The server is not available. Please try again."}' hdr Retry-After 2
frontend all
  bind 127.0.0.1:${port}
  acl is_api path_beg /api/ /v1/ /v2/ /health
  use_backend api if is_api
  default_backend delivery
backend api
  balance roundrobin
${nodes}
backend delivery
  balance uri whole
  hash-type consistent
${nodes}
`
}
