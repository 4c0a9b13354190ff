/**
 * `npm run bench:scale`: lists and searches in a library of a million files, beside one of ten thousand.
 *
 *   npm run bench:scale                          1,000,000 files, on SQLite, and on PostgreSQL if
 *                                                TINTYPE_TEST_POSTGRES_URL is set; writes bench/results/scale.*
 *   npm run bench:scale -- --files 100000        another size; writes nothing
 *   npm run bench:scale -- --keep /path          keeps the generated libraries there for the next run
 *   npm run bench:scale -- --only "tag"          scenarios whose names contain this; writes nothing
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { type Server, startServer } from '../test/support/server.ts'
import { machineLine } from './report.ts'
import { makeLibrary, type Place } from './scale-library.ts'
import { explainScenarios, type Plan } from './scale-plans.ts'
import { type EngineResult, renderScale, type ScenarioResult } from './scale-report.ts'
import { HEAVY_QUERY, SCENARIOS, type Scenario } from './scale-scenarios.ts'

const { values: args } = parseArgs({
  options: {
    files: { type: 'string', default: '1000000' },
    keep: { type: 'string' },
    only: { type: 'string' },
    turns: { type: 'string', default: '200' },
  },
})
const LARGE = Number(args.files)
const SMALL = 10_000
const TURNS = Number(args.turns)
const WARM_UP = 10
const LIMIT = '100'

const folder = args.keep ?? mkdtempSync(join(tmpdir(), 'tintype-scale-'))
const scenarios = SCENARIOS.filter(({ name }) => args.only === undefined || name.includes(args.only))
const engines: EngineResult[] = []
const running: Server[] = []

try {
  engines.push(
    await measureEngine('SQLite', async (files) => {
      const dataDir = join(folder, String(files))
      mkdirSync(dataDir, { recursive: true })
      return { place: { file: join(dataDir, 'tintype.db') }, dataDir, env: {} }
    }),
  )
  const databaseUrl = process.env.TINTYPE_TEST_POSTGRES_URL
  if (databaseUrl) {
    engines.push(
      await measureEngine('PostgreSQL', async (files) => {
        const url = await schemaFor(databaseUrl, files)
        const dataDir = join(folder, `postgres-${files}`)
        return { place: { databaseUrl: url }, dataDir, env: { TINTYPE_DATABASE_URL: url } }
      }),
    )
  }
} finally {
  await Promise.all(running.map((server) => server.stop()))
  if (args.keep === undefined) rmSync(folder, { recursive: true, force: true })
}

const results = {
  machine: machineLine(),
  date: new Date().toISOString().slice(0, 10),
  small: SMALL,
  large: LARGE,
  turns: TURNS,
  engines,
}
const markdown = renderScale(results)
console.log(markdown)
if (args.only === undefined && LARGE === 1_000_000) {
  const target = join(import.meta.dirname, 'results')
  mkdirSync(target, { recursive: true })
  writeFileSync(join(target, 'scale.json'), `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(join(target, 'scale.md'), markdown)
}

type Setting = { place: Place; dataDir: string; env: Record<string, string> }

async function measureEngine(
  name: string,
  settle: (files: number) => Promise<Setting>,
): Promise<EngineResult> {
  const libraries: { files: number; server: Server }[] = []
  const plans: Plan[][] = []
  for (const files of [SMALL, LARGE]) {
    const { place, dataDir, env } = await settle(files)
    log(`${name}: library of ${files} files`)
    await makeLibrary(place, files)
    plans.push(await explainScenarios(place, scenarios, files))
    const server = await startServer({ dataDir, env, timeoutMs: 120_000 })
    running.push(server)
    libraries.push({ files, server })
  }
  const measured: ScenarioResult[] = []
  for (const scenario of scenarios) {
    measured.push(await measureScenario(scenario, libraries))
    log(`${name}: ${JSON.stringify(measured.at(-1))}`)
  }
  for (const depth of [0.1, 0.5, 0.9]) {
    measured.push(await measureDeepPages(depth, libraries))
    log(`${name}: ${JSON.stringify(measured.at(-1))}`)
  }
  const besides = await measureBesides(libraries.at(-1)!.server)
  log(`${name}: ${JSON.stringify(besides)}`)
  for (const { server } of libraries) await server.stop()
  return { name, scenarios: measured, besides, plans: plans.at(-1)! }
}

/** Both libraries answer in turns, so that whatever disturbs the machine disturbs both. */
async function measureScenario(
  scenario: Scenario,
  libraries: { files: number; server: Server }[],
): Promise<ScenarioResult> {
  const timesMs: number[][] = libraries.map(() => [])
  const found: number[] = libraries.map(() => 0)
  for (let turn = -WARM_UP; turn < TURNS; turn += 1) {
    for (const [i, { files, server }] of libraries.entries()) {
      const answer = await ask(server, { limit: LIMIT, ...scenario.query(Math.abs(turn), files) })
      if (turn < 0) continue
      timesMs[i]!.push(answer.timeMs)
      found[i] = Math.max(found[i]!, answer.count)
    }
  }
  return resultOf(scenario.name, scenario.isGoal, timesMs, found)
}

/** Pages by cursor, from a place deep in the list on. */
async function measureDeepPages(
  depth: number,
  libraries: { files: number; server: Server }[],
): Promise<ScenarioResult> {
  const cursors: string[] = []
  for (const { files, server } of libraries) {
    const answer = await ask(server, { limit: '1', skip: String(Math.floor(files * depth)) })
    cursors.push(answer.cursor!)
  }
  const firsts = [...cursors]
  const timesMs: number[][] = libraries.map(() => [])
  const found: number[] = libraries.map(() => 0)
  for (let turn = -WARM_UP; turn < TURNS; turn += 1) {
    for (const [i, { server }] of libraries.entries()) {
      const answer = await ask(server, { limit: LIMIT, cursor: cursors[i]! })
      // The small library ends earlier: it begins again where it began.
      cursors[i] = answer.cursor ?? firsts[i]!
      if (turn < 0) continue
      timesMs[i]!.push(answer.timeMs)
      found[i] = Math.max(found[i]!, answer.count)
    }
  }
  return resultOf(`page by cursor, ${depth * 100} % deep`, true, timesMs, found)
}

/** What others notice of two clients that search all the time for what no index helps to find. */
async function measureBesides(server: Server): Promise<EngineResult['besides']> {
  const others: [name: string, query: Record<string, string>][] = [
    ['list', { limit: LIMIT }],
    ['search by tag', { limit: LIMIT, searchQuery: 'tags IN ["needle"]' }],
  ]
  const measure = async () => {
    const timesMs = new Map<string, number[]>(others.map(([name]) => [name, []]))
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const [name, query] of others) timesMs.get(name)!.push((await ask(server, query)).timeMs)
    }
    return timesMs
  }
  const alone = await measure()
  let isOver = false
  const statuses: Record<number, number> = {}
  let longestMs = 0
  const heavy = async () => {
    while (!isOver) {
      const answer = await ask(server, { limit: LIMIT, searchQuery: HEAVY_QUERY })
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
      longestMs = Math.max(longestMs, answer.timeMs)
    }
  }
  const clients = [heavy(), heavy()]
  const beside = await measure()
  isOver = true
  await Promise.all(clients)
  return {
    statuses,
    longestMs,
    others: others.map(([name]) => ({
      name,
      aloneP99Ms: percentile(alone.get(name)!, 0.99),
      besideP50Ms: percentile(beside.get(name)!, 0.5),
      besideP99Ms: percentile(beside.get(name)!, 0.99),
    })),
  }
}

async function ask(server: Server, query: Record<string, string>) {
  const startMs = performance.now()
  const response = await fetch(`${server.url}/v1/files?${new URLSearchParams(query)}`, {
    headers: { authorization: `Basic ${Buffer.from(`${server.privateKey}:`).toString('base64')}` },
  })
  const body = await response.json()
  const timeMs = performance.now() - startMs
  const isExpected = response.status === 200 || query.searchQuery === HEAVY_QUERY
  if (!isExpected) throw new Error(`${response.status} to ${JSON.stringify(query)}: ${JSON.stringify(body)}`)
  return {
    timeMs,
    status: response.status,
    count: Array.isArray(body) ? body.length : 0,
    cursor: response.headers.get('x-next-cursor'),
  }
}

function resultOf(name: string, isGoal: boolean, timesMs: number[][], found: number[]): ScenarioResult {
  const [small, large] = timesMs.map((times) => ({
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
  }))
  return { name, isGoal, found, small: small!, large: large! }
}

function percentile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

/** A schema for the library of this size; kept between runs. */
async function schemaFor(databaseUrl: string, files: number): Promise<string> {
  const schema = `scale_${files}`
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`)
  await client.end()
  const url = new URL(databaseUrl)
  url.searchParams.set('options', `-c search_path=${schema}`)
  return url.href
}

function log(line: string) {
  process.stderr.write(`${line}\n`)
}
