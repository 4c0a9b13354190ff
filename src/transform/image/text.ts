import { TintypeError } from '../../kernel/errors.ts'
import type { TextPlan } from '../plan-layers.ts'
import type { RenderJob } from './job.ts'
import type { Pixels } from './picture.ts'

/** Draws a text layer. */
export async function drawText(_text: string, _plan: TextPlan, _job: RenderJob): Promise<Pixels> {
  throw new TintypeError('not-implemented', 'Text layers cannot be drawn by this server.')
}
