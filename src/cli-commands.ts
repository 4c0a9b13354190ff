import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { MAINTENANCE } from './cli-maintenance.ts'
import { SECRETS } from './cli-secrets.ts'
import { isoOf, showTable } from './cli-table.ts'
import { WEBHOOKS } from './cli-webhooks.ts'
import { loadConfig } from './config/load.ts'
import { badRequest } from './kernel/errors.ts'
import { systemIds } from './kernel/ids.ts'
import { silentLog } from './kernel/log.ts'
import { systemClock } from './kernel/time.ts'
import { configuredKeys, createKeyring, type KeyAccess, type Keyring, keyStatus } from './library/library.ts'
import { serve } from './serve.ts'
import { type ApiKey, type Job, openStore, type Store } from './store/store.ts'

export type CommandContext = {
  /** Words after the name of the command. */
  arguments: string[]
  /** The command's own options; one without a value has an empty text. */
  options: Map<string, string>
  /** All others, for `loadConfig`. */
  settings: string[]
  print(text: string): void
  /** Tells the audit log what the command changes: ids and public keys. */
  note(targets: Record<string, string>): void
}

export type Command = {
  summary: string
  /** Names of the words that follow; `?` marks one that may be absent, `…` one that may repeat. */
  arguments: string[]
  /** Options by name, each with what it means. */
  options: Record<string, string>
  /** Whether it changes something, so that the audit log has to tell of it. */
  changes?(context: Pick<CommandContext, 'options'>): boolean
  run(context: CommandContext): Promise<void>
}

export type Commands = Record<string, Command>

const HOUR_MS = 3_600_000
const EXPIRIES: Record<string, number> = {
  now: 0,
  '1h': HOUR_MS,
  '24h': 24 * HOUR_MS,
  '3d': 72 * HOUR_MS,
  '7d': 168 * HOUR_MS,
}
const ACCESSES: readonly string[] = ['standard', 'none', 'read', 'write'] satisfies KeyAccess[]
const JOB_STATES: readonly string[] = ['ready', 'running', 'done', 'dead'] satisfies Job['state'][]
const DEFAULT_LISTED_JOBS = 50
const JSON_OPTION = { json: 'machine-readable output' }
const KEY = 'key'
const changes = () => true

/** Every command by its name. */
export const COMMANDS: Commands = {
  start: {
    summary: 'Runs the server. This is what tintype does without a command.',
    arguments: [],
    options: {},
    run: ({ settings }) => serve(settings),
  },
  ...MAINTENANCE,
  ...WEBHOOKS,
  ...SECRETS,
  'keys list': {
    summary: 'Lists the key pairs, without the private keys.',
    arguments: [],
    options: JSON_OPTION,
    run: (context) =>
      withKeyring(context, async (keyring, configured) => {
        showKeys([...configured, ...(await keyring.list())], context)
      }),
  },
  'keys create': {
    summary: 'Makes a key pair and shows its private key, this once. There are at most five pairs.',
    arguments: ['name'],
    options: {
      access: 'standard (default), or for a restricted pair: none, read or write access to the media library',
      ...JSON_OPTION,
    },
    changes,
    run: (context) =>
      withKeyring(context, async (keyring) => {
        const access = choice(context, 'access', ACCESSES, 'standard') as KeyAccess
        const key = await keyring.create({ name: context.arguments[0]!, access })
        noteKey(context, key)
        showPair(key, context)
      }),
  },
  'keys restrict': {
    summary: 'Changes what a restricted key pair may do.',
    arguments: [KEY],
    options: { access: 'none, read or write' },
    changes,
    run: (context) =>
      withKeyring(context, async (keyring) => {
        const access = choice(context, 'access', ACCESSES.slice(1)) as KeyAccess
        const key = await keyring.restrict(context.arguments[0]!, access)
        noteKey(context, key)
        context.print(`${key.name} (${key.publicKey}) now has this access: ${access}.`)
      }),
  },
  'keys roll': {
    summary: 'Makes a new pair that may do the same, shows its private key, and lets the old pair expire.',
    arguments: [KEY],
    options: { expire: `when the old pair ends: ${Object.keys(EXPIRIES).join(', ')}`, ...JSON_OPTION },
    changes,
    run: (context) =>
      withKeyring(context, async (keyring) => {
        const expiry = choice(context, 'expire', Object.keys(EXPIRIES))
        const { old, created } = await keyring.roll(context.arguments[0]!, EXPIRIES[expiry]!)
        noteKey(context, old)
        context.note({ createdKey: created.id, createdPublicKey: created.publicKey })
        if (!context.options.has('json')) {
          context.print(`${old.publicKey} is valid until ${isoOf(old.expiresAtMs)}.`)
        }
        showPair(created, context)
      }),
  },
  'keys disable': {
    summary: 'Refuses a key pair from now on.',
    arguments: [KEY],
    options: {},
    changes,
    run: (context) =>
      withKeyring(context, async (keyring) => {
        const key = await keyring.disable(context.arguments[0]!)
        noteKey(context, key)
        context.print(`${key.name} (${key.publicKey}) is disabled.`)
      }),
  },
  'keys enable': {
    summary: 'Accepts a disabled key pair again.',
    arguments: [KEY],
    options: {},
    changes,
    run: (context) =>
      withKeyring(context, async (keyring) => {
        const key = await keyring.enable(context.arguments[0]!)
        noteKey(context, key)
        context.print(`${key.name} (${key.publicKey}) is enabled.`)
      }),
  },
  'keys delete': {
    summary: 'Deletes a key pair for good.',
    arguments: [KEY],
    options: {},
    changes,
    run: (context) =>
      withKeyring(context, async (keyring) => {
        const key = await keyring.remove(context.arguments[0]!)
        noteKey(context, key)
        context.print(`${key.name} (${key.publicKey}) is deleted.`)
      }),
  },
  'jobs list': {
    summary: 'Lists background jobs, the newest first.',
    arguments: [],
    options: {
      state: `only ${JOB_STATES.join(', ')}; dead ones have failed for good`,
      kind: 'only this kind, such as folder.move',
      limit: `at most so many (${DEFAULT_LISTED_JOBS})`,
      ...JSON_OPTION,
    },
    run: (context) =>
      withStore(context, async ({ store }) => {
        const state = context.options.get('state')
        const kind = context.options.get('kind')
        const limit = context.options.get('limit') ?? String(DEFAULT_LISTED_JOBS)
        if (!/^[1-9][0-9]{0,5}$/.test(limit)) throw badRequest('--limit is a whole number from 1.')
        const jobs = await store.jobs.list({
          ...(state === undefined ? {} : { state: choice(context, 'state', JOB_STATES) as Job['state'] }),
          ...(kind === undefined ? {} : { kind }),
          limit: Number(limit),
        })
        showJobs(jobs, context)
      }),
  },
  'jobs stats': {
    summary: 'Counts the jobs that wait, run or are dead, by kind.',
    arguments: [],
    options: JSON_OPTION,
    run: (context) =>
      withStore(context, async ({ store }) => {
        const stats = await store.jobs.stats()
        showTable(
          context,
          stats.map(({ kind, state, count, oldestRunAtMs }) => ({
            kind,
            state,
            count,
            oldest: isoOf(oldestRunAtMs),
          })),
          'No jobs wait, run or are dead.',
        )
      }),
  },
  'jobs retry': {
    summary: 'Lets dead jobs run again: those with these ids, those of a kind, or all.',
    arguments: ['id…?'],
    options: { kind: 'all dead jobs of this kind', all: 'all dead jobs' },
    changes,
    run: (context) =>
      withStore(context, async ({ store }) => {
        const ids = context.arguments
        const kind = context.options.get('kind')
        const ways = [ids.length > 0, kind !== undefined, context.options.has('all')].filter(Boolean)
        if (ways.length !== 1) throw badRequest('Say which jobs: ids, --kind=KIND or --all.')
        const count = await store.jobs.requeue({
          ...(ids.length > 0 ? { ids } : {}),
          ...(kind === undefined ? {} : { kind }),
          nowMs: systemClock.now(),
        })
        context.print(`${count} dead ${count === 1 ? 'job runs' : 'jobs run'} again.`)
      }),
  },
}

type Opened = { store: Store; configured: ApiKey[] }

/** Opens the installation's database beside a server that may be running, and closes it whatever happens. */
async function withStore(context: CommandContext, work: (opened: Opened) => Promise<void>): Promise<void> {
  const { config } = loadConfig(context.settings)
  const dataDir = resolve(config.dataDir)
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const store = await openStore({ file: join(dataDir, 'tintype.db'), ...config.store }, { log: silentLog })
  try {
    await work({ store, configured: configuredKeys(config.account, systemClock.now()) })
  } finally {
    await store.close()
  }
}

function withKeyring(
  context: CommandContext,
  work: (keyring: Keyring, configured: ApiKey[]) => Promise<void>,
): Promise<void> {
  return withStore(context, ({ store, configured }) =>
    work(
      createKeyring({ store, ids: systemIds, clock: systemClock, isConfigured: configured.length > 0 }),
      configured,
    ),
  )
}

/** The value of an option that is one of a list. @throws TintypeError bad-request for another. */
function choice(context: CommandContext, name: string, values: readonly string[], fallback?: string): string {
  const value = context.options.get(name) ?? fallback
  if (value === undefined || !values.includes(value)) {
    throw badRequest(`Say --${name}= and one of: ${values.join(', ')}.`)
  }
  return value
}

function noteKey(context: CommandContext, { id, publicKey }: ApiKey): void {
  context.note({ key: id, publicKey })
}

function showPair(key: ApiKey, context: CommandContext): void {
  if (context.options.has('json')) {
    context.print(JSON.stringify({ ...describeKey(key), privateKey: key.privateKey }))
    return
  }
  context.print(
    [
      `The key pair ${key.name}. The private key is shown this once; it stays on your servers.`,
      '',
      `  id           ${key.id}`,
      `  access       ${accessOf(key)}`,
      `  public key   ${key.publicKey}`,
      `  private key  ${key.privateKey}`,
    ].join('\n'),
  )
}

function showKeys(keys: ApiKey[], context: CommandContext): void {
  showTable(context, keys.map(describeKey), 'There are no key pairs yet: the first start makes one.')
}

function describeKey(key: ApiKey) {
  return {
    id: key.id,
    name: key.name,
    access: accessOf(key),
    status: keyStatus(key, systemClock.now()),
    publicKey: key.publicKey,
    created: isoOf(key.createdAtMs),
    expires: isoOf(key.expiresAtMs),
  }
}

function accessOf(key: ApiKey): KeyAccess {
  return key.isRestricted ? key.scope : 'standard'
}

function showJobs(jobs: Job[], context: CommandContext): void {
  showTable(
    context,
    jobs.map((job) => ({
      id: job.id,
      kind: job.kind,
      state: job.state,
      attempts: job.attempts,
      created: isoOf(job.createdAtMs),
      error: job.lastError ?? '',
    })),
    'There are no such jobs.',
  )
}
