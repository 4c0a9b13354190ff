/**
 * Writes tiny ONNX models, byte by byte: the format is protobuf, and a test needs only a few of its messages. Field
 * numbers are those of onnx.proto.
 */

type Field = [number: number, value: number | string | Uint8Array]

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = BigInt(value)
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 0x80 : low)
  } while (rest > 0n)
  return bytes
}

/** Numbers are varints; texts and messages have their length in front. */
function message(...fields: Field[]): Uint8Array {
  return Buffer.concat(
    fields.map(([number, value]) => {
      if (typeof value === 'number') return Buffer.from([...varint(number << 3), ...varint(value)])
      const bytes = Buffer.from(value as string)
      return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes])
    }),
  )
}

const FLOAT = 1

/** A shape's texts are dimensions that the model leaves open. */
export type Shape = (number | string)[]
export type Node = {
  op: string
  inputs: string[]
  output: string
  /** A number is an INT, a list INTS. */
  attributes?: Record<string, number | number[]>
}

/** A model with one input `in`, one output `out`, and constants by name. */
export function onnxModel(model: {
  input: Shape
  output: Shape
  nodes: Node[]
  constants?: Record<string, { shape: number[]; values: number[] }>
  inputType?: number
}): Buffer {
  const value = (name: string, shape: Shape, type: number) => {
    const dims = shape.map(
      (size): Field => [1, typeof size === 'number' ? message([1, size]) : message([2, size])],
    )
    return message([1, name], [2, message([1, message([1, type], [2, message(...dims)])])])
  }
  const nodes = model.nodes.map(({ op, inputs, output, attributes = {} }): Field => {
    const written = Object.entries(attributes).map(([name, given]): Field => {
      const values: Field[] =
        typeof given === 'number'
          ? [
              [3, given],
              [20, 2],
            ]
          : [...given.map((item): Field => [8, item]), [20, 7]]
      return [5, message([1, name], ...values)]
    })
    return [1, message(...inputs.map((name): Field => [1, name]), [2, output], [4, op], ...written)]
  })
  const constants = Object.entries(model.constants ?? {}).map(([name, { shape, values }]): Field => {
    const raw = Buffer.from(Float32Array.from(values).buffer)
    return [5, message(...shape.map((size): Field => [1, size]), [2, FLOAT], [8, name], [9, raw])]
  })
  const graph = message(
    ...nodes,
    [2, 'test'],
    ...constants,
    [11, value('in', model.input, model.inputType ?? FLOAT)],
    [12, value('out', model.output, FLOAT)],
  )
  return Buffer.from(message([1, 8], [7, graph], [8, message([1, ''], [2, 13])]))
}

/** Gives a picture's mean red, green and blue, times `gain`. */
export function colorClassifier(gain = 1, side: number | string = 8): Buffer {
  return onnxModel({
    input: [1, 3, side, side],
    output: [1, 3],
    constants: { gain: { shape: [1], values: [gain] } },
    nodes: [
      { op: 'GlobalAveragePool', inputs: ['in'], output: 'means' },
      { op: 'Flatten', inputs: ['means'], output: 'flat' },
      { op: 'Mul', inputs: ['flat', 'gain'], output: 'out' },
    ],
  })
}

/** Keeps what is red: the mask is each pixel's red minus its blue. */
export function redMask(side = 16): Buffer {
  return onnxModel({
    input: [1, 3, side, side],
    output: [1, 1, side, side],
    constants: { weights: { shape: [1, 3, 1, 1], values: [1, 0, -1] } },
    nodes: [{ op: 'Conv', inputs: ['in', 'weights'], output: 'out' }],
  })
}
