import { describe, expect, test } from 'vitest'
import { TintypeError } from '../../../src/kernel/errors.ts'
import {
  CHECKS_FAILED_MESSAGE,
  CHECKS_SYNTAX_MESSAGE,
  type ChecksSubject,
  type CustomField,
  checksFields,
  evaluateChecks,
  parseChecks,
  printChecks,
} from '../../../src/query/query.ts'

const customFields: CustomField[] = [
  { name: 'label', type: 'Text' },
  { name: 'price', type: 'Number' },
  { name: 'due', type: 'Date' },
  { name: 'active', type: 'Boolean' },
  { name: 'rating', type: 'SingleSelect' },
  { name: 'tuple', type: 'MultiSelect' },
]
const options = { nowMs: Date.UTC(2026, 0, 1), customFields }
const parse = (text: string) => parseChecks(text, options)

const image: ChecksSubject = {
  request: {
    fileName: 'red-dress.jpg',
    useUniqueFileName: true,
    tags: ['summer', 'dress'],
    folder: '/marketing/2026',
    isPrivateFile: false,
    isPublished: true,
    overwriteFile: true,
    overwriteAITags: true,
    overwriteTags: true,
    overwriteCustomMetadata: true,
    customMetadata: { label: 'new', price: 20, due: '2026-03-04', active: true, rating: 4, tuple: ['a', 1] },
  },
  file: { size: 700_000, mime: 'image/jpeg' },
  mediaMetadata: { width: 1200, height: 900 },
}
const video: ChecksSubject = {
  ...image,
  file: { size: 5_000_000, mime: 'video/mp4' },
  mediaMetadata: {
    width: 1920,
    height: 1080,
    duration: 12.5,
    videoCodec: 'hevc',
    audioCodec: 'aac',
    bitRate: 4_000_000,
  },
}

describe('evaluation', () => {
  test.each([
    [`'file.size' < '1MB'`, true],
    [`"file.size" < "1mb"`, true],
    [`"file.size" < 1mb`, true],
    [`'file.size' <= 700000`, true],
    [`'file.size' < 700000`, false],
    [`"request.folder" : "marketing/"\n`, true],
    [`"request.folder" : "/marketing"`, true],
    [`'request.folder' : 'market'`, false],
    [`"request.folder" = "marketing/2026"`, true],
    [`"request.folder" NOT = marketing`, true],
    [`"request.folder" = "tenant/1" OR "request.folder" : "tenant/1/"`, false],
    [`"request.folder" IN ["a", "/marketing/2026/"]`, true],
    [`"file.mime" : image`, true],
    [`"file.mime" : "IMAGE/"`, true],
    [`"file.mime" = image/jpeg`, true],
    [`"file.mime" NOT IN ["image/png", "image/gif"]`, true],
    [`"mediaMetadata.width" <= 1500 AND "mediaMetadata.height" <= 2000`, true],
    [`"mediaMetadata.width" <= 1000 AND "mediaMetadata.height" <= 2000`, false],
    [`"mediaMetadata.duration" < 60`, false],
    [`"mediaMetadata.videoCodec" NOT = hevc`, true],
    [`"request.fileName" : "red"`, true],
    [`"request.fileName" : "Red"`, false],
    [`"request.useUniqueFileName" = true`, true],
    [`"request.isPrivateFile" NOT = true`, true],
    [`"request.tags" HAS "summer"`, true],
    [`"request.tags" HAS "sum"`, false],
    [`"request.tags" NOT HAS "winter"`, true],
    [`"request.tags" IN ["winter", "dress"]`, true],
    [`"request.webhookUrl" = "https://example.com"`, false],
    [`"request.webhookUrl" NOT = "https://example.com"`, true],
    [`"request.customCoordinates" : "1,"`, false],
    [`"request.customMetadata.label" = new`, true],
    [`"request.customMetadata.price" >= 20`, true],
    [`"request.customMetadata.due" : "2026-03"`, true],
    [`"request.customMetadata.due" : "2026"`, true],
    [`"request.customMetadata.due" : "2026-03-05"`, false],
    [`"request.customMetadata.due" > "2026-03-03"`, true],
    [`"request.customMetadata.active" = true`, true],
    [`"request.customMetadata.rating" > 3`, true],
    [`"request.customMetadata.rating" = "4"`, false],
    [`"request.customMetadata.tuple" HAS 1`, true],
    [`"request.customMetadata.tuple" HAS "1"`, false],
    [`"request.customMetadata.tuple" NOT HAS b`, true],
    [`"request.customMetadata.label" EXISTS`, true],
    [`NOT ("file.mime" : video)`, true],
  ])('%s is %s for an image', (text, expected) => {
    const checks = parse(text)
    expect(evaluateChecks(checks, image)).toBe(expected)
    expect(parse(printChecks(checks))).toEqual(checks)
  })

  test.each([
    [`"file.mime" : image OR ("mediaMetadata.videoCodec" = hevc AND "mediaMetadata.audioCodec" = aac)`, true],
    [
      `"file.mime" : image OR ("mediaMetadata.videoCodec" = h264 AND "mediaMetadata.audioCodec" = aac)`,
      false,
    ],
    [`"mediaMetadata.duration" <= 12.5`, true],
    [`"mediaMetadata.bitRate" > 5000000`, false],
    [`"file.size" > "4mb"`, true],
  ])('%s is %s for a video', (text, expected) => {
    expect(evaluateChecks(parse(text), video)).toBe(expected)
  })

  test('custom metadata named like inherited members is not there', () => {
    const checks = parseChecks('"request.customMetadata.constructor" EXISTS', {
      nowMs: 0,
      customFields: [{ name: 'constructor', type: 'Text' }],
    })
    expect(evaluateChecks(checks, image)).toBe(false)
  })
})

describe('errors', () => {
  test.each([
    ['', 'at column 1, expected a field name'],
    ['file.size < "1mb"', 'at column 1, the field name must stand in quotes: "file.size"'],
    [`'file.size' < '1mb''`, 'at column 20, string without a closing'],
    [`"file.size"" < 1`, 'string without a closing'],
    ['"file.size" : 5', 'expected =, NOT =, <'],
    ['"request.tags" = "a"', 'expected HAS, NOT HAS'],
    ['"request.tags" HAS ["a"]', 'expected a text'],
    ['"name" = "a"', 'there is no field "name"; the fields are "request.fileName"'],
    ['"request.customMetadata.none" = "a"', 'there is no such custom metadata field'],
    ['"request.customMetadata" = "a"', 'there is no field'],
    ['"request.customMetadata.due" : "March"', 'a year, month or day'],
    ['"request.customMetadata.due" : "2026-02-30"', 'a year, month or day'],
    ['"request.file" = 1; DROP TABLE files', 'there is no field'],
    ['"file.size" < 1mb AND', 'expected a field name'],
  ])('%j', (text, detail) => {
    try {
      parse(text)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(TintypeError)
      expect(error).toMatchObject({ kind: 'bad-request', message: CHECKS_SYNTAX_MESSAGE })
      expect((error as TintypeError).extra).toEqual({ errors: { checks: expect.stringContaining(detail) } })
    }
  })

  test('the messages are those of the contract', () => {
    expect(CHECKS_SYNTAX_MESSAGE).toBe('Your request contains invalid syntax for the checks parameter.')
    expect(CHECKS_FAILED_MESSAGE).toBe("Your request failed 'checks' validation.")
  })
})

test('the documented operators of every field are there', () => {
  const fields = checksFields({ customFields })
  const operators = Object.fromEntries([...fields].map(([key, { operators: list }]) => [key, list]))
  const text = ['=', ':', 'IN']
  const number = ['=', 'order']
  const boolean = ['=']
  const documented: Record<string, string[]> = {
    'request.fileName': text,
    'request.useUniqueFileName': boolean,
    'request.tags': ['HAS'],
    'request.folder': text,
    'request.isPrivateFile': boolean,
    'request.isPublished': boolean,
    'request.customCoordinates': text,
    'request.webhookUrl': text,
    'request.overwriteFile': boolean,
    'request.overwriteAITags': boolean,
    'request.overwriteTags': boolean,
    'request.overwriteCustomMetadata': boolean,
    'file.size': number,
    'file.mime': text,
    'mediaMetadata.width': number,
    'mediaMetadata.height': number,
    'mediaMetadata.duration': number,
    'mediaMetadata.videoCodec': text,
    'mediaMetadata.audioCodec': text,
    'mediaMetadata.bitRate': number,
    'request.customMetadata.label': text,
    'request.customMetadata.price': number,
    'request.customMetadata.due': [...text, 'order'],
    'request.customMetadata.active': boolean,
    'request.customMetadata.rating': [...text, 'order'],
    'request.customMetadata.tuple': ['HAS'],
  }
  expect(Object.keys(operators).sort()).toEqual(Object.keys(documented).sort())
  for (const [key, wanted] of Object.entries(documented)) {
    expect(operators[key]).toEqual(expect.arrayContaining(wanted))
  }
})
