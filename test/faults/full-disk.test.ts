import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import sharp from 'sharp'
import { afterEach, describe, expect, test } from 'vitest'
import { diskBlobPath } from '../../src/blobs/blobs.ts'
import { type Answer, basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { launchServer, type Server, startServer } from '../support/server.ts'
import { expectSound } from './inspection.ts'
import { createDisk, type Disk, whyNoDisk } from './machine.ts'
import { faultOfError } from './mixed-load.ts'
import { keysOf } from './run.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024

describe.skipIf(whyNoDisk !== '')(`a disk${whyNoDisk && ` (skipped: ${whyNoDisk})`}`, () => {
  let disk: Disk
  let server: Server | undefined
  afterEach(async () => {
    await server?.stop('SIGKILL')
    server = undefined
    await disk.remove()
  })

  const large = randomBytes(2 * MIB)
  let fileId: string

  /** A server on the disk, with a picture, one derivative of it and a large file. */
  async function startOn(sizeMib: number, mkfs: string[] = []) {
    disk = await createDisk(sizeMib, mkfs)
    server = await startServer({
      dataDir: join(disk.path, 'data'),
      env: { TINTYPE_LOG_LEVEL: 'error', TINTYPE_DELIVERY_MEMORY_CACHE_MIB: '0' },
    })
    const answer = await put(png(300, 200), 'picture.png')
    fileId = answer.json().fileId
    await put(large, 'large.bin')
    expect((await get('/tr:w-50/picture.png')).status).toBe(200)
    return server
  }
  const put = (bytes: Buffer, fileName: string) =>
    uploadFile(server!, bytes, { fileName, useUniqueFileName: 'false' })
  const get = (path: string) => send(server!, `/${server!.id}${path}`)
  const tag = (tags: string[]) =>
    send(server!, `/v1/files/${fileId}/details`, {
      method: 'PATCH',
      headers: { authorization: basic(server!.privateKey), 'content-type': 'application/json' },
      body: JSON.stringify({ tags }),
    })

  /** What is there is delivered as ever. */
  async function expectDelivery() {
    expect((await get('/large.bin')).body.equals(large)).toBe(true)
    expect((await get('/picture.png')).body.equals(png(300, 200))).toBe(true)
    expect((await get('/tr:w-50/picture.png')).status).toBe(200)
    expect((await send(server!, '/health')).status).toBe(200)
    const list = await send(server!, '/v1/files', { headers: { authorization: basic(server!.privateKey) } })
    expect(list.json().length).toBeGreaterThan(1)
  }

  function expectFull(answer: Answer) {
    expect(answer.status).toBe(507)
    expect(answer.json()).toEqual({
      message: 'The server has no space left to store the file.',
      help: expect.any(String),
    })
  }

  const expectClear = (answer: Answer) => {
    if (answer.status >= 300) expect(faultOfError(answer)).toBeUndefined()
  }

  /** Takes all the space that is left, but for some bytes. */
  async function fill(name: string, leaveBytes: number) {
    const handle = await open(join(disk.path, name), 'w')
    const { stdout } = await run('stat', ['-f', '-c', '%a %S', disk.path])
    const [blocks, blockBytes] = stdout.trim().split(' ').map(Number) as [number, number]
    const block = Buffer.alloc(MIB, 1)
    try {
      for (let left = blocks * blockBytes - leaveBytes; left > 0; left -= MIB) {
        await handle.write(block, 0, Math.min(left, MIB))
      }
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
    } finally {
      await handle.close()
    }
  }

  test('that fills up is left with room for the database, goes on delivering, and is well once there is space', async () => {
    await startOn(96)
    await fill('something-else', 24 * MIB)
    let taken = 0
    for (let answer = await put(randomBytes(3 * MIB), 'f-0.bin'); ; taken += 1) {
      if (answer.status !== 200) {
        expectFull(answer)
        break
      }
      answer = await put(randomBytes(3 * MIB), `f-${taken + 1}.bin`)
    }
    expect(taken).toBeGreaterThan(2)
    expect((await tag(['there', 'is', 'room'])).status).toBe(200)
    await expectDelivery()
    expectClear(await get('/tr:w-51/picture.png'))

    // Somebody else takes the rest too.
    await fill('everything-else', 0)
    expectFull(await put(randomBytes(3 * MIB), 'none.bin'))
    expectFull(await put(randomBytes(300), 'small.bin'))
    for (let at = 0; at < 40; at += 1) {
      const answer = await tag(Array.from({ length: 20 }, (_, n) => `tag ${at} ${n}`))
      if (answer.status !== 200) expectFull(answer)
    }
    expectClear(await get('/tr:w-52/picture.png'))
    await expectDelivery()

    for (const name of ['something-else', 'everything-else']) await rm(join(disk.path, name))
    expect((await put(randomBytes(3 * MIB), 'again.bin')).status).toBe(200)
    expect((await tag(['again'])).status).toBe(200)
    expect((await get('/tr:w-53/picture.png')).status).toBe(200)
    await expectDelivery()
    const report = await expectSound(server!.dataDir)
    expect(report.temporary.list).toEqual([])
  })

  test('keeps no derivative in the reserve: the least used make room, or else none is made', async () => {
    await startOn(96)
    const noise = await sharp({
      create: {
        ...{ width: 700, height: 700, channels: 3, background: 'black' },
        noise: { type: 'gaussian', mean: 128, sigma: 60 },
      },
    })
      .png()
      .toBuffer()
    await put(noise, 'noise.png')
    /** What is free beyond the reserve, a tenth of the volume. */
    const spareBytes = async () => {
      const { bavail, blocks, bsize } = await statfs(disk.path)
      return (bavail - blocks * 0.1) * bsize
    }
    const reserveBytes = await statfs(disk.path).then(({ blocks, bsize }) => Math.ceil(blocks * bsize * 0.1))
    const kept = async () => {
      const names = await readdir(join(server!.dataDir, 'cache/derivatives'), { recursive: true })
      return names.filter((name) => name.endsWith('.png')).length
    }
    /** Asks for new ones, many at a time. @returns their statuses. */
    let width = 400
    const ask = async (count: number) => {
      const widths = Array.from({ length: count }, () => width++)
      const answers = await Promise.all(widths.map((widthPx) => get(`/tr:w-${widthPx},f-png/noise.png`)))
      for (const answer of answers) {
        if (answer.status === 200) continue
        expect(answer.status, String(answer.headers['ik-error'])).toBe(503)
        expect(answer.headers['retry-after']).toBe('10')
      }
      return answers.map(({ status }) => status)
    }
    // The database grows meanwhile, which the reserve is for.
    const databaseBytes = 2 * MIB

    await fill('something-else', reserveBytes + 6 * MIB)
    let made = 0
    for (let at = 0; at < 5; at += 1) made += (await ask(6)).filter((status) => status === 200).length
    expect(made).toBeGreaterThan(20)
    expect(await kept()).toBeLessThan(20)
    expect(await spareBytes()).toBeGreaterThan(-databaseBytes)

    // Others take of the reserve: those that are there make up for it.
    await fill('more', reserveBytes - 3 * MIB)
    const before = await kept()
    expect(await ask(1)).toEqual([200])
    const newest = `/tr:w-${width - 1},f-png/noise.png`
    expect(await kept()).toBeLessThan(before)
    expect(await spareBytes()).toBeGreaterThan(-databaseBytes)

    // And so much that no derivative could: those that are there stay.
    await fill('most', MIB)
    const left = await kept()
    expect(left).toBeGreaterThan(0)
    expect(await ask(6)).toEqual(Array(6).fill(503))
    expect(await kept()).toBe(left)
    expect((await get(newest)).headers['x-tintype-cache']).toBe('hit')

    for (const name of ['something-else', 'more', 'most']) await rm(join(disk.path, name))
    expect(await ask(3)).toEqual([200, 200, 200])
    await expectSound(server!.dataDir)
  })

  test('without inodes refuses new files clearly and is well once there are some', async () => {
    await startOn(64, ['-N', '400'])
    await mkdir(join(disk.path, 'many'))
    let at = 0
    try {
      for (; ; at += 1) await writeFile(join(disk.path, 'many', String(at)), '')
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
    }
    expectFull(await put(randomBytes(300), 'small.bin'))
    expectFull(await put(randomBytes(3 * MIB), 'large2.bin'))
    expect((await tag(['no', 'inode', 'needed'])).status).toBe(200)
    expectClear(await get('/tr:w-51/picture.png'))
    await expectDelivery()
    await rm(join(disk.path, 'many'), { recursive: true })
    expect((await put(randomBytes(300), 'small.bin')).status).toBe(200)
    expect((await put(randomBytes(3 * MIB), 'large2.bin')).status).toBe(200)
    expect((await get('/tr:w-51/picture.png')).status).toBe(200)
    await expectSound(server!.dataDir)
  })

  test('that breaks under a server makes it say so, in its health too', async () => {
    await startOn(64)
    await disk.cutPower()
    for (let at = 0; at < 5; at += 1) {
      for (const answer of [
        await put(randomBytes(300), `s-${at}.bin`),
        await put(randomBytes(2 * MIB), `l-${at}.bin`),
        await tag([`t${at}`]),
        await get(`/tr:w-${60 + at}/picture.png`),
      ]) {
        expect(answer.status).toBeGreaterThanOrEqual(500)
        expect(faultOfError(answer)).toBeUndefined()
      }
    }
    expect((await send(server!, '/health')).status, server!.output()).toBe(503)
    expect(server!.output()).not.toMatch(/uncaughtException|unhandledRejection/)
  })

  test('that is mounted read-only, or belongs to somebody else, is refused at the start', async () => {
    const { dataDir } = await startOn(64)
    const env = keysOf(server!)
    const refusal = async (options: Parameters<typeof launchServer>[0]) => {
      const { ended, output } = await launchServer({ dataDir, env, ...options })
      expect((await ended).code).toBe(1)
      expect(output()).toContain('Tintype cannot start.')
      expect(output()).not.toMatch(/^\s+at /m)
      return output()
    }
    await server!.stop('SIGTERM')
    await disk.remount('ro')
    expect(await refusal({})).toMatch(/cannot be (opened|used)|read-only/)
    await disk.remount()
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    const main = join(import.meta.dirname, '../../src/main.ts')
    expect(await refusal({ command: [...asNobody, process.execPath, main] })).toMatch(
      /Does the server own it/,
    )
    server = await startServer({ dataDir, env })
    await expectDelivery()
  })
})

test('a data folder whose volume is not mounted is no reason for a new library', async () => {
  const server = await startServer()
  await uploadFile(server, png(), { fileName: 'a.png' })
  await server.stop('SIGTERM')
  await rm(join(server.dataDir, 'blobs'), { recursive: true })
  await mkdir(join(server.dataDir, 'blobs'))
  const { ended, output } = await launchServer({ dataDir: server.dataDir, env: keysOf(server) })
  expect((await ended).code).toBe(1)
  expect(output()).toMatch(/Is the volume mounted\?/)
  await server.dispose()
})

test('a large file that is damaged on the disk is never delivered to its end', async () => {
  const server = await startServer()
  try {
    const bytes = randomBytes(3 * MIB)
    const answer = await uploadFile(server, bytes, { fileName: 'large.bin', useUniqueFileName: 'false' })
    expect(answer.status, answer.body.toString()).toBe(200)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const path = diskBlobPath(server.dataDir, sha256)
    const flip = async (at: number) => {
      const handle = await open(path, 'r+')
      await handle.write(Buffer.from([bytes[at]! ^ 1]), 0, 1, at)
      await handle.close()
    }
    const load = () => send(server, `/${server.id}/large.bin`)
    for (const at of [0, MIB, bytes.length - 1]) {
      await flip(at)
      await expect(load()).rejects.toThrow(/aborted|ECONNRESET|socket hang up/)
      const handle = await open(path, 'r+')
      await handle.write(bytes, at, 1, at)
      await handle.close()
    }
    expect((await load()).body.equals(bytes)).toBe(true)
    expect((await load()).body.equals(bytes)).toBe(true)
  } finally {
    await server.dispose()
  }
})
