import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { type ApiAnswer, call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { startTintype, TEST_KEYS, type TestTintype } from '../support/tintype.ts'

const root = join(import.meta.dirname, '../..')
const hidden = ['sesame-secret-key', 'private-note', 'a private description', 'top-secret-tag']

type Entry = Record<string, unknown> & { targets: Record<string, unknown> }
let folder: string
let path: string
let tintype: TestTintype

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tintype-audit-'))
  path = join(folder, 'logs', 'audit.jsonl')
  tintype = await startTintype({
    env: { TINTYPE_AUDIT_PATH: path, TINTYPE_HTTP_TRUSTED_PROXIES: '127.0.0.1' },
  })
})
afterAll(async () => {
  await tintype.stop()
  await rm(folder, { recursive: true })
})

async function entries(): Promise<Entry[]> {
  const text = await readFile(path, 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Entry)
}

/** The one entry that the file has of an answer. */
async function entryOf(answer: Pick<ApiAnswer, 'headers'>): Promise<Entry> {
  const id = answer.headers.get('x-request-id')
  let found: Entry[] = []
  await expect
    .poll(async () => {
      found = (await entries()).filter(({ requestId }) => requestId === id)
      return found.length
    })
    .toBe(1)
  return found[0]!
}

const mainKey = { id: 'configured', publicKey: TEST_KEYS.publicKey }

describe('the audit log', () => {
  it('tells of an upload: who, when, from where, to which file', async () => {
    const beganMs = Date.now()
    const form = new FormData()
    form.append('file', new Blob([new Uint8Array(png(2, 2, 7))]), 'a.png')
    for (const [name, value] of [
      ['fileName', 'a.png'],
      ['description', 'a private description'],
      ['tags', 'top-secret-tag'],
    ]) {
      form.append(name!, value!)
    }
    const answer = await fetch(`${tintype.url}/api/v1/files/upload`, {
      method: 'POST',
      body: form,
      headers: { authorization: tintype.authorization, 'x-forwarded-for': '203.0.113.7' },
    })
    const { fileId } = (await answer.json()) as { fileId: string }
    const entry = await entryOf(answer)
    expect(entry).toEqual({
      audit: true,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      source: 'api',
      requestId: answer.headers.get('x-request-id'),
      method: 'POST',
      route: '/api/v1/files/upload',
      targets: expect.objectContaining({ fileId }),
      key: mainKey,
      client: '203.0.113.7',
      status: 200,
      outcome: 'done',
    })
    expect(Date.parse(entry.time as string)).toBeGreaterThanOrEqual(beganMs - 1)
  })

  test.each([
    [
      'POST',
      '/v1/folder',
      { folderName: 'f', parentFolderPath: '/' },
      201,
      ['folderName', 'parentFolderPath'],
    ],
    ['PATCH', '/v1/files/FILE/details', { tags: ['top-secret-tag'] }, 200, ['fileId']],
    ['POST', '/v1/files/addTags', { fileIds: ['FILE'], tags: ['top-secret-tag'] }, 200, ['fileIds']],
    [
      'POST',
      '/v1/files/copy',
      { sourceFilePath: '/b.png', destinationPath: '/f' },
      204,
      ['sourceFilePath', 'destinationPath'],
    ],
    [
      'PUT',
      '/v1/files/rename',
      { filePath: '/f/b.png', newFileName: 'c.png' },
      200,
      ['filePath', 'newFileName'],
    ],
    ['POST', '/v1/bulkJobs/copyFolder', { sourceFolderPath: '/f', destinationPath: '/g' }, 200, ['jobId']],
    ['POST', '/v1/files/purge', { url: 'URL?ik-s=0123456789' }, 201, ['url', 'requestId']],
    [
      'POST',
      '/v1/accounts/origins',
      { type: 'S3', name: 'store', bucket: 'b', accessKey: 'private-note', secretKey: 'sesame-secret-key' },
      201,
      ['id'],
    ],
    ['POST', '/v1/customMetadataFields', { name: 'n', label: 'l', schema: { type: 'Text' } }, 201, ['id']],
    ['POST', '/v1/webhooks', { url: 'https://hooks.example.com/private-note' }, 201, ['id']],
    ['DELETE', '/v1/files/FILE', undefined, 204, ['fileId']],
  ])('tells of %s %s', async (method, route, body, status, targets) => {
    const { fileId } = await put(tintype, '/b.png', png(2, 2, 1))
    const text = JSON.stringify(body ?? null)
      .replace('FILE', fileId)
      .replace('URL', `${tintype.url}/${TEST_KEYS.id}/b.png`)
    const answer = await call(
      tintype,
      method,
      route.replace('FILE', fileId),
      body === undefined ? undefined : JSON.parse(text),
    )
    expect([answer.status, answer.body?.message]).toEqual([status, undefined])
    const entry = await entryOf(answer)
    expect(entry).toMatchObject({ method, status, outcome: 'done', key: mainKey, client: '127.0.0.1' })
    expect(Object.keys(entry.targets)).toEqual(expect.arrayContaining(targets))
    const known = { fileId, fileIds: [fileId], url: `${tintype.url}/${TEST_KEYS.id}/b.png` }
    for (const [name, value] of Object.entries(known)) {
      if (targets.includes(name)) expect(entry.targets[name]).toEqual(value)
    }
  })

  it('tells of what was refused, and to whom', async () => {
    const missing = await call(tintype, 'DELETE', '/v1/files/000000000000000000000000')
    expect(await entryOf(missing)).toMatchObject({ outcome: 'refused', status: 404, key: mainKey })
    const stranger = await call(tintype, 'DELETE', '/v1/files/000000000000000000000000', undefined, null)
    expect(await entryOf(stranger)).toMatchObject({ outcome: 'refused', status: 401, key: null })
    const wrong = `Basic ${Buffer.from('private_wrong-sesame-secret-key:').toString('base64')}`
    const guess = await call(tintype, 'POST', '/v1/folder', { folderName: 'x', parentFolderPath: '/' }, wrong)
    expect(await entryOf(guess)).toMatchObject({ outcome: 'refused', status: 403, key: null })
  })

  it('is silent about reading and delivering', async () => {
    const before = (await entries()).length
    await call(tintype, 'GET', '/v1/files')
    await fetch(`${tintype.url}/${TEST_KEYS.id}/c.png`)
    await fetch(`${tintype.url}/v1/files`, { method: 'OPTIONS' })
    const change = await call(tintype, 'POST', '/v1/folder', { folderName: 'g', parentFolderPath: '/' })
    await entryOf(change)
    expect(await entries()).toHaveLength(before + 1)
  })

  it('is not to be filled by strangers', async () => {
    const before = (await entries()).length
    for (let sent = 0; sent < 150; sent += 1) await call(tintype, 'DELETE', '/v1/files/x', undefined, null)
    await entryOf(await call(tintype, 'POST', '/v1/folder', { folderName: 'h', parentFolderPath: '/' }))
    const added = (await entries()).slice(before).filter(({ key }) => key === null)
    expect(added.length).toBeGreaterThan(50)
    // Each node has a limit of its own.
    expect(added.length).toBeLessThanOrEqual(100 * tintype.nodes.length)
  })

  it('holds no body, no key, no secret and no query of a URL', async () => {
    const text = await readFile(path, 'utf8')
    for (const word of [...hidden, TEST_KEYS.privateKey, 'private_', 'whsec_', 'ik-s', '0123456789&']) {
      expect(text).not.toContain(word)
    }
  })

  it('tells of commands too, and a file that cannot be written stops them', async () => {
    const env = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TINTYPE_DATA_DIR: join(folder, 'data'),
      TINTYPE_AUDIT_PATH: join(folder, 'cli.jsonl'),
    }
    const run = (args: string[], more: Record<string, string> = {}) =>
      new Promise<{ out: string; err: string }>((resolve) => {
        execFile(
          process.execPath,
          [join(root, 'src/cli.ts'), ...args],
          { env: { ...env, ...more } },
          (_, out, err) => resolve({ out, err }),
        )
      })
    const made = JSON.parse((await run(['keys', 'create', 'main', '--json'])).out)
    await run(['keys', 'list'])
    await run(['keys', 'delete', 'main'])
    await run(['keys', 'disable', made.privateKey])
    const refused = await run(['keys', 'create', 'second'], { TINTYPE_AUDIT_PATH: '/proc/audit.jsonl' })
    expect(refused).toEqual({
      out: '',
      err: expect.stringContaining('The audit log /proc/audit.jsonl cannot be written'),
    })
    const text = await readFile(env.TINTYPE_AUDIT_PATH, 'utf8')
    expect(text).not.toContain(made.privateKey)
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(
      [
        {
          command: 'keys create',
          arguments: ['main'],
          targets: { key: made.id, publicKey: made.publicKey },
          outcome: 'done',
        },
        { command: 'keys delete', arguments: ['main'], targets: {}, outcome: 'refused' },
        { command: 'keys disable', arguments: ['private_…'], targets: {}, outcome: 'refused' },
      ].map((entry) => ({
        audit: true,
        time: expect.any(String),
        source: 'cli',
        user: expect.any(String),
        ...entry,
      })),
    )
  })
})

test('reads are noted where that is wanted', async () => {
  const file = join(folder, 'reads.jsonl')
  const other = await startTintype({ env: { TINTYPE_AUDIT_PATH: file, TINTYPE_AUDIT_READS: 'true' } })
  await call(other, 'GET', `/v1/files?searchQuery=${encodeURIComponent('name = "private-note"')}`)
  await other.stop()
  const [entry, ...more] = (await readFile(file, 'utf8')).trim().split('\n')
  expect(more).toEqual([])
  expect(JSON.parse(entry!)).toMatchObject({
    method: 'GET',
    route: '/v1/files',
    targets: {},
    outcome: 'done',
  })
  expect(entry).not.toContain('private-note')
})
