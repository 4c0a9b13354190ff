import { setTimeout as sleep } from 'node:timers/promises'
import type ImageKit7 from '@imagekit/nodejs'
import type ImageKit6 from 'imagekit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { basic, send, uploadFile } from '../support/http-client.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

/** Files of the large folder. 10,000 are what is promised; the short form runs with all tests. */
const FILES = Number(process.env.FOLDER_FILES ?? 3000)
/** Files that are uploaded one by one; the large folder is copies of theirs. */
const FILES_OF_BLOCK = Math.min(100, FILES)
const BLOCKS = Math.ceil(FILES / FILES_OF_BLOCK)
const TIMEOUT = { timeout: 120_000 + FILES * 60 }

const HELP = expect.any(String)
const JOB_ID = expect.stringMatching(/^[0-9a-f]{24}$/)

describe.each([
  { engine: 'SQLite', skip: false },
  { engine: `PostgreSQL${whySkipped}`, skip: !postgresUrl },
])('folders on $engine', ({ engine, skip }) => {
  describe.skipIf(skip)('with the official SDKs', () => {
    let server: Server
    let env: Record<string, string>
    let ik7: ImageKit7
    let ik6: ImageKit6
    let cleanUp = async () => {}

    beforeAll(async () => {
      // A short lease, so that what a killed process leaves behind goes on soon.
      env = { TINTYPE_WORKER_LEASE_MS: '1000' }
      if (engine.startsWith('PostgreSQL')) {
        const { databaseUrl, remove } = await createSchema()
        env.TINTYPE_DATABASE_URL = databaseUrl
        cleanUp = remove
      }
      server = await startServer({ env })
      use(server)
    })
    afterAll(async () => {
      await server?.dispose()
      await cleanUp()
    })

    function use(running: Server) {
      server = running
      ik7 = sdk7(running)
      ik6 = sdk6(running)
    }

    async function put(path: string, seed: number): Promise<number> {
      const end = path.lastIndexOf('/')
      const fields = {
        fileName: path.slice(end + 1),
        folder: path.slice(0, end) || '/',
        useUniqueFileName: 'false',
      }
      return (await uploadFile(server, png(4, 4, seed), fields)).status
    }
    const list = async (path: string) =>
      (await ik7.assets.list({ path, type: 'all', sort: 'ASC_NAME' })).map((asset) => asset.name)
    /** Paths of all files below a folder. */
    async function filesBelow(path: string): Promise<string[]> {
      const found: string[] = []
      for (let skipped = 0; ; skipped += 1000) {
        const answer = await send(server, `/v1/files?limit=1000&skip=${skipped}&sort=ASC_NAME`, {
          headers: { authorization: basic(server.privateKey) },
        })
        const page: { filePath: string }[] = answer.json()
        found.push(...page.map((file) => file.filePath))
        if (page.length < 1000) return found.filter((each) => each.startsWith(`${path}/`)).toSorted()
      }
    }
    type Status = { status: string; progress: { done: number; total: number } }
    async function finish({ jobId }: { jobId: string }) {
      const seen: Status[] = []
      for (;;) {
        const job = (await ik7.folders.job.get(jobId)) as unknown as Status
        seen.push(job)
        if (job.status !== 'Pending') return seen
        await sleep(10)
      }
    }

    test('create', async () => {
      expect(
        await ik7.folders.create({ folderName: 'summer', parentFolderPath: '/product/images/' }),
      ).toEqual({})
      await ik6.createFolder({ folderName: 'winter', parentFolderPath: '/product/images' })
      expect(await list('/product/images')).toEqual(['summer', 'winter'])
      const refused = { folderName: '..', parentFolderPath: '/' }
      const answer = {
        message: "'.' & '..' can not be used as folder-name",
        help: HELP,
        reason: 'INVALID_FOLDER_PATH',
      }
      await expect(ik7.folders.create(refused)).rejects.toMatchObject({ status: 400, error: answer })
      await expect(ik6.createFolder(refused)).rejects.toMatchObject(answer)
    })

    test('delete', async () => {
      await put('/gone/a/x.png', 1)
      await put('/gone/b/x.png', 1)
      await ik7.folders.delete({ folderPath: '/gone/a/' })
      expect(await list('/gone')).toEqual(['b'])
      await ik6.deleteFolder('/gone/b')
      expect(await list('/gone')).toEqual([])
      const answer = {
        message: 'No folder found with folderPath `/gone/a/`.',
        help: HELP,
        reason: 'FOLDER_NOT_FOUND',
      }
      await expect(ik7.folders.delete({ folderPath: '/gone/a/' })).rejects.toMatchObject({
        status: 404,
        error: answer,
      })
      await expect(ik6.deleteFolder('/gone/a/')).rejects.toMatchObject(answer)
    })

    test('copy', async () => {
      for (const seed of [1, 2]) await put('/copy/from/x.png', seed)
      const begun = await ik7.folders.copy({
        sourceFolderPath: '/copy/from',
        destinationPath: '/copy/seven',
        includeVersions: true,
      })
      expect(begun).toMatchObject({ jobId: JOB_ID })
      expect((await finish(begun)).at(-1)).toMatchObject({
        jobId: begun.jobId,
        type: 'COPY_FOLDER',
        status: 'Completed',
        progress: { done: 1, total: 1 },
      })
      const older = await ik6.copyFolder({
        sourceFolderPath: '/copy/from',
        destinationPath: '/copy/six',
        includeFileVersions: true,
      })
      await finish(older)
      expect(await ik6.getBulkJobStatus(older.jobId)).toMatchObject({
        type: 'COPY_FOLDER',
        status: 'Completed',
      })
      for (const path of ['/copy/seven/from', '/copy/six/from', '/copy/from']) {
        const [file] = await ik7.assets.list({ path })
        expect(file, path).toMatchObject({ filePath: `${path}/x.png`, versionInfo: { name: 'Version 2' } })
      }
      const missing = { sourceFolderPath: '/copy/none', destinationPath: '/copy/to' }
      const answer = {
        message: 'No files & folder found at sourceFolderPath `/copy/none`.',
        help: HELP,
        reason: 'NO_FILES_FOLDER',
      }
      await expect(ik7.folders.copy(missing)).rejects.toMatchObject({ status: 404, error: answer })
      await expect(ik6.copyFolder(missing)).rejects.toMatchObject(answer)
      await expect(
        ik7.folders.copy({ sourceFolderPath: '/', destinationPath: '/copy' }),
      ).rejects.toMatchObject({ status: 400, error: { reason: 'SOURCE_IS_ROOT' } })
    })

    test('move', async () => {
      await put('/move/one/x.png', 1)
      await put('/move/two/x.png', 1)
      await finish(await ik7.folders.move({ sourceFolderPath: '/move/one', destinationPath: '/move/into/' }))
      const older = await ik6.moveFolder({ sourceFolderPath: '/move/two', destinationPath: '/move/into' })
      await finish(older)
      expect(await ik6.getBulkJobStatus(older.jobId)).toMatchObject({
        type: 'MOVE_FOLDER',
        status: 'Completed',
      })
      expect(await list('/move')).toEqual(['into'])
      expect(await list('/move/into')).toEqual(['one', 'two'])
      const inward = { sourceFolderPath: '/move', destinationPath: '/move/into' }
      const answer = {
        message: 'This operation is not allowed because parent folder cannot be moved into child folder.',
        help: HELP,
        reason: 'INVALID_DESTINATION_PATH',
      }
      await expect(ik7.folders.move(inward)).rejects.toMatchObject({ status: 400, error: answer })
      await expect(ik6.moveFolder(inward)).rejects.toMatchObject(answer)
    })

    test('rename', async () => {
      await put('/rename/old/x.png', 1)
      const begun = await ik7.folders.rename({
        folderPath: '/rename/old',
        newFolderName: 'new',
        purgeCache: true,
      })
      expect((await finish(begun)).at(-1)).toMatchObject({
        type: 'RENAME_FOLDER',
        status: 'Completed',
        purgeRequestId: JOB_ID,
      })
      expect(await list('/rename/new')).toEqual(['x.png'])
      await ik7.folders.create({ folderName: 'taken', parentFolderPath: '/rename' })
      await expect(
        ik7.folders.rename({ folderPath: '/rename/new', newFolderName: 'taken' }),
      ).rejects.toMatchObject({
        status: 409,
        error: { message: 'Folder with name taken already exists at the same location.', help: HELP },
      })
      await expect(
        ik7.folders.rename({ folderPath: '/rename/none', newFolderName: 'x' }),
      ).rejects.toMatchObject({ status: 404, error: { message: 'Source folder not found.', help: HELP } })
    })

    test('a job that is not there', async () => {
      const id = '5d5b1a9b4c8c4c0001f3e4a2'
      const answer = { message: 'The requested job does not exist.', help: HELP }
      await expect(ik7.folders.job.get(id)).rejects.toMatchObject({ status: 404, error: answer })
      await expect(ik6.getBulkJobStatus(id)).rejects.toMatchObject(answer)
    })

    describe(`a folder of ${FILES} files`, () => {
      const names = (root: string) =>
        Array.from({ length: BLOCKS }, (_, block) =>
          Array.from({ length: FILES_OF_BLOCK }, (_, at) => `${root}/b${block}/block/${at}.png`),
        )
          .flat()
          .toSorted()

      beforeAll(async () => {
        for (let at = 0; at < FILES_OF_BLOCK; at += 10) {
          await Promise.all(Array.from({ length: 10 }, (_, i) => put(`/block/${at + i}.png`, at + i)))
        }
        const begun = await Promise.all(
          Array.from({ length: BLOCKS }, async (_, block) => {
            for (;;) {
              try {
                return await ik7.folders.copy({
                  sourceFolderPath: '/block',
                  destinationPath: `/large/b${block}`,
                })
              } catch (error) {
                // Another copy of the block is still under way.
                expect(error).toMatchObject({ status: 423 })
                await sleep(20)
              }
            }
          }),
        )
        await Promise.all(begun.map(finish))
      }, TIMEOUT.timeout)

      /** Uploads into and beside a folder until told to stop; gives what was accepted. */
      function uploadOn(label: string, paths: string[]) {
        const accepted: string[] = []
        const refused: number[] = []
        let isOver = false
        const ended = Promise.all(
          paths.map(async (path, lane) => {
            for (let n = 0; !isOver; n += 1) {
              const name = `up-${label}-${lane}-${n}.png`
              const status = await put(`${path}/${name}`, n)
              if (status === 200) accepted.push(name)
              else refused.push(status)
            }
          }),
        )
        return {
          async stop() {
            isOver = true
            await ended
            // In the way of a bulk job: said clearly, nothing else went wrong.
            expect(refused.filter((status) => status !== 423)).toEqual([])
            return accepted.toSorted()
          },
        }
      }
      const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1)
      const isUpload = (path: string) => nameOf(path).startsWith('up-')

      test('is copied while uploads go on', TIMEOUT, async () => {
        expect(await filesBelow('/large')).toEqual(names('/large'))
        const uploads = uploadOn('copy', ['/copies/large/b0/block', '/copies', '/large/b0', '/beside'])
        const seen = await finish(
          await ik7.folders.copy({ sourceFolderPath: '/large', destinationPath: '/copies' }),
        )
        await sleep(50)
        const accepted = await uploads.stop()
        expect(seen.at(-1)).toMatchObject({ status: 'Completed', progress: { done: FILES, total: FILES } })
        const done = seen.map(({ progress }) => progress.done)
        expect(done).toEqual(done.toSorted((a, b) => a - b))
        expect(
          done.some((count) => count > 0 && count < FILES),
          String(done),
        ).toBe(true)
        const copied = await filesBelow('/copies')
        expect(copied.filter((path) => path.startsWith('/copies/large/') && !isUpload(path))).toEqual(
          names('/copies/large'),
        )
        expect((await filesBelow('/large')).filter((path) => !isUpload(path))).toEqual(names('/large'))
        const all = [...copied, ...(await filesBelow('/large')), ...(await filesBelow('/beside'))]
        // An upload to the source may have been copied with it: never lost, and once at each place.
        expect([...new Set(all.filter(isUpload).map(nameOf))].toSorted()).toEqual(accepted)
        expect(new Set(all).size).toBe(all.length)
        await ik7.folders.delete({ folderPath: '/copies' })
      })

      test(
        'is moved while uploads go on, into a folder that has some of its files already',
        TIMEOUT,
        async () => {
          await finish(
            await ik7.folders.copy({ sourceFolderPath: '/large/b0', destinationPath: '/there/large' }),
          )
          const uploads = uploadOn('move', ['/large/b1/block', '/there/large/b0/block', '/there', '/beside2'])
          const seen = await finish(
            await ik7.folders.move({ sourceFolderPath: '/large', destinationPath: '/there' }),
          )
          await sleep(50)
          const accepted = await uploads.stop()
          expect(seen.at(-1)).toMatchObject({ status: 'Completed' })
          const moved = await filesBelow('/there')
          expect(moved.filter((path) => path.startsWith('/there/large/') && !isUpload(path))).toEqual(
            expect.arrayContaining(names('/there/large')),
          )
          // What was there already has the moved file as its newest version.
          const [merged] = await ik7.assets.list({ path: '/there/large/b0/block', name: '1.png' } as never)
          expect(merged).toMatchObject({ versionInfo: { name: 'Version 2' } })
          const rest = [...(await filesBelow('/large')), ...(await filesBelow('/beside2'))]
          // The old path can be uploaded to again when the move is over.
          expect(rest.filter((path) => !isUpload(path))).toEqual([])
          const uploaded = [...moved, ...rest].filter(isUpload).map(nameOf)
          expect(uploaded.filter((name) => accepted.includes(name)).toSorted()).toEqual(accepted)
          await ik7.folders.delete({ folderPath: '/there' })
        },
      )

      test('is copied to the end although the server is killed again and again', TIMEOUT, async () => {
        for (let block = 0; block < BLOCKS; block += 1) {
          await finish(
            await ik7.folders.copy({ sourceFolderPath: '/block', destinationPath: `/again/b${block}` }),
          )
        }
        const { jobId } = await ik7.folders.copy({
          sourceFolderPath: '/again',
          destinationPath: '/survivors',
        })
        for (let kill = 0; kill < 3; kill += 1) {
          await sleep(30 + 60 * kill)
          await server.stop('SIGKILL')
          use(await startServer({ dataDir: server.dataDir, env: { ...env, ...keysOf(server) } }))
          const job = (await ik7.folders.job.get(jobId)) as unknown as Status
          expect(['Pending', 'Completed']).toContain(job.status)
          if (job.status === 'Pending' && (await put('/survivors/again/b0/up-new.png', 1)) !== 423) {
            // It has come to its end between the two questions.
            expect(await ik7.folders.job.get(jobId)).toMatchObject({ status: 'Completed' })
          }
        }
        expect((await finish({ jobId })).at(-1)).toMatchObject({
          status: 'Completed',
          progress: { done: FILES, total: FILES },
        })
        const survived = (await filesBelow('/survivors')).filter((path) => !isUpload(path))
        expect(survived).toEqual(names('/survivors/again'))
        const versions = await ik7.assets.list({ path: '/survivors/again/b0/block', type: 'file-version' })
        expect(versions).toEqual([])
        // Nothing is held any more.
        expect(await put('/survivors/again/b0/new.png', 1)).toBe(200)
      })

      test('is deleted', TIMEOUT, async () => {
        expect((await filesBelow('/again')).length).toBe(BLOCKS * FILES_OF_BLOCK)
        await ik7.folders.delete({ folderPath: '/again' })
        expect(await filesBelow('/again')).toEqual([])
        expect(await list('/')).not.toContain('again')
      })
    })
  })
})

function keysOf(server: Server) {
  return {
    TINTYPE_PRIVATE_KEY: server.privateKey,
    TINTYPE_PUBLIC_KEY: server.publicKey,
    TINTYPE_ID: server.id,
  }
}
