import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import type { Store } from '../../src/store/store.ts'
import { engines, type Place } from './places.ts'

const NOW = 1_700_000_000_000

for (const { name, skip, createPlace } of engines) {
  describe.skipIf(skip)(`deliveries in ${name}`, () => {
    let place: Place
    let store: Store
    beforeAll(async () => {
      place = await createPlace()
      store = await place.open()
    })
    afterAll(async () => {
      await store?.close()
      await place?.remove()
    })

    /** Each test has a kind and a target of its own. */
    const fresh = () => {
      const target = systemIds.token(8)
      const add = async (subject: string | null, runAtMs = NOW) => {
        const jobId = systemIds.next()
        await store.transaction(async (tx) => {
          await tx.jobs.enqueue({ id: jobId, kind: target, payload: {}, createdAtMs: NOW, runAtMs })
          await tx.deliveries.add({ jobId, target, subject })
        })
        return jobId
      }
      const claim = async (nowMs = NOW) => {
        const jobs = await store.jobs.claim({ kind: target, limit: 1, nowMs, leaseToken: 'token' })
        return jobs[0]?.id
      }
      const end = (id: string) => store.jobs.complete({ id, leaseToken: 'token' }, NOW)
      return { target, add, claim, end }
    }

    it('know the unfinished one before them of the same subject', async () => {
      const { add, claim, end } = fresh()
      const first = await add('a', NOW - 3)
      await add('b', NOW - 1)
      const second = await add('a')
      expect(await store.deliveries.predecessor(first)).toBeUndefined()
      expect(await store.deliveries.predecessor(second)).toEqual({
        id: first,
        state: 'ready',
        runAtMs: NOW - 3,
      })
      expect(await claim()).toBe(first)
      expect(await store.deliveries.predecessor(second)).toMatchObject({ state: 'running' })
      await end(first)
      expect(await store.deliveries.predecessor(second)).toBeUndefined()
    })

    it('know none without a subject, or to another target', async () => {
      const { add } = fresh()
      await add(null)
      expect(await store.deliveries.predecessor(await add(null))).toBeUndefined()
      await fresh().add('a')
      expect(await store.deliveries.predecessor(await add('a'))).toBeUndefined()
    })

    it('let the next of the subject run at once', async () => {
      const { add } = fresh()
      const first = await add('a')
      const second = await add('a', NOW + 60_000)
      const third = await add('a', NOW + 60_000)
      const other = await add('b', NOW + 60_000)
      await store.deliveries.hastenSuccessor(first, NOW + 5)
      const times = await Promise.all(
        [first, second, third, other].map(async (id) => (await store.jobs.byId(id))!.runAtMs - NOW),
      )
      expect(times).toEqual([0, 5, 60_000, 60_000])
    })

    it('are listed by target and state, the newest first', async () => {
      const { target, add, claim, end } = fresh()
      const ids = [await add('a', NOW - 9), await add('b'), await add(null)]
      await end((await claim())!)
      const listed = async (options: object) =>
        (await store.deliveries.list({ target, limit: 10, ...options })).map((job) => job.id)
      expect(await listed({})).toEqual(ids.toReversed())
      expect(await listed({ states: ['done', 'dead'] })).toEqual([ids[0]])
      expect(await listed({ limit: 1, skip: 1 })).toEqual([ids[1]])
    })

    it('go with their jobs', async () => {
      const { target, add, claim, end } = fresh()
      await add('a')
      await end((await claim())!)
      await store.jobs.sweep({ doneBeforeMs: NOW + 1, deadBeforeMs: 0, limit: 1000 })
      expect(await store.deliveries.list({ target, limit: 10 })).toEqual([])
    })

    it('remember since when a target takes nothing', async () => {
      const { target } = fresh()
      expect(await store.deliveries.failing(target, NOW)).toBe(NOW)
      expect(await store.deliveries.failing(target, NOW + 9)).toBe(NOW)
      expect((await store.deliveries.failures()).get(target)).toBe(NOW)
      await store.deliveries.working(target)
      expect((await store.deliveries.failures()).has(target)).toBe(false)
      expect(await store.deliveries.failing(target, NOW + 20)).toBe(NOW + 20)
    })

    it('can be postponed without spending an attempt, by their holder only', async () => {
      const { add, claim } = fresh()
      const id = await add('a')
      await claim()
      expect(await store.jobs.postpone({ id, leaseToken: 'other' }, NOW + 50)).toBe(false)
      expect(await store.jobs.postpone({ id, leaseToken: 'token' }, NOW + 50)).toBe(true)
      expect(await store.jobs.byId(id)).toMatchObject({
        state: 'ready',
        attempts: 0,
        runAtMs: NOW + 50,
        leaseToken: null,
        lastError: null,
      })
      expect(await claim(NOW + 49)).toBeUndefined()
      expect(await claim(NOW + 50)).toBe(id)
    })
  })
}
