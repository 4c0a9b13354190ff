import { sql } from 'kysely'
import { TintypeError } from '../kernel/errors.ts'
import { compile, type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import { type FileVersion, fileVersionOf, versionColumnsOf } from './records.ts'
import type { SearchRows } from './search-rows.ts'
import { versionSelection } from './version-columns.ts'

/** What may change of a version after it was made. */
export type VersionChanges = Partial<
  Pick<
    FileVersion,
    | 'tags'
    | 'aiTags'
    | 'customCoordinates'
    | 'customMetadata'
    | 'description'
    | 'isPrivate'
    | 'isPublished'
    | 'accessKey'
  >
> & { updatedAtMs: number }

/**
 * Changes to files that are there. Nothing here decides: what belongs together is one transaction of the caller,
 * which holds the files' paths (`lockPath`) from before it looked at them.
 */
export type FileChanges = {
  /** The current versions of files, in no order, without those that are not there. */
  byIds(fileIds: string[]): Promise<FileVersion[]>
  /** The distinct blobs of all versions of files. */
  blobsOf(fileIds: string[]): Promise<string[]>
  /** Those of the blobs that belong to a version whose path begins with this one: `/a/b` begins `/a/b.jpg`. */
  blobsUnder(pathPrefix: string, blobs: string[]): Promise<string[]>
  /** Changes a version; gives it as it is then. @throws TintypeError conflict, when it is not there any more. */
  updateVersion(version: FileVersion, changes: VersionChanges): Promise<FileVersion>
  /** Makes a version the current one of its file, in place of the one that is. */
  makeCurrent(version: FileVersion, nowMs: number): Promise<FileVersion>
  /** Forgets one version. */
  removeVersion(version: FileVersion): Promise<void>
  /** Forgets files with all their versions. Their bytes are left to `gc`. */
  remove(fileIds: string[]): Promise<void>
  /**
   * Puts a file with all its versions at another path.
   * @throws TintypeError conflict, when another file holds it.
   */
  relocate(file: FileVersion, place: { folderId: string; name: string; nowMs: number }): Promise<void>
  /**
   * Appends all versions of `source` to the history of `target`, in their order; the current one of `source` becomes
   * the current one of `target`. `source` is no more then.
   */
  merge(source: FileVersion, target: FileVersion, nowMs: number): Promise<void>
}

/** Nothing that begins with a text comes after the text with this behind it. */
const HIGHEST = '\u{10ffff}'

/** Prepares the statements that change files once; the result binds them to a session. */
export function prepareFileChanges(
  dialect: Dialect,
  searchRows: SearchRows,
): (session: Session) => FileChanges {
  const { db, isAnyOf } = dialect
  const current = sql.lit(1)

  const byIds = prepare<{ fileIds: unknown }>()(() =>
    db
      .selectFrom('versions as v')
      .innerJoin('folders as f', 'f.seq', 'v.folder_seq')
      .select(versionSelection)
      .where('v.is_current', '=', current)
      .where(isAnyOf(sql.ref('v.file_id'), new Placeholder('fileIds'))),
  )
  const blobsOf = prepare<{ fileIds: unknown }>()(() =>
    db
      .selectFrom('versions')
      .select('blob')
      .distinct()
      .where(isAnyOf(sql.ref('file_id'), new Placeholder('fileIds'))),
  )
  type Prefix = {
    blobs: unknown
    path: string
    pathEnd: string
    folderPath: string
    name: string
    nameEnd: string
  }
  const blobsUnder = prepare<Prefix>()((value) =>
    db
      .selectFrom('versions as v')
      .innerJoin('folders as f', 'f.seq', 'v.folder_seq')
      .select('v.blob')
      .distinct()
      .where(isAnyOf(sql.ref('v.blob'), new Placeholder('blobs')))
      .where((eb) =>
        eb.or([
          eb.and([eb('f.path', '>=', value('path')), eb('f.path', '<', value('pathEnd'))]),
          eb.and([
            eb('f.path', '=', value('folderPath')),
            eb('v.name', '>=', value('name')),
            eb('v.name', '<', value('nameEnd')),
          ]),
        ]),
      ),
  )
  const allOf = prepare<{ fileId: string }>()((value) =>
    db
      .selectFrom('versions as v')
      .innerJoin('folders as f', 'f.seq', 'v.folder_seq')
      .select(versionSelection)
      .where('v.file_id', '=', value('fileId')),
  )
  const retireCurrent = prepare<{ fileId: string }>()((value) =>
    db
      .updateTable('versions')
      .set({ is_current: 0 })
      .where('file_id', '=', value('fileId'))
      .where('is_current', '=', current),
  )
  const promote = prepare<{ fileId: string; number: number; nowMs: number }>()((value) =>
    db
      .updateTable('versions')
      .set({ is_current: 1, updated_at: value('nowMs') })
      .where('file_id', '=', value('fileId'))
      .where('number', '=', value('number')),
  )
  const removeVersion = prepare<{ fileId: string; number: number }>()((value) =>
    db.deleteFrom('versions').where('file_id', '=', value('fileId')).where('number', '=', value('number')),
  )
  const removeVersions = prepare<{ fileIds: unknown }>()(() =>
    db.deleteFrom('versions').where(isAnyOf(sql.ref('file_id'), new Placeholder('fileIds'))),
  )
  const removeFiles = prepare<{ fileIds: unknown }>()(() =>
    db.deleteFrom('files').where(isAnyOf(sql.ref('file_id'), new Placeholder('fileIds'))),
  )
  const numbersOf = prepare<{ fileId: string }>()((value) =>
    db
      .selectFrom('versions')
      .select(['number', 'is_current'])
      .where('file_id', '=', value('fileId'))
      .orderBy('number'),
  )
  const highestOf = prepare<{ fileId: string }>()((value) =>
    db.selectFrom('files').select('highest_number').where('file_id', '=', value('fileId')),
  )
  const raiseHighest = prepare<{ fileId: string; number: number }>()((value) =>
    db
      .updateTable('files')
      .set({ highest_number: value('number') })
      .where('file_id', '=', value('fileId')),
  )
  const place = prepare<{ fileId: string; folderId: string; name: string; nowMs: number }>()((value) =>
    db
      .updateTable('versions')
      .set((eb) => ({
        folder_seq: eb.selectFrom('folders').select('seq').where('folder_id', '=', value('folderId')),
        name: value('name'),
        updated_at: value('nowMs'),
      }))
      .where('file_id', '=', value('fileId')),
  )
  type Adoption = {
    fileId: string
    number: number
    intoFileId: string
    newNumber: number
    folderId: string
    isCurrent: number
    nowMs: number
  }
  const adopt = prepare<Adoption>()((value) =>
    db
      .updateTable('versions')
      .set((eb) => ({
        file_id: value('intoFileId'),
        number: value('newNumber'),
        folder_seq: eb.selectFrom('folders').select('seq').where('folder_id', '=', value('folderId')),
        is_current: value('isCurrent'),
        updated_at: value('nowMs'),
      }))
      .where('file_id', '=', value('fileId'))
      .where('number', '=', value('number')),
  )

  return (session) => ({
    async byIds(fileIds) {
      return (await session.read(byIds({ fileIds: dialect.bindList(fileIds) }))).map(fileVersionOf)
    },
    async blobsOf(fileIds) {
      const rows = await session.read(blobsOf({ fileIds: dialect.bindList(fileIds) }))
      return rows.map((row) => row.blob)
    },
    async blobsUnder(path, blobs) {
      const nameStart = path.lastIndexOf('/') + 1
      const name = path.slice(nameStart)
      const rows = await session.read(
        blobsUnder({
          blobs: dialect.bindList(blobs),
          path,
          pathEnd: path + HIGHEST,
          folderPath: path.slice(0, nameStart - 1) || '/',
          name,
          nameEnd: name + HIGHEST,
        }),
        'heavy',
      )
      return rows.map((row) => row.blob)
    },
    async updateVersion(version, changes) {
      const changed: FileVersion = { ...version, ...changes }
      await session.atomic(async (tx) => {
        const written = await tx.write(
          compile(
            db
              .updateTable('versions')
              .set(changedColumns(changed, changes))
              .where('file_id', '=', version.fileId)
              .where('number', '=', version.number),
          ),
        )
        if (written.changes === 0) {
          throw new TintypeError('conflict', 'The file has changed meanwhile, please try again.')
        }
        if (changes.tags !== undefined || changes.aiTags !== undefined || changes.customMetadata) {
          await Promise.all(searchRows.replaceVersion(tx, changed))
        }
      })
      return changed
    },
    async makeCurrent(version, nowMs) {
      const { fileId, number } = version
      await session.atomic(async (tx) => {
        await Promise.all([tx.write(retireCurrent({ fileId })), tx.write(promote({ fileId, number, nowMs }))])
      })
      return { ...version, isCurrent: true, updatedAtMs: nowMs }
    },
    async removeVersion({ fileId, number }) {
      await session.write(removeVersion({ fileId, number }))
    },
    async remove(fileIds) {
      const bound = { fileIds: dialect.bindList(fileIds) }
      await session.atomic(async (tx) => {
        await Promise.all([tx.write(removeVersions(bound)), tx.write(removeFiles(bound))])
      })
    },
    async relocate({ fileId, name: oldName }, { folderId, name, nowMs }) {
      await session.atomic(async (tx) => {
        await tx.write(place({ fileId, folderId, name, nowMs }))
        if (name === oldName) return
        const versions = (await tx.read(allOf({ fileId }))).map(fileVersionOf)
        await Promise.all(versions.flatMap((version) => searchRows.replaceVersion(tx, version)))
      })
    },
    async merge(source, target, nowMs) {
      await session.atomic(async (tx) => {
        const [numbers, [file]] = await Promise.all([
          tx.read(numbersOf({ fileId: source.fileId })),
          tx.read(highestOf({ fileId: target.fileId })),
        ])
        const highest = file!.highest_number
        // Neither a file nor a path may have two current versions at any moment.
        const retired = tx.write(retireCurrent({ fileId: target.fileId }))
        const adoptions = numbers.map(({ number, is_current }, index) =>
          tx.write(
            adopt({
              fileId: source.fileId,
              number,
              intoFileId: target.fileId,
              newNumber: highest + 1 + index,
              folderId: target.folderId,
              isCurrent: is_current,
              nowMs,
            }),
          ),
        )
        await Promise.all([
          retired,
          ...adoptions,
          tx.write(raiseHighest({ fileId: target.fileId, number: highest + numbers.length })),
          tx.write(removeFiles({ fileIds: dialect.bindList([source.fileId]) })),
        ])
      })
    },
  })
}

const COLUMNS = {
  tags: 'tags',
  aiTags: 'ai_tags',
  customCoordinates: 'custom_coordinates',
  customMetadata: 'custom_metadata',
  description: 'description',
  isPrivate: 'is_private',
  isPublished: 'is_published',
  accessKey: 'access_key',
  updatedAtMs: 'updated_at',
} as const satisfies Record<keyof VersionChanges, string>

/** The columns that the changes touch, with their values after them. */
function changedColumns(version: FileVersion, changes: VersionChanges) {
  const columns = versionColumnsOf(version)
  const names = (Object.keys(changes) as (keyof VersionChanges)[]).map((key) => COLUMNS[key])
  return Object.fromEntries(names.map((name) => [name, columns[name]]))
}
