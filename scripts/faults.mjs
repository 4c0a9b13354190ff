// `npm run test:faults`: breaks the machine under a server and looks at what it does. Kills at random instants and power
// cuts under mixed load, failing system calls, full and slow disks, few file descriptors, locked and damaged
// databases, damaged blobs, clocks that jump.
//
//   npm run test:faults                        the short form, as in `npm test`
//   npm run test:faults -- --long              500 kills, 50 power cuts, every failing call; takes an hour or two
//   npm run test:faults -- --seed 7            other random choices
//   npm run test:faults -- --long kills        only the suites whose names contain this
//   npm run test:faults -- --kills 100         so many kills; --cuts, --calls (failing calls of a sample) alike
//   npm run test:faults -- --long --minutes 20 no further kill or power cut after that time
//
// What needs root, mounts or programs that are not there is skipped, with the reason. It prints what it has counted;
// the long form keeps the counts of what has passed in docs/faults-run.md.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensurePackages, findNode, root } from './bootstrap.mjs'
import { keepRuns } from './faults-page.mjs'

const { values, positionals } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    kills: { type: 'string' },
    cuts: { type: 'string' },
    calls: { type: 'string' },
    minutes: { type: 'string' },
  },
  allowPositionals: true,
})
ensurePackages({ forTests: true })
const tools = spawnSync('bash', [join(root, 'scripts/services/fault-tools.sh'), 'start'], {
  encoding: 'utf8',
})
if (tools.status !== 0) console.error(`tests that need its programs are skipped: ${tools.stderr.trim()}`)
const log = process.env.FAULTS_LOG ?? join(root, '.cache/faults-run.jsonl')
mkdirSync(join(root, '.cache'), { recursive: true })
rmSync(log, { force: true })

const given = (name, value) => (value === undefined ? {} : { [name]: value })
const result = spawnSync(
  findNode(),
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--maxWorkers=1',
    ...(positionals.length > 0 ? positionals.map((name) => `test/faults/${name}`) : ['test/faults']),
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      ...Object.fromEntries(
        (tools.status === 0 ? tools.stdout.trim().split('\n').pop() : '')
          .split(' ')
          .filter(Boolean)
          .map((pair) => pair.split('=')),
      ),
      FAULTS_LOG: log,
      FAULTS_SEED: values.seed,
      ...(values.long
        ? { FAULTS_LONG: '1', FAULTS_KILLS: '500', FAULTS_CUTS: '50', FAULTS_CALLS: 'all' }
        : {}),
      ...given('FAULTS_KILLS', values.kills),
      ...given('FAULTS_CUTS', values.cuts),
      ...given('FAULTS_CALLS', values.calls),
      ...given('FAULTS_MINUTES', values.minutes),
    },
  },
)
const runs = existsSync(log)
  ? readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  : []
for (const { title, counts } of runs) {
  console.log(`\n${title}`)
  for (const [name, count] of Object.entries(counts)) console.log(`  ${String(count).padStart(7)}  ${name}`)
}
if (values.long && result.status === 0) keepRuns(join(root, 'docs/faults-run.md'), runs, values.seed)
process.exit(result.status ?? 1)
