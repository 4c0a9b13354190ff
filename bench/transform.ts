/**
 * `npm run bench:transform`: transformations by Tintype beside bare sharp, ipx, nginx and bare node:http, in one run.
 *
 *   npm run bench:transform                     about twenty minutes; writes bench/results/transform.{json,md}
 *   npm run bench:transform -- --quick          a rough look; writes nothing
 *   npm run bench:transform -- --only=warm,avif
 *
 * nginx is installed from Debian's packages, where that is possible; where not, it is left out with the reason.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeBombs } from './bombs.ts'
import { makePhotos } from './photo.ts'
import { machineLine } from './report.ts'
import type { Size } from './scenarios.ts'
import {
  type ImageServer,
  type ImageServerName,
  startImageServer,
  untilIdle,
} from './transform-contenders.ts'
import { floorsOf, type ImageResults, renderMarkdown } from './transform-report.ts'
import {
  type ImageScenario,
  imageScenarios,
  KB,
  MB,
  makeProfiled,
  measureQuality,
  peakOf,
} from './transform-scenarios.ts'

const args = process.argv.slice(2)
const size: Size = args.includes('--quick') ? 'quick' : 'full'
const only = args
  .find((arg) => arg.startsWith('--only='))
  ?.slice('--only='.length)
  .split(',')
const ROUNDS = size === 'quick' ? 2 : 7
const NAMES: ImageServerName[] = ['tintype', 'sharp', 'ipx', 'nginx', 'memory']

const folder = mkdtempSync(join(tmpdir(), 'tintype-bench-'))
const running: ImageServer[] = []
const results: ImageResults = {
  machine: machineLine(),
  size,
  date: new Date().toISOString().slice(0, 10),
  missing: {},
  quality: [],
  scenarios: [],
  bombs: [],
}

async function stopAll() {
  await Promise.all(running.splice(0).map((server) => server.stop()))
}

async function cleanUp() {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => cleanUp().finally(() => process.exit(1)))

const wanted = (name: string) => !only || only.includes(name)

try {
  await makePhotos([100 * KB, 2 * MB, 8 * MB])
  await makeProfiled()
  for (const name of NAMES) {
    const started = await startImageServer(name, folder)
    if ('missing' in started) results.missing[name] = started.missing
    else running.push(started)
  }
  if (wanted('quality')) await compareQuality()
  for (const scenario of imageScenarios) if (wanted(scenario.name)) await runScenario(scenario)
  if (wanted('bombs')) await throwBombs()
} finally {
  await cleanUp()
}

const markdown = renderMarkdown(results)
console.log(`\n${markdown}`)
if (size === 'full' && !only) {
  const target = join(import.meta.dirname, 'results')
  mkdirSync(target, { recursive: true })
  const rounded = (_key: string, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(4)) : value
  writeFileSync(join(target, 'transform.json'), `${JSON.stringify(results, rounded, 2)}\n`)
  writeFileSync(join(target, 'transform.md'), markdown)
}
process.exitCode = floorsOf(results).every((floor) => floor.holds(floor.value)) ? 0 : 1

async function compareQuality() {
  for (const server of running.filter(({ name }) => name !== 'memory')) {
    for (const format of ['webp', 'avif'] as const) {
      // nginx keeps the format of the source.
      if (server.name === 'nginx' && format === 'avif') continue
      results.quality.push({ server: server.name, ...(await measureQuality(server, format)) })
    }
  }
}

async function runScenario(scenario: ImageScenario) {
  const { name, title, figures } = scenario
  const rounds: ImageResults['scenarios'][number]['rounds'] = {}
  const contenders = running.filter((server) => scenario.contenders.includes(server.name))
  for (const server of contenders) await scenario.slice(server, 'quick')
  for (let round = 0; round < ROUNDS; round++) {
    for (const server of contenders) {
      await untilIdle(server.pid)
      const measurement = await scenario.slice(server, size)
      rounds[server.name] ??= []
      rounds[server.name]!.push(measurement)
      const shown = figures.map(({ key, unit }) => `${measurement[key]!.toFixed(2)} ${unit}`).join(', ')
      process.stderr.write(`${name}, round ${round + 1} of ${ROUNDS}: ${server.name} ${shown}\n`)
    }
  }
  results.scenarios.push({ name, title, figures, rounds })
}

/** One bomb after the other on a server of their own, each twice: the second try meets what the first has left. */
async function throwBombs() {
  await stopAll()
  const tintype = await startImageServer('tintype', join(folder, 'bombs'))
  if ('missing' in tintype) throw new Error(tintype.missing)
  running.push(tintype)
  const origin = `http://127.0.0.1:${tintype.port}`
  for (const { title, fileName, bytes, transformation } of await makeBombs()) {
    await tintype.place(fileName, bytes)
    let status = 0
    const began = performance.now()
    const peakMiB = await peakOf(tintype, async () => {
      for (let attempt = 0; attempt < 2; attempt++) {
        const answer = await fetch(`${origin}/bench/tr:${transformation}/${fileName}`)
        await answer.arrayBuffer()
        status = answer.status
      }
    })
    const seconds = (performance.now() - began) / 2000
    results.bombs.push({ title, fileBytes: bytes.length, status, seconds, peakMiB })
    process.stderr.write(
      `bomb: ${title}: ${status} after ${seconds.toFixed(2)} s, ${peakMiB.toFixed(0)} MiB\n`,
    )
  }
}
