import type { Ddl } from '../engine.ts'
import { initial } from './0001-initial.ts'
import { search } from './0002-search.ts'
import { jobLeases } from './0003-job-leases.ts'
import { documents } from './0004-documents.ts'
import { usage } from './0005-usage.ts'
import { webhookDeliveries } from './0006-webhook-deliveries.ts'
import { purgeLog } from './0007-purge-log.ts'
import { commitMarks } from './0008-commit-marks.ts'

/** One step of the schema. Steps that have been released never change; a new one follows them. */
export type Migration = {
  name: string
  /** The statements, in order. */
  statements(ddl: Ddl, nowMs: number): string[]
}

/** Position 0 leads to schema version 1. */
export const migrations: readonly Migration[] = [
  initial,
  search,
  jobLeases,
  documents,
  usage,
  webhookDeliveries,
  purgeLog,
  commitMarks,
]
