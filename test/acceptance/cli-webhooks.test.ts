import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Service, startService } from '../support/providers/service.ts'
import { type Server, startServer } from '../support/server.ts'

const root = join(import.meta.dirname, '../..')
let server: Server
let receiver: Service

beforeAll(async () => {
  receiver = await startService(() => ({ status: 200 }))
  server = await startServer({
    env: { TINTYPE_ALLOW_PRIVATE_NETWORK: 'true', TINTYPE_WEBHOOKS_FIRST_RETRY_MS: '20' },
  })
})
afterAll(async () => {
  await server.dispose()
  await receiver.close()
})

function tintype(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    ...server.settings,
    TINTYPE_ALLOW_PRIVATE_NETWORK: 'true',
  }
  return new Promise((resolve) => {
    execFile(process.execPath, ['scripts/tintype.mjs', ...args], { cwd: root, env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}
const json = async (...args: string[]) => JSON.parse((await tintype(...args, '--json')).out)

// Each command is a process of its own.
const TIMEOUT_MS = 180_000

test('webhooks are made, looked at and replayed from the command line while the server runs', {
  timeout: TIMEOUT_MS,
}, async () => {
  const made = await json('webhooks', 'create', `${receiver.url}/hook`, '--events=file.created,file.deleted')
  expect(made).toMatchObject({ events: 'file.created,file.deleted', state: 'enabled' })
  expect(made.secret).toMatch(/^whsec_/)
  expect(await json('webhooks', 'list')).toMatchObject([{ id: made.id, url: `${receiver.url}/hook` }])
  expect((await tintype('webhooks', 'list')).out).not.toContain(made.secret)

  // The server sees it within a second.
  await new Promise((resolve) => setTimeout(resolve, 1100))
  await uploadFile(server, png(1, 1), { fileName: 'a.png' })
  await expect.poll(() => receiver.requests.length).toBe(1)
  const [delivery] = await json('webhooks', 'deliveries', made.id)
  expect(delivery).toMatchObject({ event: 'file.created', state: 'delivered', status: 200, attempts: 1 })

  const replayed = await tintype('webhooks', 'replay', made.id, delivery.id)
  expect(replayed).toMatchObject({ code: 0, out: expect.stringContaining('once more') })
  await expect.poll(() => receiver.requests.length, { timeout: 5000 }).toBe(2)
  expect(await tintype('webhooks', 'replay', made.id, '--failed')).toMatchObject({
    code: 0,
    out: '0 will be sent once more.\n',
  })
  expect((await json('webhooks', 'rotate', made.id)).secret).not.toBe(made.secret)
  expect((await tintype('webhooks', 'change', made.id, '--events=*')).code).toBe(0)
  expect((await tintype('webhooks', 'disable', made.id)).out).toContain('is disabled')
  expect(await json('webhooks', 'list')).toMatchObject([{ state: 'disabled', events: '*' }])
  expect((await tintype('webhooks', 'enable', made.id)).out).toContain('is enabled')
  expect((await tintype('webhooks', 'delete', made.id)).out).toContain('is deleted')
  expect(await json('webhooks', 'list')).toEqual([])
})

test.each([
  [['create', 'http://169.254.169.254/'], /public URL/],
  [['create', 'https://example.com/', '--events=file.eaten'], /events must be/],
  [['delete', 'wh_none'], /does not exist/],
  [['replay', 'wh_none'], /Say which/],
])('webhooks %j says what is wrong', { timeout: TIMEOUT_MS }, async (args, message) => {
  const { code, err } = await tintype('webhooks', ...args)
  expect(code).toBe(1)
  expect(err).toMatch(message)
})
