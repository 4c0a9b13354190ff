import type { Chain, IfStep, Layer, ParamKey, PassStep, Step } from './ast.ts'
import { catalog } from './catalog.ts'
import { encodeValue, libraryPath } from './codecs.ts'
import { printNumber } from './expr.ts'
import { layerCodecs } from './parse.ts'

/**
 * The canonical text of a chain: parameters in table order, values in one spelling, values percent-encoded.
 * Transformations that mean the same print alike, which is what makes this text a cache key.
 */
export function printTransformation(chain: Chain): string {
  return chain.map(printStep).join(':')
}

function printStep(step: Step): string {
  return step.kind === 'if' ? printIf(step) : [...printParams(step), ...step.layers.map(printLayer)].join(',')
}

function printParams(step: PassStep): string[] {
  const items: string[] = []
  for (const { key, codec } of catalog) {
    const value = step.params[key as ParamKey]
    if (value === undefined) continue
    const text = codec.print(value as never)
    items.push(text === '' ? key : `${key}-${text}`)
  }
  return items
}

function printLayer(layer: Layer): string {
  const input = layer.type === 'text' ? encodeValue(layer.input) : libraryPath.print(layer.input)
  const items = [`l-${layer.type}`, `i-${input}`]
  if (layer.mode) items.push(`lm-${layer.mode}`)
  for (const key of ['lx', 'ly', 'lxc', 'lyc', 'lap', 'lfo', 'lso', 'leo', 'ldu'] as const) {
    const value = layer.position[key]
    if (value !== undefined) items.push(`${key}-${layerCodecs[key].print(value as never)}`)
  }
  if (layer.chain.length > 0) items.push(printTransformation(layer.chain))
  items.push('l-end')
  return items.join(',')
}

function printIf(step: IfStep): string {
  const condition = step.condition
    .map((all) =>
      all
        .map(({ property, operator, value }) => `${property}_${operator}_${printNumber(value)}`)
        .join('_and_'),
    )
    .join('_or_')
  const items = [`if-${condition}`]
  if (step.whenTrue.length > 0) items.push(printTransformation(step.whenTrue))
  if (step.whenFalse.length > 0) items.push('if-else', printTransformation(step.whenFalse))
  items.push('if-end')
  return items.join(',')
}
