import type { Activation } from './job.ts'

/**
 * What the outputs of a tagging model stand for: one label for each number of a classifier, or, for models that put
 * pictures and texts in one space (CLIP and its kin), the texts' vectors, to which a picture's vector is compared.
 */
export type Labels =
  | { kind: 'classes'; names: string[] }
  | { kind: 'vectors'; labels: { name: string; vector: number[] }[]; scale: number }

/** Factor of cosine similarities before softmax, as CLIP learns it. */
const DEFAULT_SCALE = 100

/**
 * Reads a labels file: text with one label a line (an empty line is an output without a label), or JSON
 * `{ "labels": [{ "name", "embedding": [numbers] }], "scale" }`.
 * @throws Error that says what is wrong with it.
 */
export function parseLabels(text: string): Labels {
  if (!text.trimStart().startsWith('{')) {
    const names = text.replace(/\r?\n$/, '').split(/\r?\n/)
    return { kind: 'classes', names: names.map((name) => name.trim()) }
  }
  const value = JSON.parse(text) as { labels?: unknown; scale?: unknown }
  if (!Array.isArray(value.labels) || value.labels.length === 0) {
    throw new Error('the labels file has no array "labels"')
  }
  const labels = value.labels.map((item: { name?: unknown; embedding?: unknown } | null) => {
    const { name, embedding } = item ?? {}
    if (typeof name !== 'string' || !isVector(embedding)) {
      throw new Error('each label needs a "name" and an "embedding" of numbers')
    }
    return { name, vector: unit(embedding) }
  })
  const { length } = labels[0]!.vector
  if (labels.some(({ vector }) => vector.length !== length)) {
    throw new Error('the embeddings of the labels file differ in length')
  }
  return { kind: 'vectors', labels, scale: typeof value.scale === 'number' ? value.scale : DEFAULT_SCALE }
}

/**
 * Names the outputs of a model.
 * @returns confidence from 0 to 100.
 * @throws Error when the model and the labels do not fit together.
 */
export function nameOutputs(
  output: ArrayLike<number>,
  labels: Labels,
  activation: Activation,
): { name: string; confidence: number }[] {
  const numbers = Array.from(output)
  if (labels.kind === 'classes') {
    if (numbers.length !== labels.names.length) {
      throw new Error(
        `the model gives ${numbers.length} numbers, but the labels file has ${labels.names.length} lines`,
      )
    }
    const scores = activate(numbers, activation)
    return labels.names
      .map((name, at) => ({ name, confidence: scores[at]! * 100 }))
      .filter(({ name }) => name !== '')
  }
  if (numbers.length !== labels.labels[0]!.vector.length) {
    throw new Error(
      `the model gives ${numbers.length} numbers, but the embeddings have ${labels.labels[0]!.vector.length}`,
    )
  }
  const vector = unit(numbers)
  const similarities = labels.labels.map((label) => labels.scale * dot(label.vector, vector))
  const scores = activate(similarities, activation)
  return labels.labels.map(({ name }, at) => ({ name, confidence: scores[at]! * 100 }))
}

function activate(numbers: number[], activation: Activation): number[] {
  if (activation === 'none') return numbers
  if (activation === 'sigmoid') return numbers.map((value) => 1 / (1 + Math.exp(-value)))
  const highest = numbers.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const powers = numbers.map((value) => Math.exp(value - highest))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / sum)
}

function isVector(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => Number.isFinite(item))
}

function unit(vector: number[]): number[] {
  const length = Math.sqrt(dot(vector, vector))
  return length === 0 ? vector : vector.map((value) => value / length)
}

function dot(a: number[], b: number[]): number {
  return a.reduce((sum, value, at) => sum + value * b[at]!, 0)
}
