import { createHmac } from 'node:crypto'
import ImageKit7 from '@imagekit/nodejs'
import type ImageKit6 from 'imagekit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

const HELP = expect.any(String)
const UNKNOWN = '0123456789abcdef01234567'

describe.each([
  { engine: 'SQLite', skip: false },
  { engine: `PostgreSQL${whySkipped}`, skip: !postgresUrl },
])('files on $engine', ({ engine, skip }) => {
  describe.skipIf(skip)('with the official SDKs', () => {
    let server: Server
    let ik7: ImageKit7
    let ik6: ImageKit6
    let cleanUp = async () => {}

    beforeAll(async () => {
      const env: Record<string, string> = { TINTYPE_UPLOAD_MAX_VERSIONS: '4' }
      if (engine.startsWith('PostgreSQL')) {
        const { databaseUrl, remove } = await createSchema()
        env.TINTYPE_DATABASE_URL = databaseUrl
        cleanUp = remove
      }
      server = await startServer({ env })
      ik7 = sdk7(server)
      ik6 = sdk6(server)
      for (const [name, schema] of [
        ['brand', { type: 'Text' }],
        ['price', { type: 'Number' }],
      ] as const) {
        await ik7.customMetadataFields.create({ name, label: name, schema })
      }
    })
    afterAll(async () => {
      await server?.dispose()
      await cleanUp()
    })

    let seed = 0
    async function put(path: string, options: { tags?: string[]; isPrivateFile?: boolean } = {}) {
      seed += 1
      const end = path.lastIndexOf('/')
      const bytes = png(10 + seed, 10, seed)
      const file = await ik7.files.upload({
        file: new File([new Uint8Array(bytes)], 'x'),
        fileName: path.slice(end + 1),
        folder: path.slice(0, end) || '/',
        useUniqueFileName: false,
        ...options,
      })
      return { ...file, fileId: file.fileId!, url: file.url!, versionId: file.versionInfo!.id! }
    }
    const statusOf = async (url: string) => (await fetch(url)).status
    /** What the SDK of today throws. */
    const refused = (status: number, body: Record<string, unknown>) =>
      expect.objectContaining({ status, error: expect.objectContaining({ help: HELP, ...body }) })

    // ---- @imagekit/nodejs ---------------------------------------------------------------------------------------

    describe('@imagekit/nodejs', () => {
      test('files.update: details', async () => {
        const file = await put('/v7/update.png', { tags: ['a'] })
        const updated = await ik7.files.update(file.fileId, {
          tags: ['b', 'c'],
          customCoordinates: '1,2,3,4',
          customMetadata: { brand: 'Nike', price: 5 },
          description: 'Words',
          removeAITags: 'all',
        })
        expect(updated).toMatchObject({
          fileId: file.fileId,
          type: 'file',
          tags: ['b', 'c'],
          customCoordinates: '1,2,3,4',
          customMetadata: { brand: 'Nike', price: 5 },
          description: 'Words',
        })
        expect(await ik7.files.get(file.fileId)).toEqual(updated)
        const cleared = await ik7.files.update(file.fileId, {
          tags: null,
          customCoordinates: null,
          customMetadata: { brand: null },
        })
        expect(cleared).toMatchObject({ tags: null, customCoordinates: null, customMetadata: { price: 5 } })
        expect(cleared.customMetadata).not.toHaveProperty('brand')
      })

      test('files.update: publication', async () => {
        const file = await put('/v7/publish.png')
        await put('/v7/publish.png')
        const [, old] = await ik7.files.versions.list(file.fileId)
        const hidden = await ik7.files.update(file.fileId, {
          publish: { isPublished: false, includeFileVersions: true },
        })
        expect(hidden.isPublished).toBe(false)
        expect(await statusOf(file.url)).toBe(404)
        expect(await statusOf(old!.url!)).toBe(404)
        await ik7.files.update(file.fileId, { publish: { isPublished: true, includeFileVersions: true } })
        expect(await statusOf(file.url)).toBe(200)
        // The version has another URL since.
        expect(await statusOf(old!.url!)).toBe(404)
        const [, shown] = await ik7.files.versions.list(file.fileId)
        expect(await statusOf(shown!.url!)).toBe(200)
      })

      test('files.update: errors', async () => {
        const file = await put('/v7/update-errors.png')
        await expect(ik7.files.update(UNKNOWN, { tags: ['a'] })).rejects.toEqual(
          refused(404, { message: 'The requested file does not exist.' }),
        )
        await expect(ik7.files.update('nope', { tags: ['a'] })).rejects.toEqual(
          refused(400, { message: 'Your request contains invalid fileId parameter.' }),
        )
        await expect(ik7.files.update(file.fileId, { customMetadata: { none: 1 } })).rejects.toEqual(
          refused(400, { message: 'Invalid custom metadata.', errors: { none: expect.any(String) } }),
        )
        await expect(ik7.files.update(file.fileId, { tags: ['x'.repeat(501)] })).rejects.toBeInstanceOf(
          ImageKit7.BadRequestError,
        )
      })

      test('files.delete', async () => {
        const file = await put('/v7/delete.png')
        expect(await ik7.files.delete(file.fileId)).toBeNull()
        expect(await statusOf(file.url)).toBe(404)
        await expect(ik7.files.delete(file.fileId)).rejects.toEqual(
          refused(404, { message: 'The requested file does not exist.' }),
        )
        await expect(ik7.files.delete('nope')).rejects.toEqual(
          refused(400, { message: 'Your request contains invalid fileId parameter.' }),
        )
      })

      test('files.bulk.delete', async () => {
        const files = [await put('/v7/bulk-1.png'), await put('/v7/bulk-2.png')]
        const fileIDs = files.map((file) => file.fileId)
        await expect(ik7.files.bulk.delete({ fileIds: [...fileIDs, UNKNOWN] })).rejects.toEqual(
          refused(404, { message: 'The requested file(s) does not exist.', missingFileIds: [UNKNOWN] }),
        )
        for (const { url } of files) expect(await statusOf(url)).toBe(200)
        expect(await ik7.files.bulk.delete({ fileIds: fileIDs })).toEqual({
          successfullyDeletedFileIds: fileIDs,
        })
        for (const { url } of files) expect(await statusOf(url)).toBe(404)
        await expect(ik7.files.bulk.delete({ fileIds: [] })).rejects.toEqual(
          refused(400, { message: 'fileIds is empty.' }),
        )
        await expect(ik7.files.bulk.delete({ fileIds: Array(101).fill(UNKNOWN) })).rejects.toEqual(
          refused(400, { message: 'fileIds cannot have more than 100 items.' }),
        )
      })

      test('files.bulk.addTags, removeTags, removeAITags', async () => {
        const one = await put('/v7/tags-1.png', { tags: ['a'] })
        const two = await put('/v7/tags-2.png')
        const fileIds = [one.fileId, two.fileId]
        const updated = { successfullyUpdatedFileIds: fileIds }
        expect(await ik7.files.bulk.addTags({ fileIds, tags: ['b'] })).toEqual(updated)
        expect((await ik7.files.get(one.fileId)).tags).toEqual(['a', 'b'])
        expect(await ik7.files.bulk.removeTags({ fileIds, tags: ['a'] })).toEqual(updated)
        expect((await ik7.files.get(one.fileId)).tags).toEqual(['b'])
        expect((await ik7.files.get(two.fileId)).tags).toEqual(['b'])
        expect(await ik7.files.bulk.removeAITags({ fileIds, AITags: ['x'] })).toEqual(updated)
        const missing = refused(404, {
          message: 'The requested file(s) does not exist.',
          missingFileIds: [UNKNOWN],
        })
        const withMissing = [one.fileId, UNKNOWN]
        await expect(ik7.files.bulk.addTags({ fileIds: withMissing, tags: ['z'] })).rejects.toEqual(missing)
        await expect(ik7.files.bulk.removeTags({ fileIds: withMissing, tags: ['b'] })).rejects.toEqual(
          missing,
        )
        await expect(ik7.files.bulk.removeAITags({ fileIds: withMissing, AITags: ['b'] })).rejects.toEqual(
          missing,
        )
        expect((await ik7.files.get(one.fileId)).tags).toEqual(['b'])
        await expect(ik7.files.bulk.addTags({ fileIds, tags: [] })).rejects.toEqual(
          refused(400, { message: 'tags array cannot be empty.' }),
        )
        await expect(
          ik7.files.bulk.addTags({ fileIds: Array(51).fill(UNKNOWN), tags: ['a'] }),
        ).rejects.toEqual(refused(400, { message: 'A maximum of 50 files can be edited at a time.' }))
      })

      test('files.copy', async () => {
        const file = await put('/v7/copy/a.png', { tags: ['kept'] })
        await put('/v7/copy/a.png', { tags: ['kept'] })
        const answer = await ik7.files.copy({
          sourceFilePath: '/v7/copy/a.png',
          destinationPath: '/v7/copied',
          includeFileVersions: true,
        })
        expect(answer).toBeNull()
        const url = `${server.endpoint}/v7/copied/a.png`
        expect(await statusOf(url)).toBe(200)
        expect(await statusOf(file.url)).toBe(200)
        const [copied] = (await ik7.assets.list({ path: '/v7/copied' })) as { fileId: string }[]
        expect(await ik7.files.versions.list(copied!.fileId)).toHaveLength(2)
        // Three versions more are one too many.
        const again = { sourceFilePath: '/v7/copy/a.png', destinationPath: '/v7/copied' }
        await ik7.files.copy(again)
        await expect(ik7.files.copy({ ...again, includeFileVersions: true })).rejects.toEqual(
          refused(400, { reason: 'VERSION_LIMIT_EXCEEDED' }),
        )
        expect(await ik7.files.versions.list(copied!.fileId)).toHaveLength(3)
      })

      test('files.move', async () => {
        const file = await put('/v7/move/a.png')
        expect(
          await ik7.files.move({ sourceFilePath: '/v7/move/a.png', destinationPath: '/v7/moved/' }),
        ).toBeNull()
        expect(await statusOf(file.url)).toBe(404)
        expect(await ik7.files.get(file.fileId)).toMatchObject({ filePath: '/v7/moved/a.png' })
        expect(await statusOf(`${server.endpoint}/v7/moved/a.png`)).toBe(200)
      })

      test('files.copy and files.move: errors', async () => {
        await put('/v7/errors/a.png')
        const message = 'Your request is missing parameters / contains invalid parameters.'
        for (const run of [
          (body: ImageKit7.Files.FileMoveParams) => ik7.files.copy(body),
          (body: ImageKit7.Files.FileMoveParams) => ik7.files.move(body),
        ]) {
          await expect(run({ sourceFilePath: '/v7/none.png', destinationPath: '/x' })).rejects.toEqual(
            refused(404, {
              message: 'No file found with filePath `/v7/none.png`.',
              reason: 'SOURCE_FILE_MISSING',
            }),
          )
          await expect(run({ sourceFilePath: '', destinationPath: '/x' })).rejects.toEqual(
            refused(400, { message, reason: 'MISSING_PARAMETER' }),
          )
          await expect(
            run({ sourceFilePath: '/v7/errors/a.png', destinationPath: '/v7/errors' }),
          ).rejects.toEqual(refused(400, { message, reason: 'SAME_SOURCE_AND_DESTINATION' }))
          await expect(
            run({ sourceFilePath: '/v7/errors/a.png', destinationPath: '/v7/../x' }),
          ).rejects.toEqual(refused(400, { reason: 'INVALID_FOLDER_PATH' }))
        }
      })

      test('files.rename', async () => {
        const file = await put('/v7/rename/a.png')
        await put('/v7/rename/taken.png')
        expect(await ik7.files.rename({ filePath: '/v7/rename/a.png', newFileName: 'b.png' })).toEqual({})
        expect(await statusOf(file.url)).toBe(404)
        expect(await statusOf(`${server.endpoint}/v7/rename/b.png`)).toBe(200)
        const { purgeRequestId } = await ik7.files.rename({
          filePath: '/v7/rename/b.png',
          newFileName: 'c.png',
          purgeCache: true,
        })
        await expect
          .poll(async () => (await ik7.cache.invalidation.get(purgeRequestId!)).status, { timeout: 10_000 })
          .toBe('Completed')
        await expect(
          ik7.files.rename({ filePath: '/v7/rename/c.png', newFileName: 'taken.png' }),
        ).rejects.toEqual(
          refused(409, {
            message: 'File with name taken.png already exists at the same location.',
            reason: 'FILE_ALREADY_EXISTS',
          }),
        )
        await expect(
          ik7.files.rename({ filePath: '/v7/rename/c.png', newFileName: 'c.png' }),
        ).rejects.toEqual(
          refused(400, {
            message: 'newFileName cannot be the same as its existing name.',
            reason: 'SAME_OLD_AND_NEW_NAME',
          }),
        )
        await expect(
          ik7.files.rename({ filePath: '/v7/rename/none.png', newFileName: 'd.png' }),
        ).rejects.toEqual(
          refused(404, {
            message: 'No file found in media library at filePath /v7/rename/none.png',
            reason: 'FILE_MISSING',
          }),
        )
        await expect(ik7.files.rename({ filePath: '/v7/rename/c.png', newFileName: '' })).rejects.toEqual(
          refused(400, { reason: 'MISSING_PARAMETER' }),
        )
      })

      test('files.versions.list, get, restore, delete', async () => {
        const first = await put('/v7/versions/a.png')
        const second = await put('/v7/versions/a.png')
        const { fileId } = first
        const listed = await ik7.files.versions.list(fileId)
        expect(listed.map((version) => [version.type, version.versionInfo?.name])).toEqual([
          ['file', 'Version 2'],
          ['file-version', 'Version 1'],
        ])
        expect(await ik7.files.versions.get(first.versionId, { fileId })).toEqual(listed[1])
        const restored = await ik7.files.versions.restore(first.versionId, { fileId })
        expect(restored).toMatchObject({ type: 'file', versionInfo: { name: 'Version 1' } })
        expect(await ik7.files.get(fileId)).toEqual(restored)
        await expect(ik7.files.versions.delete(first.versionId, { fileId })).rejects.toEqual(
          refused(400, { message: 'You cannot delete current version of a file.' }),
        )
        expect(await ik7.files.versions.delete(second.versionId, { fileId })).toBeNull()
        expect(await ik7.files.versions.list(fileId)).toHaveLength(1)
      })

      test('files.versions: errors', async () => {
        const { fileId, versionId } = await put('/v7/versions/errors.png')
        await expect(ik7.files.versions.list(UNKNOWN)).rejects.toEqual(
          refused(404, { message: 'The requested file does not exist.' }),
        )
        await expect(ik7.files.versions.get(UNKNOWN, { fileId })).rejects.toEqual(
          refused(404, { message: 'The requested file version does not exist.' }),
        )
        await expect(ik7.files.versions.get('nope', { fileId })).rejects.toEqual(
          refused(400, { message: 'Your request contains invalid versionId parameter.' }),
        )
        await expect(ik7.files.versions.delete(UNKNOWN, { fileId })).rejects.toEqual(
          refused(404, { message: 'The requested asset does not exist.' }),
        )
        await expect(ik7.files.versions.restore(UNKNOWN, { fileId })).rejects.toEqual(
          refused(404, { message: 'The requested file version does not exist.' }),
        )
        await expect(ik7.files.versions.restore(versionId, { fileId: UNKNOWN })).rejects.toEqual(
          refused(404, { message: 'The requested file does not exist.' }),
        )
      })

      test('files.metadata.get and getFromURL', async () => {
        const file = await put('/v7/metadata/a.png')
        const original = await ik7.files.metadata.get(file.fileId)
        expect(original).toMatchObject({
          width: file.width,
          height: 10,
          format: 'png',
          pHash: expect.stringMatching(/^[0-9a-f]{16}$/),
        })
        expect(await ik7.files.metadata.getFromURL({ url: file.url })).toEqual(original)
        const url = ik7.helper.buildSrc({
          urlEndpoint: server.endpoint,
          src: '/v7/metadata/a.png',
          transformation: [{ width: 5 }],
        })
        expect(await ik7.files.metadata.getFromURL({ url })).toMatchObject({ width: 5 })
        const missing = 'The requested file does not exist or is inaccessible at this time.'
        await expect(ik7.files.metadata.get(UNKNOWN)).rejects.toEqual(refused(404, { message: missing }))
        await expect(ik7.files.metadata.getFromURL({ url: `${server.endpoint}/none.png` })).rejects.toEqual(
          refused(404, { message: missing }),
        )
        await expect(ik7.files.metadata.getFromURL({ url: 'https://example.com/a.png' })).rejects.toEqual(
          refused(400, { message: 'The url should be accessible using your ImageKit.io account.' }),
        )
      })

      test('cache.invalidation.create and get', async () => {
        const file = await put('/v7/purge/a.png')
        const variant = `${file.url}?tr=w-5`
        const cache = async () => (await fetch(variant)).headers.get('x-tintype-cache')
        await cache()
        expect(await cache()).toBe('hit')
        const { requestId } = await ik7.cache.invalidation.create({ url: `${server.endpoint}/v7/purge/*` })
        await expect
          .poll(async () => (await ik7.cache.invalidation.get(requestId!)).status, { timeout: 10_000 })
          .toBe('Completed')
        expect(await cache()).toBe('miss')
        await expect(ik7.cache.invalidation.create({ url: 'https://example.com/a.png' })).rejects.toEqual(
          refused(400, { message: 'The URL is not valid for cache purging.' }),
        )
        await expect(ik7.cache.invalidation.get(UNKNOWN)).rejects.toEqual(
          refused(400, { message: 'No request found for this requestId.' }),
        )
      })

      test('a wrong key changes nothing', async () => {
        const file = await put('/v7/key.png')
        const stranger = sdk7(server, 'private_wrong')
        const calls = [
          () => stranger.files.update(file.fileId, { tags: ['x'] }),
          () => stranger.files.delete(file.fileId),
          () => stranger.files.bulk.delete({ fileIds: [file.fileId] }),
          () => stranger.files.move({ sourceFilePath: '/v7/key.png', destinationPath: '/x' }),
          () => stranger.files.rename({ filePath: '/v7/key.png', newFileName: 'x.png' }),
          () => stranger.files.metadata.get(file.fileId),
          () => stranger.cache.invalidation.create({ url: file.url }),
        ]
        for (const each of calls) {
          await expect(each()).rejects.toEqual(
            refused(403, { message: 'Your account cannot be authenticated.' }),
          )
        }
        expect(await statusOf(file.url)).toBe(200)
      })
    })

    // ---- imagekit (legacy) --------------------------------------------------------------------------------------

    describe('imagekit', () => {
      /** What the legacy SDK throws: the body itself. */
      const body = (expected: Record<string, unknown>) => expect.objectContaining({ help: HELP, ...expected })

      test('updateFileDetails', async () => {
        const file = await put('/v6/update.png', { tags: ['a'] })
        const updated = await ik6.updateFileDetails(file.fileId, {
          tags: ['b'],
          customCoordinates: '1,1,5,5',
          customMetadata: { brand: 'x' },
        })
        expect(updated).toMatchObject({
          tags: ['b'],
          customCoordinates: '1,1,5,5',
          customMetadata: { brand: 'x' },
        })
        const cleared = await ik6.updateFileDetails(file.fileId, {
          tags: null as unknown as string[],
          customCoordinates: null as unknown as string,
          customMetadata: { brand: null as unknown as string },
        })
        expect(cleared).toMatchObject({ tags: null, customCoordinates: null, customMetadata: {} })
        const hidden = await ik6.updateFileDetails(file.fileId, {
          publish: { isPublished: false, includeFileVersions: true },
        })
        expect(hidden).toMatchObject({ isPublished: false })
        expect(await statusOf(file.url)).toBe(404)
        await expect(ik6.updateFileDetails(UNKNOWN, { tags: ['x'] })).rejects.toEqual(
          body({ message: 'The requested file does not exist.' }),
        )
        await expect(ik6.updateFileDetails(file.fileId, { customMetadata: { none: 1 } })).rejects.toEqual(
          body({ message: 'Invalid custom metadata.', errors: { none: expect.any(String) } }),
        )
      })

      test('getFileDetails, getFileVersions, getFileVersionDetails', async () => {
        const file = await put('/v6/versions.png')
        await put('/v6/versions.png')
        // Its types say one object, its own tests and the API say a list.
        const versions = (await ik6.getFileVersions(file.fileId)) as unknown as object[]
        expect(versions).toHaveLength(2)
        expect(await ik6.getFileDetails(file.fileId)).toEqual(versions[0])
        const { versionId } = file
        expect(await ik6.getFileVersionDetails({ fileId: file.fileId, versionId })).toEqual(versions[1])
        await expect(ik6.getFileVersions(UNKNOWN)).rejects.toEqual(
          body({ message: 'The requested file does not exist.' }),
        )
        await expect(ik6.getFileVersionDetails({ fileId: file.fileId, versionId: UNKNOWN })).rejects.toEqual(
          body({ message: 'The requested file version does not exist.' }),
        )
      })

      test('restoreFileVersion and deleteFileVersion', async () => {
        const first = await put('/v6/restore.png')
        const second = await put('/v6/restore.png')
        const { fileId } = first
        const restored = await ik6.restoreFileVersion({ fileId, versionId: first.versionId })
        expect(restored).toMatchObject({ versionInfo: { id: first.versionId }, type: 'file' })
        await expect(ik6.deleteFileVersion({ fileId, versionId: first.versionId })).rejects.toEqual(
          body({ message: 'You cannot delete current version of a file.' }),
        )
        await ik6.deleteFileVersion({ fileId, versionId: second.versionId })
        expect(await ik6.getFileVersions(fileId)).toHaveLength(1)
        await expect(ik6.deleteFileVersion({ fileId, versionId: second.versionId })).rejects.toEqual(
          body({ message: 'The requested asset does not exist.' }),
        )
        await expect(ik6.restoreFileVersion({ fileId, versionId: second.versionId })).rejects.toEqual(
          body({ message: 'The requested file version does not exist.' }),
        )
      })

      test('deleteFile and bulkDeleteFiles', async () => {
        const files = [
          await put('/v6/delete-1.png'),
          await put('/v6/delete-2.png'),
          await put('/v6/delete-3.png'),
        ]
        await ik6.deleteFile(files[0]!.fileId)
        await expect(ik6.deleteFile(files[0]!.fileId)).rejects.toEqual(
          body({ message: 'The requested file does not exist.' }),
        )
        const fileIds = files.slice(1).map((file) => file.fileId)
        await expect(ik6.bulkDeleteFiles([...fileIds, UNKNOWN])).rejects.toEqual(
          body({ message: 'The requested file(s) does not exist.', missingFileIds: [UNKNOWN] }),
        )
        expect(await ik6.bulkDeleteFiles(fileIds)).toMatchObject({ successfullyDeletedFileIds: fileIds })
        for (const { url } of files) expect(await statusOf(url)).toBe(404)
      })

      test('bulkAddTags, bulkRemoveTags, bulkRemoveAITags', async () => {
        const file = await put('/v6/tags.png')
        const updated = { successfullyUpdatedFileIds: [file.fileId] }
        expect(await ik6.bulkAddTags([file.fileId], ['a', 'b'])).toMatchObject(updated)
        expect(await ik6.bulkRemoveTags([file.fileId], ['a'])).toMatchObject(updated)
        expect(await ik6.bulkRemoveAITags([file.fileId], ['a'])).toMatchObject(updated)
        expect((await ik6.getFileDetails(file.fileId)).tags).toEqual(['b'])
        await expect(ik6.bulkAddTags([UNKNOWN], ['a'])).rejects.toEqual(
          body({ message: 'The requested file(s) does not exist.', missingFileIds: [UNKNOWN] }),
        )
      })

      test('copyFile, moveFile, renameFile', async () => {
        await put('/v6/places/a.png')
        await ik6.copyFile({ sourceFilePath: '/v6/places/a.png', destinationPath: '/v6/copied' })
        expect(await statusOf(`${server.endpoint}/v6/copied/a.png`)).toBe(200)
        await ik6.moveFile({ sourceFilePath: '/v6/copied/a.png', destinationPath: '/v6/moved' })
        expect(await statusOf(`${server.endpoint}/v6/copied/a.png`)).toBe(404)
        expect(
          await ik6.renameFile({ filePath: '/v6/moved/a.png', newFileName: 'b.png', purgeCache: false }),
        ).toEqual({})
        expect(await statusOf(`${server.endpoint}/v6/moved/b.png`)).toBe(200)
        const renamed = await ik6.renameFile({
          filePath: '/v6/moved/b.png',
          newFileName: 'c.png',
          purgeCache: true,
        })
        expect(renamed).toMatchObject({ purgeRequestId: expect.stringMatching(/^[0-9a-f]{24}$/) })
        await expect(ik6.moveFile({ sourceFilePath: '/v6/none.png', destinationPath: '/x' })).rejects.toEqual(
          body({ reason: 'SOURCE_FILE_MISSING' }),
        )
        await expect(
          ik6.copyFile({ sourceFilePath: '/v6/moved/c.png', destinationPath: '/v6/moved' }),
        ).rejects.toEqual(body({ reason: 'SAME_SOURCE_AND_DESTINATION' }))
        await expect(
          ik6.renameFile({ filePath: '/v6/none.png', newFileName: 'x.png', purgeCache: false }),
        ).rejects.toEqual(body({ reason: 'FILE_MISSING' }))
      })

      test('getFileMetadata by id and by URL, which it does not encode', async () => {
        const file = await put('/v6/metadata.png', { isPrivateFile: true })
        const original = await ik6.getFileMetadata(file.fileId)
        expect(original).toMatchObject({ width: file.width, format: 'png' })
        // Signed by hand with two parameters, so that the URL has an "&" in it.
        const expire = String(Math.floor(Date.now() / 1000) + 600)
        const signature = createHmac('sha1', server.privateKey)
          .update(`v6/metadata.png?tr=w-6${expire}`)
          .digest('hex')
        const url = `${file.url}?tr=w-6&ik-t=${expire}&ik-s=${signature}`
        expect(await statusOf(url)).toBe(200)
        expect(await ik6.getFileMetadata(url)).toMatchObject({ width: 6 })
        expect(await ik6.getFileMetadata(file.url)).toMatchObject({ width: file.width })
        await expect(ik6.getFileMetadata('https://example.com/a.png')).rejects.toEqual(
          body({ message: 'The url should be accessible using your ImageKit.io account.' }),
        )
        await expect(ik6.getFileMetadata(UNKNOWN)).rejects.toEqual(
          body({ message: 'The requested file does not exist or is inaccessible at this time.' }),
        )
      })

      test('purgeCache and getPurgeCacheStatus', async () => {
        const file = await put('/v6/purge.png')
        const { requestId } = await ik6.purgeCache(file.url)
        await expect
          .poll(async () => (await ik6.getPurgeCacheStatus(requestId)).status, { timeout: 10_000 })
          .toBe('Completed')
        await expect(ik6.purgeCache('https://example.com/a.png')).rejects.toEqual(
          body({ message: 'The URL is not valid for cache purging.' }),
        )
        await expect(ik6.getPurgeCacheStatus(UNKNOWN)).rejects.toEqual(
          body({ message: 'No request found for this requestId.' }),
        )
      })
    })
  })
})
