import { sql } from 'kysely'
import { type Dialect, prepare, type Session } from './engine.ts'
import { prepareFileChanges } from './file-changes.ts'
import { fileVersionOf, versionColumnsOf } from './records.ts'
import { prepareSearch, type SearchLimits } from './search.ts'
import { prepareSearchRows } from './search-rows.ts'
import type { Files } from './store.ts'
import { versionColumnNames, versionSelection } from './version-columns.ts'

/** Prepares the statements about files once; the result binds them to a session. */
export function prepareFiles(dialect: Dialect, limits: SearchLimits): (session: Session) => Files {
  const { db } = dialect
  const current = sql.lit(1)
  const versions = () =>
    db.selectFrom('versions as v').innerJoin('folders as f', 'f.seq', 'v.folder_seq').select(versionSelection)

  const atPath = prepare<{ path: string; name: string }>()((value) =>
    versions()
      .where('f.path', '=', value('path'))
      .where('v.name', '=', value('name'))
      .where('v.is_current', '=', current),
  )
  const byId = prepare<{ fileId: string }>()((value) =>
    versions().where('v.file_id', '=', value('fileId')).where('v.is_current', '=', current),
  )
  const allOf = prepare<{ fileId: string }>()((value) =>
    versions().where('v.file_id', '=', value('fileId')).orderBy('v.number', 'desc'),
  )
  const oneOf = prepare<{ fileId: string; versionId: string }>()((value) =>
    versions().where('v.file_id', '=', value('fileId')).where('v.version_id', '=', value('versionId')),
  )
  const byAccessKey = prepare<{ fileId: string; accessKey: string }>()((value) =>
    versions().where('v.file_id', '=', value('fileId')).where('v.access_key', '=', value('accessKey')),
  )
  const count = prepare<{ fileId: string }>()((value) =>
    db
      .selectFrom('files')
      .select((eb) => [
        'highest_number',
        eb
          .selectFrom('versions')
          .select((v) => v.fn.countAll<number>().as('count'))
          .whereRef('versions.file_id', '=', 'files.file_id')
          .as('count'),
      ])
      .where('file_id', '=', value('fileId')),
  )
  const raiseHighest = prepare<{ fileId: string; number: number }>()((value) =>
    db
      .insertInto('files')
      .values({ file_id: value('fileId'), highest_number: value('number') })
      .onConflict((oc) =>
        oc
          .column('file_id')
          .doUpdateSet({ highest_number: (eb) => eb.ref('excluded.highest_number') })
          .whereRef('excluded.highest_number', '>', 'files.highest_number'),
      ),
  )
  const retireCurrent = prepare<{ fileId: string }>()((value) =>
    db
      .updateTable('versions')
      .set({ is_current: 0 })
      .where('file_id', '=', value('fileId'))
      .where('is_current', '=', current),
  )
  type NewColumns = ReturnType<typeof versionColumnsOf>
  const insert = prepare<NewColumns & { folderId: string }>()((value) =>
    db.insertInto('versions').values((eb) => ({
      ...(Object.fromEntries(versionColumnNames.map((name) => [name, value(name)])) as NewColumns),
      is_current: 1,
      folder_seq: eb.selectFrom('folders').select('seq').where('folder_id', '=', value('folderId')),
    })),
  )
  const insertFirst = prepare<NewColumns & { folderPath: string }>()((value) => ({
    compile: () =>
      sql`INSERT INTO versions (${sql.join(versionColumnNames.map((name) => sql.ref(name)))}, is_current, folder_seq)
        SELECT ${sql.join(versionColumnNames.map((name) => typed(name, value(name), dialect)))}, 1, seq
        FROM folders WHERE path = ${value('folderPath')}
        ON CONFLICT DO NOTHING`.compile(db),
  }))
  const search = prepareSearch(dialect, limits)
  const searchRows = prepareSearchRows(dialect)
  const changes = prepareFileChanges(dialect, searchRows)

  return (session) => {
    const one = async (query: ReturnType<typeof byId>) => {
      const [row] = await session.read(query)
      return row && fileVersionOf(row)
    }
    return {
      atPath: (path, name) => one(atPath({ path, name })),
      byId: (fileId) => one(byId({ fileId })),
      versions: async (fileId) => (await session.read(allOf({ fileId }))).map(fileVersionOf),
      version: (fileId, versionId) => one(oneOf({ fileId, versionId })),
      byAccessKey: (fileId, accessKey) => one(byAccessKey({ fileId, accessKey })),
      search: (options) => search(session, options),
      ...changes(session),
      lockPath: (path, name) => session.lock(`path ${path === '/' ? '' : path}/${name}`),
      async versionCount(fileId) {
        const [row] = await session.read(count({ fileId }))
        return { count: row?.count ?? 0, highest: row?.highest_number ?? 0 }
      },
      addVersion: (version, { isFirst } = { isFirst: false }) =>
        session.atomic(async (tx) => {
          // Issued together, they reach the engine in one go.
          await Promise.all([
            tx.write(raiseHighest({ fileId: version.fileId, number: version.number })),
            ...(isFirst ? [] : [tx.write(retireCurrent({ fileId: version.fileId }))]),
            tx.write(insert({ ...versionColumnsOf(version), folderId: version.folderId })),
            ...searchRows.addVersion(tx, version),
          ])
        }),
      addFirstVersion: (version, folderPath) =>
        session.atomic(async (tx) => {
          const [, { changes: inserted }] = await Promise.all([
            tx.write(raiseHighest({ fileId: version.fileId, number: version.number })),
            tx.write(insertFirst({ ...versionColumnsOf(version), folderPath })),
            ...searchRows.addVersion(tx, version),
          ])
          return inserted === 1
        }),
    }
  }
}

const INTEGERS = new Set<string>([
  ...['number', 'size_bytes', 'is_image', 'width_px', 'height_px', 'orientation', 'has_alpha'],
  ...['is_private', 'is_published', 'created_at', 'updated_at'],
])
const DOUBLES = new Set<string>(['duration_sec', 'bit_rate'])

/** In the list of a SELECT, PostgreSQL takes every parameter for a text. */
function typed(column: string, value: unknown, { ddl }: Dialect) {
  const type = INTEGERS.has(column) ? ddl.int : DOUBLES.has(column) ? ddl.real : 'text'
  return sql`CAST(${value} AS ${sql.raw(type)})`
}
