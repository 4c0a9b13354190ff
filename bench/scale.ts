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
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import pg from 'pg'
import { type Server, startServer } from '../test/support/server.ts'
import { type Connection, openConnection } from './client.ts'
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
    turns: { type: 'string', default: '400' },
  },
})
const LARGE = Number(args.files)
const SMALL = 10_000
const TURNS = Number(args.turns)
const LIMIT = '100'

const folder = args.keep ?? mkdtempSync(join(tmpdir(), 'tintype-scale-'))
const scenarios = SCENARIOS.filter(({ name }) => args.only === undefined || name.includes(args.only))
const engines: EngineResult[] = []
const running: Server[] = []

setFlagsFromString('--expose-gc')
/** Collects the garbage of this process, which would otherwise do so while it waits for an answer. */
const collectGarbage: (options: { type: 'minor' | 'major' }) => void = runInNewContext('gc')
/** V8 marks the whole heap each time that 16 MiB of buffers have come; an answer takes up to 256 KiB. */
const MAJOR_EVERY = 40
let asked = 0

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

type Library = { files: number; server: Server; connection: Connection }
type Setting = { place: Place; dataDir: string; env: Record<string, string> }

async function measureEngine(
  name: string,
  settle: (files: number) => Promise<Setting>,
): Promise<EngineResult> {
  const libraries: Library[] = []
  const plans: Plan[][] = []
  for (const files of [SMALL, LARGE]) {
    const { place, dataDir, env } = await settle(files)
    log(`${name}: library of ${files} files`)
    await makeLibrary(place, files)
    plans.push(await explainScenarios(place, scenarios, files))
    const server = await startServer({ dataDir, env, timeoutMs: 120_000 })
    running.push(server)
    const connection = await openConnection(Number(new URL(server.url).port))
    libraries.push({ files, server, connection })
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
  const besides = await measureBesides(libraries.at(-1)!)
  log(`${name}: ${JSON.stringify(besides)}`)
  for (const { server, connection } of libraries) {
    connection.close()
    await server.stop()
  }
  return { name, scenarios: measured, besides, plans: plans.at(-1)! }
}

/**
 * Both libraries answer in turns, so that whatever disturbs the machine disturbs both. All requests are made once
 * before they are measured: then the operating system has in memory what they read from the large library, as it has
 * the whole of the small one.
 */
async function measureScenario(scenario: Scenario, libraries: Library[]): Promise<ScenarioResult> {
  const measure = async () => {
    const times = createTimes(libraries)
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const [i, library] of libraries.entries()) {
        times.add(i, await ask(library, { limit: LIMIT, ...scenario.query(turn, library.files) }))
      }
    }
    return times
  }
  const first = await measure()
  return resultOf(scenario.name, scenario.isGoal, { first, measured: await measure() })
}

/** Pages by cursor, from a place deep in the list on. */
async function measureDeepPages(depth: number, libraries: Library[]): Promise<ScenarioResult> {
  const firsts: string[] = []
  for (const library of libraries) {
    const answer = await ask(library, { limit: '1', skip: String(Math.floor(library.files * depth)) })
    firsts.push(answer.cursor!)
  }
  const measure = async () => {
    const times = createTimes(libraries)
    const cursors = [...firsts]
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const [i, library] of libraries.entries()) {
        const answer = await ask(library, { limit: LIMIT, cursor: cursors[i]! })
        // The small library ends earlier: it begins again where it began.
        cursors[i] = answer.cursor ?? firsts[i]!
        times.add(i, answer)
      }
    }
    return times
  }
  const first = await measure()
  return resultOf(`page by cursor, ${depth * 100} % deep`, true, { first, measured: await measure() })
}

type Times = ReturnType<typeof createTimes>

function createTimes(libraries: Library[]) {
  const timesMs: number[][] = libraries.map(() => [])
  const found: number[] = libraries.map(() => 0)
  return {
    timesMs,
    found,
    add(library: number, { timeMs, count }: { timeMs: number; count: number }) {
      timesMs[library]!.push(timeMs)
      found[library] = Math.max(found[library]!, count)
    },
  }
}

/** What others notice of two clients that search all the time for what no index helps to find. */
async function measureBesides(library: Library): Promise<EngineResult['besides']> {
  const others: [name: string, query: Record<string, string>][] = [
    ['list', { limit: LIMIT }],
    ['search by tag', { limit: LIMIT, searchQuery: 'tags IN ["needle"]' }],
  ]
  const measure = async () => {
    const timesMs = new Map<string, number[]>(others.map(([name]) => [name, []]))
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const [name, query] of others) timesMs.get(name)!.push((await ask(library, query)).timeMs)
    }
    return timesMs
  }
  const alone = await measure()
  let isOver = false
  const statuses: Record<number, number> = {}
  let longestMs = 0
  const heavy = async () => {
    const connection = await openConnection(Number(new URL(library.server.url).port))
    while (!isOver) {
      const answer = await ask({ ...library, connection }, { limit: LIMIT, searchQuery: HEAVY_QUERY })
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
      longestMs = Math.max(longestMs, answer.timeMs)
    }
    connection.close()
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

/** The time is that until the last byte has come; reading what it says is the client's own affair. */
async function ask({ server, connection }: Library, query: Record<string, string>) {
  const request = [
    `GET /v1/files?${new URLSearchParams(query)} HTTP/1.1`,
    `Host: ${new URL(server.url).host}`,
    `Authorization: Basic ${Buffer.from(`${server.privateKey}:`).toString('base64')}`,
  ]
  const bytes = Buffer.from(`${request.join('\r\n')}\r\n\r\n`)
  const startMs = performance.now()
  const { status, head, body } = await connection.exchange([bytes])
  const timeMs = performance.now() - startMs
  const assets = JSON.parse(Buffer.concat(body).toString())
  const isExpected = status === 200 || query.searchQuery === HEAVY_QUERY
  if (!isExpected) throw new Error(`${status} to ${JSON.stringify(query)}: ${JSON.stringify(assets)}`)
  collectGarbage({ type: ++asked % MAJOR_EVERY === 0 ? 'major' : 'minor' })
  return {
    timeMs,
    status,
    count: Array.isArray(assets) ? assets.length : 0,
    cursor: /\r\nx-next-cursor: *(.+)/i.exec(head)?.[1],
  }
}

function resultOf(
  name: string,
  isGoal: boolean,
  { first, measured }: { first: Times; measured: Times },
): ScenarioResult {
  const [small, large] = measured.timesMs.map((times, i) => ({
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    firstP99Ms: percentile(first.timesMs[i]!, 0.99),
  }))
  return { name, isGoal, found: measured.found, small: small!, large: large! }
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
