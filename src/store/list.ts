import { type RawBuilder, sql } from 'kysely'
import { type Dialect, Placeholder, prepare, type Session } from './engine.ts'
import { type FolderRow, fileVersionOf, folderOf, type VersionRow } from './records.ts'
import type { ListedAsset, ListOptions, SortKey } from './store.ts'
import { versionSelection } from './version-columns.ts'

/**
 * What a sort orders by. Where there is no search there is no relevance: the time of creation takes its place.
 * Folders have no size: they are the lowest, in order of insertion.
 */
const SORT_COLUMNS = {
  NAME: { version: 'name', folder: 'name' },
  CREATED: { version: 'created_at', folder: 'created_at' },
  UPDATED: { version: 'updated_at', folder: 'updated_at' },
  HEIGHT: { version: 'height_px', folder: undefined },
  WIDTH: { version: 'width_px', folder: undefined },
  SIZE: { version: 'size_bytes', folder: undefined },
  RELEVANCE: { version: 'created_at', folder: 'created_at' },
} as const satisfies Record<SortKey, object>

type Values = {
  folderPath: string
  isImage: number
  tags: unknown
  name: string
  limit: number
  skip: number
}
type PreparedList = (session: Session, values: Values) => Promise<ListedAsset[]>

export type ListLimits = {
  /** Up to so many tagged versions are sorted; beyond, the order's index is walked and each one's tags looked up. */
  sortedMatches: number
}

/**
 * Prepares listing. A page is found in an index alone, and only its rows are then read in full, so that `skip` costs
 * no reading of rows. Queries are built once for each form of the options.
 */
export function prepareList(dialect: Dialect, { sortedMatches }: ListLimits) {
  const { db } = dialect
  const forms = new Map<string, PreparedList>()
  const countTagged = prepare<{ tags: unknown; atMost: number }>()((value) =>
    db
      .selectFrom(
        db
          .selectFrom('version_tags')
          .select('version_seq')
          .where(dialect.isAnyOf(sql.ref('tag'), new Placeholder('tags')))
          .limit(value('atMost'))
          .as('tagged'),
      )
      .select((eb) => eb.fn.countAll<number>().as('count')),
  )

  return async (session: Session, options: ListOptions): Promise<ListedAsset[]> => {
    const tags = dialect.bindList(options.tags ?? [])
    let tagged: Form['tagged'] = 'any'
    if (options.tags && options.tags.length > 0) {
      const [row] = await session.read(countTagged({ tags, atMost: sortedMatches + 1 }), 'heavy')
      tagged = row!.count > sortedMatches ? 'many' : 'few'
    }
    const form: Form = {
      // Folders have neither tags nor a file type.
      type: options.type === 'all' && (tagged !== 'any' || options.fileType) ? 'file' : options.type,
      key: options.sort.key,
      descending: options.sort.descending,
      inFolder: options.folderPath !== undefined,
      ofFileType: options.fileType !== undefined,
      named: options.name !== undefined,
      tagged,
    }
    if (form.type === 'folder' && (tagged !== 'any' || options.fileType)) return []
    const id = Object.values(form).join(' ')
    let prepared = forms.get(id)
    if (!prepared) {
      prepared = prepareForm(dialect, form)
      forms.set(id, prepared)
    }
    return prepared(session, {
      folderPath: options.folderPath ?? '/',
      isImage: options.fileType === 'image' ? 1 : 0,
      tags,
      name: options.name ?? '',
      limit: options.limit,
      skip: options.skip,
    })
  }
}

/** What the text of a list's query depends on. */
type Form = {
  type: ListOptions['type']
  key: SortKey
  descending: boolean
  inFolder: boolean
  ofFileType: boolean
  named: boolean
  tagged: 'any' | 'few' | 'many'
}

const FOLDER_COLUMNS = ['folder_id', 'path', 'name', 'created_at', 'updated_at', 'custom_metadata'] as const

type AllRow = VersionRow & { is_file: number } & {
  [C in (typeof FOLDER_COLUMNS)[number] as `d_${C}`]: FolderRow[C]
} & { d_parent_id: string | null }

function prepareForm({ db, isAnyOf, mergesUnions }: Dialect, form: Form): PreparedList {
  const column = SORT_COLUMNS[form.key]
  // Nulls are the lowest, and equals follow in order of insertion, in both directions.
  const order = (...terms: [first: string, ...rest: string[]]) => {
    const [first, ...rest] = terms
    const nulls = form.descending ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'
    const direction = form.descending ? 'DESC' : 'ASC'
    return sql.raw(
      `ORDER BY ${[`${first} ${nulls}`, ...rest.map((term) => `${term} ${direction}`)].join(', ')}`,
    )
  }
  // Within a folder names are unique, so that the index of paths gives the whole order.
  const ties = form.inFolder && form.key === 'NAME' && form.type !== 'file-version' ? [] : ['s.seq']
  const value = (key: keyof Values) => new Placeholder(key)
  const and = (on: boolean, condition: RawBuilder<unknown>) => (on ? sql`AND ${condition}` : sql``)

  const inFolder = sql`(SELECT seq FROM folders WHERE path = ${value('folderPath')})`
  const isTagged = isAnyOf(sql.ref('t.tag'), value('tags'))
  // A plus makes a column a term that no index knows: the few matches are then read by their numbers and sorted,
  // where a planner without statistics might walk the whole index of the order.
  const own = sql.raw(form.tagged === 'few' ? '+' : '')
  // `v` is what the page is ordered by, so that the outer query can repeat the order.
  const versions = sql`
    SELECT s.seq, s.${sql.ref(column.version)} AS v, 1 AS is_file FROM versions AS s
    WHERE ${own}s.is_current = ${sql.lit(form.type === 'file-version' ? 0 : 1)}
    ${and(form.inFolder, sql`${own}s.folder_seq = ${inFolder}`)}
    ${and(form.ofFileType, sql`s.is_image = ${value('isImage')}`)}
    ${and(form.named, sql`s.name = ${value('name')}`)}
    ${and(form.tagged === 'few', sql`s.seq IN (SELECT t.version_seq FROM version_tags AS t WHERE ${isTagged})`)}
    ${and(
      form.tagged === 'many',
      sql`EXISTS (SELECT 1 FROM version_tags AS t WHERE t.version_seq = s.seq AND ${isTagged})`,
    )}`
  const folders = sql`
    SELECT s.seq, ${column.folder ? sql.ref(`s.${column.folder}`) : sql`CAST(NULL AS bigint)`} AS v, 0 AS is_file FROM folders AS s
    WHERE s.parent_seq IS NOT NULL
    ${and(form.inFolder, sql`s.parent_seq = ${inFolder}`)}
    ${and(form.named, sql`s.name = ${value('name')}`)}`
  const pageOf = (seqs: RawBuilder<unknown>, ...ordered: [first: string, ...rest: string[]]) =>
    sql`(${seqs} ${order(...ordered)} LIMIT ${value('limit')} OFFSET ${value('skip')}) AS page`

  // Where a union is sorted whole, each part gives no more than the page can need.
  const part = (seqs: RawBuilder<unknown>) =>
    mergesUnions
      ? seqs
      : sql`SELECT * FROM (${seqs} ${order('v', ...ties)}
          LIMIT CAST(${value('limit')} AS bigint) + CAST(${value('skip')} AS bigint)) AS part`

  const prepared = <R>(query: RawBuilder<R>) => {
    const bind = prepare<Values>()(() => ({ compile: () => query.compile(db) }))
    return (session: Session, values: Values) => session.read(bind(values), 'heavy')
  }
  const versionColumns = sql.join(versionSelection.map((name) => sql.raw(name)))

  if (form.type === 'folder') {
    const run = prepared(sql<FolderRow>`
      SELECT ${sql.join(FOLDER_COLUMNS.map((name) => sql.ref(`d.${name}`)))}, p.folder_id AS parent_id
      FROM ${pageOf(folders, 'v', ...ties)}
      JOIN folders AS d ON d.seq = page.seq JOIN folders AS p ON p.seq = d.parent_seq
      ${order('page.v', 'page.seq')}`)
    return async (session, values) =>
      (await run(session, values)).map((row) => ({ type: 'folder', folder: folderOf(row) }))
  }
  if (form.type === 'all') {
    const run = prepared(sql<AllRow>`
      SELECT page.is_file, ${versionColumns},
        ${sql.join(FOLDER_COLUMNS.map((name) => sql`d.${sql.ref(name)} AS ${sql.ref(`d_${name}`)}`))},
        p.folder_id AS d_parent_id
      FROM ${pageOf(sql`${part(folders)} UNION ALL ${part(versions)}`, 'v', 'seq', 'is_file')}
      LEFT JOIN versions AS v ON page.is_file = 1 AND v.seq = page.seq
      LEFT JOIN folders AS f ON f.seq = v.folder_seq
      LEFT JOIN folders AS d ON page.is_file = 0 AND d.seq = page.seq
      LEFT JOIN folders AS p ON p.seq = d.parent_seq
      ${order('page.v', 'page.seq', 'page.is_file')}`)
    return async (session, values) => (await run(session, values)).map(assetOf)
  }
  const run = prepared(sql<VersionRow>`
    SELECT ${versionColumns}
    FROM ${pageOf(versions, 'v', ...ties)}
    JOIN versions AS v ON v.seq = page.seq JOIN folders AS f ON f.seq = v.folder_seq
    ${order('page.v', 'page.seq')}`)
  const type = form.type
  return async (session, values) =>
    (await run(session, values)).map((row) => ({ type, file: fileVersionOf(row) }))
}

function assetOf(row: AllRow): ListedAsset {
  if (row.is_file === 1) return { type: 'file', file: fileVersionOf(row) }
  const folder = folderOf({
    folder_id: row.d_folder_id,
    path: row.d_path,
    name: row.d_name,
    created_at: row.d_created_at,
    updated_at: row.d_updated_at,
    custom_metadata: row.d_custom_metadata,
    parent_id: row.d_parent_id,
  })
  return { type: 'folder', folder }
}
