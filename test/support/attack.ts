import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** What every failed fetch says; the address, the reason and the timing stay private. */
export const DOWNLOAD_FAILED =
  'Your request contains invalid file parameter. The file could not be downloaded from the given URL.'

/** A listener that must not be found. */
export type Canary = {
  port: number
  /** Connections so far. */
  hits(): number
  close(): Promise<void>
}

/** Listens on every loopback address of this machine and answers whoever comes with a secret. */
export async function startCanary(): Promise<Canary> {
  let hits = 0
  const sockets = new Set<Socket>()
  const onConnection = (socket: Socket) => {
    hits += 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret')
  }
  const listen = (port: number, host: string) =>
    new Promise<Server>((resolve, reject) => {
      const server = createServer(onConnection)
      server.once('error', reject)
      server.listen(port, host, () => resolve(server))
    })
  const first = await listen(0, '0.0.0.0')
  const { port } = first.address() as AddressInfo
  // A machine without IPv6 has no door there.
  const second = await listen(port, '::1').catch(() => undefined)
  return {
    port,
    hits: () => hits,
    async close() {
      for (const socket of sockets) socket.destroy()
      for (const server of [first, second]) {
        if (server) await new Promise((done) => server.close(done))
      }
    },
  }
}

/** Process ids of a process and all that it has started, directly or not. */
export function processTree(pid: number): number[] {
  const pids = [pid]
  for (const parent of pids) {
    try {
      for (const task of readdirSync(`/proc/${parent}/task`)) {
        const text = readFileSync(`/proc/${parent}/task/${task}/children`, 'utf8').trim()
        if (text !== '') pids.push(...text.split(' ').map(Number))
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return pids
}

/** Resident memory of a process and all that it has started, in MB. */
export function residentMb(pid: number): number {
  let kilobytes = 0
  for (const one of processTree(pid)) {
    try {
      kilobytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${one}/status`, 'utf8'))?.[1] ?? 0)
    } catch {
      // It has ended meanwhile.
    }
  }
  return kilobytes / 1024
}

/** Watches the memory of a process tree while something goes on. @returns the highest value seen, in MB. */
export async function peakMbDuring<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ result: T; peakMb: number }> {
  let peakMb = residentMb(pid)
  const timer = setInterval(() => {
    peakMb = Math.max(peakMb, residentMb(pid))
  }, 10)
  try {
    return { result: await work(), peakMb }
  } finally {
    clearInterval(timer)
  }
}

/** Whether memory of other processes can be read here. */
export const canReadProc = process.platform === 'linux'

/** Path of strace, if it is there and may trace; else why not. */
export function findStrace(): { path: string } | { reason: string } {
  const path = process.env.STRACE_PATH ?? 'strace'
  const tried = spawnSync(path, ['-f', '--seccomp-bpf', '-qq', '-e', 'trace=connect', 'true'], {
    encoding: 'utf8',
  })
  if (tried.error) return { reason: 'strace is not installed' }
  return tried.status === 0
    ? { path }
    : { reason: `strace may not trace here: ${tried.stderr.trim().slice(0, 100)}` }
}

/** Arguments of unshare for a network of one's own, or why there is none. */
export function findNamespace(): { unshare: string[] } | { reason: string } {
  if (process.platform !== 'linux') return { reason: 'network namespaces need Linux' }
  const script =
    'ip link set lo up && ip route add local 0.0.0.0/0 dev lo && mount --bind /etc/hosts /etc/hosts'
  for (const unshare of [
    ['-n', '-m'],
    ['-r', '-n', '-m'],
  ]) {
    const tried = spawnSync('unshare', [...unshare, 'sh', '-c', script], { encoding: 'utf8' })
    if (tried.status === 0) return { unshare }
  }
  return { reason: 'a network namespace cannot be made here (unshare, ip, mount)' }
}
