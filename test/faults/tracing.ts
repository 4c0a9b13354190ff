import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why system calls cannot be made to fail here; empty when they can. */
export const whyNoTracing = findObstacle()

function findObstacle(): string {
  const strace = process.env.STRACE_PATH
  if (strace === undefined) return 'strace is missing'
  try {
    execFileSync(strace, ['-qq', '-o', '/dev/null', '-e', 'inject=getpid:retval=1', 'true'], {
      stdio: 'ignore',
    })
    return ''
  } catch {
    return 'strace may not trace or inject here'
  }
}

/** The threads of a process whose names begin so: `libuv-worker` work on files, `sqlite-` on the database. */
export function threadsOf(pid: number, name: string): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .filter((task) => readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').startsWith(name))
    .map(Number)
}

export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
}

export type Trace = {
  /** Ends it; the threads go on as before. @returns one line a call, with the thread in front where there are several. */
  stop(): Promise<string[]>
}

/**
 * Traces some threads of a running process, and nothing else of it: what Node itself does on its main thread stays
 * whole.
 * @param inject what to do to which calls, as strace takes it, such as `fsync:error=EIO:when=3`; counted for each thread.
 */
export async function trace(threads: number[], calls: string[], inject?: string): Promise<Trace> {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-strace-'))
  const file = join(folder, 'calls')
  // Without `-f`: it would attach to all threads of the process.
  const child = spawn(
    process.env.STRACE_PATH!,
    [
      ...['-y', '-s', '0', '-o', file, '-e', `trace=${calls.join()}`, '-e', 'signal=none'],
      ...(inject === undefined ? [] : ['-e', `inject=${inject}`]),
      ...threads.flatMap((thread) => ['-p', String(thread)]),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()))
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk
      if (said.split('attached').length > threads.length) resolve()
    })
    child.on('error', reject)
    ended.then(() => reject(new Error(`strace ended: ${said}`)))
  })
  return {
    async stop() {
      child.kill('SIGINT')
      await ended
      const text = await readFile(file, 'utf8').catch(() => '')
      await rm(folder, { recursive: true, force: true })
      return text.split('\n').filter(Boolean)
    },
  }
}
