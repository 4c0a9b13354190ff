import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import { createKeyring, type Keyring } from '../../src/library/library.ts'
import type { ApiKey } from '../../src/store/store.ts'
import { call } from '../support/api.ts'
import { png } from '../support/images.ts'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

const NO_CONFIGURED_KEYS = { TINTYPE_PUBLIC_KEY: '', TINTYPE_PRIVATE_KEY: '' }
const START = Date.parse('2026-03-01T10:00:00.000Z')

let now = START
let tintype: TestTintype
let keyring: Keyring
let first: ApiKey
beforeAll(async () => {
  const clock = { now: () => now }
  tintype = await startTintype({ env: NO_CONFIGURED_KEYS, clock })
  keyring = createKeyring({ store: tintype.store, ids: systemIds, clock, isConfigured: false })
  first = (await keyring.list())[0]!
})
afterAll(() => tintype.stop())

const authorizationOf = (key: ApiKey) => `Basic ${Buffer.from(`${key.privateKey}:`).toString('base64')}`
const request = async (key: ApiKey, method: string, path: string, body?: unknown) => {
  const answer = await call(tintype, method, path, body, authorizationOf(key))
  return [answer.status, answer.body?.message]
}
const listing = (key: ApiKey) => request(key, 'GET', '/v1/files')
const NOT_PERMITTED = 'Your API key does not have the permission for this request.'
const tooFew = { kind: 'bad-request', message: expect.stringMatching(/standard key pair/) }

describe('key pairs', () => {
  it('come as one standard pair from the first start', async () => {
    expect(await keyring.list()).toEqual([first])
    expect(first).toMatchObject({
      name: 'default',
      isRestricted: false,
      publicKey: tintype.account.created?.publicKey,
      privateKey: tintype.account.created?.privateKey,
    })
    expect(await listing(first)).toEqual([200, undefined])
  })

  it('restricted ones do what they may and nothing else', async () => {
    const keys = {
      none: await keyring.create({ name: 'none', access: 'none' }),
      read: await keyring.create({ name: 'read', access: 'read' }),
      write: await keyring.create({ name: 'write', access: 'write' }),
    }
    now += 2000
    const uploading = async (key: ApiKey) => {
      const answer = await upload(
        tintype,
        png(2, 2, 1),
        { fileName: 'a.png' },
        { authorization: authorizationOf(key) },
      )
      return [answer.status, answer.body.message]
    }
    const managing = (key: ApiKey) =>
      request(key, 'POST', '/v1/named-transformations', { name: key.name, transformation: 'w-1' })
    expect(await listing(keys.none)).toEqual([403, NOT_PERMITTED])
    expect(await uploading(keys.none)).toEqual([403, NOT_PERMITTED])
    expect(await managing(keys.none)).toEqual([403, NOT_PERMITTED])
    expect(await listing(keys.read)).toEqual([200, undefined])
    expect(await uploading(keys.read)).toEqual([403, NOT_PERMITTED])
    expect(await managing(keys.read)).toEqual([403, NOT_PERMITTED])
    expect(await request(keys.read, 'GET', '/v1/named-transformations')).toEqual([200, undefined])
    expect(await listing(keys.write)).toEqual([200, undefined])
    expect(await uploading(keys.write)).toEqual([200, undefined])
    expect(await managing(keys.write)).toEqual([403, NOT_PERMITTED])
    expect(await managing(first)).toEqual([201, undefined])

    await keyring.restrict('none', 'read')
    now += 2000
    expect(await listing(keys.none)).toEqual([200, undefined])
    await expect(keyring.restrict('default', 'read')).rejects.toMatchObject({ kind: 'bad-request' })
    await expect(keyring.restrict('none', 'standard')).rejects.toMatchObject({ kind: 'bad-request' })
  })

  it('are five at most', async () => {
    await keyring.create({ name: 'fifth', access: 'standard' })
    await expect(keyring.create({ name: 'sixth', access: 'standard' })).rejects.toMatchObject({
      kind: 'bad-request',
      message: expect.stringMatching(/5 key pairs/),
    })
    const fifth = await keyring.disable('fifth')
    await keyring.create({ name: 'sixth', access: 'standard' })
    await expect(keyring.enable('fifth')).rejects.toMatchObject({ kind: 'bad-request' })
    now += 2000
    expect(await listing(fifth)).toEqual([403, 'Your account is disabled.'])
    await keyring.remove('sixth')
    await keyring.enable('fifth')
    now += 2000
    expect(await listing(fifth)).toEqual([200, undefined])
    await keyring.remove('fifth')
    now += 2000
    expect(await listing(fifth)).toEqual([403, 'Your account cannot be authenticated.'])
  })

  it('that are rolled go on for as long as was said', async () => {
    const { old, created } = await keyring.roll('default', 3_600_000)
    expect(old.id).toBe(first.id)
    expect(created).toMatchObject({ name: 'default', isRestricted: false, expiresAtMs: null })
    now += 2000
    expect([await listing(old), await listing(created)]).toEqual([
      [200, undefined],
      [200, undefined],
    ])
    // The name now means the pair that goes on.
    const again = await keyring.roll('default', 0)
    expect(again.old.id).toBe(created.id)
    now += 2000
    const expired = [403, 'Your request contains expired private API key.']
    expect(await listing(created)).toEqual(expired)
    expect(await listing(again.created)).toEqual([200, undefined])
    now += 3_600_000
    expect(await listing(old)).toEqual(expired)
    await expect(keyring.roll(old.id, 0)).rejects.toMatchObject({ message: expect.stringMatching(/expired/) })
    first = again.created
  })

  it('always leave one standard pair', async () => {
    await expect(keyring.remove('default')).rejects.toMatchObject({ kind: 'bad-request' })
    await expect(keyring.disable(first.publicKey)).rejects.toMatchObject(tooFew)
    await expect(keyring.remove(first.id)).rejects.toMatchObject(tooFew)
    await keyring.create({ name: 'other', access: 'standard' })
    const both = await Promise.allSettled([keyring.remove(first.id), keyring.remove('other')])
    expect(both.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected'])
    const standard = (await keyring.list()).filter((key) => !key.isRestricted && key.expiresAtMs === null)
    expect(standard).toHaveLength(1)
  })

  it('are found by what identifies one of them', async () => {
    await expect(keyring.disable('nobody')).rejects.toMatchObject({ kind: 'not-found' })
    await expect(keyring.create({ name: 'read', access: 'none' })).rejects.toMatchObject({
      kind: 'bad-request',
    })
    await expect(keyring.create({ name: ' ', access: 'none' })).rejects.toMatchObject({ kind: 'bad-request' })
  })
})
