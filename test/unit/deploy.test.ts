import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { NODE_FLAGS } from '../../scripts/bootstrap.mjs'
import { COMMANDS } from '../../src/cli-commands.ts'
import { listSettings } from '../../src/config/config.ts'

const root = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

describe('the image', () => {
  const lines = read('Dockerfile').split('\n')

  test('copies only what there is, and what its context lets through', () => {
    const copied = lines
      .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
      .flatMap((line) => line.split(/\s+/).slice(1, -1))
    expect(copied.length).toBeGreaterThan(3)
    const context = read('.dockerignore').split('\n')
    for (const path of copied) {
      expect(existsSync(join(root, path)), path).toBe(true)
      expect(context).toContain(`!${path}`)
    }
  })

  test('starts a program that there is, as nobody in particular', () => {
    const entry = JSON.parse(
      lines.find((line) => line.startsWith('ENTRYPOINT '))!.slice('ENTRYPOINT '.length),
    )
    expect(existsSync(join(root, entry.at(-1)))).toBe(true)
    expect(entry).toEqual(expect.arrayContaining(NODE_FLAGS))
    expect(COMMANDS).toHaveProperty(JSON.parse(lines.find((line) => line.startsWith('CMD '))!.slice(4))[0])
    expect(lines).toContain('USER node')
  })
})

describe('examples and pages', () => {
  const files = [
    'Dockerfile',
    'compose.yaml',
    'deploy/kubernetes.yaml',
    'docs/operations.md',
    'docs/scale.md',
  ]

  test.each(files)('%s names only settings that there are', (file) => {
    const known = new Set(listSettings().map(({ env }) => env))
    const named = read(file).match(/\bTINTYPE_[A-Z0-9_]+(?![A-Z0-9_…])/g) ?? []
    const unknown = named
      .map((name) => name.replace(/^TINTYPE_TO_/, 'TINTYPE_').replace(/_FILE$/, ''))
      .filter((name) => !known.has(name) && !/_$/.test(name))
    expect([...new Set(unknown)]).toEqual([])
  })

  test('the page about operations names only commands, settings and files that there are', () => {
    const text = read('docs/operations.md')
    for (const [, command] of text.matchAll(/tintype ([a-z][a-z-]*(?: [a-z]+)?)/g)) {
      const words = command!.split(' ')
      expect(
        Object.keys(COMMANDS).some((name) => name === words[0] || name === command),
        command,
      ).toBe(true)
    }
    const paths = new Set(listSettings().map(({ path }) => path))
    for (const [, path] of text.matchAll(
      /`((?:store|blobs|counters|tracing|http|delivery|worker|housekeeping)\.[A-Za-z0-9.]+)`/g,
    )) {
      expect(paths, path).toContain(path)
    }
    for (const [, target] of text.matchAll(/\]\((?!#)([^)#]+)(?:#[^)]*)?\)/g)) {
      expect(existsSync(join(root, 'docs', target!)), target).toBe(true)
    }
  })

  test.skipIf(!process.env.HAPROXY_PATH)('the configuration of haproxy is valid', () => {
    execFileSync(process.env.HAPROXY_PATH!, ['-c', '-q', '-f', join(root, 'deploy/haproxy.cfg')])
  })
})
