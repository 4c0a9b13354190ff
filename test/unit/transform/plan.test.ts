import { describe, expect, test } from 'vitest'
import { parseTransformation } from '../../../src/transform/parse.ts'
import { defaultPlanLimits, planImage, planPlacement } from '../../../src/transform/plan.ts'

const plan = (
  text: string,
  source: { widthPx: number; heightPx: number } = { widthPx: 400, heightPx: 300 },
  extra: { customCoordinates?: string; hints?: { widthPx?: number; dpr?: number } } = {},
) =>
  planImage(
    parseTransformation(text),
    { size: source, customCoordinates: extra.customCoordinates ?? null },
    { limits: defaultPlanLimits, ...(extra.hints ? { hints: extra.hints } : {}) },
  )
const size = (...args: Parameters<typeof plan>) => {
  const { widthPx, heightPx } = plan(...args).size
  return `${widthPx}x${heightPx}`
}

describe('sizes from a source of 400x300', () => {
  test.each([
    // Worked examples of the manual's rules.
    ['w-200', '200x150'],
    ['h-150', '200x150'],
    ['w-0.5', '200x150'],
    ['h-0.1', '40x30'],
    ['w-800', '800x600'],
    ['w-200,ar-1-1', '200x200'],
    ['h-100,ar-2-1', '200x100'],
    ['w-200,h-100,ar-5-1', '200x100'],
    ['ar-2-1', '400x300'],
    ['w-iw_div_4,h-ih_div_2', '100x150'],
    ['w-200,h-200', '200x200'],
    ['w-200,h-200,c-maintain_ratio', '200x200'],
    ['w-200,h-200,c-force', '200x200'],
    ['w-200,h-200,c-at_max', '200x150'],
    ['w-800,h-800,c-at_max', '400x300'],
    ['w-800,c-at_max', '400x300'],
    ['w-800,h-800,c-at_max_enlarge', '800x600'],
    ['w-200,h-200,c-at_least', '267x200'],
    ['w-800,h-800,c-at_least', '1067x800'],
    ['w-800,h-400,c-maintain_ratio_no_enlarge', '400x200'],
    ['w-200,h-100,c-maintain_ratio_no_enlarge', '200x100'],
    ['w-200,h-200,cm-extract', '200x200'],
    ['w-200,cm-extract', '200x300'],
    ['w-200,h-200,cm-pad_resize', '200x200'],
    ['w-800,h-200,cm-pad_resize', '800x200'],
    ['w-200,h-200,c-pad_resize', '200x200'],
    ['w-800,h-800,cm-pad_resize_no_enlarge', '800x800'],
    ['w-700,h-200,cm-pad_extract', '700x200'],
    ['w-200,h-500,cm-pad_extract_no_shrink', '400x500'],
    ['w-100,dpr-2', '200x150'],
    ['w-100,h-100,dpr-0.5', '50x50'],
    ['w-3000,dpr-2', '3000x2250'],
    ['dpr-2', '400x300'],
    ['w-65536', '400x300'],
    ['w-70000,h-100', '133x100'],
    ['rt-90', '300x400'],
    ['rt-180', '400x300'],
    ['rt-45', '495x495'],
    ['rt-auto', '400x300'],
    ['b-5_red', '410x310'],
    ['w-200,b-cw_mul_0.05_red', '240x190'],
    ['w-200:b-cw_mul_0.05_red', '220x170'],
    ['w-200,rt-90', '150x200'],
    ['w-200:rt-90:w-300', '300x400'],
    ['if-ar_gt_1,w-200,if-else,w-300,if-end', '200x150'],
    ['if-ar_eq_4-3,w-200,if-end', '200x150'],
    ['if-ar_lt_4-3,w-200,if-else,rt-90:w-30,if-end', '30x40'],
    ['h-200,c-pad_resize:if-h_eq_200,w-100,if-end:rt-90', '75x100'],
    ['if-h_gte_100_and_h_lte_200_or_iw_gt_399,w-20,if-end', '20x15'],
    ['w-iw_mul_2', '800x600'],
    ['w-1', '1x1'],
    ['e-distort-p-0_0_400_0_400_300_0_300', '400x300'],
  ])('%s gives %s', (text, expected) => {
    expect(size(text)).toBe(expected)
  })
})

describe('where crops look', () => {
  const crop = (text: string, extra = {}) => {
    const operation = plan(text, { widthPx: 400, heightPx: 300 }, extra).steps[0]![0]!
    if (operation.kind !== 'geometry') throw new Error(operation.kind)
    const rect = operation.crop ?? operation.extract
    return rect && `${rect.leftPx},${rect.topPx}`
  }
  test.each([
    ['w-200,h-200', '34,0'],
    ['w-200,h-200,fo-left', '0,0'],
    ['w-200,h-200,fo-bottom_right', '67,0'],
    ['w-200,h-50,fo-top', '0,0'],
    ['w-200,h-50,fo-bottom', '0,100'],
    ['w-100,h-100,cm-extract', '150,100'],
    ['w-100,h-100,cm-extract,fo-top_left', '0,0'],
    ['w-100,h-100,cm-extract,fo-right', '300,100'],
    ['w-100,h-100,cm-extract,x-10,y-20', '10,20'],
    ['w-100,h-100,cm-extract,xc-60,yc-70', '10,20'],
    ['w-100,h-100,cm-extract,x-iw_sub_100', '300,100'],
    ['w-100,h-100,cm-pad_extract,x-390,y-0', '300,0'],
  ])('%s at %s', (text, expected) => {
    expect(crop(text)).toBe(expected)
  })
  test('fo-custom looks at the middle of the custom coordinates, within the image', () => {
    expect(crop('w-100,h-100,cm-extract,fo-custom', { customCoordinates: '200,100,40,20' })).toBe('170,60')
    expect(crop('w-100,h-100,cm-extract,fo-custom', { customCoordinates: '390,290,10,10' })).toBe('300,200')
    expect(crop('w-200,h-200,fo-custom', { customCoordinates: '0,0,100,100' })).toBe('0,0')
  })
  test('fo-custom without coordinates warns and takes the centre', () => {
    expect(plan('w-200,h-200,fo-custom').warnings.join()).toContain('fo-custom')
  })
  test('padding sits opposite of the focus', () => {
    const pad = (text: string) => {
      const operation = plan(text).steps[0]![0]!
      return operation.kind === 'geometry' && `${operation.pad!.leftPx},${operation.pad!.topPx}`
    }
    expect(pad('w-400,h-150,cm-pad_resize')).toBe('100,0')
    expect(pad('w-400,h-150,cm-pad_resize,fo-left')).toBe('0,0')
    expect(pad('w-400,h-150,cm-pad_resize,fo-right')).toBe('200,0')
    expect(pad('w-200,h-300,cm-pad_resize,fo-bottom')).toBe('0,150')
  })
  test('very narrow sources are cut before they are enlarged', () => {
    const operation = plan('w-1000,h-1000', { widthPx: 1, heightPx: 65_000 }).steps[0]![0]!
    expect(operation).toMatchObject({ extract: { widthPx: 1, heightPx: 1 }, resize: { widthPx: 1000 } })
  })
})

describe('client hints', () => {
  test.each([
    ['w-auto,dpr-auto', { widthPx: 212, dpr: 2 }, '300x225'],
    ['w-auto', { widthPx: 600 }, '600x450'],
    ['w-100,dpr-auto', { dpr: 2 }, '200x150'],
    ['w-100,dpr-auto', {}, '100x75'],
    ['w-auto', {}, '400x300'],
  ])('%s with %o', (text, hints, expected) => {
    expect(size(text, undefined, { hints })).toBe(expected)
  })
})

describe('refusals', () => {
  test.each([
    ['w-9000', 'maximum image resolution'],
    ['w-500,h-500,cm-extract', 'not inside the image'],
    ['w-100,h-100,cm-extract,x-350', 'not inside the image'],
    ['w-100,h-100,cm-extract,xc-10', 'not inside the image'],
    ['w-300,bg-blurred', 'bg-blurred can only'],
    ['w-iw_sub_400', 'must be above 0'],
    ['w-1_div_0', '"w" does not give a finite'],
    ['w-bw_div_2', '"bw", which has no value here'],
    ['w-100,dpr-9', '"dpr"'],
    ['e-bgremove', 'needs an AI provider'],
    ['w-100,h-100,fo-face', 'needs an AI provider'],
    ['bg-genfill,w-500,h-500,cm-pad_resize', 'needs an AI provider'],
    ['b-20000_red', 'maximum image resolution'],
  ])('%s', (text, reason) => {
    expect(() => plan(text)).toThrow(reason)
  })
  test('a shadow on a large image, unless it is resized in the same step', () => {
    const large = { widthPx: 2216, heightPx: 1500 }
    expect(() => plan('e-shadow', large)).toThrow('megapixels')
    expect(size('w-500,e-shadow', large)).toBe('500x338')
  })
})

describe('placement of layers', () => {
  const base = { widthPx: 400, heightPx: 300 }
  const layer = { widthPx: 100, heightPx: 50 }
  const at = (text: string, layerSize = layer) => {
    const [step] = parseTransformation(`l-image,i-a,${text},l-end`)
    if (step?.kind !== 'pass') throw new Error('no layer')
    const { leftPx, topPx } = planPlacement(step.layers[0]!.position, {
      base,
      layer: layerSize,
      layerInitial: { widthPx: 10, heightPx: 20 },
    })
    return `${leftPx},${topPx}`
  }
  test.each([
    ['w-1', '150,125'],
    ['lfo-top_left', '0,0'],
    ['lfo-bottom_right', '300,250'],
    ['lfo-top', '150,0'],
    ['lx-35', '35,0'],
    ['lx-35,lfo-bottom_right', '35,0'],
    ['lx-N35', '265,0'],
    ['ly-N0', '0,250'],
    ['lx-bw_sub_cw,ly-bh_sub_ch', '300,250'],
    ['lx-bw_mul_0.1,ly-bh_mul_0.1', '40,30'],
    ['lx-iw,ly-ih', '10,20'],
    ['lx-5000,ly-5000', '300,250'],
    ['lxc-200,lyc-150', '150,125'],
    ['lx-10,ly-10,lap-center', '210,160'],
  ])('%s at %s', (text, expected) => {
    expect(at(text)).toBe(expected)
  })
  test('a layer larger than its base may hang over', () => {
    expect(at('lx-0,ly-0', { widthPx: 500, heightPx: 50 })).toBe('0,0')
    expect(at('w-1', { widthPx: 500, heightPx: 400 })).toBe('-50,-50')
  })
})
