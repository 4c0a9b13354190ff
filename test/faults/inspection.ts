import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { openInstallation } from '../../src/installation.ts'
import { type VerifyReport, verifyLibrary } from '../../src/library/library.ts'

/** What `tintype verify` reports, beside a server that may be running; with everything that nobody needs. */
export async function verifyData(dataDir: string): Promise<VerifyReport> {
  const { config } = loadConfig([], { TINTYPE_DATA_DIR: dataDir })
  const installation = await openInstallation(config, { create: false })
  try {
    return await verifyLibrary(
      { graceMs: 0, stagingMaxAgeMs: 0, nowMs: Date.now() + 1, quick: false, repair: false },
      installation,
    )
  } finally {
    await installation.close()
  }
}

/** Expects that no row lacks its blob, no blob is damaged, and the database is whole. */
export async function expectSound(dataDir: string): Promise<VerifyReport> {
  const report = await verifyData(dataDir)
  expect({
    damaged: report.damaged.list,
    missing: report.missing.list,
    mismatched: report.mismatched.list,
    database: examineDatabase(dataDir),
  }).toEqual({ damaged: [], missing: [], mismatched: [], database: [] })
  return report
}

/** Rows that nothing leads to any more, and what SQLite itself finds. */
const ORPHANS = {
  'versions of no file': 'SELECT version_id FROM versions WHERE file_id NOT IN (SELECT file_id FROM files)',
  'files without a current version':
    'SELECT file_id FROM files WHERE (SELECT count(*) FROM versions v WHERE v.file_id = files.file_id AND is_current = 1) <> 1',
  'versions in no folder':
    'SELECT version_id FROM versions WHERE folder_seq NOT IN (SELECT seq FROM folders)',
  'folders without a parent':
    "SELECT path FROM folders WHERE path <> '/' AND parent_seq NOT IN (SELECT seq FROM folders)",
  'tags of no version': 'SELECT tag FROM version_tags WHERE version_seq NOT IN (SELECT seq FROM versions)',
  'words of no version': 'SELECT word FROM version_words WHERE version_seq NOT IN (SELECT seq FROM versions)',
  'fields of no version':
    'SELECT field FROM version_fields WHERE version_seq NOT IN (SELECT seq FROM versions)',
  'held folders of no job': 'SELECT path FROM folder_locks WHERE job_id NOT IN (SELECT id FROM jobs)',
  'a wrong sum of bytes':
    'SELECT bytes FROM stored_bytes WHERE bytes <> (SELECT coalesce(sum(size_bytes), 0) FROM versions)',
}

function examineDatabase(dataDir: string): string[] {
  const db = new DatabaseSync(`${dataDir}/tintype.db`, { readOnly: true, timeout: 5000 })
  try {
    const found: string[] = []
    const [integrity] = db.prepare('PRAGMA integrity_check').all()
    if (integrity?.integrity_check !== 'ok') found.push(JSON.stringify(integrity))
    for (const row of db.prepare('PRAGMA foreign_key_check').all()) found.push(JSON.stringify(row))
    for (const [what, sql] of Object.entries(ORPHANS)) {
      for (const row of db.prepare(sql).all()) found.push(`${what}: ${JSON.stringify(row)}`)
    }
    return found
  } finally {
    db.close()
  }
}

/** Waits until jobs on folders that a crash has interrupted have come to their end. */
export async function folderJobsEnd(dataDir: string): Promise<void> {
  const db = new DatabaseSync(`${dataDir}/tintype.db`, { readOnly: true, timeout: 5000 })
  try {
    const unfinished = db.prepare("SELECT * FROM jobs WHERE kind LIKE 'folder.%' AND finished_at IS NULL")
    for (let at = 0; ; at += 1) {
      const jobs = unfinished.all()
      if (jobs.length === 0) return
      if (at > 1000) throw new Error(`jobs on folders do not end: ${JSON.stringify(jobs)}`)
      await sleep(20)
    }
  } finally {
    db.close()
  }
}
