import { appendFileSync } from 'node:fs'

const file = process.env.FAULTS_LOG ?? process.env.CLUSTER_LOG

/** Notes what a long test has counted; `scripts/cluster.mjs` makes a page of it, and `scripts/faults.mjs` prints it. */
export function noteRun(title: string, counts: Record<string, unknown>): void {
  if (file) appendFileSync(file, `${JSON.stringify({ title, counts })}\n`)
}
