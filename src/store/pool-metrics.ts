import type { Metrics } from '../kernel/metrics.ts'
import type { Store } from './store.ts'

/** Shows the connections to the database server, and who waits for one. */
export function measurePools(metrics: Metrics, store: Pick<Store, 'pools'>): void {
  metrics.gauge('tintype_database_connections', 'Connections to PostgreSQL, by pool and state.', () =>
    store.pools().flatMap(({ pool, open, idle, waiting }) => [
      { labels: { pool, state: 'busy' }, value: open - idle },
      { labels: { pool, state: 'idle' }, value: idle },
      { labels: { pool, state: 'awaited' }, value: waiting },
    ]),
  )
}
