import { type Static, Type } from 'typebox'
import { badRequest } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store, UsageCount } from '../store/store.ts'

export const usageOptions = Type.Object({
  flushMs: Type.Integer({
    default: 2000,
    minimum: 100,
    description: 'How often counts are written: a crash loses no more than those of this time.',
  }),
  namesPerDay: Type.Integer({
    default: 200,
    minimum: 10,
    description:
      'How many names (URLs, user agents, …) of one kind are kept for a day, the most frequent and the largest; protects the database from endless different ones.',
  }),
  keepDays: Type.Integer({
    default: 400,
    minimum: 90,
    description: 'How long the counts of a day are kept.',
  }),
})
export type UsageOptions = Static<typeof usageOptions>

/** What is counted. Each has rows by name; `total` has one row a day. */
export type UsageTopic =
  | 'total'
  | 'status'
  | 'cache'
  | 'error'
  | 'format'
  | 'browser'
  | 'device'
  | 'image'
  | 'video'
  | 'other'
  | 'imageTransform'
  | 'videoTransform'
  | 'referrer'
  | 'userAgent'
  | 'endpoint'
  | 'notFound'
  | 'extension'
  | 'extensionUnits'
  | 'videoSeconds'
  | 'videoUnits'

/** One answer of delivery. */
export type DeliveredAnswer = {
  status: number
  /** How many equal ones are counted together; one if absent. */
  requests?: number
  /** When the first of them was; now if absent. */
  atMs?: number
  /** Of the bodies, as far as they were sent. */
  bytes: number
  /** By topic, under which name it counts further; absent where it does not. */
  names: Partial<Record<UsageTopic, string>>
}

export type UsageReport = {
  bandwidthBytes: number
  mediaLibraryStorageBytes: number
  videoProcessingUnitsCount: number
  extensionUnitsCount: number
  originalCacheStorageBytes: number
}

/** What a topic counted over some days, by name. */
export type UsageSum = { name: string; requests: number; bytes: number }
export type UsageAnalytics = { startDate: string; endDate: string; sums: Map<UsageTopic, UsageSum[]> }

/** Raw dates of a request. */
export type UsageDates = { startDate: unknown; endDate: unknown }

export type UsageMeter = {
  /** Counts one answer, in memory. */
  delivered(answer: DeliveredAnswer): void
  /** Calls `listener` before counts are written or read, so that it can hand in what it has counted by itself. */
  beforeFlush(listener: () => void): void
  /** Writes what has been counted. */
  flush(): Promise<void>
  /** Usage from the start date up to, without, the end date. @throws TintypeError bad-request for wrong dates. */
  report(dates: UsageDates): Promise<UsageReport>
  /** Counts from the start date to the end date, both included. @throws TintypeError bad-request. */
  analytics(dates: UsageDates): Promise<UsageAnalytics>
  /** Writes the last counts, and no more from then on. */
  stop(): Promise<void>
}

const DAY_MS = 86_400_000
const TIDY_MS = 60_000
const MAX_SPAN_DAYS = 90
/** Of one topic, between two writes; what is beyond counts in the total only. */
const MAX_NAMES_IN_MEMORY = 1000
const MAX_NAME_CHARACTERS = 500

/** Counts what is delivered, and writes the counts from time to time. */
export function startUsageMeter(
  options: UsageOptions,
  deps: {
    store: Pick<Store, 'usage' | 'settings' | 'engine'>
    ids: Pick<Ids, 'token'>
    clock: Clock
    log: Log
    /** Bytes of originals from origins that this process keeps. */
    originalCacheBytes?: () => number
  },
): UsageMeter {
  const { store, clock, log } = deps
  let counts = new Map<string, UsageCount>()
  let names = new Map<string, number>()
  /** Topics of days that have got names since they were trimmed, with how many. */
  const grown = new Map<string, { day: number; topic: string; names: number }>()
  let tidiedMs = clock.now()
  const caches = tellCaches(deps)

  const add = (count: UsageCount) => {
    const key = `${count.day} ${count.topic} ${count.name}`
    const known = counts.get(key)
    if (known) {
      known.requests += count.requests
      known.bytes += count.bytes
      return
    }
    const ofTopic = names.get(count.topic) ?? 0
    if (ofTopic >= MAX_NAMES_IN_MEMORY) return
    names.set(count.topic, ofTopic + 1)
    counts.set(key, count)
  }

  const write = async () => {
    if (counts.size > 0) {
      const batch = [...counts.values()]
      counts = new Map()
      names = new Map()
      try {
        await store.usage.add(batch)
      } catch (error) {
        // Kept for the next time, next to what has come since.
        for (const count of batch) add(count)
        throw error
      }
      for (const { day, topic } of batch) {
        const key = `${day} ${topic}`
        const growth = grown.get(key) ?? { day, topic, names: 0 }
        growth.names += 1
        grown.set(key, growth)
      }
    }
    for (const [key, { day, topic, names: added }] of grown) {
      if (added <= options.namesPerDay) continue
      await store.usage.trim({ day, topic, keep: options.namesPerDay })
      grown.delete(key)
    }
    await caches.tell()
    const nowMs = clock.now()
    if (Math.abs(nowMs - tidiedMs) > TIDY_MS) {
      tidiedMs = nowMs
      await store.usage.tidy(dayOf(nowMs) - options.keepDays)
    }
  }
  const listeners: (() => void)[] = []
  let writing: Promise<void> = Promise.resolve()
  const flush = () => {
    for (const listener of listeners) listener()
    writing = writing.catch(() => {}).then(write)
    return writing
  }
  const timer = setInterval(() => {
    flush().catch((error: unknown) => log.warn({ err: error }, 'usage could not be written'))
  }, options.flushMs)
  timer.unref()

  return {
    delivered({ status, requests = 1, atMs = clock.now(), bytes, names: named }) {
      const day = dayOf(atMs)
      add({ day, topic: 'total', name: '', requests, bytes })
      add({ day, topic: 'status', name: String(status), requests, bytes })
      for (const [topic, name] of Object.entries(named)) {
        add({ day, topic, name: cleanName(name), requests, bytes })
      }
    },
    beforeFlush(listener) {
      listeners.push(listener)
    },
    flush,
    async report(dates) {
      const { firstDay, lastDay } = parseDates(dates, { includeEnd: false })
      await flush()
      const sumOf = async (topic: UsageTopic, member: 'requests' | 'bytes') =>
        (await store.usage.between({ firstDay, lastDay, topic })).reduce((sum, row) => sum + row[member], 0)
      return {
        bandwidthBytes: await sumOf('total', 'bytes'),
        mediaLibraryStorageBytes: await store.usage.storedBytes(),
        videoProcessingUnitsCount: await sumOf('videoUnits', 'requests'),
        extensionUnitsCount: await sumOf('extensionUnits', 'requests'),
        originalCacheStorageBytes: await caches.sum(),
      }
    },
    async analytics(dates) {
      const { firstDay, lastDay } = parseDates(dates, { includeEnd: true })
      await flush()
      const sums = new Map<UsageTopic, UsageSum[]>()
      for (const { topic, ...sum } of await store.usage.between({ firstDay, lastDay })) {
        const known = sums.get(topic as UsageTopic)
        if (known) known.push(sum)
        else sums.set(topic as UsageTopic, [sum])
      }
      return { startDate: dateOf(firstDay), endDate: dateOf(lastDay), sums }
    },
    async stop() {
      clearInterval(timer)
      await flush()
        .then(caches.withdraw)
        .catch((error: unknown) => log.warn({ err: error }, 'the last usage could not be written'))
    },
  }
}

/**
 * Each server keeps originals of origins for itself and tells the others how many bytes they are, so that all of them
 * report the same. One that says nothing for a while is gone, and its cache with it.
 */
function tellCaches(deps: {
  store: Pick<Store, 'settings' | 'engine'>
  ids: Pick<Ids, 'token'>
  clock: Clock
  originalCacheBytes?: () => number
}): { tell(): Promise<void>; sum(): Promise<number>; withdraw(): Promise<void> } {
  const { store, clock } = deps
  const key = `${CACHE_KEYS}${deps.ids.token(12)}`
  const isShared = store.engine === 'postgres'
  const ownBytes = () => deps.originalCacheBytes?.() ?? 0
  let told: ToldCache | undefined
  return {
    async tell() {
      const cache = { bytes: ownBytes(), atMs: clock.now() }
      if (!isShared || (told === undefined && cache.bytes === 0)) return
      if (told?.bytes === cache.bytes && Math.abs(cache.atMs - told.atMs) < CACHE_TOLD_MS) return
      await store.settings.set(key, cache)
      told = cache
    },
    async sum() {
      if (!isShared) return ownBytes()
      let bytes = ownBytes()
      for (const other of await store.settings.startingWith(CACHE_KEYS)) {
        if (other.key === key) continue
        const cache = other.value as ToldCache
        if (clock.now() - cache.atMs < 3 * CACHE_TOLD_MS) bytes += cache.bytes
        else await store.settings.set(other.key, undefined)
      }
      return bytes
    },
    async withdraw() {
      if (told !== undefined) await store.settings.set(key, undefined)
    },
  }
}

type ToldCache = { bytes: number; atMs: number }

/** Beginning of the settings in which servers say how large their caches are. */
const CACHE_KEYS = 'usage.originalCache.'
/** How often a server says so at least. */
const CACHE_TOLD_MS = 60_000

/**
 * What a run of an extension counts, for the transaction that writes its result.
 * @param run.units what the run costs in the units of the usage report.
 */
export function extensionRun(run: { name: string; units: number; nowMs: number }): UsageCount[] {
  const day = dayOf(run.nowMs)
  return [
    { day, topic: 'extension', name: cleanName(run.name), requests: 1, bytes: 0 },
    { day, topic: 'extensionUnits', name: '', requests: run.units, bytes: 0 },
  ]
}

/** What the making of a video counts, for the transaction that writes its result. */
export function videoRun(run: {
  codec: string
  /** `SD`, `HD`, `4K`. */
  resolution: string
  durationSec: number
  units: number
  nowMs: number
}): UsageCount[] {
  const day = dayOf(run.nowMs)
  const name = cleanName(`${run.codec} ${run.resolution}`)
  return [
    { day, topic: 'videoSeconds', name, requests: Math.round(run.durationSec), bytes: 0 },
    { day, topic: 'videoUnits', name: '', requests: run.units, bytes: 0 },
  ]
}

function parseDates(
  { startDate, endDate }: UsageDates,
  { includeEnd }: { includeEnd: boolean },
): { firstDay: number; lastDay: number } {
  if (typeof startDate !== 'string' || typeof endDate !== 'string' || startDate === '' || endDate === '') {
    throw badRequest('startDate and endDate are required in query parameters.')
  }
  const firstDay = parseDay(startDate)
  const endDay = parseDay(endDate)
  if (firstDay === undefined || endDay === undefined) {
    throw badRequest('startDate and endDate should be in format YYYY-MM-DD.')
  }
  if (includeEnd ? firstDay > endDay : firstDay >= endDay) {
    throw badRequest('startDate should be before endDate.')
  }
  if (endDay - firstDay >= MAX_SPAN_DAYS) throw badRequest('startDate and endDate should be within 90 days.')
  return { firstDay, lastDay: includeEnd ? endDay : endDay - 1 }
}

/** @returns undefined for what is no day of the calendar. */
function parseDay(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined
  const timeMs = Date.parse(`${text}T00:00:00.000Z`)
  if (!Number.isFinite(timeMs) || dateOf(dayOf(timeMs)) !== text) return undefined
  return dayOf(timeMs)
}

function dayOf(timeMs: number): number {
  return Math.floor(timeMs / DAY_MS)
}

function dateOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}

/** Names come from strangers: they are kept short, and free of what a database or a terminal takes amiss. */
function cleanName(name: string): string {
  return name
    .slice(0, MAX_NAME_CHARACTERS)
    .toWellFormed()
    .replace(/\p{Cc}/gu, ' ')
}
