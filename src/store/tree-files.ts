import { sql } from 'kysely'
import { type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import { VERSION_TABLES } from './search-rows.ts'
import { versionColumnNames } from './version-columns.ts'

/** A version that gets the content and the properties of another. */
export type VersionCopy = {
  from: { fileId: string; number: number }
  fileId: string
  versionId: string
  number: number
  isCurrent: boolean
  folderId: string
  accessKey: string
}

/** Many files at once, as bulk jobs move and copy them: a few statements, however many there are. */
export type TreeFiles = {
  /** The numbers of all versions of files, in order, and which one is current. */
  histories(fileIds: string[]): Promise<Map<string, { number: number; isCurrent: boolean }[]>>
  /**
   * Adds copies of versions; where a file has a current version already, one of its copies has to take its place.
   * Nothing of the content passes through this process.
   */
  copyVersions(copies: VersionCopy[], nowMs: number): Promise<void>
  /**
   * Makes versions the next ones of other files, in whose folders they then are; the files that they come from are no
   * more. All versions of a file have to be among them, and one of them becomes the current one.
   */
  adoptVersions(adoptions: Omit<VersionCopy, 'versionId' | 'accessKey'>[], nowMs: number): Promise<void>
  /** Puts files with all their versions into other folders, which hold no files of their names. */
  relocateAll(files: { fileId: string; folderId: string }[], nowMs: number): Promise<void>
}

const COPY_COLUMNS = {
  position: 'int',
  from_file: 'text',
  from_number: 'int',
  file_id: 'text',
  version_id: 'text',
  number: 'int',
  is_current: 'int',
  folder_id: 'text',
  access_key: 'text',
} as const

/** Prepares the statements once; the result binds them to a session. */
export function prepareTreeFiles(dialect: Dialect): (session: Session) => TreeFiles {
  const { db } = dialect
  type Rows = { rows: string; nowMs: number }
  const prepared = (build: (nowMs: Placeholder) => ReturnType<typeof sql>) =>
    prepare<Rows>()(() => ({ compile: () => build(new Placeholder('nowMs')).compile(db) }))
  const copies = dialect.jsonTable(new Placeholder('rows'), COPY_COLUMNS)

  const histories = prepare<{ fileIds: unknown }>()(() =>
    db
      .selectFrom('versions')
      .select(['file_id', 'number', 'is_current'])
      .where(dialect.isAnyOf(sql.ref('file_id'), new Placeholder('fileIds')))
      .orderBy('file_id')
      .orderBy('number'),
  )
  const addFiles = prepared(
    () => sql`
      INSERT INTO files (file_id, highest_number)
      SELECT file_id, max(number) FROM ${copies} AS c WHERE true GROUP BY file_id ORDER BY min(position)
      ON CONFLICT (file_id) DO UPDATE SET highest_number = excluded.highest_number`,
  )
  const retireCurrent = prepared(
    () => sql`
      UPDATE versions SET is_current = 0
      WHERE is_current = 1 AND file_id IN (SELECT file_id FROM ${copies} AS c)`,
  )
  const own = ['version_id', 'file_id', 'number', 'access_key', 'created_at', 'updated_at'] as const
  const content = versionColumnNames.filter((name) => !(own as readonly string[]).includes(name))
  const addVersions = prepared(
    (nowMs) => sql`
      INSERT INTO versions (${sql.raw([...own, ...content, 'is_current', 'folder_seq'].join(', '))})
      SELECT c.version_id, c.file_id, c.number, c.access_key,
        CAST(${nowMs} AS ${sql.raw(dialect.ddl.int)}), CAST(${nowMs} AS ${sql.raw(dialect.ddl.int)}),
        ${sql.raw(content.map((name) => `v.${name}`).join(', '))}, c.is_current, f.seq
      FROM ${copies} AS c
      JOIN versions AS v ON v.file_id = c.from_file AND v.number = c.from_number
      JOIN folders AS f ON f.folder_id = c.folder_id
      ORDER BY c.position`,
  )
  const addSideRows = Object.entries(VERSION_TABLES).map(([table, { common, repeated }]) => {
    const values = [...common.map((name) => `s.${name}`), ...repeated.map((name) => `n.${name}`)]
    return prepared(
      () => sql`
        INSERT INTO ${sql.raw(table)} (version_seq, ${sql.raw([...common, ...repeated].join(', '))})
        SELECT n.seq, ${sql.raw(values.join(', '))}
        FROM ${copies} AS c
        JOIN versions AS v ON v.file_id = c.from_file AND v.number = c.from_number
        JOIN ${sql.raw(table)} AS s ON s.version_seq = v.seq
        JOIN versions AS n ON n.file_id = c.file_id AND n.number = c.number`,
    )
  })
  const adopt = prepared(
    (nowMs) => sql`
      UPDATE versions SET file_id = c.file_id, number = c.number, is_current = c.is_current,
        folder_seq = f.seq, updated_at = ${nowMs}
      FROM ${copies} AS c JOIN folders AS f ON f.folder_id = c.folder_id
      WHERE versions.file_id = c.from_file AND versions.number = c.from_number`,
  )
  const removeFiles = prepared(
    () => sql`DELETE FROM files WHERE file_id IN (SELECT from_file FROM ${copies} AS c)`,
  )
  const relocateAll = prepared(
    (nowMs) => sql`
      UPDATE versions SET folder_seq = f.seq, updated_at = ${nowMs}
      FROM ${dialect.jsonTable(new Placeholder('rows'), { file_id: 'text', folder_id: 'text' })} AS c
      JOIN folders AS f ON f.folder_id = c.folder_id
      WHERE versions.file_id = c.file_id`,
  )

  return (session) => ({
    async histories(fileIds) {
      const found = new Map<string, { number: number; isCurrent: boolean }[]>()
      for (const row of await session.read(histories({ fileIds: dialect.bindList(fileIds) }))) {
        if (!found.has(row.file_id)) found.set(row.file_id, [])
        found.get(row.file_id)!.push({ number: row.number, isCurrent: row.is_current === 1 })
      }
      return found
    },
    async copyVersions(list, nowMs) {
      if (list.length === 0) return
      const rows = rowsOf(list)
      await session.atomic(async (tx) => {
        const statements = [addFiles, retireCurrent, addVersions, ...addSideRows]
        await Promise.all(statements.map((statement) => tx.write(statement({ rows, nowMs }))))
      })
    },
    async adoptVersions(list, nowMs) {
      if (list.length === 0) return
      const rows = rowsOf(list)
      await session.atomic(async (tx) => {
        const statements = [addFiles, retireCurrent, adopt, removeFiles]
        await Promise.all(statements.map((statement) => tx.write(statement({ rows, nowMs }))))
      })
    },
    async relocateAll(files, nowMs) {
      if (files.length === 0) return
      const rows = JSON.stringify(
        files.map(({ fileId, folderId }) => ({ file_id: fileId, folder_id: folderId })),
      )
      await session.write(relocateAll({ rows, nowMs }))
    },
  })
}

function rowsOf(list: (Omit<VersionCopy, 'versionId' | 'accessKey'> & Partial<VersionCopy>)[]): string {
  return JSON.stringify(
    list.map((copy, position) => ({
      position,
      from_file: copy.from.fileId,
      from_number: copy.from.number,
      file_id: copy.fileId,
      version_id: copy.versionId,
      number: copy.number,
      is_current: copy.isCurrent ? 1 : 0,
      folder_id: copy.folderId,
      access_key: copy.accessKey,
    })),
  )
}
