/** Numbers about the running process, in the text format of Prometheus (exposition format 0.0.4). */

export type Labels = Readonly<Record<string, string>>
export type Sample = { labels?: Labels; value: number }

export type Counter = {
  add(labels?: Labels, amount?: number): void
  /** Adds one for these labels, with the least work. */
  adderFor(labels: Labels): () => void
}
export type Histogram = { observe(value: number, labels?: Labels): void }

export type Metrics = {
  /** Something that only grows. Its name ends in `_total`. */
  counter(name: string, help: string): Counter
  /** Durations, sizes and the like. @param buckets upper bounds, the smallest first. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram
  /** Something that is looked up when it is asked for; left out when that fails. */
  gauge(name: string, help: string, read: () => Sample[] | Promise<Sample[]>): void
  render(): Promise<string>
}

/** Label values are few by construction; this ends what would grow without end by mistake. */
const MAX_SERIES = 1000

/** @param onFailure is told of a gauge that could not be read. */
export function createMetrics(onFailure: (name: string, error: unknown) => void): Metrics {
  const families = new Map<string, () => string | Promise<string>>()

  const register = (
    name: string,
    { help, type }: { help: string; type: string },
    lines: () => string[] | Promise<string[]>,
  ) => {
    if (families.has(name)) throw new Error(`the metric ${name} is there already`)
    families.set(name, async () => {
      try {
        return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${(await lines()).join('')}`
      } catch (error) {
        onFailure(name, error)
        return ''
      }
    })
  }

  return {
    counter(name, help) {
      const series = new Map<string, number>()
      register(name, { help, type: 'counter' }, () =>
        [...series].map(([labels, value]) => `${name}${labels} ${value}\n`),
      )
      return {
        add(labels = {}, amount = 1) {
          const key = printLabels(labels)
          const known = series.get(key)
          if (known === undefined && series.size >= MAX_SERIES) return
          series.set(key, (known ?? 0) + amount)
        },
        adderFor(labels) {
          const key = printLabels(labels)
          return () => {
            series.set(key, (series.get(key) ?? 0) + 1)
          }
        },
      }
    },

    histogram(name, help, buckets) {
      const series = new Map<string, { labels: Labels; counts: number[]; sum: number; count: number }>()
      register(name, { help, type: 'histogram' }, () =>
        [...series.values()].flatMap(({ labels, counts, sum, count }) => {
          const upTo = (le: string, value: number) =>
            `${name}_bucket${printLabels({ ...labels, le })} ${value}\n`
          return [
            ...buckets.map((bound, at) => upTo(String(bound), counts[at]!)),
            upTo('+Inf', count),
            `${name}_sum${printLabels(labels)} ${sum}\n`,
            `${name}_count${printLabels(labels)} ${count}\n`,
          ]
        }),
      )
      return {
        observe(value, labels = {}) {
          const key = printLabels(labels)
          let one = series.get(key)
          if (!one) {
            if (series.size >= MAX_SERIES) return
            one = { labels, counts: buckets.map(() => 0), sum: 0, count: 0 }
            series.set(key, one)
          }
          for (const [at, bound] of buckets.entries()) if (value <= bound) one.counts[at]! += 1
          one.sum += value
          one.count += 1
        },
      }
    },

    gauge(name, help, read) {
      register(name, { help, type: 'gauge' }, async () =>
        (await read()).map(({ labels = {}, value }) => `${name}${printLabels(labels)} ${value}\n`),
      )
    },

    async render() {
      const texts = await Promise.all([...families.values()].map((family) => family()))
      return texts.join('')
    },
  }
}

function printLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeValue(value: string): string {
  return value.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`))
}
