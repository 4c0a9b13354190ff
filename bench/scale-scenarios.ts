import { BRANDS, chance, folderCount, folderPath, LIBRARY_NOW, THEMES } from './scale-library.ts'

/** One kind of request, asked many times with other values each time. */
export type Scenario = {
  name: string
  /** Whether the goal (p99 under 25 ms, at most twice that of the small library) holds for it. */
  isGoal: boolean
  /** Parameters of `GET /v1/files` for one request; the same turn gives alike requests to both libraries. */
  query(turn: number, files: number): Record<string, string>
}

const SORTS = ['CREATED', 'NAME', 'UPDATED', 'SIZE', 'HEIGHT', 'WIDTH']
const direction = (turn: number) => (turn % 2 === 0 ? 'ASC' : 'DESC')
const pick = <T>(values: readonly T[], turn: number) => values[Math.floor(chance(turn, 90) * values.length)]!
const anyFolder = (turn: number, files: number) =>
  folderPath(1 + Math.floor(chance(turn, 91) * (folderCount(files) - 1)))
const iso = (ms: number) => new Date(ms).toISOString()

function search(
  name: string,
  query: (turn: number, files: number) => string,
  more: { sort?: string; isGoal?: boolean } = {},
): Scenario {
  const { sort, isGoal = true } = more
  return {
    name,
    isGoal,
    query: (turn, files) => ({ searchQuery: query(turn, files), ...(sort !== undefined && { sort }) }),
  }
}

export const SCENARIOS: Scenario[] = [
  { name: 'list', isGoal: true, query: () => ({}) },
  ...SORTS.map((sort) => ({
    name: `list by ${sort}`,
    isGoal: true,
    query: (turn: number) => ({ sort: `${direction(turn)}_${sort}` }),
  })),
  {
    name: 'list of files and folders by name',
    isGoal: true,
    query: () => ({ type: 'all', sort: 'ASC_NAME' }),
  },
  { name: 'list of images', isGoal: true, query: () => ({ fileType: 'image' }) },
  { name: 'list of non-images', isGoal: true, query: () => ({ fileType: 'non-image' }) },
  ...SORTS.map((sort) => ({
    name: `folder of about 200 files by ${sort}`,
    isGoal: true,
    query: (turn: number, files: number) => ({
      path: anyFolder(turn, files),
      sort: `${direction(turn)}_${sort}`,
    }),
  })),
  ...['CREATED', 'NAME', 'SIZE'].map((sort) => ({
    name: `folder with a tenth of all files by ${sort}`,
    isGoal: true,
    query: (turn: number) => ({ path: '/inbox', sort: `${direction(turn)}_${sort}` }),
  })),
  {
    name: 'files and folders in a folder',
    isGoal: true,
    query: (turn) => ({ type: 'all', path: `/shelf-${turn % 20}` }),
  },
  {
    name: 'list by tag parameter (a thousandth)',
    isGoal: true,
    query: (turn) => ({ tags: pick(THEMES, turn) }),
  },
  search('tag of 100 files', () => 'tags IN ["needle"]'),
  search('tag of one file in 500', (turn) => `tags IN ["${pick(THEMES, turn)}"]`),
  search('tag of one file in 100', () => 'tags IN ["hundredth"]'),
  search('tag of one file in 3', () => 'tags IN ["common"]'),
  search(
    'two tags of one file in 500, either',
    (turn) => `tags IN ["${pick(THEMES, turn)}", "${pick(THEMES, turn + 1)}"]`,
  ),
  search('tag of one file in 100, by name', () => 'tags IN ["hundredth"]', {
    sort: 'ASC_NAME',
    isGoal: false,
  }),
  search('two tags, both (of 10 % and 1 %)', () => 'tags IN ["tenth"] AND tags IN ["hundredth"]', {
    isGoal: false,
  }),
  search('without a tag', () => 'tags NOT IN ["common"]'),
  search('name prefix of 100 files', () => 'name : "needle-"'),
  search('name prefix of one file in 1000', () => 'name : "thousandth"'),
  search('name prefix of one file in 100', () => 'name : "hundredth"'),
  search('name prefix of one file in 8', () => 'name : "IMG"'),
  search('name prefix of one file in 8, by name', () => 'name : "IMG"', { sort: 'ASC_NAME' }),
  search('exact name', (turn, files) => `name = "IMG-${Math.floor(chance(turn, 92) * files)}.jpg"`),
  search('word of names of 100 files', () => 'name HAS "needle"'),
  search('two words of names', () => 'name HAS "winter co"'),
  search('custom text of 100 files', () => '"customMetadata.brand" = "Needle"'),
  search('custom text of one file in 50', (turn) => `"customMetadata.brand" = "${pick(BRANDS, turn)}"`),
  search('custom text, by name', (turn) => `"customMetadata.brand" = "${pick(BRANDS, turn)}"`, {
    sort: 'ASC_NAME',
    isGoal: false,
  }),
  search('custom number, range of one file in 10000', (turn) => {
    const from = Math.floor(chance(turn, 93) * 900)
    return `"customMetadata.price" >= ${from} AND "customMetadata.price" < ${from + 0.1}`
  }),
  search('custom number, range of one file in 100', (turn) => {
    const from = Math.floor(chance(turn, 93) * 900)
    return `"customMetadata.price" >= ${from} AND "customMetadata.price" < ${from + 12}`
  }),
  search('custom number, half of all', () => '"customMetadata.price" > 500'),
  search(
    'custom date',
    (turn) => `"customMetadata.due" = "${iso(LIBRARY_NOW + (turn % 365) * 86_400_000).slice(0, 10)}"`,
  ),
  search('custom boolean', () => '"customMetadata.approved" = true'),
  search('custom select', () => '"customMetadata.season" IN ["spring", "autumn"]'),
  search('folder and below', (turn) => `path : "/shelf-${turn % 20}"`),
  search('private files', () => 'private = true'),
  search('format', (turn) => `format = "${pick(['jpg', 'pdf', 'webp'], turn)}"`),
  search('created within an hour', (turn) => {
    const from = LIBRARY_NOW - Math.floor(chance(turn, 94) * 700 * 86_400_000)
    return `createdAt >= "${iso(from)}" AND createdAt < "${iso(from + 3_600_000)}"`
  }),
  search('width', (turn) => `width = ${100 + (turn % 6000)}`),
  search('size, one file in 160', () => 'size > 9mb'),
  search(
    'taken within 100 km',
    (turn) => `"embeddedMetadata.LocationTaken" = "${(turn % 60) + 5},${turn % 170} 100km"`,
  ),
  search('either of two rare', () => 'tags IN ["needle"] OR name : "thousandth"'),
  search(
    'four conditions',
    (turn) =>
      `tags IN ["common"] AND "customMetadata.price" > 500 AND width > 3000 AND path : "/shelf-${turn % 20}"`,
    { isGoal: false },
  ),
]

/** A search that no index helps: it tests every file of the library, in many ways, and finds none. */
export const HEAVY_QUERY = [
  'name NOT HAS "zzz"',
  'tags NOT HAS "zzz"',
  'tags NOT IN ["zzz"]',
  '"customMetadata.brand" NOT HAS "zzz"',
  '"customMetadata.brand" NOT IN ["zzz"]',
  '"customMetadata.price" NOT = 5555',
  '"embeddedMetadata.LocationTaken" NOT = "0,0 1m"',
  'tags NOT EXISTS',
].join(' AND ')
