import { userInfo } from 'node:os'
import { isTargetSetting, loadConfig } from './config/load.ts'
import { type AuditEntry, openAuditLog } from './kernel/audit-log.ts'
import { TintypeError } from './kernel/errors.ts'
import { silentLog } from './kernel/log.ts'
import { systemClock } from './kernel/time.ts'

export type AuditedCommand = {
  name: string
  /** Words after the name. */
  arguments: string[]
  /** As for `loadConfig`. */
  settings: string[]
}

/**
 * Runs a command that changes something and writes down, in the audit file of the settings, who has done what.
 * @param run is given what takes note of the things that the command has changed.
 */
export async function runAudited(
  command: AuditedCommand,
  run: (note: (targets: Record<string, string>) => void) => Promise<void>,
): Promise<void> {
  const { config } = loadConfig(command.settings.filter((setting) => !isTargetSetting(setting)))
  if (config.audit.path === undefined) return run(() => {})
  // Before the command: what cannot be written down is not done.
  const audit = await openAuditLog(config.audit, { log: silentLog, clock: systemClock })
  const targets: Record<string, string> = {}
  let outcome: AuditEntry['outcome'] = 'failed'
  try {
    await run((noted) => Object.assign(targets, noted))
    if (!process.exitCode) outcome = 'done'
  } catch (error) {
    if (error instanceof TintypeError) outcome = 'refused'
    throw error
  } finally {
    audit.write({
      source: 'cli',
      command: command.name,
      arguments: command.arguments.map(withoutSecrets),
      targets,
      user: userName(),
      outcome,
    })
    await audit.close()
  }
}

/** A private key that was given where another name is wanted, or a URL with a password or a token in it. */
function withoutSecrets(word: string): string {
  if (word.startsWith('private_')) return 'private_…'
  return URL.canParse(word) ? new URL(word).origin : word
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // In a container the user often has a number only.
    return String(process.getuid?.() ?? '')
  }
}
