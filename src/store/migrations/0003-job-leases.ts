import type { Migration } from './migrations.ts'

/**
 * Leases that are judged by a counter instead of by clocks, claims by kind, keys that keep a job from being enqueued
 * twice, and the folders that a job holds.
 */
export const jobLeases: Migration = {
  name: 'job leases',
  statements: ({ text, int, keyedTable }) => [
    'DROP INDEX jobs_ready',
    'DROP INDEX jobs_running',
    'ALTER TABLE jobs DROP COLUMN lease_until',
    `ALTER TABLE jobs ADD COLUMN lease_token ${text}`,
    `ALTER TABLE jobs ADD COLUMN lease_beats ${int} NOT NULL DEFAULT 0`,
    `ALTER TABLE jobs ADD COLUMN dedupe_key ${text}`,
    "CREATE INDEX jobs_ready ON jobs (kind, run_at, id) WHERE state = 'ready'",
    "CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running'",
    "CREATE INDEX jobs_open ON jobs (kind, state, run_at) WHERE state <> 'done'",
    'CREATE UNIQUE INDEX jobs_dedupe ON jobs (dedupe_key) WHERE finished_at IS NULL',

    // A folder is held for as long as its job is not finished.
    `CREATE TABLE folder_locks (
      path ${text} NOT NULL,
      job_id ${text} NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
      PRIMARY KEY (path, job_id)
    ) ${keyedTable}`,
    'CREATE INDEX folder_locks_job ON folder_locks (job_id)',
  ],
}
