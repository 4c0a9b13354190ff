import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype

beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

type Body = Record<string, unknown> & { id: string }

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: Body }> {
  const response = await fetch(`${tintype.url}${path}`, {
    method,
    headers: {
      authorization: tintype.authorization,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Body }
}

const ISO = expect.stringMatching(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)

describe('named transformations', () => {
  const path = '/v1/named-transformations'

  it('are created, read, changed and deleted', async () => {
    const created = await call('POST', path, { name: 'small', transformation: 'tr:w-150,h-150' })
    expect(created).toEqual({
      status: 201,
      body: {
        id: expect.stringMatching(/^[A-Za-z0-9]{9}$/),
        name: 'small',
        transformation: 'w-150,h-150',
        enabled: true,
        createdAt: ISO,
      },
    })
    const { id } = created.body
    expect((await call('GET', `${path}/${id}`)).body).toEqual(created.body)
    const changed = await call('PATCH', `${path}/${id}`, { enabled: false })
    expect(changed).toEqual({ status: 200, body: { ...created.body, enabled: false } })
    expect((await call('GET', path)).body).toEqual([changed.body])
    expect((await call('DELETE', `${path}/${id}`)).status).toBe(204)
    expect((await call('GET', `${path}/${id}`)).status).toBe(404)
    expect((await call('DELETE', `${path}/${id}`)).status).toBe(404)
  })

  it.each([
    [{ transformation: 'w-1' }, /name/],
    [{ name: 'with-hyphen', transformation: 'w-1' }, /name/],
    [{ name: 'ik_ml_thumbnail', transformation: 'w-1' }, /reserved/],
    [{ name: 'x' }, /transformation/],
    [{ name: 'x', transformation: 'w-abc' }, /w/],
    [{ name: 'x', transformation: 'w-1', enabled: 'yes' }, /enabled/],
    [[], /JSON object/],
  ])('refuse %j', async (body, message) => {
    const answer = await call('POST', path, body)
    expect(answer.status).toBe(400)
    expect(answer.body.message).toMatch(message)
  })

  it('have names of their own', async () => {
    const first = await call('POST', path, { name: 'twice', transformation: 'w-1' })
    const other = await call('POST', path, { name: 'Twice', transformation: 'w-1' })
    expect([first.status, other.status]).toEqual([201, 201])
    expect((await call('POST', path, { name: 'twice', transformation: 'w-2' })).status).toBe(400)
    expect((await call('PATCH', `${path}/${other.body.id}`, { name: 'twice' })).status).toBe(400)
  })
})

describe('saved extensions', () => {
  const path = '/v1/saved-extensions'
  const config = {
    name: 'ai-tasks',
    tasks: [{ type: 'select_tags', instruction: 'What is it?', vocabulary: ['shirt', 'dress'] }],
  }

  it('are created, read, changed and deleted', async () => {
    const created = await call('POST', path, { name: 'Cars', description: 'Looks at cars', config })
    expect(created).toEqual({
      status: 201,
      body: {
        id: expect.stringMatching(/^ext_/),
        name: 'Cars',
        description: 'Looks at cars',
        config,
        createdAt: ISO,
        updatedAt: ISO,
      },
    })
    const { id } = created.body
    const changed = await call('PATCH', `${path}/${id}`, { name: 'Vans' })
    expect(changed.body).toMatchObject({ id, name: 'Vans', config })
    expect((await call('GET', path)).body).toEqual([changed.body])
    expect((await call('DELETE', `${path}/${id}`)).status).toBe(204)
    expect(await call('GET', `${path}/${id}`)).toMatchObject({
      status: 404,
      body: { message: 'The requested saved extension does not exist.' },
    })
  })

  it('refuse wrong configurations and ids', async () => {
    const wrong = [{}, { name: 'nonsense' }, { name: 'saved-extension', id: 'ext_1' }, 'text', null]
    for (const wrongConfig of wrong) {
      const answer = await call('POST', path, { name: 'x', description: 'y', config: wrongConfig })
      expect(answer).toMatchObject({ status: 400, body: { message: 'Invalid extension configuration.' } })
    }
    expect(await call('GET', `${path}/nonsense`)).toMatchObject({
      status: 400,
      body: { message: 'Invalid saved extension ID.' },
    })
  })
})

describe('origins and URL endpoints', () => {
  const origins = '/v1/accounts/origins'
  const endpoints = '/v1/accounts/url-endpoints'
  const bucket = { type: 'S3', name: 'US Storage', bucket: 'images', accessKey: 'AKIA', secretKey: 'hush' }

  it('keep secrets in', async () => {
    const created = await call('POST', origins, bucket)
    const shown = {
      id: expect.any(String),
      type: 'S3',
      name: 'US Storage',
      bucket: 'images',
      prefix: '',
      includeCanonicalHeader: false,
    }
    expect(created).toEqual({ status: 201, body: shown })
    expect((await call('GET', `${origins}/${created.body.id}`)).body).toEqual(shown)
    const changed = await call('PUT', `${origins}/${created.body.id}`, { ...bucket, prefix: 'raw' })
    expect(changed.body).toEqual({ ...shown, prefix: 'raw' })
    expect(JSON.stringify((await call('GET', origins)).body)).not.toContain('hush')
    expect((await call('DELETE', `${origins}/${created.body.id}`)).status).toBe(204)
    expect(await call('GET', `${origins}/${created.body.id}`)).toMatchObject({
      status: 404,
      body: { message: 'Origin not found.' },
    })
  })

  it.each([
    [
      { type: 'FTP', name: 'x' },
      'Invalid origin type. Must be one of S3, S3_COMPATIBLE, CLOUDINARY_BACKUP, WEB_FOLDER, WEB_PROXY, GCS, AZURE_BLOB, AKENEO_PIM',
    ],
    [{ type: 'WEB_PROXY' }, 'name is required and must be a string'],
    [{ ...bucket, bucket: undefined }, 'bucket is required and must be a string'],
    [{ ...bucket, bucket: 5 }, 'bucket is required and must be a string'],
    [{ ...bucket, name: 'under_score' }, 'name can contain only letters, digits and spaces'],
    [{ type: 'WEB_FOLDER', name: 'x', baseUrl: 'ftp://x' }, 'baseUrl must be an http or https URL'],
    [{ type: 'WEB_PROXY', name: 'x', bucket: 'y' }, 'bucket is not allowed for origins of type WEB_PROXY'],
  ])('refuse origin %j', async (body, message) => {
    expect(await call('POST', origins, body)).toMatchObject({ status: 400, body: { message } })
  })

  it('tie endpoints to origins', async () => {
    const origin = await call('POST', origins, {
      type: 'WEB_FOLDER',
      name: 'Web',
      baseUrl: 'https://example.com/a',
    })
    const created = await call('POST', endpoints, {
      description: 'Shop',
      urlPrefix: 'shop',
      origins: [origin.body.id],
    })
    expect(created).toEqual({
      status: 201,
      body: { id: expect.any(String), description: 'Shop', urlPrefix: 'shop', origins: [origin.body.id] },
    })
    expect((await call('DELETE', `${origins}/${origin.body.id}`)).status).toBe(400)
    const rewriter = { type: 'CLOUDINARY', preserveAssetDeliveryTypes: false }
    const changed = await call('PUT', `${endpoints}/${created.body.id}`, {
      description: 'Shop 2',
      urlPrefix: 'shop',
      urlRewriter: { type: 'CLOUDINARY' },
    })
    expect(changed.body).toEqual({
      id: created.body.id,
      description: 'Shop 2',
      urlPrefix: 'shop',
      origins: [],
      urlRewriter: rewriter,
    })
    expect((await call('GET', endpoints)).body).toMatchObject([
      { id: 'default', urlPrefix: '' },
      { id: created.body.id },
    ])
    expect((await call('DELETE', `${endpoints}/${created.body.id}`)).status).toBe(204)
    expect((await call('DELETE', `${origins}/${origin.body.id}`)).status).toBe(204)
  })

  it.each([
    [{}, 'description is required'],
    [{ description: 'x' }, 'urlPrefix must be a string'],
    [{ description: 'x', urlPrefix: 5 }, 'urlPrefix must be a string'],
    [
      { description: 'x', urlPrefix: '' },
      'urlPrefix cannot be empty string. This is reserved for the default URL-endpoint created by ImageKit.',
    ],
    [
      { description: 'x', urlPrefix: 'y', origins: ['nope'] },
      'Origin does not exists. Please create origin before using it in URL-endpoint.',
    ],
  ])('refuse endpoint %j', async (body, message) => {
    expect(await call('POST', endpoints, body)).toMatchObject({ status: 400, body: { message } })
  })

  it('keep the default endpoint', async () => {
    expect(await call('DELETE', `${endpoints}/default`)).toMatchObject({
      status: 400,
      body: { message: 'Default URL-endpoint cannot be deleted.' },
    })
    const changed = await call('PUT', `${endpoints}/default`, { description: 'Main' })
    expect(changed.body).toEqual({ id: 'default', description: 'Main', urlPrefix: '', origins: [] })
    expect(await call('GET', `${endpoints}/nope`)).toMatchObject({
      status: 404,
      body: { message: 'URL-endpoint not found.' },
    })
  })
})
