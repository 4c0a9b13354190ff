import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type ExtensionConfig,
  parseExtensionConfig,
  parseExtensions,
  resolveExtensions,
} from '../../../src/extensions/extensions.ts'
import { TintypeError } from '../../../src/kernel/errors.ts'

const PREFIX = 'Your request contains invalid extensions parameter.'

/** The example of the OpenAPI's `Extensions`, with its member that no schema has. */
const EXAMPLE = [
  { name: 'remove-bg', options: { add_shadow: true, bg_colour: 'green' } },
  { name: 'google-auto-tagging', maxTags: 5, minConfidence: 95 },
  { name: 'ai-auto-description' },
  {
    name: 'ai-tasks',
    tasks: [
      {
        type: 'select_tags',
        instruction: 'What types of clothing items are visible in this image?',
        vocabulary: ['shirt', 'tshirt', 'dress', 'trousers', 'jacket'],
      },
      {
        type: 'yes_no',
        instruction: 'Is this a luxury or high-end fashion item?',
        on_yes: { add_tags: ['luxury', 'premium'] },
      },
    ],
  },
  { name: 'saved-extension', id: 'ext_abc123' },
]

const tagging = { name: 'aws-auto-tagging', minConfidence: 80, maxTags: 10 }
const tasks = (...list: unknown[]) => ({ name: 'ai-tasks', tasks: list })
const select = (more: object) => ({ type: 'select_tags', instruction: 'Which?', ...more })
const yesNo = (more: object) => ({ type: 'yes_no', instruction: 'Is it?', ...more })
const removeBg = (options: object) => ({ name: 'remove-bg', options })

function messageOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(TintypeError)
    expect((error as TintypeError).kind).toBe('bad-request')
    return (error as TintypeError).message
  }
  throw new Error('expected a refusal')
}

describe('parseExtensions', () => {
  test('reads the example of the contract, as text and as value, without what no schema has', () => {
    const expected = structuredClone(EXAMPLE)
    expected[0] = { name: 'remove-bg', options: { add_shadow: true } } as (typeof expected)[0]
    expect(parseExtensions(JSON.stringify(EXAMPLE))).toEqual(expected)
    expect(parseExtensions(EXAMPLE)).toEqual(expected)
  })

  test.each<[string, unknown]>([
    ['nothing', []],
    ['confidence with decimals', [{ ...tagging, minConfidence: 66.6 }]],
    ['no tags', [{ ...tagging, maxTags: 0 }]],
    ['both taggers', [tagging, { ...tagging, name: 'google-auto-tagging' }]],
    ['several ai-tasks', [tasks(select({})), tasks(yesNo({}))]],
    ['several saved ones', ['ext_1', 'ext_2'].map((id) => ({ name: 'saved-extension', id }))],
    ['a background color', [removeBg({ bg_color: '81d4fa', bg_image_url: '' })]],
    ['a named background color', [removeBg({ bg_color: 'green' })]],
    ['a background image', [removeBg({ bg_image_url: 'https://example.com/a b.jpg' })]],
    [
      'a metadata task with values of all types',
      [tasks({ ...select({ field: 'f', vocabulary: [1, true, 'x'] }), type: 'select_metadata' })],
    ],
    [
      'the deepest value that there is',
      [tasks(yesNo({ on_no: { set_metadata: [{ field: 'colors', value: ['red', 1, true] }] } }))],
    ],
  ])('lets through %s', (_, value) => {
    expect(parseExtensions(value)).toEqual(value)
  })

  test('drops what no schema has, at every level, and lets no prototype be set', () => {
    const text = `[{"name":"ai-tasks","more":1,"__proto__":{"admin":true},"tasks":[{"type":"yes_no","instruction":"?","more":1,
      "on_yes":{"more":1,"add_tags":["a"],"set_metadata":[{"field":"__proto__","value":1,"more":1}]}}]}]`
    const [request] = parseExtensions(text)
    expect(request).toEqual(
      tasks({
        type: 'yes_no',
        instruction: '?',
        on_yes: { add_tags: ['a'], set_metadata: [{ field: '__proto__', value: 1 }] },
      }),
    )
    expect(Object.getPrototypeOf(request)).toBe(Object.prototype)
    expect('admin' in request!).toBe(false)
  })

  test.each<[string, unknown, string]>([
    ['text that is no JSON', '[{', 'It should be valid JSON.'],
    ['an object', {}, 'It should be an array of objects.'],
    ['null as text', 'null', 'It should be an array of objects.'],
    ['too many', Array(21).fill({ name: 'ai-tasks' }), 'It should have at most 20 items.'],
    ['too long a text', `["${'x'.repeat(262_144)}"]`, 'It is too long.'],
    ['deep nesting', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'It is nested too deeply.'],
    ['an item that is no object', ['remove-bg'], 'extensions[0] should be an object.'],
    [
      'an unknown name',
      [{ name: 'make-coffee' }],
      'extensions[0].name should be one of google-auto-tagging, aws-auto-tagging, remove-bg, ai-auto-description, ai-tasks, saved-extension.',
    ],
    ['a name of Object', [{ name: 'constructor' }], 'extensions[0].name should be one of'],
    [
      'no confidence',
      [{ name: 'google-auto-tagging', maxTags: 5 }],
      'extensions[0] must have required properties minConfidence.',
    ],
    [
      'too much confidence',
      [tagging, { ...tagging, name: 'google-auto-tagging', minConfidence: 101 }],
      'extensions[1].minConfidence must be <= 100.',
    ],
    [
      'confidence as text',
      [{ ...tagging, minConfidence: '80' }],
      'extensions[0].minConfidence must be number.',
    ],
    ['too many tags', [{ ...tagging, maxTags: 31 }], 'extensions[0].maxTags must be <= 30.'],
    ['half a tag', [{ ...tagging, maxTags: 1.5 }], 'extensions[0].maxTags must be integer.'],
    ['one tagger twice', [tagging, tagging], 'aws-auto-tagging is there more than once.'],
    [
      'a shadow as text',
      [removeBg({ add_shadow: 'true' })],
      'extensions[0].options.add_shadow must be boolean.',
    ],
    [
      'two backgrounds',
      [removeBg({ bg_color: 'fff', bg_image_url: 'https://example.com/a.jpg' })],
      'extensions[0].options should have only one of bg_color and bg_image_url.',
    ],
    [
      'a color that is code',
      [removeBg({ bg_color: '"><script>' })],
      'extensions[0].options.bg_color should be a hex code',
    ],
    [
      'a file as background',
      [removeBg({ bg_image_url: 'file:///etc/passwd' })],
      'extensions[0].options.bg_image_url should be an http or https URL.',
    ],
    [
      'a background with a password',
      [removeBg({ bg_image_url: 'https://a:b@example.com/' })],
      'extensions[0].options.bg_image_url should be',
    ],
    ['no tasks', [tasks()], 'extensions[0].tasks must not have fewer than 1 items.'],
    [
      'eleven tasks',
      [tasks(...Array(11).fill(yesNo({})))],
      'extensions[0].tasks must not have more than 10 items.',
    ],
    ['tasks that are no list', [{ name: 'ai-tasks', tasks: {} }], 'extensions[0].tasks must be array.'],
    [
      'an unknown task',
      [tasks({ type: 'draw' })],
      'extensions[0].tasks[0].type should be one of select_tags, select_metadata, yes_no.',
    ],
    [
      'no instruction',
      [tasks(yesNo({}), { type: 'select_tags' })],
      'extensions[0].tasks[1] must have required properties instruction.',
    ],
    [
      'an empty instruction',
      [tasks(yesNo({ instruction: '' }))],
      'extensions[0].tasks[0].instruction must not have fewer than 1 characters.',
    ],
    [
      'a long instruction',
      [tasks(yesNo({ instruction: 'x'.repeat(2001) }))],
      'extensions[0].tasks[0].instruction must not have more than 2000 characters.',
    ],
    [
      'an empty vocabulary',
      [tasks(select({ vocabulary: [] }))],
      'extensions[0].tasks[0].vocabulary must not have fewer than 1 items.',
    ],
    [
      'a large vocabulary',
      [tasks(select({ vocabulary: Array(31).fill('a') }))],
      'extensions[0].tasks[0].vocabulary must not have more than 30 items.',
    ],
    [
      'a vocabulary with %',
      [tasks(select({ vocabulary: ['a', '100%'] }))],
      'extensions[0].tasks[0].vocabulary should not contain the character %.',
    ],
    [
      'a wordy vocabulary',
      [tasks(select({ vocabulary: ['a'.repeat(250), 'b'.repeat(251)] }))],
      'extensions[0].tasks[0].vocabulary should have at most 500 characters in all.',
    ],
    [
      'more at least than at most',
      [tasks(select({ min_selections: 3, max_selections: 2 }))],
      'extensions[0].tasks[0].min_selections should not exceed max_selections.',
    ],
    [
      'more at least than there are',
      [tasks(select({ min_selections: 2, vocabulary: ['a'] }))],
      'extensions[0].tasks[0].min_selections should not exceed the size of the vocabulary.',
    ],
    [
      'a metadata task without field',
      [tasks({ ...select({}), type: 'select_metadata' })],
      'extensions[0].tasks[0] must have required properties field.',
    ],
    [
      'a tag with %',
      [tasks(yesNo({ on_yes: { add_tags: ['%'] } }))],
      'extensions[0].tasks[0].on_yes.add_tags should not contain the character %.',
    ],
    [
      'a value without field',
      [tasks(yesNo({ on_no: { set_metadata: [{ value: 1 }] } }))],
      'extensions[0].tasks[0].on_no.set_metadata[0] must have required properties field.',
    ],
    [
      'a value that is an object',
      [tasks(yesNo({ on_no: { set_metadata: [{ field: 'f', value: {} }] } }))],
      'extensions[0].tasks[0].on_no.set_metadata[0].value must be',
    ],
    [
      'a saved one without id',
      [{ name: 'saved-extension' }],
      'extensions[0] must have required properties id.',
    ],
    [
      'a saved one with a strange id',
      [{ name: 'saved-extension', id: '../1' }],
      'extensions[0].id must match',
    ],
  ])('refuses %s', (_, value, message) => {
    expect(messageOf(() => parseExtensions(value))).toContain(`${PREFIX} ${message}`)
  })
})

test('whatever it is given, parseExtensions refuses it as a bad request or gives what it would take again', () => {
  const names = fc.constantFrom(...EXAMPLE.map(({ name }) => name))
  const wild = fc.anything({ maxDepth: 3, withNullPrototype: true })
  const action = fc.record({ add_tags: wild, set_metadata: wild }, { requiredKeys: [] })
  const task = fc.record(
    {
      type: fc.constantFrom('select_tags', 'yes_no'),
      instruction: fc.string(),
      vocabulary: wild,
      on_yes: action,
    },
    { requiredKeys: ['type'] },
  )
  const item = fc.record(
    {
      name: names,
      id: fc.string(),
      minConfidence: fc.oneof(fc.double(), fc.integer({ min: 0, max: 100 })),
      maxTags: fc.integer({ min: -1, max: 31 }),
      options: wild,
      tasks: fc.array(fc.oneof(task, wild), { maxLength: 3 }),
    },
    { requiredKeys: [] },
  )
  let taken = 0
  fc.assert(
    fc.property(fc.oneof(fc.array(fc.oneof(item, wild), { maxLength: 3 }), wild), (value) => {
      try {
        const requests = parseExtensions(value)
        taken += 1
        expect(parseExtensions(JSON.stringify(requests))).toEqual(JSON.parse(JSON.stringify(requests)))
      } catch (error) {
        expect(error).toMatchObject({ kind: 'bad-request' })
      }
    }),
    { numRuns: 1000 },
  )
  expect(taken).toBeGreaterThan(0)
})

describe('parseExtensionConfig', () => {
  test('gives what may be saved', () => {
    expect(parseExtensionConfig({ ...tagging, more: 1 })).toEqual(tagging)
  })

  test.each([
    [{ name: 'saved-extension', id: 'ext_1' }, 'config.name should not be saved-extension.'],
    [{ ...tagging, maxTags: -1 }, 'config.maxTags must be >= 0.'],
    [undefined, 'config should be an object.'],
    [JSON.parse(`${'['.repeat(20)}${']'.repeat(20)}`), 'config is nested too deeply.'],
  ])('refuses %j', (value, problem) => {
    expect(() => parseExtensionConfig(value)).toThrow(
      expect.objectContaining({
        kind: 'bad-request',
        message: 'Invalid extension configuration.',
        extra: { errors: { config: problem } },
      }),
    )
  })
})

describe('resolveExtensions', () => {
  const saved = new Map([
    ['ext_1', tagging as ExtensionConfig],
    ['ext_2', tasks(yesNo({})) as ExtensionConfig],
  ])
  const lookup = async (id: string) => saved.get(id)
  const reference = (id: string) => ({ name: 'saved-extension' as const, id })

  test('puts saved configurations in the place of their references, in order', async () => {
    const requests = parseExtensions([reference('ext_2'), { name: 'remove-bg' }, reference('ext_1')])
    expect(await resolveExtensions(requests, lookup)).toEqual([
      saved.get('ext_2'),
      { name: 'remove-bg' },
      tagging,
    ])
  })

  test('refuses an unknown one, and one that is there twice only now', async () => {
    await expect(resolveExtensions([reference('ext_3')], lookup)).rejects.toMatchObject({
      kind: 'bad-request',
      message: 'The requested saved extension does not exist.',
    })
    await expect(
      resolveExtensions(parseExtensions([tagging, reference('ext_1')]), lookup),
    ).rejects.toMatchObject({ message: `${PREFIX} aws-auto-tagging is there more than once.` })
  })
})
