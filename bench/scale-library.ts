import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import pg from 'pg'
import { Value } from 'typebox/value'
import { silentLog } from '../src/kernel/log.ts'
import { versionColumnsOf } from '../src/store/records.ts'
import { folderRowsOf, versionRowsOf } from '../src/store/search-rows.ts'
import {
  type FileVersion,
  type NewVersion,
  openStore,
  type StoreOptions,
  storeOptions,
} from '../src/store/store.ts'

/** A generated library: many files that differ in everything a list or a search can ask for. */

export const LIBRARY_NOW = Date.UTC(2026, 5, 1)
const SPAN_MS = 3 * 365 * 86_400_000

export const BRANDS = Array.from({ length: 50 }, (_, i) => `Brand ${i}`)
export const THEMES = Array.from({ length: 1000 }, (_, i) => `theme-${i}`)
const STEMS = ['summer-dress', 'winter_coat', 'product', 'IMG', 'DSC', 'banner', 'team-photo', 'invoice']
const NEEDLES = 100

/** A random number of [0, 1) that belongs to a file and a purpose, the same every time. */
export function chance(index: number, purpose: number): number {
  let x = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(purpose + 1, 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32
}

export function folderCount(files: number): number {
  return Math.max(20, Math.round(files / 200))
}

/** `/inbox` holds a tenth of all files, the others about 200 each, in two levels. */
export function folderPath(number: number): string {
  return number === 0 ? '/inbox' : `/shelf-${number % 20}/box-${number}`
}

function hex(index: number, length: number): string {
  return index.toString(16).padStart(length, '0')
}

/** The file at a place of the library of so many files. */
export function fileOf(index: number, files: number): Omit<NewVersion, 'folderId'> & { folder: number } {
  const r = (purpose: number) => chance(index, purpose)
  const isNeedle = index % Math.floor(files / NEEDLES) === 7
  const isImage = r(1) < 0.95
  const format = isImage ? (r(2) < 0.7 ? 'jpg' : r(2) < 0.9 ? 'png' : 'webp') : r(2) < 0.5 ? 'pdf' : 'mp4'
  const stem = isNeedle
    ? 'needle'
    : r(3) < 0.001
      ? 'thousandth'
      : r(3) < 0.011
        ? 'hundredth'
        : STEMS[Math.floor(r(4) * STEMS.length)]!
  const tags = [THEMES[Math.floor(r(5) * THEMES.length)]!, THEMES[Math.floor(r(6) * THEMES.length)]!]
  if (isNeedle) tags.push('needle')
  if (r(7) < 0.3) tags.push('common')
  if (r(8) < 0.1) tags.push('tenth')
  if (r(9) < 0.01) tags.push('hundredth')
  const createdAtMs = LIBRARY_NOW - SPAN_MS + Math.floor(((index + r(10)) / files) * SPAN_MS)
  const hasMetadata = r(11) < 0.8
  const isPlaced = isImage && r(12) < 0.3
  const sign = isPlaced && r(13) < 0.5 ? 'North' : 'South'
  return {
    versionId: hex(index, 24),
    fileId: hex(index, 24),
    number: 1,
    folder: r(14) < 0.1 ? 0 : 1 + Math.floor(r(15) * (folderCount(files) - 1)),
    name: `${stem}-${index}.${format}`,
    blob: hex(index, 64),
    sizeBytes: Math.floor(1000 * 10 ** (4 * r(16))),
    mime: isImage ? `image/${format}` : format === 'pdf' ? 'application/pdf' : 'video/mp4',
    format,
    fileType: isImage ? 'image' : 'non-image',
    widthPx: isImage ? 100 + Math.floor(r(17) * 6000) : null,
    heightPx: isImage ? 100 + Math.floor(r(18) * 4000) : null,
    orientation: isImage ? 1 : null,
    hasAlpha: isImage ? format === 'png' && r(19) < 0.3 : null,
    durationSec: null,
    bitRate: null,
    videoCodec: null,
    audioCodec: null,
    tags: [...new Set(tags)],
    aiTags: r(20) < 0.2 ? [{ name: 'Outdoor', confidence: 90, source: 'google-auto-tagging' }] : null,
    isPrivate: r(21) < 0.02,
    isPublished: r(22) > 0.01,
    customCoordinates: null,
    customMetadata: hasMetadata
      ? {
          brand: isNeedle ? 'Needle' : BRANDS[Math.floor(r(23) ** 2 * BRANDS.length)]!,
          price: Math.floor(r(24) * 100_000) / 100,
          due: new Date(LIBRARY_NOW + Math.floor(r(25) * 365) * 86_400_000).toISOString().slice(0, 10),
          approved: r(26) < 0.7,
          season: ['spring', 'summer', 'autumn', 'winter'][Math.floor(r(27) * 4)]!,
        }
      : {},
    embeddedMetadata: isImage
      ? {
          Make: 'Canon',
          Model: 'EOS R5',
          LensModel: 'RF24-70mm F2.8 L IS USM',
          ExposureTime: 0.004,
          FNumber: 2.8,
          ISO: 100,
          ColorSpace: 'sRGB',
          ImageWidth: 4000,
          ImageHeight: 3000,
          DateTimeOriginal: new Date(createdAtMs - 86_400_000).toISOString(),
          ...(isPlaced && {
            GPSLatitude: `${Math.floor(r(28) * 70)} deg ${Math.floor(r(29) * 60)}' 12.50"`,
            GPSLatitudeRef: sign,
            GPSLongitude: `${Math.floor(r(30) * 180)} deg ${Math.floor(r(31) * 60)}' 30.00"`,
            GPSLongitudeRef: r(32) < 0.5 ? 'East' : 'West',
          }),
        }
      : {},
    description: null,
    accessKey: hex(index, 32),
    createdAtMs,
    updatedAtMs: createdAtMs + Math.floor(r(33) ** 3 * (LIBRARY_NOW - createdAtMs)),
  }
}

type Row = Record<string, unknown>
/** Writes rows of a table, all with the same columns. */
type Insert = (table: string, rows: Row[]) => Promise<void>

const BATCH = 2000
/** Files that have one past version. */
const isVersioned = (index: number) => chance(index, 40) < 0.02

/** Rows for all tables, from the files of the library on. */
async function generate(files: number, insert: Insert): Promise<void> {
  const paths = [
    ...Array.from({ length: 20 }, (_, i) => `/shelf-${i}`),
    ...Array.from({ length: folderCount(files) }, (_, i) => folderPath(i)),
  ]
  const seqOf = new Map(paths.map((path, i) => [path, i + 2]))
  const folders = paths.map((path, i) => ({
    seq: i + 2,
    folder_id: `f${hex(i, 23)}`,
    parent_seq: seqOf.get(path.slice(0, path.lastIndexOf('/'))) ?? 1,
    path,
    name: path.slice(path.lastIndexOf('/') + 1),
    created_at: LIBRARY_NOW - SPAN_MS + i,
    updated_at: LIBRARY_NOW - SPAN_MS + i,
    custom_metadata: '{}',
  }))
  await insert('folders', folders)
  const words = folders.flatMap((folder) => {
    const { words } = folderRowsOf({
      path: folder.path,
      name: folder.name,
      customMetadata: {},
      createdAtMs: 0,
    })
    return words.map((word) => ({ folder_seq: folder.seq, created_at: folder.created_at, ...word }))
  })
  for (let i = 0; i < words.length; i += BATCH) await insert('folder_words', words.slice(i, i + BATCH))

  let seq = 0
  for (let start = 0; start < files; start += BATCH) {
    const rows = {
      files: [] as Row[],
      versions: [] as Row[],
      version_tags: [] as Row[],
      version_words: [] as Row[],
      version_fields: [] as Row[],
      version_locations: [] as Row[],
    }
    const add = (
      version: Omit<FileVersion, 'folderId' | 'folderPath' | 'isCurrent'>,
      folder: number,
      isCurrent: number,
    ) => {
      seq += 1
      const version_seq = seq
      const folder_seq = seqOf.get(folderPath(folder))!
      rows.versions.push({ seq, ...versionColumnsOf(version), is_current: isCurrent, folder_seq })
      const found = versionRowsOf(version)
      const own = { version_seq, is_current: isCurrent, created_at: version.createdAtMs }
      for (const tag of found.tags) rows.version_tags.push({ ...own, ...tag })
      for (const word of found.words) rows.version_words.push({ ...own, ...word })
      for (const field of found.fields) rows.version_fields.push({ ...own, ...field })
      if (found.location) rows.version_locations.push({ version_seq, ...found.location })
    }
    for (let index = start; index < Math.min(files, start + BATCH); index += 1) {
      const { folder, ...file } = fileOf(index, files)
      rows.files.push({ file_id: file.fileId, highest_number: isVersioned(index) ? 2 : 1 })
      if (isVersioned(index)) {
        add(file, folder, 0)
        add({ ...file, versionId: `e${file.versionId.slice(1)}`, number: 2 }, folder, 1)
      } else add(file, folder, 1)
    }
    for (const [table, each] of Object.entries(rows)) if (each.length > 0) await insert(table, each)
  }
}

/** What the store is opened with: the place of the library. */
export type Place = { file: string } | { databaseUrl: string }

/** Generates a library where there is none; a second call on the same place does nothing. */
export async function makeLibrary(place: Place, files: number): Promise<void> {
  const options = Value.Default(storeOptions, { ...place }) as StoreOptions
  const store = await openStore(options, { log: silentLog })
  const made = await store.settings.get('bench.files')
  if (made === files) return store.close()
  for (const [name, type] of [
    ['brand', 'Text'],
    ['price', 'Number'],
    ['due', 'Date'],
    ['approved', 'Boolean'],
    ['season', 'SingleSelect'],
  ] as const) {
    await store.fields.add({
      id: name,
      name,
      label: name,
      schema: { type },
      description: null,
      createdAtMs: 0,
    })
  }
  await store.close()
  if ('file' in place) await fillSqlite(place.file, files)
  else await fillPostgres(place.databaseUrl, files)
  const again = await openStore(options, { log: silentLog })
  await again.settings.set('bench.files', files)
  await again.close()
}

async function fillSqlite(file: string, files: number) {
  const db = new DatabaseSync(file, { enableForeignKeyConstraints: false })
  db.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY')
  const indexes = db
    .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    .all() as { name: string; sql: string }[]
  for (const { name } of indexes) db.exec(`DROP INDEX ${name}`)
  const statements = new Map<string, { run(...values: SQLInputValue[]): unknown; columns: string[] }>()
  db.exec('BEGIN')
  await generate(files, async (table, rows) => {
    let known = statements.get(table)
    if (!known) {
      const columns = Object.keys(rows[0]!)
      const statement = db.prepare(
        `INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map(() => '?').join()})`,
      )
      known = { run: (...values) => statement.run(...values), columns }
      statements.set(table, known)
    }
    for (const row of rows) known.run(...known.columns.map((column) => row[column] as SQLInputValue))
  })
  db.exec('COMMIT')
  for (const { sql } of indexes) db.exec(sql)
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  db.close()
}

async function fillPostgres(databaseUrl: string, files: number) {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  // Constraints keep their indexes.
  const { rows: indexes } = await client.query<{ indexname: string; indexdef: string }>(
    `SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()
      AND indexname NOT IN (SELECT conname FROM pg_constraint)`,
  )
  for (const { indexname } of indexes) await client.query(`DROP INDEX ${indexname}`)
  await client.query("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
  await client.query('SET session_replication_role = replica').catch(() => {})
  await generate(files, async (table, rows) => {
    const columns = Object.keys(rows[0]!).join()
    const overriding = 'seq' in rows[0]! ? 'OVERRIDING SYSTEM VALUE' : ''
    await client.query(
      `INSERT INTO ${table} (${columns}) ${overriding}
        SELECT ${columns} FROM json_populate_recordset(null::${table}, $1)`,
      [JSON.stringify(rows)],
    )
  })
  for (const { indexdef } of indexes) await client.query(indexdef)
  for (const table of ['folders', 'versions']) {
    await client.query(
      `SELECT setval(pg_get_serial_sequence('${table}', 'seq'), (SELECT max(seq) FROM ${table}))`,
    )
  }
  // What autovacuum does by and by.
  await client.query('VACUUM ANALYZE')
  await client.end()
}
