import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics } from './metrics.ts'

/** Shows the memory and the responsiveness of this process. @returns what ends it. */
export function measureProcess(metrics: Metrics): () => void {
  const delays = monitorEventLoopDelay({ resolution: 20 })
  delays.enable()
  metrics.gauge('tintype_process_resident_bytes', 'Memory of the server process.', () => [
    { value: process.memoryUsage.rss() },
  ])
  metrics.gauge(
    'tintype_event_loop_delay_seconds',
    'How late the process comes to its work, since the last look: the 99th percentile and the longest.',
    () => {
      const samples = [
        { labels: { quantile: '0.99' }, value: delays.percentile(99) / 1e9 },
        { labels: { quantile: '1' }, value: delays.max / 1e9 },
      ]
      delays.reset()
      return samples
    },
  )
  return () => delays.disable()
}
