import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const INTRODUCTION = `# Kills, power cuts and failing disks: the last long runs

<!-- Written by scripts/faults.mjs (npm run test:faults -- --long); do not edit. -->

After each kill, power cut and failing call everything that was acknowledged is held against what the library lists and
delivers, \`tintype verify\` has to find nothing, and no row may be an orphan. What had no answer may have happened or
not, but wholly. Only runs that passed are kept. Times are those of a busy machine and no benchmark.
`

/**
 * Keeps what long runs have counted on a page, each suite with its last run: all of them together take hours.
 * @param {string} page path of the page
 * @param {{ title: string, counts: Record<string, number> }[]} runs
 * @param {string} seed
 */
export function keepRuns(page, runs, seed) {
  const before = existsSync(page) ? readFileSync(page, 'utf8').split(/^## /m).slice(1) : []
  const sections = new Map(before.map((text) => [text.slice(0, text.indexOf('\n')), text.trimEnd()]))
  const date = new Date().toISOString().slice(0, 10)
  for (const { title, counts } of runs) {
    const heading = title[0].toUpperCase() + title.slice(1)
    const lines = Object.entries(counts)
      .toSorted(
        ([one], [other]) => Number(one.includes(':')) - Number(other.includes(':')) || (one < other ? -1 : 1),
      )
      .map(([name, count]) => `| ${name} | ${count} |`)
    sections.set(
      heading,
      [heading, '', `${date}, seed ${seed}.`, '', '| | |', '| --- | ---: |', ...lines].join('\n'),
    )
  }
  writeFileSync(page, `${[INTRODUCTION, ...[...sections.values()].map((text) => `## ${text}\n`)].join('\n')}`)
}
