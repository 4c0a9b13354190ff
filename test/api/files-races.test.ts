import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

const MAX_VERSIONS = 6

/** Two servers on PostgreSQL, or one on SQLite twice: requests take turns between them. */
describe.each([
  { engine: 'one server on SQLite', skip: false },
  { engine: `two servers on PostgreSQL${whySkipped}`, skip: !postgresUrl },
])('files that many change at a time: $engine', ({ engine, skip }) => {
  describe.skipIf(skip)('races', () => {
    const nodes: TestTintype[] = []
    let removeSchema = async () => {}
    let turn = 0

    beforeAll(async () => {
      const env: Record<string, string> = {
        TINTYPE_UPLOAD_MAX_VERSIONS: String(MAX_VERSIONS),
        TINTYPE_STORE_CONNECT_TIMEOUT_MS: '20000',
      }
      const count = engine.startsWith('two') ? 2 : 1
      if (count === 2) {
        const schema = await createSchema()
        removeSchema = schema.remove
        env.TINTYPE_DATABASE_URL = schema.databaseUrl
      }
      nodes.push(await startTintype({ env }))
      // The second server has the first one's files.
      if (count === 2) nodes.push(await startTintype({ env, dataDir: nodes[0]!.dataDir }))
    })
    afterAll(async () => {
      for (const node of nodes.toReversed()) await node.stop()
      await removeSchema()
    })

    const node = () => nodes[turn++ % nodes.length]!
    const api = (method: string, path: string, body?: unknown) => call(node(), method, path, body)
    const bytesOf = (seed: number) => png(10 + (seed % 200), 10, seed)
    const uploadTo = (folder: string, name: string, seed: number) =>
      upload(node(), bytesOf(seed), { folder, fileName: name, useUniqueFileName: 'false' })
    const versionsOf = async (fileId: string) => (await api('GET', `/v1/files/${fileId}/versions`)).body
    const found = async (folder: string) => (await api('GET', `/v1/files?path=${folder}`)).body
    const countOf = (answers: { status: number }[], status: number) =>
      answers.filter((answer) => answer.status === status).length
    /** Nothing may ever be the server's fault. */
    const expectStatuses = (answers: { status: number }[], allowed: number[]) => {
      for (const { status } of answers) expect(allowed).toContain(status)
    }

    it('never gives a file more versions than it may have, however they come', async () => {
      const target = await put(node(), '/limit/a.png', bytesOf(1))
      const sources = Array.from({ length: 8 }, (_, i) => `/limit-${i}`)
      for (const [i, folder] of sources.entries()) await put(node(), `${folder}/a.png`, bytesOf(i + 10))
      const answers = await Promise.all(
        sources.flatMap((folder, i) => [
          api('POST', `/v1/files/${i % 2 ? 'copy' : 'move'}`, {
            sourceFilePath: `${folder}/a.png`,
            destinationPath: '/limit',
          }),
          uploadTo('/limit', 'a.png', 30 + i),
        ]),
      )
      expectStatuses(answers, [200, 204, 400])
      const versions = await versionsOf(target.fileId)
      expect(versions).toHaveLength(MAX_VERSIONS)
      expect(countOf(answers, 200) + countOf(answers, 204)).toBe(MAX_VERSIONS - 1)
      for (const { status, body } of answers) {
        if (status === 400) expect(body).toMatchObject({ reason: 'VERSION_LIMIT_EXCEEDED' })
      }
      const numbers = versions.map((v: { versionInfo: { name: string } }) =>
        Number(v.versionInfo.name.slice(8)),
      )
      expect(numbers.toSorted((a: number, b: number) => a - b)).toEqual([1, 2, 3, 4, 5, 6])
      // What was refused is where it was.
      for (const [i, folder] of sources.entries()) {
        const moved = i % 2 === 0 && answers[2 * i]!.status === 204
        expect(await found(folder)).toHaveLength(moved ? 0 : 1)
      }
    })

    it('lets restores and uploads of one file take turns', async () => {
      const first = await put(node(), '/restore/a.png', bytesOf(1))
      const { fileId } = first
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          i % 4 === 0
            ? uploadTo('/restore', 'a.png', 100 + i)
            : api('PUT', `/v1/files/${fileId}/versions/${first.versionInfo.id}/restore`),
        ),
      )
      expectStatuses(answers, [200])
      const versions = await versionsOf(fileId)
      expect(versions).toHaveLength(6)
      expect(versions.filter((v: { type: string }) => v.type === 'file')).toHaveLength(1)
      const served = Buffer.from(await (await fetch(versions[0].url)).arrayBuffer())
      expect(served.length).toBe(versions[0].size)
    })

    it('makes of deletions and uploads of one path a history that can have been', async () => {
      let last = (await put(node(), '/turns/a.png', bytesOf(1))) as { fileId: string }
      for (let round = 0; round < 5; round += 1) {
        const { fileId } = last
        const [removal, ...uploads] = await Promise.all([
          api('DELETE', `/v1/files/${fileId}`),
          ...[1, 2].map((i) => uploadTo('/turns', 'a.png', round * 10 + i)),
        ])
        expect(removal!.status).toBe(204)
        expectStatuses(uploads, [200])
        // Uploads before the deletion went with the file, those after it made a new one.
        const later = uploads.filter(({ body }) => body.fileId !== fileId)
        const files = await found('/turns')
        expect(files).toHaveLength(later.length === 0 ? 0 : 1)
        if (later.length > 0) {
          expect(files[0].fileId).toBe(later[0]!.body.fileId)
          expect(await versionsOf(files[0].fileId)).toHaveLength(later.length)
        }
        last = files[0] ?? (await put(node(), '/turns/a.png', bytesOf(99)))
      }
    })

    it('loses no file when several are moved across each other', async () => {
      const names = ['a.png', 'b.png', 'c.png', 'd.png']
      for (const name of names) {
        await put(node(), `/x/${name}`, bytesOf(1))
        await put(node(), `/y/${name}`, bytesOf(2))
      }
      const moves = names.flatMap((name) => [
        { sourceFilePath: `/x/${name}`, destinationPath: '/y' },
        { sourceFilePath: `/y/${name}`, destinationPath: '/x' },
      ])
      const answers = await Promise.all(
        [...moves, ...moves].map((body) => api('POST', '/v1/files/move', body)),
      )
      expectStatuses(answers, [204, 404])
      const left = [...(await found('/x')), ...(await found('/y'))]
      expect(left.map((file: { name: string }) => file.name).sort()).toEqual(names)
      for (const { fileId } of left) expect(await versionsOf(fileId)).toHaveLength(2)
    })

    it('renames one file once', async () => {
      await put(node(), '/names/a.png', bytesOf(1))
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          api('PUT', '/v1/files/rename', { filePath: '/names/a.png', newFileName: `${i}.png` }),
        ),
      )
      expectStatuses(answers, [200, 404])
      expect(countOf(answers, 200)).toBe(1)
      expect(await found('/names')).toHaveLength(1)
    })

    it('keeps bulk requests over the same files apart, in whatever order they name them', async () => {
      const files = await Promise.all(
        Array.from({ length: 12 }, (_, i) => put(node(), `/bulk/${i}.png`, bytesOf(i))),
      )
      const fileIds = files.map((file) => file.fileId)
      const tags = Array.from({ length: 12 }, (_, i) => `tag-${i}`)
      const answers = await Promise.all([
        ...tags.map((tag, i) => {
          const order = [...fileIds.slice(i), ...fileIds.slice(0, i)]
          return api('POST', '/v1/files/addTags', { fileIds: order, tags: [tag] })
        }),
        ...fileIds.map((fileId, i) =>
          api('PATCH', `/v1/files/${fileId}/details`, { description: `text ${i}` }),
        ),
      ])
      expectStatuses(answers, [200])
      for (const [i, fileId] of fileIds.entries()) {
        const { body } = await api('GET', `/v1/files/${fileId}/details`)
        expect(body.tags.toSorted()).toEqual(tags.toSorted())
        expect(body.description).toBe(`text ${i}`)
      }
      const deletions = await Promise.all(
        [fileIds, fileIds.toReversed(), fileIds.slice(3)].map((each) =>
          api('POST', '/v1/files/batch/deleteByFileIds', { fileIds: each }),
        ),
      )
      expectStatuses(deletions, [200, 404])
      expect(countOf(deletions, 200)).toBe(1)
    })

    it('sends whole files or none while they are deleted, purged and withdrawn', async () => {
      const size = new Map<string, number>()
      const file = await put(node(), '/during/a.png', png(300, 300, 12))
      const target = `${file.url}?tr=w-150`
      size.set('original', (await (await fetch(file.url)).arrayBuffer()).byteLength)
      size.set('small', (await (await fetch(target)).arrayBuffer()).byteLength)
      let isDone = false
      const seen: number[] = []
      const read = async (url: string, expected: number) => {
        while (!isDone) {
          const response = await fetch(url)
          const bytes = (await response.arrayBuffer()).byteLength
          seen.push(response.status)
          if (response.status === 200) expect(bytes).toBe(expected)
          else expect(response.status).toBe(404)
        }
      }
      const readers = [
        ...Array.from({ length: 4 }, () => read(target, size.get('small')!)),
        read(file.url, size.get('original')!),
      ]
      for (let i = 0; i < 6; i += 1) {
        const purger = node()
        const url = purger.url + new URL(file.url).pathname
        const purge = await call(purger, 'POST', '/v1/files/purge', { url })
        expect(purge.status).toBe(201)
        for (const isPublished of [false, true]) {
          await api('PATCH', `/v1/files/${file.fileId}/details`, { publish: { isPublished } })
        }
      }
      await api('DELETE', `/v1/files/${file.fileId}`)
      isDone = true
      await Promise.all(readers)
      expect(seen).toContain(200)
      expect((await fetch(target)).status).toBe(404)
    })
  })
})
