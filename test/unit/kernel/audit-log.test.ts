import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openAuditLog } from '../../../src/kernel/audit-log.ts'
import { silentLog } from '../../../src/kernel/log.ts'
import { systemClock } from '../../../src/kernel/time.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tintype-audit-log-'))
})
afterEach(() => rm(folder, { recursive: true }))

const entry = (number: number, padding = '') =>
  ({ source: 'api', outcome: 'done', targets: { number }, padding }) as const
const open = (options: { maxFileMiB?: number; keepFiles?: number } = {}) =>
  openAuditLog(
    { path: join(folder, 'audit.jsonl'), maxFileMiB: 100, keepFiles: 3, reads: false, ...options },
    { log: silentLog, clock: systemClock },
  )
const numbersIn = async (name: string) =>
  (await readFile(join(folder, name), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).targets.number as number)

describe('the audit log', () => {
  it('is a channel of the log, with a file or without', async () => {
    const lines: string[] = []
    const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) })
    const audit = await openAuditLog(
      { maxFileMiB: 1, keepFiles: 1, reads: false },
      { log, clock: systemClock },
    )
    audit.write(entry(1))
    await audit.close()
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ audit: true, msg: 'audit', source: 'api', targets: { number: 1 } }),
    ])
    expect(await readdir(folder)).toEqual([])
  })

  it('keeps every line and their order, a line for an entry, for nobody else to read', async () => {
    const audit = await open()
    for (let number = 0; number < 500; number += 1) audit.write(entry(number, 'a\nb\u2028c"'))
    await audit.close()
    expect(await numbersIn('audit.jsonl')).toEqual(Array.from({ length: 500 }, (_, number) => number))
    expect((await stat(join(folder, 'audit.jsonl'))).mode & 0o777).toBe(0o600)
  })

  it('sets large files aside and keeps as many as it is told', async () => {
    const audit = await open({ maxFileMiB: 1, keepFiles: 2 })
    for (let number = 0; number < 5; number += 1) {
      audit.write(entry(number, 'x'.repeat(700_000)))
      await audit.close()
    }
    expect((await readdir(folder)).sort()).toEqual(['audit.jsonl', 'audit.jsonl.1', 'audit.jsonl.2'])
    expect(await numbersIn('audit.jsonl')).toEqual([4])
    expect(await numbersIn('audit.jsonl.1')).toEqual([3])
    expect(await numbersIn('audit.jsonl.2')).toEqual([2])
  })

  it('goes on in a new file when another program has taken the old one away', async () => {
    const audit = await open()
    audit.write(entry(1))
    await audit.close()
    await rename(join(folder, 'audit.jsonl'), join(folder, 'taken'))
    audit.write(entry(2))
    await audit.close()
    expect(await numbersIn('audit.jsonl')).toEqual([2])
  })

  it('refuses a place that cannot be written, and outlives one that becomes so', async () => {
    await writeFile(join(folder, 'a-file'), '')
    await expect(
      openAuditLog(
        { path: join(folder, 'a-file', 'audit'), maxFileMiB: 1, keepFiles: 1, reads: false },
        { log: silentLog, clock: systemClock },
      ),
    ).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining('audit.path') })
    const errors: object[] = []
    const log = { ...silentLog, error: (fields: object) => errors.push(fields) }
    const audit = await openAuditLog(
      { path: join(folder, 'gone', 'audit'), maxFileMiB: 1, keepFiles: 1, reads: false },
      { log, clock: systemClock },
    )
    await rm(join(folder, 'gone'), { recursive: true })
    audit.write(entry(1))
    await audit.close()
    expect(errors).toEqual([expect.objectContaining({ lost: 1 })])
  })
})
