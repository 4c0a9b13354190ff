import { arch, cpus, release, totalmem } from 'node:os'
import type { ContenderName } from './contenders.ts'
import type { Measurement, Scenario } from './scenarios.ts'

export type Rounds = Partial<Record<ContenderName, Measurement[]>>
export type Results = {
  /** Cores, memory, kernel, Node: what the numbers depend on. */
  machine: string
  size: 'quick' | 'full'
  date: string
  scenarios: { name: string; title: string; figures: Scenario['figures']; rounds: Rounds }[]
  footprint: Partial<Record<ContenderName, { readyMs: number[]; idleMiB: number[] }>>
}

/** What has to hold (performance goals); measured against a contender of the same round, or as it is. */
type Floor = { title: string; holds: (value: number) => boolean; limit: string; value: number }

export function machineLine(): string {
  const cores = cpus()
  return [
    `${cores.length} cores (${cores[0]?.model.trim() ?? arch()})`,
    `${Math.round(totalmem() / 1024 ** 3)} GiB memory`,
    `Linux ${release()}`,
    `Node ${process.version}`,
  ].join(', ')
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Median of the ratios of Tintype and another contender within each round: what disturbs the machine disturbs both. */
export function ratio<Rounds extends { tintype?: Measurement[] }>(
  rounds: Rounds,
  key: string,
  to: keyof Rounds,
): number {
  const [ours, theirs] = [rounds.tintype ?? [], (rounds[to] as Measurement[] | undefined) ?? []]
  return median(ours.map((slice, round) => slice[key]! / theirs[round]![key]!))
}

export function floorsOf(results: Results): Floor[] {
  const rounds = (name: string) => results.scenarios.find((scenario) => scenario.name === name)?.rounds
  const floors: Floor[] = []
  const atLeast = (title: string, scenario: string, key: string, to: ContenderName, least: number) => {
    const found = rounds(scenario)
    if (!found) return
    const value = ratio(found, key, to)
    floors.push({ title: `${title} against ${to}`, value, limit: `≥ ${least} ×`, holds: (x) => x >= least })
  }
  const atMost = (title: string, value: number | undefined, most: number, unit: string) => {
    if (value !== undefined)
      floors.push({ title, value, limit: `≤ ${most} ${unit}`, holds: (x) => x <= most })
  }
  atLeast('upload 100 KB', 'upload-100k', 'perSecond', 'limit-full', 0.9)
  atLeast('upload 2 MB', 'upload-2m', 'perSecond', 'limit-full', 0.9)
  atLeast('upload 200 MB', 'upload-200m', 'mbPerSecond', 'limit-fsync', 1)
  const large = rounds('upload-200m')?.tintype
  atMost(
    'memory rise of an upload of 200 MB',
    large && median(large.map((slice) => slice.riseMiB!)),
    40,
    'MiB',
  )
  atLeast('original, warm', 'original', 'perSecond', 'express', 1)
  atLeast('list of 100', 'list-100', 'perSecond', 'limit-full', 0.8)
  const own = results.footprint.tintype
  atMost('idle memory', own && median(own.idleMiB), 130, 'MiB')
  atMost('ready after', own && median(own.readyMs) / 1000, 1, 's')
  return floors
}

export function renderMarkdown(results: Results): string {
  const lines = ['# Benchmark', '', `${results.date}, ${results.machine}.`, '']
  lines.push(
    'All servers ran side by side in one run, round by round; each figure is the median of the rounds, each ratio the',
    'median of the ratios within a round. `express` is hand-written (Express, multer, sharp; no hash, no fsync),',
    '`limit-full` bare `node:http` with every duty of a safe upload, `limit-fsync` the same without image metadata and',
    'database row.',
    '',
  )
  for (const { title, figures, rounds } of results.scenarios) {
    lines.push(`## ${title}`, '')
    lines.push(`| server | ${figures.map((figure) => figure.unit).join(' | ')} | Tintype against it |`)
    lines.push(`| --- | ${figures.map(() => '---').join(' | ')} | --- |`)
    for (const [name, slices] of Object.entries(rounds) as [ContenderName, Measurement[]][]) {
      const values = figures.map(({ key }) => format(median(slices.map((slice) => slice[key]!))))
      const against = name === 'tintype' ? '' : `${format(ratio(rounds, figures[0]!.key, name))} ×`
      lines.push(`| ${name} | ${values.join(' | ')} | ${against} |`)
    }
    lines.push('')
  }
  lines.push('## Footprint', '', '| server | ready after | idle memory |', '| --- | --- | --- |')
  for (const [name, { readyMs, idleMiB }] of Object.entries(results.footprint)) {
    lines.push(`| ${name} | ${format(median(readyMs) / 1000)} s | ${format(median(idleMiB))} MiB |`)
  }
  lines.push('', '## Floors', '', '| floor | wanted | measured | holds |', '| --- | --- | --- | --- |')
  for (const floor of floorsOf(results)) {
    lines.push(
      `| ${floor.title} | ${floor.limit} | ${format(floor.value)} | ${floor.holds(floor.value) ? 'yes' : '**no**'} |`,
    )
  }
  return `${lines.join('\n')}\n`
}

export function format(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
