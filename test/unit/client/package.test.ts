import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import vm from 'node:vm'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as browser from '../../../client/browser/imagekit.js'
import { registerClient } from '../../../src/http/routes/client.ts'

const client = join(import.meta.dirname, '../../../client')

describe('package', () => {
  it('agrees with its declared types', async () => {
    const tsc = join(client, '../node_modules/.bin/tsc')
    const result = await promisify(execFile)(tsc, ['-p', client]).catch((error) => error)
    expect(result.stdout).toBe('')
  })

  it('exports files that are there', async () => {
    const manifest = JSON.parse(await readFile(join(client, 'package.json'), 'utf8'))
    const files = Object.values(manifest.exports).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry as object),
    )
    expect(files.length).toBeGreaterThan(6)
    for (const file of files) expect(existsSync(join(client, file as string)), file as string).toBe(true)
    expect(manifest.dependencies).toBeUndefined()
  })
})

describe('scripts that Tintype serves', () => {
  let app: FastifyInstance
  beforeAll(async () => {
    app = Fastify()
    registerClient(app)
    await app.ready()
  })
  afterAll(() => app.close())

  it('serves a classic script with one global', async () => {
    const { statusCode, headers, body } = await app.inject('/client/imagekit.js')
    expect(statusCode).toBe(200)
    expect(headers['content-type']).toBe('text/javascript; charset=utf-8')
    expect(headers['access-control-allow-origin']).toBe('*')
    const page = vm.createContext({ URL, TextEncoder, TextDecoder })
    const before = Object.keys(page)
    vm.runInContext(body, page)
    expect(Object.keys(page).filter((name) => !before.includes(name))).toEqual(['ImageKit'])
    const url = vm.runInContext(
      `new ImageKit({ publicKey: 'p', urlEndpoint: 'https://media.example/demo', apiVersion: 'v2' })
        .url({ path: '/a.jpg', transformation: [{ width: 5 }] })`,
      page,
    )
    expect(url).toBe('https://media.example/demo/tr:w-5/a.jpg')
    const errors = Object.keys(browser).filter((name) => name.endsWith('Error'))
    expect(errors).toHaveLength(5)
    for (const name of errors) expect(vm.runInContext(`new ImageKit.${name}('x').name`, page)).toBe(name)
  })

  it.each(['/client/imagekit.mjs', '/client/xhr.mjs'])('serves the module %s as it is', async (url) => {
    const { headers, body } = await app.inject(url)
    expect(headers['content-type']).toBe('text/javascript; charset=utf-8')
    expect(body).not.toMatch(/^import /m)
    const module = await import(`data:text/javascript,${encodeURIComponent(body)}`)
    expect(Object.keys(module)).toContain(url.includes('xhr') ? 'createXhr' : 'ImageKit')
  })

  it('lets browsers keep them, and answers 304 to those who have them', async () => {
    const first = await app.inject('/client/imagekit.js')
    const { etag } = first.headers
    expect(first.headers['cache-control']).toBe('public, max-age=3600')
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const again = await app.inject({
        url: '/client/imagekit.js',
        headers: { 'if-none-match': known as string },
      })
      expect([again.statusCode, again.body]).toEqual([304, ''])
    }
    const other = await app.inject({ url: '/client/imagekit.js', headers: { 'if-none-match': '"x"' } })
    expect(other.statusCode).toBe(200)
    expect((await app.inject({ url: '/client/imagekit.js', method: 'HEAD' })).statusCode).toBe(200)
  })
})
