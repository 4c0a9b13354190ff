import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { createHasher } from '../../../src/blobs/hasher.ts'

function shared(text: string) {
  const bytes = new SharedArrayBuffer(text.length)
  Buffer.from(bytes).write(text)
  return bytes
}

test('streams are hashed side by side', async () => {
  const hasher = createHasher()
  const [one, two] = [hasher.start(), hasher.start()]
  await one.update(shared('abc'), 3)
  await two.update(shared('xyz'), 2)
  await one.update(shared('def'), 3)
  expect(await two.digest()).toBe(createHash('sha256').update('xy').digest('hex'))
  expect(await one.digest()).toBe(createHash('sha256').update('abcdef').digest('hex'))
  await hasher.close()
})

test('an ended or dropped stream takes no more', async () => {
  const hasher = createHasher()
  const ended = hasher.start()
  await ended.digest()
  await expect(ended.update(shared('a'), 1)).rejects.toMatchObject({ kind: 'internal' })
  const dropped = hasher.start()
  await dropped.update(shared('a'), 1)
  dropped.drop()
  await expect(dropped.digest()).rejects.toMatchObject({ kind: 'internal' })
  await hasher.close()
})

test('closing fails what is under way', async () => {
  const hasher = createHasher()
  const stream = hasher.start()
  const update = stream.update(shared('a'), 1)
  const failed = expect(update.then(() => stream.digest())).rejects.toMatchObject({ kind: 'internal' })
  await update.catch(() => {})
  await hasher.close()
  await failed
})
