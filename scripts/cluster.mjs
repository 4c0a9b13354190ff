// `npm run test:cluster`: the API and acceptance suites once more, against three nodes over PostgreSQL, an
// S3-compatible store and Redis, behind haproxy; then races across nodes and faults under load, in their long form.
//
//   npm run test:cluster                    everything; writes docs/cluster-run.md
//   npm run test:cluster -- test/api/search only these suites, and no page
//
// The services are started as for `npm test`, PostgreSQL among them, which is restarted and killed on the way.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { delimiter, join } from 'node:path'
import { ensurePackages, findNode, handOver, isNewEnough, root } from './bootstrap.mjs'

/** Suites about what there is only in one process or on one disk, each with its reason. */
export const EMBEDDED_ONLY = {
  'test/api/delivery-recalled.test.ts': 'answers that are remembered over SQLite only',
}

ensurePackages({ forTests: true })
if (!isNewEnough(process.version))
  handOver(findNode(), [join(root, 'scripts/cluster.mjs'), ...process.argv.slice(2)])
else process.exit(await main(process.argv.slice(2)))

async function main(only) {
  process.chdir(root)
  const log = join(root, '.cache/cluster-run.jsonl')
  mkdirSync(join(root, '.cache'), { recursive: true })
  rmSync(log, { force: true })
  const { startServices } = await import('./test-services.mjs')
  const services = await startServices()
  await services.ready
  for (const { name, reason } of services.missing) console.error(`service ${name} is missing: ${reason}`)
  const env = { ...services.env, ...services.control, CLUSTER_LOG: log }
  try {
    const suites = only.length > 0 ? only : ['test/api', 'test/acceptance']
    const excluded = [...Object.keys(EMBEDDED_ONLY), 'test/acceptance/cluster-*'].map(
      (path) => `--exclude=${path}`,
    )
    const began = Date.now()
    const passed = runTests([...suites, ...excluded], { ...env, CLUSTER_NODES: '3' })
    if (only.length > 0) return passed.failed === 0 ? 0 : 1
    const suitesSec = Math.round((Date.now() - began) / 1000)
    const long = runTests(
      ['test/acceptance/cluster-races.test.ts', 'test/acceptance/cluster-faults.test.ts'],
      {
        ...env,
        CLUSTER_UPLOADS: '500',
        CLUSTER_FAULT_MS: '6000',
      },
    )
    writeFileSync(
      'docs/cluster-run.md',
      describeRun({ suites: { ...passed, seconds: suitesSec }, long, log }),
    )
    const failed = passed.failed + long.failed
    console.log(`${passed.passed + long.passed} passed, ${failed} failed`)
    return failed === 0 ? 0 : 1
  } finally {
    await services.stop()
  }
}

function runTests(args, env) {
  const report = join(root, `.cache/cluster-vitest-${process.pid}.json`)
  const retried = join(root, `.cache/cluster-vitest-${process.pid}-retried.json`)
  const bin = join(root, 'node_modules/.bin')
  spawnSync(
    join(bin, 'vitest'),
    [
      'run',
      '--reporter=default',
      '--reporter=json',
      '--reporter=./scripts/retried-reporter.mjs',
      `--outputFile.json=${report}`,
      '--maxWorkers=1',
      // Three nodes and their services on one machine hold each other up; what fails twice in a row is wrong.
      '--retry=1',
      '--testTimeout=120000',
      '--hookTimeout=180000',
      ...args,
    ],
    {
      env: { ...process.env, ...env, RETRIED_TESTS: retried, PATH: `${bin}${delimiter}${process.env.PATH}` },
      stdio: 'inherit',
    },
  )
  const count = { passed: 0, failed: 0, skipped: 0, failures: [], left: [], retried: [] }
  if (!existsSync(report)) return { ...count, failed: 1, failures: ['vitest gave no report'] }
  for (const file of JSON.parse(readFileSync(report, 'utf8')).testResults) {
    const before = count.failed
    for (const { status, fullName } of file.assertionResults) {
      count[status === 'passed' || status === 'failed' ? status : 'skipped'] += 1
      const name = `${file.name.slice(root.length + 1)}: ${fullName}`
      if (status === 'failed') count.failures.push(name)
      // What is skipped for another reason is no matter of nodes: its service is missing here.
      if (name.includes('(skipped with several nodes: ')) count.left.push(name)
    }
    if (file.status === 'failed' && count.failed === before) {
      count.failed += 1
      count.failures.push(file.name.slice(root.length + 1))
    }
  }
  if (existsSync(retried)) {
    count.retried = JSON.parse(readFileSync(retried, 'utf8')).map(({ name, error }) => `${name}: ${error}`)
  }
  rmSync(retried, { force: true })
  rmSync(report, { force: true })
  return count
}

function describeRun({ suites, long, log }) {
  const runs = existsSync(log)
    ? readFileSync(log, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    : []
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
  const system = existsSync('/etc/debian_version') ? ', Debian,' : ''
  const tables = runs.flatMap(({ title, counts }) => [
    `### ${title}`,
    '',
    '| | |',
    '| --- | ---: |',
    ...Object.entries(counts).map(([name, count]) => `| ${name} | ${count} |`),
    '',
  ])
  return [
    '# Three nodes, faults and races: the last run',
    '',
    '<!-- Written by scripts/cluster.mjs (npm run test:cluster); do not edit. -->',
    '',
    `Version ${version}, ${cpus().length} cores${system} for everything: three nodes, PostgreSQL, the object store, Redis, haproxy and the clients.`,
    'Times are those of a busy machine and no benchmark; the counts are what matters.',
    '',
    '## The suites of the embedded set-up, against three nodes',
    '',
    `The API suites and the acceptance suites with the official SDKs: ${suites.passed} passed, ${suites.failed} failed, ${suites.skipped} skipped, in ${suites.seconds} s.`,
    'Left out, since they are about what there is only in one process or on one disk:',
    '',
    ...Object.entries(EMBEDDED_ONLY).map(([path, reason]) => `- \`${path}\`: ${reason}`),
    ...suites.left.map((name) => `- ${name}`),
    ...suites.failures.map((failure) => `- FAILED: ${failure}`),
    '',
    ...(suites.retried.length === 0
      ? []
      : ['Passed at the second try:', '', ...suites.retried.map((name) => `- ${name}`), '']),
    '## Races and faults',
    '',
    `${long.passed} passed, ${long.failed} failed.`,
    ...long.failures.map((failure) => `- FAILED: ${failure}`),
    ...long.retried.map((name) => `- passed at the second try: ${name}`),
    'In each fault four clients upload and download through the load balancer. `503` are answers of a node with',
    '`Retry-After`; "of the balancer" are its own, when no node was fit; a lost connection is one that ended without an',
    'answer. A node that answered an error without `Retry-After`, a `404` for an acknowledged upload, or other bytes than',
    'those that were uploaded would have failed the run.',
    '',
    ...tables,
  ].join('\n')
}
