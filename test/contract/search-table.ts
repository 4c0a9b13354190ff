import { type Asset, LONG } from './search-library.ts'

/** Which types of asset a query may give at all. */
type Scope = 'files' | 'files and folders' | 'everything'

/** A query, and what it asks for in plain words of the program, written down without the query's own evaluation. */
export type TableRow = [query: string, scope: Scope, isFound: (asset: Asset) => boolean]

const at = (text: string) => Date.parse(text)
const tagsOf = (asset: Asset) => [...(asset.tags ?? []), ...(asset.aiTags ?? [])]
const hasTag =
  (...tags: string[]) =>
  (asset: Asset) =>
    tagsOf(asset).some((tag) => tags.includes(tag))
const isImage = (asset: Asset) => asset.fileType === 'image'
const dayOf = (value: unknown) =>
  typeof value === 'string' && value !== 'not a date' && value !== '' ? at(utc(value)) : Number.NaN
/** Without a zone, a date is UTC. */
const utc = (text: string) => (/T\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(text) ? `${text}Z` : text)
const within = (asset: Asset, path: string) => asset.folder === path || asset.folder.startsWith(`${path}/`)
const keywords = (asset: Asset) => [asset.embedded.Keywords].flat() as unknown[]
const labels = (asset: Asset) => (asset.custom.labels ?? []) as unknown[]
const price = (asset: Asset) => (asset.custom.price as number | undefined) ?? Number.NaN
const lower = (text: unknown) => (typeof text === 'string' ? text.toLowerCase() : '')
const hasWord = (text: unknown, word: string) =>
  lower(text)
    .split(/[^\p{L}\p{N}\p{M}]+/u)
    .includes(word)
const hasStart = (text: unknown, start: string) =>
  lower(text)
    .split(/[^\p{L}\p{N}\p{M}]+/u)
    .some((word) => word !== '' && word.startsWith(start))
const inBox = ({ location }: Asset, [south, west, north, east]: [number, number, number, number]) =>
  location !== null &&
  location.latitude >= south &&
  location.latitude <= north &&
  location.longitude >= west &&
  location.longitude <= east
/** Distance by the chord through the earth, another way than the product's. */
const metresFrom = ({ location }: Asset, latitude: number, longitude: number) => {
  if (!location) return Number.POSITIVE_INFINITY
  const vector = (lat: number, lon: number) => {
    const [a, b] = [(lat * Math.PI) / 180, (lon * Math.PI) / 180]
    return [Math.cos(a) * Math.cos(b), Math.cos(a) * Math.sin(b), Math.sin(a)]
  }
  const from = vector(latitude, longitude)
  const chord = Math.hypot(...vector(location.latitude, location.longitude).map((x, i) => x - from[i]!))
  return 2 * 6_371_008.8 * Math.asin(chord / 2)
}

export const TABLE: TableRow[] = [
  // name
  ['name = "IMG_0001.jpg"', 'files and folders', (a) => a.name === 'IMG_0001.jpg'],
  ['name="img_0001.jpg"', 'files and folders', (a) => a.name === 'img_0001.jpg'],
  ['name = "red"', 'files and folders', (a) => a.name === 'red'],
  ['name NOT = "IMG_0001.jpg"', 'files and folders', (a) => a.name !== 'IMG_0001.jpg'],
  ['NOT name = "IMG_0001.jpg"', 'files and folders', (a) => a.name !== 'IMG_0001.jpg'],
  ['name : "IMG_"', 'files and folders', (a) => a.name.startsWith('IMG_')],
  ['name: "100%"', 'files and folders', (a) => a.name.startsWith('100%')],
  ['name : "a_"', 'files and folders', (a) => a.name.startsWith('a_')],
  ['name : "漢"', 'files and folders', (a) => a.name.startsWith('漢')],
  ['name : "😀"', 'files and folders', (a) => a.name.startsWith('😀')],
  ['name : "cafe\u0301"', 'files and folders', (a) => a.name.startsWith('café')],
  ['name : "re"', 'files and folders', (a) => a.name.startsWith('re')],
  ['name : "nothing like it"', 'files and folders', () => false],
  [
    'name IN ["z.pdf", "Z.PDF", "blue"]',
    'files and folders',
    (a) => ['z.pdf', 'Z.PDF', 'blue'].includes(a.name),
  ],
  ['name NOT IN ["z.pdf", "Z.PDF"]', 'files and folders', (a) => a.name !== 'z.pdf' && a.name !== 'Z.PDF'],
  ['name HAS "summer"', 'files and folders', (a) => hasStart(a.name, 'summer')],
  [
    'name HAS "SUMMER sale"',
    'files and folders',
    (a) => hasWord(a.name, 'summer') && hasStart(a.name, 'sale'),
  ],
  ['name HAS "sale summ"', 'files and folders', (a) => hasWord(a.name, 'sale') && hasStart(a.name, 'summ')],
  ['name HAS "summ sale"', 'files and folders', () => false],
  ['name NOT HAS "jpg"', 'files and folders', (a) => !hasStart(a.name, 'jpg')],
  ['name HAS "stra"', 'files and folders', (a) => hasStart(a.name, 'stra')],
  // id
  ['id = "none"', 'files and folders', () => false],
  ['id NOT = "none"', 'files and folders', () => true],
  ['id NOT IN ["a", "b"]', 'files and folders', () => true],
  // tags
  ['tags IN ["red"]', 'files', hasTag('red')],
  ['tags IN ["Red"]', 'files', hasTag('Red')],
  ['tags IN ["red", "dress"]', 'files', hasTag('red', 'dress')],
  ['tags IN ["50%"]', 'files', hasTag('50%')],
  ['tags IN [""]', 'files', hasTag('')],
  ['tags IN ["a\\u0000b"]', 'files', hasTag('a\0b')],
  ['tags IN ["\\"quoted\\""]', 'files', hasTag('"quoted"')],
  ["tags IN ['été', '漢字']", 'files', hasTag('été', '漢字')],
  ['tags NOT IN ["red"]', 'files', (a) => !hasTag('red')(a)],
  ['NOT tags IN ["red"]', 'files', (a) => !hasTag('red')(a)],
  ['tags IN ["red"] AND tags IN ["dress"]', 'files', (a) => hasTag('red')(a) && hasTag('dress')(a)],
  ['tags IN ["red"] AND tags NOT IN ["dress"]', 'files', (a) => hasTag('red')(a) && !hasTag('dress')(a)],
  ['tags IN ["none"]', 'files', () => false],
  ['tags EXISTS', 'files', (a) => tagsOf(a).length > 0],
  ['tags NOT EXISTS', 'files', (a) => tagsOf(a).length === 0],
  ['tags HAS "summer"', 'files', (a) => tagsOf(a).some((tag) => hasStart(tag, 'summer'))],
  [
    'tags HAS "dress re"',
    'files',
    (a) => tagsOf(a).some((t) => hasWord(t, 'dress')) && tagsOf(a).some((t) => hasStart(t, 're')),
  ],
  ['tags NOT HAS "sum"', 'files', (a) => !tagsOf(a).some((tag) => hasStart(tag, 'sum'))],
  // type
  ['type = "file"', 'files', () => true],
  ['type = "folder"', 'everything', (a) => a.type === 'folder'],
  ['type = "file-version"', 'everything', (a) => a.type === 'file-version'],
  ['type IN ["file", "folder"]', 'files and folders', () => true],
  ['type NOT = "file"', 'everything', (a) => a.type !== 'file'],
  ['type NOT IN ["file", "file-version"]', 'everything', (a) => a.type === 'folder'],
  [
    'type = "file-version" AND tags IN ["red"]',
    'everything',
    (a) => a.type === 'file-version' && hasTag('red')(a),
  ],
  ['type = "folder" OR tags IN ["red"]', 'everything', (a) => a.type === 'folder' || hasTag('red')(a)],
  ['type = "folder" AND name : "b"', 'everything', (a) => a.type === 'folder' && a.name.startsWith('b')],
  ['type = "folder" AND tags NOT IN ["red"]', 'everything', () => false],
  [
    'type = "file-version" AND name HAS "jpg"',
    'everything',
    (a) => a.type === 'file-version' && hasStart(a.name, 'jpg'),
  ],
  [
    'type = "file-version" AND size > 1mb',
    'everything',
    (a) => a.type === 'file-version' && a.size > 1_048_576,
  ],
  // path
  ['path = "/red"', 'files and folders', (a) => a.folder === '/red'],
  ['path = "red/"', 'files and folders', (a) => a.folder === '/red'],
  ['path = "/"', 'files and folders', (a) => a.folder === '/'],
  ['path NOT = "/red"', 'files and folders', (a) => a.folder !== '/red'],
  ['path : "/red"', 'files and folders', (a) => within(a, '/red')],
  ['path : "/"', 'files and folders', () => true],
  ['path : "/re"', 'files and folders', () => false],
  ['path : "/blue/100%"', 'files and folders', (a) => within(a, '/blue/100%')],
  ['NOT path : "/red"', 'files and folders', (a) => !within(a, '/red')],
  ['path IN ["/red", "/blue"]', 'files and folders', (a) => a.folder === '/red' || a.folder === '/blue'],
  ['path NOT IN ["/red", "/blue"]', 'files and folders', (a) => a.folder !== '/red' && a.folder !== '/blue'],
  ['path : "/red" AND tags IN ["red"]', 'files', (a) => within(a, '/red') && hasTag('red')(a)],
  // times
  ['createdAt > "7d"', 'files', (a) => a.created >= at('2026-05-24T08:30:01Z')],
  ['createdAt < 7d', 'files', (a) => a.created < at('2026-05-24T08:30:00Z')],
  [
    'createdAt = "7d"',
    'files',
    (a) => a.created >= at('2026-05-24T08:30:00Z') && a.created < at('2026-05-24T08:30:01Z'),
  ],
  [
    'createdAt >= 7d AND createdAt <= 7d',
    'files',
    (a) => a.created >= at('2026-05-24T08:30:00Z') && a.created < at('2026-05-24T08:30:01Z'),
  ],
  ['createdAt > 4m', 'files', (a) => a.created >= at('2026-01-31T08:30:01Z')],
  ['createdAt < 1y', 'files', (a) => a.created < at('2025-05-31T08:30:00Z')],
  ['createdAt > 2w', 'files', (a) => a.created >= at('2026-05-17T08:30:01Z')],
  ['createdAt >= 12h', 'files', (a) => a.created >= at('2026-05-30T20:30:00Z')],
  [
    'createdAt = 2026-01-31',
    'files',
    (a) => a.created >= at('2026-01-31') && a.created < at('2026-01-31') + 1000,
  ],
  [
    'createdAt NOT = "2026-01-31"',
    'files',
    (a) => a.created < at('2026-01-31') || a.created >= at('2026-01-31') + 1000,
  ],
  ['createdAt <= "2026-01-31T00:00:00"', 'files', (a) => a.created < at('2026-01-31') + 1000],
  ['createdAt > "2026-01-31T00:00:00.000Z"', 'files', (a) => a.created > at('2026-01-31')],
  [
    'createdAt IN ["2026-01-31", "7d"]',
    'files',
    (a) =>
      [at('2026-01-31'), at('2026-05-24T08:30:00Z')].some((ms) => a.created >= ms && a.created < ms + 1000),
  ],
  [
    'createdAt NOT IN ["2026-01-31"]',
    'files',
    (a) => a.created < at('2026-01-31') || a.created >= at('2026-01-31') + 1000,
  ],
  ['updatedAt > 30d', 'files', (a) => a.updated >= at('2026-05-01T08:30:01Z')],
  [
    'updatedAt < "2026-01-31" OR updatedAt > "2026-05-30"',
    'files',
    (a) => a.updated < at('2026-01-31') || a.updated >= at('2026-05-30') + 1000,
  ],
  // numbers of images, sizes
  ['width = 640', 'files', (a) => a.width === 640],
  ['width NOT = 640', 'files', (a) => isImage(a) && a.width !== 640],
  ['NOT width = 640', 'files', (a) => a.width !== 640],
  ['width > 640', 'files', (a) => (a.width ?? 0) > 640],
  ['width > 639.5 AND width < 640.5', 'files', (a) => a.width === 640],
  ['width = 639.5', 'files', () => false],
  ['width >= 8000', 'files', (a) => a.width === 8000],
  ['width > 9000', 'files', () => false],
  ['width < 1e300', 'files', isImage],
  ['height <= 99', 'files', (a) => a.height !== null && a.height <= 99],
  ['height IN [480, 1080, 0.5]', 'files', (a) => a.height === 480 || a.height === 1080],
  ['height NOT IN [480]', 'files', (a) => isImage(a) && a.height !== 480],
  ['size = 1kb', 'files', (a) => a.size === 1024],
  ['size = "1KB"', 'files', (a) => a.size === 1024],
  ['size < "1mb"', 'files', (a) => a.size < 1_048_576],
  ['size <= 1mb', 'files', (a) => a.size <= 1_048_576],
  ['size > 4tb', 'files', (a) => a.size > 4 * 1024 ** 4],
  ['size > -1', 'files', () => true],
  ['size NOT = 0', 'files', (a) => a.size !== 0],
  ['size IN [0, 1, "1mb"]', 'files', (a) => [0, 1, 1_048_576].includes(a.size)],
  // format and flags
  ['format = "jpg"', 'files', (a) => a.format === 'jpg'],
  ['format = "jpeg"', 'files', (a) => a.format === 'jpg'],
  ['format IN ["PDF", "mp4"]', 'files', (a) => a.format === 'pdf' || a.format === 'mp4'],
  ['format NOT = "jpg"', 'files', (a) => a.format !== 'jpg'],
  ['private = true', 'files', (a) => a.isPrivate],
  ['private = false', 'files', (a) => !a.isPrivate],
  ['private NOT = true', 'files', (a) => !a.isPrivate],
  ['published = false', 'files', (a) => !a.isPublished],
  ['published = true AND private = true', 'files', (a) => a.isPublished && a.isPrivate],
  ['transparency = true', 'files', (a) => a.hasAlpha === true],
  ['transparency = false', 'files', (a) => isImage(a) && a.hasAlpha === false],
  ['transparency NOT = true', 'files', (a) => isImage(a) && a.hasAlpha !== true],
  ['createdBy = "x@example.com"', 'files', () => false],
  ['createdBy NOT = "x@example.com"', 'files', () => true],
  // custom metadata
  ['"customMetadata.brand" = "Acme"', 'files and folders', (a) => a.custom.brand === 'Acme'],
  ['"customMetadata.brand" NOT = "Acme"', 'files and folders', (a) => a.custom.brand !== 'Acme'],
  [
    '"customMetadata.brand" : "ac"',
    'files and folders',
    (a) => String(a.custom.brand ?? 'x').startsWith('ac'),
  ],
  ['"customMetadata.brand" : "50%_"', 'files and folders', (a) => String(a.custom.brand).startsWith('50%_')],
  ['"customMetadata.brand" = ""', 'files and folders', (a) => a.custom.brand === ''],
  [
    '"customMetadata.brand" EXISTS',
    'files and folders',
    (a) => a.custom.brand !== undefined && a.custom.brand !== '',
  ],
  [
    '"customMetadata.brand" NOT EXISTS',
    'files and folders',
    (a) => a.custom.brand === undefined || a.custom.brand === '',
  ],
  ['"customMetadata.brand" HAS "acme"', 'files and folders', (a) => hasStart(a.custom.brand, 'acme')],
  [
    '"customMetadata.brand" HAS "acme co"',
    'files and folders',
    (a) => hasWord(a.custom.brand, 'acme') && hasStart(a.custom.brand, 'co'),
  ],
  ['"customMetadata.brand" HAS "ångström"', 'files and folders', (a) => hasStart(a.custom.brand, 'ångström')],
  [
    '"customMetadata.brand" IN ["Nike", "O\'Neill \\"x\\""]',
    'files and folders',
    (a) => ['Nike', 'O\'Neill "x"'].includes(String(a.custom.brand)),
  ],
  ['"customMetadata.brand" NOT IN ["Nike"]', 'files and folders', (a) => a.custom.brand !== 'Nike'],
  [`"customMetadata.brand" = "${LONG}"`, 'files and folders', (a) => a.custom.brand === LONG],
  [`"customMetadata.brand" = "${LONG}ing"`, 'files and folders', (a) => a.custom.brand === `${LONG}ing`],
  [`"customMetadata.brand" : "${LONG}"`, 'files and folders', (a) => String(a.custom.brand).startsWith(LONG)],
  [
    `"customMetadata.brand" : "${LONG.slice(0, 230)}"`,
    'files and folders',
    (a) => String(a.custom.brand).startsWith(LONG.slice(0, 230)),
  ],
  [
    `"customMetadata.brand" IN ["${LONG}", "Acme"]`,
    'files and folders',
    (a) => a.custom.brand === LONG || a.custom.brand === 'Acme',
  ],
  ['"customMetadata.notes" HAS "break"', 'files and folders', (a) => hasStart(a.custom.notes, 'break')],
  ['"customMetadata.notes" = "line\\nbreak"', 'files and folders', (a) => a.custom.notes === 'line\nbreak'],
  [
    '"customMetadata.odd \\"name\\" \\\\ é.x" = "Nike"',
    'files and folders',
    (a) => a.custom['odd "name" \\ é.x'] === 'Nike',
  ],
  ['"customMetadata.price" = 0.1', 'files and folders', (a) => a.custom.price === 0.1],
  ['"customMetadata.price" = 0.3', 'files and folders', () => false],
  ['"customMetadata.price" = 0.30000000000000004', 'files and folders', (a) => a.custom.price === 0.1 + 0.2],
  ['"customMetadata.price" < 100', 'files and folders', (a) => price(a) < 100],
  [
    '"customMetadata.price" >= 100 AND "customMetadata.price" <= 1000',
    'files and folders',
    (a) => price(a) >= 100 && price(a) <= 1000,
  ],
  [
    '"customMetadata.price" < 0 OR "customMetadata.price" > 1e9',
    'files and folders',
    (a) => price(a) < 0 || price(a) > 1e9,
  ],
  ['"customMetadata.price" NOT = 100', 'files and folders', (a) => a.custom.price !== 100],
  [
    '"customMetadata.price" IN [0, 99.99]',
    'files and folders',
    (a) => a.custom.price === 0 || a.custom.price === 99.99,
  ],
  ['"customMetadata.due" = 2026-01-31', 'files and folders', (a) => dayOf(a.custom.due) === at('2026-01-31')],
  [
    '"customMetadata.due" >= "2026-01-31T23:00:00Z"',
    'files and folders',
    (a) => dayOf(a.custom.due) >= at('2026-01-31T23:00:00Z'),
  ],
  ['"customMetadata.due" < 1y', 'files and folders', (a) => dayOf(a.custom.due) < at('2025-05-31T08:30:00Z')],
  [
    '"customMetadata.due" = "2026-01-31T10:00:00"',
    'files and folders',
    (a) => Math.floor(dayOf(a.custom.due) / 1000) === at('2026-01-31T10:00:00Z') / 1000,
  ],
  ['"customMetadata.due" NOT EXISTS', 'files and folders', (a) => a.custom.due === undefined],
  ['"customMetadata.approved" = true', 'files and folders', (a) => a.custom.approved === true],
  ['"customMetadata.approved" = false', 'files and folders', (a) => a.custom.approved === false],
  ['"customMetadata.approved" NOT = true', 'files and folders', (a) => a.custom.approved !== true],
  ['"customMetadata.season" = "500"', 'files and folders', (a) => a.custom.season === '500'],
  ['"customMetadata.season" = 500', 'files and folders', (a) => a.custom.season === 500],
  ['"customMetadata.season" = true', 'files and folders', (a) => a.custom.season === true],
  [
    '"customMetadata.season" > 250',
    'files and folders',
    (a) => typeof a.custom.season === 'number' && a.custom.season > 250,
  ],
  [
    '"customMetadata.season" : "s"',
    'files and folders',
    (a) => typeof a.custom.season === 'string' && a.custom.season.startsWith('s'),
  ],
  [
    '"customMetadata.season" IN ["summer", 500, false]',
    'files and folders',
    (a) => ['summer', 500, false].includes(a.custom.season as string),
  ],
  [
    '"customMetadata.season" NOT IN ["summer", 500, false]',
    'files and folders',
    (a) => !['summer', 500, false].includes(a.custom.season as string),
  ],
  ['"customMetadata.labels" IN ["500"]', 'files and folders', (a) => labels(a).includes('500')],
  ['"customMetadata.labels" IN [500]', 'files and folders', (a) => labels(a).includes(500)],
  [
    '"customMetadata.labels" IN ["winter", true]',
    'files and folders',
    (a) => labels(a).includes('winter') || labels(a).includes(true),
  ],
  [
    '"customMetadata.labels" NOT IN ["winter", true]',
    'files and folders',
    (a) => !labels(a).includes('winter') && !labels(a).includes(true),
  ],
  ['"customMetadata.labels" EXISTS', 'files and folders', (a) => labels(a).length > 0],
  [
    '"customMetadata.labels" IN ["winter"] AND tags EXISTS',
    'files',
    (a) => labels(a).includes('winter') && tagsOf(a).length > 0,
  ],
  // embedded metadata
  ['"embeddedMetadata.Keywords" IN ["red"]', 'files', (a) => keywords(a).includes('red')],
  ['"embeddedMetadata.Keywords" IN ["500"]', 'files', (a) => keywords(a).includes('500')],
  [
    '"embeddedMetadata.Keywords" NOT IN ["red", "été"]',
    'files',
    (a) => !keywords(a).includes('red') && !keywords(a).includes('été'),
  ],
  [
    '"embeddedMetadata.DateTimeOriginal" = "2026-01-31"',
    'files',
    (a) => dayOf(a.embedded.DateTimeOriginal) === at('2026-01-31'),
  ],
  [
    '"embeddedMetadata.DateTimeOriginal" > "2026-01-31"',
    'files',
    (a) => dayOf(a.embedded.DateTimeOriginal) >= at('2026-01-31') + 1000,
  ],
  [
    '"embeddedMetadata.DateTimeOriginal" EXISTS',
    'files',
    (a) => a.embedded.DateTimeOriginal !== undefined && a.embedded.DateTimeOriginal !== '',
  ],
  ['"embeddedMetadata.LocationTaken" = "40,100|41,101"', 'files', (a) => inBox(a, [40, 100, 41, 101])],
  ['"embeddedMetadata.LocationTaken" = "41,101|40,100"', 'files', (a) => inBox(a, [40, 100, 41, 101])],
  [
    '"embeddedMetadata.LocationTaken" = "40,100 1m"',
    'files',
    (a) => a.location?.latitude === 40 && a.location.longitude === 100,
  ],
  ['"embeddedMetadata.LocationTaken" = "40,100 100km"', 'files', (a) => metresFrom(a, 40, 100) <= 100_000],
  ['"embeddedMetadata.LocationTaken" = "0,0 5000mi"', 'files', (a) => metresFrom(a, 0, 0) <= 5000 * 1609.344],
  [
    '"embeddedMetadata.LocationTaken" = "-16.5,180 120km"',
    'files',
    (a) => metresFrom(a, -16.5, 180) <= 120_000,
  ],
  ['"embeddedMetadata.LocationTaken" = "90,0 200km"', 'files', (a) => metresFrom(a, 90, 0) <= 200_000],
  [
    '"embeddedMetadata.LocationTaken" = "40,100|40,101|41,101|41,100"',
    'files',
    (a) => inBox(a, [40, 100, 41, 101]),
  ],
  ['"embeddedMetadata.LocationTaken" NOT = "40,100|41,101"', 'files', (a) => !inBox(a, [40, 100, 41, 101])],
  ['"embeddedMetadata.LocationTaken" EXISTS', 'files', (a) => a.location !== null],
  ['"embeddedMetadata.LocationTaken" NOT EXISTS', 'files', (a) => a.location === null],
  // together
  [
    '(size < "1mb" AND width > 500) OR (tags IN ["summer","50%"])',
    'files',
    (a) => (a.size < 1_048_576 && (a.width ?? 0) > 500) || hasTag('summer', '50%')(a),
  ],
  [
    'size < 1mb AND width > 500 OR tags IN ["summer"]',
    'files',
    (a) => (a.size < 1_048_576 && (a.width ?? 0) > 500) || hasTag('summer')(a),
  ],
  [
    'size < 1mb AND (width > 500 OR tags IN ["summer"])',
    'files',
    (a) => a.size < 1_048_576 && ((a.width ?? 0) > 500 || hasTag('summer')(a)),
  ],
  ['NOT (width > 500 OR tags IN ["red"])', 'files', (a) => !((a.width ?? 0) > 500) && !hasTag('red')(a)],
  [
    'NOT (width NOT = 640 AND private = true)',
    'files',
    (a) => !(isImage(a) && a.width !== 640 && a.isPrivate),
  ],
  [
    'format = "png" AND "customMetadata.price" > 50 AND createdAt > 1y',
    'files',
    (a) => a.format === 'png' && price(a) > 50 && a.created >= at('2025-05-31T08:30:01Z'),
  ],
  [
    'name : "IMG" OR "customMetadata.brand" = "Nike"',
    'files and folders',
    (a) => a.name.startsWith('IMG') || a.custom.brand === 'Nike',
  ],
  [
    'name : "IMG" OR "customMetadata.brand" = "Nike" OR width = 1',
    'files',
    (a) => a.name.startsWith('IMG') || a.custom.brand === 'Nike' || a.width === 1,
  ],
  [
    'path : "/red" AND NOT path = "/red" AND private = false',
    'files',
    (a) => within(a, '/red') && a.folder !== '/red' && !a.isPrivate,
  ],
  ['tags IN ["red"] OR NOT tags EXISTS', 'files', (a) => hasTag('red')(a) || tagsOf(a).length === 0],
]

/** Whether an asset is of the types that the query may give. */
export function isInScope(asset: Asset, scope: Scope): boolean {
  if (scope === 'everything') return true
  return asset.type === 'file' || (scope === 'files and folders' && asset.type === 'folder')
}
