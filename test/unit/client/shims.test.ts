import { execFile } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { upload } from '@imagekit/javascript'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createXhr } from '../../../client/shims/xhr.js'
import { NodeXhr } from './node-xhr.ts'

const root = join(import.meta.dirname, '../../..')
let server: Server
let origin: string
let seen: string[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json', connection: 'close' })
      response.end('{"fileId":"f1"}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  Object.assign(globalThis, { XMLHttpRequest: NodeXhr })
})
afterAll(() => {
  Reflect.deleteProperty(globalThis, 'XMLHttpRequest')
  server.close()
})
beforeEach(() => {
  seen = []
})

describe('createXhr', () => {
  it('sends uploads of the official browser SDK to the endpoint', async () => {
    const result = await upload({
      file: 'aGVsbG8=',
      fileName: 'a.txt',
      publicKey: 'p',
      token: 't',
      signature: 's',
      expire: 1,
      xhr: createXhr(`${origin}/base/`) as never,
    })
    expect(result.fileId).toBe('f1')
    expect(seen).toEqual(['POST /base/api/v1/files/upload'])
  })

  it.each([
    ['https://api.imagekit.io/v1/files?x=1', 'https://media.example/v1/files?x=1'],
    ['https://upload.imagekit.io', 'https://media.example'],
    ['https://upload.imagekit.io.evil.example/x', 'https://upload.imagekit.io.evil.example/x'],
    [
      'https://other.example/https://upload.imagekit.io/',
      'https://other.example/https://upload.imagekit.io/',
    ],
  ])('opens %s as %s', (url, opened) => {
    const calls: string[] = []
    class Recorder extends NodeXhr {
      override open(method: string, target: string): void {
        calls.push(`${method} ${target}`)
      }
    }
    Object.assign(globalThis, { XMLHttpRequest: Recorder })
    try {
      createXhr('https://media.example').open('POST', url)
    } finally {
      Object.assign(globalThis, { XMLHttpRequest: NodeXhr })
    }
    expect(calls).toEqual([`POST ${opened}`])
  })
})

describe('imagekit-v6 preload', () => {
  const preload = join(root, 'client/shims/imagekit-v6.cjs')
  const program = `
    const imagekit = new ImageKit({ publicKey: 'p', privateKey: 'k', urlEndpoint: 'https://media.example/demo' })
    const run = async () => {
      await imagekit.listFiles({ limit: 1 })
      await imagekit.upload({ file: 'aGVsbG8=', fileName: 'a.txt' })
      await imagekit.deleteFolder('/x')
    }
    run().then(() => console.log('done'))`
  const run = (args: string[], env: Record<string, string> = { TINTYPE_URL: `${origin}/` }) =>
    promisify(execFile)(process.execPath, ['--require', preload, ...args], {
      cwd: root,
      env: { PATH: process.env.PATH, ...env },
    })

  it.each([
    ['a CommonJS program', ['--eval', `const ImageKit = require('imagekit');${program}`]],
    ['a module', ['--input-type=module', '--eval', `import ImageKit from 'imagekit';${program}`]],
  ])('points %s at TINTYPE_URL', async (_, args) => {
    expect((await run(args)).stdout).toBe('done\n')
    expect(seen).toEqual(['GET /v1/files/?limit=1', 'POST /api/v1/files/upload', 'DELETE /v1/folder'])
  })

  it('leaves other requests of the program alone', async () => {
    const own = `require('imagekit'); const axios = require('axios')
      axios.get('${origin}/own').then(() => console.log('done'))`
    expect((await run(['--eval', own], { TINTYPE_URL: 'http://127.0.0.1:9' })).stdout).toBe('done\n')
    expect(seen).toEqual(['GET /own'])
  })

  it('says what is missing', async () => {
    await expect(run(['--eval', '0'], {})).rejects.toThrow('TINTYPE_URL is missing')
  })
})
