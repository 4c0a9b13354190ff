import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

/** 1×1 PNG of 70 bytes. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

let tintype: TestTintype

beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

const send = (checks: string, fields: Record<string, string> = {}) =>
  upload(tintype, PIXEL, {
    fileName: 'my photo.png',
    tags: 'red,blue',
    folder: '/marketing/2026',
    ...fields,
    checks,
  })

describe('checks of an upload', () => {
  it.each([
    `'file.size' < '1MB'`,
    `"file.mime" : "image"`,
    `"request.folder" : "marketing/"`,
    `"mediaMetadata.width" = 1 AND "mediaMetadata.height" <= 1`,
    `"request.fileName" = "my_photo.png"`,
    `"request.tags" IN ["red"] AND "request.isPrivateFile" = false`,
    `"file.size" > "1MB" OR "file.mime" = "image/png"`,
  ])('passes %s', async (checks) => {
    expect((await send(checks)).status).toBe(200)
  })

  it.each([
    `'file.size' > '1MB'`,
    `"file.mime" : "video"`,
    `"request.folder" : "secret/"`,
    `"mediaMetadata.duration" > 1`,
    `"request.isPublished" = false`,
  ])('fails %s and stores nothing', async (checks) => {
    const folder = '/failed'
    const answer = await send(checks, { folder })
    expect(answer).toMatchObject({
      status: 400,
      body: { message: "Your request failed 'checks' validation." },
    })
    const query = { type: 'file', sort: { key: 'CREATED', descending: false }, folderPath: folder } as const
    const { assets } = await tintype.library.search({ ...query, limit: 10, skip: 0 })
    expect(assets).toEqual([])
  })

  it.each([`"file.size" <`, `"file.colour" = 1`, `file.size < 1`, `process.exit()`])(
    'refuses the syntax of %s',
    async (checks) => {
      expect(await send(checks)).toMatchObject({
        status: 400,
        body: { message: 'Your request contains invalid syntax for the checks parameter.' },
      })
    },
  )
})
