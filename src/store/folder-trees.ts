import { type RawBuilder, sql } from 'kysely'
import { compile, type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import { type FileVersion, type Folder, fileVersionOf, folderOf } from './records.ts'
import { prepareSearchRows } from './search-rows.ts'
import { prepareTreeFiles, type TreeFiles } from './tree-files.ts'
import { versionSelection } from './version-columns.ts'

/**
 * Whole trees of folders: what bulk jobs work on. Paths are normal and none is the root. `target` stands for the path
 * that `source` itself gets; neither lies within the other.
 */
export type FolderTrees = {
  /**
   * Waits for all who have entered folders, and keeps others out of all of them until the transaction ends. Call it
   * first in the transaction.
   */
  freeze(): Promise<void>
  /** The first of these paths that a bulk job holds, or above or below which it holds a folder. */
  heldNear(paths: string[]): Promise<string | undefined>
  /** Holds folders, whether they are there or not, with all below them, until the job is finished. */
  hold(jobId: string, paths: string[]): Promise<void>
  /** Whether a job holds any folders; one that was dead and is tried again does not. */
  isHolding(jobId: string): Promise<boolean>
  /** What is in a tree, with the folder itself; counting ends somewhat above `atMost` objects. */
  count(path: string, atMost: number): Promise<{ folders: number; files: number; versions: number }>
  /** Levels of the deepest folder of a tree: 1 for `/a`. */
  depth(path: string): Promise<number>
  /**
   * Path of a file in `target` that would have more than `maxVersions` versions when a tree is merged into it.
   * @param all whether all versions of the source's files count, or only the current ones.
   */
  overflowing(merge: {
    source: string
    target: string
    maxVersions: number
    all: boolean
  }): Promise<string | undefined>
  /** Up to `limit` folders of a tree, the folder itself too, by path, those behind `after`. */
  folders(path: string, after: string, limit: number): Promise<Folder[]>
  /** Up to `limit` files in a tree, by path of the folder and name, those behind `after`. */
  files(
    path: string,
    after: { folderPath: string; name: string } | undefined,
    limit: number,
  ): Promise<FileVersion[]>
  /** The same with where each of them goes when `source` becomes `target`; its folders are there. */
  transfers(
    source: string,
    target: string,
    after: { folderPath: string; name: string } | undefined,
    limit: number,
  ): Promise<Transfer[]>
  /** Makes `source` the folder at `target`, which is not there while its parent is. Files need no change. */
  reparent(source: string, target: string, nowMs: number): Promise<void>
  /** The topmost subfolders of `source` that `target` has no counterpart of: those that `adopt` moves. */
  unmatched(source: string, target: string): Promise<string[]>
  /** Makes the subfolders of `source` that `target` has no counterpart of its subfolders. */
  adopt(source: string, target: string, nowMs: number): Promise<void>
  /** Deletes the folders of a tree; they hold no files any more. */
  remove(path: string): Promise<void>
  setCustomMetadata(path: string, customMetadata: Folder['customMetadata']): Promise<void>
} & TreeFiles

/** A file of a tree, and where it goes. */
export type Transfer = {
  fileId: string
  /** The number of its current version. */
  number: number
  folderPath: string
  name: string
  /** Id of the folder that it goes into. */
  folderId: string
  /** The file that has its name there already. */
  target: { fileId: string; highest: number } | undefined
}

/** All who put something into folders share this lock; whoever begins a bulk job has it alone. */
export const TREE_LOCK = 'folder tree'

/** The path that a folder at or below `source` gets when `source` becomes `target`. */
export function movedPath(path: string, source: string, target: string): string {
  return target + path.slice(source.length)
}

/** Prepares the statements about trees of folders; the result binds them to a session. */
export function prepareFolderTrees(dialect: Dialect): (session: Session) => FolderTrees {
  const { db } = dialect
  const searchRows = prepareSearchRows(dialect)
  const treeFiles = prepareTreeFiles(dialect)

  const freeLock = prepare<{ above: unknown; low: string; high: string }>()((value) =>
    db
      .selectFrom('folder_locks as l')
      .innerJoin('jobs as j', 'j.id', 'l.job_id')
      .select('l.path')
      .where('j.finished_at', 'is', null)
      .where((eb) =>
        eb.or([
          dialect.isAnyOf(sql.ref('l.path'), new Placeholder('above')),
          eb('l.path', '>=', value('low')).and('l.path', '<', value('high')),
        ]),
      )
      .limit(1),
  )

  return (session) => {
    const rename = async (source: string, target: string, nowMs: number) => {
      const parent = parentOf(target)
      const name = target.slice(target.lastIndexOf('/') + 1)
      await session.atomic(async (tx) => {
        await Promise.all([
          tx.write(
            compile(
              db
                .updateTable('folders')
                .set((eb) => ({
                  parent_seq: eb.selectFrom('folders').select('seq').where('path', '=', parent),
                  path: target,
                  name,
                  updated_at: nowMs,
                }))
                .where('path', '=', source),
            ),
          ),
          tx.write(
            compile(
              db
                .updateTable('folders')
                .set({ path: pathIn(target, source, sql.ref('path')) })
                .where(isBelow(sql.ref('path'), source)),
            ),
          ),
        ])
        if (source.endsWith(`/${name}`)) return
        // What the folder is found by by its name.
        const [row] = await tx.read(compile(selectFolders(db).where('f.path', '=', target)))
        if (row) await Promise.all(searchRows.replaceFolder(tx, folderOf(row)))
      })
    }
    return {
      freeze: () => session.lock(TREE_LOCK),
      async heldNear(paths) {
        for (const path of paths) {
          const [low, high] = rangeBelow(path)
          const above = dialect.bindList(pathsAbove(path))
          if ((await session.read(freeLock({ above, low, high }))).length > 0) return path
        }
        return undefined
      },
      async hold(jobId, paths) {
        const rows = [...new Set(paths)].map((path) => ({ path, job_id: jobId }))
        await session.write(compile(db.insertInto('folder_locks').values(rows)))
      },
      async isHolding(jobId) {
        const query = db.selectFrom('folder_locks').select('path').where('job_id', '=', jobId).limit(1)
        return (await session.read(compile(query))).length > 0
      },
      async count(path, atMost) {
        const folders = db
          .selectFrom('folders')
          .select('seq')
          .where(isWithin(sql.ref('path'), path))
        const [[found], [content]] = await Promise.all([
          session.read(
            compile(
              db
                .selectFrom(folders.limit(atMost + 1).as('f'))
                .select((eb) => eb.fn.countAll<number>().as('count')),
            ),
            'heavy',
          ),
          session.read(
            compile(
              db
                .selectFrom(
                  db
                    .selectFrom('versions')
                    .select('is_current')
                    .where('folder_seq', 'in', folders)
                    .limit(atMost + 1)
                    .as('v'),
                )
                .select((eb) => [
                  eb.fn.countAll<number>().as('count'),
                  sql<number>`coalesce(sum(is_current), 0)`.as('current'),
                ]),
            ),
            'heavy',
          ),
        ])
        return { folders: found!.count, files: content!.current, versions: content!.count }
      },
      async depth(path) {
        const [row] = await session.read(
          compile(
            db
              .selectFrom('folders')
              .select(sql<number>`max(length(path) - length(replace(path, '/', '')))`.as('depth'))
              .where(isWithin(sql.ref('path'), path)),
          ),
          'heavy',
        )
        return row?.depth ?? 0
      },
      async overflowing({ source, target, maxVersions, all }) {
        const history = (fileId: string) =>
          sql`(SELECT count(*) FROM versions WHERE file_id = ${sql.ref(fileId)})`
        const query = sql<{ path: string; name: string }>`
          SELECT ft.path, vt.name FROM folders AS fs
          JOIN folders AS ft ON ft.path = ${pathIn(target, source, sql.ref('fs.path'))}
          JOIN versions AS vs ON vs.folder_seq = fs.seq AND vs.is_current = 1
          JOIN versions AS vt ON vt.folder_seq = ft.seq AND vt.name = vs.name AND vt.is_current = 1
          WHERE ${isWithin(sql.ref('fs.path'), source)}
            AND ${history('vt.file_id')} + ${all ? history('vs.file_id') : sql`1`} > ${maxVersions}
          LIMIT 1`
        const [row] = await session.read(compile({ compile: () => query.compile(db) }), 'heavy')
        return row && `${row.path}/${row.name}`
      },
      async folders(path, after, limit) {
        const query = selectFolders(db)
          .where(isWithin(sql.ref('f.path'), path))
          .where('f.path', '>', after)
          .orderBy('f.path')
          .limit(limit)
        return (await session.read(compile(query))).map(folderOf)
      },
      async files(path, after, limit) {
        const query = filesBehind(path, after).select(versionSelection).limit(limit)
        return (await session.read(compile(query))).map(fileVersionOf)
      },
      async transfers(source, target, after, limit) {
        const query = filesBehind(source, after)
          .innerJoin('folders as tf', (join) =>
            join.on('tf.path', '=', pathIn(target, source, sql.ref('f.path'))),
          )
          .leftJoin('versions as tv', (join) =>
            join
              .onRef('tv.folder_seq', '=', 'tf.seq')
              .onRef('tv.name', '=', 'v.name')
              .on('tv.is_current', '=', sql.lit(1)),
          )
          .leftJoin('files as t', 't.file_id', 'tv.file_id')
          .select([
            'v.file_id',
            'v.number',
            'f.path',
            'v.name',
            'tf.folder_id',
            't.file_id as target_file',
            't.highest_number',
          ])
          .limit(limit)
        return (await session.read(compile(query))).map((row) => ({
          fileId: row.file_id,
          number: row.number,
          folderPath: row.path,
          name: row.name,
          folderId: row.folder_id,
          target:
            row.target_file === null
              ? undefined
              : { fileId: row.target_file, highest: row.highest_number ?? 0 },
        }))
      },
      ...treeFiles(session),
      reparent: rename,
      async unmatched(source, target) {
        const counterpart = pathIn(target, source, sql.ref('f.path'))
        const parentCounterpart = pathIn(target, source, sql.ref('p.path'))
        const query = sql<{ path: string }>`
          SELECT f.path FROM folders AS f JOIN folders AS p ON p.seq = f.parent_seq
          WHERE ${isBelow(sql.ref('f.path'), source)}
            AND NOT EXISTS (SELECT 1 FROM folders AS t WHERE t.path = ${counterpart})
            AND EXISTS (SELECT 1 FROM folders AS t WHERE t.path = ${parentCounterpart})
          ORDER BY f.path`
        return (await session.read(compile({ compile: () => query.compile(db) }))).map((row) => row.path)
      },
      async adopt(source, target, nowMs) {
        const counterpart = pathIn(target, source, sql.ref('folders.path'))
        const parentCounterpart = sql`substr(${counterpart}, 1,
          length(${counterpart}) - length(folders.name) - 1)`
        const isMissing = sql<boolean>`NOT EXISTS (SELECT 1 FROM folders AS t WHERE t.path = ${counterpart})`
        await session.atomic(async (tx) => {
          await Promise.all([
            // The topmost ones get a new parent: their own has a counterpart, and they have none.
            tx.write(
              compile(
                db
                  .updateTable('folders')
                  .set({
                    parent_seq: sql<number>`(SELECT t.seq FROM folders AS t WHERE t.path = ${parentCounterpart})`,
                    updated_at: nowMs,
                  })
                  .where(isBelow(sql.ref('folders.path'), source))
                  .where(isMissing)
                  .where(
                    sql<boolean>`EXISTS (SELECT 1 FROM folders AS t WHERE t.path = ${parentCounterpart})`,
                  ),
              ),
            ),
            tx.write(
              compile(
                db
                  .updateTable('folders')
                  .set({ path: counterpart })
                  .where(isBelow(sql.ref('folders.path'), source))
                  .where(isMissing),
              ),
            ),
          ])
        })
      },
      async remove(path) {
        await session.write(compile(db.deleteFrom('folders').where(isWithin(sql.ref('path'), path))))
      },
      async setCustomMetadata(path, customMetadata) {
        await session.atomic(async (tx) => {
          const custom_metadata = JSON.stringify(customMetadata)
          await tx.write(compile(db.updateTable('folders').set({ custom_metadata }).where('path', '=', path)))
          const [row] = await tx.read(compile(selectFolders(db).where('f.path', '=', path)))
          if (row) await Promise.all(searchRows.replaceFolder(tx, folderOf(row)))
        })
      },
    }
  }

  /** The current versions in a tree, in order. */
  function filesBehind(path: string, after: { folderPath: string; name: string } | undefined) {
    return (
      db
        .selectFrom('folders as f')
        .innerJoin('versions as v', 'v.folder_seq', 'f.seq')
        .where(isWithin(sql.ref('f.path'), path))
        .where('v.is_current', '=', sql.lit(1))
        // The first condition leads into the index, the second is exact.
        .$if(after !== undefined, (q) =>
          q
            .where('f.path', '>=', after!.folderPath)
            .where(sql<boolean>`(f.path, v.name) > (${after!.folderPath}, ${after!.name})`),
        )
        .orderBy('f.path')
        .orderBy('v.name')
    )
  }
}

/** Folders as `folderOf` takes them. */
export function selectFolders(db: Dialect['db']) {
  return db
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
}

/** `/` and `0` follow each other in the order of bytes: between them lie all paths below. */
function rangeBelow(path: string): [low: string, high: string] {
  return [`${path}/`, `${path}0`]
}

function isBelow(column: RawBuilder<unknown>, path: string): RawBuilder<boolean> {
  const [low, high] = rangeBelow(path)
  return sql`(${column} >= ${low} AND ${column} < ${high})`
}

function isWithin(column: RawBuilder<unknown>, path: string): RawBuilder<boolean> {
  return sql`(${column} = ${path} OR ${isBelow(column, path)})`
}

/** SQL of `movedPath`; lengths are counted by the engine, in characters, not in UTF-16 units. */
function pathIn(target: string, source: string, path: RawBuilder<unknown>): RawBuilder<string> {
  return sql`(CAST(${target} AS text) || substr(${path}, length(CAST(${source} AS text)) + 1))`
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

/** A path and all above it, without the root. */
export function pathsAbove(path: string): string[] {
  const paths: string[] = []
  for (let at = path; at !== '' && at !== '/'; at = at.slice(0, at.lastIndexOf('/'))) paths.push(at)
  return paths
}
