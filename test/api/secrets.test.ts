import { execFile } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { call } from '../support/api.ts'
import { isCluster, onlyAlone } from '../support/cluster-server.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

const root = join(import.meta.dirname, '../..')
const [one, two] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')] as const

let place: string
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'tintype-secrets-'))
})
afterAll(() => rm(place, { recursive: true, force: true }))

/** Runs a command as a person would. */
function command(args: string[], env: Record<string, string>): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(root, 'src/cli.ts'), ...args],
      { env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env }, cwd: place },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), output: out + err }),
    )
  })
}

/** Whether a text is anywhere in the files of a folder. */
async function holds(folder: string, text: string): Promise<boolean> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => each.isFile())) {
    if ((await readFile(join(entry.parentPath, entry.name))).includes(text)) return true
  }
  return false
}

const origin = {
  type: 'S3_COMPATIBLE',
  name: 'store',
  bucket: 'b',
  endpoint: 'https://s3.example.com',
  accessKey: 'access-sesame',
  secretKey: 'secret-sesame',
}

/** An upload from a browser, signed with a private key: the server needs the key itself to check it. */
async function signedUpload(tintype: TestTintype, keys: { publicKey: string; privateKey: string }) {
  const token = randomBytes(16).toString('hex')
  const expire = String(Math.floor(Date.now() / 1000) + 600)
  const signature = createHmac('sha1', keys.privateKey)
    .update(token + expire)
    .digest('hex')
  const fields = { fileName: 'a.png', publicKey: keys.publicKey, token, expire, signature }
  return upload(tintype, png(2, 2, 3), fields, { authorization: null })
}

const embeddedOnly = onlyAlone('its commands are about a data folder')

describe.each([
  { engine: `SQLite${embeddedOnly}`, skip: isCluster },
  { engine: `PostgreSQL${whySkipped}`, skip: !postgresUrl },
])('an encrypted installation on $engine', ({ engine, skip }) => {
  describe.skipIf(skip)('with TINTYPE_ENCRYPTION_KEY', () => {
    let database: Record<string, string> = {}
    let cleanUp = async () => {}
    let dataDir: string
    beforeAll(async () => {
      dataDir = join(place, engine.slice(0, 6))
      if (!engine.startsWith('PostgreSQL')) return
      const { databaseUrl, remove } = await createSchema()
      database = { TINTYPE_DATABASE_URL: databaseUrl }
      cleanUp = remove
    })
    afterAll(() => cleanUp())

    const start = (env: Record<string, string>) => startTintype({ dataDir, env: { ...database, ...env } })
    const settings = (env: Record<string, string>) => ({ TINTYPE_DATA_DIR: dataDir, ...database, ...env })

    it('is encrypted, gets another key and goes on without one, while it serves', async () => {
      // Filled without a key.
      const plain = await start({})
      const made = await call(plain, 'POST', '/v1/accounts/origins', origin)
      expect(made.status).toBe(201)
      const hook = await call(plain, 'POST', '/v1/webhooks', { url: 'https://hooks.example.com/sesame' })
      expect(hook.status).toBe(201)
      const keys = JSON.parse(
        (await command(['keys', 'create', 'second', '--json'], settings({}))).output,
      ) as { publicKey: string; privateKey: string }
      expect((await command(['secrets', 'status'], settings({}))).output).toContain(
        '3 secrets in the database: 3 not encrypted',
      )
      expect(await command(['secrets', 'encrypt'], settings({}))).toMatchObject({
        code: 1,
        output: expect.stringContaining('Set TINTYPE_ENCRYPTION_KEY'),
      })
      await plain.close()

      // A server with the key reads what is plain; the command encrypts it under its feet.
      const first = await start({ TINTYPE_ENCRYPTION_KEY: one, TINTYPE_PREVIOUS_ENCRYPTION_KEYS: two })
      expect((await signedUpload(first, keys)).status).toBe(200)
      const doctor = await command(['doctor'], settings({ TINTYPE_ENCRYPTION_KEY: one }))
      expect(doctor.output).toMatch(
        /WARN\s+secrets: 3 secrets .* 3 not encrypted\n\s+Run "tintype secrets encrypt"/,
      )
      const encrypted = await command(
        ['secrets', 'encrypt', '--json'],
        settings({ TINTYPE_ENCRYPTION_KEY: one }),
      )
      expect(JSON.parse(encrypted.output)).toMatchObject({ rewritten: 3, current: 3, plain: 0 })
      await new Promise((resolve) => setTimeout(resolve, 900))
      expect((await signedUpload(first, keys)).status).toBe(200)
      const shown = await call(first, 'GET', `/v1/accounts/origins/${made.body.id}`)
      expect(shown.body).toEqual({
        id: made.body.id,
        type: 'S3_COMPATIBLE',
        name: 'store',
        bucket: 'b',
        prefix: '',
        endpoint: 'https://s3.example.com',
        s3ForcePathStyle: false,
        includeCanonicalHeader: false,
      })

      // Another key, while the server runs that can read it.
      const rotated = await command(
        ['secrets', 'rotate', '--json'],
        settings({ TINTYPE_ENCRYPTION_KEY: two, TINTYPE_PREVIOUS_ENCRYPTION_KEYS: one }),
      )
      expect(JSON.parse(rotated.output)).toMatchObject({ rewritten: 3, current: 3, previous: 0 })
      await new Promise((resolve) => setTimeout(resolve, 900))
      expect((await signedUpload(first, keys)).status).toBe(200)
      await first.close()
      if (engine === 'SQLite') {
        for (const secret of [
          'secret-sesame',
          'access-sesame',
          'hooks.example.com/sesame',
          keys.privateKey,
        ]) {
          expect(await holds(dataDir, secret), secret).toBe(false)
        }
      }

      // Whoever has the database and not the key has nothing, and is told why nothing starts.
      await expect(start({})).rejects.toThrow('Set TINTYPE_ENCRYPTION_KEY')
      await expect(start({ TINTYPE_ENCRYPTION_KEY: one })).rejects.toThrow('that the settings do not have')
      const ill = await command(['doctor'], settings({ TINTYPE_ENCRYPTION_KEY: one }))
      expect(ill.code).toBe(1)
      expect(ill.output).toMatch(/FAILED\s+secrets: 3 secrets in the database: 3 under the key [0-9a-f]{8}/)
      expect(ill.output).not.toMatch(/\n\s+at /)
      expect(await command(['keys', 'list'], settings({}))).toMatchObject({
        code: 1,
        output: expect.stringMatching(/^Secrets in the database are encrypted under a key .*\n$/),
      })

      // And back.
      const refused = await command(['secrets', 'decrypt'], settings({ TINTYPE_ENCRYPTION_KEY: two }))
      expect(refused).toMatchObject({ code: 1, output: expect.stringContaining('would encrypt again') })
      const decrypted = await command(
        ['secrets', 'decrypt'],
        settings({ TINTYPE_PREVIOUS_ENCRYPTION_KEYS: two }),
      )
      expect(decrypted).toMatchObject({
        code: 0,
        output: expect.stringContaining('3 secrets were rewritten'),
      })
      const again = await start({})
      expect((await signedUpload(again, keys)).status).toBe(200)
      await again.close()
    })
  })
})

describe('what is carried elsewhere', () => {
  it.skipIf(isCluster)(
    `stays encrypted in a backup, a restored library and a moved one${embeddedOnly}`,
    async () => {
      const dataDir = join(place, 'carried')
      const env = { TINTYPE_ENCRYPTION_KEY: one }
      const tintype = await startTintype({ dataDir, env })
      await call(tintype, 'POST', '/v1/accounts/origins', origin)
      await upload(tintype, png(2, 2, 1), { fileName: 'a.png' })
      await tintype.close()

      const from = { TINTYPE_DATA_DIR: dataDir }
      const [backup, restored, moved] = ['backup', 'restored', 'moved'].map((name) => join(place, name)) as [
        string,
        string,
        string,
      ]
      expect(await command(['backup', backup], from)).toMatchObject({ code: 0 })
      expect(await command(['restore', backup], { TINTYPE_DATA_DIR: restored })).toMatchObject({ code: 0 })
      const move = await command(['migrate-data', `--to=${moved}`], { ...from, ...env })
      expect(move).toMatchObject({
        code: 0,
        output: expect.stringContaining('the same TINTYPE_ENCRYPTION_KEY'),
      })
      for (const folder of [backup, restored, moved]) {
        expect(await holds(folder, 'secret-sesame'), folder).toBe(false)
        const status = await command(['secrets', 'status', '--json'], { ...env, TINTYPE_DATA_DIR: folder })
        expect(JSON.parse(status.output)).toMatchObject({ total: 1, current: 1 })
      }
      const rotate = { TINTYPE_ENCRYPTION_KEY: two, TINTYPE_PREVIOUS_ENCRYPTION_KEYS: one }
      expect(await command(['secrets', 'rotate'], { ...rotate, TINTYPE_DATA_DIR: moved })).toMatchObject({
        code: 0,
      })
      const other = await startTintype({ dataDir: moved, env: { TINTYPE_ENCRYPTION_KEY: two } })
      expect((await call(other, 'GET', '/v1/accounts/origins')).body).toMatchObject([{ name: 'store' }])
      await other.close()
    },
  )

  it('a key that is none is refused without being shown', async () => {
    const { code, output } = await command(['secrets', 'status'], {
      TINTYPE_ENCRYPTION_KEY: 'my-own-password',
    })
    expect(code).toBe(1)
    expect(output).toContain('TINTYPE_ENCRYPTION_KEY (store.encryptionKey)')
    expect(output).not.toContain('my-own-password')
  })
})
