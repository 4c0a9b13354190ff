import Schema from 'typebox/schema'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import { call } from '../support/api.ts'
import { png } from '../support/images.ts'
import { routesOf } from '../support/routes.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype
let document: OpenApiDocument
beforeAll(async () => {
  tintype = await startTintype()
  document = (await (await fetch(`${tintype.url}/openapi.json`)).json()) as OpenApiDocument
})
afterAll(() => tintype.stop())

/** Routes that are no part of the API: deliveries, pages and scripts. */
const NO_API = /^(?:\/?\*|\/demo\/\*|\/client\/|\/docs$|\/metrics$)/

type Described = { responses: Record<string, { content?: { 'application/json': { schema: object } } }> }

/** What a body has that its description does not, or lacks. */
function problemsOf(operation: string, status: number, body: unknown): unknown[] {
  const [method, path] = operation.split(' ') as [string, string]
  const described = document.paths[path]?.[method.toLowerCase()] as Described | undefined
  const answer = described?.responses[status]
  if (!answer) return [`${operation}: ${status} is not described`]
  const schema = answer.content?.['application/json'].schema
  if (schema === undefined) return body === undefined ? [] : [`${operation}: ${status} should have no body`]
  const whole = closed({ ...schema, components: document.components })
  const [, errors] = Schema.Errors(whole as Schema.XSchema, body)
  return errors.map((error) => `${operation} ${status}${error.instancePath}: ${error.message}`)
}

/** The same schema, but without room for members that it does not name. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  const { properties, additionalProperties } = copy
  const isSchema = typeof properties === 'object' && copy.type === 'object'
  return isSchema && additionalProperties === undefined ? { ...copy, additionalProperties: false } : copy
}

describe('the description of the API', () => {
  it('names every route, and no other', () => {
    const described = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const routes = routesOf(tintype.http.app.printRoutes({ commonPrefix: false })).filter(
      (route) => !NO_API.test(route.split(' ')[1]!),
    )
    expect(routes.length).toBeGreaterThan(45)
    // A new route needs an entry in src/http/openapi/operations.ts.
    expect(described.toSorted()).toEqual(routes.toSorted())
  })

  it('is OpenAPI 3.1 whose references all lead somewhere', () => {
    expect(document.openapi).toBe('3.1.0')
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)]
    expect(references.length).toBeGreaterThan(50)
    const shapes = new Set(references.map(([, name]) => name))
    expect([...shapes].filter((name) => !(name! in document.components.schemas))).toEqual([])
    const ids = Object.values(document.paths).flatMap((item) =>
      Object.values(item).map((operation) => (operation as { operationId: string }).operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('names the server as the client reached it', async () => {
    const { servers } = document as unknown as { servers: unknown }
    expect(servers).toEqual([{ url: tintype.url }])
  })

  it('says of the answers exactly what is in them', async () => {
    const seen: string[] = []
    const problems: unknown[] = []
    const send = async (operation: string, path: string, body?: unknown, authorization?: string | null) => {
      const [method] = operation.split(' ') as [string]
      const answer = await call(tintype, method, path, body, authorization)
      seen.push(`${operation} ${answer.status}`)
      problems.push(...problemsOf(operation, answer.status, answer.body))
      return answer.body
    }
    const uploaded = async (name: string, fields = {}) => {
      const answer = await upload(tintype, png(20, 10, 1), {
        fileName: name,
        useUniqueFileName: 'false',
        ...fields,
      })
      seen.push(`POST /api/v1/files/upload ${answer.status}`)
      problems.push(...problemsOf('POST /api/v1/files/upload', answer.status, answer.body))
      return answer.body as { fileId: string; url: string }
    }
    const missing = '0'.repeat(24)

    const field = await send('POST /v1/customMetadataFields', '/v1/customMetadataFields', {
      name: 'price',
      label: 'Price',
      schema: { type: 'Number', minValue: 1 },
    })
    await send('POST /v1/customMetadataFields', '/v1/customMetadataFields', {
      name: 'x',
      label: '',
      schema: {},
    })
    await send('GET /v1/customMetadataFields', '/v1/customMetadataFields?includeDeleted=true')
    await send('PATCH /v1/customMetadataFields/{id}', `/v1/customMetadataFields/${field.id}`, {
      label: 'Cost',
    })
    await send('PATCH /v1/customMetadataFields/{id}', `/v1/customMetadataFields/${missing}`, {
      label: 'Cost',
    })

    const everything =
      'tags,customCoordinates,isPrivateFile,embeddedMetadata,isPublished,customMetadata,metadata,selectedFieldsSchema'
    const { fileId, url } = await uploaded('a.png', {
      tags: 'one,two',
      customMetadata: '{"price":5}',
      responseFields: everything,
      description: 'A picture',
      customCoordinates: '1,1,5,5',
    })
    await uploaded('a.png')
    await uploaded('')
    const text = await upload(tintype, Buffer.from('text'), { fileName: 'a.txt', useUniqueFileName: 'false' })
    problems.push(...problemsOf('POST /api/v1/files/upload', text.status, text.body))

    await send('GET /v1/files', '/v1/files?type=all')
    await send('GET /v1/files', '/v1/files?limit=0')
    await send('GET /v1/files', '/v1/files', undefined, null)
    await send('GET /v1/files/{fileId}/details', `/v1/files/${fileId}/details`)
    await send('GET /v1/files/{fileId}/details', `/v1/files/${missing}/details`)
    await send('PATCH /v1/files/{fileId}/details', `/v1/files/${fileId}/details`, {
      tags: ['x'],
      description: 'B',
    })
    await send('PATCH /v1/files/{fileId}/details', `/v1/files/${fileId}/details`, {
      customMetadata: { price: 'x' },
    })
    const versions = await send('GET /v1/files/{fileId}/versions', `/v1/files/${fileId}/versions`)
    const old = versions.at(-1).versionInfo.id
    await send('GET /v1/files/{fileId}/versions/{versionId}', `/v1/files/${fileId}/versions/${old}`)
    await send(
      'PUT /v1/files/{fileId}/versions/{versionId}/restore',
      `/v1/files/${fileId}/versions/${old}/restore`,
    )
    await send('DELETE /v1/files/{fileId}/versions/{versionId}', `/v1/files/${fileId}/versions/${missing}`)
    await send('GET /v1/files/{fileId}/metadata', `/v1/files/${fileId}/metadata`)
    await send('GET /v1/metadata', `/v1/metadata?url=${encodeURIComponent(url)}`)
    await send('GET /v1/metadata', '/v1/metadata?url=https://elsewhere.example/a.png')

    for (const name of ['addTags', 'removeTags', 'removeAITags']) {
      const operation = `POST /v1/files/${name}`
      const member = name === 'removeAITags' ? 'AITags' : 'tags'
      await send(operation, `/v1/files/${name}`, { fileIds: [fileId], [member]: ['y'] })
      await send(operation, `/v1/files/${name}`, { fileIds: [missing], [member]: ['y'] })
      await send(operation, `/v1/files/${name}`, {})
    }
    const copy = { sourceFilePath: '/a.txt', destinationPath: '/copies' }
    await send('POST /v1/files/copy', '/v1/files/copy', copy)
    await send('POST /v1/files/copy', '/v1/files/copy', { ...copy, sourceFilePath: '/none' })
    await send('POST /v1/files/move', '/v1/files/move', {
      sourceFilePath: '/copies/a.txt',
      destinationPath: '/moved',
    })
    await send('PUT /v1/files/rename', '/v1/files/rename', { filePath: '/a.txt', newFileName: 'b.txt' })
    await send('PUT /v1/files/rename', '/v1/files/rename', { filePath: '/b.txt', newFileName: 'a.png' })
    await send('PUT /v1/files/rename', '/v1/files/rename', {
      filePath: '/b.txt',
      newFileName: 'c.txt',
      purgeCache: true,
    })
    await send('POST /v1/folder', '/v1/folder', { folderName: 'new', parentFolderPath: '/' })
    await send('POST /v1/folder', '/v1/folder', { folderName: '..', parentFolderPath: '/' })
    await send('POST /v1/folder', '/v1/folder', { folderName: 'other', parentFolderPath: '/' })
    const job = await send('POST /v1/bulkJobs/copyFolder', '/v1/bulkJobs/copyFolder', {
      sourceFolderPath: '/moved',
      destinationPath: '/new',
    })
    await send('GET /v1/bulkJobs/{jobId}', `/v1/bulkJobs/${job.jobId}`)
    await send('GET /v1/bulkJobs/{jobId}', `/v1/bulkJobs/${missing}`)
    await send('POST /v1/bulkJobs/moveFolder', '/v1/bulkJobs/moveFolder', {})
    await send('POST /v1/bulkJobs/renameFolder', '/v1/bulkJobs/renameFolder', {
      folderPath: '/other',
      newFolderName: 'renamed',
    })
    await send('POST /v1/bulkJobs/renameFolder', '/v1/bulkJobs/renameFolder', { folderPath: '/' })
    await send('DELETE /v1/folder', '/v1/folder', { folderPath: '/none' })

    const purge = await send('POST /v1/files/purge', '/v1/files/purge', { url })
    await send('GET /v1/files/purge/{requestId}', `/v1/files/purge/${purge.requestId}`)
    await send('POST /v1/files/purge', '/v1/files/purge', {})

    const collections: [path: string, change: string, create: object, update: object][] = [
      ['/v1/named-transformations', 'PATCH', { name: 'n', transformation: 'w-1' }, { enabled: false }],
      [
        '/v1/saved-extensions',
        'PATCH',
        { name: 'n', description: 'd', config: { name: 'remove-bg', options: { add_shadow: true } } },
        { name: 'm' },
      ],
      [
        '/v1/accounts/origins',
        'PUT',
        { type: 'S3', name: 'n', bucket: 'b', accessKey: 'a', secretKey: 's' },
        { type: 'WEB_PROXY', name: 'n' },
      ],
      [
        '/v1/accounts/url-endpoints',
        'PUT',
        { description: 'd', urlPrefix: 'p', urlRewriter: { type: 'IMGIX' } },
        { description: 'e', urlPrefix: 'p' },
      ],
    ]
    for (const [path, change, create, update] of collections) {
      const { id } = await send(`POST ${path}`, path, create)
      await send(`POST ${path}`, path, {})
      await send(`GET ${path}`, path)
      await send(`GET ${path}/{id}`, `${path}/${id}`)
      await send(`${change} ${path}/{id}`, `${path}/${id}`, update)
      await send(`GET ${path}/{id}`, `${path}/${path.includes('saved') ? 'ext_none' : 'none'}`)
      await send(`DELETE ${path}/{id}`, `${path}/${id}`)
    }

    const days = 'startDate=2026-01-01&endDate=2026-02-01'
    await send('GET /v1/accounts/usage', `/v1/accounts/usage?${days}`)
    await send('GET /v1/accounts/usage', '/v1/accounts/usage')
    await send('GET /v1/accounts/usage-analytics', `/v1/accounts/usage-analytics?${days}`)
    await send('GET /v1/transformations/explain', '/v1/transformations/explain?tr=w-5&path=/a.png')
    await send('GET /health', '/health', undefined, null)

    const webhook = await send('POST /v1/webhooks', '/v1/webhooks', {
      url: 'http://127.0.0.1:8099/',
      events: ['*'],
    })
    await send('GET /v1/webhooks', '/v1/webhooks')
    await send('PATCH /v1/webhooks/{id}', `/v1/webhooks/${webhook.id}`, { description: 'x' })
    await send('GET /v1/webhooks/{id}/deliveries', `/v1/webhooks/${webhook.id}/deliveries`)
    await send('POST /v1/webhooks/{id}/rotate-secret', `/v1/webhooks/${webhook.id}/rotate-secret`)
    await send('POST /v1/webhooks/{id}/replay-failed', `/v1/webhooks/${webhook.id}/replay-failed`)
    await send('DELETE /v1/webhooks/{id}', `/v1/webhooks/${webhook.id}`)

    await send('POST /v1/files/batch/deleteByFileIds', '/v1/files/batch/deleteByFileIds', {
      fileIds: [missing],
    })
    await send('POST /v1/files/batch/deleteByFileIds', '/v1/files/batch/deleteByFileIds', {
      fileIds: [fileId],
    })
    await send('DELETE /v1/files/{fileId}', `/v1/files/${fileId}`)
    await send('DELETE /v1/customMetadataFields/{id}', `/v1/customMetadataFields/${field.id}`)

    expect(problems).toEqual([])
    // Of nearly every operation a good answer was seen.
    const good = new Set(seen.filter((line) => / 2\d\d$/.test(line)).map((line) => line.replace(/ \d+$/, '')))
    const all = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(all.filter((operation) => !good.has(operation))).toEqual([
      'POST /api/v2/files/upload',
      'DELETE /v1/files/{fileId}',
      'DELETE /v1/files/{fileId}/versions/{versionId}',
      'DELETE /v1/folder',
      'POST /v1/bulkJobs/moveFolder',
      'GET /v1/webhooks/{id}',
      'POST /v1/webhooks/{id}/deliveries/{deliveryId}/replay',
      'GET /openapi.json',
    ])
  })
})

describe('the page of the API', () => {
  it('is plain HTML without scripts or anything from elsewhere', async () => {
    const response = await fetch(`${tintype.url}/docs`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    const policy = response.headers.get('content-security-policy')!
    expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; base-uri 'none'/)
    const html = await response.text()
    expect(html).not.toMatch(/<script|javascript:|\son\w+=|\ssrc=|url\(/i)
    expect(
      [...html.matchAll(/href="([^"]*)"/g)].every(([, href]) => /^(?:#|\/openapi\.json$)/.test(href!)),
    ).toBe(true)
    for (const path of Object.keys(document.paths)) expect(html).toContain(`</span> ${path}</code>`)
  })

  it('tells nothing that needs a key', async () => {
    const html = await (await fetch(`${tintype.url}/docs`)).text()
    expect(html).not.toContain('private_test')
    expect(html).not.toContain('public_test')
  })
})

describe('/v2', () => {
  it('answers as /v1, but for uploads and deliveries', async () => {
    const authorized = (path: string) => call(tintype, 'GET', path)
    const [one, two] = [await authorized('/v1/files?type=all'), await authorized('/v2/files?type=all')]
    expect(one.status).toBe(200)
    expect(two.body).toEqual(one.body)
    expect((await authorized('/v2/files/')).status).toBe(200)
    expect((await authorized('/v2/bulkJobs/000000000000000000000000')).status).toBe(404)
    expect(
      (await call(tintype, 'POST', '/v2/folder', { folderName: 'v2', parentFolderPath: '/' })).status,
    ).toBe(201)
    expect((await call(tintype, 'DELETE', '/v2/folder/', { folderPath: '/v2' })).status).toBe(204)
    expect((await authorized('/v2')).status).toBe(404)
    const uploaded = await upload(tintype, png(2, 2, 5), { fileName: 'v2.png' }, { api: 'v2' })
    expect(uploaded.status).toBe(200)
    expect((await fetch(`${tintype.url}/demo/v2/files`)).status).toBe(404)
  })
})
