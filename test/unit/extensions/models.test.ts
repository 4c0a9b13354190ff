import { describe, expect, test } from 'vitest'
import { nameOutputs, parseLabels } from '../../../src/extensions/local/labels.ts'
import { fillTensor, type InputLayout, planInput, readMask } from '../../../src/extensions/local/tensor.ts'
import { chooseTags, cleanText } from '../../../src/extensions/tags.ts'

describe('planInput', () => {
  test.each<[(number | string)[], string, InputLayout]>([
    [[1, 3, 224, 320], 'float32', { widthPx: 320, heightPx: 224, planar: true, type: 'float32' }],
    [['batch', 3, 'h', 'w'], 'float32', { widthPx: 99, heightPx: 99, planar: true, type: 'float32' }],
    [[-1, 64, 32, 3], 'uint8', { widthPx: 32, heightPx: 64, planar: false, type: 'uint8' }],
  ])('reads %j of %s', (shape, type, layout) => {
    expect(planInput(shape, type, 99)).toEqual(layout)
  })

  test.each([
    [[1, 3, 8], 'float32', 'the model takes [1, 3, 8], not a picture of three colours'],
    [[1, 1, 8, 8], 'float32', 'the model takes [1, 1, 8, 8], not a picture of three colours'],
    [[1, 3, 8, 8], 'float16', 'the model takes float16, not float32 or uint8'],
  ])('refuses %j of %s', (shape, type, message) => {
    expect(() => planInput(shape, type, 8)).toThrow(message)
  })
})

describe('fillTensor', () => {
  const rgb = new Uint8Array([255, 0, 51, 0, 255, 102])
  const layout: InputLayout = { widthPx: 2, heightPx: 1, planar: true, type: 'float32' }
  const rounded = (data: ArrayLike<number>) => Array.from(data, (value) => Math.round(value * 1000) / 1000)

  test('puts colours one after the other, or pixel by pixel', () => {
    expect(rounded(fillTensor(rgb, layout, 'unit'))).toEqual([1, 0, 0, 1, 0.2, 0.4])
    expect(rounded(fillTensor(rgb, { ...layout, planar: false }, 'unit'))).toEqual([1, 0, 0.2, 0, 1, 0.4])
  })

  test.each([
    ['none', [255, 0, 0, 255, 51, 102]],
    ['half', [1, -1, -1, 1, -0.6, -0.2]],
    ['imagenet', [2.249, -2.118, -2.036, 2.429, -0.916, -0.027]],
    ['clip', [1.93, -1.792, -1.752, 2.075, -0.755, -0.03]],
  ] as const)('scales as %s', (normalization, expected) => {
    expect(rounded(fillTensor(rgb, layout, normalization))).toEqual(expected)
  })

  test('leaves bytes as they are', () => {
    const data = fillTensor(rgb, { ...layout, type: 'uint8', planar: false }, 'imagenet')
    expect(data).toEqual(rgb)
  })
})

describe('readMask', () => {
  test.each([
    ['minmax', [-2, 0, 2], [0, 128, 255]],
    ['minmax', [7, 7], [255, 255]],
    ['sigmoid', [-100, 0, 100], [0, 128, 255]],
    ['none', [-1, 0.5, 2], [0, 128, 255]],
  ] as const)('by %s', (activation, output, expected) => {
    expect([...readMask(output, activation)]).toEqual(expected)
  })
})

describe('labels', () => {
  test('are lines, of which empty ones stand for nothing', () => {
    const labels = parseLabels('cat\r\n\r\ndog\r\n')
    expect(labels).toEqual({ kind: 'classes', names: ['cat', '', 'dog'] })
    expect(nameOutputs([0.5, 9, 0.25], labels, 'none')).toEqual([
      { name: 'cat', confidence: 50 },
      { name: 'dog', confidence: 25 },
    ])
  })

  test('survive large outputs', () => {
    const labels = parseLabels('a\nb')
    expect(nameOutputs([1000, 0], labels, 'softmax')).toEqual([
      { name: 'a', confidence: 100 },
      { name: 'b', confidence: 0 },
    ])
  })

  test.each([
    ['{"labels":[]}', 'the labels file has no array "labels"'],
    ['{"labels":[{"name":"a"}]}', 'each label needs a "name" and an "embedding" of numbers'],
    ['{"labels":[null]}', 'each label needs a "name" and an "embedding" of numbers'],
    [
      '{"labels":[{"name":"a","embedding":[1,null]}]}',
      'each label needs a "name" and an "embedding" of numbers',
    ],
    ['{"labels":[{"name":"a","embedding":[1]},{"name":"b","embedding":[1,2]}]}', 'differ in length'],
  ])('refuse %s', (text, message) => {
    expect(() => parseLabels(text)).toThrow(message)
  })
})

describe('chooseTags', () => {
  const request = { name: 'aws-auto-tagging' as const, minConfidence: 10, maxTags: 2 }

  test('takes the most certain, each name once', () => {
    const labels = [
      { name: 'c', confidence: 30 },
      { name: 'a', confidence: 20 },
      { name: 'C', confidence: 90 },
      { name: 'b', confidence: 50 },
      { name: 'x', confidence: Number.NaN },
    ]
    expect(chooseTags(labels, request).map(({ name }) => name)).toEqual(['C', 'b'])
    expect(chooseTags(labels, { ...request, maxTags: 0 })).toEqual([])
  })

  test('cuts texts at whole characters', () => {
    expect(cleanText('a😀', 2)).toBe('a')
    expect(cleanText('a😀', 3)).toBe('a😀')
    expect(cleanText('\ud800 می‌خواهم 👨‍👩‍👧', 50)).toBe('می‌خواهم 👨‍👩‍👧')
  })
})
