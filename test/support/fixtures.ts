import { existsSync } from 'node:fs'
import { join } from 'node:path'

const kept = join(import.meta.dirname, '../../.cache/fixtures')

/**
 * Folder of real sample files (photographs, formats, metadata, video, audio) that the test run fetches; undefined
 * where it could not. Suites that need it use `describe.runIf(fixturesDir)`, so that the run reports them as skipped.
 */
export const fixturesDir: string | undefined =
  process.env.FIXTURES_DIR ?? (existsSync(join(kept, '.complete')) ? kept : undefined)

/** Path of a sample file, e.g. `photos/china.jpg`. */
export function fixture(path: string): string {
  if (!fixturesDir)
    throw new Error('There are no fixtures here: run this suite with describe.runIf(fixturesDir).')
  return join(fixturesDir, path)
}
