import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../../src/kernel/log.ts'
import type { Job } from '../../../src/transform/image/job.ts'
import { createPool, type Pool, type PoolOptions } from '../../../src/transform/image/pool.ts'

/** A process that does what the source's path says. */
const CHILD = `
import { appendFileSync } from 'node:fs'
process.on('message', ({ id, job }) => {
  const path = job.source.path
  if (path.startsWith('crash')) process.kill(process.pid, 'SIGSEGV')
  if (path.startsWith('loop')) for (;;);
  if (path.startsWith('grow')) globalThis.kept = Buffer.alloc(400e6, 1)
  const wait = path.includes('slow') ? 150 : 0
  setTimeout(() => process.send({ id, ok: true, result: { pHash: String(process.pid), env: process.env } }), wait)
})
if (process.env.STARTS) appendFileSync(process.env.STARTS, '.')
process.send({ id: 0, ok: true })
`

let dir: string
let pool: Pool
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tintype-pool-'))
  await writeFile(join(dir, 'child.mjs'), CHILD)
})
afterEach(() => pool.close())
afterAll(() => rm(dir, { recursive: true, force: true }))

function open(changes: Partial<PoolOptions> = {}) {
  pool = createPool(
    {
      processes: 2,
      queue: 10,
      memoryBytes: 100,
      jobsPerProcess: 1000,
      idleBytes: 4e9,
      env: () => ({ OURS: '1' }),
      execArgv: [],
      module: pathToFileURL(join(dir, 'child.mjs')),
      ...changes,
    },
    silentLog,
  )
  return pool
}
const run = (
  path: string,
  changes: { timeoutMs?: number; estimatedBytes?: number; limitBytes?: number; spendsProcess?: boolean } = {},
) =>
  pool.run({
    job: { kind: 'analyse', source: { path } } as unknown as Job,
    timeoutMs: 5000,
    estimatedBytes: 1,
    limitBytes: 4e9,
    spendsProcess: false,
    sourceKey: path,
    ...changes,
  }) as unknown as Promise<{ pHash: string; env: Record<string, string> }>

describe('the pool', () => {
  test('gives its processes nothing but what it is told', async () => {
    process.env.SOME_SECRET = 'secret'
    open()
    const { env } = await run('a')
    expect(env.OURS).toBe('1')
    expect(env.SOME_SECRET).toBeUndefined()
    delete process.env.SOME_SECRET
  })
  test('reuses processes, and works in parallel', async () => {
    open()
    const pids = await Promise.all(Array.from({ length: 8 }, () => run('slow')))
    expect(new Set(pids.map(({ pHash }) => pHash)).size).toBe(2)
  })
  test('a crash is an error of that file alone', async () => {
    open({ processes: 1 })
    const results = await Promise.allSettled([run('a'), run('crash'), run('b')])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    await expect(run('crash')).rejects.toMatchObject({ kind: 'bad-request' })
    await expect(run('crash')).rejects.toThrow('failed before')
    expect((await run('c')).pHash).toMatch(/\d/)
  })
  test('what runs wild is killed, and the next is served', async () => {
    open({ processes: 1 })
    const wild = run('loop', { timeoutMs: 200 })
    const next = run('b')
    await expect(wild).rejects.toMatchObject({ kind: 'bad-request' })
    expect((await next).pHash).toMatch(/\d/)
  })
  test('one that was killed, or that crashed, is replaced before anybody asks, if none is idle', async () => {
    const starts = join(dir, 'starts')
    const counted = async () => (await readFile(starts, 'utf8').catch(() => '')).length
    open({ processes: 1, env: () => ({ STARTS: starts }) })
    await expect(run('loop', { timeoutMs: 200 })).rejects.toMatchObject({ kind: 'bad-request' })
    await expect.poll(counted).toBe(2)
    await expect(run('crash')).rejects.toMatchObject({ kind: 'bad-request' })
    await expect.poll(counted).toBe(3)
    await run('a')
    expect(await counted()).toBe(3)
  })
  test.runIf(process.platform === 'linux')(
    'what grows without measure is killed, and the next is served',
    async () => {
      open({ processes: 1 })
      const wild = run('grow slow', { limitBytes: 300e6 })
      const next = run('b')
      await expect(wild).rejects.toThrow('too much memory')
      expect((await next).pHash).toMatch(/\d/)
    },
  )
  test('a full queue refuses with Retry-After', async () => {
    open({ processes: 1, queue: 2 })
    const all = await Promise.allSettled(Array.from({ length: 6 }, () => run('slow')))
    const refused = all.filter((one) => one.status === 'rejected')
    expect(refused.length).toBeGreaterThanOrEqual(3)
    for (const { reason } of refused) {
      expect(reason).toMatchObject({ kind: 'unavailable', headers: { 'retry-after': '1' } })
    }
  })
  test('jobs that need much memory do not run beside others', async () => {
    open()
    const order: string[] = []
    await Promise.all([
      run('slow1', { estimatedBytes: 90 }).then(() => order.push('large')),
      run('b', { estimatedBytes: 90 }).then(() => order.push('second')),
      run('c', { estimatedBytes: 1 }).then(() => order.push('third')),
    ])
    expect(order[0]).toBe('large')
  })
  test('one that needs more than there is runs alone', async () => {
    open()
    expect((await run('a', { estimatedBytes: 1000 })).pHash).toMatch(/\d/)
  })
  test('a process is replaced after its share of jobs, or when a job spends it', async () => {
    open({ processes: 1, jobsPerProcess: 2 })
    const pids = []
    for (let i = 0; i < 4; i++) pids.push((await run('a')).pHash)
    expect(new Set(pids).size).toBe(2)
    const spent = (await run('a', { spendsProcess: true })).pHash
    expect((await run('a')).pHash).not.toBe(spent)
    await pool.close()
    open({ processes: 1, idleBytes: 300e6 })
    const grown = (await run('grow')).pHash
    if (process.platform === 'linux') expect((await run('a')).pHash).not.toBe(grown)
  })
  test('a module that does not start is not waited for', async () => {
    open({ module: pathToFileURL(join(dir, 'nothing.mjs')) })
    await expect(run('a')).rejects.toMatchObject({ kind: 'unavailable' })
  })
  test('closing refuses what waits', async () => {
    open({ processes: 1 })
    const all = Promise.allSettled([run('slow'), run('slow')])
    await pool.close()
    expect((await all).every(({ status }) => status === 'rejected')).toBe(true)
    await expect(run('a')).rejects.toMatchObject({ kind: 'unavailable' })
  })
})
