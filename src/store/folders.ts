import { sql } from 'kysely'
import { TintypeError } from '../kernel/errors.ts'
import { type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import { pathsAbove, selectFolders, TREE_LOCK } from './folder-trees.ts'
import { folderOf } from './records.ts'
import { prepareSearchRows } from './search-rows.ts'
import type { Folder, Folders } from './store.ts'

/** Prepares the statements about folders once; the result binds them to a session. */
export function prepareFolders(dialect: Dialect): (session: Session) => Folders {
  const { db } = dialect
  const byPath = prepare<{ path: string }>()((value) => selectFolders(db).where('f.path', '=', value('path')))
  const present = prepare<{ paths: unknown }>()(() =>
    db
      .selectFrom('folders')
      .select('path')
      .where(dialect.isAnyOf(sql.ref('path'), new Placeholder('paths'))),
  )
  type NewFolder = { folderId: string; parentPath: string; path: string; name: string; nowMs: number }
  const add = prepare<NewFolder>()((value) =>
    db
      .insertInto('folders')
      .values((eb) => ({
        folder_id: value('folderId'),
        parent_seq: eb.selectFrom('folders').select('seq').where('path', '=', value('parentPath')),
        path: value('path'),
        name: value('name'),
        created_at: value('nowMs'),
        updated_at: value('nowMs'),
        custom_metadata: '{}',
      }))
      .onConflict((oc) => oc.column('path').doNothing()),
  )

  const searchRows = prepareSearchRows(dialect)
  const held = prepare<{ paths: unknown }>()(() =>
    db
      .selectFrom('folder_locks as l')
      .innerJoin('jobs as j', 'j.id', 'l.job_id')
      .select('l.path')
      .where(dialect.isAnyOf(sql.ref('l.path'), new Placeholder('paths')))
      .where('j.finished_at', 'is', null)
      .limit(1),
  )

  return (session) => {
    const find = async (on: Session, path: string): Promise<Folder | undefined> => {
      const [row] = await on.read(byPath({ path }))
      return row && folderOf(row)
    }
    return {
      byPath: (path) => find(session, path),
      async ensure(path, nowMs, newId) {
        const found = await find(session, path)
        if (found) return found
        return session.atomic(async (tx) => {
          const chain = chainOf(path)
          const rows = await tx.read(present({ paths: dialect.bindList(chain.map((each) => each.path)) }))
          const there = new Set(rows.map((row) => row.path))
          // From the top down, always: two transactions that make crossing paths cannot deadlock.
          const adds = chain
            .filter((each) => !there.has(each.path))
            .flatMap((each) => [
              tx.write(add({ ...each, folderId: newId(), nowMs })),
              ...searchRows.addFolder(tx, { ...each, customMetadata: {}, createdAtMs: nowMs }),
            ])
          await Promise.all(adds)
          return (await find(tx, path))!
        })
      },
      async enter(...paths) {
        const above = new Set(paths.flatMap(pathsAbove))
        // In this order: whoever gets the lock after a bulk job has begun must see that it holds folders.
        const [, rows] = await Promise.all([
          session.lock(TREE_LOCK, 'shared'),
          session.read(held({ paths: dialect.bindList([...above]) })),
        ])
        if (rows.length > 0) throw new TintypeError('locked', FOLDER_IS_LOCKED)
      },
    }
  }
}

export const FOLDER_IS_LOCKED = 'A bulk job is running on given folder path, please try after sometime.'

/** A path's folders from the top down, without the root. */
function chainOf(path: string): { path: string; parentPath: string; name: string }[] {
  const chain = []
  let parentPath = '/'
  for (const name of path.split('/').filter(Boolean)) {
    const own = parentPath === '/' ? `/${name}` : `${parentPath}/${name}`
    chain.push({ path: own, parentPath, name })
    parentPath = own
  }
  return chain
}
