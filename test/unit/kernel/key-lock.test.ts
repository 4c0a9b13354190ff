import { expect, test } from 'vitest'
import { createKeyLock } from '../../../src/kernel/key-lock.ts'

test('work on one key follows on each other, also after a failure; other keys do not wait', async () => {
  const lock = createKeyLock()
  const seen: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = lock('a', async () => {
    await gate.promise
    seen.push('a1')
    throw new Error('a1')
  })
  const second = lock('a', async () => {
    seen.push('a2')
    return 2
  })
  await lock('b', async () => {
    seen.push('b')
  })
  gate.resolve()
  await expect(first).rejects.toThrow('a1')
  expect(await second).toBe(2)
  expect(seen).toEqual(['b', 'a1', 'a2'])
})
