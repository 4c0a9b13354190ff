import { describe, expect, test } from 'vitest'
import { TintypeError } from '../../../src/kernel/errors.ts'
import {
  type CustomField,
  evaluateSearch,
  parseSearch,
  printSearch,
  type SearchDocument,
  searchFields,
} from '../../../src/query/query.ts'

const NOW = Date.UTC(2026, 2, 31, 12, 0, 0)
const DAY = 86_400_000

const customFields: CustomField[] = [
  { name: 'brand', type: 'Text' },
  { name: 'story', type: 'Textarea' },
  { name: 'sold', type: 'Number' },
  { name: 'bought', type: 'Date' },
  { name: 'active', type: 'Boolean' },
  { name: 'rating', type: 'SingleSelect' },
  { name: 'tuple', type: 'MultiSelect' },
  { name: 'odd name "x"', type: 'Text' },
]
const options = {
  nowMs: NOW,
  customFields,
  embeddedFields: [
    { name: 'Make', type: 'text' },
    { name: 'ISO', type: 'number' },
  ],
} as const

const parse = (text: string) => parseSearch(text, options)

const file = (extra: Partial<SearchDocument> = {}): SearchDocument => ({
  type: 'file',
  id: 'f1',
  name: 'red-dress-summer.jpg',
  folderPath: '/sales/summer',
  createdAtMs: NOW - 3 * DAY,
  updatedAtMs: NOW - DAY,
  fileType: 'image',
  tags: ['summer-sale', 'banner'],
  aiTags: [{ name: 'Shirt' }],
  widthPx: 800,
  heightPx: 600,
  sizeBytes: 500_000,
  format: 'jpg',
  isPrivate: false,
  isPublished: true,
  hasAlpha: false,
  customMetadata: {},
  embeddedMetadata: {},
  location: null,
  ...extra,
})
const folder = (extra: Partial<SearchDocument> = {}): SearchDocument => ({
  type: 'folder',
  id: 'd1',
  name: 'summer',
  folderPath: '/sales',
  createdAtMs: NOW - 3 * DAY,
  updatedAtMs: NOW - DAY,
  customMetadata: {},
  ...extra,
})
const holds = (text: string, document: SearchDocument) => evaluateSearch(parse(text), document)

/** The condition's first comparison, for looking at values. */
const value = (text: string) => {
  const { condition } = parse(text)
  return condition.kind === 'compare' ? condition.value : undefined
}

describe('documented queries', () => {
  test.each([
    'createdAt > "7d"',
    'createdAt > "7d" AND name: "file-name"',
    '(size < "1mb" AND width > 500) OR (tags IN ["summer-sale","banner"])',
    'name = "red-dress-summer.jpg"',
    'name="file-name.jpg"',
    "name='file-name.jpg'",
    'name : "red-dress"',
    'name IN ["red-dress.jpg", "red-dress.png"]',
    'name NOT = "red-dress.jpg"',
    'name NOT IN ["a", "b"]',
    'createdAt < 2020-01-01',
    'createdAt < "2020-01-01T12:12:12"',
    'createdAt < 2020-01-01T12:12:12',
    'createdAt < 2d',
    'createdAt < 2y',
    'tags NOT IN ["big-banner"]',
    'type IN ["file", "folder"]',
    'type = "folder" AND name = "a \\"quoted\\" \\\\ name"',
    'height <= 400',
    'size <= "1mb"',
    'format = "jpg"',
    'private = true',
    'published = false',
    'transparency = true',
    '"embeddedMetadata.LocationTaken" = "40,100 5km"',
    '"embeddedMetadata.LocationTaken" = "40,100|50,105"',
    '"embeddedMetadata.LocationTaken" = "0,0|0,100|40,100|40,0"',
    '"embeddedMetadata.Keywords" IN ["luxury", "dress"]',
    '"embeddedMetadata.DateTimeOriginal" > "1y"',
    '"customMetadata.brand" = "black cars"',
    '"customMetadata.brand": "red"',
    '"customMetadata.story" HAS "red"',
    '"customMetadata.bought" > "2020-01-01T12:12:12"',
    '"customMetadata.sold" > 200',
    '"customMetadata.active" = true',
    '"customMetadata.rating" = "excellent"',
    '"customMetadata.rating" > 4.3',
    '"customMetadata.tuple" IN ["luxury", 500, true]',
    '"customMetadata.brand" IN ["clothing", "accessories"]"',
    "createdAt >= '2d' OR size < '2mb' OR format='png'",
    'name HAS "red dress"',
    'tags HAS "sale"',
    'tags EXISTS',
    'tags NOT EXISTS',
    'path = "/sales-banner/"',
    'format = "png" AND path : "/sales-banner/"',
    'id = "64fb1c2d8a7b4c1234567890"',
    'createdBy NOT IN ["a@example.com"]',
  ])('%s is understood and printed so that it stays the same', (text) => {
    const query = parse(text)
    expect(parse(printSearch(query))).toEqual(query)
  })
})

describe('the syntax tree', () => {
  test('holds typed comparisons', () => {
    expect(parse('(size < "1mb" AND width > 500) OR tags IN ["a","b"]').condition).toEqual({
      kind: 'or',
      terms: [
        {
          kind: 'and',
          terms: [
            {
              kind: 'compare',
              field: { scope: 'asset', name: 'size', type: 'size', appliesTo: 'files' },
              op: '<',
              value: { type: 'number', number: 1_048_576 },
            },
            {
              kind: 'compare',
              field: { scope: 'asset', name: 'width', type: 'number', appliesTo: 'images' },
              op: '>',
              value: { type: 'number', number: 500 },
            },
          ],
        },
        {
          kind: 'in',
          field: { scope: 'asset', name: 'tags', type: 'list', appliesTo: 'files' },
          negated: false,
          values: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
    })
  })

  test.each([
    ['AND binds tighter than OR', 'width=1 OR width=2 AND width=3', 'width=1 OR (width=2 AND width=3)'],
    ['and on the other side', 'width=1 AND width=2 OR width=3', '(width=1 AND width=2) OR width=3'],
    ['groups of one kind are one', 'width=1 AND (width=2 AND width=3)', 'width=1 AND width=2 AND width=3'],
    ['superfluous parentheses', '((width=1))', 'width=1'],
    ['two negations are none', 'NOT NOT width=1', 'width=1'],
    [
      'keywords in any case',
      'width=1 and not width=2 or tags in ["a"]',
      'width=1 AND NOT width=2 OR tags IN ["a"]',
    ],
    ['no spaces', 'tags IN["a"]AND(width=1)', 'tags IN ["a"] AND width = 1'],
    ['other white space', '\n width\t= 1\r\n', 'width = 1'],
    ['NOT= without a space', 'name NOT="a"', 'name NOT = "a"'],
    ['quoted plain fields', '"name" = "a"', 'name = "a"'],
    ['bare texts', 'name = a.jpg', 'name = "a.jpg"'],
    ['repeated list values', 'width IN [1, 1.0, 2]', 'width IN [1, 2]'],
    ['jpeg is jpg', 'format IN ["JPEG", "jpg"]', 'format IN ["jpg"]'],
    ['slashes around paths', 'path = "a//b/"', 'path = "/a/b"'],
    ['both forms of an accent in a name', 'name = "e\u0301"', 'name = "é"'],
    ['escapes', 'name = "\\u00e9\\x41\\U0001f600\\n\\t\\/"', 'name = "éA😀\n\t/"'],
    ['a quote of the other kind', `name = 'a"b'`, 'name = "a\\"b"'],
    ['quoted numbers', 'width = "500"', 'width = 500'],
    ['quoted booleans', 'private = "true"', 'private = true'],
    ['sizes in any case', 'size = 1.5KB', 'size = 1536'],
    ['words of HAS', 'name HAS "Red_DRESS-2024"', 'name HAS "red dress 2024"'],
    ['offsets', 'createdAt = "2020-01-01T02:00:00+02:00"', 'createdAt = "2020-01-01"'],
  ])('%s', (_, text, same) => {
    expect(parse(text)).toEqual(parse(same))
  })

  test('the canonical text has few parentheses', () => {
    expect(
      printSearch(parse('((a : "x") OR (width>1 AND NOT (height=2 OR size=3)))'.replace('a :', 'name :'))),
    ).toBe('name : "x" OR width > 1 AND NOT (height = 2 OR size = 3)')
  })
})

describe('values', () => {
  test.each([
    ['1h', NOW - 3_600_000],
    ['2d', NOW - 2 * DAY],
    ['3w', NOW - 21 * DAY],
    ['1m', Date.UTC(2026, 1, 28, 12)],
    ['4m', Date.UTC(2025, 10, 30, 12)],
    ['25m', Date.UTC(2024, 1, 29, 12)],
    ['1y', Date.UTC(2025, 2, 31, 12)],
    ['0d', NOW],
    ['2020-01-01', Date.UTC(2020, 0, 1)],
    ['2020-02-29', Date.UTC(2020, 1, 29)],
    ['2020-01-01T12:12', Date.UTC(2020, 0, 1, 12, 12)],
    ['2020-01-01T12:12:12', Date.UTC(2020, 0, 1, 12, 12, 12)],
    ['2020-01-01T12:12:12Z', Date.UTC(2020, 0, 1, 12, 12, 12)],
    ['2020-01-01T12:12:12.289Z', Date.UTC(2020, 0, 1, 12, 12, 12, 289)],
    ['2020-01-01T12:12:12.5', Date.UTC(2020, 0, 1, 12, 12, 12, 500)],
    ['2020-01-01T12:12:12-0530', Date.UTC(2020, 0, 1, 17, 42, 12)],
    ['0001-01-01', -62_135_596_800_000],
  ])('date %s', (text, ms) => {
    expect(value(`createdAt > "${text}"`)).toMatchObject({ type: 'date', ms })
  })

  test.each([
    '2020-13-01',
    '2020-00-01',
    '2020-02-30',
    '2021-02-29',
    '2020-01-32',
    '2020-1-1',
    '20200101',
    '2020-01-01T24:00:00',
    '2020-01-01T12:60:00',
    '2020-01-01 12:00:00',
    '2020-01-01Z',
    '7',
    'd',
    '7 d',
    '-7d',
    '7D',
    '1.5d',
    '999999d',
    'yesterday',
    '',
  ])('%j is no date', (text) => {
    expect(() => parse(`createdAt > "${text}"`)).toThrow(/expected a date/)
  })

  test.each([
    ['0', 0],
    ['1024', 1024],
    ['"10b"', 10],
    ['"10kb"', 10_240],
    ['"1.5 MB"', 1_572_864],
    ['2gb', 2_147_483_648],
    ['"1TB"', 1_099_511_627_776],
  ])('size %s', (text, number) => {
    expect(value(`size = ${text}`)).toEqual({ type: 'number', number })
  })

  test.each(['"1pb"', '"mb"', '"-1mb"', '"1,5mb"', '"9999999999tb"', '"1 m b"', 'big'])(
    '%s is no size',
    (text) => {
      expect(() => parse(`size = ${text}`)).toThrow(/expected a size/)
    },
  )

  test.each([
    ['0', 0],
    ['-0', 0],
    ['+1', 1],
    ['-1.5', -1.5],
    ['1e3', 1000],
    ['200.125', 200.125],
  ])('number %s', (text, number) => {
    expect(value(`"customMetadata.sold" = ${text}`)).toEqual({ type: 'number', number })
  })

  test.each(['.5', '5.', '0x10', '1_000', 'NaN', 'Infinity', '1e999', '"1mb"', 'true', '""'])(
    '%s is no number',
    (text) => {
      expect(() => parse(`width = ${text}`)).toThrow(/expected a number/)
    },
  )
})

describe('errors', () => {
  test.each([
    ['', 1, 'a field name but found the end of the query'],
    ['   ', 4, 'a field name'],
    ['name', 5, 'expected =, NOT =, :, IN, NOT IN, HAS, NOT HAS but found the end'],
    ['name =', 7, 'a text'],
    ['name = "a', 8, 'string without a closing "'],
    ['name = "a" width = 1', 12, 'AND, OR or the end of the query but found `width`'],
    ['name = "a" AND', 15, 'a field name'],
    ['name = AND width = 1', 8, 'a text such as "red" but found `AND`'],
    ['AND name = "a"', 1, 'a field name but found `AND`'],
    ['(name = "a"', 12, 'AND, OR or `)`'],
    ['name = "a")', 11, 'AND, OR or the end of the query but found `)`'],
    ['()', 2, 'a field name but found `)`'],
    ['name != "a"', 6, 'expected =, NOT ='],
    ['name == "a"', 7, 'a text'],
    ['name NOT : "a"', 10, 'expected =, IN, HAS after NOT'],
    ['width NOT < 1', 11, 'expected =, IN after NOT'],
    ['tags = "a"', 6, 'expected IN, NOT IN, HAS, NOT HAS, EXISTS, NOT EXISTS but found `=`'],
    ['name > "a"', 6, 'expected ='],
    ['name EXISTS', 6, 'expected ='],
    ['private IN [true]', 9, 'expected =, NOT ='],
    ['tags IN "a"', 9, 'a list such as'],
    ['tags IN []', 10, 'a text'],
    ['tags IN ["a",]', 14, 'a text'],
    ['tags IN ["a" "b"]', 14, '`,` or `]`'],
    ['tags IN ["a"', 13, '`,` or `]`'],
    ['name : ""', 8, 'a text that is not empty'],
    ['path = ""', 8, 'a folder path'],
    ['name HAS "--"', 10, 'at least one word'],
    ['private = yes', 11, 'true or false but found `yes`'],
    ['type = "image"', 8, 'expected "file", "file-version", "folder" but found "image"'],
    ['colour = "red"', 1, 'there is no field `colour`; the fields are id, name, tags'],
    ['constructor = "red"', 1, 'there is no field'],
    ['__proto__ = "red"', 1, 'there is no field'],
    ['"customMetadata.nope" = "a"', 1, 'there is no such custom metadata field'],
    ['"customMetadata.brand IN [x]"', 1, 'only the name of the field stands in quotes'],
    ['customMetadata.brand = "a"', 1, 'the field name must stand in quotes: "customMetadata.brand"'],
    ['"customMetadata.rating" > "good"', 27, 'a number without quotes'],
    ['"embeddedMetadata.Nope" = "a"', 1, 'there is no field'],
    ['"embeddedMetadata.LocationTaken" = "here"', 36, 'a location such as'],
    ['name = "a\\qb"', 10, 'unknown escape'],
    ['name = "\\u12"', 9, '4 hexadecimal digits'],
    ['name = "\\UFFFFFFFF"', 9, 'no such character'],
    ['name = a\u0000b', 9, 'control character'],
  ])('%j: column %i', (text, column, detail) => {
    const error = (() => {
      try {
        return parse(text)
      } catch (caught) {
        return caught
      }
    })()
    expect(error).toBeInstanceOf(TintypeError)
    expect(error).toMatchObject({ kind: 'bad-request' })
    const { message } = error as TintypeError
    expect(message).toContain(
      `Your request contains invalid syntax for the searchQuery parameter: at column ${column},`,
    )
    expect(message).toContain(detail)
  })

  test('the stray quote of the manual is overlooked at the very end only', () => {
    expect(parse(`name = "a"" `)).toEqual(parse('name = "a"'))
    expect(() => parse('name = "a"" AND width = 1')).toThrow(/string without/)
    expect(() => parse('name = "')).toThrow(/expected a text/)
    expect(() => parse('"')).toThrow(/expected a field name/)
  })

  test('limits', () => {
    expect(() => parse(`name = "${'a'.repeat(8185)}"`)).toThrow(/longer than 8192 bytes/)
    expect(() => parse(`name = "${'é'.repeat(4093)}"`)).toThrow(/longer than 8192 bytes/)
    expect(parse(`name = "${'a'.repeat(8183)}"`)).toMatchObject({ condition: { kind: 'compare' } })
    const nested = (depth: number) => `${'('.repeat(depth)}width = 1${')'.repeat(depth)}`
    expect(parse(nested(20))).toEqual(parse('width = 1'))
    expect(() => parse(nested(21))).toThrow(/more than 20 levels/)
    expect(() => parse(`${'NOT '.repeat(21)}width = 1`)).toThrow(/more than 20 levels/)
    expect(() => parse(`${'('.repeat(8000)}`)).toThrow(/more than 20 levels/)
    const many = (count: number) => Array.from({ length: count }, (_, i) => `width=${i}`).join(' OR ')
    expect(parse(many(200)).condition).toMatchObject({ kind: 'or' })
    expect(() => parse(many(201))).toThrow(/more than 200 comparisons/)
    const list = Array.from({ length: 1001 }, (_, i) => i)
    expect(() => parse(`width IN [${list}]`)).toThrow(/more than 1000 values/)
    expect(() => parseSearch('width = 1', { nowMs: NOW, limits: { maxBytes: 5 } })).toThrow(
      /longer than 5 bytes/,
    )
  })
})

describe('which types are found without a word of `type`', () => {
  test.each([
    ['name = "a"', ['file', 'folder']],
    ['"customMetadata.brand" = "a" OR path : "/a"', ['file', 'folder']],
    ['id = "a"', ['file', 'folder']],
    ['createdAt > "7d"', ['file']],
    ['createdAt > "7d" AND name : "a"', ['file']],
    ['tags NOT IN ["a"]', ['file']],
    ['type = "file"', ['file', 'file-version', 'folder']],
    ['name = "a" AND NOT (type = "folder")', ['file', 'file-version', 'folder']],
  ])('%s', (text, types) => {
    expect(parse(text).assetTypes).toEqual(types)
  })

  test('type decides by itself', () => {
    const version = file({ type: 'file-version' })
    expect(holds('name : "red"', version)).toBe(false)
    expect(holds('name : "red" AND type IN ["file", "file-version"]', version)).toBe(true)
    expect(holds('type NOT = "folder"', version)).toBe(true)
    expect(holds('type = "folder" AND createdAt > "7d"', folder())).toBe(true)
    expect(holds('createdAt > "7d"', folder())).toBe(false)
  })
})

describe('evaluation', () => {
  test.each([
    ['name = "red-dress-summer.jpg"', true],
    ['name = "Red-dress-summer.jpg"', false],
    ['name : "red-dress"', true],
    ['name : "Red"', false],
    ['name : "dress"', false],
    ['name NOT = "x"', true],
    ['name IN ["x", "red-dress-summer.jpg"]', true],
    ['name NOT IN ["x", "red-dress-summer.jpg"]', false],
    ['name HAS "DRESS red"', true],
    ['name HAS "red sum"', true],
    ['name HAS "sum red"', false],
    ['name HAS "ress"', false],
    ['name NOT HAS "winter"', true],
    ['tags IN ["banner"]', true],
    ['tags IN ["Banner"]', false],
    ['tags IN ["Shirt"]', true],
    ['tags NOT IN ["Shirt"]', false],
    ['tags NOT IN ["winter"]', true],
    ['tags HAS "sal"', true],
    ['tags HAS "summer shirt"', true],
    ['tags EXISTS', true],
    ['tags NOT EXISTS', false],
    ['path = "/sales/summer/"', true],
    ['path = "/sales"', false],
    ['path : "/sales"', true],
    ['path : "sales/"', true],
    ['path : "/sale"', false],
    ['path : "/"', true],
    ['path NOT = "/sales"', true],
    ['createdAt > "7d"', true],
    ['createdAt > "2d"', false],
    ['createdAt < 2d', true],
    ['createdAt > "7d" AND name: "red"', true],
    ['width > 500', true],
    ['width IN [800]', true],
    ['width NOT = 800', false],
    ['size < "1mb"', true],
    ['size > "1mb"', false],
    ['format = "jpg"', true],
    ['format = "jpeg"', true],
    ['format NOT IN ["png"]', true],
    ['private = true', false],
    ['private NOT = true', true],
    ['published = true', true],
    ['transparency = false', true],
    ['createdBy = "a@example.com"', false],
    ['createdBy NOT = "a@example.com"', true],
    ['(size > "1mb" AND width > 500) OR (tags IN ["summer-sale","x"])', true],
    ['NOT (name : "red" AND width > 1000)', true],
    ['NOT width > 1000', true],
  ])('%s is %s', (text, expected) => {
    expect(holds(text, file())).toBe(expected)
  })

  test('what an asset does not have is never found by it, negated or not', () => {
    const video = file({ fileType: 'non-image', widthPx: 1920, hasAlpha: null })
    expect(holds('width > 1', video)).toBe(false)
    expect(holds('width NOT = 1', video)).toBe(false)
    expect(holds('transparency = false', video)).toBe(false)
    expect(holds('NOT (width > 1)', video)).toBe(true)
    expect(holds('type = "folder" AND tags NOT IN ["a"]', folder())).toBe(false)
    expect(holds('type = "folder" AND tags NOT EXISTS', folder())).toBe(false)
  })

  test('missing values fail what is not negated and pass what is', () => {
    const bare = file({ tags: null, aiTags: null, widthPx: null, hasAlpha: null })
    expect(holds('tags IN ["a"]', bare)).toBe(false)
    expect(holds('tags NOT IN ["a"]', bare)).toBe(true)
    expect(holds('tags NOT EXISTS', bare)).toBe(true)
    expect(holds('width < 5', bare)).toBe(false)
    expect(holds('width NOT = 5', bare)).toBe(true)
    expect(holds('"customMetadata.brand" = ""', bare)).toBe(false)
    expect(holds('"customMetadata.brand" NOT = "x"', bare)).toBe(true)
    expect(holds('"customMetadata.brand" NOT EXISTS', bare)).toBe(true)
    expect(holds('"embeddedMetadata.LocationTaken" = "0,0 5km"', bare)).toBe(false)
    expect(holds('"embeddedMetadata.LocationTaken" NOT = "0,0 5km"', bare)).toBe(true)
  })

  test('a time is equal to, before or after a value, and only one of these', () => {
    for (const ms of [-1, 0, 1, 500, 999, 1000, 1001]) {
      const document = file({ createdAtMs: Date.UTC(2020, 0, 1) + ms })
      const truths = ['<', '=', '>'].map((op) => holds(`createdAt ${op} "2020-01-01"`, document))
      expect(truths).toEqual([ms < 0, ms >= 0 && ms < 1000, ms >= 1000])
      expect(holds('createdAt <= "2020-01-01"', document)).toBe(ms < 1000)
      expect(holds('createdAt >= "2020-01-01"', document)).toBe(ms >= 0)
      expect(holds('createdAt NOT = "2020-01-01"', document)).toBe(ms < 0 || ms >= 1000)
      expect(holds('createdAt IN ["2019-01-01", "2020-01-01"]', document)).toBe(ms >= 0 && ms < 1000)
      expect(holds('createdAt = "2020-01-01T00:00:00.001"', document)).toBe(ms === 1)
    }
  })

  describe('custom metadata', () => {
    const asset = file({
      customMetadata: {
        brand: 'Nike Air',
        sold: 250.5,
        bought: '2020-06-01T00:00:00.000Z',
        active: true,
        rating: 4.5,
        tuple: ['luxury', 500, true],
        'odd name "x"': 'y',
        constructor: 'own',
      },
    })
    test.each([
      ['"customMetadata.brand" = "Nike Air"', true],
      ['"customMetadata.brand" : "Nike"', true],
      ['"customMetadata.brand" : "nike"', false],
      ['"customMetadata.brand" HAS "air ni"', true],
      ['"customMetadata.brand" IN ["Nike Air", "x"]', true],
      ['"customMetadata.brand" EXISTS', true],
      ['"customMetadata.story" EXISTS', false],
      ['"customMetadata.sold" >= 250.5', true],
      ['"customMetadata.sold" > "250.5"', false],
      ['"customMetadata.bought" > 2020-01-01', true],
      ['"customMetadata.bought" = "2020-06-01"', true],
      ['"customMetadata.bought" > "1y"', false],
      ['"customMetadata.active" = true', true],
      ['"customMetadata.active" NOT = true', false],
      ['"customMetadata.rating" > 4.3', true],
      ['"customMetadata.rating" = "4.5"', false],
      ['"customMetadata.rating" = 4.5', true],
      ['"customMetadata.rating" : "4"', false],
      ['"customMetadata.tuple" IN [500]', true],
      ['"customMetadata.tuple" IN ["500"]', false],
      ['"customMetadata.tuple" IN ["true"]', false],
      ['"customMetadata.tuple" IN [true, "x"]', true],
      ['"customMetadata.tuple" NOT IN ["big-banner"]', true],
      ['"customMetadata.tuple" NOT IN ["big-banner", "luxury"]', false],
      ['"customMetadata.odd name \\"x\\"" = "y"', true],
    ])('%s is %s', (text, expected) => {
      expect(holds(text, asset)).toBe(expected)
    })

    test('folders have it too', () => {
      expect(holds('"customMetadata.brand" : "N"', folder({ customMetadata: { brand: 'Nike' } }))).toBe(true)
    })

    test('names of inherited members find nothing', () => {
      const custom = [{ name: 'toString', type: 'Text' }] as const
      const query = parseSearch('"customMetadata.toString" EXISTS', { nowMs: NOW, customFields: custom })
      expect(evaluateSearch(query, asset)).toBe(false)
    })
  })

  describe('embedded metadata', () => {
    const asset = file({
      embeddedMetadata: {
        Keywords: ['luxury', 'dress'],
        DateTimeOriginal: '2025-12-24T18:00:00.000Z',
        Make: 'Canon',
        ISO: 400,
      },
      location: { latitude: 40.02, longitude: 100.03 },
    })
    test.each([
      ['"embeddedMetadata.Keywords" IN ["luxury"]', true],
      ['"embeddedMetadata.Keywords" NOT IN ["luxury"]', false],
      ['"embeddedMetadata.Keywords" NOT EXISTS', false],
      ['"embeddedMetadata.DateTimeOriginal" > "1y"', true],
      ['"embeddedMetadata.DateTimeOriginal" > "1m"', false],
      ['"embeddedMetadata.Make" : "Can"', true],
      ['"embeddedMetadata.ISO" >= 400', true],
      ['"embeddedMetadata.LocationTaken" = "40,100 5km"', true],
      ['"embeddedMetadata.LocationTaken" = "40,100 3km"', false],
      ['"embeddedMetadata.LocationTaken" = "40,100|50,105"', true],
      ['"embeddedMetadata.LocationTaken" = "50,105|40,100"', true],
      ['"embeddedMetadata.LocationTaken" = "40,105|50,100"', true],
      ['"embeddedMetadata.LocationTaken" = "41,100|50,105"', false],
      ['"embeddedMetadata.LocationTaken" = "0,0|0,100|40,100|40,0"', false],
      ['"embeddedMetadata.LocationTaken" = "0,0|0,101|41,101|41,0"', true],
      ['"embeddedMetadata.LocationTaken" EXISTS', true],
      ['"embeddedMetadata.LocationTaken" NOT = "40,100 5km"', false],
    ])('%s is %s', (text, expected) => {
      expect(holds(text, asset)).toBe(expected)
    })
  })
})

test('every field has a summary, and every operator of every field parses', () => {
  const literals: Record<string, string> = {
    text: '"a"',
    token: '"file"',
    path: '"/a"',
    list: '"a"',
    'mixed-list': '1',
    select: '1',
    number: '1',
    size: '1',
    date: '"1d"',
    boolean: 'true',
    location: '"0,0 1km"',
  }
  const fields = searchFields({ customFields, embeddedFields: options.embeddedFields })
  expect(fields.size).toBe(15 + 5 + customFields.length)
  for (const [key, { ref, operators, summary }] of fields) {
    expect(summary).not.toBe('')
    const literal = literals[ref.type]!
    for (const operator of operators) {
      const name = JSON.stringify(key)
      const texts = {
        '=': [`${name} = ${literal}`, `${name} NOT = ${literal}`],
        ':': [`${name} : "a"`],
        order: ['<', '<=', '>', '>='].map((op) => `${name} ${op} ${literal}`),
        IN: [`${name} IN [${literal}]`, `${name} NOT IN [${literal}]`],
        HAS: [`${name} HAS "a"`, `${name} NOT HAS "a"`],
        EXISTS: [`${name} EXISTS`, `${name} NOT EXISTS`],
      }[operator]
      for (const text of texts) {
        const query = parse(text)
        expect(parse(printSearch(query))).toEqual(query)
      }
    }
  }
})
