import { LRUCache } from 'lru-cache'
import { expect, it } from 'vitest'
import { type Context, throughMemory } from '../../../src/delivery/context.ts'

function createContext(memoryCacheMaxFileKiB = 1): Context {
  const memory = new LRUCache<string, Buffer>({ max: 10 })
  return { memory, reading: new Map(), options: { memoryCacheMaxFileKiB, memoryCacheMiB: 1 } } as never
}

it('reads once for all who ask meanwhile, and not again', async () => {
  const context = createContext()
  let reads = 0
  const bytes = Buffer.from('bytes')
  const read = async () => {
    reads += 1
    await new Promise((resolve) => setImmediate(resolve))
    return bytes
  }
  const all = await Promise.all(
    Array.from({ length: 200 }, () => throughMemory('a', bytes.length, context, read)),
  )
  expect(all.every((each) => each === bytes)).toBe(true)
  expect(await throughMemory('a', bytes.length, context, read)).toBe(bytes)
  expect(reads).toBe(1)
  expect(context.reading.size).toBe(0)
})

it('keeps neither a failure nor what is too large', async () => {
  const context = createContext()
  const fail = () => Promise.reject(new Error('gone'))
  const failures = [throughMemory('a', 1, context, fail), throughMemory('a', 1, context, fail)]
  expect((await Promise.allSettled(failures)).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  const large = Buffer.alloc(2000)
  expect(await throughMemory('a', large.length, context, async () => large)).toBe(large)
  expect([context.memory.size, context.reading.size]).toEqual([0, 0])
})
