import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkTaskFields, planQuestions, readChanges } from '../../../src/extensions/ai-tasks.ts'
import type { MetadataField } from '../../../src/extensions/extensions.ts'
import type { AiTask } from '../../../src/extensions/requests.ts'

const fields: MetadataField[] = [
  { name: 'color', type: 'SingleSelect', selectOptions: ['red', 'blue'] },
  { name: 'sizes', type: 'MultiSelect', selectOptions: [1, 2, 3] },
  { name: 'price', type: 'Number' },
  { name: 'sold', type: 'Boolean' },
  { name: 'made', type: 'Date' },
  { name: 'title', type: 'Text' },
]
const selectTags = (more: object = {}): AiTask => ({ type: 'select_tags', instruction: 'Which?', ...more })
const selectField = (field: string, more: object = {}): AiTask => ({
  type: 'select_metadata',
  instruction: 'Which?',
  field,
  ...more,
})
const yesNo = (more: object = {}): AiTask => ({ type: 'yes_no', instruction: 'Is it?', ...more })

const change = (tasks: AiTask[], answers: object[]) =>
  readChanges(tasks, planQuestions(tasks, fields), answers, 'The model', fields)

describe('planQuestions', () => {
  test.each<[string, AiTask, object]>([
    ['free tags', selectTags(), { valueType: 'text', minSelections: 0, maxSelections: 30 }],
    [
      'a vocabulary',
      selectTags({ vocabulary: ['a', 'b'] }),
      { vocabulary: ['a', 'b'], valueType: 'text', minSelections: 0, maxSelections: 2 },
    ],
    [
      'limits',
      selectTags({ vocabulary: ['a', 'b', 'c'], min_selections: 1, max_selections: 2 }),
      { vocabulary: ['a', 'b', 'c'], valueType: 'text', minSelections: 1, maxSelections: 2 },
    ],
    [
      'the options of a field',
      selectField('color'),
      { vocabulary: ['red', 'blue'], valueType: 'text', minSelections: 0, maxSelections: 1 },
    ],
    [
      'one value for a field that holds one',
      selectField('color', { min_selections: 2, max_selections: 5 }),
      { vocabulary: ['red', 'blue'], valueType: 'text', minSelections: 1, maxSelections: 1 },
    ],
    [
      'several options of a field',
      selectField('sizes', { vocabulary: [1, 2] }),
      { vocabulary: [1, 2], valueType: 'text', minSelections: 0, maxSelections: 2 },
    ],
    ['a number', selectField('price'), { valueType: 'number', minSelections: 0, maxSelections: 1 }],
    [
      'a truth',
      selectField('sold'),
      { vocabulary: [true, false], valueType: 'boolean', minSelections: 0, maxSelections: 1 },
    ],
    ['a date', selectField('made'), { valueType: 'date', minSelections: 0, maxSelections: 1 }],
  ])('asks for %s', (_, task, question) => {
    expect(planQuestions([task], fields)).toEqual([{ kind: 'select', instruction: 'Which?', ...question }])
  })

  test('refuses a field that is gone', () => {
    expect(() => planQuestions([selectField('gone')], fields)).toThrow(
      'The custom metadata field gone does not exist.',
    )
  })
})

describe('readChanges', () => {
  const none = { addTags: [], removeTags: [], setMetadata: {}, unsetMetadata: [] }

  test.each<[string, AiTask, unknown[], object]>([
    [
      'what is in the vocabulary, as it is written there',
      selectTags({ vocabulary: ['T-Shirt', 'dress'] }),
      [' t-shirt', 'hat', 'T-Shirt', {}, null],
      { addTags: ['T-Shirt'] },
    ],
    [
      'no more than asked for',
      selectTags({ vocabulary: ['a', 'b', 'c'], max_selections: 2 }),
      ['c', 'b', 'a'],
      { addTags: ['c', 'b'] },
    ],
    [
      'fewer than asked for',
      selectTags({ vocabulary: ['a', 'b'], min_selections: 2 }),
      ['a'],
      { addTags: ['a'] },
    ],
    ['nothing', selectTags({ vocabulary: ['a'] }), [], {}],
    [
      'free tags that can be tags',
      selectTags(),
      ['red\u0000 car', '', '100%', 'x'.repeat(101), 5, 'car'],
      { addTags: ['red car', 'car'] },
    ],
    [
      'free tags up to the length of tags',
      selectTags(),
      Array.from({ length: 9 }, (_, at) => `${at}`.repeat(90)),
      { addTags: Array.from({ length: 5 }, (_, at) => `${at}`.repeat(90)) },
    ],
    ['one option', selectField('color'), ['Blue', 'red'], { setMetadata: { color: 'blue' } }],
    ['no option that there is', selectField('color'), ['green'], {}],
    ['several options, with their types', selectField('sizes'), ['3', 1], { setMetadata: { sizes: [3, 1] } }],
    ['a number', selectField('price'), [9.5], { setMetadata: { price: 9.5 } }],
    ['no number', selectField('price'), ['cheap', Number.NaN], {}],
    ['a truth', selectField('sold'), ['false'], { setMetadata: { sold: false } }],
    ['a date', selectField('made'), ['tomorrow', '2026-11-24'], { setMetadata: { made: '2026-11-24' } }],
    ['a text', selectField('title'), ['  A  car '], { setMetadata: { title: 'A car' } }],
  ])('selects %s', (_, task, selections, expected) => {
    expect(change([task], [{ selections }])).toEqual({ ...none, ...expected })
  })

  test.each([
    ['yes', ['y']],
    ['no', ['n']],
    ['unknown', ['u']],
  ])('does what the request says for %s', (answer, addTags) => {
    const task = yesNo({
      on_yes: { add_tags: ['y'] },
      on_no: { add_tags: ['n'] },
      on_unknown: { add_tags: ['u'] },
    })
    expect(change([task], [{ answer }])).toEqual({ ...none, addTags })
    expect(change([yesNo()], [{ answer }])).toEqual(none)
  })

  test('lets a later task win over an earlier one', () => {
    const first = yesNo({
      on_yes: {
        add_tags: ['a', 'b'],
        remove_tags: ['c'],
        set_metadata: [{ field: 'price', value: 1 }],
        unset_metadata: [{ field: 'title' }],
      },
    })
    const second = yesNo({
      on_yes: {
        add_tags: ['c'],
        remove_tags: ['a'],
        set_metadata: [{ field: 'title', value: 't' }],
        unset_metadata: [{ field: 'price' }],
      },
    })
    expect(change([first, second], [{ answer: 'yes' }, { answer: 'yes' }])).toEqual({
      addTags: ['b', 'c'],
      removeTags: ['a'],
      setMetadata: { title: 't' },
      unsetMetadata: ['price'],
    })
  })

  test.each<[string, AiTask[], object[]]>([
    ['too few', [yesNo(), yesNo()], [{ answer: 'yes' }]],
    ['too many', [yesNo()], [{ answer: 'yes' }, { answer: 'yes' }]],
    ['maybe', [yesNo()], [{ answer: 'maybe' }]],
    ['a truth', [yesNo()], [{ answer: true }]],
    ['no selections', [selectTags()], [{ answer: 'yes' }]],
    ['selections that are no list', [selectTags()], [{ selections: 'a' }]],
  ])('is of no use with %s', (_, tasks, answers) => {
    expect(() => change(tasks, answers)).toThrow('The model gave an answer that cannot be used.')
  })

  test('adds nothing that the request does not name, whatever the model answers', () => {
    const vocabulary = ['a', 'b']
    const tasks = [selectTags({ vocabulary }), selectField('color'), yesNo({ on_yes: { add_tags: ['y'] } })]
    const answer = fc.oneof(
      fc.record({ selections: fc.array(fc.oneof(fc.anything(), fc.constantFrom('a', 'A ', 'red', 'y'))) }),
      fc.record({ answer: fc.oneof(fc.constantFrom('yes', 'no'), fc.anything()) }),
    )
    fc.assert(
      fc.property(fc.array(answer, { minLength: 3, maxLength: 3 }), (answers) => {
        let result: ReturnType<typeof change>
        try {
          result = change(tasks, answers)
        } catch (error) {
          return (error as Error).message === 'The model gave an answer that cannot be used.'
        }
        return (
          result.addTags.every((tag) => ['a', 'b', 'y'].includes(tag)) &&
          Object.keys(result.setMetadata).every((name) => name === 'color') &&
          [undefined, 'red', 'blue'].includes(result.setMetadata.color as string)
        )
      }),
      { numRuns: 500 },
    )
  })
})

describe('checkTaskFields', () => {
  const check = (...tasks: AiTask[]) => checkTaskFields([{ name: 'ai-tasks', tasks }], fields)
  const set = (field: string, value: string | number | boolean | (string | number)[]) =>
    yesNo({ on_unknown: { set_metadata: [{ field, value }] } })

  test('lets values through that fit', () => {
    check(
      set('color', 'red'),
      set('sizes', [1, 3]),
      set('price', 5),
      set('sold', true),
      set('made', '2026-01-01'),
      set('title', ''),
      selectField('sizes', { vocabulary: [1] }),
      yesNo({ on_yes: { unset_metadata: [{ field: 'title' }] } }),
      selectTags(),
    )
  })

  test.each<[AiTask, string]>([
    [set('color', 'green'), 'A value for the custom metadata field color does not fit its type.'],
    [set('color', ['red']), 'A value for the custom metadata field color does not fit its type.'],
    [set('sizes', 1), 'A value for the custom metadata field sizes does not fit its type.'],
    [set('price', '5'), 'A value for the custom metadata field price does not fit its type.'],
    [set('made', 'soon'), 'A value for the custom metadata field made does not fit its type.'],
    [
      selectField('price', { vocabulary: ['cheap'] }),
      'A value for the custom metadata field price does not fit its type.',
    ],
    [set('gone', 1), 'The custom metadata field gone does not exist.'],
    [selectField('gone'), 'The custom metadata field gone does not exist.'],
    [
      yesNo({ on_no: { unset_metadata: [{ field: 'gone' }] } }),
      'The custom metadata field gone does not exist.',
    ],
  ])('refuses %j', (task, message) => {
    expect(() => check(task)).toThrow(`Your request contains invalid extensions parameter. ${message}`)
  })
})
