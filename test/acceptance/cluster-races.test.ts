import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cluster, startCluster, whyNoCluster } from '../support/cluster.ts'
import { noteRun } from '../support/run-log.ts'

/** The documented limit of versions of one file, and uploads of one path: more of them in `npm run test:cluster`. */
const VERSION_LIMIT = 100
const UPLOADS = Number(process.env.CLUSTER_UPLOADS ?? 200)

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

// biome-ignore lint/suspicious/noExplicitAny: answers of the API are judged by assertions, not by types
type Json = Record<string, any>
type Reply = { status: number; body: Json }

describe.skipIf(whyNoCluster !== '')(
  `three nodes behind a load balancer${whyNoCluster && ` (skipped: ${whyNoCluster})`}`,
  () => {
    let cluster: Cluster
    beforeAll(async () => {
      cluster = await startCluster()
    }, 120_000)
    afterAll(() => cluster?.dispose())

    const nodeFor = (index: number) => cluster.nodes[index % cluster.nodes.length]!

    async function post(
      url: string,
      file: Buffer,
      fields: Record<string, string>,
      isSigned = false,
    ): Promise<Reply> {
      const form = new FormData()
      form.append('file', new Blob([new Uint8Array(file)]), 'any.bin')
      for (const [name, value] of Object.entries(fields)) form.append(name, value)
      const headers: Record<string, string> = isSigned ? {} : { authorization: cluster.authorization }
      const response = await fetch(`${url}/api/v1/files/upload`, { method: 'POST', body: form, headers })
      return { status: response.status, body: (await response.json()) as Json }
    }

    /** As clients are told to do: what answers 503 is sent again. */
    async function postUntilAnswered(url: string, file: Buffer, fields: Record<string, string>) {
      for (let tries = 1; ; tries += 1) {
        const reply = await post(url, file, fields)
        if (reply.status !== 503 || tries === 60) return { ...reply, tries }
        await sleep(200 + Math.random() * 800)
      }
    }

    async function api(method: string, path: string, body?: Json, at = cluster.url): Promise<Reply> {
      const response = await fetch(`${at}${path}`, {
        method,
        headers: { authorization: cluster.authorization, 'content-type': 'application/json' },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
      const text = await response.text()
      return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
    }

    it(`number ${UPLOADS} uploads of one path at once without a gap, up to the limit`, async () => {
      const fields = { fileName: 'raced.bin', folder: '/races', useUniqueFileName: 'false' }
      const bodies = Array.from({ length: UPLOADS }, () => randomBytes(300))
      const replies = await Promise.all(
        bodies.map((body, index) => postUntilAnswered(nodeFor(index).url, body, fields)),
      )
      const stored = replies.flatMap((reply, index) => (reply.status === 200 ? [{ ...reply, index }] : []))
      const refused = replies.filter(({ status }) => status !== 200)
      expect(new Set(refused.map(({ status, body }) => `${status} ${body.reason}`))).toEqual(
        new Set(['400 VERSION_LIMIT_EXCEEDED']),
      )
      const numbers = stored.map(({ body }) => Number(/\d+$/.exec(body.versionInfo.name)![0]))
      expect(numbers.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: VERSION_LIMIT }, (_, at) => at + 1),
      )
      expect(new Set(stored.map(({ body }) => body.fileId)).size).toBe(1)

      const { body: versions } = await api('GET', `/v1/files/${stored[0]!.body.fileId}/versions`)
      expect(versions).toHaveLength(VERSION_LIMIT)
      // Each answer told of the version that has the bytes that were sent with it.
      for (const { body, index } of stored.filter((_, at) => at % 10 === 0)) {
        const { url } = (versions as unknown as Json[]).find(
          ({ versionInfo }) => versionInfo.id === body.versionInfo.id,
        )!
        const response = await fetch(url)
        expect(sha256(Buffer.from(await response.arrayBuffer()))).toBe(sha256(bodies[index]!))
      }
      const repeated = replies.filter(({ tries }) => tries > 1).length
      noteRun('Same path uploaded from three nodes at once', {
        uploads: UPLOADS,
        stored: stored.length,
        versions: `1..${Math.max(...numbers)}, no gap, no repeat`,
        VERSION_LIMIT_EXCEEDED: refused.length,
        'answered 503 at first and sent again': repeated,
      })
    }, 120_000)

    it('let exactly one upload with a token pass, whichever node it reaches', async () => {
      const rounds = 10
      const outcomes: string[] = []
      for (let round = 0; round < rounds; round += 1) {
        const token = randomUUID()
        const expire = String(Math.floor(Date.now() / 1000) + 600)
        const signature = createHmac('sha1', cluster.privateKey).update(`${token}${expire}`).digest('hex')
        const fields = { fileName: `t-${round}.txt`, publicKey: cluster.publicKey, token, expire, signature }
        const replies = await Promise.all(
          Array.from({ length: 30 }, (_, index) =>
            post(nodeFor(index).url, Buffer.from('once'), fields, true),
          ),
        )
        expect(replies.filter(({ status }) => status === 200)).toHaveLength(1)
        outcomes.push(...replies.map(({ status }) => String(status)))
      }
      noteRun('One token on three nodes', {
        tokens: rounds,
        'uploads with each': 30,
        stored: outcomes.filter((status) => status === '200').length,
        refused: outcomes.filter((status) => status !== '200').length,
      })
    }, 60_000)

    it('keep every upload in a folder that is there while folders move', async () => {
      const acknowledged = new Map<string, string>()
      const statuses = new Map<number, number>()
      let moving = true
      const uploaders = Array.from({ length: 6 }, async (_, client) => {
        for (let at = 0; moving; at += 1) {
          const bytes = randomBytes(200)
          const { status, body } = await post(nodeFor(client + at).url, bytes, {
            fileName: `c${client}-${at}.bin`,
            folder: '/home/from/deep',
          })
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
          if (status === 200) acknowledged.set(body.fileId, sha256(bytes))
        }
      })
      const moves = 6
      for (let move = 0; move < moves; move += 1) {
        await sleep(300)
        const [source, target] = move % 2 === 0 ? ['/home/from', '/away'] : ['/away/from', '/home']
        const { status, body } = await api('POST', '/v1/bulkJobs/moveFolder', {
          sourceFolderPath: source,
          destinationPath: target,
        })
        if (status === 423) continue
        expect(status, JSON.stringify(body)).toBe(200)
        await expect
          .poll(() => api('GET', `/v1/bulkJobs/${body.jobId}`).then((reply) => reply.body.status), {
            timeout: 30_000,
          })
          .toBe('Completed')
      }
      moving = false
      await Promise.all(uploaders)
      expect(
        [...statuses.keys()].every((status) => [200, 423].includes(status)),
        JSON.stringify([...statuses]),
      ).toBe(true)
      let inPlaces = 0
      for (const [fileId, hash] of acknowledged) {
        const { status, body } = await api('GET', `/v1/files/${fileId}/details`)
        expect(status).toBe(200)
        const response = await fetch(body.url)
        expect(sha256(Buffer.from(await response.arrayBuffer()))).toBe(hash)
        inPlaces += 1
      }
      const places = await Promise.all(
        ['/home/from/deep', '/away/from/deep'].map((path) =>
          api('GET', `/v1/files?path=${encodeURIComponent(path)}&limit=1000`).then(
            ({ body }) => body.length ?? 0,
          ),
        ),
      )
      expect(places[0] + places[1]).toBe(Math.min(acknowledged.size, 2000))
      noteRun('Folder moves during uploads', {
        moves,
        'uploads acknowledged': acknowledged.size,
        'found in their place, byte for byte': inPlaces,
        'answered 423 (folder is held)': statuses.get(423) ?? 0,
      })
    }, 90_000)

    it('never answer a short body while files are deleted', async () => {
      const counts = { complete: 0, 'not found': 0, reset: 0, short: 0 }
      const rounds = 2
      for (let round = 0; round < rounds; round += 1) {
        const bytes = randomBytes(2_500_000)
        const hash = sha256(bytes)
        const { body } = await post(cluster.url, bytes, {
          fileName: `gone-${round}.bin`,
          useUniqueFileName: 'false',
        })
        const downloads = Array.from({ length: 40 }, async (_, index) => {
          await sleep(index * 5)
          try {
            const response = await fetch(`${nodeFor(index).url}/cluster${body.filePath}`)
            const received = Buffer.from(await response.arrayBuffer())
            if (response.status === 404) counts['not found'] += 1
            else if (response.status === 200 && sha256(received) === hash) counts.complete += 1
            else counts.short += 1
          } catch {
            counts.reset += 1
          }
        })
        await sleep(100)
        await api('DELETE', `/v1/files/${body.fileId}`)
        await Promise.all(downloads)
        const after = await fetch(`${nodeFor(round).url}/cluster${body.filePath}`)
        await after.arrayBuffer()
        expect(after.status).toBe(404)
      }
      expect(counts.short).toBe(0)
      expect(counts.complete).toBeGreaterThan(0)
      noteRun('Deletion during delivery', { downloads: rounds * 40, ...counts })
    }, 60_000)
  },
)
