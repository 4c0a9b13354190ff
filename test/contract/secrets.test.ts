import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../src/kernel/log.ts'
import { type ApiKey, openStore, type Store, type StoreOptions } from '../../src/store/store.ts'
import { engines, type Place } from './places.ts'

const [one, two] = [randomBytes(32).toString('base64'), randomBytes(32).toString('hex')] as const
const NOW_MS = 1_700_000_000_000

const key = (number: number): ApiKey => ({
  id: `key${number}`,
  name: `key ${number}`,
  publicKey: `public_${number}`,
  privateKey: `private_sesame${number}`,
  scope: 'write',
  isRestricted: false,
  createdAtMs: NOW_MS,
  expiresAtMs: null,
  disabledAtMs: null,
})
const origin = (id: string) => ({
  kind: 'origin' as const,
  id,
  uniqueName: null,
  // Long enough to fill pages of SQLite of its own.
  body: { type: 'GCS', privateKey: `sesame-of-${id} ${'x'.repeat(6000)}` },
})
const webhook = {
  kind: 'webhook' as const,
  id: 'wh_1',
  uniqueName: null,
  body: { url: 'https://example.com/sesame', secret: 'whsec_sesame' },
}

/** What lies in the columns, as somebody reads it who has the database only. */
async function rawText(store: Store): Promise<string> {
  const pages = await Promise.all(
    ['api_keys', 'documents'].map((table) => store.rows.page(table, undefined, 1000)),
  )
  return JSON.stringify(pages)
}

async function fill(store: Store): Promise<void> {
  await store.keys.add(key(1))
  await store.documents.add(origin('o1'), NOW_MS)
  await store.documents.add(webhook, NOW_MS)
}

describe.each(engines)('secrets in $name', ({ skip, createPlace }) => {
  describe.skipIf(skip)('the store', () => {
    let place: Place
    const opened: Store[] = []
    const open = async (changes: Partial<StoreOptions>) => {
      const store = await openStore({ ...place.options, ...changes }, { log: silentLog })
      opened.push(store)
      return store
    }
    const close = async () => {
      for (const store of opened.splice(0)) await store.close()
    }
    beforeEach(async () => {
      place = await createPlace()
    })
    afterEach(async () => {
      await close()
      await place.remove()
    })

    const expectAllThere = async (store: Store) => {
      expect(await store.keys.list()).toEqual([key(1)])
      expect(await store.documents.list('origin')).toMatchObject([origin('o1')])
      expect(await store.documents.byId('webhook', 'wh_1')).toMatchObject(webhook)
    }

    it('never holds a plain one in a column, once there is a key', async () => {
      const store = await open({ encryptionKey: one })
      await fill(store)
      await store.documents.add(
        { kind: 'named-transformation', id: 'n', uniqueName: 'n', body: { name: 'plain as ever' } },
        NOW_MS,
      )
      const raw = await rawText(store)
      expect(raw).not.toContain('sesame')
      expect(raw).toContain('plain as ever')
      expect(raw).toContain('public_1')
      await expectAllThere(store)
      await store.documents.change({ ...origin('o1'), body: { type: 'S3', secretKey: 'sesame-new' } }, NOW_MS)
      await store.keys.change({ ...key(1), name: 'renamed' })
      expect(await rawText(store)).not.toContain('sesame')
      expect((await store.documents.byId('origin', 'o1'))?.body).toEqual({
        type: 'S3',
        secretKey: 'sesame-new',
      })
      expect(await store.keys.list()).toEqual([{ ...key(1), name: 'renamed' }])
      expect(await store.secrets.inspect()).toMatchObject({ total: 3, current: 3, plain: 0 })
    })

    it('reads those from before there was a key, and encrypts them when they change', async () => {
      await fill(await open({}))
      const store = await open({ encryptionKey: one })
      await expectAllThere(store)
      await store.secrets.check()
      expect(await store.secrets.inspect()).toMatchObject({ total: 3, current: 0, plain: 3 })
      await store.keys.change(key(1))
      await store.documents.change(webhook, NOW_MS)
      expect(await store.secrets.inspect()).toMatchObject({ current: 2, plain: 1 })
      await expectAllThere(store)
    })

    it('encrypts all, changes the key and takes it back, while another server reads', async () => {
      await fill(await open({}))
      const reader = await open({ encryptionKey: one, previousEncryptionKeys: [two] })
      const first = await open({ encryptionKey: one })
      expect(await first.secrets.rewrite()).toBe(3)
      expect(await first.secrets.rewrite()).toBe(0)
      expect(await rawText(first)).not.toContain('sesame')
      await expectAllThere(reader)

      const second = await open({ encryptionKey: two, previousEncryptionKeys: [one] })
      expect(await second.secrets.inspect()).toMatchObject({ current: 0, previous: 3 })
      expect(await second.secrets.rewrite()).toBe(3)
      await expectAllThere(reader)
      await expectAllThere(await open({ encryptionKey: two }))

      const none = await open({ previousEncryptionKeys: [two] })
      expect(await none.secrets.rewrite()).toBe(3)
      expect(await none.secrets.inspect()).toEqual({
        total: 3,
        plain: 3,
        current: 0,
        previous: 0,
        unknown: {},
        damaged: 0,
      })
      await expectAllThere(await open({}))
    })

    it('says which key is missing, and changes nothing without it', async () => {
      await fill(await open({ encryptionKey: one }))
      const before = await rawText(opened[0]!)
      for (const changes of [{}, { encryptionKey: two }]) {
        const store = await open(changes)
        const { unknown } = await store.secrets.inspect()
        expect(Object.values(unknown)).toEqual([3])
        const error = {
          kind: 'unavailable',
          message: expect.stringContaining(
            `that the settings do not have (${Object.keys(unknown)[0]}). Set TINTYPE_ENCRYPTION_KEY`,
          ),
        }
        await expect(store.secrets.check()).rejects.toMatchObject(error)
        await expect(store.keys.list()).rejects.toMatchObject(error)
        await expect(store.documents.list('origin')).rejects.toMatchObject(error)
        await expect(store.secrets.rewrite()).rejects.toMatchObject(error)
      }
      expect(await rawText(opened[0]!)).toBe(before)
    })

    it('refuses one that was put into another row', async () => {
      const store = await open({ encryptionKey: one })
      await store.keys.add(key(1))
      const { rows } = await store.rows.page('api_keys', undefined, 10)
      const progress = { key: 'x', value: 1 }
      await store.keys.remove('key1')
      await store.rows.insert('api_keys', [{ ...rows[0]!, id: 'key2' }], progress)
      expect(await store.secrets.inspect()).toMatchObject({ total: 1, damaged: 1 })
      await expect(store.secrets.check()).rejects.toMatchObject({
        message: expect.stringContaining('changed or are not in their place'),
      })
      await expect(store.keys.list()).rejects.toMatchObject({ kind: 'unavailable' })
    })

    it('loses no change that another server makes meanwhile', async () => {
      const plain = await open({})
      for (let number = 0; number < 20; number += 1) await plain.documents.add(origin(`o${number}`), NOW_MS)
      const writer = await open({ encryptionKey: one })
      const rewriter = await open({ encryptionKey: one })
      const changed = (id: string) => ({ ...origin(id), body: { type: 'S3', secretKey: `changed ${id}` } })
      await Promise.all([
        rewriter.secrets.rewrite(),
        ...Array.from({ length: 20 }, (_, number) => writer.documents.change(changed(`o${number}`), NOW_MS)),
      ])
      await rewriter.secrets.rewrite()
      const bodies = (await writer.documents.list('origin')).map(({ body }) => body.secretKey)
      expect(bodies.sort()).toEqual(Array.from({ length: 20 }, (_, number) => `changed o${number}`).sort())
      expect(await writer.secrets.inspect()).toMatchObject({ total: 20, current: 20 })
    })

    it('leaves nothing of the plain ones in the file of SQLite', async () => {
      const { file } = place.options
      if (file === undefined) return expect(place.options.databaseUrl).toBeDefined()
      const readFolder = async () => {
        const names = await readdir(dirname(file))
        const contents = await Promise.all(names.map((name) => readFile(join(dirname(file), name))))
        return Buffer.concat(contents).toString('latin1')
      }
      const plain = await open({})
      await fill(plain)
      // Rows that share a page, which is not written anew as a whole.
      for (let number = 10; number < 30; number += 1) {
        await plain.keys.add(key(number))
        await plain.documents.add({ ...webhook, id: `wh_${number}` }, NOW_MS)
      }
      await close()
      expect(await readFolder()).toContain('sesame')
      await (await open({ encryptionKey: one })).secrets.rewrite()
      await close()
      expect(await readFolder()).not.toContain('sesame')
    })
  })
})
