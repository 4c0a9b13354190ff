import type { EndpointSettings } from '../origins/origins.ts'
import {
  type Chain,
  decideConditions,
  defaultPlanLimits,
  focusOnObjects,
  type ModelOperation,
  type ModelParameters,
  type ModelSplit,
  needsModels,
  type Operation,
  type Output,
  type PassStep,
  planImage,
  type Size,
  splitAtModel,
} from '../transform/transform.ts'
import type { Context } from './context.ts'
import { decideOutput, readFacts } from './derive.ts'
import { providerOf, startOf } from './models.ts'
import type { Source } from './source.ts'

/** What a model does. */
export type ModelStep = {
  kind: 'model'
  operation: ModelOperation
  parameters: ModelParameters
  /** Which of the configured ones does it. */
  provider: string
}

/** What a transformation does to an asset. */
export type Explanation = {
  /** The transformation in its canonical form, named ones expanded. */
  transformation: string
  /** What each step does, with every number worked out. */
  steps: (Operation | ModelStep)[][]
  /** Parameters that have no effect here, and why. */
  warnings: string[]
  output: Pick<Output, 'format' | 'quality'> & {
    width: number
    height: number
    /** False where only the pixels, or a model, can tell the size. */
    exactSize: boolean
    /** The format depends on the browser. */
    variesByAccept: boolean
  }
  /** What is signed for this URL in its query form, if it never expires. */
  stringToSign: string
}

/**
 * Plans a transformation without rendering it or asking a model.
 * @throws TintypeError not-implemented where a model is needed and none is there.
 */
export function explain(
  request: {
    source: Source
    chain: Chain
    /** As it was asked for. */
    transformation: string
    path: string
    accept: string
    settings: EndpointSettings
  },
  context: Context,
): Explanation {
  const { source, chain } = request
  const facts = readFacts(chain)
  const plan = planWithModels(source, chain, context)
  const { output, variesByAccept } = decideOutput({
    source,
    facts,
    accept: request.accept,
    saveData: false,
    settings: request.settings,
  })
  const path = request.path.split('/').filter(Boolean).map(encodeURIComponent).join('/')
  return {
    transformation: facts.text,
    steps: plan.steps,
    warnings: plan.warnings,
    output: {
      format: output.format,
      quality: output.quality,
      width: plan.size.widthPx,
      height: plan.size.heightPx,
      exactSize: plan.exact,
      variesByAccept,
    },
    stringToSign: `${path}?tr=${request.transformation}9999999999`,
  }
}

type Plan = { steps: Explanation['steps']; warnings: string[]; size: Size; exact: boolean }

/** Plans a chain as if each model gave a picture of the size that it was given, with nothing to focus on. */
function planWithModels(source: Source, chain: Chain, context: Context): Plan {
  let start = startOf({ ...source, widthPx: source.widthPx ?? 1, heightPx: source.heightPx ?? 1 }, context)
  const whole: Plan = { steps: [], warnings: [], size: start.size, exact: true }
  /** Where models look for what a step is to be focused on, by the step that follows. */
  const looks: { at: number; step: ModelStep }[] = []
  let rest = chain
  for (;;) {
    if (needsModels(rest)) rest = decideConditions(rest, start)
    checkLayers(rest, context)
    const split = splitAtModel(rest)
    const plan = planImage(split ? split.before : rest, start, { limits: defaultPlanLimits })
    const model = split && modelStep(split, context)
    if (model?.operation === 'detect') {
      const [step, ...later] = split!.after as [PassStep, ...Chain]
      looks.unshift({ at: plan.steps.length, step: model })
      rest = [...split!.before, ...focusOnObjects(step, [], plan.size), ...later]
      whole.exact &&= step.params.w !== undefined && step.params.h !== undefined
      continue
    }
    const steps: Explanation['steps'] = plan.steps
    for (const { at, step } of looks.splice(0)) steps.splice(at, 0, [step])
    whole.steps.push(...steps)
    whole.warnings.push(...plan.warnings)
    whole.size = plan.size
    whole.exact &&= plan.exact
    if (!split || !model) return whole
    whole.steps.push([model])
    whole.exact = false
    rest = split.after
    start = { size: plan.size, customCoordinates: null }
  }
}

function modelStep(split: ModelSplit, context: Context): ModelStep {
  const { operation, parameters } = split
  return { kind: 'model', operation, parameters, provider: providerOf(split, context).id }
}

/** Layers are not planned, but what they need of models has to be there. */
function checkLayers(chain: Chain, context: Context) {
  for (const step of chain) {
    if (step.kind !== 'pass') continue
    for (const layer of step.layers) {
      checkLayers(layer.chain, context)
      for (let split = splitAtModel(layer.chain); split; ) {
        providerOf(split, context)
        // Focusing leaves its step as it was.
        split = splitAtModel(split.operation === 'detect' ? split.after.slice(1) : split.after)
      }
    }
  }
}
