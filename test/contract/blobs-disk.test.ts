import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Value } from 'typebox/value'
import { afterEach, describe, expect, test } from 'vitest'
import { blobOptions, openBlobs } from '../../src/blobs/blobs.ts'
import { silentLog } from '../../src/kernel/log.ts'
import { blobsSuite } from './blobs.suite.ts'

const options = Value.Create(blobOptions)

async function open(dataDir: string) {
  return openBlobs({ ...options, dataDir }, { log: silentLog })
}

blobsSuite('disk', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'blobs-'))
  const blobs = await open(dataDir)
  return {
    blobs,
    options: { ...options, dataDir },
    stagingNames: () => readdir(join(dataDir, 'staging')),
    async end() {
      await blobs.close()
      await rm(dataDir, { recursive: true })
    },
  }
})

describe('the data folder', () => {
  const folders: string[] = []
  async function newFolder() {
    const folder = await mkdtemp(join(tmpdir(), 'blobs-'))
    folders.push(folder)
    return folder
  }
  afterEach(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
  })

  async function store(dataDir: string, text: string) {
    const blobs = await open(dataDir)
    const writer = blobs.stage({ maxBytes: () => 1000 })
    await writer.write(Buffer.from(text))
    const staged = await writer.finish()
    await blobs.commit(staged)
    await blobs.close()
    return staged.sha256
  }

  test('keeps blobs in folders by the beginning of their hash, over a restart', async () => {
    const dataDir = await newFolder()
    const sha256 = await store(dataDir, 'hello')
    const path = join(dataDir, 'blobs', sha256.slice(0, 2), sha256)
    expect((await stat(path)).size).toBe(5)
    const blobs = await open(dataDir)
    expect((await blobs.readAll(sha256)).toString()).toBe('hello')
    await blobs.close()
  })

  test('is made with its parents', async () => {
    const dataDir = join(await newFolder(), 'a', 'b')
    const sha256 = await store(dataDir, 'x')
    expect(sha256).toHaveLength(64)
  })

  test.each(['gone', 'an empty mount point'])('is refused when its blobs are %s', async (state) => {
    const dataDir = await newFolder()
    await store(dataDir, 'precious')
    await rm(join(dataDir, 'blobs'), { recursive: true })
    if (state !== 'gone') await mkdir(join(dataDir, 'blobs'))
    await expect(open(dataDir)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('volume mounted'),
    })
    if (state === 'gone') expect(await readdir(dataDir)).not.toContain('blobs')
    else expect(await readdir(join(dataDir, 'blobs'))).toEqual([])
  })

  test('is completed when the first start died half way', async () => {
    const dataDir = await newFolder()
    const sha256 = await store(dataDir, 'kept')
    await rm(join(dataDir, 'tintype-data.json'))
    const blobs = await open(dataDir)
    expect((await blobs.readAll(sha256)).toString()).toBe('kept')
    await blobs.close()
    await (await open(dataDir)).close()
  })

  test('is made once by several servers that start at the same moment', async () => {
    const dataDir = join(await newFolder(), 'data')
    const opened = await Promise.all(Array.from({ length: 8 }, () => open(dataDir)))
    for (const blobs of opened) {
      await blobs.check()
      await blobs.close()
    }
    await (await open(dataDir)).close()
    const markers = (await readdir(dataDir, { recursive: true })).filter((name) =>
      name.includes('tintype-data'),
    )
    expect(markers.sort()).toEqual(['blobs/tintype-data.json', 'tintype-data.json'])
  })

  test('is refused with another folder’s blobs', async () => {
    const [first, second] = [await newFolder(), await newFolder()]
    await store(first, '1')
    await store(second, '2')
    await rm(join(first, 'blobs'), { recursive: true })
    await promisify(execFile)('cp', ['-a', join(second, 'blobs'), join(first, 'blobs')])
    await expect(open(first)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  test('loses what died in staging, but not what is young', async () => {
    const dataDir = await newFolder()
    const blobs = await open(dataDir)
    const old = join(dataDir, 'staging', 'old')
    await writeFile(old, 'x')
    await writeFile(join(dataDir, 'staging', 'young'), 'x')
    const yesterday = new Date(Date.now() - 86_400_000)
    await utimes(old, yesterday, yesterday)
    expect(await blobs.sweepStaging(3_600_000)).toBe(1)
    expect(await readdir(join(dataDir, 'staging'))).toEqual(['young'])
    await blobs.close()
  })

  test('has a damaged blob put right by the next upload of its bytes', async () => {
    const dataDir = await newFolder()
    const sha256 = await store(dataDir, 'whole')
    const path = join(dataDir, 'blobs', sha256.slice(0, 2), sha256)
    await writeFile(path, 'wh')
    await store(dataDir, 'whole')
    const blobs = await open(dataDir)
    expect((await blobs.readAll(sha256)).toString()).toBe('whole')
    await blobs.close()
  })

  test('goes on when somebody removes its empty folders', async () => {
    const dataDir = await newFolder()
    const sha256 = await store(dataDir, 'first')
    const blobs = await open(dataDir)
    await blobs.remove(sha256)
    const put = async () => {
      const writer = blobs.stage({ maxBytes: () => 1000 })
      await writer.write(Buffer.from('first'))
      const staged = await writer.finish()
      await blobs.commit(staged)
    }
    await put()
    await blobs.remove(sha256)
    await rm(join(dataDir, 'blobs', sha256.slice(0, 2)), { recursive: true })
    await put()
    expect(await readdir(join(dataDir, 'staging'))).toEqual([])
    expect((await blobs.readAll(sha256)).toString()).toBe('first')
    await blobs.close()
  })

  test('has the blobs of its first layout put where they are now, also after a crash on the way', async () => {
    const dataDir = await newFolder()
    const [one, two] = [await store(dataDir, 'one'), await store(dataDir, 'two')]
    const place = (sha256: string) => join(dataDir, 'blobs', sha256.slice(0, 2))
    for (const sha256 of [one, two]) {
      await mkdir(join(place(sha256), sha256.slice(2, 4)))
      await rename(join(place(sha256), sha256), join(place(sha256), sha256.slice(2, 4), sha256))
    }
    for (const folder of [dataDir, join(dataDir, 'blobs')]) {
      const path = join(folder, 'tintype-data.json')
      const marker = JSON.parse(await readFile(path, 'utf8'))
      await writeFile(path, JSON.stringify({ ...marker, layout: 1 }))
    }
    // What a crash on the way leaves.
    await rename(join(place(one), one.slice(2, 4), one), join(place(one), one))
    const blobs = await open(dataDir)
    expect((await blobs.readAll(one)).toString()).toBe('one')
    expect((await blobs.readAll(two)).toString()).toBe('two')
    expect(await readdir(place(two))).toEqual([two])
    await blobs.close()
  })

  test('is refused when a newer release has written it', async () => {
    const dataDir = await newFolder()
    await store(dataDir, 'x')
    const path = join(dataDir, 'blobs', 'tintype-data.json')
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), layout: 99 }))
    await expect(open(dataDir)).rejects.toMatchObject({ message: expect.stringContaining('newer release') })
  })

  test('renews the age of a blob that is committed again', async () => {
    const dataDir = await newFolder()
    const sha256 = await store(dataDir, 'again')
    const path = join(dataDir, 'blobs', sha256.slice(0, 2), sha256)
    await utimes(path, new Date(0), new Date(0))
    await store(dataDir, 'again')
    expect(Date.now() - (await stat(path)).mtimeMs).toBeLessThan(60_000)
  })
})
