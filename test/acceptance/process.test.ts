import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { isCluster, onlyAlone } from '../support/cluster-server.ts'
import { basic, encodeForm, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { launchServer, type Server, startServer } from '../support/server.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const started: Server[] = []

async function start(options: Parameters<typeof startServer>[0] = {}): Promise<Server> {
  const server = await startServer(options)
  started.push(server)
  return server
}
afterEach(async () => {
  await Promise.all(started.splice(0).map((server) => server.dispose()))
})

const withoutKeys = { TINTYPE_ID: undefined, TINTYPE_PUBLIC_KEY: undefined, TINTYPE_PRIVATE_KEY: undefined }

/** Starts a server whose settings are wrong and gives what it says and its exit code. */
async function failedStart(options: Parameters<typeof launchServer>[0]) {
  const { ended, output } = await launchServer(options)
  const { code } = await ended
  return { code, output: output() }
}

describe('the first run', () => {
  const ofOneNode = onlyAlone('a node prints its own address')
  test.skipIf(isCluster)(
    `makes an account and prints a block whose curl line works when pasted${ofOneNode}`,
    async () => {
      const server = await start({ env: withoutKeys })
      const output = server.output()
      const publicKey = /public_[A-Za-z0-9]{20,}/.exec(output)?.[0]
      const privateKey = /private_[A-Za-z0-9]{20,}/.exec(output)?.[0]
      expect(publicKey).toBeDefined()
      expect(privateKey).toBeDefined()
      expect(output).toContain(`${server.url}/`)

      const curl = /^ *(curl .*)$/m.exec(output)?.[1]
      expect(curl).toBeDefined()
      const folder = await mkdtemp(join(tmpdir(), 'tintype-curl-'))
      try {
        const photo = /@([\w.-]+)/.exec(curl!)![1]!
        await writeFile(join(folder, photo), png(40, 30))
        const { stdout } = await run('sh', ['-c', curl!], { cwd: folder })
        const answer = JSON.parse(stdout)
        expect(answer).toMatchObject({ width: 40, height: 30, fileType: 'image' })
        expect(answer.url.startsWith(server.url)).toBe(true)
        expect((await send(server, answer.url.slice(server.url.length))).body.equals(png(40, 30))).toBe(true)
        expect((await send(server, answer.thumbnailUrl.slice(server.url.length))).status).toBe(200)
      } finally {
        await rm(folder, { recursive: true })
      }
    },
  )

  test('prints the private key once; the next start keeps id, keys and files', async () => {
    const first = await start({ env: withoutKeys })
    const privateKey = /private_[A-Za-z0-9]{20,}/.exec(first.output())![0]
    const answer = await uploadFile(
      first,
      png(),
      { fileName: 'kept.png' },
      { authorization: basic(privateKey) },
    )
    const path: string = answer.json().url.slice(first.url.length)
    expect(await first.stop()).toEqual({ code: 0, signal: null })

    const second = await start({ env: withoutKeys, dataDir: first.dataDir })
    expect(second.output()).not.toContain('private_')
    expect((await send(second, path)).body.equals(png())).toBe(true)
    const again = await uploadFile(second, png(), { fileName: 'b.png' }, { authorization: basic(privateKey) })
    expect(again.status).toBe(200)
  })

  test('keys in settings are taken, and never printed', async () => {
    const server = await start()
    expect((await uploadFile(server, png(), { fileName: 'a.png' })).json().url).toContain(`/${server.id}/`)
    await uploadFile(server, png(), { fileName: 'a.png', isPrivateFile: 'garbage' })
    await send(server, `/v1/files`, { headers: { authorization: basic(`${server.privateKey}x`) } })
    await server.stop()
    expect(server.output()).not.toContain(server.privateKey)
  })
})

describe('health', () => {
  test('answers JSON', async () => {
    const server = await start()
    const answer = await send(server, '/health')
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
    expect(answer.json()).toBeTypeOf('object')
    expect((await send(server, '/health/')).status).toBe(200)
    expect((await send(server, '/health', { method: 'HEAD' })).status).toBe(200)
  })
})

describe('settings', () => {
  test('a broken start names every problem at once, and how to mend it', async () => {
    const { code, output } = await failedStart({
      env: {
        PORT: 'eighty',
        TINTYPE_PUBLIC_URL: 'not a url',
        TINTYPE_ID: 'with spaces',
        TINTYPE_UPLOAD_MAX_FILE_BYTES: '-1',
        TINTYPE_ALLOW_PRIVATE_NETWORK: 'maybe',
      },
    })
    expect(code).toBe(1)
    for (const name of [
      'PORT',
      'TINTYPE_PUBLIC_URL',
      'TINTYPE_ID',
      'TINTYPE_UPLOAD_MAX_FILE_BYTES',
      'TINTYPE_ALLOW_PRIVATE_NETWORK',
    ]) {
      expect(output).toContain(name)
    }
    expect(output).not.toMatch(/^\s+at /m)
  })

  test('a port that is taken', async () => {
    const server = await start()
    const { code, output } = await failedStart({ env: { PORT: new URL(server.url).port } })
    expect(code).toBe(1)
    expect(output).toContain(new URL(server.url).port)
    expect(output).not.toMatch(/^\s+at /m)
  })

  test('a secret from a file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tintype-secret-'))
    try {
      const file = join(folder, 'key')
      await writeFile(file, 'private_from_a_file_00000000000000000000\n')
      await chmod(file, 0o600)
      const server = await start({ env: { TINTYPE_PRIVATE_KEY: undefined, TINTYPE_PRIVATE_KEY_FILE: file } })
      const authorization = basic('private_from_a_file_00000000000000000000')
      expect((await send(server, '/v1/files', { headers: { authorization } })).status).toBe(200)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  test('the public URL is the base of the URLs in answers; without it the request is', async () => {
    const named = await start({ env: { TINTYPE_PUBLIC_URL: 'https://media.example.com/' } })
    expect((await uploadFile(named, png(), { fileName: 'a.png' })).json()).toMatchObject({
      url: expect.stringMatching(/^https:\/\/media\.example\.com\/acceptance\/a_/),
      thumbnailUrl: expect.stringMatching(
        /^https:\/\/media\.example\.com\/acceptance\/tr:n-media_library_thumbnail\/a_/,
      ),
    })
    const plain = await start()
    const answer = await uploadFile(
      plain,
      png(),
      { fileName: 'a.png' },
      { headers: { host: 'pictures.test:99' } },
    )
    expect(answer.json().url).toMatch(/^http:\/\/pictures\.test:99\/acceptance\//)
  })
})

describe('SIGTERM', () => {
  test('does not wait for connections that never sent a whole request', async () => {
    const server = await start()
    const port = Number(new URL(server.url).port)
    const sockets = ['', 'GET /health HTTP/1.1\r\nHost: lo'].map((text) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(text))
      // It may end as the server likes.
      socket.on('error', () => {})
      return socket
    })
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    expect((await send(server, '/health')).status).toBe(200)
    try {
      expect(await server.stop('SIGTERM')).toEqual({ code: 0, signal: null })
    } finally {
      for (const socket of sockets) socket.destroy()
    }
  })

  test('lets running uploads finish, refuses new requests, then exits with 0', async () => {
    const server = await start()
    const { body, type } = encodeForm([
      { name: 'file', value: png(60, 60), fileName: 'x.png' },
      { name: 'fileName', value: 'drained.png' },
      { name: 'useUniqueFileName', value: 'false' },
    ])
    const { hostname, port } = new URL(server.url)
    const headers = {
      authorization: basic(server.privateKey),
      'content-type': type,
      'content-length': body.length,
    }
    const upload = request({ hostname, port, method: 'POST', path: '/api/v1/files/upload', headers })
    const answer = new Promise<{ status: number; text: string }>((resolve, reject) => {
      upload.on('error', reject)
      upload.on('response', async (response) => {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve({ status: response.statusCode!, text })
      })
    })
    upload.write(body.subarray(0, 100))
    // A second connection, kept open, that asks again after the signal.
    await sleep(200)
    const exit = server.stop('SIGTERM')
    await sleep(200)
    const late = await send(server, '/v1/files', {
      headers: { authorization: basic(server.privateKey) },
    }).catch((error: NodeJS.ErrnoException) => error.code)
    if (typeof late === 'object') expect(late.status).toBe(503)
    else expect(late).toBe('ECONNREFUSED')
    upload.end(body.subarray(100))
    expect(await answer).toMatchObject({ status: 200 })
    expect(await exit).toEqual({ code: 0, signal: null })

    const again = await start({ dataDir: server.dataDir })
    expect((await send(again, `/${server.id}/drained.png`)).body.equals(png(60, 60))).toBe(true)
  })

  test('ends an idle server at once', async () => {
    const server = await start()
    await send(server, '/health')
    const began = Date.now()
    expect(await server.stop('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(Date.now() - began).toBeLessThan(5000)
  })

  test('SIGINT stops too', async () => {
    const server = await start()
    expect(await server.stop('SIGINT')).toEqual({ code: 0, signal: null })
  })
})

test('npm start runs the server, passes the signal on and its exit code back', async () => {
  const server = await start({ command: [process.execPath, join(root, 'scripts/start.mjs')] })
  expect((await uploadFile(server, png(), { fileName: 'a.png' })).status).toBe(200)
  expect(await server.stop('SIGTERM')).toEqual({ code: 0, signal: null })
})

const ofOneFolder = onlyAlone('it looks into a data folder')
test.skipIf(isCluster)(`the data folder keeps to itself${ofOneFolder}`, async () => {
  const server = await start()
  await uploadFile(server, png(), { fileName: 'only-here.png' })
  const { mode } = await stat(server.dataDir)
  expect(mode & 0o077).toBe(0)
  expect((await readdir(server.dataDir)).length).toBeGreaterThan(0)
  const names = await readdir(server.dataDir, { recursive: true })
  expect(names.filter((name) => name.includes('only-here'))).toEqual([])
})

test('the server refuses to share its library with another one, or works beside it', async () => {
  const server = await start()
  const second = await launchServer({ dataDir: server.dataDir })
  const result = await Promise.race([
    second.ended.then(({ code }) => code),
    (async () => {
      for (let attempt = 0; attempt < 200; attempt++) {
        await sleep(50)
        if (
          await send(second, '/health')
            .then((answer) => answer.status === 200)
            .catch(() => false)
        )
          return 'works'
      }
      return 'hangs'
    })(),
  ])
  second.child.kill('SIGKILL')
  await second.ended
  expect(['works', 1]).toContain(result)
  expect((await uploadFile(server, png(), { fileName: 'a.png' })).status).toBe(200)
})
