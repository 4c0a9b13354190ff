// `npm test`: sets everything up, then checks types, lints, and runs all tests.
//
//   npm test                   everything
//   npm test -- --fast         without services: what needs one is skipped
//   npm test -- test/unit      other arguments go to vitest
//
// The last line is `N passed, N failed`, with `, N skipped` where tests were. On CI (CI=true) a service that cannot
// be started counts as a failure; elsewhere its tests are skipped. On CI a test that fails is tried once more; those
// that passed only then are named before the last line.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import { ensurePackages, findNode, handOver, isNewEnough, root } from './bootstrap.mjs'

ensurePackages({ forTests: true })
if (isNewEnough(process.version)) await main()
else handOver(findNode(), [join(root, 'scripts/test.mjs'), ...process.argv.slice(2)])

async function main() {
  process.chdir(root)
  const args = process.argv.slice(2)
  const fast = args.includes('--fast')
  const vitestArgs = args.filter((arg) => arg !== '--fast')

  const running = new Set()
  let interrupted
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
    process.on(signal, () => {
      interrupted ??= signal
      for (const child of running) child.kill(signal)
      onInterrupt()
    })
  }
  let onInterrupt = () => {}
  const interruption = new Promise((resolve) => {
    onInterrupt = resolve
  })

  const { startServices } = await import('./test-services.mjs')
  const services = fast
    ? { env: {}, missing: [], ready: Promise.resolve(), stop: async () => {} }
    : await startServices()
  const count = { passed: 0, failed: 0, skipped: 0 }
  const notes = []
  try {
    for (const [name, command] of [
      ['tsc', ['tsc', '--noEmit']],
      ['biome', ['biome', 'check', '.']],
    ]) {
      if (interrupted) break
      const code = await run(running, command, {})
      count[code === 0 ? 'passed' : 'failed']++
      if (code !== 0) notes.push(`${name} failed`)
    }
    await Promise.race([services.ready, interruption])
    for (const { name, reason } of services.missing) {
      notes.push(`service ${name} is missing, its tests are skipped: ${reason}`)
      if (process.env.CI) count.failed++
    }
    if (!interrupted) await runTests(running, vitestArgs, services.env, count, notes)
  } finally {
    await services.stop()
  }
  for (const note of notes) console.log(note)
  const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : ''
  console.log(`${count.passed} passed, ${count.failed} failed${skipped}`)
  process.exit(interrupted ? 128 + constants.signals[interrupted] : count.failed > 0 ? 1 : 0)
}

/** Runs vitest and adds what it counted. */
async function runTests(running, args, env, count, notes) {
  const report = join(root, `.cache/vitest-${process.pid}.json`)
  const retried = join(root, `.cache/vitest-${process.pid}-retried.json`)
  const reporters = ['default', 'json', './scripts/retried-reporter.mjs'].map((name) => `--reporter=${name}`)
  try {
    const code = await run(running, ['vitest', 'run', ...reporters, `--outputFile.json=${report}`, ...args], {
      ...env,
      RETRIED_TESTS: retried,
    })
    const failedBefore = count.failed
    if (existsSync(report)) {
      for (const file of JSON.parse(readFileSync(report, 'utf8')).testResults) {
        const failedBeforeFile = count.failed
        for (const { status } of file.assertionResults) {
          count[status === 'passed' || status === 'failed' ? status : 'skipped']++
        }
        // A file that could not be loaded, or whose hook failed, has no failed test of its own.
        if (file.status === 'failed' && count.failed === failedBeforeFile) count.failed++
      }
    }
    if (code !== 0 && count.failed === failedBefore) {
      count.failed++
      notes.push(`vitest ended with exit code ${code}`)
    }
    if (existsSync(retried)) {
      for (const { name, tries, error } of JSON.parse(readFileSync(retried, 'utf8'))) {
        notes.push(`passed only at try ${tries}: ${name}: ${error}`)
      }
    }
  } finally {
    rmSync(report, { force: true })
    rmSync(retried, { force: true })
  }
}

/** Runs a program of the packages to its end and gives its exit code. */
function run(running, [program, ...args], env) {
  const bin = join(root, 'node_modules/.bin')
  return new Promise((resolve) => {
    const child = spawn(join(bin, program), args, {
      env: { ...process.env, ...env, PATH: `${bin}${delimiter}${process.env.PATH}` },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    running.add(child)
    child.on('error', (error) => {
      console.error(`${program}: ${error.message}`)
      running.delete(child)
      resolve(-1)
    })
    child.on('exit', (code, signal) => {
      running.delete(child)
      resolve(code ?? 128 + (constants.signals[signal] ?? 0))
    })
  })
}
