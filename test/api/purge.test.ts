import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
let seed = 0
beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

const HELP = expect.any(String)
const INVALID = 'The URL is not valid for cache purging.'
const urlOf = (path: string) => `${tintype.url}/demo${path}`
const request = (url: unknown) => call(tintype, 'POST', '/v1/files/purge', { url })
const upload = (path: string) => {
  seed += 1
  return put(tintype, path, png(20, 20, seed))
}
/** Whether a transformed image was there before it was asked for. */
const cacheOf = async (path: string) => (await fetch(urlOf(path))).headers.get('x-tintype-cache')

/** Purges and waits until it is done. */
async function purge(path: string) {
  const answer = await request(urlOf(path))
  expect(answer).toMatchObject({
    status: 201,
    body: { requestId: expect.stringMatching(/^[0-9a-f]{24}$/) },
  })
  await expect
    .poll(async () => (await call(tintype, 'GET', `/v1/files/purge/${answer.body.requestId}`)).body, {
      timeout: 10_000,
    })
    .toEqual({ status: 'Completed' })
}

/** Makes derivatives, purges, and tells which of them are gone. */
async function purged(path: string, made: string[]): Promise<string[]> {
  for (const each of made) await cacheOf(each)
  for (const each of made) expect(await cacheOf(each), each).toBe('hit')
  await purge(path)
  const gone = []
  for (const each of made) if ((await cacheOf(each)) === 'miss') gone.push(each)
  return gone
}

describe('purging a URL', () => {
  it('without a transformation removes everything that was made of the file', async () => {
    await upload('/one/a.png')
    await upload('/one/b.png')
    const own = ['/one/a.png?tr=w-5', '/tr:w-6,h-6/one/a.png', '/one/a.png?tr=n-ik_ml_thumbnail']
    expect(await purged('/one/a.png', [...own, '/one/b.png?tr=w-5'])).toEqual(own)
  })

  it('with a transformation removes what it made, in either form', async () => {
    await upload('/two/a.png')
    const made = ['/two/a.png?tr=w-5', '/two/a.png?tr=w-6', '/two/a.png?tr=n-ik_ml_thumbnail']
    expect(await purged('/tr:w-5/two/a.png', made)).toEqual([made[0]])
    expect(await purged('/two/a.png?tr=w-6', made)).toEqual([made[1]])
    expect(await purged('/two/a.png?tr=n-ik_ml_thumbnail', made)).toEqual([made[2]])
  })

  it('of an old version removes what was made of it', async () => {
    const { fileId } = await upload('/old/a.png')
    await upload('/old/a.png')
    const [, old] = (await call(tintype, 'GET', `/v1/files/${fileId}/versions`)).body
    const query = new URL(old.url).search
    const made = ['/old/a.png?tr=w-5', `/old/a.png${query}&tr=w-5`]
    expect(await purged(`/old/a.png${query}`, made)).toEqual([made[1]])
  })

  it('of nothing is accepted too', async () => {
    await purge('/none/at/all.png')
    await purge('/none/at/all.png?tr=w-abc')
  })

  it('survives a restart', async () => {
    const { body } = await request(urlOf('/one/a.png'))
    const path = `/v1/files/purge/${body.requestId}`
    await expect
      .poll(async () => (await call(tintype, 'GET', path)).body.status, { timeout: 5000 })
      .toBe('Completed')
    expect(await tintype.store.jobs.byId(body.requestId)).toMatchObject({
      kind: 'cache.purge',
      state: 'done',
    })
  })
})

describe('purging with a wildcard', () => {
  it('removes what was made of everything that begins so', async () => {
    for (const path of [
      '/wild/x/a.png',
      '/wild/x/deep/b.png',
      '/wild/xy/c.png',
      '/wild/y/d.png',
      '/wild/e.png',
    ]) {
      await upload(path)
    }
    const made = [
      '/wild/x/a.png',
      '/wild/x/deep/b.png',
      '/wild/xy/c.png',
      '/wild/y/d.png',
      '/wild/e.png',
    ].map((path) => `${path}?tr=w-5`)
    expect(await purged('/wild/x/*', made)).toEqual([made[0], made[1]])
    expect(await purged('/wild/x*', made)).toEqual([made[0], made[1], made[2]])
    expect(await purged('/wild/y/d.pn*', made)).toEqual([made[3]])
    expect(await purged('/wild/e.png*', made)).toEqual([made[4]])
    expect(await purged('/tr:w-6/wild/x/*', made)).toEqual([])
    expect(await purged('/tr:w-5/wild/x/*', made)).toEqual([made[0], made[1]])
    expect(await purged('/wild/e.png?tr=w-7*', made)).toEqual([made[4]])
  })

  it('finds names beyond ASCII', async () => {
    await upload('/wild/Größe/é.png')
    const made = [`/wild/${encodeURIComponent('Größe')}/é.png?tr=w-5`]
    expect(await purged(`/wild/${encodeURIComponent('Größe')}/*`, made)).toEqual(made)
  })

  it.each([
    '/images/upload*',
    '/images/upload/*',
    '/fifteen-characters*',
    '/sample.jpg*',
    '/tr:w-100/sample.jpg*',
    '/s/files/more/*',
    '/media/catalog/product/*',
    '/a.jpg?tr=w-1*',
  ])('takes %s', async (path) => {
    expect((await request(urlOf(path))).status).toBe(201)
  })

  it.each([
    '/*',
    '/images*',
    '/images/*',
    '/short-dir*',
    '/tr:w-100,h-100,fo-auto/images*',
    '/folder/*/sample.jpg',
    '/folder/*/*',
    '/folder/sub**',
    '/media/catalog/*',
    '/media/catalog*',
    '/s/files/*',
    '*',
    '/',
    '',
    '/%zz*',
    '/a%00/b*',
  ])('refuses %s', async (path) => {
    expect(await request(urlOf(path))).toMatchObject({ status: 400, body: { message: INVALID, help: HELP } })
  })
})

describe('purge requests', () => {
  it.each([
    ['URLs of others', 'https://ik.imagekit.io/demo/a.jpg'],
    ['another account', () => `${tintype.url}/other/a.jpg`],
    ['the API', () => `${tintype.url}/v1/files`],
    ['no URL', 'a.jpg'],
    ['nothing', undefined],
    ['null', null],
    ['a number', 5],
    ['a list', ['https://example.com/demo/a.jpg']],
  ])('refuse %s', async (_, url) => {
    const value = typeof url === 'function' ? url() : url
    expect(await request(value)).toMatchObject({ status: 400, body: { message: INVALID, help: HELP } })
  })

  it('are asked for by their id only', async () => {
    const { fileId } = await upload('/ids/a.png')
    for (const id of ['0123456789abcdef01234567', 'nope', fileId, '%00', "' OR 1=1 --"]) {
      const answer = await call(tintype, 'GET', `/v1/files/purge/${encodeURIComponent(id)}`)
      expect(answer).toMatchObject({
        status: 400,
        body: { message: 'No request found for this requestId.', help: HELP },
      })
    }
  })

  it('need a key', async () => {
    const body = { url: urlOf('/a.jpg') }
    expect((await call(tintype, 'POST', '/v1/files/purge', body, null)).status).toBe(401)
    expect((await call(tintype, 'GET', '/v1/files/purge/x', undefined, null)).status).toBe(401)
  })

  it('can be limited for each month', async () => {
    const limited = await startTintype({ env: { TINTYPE_PURGE_MAX_PER_MONTH: '2' } })
    try {
      const body = { url: `${limited.url}/demo/a.jpg` }
      const statuses = []
      for (let i = 0; i < 3; i += 1) {
        statuses.push((await call(limited, 'POST', '/v1/files/purge', body)).status)
      }
      expect(statuses).toEqual([201, 201, 429])
    } finally {
      await limited.stop()
    }
  })
})
