import type { Metrics } from '../kernel/metrics.ts'
import type { Renderer } from './transform.ts'

const BUCKETS_SEC = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The same renderer, with its renders measured. */
export function measureRenders(renderer: Renderer, metrics: Metrics): Renderer {
  const durations = metrics.histogram(
    'tintype_render_duration_seconds',
    'Renders of images, by result; the time includes the wait for a process.',
    BUCKETS_SEC,
  )
  return {
    ...renderer,
    async render(request) {
      const startMs = performance.now()
      let result = 'failed'
      try {
        const rendered = await renderer.render(request)
        result = 'done'
        return rendered
      } finally {
        durations.observe((performance.now() - startMs) / 1000, { result })
      }
    },
  }
}
