import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDerivatives } from '../../../src/delivery/derivatives.ts'
import { silentLog } from '../../../src/kernel/log.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tintype-derivatives-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const open = (maxBytes = 1_000_000) => openDerivatives({ dir, maxBytes }, { log: silentLog })
const keyOf = (name: string) => createHash('sha1').update(name).digest('hex')
const maker =
  (text: string, made: string[] = []) =>
  async (path: string) => {
    made.push(text)
    await writeFile(path, text)
    return {
      sha256: createHash('sha256').update(text).digest('hex'),
      sizeBytes: text.length,
      widthPx: 2,
      heightPx: 3,
    }
  }
const files = async () => (await readdir(dir, { recursive: true })).filter((name) => name.endsWith('.png'))

test('is made once, however many ask', async () => {
  const derivatives = await open()
  const made: string[] = []
  const all = await Promise.all(
    Array.from({ length: 50 }, () => derivatives.getOrMake(keyOf('a'), 'png', maker('hello', made))),
  )
  expect(made).toEqual(['hello'])
  expect(new Set(all.map(({ derivative }) => derivative.path)).size).toBe(1)
  expect(await readFile(all[0]!.derivative.path, 'utf8')).toBe('hello')
  expect((await derivatives.getOrMake(keyOf('a'), 'png', maker('x', made))).hit).toBe(true)
})

test('a failure reaches all who ask, and is not remembered', async () => {
  const derivatives = await open()
  const fail = async (path: string) => {
    await writeFile(path, 'half')
    throw new Error('no')
  }
  const results = await Promise.allSettled(
    [1, 2, 3].map(() => derivatives.getOrMake(keyOf('a'), 'png', fail)),
  )
  expect(results.every((result) => result.status === 'rejected')).toBe(true)
  expect(await readdir(join(dir, 'tmp'))).toEqual([])
  expect((await derivatives.getOrMake(keyOf('a'), 'png', maker('ok'))).hit).toBe(false)
})

test('the least recently used go when the space is used up', async () => {
  const derivatives = await open(25)
  await derivatives.getOrMake(keyOf('a'), 'png', maker('aaaaaaaaaa'))
  await derivatives.getOrMake(keyOf('b'), 'png', maker('bbbbbbbbbb'))
  await derivatives.getOrMake(keyOf('a'), 'png', maker('never'))
  await derivatives.getOrMake(keyOf('c'), 'png', maker('cccccccccc'))
  expect(derivatives.sizeBytes).toBe(20)
  await expect.poll(async () => (await files()).length).toBe(2)
  expect((await derivatives.getOrMake(keyOf('a'), 'png', maker('again'))).hit).toBe(true)
  expect((await derivatives.getOrMake(keyOf('b'), 'png', maker('again'))).hit).toBe(false)
})

test('survives a restart, but not with other bytes', async () => {
  const first = await open()
  const whole = (await first.getOrMake(keyOf('whole'), 'png', maker('whole'))).derivative
  const cut = (await first.getOrMake(keyOf('cut'), 'png', maker('a cut file'))).derivative
  const flipped = (await first.getOrMake(keyOf('flipped'), 'png', maker('flipped'))).derivative
  await writeFile(cut.path, 'a cut')
  await writeFile(flipped.path, 'flippeD')
  await writeFile(join(dir, keyOf('x').slice(0, 2).padEnd(2)), '').catch(() => {})
  const second = await open()
  const made: string[] = []
  const again = await second.getOrMake(keyOf('whole'), 'png', maker('x', made))
  expect(again.derivative).toMatchObject({ path: whole.path, widthPx: 2, heightPx: 3 })
  expect(made).toEqual([])
  await second.getOrMake(keyOf('cut'), 'png', maker('a cut file', made))
  await second.getOrMake(keyOf('flipped'), 'png', maker('flipped', made))
  expect(made).toEqual(['a cut file', 'flipped'])
  expect(await readFile(flipped.path, 'utf8')).toBe('flipped')
})

test('those of one source go together, or those that begin with more', async () => {
  const derivatives = await open()
  const source = (name: string) => createHash('sha256').update(name).digest('hex')
  const make = async (key: string, text: string) => {
    const { hit } = await derivatives.getOrMake(key, 'png', maker(text))
    return hit
  }
  const [one, two] = [source('one'), source('two')]
  for (const key of [`${one}aa11`, `${one}aa22`, `${one}bb33`, `${two}aa44`]) await make(key, key)
  expect(derivatives.sources().sort()).toEqual([one, two].sort())

  const removed = await derivatives.purge(`${one}aa`)
  expect(removed).toHaveLength(2)
  expect((await files()).length).toBe(2)
  expect(await make(`${one}bb33`, `${one}bb33`)).toBe(true)
  // The same again: a removal that is late must not hit the new file.
  expect(await make(`${one}aa11`, `${one}aa11`)).toBe(false)

  const second = await open()
  expect(second.sources().sort()).toEqual([one, two].sort())
  expect(await second.purge(one)).toHaveLength(2)
  expect(second.sources()).toEqual([two])
  expect(await second.purge(one)).toEqual([])
  expect((await files()).length).toBe(1)
})

test('one whose file is gone is made once more, whoever misses it', async () => {
  const derivatives = await open()
  const first = await derivatives.getOrMake(keyOf('a'), 'png', maker('hello'))
  await derivatives.forgetMissing(keyOf('a'))
  expect((await derivatives.getOrMake(keyOf('a'), 'png', maker('hello'))).hit).toBe(true)

  await rm(first.derivative.path)
  const made: string[] = []
  const recover = async () => {
    await derivatives.forgetMissing(keyOf('a'))
    const { derivative } = await derivatives.getOrMake(keyOf('a'), 'png', maker('hello', made))
    return readFile(derivative.path, 'utf8')
  }
  expect(await Promise.all(Array.from({ length: 20 }, recover))).toEqual(Array(20).fill('hello'))
  expect(await recover()).toBe('hello')
  expect(made).toEqual(['hello'])
})
