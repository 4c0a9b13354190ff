import type ImageKit7 from '@imagekit/nodejs'
import type ImageKit6 from 'imagekit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSchema, postgresUrl, whySkipped } from '../contract/postgres-place.ts'
import { settleCounts } from '../support/cluster-server.ts'
import { png } from '../support/images.ts'
import { sdk6, sdk7 } from '../support/sdks.ts'
import { type Server, startServer } from '../support/server.ts'

const UNKNOWN = '0123456789abcdef01234567'
const ISO = expect.stringMatching(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
const ID = expect.stringMatching(/^[0-9a-f]{24}$/)
const SHORT_ID = expect.stringMatching(/^[A-Za-z0-9]{9}$/)

/** What the SDK of today throws. */
const thrown = (promise: PromiseLike<unknown>) =>
  Promise.resolve(promise).then(
    () => expect.fail('it should have been refused'),
    (error: { status: number; message: string; error: unknown }) => ({
      status: error.status,
      message: error.message.replace(/^\d+ /, ''),
      body: error.error,
    }),
  )
const refused = async (promise: PromiseLike<unknown>, status: number, message: string | RegExp) => {
  const error = await thrown(promise)
  expect(error.status).toBe(status)
  if (typeof message === 'string') expect(error.message).toBe(message)
  else expect(error.message).toMatch(message)
}
/** The legacy SDK rejects with the body of the answer, and keeps the status out of sight in it. */
const refused6 = async (promise: Promise<unknown>, status: number, message: string) => {
  const error = await promise.then(
    () => expect.fail('it should have been refused'),
    (body: { message: string; $ResponseMetadata: { statusCode: number } }) => body,
  )
  expect([error.$ResponseMetadata.statusCode, error.message]).toEqual([status, message])
}

describe.each([
  { engine: 'SQLite', skip: false },
  { engine: `PostgreSQL${whySkipped}`, skip: !postgresUrl },
])('account on $engine', ({ engine, skip }) => {
  describe.skipIf(skip)('with the official SDKs', () => {
    let server: Server
    let ik7: ImageKit7
    let ik6: ImageKit6
    let cleanUp = async () => {}

    beforeAll(async () => {
      const env: Record<string, string> = {}
      if (engine.startsWith('PostgreSQL')) {
        const { databaseUrl, remove } = await createSchema()
        env.TINTYPE_DATABASE_URL = databaseUrl
        cleanUp = remove
      }
      server = await startServer({ env })
      ik7 = sdk7(server)
      ik6 = sdk6(server)
    })
    afterAll(async () => {
      await server?.dispose()
      await cleanUp()
    })

    test('accounts.usage.get and accounts.usageAnalytics.get', async () => {
      const day = (offset: number) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10)
      const dates = { startDate: day(-1), endDate: day(2) }
      expect(await ik7.accounts.usage.get(dates)).toEqual({
        bandwidthBytes: 0,
        mediaLibraryStorageBytes: 0,
        videoProcessingUnitsCount: 0,
        extensionUnitsCount: 0,
        originalCacheStorageBytes: 0,
      })
      const bytes = png(40, 30, 1)
      const file = await ik7.files.upload({ file: new File([new Uint8Array(bytes)], 'a'), fileName: 'a.png' })
      const sent = (await (await fetch(file.url!)).arrayBuffer()).byteLength
      await fetch(`${file.url}?tr=orig-true`, { headers: { 'user-agent': 'test' } })
      await settleCounts()
      expect(await ik7.accounts.usage.get(dates)).toMatchObject({
        bandwidthBytes: 2 * sent,
        mediaLibraryStorageBytes: bytes.length,
      })
      expect(await ik7.accounts.usage.get({ startDate: day(-9), endDate: day(-1) })).toMatchObject({
        bandwidthBytes: 0,
        mediaLibraryStorageBytes: bytes.length,
      })
      const analytics = await ik7.accounts.usageAnalytics.get(dates)
      expect(analytics).toMatchObject({
        ...dates,
        generatedAt: ISO,
        bandwidthBytes: 2 * sent,
        requestCount: 2,
        statusCodes: [{ name: '200', requestCount: 2 }],
        cache: { hitCount: 2, missCount: 0, errorCount: 0 },
        topImages: { byRequests: [{ name: file.url, requestCount: 2, bandwidthBytes: 2 * sent }] },
        format: { byBandwidth: [{ name: 'image/png' }] },
      })
      expect(analytics.topUserAgents.byRequests.map(({ name }) => name)).toContain('test')

      for (const get of [
        (query: { startDate: string; endDate: string }) => ik7.accounts.usage.get(query),
        (query: { startDate: string; endDate: string }) => ik7.accounts.usageAnalytics.get(query),
      ]) {
        const bad = (query: object, message: string) =>
          refused(get(query as { startDate: string; endDate: string }), 400, message)
        await bad({}, 'startDate and endDate are required in query parameters.')
        await bad(
          { startDate: '2026-1-1', endDate: day(0) },
          'startDate and endDate should be in format YYYY-MM-DD.',
        )
        await bad({ startDate: day(1), endDate: day(0) }, 'startDate should be before endDate.')
        await bad({ startDate: day(-90), endDate: day(0) }, 'startDate and endDate should be within 90 days.')
      }
      const stranger = sdk7(server, 'private_stranger')
      await refused(stranger.accounts.usage.get(dates), 403, 'Your account cannot be authenticated.')
      await refused(stranger.accounts.usageAnalytics.get(dates), 403, 'Your account cannot be authenticated.')
    })

    test('accounts.origins', async () => {
      const { origins } = ik7.accounts
      expect(await origins.list()).toEqual([])
      const bucket = {
        type: 'S3' as const,
        name: 'US S3 Storage',
        bucket: 'test-bucket',
        accessKey: 'AKIATEST123',
        secretKey: 'secrettest123',
      }
      const created = await origins.create({ ...bucket, prefix: 'images' })
      expect(created).toEqual({
        id: SHORT_ID,
        type: 'S3',
        name: 'US S3 Storage',
        bucket: 'test-bucket',
        prefix: 'images',
        includeCanonicalHeader: false,
      })
      expect(await origins.get(created.id)).toEqual(created)
      const folder = {
        type: 'WEB_FOLDER' as const,
        name: 'Shop',
        baseUrl: 'https://images.example.com/assets',
        forwardHostHeaderToOrigin: true,
        includeCanonicalHeader: true,
        baseUrlForCanonicalHeader: 'https://shop.example.com',
      }
      expect(await origins.update(created.id, folder)).toEqual({ id: created.id, ...folder })
      expect(await origins.list()).toEqual([{ id: created.id, ...folder }])

      const others = [
        { ...bucket, type: 'S3_COMPATIBLE', endpoint: 'https://s3.example.com', s3ForcePathStyle: true },
        { ...bucket, type: 'CLOUDINARY_BACKUP' },
        { type: 'WEB_PROXY', name: 'Proxy' },
        { type: 'GCS', name: 'G', bucket: 'b', clientEmail: 'a@b.example', privateKey: 'p' },
        { type: 'AZURE_BLOB', name: 'A', container: 'c', accountName: 'a', sasToken: 's' },
        {
          type: 'AKENEO_PIM',
          name: 'P',
          baseUrl: 'https://akeneo.example.com',
          clientId: 'i',
          clientSecret: 's',
          username: 'u',
          password: 'p',
        },
      ] as Parameters<typeof origins.create>[0][]
      for (const origin of others) {
        const answer = await origins.create(origin)
        expect(answer).toMatchObject({ type: origin.type, name: origin.name })
        expect(Object.keys(answer)).not.toEqual(
          expect.arrayContaining(['secretKey', 'privateKey', 'sasToken', 'clientSecret', 'password']),
        )
        await origins.delete(answer.id)
      }

      const wrong = (origin: object) => origins.create(origin as Parameters<typeof origins.create>[0])
      await refused(
        wrong({ type: 'FTP', name: 'x' }),
        400,
        'Invalid origin type. Must be one of S3, S3_COMPATIBLE, CLOUDINARY_BACKUP, WEB_FOLDER, WEB_PROXY, GCS, AZURE_BLOB, AKENEO_PIM',
      )
      await refused(wrong({ ...bucket, name: undefined }), 400, 'name is required and must be a string')
      await refused(wrong({ ...bucket, bucket: 7 }), 400, 'bucket is required and must be a string')
      await refused(origins.update(created.id, { ...bucket, name: 'a/b' }), 400, /name/)
      expect(await origins.delete(created.id)).toBeNull()
      for (const missing of [
        () => origins.get(created.id),
        () => origins.update(created.id, folder),
        () => origins.delete(created.id),
      ]) {
        await refused(missing(), 404, 'Origin not found.')
      }
      const stranger = sdk7(server, 'private_stranger').accounts.origins
      await refused(stranger.list(), 403, 'Your account cannot be authenticated.')
    })

    test('accounts.urlEndpoints', async () => {
      const { urlEndpoints, origins } = ik7.accounts
      const initial = await urlEndpoints.list()
      expect(initial).toEqual([
        { id: 'default', description: expect.any(String), urlPrefix: '', origins: [] },
      ])
      expect(await urlEndpoints.get('default')).toEqual(initial[0])
      const origin = await origins.create({ type: 'WEB_PROXY', name: 'Proxy' })
      const created = await urlEndpoints.create({
        description: 'Products',
        urlPrefix: 'products',
        origins: [origin.id],
        urlRewriter: { type: 'CLOUDINARY', preserveAssetDeliveryTypes: true },
      })
      expect(created).toEqual({
        id: SHORT_ID,
        description: 'Products',
        urlPrefix: 'products',
        origins: [origin.id],
        urlRewriter: { type: 'CLOUDINARY', preserveAssetDeliveryTypes: true },
      })
      expect(await urlEndpoints.get(created.id)).toEqual(created)
      await refused(origins.delete(origin.id), 400, /used by a URL-endpoint/)
      const changed = { description: 'Goods', urlPrefix: 'goods', urlRewriter: { type: 'AKAMAI' as const } }
      expect(await urlEndpoints.update(created.id, changed)).toEqual({
        id: created.id,
        origins: [],
        ...changed,
      })
      expect((await urlEndpoints.list()).map(({ id }) => id)).toEqual(
        expect.arrayContaining(['default', created.id]),
      )
      expect(await urlEndpoints.update('default', { description: 'Mine' })).toMatchObject({
        id: 'default',
        description: 'Mine',
        urlPrefix: '',
      })

      const wrong = (endpoint: object) =>
        urlEndpoints.create(endpoint as Parameters<typeof urlEndpoints.create>[0])
      await refused(wrong({ urlPrefix: 'x' }), 400, 'description is required')
      await refused(wrong({ description: 'x', urlPrefix: 7 }), 400, 'urlPrefix must be a string')
      await refused(
        wrong({ description: 'x', urlPrefix: '' }),
        400,
        'urlPrefix cannot be empty string. This is reserved for the default URL-endpoint created by ImageKit.',
      )
      await refused(
        wrong({ description: 'x', urlPrefix: 'x', origins: ['nope'] }),
        400,
        'Origin does not exists. Please create origin before using it in URL-endpoint.',
      )
      await refused(urlEndpoints.update(created.id, { description: '' }), 400, 'description is required')
      await refused(urlEndpoints.delete('default'), 400, 'Default URL-endpoint cannot be deleted.')
      expect(await urlEndpoints.delete(created.id)).toBeNull()
      for (const missing of [
        () => urlEndpoints.get(created.id),
        () => urlEndpoints.update(created.id, changed),
        () => urlEndpoints.delete(created.id),
      ]) {
        await refused(missing(), 404, 'URL-endpoint not found.')
      }
      const stranger = sdk7(server, 'private_stranger').accounts.urlEndpoints
      await refused(stranger.list(), 403, 'Your account cannot be authenticated.')
    })

    test('namedTransformations', async () => {
      const { namedTransformations: named } = ik7
      expect(await named.list()).toEqual([])
      const created = await named.create({ name: 'media_thumb', transformation: 'w-150,h-150,fo-auto' })
      expect(created).toEqual({
        id: SHORT_ID,
        name: 'media_thumb',
        transformation: 'w-150,h-150,fo-auto',
        enabled: true,
        createdAt: ISO,
      })
      expect(await named.get(created.id)).toEqual(created)
      expect(await named.list()).toEqual([created])
      const bytes = new Uint8Array(png(40, 30, 2))
      const file = await ik7.files.upload({ file: new File([bytes], 'n'), fileName: 'n.png' })
      const small = await named.create({ name: 'small', transformation: 'w-10' })
      const thumbnail = `${file.url}?tr=n-small`
      await expect.poll(async () => (await fetch(thumbnail)).status, { timeout: 5000 }).toBe(200)

      const changed = await named.update(created.id, { enabled: false, transformation: 'w-5' })
      expect(changed).toEqual({ ...created, enabled: false, transformation: 'w-5' })
      const reserved = 'The name ik_ml_thumbnail is reserved.'
      await refused(named.create({ name: 'ik_ml_thumbnail', transformation: 'w-1' }), 400, reserved)
      await refused(named.create({ name: 'media_thumb', transformation: 'w-1' }), 400, /already exists/)
      await refused(named.create({ name: 'not allowed', transformation: 'w-1' }), 400, /letters, digits/)
      await refused(named.create({ name: 'bad', transformation: 'w-abc' }), 400, /w/)
      await refused(named.update(created.id, { name: small.name }), 400, /already exists/)
      expect(await named.delete(created.id)).toBeNull()
      for (const missing of [
        () => named.get(created.id),
        () => named.update(created.id, { enabled: true }),
        () => named.delete(created.id),
      ]) {
        await refused(missing(), 404, 'The requested named transformation does not exist.')
      }
      await refused(sdk7(server, 'private_x').namedTransformations.list(), 403, /authenticated/)
    })

    test('savedExtensions', async () => {
      const { savedExtensions: saved } = ik7
      expect(await saved.list()).toEqual([])
      const body = {
        name: 'Car Quality Check',
        description: 'Analyzes vehicle images',
        config: {
          name: 'ai-tasks' as const,
          tasks: [
            { type: 'select_tags' as const, instruction: 'What is it?', vocabulary: ['car', 'bike'] },
            { type: 'yes_no' as const, instruction: 'Is it new?', on_yes: { add_tags: ['new'] } },
          ],
        },
      }
      const created = await saved.create(body)
      expect(created).toEqual({
        id: expect.stringMatching(/^ext_/),
        ...body,
        createdAt: ISO,
        updatedAt: ISO,
      })
      const id = created.id!
      expect(await saved.get(id)).toEqual(created)
      expect(await saved.list()).toEqual([created])
      const changed = await saved.update(id, { name: 'Cars', config: { name: 'remove-bg' } })
      expect(changed).toMatchObject({
        id,
        name: 'Cars',
        description: body.description,
        config: { name: 'remove-bg' },
      })
      const wrongConfig = { ...body, config: { name: 'none-such' } } as unknown as typeof body
      const invalid = await thrown(saved.create(wrongConfig))
      expect(invalid).toMatchObject({ status: 400, message: 'Invalid extension configuration.' })
      await refused(saved.create({ ...body, name: '' }), 400, /name/)
      await refused(saved.update(id, { config: wrongConfig.config }), 400, 'Invalid extension configuration.')
      await refused(saved.get('nonsense'), 400, 'Invalid saved extension ID.')
      expect(await saved.delete(id)).toBeNull()
      for (const missing of [
        () => saved.get(id),
        () => saved.update(id, { name: 'x' }),
        () => saved.delete(id),
      ]) {
        await refused(missing(), 404, 'The requested saved extension does not exist.')
      }
      await refused(sdk7(server, 'private_x').savedExtensions.list(), 403, /authenticated/)
    })

    describe('customMetadataFields', () => {
      const NO_FIELD = 'No such custom metadata field exists.'

      test('of every type', async () => {
        const { customMetadataFields: fields } = ik7
        const schemas = [
          { type: 'Text', minLength: 2, maxLength: 20, isValueRequired: true, defaultValue: 'abc' },
          { type: 'Textarea', maxLength: 2000 },
          { type: 'Number', minValue: 1000, maxValue: 3000 },
          { type: 'Date', minValue: '2022-11-29T10:11:10.000Z', maxValue: '2022-11-30T10:11:10.000Z' },
          { type: 'Boolean', isValueRequired: true, defaultValue: true },
          { type: 'SingleSelect', selectOptions: ['small', 'medium', 30, true] },
          { type: 'MultiSelect', selectOptions: ['a', 'b'], isValueRequired: true, defaultValue: ['a'] },
        ] as const
        for (const schema of schemas) {
          const name = `every_${schema.type.toLowerCase()}`
          const created = await fields.create({
            name,
            label: name,
            schema: schema as unknown as Parameters<typeof fields.create>[0]['schema'],
          })
          expect(created).toEqual({ id: ID, name, label: name, schema })
          expect(await fields.list()).toContainEqual(created)
        }
      })

      test('with the SDK of today', async () => {
        const { customMetadataFields: fields } = ik7
        const created = await fields.create({
          name: 'price',
          label: 'Price',
          schema: { type: 'Number', minValue: 1000, maxValue: 3000 },
        })
        const changed = await fields.update(created.id, { label: 'Cost', schema: { minValue: 1 } })
        expect(changed).toMatchObject({
          id: created.id,
          name: 'price',
          label: 'Cost',
          schema: { type: 'Number' },
        })
        expect(changed.schema.minValue).toBe(1)
        const again = { name: 'price', label: 'Other', schema: { type: 'Text' as const } }
        await refused(fields.create(again), 400, 'A custom metadata field with this name already exists.')
        await refused(
          fields.create({ ...again, name: 'other', label: 'Cost' }),
          400,
          'A custom metadata field with this label already exists.',
        )
        const invalid = await thrown(
          fields.create({
            name: 'wrong',
            label: 'Wrong',
            schema: { type: 'Number', minValue: 'x', maxLength: 5 },
          }),
        )
        expect(invalid).toMatchObject({
          status: 400,
          message: 'Invalid field object',
          body: { errors: { minValue: expect.any(String), maxLength: expect.any(String) } },
        })
        await refused(fields.update(created.id, {}), 400, 'Either label or schema should be provided.')
        await refused(
          fields.update('nonsense', { label: 'x' }),
          400,
          'Your request contains invalid ID parameter.',
        )
        await refused(fields.update(UNKNOWN, { label: 'x' }), 404, NO_FIELD)

        expect(await fields.delete(created.id)).toBeNull()
        expect((await fields.list()).map(({ id }) => id)).not.toContain(created.id)
        expect((await fields.list({ includeDeleted: true })).map(({ id }) => id)).toContain(created.id)
        await refused(
          fields.update(created.id, { label: 'x' }),
          400,
          'Cannot update a deleted custom metadata fields.',
        )
        await refused(fields.delete(created.id), 404, NO_FIELD)
        await refused(fields.create(again), 400, 'A custom metadata field with this name already exists.')
        await refused(fields.delete('nonsense'), 400, 'Your request contains invalid ID parameter.')
        await refused(sdk7(server, 'private_x').customMetadataFields.list(), 403, /authenticated/)
      })

      test('with the legacy SDK', async () => {
        const options = { name: 'colour', label: 'Colour', schema: { type: 'Text' as const, minLength: 2 } }
        const created = await ik6.createCustomMetadataField(options)
        expect(created).toMatchObject({ id: ID, ...options })
        const all = await ik6.getCustomMetadataFields({ includeDeleted: false })
        expect(all.map(({ id }) => id)).toContain(created.id)
        const changed = await ik6.updateCustomMetadataField(created.id, { label: 'Color' })
        expect(changed).toMatchObject({ id: created.id, name: 'colour', label: 'Color' })
        await refused6(
          ik6.createCustomMetadataField(options),
          400,
          'A custom metadata field with this name already exists.',
        )
        await refused6(ik6.updateCustomMetadataField(UNKNOWN, { label: 'x' }), 404, NO_FIELD)
        await ik6.deleteCustomMetadataField(created.id)
        await refused6(ik6.deleteCustomMetadataField(created.id), 404, NO_FIELD)
        expect((await ik6.getCustomMetadataFields({ includeDeleted: true })).map(({ id }) => id)).toContain(
          created.id,
        )
        await refused6(
          sdk6(server, 'v1', 'private_x').getCustomMetadataFields({ includeDeleted: false }),
          403,
          'Your account cannot be authenticated.',
        )
      })
    })

    test('helpers of the SDK of today: what they build is what the server takes', async () => {
      const bytes = new Uint8Array(png(40, 30, 3))
      const file = await ik7.files.upload({
        file: new File([bytes], 'p'),
        fileName: 'private.png',
        isPrivateFile: true,
      })
      const transformation = [{ width: 20, height: 10, crop: 'force' as const }]
      expect(ik7.helper.buildTransformationString(transformation)).toBe('w-20,h-10,c-force')
      const unsigned = { urlEndpoint: server.endpoint, src: file.filePath!, transformation }
      expect((await fetch(ik7.helper.buildSrc(unsigned))).status).toBe(401)
      for (const transformationPosition of ['path', 'query'] as const) {
        const signed = ik7.helper.buildSrc({
          ...unsigned,
          transformationPosition,
          signed: true,
          expiresIn: 300,
        })
        expect((await fetch(signed)).status, signed).toBe(200)
      }

      const { token, expire, signature } = ik7.helper.getAuthenticationParameters()
      const form = new FormData()
      form.append('file', new Blob([bytes]), 'x')
      form.append('fileName', 'by-browser.png')
      form.append('publicKey', server.publicKey)
      form.append('token', token)
      form.append('expire', String(expire))
      form.append('signature', signature)
      const answer = await fetch(`${server.url}/api/v1/files/upload`, { method: 'POST', body: form })
      expect(answer.status).toBe(200)
    })

    test('methods of the legacy SDK that need no server', async () => {
      const { token, expire, signature } = ik6.getAuthenticationParameters('a-token', 1_900_000_000)
      expect([token, expire]).toEqual(['a-token', 1_900_000_000])
      expect(signature).toMatch(/^[0-9a-f]{40}$/)
      expect(ik6.url({ path: '/a.png', transformation: [{ width: '10' }] })).toBe(
        `${server.endpoint}/tr:w-10/a.png`,
      )
      expect(ik6.pHashDistance('f06830ca9f1e3e90', 'f06830ca9f1e3e90')).toBe(0)
    })
  })
})
