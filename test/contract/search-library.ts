import { systemIds } from '../../src/kernel/ids.ts'
import type { CustomField, SearchDocument } from '../../src/query/query.ts'
import type { FieldValue, NewVersion, Store } from '../../src/store/store.ts'
import { newVersion } from './uploads.ts'

/** The library that searches are tested on: everything that a search can tell apart occurs, and often together. */

/** The time that relative dates of the queries are counted back from. */
export const SEARCH_NOW = Date.UTC(2026, 4, 31, 8, 30)
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export const CUSTOM_FIELDS: CustomField[] = [
  { name: 'brand', type: 'Text' },
  { name: 'notes', type: 'Textarea' },
  { name: 'price', type: 'Number' },
  { name: 'due', type: 'Date' },
  { name: 'approved', type: 'Boolean' },
  { name: 'season', type: 'SingleSelect' },
  { name: 'labels', type: 'MultiSelect' },
  { name: 'odd "name" \\ é.x', type: 'Text' },
]

/** An asset as a test sees it: what was put in, under plain names. */
export type Asset = {
  type: 'file' | 'file-version' | 'folder'
  id: string
  versionId: string
  name: string
  folder: string
  created: number
  updated: number
  fileType: 'image' | 'non-image' | undefined
  tags: string[] | null
  aiTags: string[] | null
  width: number | null
  height: number | null
  size: number
  format: string
  isPrivate: boolean
  isPublished: boolean
  hasAlpha: boolean | null
  custom: Record<string, FieldValue>
  embedded: Record<string, unknown>
  location: { latitude: number; longitude: number } | null
}

/** What the query's own evaluation is asked about. */
export function documentOf(asset: Asset): SearchDocument {
  return {
    type: asset.type,
    id: asset.id,
    name: asset.name,
    folderPath: asset.folder,
    createdAtMs: asset.created,
    updatedAtMs: asset.updated,
    ...(asset.fileType && { fileType: asset.fileType }),
    tags: asset.tags,
    aiTags: asset.aiTags?.map((name) => ({ name })) ?? null,
    widthPx: asset.width,
    heightPx: asset.height,
    sizeBytes: asset.size,
    format: asset.format,
    isPrivate: asset.isPrivate,
    isPublished: asset.isPublished,
    hasAlpha: asset.hasAlpha,
    customMetadata: asset.custom,
    embeddedMetadata: asset.embedded,
    location: asset.location,
  }
}

export const LONG = `${'lorem ipsum '.repeat(20)}end`
export const POOLS = {
  folders: ['/', '/red', '/red/deep', '/red/deep/er', '/red-2', '/blue', '/blue/100%', '/blüe', '/zz_last'],
  names: [
    ...['IMG_0001.jpg', 'IMG_0002.jpg', 'img_0001.jpg', 'summer_sale-2024.jpg', 'Summer-Dress.png', 'a.txt'],
    ...['100%.png', '100_.png', 'a_b.png', 'axb.png', 'straße.jpg', 'STRASSE.jpg', 'café.jpg', 'çafé.gif'],
    ...[
      '漢字.webp',
      '漢.webp',
      '😀.png',
      '😀😀.png',
      'z.pdf',
      'Z.PDF',
      'İstanbul.jpg',
      'clip.mp4',
      'clip2.mp4',
    ],
  ],
  tags: ['red', 'Red', 'dress', 'summer sale', 'summer', '50%', 'été', '漢字', '', 'a\0b', '"quoted"', '500'],
  brands: [
    'Acme',
    'acme',
    'ACME Corp',
    'Nike',
    '',
    'O\'Neill "x"',
    '50%_off',
    LONG,
    `${LONG}ing`,
    'ÅNGSTRÖM units',
  ],
  seasons: ['summer', 'winter', '500', 500, 250.5, true, false] as (string | number | boolean)[],
  dates: [
    ...['2026-01-31', '2026-01-31T00:00:00Z', '2026-01-31T10:00:00', '2026-01-31T10:00:00.250Z'],
    ...['2026-02-01T01:00:00+02:00', '2025-05-31T08:30:00Z', '1999-12-31', '2026-05-24T08:30:00Z'],
  ],
  numbers: [-5, 0, 0.1, 0.30000000000000004, 99.99, 100, 1000, 1e15, 123456789.123],
}

/** xorshift32: the same library every time. */
function createRandom(seed: number) {
  let state = seed
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
  return {
    next,
    below: (limit: number) => Math.floor(next() * limit),
    chance: (share: number) => next() < share,
    of: <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)]!,
    some: <T>(values: readonly T[], most: number): T[] => {
      const chosen = Array.from({ length: Math.floor(next() * (most + 1)) }, () =>
        Math.floor(next() * values.length),
      )
      return [...new Set(chosen)].map((i) => values[i]!)
    },
  }
}
type Random = ReturnType<typeof createRandom>

function anyCustom(random: Random): Record<string, FieldValue> {
  const custom: Record<string, FieldValue> = {}
  if (random.chance(0.5)) custom.brand = random.of(POOLS.brands)
  if (random.chance(0.3)) custom.notes = random.of([...POOLS.brands, 'line\nbreak', `x${'y'.repeat(300)} z`])
  if (random.chance(0.5)) custom.price = random.of(POOLS.numbers)
  if (random.chance(0.4)) custom.due = random.of(POOLS.dates)
  if (random.chance(0.5)) custom.approved = random.chance(0.5)
  if (random.chance(0.5)) custom.season = random.of(POOLS.seasons)
  if (random.chance(0.5)) custom.labels = random.some(POOLS.seasons, 4)
  if (random.chance(0.2)) custom['odd "name" \\ é.x'] = random.of(POOLS.brands)
  return custom
}

/** Texts as the media part presents GPS tags, and the numbers that they stand for. */
function anyPlace(random: Random) {
  const whole = random.of([
    [40, 100],
    [-33, 151],
    [0, 0],
    [51, -0],
    [-16, 179],
    [-16, -179],
    [89, 12],
    [48, 11],
  ])
  const fraction = () => ({ minutes: random.of([0, 0, 30, 59]), seconds: random.of([0, 0, 12.5, 59.99]) })
  const [lat, lon] = [fraction(), fraction()]
  const text = (degrees: number, { minutes, seconds }: ReturnType<typeof fraction>) =>
    `${Math.abs(degrees)} deg ${minutes}' ${seconds.toFixed(2)}"`
  const value = (degrees: number, { minutes, seconds }: ReturnType<typeof fraction>) => {
    const size = Math.abs(degrees) + minutes / 60 + seconds / 3600
    return Math.round((degrees < 0 ? -size : size) * 1e9) / 1e9 + 0
  }
  return {
    embedded: {
      GPSLatitude: text(whole[0]!, lat),
      GPSLatitudeRef: whole[0]! < 0 ? 'South' : 'North',
      GPSLongitude: text(whole[1]!, lon),
      GPSLongitudeRef: whole[1]! < 0 ? 'West' : 'East',
    },
    location: { latitude: value(whole[0]!, lat), longitude: value(whole[1]!, lon) },
  }
}

function anyEmbedded(random: Random) {
  const embedded: Record<string, unknown> = { Make: 'A\u0000B' }
  if (random.chance(0.4)) embedded.Keywords = random.some(['red', 'Dress', 'été', '500', 500, '漢字'], 3)
  if (random.chance(0.1)) embedded.Keywords = random.of(['red', 500, ''])
  if (random.chance(0.4)) embedded.DateTimeOriginal = random.of([...POOLS.dates, 'not a date', '', 7])
  if (!random.chance(0.5)) return { embedded, location: null }
  const place = anyPlace(random)
  return { embedded: { ...embedded, ...place.embedded }, location: place.location }
}

/** Puts the whole library into an empty store; gives what was put there, in order of insertion. */
export async function fillLibrary(store: Store): Promise<Asset[]> {
  const random = createRandom(20_260_531)
  const assets: Asset[] = []
  const ids = new Map<string, string>()
  for (const path of POOLS.folders) {
    const folder = await store.transaction((tx) => tx.folders.ensure(path, timeOf(random), systemIds.next))
    ids.set(path, folder.folderId)
    if (path === '/') continue
    const custom = random.chance(0.7) ? anyCustom(random) : {}
    await store.transaction((tx) => tx.folderTrees.setCustomMetadata(path, custom))
    assets.push({
      ...EMPTY,
      type: 'folder',
      id: folder.folderId,
      versionId: folder.folderId,
      name: folder.name,
      folder: path.slice(0, path.lastIndexOf('/')) || '/',
      created: folder.createdAtMs,
      updated: folder.updatedAtMs,
      custom,
    })
  }
  const taken = new Set<string>()
  for (let i = 0; i < 260; i += 1) {
    const folder = random.of(POOLS.folders)
    const name = random.of(POOLS.names)
    const unique = taken.has(`${folder}/${name}`) ? `${i}_${name}` : name
    taken.add(`${folder}/${unique}`)
    const fileId = systemIds.next()
    const count = random.chance(0.15) ? 1 + random.below(3) : 1
    for (let number = 1; number <= count; number += 1) {
      const version = anyVersion(random, { folderId: ids.get(folder)!, name: unique, fileId, number })
      await store.files.addVersion(version.record)
      assets.push({ ...version.asset, folder, type: number === count ? 'file' : 'file-version' })
    }
  }
  return assets
}

const EMPTY: Omit<Asset, 'type' | 'id' | 'versionId' | 'name' | 'folder' | 'created' | 'updated' | 'custom'> =
  {
    fileType: undefined,
    tags: null,
    aiTags: null,
    width: null,
    height: null,
    size: 0,
    format: '',
    isPrivate: false,
    isPublished: true,
    hasAlpha: null,
    embedded: {},
    location: null,
  }

/** Often the same instant, so that sorting has ties, and often just at the border of a second. */
function timeOf(random: Random): number {
  return random.of([
    SEARCH_NOW - random.below(400) * DAY_MS,
    SEARCH_NOW - 7 * DAY_MS + random.of([-1, 0, 1, 999, 1000]),
    SEARCH_NOW - random.below(40) * HOUR_MS,
    Date.UTC(2026, 0, 31) + random.of([-1, 0, 500, 1000]),
    Date.UTC(2026, 0, 31),
  ])
}

function anyVersion(
  random: Random,
  place: { folderId: string; name: string; fileId: string; number: number },
): { record: NewVersion; asset: Omit<Asset, 'type' | 'folder'> } {
  const isImage = random.chance(0.7)
  const versionId = place.number === 1 ? place.fileId : systemIds.next()
  const { embedded, location } = anyEmbedded(random)
  const asset: Omit<Asset, 'type' | 'folder'> = {
    id: place.fileId,
    versionId,
    name: place.name,
    created: timeOf(random),
    updated: timeOf(random),
    fileType: isImage ? 'image' : 'non-image',
    tags: random.chance(0.2) ? null : random.some(POOLS.tags, 4),
    aiTags: random.chance(0.6) ? null : random.some(POOLS.tags, 2),
    width: isImage ? random.of([1, 100, 640, 640, 1920, 8000]) : null,
    height: isImage ? random.of([1, 99, 480, 480, 1080]) : null,
    size: random.of([0, 1, 1023, 1024, 1025, 1_048_576, 5_000_000_000_123]),
    format: isImage ? random.of(['jpg', 'png', 'webp', 'gif']) : random.of(['pdf', 'mp4', 'txt', '']),
    isPrivate: random.chance(0.2),
    isPublished: random.chance(0.8),
    hasAlpha: isImage ? random.of([true, false, null]) : null,
    custom: random.chance(0.8) ? anyCustom(random) : {},
    embedded,
    location,
  }
  const record = newVersion(place.folderId, place.name, {
    fileId: place.fileId,
    versionId,
    number: place.number,
    sizeBytes: asset.size,
    format: asset.format,
    fileType: asset.fileType!,
    widthPx: asset.width,
    heightPx: asset.height,
    hasAlpha: asset.hasAlpha,
    tags: asset.tags,
    aiTags: asset.aiTags?.map((name) => ({ name, confidence: 90, source: 'test' })) ?? null,
    isPrivate: asset.isPrivate,
    isPublished: asset.isPublished,
    customMetadata: asset.custom,
    embeddedMetadata: asset.embedded,
    createdAtMs: asset.created,
    updatedAtMs: asset.updated,
  })
  return { record, asset }
}
