import { execFile } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { canReadProc, processTree } from '../support/attack.ts'
import { basic, send, uploadFile, uploadParts } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'
import { exchange, head } from '../support/wire.ts'

const root = join(import.meta.dirname, '../..')
const WEBHOOK_SECRET = `whsec_${Buffer.from('canary-webhook-secret-0123456789').toString('base64')}`
const URL_KEY = 'canary_url_signing_key_0123456789'
const PROVIDER_KEY = 'canary-provider-key-0123456789'
const GUESS = 'private_canaryguess0123456789012345678901234'

describe('A06 secrets stay where they are', () => {
  let server: Server
  const secrets = new Map<string, string>()
  let hook: ReturnType<typeof createServer>
  beforeAll(async () => {
    hook = createServer((request, response) => {
      request.resume()
      request.on('end', () => response.writeHead(500).end('no'))
    })
    await new Promise<void>((done) => hook.listen(0, '127.0.0.1', done))
    server = await startServer({
      timeoutMs: 90_000,
      env: {
        TINTYPE_LOG_LEVEL: 'debug',
        TINTYPE_ALLOW_PRIVATE_NETWORK: 'true',
        TINTYPE_SIGNING_URL_SIGNING_KEY: URL_KEY,
        TINTYPE_WEBHOOK_URL: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/hook`,
        TINTYPE_WEBHOOK_SECRET: WEBHOOK_SECRET,
        TINTYPE_REMOVE_BG_API_KEY: PROVIDER_KEY,
        TINTYPE_REMOVE_BG_ENDPOINT: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/cut-out`,
        TINTYPE_AUDIT_READS: 'true',
      },
    })
    secrets.set('the private key', server.privateKey)
    secrets.set('the private key in a header', basic(server.privateKey).slice('Basic '.length))
    secrets.set('a guess', GUESS)
    secrets.set('the key for URLs', URL_KEY)
    secrets.set('the secret of webhooks', WEBHOOK_SECRET.slice('whsec_'.length))
    secrets.set('the key of a provider', PROVIDER_KEY)
    await attack()
  })
  afterAll(async () => {
    hook.close()
    await server.dispose()
  })

  const answers: string[] = []
  const note = (answer: { body: Buffer; headers: object }) => {
    answers.push(answer.body.toString('latin1') + JSON.stringify(answer.headers))
    return answer
  }

  /** Everything that carries a secret, right and wrong. */
  async function attack() {
    const authorization = basic(server.privateKey)
    const expire = String(Math.floor(Date.now() / 1000) + 600)
    const sha1 = (key: string, text: string) => createHmac('sha1', key).update(text).digest('hex')
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const parts = (fields: Record<string, string>) => [
      { name: 'file', value: png(9, 9, 9), fileName: 'x' },
      ...Object.entries(fields).map(([name, value]) => ({ name, value })),
    ]
    const nobody = { authorization: null }

    note(
      await uploadFile(server, png(8, 8, 1), {
        fileName: 'a.png',
        useUniqueFileName: 'false',
        isPrivateFile: 'true',
      }),
    )
    note(await uploadFile(server, png(8, 8, 1), { fileName: 'a.png', isPrivateFile: 'garbage' }))
    note(await uploadFile(server, png(8, 8, 1), { fileName: 'a.png' }, { authorization: basic(GUESS) }))
    note(await uploadFile(server, png(8, 8, 1), { fileName: 'a.png' }, { authorization: `Bearer ${GUESS}` }))
    for (const fields of [{ fileName: 'v1.png' }, { fileName: '..' }]) {
      const token = `canary${randomUUID()}`
      const signature = sha1(server.privateKey, token + expire)
      secrets.set(`a v1 signature for ${fields.fileName}`, signature)
      const all = { ...fields, publicKey: server.publicKey, token, expire, signature }
      note(await uploadParts(server, parts(all), nobody))
      note(await uploadParts(server, parts({ ...all, signature: signature.toUpperCase() }), nobody))
    }
    for (const fileName of ['v2.png', '..']) {
      const text = `${encode({ alg: 'HS256', typ: 'JWT', kid: server.publicKey })}.${encode({ fileName, iat: Number(expire) - 600, exp: Number(expire), jti: randomUUID() })}`
      const mac = createHmac('sha256', server.privateKey).update(text).digest('base64url')
      secrets.set(`the MAC of a token for ${fileName}`, mac)
      note(
        await uploadParts(server, parts({ fileName, token: `${text}.${mac}` }), { ...nobody, version: 'v2' }),
      )
      note(
        await uploadParts(server, parts({ fileName, token: `${text}.${mac}=` }), {
          ...nobody,
          version: 'v2',
        }),
      )
    }
    const urlSignature = sha1(URL_KEY, `a.png${expire}`)
    secrets.set('a signature of a URL', urlSignature)
    for (const query of [
      `ik-t=${expire}&ik-s=${urlSignature}`,
      `ik-t=${expire}&ik-s=${urlSignature}&tr=w-1`,
      `tr=zz-1&ik-s=${urlSignature}`,
    ]) {
      note(await send(server, `/${server.id}/a.png?${query}`))
      note(await send(server, `/${server.id}/missing.png?${query}`))
    }
    const headers = { authorization }
    for (const [method, path] of [
      ['GET', '/v1/files'],
      ['GET', '/v1/files?searchQuery=broken"'],
      ['GET', '/v1/accounts/usage'],
      ['GET', '/v1/nothing'],
      ['DELETE', '/v1/files/nothing'],
      ['GET', '/metrics'],
      ['GET', '/health'],
      ['GET', `/v1/files?privateKey=${GUESS}`],
    ] as const) {
      note(await send(server, path, { method, headers }))
    }
    for (const body of ['{', '{"privateKey":"x"}', `{"url":"${GUESS}"}`]) {
      note(
        await send(server, '/v1/files/purge', {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body,
        }),
      )
    }
    note(
      await send(server, '/v1/accounts/origins', {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({
          type: 'S3',
          name: 'x',
          bucket: 'b',
          accessKey: 'canaryaccess',
          secretKey: `${PROVIDER_KEY}-s3`,
        }),
      }),
    )
    note(await send(server, '/v1/accounts/origins', { headers }))
    note(
      await uploadFile(server, `http://user:${GUESS}@127.0.0.1:1/a.png?token=${GUESS}`, {
        fileName: 'b.png',
      }),
    )
    note(
      await uploadFile(server, png(8, 8, 2), {
        fileName: 'c.png',
        useUniqueFileName: 'false',
        extensions: '[{"name":"remove-bg"}]',
      }),
    )
    await exchange(server.url, [
      `GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\nX: \0\r\n\r\n`,
    ])
    await exchange(server.url, [
      head('POST /api/v1/files/upload HTTP/1.1', { Authorization: authorization, 'Content-Length': '1 1' }),
    ])
    // Renders make child processes; webhooks fail and are tried again.
    await uploadFile(server, png(8, 8, 3), { fileName: 'd.png', useUniqueFileName: 'false' })
    const render = await send(server, `/${server.id}/d.png?tr=w-4`)
    expect(render.status, render.body.toString()).toBe(200)
    note(render)
    await sleep(500)
  }

  test('A06 Z04 the log has none of them, and a JSON object on each line', async () => {
    const [, ...lines] = server.output().split('\n')
    const json = lines.filter((line) => line.startsWith('{'))
    expect(json.length).toBeGreaterThan(10)
    for (const line of json) expect(() => JSON.parse(line)).not.toThrow()
    for (const [name, secret] of secrets) expect(server.output().includes(secret), name).toBe(false)
  })

  test('A03 a public key in the place of a private one is logged, once', async () => {
    for (let at = 0; at < 3; at++) {
      const headers = { authorization: basic(server.publicKey) }
      expect((await send(server, '/v1/files', { headers })).status).toBe(403)
    }
    const lines = server.output().split('\n')
    expect(lines.filter((line) => line.includes('a public key was sent in the place'))).toHaveLength(1)
  })

  test('A06 no answer has any of them', () => {
    expect(answers.length).toBeGreaterThan(25)
    // What a client has put into a request itself may be named in its refusal.
    for (const [name, secret] of secrets) {
      if (name === 'a guess') continue
      for (const answer of answers)
        expect(answer.includes(secret), `${name}: ${answer.slice(0, 300)}`).toBe(false)
    }
  })

  test('A06 metrics have none of them, and no name of a file', async () => {
    const { body } = await send(server, '/metrics', { headers: { authorization: basic(server.privateKey) } })
    const text = body.toString()
    expect(text).toContain('tintype_http_requests_total')
    for (const [name, secret] of secrets) expect(text.includes(secret), name).toBe(false)
    expect(text).not.toMatch(/a\.png|v1\.png|canary/)
  })

  test.runIf(canReadProc)(
    'A06 no command line has any of them, nor the environment of a process that it starts',
    () => {
      const pids = processTree(server.pid)
      expect(pids.length).toBeGreaterThan(1)
      for (const pid of pids) {
        const files = pid === server.pid ? ['cmdline'] : ['cmdline', 'environ']
        for (const file of files) {
          const text = readFileSync(`/proc/${pid}/${file}`, 'latin1')
          for (const [name, secret] of secrets)
            expect(text.includes(secret), `${name} in ${file} of ${pid}`).toBe(false)
        }
      }
    },
  )

  test('A06 files other than the database have none of them', () => {
    for (const entry of readdirSync(server.dataDir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || /\.db(?:-wal|-shm)?$/.test(entry.name)) continue
      const text = readFileSync(join(entry.parentPath, entry.name), 'latin1')
      for (const [name, secret] of secrets)
        expect(text.includes(secret), `${name} in ${entry.name}`).toBe(false)
    }
  })
})

describe('A07 G08 keys change while the server runs', () => {
  const tintype = async (server: Server, ...args: string[]) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['scripts/tintype.mjs', ...args], {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, TINTYPE_DATA_DIR: server.dataDir },
    })
    return stdout
  }

  test('A07 G08 roll, then end, without one refused request in between', async () => {
    const server = await startServer({
      timeoutMs: 90_000,
      env: { TINTYPE_PUBLIC_KEY: undefined, TINTYPE_PRIVATE_KEY: undefined },
    })
    try {
      const first = /private_[A-Za-z0-9]{20,}/.exec(server.output())![0]
      const statusOf = async (key: string) =>
        (await send(server, '/v1/files', { headers: { authorization: basic(key) } })).status
      const signed = async (key: string) => {
        const signature = createHmac('sha1', key).update('kept.png9999999999').digest('hex')
        return (await send(server, `/${server.id}/kept.png?ik-s=${signature}`)).status
      }
      const kept = { fileName: 'kept.png', useUniqueFileName: 'false', isPrivateFile: 'true' }
      expect((await uploadFile(server, png(), kept, { authorization: basic(first) })).status).toBe(200)

      let running = true
      const statuses = new Set<string>()
      const load = (async () => {
        while (running) {
          statuses.add(`${await statusOf(first)} ${await signed(first)}`)
          await sleep(10)
        }
      })()
      const { privateKey: second } = JSON.parse(
        await tintype(server, 'keys', 'roll', 'default', '--expire=24h', '--json'),
      ) as { privateKey: string }
      await sleep(1100)
      expect([await statusOf(second), await signed(second)]).toEqual([200, 200])
      running = false
      await load
      expect([...statuses]).toEqual(['200 200'])

      // The old one ends at once now; the new one goes on.
      const list = JSON.parse(await tintype(server, 'keys', 'list', '--json')) as {
        publicKey: string
        expires: string | null
      }[]
      const old = list.find(({ expires }) => expires)!
      await tintype(server, 'keys', 'disable', old.publicKey)
      await sleep(1100)
      expect([await statusOf(first), await signed(first)]).toEqual([403, 401])
      expect([await statusOf(second), await signed(second)]).toEqual([200, 200])
      expect(server.output()).not.toContain(second)
    } finally {
      await server.dispose()
    }
  })
})

test('J09 a key that could be guessed is accepted, with a warning that does not show it', async () => {
  const server = await startServer({ timeoutMs: 90_000, env: { TINTYPE_PRIVATE_KEY: 'private_weak' } })
  try {
    const headers = { authorization: basic('private_weak') }
    expect((await send(server, '/v1/files', { headers })).status).toBe(200)
    expect(server.output()).toContain('could be guessed')
    expect(server.output()).not.toContain('private_weak')
  } finally {
    await server.dispose()
  }
})

describe('Z01 errors that nobody foresaw', () => {
  test.each([
    ['uncaughtException', 'process.on("SIGUSR2", () => { throw new Error("boom") })'],
    ['unhandledRejection', 'process.on("SIGUSR2", () => { Promise.reject(new Error("boom")) })'],
  ])('Z01 %s is logged and ends the process in order', async (name, code) => {
    const server = await startServer({
      timeoutMs: 90_000,
      env: {
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}`,
      },
    })
    try {
      expect(
        (await uploadFile(server, png(), { fileName: 'a.png', useUniqueFileName: 'false' })).status,
      ).toBe(200)
      process.kill(server.pid, 'SIGUSR2')
      const { code: exitCode } = await server.ended
      expect(exitCode).toBe(1)
      const line = server
        .output()
        .split('\n')
        .find((text) => text.includes(name))
      expect(JSON.parse(line!)).toMatchObject({ msg: name, err: { message: 'boom' } })
      const again = await startServer({ timeoutMs: 90_000, dataDir: server.dataDir })
      expect((await send(again, `/${again.id}/a.png`)).status).toBe(200)
      await again.stop()
    } finally {
      await server.dispose()
    }
  })
})
