import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/kernel/ids.ts'
import type { Job, Lease, NewJob, Store } from '../../src/store/store.ts'
import { engines, type Place } from './places.ts'
import { NOW } from './uploads.ts'

for (const { name, skip, createPlace } of engines) {
  describe.skipIf(skip)(`the queue in ${name}`, () => {
    let place: Place
    let store: Store
    beforeAll(async () => {
      place = await createPlace()
      store = await place.open()
    })
    afterEach(async () => {
      // What a test leaves behind is nobody else's.
      for (const { kind } of await store.jobs.stats()) {
        for (const job of await store.jobs.claim({ kind, limit: 1000, nowMs: 1e15, leaseToken: 'end' })) {
          await store.jobs.complete(leaseOf(job), NOW)
        }
      }
    })
    afterAll(async () => {
      await store?.close()
      await place?.remove()
    })

    const enqueue = async (changes: Partial<NewJob> = {}) => {
      const job = { id: systemIds.next(), kind: 'a', payload: {}, createdAtMs: NOW, ...changes }
      await store.jobs.enqueue(job)
      return job.id
    }
    const claim = (kind = 'a', limit = 100, nowMs = NOW) =>
      store.jobs.claim({ kind, limit, nowMs, leaseToken: systemIds.token(16) })
    const leaseOf = (job: Job): Lease => ({ id: job.id, leaseToken: job.leaseToken! })
    const claimOne = async () => {
      const id = await enqueue()
      const job = (await claim()).find((each) => each.id === id)!
      return { job, lease: leaseOf(job) }
    }

    it('keeps a job as it was enqueued', async () => {
      const payload = { deep: [{ list: [1, null, 'é'] }] }
      const id = await enqueue({ payload, runAtMs: NOW + 5 })
      expect(await store.jobs.byId(id)).toStrictEqual({
        id,
        kind: 'a',
        payload,
        state: 'ready',
        attempts: 0,
        runAtMs: NOW + 5,
        createdAtMs: NOW,
        finishedAtMs: null,
        progress: {},
        lastError: null,
        leaseToken: null,
      })
      expect(await store.jobs.byId(systemIds.next())).toBeUndefined()
    })

    it('enqueues with what caused the job, or not at all, and tells of it after the commit only', async () => {
      let told = 0
      const end = store.onEnqueued(() => {
        told += 1
      })
      const id = systemIds.next()
      const job = { id, kind: 'a', payload: {}, createdAtMs: NOW }
      await expect(
        store.transaction(async (tx) => {
          await tx.jobs.enqueue(job)
          throw new Error('no')
        }),
      ).rejects.toThrow('no')
      expect([told, await store.jobs.byId(id)]).toStrictEqual([0, undefined])
      await store.transaction(async (tx) => {
        await tx.settings.set('cause', 1)
        await tx.jobs.enqueue(job)
        expect(told).toBe(0)
      })
      expect(told).toBe(1)
      await enqueue()
      expect(told).toBe(2)
      end()
      await enqueue()
      expect(told).toBe(2)
    })

    it('takes an id once, and a key once until the job is finished', async () => {
      const id = await enqueue({ kind: 'b' })
      const again = { id, kind: 'b', payload: {}, createdAtMs: NOW }
      expect(await store.jobs.enqueue(again)).toBe(false)
      const keyed = (): NewJob => ({
        id: systemIds.next(),
        kind: 'b',
        payload: {},
        createdAtMs: NOW,
        dedupeKey: 'k',
      })
      const added = await Promise.all(Array.from({ length: 20 }, () => store.jobs.enqueue(keyed())))
      expect(added.filter(Boolean)).toHaveLength(1)
      const claimed = await claim('b')
      expect(claimed).toHaveLength(2)
      expect(await store.jobs.enqueue(keyed())).toBe(false)
      for (const each of claimed) await store.jobs.complete(leaseOf(each), NOW)
      expect(await store.jobs.enqueue(keyed())).toBe(true)
    })

    it('gives out what is due, of one kind, in order, and no more than asked for', async () => {
      const late = await enqueue({ runAtMs: NOW + 1 })
      const ids = []
      for (const runAtMs of [NOW - 1, NOW - 3, NOW - 2, NOW]) ids.push(await enqueue({ runAtMs }))
      await enqueue({ kind: 'other' })
      const [a, b, c, d] = ids
      expect((await claim('a', 3)).map((job) => job.id)).toStrictEqual([b, c, a])
      expect((await claim('a', 3)).map((job) => job.id)).toStrictEqual([d])
      expect(await claim('a', 3)).toStrictEqual([])
      expect((await claim('a', 3, NOW + 1)).map((job) => job.id)).toStrictEqual([late])
    })

    it('knows when the next job of each kind is due', async () => {
      await enqueue({ kind: 'x', runAtMs: NOW + 7 })
      await enqueue({ kind: 'x', runAtMs: NOW + 3 })
      await enqueue({ kind: 'y', runAtMs: NOW - 9 })
      expect(await store.jobs.nextRuns(['x', 'y', 'z'])).toStrictEqual(
        new Map([
          ['x', NOW + 3],
          ['y', NOW - 9],
        ]),
      )
      expect(await store.jobs.nextRuns([])).toStrictEqual(new Map())
    })

    it('gives each of many jobs to exactly one of many claimers, over two connections', async () => {
      const other = await place.open()
      try {
        const ids = await Promise.all(Array.from({ length: 200 }, () => enqueue()))
        const taken: string[] = []
        await Promise.all(
          Array.from({ length: 12 }, async (_, i) => {
            const from = i % 2 ? store : other
            for (;;) {
              const jobs = await from.jobs.claim({ kind: 'a', limit: 7, nowMs: NOW, leaseToken: `t${i}` })
              if (jobs.length === 0) return
              expect(jobs.length).toBeLessThanOrEqual(7)
              for (const job of jobs) taken.push(job.id)
            }
          }),
        )
        expect(taken.toSorted()).toStrictEqual(ids.toSorted())
      } finally {
        await other.close()
      }
    })

    it('lets the holder complete, retry, bury or release a job, and keeps count of attempts', async () => {
      const { job, lease } = await claimOne()
      expect(job).toMatchObject({ state: 'running', attempts: 1 })
      expect(await store.jobs.retry(lease, { runAtMs: NOW + 9, error: 'too early' })).toBe(true)
      expect(await store.jobs.byId(job.id)).toMatchObject({
        state: 'ready',
        attempts: 1,
        runAtMs: NOW + 9,
        lastError: 'too early',
        leaseToken: null,
      })
      const [second] = await claim('a', 1, NOW + 9)
      expect(second!.attempts).toBe(2)
      expect(await store.jobs.release(leaseOf(second!))).toBe(true)
      expect(await store.jobs.byId(job.id)).toMatchObject({ state: 'ready', attempts: 1 })
      const [third] = await claim('a', 1, NOW + 9)
      expect(await store.jobs.complete(leaseOf(third!), NOW + 10)).toBe(true)
      expect(await store.jobs.byId(job.id)).toMatchObject({
        state: 'done',
        attempts: 2,
        finishedAtMs: NOW + 10,
        lastError: null,
      })
      const dead = await claimOne()
      expect(await store.jobs.bury(dead.lease, { nowMs: NOW, error: 'x'.repeat(5000) })).toBe(true)
      const buried = (await store.jobs.byId(dead.job.id))!
      expect(buried).toMatchObject({ state: 'dead', finishedAtMs: NOW })
      expect(buried.lastError!.length).toBeLessThan(2100)
    })

    it('does nothing for who has lost the lease, inside of a transaction too', async () => {
      const { job, lease } = await claimOne()
      const { leaseToken } = lease
      const taken = { id: job.id, leaseToken, beats: 0, dead: false, nowMs: NOW, error: 'silent' }
      expect(await store.jobs.takeBack(taken)).toBe(true)
      expect(await store.jobs.byId(job.id)).toMatchObject({ state: 'ready', lastError: 'silent' })
      const [again] = await claim()
      expect(again!.id).toBe(job.id)
      expect(await store.jobs.complete(lease, NOW)).toBe(false)
      expect(await store.jobs.retry(lease, { runAtMs: NOW, error: '' })).toBe(false)
      expect(await store.jobs.bury(lease, { nowMs: NOW, error: '' })).toBe(false)
      expect(await store.jobs.release(lease)).toBe(false)
      expect(await store.jobs.save(lease, { stolen: true })).toBe(false)
      expect(await store.jobs.beat([lease])).toStrictEqual(new Set())
      expect(await store.jobs.byId(job.id)).toMatchObject({ state: 'running', attempts: 2, progress: {} })
      await store.transaction(async (tx) => {
        expect(await tx.jobs.save(leaseOf(again!), { n: 1 })).toBe(true)
      })
      expect(await store.jobs.byId(job.id)).toMatchObject({ progress: { n: 1 } })
    })

    it('leaves a job to a holder that has beaten since it was looked at', async () => {
      const { job, lease } = await claimOne()
      const { leaseToken } = lease
      expect(await store.jobs.running()).toContainEqual({
        id: job.id,
        kind: 'a',
        attempts: 1,
        leaseToken,
        beats: 0,
      })
      const stranger = { id: systemIds.next(), leaseToken }
      expect(await store.jobs.beat([lease, stranger])).toStrictEqual(new Set([`${job.id} ${leaseToken}`]))
      const taken = { id: job.id, leaseToken, dead: false, nowMs: NOW, error: '' }
      expect(await store.jobs.takeBack({ ...taken, beats: 0 })).toBe(false)
      await store.jobs.save(lease, {})
      expect(await store.jobs.takeBack({ ...taken, beats: 1 })).toBe(false)
      expect(await store.jobs.takeBack({ ...taken, beats: 2, dead: true })).toBe(true)
      expect(await store.jobs.byId(job.id)).toMatchObject({ state: 'dead', finishedAtMs: NOW })
    })

    it('makes dead jobs ready again, by id or by kind', async () => {
      const ids = []
      for (const kind of ['d', 'd', 'e', 'e']) {
        const id = await enqueue({ kind, dedupeKey: systemIds.next() })
        const [job] = await claim(kind)
        await store.jobs.bury(leaseOf(job!), { nowMs: NOW, error: 'bad luck' })
        ids.push(id)
      }
      expect(await store.jobs.requeue({ ids: [ids[0]!, systemIds.next()], nowMs: NOW + 1 })).toBe(1)
      expect(await store.jobs.byId(ids[0]!)).toMatchObject({
        state: 'ready',
        attempts: 0,
        runAtMs: NOW + 1,
        finishedAtMs: null,
        lastError: 'bad luck',
      })
      expect(await store.jobs.requeue({ kind: 'e', nowMs: NOW })).toBe(2)
      expect(await store.jobs.requeue({ kind: 'e', nowMs: NOW })).toBe(0)
      expect(await store.jobs.byId(ids[1]!)).toMatchObject({ state: 'dead' })
      expect(await store.jobs.requeue({ nowMs: NOW })).toBeGreaterThan(0)
      expect(await store.jobs.byId(ids[1]!)).toMatchObject({ state: 'ready' })
    })

    it('lists the newest first, by kind and state, and counts what is not done', async () => {
      const ids = []
      for (let i = 0; i < 4; i += 1) ids.push(await enqueue({ kind: 'l', createdAtMs: NOW + i }))
      const [first] = await claim('l', 1)
      const listed = await store.jobs.list({ kind: 'l', limit: 10 })
      expect(listed.map((job) => job.id)).toStrictEqual(ids.toReversed())
      const page = await store.jobs.list({ kind: 'l', state: 'ready', limit: 2, skip: 1 })
      expect(page.map((job) => job.id)).toStrictEqual([ids[2], ids[1]])
      expect((await store.jobs.stats()).filter((row) => row.kind === 'l')).toStrictEqual([
        { kind: 'l', state: 'ready', count: 3, oldestRunAtMs: NOW + 1 },
        { kind: 'l', state: 'running', count: 1, oldestRunAtMs: NOW },
      ])
      await store.jobs.complete(leaseOf(first!), NOW)
      expect((await store.jobs.stats()).filter((row) => row.kind === 'l')).toHaveLength(1)
    })

    it('sweeps what finished long ago, done sooner than dead, and nothing else', async () => {
      const own = await createPlace()
      const fresh = await own.open()
      try {
        const add = async (id: string) => {
          await fresh.jobs.enqueue({ id, kind: 's', payload: {}, createdAtMs: 0 })
          const [job] = await fresh.jobs.claim({ kind: 's', limit: 1, nowMs: 0, leaseToken: 't' })
          return leaseOf(job!)
        }
        await fresh.jobs.complete(await add('done-old'), 100)
        await fresh.jobs.complete(await add('done-new'), 300)
        await fresh.jobs.bury(await add('dead-old'), { nowMs: 10, error: '' })
        await fresh.jobs.bury(await add('dead-new'), { nowMs: 100, error: '' })
        await add('running')
        await fresh.jobs.enqueue({ id: 'waiting', kind: 's', payload: {}, createdAtMs: 0 })
        const before = { doneBeforeMs: 200, deadBeforeMs: 50 }
        expect(await fresh.jobs.sweep({ ...before, limit: 1 })).toBe(1)
        expect(await fresh.jobs.sweep({ ...before, limit: 10 })).toBe(1)
        expect(await fresh.jobs.sweep({ ...before, limit: 10 })).toBe(0)
        const left = (await fresh.jobs.list({ limit: 10 })).map((job) => job.id)
        expect(left.toSorted()).toStrictEqual(['dead-new', 'done-new', 'running', 'waiting'])
      } finally {
        await fresh.close()
        await own.remove()
      }
    })
  })
}
