import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BlobOptions, Blobs, Staged } from '../../src/blobs/blobs.ts'
import { HEAD_BYTES } from '../../src/blobs/blobs.ts'

export type BlobsUnderTest = {
  blobs: Blobs
  /** Names of what lies in the staging folder. */
  stagingNames(): Promise<string[]>
  /** What another process opens the same storage with. */
  options: BlobOptions & { dataDir: string }
  /** Closes the blobs and removes what the test made. */
  end(): Promise<void>
}

const MIB = 1024 * 1024

/** What every driver of blobs does; `open` gives empty storage. */
export function blobsSuite(name: string, open: () => Promise<BlobsUnderTest>) {
  describe(`blobs on ${name}`, () => {
    let subject: BlobsUnderTest
    let blobs: Blobs

    beforeAll(async () => {
      subject = await open()
      blobs = subject.blobs
    })
    afterAll(async () => {
      await subject?.end()
    })

    async function stage(bytes: Buffer, chunkBytes = 64 * 1024): Promise<Staged> {
      const writer = blobs.stage({ maxBytes: () => Number.MAX_SAFE_INTEGER })
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        await writer.write(bytes.subarray(at, at + chunkBytes))
      }
      return writer.finish()
    }

    async function store(bytes: Buffer): Promise<string> {
      const staged = await stage(bytes)
      await blobs.commit(staged)
      return staged.sha256
    }

    async function drain(sha256: string, range?: { start: number; end: number }): Promise<Buffer> {
      const parts: Buffer[] = []
      for await (const part of await blobs.read(sha256, range)) parts.push(part as Buffer)
      return Buffer.concat(parts)
    }

    const sizes = [0, 1, HEAD_BYTES, MIB, MIB + 1, 2 * MIB, 3 * MIB + 12_345, 20 * MIB + 1]
    test.each(sizes)('keeps %i bytes', async (sizeBytes) => {
      const bytes = randomBytes(sizeBytes)
      const staged = await stage(bytes, 100_003)
      expect(staged.sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
      expect(staged.sizeBytes).toBe(sizeBytes)
      expect(staged.head.equals(bytes.subarray(0, HEAD_BYTES))).toBe(true)
      await blobs.commit(staged)
      expect(await blobs.stat(staged.sha256)).toEqual({ sizeBytes })
      expect((await drain(staged.sha256)).equals(bytes)).toBe(true)
      expect((await blobs.readAll(staged.sha256)).equals(bytes)).toBe(true)
      expect(await subject.stagingNames()).toEqual([])
    })

    test('takes writes that nobody waits for, in their order', async () => {
      const bytes = randomBytes(4 * MIB)
      const writer = blobs.stage({ maxBytes: () => 10 * MIB })
      for (let at = 0; at < bytes.length; at += 300_000) void writer.write(bytes.subarray(at, at + 300_000))
      const staged = await writer.finish()
      expect(staged.sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
      await blobs.discard(staged)
    })

    test.each([100, MIB, 5 * MIB])('refuses the first byte over a limit of %i', async (limit) => {
      const writer = blobs.stage({ maxBytes: () => limit })
      const bytes = Buffer.alloc(limit)
      for (let at = 0; at < limit; at += 64 * 1024) await writer.write(bytes.subarray(at, at + 64 * 1024))
      await expect(writer.write(Buffer.from('x'))).rejects.toMatchObject({
        kind: 'too-large',
        message: 'Your request contains invalid file parameter. The file size exceeds limits.',
      })
      await expect(writer.finish()).rejects.toMatchObject({ kind: 'internal' })
      await writer.abort()
      expect(await subject.stagingNames()).toEqual([])
    })

    test('asks for the limit at each write', async () => {
      let limit = 10
      const writer = blobs.stage({ maxBytes: () => limit })
      await writer.write(Buffer.alloc(10))
      limit = 30
      await writer.write(Buffer.alloc(20))
      limit = 5
      await expect(writer.write(Buffer.alloc(1))).rejects.toMatchObject({ kind: 'too-large' })
      await writer.abort()
    })

    test.each([10, 3 * MIB])('leaves nothing of an upload aborted after %i bytes', async (sizeBytes) => {
      const writer = blobs.stage({ maxBytes: () => 100 * MIB })
      await writer.write(randomBytes(sizeBytes))
      const cut = expect(writer.write(randomBytes(sizeBytes))).rejects.toMatchObject({ kind: 'internal' })
      await writer.abort()
      await writer.abort()
      await cut
      await expect(writer.write(Buffer.alloc(1))).rejects.toMatchObject({ kind: 'internal' })
      expect(await subject.stagingNames()).toEqual([])
    })

    test.each([10, 3 * MIB])('leaves nothing of %i discarded bytes', async (sizeBytes) => {
      const staged = await stage(randomBytes(sizeBytes))
      await staged.localPath()
      await blobs.discard(staged)
      await blobs.discard(staged)
      expect(await subject.stagingNames()).toEqual([])
      expect(await blobs.stat(staged.sha256)).toBeUndefined()
      await expect(blobs.commit(staged)).rejects.toMatchObject({ kind: 'internal' })
    })

    test.each([1000, 3 * MIB])('gives a local file with %i staged bytes', async (sizeBytes) => {
      const bytes = randomBytes(sizeBytes)
      const staged = await stage(bytes)
      const [path, again] = await Promise.all([staged.localPath(), staged.localPath()])
      expect(again).toBe(path)
      expect((await readFile(path)).equals(bytes)).toBe(true)
      await blobs.commit(staged)
      expect((await drain(staged.sha256)).equals(bytes)).toBe(true)
      expect(await subject.stagingNames()).toEqual([])
    })

    test('keeps equal bytes once, whoever commits them and when', async () => {
      const bytes = randomBytes(200_000)
      const staged = await Promise.all(Array.from({ length: 12 }, () => stage(bytes)))
      await Promise.all(staged.map((one) => blobs.commit(one)))
      await blobs.commit(await stage(bytes))
      const { sha256 } = staged[0]!
      let count = 0
      for await (const blob of blobs.list()) if (blob.sha256 === sha256) count++
      expect(count).toBe(1)
      expect((await drain(sha256)).equals(bytes)).toBe(true)
      expect(await subject.stagingNames()).toEqual([])
    })

    test('commits different bytes at the same time', async () => {
      const bodies = Array.from({ length: 24 }, (_, index) => randomBytes(1000 + index))
      const keys = await Promise.all(bodies.map(store))
      const read = await Promise.all(keys.map((key) => blobs.readAll(key)))
      expect(read.map((body, index) => body.equals(bodies[index]!))).toEqual(bodies.map(() => true))
    })

    test.each([
      [0, 0],
      [0, 99_999],
      [1, 1],
      [99_999, 99_999],
      [12_345, 67_890],
    ])('reads the range %i to %i', async (start, end) => {
      const bytes = createHash('sha512').update('range').digest()
      const body = Buffer.concat(Array.from({ length: 1563 }, () => bytes)).subarray(0, 100_000)
      const sha256 = await store(body)
      expect((await drain(sha256, { start, end })).equals(body.subarray(start, end + 1))).toBe(true)
    })

    test('reads a range of a large blob across many reads', async () => {
      const body = randomBytes(3 * MIB)
      const sha256 = await store(body)
      expect(
        (await drain(sha256, { start: MIB - 1, end: 3 * MIB - 2 })).equals(
          body.subarray(MIB - 1, 3 * MIB - 1),
        ),
      ).toBe(true)
    })

    test('belongs to the first that claims it, which is among no blobs', async () => {
      expect(await blobs.owner()).toBeUndefined()
      await Promise.all([blobs.claim('one'), blobs.claim('one')])
      await blobs.claim('other')
      expect(await blobs.owner()).toBe('one')
      for await (const { sha256 } of blobs.list()) expect(sha256).toMatch(/^[0-9a-f]{64}$/)
    })

    test('lets a reader go away', async () => {
      const sha256 = await store(randomBytes(3 * MIB))
      const stream = await blobs.read(sha256)
      await new Promise((resolve) => stream.once('data', resolve))
      stream.destroy()
      await new Promise((resolve) => stream.once('close', resolve))
      expect(stream.destroyed).toBe(true)
    })

    test('says that a blob is not there', async () => {
      const absent = 'a'.repeat(64)
      expect(await blobs.stat(absent)).toBeUndefined()
      await expect(blobs.read(absent)).rejects.toMatchObject({ kind: 'not-found' })
      await expect(blobs.readAll(absent)).rejects.toMatchObject({ kind: 'not-found' })
      await expect(blobs.withLocalFile(absent, async () => 1)).rejects.toMatchObject({ kind: 'not-found' })
      await blobs.remove(absent)
    })

    test.each(['', '../../etc/passwd', 'A'.repeat(64), `${'a'.repeat(63)}/`])(
      'refuses the key %j',
      async (key) => {
        await expect(blobs.read(key)).rejects.toMatchObject({ kind: 'internal' })
        await expect(blobs.remove(key)).rejects.toMatchObject({ kind: 'internal' })
      },
    )

    test('gives a local file and keeps it while it is used', async () => {
      const body = randomBytes(50_000)
      const sha256 = await store(body)
      const entered = Promise.withResolvers<void>()
      const leave = Promise.withResolvers<void>()
      const using = blobs.withLocalFile(sha256, async (path) => {
        entered.resolve()
        await leave.promise
        return readFile(path)
      })
      await entered.promise
      const removing = blobs.remove(sha256)
      leave.resolve()
      expect((await using).equals(body)).toBe(true)
      await removing
      expect(await blobs.stat(sha256)).toBeUndefined()
    })

    test('gives one local file to many users', async () => {
      const body = randomBytes(2 * MIB)
      const sha256 = await store(body)
      const read = () => blobs.withLocalFile(sha256, (path) => readFile(path))
      const results = await Promise.all(Array.from({ length: 8 }, read))
      expect(results.every((result) => result.equals(body))).toBe(true)
    })

    test('passes on what a user of a local file throws', async () => {
      const sha256 = await store(randomBytes(10))
      const failing = blobs.withLocalFile(sha256, async () => {
        throw new RangeError('mine')
      })
      await expect(failing).rejects.toBeInstanceOf(RangeError)
      await blobs.remove(sha256)
      expect(await blobs.stat(sha256)).toBeUndefined()
    })

    test('removes', async () => {
      const sha256 = await store(randomBytes(1000))
      await blobs.remove(sha256)
      await blobs.remove(sha256)
      expect(await blobs.stat(sha256)).toBeUndefined()
      await expect(blobs.read(sha256)).rejects.toMatchObject({ kind: 'not-found' })
    })

    test('spares what was committed since the caller looked', async () => {
      const sha256 = await store(randomBytes(1000))
      await blobs.remove(sha256, { olderThanMs: 60_000 })
      expect(await blobs.stat(sha256)).toEqual({ sizeBytes: 1000 })
    })

    test('takes bytes again after they were removed', async () => {
      const body = randomBytes(1000)
      const sha256 = await store(body)
      await blobs.remove(sha256)
      await store(body)
      expect((await blobs.readAll(sha256)).equals(body)).toBe(true)
    })

    test('lists every blob with size and age', async () => {
      const startMs = Date.now()
      const keys = await Promise.all([10, 20, 30].map((size) => store(randomBytes(size))))
      const found = new Map<string, { sizeBytes: number; modifiedMs: number }>()
      for await (const { sha256, ...rest } of blobs.list()) found.set(sha256, rest)
      expect(keys.map((key) => found.get(key)?.sizeBytes)).toEqual([10, 20, 30])
      // Object stores tell whole seconds of their own clock.
      for (const key of keys) expect(Math.abs(found.get(key)!.modifiedMs - startMs)).toBeLessThan(60_000)
    })

    test('sweeps nothing that is in use or young', async () => {
      const staged = await stage(randomBytes(3 * MIB))
      expect(await blobs.sweepStaging(0)).toBe(0)
      await blobs.commit(staged)
      expect(await blobs.stat(staged.sha256)).toEqual({ sizeBytes: 3 * MIB })
    })

    test('streams 300 MB within 40 MiB of memory', async () => {
      const script = fileURLToPath(new URL('./blobs-memory.ts', import.meta.url))
      const run = await promisify(execFile)(process.execPath, [script, JSON.stringify(subject.options)])
      const { riseBytes, sizeBytes } = JSON.parse(run.stdout) as { riseBytes: number; sizeBytes: number }
      expect(sizeBytes).toBe(300_000_000)
      expect(riseBytes).toBeLessThan(40 * MIB)
    }, 120_000)

    test('proves that it works, and leaves nothing behind', async () => {
      await blobs.check()
      expect(await subject.stagingNames()).toEqual([])
    })
  })
}
