import type { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Sharp } from 'sharp'
import type { ModelFile } from './job.ts'
import { fillTensor, planInput } from './tensor.ts'

/** Runs model files on pictures. Lives in the pixel process only: a broken model must not take the server with it. */
export type Models = {
  /**
   * @param fit what becomes of a picture of another shape than the input's: its edges are cut off, or it is stretched.
   * @returns the first output, and its dimensions.
   * @throws ModelError when the model is to blame; sharp's errors when the picture is.
   */
  run(
    model: ModelFile,
    image: Sharp,
    fit: 'cover' | 'fill',
  ): Promise<{ data: Float32Array; dims: readonly number[] }>
}

export class ModelError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'ModelError'
  }
}

export function createModels(): Models {
  const sessions = new Map<string, Promise<InferenceSession>>()

  return {
    async run(model, image, fit) {
      const runtime = await import('onnxruntime-node').catch((cause: unknown) => {
        throw new ModelError('onnxruntime-node is not installed', cause)
      })
      const opening =
        sessions.get(model.path) ??
        runtime.InferenceSession.create(model.path, {
          executionProviders: ['cpu'],
          intraOpNumThreads: model.threads,
          interOpNumThreads: 1,
          // Warnings of the runtime about a model would be lines in the server's log that nobody can act on.
          logSeverityLevel: 3,
        })
      sessions.set(model.path, opening)
      const session = await opening.catch((cause: unknown) => {
        sessions.delete(model.path)
        throw new ModelError('the model file cannot be loaded', cause)
      })
      const { layout, name } = readInput(session, model)
      const rgb = await image
        .flatten({ background: '#ffffff' })
        .resize(layout.widthPx, layout.heightPx, { fit })
        .toColourspace('srgb')
        .raw()
        .toBuffer()
      const data = fillTensor(rgb, layout, model.normalization)
      const dims = layout.planar
        ? [1, 3, layout.heightPx, layout.widthPx]
        : [1, layout.heightPx, layout.widthPx, 3]
      try {
        const outputs = await session.run({ [name]: new runtime.Tensor(layout.type, data, dims) as Tensor })
        const output = outputs[session.outputNames[0]!]!
        if (output.type !== 'float32') throw new Error(`the model gives ${output.type}, not float32`)
        return { data: output.data as Float32Array, dims: output.dims }
      } catch (cause) {
        throw new ModelError('the model cannot be run', cause)
      }
    },
  }
}

function readInput(session: InferenceSession, model: ModelFile) {
  const [input] = session.inputMetadata
  if (!input?.isTensor) throw new ModelError('the first input of the model is no tensor')
  try {
    return { layout: planInput(input.shape, input.type, model.inputSizePx), name: input.name }
  } catch (cause) {
    throw new ModelError((cause as Error).message, cause)
  }
}
