import type { CommandContext, Commands } from './cli-commands.ts'
import type { Config } from './config/config.ts'
import { loadConfig } from './config/load.ts'
import { openInstallation } from './installation.ts'
import { badRequest } from './kernel/errors.ts'
import type { Secrets, SecretsReport } from './store/store.ts'

const JSON_OPTION = { json: 'machine-readable output' }

/** How the private keys and the credentials of origins and webhooks lie in the database. */
export const SECRETS: Commands = {
  'secrets status': {
    summary: 'Says how many secrets in the database are encrypted, and under which key.',
    arguments: [],
    options: JSON_OPTION,
    run: (context) => withSecrets(context, async (secrets) => show(await secrets.inspect(), context)),
  },
  'secrets encrypt': {
    summary:
      'Encrypts all secrets in the database under TINTYPE_ENCRYPTION_KEY, also while servers run that have this key.',
    arguments: [],
    options: JSON_OPTION,
    changes: () => true,
    run: encryptAll,
  },
  'secrets rotate': {
    summary:
      'The same after a change of the key: what is encrypted under one of TINTYPE_PREVIOUS_ENCRYPTION_KEYS gets the new one.',
    arguments: [],
    options: JSON_OPTION,
    changes: () => true,
    run: encryptAll,
  },
  'secrets decrypt': {
    summary:
      'Takes the encryption back. TINTYPE_ENCRYPTION_KEY must not be set, and the key be among TINTYPE_PREVIOUS_ENCRYPTION_KEYS.',
    arguments: [],
    options: JSON_OPTION,
    changes: () => true,
    run: (context) =>
      withSecrets(context, (secrets, { store }) => {
        if (store.encryptionKey !== undefined) {
          throw badRequest(
            'TINTYPE_ENCRYPTION_KEY is set, so that servers would encrypt again. Move the key to TINTYPE_PREVIOUS_ENCRYPTION_KEYS first.',
          )
        }
        return rewrite(secrets, context)
      }),
  },
}

function encryptAll(context: CommandContext): Promise<void> {
  return withSecrets(context, (secrets, { store }) => {
    if (store.encryptionKey === undefined) {
      throw badRequest('Set TINTYPE_ENCRYPTION_KEY. "openssl rand -base64 32" makes one.')
    }
    return rewrite(secrets, context)
  })
}

async function rewrite(secrets: Secrets, context: CommandContext): Promise<void> {
  // One that cannot be opened would stop it half way.
  await secrets.check()
  const rewritten = await secrets.rewrite()
  const report = await secrets.inspect()
  context.note({ rewritten: String(rewritten) })
  if (!context.options.has('json')) context.print(`${rewritten} secrets were rewritten.`)
  show(report, context, { rewritten })
}

function show(report: SecretsReport, context: CommandContext, more: Record<string, number> = {}): void {
  const isJson = context.options.has('json')
  context.print(isJson ? JSON.stringify({ ...more, ...report }) : describeSecrets(report))
}

/** One line for people. */
export function describeSecrets({
  total,
  plain,
  current,
  previous,
  unknown,
  damaged,
}: SecretsReport): string {
  const unreadable = Object.entries(unknown).map(
    ([keyId, count]) => `${count} under the key ${keyId}, which the settings do not have`,
  )
  const parts = [
    ...(current > 0 ? [`${current} encrypted under the current key`] : []),
    ...(previous > 0 ? [`${previous} under earlier keys`] : []),
    ...(plain > 0 ? [`${plain} not encrypted`] : []),
    ...unreadable,
    ...(damaged > 0 ? [`${damaged} that were changed or are not in their place`] : []),
  ]
  return `${total} secrets in the database${parts.length > 0 ? `: ${parts.join(', ')}` : ''}`
}

async function withSecrets(
  context: CommandContext,
  work: (secrets: Secrets, config: Config) => Promise<void>,
): Promise<void> {
  const { config } = loadConfig(context.settings)
  const { store, close } = await openInstallation(config, { create: false })
  try {
    await work(store.secrets, config)
  } finally {
    await close()
  }
}
