import { type Static, Type } from 'typebox'
import type { Blobs, Staged } from '../blobs/blobs.ts'
import {
  type AiTag,
  type ExtensionConfig,
  type ExtensionName,
  type ExtensionResult,
  type Extensions,
  parseExtensions,
  resolveExtensions,
  retryOf,
} from '../extensions/extensions.ts'
import { badRequest, TintypeError } from '../kernel/errors.ts'
import type { Ids } from '../kernel/ids.ts'
import type { JobKind, JobOutcome } from '../kernel/job-kinds.ts'
import type { Log } from '../kernel/log.ts'
import type { Clock } from '../kernel/time.ts'
import { inspect, type MediaOptions } from '../media/media.ts'
import type { FileVersion, RunningJob, Store, Tables } from '../store/store.ts'
import type { Renderer } from '../transform/transform.ts'
import type { Events, Origin, PresentFor } from './events.ts'
import { assetOf, metadataFieldsOf } from './extension-asset.ts'
import { createExtensionResults, mergeAiTags, type StoredResult, Unapplied } from './extension-results.ts'
import { lockFiles } from './held-files.ts'
import { extensionRun } from './usage.ts'

export const extensionRunOptions = Type.Object({
  syncDeadlineMs: Type.Integer({
    default: 3000,
    minimum: 0,
    description:
      'How long a request waits for auto-tagging; after that it goes on in the background. 0 never waits.',
  }),
  maxTries: Type.Integer({
    default: 3,
    minimum: 1,
    description: 'How often a service is asked for one result, where trying again can help.',
  }),
  firstRetryMs: Type.Integer({
    default: 5000,
    minimum: 1,
    description: 'Wait before the second try; it doubles with each further one.',
  }),
  unitsPerMonth: Type.Integer({
    default: 0,
    minimum: 0,
    description:
      'Extension units that may be asked for in a calendar month (UTC), since services charge for them; 0 sets no limit.',
  }),
})
export type ExtensionRunOptions = Static<typeof extensionRunOptions>

export type ExtensionStatus = 'success' | 'pending' | 'failed'

/** What a request asks for: not checked yet. */
export type AskedExtensions = { extensions: unknown; webhookUrl: string | undefined }

/** What it asks for, checked: every extension is set up here, and the month's units suffice. */
export type PlannedExtensions = { configs: ExtensionConfig[]; webhookUrl: string | undefined; units: number }

/** What became of the extensions within a request. */
export type TriedExtensions = PlannedExtensions & {
  tried: { config: ExtensionConfig; status: ExtensionStatus; result?: ExtensionResult }[]
}

export type ExtensionRuns = {
  /** @throws TintypeError bad-request, before anything is stored. */
  plan(asked: AskedExtensions): Promise<PlannedExtensions | undefined>
  /**
   * Tries, in the time that a request can wait, what the contract tries at once: auto-tagging. Nothing is written.
   * @param file what is known of the bytes, which are committed.
   */
  tryNow(planned: PlannedExtensions, file: ExtensionFile): Promise<TriedExtensions>
  /** Enqueues what is still to be done of a version, and counts the units, in the version's transaction. */
  enqueue(
    tx: Tables,
    tried: TriedExtensions,
    version: Pick<FileVersion, 'fileId' | 'versionId'>,
    origin: Origin,
  ): Promise<void>
  /** Runs one extension as a job, and applies what comes out to the version that it was made of. */
  run(running: RunningJob): Promise<JobOutcome>
}

export type ExtensionFile = Pick<
  FileVersion,
  'blob' | 'sizeBytes' | 'mime' | 'format' | 'fileType' | 'widthPx' | 'heightPx'
>

/** What the job of an extension is told. */
export type ExtensionPayload = {
  fileId: string
  versionId: string
  config: ExtensionConfig
  webhookUrl: string | null
  origin: Origin
  /** Jobs of the same request whose results come first, so that a new version has them too. */
  after: string[]
}

type ExtensionProgress = {
  /** How often the service was asked. */
  tries?: number
  lastError?: string
  /** What it gave, until it is applied. */
  result?: StoredResult
  /** Set when the result has been applied and told, or that there is none has been told. */
  ended?: 'applied' | 'failed'
}

const KIND: JobKind = 'extension.run'
const COUNTER = 'extensions.count'
/** Tried within the request first (manual, "Asynchronous behavior"). */
const TRIED_AT_ONCE: readonly ExtensionName[] = ['google-auto-tagging', 'aws-auto-tagging']
/** What the manual ("Extension pricing") names; ours count as the cheapest. */
const UNITS: Record<ExtensionName, number> = {
  'google-auto-tagging': 2,
  'aws-auto-tagging': 1,
  'remove-bg': 130,
  'ai-auto-description': 1,
  'ai-tasks': 1,
}
const LOCKED_WAIT_MS = 5000
const SIBLINGS_WAIT_MS = 500
const MAX_SIBLINGS_WAIT_MS = 300_000
const GONE = 'The file or this version of it was deleted before the extension had finished.'

export function createExtensionRuns(
  options: ExtensionRunOptions & { maxVersions: number; media: MediaOptions },
  deps: {
    store: Store
    blobs: Blobs
    renderer: Pick<Renderer, 'render'>
    tempDir: string
    extensions: Extensions
    events: Events
    present: PresentFor
    checkCallback: (url: string) => void
    ids: Ids
    clock: Clock
    log: Log
  },
): ExtensionRuns {
  const { store, blobs, extensions, events, present, ids, clock, log } = deps
  const results = createExtensionResults(options, deps)

  const fieldsNow = async () => metadataFieldsOf(await store.fields.list())

  async function plan({ extensions: asked, webhookUrl }: AskedExtensions) {
    if (webhookUrl !== undefined) deps.checkCallback(webhookUrl)
    if (asked === undefined || asked === null || asked === '') return undefined
    const requests = parseExtensions(asked)
    if (requests.length === 0) return undefined
    const configs = await resolveExtensions(requests, async (id) => {
      const saved = await store.documents.byId('saved-extension', id)
      return saved?.body.config as ExtensionConfig | undefined
    })
    extensions.check(configs, await fieldsNow())
    const units = configs.reduce((sum, { name }) => sum + UNITS[name], 0)
    if (options.unitsPerMonth > 0) refuseOver(await store.settings.get(COUNTER), units)
    return { configs, webhookUrl, units }
  }

  const monthNow = () => new Date(clock.now()).toISOString().slice(0, 7)
  const usedUnits = (counter: unknown) => {
    const known = counter as { month: string; units: number } | undefined
    return known?.month === monthNow() ? known.units : 0
  }
  const refuseOver = (counter: unknown, units: number) => {
    if (usedUnits(counter) + units > options.unitsPerMonth) throw badRequest('Extensions quota exceeded.')
  }

  async function tryNow(planned: PlannedExtensions, file: ExtensionFile): Promise<TriedExtensions> {
    const deadline = AbortSignal.timeout(options.syncDeadlineMs)
    const fields = await fieldsNow()
    const tried = planned.configs.map(async (config): Promise<TriedExtensions['tried'][number]> => {
      // No service can do anything with it, so that nobody has to wait for one to say so.
      if (file.fileType !== 'image') return { config, status: 'failed' }
      if (!TRIED_AT_ONCE.includes(config.name) || options.syncDeadlineMs === 0) {
        return { config, status: 'pending' }
      }
      try {
        const result = await within(deadline, (signal) => extensions.run(config, asset(file, fields), signal))
        return { config, status: 'success', result }
      } catch (error) {
        const isFinal = !deadline.aborted && !retryOf(error).retryable
        return { config, status: isFinal ? 'failed' : 'pending' }
      }
    })
    return { ...planned, tried: await Promise.all(tried) }
  }

  const asset = (file: ExtensionFile, fields: Awaited<ReturnType<typeof fieldsNow>>) =>
    assetOf(file, fields, deps)

  async function enqueue(
    tx: Tables,
    { tried, webhookUrl }: TriedExtensions,
    { fileId, versionId }: Pick<FileVersion, 'fileId' | 'versionId'>,
    origin: Origin,
  ): Promise<void> {
    const nowMs = clock.now()
    const done = tried.filter(({ status }) => status === 'success')
    await tx.usage.add(
      done.flatMap(({ config }) => extensionRun({ name: config.name, units: UNITS[config.name], nowMs })),
    )
    const counted = tried.filter(({ status }) => status !== 'failed')
    if (options.unitsPerMonth > 0 && counted.length > 0) {
      const units = counted.reduce((sum, { config }) => sum + UNITS[config.name], 0)
      const counter = await tx.settings.get(COUNTER)
      refuseOver(counter, units)
      await tx.settings.set(COUNTER, { month: monthNow(), units: usedUnits(counter) + units })
    }
    const pending = tried.filter(({ status }) => status === 'pending').map(({ config }) => config)
    const makesVersion = ({ name }: ExtensionConfig) => name === 'remove-bg'
    const after: string[] = []
    for (const config of pending.toSorted((a, b) => Number(makesVersion(a)) - Number(makesVersion(b)))) {
      const payload: ExtensionPayload = {
        ...{ fileId, versionId, config, webhookUrl: webhookUrl ?? null, origin },
        after: makesVersion(config) ? after : [],
      }
      const id = ids.next()
      await tx.jobs.enqueue({ id, kind: KIND, payload, createdAtMs: nowMs })
      if (!makesVersion(config)) after.push(id)
    }
  }

  async function run(running: RunningJob): Promise<JobOutcome> {
    const payload = running.job.payload as ExtensionPayload
    const progress = () => running.job.progress as ExtensionProgress
    // It crashed between its last step and its end.
    if (progress().ended === 'applied') return { kind: 'done' }
    if (progress().ended === 'failed') {
      if (running.job.attempts > 1) return { kind: 'give-up', reason: progress().lastError ?? GONE }
      // Somebody has made the dead job ready again.
      await running.step(async () => ({}))
    }
    if (progress().result === undefined) {
      const version = await store.files.version(payload.fileId, payload.versionId)
      if (!version) return fail(running, GONE)
      const tries = progress().tries ?? 0
      if (tries >= options.maxTries) {
        return fail(running, progress().lastError ?? 'The server stopped while it waited for the service.')
      }
      // Counted before the service is asked, so that not even a crash lets it be asked more often.
      await running.step(async () => ({ ...progress(), tries: tries + 1 }))
      try {
        const result = await extensions.run(payload.config, asset(version, await fieldsNow()), running.signal)
        const stored = await keep(result, version.name)
        await running.step(async () => ({ ...progress(), result: stored }))
      } catch (error) {
        running.signal.throwIfAborted()
        const reason = error instanceof TintypeError ? error.message : 'The extension failed.'
        if (!(error instanceof TintypeError))
          log.error({ err: error, job: running.job.id }, 'extension failed')
        const { retryable, afterSec } = retryOf(error)
        if (!retryable || tries + 1 >= options.maxTries) return fail(running, reason)
        await running.step(async () => ({ ...progress(), lastError: reason }))
        return { kind: 'retry', reason, ...(afterSec === undefined ? {} : { delayMs: afterSec * 1000 }) }
      }
    }
    if (await isTooEarly(running)) {
      const reason = 'Other results of the same request come first.'
      return { kind: 'postpone', delayMs: SIBLINGS_WAIT_MS, reason }
    }
    return apply(running, payload, progress().result!)
  }

  /** Whether others of the same request are still at work; nobody waits for them for ever. */
  async function isTooEarly({ job }: RunningJob): Promise<boolean> {
    if (clock.now() - job.createdAtMs > MAX_SIBLINGS_WAIT_MS) return false
    const others = await Promise.all((job.payload as ExtensionPayload).after.map((id) => store.jobs.byId(id)))
    return others.some((other) => other && other.finishedAtMs === null)
  }

  /** Brings a result into a form that can wait; a file's bytes become a blob. They are as little trusted as uploads. */
  async function keep(result: ExtensionResult, name: string): Promise<StoredResult> {
    if (result.kind !== 'file') return result
    const writer = blobs.stage({ maxBytes: () => result.bytes.length })
    await writer.write(result.bytes)
    const staged = await writer.finish()
    try {
      const { embedded: _, ...file } = await inspectStaged(staged, name)
      await blobs.commit(staged)
      return { kind: 'file', file: { ...file, blob: staged.sha256, sizeBytes: staged.sizeBytes } }
    } catch (error) {
      await blobs.discard(staged)
      throw error
    }
  }

  const inspectStaged = (staged: Staged, name: string) =>
    inspect(
      { head: staged.head, sizeBytes: staged.sizeBytes, name, localPath: () => staged.localPath() },
      { log, options: options.media },
    )

  async function apply(
    running: RunningJob,
    payload: ExtensionPayload,
    result: StoredResult,
  ): Promise<JobOutcome> {
    const outbox = await events.open()
    const { fileId, versionId, config, webhookUrl, origin } = payload
    try {
      await running.step(async (tx) => {
        const [current] = await lockFiles(tx, [fileId])
        const version = await tx.files.version(fileId, versionId)
        if (!current || !version) throw new Unapplied(GONE)
        const file = await results.write(tx, { version, current, result, outbox, origin })
        const nowMs = clock.now()
        await tx.usage.add(extensionRun({ name: config.name, units: UNITS[config.name], nowMs }))
        if (webhookUrl !== null) {
          const fileObject = present(origin.endpoint).file(file)
          await outbox.call(tx, webhookUrl, { service: config.name, status: 'SUCCESS', fileObject })
        }
        return { ended: 'applied' } satisfies ExtensionProgress
      })
      return { kind: 'done' }
    } catch (error) {
      running.signal.throwIfAborted()
      if (error instanceof Unapplied) return fail(running, error.message)
      if (!(error instanceof TintypeError)) throw error
      // A bulk job holds the folder; it will end.
      if (error.kind === 'locked') return { kind: 'postpone', delayMs: LOCKED_WAIT_MS, reason: error.message }
      if (error.kind === 'bad-request') return fail(running, error.message)
      throw error
    }
  }

  /** Tells of a failure, once, and ends the job. */
  async function fail(running: RunningJob, reason: string): Promise<JobOutcome> {
    const { fileId, config, webhookUrl } = running.job.payload as ExtensionPayload
    const outbox = await events.open()
    await running.step(async (tx) => {
      if (webhookUrl !== null) {
        const error = { message: reason }
        await outbox.call(tx, webhookUrl, { service: config.name, status: 'FAILURE', fileId, error })
      }
      return { ended: 'failed', lastError: reason } satisfies ExtensionProgress
    })
    return { kind: 'give-up', reason }
  }

  return { plan, tryNow, enqueue, run }
}

/** Results of what was done within a request, put into the AI tags that a version is stored with. */
export function aiTagsOf(aiTags: AiTag[] | null, tried: TriedExtensions | undefined): AiTag[] | null {
  return (tried?.tried ?? []).reduce<AiTag[] | null>(
    (tags, { result }) => (result?.kind === 'ai-tags' ? mergeAiTags(tags, result.tags) : tags),
    aiTags,
  )
}

/** `extensionStatus` of an answer. Where an extension was asked for twice, the one that is not done counts. */
export function extensionStatusOf(
  tried: TriedExtensions | undefined,
): Record<string, ExtensionStatus> | undefined {
  if (!tried) return undefined
  const order: ExtensionStatus[] = ['success', 'failed', 'pending']
  const status: Record<string, ExtensionStatus> = {}
  for (const { config, status: own } of tried.tried) {
    const known = status[config.name]
    if (known === undefined || order.indexOf(own) > order.indexOf(known)) status[config.name] = own
  }
  return status
}

/** Ends with the deadline even where what it waits for does not. */
async function within<T>(deadline: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  deadline.throwIfAborted()
  let onAbort: (() => void) | undefined
  const ended = new Promise<never>((_, reject) => {
    onAbort = () => reject(deadline.reason)
    deadline.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([work(deadline), ended])
  } finally {
    deadline.removeEventListener('abort', onAbort!)
  }
}
