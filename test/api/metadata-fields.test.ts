import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTintype, type TestTintype, upload } from '../support/tintype.ts'

let tintype: TestTintype

beforeAll(async () => {
  tintype = await startTintype()
})
afterAll(() => tintype.stop())

type Answer = { status: number; body: Record<string, unknown> & { id: string; schema: unknown } }

async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${tintype.url}/v1/customMetadataFields${path}`, {
    method,
    headers: {
      authorization: tintype.authorization,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? ({} as Answer['body']) : JSON.parse(text) }
}

const create = (name: string, schema: unknown, more: object = {}) =>
  call('POST', '', { name, label: `Label ${name}`, schema, ...more })

describe('creating fields', () => {
  it('answers as documented and lists the field', async () => {
    const schema = { type: 'Number', minValue: 1000, maxValue: 3000 }
    const { status, body } = await call('POST', '', { name: 'price', label: 'price', schema })
    expect(status).toBe(201)
    expect(body).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{24}$/),
      name: 'price',
      label: 'price',
      schema,
    })
    expect((await call('GET', '')).body).toContainEqual(body)
  })

  it.each([
    ['text', { type: 'Text', minLength: 2, maxLength: 5, isValueRequired: true, defaultValue: 'abc' }],
    ['area', { type: 'Textarea' }],
    ['date', { type: 'Date', minValue: '2024-01-01', maxValue: '2024-12-31T00:00:00Z' }],
    ['flag', { type: 'Boolean', isValueRequired: true, defaultValue: false }],
    ['one', { type: 'SingleSelect', selectOptions: ['small', 30, true], defaultValue: 30 }],
    ['many', { type: 'MultiSelect', selectOptions: ['a', 'b'], defaultValue: ['a'] }],
  ])('takes a schema of %s', async (name, schema) => {
    const { status, body } = await create(`ok_${name}`, schema)
    expect([status, body.schema]).toEqual([201, schema])
    await call('DELETE', `/${body.id}`)
  })

  it.each([
    ['minValue', { type: 'Number', minValue: '1' }],
    ['maxLength', { type: 'Number', maxLength: 5 }],
    ['minValue', { type: 'Text', minValue: 5 }],
    ['maxValue', { type: 'Number', minValue: 5, maxValue: 4 }],
    ['maxLength', { type: 'Text', minLength: 5, maxLength: 4 }],
    ['minValue', { type: 'Date', minValue: 'yesterday' }],
    ['selectOptions', { type: 'SingleSelect' }],
    ['selectOptions', { type: 'MultiSelect', selectOptions: [] }],
    ['selectOptions', { type: 'MultiSelect', selectOptions: [{}] }],
    ['selectOptions', { type: 'SingleSelect', selectOptions: ['a', 'a'] }],
    ['defaultValue', { type: 'Text', isValueRequired: true }],
    ['defaultValue', { type: 'SingleSelect', selectOptions: ['a'], defaultValue: 'b' }],
    ['defaultValue', { type: 'Number', maxValue: 5, defaultValue: 6 }],
    ['isValueRequired', { type: 'Text', isValueRequired: 'yes' }],
    ['unknown', { type: 'Text', unknown: 1 }],
    ['type', { type: 'Colour' }],
    ['type', {}],
    ['schema', 'Text'],
  ])('names %s as what is wrong with %j', async (member, schema) => {
    const { status, body } = await create('wrong', schema)
    expect(status).toBe(400)
    expect(body).toMatchObject({ message: 'Invalid field object', errors: { [member]: expect.any(String) } })
  })

  it('refuses names that were ever used and labels that are in use', async () => {
    const first = await create('brand', { type: 'Text' })
    expect((await create('brand', { type: 'Text' }, { label: 'other' })).body.message).toBe(
      'A custom metadata field with this name already exists.',
    )
    expect((await create('brand2', { type: 'Text' }, { label: 'Label brand' })).body.message).toBe(
      'A custom metadata field with this label already exists.',
    )
    expect((await call('DELETE', `/${first.body.id}`)).status).toBe(204)
    expect((await create('brand', { type: 'Text' }, { label: 'other' })).body.message).toBe(
      'A custom metadata field with this name already exists.',
    )
    expect((await create('brand3', { type: 'Text' }, { label: 'Label brand' })).status).toBe(201)
  })
})

describe('changing and deleting fields', () => {
  it('changes label and schema and ignores a type', async () => {
    const { body } = await create('size', { type: 'Number', minValue: 1 })
    const changed = await call('PATCH', `/${body.id}`, {
      label: 'Size',
      schema: { type: 'Text', minValue: 5 },
    })
    expect(changed).toEqual({
      status: 200,
      body: { id: body.id, name: 'size', label: 'Size', schema: { type: 'Number', minValue: 5 } },
    })
  })

  it('answers the documented errors', async () => {
    const { body } = await create('colour', { type: 'Text' })
    const message = async (method: string, path: string, payload?: unknown) => {
      const answer = await call(method, path, payload)
      return [answer.status, answer.body.message]
    }
    expect(await message('PATCH', `/${body.id}`, {})).toEqual([
      400,
      'Either label or schema should be provided.',
    ])
    expect(await message('PATCH', `/${body.id}`, { name: 'x', label: 'y' })).toEqual([
      400,
      'Name cannot be updated.',
    ])
    expect(await message('PATCH', `/${body.id}`, { schema: { minValue: 3 } })).toEqual([
      400,
      'Invalid schema object.',
    ])
    expect(await message('PATCH', '/nonsense', { label: 'x' })).toEqual([
      400,
      'Your request contains invalid ID parameter.',
    ])
    const unknown = `/${'0'.repeat(24)}`
    expect(await message('PATCH', unknown, { label: 'x' })).toEqual([
      404,
      'No such custom metadata field exists.',
    ])
    expect(await message('DELETE', unknown)).toEqual([404, 'No such custom metadata field exists.'])
    await call('DELETE', `/${body.id}`)
    expect(await message('PATCH', `/${body.id}`, { label: 'x' })).toEqual([
      400,
      'Cannot update a deleted custom metadata fields.',
    ])
    const listed = (await call('GET', '')).body as unknown as { name: string }[]
    expect(listed.map((field) => field.name)).not.toContain('colour')
    const all = (await call('GET', '?includeDeleted=true')).body as unknown as { name: string }[]
    expect(all.map((field) => field.name)).toContain('colour')
  })
})

describe('values of uploads', () => {
  const text = Buffer.from('hello')
  const send = (customMetadata: object) =>
    upload(tintype, text, {
      fileName: 'a.txt',
      customMetadata: JSON.stringify(customMetadata),
      responseFields: 'customMetadata,selectedFieldsSchema',
    })

  it('are checked against the fields, get defaults and outlive a changed schema', async () => {
    await create('rating', {
      type: 'Number',
      minValue: 1,
      maxValue: 5,
      isValueRequired: true,
      defaultValue: 3,
    })
    const kind = await create('kind', { type: 'SingleSelect', selectOptions: ['photo', 'drawing'] })
    const good = await send({ kind: 'photo' })
    expect(good.body).toMatchObject({ customMetadata: { kind: 'photo', rating: 3 } })
    expect(good.body.selectedFieldsSchema).toMatchObject({ kind: { type: 'SingleSelect' } })
    expect(await send({ kind: 'film', rating: 9, nothing: 1 })).toMatchObject({
      status: 400,
      body: {
        message: 'Invalid custom metadata.',
        errors: { kind: expect.any(String), rating: expect.any(String), nothing: expect.any(String) },
      },
    })
    await call('PATCH', `/${kind.body.id}`, { schema: { selectOptions: ['film'] } })
    const details = await fetch(`${tintype.url}/v1/files/${good.body.fileId}/details`, {
      headers: { authorization: tintype.authorization },
    })
    expect(await details.json()).toMatchObject({ customMetadata: { kind: 'photo', rating: 3 } })
  })
})
