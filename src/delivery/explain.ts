import type { EndpointSettings } from '../origins/origins.ts'
import type { FileVersion } from '../store/store.ts'
import {
  type Chain,
  defaultPlanLimits,
  type ImagePlan,
  initialSize,
  type Output,
  planImage,
} from '../transform/transform.ts'
import { decideOutput, readFacts } from './derive.ts'

/** What a transformation does to an asset. */
export type Explanation = {
  /** The transformation in its canonical form, named ones expanded. */
  transformation: string
  /** What each step does, with every number worked out. */
  steps: ImagePlan['steps']
  /** Parameters that have no effect here, and why. */
  warnings: string[]
  output: Pick<Output, 'format' | 'quality'> & {
    width: number
    height: number
    /** False where only the pixels can tell the size, as after trimming. */
    exactSize: boolean
    /** The format depends on the browser. */
    variesByAccept: boolean
  }
  /** What is signed for this URL in its query form, if it never expires. */
  stringToSign: string
}

/** Plans a transformation without rendering it. */
export function explain(request: {
  version: FileVersion
  chain: Chain
  /** As it was asked for. */
  transformation: string
  accept: string
  settings: EndpointSettings
  autoOrient: boolean
}): Explanation {
  const { version, chain } = request
  const facts = readFacts(chain)
  const size = initialSize({
    widthPx: version.widthPx ?? 1,
    heightPx: version.heightPx ?? 1,
    orientation: request.autoOrient ? (version.orientation ?? 1) : 1,
  })
  const plan = planImage(
    chain,
    { size, customCoordinates: version.customCoordinates },
    { limits: defaultPlanLimits },
  )
  const { output, variesByAccept } = decideOutput({
    source: version,
    facts,
    accept: request.accept,
    saveData: false,
    settings: request.settings,
  })
  const path = `${version.folderPath}/${version.name}`
    .split('/')
    .filter(Boolean)
    .map(encodeURIComponent)
    .join('/')
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
