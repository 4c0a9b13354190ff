import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/support/server.ts'
import { cpuSeconds, PRIVATE_KEY, startContender } from './contenders.ts'

export type ImageServerName = 'tintype' | 'sharp' | 'ipx' | 'nginx' | 'memory'
export type Format = 'webp' | 'avif'

/** A server that transforms pictures, or only has one ready. */
export type ImageServer = {
  name: ImageServerName
  port: number
  pid: number
  /** Gives it a file, to be asked for under that name. What it does with it of itself is over afterwards. */
  place(fileName: string, bytes: Buffer): Promise<void>
  /** The target for a file in that width. */
  target(fileName: string, options: { widthPx: number; format: Format }): string
  /** The target for the file `still.webp` as it is. */
  stillTarget: string
  stop(): Promise<void>
}

const here = import.meta.dirname

/** Starts a server. @returns a reason instead where it cannot be had on this machine. */
export async function startImageServer(
  name: ImageServerName,
  folder: string,
): Promise<ImageServer | { missing: string }> {
  if (name === 'tintype') return startTintype(folder)
  const pictures = join(folder, name, 'pictures')
  mkdirSync(pictures, { recursive: true })
  const port = await freePort()
  let program = process.execPath
  let args = [join(here, 'servers/pictures.ts'), String(port), pictures, name]
  if (name === 'nginx') {
    const found = findNginx()
    if ('missing' in found) return found
    program = found.program
    const config = join(folder, name, 'nginx.conf')
    writeFileSync(config, nginxConfig({ port, pictures, modules: found.modules }))
    args = ['-c', config, '-p', join(folder, name), '-e', 'stderr']
  }
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  await untilItAnswers(name, child, port)
  return {
    name,
    port,
    pid: child.pid!,
    async place(fileName, bytes) {
      writeFileSync(join(pictures, fileName), bytes)
    },
    target(fileName, { widthPx, format }) {
      if (name === 'ipx') return `/w_${widthPx},f_${format},q_80/${fileName}`
      return name === 'nginx' ? `/w${widthPx}/${fileName}` : `/${widthPx}/${format}/${fileName}`
    },
    stillTarget: '/still.webp',
    stop: () => end(child),
  }
}

async function startTintype(folder: string): Promise<ImageServer> {
  const { contender } = await startContender('tintype', folder)
  const { port, pid, stop } = contender
  return {
    name: 'tintype',
    port,
    pid,
    async place(fileName, bytes) {
      const form = new FormData()
      form.set('fileName', fileName)
      form.set('useUniqueFileName', 'false')
      form.set('file', new Blob([new Uint8Array(bytes)]), fileName)
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/files/upload`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${PRIVATE_KEY}:`).toString('base64')}` },
        body: form,
      })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${fileName} was not accepted: ${text}`)
      await untilIdle(pid)
    },
    target: (fileName, { widthPx, format }) => `/bench/tr:w-${widthPx},f-${format}/${fileName}`,
    stillTarget: '/bench/still.webp',
    stop,
  }
}

/** Waits until a process uses next to no CPU time. */
export async function untilIdle(pid: number): Promise<void> {
  let before = cpuSeconds(pid)
  for (let quiet = 0; quiet < 2; ) {
    await sleep(40)
    const now = cpuSeconds(pid)
    quiet = now - before < 0.011 ? quiet + 1 : 0
    before = now
  }
}

function findNginx(): { program: string; modules: string } | { missing: string } {
  const run = spawnSync('bash', [join(here, '../scripts/services/nginx.sh'), 'start'], { encoding: 'utf8' })
  const found = /NGINX_PATH=(\S+) NGINX_MODULES=(\S+)/.exec(run.stdout ?? '')
  if (run.status === 0 && found) return { program: found[1]!, modules: found[2]! }
  return { missing: run.stderr?.trim().split('\n').pop() || 'its packages cannot be installed here' }
}

function nginxConfig(options: { port: number; pictures: string; modules: string }): string {
  const { port, pictures, modules } = options
  return `
load_module ${modules}/ngx_http_image_filter_module.so;
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes auto;
pid nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  types { image/jpeg jpg; image/webp webp; }
  server {
    listen 127.0.0.1:${port};
    location = /health { return 200; }
    location ~ ^/w(?<width>[0-9]+)/(?<name>.+)$ {
      alias ${pictures}/$name;
      image_filter resize $width -;
      image_filter_jpeg_quality 80;
      image_filter_buffer 64M;
    }
    location / { root ${pictures}; }
  }
}
`
}

async function untilItAnswers(name: string, child: ChildProcess, port: number) {
  const began = performance.now()
  for (;;) {
    const isUp = await fetch(`http://127.0.0.1:${port}/health`).then(
      async (answer) => (await answer.arrayBuffer()) && answer.ok,
      () => false,
    )
    if (isUp) return
    if (child.exitCode !== null || performance.now() - began > 20_000)
      throw new Error(`${name} did not start`)
    await sleep(20)
  }
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
  })
}
