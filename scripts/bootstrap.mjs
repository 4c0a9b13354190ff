// What `npm start` and `npm test` share: installed packages and a new enough Node. It runs before anything is
// installed, on whatever Node npm brought along, so it uses nothing newer than Node 16 and no package.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** Folder of the project. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Oldest Node that runs the sources: type stripping without a flag and `node:sqlite` without a warning. */
const OLDEST_NODE = [24, 15]

/** Whether a version such as `v24.21.0` runs the sources. */
export function isNewEnough(version) {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number)
  return major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])
}

/** What keeps the sources without their types; a Node that runs the sources can import it. */
const strippedTypes = pathToFileURL(join(root, 'scripts/stripped-types.mjs')).href

/**
 * How the server uses memory: V8 would let what requests leave behind grow to 128 MiB before it looks at it, and keep
 * three times as much of it. It can be told so only when it starts.
 */
export const NODE_FLAGS = ['--max-semi-space-size=16']

/**
 * Installs the locked packages unless they are all there already.
 * @param {{ forTests: boolean }} options with the packages that only development needs, or without.
 */
export function ensurePackages({ forTests }) {
  if (packagesAreInstalled(forTests)) return
  // Behind a link they are those of another checkout, and npm would begin by deleting them.
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    return process.stderr.write('The linked packages are not those of this checkout; nothing is installed.\n')
  }
  process.stderr.write('Installing packages, once. This takes about half a minute.\n')
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  if (!forTests) args.push('--omit=dev')
  const npm = process.env.npm_execpath
  const result = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  if (result.status !== 0) fail('npm could not install the packages; see above.')
}

/**
 * npm writes what it has installed, as its last step, to a hidden lock file inside node_modules. Comparing it with
 * the project's says whether an install is missing, unfinished or out of date, whoever ran it.
 */
function packagesAreInstalled(forTests) {
  let wanted
  let present
  try {
    wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
    present = JSON.parse(readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8')).packages
  } catch {
    return false
  }
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true
    const found = present[path]
    if (found) return found.version === entry.version
    return Boolean(entry.optional || (entry.dev && !forTests))
  })
}

/** Path of a Node that runs the sources: the one among the packages, else the one that runs this script. */
export function findNode() {
  const packaged = join(root, 'node_modules/.bin/node')
  if (existsSync(packaged)) {
    const version = spawnSync(packaged, ['--version'], { encoding: 'utf8' }).stdout
    if (version && isNewEnough(version)) return packaged
  }
  if (isNewEnough(process.version)) return process.execPath
  return fail(
    `Tintype needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.version}, and none came with the packages ` +
      `on ${process.platform}-${process.arch}. Install a newer Node and start again.`,
  )
}

/**
 * Runs a program of the sources on a Node that can, in the place of this very process where the system knows how to:
 * a supervisor's signals then meet the server, and no second Node keeps memory.
 * @param {string} program path below `src`
 */
export async function runSources(program) {
  const main = join(root, 'src', program)
  const args = [...NODE_FLAGS, '--import', strippedTypes, main, ...process.argv.slice(2)]
  if (!isNewEnough(process.version)) return handOver(findNode(), args)
  if (process.platform !== 'win32' && process.execve)
    process.execve(process.execPath, [process.execPath, ...process.execArgv, ...args], process.env)
  await import(strippedTypes)
  process.argv[1] = main
  await import(pathToFileURL(main).href)
}

/**
 * Runs a program in the foreground: its input and output are ours, it gets the signals that ask us to stop, and we
 * exit as it did.
 */
export function handOver(program, args) {
  const child = spawn(program, args, { stdio: 'inherit' })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
    // Ctrl-C in a terminal reaches the child by itself; sent twice it would look like an impatient second one.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal))
  }
  child.on('error', (error) => fail(`${program}: ${error.message}`))
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0))
  })
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
