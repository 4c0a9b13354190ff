import { format, median, ratio } from './report.ts'
import type { Measurement } from './scenarios.ts'
import type { ImageServerName } from './transform-contenders.ts'
import type { ImageScenario, Quality } from './transform-scenarios.ts'

export type ImageRounds = Partial<Record<ImageServerName, Measurement[]>>
export type ImageResults = {
  machine: string
  size: 'quick' | 'full'
  date: string
  /** Servers that could not be had, and why. */
  missing: Partial<Record<ImageServerName, string>>
  quality: ({ server: ImageServerName } & Quality)[]
  scenarios: { name: string; title: string; figures: ImageScenario['figures']; rounds: ImageRounds }[]
  bombs: { title: string; fileBytes: number; status: number; seconds: number; peakMiB: number }[]
}

type Floor = { title: string; limit: string; value: number; holds: (value: number) => boolean }

/** What the file that is being transformed may take, with everything around it (trust C01). */
const MAX_BOMB_MIB = 400

export function floorsOf(results: ImageResults): Floor[] {
  const floors: Floor[] = []
  const rounds = (name: string) => results.scenarios.find((scenario) => scenario.name === name)?.rounds
  const atMost = (title: string, value: number | undefined, most: number, unit: string) => {
    if (value !== undefined)
      floors.push({ title, value, limit: `≤ ${most} ${unit}`, holds: (x) => x <= most })
  }
  const own = (name: string, key: string) => {
    const slices = rounds(name)?.tintype
    return slices && median(slices.map((slice) => slice[key]!))
  }
  const against = (name: string, key: string, to: ImageServerName) => {
    const found = rounds(name)
    return found?.[to] && ratio(found, key, to)
  }
  for (const [name, title] of [
    ['cold-100k', '100 KB'],
    ['cold-2m', '2 MB'],
    ['cold-8m', '8 MB'],
    ['cold-srgb', '2 MB with a profile'],
  ] as const) {
    atMost(`cold, ${title}: CPU time against bare sharp`, against(name, 'cpuMs', 'sharp'), 1.1, '×')
  }
  atMost('16 clients, one new URL: time against one', own('herd-16', 'times'), 1.3, '×')
  atMost('200 clients, one new URL: time against one (an aim)', own('herd-200', 'times'), 1.3, '×')
  const warm = against('warm', 'perSecond', 'memory')
  if (warm !== undefined) {
    floors.push({
      title: 'warm: requests/s against bare node:http',
      value: warm,
      limit: '≥ 0.8 ×',
      holds: (x) => x >= 0.8,
    })
  }
  atMost('warm: CPU time against bare node:http', against('warm', 'cpuUs', 'memory'), 1.25, '×')
  atMost('AVIF, cold: CPU time against WebP', own('avif', 'times'), 2.5, '×')
  const bombs = results.bombs.map(({ peakMiB }) => peakMiB)
  if (bombs.length > 0) atMost('memory at the worst bomb', Math.max(...bombs), MAX_BOMB_MIB, 'MiB')
  return floors
}

export function renderMarkdown(results: ImageResults): string {
  const lines = ['# Benchmark of transformations', '', `${results.date}, ${results.machine}.`, '']
  lines.push(
    'All servers ran side by side in one run, round by round; each figure is the median of the rounds, each ratio the',
    'median of the ratios within a round. CPU time is that of a server with all its processes. `sharp` is bare',
    '`node:http` and the same operations by sharp, without any duty; `ipx` the server of that package, with the same',
    'sharp; `nginx` its image filter, which gives JPEG for JPEG, or its static files; `memory` bare `node:http` that',
    'answers every request with the same bytes. None of them but Tintype keeps what it has made.',
    '',
  )
  for (const [name, reason] of Object.entries(results.missing)) {
    lines.push(`\`${name}\` was left out: ${reason}.`, '')
  }
  if (results.quality.length > 0) {
    lines.push('## Output', '', 'A 2 MB JPEG at 400 px, against an exact resize of the same photo.', '')
    lines.push('| server | type | bytes | PSNR |', '| --- | --- | --- | --- |')
    for (const { server, type, sizeBytes, psnrDb } of results.quality) {
      lines.push(`| ${server} | ${type} | ${sizeBytes} | ${psnrDb.toFixed(1)} dB |`)
    }
    lines.push('')
  }
  for (const { title, figures, rounds } of results.scenarios) {
    lines.push(`## ${title}`, '')
    lines.push(`| server | ${figures.map((figure) => figure.unit).join(' | ')} | Tintype against it |`)
    lines.push(`| --- | ${figures.map(() => '---').join(' | ')} | --- |`)
    for (const [name, slices] of Object.entries(rounds) as [ImageServerName, Measurement[]][]) {
      const values = figures.map(({ key }) => format(median(slices.map((slice) => slice[key]!))))
      const versus = name === 'tintype' ? '' : `${format(ratio(rounds, figures[0]!.key, name))} ×`
      lines.push(`| ${name} | ${values.join(' | ')} | ${versus} |`)
    }
    lines.push('')
  }
  if (results.bombs.length > 0) {
    lines.push(
      '## Bombs',
      '',
      'Small files that take a careless decoder much; the memory is that of all processes.',
      '',
    )
    lines.push('| file | bytes | status | s | MiB at the peak |', '| --- | --- | --- | --- | --- |')
    for (const { title, fileBytes, status, seconds, peakMiB } of results.bombs) {
      lines.push(`| ${title} | ${fileBytes} | ${status} | ${format(seconds)} | ${format(peakMiB)} |`)
    }
    lines.push('')
  }
  lines.push('## Floors', '', '| floor | wanted | measured | holds |', '| --- | --- | --- | --- |')
  for (const floor of floorsOf(results)) {
    const verdict = floor.holds(floor.value) ? 'yes' : '**no**'
    lines.push(`| ${floor.title} | ${floor.limit} | ${format(floor.value)} | ${verdict} |`)
  }
  return `${lines.join('\n')}\n`
}
