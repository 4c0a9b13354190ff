import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')

describe('the documentation', () => {
  it('is what `npm run docs` makes of the sources', async () => {
    const check = promisify(execFile)(process.execPath, ['scripts/gen-docs.mjs', '--check'], { cwd: root })
    await expect(check).resolves.toMatchObject({ stderr: '' })
  })

  it('has no links to files that are not there', () => {
    const pages = [...globSync('docs/**/*.md', { cwd: root }), 'README.md', 'SECURITY.md']
    const broken = pages.flatMap((page) =>
      [...readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => target!.split('#')[0]!)
        .filter((target) => target !== '' && !/^[a-z]+:/.test(target))
        .filter((target) => !existsSync(join(root, dirname(page), target)))
        .map((target) => `${page}: ${target}`),
    )
    expect(broken).toEqual([])
  })
})
