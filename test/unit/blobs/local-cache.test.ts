import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openLocalCache } from '../../../src/blobs/local-cache.ts'

const key = (digit: number) => `${digit}`.repeat(64)

describe('the local cache', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cache-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true })
  })

  const download = (text: string) => async (path: string) => {
    await writeFile(path, text)
    return text.length
  }
  const read = (path: string) => readFile(path, 'utf8')

  test('downloads once for all who ask', async () => {
    const cache = await openLocalCache({ folder, maxBytes: 100 })
    let downloads = 0
    const count = (path: string) => {
      downloads++
      return download('x')(path)
    }
    expect(await Promise.all([1, 2, 3].map(() => cache.withFile(key(1), count, read)))).toEqual([
      'x',
      'x',
      'x',
    ])
    expect(downloads).toBe(1)
  })

  test('drops the least recently used, never what is in use', async () => {
    const cache = await openLocalCache({ folder, maxBytes: 10 })
    await cache.withFile(key(1), download('1234'), async (path) => {
      await cache.withFile(key(2), download('1234'), read)
      await cache.withFile(key(3), download('1234'), read)
      await cache.withFile(key(4), download('1234'), read)
      expect(await read(path)).toBe('1234')
      expect((await readdir(folder)).sort()).toEqual([key(1), key(4)])
    })
  })

  test('serves what is larger than itself, and forgets it', async () => {
    const cache = await openLocalCache({ folder, maxBytes: 3 })
    expect(await cache.withFile(key(1), download('12345'), read)).toBe('12345')
    expect(await readdir(folder)).toEqual([])
  })

  test('leaves nothing of a download that failed, and tries again', async () => {
    const cache = await openLocalCache({ folder, maxBytes: 100 })
    const failing = async (path: string) => {
      await writeFile(path, 'half')
      throw new Error('cut')
    }
    await expect(cache.withFile(key(1), failing, read)).rejects.toMatchObject({ kind: 'internal' })
    expect(await readdir(folder)).toEqual([])
    expect(await cache.withFile(key(1), download('whole'), read)).toBe('whole')
  })

  test('keeps a removed copy until its user is done, and gives the next one a new copy', async () => {
    const cache = await openLocalCache({ folder, maxBytes: 100 })
    await cache.withFile(key(1), download('old'), async (path) => {
      await cache.remove(key(1))
      expect(await read(path)).toBe('old')
      expect(await cache.open(key(1))).toBeUndefined()
      expect(await cache.withFile(key(1), download('new'), read)).toBe('new')
    })
    expect(await cache.withFile(key(1), download('unused'), read)).toBe('new')
    expect(await readdir(folder)).toEqual([key(1)])
  })

  test('adopts a file, unless it has one or is too small for it', async () => {
    const cache = await openLocalCache({ folder, maxBytes: 10 })
    const outside = await mkdtemp(join(tmpdir(), 'outside-'))
    const file = async (text: string) => {
      const path = join(outside, text)
      await writeFile(path, text)
      return path
    }
    await cache.adopt(key(1), await file('first'), 5)
    await cache.adopt(key(1), await file('again'), 5)
    await cache.adopt(key(2), await file('far too large'), 13)
    expect(await cache.withFile(key(1), download('unused'), read)).toBe('first')
    expect(await readdir(folder)).toEqual([key(1)])
    expect(await readdir(outside)).toEqual([])
    await rm(outside, { recursive: true })
  })

  test('takes over what an earlier run left, but for unfinished downloads', async () => {
    await writeFile(join(folder, key(1)), 'kept')
    await writeFile(join(folder, `${key(2)}.part`), 'half')
    const cache = await openLocalCache({ folder, maxBytes: 100 })
    expect(await readdir(folder)).toEqual([key(1)])
    expect(await cache.withFile(key(1), download('unused'), read)).toBe('kept')
  })
})
