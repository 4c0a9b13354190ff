import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Blobs, openBlobs } from './blobs/blobs.ts'
import type { Config } from './config/config.ts'
import { openCounters } from './counters/counters.ts'
import { createCutOuts, createDelivery } from './delivery/delivery.ts'
import { createExtensions } from './extensions/extensions.ts'
import { createHttpServer, createPresenter, type HttpLog, type HttpServer } from './http/http.ts'
import { openAuditLog } from './kernel/audit-log.ts'
import { TintypeError } from './kernel/errors.ts'
import { type Ids, systemIds } from './kernel/ids.ts'
import { createMetrics } from './kernel/metrics.ts'
import { createNetworkPolicy } from './kernel/network-policy.ts'
import { measureProcess } from './kernel/process-metrics.ts'
import { createSafeFetch } from './kernel/safe-fetch.ts'
import { type Clock, systemClock } from './kernel/time.ts'
import { createTracer, traced } from './kernel/tracing.ts'
import {
  type Account,
  claimStorage,
  createLibrary,
  hasAccount,
  isHalfMoved,
  type Library,
  openAccount,
  type PresentFor,
  startHousekeeping,
  startUsageMeter,
} from './library/library.ts'
import { openOrigins, originFetchLimits } from './origins/origins.ts'
import { measurePools } from './store/pool-metrics.ts'
import { openStore, type Store } from './store/store.ts'
import { measureRenders } from './transform/measured.ts'
import { createModelProviders, createRenderer } from './transform/transform.ts'
import { createHandlers, WEBHOOKS_AT_ONCE } from './worker/handlers.ts'
import { measureJobs } from './worker/job-metrics.ts'
import { createPurgeFollower, createPurgeRun } from './worker/purge-follower.ts'
import { createWorker } from './worker/worker.ts'

/** One running installation. */
export type Tintype = {
  readonly http: HttpServer
  readonly account: Account
  readonly library: Library
  readonly store: Store
  /** Closes everything in the reverse order of opening. */
  close(): Promise<void>
}

/** Files in events and callbacks have the shapes that answers give them. */
const presentFor: PresentFor = (endpoint) => {
  const presenter = createPresenter(endpoint)
  return {
    file: presenter.file,
    upload: (file) => presenter.upload(file, { responseFields: [], metadata: undefined, fields: [] }),
  }
}

/** Without its secrets a server could only refuse everybody. */
async function checkStore(
  store: Store,
  blobs: Pick<Blobs, 'list' | 'owner' | 'claim'>,
  ids: Ids,
): Promise<void> {
  try {
    await store.secrets.check()
    await refuseHalfMoved(store)
    await refuseFilesOfOthers(store, blobs)
    await claimStorage({ store, blobs, ids })
  } catch (error) {
    await store.close()
    throw error
  }
}

const STALE_MS = 3_600_000

/** Makes a folder for files that live as long as a request, without what processes that died have left in it. */
async function openTempFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  for (const name of await readdir(path)) {
    const file = join(path, name)
    // Another server may share the folder, and its files are younger.
    const info = await stat(file).catch(() => undefined)
    if (info && Date.now() - info.mtimeMs > STALE_MS) await rm(file, { force: true, recursive: true })
  }
  return path
}

/**
 * A new database beside the files of an older one would be an empty library, and its housekeeping would remove them all.
 * @throws TintypeError unavailable.
 */
async function refuseLostDatabase(file: string, blobs: Pick<Blobs, 'list'>): Promise<void> {
  const info = await stat(file).catch(() => undefined)
  if (info !== undefined && info.size > 0) return
  if (!(await hasFiles(blobs))) return
  throw new TintypeError(
    'unavailable',
    `There are files in the storage, but the database file ${file} is not there or empty. Is its volume mounted? If it is lost, restore the latest backup.`,
  )
}

/**
 * The same for a database that is there and has no library in it: another one than that of the files, in most cases.
 * @throws TintypeError unavailable.
 */
async function refuseFilesOfOthers(store: Store, blobs: Pick<Blobs, 'list'>): Promise<void> {
  if ((await hasAccount(store)) || !(await hasFiles(blobs))) return
  // Of several servers that start on nothing at once, one may have begun to take files; it has made the account before.
  if (await hasAccount(store)) return
  throw new TintypeError(
    'unavailable',
    'There are files in the storage, but the database is empty. Does store.databaseUrl name the database, and its schema, of these files? If it is lost, restore the latest backup. A new library wants a storage of its own: an empty data folder, or another bucket or blobs.s3.prefix.',
  )
}

/** Housekeeping would take the files whose rows have not come yet for garbage. @throws TintypeError unavailable. */
async function refuseHalfMoved(store: Store): Promise<void> {
  if (!(await isHalfMoved(store))) return
  throw new TintypeError(
    'unavailable',
    'A library is being moved into this database, and the move has not come to its end. Run "tintype migrate-data" again: it goes on where it stopped.',
  )
}

async function hasFiles(blobs: Pick<Blobs, 'list'>): Promise<boolean> {
  for await (const _ of blobs.list()) return true
  return false
}

/**
 * Wires one Tintype from its settings; the only place that knows all parts. Nothing listens until `http.listen()`.
 * @param overrides replacements for what tests need to steer: the clock and the ids.
 */
export async function compose(
  config: Config,
  log: HttpLog,
  overrides: { clock?: Clock; ids?: Ids } = {},
): Promise<Tintype> {
  const clock = overrides.clock ?? systemClock
  const ids = overrides.ids ?? systemIds
  const dataDir = resolve(config.dataDir)
  await mkdir(dataDir, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new TintypeError('unavailable', 'The data folder cannot be used. Does the server own it?', {
      cause,
    })
  })

  const metrics = createMetrics((metric, err) => log.warn({ err, metric }, 'a metric could not be read'))
  const tracer = createTracer(config.tracing, { log })
  const blobs = traced(await openBlobs({ ...config.blobs, dataDir }, { log, metrics }), {
    prefix: 'blobs',
    methods: ['read', 'readAll', 'withLocalFile', 'commit', 'remove'],
    tracer,
  })
  const databaseFile = config.store.file ?? join(dataDir, 'tintype.db')
  if (config.store.databaseUrl === undefined) await refuseLostDatabase(databaseFile, blobs)
  const store = traced(await openStore({ ...config.store, file: databaseFile }, { log, clock }), {
    prefix: 'store',
    methods: ['transaction'],
    tracer,
  })
  await checkStore(store, blobs, ids)
  measurePools(metrics, store)
  const stopMeasuring = measureProcess(metrics)
  const account = await openAccount(config.account, { store, ids, clock, log })
  const fetching = { prefix: 'fetch', methods: ['open' as const], tracer }
  const safeFetch = traced(createSafeFetch(config.fetch), fetching)
  const renderer = traced(
    measureRenders(
      createRenderer({ ...config.transform, cacheDir: join(dataDir, 'cache') }, { log }),
      metrics,
    ),
    { prefix: 'image', methods: ['render', 'analyse'], tracer },
  )
  const extensions = createExtensions(config.extensions, { safeFetch, log })
  const tempDir = await openTempFolder(join(dataDir, 'tmp'))
  const library = createLibrary(
    {
      upload: config.upload,
      media: config.media,
      folders: config.folders,
      purge: config.purge,
      webhooks: config.webhooks,
      extensions: config.extensions,
    },
    {
      store,
      blobs,
      safeFetch,
      // Places of their own: receivers that hang must not keep uploads by URL waiting.
      webhookFetch: traced(
        createSafeFetch({
          ...config.fetch,
          maxConcurrent: WEBHOOKS_AT_ONCE,
          maxConcurrentPerKey: WEBHOOKS_AT_ONCE,
        }),
        fetching,
      ),
      policy: createNetworkPolicy(config.fetch),
      present: presentFor,
      extensions,
      tempDir,
      renderer,
      ids,
      clock,
      log,
    },
  )
  const origins = await openOrigins(
    { ...config.origins, cacheDir: join(dataDir, 'cache', 'origins'), media: config.media },
    {
      safeFetch: traced(createSafeFetch({ ...config.fetch, ...originFetchLimits(config.origins) }), fetching),
      clock,
      log,
    },
  )
  const models = createModelProviders(config.delivery.models, createCutOuts(extensions))
  const delivery = await createDelivery(
    { ...config.delivery, cacheDir: join(dataDir, 'cache', 'derivatives') },
    { store, blobs, origins, models, renderer, account, clock, log, signing: config.signing },
  )
  const usage = startUsageMeter(config.usage, {
    store,
    ids,
    clock,
    log,
    originalCacheBytes: origins.cachedBytes,
  })
  const counters = await openCounters(config.counters, { clock, log })
  const audit = await openAuditLog(config.audit, { log, clock })
  const http = await createHttpServer({
    options: config.http,
    signing: config.signing,
    audit,
    auditReads: config.audit.reads,
    account,
    library,
    delivery,
    store,
    usage,
    metrics,
    tracer,
    counters,
    blobs,
    clock,
    ids,
    logger: log,
  })
  const housekeeping = startHousekeeping(config.housekeeping, { store, blobs, clock, log })
  const follower = createPurgeFollower(
    { positionFile: join(dataDir, 'cache', 'last-purge') },
    { store, delivery, log },
  )
  const worker = createWorker(config.worker, {
    store,
    handlers: createHandlers({
      accountId: account.id,
      store,
      library,
      delivery,
      purge: createPurgeRun({ store, follower, clock }),
      options: config,
    }),
    observe: measureJobs(metrics, { store, clock }),
    tracer,
    ids,
    clock,
    log,
  })

  return {
    http: {
      ...http,
      async listen() {
        const url = await http.listen()
        if (config.worker.enabled) worker.start()
        follower.start()
        return url
      },
    },
    account,
    library,
    store,
    async close() {
      await http.drain()
      await counters.close()
      await audit.close()
      await worker.drain()
      await follower.stop()
      await housekeeping.stop()
      await usage.stop()
      await extensions.close()
      await renderer.close()
      stopMeasuring()
      await store.close()
      await blobs.close()
      await tracer?.close()
    },
  }
}
