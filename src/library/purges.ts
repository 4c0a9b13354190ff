import { type Static, Type } from 'typebox'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { JobKind } from '../kernel/job-kinds.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store, Tables } from '../store/store.ts'

export const purgeOptions = Type.Object({
  maxPerMonth: Type.Integer({
    default: 0,
    minimum: 0,
    description:
      'Most purge requests in a calendar month (UTC), where a CDN behind them charges for them; 0 sets no limit.',
  }),
})
export type PurgeOptions = Static<typeof purgeOptions>

/** What a purge job is told: URLs, as path and query below the endpoint, or the sources themselves. */
export type PurgePayload = { target: string; isPrefix: boolean } | { blobs: string[] }

export type Purges = {
  /**
   * Has everything that is kept of a URL removed.
   * @param target path and query below the URL endpoint, percent-encoded: `/tr:w-200/a.jpg`. A `*` at its end means
   * all URLs that begin with what stands before it.
   * @returns the id of the request.
   * @throws TintypeError bad-request, where a URL cannot be purged; rate-limited.
   */
  request(target: string): Promise<string>
  /** The same as part of a transaction. @returns undefined when the requests of the month are used up. */
  enqueue(tx: Tables, payload: PurgePayload): Promise<string | undefined>
  /** @throws TintypeError bad-request for an unknown id. */
  status(requestId: string): Promise<'Pending' | 'Completed'>
}

const KIND: JobKind = 'cache.purge'
const COUNTER = 'purge.count'

export function createPurges(options: PurgeOptions, deps: { store: Store; ids: Ids; clock: Clock }): Purges {
  const { store, ids, clock } = deps

  async function enqueue(tx: Tables, payload: PurgePayload): Promise<string | undefined> {
    const nowMs = clock.now()
    if (options.maxPerMonth > 0) {
      const month = new Date(nowMs).toISOString().slice(0, 7)
      const known = (await tx.settings.get(COUNTER)) as { month: string; count: number } | undefined
      const count = known?.month === month ? known.count : 0
      if (count >= options.maxPerMonth) return undefined
      // Two servers that count at the same moment may lose one: the limit is about money, not about safety.
      await tx.settings.set(COUNTER, { month, count: count + 1 })
    }
    const id = ids.next()
    await tx.jobs.enqueue({ id, kind: KIND, payload, createdAtMs: nowMs })
    return id
  }

  async function begin(payload: PurgePayload): Promise<string> {
    const id = await store.transaction((tx) => enqueue(tx, payload))
    if (id === undefined) {
      throw new TintypeError('rate-limited', 'The purge requests of this month are used up.')
    }
    return id
  }

  return {
    enqueue,
    request(target) {
      const isPrefix = target.endsWith('*')
      const text = isPrefix ? target.slice(0, -1) : target
      if (text.includes('*') || !isPurgeable(text, isPrefix)) {
        throw badRequest('The URL is not valid for cache purging.')
      }
      return begin({ target: text, isPrefix })
    },
    async status(requestId) {
      const job = await store.jobs.byId(requestId)
      if (job?.kind !== KIND) throw badRequest('No request found for this requestId.')
      return job.state === 'done' ? 'Completed' : 'Pending'
    },
  }
}

/** Wildcards that are never allowed (manual, cache purging). */
const NEVER = new Set(['media/catalog', 's/files'])
const MIN_PREFIX_LENGTH = 15
const MIN_PREFIX_LEVELS = 2

/**
 * Whether a purge may name a URL. A prefix has to be narrow: two levels, fifteen characters, or the whole path of a
 * file (manual, cache purging).
 */
function isPurgeable(target: string, isPrefix: boolean): boolean {
  const [rawPath, query] = target.split('?', 2) as [string, string | undefined]
  let path: string
  try {
    path = decodeURIComponent(rawPath.replace(/^\/+tr(?::|%3a)[^/]*/i, '')).replace(/^\/+/, '')
  } catch {
    return false
  }
  if (path === '' || /[\u0000-\u001f\u007f]/.test(path)) return false
  if (!isPrefix || query !== undefined) return true
  if (NEVER.has(path.replace(/\/$/, ''))) return false
  const levels = path.split('/').filter((level) => level !== '').length
  return levels >= MIN_PREFIX_LEVELS || path.length >= MIN_PREFIX_LENGTH || /[^/]\.[\p{L}\p{N}]+$/u.test(path)
}
