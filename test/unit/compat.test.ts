import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { describeApi } from '../../src/http/openapi/document.ts'
import { type ApiFacts, factsOf } from '../support/api-facts.ts'
import { differencesOf, explainDifferences, type Reason } from '../support/compat.ts'

const root = join(import.meta.dirname, '../..')
const read = <T>(path: string) => JSON.parse(readFileSync(join(root, path), 'utf8')) as T

const own = factsOf(JSON.parse(JSON.stringify(describeApi('0'))))
const official = read<ApiFacts>('test/fixtures/official-api.json')

describe('our API beside the official one', () => {
  it('differs in nothing that has no reason, and has no reason for what does not differ', () => {
    const { unexplained, unused } = explainDifferences(
      differencesOf(official, own),
      read<Reason[]>('docs/compat-reasons.json'),
    )
    expect(unexplained).toEqual([])
    expect(unused).toEqual([])
  })

  it('has all that the official SDK calls', () => {
    const called = read<string[]>('test/fixtures/official-sdk-paths.json')
    const known = new Set(Object.keys(own).map((operation) => operation.replace(/\{\w+\}/g, '{}')))
    expect(called.length).toBeGreaterThan(40)
    expect(called.filter((operation) => !known.has(operation))).toEqual([])
  })
})

describe('factsOf', () => {
  const document = {
    paths: {
      '/a/{id}': {
        parameters: [],
        post: {
          parameters: [
            { in: 'path', name: 'id', required: true },
            { in: 'query', name: 'q' },
          ],
          requestBody: {
            content: {
              'application/json': {
                schema: {
                  oneOf: [
                    { $ref: '#/components/schemas/A' },
                    {
                      properties: { both: { type: 'integer' }, other: { enum: ['x'] } },
                      required: ['both', 'other'],
                    },
                  ],
                },
              },
            },
          },
          responses: {
            200: {
              content: {
                'application/json': {
                  schema: { type: 'array', items: { properties: { when: { type: ['string', 'null'] } } } },
                },
              },
            },
            204: {},
          },
        },
      },
    },
    components: {
      schemas: { A: { type: 'object', properties: { both: { type: 'string' } }, required: ['both'] } },
    },
  }
  const facts = factsOf(document)

  it('follows references, merges alternatives and leaves prose out', () => {
    expect(facts).toEqual({
      'POST /a/{id}': {
        parameters: ['path id!', 'query q'],
        body: { both: 'number|string!', other: 'string' },
        responses: { 200: { '[]': 'object', '[].when': 'string' }, 204: {} },
      },
    })
  })

  it('gives what can be compared', () => {
    const changed = structuredClone(facts)
    changed['POST /a/{id}']!.parameters = ['path id!', 'query q!']
    changed['POST /a/{id}']!.body.new = 'string'
    delete changed['POST /a/{id}']!.responses[204]
    changed['GET /b'] = { parameters: [], body: {}, responses: {} }
    expect(differencesOf(facts, changed)).toEqual([
      'GET /b: only here',
      'POST /a/{id}: query q: optional there, required here',
      'POST /a/{id}: body new: only here',
      'POST /a/{id}: 204: only there',
    ])
    expect(differencesOf(facts, facts)).toEqual([])
  })

  it('tells differences without a reason, and reasons without a difference', () => {
    const reasons = [
      { match: 'a: .*', reason: 'A' },
      { match: 'c', reason: 'C' },
    ]
    expect(explainDifferences(['a: 1', 'b: 1', 'xa: 1'], reasons)).toEqual({
      explained: new Map([
        [reasons[0], ['a: 1']],
        [reasons[1], []],
      ]),
      unexplained: ['b: 1', 'xa: 1'],
      unused: [reasons[1]],
    })
  })
})
