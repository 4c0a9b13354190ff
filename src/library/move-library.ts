import { createHash } from 'node:crypto'
import type { Blobs } from '../blobs/blobs.ts'
import { badRequest } from '../kernel/errors.ts'
import type { RowKey, Store } from '../store/store.ts'
import { areOfOneLibrary, checkStorage } from './account.ts'
import { blobsInUse, type CopyReport, copyBlobs, countBlobs, type Progress } from './copy-blobs.ts'

/** Rows that one transaction of the target takes. */
const PAGE = 1000
/** The setting of the target that says how far the move is; it is gone when the move is done. */
const PROGRESS = 'migration.progress'

type MoveProgress = { account: string; table: string; after: RowKey | null }

export type MoveReport = {
  blobs: CopyReport
  rows: Record<string, number>
}

/** Whether a library is being moved into this store and the move has not come to its end. */
export async function isHalfMoved(store: Pick<Store, 'settings'>): Promise<boolean> {
  return (await store.settings.get(PROGRESS)) !== undefined
}

/**
 * Carries a library from one installation to another: the blobs first, then the rows, table by table. It may be
 * interrupted at any time and goes on where it stopped. At the end every table is compared, row by row. No server may
 * run on either side.
 * @throws TintypeError bad-request, when there is another library in the target, or one of both was changed meanwhile.
 */
export async function moveLibrary(deps: {
  from: { store: Store; blobs: Pick<Blobs, 'read'> }
  to: { store: Store; blobs: Blobs }
  onProgress?: (progress: Progress) => void
}): Promise<MoveReport> {
  const { from, to, onProgress } = deps
  const account = String((await from.store.settings.get('account.id')) ?? '')
  if (account === '') throw badRequest('There is no library to move: no server has ever been started on it.')
  // What is there of another library would be garbage to this one.
  await checkStorage({ store: from.store, blobs: to.blobs })
  let progress = (await to.store.settings.get(PROGRESS)) as MoveProgress | undefined
  if (!progress) {
    if (!(await isEmpty(to.store))) {
      // Who cannot tell how far a command came before it was killed wants to know.
      const which = (await areOfOneLibrary(from.store, to.store)) ? ' It is this one, as a whole.' : ''
      throw badRequest(`There is a library in the target already.${which}`)
    }
    await to.store.rows.clearRoot()
    progress = { account, table: to.store.rows.tables[0]!, after: null }
    await to.store.settings.set(PROGRESS, progress)
  } else if (progress.account !== account) {
    throw badRequest('Another library is being moved into the target, and the move has not come to its end.')
  }

  const total = await countBlobs(from.store)
  const blobs = await copyBlobs(blobsInUse(from.store), {
    from: from.blobs,
    to: to.blobs,
    onProgress: (done, bytes) => onProgress?.({ what: 'blobs', done, total, bytes }),
  })
  await copyRows(progress)
  const rows = await compareRows()
  await to.store.rows.finish()
  await to.store.settings.set(PROGRESS, undefined)
  return { blobs, rows }

  async function copyRows({ table: first, after: last }: MoveProgress): Promise<void> {
    const { tables } = from.store.rows
    for (const table of tables.slice(tables.indexOf(first))) {
      const count = await from.store.rows.count(table)
      let after = table === first && last !== null ? last : undefined
      let done = 0
      for (;;) {
        const page = await from.store.rows.page(table, after, PAGE)
        if (page.last === undefined) break
        await to.store.rows.insert(table, page.rows, {
          key: PROGRESS,
          value: { account, table, after: page.last } satisfies MoveProgress,
        })
        after = page.last
        done += page.rows.length
        onProgress?.({ what: table, done, total: count, bytes: 0 })
      }
    }
  }

  /** @returns how many rows each table has, which are the same on both sides. */
  async function compareRows(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {}
    for (const table of from.store.rows.tables) {
      const [source, target] = [await digestOf(from.store, table), await digestOf(to.store, table)]
      if (source.digest !== target.digest) {
        throw badRequest(
          `The table ${table} differs: ${source.count} rows in the source and ${target.count} in the target. Was one of them changed meanwhile? Stop all servers, empty the target and begin again.`,
        )
      }
      counts[table] = source.count
    }
    return counts
  }

  async function digestOf(store: Store, table: string): Promise<{ count: number; digest: string }> {
    const hash = createHash('sha256')
    let count = 0
    let after: RowKey | undefined
    for (;;) {
      const { rows, last } = await store.rows.page(table, after, PAGE)
      if (last === undefined) return { count, digest: hash.digest('hex') }
      for (const row of rows) {
        // The one row that belongs to the move.
        if (table === 'settings' && row.key === PROGRESS) continue
        hash.update(JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))))
        count += 1
      }
      after = last
    }
  }
}

/** A library that a program has only just made, at most. */
async function isEmpty(store: Store): Promise<boolean> {
  const counts = await Promise.all(
    ['files', 'versions', 'documents', 'fields', 'api_keys', 'jobs'].map((table) => store.rows.count(table)),
  )
  return counts.every((count) => count === 0) && (await store.rows.count('folders')) <= 1
}
