import { access, constants, mkdir, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { describeSecrets } from './cli-secrets.ts'
import type { Config } from './config/config.ts'
import type { LoadedConfig } from './config/load.ts'
import { inspectCounters } from './counters/counters.ts'
import { databaseFileOf, isEmbedded, openOnlyBlobs, usesBucket } from './installation.ts'
import { TintypeError } from './kernel/errors.ts'
import { runProgram } from './kernel/exec.ts'
import { silentLog } from './kernel/log.ts'
import { systemClock } from './kernel/time.ts'
import { configuredKeys, hasAccount, isWeakKey } from './library/library.ts'
import { type DatabaseFacts, inspectDatabase, openStore, type Store } from './store/store.ts'
import { missingFonts } from './transform/transform.ts'

export type Check = {
  name: string
  state: 'ok' | 'warning' | 'failed'
  detail: string
  /** What to do. */
  advice?: string
}

const MIB = 1024 * 1024
const LEAST_POSTGRES = 13
const LEAST_FREE_BYTES = 1024 * MIB
/** Signed URLs and tokens are judged by the clock. */
const MAX_CLOCK_DIFFERENCE_MS = 2000
const PROGRAM_TIMEOUT_MS = 10_000

/** Examines an installation without changing it, but for a probe that is written to the storage and removed. */
export async function examine({ config, warnings }: LoadedConfig): Promise<Check[]> {
  const checks: Check[] = [
    { name: 'Node.js', state: 'ok', detail: process.version },
    ...warnings.map((warning): Check => ({ name: 'settings', state: 'warning', detail: warning })),
  ]
  checks.push(...(await checkDataFolder(config)))
  const { check, facts } = await checkDatabase(config)
  checks.push(check)
  if (facts) checks.push(...judgeDatabase(config, facts))
  checks.push(await checkBlobs(config))
  checks.push(...(await checkRedis(config)))
  checks.push(checkFonts())
  checks.push(
    await checkProgram('ffprobe', config.media.ffprobe, 'sizes and durations of videos are not read'),
  )
  const ffmpeg = config.media.ffprobe.replace(/ffprobe$/, 'ffmpeg')
  checks.push(await checkProgram('ffmpeg', ffmpeg, 'videos are not transformed'))
  if (facts && facts.schemaVersion === facts.knownVersion) checks.push(...(await checkKeys(config)))
  checks.push(...checkSettings(config))
  return checks
}

async function checkDataFolder(config: Config): Promise<Check[]> {
  const folder = resolve(config.dataDir)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    return [
      {
        name: 'data folder',
        state: 'failed',
        detail: `${folder} cannot be written: ${(error as Error).message}`,
        advice:
          'Create it, or give it to the user that the server runs as (chown), or name another with --data-dir.',
      },
    ]
  }
  const { bavail, blocks, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  const detail = `${Math.round(freeBytes / MIB)} MiB of ${Math.round((blocks * bsize) / MIB)} MiB are free`
  const isLow = freeBytes < LEAST_FREE_BYTES + config.blobs.reservedBytes
  return [
    { name: 'data folder', state: 'ok', detail: folder },
    isLow
      ? {
          name: 'free space',
          state: 'warning',
          detail,
          advice: `Uploads are refused when less than ${Math.round(config.blobs.reservedBytes / MIB)} MiB are left. Make room: a smaller delivery.cacheMiB, "tintype gc", or a larger volume.`,
        }
      : { name: 'free space', state: 'ok', detail },
  ]
}

async function checkDatabase(config: Config): Promise<{ check: Check; facts?: DatabaseFacts }> {
  const { databaseUrl, connectTimeoutMs } = config.store
  const place = databaseUrl === undefined ? databaseFileOf(config) : describeUrl(databaseUrl)
  try {
    const facts = await inspectDatabase({ databaseUrl, file: databaseFileOf(config), connectTimeoutMs })
    if (!facts) {
      return { check: { name: 'database', state: 'ok', detail: `${place} is made at the first start` } }
    }
    const name = facts.engine === 'postgres' ? 'PostgreSQL' : 'SQLite'
    return { check: { name: 'database', state: 'ok', detail: `${name} ${facts.version} at ${place}` }, facts }
  } catch (error) {
    const advice =
      databaseUrl === undefined
        ? 'Stop the server, keep a copy of the file, and restore the latest backup ("tintype restore").'
        : 'Check TINTYPE_DATABASE_URL: host, port, user, password and name of the database, and that PostgreSQL runs and lets this machine in (pg_hba.conf).'
    return {
      check: { name: 'database', state: 'failed', detail: `${place}: ${describeError(error)}`, advice },
    }
  }
}

function judgeDatabase(config: Config, facts: DatabaseFacts): Check[] {
  const checks: Check[] = []
  const { schemaVersion, knownVersion } = facts
  if (schemaVersion > knownVersion) {
    checks.push({
      name: 'schema',
      state: 'failed',
      detail: `version ${schemaVersion}, but this release knows only ${knownVersion}`,
      advice: 'The database was written by a newer release: start that one, or restore a backup of this one.',
    })
  } else {
    const detail =
      schemaVersion === knownVersion
        ? `version ${schemaVersion}`
        : `version ${schemaVersion}; the next start brings it to ${knownVersion}`
    checks.push({ name: 'schema', state: 'ok', detail })
  }
  if (facts.engine === 'sqlite') return checks
  if (Number.parseInt(facts.version, 10) < LEAST_POSTGRES) {
    checks.push({
      name: 'PostgreSQL version',
      state: 'failed',
      detail: facts.version,
      advice: `Upgrade PostgreSQL to ${LEAST_POSTGRES} or later.`,
    })
  }
  if (facts.encoding !== 'UTF8') {
    checks.push({
      name: 'encoding of the database',
      state: 'failed',
      detail: String(facts.encoding),
      advice: "Create a database with ENCODING 'UTF8': file names in other scripts are lost otherwise.",
    })
  }
  const differenceMs = Math.round(systemClock.now() - facts.clockMs!)
  checks.push(
    Math.abs(differenceMs) > MAX_CLOCK_DIFFERENCE_MS
      ? {
          name: 'clock',
          state: 'warning',
          detail: `${differenceMs} ms ahead of the database's`,
          advice:
            'Run an NTP client on all machines: tokens and signed URLs end too early or too late, and S3 refuses requests of a clock that is 15 minutes wrong.',
        }
      : { name: 'clock', state: 'ok', detail: `within ${MAX_CLOCK_DIFFERENCE_MS} ms of the database's` },
  )
  const { poolSize, readPoolSize, searchPoolSize } = config.store
  const perNode = poolSize + readPoolSize + searchPoolSize
  const nodes = Math.floor((facts.maxConnections! - 3) / perNode)
  checks.push({
    name: 'connections',
    state: nodes < 1 ? 'failed' : nodes < 3 ? 'warning' : 'ok',
    detail: `max_connections is ${facts.maxConnections}; a server opens up to ${perNode}`,
    ...(nodes < 3
      ? { advice: 'Raise max_connections, or lower store.poolSize, readPoolSize and searchPoolSize.' }
      : {}),
  })
  return checks
}

async function checkBlobs(config: Config): Promise<Check> {
  const { s3 } = config.blobs
  const isBucket = usesBucket(config)
  const name = isBucket ? 'bucket' : 'blobs'
  const place = isBucket ? `${s3.bucket} at ${s3.endpoint || 'AWS'}` : resolve(config.dataDir)
  const beganMs = performance.now()
  try {
    const blobs = await openOnlyBlobs(config)
    try {
      await blobs.check()
    } finally {
      await blobs.close()
    }
  } catch (error) {
    return {
      name,
      state: 'failed',
      detail: `${place}: ${describeError(error)}`,
      advice: isBucket
        ? 'Check TINTYPE_S3_ENDPOINT, _BUCKET, _REGION, _ACCESS_KEY and _SECRET_KEY. The bucket must exist, and the key may list, read, write and delete in it. Stores other than AWS mostly want blobs.s3.forcePathStyle.'
        : 'Is the volume mounted, and does the server own the folder?',
    }
  }
  return {
    name,
    state: 'ok',
    detail: `${place}: written and read in ${Math.round(performance.now() - beganMs)} ms`,
  }
}

async function checkRedis({ counters: { redisUrl } }: Config): Promise<Check[]> {
  if (redisUrl === undefined) return []
  const { host } = new URL(redisUrl)
  try {
    return [{ name: 'Redis', state: 'ok', detail: `${await inspectCounters(redisUrl)} at ${host}` }]
  } catch (error) {
    return [
      {
        name: 'Redis',
        state: 'warning',
        detail: `${host}: ${describeError(error)}`,
        advice:
          'Check TINTYPE_REDIS_URL: host, port, user and password. Without it each server counts for its rate limits alone.',
      },
    ]
  }
}

function checkFonts(): Check {
  const missing = missingFonts()
  if (missing.length === 0) return { name: 'fonts', state: 'ok', detail: 'all there' }
  return {
    name: 'fonts',
    state: 'warning',
    detail: `missing: ${missing.join(', ')}`,
    advice: 'Install the packages again (npm ci): text layers in these fonts look different.',
  }
}

async function checkProgram(name: string, program: string, without: string): Promise<Check> {
  try {
    const { stdout, exitCode } = await runProgram({
      program,
      args: ['-version'],
      timeoutMs: PROGRAM_TIMEOUT_MS,
    })
    if (exitCode === 0) {
      return { name, state: 'ok', detail: stdout.toString('utf8').split('\n', 1)[0]!.slice(0, 80) }
    }
  } catch {
    // What is not there and what cannot be started come to the same.
  }
  return {
    name,
    state: 'warning',
    detail: `${program} cannot be started: ${without}`,
    advice: 'Install ffmpeg (apt-get install ffmpeg), or name its place with media.ffprobe.',
  }
}

async function checkKeys(config: Config): Promise<Check[]> {
  const store = await openStore({ ...config.store, file: databaseFileOf(config) }, { log: silentLog })
  try {
    const secrets = await checkSecrets(config, store)
    // Keys that cannot be opened cannot be judged.
    if (secrets.state === 'failed') return [secrets]
    const nowMs = systemClock.now()
    const keys = [...configuredKeys(config.account, nowMs), ...(await store.keys.list())]
    const working = keys.filter(
      ({ disabledAtMs, expiresAtMs }) =>
        disabledAtMs === null && (expiresAtMs === null || expiresAtMs > nowMs),
    )
    const checks: Check[] = working
      .filter(({ privateKey }) => isWeakKey(privateKey))
      .map(({ name }) => ({
        name: 'keys',
        state: 'warning',
        detail: `the private key of "${name}" is short and could be guessed`,
        advice: 'Make one with "tintype keys create NAME" and use it instead.',
      }))
    if (working.length === 0 && (await hasAccount(store))) {
      checks.push({
        name: 'keys',
        state: 'failed',
        detail: 'no key pair works',
        advice: 'Make one with "tintype keys create NAME".',
      })
    }
    const dead = (await store.jobs.stats()).filter(({ state }) => state === 'dead')
    if (dead.length > 0) {
      checks.push({
        name: 'jobs',
        state: 'warning',
        detail: `dead: ${dead.map(({ kind, count }) => `${count} × ${kind}`).join(', ')}`,
        advice: 'See why with "tintype jobs list --state=dead", then "tintype jobs retry".',
      })
    }
    if (checks.length === 0) checks.push({ name: 'keys', state: 'ok', detail: `${working.length} work` })
    return [secrets, ...checks]
  } finally {
    await store.close()
  }
}

async function checkSecrets(config: Config, store: Store): Promise<Check> {
  const report = await store.secrets.inspect()
  const { plain, previous, unknown, damaged } = report
  const detail = describeSecrets(report)
  const name = 'secrets'
  if (Object.keys(unknown).length > 0) {
    return {
      name,
      state: 'failed',
      detail,
      advice:
        'Set TINTYPE_ENCRYPTION_KEY to the key that they are encrypted under, or add it to TINTYPE_PREVIOUS_ENCRYPTION_KEYS. Without it they are lost: delete those key pairs, origins and webhooks and make new ones.',
    }
  }
  if (damaged > 0) {
    return {
      name,
      state: 'failed',
      detail,
      advice:
        'Somebody has changed the database by other means. Restore a backup, or delete and make them again.',
    }
  }
  if (config.store.encryptionKey === undefined ? previous === 0 : plain + previous === 0) {
    return { name, state: 'ok', detail }
  }
  return {
    name,
    state: 'warning',
    detail,
    advice:
      config.store.encryptionKey === undefined
        ? 'Run "tintype secrets decrypt", or set TINTYPE_ENCRYPTION_KEY again.'
        : 'Run "tintype secrets encrypt". Backups and write-ahead logs from before still hold what was not encrypted.',
  }
}

function checkSettings(config: Config): Check[] {
  const checks: Check[] = []
  if (!isEmbedded(config) && config.store.databaseUrl === undefined) {
    checks.push({
      name: 'set-up',
      state: 'warning',
      detail: 'blobs are in a bucket, but metadata in a file',
      advice: 'Only one server may run on it. For several, set TINTYPE_DATABASE_URL.',
    })
  }
  if (!usesBucket(config) && config.store.databaseUrl !== undefined) {
    checks.push({
      name: 'set-up',
      state: 'warning',
      detail: 'metadata is in PostgreSQL, but blobs are in the data folder',
      advice: `Several servers need one bucket (TINTYPE_S3_BUCKET), or one volume at ${dirname(resolve(config.dataDir))} that all of them mount.`,
    })
  }
  const { publicUrl, host, trustedProxies } = config.http
  if (publicUrl === undefined && host !== '127.0.0.1' && trustedProxies.length === 0) {
    checks.push({
      name: 'public URL',
      state: 'warning',
      detail: 'URLs in answers follow the Host header of each request',
      advice: 'Set TINTYPE_PUBLIC_URL=https://media.example.com.',
    })
  }
  return checks
}

/** The place of a database without its password. */
function describeUrl(databaseUrl: string): string {
  try {
    const { host, pathname } = new URL(databaseUrl)
    return `${host}${pathname}`
  } catch {
    return 'PostgreSQL'
  }
}

function describeError(error: unknown): string {
  const messages: string[] = []
  for (let each: unknown = error; each instanceof Error && messages.length < 3; each = each.cause) {
    const inner =
      each instanceof AggregateError ? each.errors.map((one) => String(one.message)).join('; ') : ''
    const text = [each instanceof TintypeError ? '' : each.message, inner].filter(Boolean).join(' ')
    if (text !== '') messages.push(text)
  }
  return messages.join(': ') || String(error)
}
