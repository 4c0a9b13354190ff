import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AiTag } from '../../src/store/store.ts'
import { call, put } from '../support/api.ts'
import { png } from '../support/images.ts'
import { snapshot } from '../support/snapshot.ts'
import { startTintype, type TestTintype } from '../support/tintype.ts'

let tintype: TestTintype
let fileId: string
const HELP = expect.any(String)
const UNKNOWN = '0123456789abcdef01234567'

beforeAll(async () => {
  tintype = await startTintype()
  for (const [name, schema] of [
    ['brand', { type: 'Text', maxLength: 10 }],
    ['price', { type: 'Number', minValue: 0 }],
    ['season', { type: 'MultiSelect', selectOptions: ['summer', 'winter'] }],
    ['must', { type: 'Boolean', isValueRequired: true, defaultValue: false }],
  ] as const) {
    const body = { name, label: name, schema }
    expect((await call(tintype, 'POST', '/v1/customMetadataFields', body)).status).toBe(201)
  }
  fileId = (await put(tintype, '/update/a.png', png(40, 30), { tags: 'one,two' })).fileId
})
afterAll(() => tintype.stop())

const patch = (body: unknown, id = fileId, authorization?: string | null) =>
  call(tintype, 'PATCH', `/v1/files/${id}/details`, body, authorization)
const details = async (id = fileId) => (await call(tintype, 'GET', `/v1/files/${id}/details`)).body
const aiTag = (name: string): AiTag => ({ name, confidence: 90.5, source: 'google-auto-tagging' })
async function setAiTags(aiTags: AiTag[]) {
  const file = (await tintype.store.files.byId(fileId))!
  await tintype.store.files.updateVersion(file, { aiTags, updatedAtMs: file.updatedAtMs })
}

describe('PATCH details', () => {
  it.each([
    ['tags', { tags: ['red', ' blue ', 'red', ''] }, { tags: ['red', 'blue'] }],
    ['tags away', { tags: null }, { tags: null }],
    ['tags away by an empty list', { tags: [] }, { tags: null }],
    ['coordinates', { customCoordinates: '10, 10,100,100' }, { customCoordinates: '10,10,100,100' }],
    ['coordinates away', { customCoordinates: null }, { customCoordinates: null }],
    ['a description', { description: 'A <b>bold</b> "move"\nof 漢字' }, undefined],
    ['a description away', { description: null }, { description: null }],
    [
      'custom metadata, each key by itself',
      { customMetadata: { brand: 'Nike', season: ['summer', 'winter'] } },
      { customMetadata: { must: false, brand: 'Nike', season: ['summer', 'winter'] } },
    ],
    [
      'one value away, others stay',
      { customMetadata: { brand: null, price: 0 } },
      { customMetadata: { must: false, price: 0, season: ['summer', 'winter'] } },
    ],
    ['several at once', { tags: ['x'], description: 'y', customCoordinates: '1,2,3,4' }, undefined],
  ])('sets %s', async (_, body, expected) => {
    const before = await details()
    const answer = await patch(body)
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    const { updatedAt, url, thumbnail } = answer.body
    expect(answer.body).toEqual({ ...before, ...(expected ?? body), updatedAt, url, thumbnail })
    expect(Date.parse(updatedAt)).toBeGreaterThanOrEqual(Date.parse(before.updatedAt))
    expect(url).toContain(`updatedAt=${Date.parse(updatedAt)}`)
    expect(await details()).toEqual(answer.body)
  })

  it.each([
    [{}],
    [{ unknown: 1 }],
    [{ extensions: [], webhookUrl: '' }],
    [{ removeAITags: null }],
    [undefined],
  ])('changes nothing for %j', async (body) => {
    const before = await details()
    const answer = await patch(body)
    expect(answer).toMatchObject({ status: 200, body: before })
  })

  it('removes AI tags by name, all of them, and before anything else', async () => {
    await setAiTags([aiTag('Cat'), aiTag('Dog'), aiTag('Tree')])
    const one = await patch({ removeAITags: ['Dog', 'Unknown'] })
    expect(one.body.AITags).toEqual([aiTag('Cat'), aiTag('Tree')])
    const all = await patch({ removeAITags: 'all', tags: ['kept'] })
    expect(all.body).toMatchObject({ AITags: null, tags: ['kept'] })
  })

  it('finds the file by its new tags and not by its old ones', async () => {
    await patch({ tags: ['before-the-change'] })
    await patch({ tags: ['after-the-change'] })
    const byTag = async (tag: string) => (await call(tintype, 'GET', `/v1/files?tags=${tag}`)).body.length
    expect(await byTag('before-the-change')).toBe(0)
    expect(await byTag('after-the-change')).toBe(1)
  })

  const TAGS = 'Your request contains invalid value for tags parameter.'
  it.each<[string, unknown, Record<string, unknown>]>([
    [
      'long tags',
      { tags: ['x'.repeat(300), 'y'.repeat(201)] },
      { message: `${TAGS} Combined length of all tags should be less than or equal to 500.` },
    ],
    ['tags with %', { tags: ['50%'] }, { message: `${TAGS} The character '%' is not allowed.` }],
    ['tags of other types', { tags: [1] }, { message: expect.stringContaining(TAGS) }],
    ['tags as a text', { tags: 'a,b' }, { message: expect.stringContaining(TAGS) }],
    [
      'coordinates that are none',
      { customCoordinates: '1,2,3' },
      { message: expect.stringContaining('x,y,width,height') },
    ],
    ['coordinates as numbers', { customCoordinates: 12 }, { message: expect.stringContaining('string') }],
    ['a description as a number', { description: 1 }, { message: expect.stringContaining('description') }],
    [
      'a very long description',
      { description: 'x'.repeat(10_001) },
      { message: expect.stringContaining('10000') },
    ],
    [
      'an unknown field',
      { customMetadata: { nope: 1 } },
      { message: 'Invalid custom metadata.', errors: { nope: expect.any(String) } },
    ],
    [
      'values of wrong types, all named',
      { tags: ['lost'], customMetadata: { brand: 5, price: -1, season: ['spring'] } },
      {
        message: 'Invalid custom metadata.',
        errors: { brand: expect.any(String), price: expect.any(String), season: expect.any(String) },
      },
    ],
    [
      'a required field away',
      { customMetadata: { must: null } },
      { message: 'Invalid custom metadata.', errors: { must: 'is required' } },
    ],
    ['custom metadata as null', { customMetadata: null }, { message: 'Invalid custom metadata.' }],
    ['custom metadata as a list', { customMetadata: ['x'] }, { message: 'Invalid custom metadata.' }],
    ['another word than all', { removeAITags: 'some' }, { message: expect.stringContaining('removeAITags') }],
    ['AI tags of other types', { removeAITags: [1] }, { message: expect.stringContaining('removeAITags') }],
    ['publish without isPublished', { publish: {} }, { message: expect.stringContaining('isPublished') }],
    ['publish as a text', { publish: 'true' }, { message: expect.stringContaining('isPublished') }],
    [
      'publish with a text inside',
      { publish: { isPublished: 'true' } },
      { message: expect.stringContaining('isPublished') },
    ],
    [
      'extensions that nobody has set up',
      { extensions: [{ name: 'remove-bg' }] },
      { message: expect.stringContaining('not set up') },
    ],
    [
      'a webhook URL that is none',
      { webhookUrl: 'nonsense' },
      { message: expect.stringContaining('webhookUrl parameter') },
    ],
    ['a list as body', [], { message: expect.stringContaining('JSON object') }],
    ['a text as body', 'x', { message: expect.stringContaining('JSON object') }],
  ])('refuses %s and changes nothing', async (_, body, expected) => {
    const before = await snapshot(tintype)
    const answer = await patch(body)
    expect(answer).toMatchObject({ status: 400, body: { help: HELP, ...expected } })
    expect(await snapshot(tintype)).toEqual(before)
  })

  it('answers for files that are not there, and for keys that may not', async () => {
    expect(await patch({ tags: [] }, UNKNOWN)).toMatchObject({
      status: 404,
      body: { message: 'The requested file does not exist.', help: HELP },
    })
    for (const id of ['short', `${UNKNOWN}0`, UNKNOWN.toUpperCase(), '%2e%2e%2f']) {
      expect(await patch({ tags: [] }, id)).toMatchObject({
        status: 400,
        body: { message: 'Your request contains invalid fileId parameter.' },
      })
    }
    expect(await patch({ tags: ['x'] }, fileId, null)).toMatchObject({
      status: 401,
      body: { message: 'Your request does not contain private API key.' },
    })
    const wrong = `Basic ${Buffer.from('private_wrong:').toString('base64')}`
    expect((await patch({ tags: ['x'] }, fileId, wrong)).status).toBe(403)
  })

  it('takes the value of a field away that has been deleted since', async () => {
    const { fileId: own } = await put(tintype, '/update/leftover.png', png(4, 4, 9))
    const field = { name: 'season-old', label: 'season-old', schema: { type: 'Text' } }
    const { id } = (await call(tintype, 'POST', '/v1/customMetadataFields', field)).body
    await patch({ customMetadata: { 'season-old': 'spring' } }, own)
    expect((await call(tintype, 'DELETE', `/v1/customMetadataFields/${id}`)).status).toBe(204)
    expect((await patch({ customMetadata: { brand: 'x' } }, own)).body.customMetadata).toMatchObject({
      brand: 'x',
      'season-old': 'spring',
    })
    expect((await patch({ customMetadata: { 'season-old': 'autumn' } }, own)).status).toBe(400)
    const cleared = await patch({ customMetadata: { 'season-old': null } }, own)
    expect(cleared.body.customMetadata).toEqual({ must: false, brand: 'x' })
    expect((await patch({ customMetadata: { 'season-old': null } }, own)).status).toBe(400)
  })

  it('loses none of many changes at a time', async () => {
    const { fileId: own } = await put(tintype, '/update/many.png', png(4, 4, 5))
    const names = ['tags', 'description', 'customCoordinates'] as const
    const values = { tags: ['t'], description: 'd', customCoordinates: '1,1,1,1' }
    await Promise.all(names.map((name) => patch({ [name]: values[name] }, own)))
    expect(await details(own)).toMatchObject(values)
  })
})

describe('PATCH publish', () => {
  const get = (url: string) => fetch(url).then(async (r) => [r.status, (await r.arrayBuffer()).byteLength])
  const versionsOf = async (id: string) => (await call(tintype, 'GET', `/v1/files/${id}/versions`)).body

  it('withdraws the current version only, and publishes it again', async () => {
    const file = await put(tintype, '/publish/one.png', png(8, 8, 1))
    await put(tintype, '/publish/one.png', png(9, 9, 2))
    const [, old] = await versionsOf(file.fileId)
    const resized = `${file.url}?tr=w-4`
    expect((await get(resized))[0]).toBe(200)

    const hidden = await patch({ publish: { isPublished: false } }, file.fileId)
    expect(hidden).toMatchObject({ status: 200, body: { isPublished: false, type: 'file' } })
    expect((await get(file.url))[0]).toBe(404)
    expect((await get(resized))[0]).toBe(404)
    expect((await get(old.url))[0]).toBe(200)

    expect((await patch({ publish: { isPublished: true } }, file.fileId)).body.isPublished).toBe(true)
    expect((await get(file.url))[0]).toBe(200)
    expect((await get(old.url))[0]).toBe(200)
  })

  it('withdraws all versions, whose URLs change each time', async () => {
    const file = await put(tintype, '/publish/all.png', png(8, 8, 3))
    await put(tintype, '/publish/all.png', png(8, 8, 4))
    await put(tintype, '/publish/all.png', png(8, 8, 5))
    const before = await versionsOf(file.fileId)
    for (const version of before) expect((await get(version.url))[0]).toBe(200)

    await patch({ publish: { isPublished: false, includeFileVersions: true } }, file.fileId)
    const hidden = await versionsOf(file.fileId)
    for (const version of [...before, ...hidden]) expect((await get(version.url))[0]).toBe(404)
    expect(hidden.map((v: { isPublished: boolean }) => v.isPublished)).toEqual([false, false, false])

    await patch({ publish: { isPublished: true, includeFileVersions: true } }, file.fileId)
    const shown = await versionsOf(file.fileId)
    for (const version of shown) expect((await get(version.url))[0]).toBe(200)
    // The old tokens stay dead, the new ones show what they showed before.
    for (const at of [1, 2]) {
      expect((await get(before[at].url))[0]).toBe(404)
      expect(new URL(shown[at].url).searchParams.get('ik-obj-version')).not.toBe(
        new URL(before[at].url).searchParams.get('ik-obj-version'),
      )
      expect(shown[at].versionInfo).toEqual(before[at].versionInfo)
    }
  })

  it('keeps the token of a version whose state stays', async () => {
    const file = await put(tintype, '/publish/same.png', png(8, 8, 6))
    await put(tintype, '/publish/same.png', png(8, 8, 7))
    const [, old] = await versionsOf(file.fileId)
    await patch({ publish: { isPublished: true, includeFileVersions: true } }, file.fileId)
    expect((await versionsOf(file.fileId))[1].url).toBe(old.url)
  })
})
