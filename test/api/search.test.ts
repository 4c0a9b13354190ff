import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

const NOW = Date.UTC(2026, 4, 31, 8, 30)

describe('GET /v1/files with a search', () => {
  let tintype: TestTintype

  beforeAll(async () => {
    tintype = await startTintype({ clock: { now: () => NOW } })
    const field = { name: 'brand', label: 'Brand', schema: { type: 'Text' } }
    const made = await fetch(`${tintype.url}/v1/customMetadataFields`, {
      method: 'POST',
      headers: { authorization: tintype.authorization, 'content-type': 'application/json' },
      body: JSON.stringify(field),
    })
    expect(made.status).toBe(201)
    const put = (fileName: string, fields: Record<string, string> = {}) =>
      upload(tintype, Buffer.from(fileName), { fileName, useUniqueFileName: 'false', ...fields })
    await put('a.txt', { tags: 'red' })
    await put('b.txt', { tags: 'red,blue', folder: '/deep' })
    await put('c.txt', { tags: 'red', customMetadata: '{"brand":"Acme"}' })
    await put('c.txt', { tags: 'red', customMetadata: '{"brand":"Acme"}' })
    await put('d.json', { folder: '/deep/er' })
  })
  afterAll(() => tintype.stop())

  const get = async (parameters: Record<string, string>) => {
    const response = await fetch(`${tintype.url}/v1/files?${new URLSearchParams(parameters)}`, {
      headers: { authorization: tintype.authorization },
    })
    const body = (await response.json()) as { name: string; type: string; message: string }[]
    const header = (name: string) => response.headers.get(name)
    return { status: response.status, body, header }
  }
  const namesOf = (body: { name: string }[]) => body.map(({ name }) => name)

  it.each<[string, Record<string, string>, string[]]>([
    ['a tag', { searchQuery: 'tags IN ["red"]' }, ['a.txt', 'b.txt', 'c.txt']],
    ['custom metadata', { searchQuery: '"customMetadata.brand" = "Acme"' }, ['c.txt']],
    ['old versions', { searchQuery: 'type = "file-version"' }, ['c.txt']],
    ['files and folders by name', { searchQuery: 'name : "d"', sort: 'ASC_NAME' }, ['d.json', 'deep']],
    [
      'what was made lately',
      { searchQuery: 'createdAt >= 1h AND size > 0' },
      ['a.txt', 'b.txt', 'c.txt', 'd.json'],
    ],
    ['within the path', { searchQuery: 'size > 0', path: '/deep' }, ['b.txt']],
    ['below a path', { searchQuery: 'path : "/deep" AND size > 0' }, ['b.txt', 'd.json']],
    [
      'without type, tags and name',
      { searchQuery: 'tags IN ["blue"]', type: 'folder', tags: 'x', name: 'y' },
      ['b.txt'],
    ],
    ['without a type that is none', { searchQuery: 'tags IN ["blue"]', type: 'nothing' }, ['b.txt']],
    ['sorted', { searchQuery: 'tags EXISTS', sort: 'DESC_NAME' }, ['c.txt', 'b.txt', 'a.txt']],
    ['with limit and skip', { searchQuery: 'tags EXISTS', limit: '1', skip: '1' }, ['b.txt']],
    ['of a file type', { searchQuery: 'tags EXISTS', fileType: 'image' }, []],
    ['nothing, when the query is empty', { searchQuery: '', name: 'a.txt' }, ['a.txt']],
    ['nothing, when the query is blank', { searchQuery: '  ', tags: 'blue' }, ['b.txt']],
  ])('finds %s', async (_, parameters, names) => {
    const { status, body } = await get(parameters)
    expect(status).toBe(200)
    expect(namesOf(body)).toStrictEqual(names)
  })

  it('tells how many there are, and where the next page begins', async () => {
    const parameters = { searchQuery: 'tags EXISTS', sort: 'ASC_NAME', limit: '2' }
    const first = await get(parameters)
    expect(first.header('x-total-count')).toBe('3')
    expect(first.header('x-total-count-relation')).toBe('eq')
    const cursor = first.header('x-next-cursor')!
    const second = await get({ ...parameters, cursor })
    expect(namesOf([...first.body, ...second.body])).toStrictEqual(['a.txt', 'b.txt', 'c.txt'])
    expect(second.header('x-total-count')).toBe('3')
    expect(second.header('x-next-cursor')).toBeNull()
    const other = await get({ ...parameters, sort: 'DESC_NAME', cursor })
    expect(other.status).toBe(400)
    expect(other.body).toMatchObject({
      message: expect.stringContaining('The cursor belongs to another list'),
    })
  })

  it('tells how many there are behind a skip, too', async () => {
    const page = await get({ searchQuery: 'tags IN ["red"]', limit: '1', skip: '1' })
    expect(namesOf(page.body)).toStrictEqual(['b.txt'])
    expect(page.header('x-total-count')).toBe('3')
    expect(page.header('x-total-count-relation')).toBe('eq')
  })

  it('pages plain lists by cursor too', async () => {
    const names: string[] = []
    let cursor: string | null = ''
    do {
      const page = await get({ type: 'all', sort: 'DESC_SIZE', limit: '1', ...(cursor && { cursor }) })
      names.push(...namesOf(page.body))
      cursor = page.header('x-next-cursor')
    } while (cursor !== null)
    expect(names).toStrictEqual(namesOf((await get({ type: 'all', sort: 'DESC_SIZE' })).body))
    expect(names).toHaveLength(6)
  })

  it.each([
    ['size >', 'at column 7, expected a size'],
    ['"customMetadata.none" = "x"', 'at column 1, there is no field'],
    ['tags IN [', 'at column 10'],
    [`name = "${'x'.repeat(9000)}"`, 'longer than 8192 bytes'],
  ])('answers 400 to %s', async (searchQuery, message) => {
    const { status, body } = await get({ searchQuery })
    expect(status).toBe(400)
    expect(body).toMatchObject({
      message: expect.stringContaining('Your request contains invalid syntax for the searchQuery parameter'),
    })
    expect(body).toMatchObject({ message: expect.stringContaining(message) })
  })
})
