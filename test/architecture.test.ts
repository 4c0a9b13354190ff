import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findBreaches, PACKAGE_FILE } from './support/house-rules.ts'
import { scanSource } from './support/source-scan.ts'

const root = join(import.meta.dirname, '..')

function read(folder: string): Map<string, string> {
  const paths = globSync('**/*.{ts,js}', { cwd: join(root, folder) })
  return new Map(
    paths.map((path) => [path.replaceAll('\\', '/'), readFileSync(join(root, folder, path), 'utf8')]),
  )
}

describe('the sources', () => {
  const sources = read('src')

  test('keep the floors, the front doors, the pure files pure and the packages at home', () => {
    expect(sources.size).toBeGreaterThan(20)
    expect(findBreaches(sources)).toEqual([])
  })

  test('are seen through by the scanner: every relative import leads to a file', () => {
    const lost = [...sources].flatMap(([path, text]) =>
      scanSource(text)
        .imports.filter(({ specifier }) => specifier.startsWith('.'))
        .filter(({ specifier }) => !sources.has(join(path, '..', specifier)) && specifier !== PACKAGE_FILE)
        .map(({ specifier }) => `${path}: ${specifier}`),
    )
    expect(lost).toEqual([])
  })

  test('are not imported by the acceptance tests, which see only what a client sees', () => {
    const support = ['support/server.ts', 'support/fixtures.ts']
    const tests = read('test')
    for (const [path, text] of tests) {
      if (!path.startsWith('acceptance/') && !support.includes(path)) continue
      const insiders = scanSource(text).imports.filter(({ specifier }) => specifier.includes('/src/'))
      expect(insiders, path).toEqual([])
    }
  })
})

describe('findBreaches', () => {
  const breachesOf = (path: string, text: string, others: Record<string, string> = {}) =>
    findBreaches(new Map([[path, text], ...Object.entries(others)]))

  test.each([
    ['library/upload.ts', "import { listen } from '../http/http.ts'", 'from a higher floor'],
    ['library/upload.ts', "import type { App } from '../http/http.ts'", 'from a higher floor'],
    ['store/files.ts', "export { disk } from '../blobs/blobs.ts'", 'from its own floor'],
    ['http/http.ts', "const w = await import('../worker/worker.ts')", 'from its own floor'],
    ['kernel/ids.ts', "import '../media/media.ts'", 'from a higher floor'],
    ['kernel/exec.ts', "fork(new URL('../media/child.ts', import.meta.url))", 'from a higher floor'],
    ['main.ts', "import { x } from './newcomer/newcomer.ts'", 'on no floor'],
    ['newcomer/newcomer.ts', 'export {}', 'newcomer is on no floor'],
    ['http/http.ts', "import about from '../../package.json' with { type: 'json' }", 'on no floor'],
  ])('floors: %s with %s', (path, text, breach) => {
    expect(breachesOf(path, text).join()).toContain(breach)
  })

  test.each([
    ['http/routes/files.ts', "import { rows } from '../../store/files.ts'"],
    ['config/config.ts', "import { diskOptions } from '../blobs/disk.ts'"],
    ['compose.ts', "import { sqlite } from './store/dialects/sqlite.ts'"],
  ])('front doors: %s with %s', (path, text) => {
    expect(breachesOf(path, text).join()).toContain('not the front door')
  })

  test.each([
    ['transform/parse.ts', "import { readFileSync } from 'node:fs'"],
    ['transform/plan-crop.ts', "import { render } from './image/render.ts'"],
    ['query/query.ts', "import ts from 'typescript'"],
    ['delivery/address.ts', "import { Ids } from '../kernel/ids.ts'"],
  ])('pure files: %s with %s', (path, text) => {
    const others = {
      'kernel/ids.ts': "import { randomBytes } from 'node:crypto'",
      'transform/image/render.ts': "import sharp from 'sharp'",
    }
    expect(breachesOf(path, text, others).join()).toContain('a pure file imports')
  })

  test.each([
    ['library/library.ts', "import { fastify } from 'fastify'"],
    ['library/library.ts', "import cors from '@fastify/cors'"],
    ['library/library.ts', "import { sql } from 'kysely'"],
    ['compose.ts', "import pg from 'pg'"],
    ['media/media.ts', "import { DatabaseSync } from 'node:sqlite'"],
    ['transform/transform.ts', "import sharp from 'sharp'"],
    ['library/library.ts', "import { S3Client } from '@aws-sdk/client-s3'"],
    ['media/video.ts', "import { spawn } from 'node:child_process'"],
    ['media/video.ts', "const cp = require('child_process')"],
  ])('homes of packages: %s with %s', (path, text) => {
    expect(breachesOf(path, text).join()).toContain('away from its home')
  })

  test.each([
    'const port = process.env.PORT',
    "const port = process['env'].PORT; const all = process.env",
    'const { env } = process',
  ])('the environment: %s', (text) => {
    expect(breachesOf('http/http.ts', text).join()).toContain('process.env')
    expect(breachesOf('config/load.ts', text)).toEqual([])
  })

  test('lets through what is allowed', () => {
    const allowed: Record<string, string> = {
      'main.ts': "import { compose } from './compose.ts'\nimport { loadConfig } from './config/config.ts'",
      'compose.ts':
        "import { openDisk } from './blobs/disk.ts'\nimport { openStore } from './store/store.ts'",
      'config/config.ts': "import { blobOptions } from '../blobs/blobs.ts'",
      'http/routes/upload.ts': "import { x } from '../multipart.ts'\nimport { Type } from 'typebox'",
      'http/http.ts': "import { fastify } from 'fastify'",
      'store/dialects/sqlite.ts':
        "import { DatabaseSync } from 'node:sqlite'\nimport { x } from '../store.ts'",
      'transform/parse.ts':
        "import { bad } from '../kernel/errors.ts'\nimport type { Stats } from 'node:fs'\nimport './ast.ts'",
      'kernel/errors.ts': 'export const bad = 1',
      'kernel/exec.ts': "import { spawn } from 'node:child_process'",
      'media/image.ts': "import sharp from 'sharp'\n// process.env is not for us; see import 'fastify'",
      'library/library.ts': "import { catalog } from '../transform/catalog.ts'\nconst text = 'process.env'",
    }
    expect(findBreaches(new Map(Object.entries(allowed)))).toEqual([])
  })
})

describe('scanSource', () => {
  const importsOf = (text: string) => scanSource(text).imports

  test.each<[string, string, boolean]>([
    ["import a from 'x'", 'x', false],
    ["import a, { b as c } from 'x'", 'x', false],
    ["import * as a from 'x'", 'x', false],
    ["import {\n  a, // from 'y'\n  b,\n} from 'x'", 'x', false],
    ["import 'x'", 'x', false],
    ['import "x"', 'x', false],
    ["import type { A } from 'x'", 'x', true],
    ["import type A from 'x'", 'x', true],
    ["import { type A, b } from 'x'", 'x', false],
    ["import type, { b } from 'x'", 'x', false],
    ["import type from 'x'", 'x', false],
    ["export * from 'x'", 'x', false],
    ["export type * from 'x'", 'x', true],
    ["export { a } from 'x'", 'x', false],
    ["const a = await import('x')", 'x', false],
    ['const a = await import(`x`)', 'x', false],
    ["const a = require('x')", 'x', false],
    ["fork(new URL('x', import.meta.url))", 'x', false],
    ["const quote = /['\"`]/\nimport a from 'x'", 'x', false],
    ["const half = total / 2 // it's\nimport a from 'x'", 'x', false],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a template literal is what the case is about
    ['const t = `a ${b ? `c ${{ d }}` : "}"} e`; import a from "x"', 'x', false],
    ["const t = 'it\\'s'; import a from 'x'", 'x', false],
  ])('%s', (text, specifier, typeOnly) => {
    expect(importsOf(text)).toEqual([{ specifier, typeOnly }])
  })

  test.each([
    "// import a from 'x'",
    "/* import a from 'x' */",
    'const text = "import a from \'x\'"',
    "const text = `import 'x'`",
    "const importer = list.from('x')",
    "new URL('x', base)",
  ])('none in %s', (text) => {
    expect(importsOf(text)).toEqual([])
  })
})
