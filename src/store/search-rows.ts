import { sql } from 'kysely'
import type { Log } from '../kernel/log.ts'
import { instant, type Point, splitWords } from '../query/query.ts'
import { compile, type Dialect, type Engine, Placeholder, prepare, type Session } from './engine.ts'
import { type FileVersion, type Folder, fileVersionOf, folderOf } from './records.ts'
import type { Database } from './tables.ts'
import { versionSelection } from './version-columns.ts'

/** Raised when rows are derived in another way: the store then derives all of them anew when it is opened. */
const ROWS_VERSION = 1

/** UTF-16 units of a text that go into an index; PostgreSQL refuses entries of more than 2.7 KB. */
export const HEAD_LENGTH = 200
/** Shorter than any head, so that no whole text equals one. */
const MAX_WHOLE_LENGTH = HEAD_LENGTH - 2

type VersionFacts = Pick<
  FileVersion,
  'fileId' | 'number' | 'name' | 'tags' | 'aiTags' | 'customMetadata' | 'embeddedMetadata' | 'createdAtMs'
>
type FolderFacts = Pick<Folder, 'path' | 'name' | 'customMetadata' | 'createdAtMs'>

/** Writes what assets are found by. Each call belongs into the transaction that writes the asset itself, after it. */
export type SearchRows = {
  addVersion(tx: Session, version: VersionFacts): Promise<unknown>[]
  /** After a change of name, tags, metadata or the time of creation. */
  replaceVersion(tx: Session, version: VersionFacts): Promise<unknown>[]
  addFolder(tx: Session, folder: FolderFacts): Promise<unknown>[]
  replaceFolder(tx: Session, folder: FolderFacts): Promise<unknown>[]
}

/** A text as the side tables hold it: neither engine takes lone surrogates, nor PostgreSQL a zero. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd')
}

/** A text in its two parts, the first of which fits into an index. */
export function splitText(text: string): { head: string; rest: string | null } {
  const known = storable(text)
  if (known.length <= MAX_WHOLE_LENGTH) return { head: known, rest: null }
  // Not between the halves of one character.
  const at = /[\ud800-\udbff]/.test(known[HEAD_LENGTH - 1] ?? '') ? HEAD_LENGTH - 1 : HEAD_LENGTH
  return { head: known.slice(0, at), rest: known.slice(at) }
}

/** A word as it is stored and looked up: of very long ones only the beginning counts. */
export function indexedWord(word: string): string {
  return splitText(word).head
}

/** Where a picture was taken, from the texts of its GPS tags as `media` presents them. */
export function locationOf(embeddedMetadata: Record<string, unknown>): Point | null {
  const { GPSLatitude, GPSLatitudeRef, GPSLongitude, GPSLongitudeRef } = embeddedMetadata
  const latitude = degreesOf(GPSLatitude, GPSLatitudeRef)
  const longitude = degreesOf(GPSLongitude, GPSLongitudeRef)
  if (latitude === undefined || longitude === undefined) return null
  return Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 ? { latitude, longitude } : null
}

/** `43 deg 11' 52.08"` with `North`, `43,11.868N` (XMP), or a number. To a ten-thousandth of a metre. */
function degreesOf(value: unknown, reference: unknown): number | undefined {
  const text = String(value)
  const parts = /^([0-9.]+)(?: deg |,)([0-9.]+)(?:'? |,)?(?:([0-9.]+)")?([0-9.]+)?\s*([NSEW])?$/.exec(text)
  const [, whole, minutes, seconds = 0, xmpSeconds = 0, letter] = parts ?? []
  const degrees = parts
    ? Number(whole) + Number(minutes) / 60 + (Number(seconds) + Number(xmpSeconds)) / 3600
    : typeof value === 'number'
      ? value
      : Number.NaN
  if (!Number.isFinite(degrees)) return undefined
  const isNegative = /^[SW]/.test(letter ?? String(reference))
  return Math.round((isNegative ? -Math.abs(degrees) : degrees) * 1e9) / 1e9 + 0
}

/** The rows of the tables of values, without owner and time. */
function fieldRowsOf(asset: {
  customMetadata: Record<string, unknown>
  embeddedMetadata?: Record<string, unknown>
}) {
  const rows: {
    field: string
    position: number
    text_value: string | null
    text_rest: string | null
    number_value: number | null
    date_value: number | null
    boolean_value: number | null
  }[] = []
  const add = (field: string, value: unknown, position = 0) => {
    if (value === null || value === undefined) return
    const text = typeof value === 'string' ? splitText(value) : undefined
    const isOther = !['string', 'number', 'boolean'].includes(typeof value)
    // Numbers are dates in embedded metadata only; elsewhere an index of them would be for nothing.
    const date = typeof value === 'string' || field === 'e.DateTimeOriginal' ? instant(value) : undefined
    rows.push({
      field: storable(field),
      position,
      text_value: text?.head ?? null,
      text_rest: text?.rest ?? null,
      number_value: typeof value === 'number' ? value : null,
      date_value: date ?? null,
      boolean_value: typeof value === 'boolean' ? Number(value) : isOther ? 2 : null,
    })
  }
  for (const [name, value] of Object.entries(asset.customMetadata)) {
    // A value that stands twice in a list must not find its asset twice.
    if (Array.isArray(value))
      for (const [i, element] of [...new Set(value)].entries()) add(`c.${name}`, element, i)
    else add(`c.${name}`, value)
  }
  const { Keywords, DateTimeOriginal } = asset.embeddedMetadata ?? {}
  if (Array.isArray(Keywords))
    for (const [i, keyword] of [...new Set(Keywords)].entries()) add('e.Keywords', keyword, i)
  else if (Keywords !== '') add('e.Keywords', Keywords)
  const isEmptyList = Array.isArray(DateTimeOriginal) && DateTimeOriginal.length === 0
  if (!isEmptyList) add('e.DateTimeOriginal', DateTimeOriginal)
  return rows
}

function tagRowsOf({ tags, aiTags }: Pick<FileVersion, 'tags' | 'aiTags'>) {
  const distinct = (texts: string[]) => [...new Set(texts.map(storable))]
  return [
    ...distinct(tags ?? []).map((tag) => ({ tag, is_ai: 0 })),
    ...distinct(aiTags?.map((tag) => tag.name) ?? []).map((tag) => ({ tag, is_ai: 1 })),
  ]
}

function wordRowsOf(asset: {
  name: string
  tags?: string[] | null
  aiTags?: { name: string }[] | null
  customMetadata: Record<string, unknown>
}) {
  const rows: { field: string; word: string }[] = []
  const add = (field: string, texts: unknown[]) => {
    const words = texts.flatMap((text) => (typeof text === 'string' ? splitWords(text) : []))
    for (const word of new Set(words.map(indexedWord))) rows.push({ field: storable(field), word })
  }
  add('name', [asset.name])
  add('tags', [...(asset.tags ?? []), ...(asset.aiTags ?? []).map((tag) => tag.name)])
  for (const [name, value] of Object.entries(asset.customMetadata)) {
    add(`c.${name}`, Array.isArray(value) ? value : [value])
  }
  return rows
}

/** Everything that a version is found by, without its owner. */
export function versionRowsOf(version: VersionFacts) {
  return {
    tags: tagRowsOf(version),
    words: wordRowsOf(version),
    fields: fieldRowsOf(version),
    location: locationOf(version.embeddedMetadata),
  }
}

/** Everything that a folder is found by, without its owner. */
export function folderRowsOf(folder: FolderFacts) {
  return { words: wordRowsOf(folder), fields: fieldRowsOf(folder) }
}

/**
 * The tables of what versions are found by: the columns that a copy of a version has in common with it, and those
 * that repeat its own.
 */
export const VERSION_TABLES = {
  version_tags: { common: ['tag', 'is_ai'], repeated: ['is_current', 'created_at'] },
  version_fields: {
    common: ['field', 'position', 'text_value', 'text_rest', 'number_value', 'date_value', 'boolean_value'],
    repeated: ['is_current', 'created_at'],
  },
  version_words: { common: ['field', 'word'], repeated: ['is_current', 'created_at'] },
  version_locations: { common: ['latitude', 'longitude'], repeated: [] },
} as const satisfies Partial<Record<keyof Database, object>>

export function prepareSearchRows(dialect: Dialect): SearchRows {
  const { db } = dialect
  type Owner = { fileId: string; number: number; path: string }
  const prepared = <P extends object>(
    build: (value: (key: keyof P & string) => Placeholder) => string | object,
  ) =>
    prepare<P>()(() => ({
      compile: () => (build((key) => new Placeholder(key)) as ReturnType<typeof sql>).compile(db),
    }))
  const versionSeq = sql`(SELECT seq FROM versions WHERE file_id = ${new Placeholder('fileId')} AND number = ${new Placeholder('number')})`
  const folderSeq = sql`(SELECT seq FROM folders WHERE path = ${new Placeholder('path')})`
  const addTags = prepared<Owner & { rows: string }>(
    (value) => sql`
      INSERT INTO version_tags (version_seq, tag, is_ai, is_current, created_at)
      SELECT v.seq, r.tag, r.is_ai, v.is_current, v.created_at
      FROM versions AS v, ${dialect.jsonTable(value('rows'), { tag: 'text', is_ai: 'int' })} AS r
      WHERE v.file_id = ${value('fileId')} AND v.number = ${value('number')}`,
  )
  const addVersionWords = prepared<Owner & { rows: string }>(
    (value) => sql`
      INSERT INTO version_words (version_seq, field, word, is_current, created_at)
      SELECT v.seq, r.field, r.word, v.is_current, v.created_at
      FROM versions AS v, ${dialect.jsonTable(value('rows'), { field: 'text', word: 'text' })} AS r
      WHERE v.file_id = ${value('fileId')} AND v.number = ${value('number')}`,
  )
  const addFolderWords = prepared<Owner & { rows: string }>(
    (value) => sql`
      INSERT INTO folder_words (folder_seq, field, word, created_at)
      SELECT f.seq, r.field, r.word, f.created_at
      FROM folders AS f, ${dialect.jsonTable(value('rows'), { field: 'text', word: 'text' })} AS r
      -- Another transaction may have made the same folder meanwhile.
      WHERE f.path = ${value('path')} ON CONFLICT DO NOTHING`,
  )
  const addLocation = prepared<Owner & Point>(
    (value) => sql`
      INSERT INTO version_locations (version_seq, latitude, longitude)
      VALUES (${versionSeq}, ${value('latitude')}, ${value('longitude')})`,
  )
  const remove = (table: string) => {
    const isOfVersion = table.startsWith('version')
    return prepared<Owner>(
      () => sql`
        DELETE FROM ${sql.table(table)}
        WHERE ${isOfVersion ? sql`version_seq = ${versionSeq}` : sql`folder_seq = ${folderSeq}`}`,
    )
  }
  const removeFromVersion = Object.keys(VERSION_TABLES).map(remove)
  const removeFromFolder = ['folder_fields', 'folder_words'].map(remove)

  const addVersion = (tx: Session, version: VersionFacts) => {
    const owner = { fileId: version.fileId, number: version.number, path: '' }
    const writes: Promise<unknown>[] = []
    const { tags, words, fields, location } = versionRowsOf(version)
    if (tags.length > 0) writes.push(tx.write(addTags({ ...owner, rows: JSON.stringify(tags) })))
    if (words.length > 0) writes.push(tx.write(addVersionWords({ ...owner, rows: JSON.stringify(words) })))
    if (fields.length > 0) {
      // Not as JSON: doubles must arrive bit by bit.
      const own = db
        .selectFrom('versions')
        .where('file_id', '=', version.fileId)
        .where('number', '=', version.number)
      const rows = fields.map((row) => ({
        ...row,
        version_seq: own.select('seq'),
        is_current: own.select('is_current'),
        created_at: version.createdAtMs,
      }))
      writes.push(tx.write(compile(db.insertInto('version_fields').values(rows))))
    }
    if (location) writes.push(tx.write(addLocation({ ...owner, ...location })))
    return writes
  }
  const addFolder = (tx: Session, folder: FolderFacts) => {
    const owner = { fileId: '', number: 0, path: folder.path }
    const writes: Promise<unknown>[] = []
    const { words, fields } = folderRowsOf(folder)
    if (words.length > 0) writes.push(tx.write(addFolderWords({ ...owner, rows: JSON.stringify(words) })))
    if (fields.length > 0) {
      const folder_seq = db.selectFrom('folders').select('seq').where('path', '=', folder.path)
      const rows = fields.map((row) => ({ ...row, folder_seq, created_at: folder.createdAtMs }))
      writes.push(tx.write(compile(db.insertInto('folder_fields').values(rows))))
    }
    return writes
  }

  return {
    addVersion,
    addFolder,
    replaceVersion: (tx, version) => {
      const owner = { fileId: version.fileId, number: version.number, path: '' }
      return [...removeFromVersion.map((each) => tx.write(each(owner))), ...addVersion(tx, version)]
    },
    replaceFolder: (tx, folder) => {
      const owner = { fileId: '', number: 0, path: folder.path }
      return [...removeFromFolder.map((each) => tx.write(each(owner))), ...addFolder(tx, folder)]
    },
  }
}

const BATCH = 200
const PROGRESS = 'search.rows'
type Progress = { version: number; folderSeq: number; versionSeq: number; isDone: boolean }

/**
 * Derives the rows of all assets where a former release has derived none, or others. Goes on where it was
 * interrupted; a search before its end would miss assets, so it runs before the store is open.
 */
export async function fillSearchRows({ dialect, session, transaction }: Engine, log: Log): Promise<void> {
  const { db } = dialect
  const rows = prepareSearchRows(dialect)
  const [found] = await session.read(
    compile(db.selectFrom('settings').select('value').where('key', '=', PROGRESS)),
  )
  let progress: Progress = found && JSON.parse(found.value)
  if (progress?.version !== ROWS_VERSION) {
    progress = { version: ROWS_VERSION, folderSeq: 0, versionSeq: 0, isDone: false }
  }
  while (!progress.isDone) {
    progress = await transaction(async (tx) => {
      const folders = await tx.read(
        compile(
          db
            .selectFrom('folders')
            .select(['seq', 'folder_id', 'path', 'name', 'created_at', 'updated_at', 'custom_metadata'])
            .where('seq', '>', progress.folderSeq)
            .orderBy('seq')
            .limit(BATCH),
        ),
      )
      const versions = await tx.read(
        compile(
          db
            .selectFrom('versions as v')
            .innerJoin('folders as f', 'f.seq', 'v.folder_seq')
            .select([...versionSelection, 'v.seq'])
            .where('v.seq', '>', progress.versionSeq)
            .orderBy('v.seq')
            .limit(BATCH),
        ),
      )
      await Promise.all([
        ...folders.flatMap((row) => rows.replaceFolder(tx, folderOf({ ...row, parent_id: null }))),
        ...versions.flatMap((row) => rows.replaceVersion(tx, fileVersionOf(row))),
      ])
      const next: Progress = {
        version: ROWS_VERSION,
        folderSeq: folders.at(-1)?.seq ?? progress.folderSeq,
        versionSeq: versions.at(-1)?.seq ?? progress.versionSeq,
        isDone: folders.length < BATCH && versions.length < BATCH,
      }
      const value = JSON.stringify(next)
      await tx.write(
        compile(
          db
            .insertInto('settings')
            .values({ key: PROGRESS, value })
            .onConflict((oc) => oc.column('key').doUpdateSet({ value })),
        ),
      )
      return next
    })
    log.info({ folders: progress.folderSeq, versions: progress.versionSeq }, 'search rows derived')
  }
}
