import { createRequire } from 'node:module'
import ImageKit7 from '@imagekit/nodejs'
import type ImageKit6 from 'imagekit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { type Received, type Service, startService } from '../support/providers/service.ts'
import { startTintype, TEST_KEYS, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
let receiver: Service
beforeEach(async () => {
  receiver = await startService(() => ({ status: 200 }))
  tintype = await startTintype({ env: { TINTYPE_WEBHOOKS_FIRST_RETRY_MS: '20' } })
})
afterEach(async () => {
  await tintype.stop()
  await receiver.close()
})

const subscribe = async (body: object = {}) =>
  (await call(tintype, 'POST', '/v1/webhooks', { url: `${receiver.url}/hook`, ...body })).body
const eventOf = (request: Received) => JSON.parse(request.body.toString('utf8'))
const received = async (count: number) => {
  await expect.poll(() => receiver.requests.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(count)
  return receiver.requests.map(eventOf)
}

describe('events of files', () => {
  it('tell of creation, update, version and deletion, in this order', async () => {
    await subscribe()
    const first = await put(tintype, '/a/b.png', png(3, 2))
    await call(tintype, 'PATCH', `/v1/files/${first.fileId}/details`, { tags: ['x'] })
    const second = await put(tintype, '/a/b.png', png(4, 4))
    await call(tintype, 'DELETE', `/v1/files/${first.fileId}/versions/${first.fileId}`)
    await call(tintype, 'DELETE', `/v1/files/${first.fileId}`)
    const events = await received(5)
    expect(events.map((event) => event.type)).toEqual([
      'file.created',
      'file.updated',
      'file-version.created',
      'file-version.deleted',
      'file.deleted',
    ])
    const [created, updated, version, versionGone, gone] = events
    expect(created).toMatchObject({
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      data: {
        type: 'file',
        fileId: first.fileId,
        filePath: '/a/b.png',
        url: expect.stringContaining(`${tintype.url}/demo/a/b.png?updatedAt=`),
      },
    })
    expect(updated.data).toMatchObject({ fileId: first.fileId, tags: ['x'] })
    expect(version.data.versionInfo).toEqual(second.versionInfo)
    expect(versionGone.data).toEqual({ fileId: first.fileId, versionId: first.fileId })
    expect(gone.data).toEqual({ fileId: first.fileId })
    expect(new Set(events.map((event) => event.id)).size).toBe(5)
  })

  it('reach only those who chose them, and nobody where nobody did', async () => {
    const quiet = await startService(() => ({ status: 200 }))
    await subscribe({ events: ['file.deleted'] })
    await subscribe({ url: quiet.url, events: ['upload.post-transform.success'] })
    const file = await put(tintype, '/a.png', png(1, 1))
    await call(tintype, 'DELETE', `/v1/files/${file.fileId}`)
    expect((await received(1)).map((event) => event.type)).toEqual(['file.deleted'])
    expect(quiet.requests).toEqual([])
    await quiet.close()
  })

  it('cost nothing where there is no endpoint', async () => {
    await put(tintype, '/a.png', png(1, 1))
    expect(await tintype.store.jobs.list({ limit: 10 })).toEqual([])
  })

  it('tell of bulk changes, copies, moves, renames and restores', async () => {
    const a = await put(tintype, '/a.png', png(1, 1))
    const b = await put(tintype, '/in/a.png', png(2, 1))
    await subscribe()
    const fileIds = [a.fileId]
    await call(tintype, 'POST', '/v1/files/addTags', { fileIds, tags: ['t'] })
    await call(tintype, 'POST', '/v1/files/addTags', { fileIds, tags: ['t'] })
    await call(tintype, 'PUT', '/v1/files/rename', { filePath: '/a.png', newFileName: 'c.png' })
    await call(tintype, 'POST', '/v1/files/copy', { sourceFilePath: '/c.png', destinationPath: '/out' })
    await call(tintype, 'POST', '/v1/files/move', { sourceFilePath: '/c.png', destinationPath: '/new' })
    await call(tintype, 'PUT', '/v1/files/rename', { filePath: '/new/c.png', newFileName: 'a.png' })
    await call(tintype, 'POST', '/v1/files/move', { sourceFilePath: '/new/a.png', destinationPath: '/in' })
    await call(tintype, 'PUT', `/v1/files/${b.fileId}/versions/${b.fileId}/restore`)
    const events = await received(8)
    const told = events.map(
      ({ type, data }) =>
        `${type} ${data.fileId === a.fileId ? 'a' : ''}${data.fileId === b.fileId ? 'b' : ''} ${data.filePath ?? ''}`,
    )
    expect(told.filter((line) => line.includes(' a '))).toEqual([
      'file.updated a /a.png',
      'file.updated a /c.png',
      'file.updated a /new/c.png',
      'file.updated a /new/a.png',
      'file.deleted a ',
    ])
    expect(told.filter((line) => line.includes(' b '))).toEqual([
      'file-version.created b /in/a.png',
      'file.updated b /in/a.png',
    ])
    expect(told).toContain('file.created  /out/c.png')
    expect(told).toHaveLength(8)
  })
})

describe('deliveries', () => {
  it('are accepted by both official SDKs, which refuse a changed byte', async () => {
    const { secret } = await subscribe()
    await put(tintype, '/é.png', png(1, 1))
    await received(1)
    const [{ headers, body }] = receiver.requests as [Received]
    const text = body.toString('utf8')
    const changed = text.replace('"type":"file.created"', '"type":"file.Created"')
    expect(changed).not.toBe(text)

    const Legacy = createRequire(import.meta.url)('imagekit') as typeof ImageKit6
    const legacy = new Legacy({ ...TEST_KEYS, urlEndpoint: `${tintype.url}/demo` })
    const signature = headers['x-ik-signature'] as string
    const verified = legacy.verifyWebhookEvent(text, signature, secret)
    expect(verified.event).toMatchObject({ type: 'file.created' })
    expect(Math.abs(verified.timestamp - Date.now())).toBeLessThan(60_000)
    expect(() => legacy.verifyWebhookEvent(changed, signature, secret)).toThrow()

    const client = new ImageKit7({ privateKey: TEST_KEYS.privateKey, baseURL: tintype.url })
    const plain = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
    expect(client.webhooks.unwrap(text, { headers: plain, key: secret })).toMatchObject({
      type: 'file.created',
    })
    expect(() => client.webhooks.unwrap(changed, { headers: plain, key: secret })).toThrow()
    expect(headers['webhook-id']).toBe(JSON.parse(text).id)
  })

  it('are tried again under the same id, with a signature of their own', async () => {
    const { id } = await subscribe()
    receiver.fail(
      { status: 500 },
      { status: 302, headers: { location: `${receiver.url}/else` } },
      { status: 204 },
    )
    await put(tintype, '/a.png', png(1, 1))
    await received(3)
    expect(receiver.requests.map((request) => request.path)).toEqual(['/hook', '/hook', '/hook'])
    expect(new Set(receiver.requests.map((request) => request.headers['webhook-id'])).size).toBe(1)
    expect(new Set(receiver.requests.map((request) => String(request.body))).size).toBe(1)
    expect(new Set(receiver.requests.map((request) => request.headers['x-ik-signature'])).size).toBe(3)
    await expect
      .poll(async () => (await call(tintype, 'GET', `/v1/webhooks/${id}/deliveries`)).body)
      .toMatchObject([
        { state: 'delivered', attempts: 3, lastStatus: 204, lastError: null, eventType: 'file.created' },
      ])
    expect((await call(tintype, 'GET', `/v1/webhooks/${id}`)).body.failingSince).toBeNull()
  })

  it('stay in order for a file while the first is tried again', async () => {
    await subscribe()
    receiver.fail({ status: 503 }, { status: 503 }, { status: 200 })
    const file = await put(tintype, '/a.png', png(1, 1))
    await call(tintype, 'PATCH', `/v1/files/${file.fileId}/details`, { tags: ['x'] })
    await call(tintype, 'DELETE', `/v1/files/${file.fileId}`)
    const types = (await received(5)).map((event) => event.type)
    expect(types).toEqual(['file.created', 'file.created', 'file.created', 'file.updated', 'file.deleted'])
  })

  it('end with 410, which disables the endpoint; enabling and replaying sends them', async () => {
    const { id } = await subscribe()
    receiver.fail({ status: 410 })
    await put(tintype, '/a.png', png(1, 1))
    await expect
      .poll(async () => (await call(tintype, 'GET', `/v1/webhooks/${id}`)).body)
      .toMatchObject({ enabled: false, disabledReason: expect.stringContaining('410') })
    await put(tintype, '/b.png', png(1, 1))
    const failed = await call(tintype, 'GET', `/v1/webhooks/${id}/deliveries?state=failed`)
    expect(failed.body).toMatchObject([{ lastStatus: 410 }])
    expect(receiver.requests).toHaveLength(1)

    receiver.fail({ status: 200 })
    const enabled = await call(tintype, 'PATCH', `/v1/webhooks/${id}`, { enabled: true })
    expect(enabled.body).toMatchObject({ enabled: true, disabledReason: null, failingSince: null })
    const replay = await call(tintype, 'POST', `/v1/webhooks/${id}/deliveries/${failed.body[0].id}/replay`)
    expect(replay.status).toBe(202)
    await received(2)
    expect(receiver.requests[1]!.headers['webhook-id']).toBe(receiver.requests[0]!.headers['webhook-id'])
    expect((await call(tintype, 'POST', `/v1/webhooks/${id}/replay-failed`)).body).toEqual({ replayed: 1 })
    await received(3)
  })
})

describe('management', () => {
  it('makes, shows, changes, rotates and deletes endpoints', async () => {
    const made = await call(tintype, 'POST', '/v1/webhooks', { url: receiver.url, events: ['file.deleted'] })
    expect(made.status).toBe(201)
    expect(made.body.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    const { id, secret } = made.body
    const shown = await call(tintype, 'GET', '/v1/webhooks')
    expect(shown.body).toMatchObject([{ id, events: ['file.deleted'], enabled: true, failingSince: null }])
    expect(JSON.stringify(shown.body)).not.toContain(secret)
    const changed = await call(tintype, 'PATCH', `/v1/webhooks/${id}`, { events: ['*'], description: 'mine' })
    expect(changed.body).toMatchObject({ events: ['*'], description: 'mine', url: receiver.url })
    const rotated = await call(tintype, 'POST', `/v1/webhooks/${id}/rotate-secret`)
    expect(rotated.body.secret).not.toBe(secret)
    expect((await call(tintype, 'DELETE', `/v1/webhooks/${id}`)).status).toBe(204)
    expect((await call(tintype, 'GET', `/v1/webhooks/${id}`)).status).toBe(404)
  })

  it.each([
    [{}, 'url is required and must be a string.'],
    [{ url: 'http://169.254.169.254/latest' }, 'url parameter'],
    [{ url: 'ftp://example.com/' }, 'url parameter'],
    [{ url: 'https://example.com/', events: [] }, 'events must be an array'],
    [{ url: 'https://example.com/', events: ['file.eaten'] }, 'events must be an array'],
    [{ url: 'https://example.com/', enabled: 'yes' }, 'enabled must be a boolean.'],
    [{ url: 'https://example.com/', secret: 'short' }, 'secret must have'],
  ])('refuses %j', async (body, message) => {
    const answer = await call(tintype, 'POST', '/v1/webhooks', body)
    expect(answer.status).toBe(400)
    expect(answer.body.message).toContain(message)
  })

  it('needs a key', async () => {
    expect((await call(tintype, 'GET', '/v1/webhooks', undefined, null)).status).toBe(401)
  })
})
