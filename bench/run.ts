/**
 * `npm run bench`: Tintype beside a hand-written server and the bare limits of the machine, in one run.
 *
 *   npm run bench                          all scenarios, about ten minutes; writes bench/results/
 *   npm run bench -- --quick               a rough look, about a minute; writes nothing
 *   npm run bench -- --only=upload-100k,list-100
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Contender, type ContenderName, startContender } from './contenders.ts'
import { makePhotos } from './photo.ts'
import { floorsOf, machineLine, type Results, renderMarkdown } from './report.ts'
import { idleMiB, type Scenario, type Size, scenarios } from './scenarios.ts'

const args = process.argv.slice(2)
const size: Size = args.includes('--quick') ? 'quick' : 'full'
const only = args
  .find((arg) => arg.startsWith('--only='))
  ?.slice('--only='.length)
  .split(',')
const ROUNDS = size === 'quick' ? 2 : 5
const NAMES: ContenderName[] = ['tintype', 'express', 'limit-full', 'limit-fsync']

const folder = mkdtempSync(join(tmpdir(), 'tintype-bench-'))
const running: Contender[] = []
const results: Results = {
  machine: machineLine(),
  size,
  date: new Date().toISOString().slice(0, 10),
  scenarios: [],
  footprint: {},
}

async function stopAll() {
  await Promise.all(running.splice(0).map((contender) => contender.stop()))
  rmSync(folder, { recursive: true, force: true })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => stopAll().finally(() => process.exit(1)))

try {
  await makePhotos([100_000, 1_000_000, 2_000_000])
  await measureFootprint()
  for (const name of NAMES) running.push((await startContender(name, folder)).contender)
  for (const scenario of scenarios) {
    if (only && !only.includes(scenario.name)) continue
    await runScenario(scenario)
  }
} finally {
  await stopAll()
}

const markdown = renderMarkdown(results)
console.log(`\n${markdown}`)
if (size === 'full' && !only) {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'))
  const target = join(import.meta.dirname, 'results')
  mkdirSync(target, { recursive: true })
  const rounded = (_key: string, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(4)) : value
  writeFileSync(join(target, `${version}.json`), `${JSON.stringify(results, rounded, 2)}\n`)
  writeFileSync(join(target, `${version}.md`), markdown)
}
process.exitCode = floorsOf(results).every((floor) => floor.holds(floor.value)) ? 0 : 1

/** Starts each server a few times, each time on a new folder. */
async function measureFootprint() {
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of NAMES) {
      const place = join(folder, `footprint-${round}`)
      const { contender, readyMs } = await startContender(name, place)
      running.push(contender)
      results.footprint[name] ??= { readyMs: [], idleMiB: [] }
      const entry = results.footprint[name]
      entry.readyMs.push(readyMs)
      entry.idleMiB.push(await idleMiB(contender))
      await contender.stop()
      running.pop()
    }
  }
  progress('footprint: done')
}

async function runScenario(scenario: Scenario) {
  const rounds: Results['scenarios'][number]['rounds'] = {}
  const contenders = running.filter((contender) => scenario.contenders.includes(contender.name))
  for (const contender of contenders) await scenario.prepare?.(contender)
  for (let round = 0; round < ROUNDS; round++) {
    for (const contender of contenders) {
      // What one server left unwritten must not be written while another is measured.
      spawnSync('sync')
      const measurement = await scenario.slice(contender, size)
      rounds[contender.name] ??= []
      rounds[contender.name]!.push(measurement)
      const [main] = scenario.figures
      progress(
        `${scenario.name}, round ${round + 1} of ${ROUNDS}: ${contender.name} ${measurement[main!.key]!.toFixed(1)} ${main!.unit}`,
      )
    }
  }
  const { name, title, figures } = scenario
  results.scenarios.push({ name, title, figures, rounds })
}

function progress(line: string) {
  process.stderr.write(`${line}\n`)
}
