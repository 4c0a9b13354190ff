import { sql } from 'kysely'
import { type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import { folderOf } from './records.ts'
import { prepareSearchRows } from './search-rows.ts'
import type { Folder, Folders } from './store.ts'

/** Prepares the statements about folders once; the result binds them to a session. */
export function prepareFolders(dialect: Dialect): (session: Session) => Folders {
  const { db } = dialect
  const selected = () =>
    db
      .selectFrom('folders as f')
      .leftJoin('folders as p', 'p.seq', 'f.parent_seq')
      .select([
        'f.folder_id',
        'f.path',
        'f.name',
        'f.created_at',
        'f.updated_at',
        'f.custom_metadata',
        'p.folder_id as parent_id',
      ])
  const byPath = prepare<{ path: string }>()((value) => selected().where('f.path', '=', value('path')))
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
    }
  }
}

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
