import { runAudited } from './cli-audit.ts'
import { COMMANDS, type CommandContext, type Commands } from './cli-commands.ts'
import { ConfigError } from './config/load.ts'
import { TintypeError } from './kernel/errors.ts'
import { readVersion } from './kernel/version.ts'

/** What the command line says: the words, and `--name=value` or `--name`. */
type CommandLine = { words: string[]; options: Map<string, string> }

/** Something that the person at the keyboard wrote wrong. */
class UsageError extends Error {}

function parseCommandLine(args: string[]): CommandLine {
  const words: string[] = []
  const options = new Map<string, string>()
  for (const arg of args) {
    const [name, value] = arg.split(/=(.*)/s, 2)
    if (arg.startsWith('-')) options.set(name!.replace(/^--?/, ''), value ?? '')
    else words.push(arg)
  }
  return { words, options }
}

/** Runs what the words name. @returns the exit code. */
async function run({ words, options }: CommandLine): Promise<void> {
  if (options.has('version') || words[0] === 'version') return print(readVersion())
  if (options.has('help') || options.has('h') || words[0] === 'help') {
    return print(describe(words[0] === 'help' ? words.slice(1) : words))
  }
  const [group = 'start', second] = words
  const name = [group, `${group} ${second}`].find((candidate) => Object.hasOwn(COMMANDS, candidate))
  const command = name === undefined ? undefined : COMMANDS[name]
  if (name === undefined || !command) {
    throw new UsageError(`There is no command "${words.slice(0, 2).join(' ')}".`)
  }
  const rest = words.slice(name.split(' ').length)
  const wanted = command.arguments.filter((argument) => !argument.endsWith('?'))
  const mayRepeat = command.arguments.some((argument) => argument.includes('…'))
  if (rest.length < wanted.length || (rest.length > command.arguments.length && !mayRepeat)) {
    throw new UsageError(`Usage: ${usage(name)}`)
  }
  const own = Object.keys(command.options)
  const settings = [...options].filter(([option]) => !own.includes(option))
  const context: CommandContext = {
    arguments: rest,
    options: new Map([...options].filter(([option]) => own.includes(option))),
    settings: settings.map(([option, value]) => `--${option}=${value}`),
    print,
    note() {},
  }
  if (!command.changes?.(context)) return command.run(context)
  await runAudited({ name, ...context }, (note) => command.run({ ...context, note }))
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function usage(name: keyof Commands): string {
  const command = COMMANDS[name]!
  const words = command.arguments.map((argument) =>
    argument.endsWith('?') ? `[${argument.slice(0, -1)}]` : `<${argument}>`,
  )
  const options = Object.keys(command.options).map((option) => `[--${option}]`)
  return ['tintype', name, ...words, ...options].join(' ')
}

/** The commands whose names begin with these words, or all of them. */
function describe(words: string[]): string {
  const prefix = words.join(' ')
  const names = Object.keys(COMMANDS).filter((name) => name === prefix || name.startsWith(`${prefix} `))
  const shown = names.length > 0 ? names : Object.keys(COMMANDS)
  const lines = shown.flatMap((name) => {
    const { summary, options } = COMMANDS[name]!
    const notes = Object.entries(options).map(([option, note]) => `      --${option}  ${note}`)
    return [`  ${usage(name)}`, `      ${summary}`, ...notes, '']
  })
  return [
    `tintype ${readVersion()}`,
    '',
    ...lines,
    'Settings come from the environment, from a file (TINTYPE_CONFIG) or as --name=value, for every command:',
    'a command works on the installation that its settings name, also while the server runs.',
  ].join('\n')
}

try {
  await run(parseCommandLine(process.argv.slice(2)))
} catch (error) {
  const isUsage = error instanceof UsageError
  if (!isUsage && !(error instanceof ConfigError || error instanceof TintypeError)) throw error
  process.stderr.write(`${error.message}\n${isUsage ? 'See: tintype help\n' : ''}`)
  process.exitCode = isUsage ? 2 : 1
}
