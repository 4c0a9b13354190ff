import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Delivery } from '../delivery/delivery.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import type { PurgePayload } from '../library/library.ts'
import type { RunningJob, Store } from '../store/store.ts'

/** Within twice this time every server has carried a purge out. */
const FOLLOW_MS = 400
const BATCH = 100

export type PurgeFollower = {
  start(): void
  /** Carries out now what is in the log. */
  follow(): Promise<void>
  stop(): Promise<void>
}

/**
 * Carries out on this server's cache what any server was asked to purge. The log is followed by its numbers, and how
 * far it was is kept beside the cache, so that a server that was away makes up for it.
 * @param options.positionFile where the number of the last purge is kept.
 */
export function createPurgeFollower(
  options: { positionFile: string },
  deps: {
    store: Pick<Store, 'purgeLog' | 'changeStamp'>
    delivery: Pick<Delivery, 'purge' | 'forget'>
    log: Log
  },
): PurgeFollower {
  const { store, delivery, log } = deps
  let position: number | undefined
  let stamp: number | undefined
  let running: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let isFailing = false
  let stopped = false

  async function readPosition(): Promise<number> {
    const text = await readFile(options.positionFile, 'utf8').catch(() => '')
    const latest = await store.purgeLog.latest()
    const known = /^[0-9]{1,15}$/.test(text) ? Number(text) : 0
    // Of another database, or one that was brought back from a backup.
    return known > latest ? 0 : known
  }

  async function work(): Promise<void> {
    const seen = store.changeStamp()
    if (position !== undefined && seen !== undefined && seen === stamp) return
    position ??= await readPosition()
    for (;;) {
      const purges = await store.purgeLog.after(position, BATCH)
      for (const { seq, payload } of purges) {
        const purge = payload as PurgePayload
        await ('blobs' in purge ? delivery.forget(purge.blobs) : delivery.purge(purge))
        position = seq
      }
      if (purges.length > 0) await writePosition(position)
      if (purges.length < BATCH) break
    }
    stamp = seen
  }

  /** Losing it costs nothing but carrying purges out again. */
  async function writePosition(seq: number): Promise<void> {
    await mkdir(dirname(options.positionFile), { recursive: true, mode: 0o700 })
    // A name of its own: servers may share the folder.
    const draft = `${options.positionFile}.${randomBytes(6).toString('hex')}.tmp`
    await writeFile(draft, String(seq))
    await rename(draft, options.positionFile)
  }

  async function follow(): Promise<void> {
    // What is under way may have read the log before the purge that is to be carried out.
    while (running) await running.catch(() => {})
    running = work().finally(() => {
      running = undefined
    })
    await running
  }

  async function tick(): Promise<void> {
    try {
      await follow()
      isFailing = false
    } catch (error) {
      if (!isFailing) log.warn({ err: error }, 'the log of purges cannot be followed at the moment')
      isFailing = true
    }
    if (stopped) return
    timer = setTimeout(() => void tick(), FOLLOW_MS)
    timer.unref()
  }

  return {
    start: () => void tick(),
    follow,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running?.catch(() => {})
    },
  }
}

/** The job of a purge: it is done when every server that runs has carried it out. */
export function createPurgeRun(deps: {
  store: Pick<Store, 'purgeLog' | 'engine'>
  follower: Pick<PurgeFollower, 'follow'>
  clock: Clock
}): (running: Pick<RunningJob, 'job' | 'signal'>) => Promise<void> {
  const { store, follower, clock } = deps
  return async ({ job, signal }) => {
    await store.purgeLog.add({ id: job.id, payload: job.payload, createdAtMs: clock.now() })
    await follower.follow()
    // Only on this engine are there other servers.
    if (store.engine === 'postgres') await sleep(2 * FOLLOW_MS, undefined, { signal })
  }
}
