import { resolve } from 'node:path'
import { openBlobs } from './blobs/blobs.ts'
import type { CommandContext, Commands } from './cli-commands.ts'
import type { Config } from './config/config.ts'
import { isTargetSetting, loadConfig, loadTargetConfig } from './config/load.ts'
import { type Check, examine } from './doctor.ts'
import { databaseFileOf, isEmbedded, openInstallation, requireFile } from './installation.ts'
import { badRequest } from './kernel/errors.ts'
import { silentLog } from './kernel/log.ts'
import { systemClock } from './kernel/time.ts'
import { readVersion } from './kernel/version.ts'
import {
  backUp,
  type CopyReport,
  collectGarbage,
  damageLeft,
  type GarbageReport,
  moveLibrary,
  readManifest,
  restore,
  sweepTokens,
  type VerifyReport,
  verifyLibrary,
} from './library/library.ts'
import { createProgressLine, describeBytes } from './progress.ts'
import { checkSqliteFile, openStore, type SecretsReport } from './store/store.ts'

const JSON_OPTION = { json: 'machine-readable output' }
/** Problems of one kind that a report for people shows one by one. */
const MAX_SHOWN = 20

/** Commands that look after an installation. Each ends with code 1 when something is left to be done. */
export const MAINTENANCE: Commands = {
  doctor: {
    summary: 'Checks everything that a server needs, and says what to do about what is wrong.',
    arguments: [],
    options: JSON_OPTION,
    async run(context) {
      const checks = await examine(loadConfig(context.settings))
      if (context.options.has('json')) context.print(JSON.stringify(checks))
      else for (const check of checks) context.print(describeCheck(check))
      if (checks.some(({ state }) => state === 'failed')) process.exitCode = 1
    },
  },
  verify: {
    summary: 'Holds every blob against its hash and every row against its blob, also while the server runs.',
    arguments: [],
    options: {
      quick: 'compares sizes only and reads no blob',
      repair:
        'sets damaged blobs aside, so that an upload of the same bytes brings them back, and removes what nobody needs',
      from: 'with --repair: the folder of a backup, from which damaged and missing blobs are brought back',
      ...JSON_OPTION,
    },
    changes: ({ options }) => options.has('repair'),
    run: runVerify,
  },
  gc: {
    summary: 'Removes blobs that no file refers to, what dead uploads have left, and expired tokens.',
    arguments: [],
    options: {
      'dry-run': 'removes nothing and says what it would remove',
      grace: 'age in seconds from which blobs may go (default: housekeeping.blobGraceSec)',
      ...JSON_OPTION,
    },
    changes: ({ options }) => !options.has('dry-run'),
    run: runGarbage,
  },
  backup: {
    summary:
      'Copies an embedded installation into a folder, also while the server runs. Into the folder of an earlier backup it copies only what is new.',
    arguments: ['folder'],
    options: {
      link: 'links blobs instead of copying them: quick and small, but on the same disk',
      ...JSON_OPTION,
    },
    changes: () => true,
    run: runBackup,
  },
  restore: {
    summary:
      'Brings a backup back into an empty data folder, then verifies it. The server must not be running.',
    arguments: ['folder'],
    options: JSON_OPTION,
    changes: () => true,
    run: runRestore,
  },
  'migrate-data': {
    summary:
      'Carries a library elsewhere: from SQLite and disk to PostgreSQL and S3, or back. It may be interrupted and run again. No server may be running.',
    arguments: [],
    options: {
      to: 'a PostgreSQL URL, or the data folder of an embedded installation. Further settings of the target are --to.NAME=value, such as --to.blobs.s3.bucket=media, --to.config=FILE, or TINTYPE_TO_… in the environment',
      ...JSON_OPTION,
    },
    changes: () => true,
    run: runMigration,
  },
}

async function runVerify(context: CommandContext): Promise<void> {
  const { config } = loadConfig(context.settings)
  const { options } = context
  const from = options.get('from')
  if (from !== undefined && !options.has('repair')) throw badRequest('--from goes with --repair.')
  // Before the store is opened: it would not open a damaged file.
  const database = config.store.databaseUrl === undefined ? await checkDatabase(config) : []
  const installation = database.length === 0 ? await openInstallation(config, { create: false }) : undefined
  let report: VerifyReport | undefined
  if (installation) {
    if (from !== undefined) await readManifest(from)
    const source = from === undefined ? undefined : await openFolder(config, from)
    const progress = createProgressLine()
    try {
      report = await verifyLibrary(
        {
          graceMs: config.housekeeping.blobGraceSec * 1000,
          stagingMaxAgeMs: config.housekeeping.stagingMaxAgeSec * 1000,
          nowMs: systemClock.now(),
          quick: options.has('quick'),
          repair: options.has('repair'),
        },
        { ...installation, ...(source ? { from: source } : {}), onProgress: progress.show },
      )
    } finally {
      progress.end()
      await source?.close()
      await installation.close()
    }
  }
  if (options.has('json')) context.print(JSON.stringify({ database, ...report }))
  else showVerification(database, report, context)
  if (database.length > 0 || !report || damageLeft(report) > 0) process.exitCode = 1
}

async function checkDatabase(config: Config): Promise<string[]> {
  await requireFile(databaseFileOf(config))
  return checkSqliteFile(databaseFileOf(config))
}

async function runGarbage(context: CommandContext): Promise<void> {
  const { config } = loadConfig(context.settings)
  const isDry = context.options.has('dry-run')
  const grace = context.options.get('grace') ?? String(config.housekeeping.blobGraceSec)
  if (!/^[0-9]{1,9}$/.test(grace)) throw badRequest('--grace is a whole number of seconds.')
  const installation = await openInstallation(config, { create: false })
  let report: GarbageReport
  let uploads = 0
  let tokens = 0
  try {
    const { store, blobs } = installation
    report = await collectGarbage(
      { graceMs: Number(grace) * 1000, nowMs: systemClock.now(), dryRun: isDry },
      { store, blobs },
    )
    if (!isDry) {
      uploads = await blobs.sweepStaging(config.housekeeping.stagingMaxAgeSec * 1000)
      tokens = await sweepTokens(store, { nowMs: systemClock.now() })
    }
  } finally {
    await installation.close()
  }
  if (context.options.has('json')) {
    context.print(JSON.stringify({ dryRun: isDry, ...report, uploads, tokens }))
    return
  }
  const verb = isDry ? 'would be removed' : 'removed'
  context.print(
    `${report.checked} blobs looked at, ${report.removed} ${verb} (${describeBytes(report.freedBytes)}).`,
  )
  if (!isDry) context.print(`${uploads} dead uploads and ${tokens} expired tokens removed.`)
}

async function runBackup(context: CommandContext): Promise<void> {
  const { config } = loadConfig(context.settings)
  requireEmbedded(config)
  const folder = resolve(context.arguments[0]!)
  if (folder === resolve(config.dataDir)) throw badRequest('A backup belongs into a folder of its own.')
  const installation = await openInstallation(config, { create: false })
  const progress = createProgressLine()
  let result: Awaited<ReturnType<typeof backUp>>
  try {
    result = await backUp(
      {
        databaseFile: databaseFileOf(config),
        folder,
        link: context.options.has('link'),
        product: readVersion(),
        now: () => systemClock.now(),
      },
      {
        ...installation,
        openTarget: () => openFolder(config, folder),
        openCopy: (file) => openStore({ ...config.store, file }, { log: silentLog }),
        onProgress: progress.show,
      },
    )
  } finally {
    progress.end()
    await installation.close()
  }
  showCopy('The backup', folder, result, context)
}

async function runRestore(context: CommandContext): Promise<void> {
  const { config } = loadConfig(context.settings)
  requireEmbedded(config)
  const folder = resolve(context.arguments[0]!)
  const dataDir = resolve(config.dataDir)
  await readManifest(folder)
  const from = await openFolder(config, folder)
  const progress = createProgressLine()
  let result: Awaited<ReturnType<typeof restore>>
  try {
    result = await restore(
      { folder, dataDir },
      {
        from,
        openTarget: () => openFolder(config, dataDir),
        openCopy: (file) => openStore({ ...config.store, file }, { log: silentLog }),
        onProgress: progress.show,
      },
    )
  } finally {
    progress.end()
    await from.close()
  }
  showCopy('The library', dataDir, result, context)
  if (!context.options.has('json')) await runVerify({ ...context, options: new Map() })
}

async function runMigration(context: CommandContext): Promise<void> {
  const { config } = loadConfig(context.settings.filter((arg) => !isTargetSetting(arg)))
  const to = context.options.get('to')
  const place =
    to === undefined
      ? []
      : [/^postgres(ql)?:/.test(to) ? `--to.store.databaseUrl=${to}` : `--to.dataDir=${to}`]
  const { config: target } = loadTargetConfig([...context.settings, ...place])
  const isSame = (one: Config, other: Config) =>
    (one.store.databaseUrl ?? databaseFileOf(one)) === (other.store.databaseUrl ?? databaseFileOf(other))
  if (isSame(config, target))
    throw badRequest('Say where the library goes: --to=postgres://… or --to=FOLDER.')
  const from = await openInstallation(config, { create: false })
  const progress = createProgressLine()
  let report: Awaited<ReturnType<typeof moveLibrary>>
  let secrets: SecretsReport
  try {
    const destination = await openInstallation(target, { create: true })
    try {
      report = await moveLibrary({ from, to: destination, onProgress: progress.show })
      secrets = await destination.store.secrets.inspect()
    } finally {
      await destination.close()
    }
  } finally {
    progress.end()
    await from.close()
  }
  if (context.options.has('json')) context.print(JSON.stringify(report))
  else {
    const { blobs, rows } = report
    context.print(
      `${blobs.copied + blobs.present} blobs are in the target (${describeBytes(blobs.copiedBytes)} copied now).`,
    )
    context.print(
      `${Object.values(rows).reduce((sum, count) => sum + count, 0)} rows are equal on both sides.`,
    )
    showLost(blobs, context)
    if (Object.keys(secrets.unknown).length > 0) {
      context.print(
        'The secrets stay encrypted under the key of the source: give the servers of the target the same TINTYPE_ENCRYPTION_KEY.',
      )
    }
    context.print('The source is unchanged. Start the servers with the settings of the target.')
  }
  if (lostOf(report.blobs).length > 0) process.exitCode = 1
}

function requireEmbedded(config: Config): void {
  if (isEmbedded(config)) return
  throw badRequest(
    'This is for embedded installations. Back PostgreSQL up with its own tools and the bucket with those of the object store (docs/operations.md).',
  )
}

/** Opens the blobs of a data folder or a backup. */
function openFolder(config: Config, folder: string) {
  return openBlobs({ ...config.blobs, driver: 'disk', dataDir: folder }, { log: silentLog })
}

function lostOf({ missing, damaged }: CopyReport): string[] {
  return [...missing, ...damaged]
}

function showLost(copy: CopyReport, context: CommandContext): void {
  const lost = lostOf(copy)
  if (lost.length === 0) return
  context.print(
    `${lost.length} blobs could not be copied, since they are missing or damaged. Run "tintype verify" on the source:`,
  )
  for (const sha256 of lost.slice(0, MAX_SHOWN)) context.print(`  ${sha256}`)
}

function showCopy(
  what: string,
  folder: string,
  { manifest, copy }: Awaited<ReturnType<typeof backUp>>,
  context: CommandContext,
): void {
  if (lostOf(copy).length > 0) process.exitCode = 1
  if (context.options.has('json')) {
    context.print(JSON.stringify({ manifest, ...copy }))
    return
  }
  context.print(
    `${what} is in ${folder}: ${copy.copied + copy.present} blobs, ${copy.copied} of them new (${describeBytes(copy.copiedBytes)}).`,
  )
  showLost(copy, context)
}

function showVerification(
  database: string[],
  report: VerifyReport | undefined,
  { print }: CommandContext,
): void {
  for (const problem of database) print(`DAMAGED database: ${problem}`)
  if (!report) {
    print('The database is damaged. Stop the server, keep a copy of its file, and restore the latest backup.')
    return
  }
  const { checked, repaired } = report
  const lists = [
    { title: 'DAMAGED blobs', problems: report.damaged },
    { title: 'MISSING blobs', problems: report.missing },
    { title: 'Versions of another size than their blob', problems: report.mismatched },
  ]
  for (const { title, problems } of lists) {
    if (problems.count === 0) continue
    print(`${title}: ${problems.count}`)
    for (const { sha256, problem, files } of problems.list.slice(0, MAX_SHOWN)) {
      print(`  ${sha256}: ${problem}`)
      for (const file of files) print(`      ${JSON.stringify(file)}`)
    }
    if (problems.count > MAX_SHOWN) print(`  and ${problems.count - MAX_SHOWN} more (--json shows them)`)
  }
  if (report.orphans.count > 0) {
    print(
      `${report.orphans.count} blobs that no file refers to (${describeBytes(report.orphans.bytes)}): "tintype gc" removes them.`,
    )
  }
  if (report.temporary.count > 0) {
    print(
      `${report.temporary.count} dead uploads (${describeBytes(report.temporary.bytes)}): "tintype gc" removes them.`,
    )
  }
  for (const place of repaired.setAside) print(`Set aside: ${place}`)
  if (repaired.restored > 0) print(`Brought back from the backup: ${repaired.restored} blobs`)
  if (repaired.removedOrphans + repaired.removedTemporary > 0) {
    print(`Removed: ${repaired.removedOrphans} blobs, ${repaired.removedTemporary} dead uploads`)
  }
  const left = damageLeft(report)
  print(
    `${checked.blobs} blobs (${describeBytes(checked.bytes)}) and ${checked.rows} versions checked: ${left === 0 ? 'all is well' : `${left} problems`}.`,
  )
}

function describeCheck({ name, state, detail, advice }: Check): string {
  const sign = { ok: 'ok    ', warning: 'WARN  ', failed: 'FAILED' }[state]
  return `${sign}  ${name}: ${detail}${advice === undefined ? '' : `\n        ${advice}`}`
}
