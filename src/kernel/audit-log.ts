import { appendFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type Static, Type } from 'typebox'
import { TintypeError } from './errors.ts'
import type { Log } from './log.ts'
import type { Clock } from './time.ts'

export const auditOptions = Type.Object({
  path: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'File that says who has changed what, a line of JSON each; commands of the command line write there too. Absent: the log of the server alone.',
    }),
  ),
  maxFileMiB: Type.Integer({
    default: 100,
    minimum: 1,
    description: 'A larger file is set aside as `….1`, the one before as `….2`. Protects the disk.',
  }),
  keepFiles: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 1000,
    description: 'How many files that were set aside are kept.',
  }),
  reads: Type.Boolean({
    default: false,
    description: 'Whether requests of the API that only read are noted too.',
  }),
})
export type AuditOptions = Static<typeof auditOptions>

/** What somebody did, or tried to do. It never holds a body, a secret, or the query of a URL. */
export type AuditEntry = {
  source: 'api' | 'cli'
  outcome: 'done' | 'refused' | 'failed'
  /** The key pair that was used. */
  key?: { id: string; publicKey: string } | null
  /** What it was done to: ids and paths, by the names that the API gives them. */
  targets: Record<string, unknown>
  [detail: string]: unknown
}

export type AuditLog = {
  write(entry: AuditEntry): void
  /** Resolves when everything is in the file. */
  close(): Promise<void>
}

/** Entries that wait for a disk that hangs; those beyond are in the log only. Protects memory. */
const MAX_WAITING = 10_000

/**
 * Opens the audit log. Every entry is a line of the log, marked by `audit: true`, and of the file if there is one. The
 * file is opened by its name for each batch of lines, so that several processes and programs that rotate logs can share
 * it.
 * @throws TintypeError unavailable, when the file cannot be written.
 */
export async function openAuditLog(
  options: AuditOptions,
  deps: { log: Log; clock: Clock },
): Promise<AuditLog> {
  const { log, clock } = deps
  const channel = log.child({ audit: true })
  const path = options.path === undefined ? undefined : resolve(options.path)
  let waiting: string[] = []
  let writing: Promise<void> | undefined

  async function append(file: string, text: string): Promise<void> {
    const sizeBytes = await stat(file).then(
      ({ size }) => size,
      () => 0,
    )
    if (sizeBytes > 0 && sizeBytes + Buffer.byteLength(text) > options.maxFileMiB * 1024 * 1024) {
      await rotate(file, options.keepFiles)
    }
    // Who has changed what is nobody's business but the operator's.
    await appendFile(file, text, { mode: 0o600 })
  }

  async function writeAll(file: string): Promise<void> {
    while (waiting.length > 0) {
      const lines = waiting
      waiting = []
      await append(file, lines.join('')).catch((err: unknown) => {
        log.error({ err, lost: lines.length }, 'the audit log could not be written')
      })
    }
    writing = undefined
  }

  if (path !== undefined) {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      .then(() => append(path, ''))
      .catch((cause: unknown) => {
        throw new TintypeError('unavailable', `The audit log ${path} cannot be written (audit.path).`, {
          cause,
        })
      })
  }
  return {
    write(entry) {
      channel.info(entry, 'audit')
      if (path === undefined) return
      if (waiting.length >= MAX_WAITING) {
        log.error({ audit: entry }, 'the audit log takes too long to write; this entry is not in the file')
        return
      }
      waiting.push(
        `${JSON.stringify({ audit: true, time: new Date(clock.now()).toISOString(), ...entry })}\n`,
      )
      writing ??= writeAll(path)
    },
    async close() {
      await writing
    },
  }
}

/** Sets a file aside, and those that were set aside before one place further. */
async function rotate(file: string, keepFiles: number): Promise<void> {
  const move = (from: string, to: string) =>
    rename(from, to).catch((error: NodeJS.ErrnoException) => {
      // Another process that shares the file was first.
      if (error.code !== 'ENOENT') throw error
    })
  await rm(`${file}.${keepFiles}`, { force: true })
  for (let place = keepFiles - 1; place > 0; place -= 1)
    await move(`${file}.${place}`, `${file}.${place + 1}`)
  await move(file, `${file}.1`)
}
