import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')

test('names the tests that passed only when they were tried again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tintype-retried-'))
  try {
    await writeFile(
      join(folder, 'some.test.mjs'),
      `let runs = 0
      test('now and then', () => {
        runs += 1
        expect(runs, 'too early\\nmore').toBe(2)
      })
      test('always', () => expect(1).toBe(1))`,
    )
    const retried = join(folder, 'retried.json')
    const args = ['run', '--globals', '--retry=1', `--root=${folder}`]
    await promisify(execFile)(
      join(root, 'node_modules/.bin/vitest'),
      [...args, `--reporter=${join(root, 'scripts/retried-reporter.mjs')}`, 'some.test.mjs'],
      { env: { PATH: process.env.PATH, RETRIED_TESTS: retried } },
    )
    expect(JSON.parse(await readFile(retried, 'utf8'))).toEqual([
      { name: 'some.test.mjs > now and then', tries: 2, error: expect.stringContaining('too early') },
    ])
  } finally {
    await rm(folder, { recursive: true })
  }
})
