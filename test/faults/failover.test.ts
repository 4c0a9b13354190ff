import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { processTree } from '../support/attack.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { noteRun } from '../support/run-log.ts'
import { freePort, type Server, startServer } from '../support/server.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { faultOfError, listFiles } from './mixed-load.ts'
import { LONGEST_START_MS } from './run.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const BIN = '/usr/lib/postgresql/15/bin'
const WRITERS = 6
/** Writes may fail for so long after the standby has been promoted (trust DB04). */
const OUTAGE_MS = 30_000

const whyNot =
  process.platform !== 'linux' || !existsSync(`${BIN}/pg_basebackup`) ? 'PostgreSQL 15 is not installed' : ''

/** PostgreSQL does not run as root. */
const asPostgres = (program: string, args: string[]): [string, string[]] =>
  process.getuid?.() === 0
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', `${BIN}/${program}`, ...args]]
    : [`${BIN}/${program}`, args]
const postgres = (program: string, ...args: string[]) => {
  const [file, all] = asPostgres(program, args)
  return run(file, all, { cwd: '/', env: { PATH: process.env.PATH } })
}

describe.skipIf(whyNot !== '')(`a failover of PostgreSQL${whyNot && ` (skipped: ${whyNot})`}`, () => {
  test('to a promoted standby loses nothing that was acknowledged, and writes go on by themselves', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tintype-failover-'))
    await chmod(folder, 0o777)
    const [primary, standby] = [await freePort(), await freePort()]
    const dataOf = (port: number) => join(folder, String(port))
    const started: number[] = []
    const begin = async (port: number) => {
      const settings = {
        port,
        listen_addresses: '127.0.0.1',
        unix_socket_directories: folder,
        shared_buffers: '32MB',
        hot_standby: 'on',
        primary_slot_name: '',
      }
      const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
      const [file, args] = asPostgres('postgres', ['-D', dataOf(port), ...flags])
      spawn(file, args, { cwd: '/', env: { PATH: process.env.PATH }, stdio: 'ignore' })
      await expect
        .poll(() => query(port, 'SELECT 1').catch(() => ''), { timeout: 60_000, interval: 100 })
        .toBe('1')
      const [pid] = (await readFile(join(dataOf(port), 'postmaster.pid'), 'utf8')).split('\n')
      started.push(Number(pid))
    }
    const query = async (port: number, sql: string, database = 'postgres') => {
      const place = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-d', database]
      return (await postgres('psql', '-X', '-At', ...place, '-c', sql)).stdout.trim()
    }
    /** Ends a database server and all of its processes at once. */
    const kill = (postmaster: number) => {
      for (const pid of processTree(postmaster)) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It has ended with the others.
        }
      }
    }
    let server: Server | undefined
    let isWriting = true
    const target = { host: '127.0.0.1', port: primary }
    const proxy = await startTcpProxy(target)
    const switchTo = (port: number) => {
      target.port = port
      proxy.close()
      proxy.open()
    }
    try {
      await postgres('initdb', '-D', dataOf(primary), '-U', 'postgres', '-A', 'trust', '-E', 'UTF8')
      await begin(primary)
      await query(primary, 'CREATE DATABASE media')
      const source = ['-h', '127.0.0.1', '-p', String(primary), '-U', 'postgres']
      await postgres('pg_basebackup', ...source, '-D', dataOf(standby), '-R', '-X', 'stream', '-c', 'fast')
      await begin(standby)
      // From here on a COMMIT is answered when both have it.
      await query(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
      await query(primary, 'SELECT pg_reload_conf()')
      const state = () => query(primary, 'SELECT sync_state FROM pg_stat_replication')
      await expect.poll(state, { timeout: 30_000 }).toBe('sync')

      server = await startServer({
        timeoutMs: LONGEST_START_MS,
        env: {
          TINTYPE_DATABASE_URL: `postgres://postgres@127.0.0.1:${proxy.port}/media`,
          TINTYPE_LOG_LEVEL: 'error',
        },
      })
      const { privateKey, id } = server

      const kept = new Map<string, string>()
      const counts: Record<string, number> = {}
      const problems: string[] = []
      const write = async (writer: number) => {
        for (let at = 0; isWriting; at += 1) {
          const bytes = randomBytes(1500)
          const fileName = `${writer}-${at}.bin`
          try {
            const answer = await uploadFile(server!, bytes, {
              fileName,
              useUniqueFileName: 'false',
              tags: 'a,b',
            })
            counts[`upload: ${answer.status}`] = (counts[`upload: ${answer.status}`] ?? 0) + 1
            if (answer.status === 200) {
              kept.set(`/${fileName}`, createHash('sha256').update(bytes).digest('hex'))
              continue
            }
            const problem = faultOfError(answer)
            if (problem !== undefined || answer.status !== 503) problems.push(problem ?? `${answer.status}`)
          } catch (error) {
            problems.push(`no answer: ${(error as Error).message}`)
          }
          await sleep(50)
        }
      }
      const writers = Array.from({ length: WRITERS }, (_, writer) => write(writer))
      const moreThan = (count: number) =>
        expect.poll(() => kept.size, { timeout: OUTAGE_MS, interval: 20 }).toBeGreaterThan(count)
      await moreThan(150)

      // What is committed from here on never leaves the primary: nobody may be told that it was kept.
      const sender = Number(await query(primary, 'SELECT pid FROM pg_stat_replication'))
      process.kill(sender, 'SIGSTOP')
      const hanging = () =>
        query(primary, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").then(Number)
      await expect.poll(hanging, { timeout: OUTAGE_MS }).toBeGreaterThanOrEqual(WRITERS)
      const keptBefore = kept.size

      kill(started[0]!)
      switchTo(standby)
      const killedMs = performance.now()
      // A standby that nobody has promoted yet answers reads, and takes no writes.
      const list = () => send(server!, '/v1/files?limit=1', { headers: { authorization: basic(privateKey) } })
      await expect.poll(async () => (await list()).status, { timeout: OUTAGE_MS }).toBe(200)
      writers.push(...Array.from({ length: WRITERS }, (_, writer) => write(WRITERS + writer)))
      await expect.poll(() => counts['upload: 503'] ?? 0, { timeout: OUTAGE_MS }).toBeGreaterThan(20)
      expect(kept.size).toBe(keptBefore)

      await postgres('pg_ctl', 'promote', '-D', dataOf(standby), '-w', '-t', '60')
      const promotedMs = performance.now()
      await moreThan(keptBefore)
      const resumedMs = performance.now()
      await moreThan(keptBefore + 150)
      isWriting = false
      await Promise.all(writers)

      expect(problems).toEqual([])
      expect(await query(standby, 'SELECT pg_is_in_recovery()')).toBe('f')
      const listed = new Map((await listFiles(server)).map((file) => [file.filePath, file.size]))
      const lost = [...kept.keys()].filter((path) => listed.get(path) !== 1500)
      expect(lost).toEqual([])
      const changed: string[] = []
      for (const [path, sha256] of kept) {
        const { body } = await send(server, `/${id}${path}`)
        if (createHash('sha256').update(body).digest('hex') !== sha256) changed.push(path)
      }
      expect(changed).toEqual([])
      const { stdout } = await run(process.execPath, [join(root, 'src/cli.ts'), 'verify', '--json'], {
        cwd: root,
        env: {
          PATH: process.env.PATH,
          TINTYPE_DATABASE_URL: `postgres://postgres@127.0.0.1:${standby}/media`,
          TINTYPE_DATA_DIR: server.dataDir,
        },
      })
      const report = JSON.parse(stdout)
      expect([report.damaged.list, report.missing.list, report.mismatched.list]).toEqual([[], [], []])
      expect(server.output()).not.toMatch(/uncaughtException|unhandledRejection/)
      noteRun('failover to a promoted PostgreSQL', {
        'acknowledged uploads, all there': kept.size,
        'from the kill to the promotion (ms)': Math.round(promotedMs - killedMs),
        'from the promotion to the next upload (ms)': Math.round(resumedMs - promotedMs),
        ...counts,
      })
    } finally {
      isWriting = false
      await server?.dispose()
      await proxy.stop()
      for (const pid of started) kill(pid)
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    }
  }, 300_000)
})
