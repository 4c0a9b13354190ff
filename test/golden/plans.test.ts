import { describe, expect, test } from 'vitest'
import type { Operation } from '../../src/transform/operations.ts'
import {
  defaultPlanLimits,
  parseTransformation,
  planImage,
  printTransformation,
} from '../../src/transform/transform.ts'

/** Transformations of the product manual, with the sizes of the pictures that it shows them on. */
const EXAMPLES: [string, number, number][] = [
  ['w-200', 600, 600],
  ['w-0.4', 600, 600],
  ['h-200', 600, 600],
  ['h-0.4', 600, 600],
  ['ar-4-3,w-400', 600, 600],
  ['w-300,h-200,cm-pad_resize,bg-F3F3F3', 1000, 1350],
  ['w-300,h-200,cm-pad_resize,bg-F3F3F3,fo-left', 1000, 1350],
  ['w-100,h-200,cm-pad_resize,bg-F3F3F3,fo-top', 1000, 1350],
  ['w-300,h-200,c-force', 1000, 1350],
  ['w-300,h-200,c-at_max', 1000, 1350],
  ['w-850,h-1000,c-at_max_enlarge', 500, 676],
  ['w-300,h-200,c-at_least', 1000, 1350],
  ['w-300,h-200,c-maintain_ratio', 1000, 1350],
  ['w-200,h-200,cm-extract', 1000, 1350],
  ['w-200,h-200,cm-extract,fo-bottom_right', 1000, 1350],
  ['w-200,h-200,cm-extract,x-100,y-300', 1000, 1350],
  ['w-200,h-200,cm-extract,xc-200,yc-300', 1000, 1350],
  ['w-700,h-700,cm-pad_extract,bg-F3F3F3', 600, 600],
  ['w-200,h-300,fo-auto', 1000, 1350],
  ['h-700,w-700,cm-pad_extract,bg-272B38', 600, 600],
  ['h-600,w-800,cm-pad_resize,bg-blurred', 600, 600],
  ['h-600,w-800,cm-pad_resize,bg-blurred_25_N30', 600, 600],
  ['bg-F00000', 600, 200],
  ['o-50', 600, 600],
  ['o-50,bg-0000FF30', 600, 600],
  ['rt-90', 600, 400],
  ['rt-N40', 600, 400],
  ['r-20', 600, 600],
  ['r-max', 600, 400],
  ['w-300,b-5_FFF000', 600, 600],
  ['w-iw_div_4,h-ih_div_2:b-cw_mul_0.05_yellow', 1000, 1350],
  ['w-iw_div_2,h-ih_div_2,cm-extract,x-iw_mul_0.2,y-ih_mul_0.2', 600, 600],
  ['t-true', 600, 600],
  ['t-5', 600, 600],
  ['bl-10', 600, 600],
  ['h-300,e-grayscale', 1200, 800],
  ['h-300,e-contrast', 1200, 800],
  ['e-sharpen-10,h-300', 1200, 800],
  ['h-300,e-usm-2-2-0.8-0.024', 1200, 800],
  ['e-shadow-bl-15_st-40_x-10_y-N5', 1000, 1000],
  ['w-500:e-shadow', 2216, 1500],
  ['h-300,e-gradient', 1200, 800],
  ['h-300,e-gradient-ld-45_from-FF000050_to-FFFFFF50_sp-0.5', 1200, 800],
  ['h-300,e-gradient-ld-top_from-green_to-00FF0010_sp-1', 1200, 800],
  ['w-400,h-400:w-500,h-400,cm-pad_resize,fo-right,bg-000000', 600, 600],
  ['if-ar_gt_1,w-200,if-else,w-300,if-end', 600, 400],
  ['if-h_gte_100_and_h_lte_400_or_ar_lt_4-3,w-200,if-else,rt-90:w-300,if-end', 900, 600],
  ['h-200,c-pad_resize:if-h_eq_200,w-100,if-end:rt-90', 600, 400],
]

function show(value: unknown): string {
  if (value === null) return '-'
  if (typeof value !== 'object') return String(value)
  if (Array.isArray(value)) return value.map(show).join('_')
  return Object.entries(value)
    .map(
      ([key, inner]) =>
        `${key}=${typeof inner === 'object' && inner !== null ? `(${show(inner)})` : show(inner)}`,
    )
    .join(' ')
}

function showOperation({ kind, ...rest }: Operation): string {
  const parts = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null))
  return `    ${kind} ${show(parts)}`.trimEnd()
}

describe('plans', () => {
  test('of the manual are as they were looked at', async () => {
    const text = EXAMPLES.map(([transformation, widthPx, heightPx]) => {
      const chain = parseTransformation(transformation)
      const plan = planImage(chain, { size: { widthPx, heightPx } }, { limits: defaultPlanLimits })
      const steps = plan.steps.map((operations) => ['  step', ...operations.map(showOperation)].join('\n'))
      const size = `${plan.size.widthPx}x${plan.size.heightPx}${plan.exact ? '' : ' at most'}`
      return [
        `${transformation}  on ${widthPx}x${heightPx}`,
        `  = ${printTransformation(chain)}`,
        ...steps,
        `  -> ${size}`,
      ].join('\n')
    }).join('\n\n')
    await expect(`${text}\n`).toMatchFileSnapshot('plans.txt')
  })
})
