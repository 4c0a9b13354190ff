import { describe, expect, it } from 'vitest'
import { parseUploadParams } from '../../../src/http/upload-params.ts'

const NAME: [string, string] = ['fileName', 'a.jpg']
const parse = (...fields: [string, string][]) => parseUploadParams([NAME, ...fields])

describe('parseUploadParams', () => {
  it('fills in the documented defaults', () => {
    expect(parse()).toEqual({
      fileName: 'a.jpg',
      folder: '/',
      useUniqueFileName: true,
      tags: undefined,
      isPrivateFile: false,
      isPublished: true,
      customCoordinates: undefined,
      responseFields: [],
      overwriteFile: true,
      overwriteAITags: true,
      overwriteTags: true,
      overwriteCustomMetadata: true,
      customMetadata: undefined,
      description: undefined,
      checks: undefined,
      webhookUrl: undefined,
    })
  })

  it.each([
    ['comma list', [['tags', 't-shirt, round-neck,men']]],
    ['JSON array', [['tags', '["t-shirt","round-neck","men"]']]],
    [
      'repeated',
      [
        ['tags', 't-shirt'],
        ['tags', 'round-neck'],
        ['tags', 'men'],
      ],
    ],
    [
      'repeated with brackets',
      [
        ['tags[]', 't-shirt'],
        ['tags[]', 'round-neck'],
        ['tags[]', 'men'],
      ],
    ],
    ['doubles', [['tags', 't-shirt,round-neck,men,men']]],
  ] as [string, [string, string][]][])('reads tags given as a %s', (_form, fields) => {
    expect(parse(...fields).tags).toEqual(['t-shirt', 'round-neck', 'men'])
  })

  it.each([
    'isPrivateFile',
    'isPublished',
    'tags',
    'customCoordinates',
    'webhookUrl',
    'customMetadata',
    'responseFields',
    'extensions',
    'folder',
  ])('takes the literal words undefined and null of %s as absent', (name) => {
    expect(parse([name, 'undefined'])).toEqual(parse())
    expect(parse([name, 'null'])).toEqual(parse())
  })

  it.each([
    ['isPrivateFile', 'yes'],
    ['isPrivateFile', 'TRUE'],
    ['useUniqueFileName', '0'],
    ['overwriteFile', 'no'],
    ['tags', 'fifty%off'],
    ['tags', 'x'.repeat(501)],
    ['tags', '["a",1]'],
    ['customCoordinates', '10,10,100'],
    ['customCoordinates', '10,10,0,100'],
    ['customCoordinates', '-1,10,10,100'],
    ['customCoordinates', 'a,b,c,d'],
    ['responseFields', 'tags,secrets'],
    ['customMetadata', '[1]'],
    ['customMetadata', '{"a":'],
    ['customMetadata', '"text"'],
    ['customMetadata', `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`],
    ['customMetadata', '{"__proto__":{"admin":true}}'],
    ['transformation', '{"pre":'],
    ['transformation', `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`],
    ['description', 'x'.repeat(10_001)],
  ] as [string, string][])('refuses %s=%s and names the field', (name, value) => {
    expect(() => parse([name, value])).toThrow(name)
  })

  it('hands on what is asked for beyond the file, for others to judge', () => {
    const extensions = '[{"name":"remove-bg"}]'
    expect(parse(['extensions', extensions])).toMatchObject({ extensions })
    expect(parse(['transformation', '{"pre":"w-100"}'])).toMatchObject({ transformation: { pre: 'w-100' } })
    expect(parse(['extensions', ' '], ['transformation', ''])).toEqual(parse())
  })

  it('refuses a repeated field that is no list', () => {
    expect(() => parse(['folder', '/a'], ['folder', '/b'])).toThrow('folder parameter more than once')
    expect(() => parse(['fileName', 'b.jpg'])).toThrow('fileName parameter more than once')
  })

  it('refuses a missing or empty fileName', () => {
    expect(() => parseUploadParams([])).toThrow('Your request is missing fileName parameter.')
    expect(() => parseUploadParams([['fileName', '']])).toThrow('Your request is missing fileName parameter.')
  })
})
