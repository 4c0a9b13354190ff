import { type ChildProcess, fork, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { TintypeError } from './errors.ts'

export type ProgramRun = {
  program: string
  /** Passed as they are; no shell ever sees them. File paths must be absolute and made by us. */
  args: string[]
  /** The program is killed with SIGKILL after this long. */
  timeoutMs: number
  /** stdout beyond this kills the program: protects memory from a hostile file's output. */
  maxOutputBytes?: number
  input?: Buffer
  /** The whole environment of the program; it inherits none of ours, so no secret reaches it. */
  env?: Record<string, string>
}

export type ProgramResult = { exitCode: number | null; stdout: Buffer; stderr: string }

/**
 * Runs a program to its end.
 * @returns its exit code (null if a signal ended it), stdout and the first 16 KiB of stderr.
 * @throws TintypeError timeout when it was killed for time, too-large for output, unavailable when it cannot be started.
 */
export function runProgram(run: ProgramRun): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(run.program, run.args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: run.env ?? { PATH: '/usr/local/bin:/usr/bin:/bin' },
      // A group of its own, so that what the program started dies with it.
      detached: true,
    })
    const chunks: Buffer[] = []
    let outputBytes = 0
    let stderr = ''
    let failure: TintypeError | undefined
    const stop = (error: TintypeError) => {
      failure ??= error
      killGroup(child)
    }
    const timer = setTimeout(
      () => stop(new TintypeError('timeout', 'Reading the file took too long.')),
      run.timeoutMs,
    )
    child.stdout.on('data', (chunk: Buffer) => {
      outputBytes += chunk.length
      if (outputBytes > (run.maxOutputBytes ?? 8 * 1024 * 1024)) {
        stop(new TintypeError('too-large', 'Reading the file gave too much output.'))
      } else chunks.push(chunk)
    })
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < 16_384) stderr += chunk.toString('utf8').slice(0, 16_384 - stderr.length)
    })
    child.on('error', (cause) => {
      clearTimeout(timer)
      reject(new TintypeError('unavailable', 'A program that reads files could not be started.', { cause }))
    })
    child.on('close', (exitCode) => {
      clearTimeout(timer)
      if (failure) reject(failure)
      else resolve({ exitCode, stdout: Buffer.concat(chunks), stderr })
    })
    // A program that exits without reading its input is judged by its exit code, not by the broken pipe.
    child.stdin.on('error', () => {})
    child.stdin.end(run.input)
  })
}

function killGroup(child: ChildProcess) {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    child.kill('SIGKILL')
  }
}

/** A Node child process that answers messages; what renders hostile files, so that a crash stays there. */
export type ModuleProcess = {
  readonly pid: number | undefined
  /** Structured clone: Buffers arrive as Uint8Array. */
  send(message: unknown): void
  onMessage(listener: (message: unknown) => void): void
  /** Called once, however the process ends. */
  onExit(listener: (detail: { exitCode: number | null; signal: string | null }) => void): void
  /** SIGKILL, at once: nothing inside can stop a decoder that runs wild. */
  kill(): void
  /** Memory that the process takes now; undefined where the system does not tell (only Linux does). */
  residentBytes(): number | undefined
}

/**
 * Starts a module of ours in a child process.
 * @param options.env the whole environment of the child; it inherits nothing else.
 */
export function forkModule(options: {
  module: URL
  env?: Record<string, string>
  execArgv?: string[]
}): ModuleProcess {
  const child = fork(options.module, [], {
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', ...options.env },
    execArgv: options.execArgv ?? [],
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let ended = false
  const exitListeners: ((detail: { exitCode: number | null; signal: string | null }) => void)[] = []
  const end = (exitCode: number | null, signal: string | null) => {
    if (ended) return
    ended = true
    for (const listener of exitListeners) listener({ exitCode, signal })
  }
  child.on('exit', end)
  child.on('error', () => end(null, null))
  return {
    pid: child.pid,
    send: (message) => {
      // A message to a child that has just died is answered by onExit.
      if (child.connected) child.send(message as object, () => {})
    },
    onMessage: (listener) => child.on('message', listener),
    onExit: (listener) => {
      exitListeners.push(listener)
    },
    kill: () => child.kill('SIGKILL'),
    residentBytes() {
      try {
        const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))
        return found ? Number(found[1]) * 1024 : undefined
      } catch {
        return undefined
      }
    },
  }
}
