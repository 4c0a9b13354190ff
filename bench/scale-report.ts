import type { Plan } from './scale-plans.ts'

export type ScenarioResult = {
  name: string
  isGoal: boolean
  /** Most assets in one answer, in the small and in the large library. */
  found: number[]
  small: Percentiles
  large: Percentiles
}

/** `first`: when the same requests were made for the first time. */
type Percentiles = { p50Ms: number; p99Ms: number; firstP99Ms: number }

export type EngineResult = {
  name: string
  scenarios: ScenarioResult[]
  besides: {
    /** Answers to the heavy searches by status, and the longest of them. */
    statuses: Record<number, number>
    longestMs: number
    others: { name: string; aloneP99Ms: number; besideP50Ms: number; besideP99Ms: number }[]
  }
  /** In the large library. */
  plans: Plan[]
}

export type ScaleResults = {
  machine: string
  date: string
  small: number
  large: number
  turns: number
  engines: EngineResult[]
}

const GOAL_MS = 25
const GOAL_RATIO = 2
/** Below this, twice as long is noise. */
const NOISE_MS = 5

/** What the small library gives at least of what the large one does, where their times are compared. */
const COMPARABLE = 0.9

export function holdsGoal({ found, small, large }: ScenarioResult): boolean {
  const isComparable = found[0]! >= COMPARABLE * found[1]!
  const isSteady = !isComparable || large.p99Ms <= NOISE_MS || large.p99Ms <= GOAL_RATIO * small.p99Ms
  return large.p99Ms <= GOAL_MS && isSteady
}

export function renderScale(results: ScaleResults): string {
  const { machine, date, small, large, turns, engines } = results
  const lines = ['# Lists and searches at scale', '', `${date}, ${machine}.`, '']
  lines.push(
    `Answers of 100 assets by \`GET /v1/files\` over HTTP, ${turns} requests a scenario with other values each time, from a`,
    `library of ${large.toLocaleString('en')} generated files and, in turns with it, from one of ${small.toLocaleString('en')}. Milliseconds.`,
    `The goal: p99 of the large library at most ${GOAL_MS} ms, and at most ${GOAL_RATIO} times that of the small one (which is not`,
    `asked of what takes less than ${NOISE_MS} ms, nor where the small one has fewer assets to give, as "found" tells: those`,
    "answers are shorter). A scenario in brackets is beyond the goal's list, for comparison.",
    'All requests of a scenario were made once before they were measured, so that the operating system had in memory what',
    'they read; the last column is p99 of the large library in that first round, much of it from the disk.',
    '',
  )
  for (const engine of engines) {
    lines.push(`## ${engine.name}`, '')
    lines.push(
      `| scenario | found | p50 small | p50 large | p99 small | p99 large | ratio | goal | p99 large, first |`,
    )
    lines.push('| --- | --- | --- | --- | --- | --- | --- | --- | --- |')
    for (const scenario of engine.scenarios) {
      const { name, isGoal, found } = scenario
      const cells = [
        isGoal ? name : `(${name})`,
        found.join(' / '),
        ...[scenario.small.p50Ms, scenario.large.p50Ms, scenario.small.p99Ms, scenario.large.p99Ms].map(
          (ms) => ms.toFixed(1),
        ),
        (scenario.large.p99Ms / scenario.small.p99Ms).toFixed(1),
        holdsGoal(scenario) ? 'yes' : isGoal ? '**no**' : 'no',
        scenario.large.firstP99Ms.toFixed(1),
      ]
      lines.push(`| ${cells.join(' | ')} |`)
    }
    const { besides } = engine
    const statuses = Object.entries(besides.statuses).map(([status, count]) => `${count} × ${status}`)
    lines.push(
      '',
      `While two clients search all the time for what no index helps to find (answers: ${statuses.join(', ')}; the longest after`,
      `${besides.longestMs.toFixed(0)} ms), others are answered so:`,
      '',
      '| request | p99 alone | p50 beside | p99 beside |',
      '| --- | --- | --- | --- |',
      ...besides.others.map(
        (other) =>
          `| ${other.name} | ${other.aloneP99Ms.toFixed(1)} | ${other.besideP50Ms.toFixed(1)} | ${other.besideP99Ms.toFixed(1)} |`,
      ),
      '',
    )
    const scans = engine.plans.filter((plan) => plan.isFullScan).map(({ name }) => name)
    lines.push(
      scans.length === 0
        ? 'No plan reads a whole table of files, tags, words or values.'
        : `Plans that read a whole table: ${scans.join(', ')}.`,
      '',
      '<details><summary>Query plans in the large library</summary>',
      '',
    )
    for (const plan of engine.plans) lines.push(`**${plan.name}**`, '', '```', ...plan.lines, '```', '')
    lines.push('</details>', '')
  }
  return `${lines.join('\n')}\n`
}
