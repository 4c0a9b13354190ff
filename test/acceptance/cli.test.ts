import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { isCluster, onlyAlone } from '../support/cluster-server.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'

const root = join(import.meta.dirname, '../..')

type Run = { code: number; out: string; err: string }

/** Runs the command line as a person does, with settings from the environment. */
function tintype(args: string[], env: Record<string, string>): Promise<Run> {
  const options = { cwd: root, env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env } }
  return new Promise((resolve) => {
    execFile(process.execPath, ['scripts/tintype.mjs', ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

describe('the command line', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tintype-cli-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('tells what it can do and which version it is', async () => {
    const { code, out } = await tintype(['help'], {})
    expect(code).toBe(0)
    for (const command of [
      'start',
      'keys list',
      'keys create <name>',
      'keys roll <key>',
      'jobs retry [id…]',
    ]) {
      expect(out).toContain(`tintype ${command}`)
    }
    const ofKeys = await tintype(['help', 'keys'], {})
    expect(ofKeys.out).toContain('tintype keys disable <key>')
    expect(ofKeys.out).not.toContain('jobs')
    expect(await tintype(['--version'], {})).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    })
  })

  test.each([
    [['frobnicate'], 2, /no command "frobnicate"/],
    [['keys'], 2, /no command "keys"/],
    [['keys', 'create'], 2, /Usage: tintype keys create <name>/],
    [['keys', 'list', 'extra'], 2, /Usage: tintype keys list/],
    [['keys', 'list', '--port=abc'], 1, /whole number/],
    [['keys', 'list', '--nonsense=1'], 1, /not a known option/],
    [['keys', 'create', 'x', '--access=everything'], 1, /one of: standard, none, read, write/],
    [['keys', 'roll', 'x'], 1, /one of: now, 1h, 24h, 3d, 7d/],
    [['keys', 'delete', 'x'], 1, /no key pair "x"/],
    [['jobs', 'retry'], 1, /ids, --kind=KIND or --all/],
    [['jobs', 'list', '--state=lost'], 1, /one of: ready, running, done, dead/],
  ])('refuses %j', async (args, code, message) => {
    const run = await tintype(args, { TINTYPE_DATA_DIR: join(folder, 'refused') })
    expect(run).toMatchObject({ code, out: '' })
    expect(run.err).toMatch(message)
    expect(run.err).not.toMatch(/\n\s+at /)
  })

  const whySkippedHere = onlyAlone('it begins with a data folder and no server')
  test.skipIf(isCluster)(
    `makes the first key pairs of an installation that has never run${whySkippedHere}`,
    async () => {
      const env = { TINTYPE_DATA_DIR: join(folder, 'fresh') }
      expect((await tintype(['keys', 'list'], env)).out).toMatch(/no key pairs yet/)
      const restricted = await tintype(['keys', 'create', 'r', '--access=read'], env)
      expect(restricted).toMatchObject({ code: 1, err: expect.stringMatching(/standard key pair/) })
      const made = await tintype(['keys', 'create', 'main', '--json'], env)
      const { privateKey } = JSON.parse(made.out) as { privateKey: string }
      expect(privateKey).toMatch(/^private_[A-Za-z0-9]{44}$/)
      const server = await startServer({
        dataDir: env.TINTYPE_DATA_DIR,
        env: { TINTYPE_PRIVATE_KEY: undefined, TINTYPE_PUBLIC_KEY: undefined },
      })
      try {
        expect(server.output()).not.toContain('private_')
        const answer = await send(server, '/v1/files', { headers: { authorization: basic(privateKey) } })
        expect(answer.status).toBe(200)
      } finally {
        await server.stop()
      }
    },
  )

  test('starts the server, also without a command', async () => {
    for (const command of [[], ['start']]) {
      const server = await startServer({ command: [process.execPath, 'scripts/tintype.mjs', ...command] })
      expect((await send(server, '/health')).status).toBe(200)
      expect(await server.stop('SIGTERM')).toEqual({ code: 0, signal: null })
      await server.dispose()
    }
  })
})

describe.each([
  { engine: 'SQLite', skip: false },
  { engine: `PostgreSQL${whySkipped}`, skip: !postgresUrl },
])('beside a running server on $engine', ({ engine, skip }) => {
  describe.skipIf(skip)('the command line', () => {
    let server: Server
    let env: Record<string, string>
    let cleanUp = async () => {}
    beforeAll(async () => {
      const database: Record<string, string> = {}
      if (engine.startsWith('PostgreSQL')) {
        const { databaseUrl, remove } = await createSchema()
        database.TINTYPE_DATABASE_URL = databaseUrl
        cleanUp = remove
      }
      server = await startServer({
        env: { ...database, TINTYPE_PRIVATE_KEY: undefined, TINTYPE_PUBLIC_KEY: undefined },
      })
      env = { ...server.settings, ...database }
    })
    afterAll(async () => {
      await server?.dispose()
      await cleanUp()
    })

    const run = async (...args: string[]) => {
      const { code, out, err } = await tintype(args, env)
      expect(err).toBe('')
      expect(code).toBe(0)
      return out
    }
    const make = async (...args: string[]) =>
      JSON.parse(await run(...args, '--json')) as { id: string; privateKey: string; publicKey: string }
    const listing = async (privateKey: string) => {
      const answer = await send(server, '/v1/files', { headers: { authorization: basic(privateKey) } })
      return [answer.status, answer.json().message]
    }
    const uploading = async (privateKey: string) =>
      (await uploadFile(server, png(2, 2, 1), { fileName: 'a.png' }, { authorization: basic(privateKey) }))
        .status

    test('changes what keys may do, within a second', async () => {
      const first = /private_[A-Za-z0-9]{44}/.exec(server.output())![0]
      expect(await listing(first)).toEqual([200, undefined])
      const read = await make('keys', 'create', 'reader', '--access=read')
      await sleep(1100)
      expect(await listing(read.privateKey)).toEqual([200, undefined])
      expect(await uploading(read.privateKey)).toBe(403)
      await run('keys', 'restrict', 'reader', '--access=write')
      await sleep(1100)
      expect(await uploading(read.privateKey)).toBe(200)
      await run('keys', 'disable', read.publicKey)
      await sleep(1100)
      expect(await listing(read.privateKey)).toEqual([403, 'Your account is disabled.'])
      await run('keys', 'enable', read.id)
      await sleep(1100)
      expect(await listing(read.privateKey)).toEqual([200, undefined])
      await run('keys', 'delete', 'reader')
      await sleep(1100)
      expect(await listing(read.privateKey)).toEqual([403, 'Your account cannot be authenticated.'])

      const next = await make('keys', 'roll', 'default', '--expire=1h')
      await sleep(1100)
      expect([await listing(first), await listing(next.privateKey)]).toEqual([
        [200, undefined],
        [200, undefined],
      ])
      const last = await make('keys', 'roll', 'default', '--expire=now')
      await sleep(1100)
      expect(await listing(next.privateKey)).toEqual([403, 'Your request contains expired private API key.'])
      expect(await listing(last.privateKey)).toEqual([200, undefined])

      const table = await run('keys', 'list')
      expect(table).toMatch(/NAME +ACCESS +STATUS/)
      expect(table).toContain(last.publicKey)
      expect(table).not.toContain('private_')
      const rows = JSON.parse(await run('keys', 'list', '--json')) as { status: string }[]
      expect(rows.map((row) => row.status).toSorted()).toEqual(['active', 'expired', 'expiring'])
      const refused = await tintype(['keys', 'delete', last.id], env)
      expect(refused).toMatchObject({ code: 1, err: expect.stringMatching(/standard key pair/) })
    })

    test('lists jobs and retries dead ones', async () => {
      expect(await run('jobs', 'list', '--state=dead')).toMatch(/no such jobs/)
      expect(await run('jobs', 'retry', '--all')).toBe('0 dead jobs run again.\n')
      expect(await run('jobs', 'retry', '0123456789abcdef01234567')).toBe('0 dead jobs run again.\n')
      const done = JSON.parse(await run('jobs', 'list', '--json', '--limit=5')) as unknown[]
      expect(Array.isArray(done)).toBe(true)
      expect(await run('jobs', 'stats')).not.toBe('')
    })
  })
})

describe('usage', () => {
  test('outlives a crash, but for the last moments', async () => {
    const server = await startServer({ env: { TINTYPE_USAGE_FLUSH_MS: '200' } })
    let again: Server | undefined
    try {
      const uploaded = await uploadFile(server, png(20, 20, 3), {
        fileName: 'a.png',
        useUniqueFileName: 'false',
      })
      const url = uploaded.json().url.slice(server.url.length)
      let sent = 0
      for (let n = 0; n < 20; n++) sent += (await send(server, url)).body.length
      await sleep(700)
      await server.stop('SIGKILL')
      again = await startServer({
        dataDir: server.dataDir,
        env: { TINTYPE_PRIVATE_KEY: server.privateKey },
      })
      const day = (offset: number) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10)
      const answer = await send(again, `/v1/accounts/usage?startDate=${day(-1)}&endDate=${day(2)}`, {
        headers: { authorization: basic(server.privateKey) },
      })
      expect(answer.json()).toMatchObject({ bandwidthBytes: sent, mediaLibraryStorageBytes: sent / 20 })
    } finally {
      await again?.dispose()
      await server.dispose()
    }
  })
})
