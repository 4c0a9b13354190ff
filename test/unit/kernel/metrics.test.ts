import { describe, expect, it } from 'vitest'
import { createMetrics } from '../../../src/kernel/metrics.ts'

const open = () => {
  const failures: string[] = []
  return { metrics: createMetrics((name) => failures.push(name)), failures }
}

describe('metrics', () => {
  it('prints counters by their labels, with what is special in values escaped', async () => {
    const { metrics } = open()
    const counter = metrics.counter('a_total', 'Counts a.')
    counter.add({ kind: 'x' })
    counter.add({ kind: 'x' }, 2)
    counter.add({ kind: 'q"\\\n' })
    expect(await metrics.render()).toBe(
      '# HELP a_total Counts a.\n# TYPE a_total counter\na_total{kind="x"} 3\na_total{kind="q\\"\\\\\\n"} 1\n',
    )
  })

  it('prints histograms with cumulative buckets', async () => {
    const { metrics } = open()
    const histogram = metrics.histogram('h', 'H.', [1, 5])
    for (const value of [0.5, 1, 3, 9]) histogram.observe(value, { r: 'y' })
    expect((await metrics.render()).split('\n').slice(2, -1)).toEqual([
      'h_bucket{r="y",le="1"} 2',
      'h_bucket{r="y",le="5"} 3',
      'h_bucket{r="y",le="+Inf"} 4',
      'h_sum{r="y"} 13.5',
      'h_count{r="y"} 4',
    ])
  })

  it('leaves out a gauge that cannot be read, and says so', async () => {
    const { metrics, failures } = open()
    metrics.gauge('good', 'G.', () => [{ value: 7 }])
    metrics.gauge('bad', 'B.', async () => {
      throw new Error('no database')
    })
    expect(await metrics.render()).toBe('# HELP good G.\n# TYPE good gauge\ngood 7\n')
    expect(failures).toEqual(['bad'])
  })

  it('takes a name once, and no series without end', async () => {
    const { metrics } = open()
    const counter = metrics.counter('many_total', 'M.')
    expect(() => metrics.gauge('many_total', 'again', () => [])).toThrow('many_total')
    for (let at = 0; at < 2000; at++) counter.add({ at: String(at) })
    expect((await metrics.render()).split('\n')).toHaveLength(2 + 1000 + 1)
  })
})
