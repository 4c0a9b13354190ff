import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Committer, createCommitter } from '../../../src/blobs/committer.ts'

let dir: string
let committer: Committer

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tintype-committer-'))
  mkdirSync(join(dir, 'staging'))
  mkdirSync(join(dir, 'blobs', 'ab'), { recursive: true })
  committer = createCommitter()
})
afterEach(async () => {
  await committer.close()
  await rm(dir, { recursive: true })
})

const memoryWith = (text: string) => {
  const bytes = new ArrayBuffer(64)
  Buffer.from(bytes).write(text)
  return bytes
}
const request = (text: string, name: string, folder = 'ab') => ({
  bytes: memoryWith(text),
  length: text.length,
  draft: join(dir, 'staging', name),
  path: join(dir, 'blobs', folder, name),
})

test('bytes become a file under their name, and their memory comes back', async () => {
  const asked = request('hello', 'one')
  const view = Buffer.from(asked.bytes)
  const back = await committer.commit(asked)
  expect(readFileSync(asked.path, 'utf8')).toBe('hello')
  expect(statSync(asked.path).mode & 0o777).toBe(0o600)
  expect(readdirSync(join(dir, 'staging'))).toEqual([])
  expect(back.byteLength).toBe(64)
  // Whoever still looks at the memory sees nothing, rather than what comes next.
  expect(view).toHaveLength(0)
})

test('many at once, of many folders that are not there yet', async () => {
  const all = Array.from({ length: 60 }, (_, at) => request(`body ${at}`, `name-${at}`, `f${at % 7}`))
  await Promise.all(all.map((each) => committer.commit(each)))
  expect(all.map(({ path }) => readFileSync(path, 'utf8'))).toEqual(all.map((_, at) => `body ${at}`))
  expect(readdirSync(join(dir, 'staging'))).toEqual([])
})

test('what cannot be put into place leaves no draft, and others are not touched by it', async () => {
  const bad = request('hello', 'bad')
  mkdirSync(bad.path)
  const good = request('hello', 'good')
  const [first, second] = await Promise.allSettled([committer.commit(bad), committer.commit(good)])
  expect(first).toMatchObject({ status: 'rejected', reason: { code: 'EISDIR', syscall: 'rename' } })
  expect(second.status).toBe('fulfilled')
  expect(existsSync(bad.draft)).toBe(false)
})

test('a draft of somebody else is left alone', async () => {
  const asked = request('hello', 'planted')
  writeFileSync(asked.draft, 'theirs')
  await expect(committer.commit(asked)).rejects.toMatchObject({ code: 'EEXIST', syscall: 'open' })
  expect(readFileSync(asked.draft, 'utf8')).toBe('theirs')
  expect(existsSync(asked.path)).toBe(false)
})

test('an equal blob is replaced by a whole one', async () => {
  const asked = request('whole', 'damaged')
  writeFileSync(asked.path, 'wh')
  await committer.commit(asked)
  expect(readFileSync(asked.path, 'utf8')).toBe('whole')
})

test('closing waits for what is under way', async () => {
  const asked = request('hello', 'late')
  const commit = committer.commit(asked)
  await committer.close()
  await expect(commit).resolves.toBeInstanceOf(ArrayBuffer)
  expect(readFileSync(asked.path, 'utf8')).toBe('hello')
})
