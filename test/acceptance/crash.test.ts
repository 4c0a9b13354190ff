import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { type Server, startServer } from '../support/server.ts'

/** The short form runs with all tests; `npm run test:crash` asks for more. */
const CRASHES = Number(process.env.CRASHES ?? 6)
const SEED = Number(process.env.CRASH_SEED ?? 1)
const CLIENTS = 6
const LONGEST_LIFE_MS = 700
const SIZES = [500, 5_000, 60_000, 300_000, 1_500_000]

/** Repeatable pseudo-random numbers below 1 (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

type Acknowledged = { fileId: string; filePath: string; sha256: string; size: number; version: number }

test(
  `after each of ${CRASHES} crashes every acknowledged upload is there, byte for byte (seed ${SEED})`,
  async () => {
    const random = randomFrom(SEED)
    // The latest acknowledged version of each path; each path is written by one client at a time.
    const acknowledged = new Map<string, Acknowledged>()
    // Paths with an upload whose answer was lost in a crash: it may or may not have happened.
    const uncertain = new Map<string, Set<string>>()
    let server = await startServer()
    const { dataDir } = server
    const refused: string[] = []
    let uploads = 0
    try {
      for (let crash = 0; crash < CRASHES; crash++) {
        let alive = true
        const clients = Array.from({ length: CLIENTS }, async (_, client) => {
          while (alive) {
            const at = uploads++
            const body = makeBody(random, at)
            const overwrites = random() < 0.25
            const fields: Record<string, string> = overwrites
              ? { fileName: `shared-${client}.bin`, useUniqueFileName: 'false', tags: `upload-${at}` }
              : { fileName: `file-${at}.png`, useUniqueFileName: 'false', folder: `/f${at % 7}` }
            const path = `${fields.folder ?? ''}/${fields.fileName}`
            const hash = sha256(body)
            try {
              const answer = await uploadFile(server, body, fields)
              if (answer.status === 200) remember(answer.json(), hash)
              else if (answer.status < 500) refused.push(answer.body.toString())
              else throw new Error('The server could not say what became of it.')
            } catch {
              // It may or may not have happened.
              doubt(path, hash)
              if (alive) await sleep(5)
            }
          }
        })
        await sleep(50 + random() * LONGEST_LIFE_MS)
        await server.stop('SIGKILL')
        alive = false
        await Promise.all(clients)
        expect(refused).toEqual([])
        server = await startServer({ dataDir, env: keysOf(server) })
        await verify(server)
      }
      expect(acknowledged.size).toBeGreaterThan(CRASHES)
      // A start sweeps what uploads that died have left, once it is old enough to be nobody else's.
      await server.stop('SIGKILL')
      await sleep(1100)
      server = await startServer({
        dataDir,
        env: { ...keysOf(server), TINTYPE_HOUSEKEEPING_STAGING_MAX_AGE_SEC: '1' },
      })
      await expect.poll(() => stagingFiles(dataDir), { timeout: 5000 }).toEqual([])
    } finally {
      await server.stop('SIGKILL')
      await rm(dirname(dataDir), { recursive: true, force: true })
    }

    function remember(
      answer: { fileId: string; filePath: string; size: number; versionInfo: { name: string } },
      hash: string,
    ) {
      const version = Number(answer.versionInfo.name.replace('Version ', ''))
      const known = acknowledged.get(answer.filePath)
      if (known && known.version > version) return
      // Whatever was sent there before is older than what has now been acknowledged.
      uncertain.delete(answer.filePath)
      acknowledged.set(answer.filePath, {
        fileId: answer.fileId,
        filePath: answer.filePath,
        sha256: hash,
        size: answer.size,
        version,
      })
    }

    function doubt(path: string, hash: string) {
      if (!uncertain.has(path)) uncertain.set(path, new Set())
      uncertain.get(path)!.add(hash)
    }

    async function verify(current: Server) {
      const listed = new Map<string, { fileId: string; size: number }>()
      for (let skip = 0; ; skip += 1000) {
        const page = (
          await send(current, `/v1/files?limit=1000&skip=${skip}`, {
            headers: { authorization: basic(current.privateKey) },
          })
        ).json()
        for (const file of page) listed.set(file.filePath, file)
        if (page.length < 1000) break
      }
      for (const file of acknowledged.values()) {
        expect(listed.get(file.filePath), `${file.filePath} is listed`).toMatchObject({ fileId: file.fileId })
      }
      // Whatever is listed is readable and is one of the bodies that were sent there.
      for (const path of listed.keys()) {
        const answer = await send(current, `/${current.id}${path}`)
        expect(answer.status, `${path} is delivered`).toBe(200)
        const allowed = new Set(uncertain.get(path))
        const known = acknowledged.get(path)
        if (known) allowed.add(known.sha256)
        expect(allowed.has(sha256(answer.body)), `${path} has the bytes that were sent`).toBe(true)
      }
    }
  },
  30_000 + CRASHES * 15_000,
)

function makeBody(random: () => number, at: number): Buffer {
  const size = SIZES[Math.floor(random() * SIZES.length)]!
  // A picture in front, so that the whole way of an image is walked; the number makes each body different.
  const body = Buffer.concat([png(8, 8, at), Buffer.alloc(size)])
  body.write(`upload ${at}`, body.length - 40)
  return body
}

function keysOf(server: Server) {
  return {
    TINTYPE_PRIVATE_KEY: server.privateKey,
    TINTYPE_PUBLIC_KEY: server.publicKey,
    TINTYPE_ID: server.id,
  }
}

/** What lies in staging folders, which a start has to sweep. */
async function stagingFiles(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir, { recursive: true, withFileTypes: true })
  return names
    .filter((entry) => entry.isFile() && /staging|\btmp\b/.test(entry.parentPath.slice(dataDir.length)))
    .map((entry) => join(entry.parentPath, entry.name))
}
