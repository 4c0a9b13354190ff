import { readFileSync } from 'node:fs'
import { Value } from 'typebox/value'
import { type Config, configSchema, listSettings, type Setting } from './config.ts'

export type LoadedConfig = {
  config: Config
  /** Things that are probably mistakes but do not stop the start, e.g. an environment name that nothing reads. */
  warnings: string[]
}

/** Every problem of the settings at once, one a line, each with the name to change. */
export class ConfigError extends Error {
  readonly problems: string[]

  constructor(problems: string[]) {
    super(`The settings have ${problems.length} problem(s):\n${problems.map((p) => `  - ${p}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/**
 * Reads the settings: defaults < file (JSON, `--config=FILE` or `TINTYPE_CONFIG`) < environment < flags
 * (`--http.port=9000`, short: `--port`, `--host`, `--data-dir`). A secret can also come from a file named by the
 * environment name with `_FILE` behind it.
 * @throws ConfigError with all problems.
 */
export function loadConfig(
  args: string[] = [],
  env: Record<string, string | undefined> = process.env,
): LoadedConfig {
  const problems: string[] = []
  const settings = listSettings()
  const flags = readFlags(args, settings, problems)
  const raw = readConfigFile(flags.get('config') ?? env.TINTYPE_CONFIG, problems)
  const known = new Set(settings.map((setting) => setting.env))
  for (const setting of settings) {
    const text = flags.get(setting.path) ?? readEnv(setting.env, env, problems)
    if (text === undefined) continue
    const source = flags.has(setting.path) ? `--${setting.path}` : setting.env
    const value = parseValue(text, setting)
    if (value === undefined) problems.push(`${source}: ${JSON.stringify(text)} is not ${expected(setting)}`)
    else assign(raw, setting.path, value)
  }
  const filled = Value.Default(configSchema, fillObjects(raw, configSchema))
  for (const error of Value.Errors(configSchema, filled)) {
    const path = error.instancePath.slice(1).replaceAll('/', '.')
    const setting = settings.find((candidate) => candidate.path === path)
    problems.push(`${setting ? `${setting.env} (${path})` : path || 'settings'}: ${error.message}`)
  }
  if (problems.length > 0) throw new ConfigError([...new Set(problems)])
  const warnings = Object.keys(env)
    .filter((name) => name.startsWith('TINTYPE_') && !name.startsWith('TINTYPE_TEST_'))
    .filter((name) => !known.has(name) && !known.has(name.replace(/_FILE$/, '')))
    .filter((name) => name !== 'TINTYPE_CONFIG' && !name.startsWith(TARGET_ENV))
    .map((name) => `${name} is set, but no setting has this name`)
  return { config: deepFreeze(filled as Config), warnings }
}

/** What the names of the settings of another installation begin with. */
const TARGET_FLAG = '--to.'
const TARGET_ENV = 'TINTYPE_TO_'

/** Whether an argument is a setting of another installation. */
export function isTargetSetting(arg: string): boolean {
  return arg.startsWith(TARGET_FLAG)
}

/**
 * Reads the settings of another installation, where a library is to be moved: flags as `--to.blobs.s3.bucket=b`,
 * environment as `TINTYPE_TO_S3_BUCKET`, a file as `--to.config=FILE`. All others have their defaults.
 * @throws ConfigError with all problems.
 */
export function loadTargetConfig(
  args: string[],
  env: Record<string, string | undefined> = process.env,
): LoadedConfig {
  const entries = Object.entries(env).flatMap(([name, value]) =>
    name.startsWith(TARGET_ENV) ? [[`TINTYPE_${name.slice(TARGET_ENV.length)}`, value]] : [],
  )
  const flags = args.filter(isTargetSetting).map((arg) => `--${arg.slice(TARGET_FLAG.length)}`)
  return loadConfig(flags, Object.fromEntries(entries))
}

const SHORT_FLAGS: Record<string, string> = { port: 'http.port', host: 'http.host', 'data-dir': 'dataDir' }

function readFlags(args: string[], settings: Setting[], problems: string[]): Map<string, string> {
  const flags = new Map<string, string>()
  const paths = new Set(settings.map((setting) => setting.path))
  for (const arg of args) {
    const [name, value] = arg.replace(/^--/, '').split(/=(.*)/s, 2)
    const path = SHORT_FLAGS[name!] ?? name!
    if (!arg.startsWith('--') || value === undefined || !(paths.has(path) || path === 'config')) {
      // Without its value, which may be a secret behind a name with a slip.
      const shown = value === undefined ? arg : `--${name}`
      problems.push(`${shown}: not a known option; write --name=value, e.g. --port=8080`)
    } else flags.set(path, value)
  }
  return flags
}

function readConfigFile(path: string | undefined, problems: string[]): Record<string, unknown> {
  if (path === undefined) return {}
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>
    }
    problems.push(`${path}: the configuration file should hold a JSON object`)
  } catch (error) {
    problems.push(`${path}: the configuration file could not be read: ${(error as Error).message}`)
  }
  return {}
}

function readEnv(
  name: string,
  env: Record<string, string | undefined>,
  problems: string[],
): string | undefined {
  const value = env[name]
  const file = env[`${name}_FILE`]
  if (file === undefined || file === '') return value === '' ? undefined : value
  if (value !== undefined) problems.push(`${name} and ${name}_FILE are both set; use one`)
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    problems.push(`${name}_FILE: ${(error as Error).message}`)
    return undefined
  }
}

function parseValue(text: string, { schema }: Setting): unknown {
  switch (schema.type) {
    case 'integer':
      return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : undefined
    case 'number':
      return text !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined
    case 'array':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
        .map((item) => (schema.items?.type === 'integer' ? Number(item) : item))
    default:
      return text
  }
}

function expected({ schema }: Setting): string {
  switch (schema.type) {
    case 'integer':
      return 'a whole number'
    case 'number':
      return 'a number'
    case 'boolean':
      return 'true or false'
    default:
      return `a valid ${schema.type}`
  }
}

function assign(target: Record<string, unknown>, path: string, value: unknown) {
  const names = path.split('.')
  const last = names.pop()!
  let node = target
  for (const name of names) {
    const next = node[name]
    if (typeof next !== 'object' || next === null) node[name] = {}
    node = node[name] as Record<string, unknown>
  }
  node[last] = value
}

/** Defaults reach only into objects that are there, so every group of settings is made present, optional ones aside. */
function fillObjects(value: Record<string, unknown>, schema: unknown): Record<string, unknown> {
  const { properties, required } = schema as {
    properties: Record<string, { properties?: unknown }>
    required?: string[]
  }
  for (const [name, child] of Object.entries(properties)) {
    if (child.properties === undefined) continue
    if (value[name] === undefined && !required?.includes(name)) continue
    value[name] = fillObjects((value[name] ?? {}) as Record<string, unknown>, child)
  }
  return value
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
