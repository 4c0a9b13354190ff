import type { Metrics } from '../kernel/metrics.ts'
import type { Clock } from '../kernel/time.ts'
import type { Store } from '../store/store.ts'

const BUCKETS_SEC = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300]

/**
 * Shows what waits, runs and is dead.
 * @returns what is to be told of each attempt of a job.
 */
export function measureJobs(
  metrics: Metrics,
  { store, clock }: { store: Pick<Store, 'jobs'>; clock: Clock },
): (run: { kind: string; outcome: string; durationMs: number }) => void {
  metrics.gauge('tintype_jobs', 'Jobs that wait, run or are dead.', async () =>
    (await store.jobs.stats()).map(({ kind, state, count }) => ({ labels: { kind, state }, value: count })),
  )
  metrics.gauge(
    'tintype_jobs_overdue_seconds',
    'For how long the oldest job that is due has waited.',
    async () =>
      (await store.jobs.stats())
        .filter(({ state }) => state === 'ready')
        .map(({ kind, oldestRunAtMs }) => ({
          labels: { kind },
          value: Math.max(0, clock.now() - oldestRunAtMs) / 1000,
        })),
  )
  const durations = metrics.histogram(
    'tintype_job_duration_seconds',
    'Attempts of jobs, by kind and outcome.',
    BUCKETS_SEC,
  )
  return ({ kind, outcome, durationMs }) => durations.observe(durationMs / 1000, { kind, outcome })
}
