import type { ParamKey, Params, ParamValues } from '../ast.ts'
import type { Codec } from '../codecs.ts'
import type { Scope } from '../expr.ts'
import type { Operation, Size } from '../operations.ts'

/** Where a parameter may stand. `canvas` is the layer input `ik_canvas`: a block of colour or gradient. */
export type Place = 'image' | 'text' | 'canvas' | 'video'

/** What is known when a parameter is planned. */
export type PlanContext = {
  /** Size at this point of the step. */
  size: Size
  /** Values of the expression variables. */
  scope: Scope
  /** All parameters of the step. */
  params: Params
  /** Largest image (pixels) that a shadow is made for. */
  maxShadowPx: number
  warn(message: string): void
}

/**
 * One parameter of the grammar. Parser, printer, types, error texts, the reference and the dashboard's builder
 * all come from it.
 */
export type ParamDef<K extends ParamKey = ParamKey> = {
  key: K
  /** The name in the official SDKs. */
  name: string
  group: 'geometry' | 'output' | 'look' | 'effect' | 'model' | 'text' | 'video'
  codec: Codec<ParamValues[K]>
  places: Place[]
  summary: string
  examples: string[]
  /** Where the behaviour is documented: a page of the product manual, or a section of the contract. */
  source: string
  /** What the parameter does to the pixels. Absent for those that geometry, encoding or delivery read together. */
  plan?(value: ParamValues[K], context: PlanContext): Operation[]
}

/** Ties a definition's value type to its key. */
export function define<K extends ParamKey>(definition: ParamDef<K>): ParamDef {
  // Variance: the table hands each value only to the definition of its own key.
  return definition as unknown as ParamDef
}
