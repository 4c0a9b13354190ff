import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { listSettings } from '../../src/config/config.ts'

const root = join(import.meta.dirname, '../..')

describe('the documentation', () => {
  it('is what `npm run docs` makes of the sources', async () => {
    const check = promisify(execFile)(process.execPath, ['scripts/gen-docs.mjs', '--check'], { cwd: root })
    await expect(check).resolves.toMatchObject({ stderr: '' })
  })

  it('names no setting that there is not', () => {
    const known = new Set(listSettings().map(({ env }) => env))
    /** What programs beside the server read, and the settings of another installation. */
    const others = /^TINTYPE_(CONFIG$|URL$|URL_ENDPOINT$|TO_|TEST_)/
    const files = [
      '*.md',
      'docs/**/*.md',
      'client/*.md',
      'examples/**/*',
      'deploy/*',
      'Dockerfile',
      'compose.yaml',
    ]
    const named = files
      .flatMap((pattern) => globSync(pattern, { cwd: root }))
      .filter((file) => statSync(join(root, file)).isFile())
      .flatMap((file) => {
        const names = readFileSync(join(root, file), 'utf8').matchAll(/TINTYPE_[A-Z0-9_]+(?![A-Z0-9_…*])/g)
        return [...names].map(([name]) => ({ file, name }))
      })
    expect(named.length).toBeGreaterThan(100)
    const unknown = named.filter(
      ({ name }) => !others.test(name) && !known.has(name) && !known.has(name.replace(/_FILE$/, '')),
    )
    expect(unknown).toEqual([])
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
