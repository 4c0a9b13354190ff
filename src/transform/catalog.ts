import type { ParamKey } from './ast.ts'
import type { ParamDef } from './params/definition.ts'
import { effectParams } from './params/effects.ts'
import { geometryParams } from './params/geometry.ts'
import { lookParams } from './params/look.ts'
import { modelParams } from './params/models.ts'
import { outputParams } from './params/output.ts'
import { textParams } from './params/text.ts'
import { videoParams } from './params/video.ts'

export type { ParamDef, Place } from './params/definition.ts'

/** Every parameter, in canonical order. Pure and browser-safe: the dashboard's builder and the reference read it. */
export const catalog: readonly ParamDef[] = [
  ...geometryParams,
  ...lookParams,
  ...effectParams,
  ...modelParams,
  ...textParams,
  ...videoParams,
  ...outputParams,
]

const byKey = new Map<string, ParamDef>(catalog.map((definition) => [definition.key, definition]))

export function findParam(key: string): ParamDef | undefined {
  return byKey.get(key)
}

/** The definition of a key that the tree holds. */
export function paramOf(key: ParamKey): ParamDef {
  return byKey.get(key)!
}
