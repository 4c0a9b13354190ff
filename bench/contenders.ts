import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/support/server.ts'

export type ContenderName = 'tintype' | 'express' | 'limit-full' | 'limit-fsync'

export type Contender = {
  name: ContenderName
  port: number
  pid: number
  uploadPath: string
  /** Headers of an upload or of the list, each line with its end. */
  headers: string
  listPath: string
  /** Path below which an upload's answer can be fetched as it was sent; undefined where the server delivers nothing. */
  originalPath?: (answer: { url: string }) => string
  stop(): Promise<void>
}

export const PRIVATE_KEY = 'private_benchmark000000000000000000000000'
const here = import.meta.dirname

/** Starts one server in a process and folder of its own. @returns it and the milliseconds until it answered. */
export async function startContender(
  name: ContenderName,
  folder: string,
): Promise<{ contender: Contender; readyMs: number }> {
  const port = await freePort()
  const data = join(folder, name)
  mkdirSync(data, { recursive: true })
  const args: Record<ContenderName, string[]> = {
    tintype: [join(here, '../scripts/start.mjs')],
    express: [join(here, 'servers/express.ts'), String(port), data],
    'limit-full': [join(here, 'servers/limit.ts'), String(port), data, 'full'],
    'limit-fsync': [join(here, 'servers/limit.ts'), String(port), data, 'fsync'],
  }
  const began = performance.now()
  const child = spawn(process.execPath, args[name], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env.PATH,
      PORT: String(port),
      TINTYPE_DATA_DIR: data,
      TINTYPE_ID: 'bench',
      TINTYPE_PUBLIC_KEY: 'public_benchmark',
      TINTYPE_PRIVATE_KEY: PRIVATE_KEY,
      TINTYPE_UPLOAD_MAX_FILE_BYTES: '4000000000',
      TINTYPE_LOG_LEVEL: 'warn',
    },
  })
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() - began > 20_000)
      throw new Error(`${name} did not start`)
    await sleep(5)
  }
  const readyMs = performance.now() - began
  const isTintype = name === 'tintype'
  const contender: Contender = {
    name,
    port,
    pid: child.pid!,
    uploadPath: isTintype ? '/api/v1/files/upload' : '/upload',
    headers: isTintype ? `Authorization: Basic ${Buffer.from(`${PRIVATE_KEY}:`).toString('base64')}\r\n` : '',
    listPath: isTintype ? '/v1/files' : '/list',
    ...(name === 'tintype' || name === 'express'
      ? { originalPath: (answer: { url: string }) => new URL(answer.url, 'http://localhost').pathname }
      : {}),
    stop: () => stop(child),
  }
  return { contender, readyMs }
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), 5000).unref()
  })
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`)
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

/** Memory of a process and its children that is in RAM, in bytes. */
export function residentBytes(pid: number): number {
  let total = 0
  for (const id of [pid, ...childrenOf(pid)]) {
    const line = /^VmRSS:\s+(\d+) kB/m.exec(readProc(`/proc/${id}/status`))
    total += Number(line?.[1] ?? 0) * 1024
  }
  return total
}

/** CPU time that a process, its children and those of them that have ended have used, in seconds. */
export function cpuSeconds(pid: number): number {
  let ticks = 0
  for (const id of [pid, ...childrenOf(pid)]) {
    const fields = readProc(`/proc/${id}/stat`)
      .replace(/^.*\) /, '')
      .split(' ')
    for (const at of [11, 12, 13, 14]) ticks += Number(fields[at] ?? 0)
  }
  return ticks / 100
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    )
  } catch {
    return []
  }
}

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
