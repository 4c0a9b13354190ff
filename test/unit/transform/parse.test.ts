import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TintypeError } from '../../../src/kernel/errors.ts'
import { catalog } from '../../../src/transform/catalog.ts'
import { parseTransformation } from '../../../src/transform/parse.ts'
import { printTransformation } from '../../../src/transform/print.ts'

const canonical = (text: string, form: 'url' | 'plain' = 'url') =>
  printTransformation(parseTransformation(text, { form }))

describe('canonical text', () => {
  test.each([
    // Order of parameters and spelling of values do not matter.
    ['h-200,w-100', 'w-100,h-200'],
    ['tr:w-100', 'w-100'],
    ['w-100.0,h-050', 'w-100,h-50'],
    ['f-jpeg', 'f-jpg'],
    ['bg-red', 'bg-FF0000'],
    ['bg-ff000050', 'bg-FF000050'],
    ['bg-transparent', 'bg-00000000'],
    ['fl-v_h', 'fl-h_v'],
    ['orig', 'orig-true'],
    ['ar-4-3,w-400', 'w-400,ar-1.3333333333333333-1'],
    ['ar-4_3,w-400', 'w-400,ar-1.3333333333333333-1'],
    ['ar-iar_div_2,w-1', 'w-1,ar-iar_div_2'],
    // Traps of the contract (3.9).
    ['b-cw_mul_0.05_yellow', 'b-cw_mul_0.05_FFFF00'],
    ['b-5-red', 'b-5_FF0000'],
    ['b-10_000000', 'b-10_000000'],
    ['b-ih_div_20', 'b-ih_div_20_000000'],
    ['r-10_20_30_40', 'r-10_20_30_40'],
    ['r-max', 'r-max'],
    ['r-10_10_10_10', 'r-10'],
    ['bg-blurred', 'bg-blurred_auto_0'],
    ['bg-blurred_25_N15', 'bg-blurred_25_N15'],
    ['bg-genfill-prompt-snow road', 'bg-genfill-prompt-snow%20road'],
    ['bg-genfill-prompte-c25vdyByb2Fk', 'bg-genfill-prompt-snow%20road'],
    ['e-shadow-bl-15_st-40_x-10_y-N5', 'e-shadow-bl-15_st-40_x-10_y-N5'],
    ['e-shadow', 'e-shadow-bl-10_st-30_x-2_y-2'],
    [
      'e-gradient-ld-top_right_from-FF000040_to-00FF0040_sp-0.9',
      'e-gradient-ld-45_from-FF000040_to-00FF0040_sp-0.9',
    ],
    ['e-gradient-sp-bh_div_2', 'e-gradient-ld-180_from-FFFFFF_to-00000000_sp-bh_div_2'],
    ['e-usm-2-2-0.8-0.024', 'e-usm-2-2-0.8-0.024'],
    ['e-contrast-1,e-grayscale-true,e-sharpen', 'e-grayscale,e-contrast,e-sharpen-50'],
    ['pg-name-"layer-4"_"layer-002"', 'pg-name-"layer-4"_"layer-002"'],
    ['pg-name-"a,b:c"', 'pg-name-"a%2Cb%3Ac"'],
    ['pg-name-layer-4', 'pg-name-"layer-4"'],
    ['pg-1_3-5_7-', 'pg-1_3-5_7-'],
    ['di-@@path@@to@@image.jpg', 'di-path@@to@@image.jpg'],
    ['di-a@/@b.jpg', 'di-a%40%2F%40b.jpg'],
    ['w-0.4:rt-N40:rt-auto', 'w-0.4:rt-N40:rt-auto'],
    ['w-100::h-5:,', 'w-100:h-5'],
    // The old SDK encodes separators too, and once more what was encoded.
    ['h-300%2Cl-text%2Ci-hi%252C%2520you%2Cl-end', 'h-300,l-text,i-hi%2C%20you,l-end'],
    ['w-100%3Ah-5', 'w-100:h-5'],
  ])('%s is %s', (text, expected) => {
    expect(canonical(text)).toBe(expected)
  })

  test.each([
    ['l-image,i-logo.png,l-end', 'l-image,i-logo.png,l-end'],
    ['l-image,w-10,lx-N5,i-a@@b.png,l-end,w-300', 'w-300,l-image,i-a@@b.png,lx-N5,w-10,l-end'],
    [
      'l-image,i-a.png,w-bw_div_3:l-image,i-b.png,l-end,l-end',
      'l-image,i-a.png,w-bw_div_3:l-image,i-b.png,l-end,l-end',
    ],
    ['l-image,i-outer.png,l-image,i-inner.png,lfo-top_left,l-end,l-end:rt-90', undefined],
    ['l-text,i-hello%2C%20a%3Ab,l-end', undefined],
    ['l-text,i-30%25 off - now,l-end', 'l-text,i-30%25%20off%20-%20now,l-end'],
    ['l-text,i-30% off,l-end', 'l-text,i-30%25%20off,l-end'],
    ['l-text,ie-aGVsbG8%3D,l-end', 'l-text,i-hello,l-end'],
    ['l-text,i-plain,ie-aGVsbG8,l-end', 'l-text,i-hello,l-end'],
    ['l-text,ie-aGVsbG8,i-plain,l-end', 'l-text,i-hello,l-end'],
    ['l-subtitle,i-a.srt,l-end', 'l-subtitles,i-a.srt,l-end'],
    ['l-image,i-a.png,lm-displacement,x-5,l-end', 'l-image,i-a.png,lm-displace,x-5,l-end'],
    [
      'l-image,i-ik_canvas,bg-FF0000,w-300,h-100,al-5,l-end',
      'l-image,i-ik_canvas,w-300,h-100,bg-FF0000,al-5,l-end',
    ],
    ['l-image,i-ik_canvas,e-gradient-from-F2559A_to-F27855_ld-top,w-bw,h-bh_div_10,ly-N0,l-end', undefined],
  ])('layers: %s', (text, expected) => {
    const printed = canonical(text)
    if (expected !== undefined) expect(printed).toBe(expected)
    expect(canonical(printed, 'plain')).toBe(printed)
  })

  test.each([
    'if-ar_gt_1,w-200,if-else,w-300,if-end',
    'if-ar_gt_1,w-200,if-end',
    'if-h_gte_100_and_h_lte_400_or_ar_lt_1.5,w-200,if-else,rt-90:w-300,if-end',
    'h-200:if-h_eq_200,w-100,if-end:rt-90',
    'if-w_gt_5,if-h_gt_5,w-3,if-end,if-else,h-3:h-2,if-end',
    'l-image,i-a.png,if-w_gt_5,w-10,if-end,l-end',
  ])('conditions: %s', (text) => {
    expect(canonical(text)).toBe(text)
  })
})

describe('refusals name what is wrong', () => {
  test.each([
    ['foo-1', '"foo" is not a known parameter'],
    ['w-100,zz-5', 'position 6'],
    ['w-abc', '"abc" of "w" at position 0 is not a number'],
    ['w-', 'value "" of "w"'],
    ['w-0', 'must be above 0'],
    ['w-1e9', 'not a number'],
    ['w-0x10', 'not a number'],
    ['w-NaN', 'not a number'],
    ['w-٣', 'not a number'],
    ['w--5', 'not a number'],
    ['w-iw_div', 'incomplete'],
    ['w-iw_foo_2', 'unknown operator "foo"'],
    ['w-xx_div_2', 'unknown value "xx"'],
    ['q-0', 'an integer from 1 to 100'],
    ['q-50.5', 'an integer from 1 to 100'],
    ['c-foo', 'one of maintain_ratio'],
    ['fo-unicorn', 'name of an object'],
    ['bg-FF0000AA', 'must be a color'],
    ['bg-FFF', 'must be a color'],
    ['rt-x', 'degrees'],
    ['r-1_2', 'four'],
    ['e-foo', '"e-foo" is not a known parameter'],
    ['e-usm-1-2-3', 'four positive numbers'],
    ['e-gradient-xx-1', 'unknown part'],
    ['e-distort-p-0_0_0_10_10_10_10_0', 'clockwise'],
    ['fs-20', 'outside of a text layer'],
    ['oi-logo.png', 'old overlay syntax'],
    ['ot-hello,w-5', 'old overlay syntax'],
    ['l-image,i-a.png', 'not closed with l-end'],
    ['l-image,l-end', 'no input'],
    ['l-foo,i-a,l-end', '"foo" is not a type of layer'],
    ['l-end', 'has no beginning'],
    ['l-text,i-a,cm-extract,l-end', 'in a text layer'],
    ['l-image,i-ik_canvas,rt-5,l-end', 'in a layer of ik_canvas'],
    ['l-image,i-a,lxc-5,lx-5,l-end', 'lxc'],
    ['l-image,i-1,l-image,i-2,l-image,i-3,l-image,i-4,l-end,l-end,l-end,l-end', 'more than 3 deep'],
    ['if-ar_gt_1,w-200', 'not closed with if-end'],
    ['if-end', 'has no beginning'],
    ['rt-90,if-h_eq_200,w-100,if-end', 'cannot hold anything else'],
    ['if-h_eq_200,w-100,if-end,bl-10', 'cannot hold anything else'],
    ['if-foo_eq_200,w-100,if-end', 'unknown property'],
    ['if-h_eq_200,pg-2,if-end', 'pg cannot'],
    ['if-h_eq,w-100,if-end', 'not a number'],
    ['if-h_eq_4-3,w-100,if-end', 'not a number'],
    [`w-${'9'.repeat(5000)}`, 'longer than 4096'],
    ['w-1:'.repeat(30), 'more than 20 steps'],
    [`${'w-1,'.repeat(70)}`, 'more than 64 parameters'],
    ['l-text,i-a,l-end,'.repeat(11), 'more than 10 layers'],
    [`w-${'1_add_'.repeat(40)}1`, 'more than 32 operators'],
  ])('%s', (text, reason) => {
    expect(() => parseTransformation(text, { form: 'url' })).toThrow(reason)
    try {
      parseTransformation(text, { form: 'url' })
    } catch (error) {
      expect((error as TintypeError).kind).toBe('bad-request')
    }
  })
})

describe('long text is cut, not refused', () => {
  test('plain at 2000 characters', () => {
    const [step] = parseTransformation(`l-text,i-${'x'.repeat(2100)},l-end`)
    expect(step?.kind === 'pass' && step.layers[0]!.input).toHaveLength(2000)
  })
  test('base64 at 2500 characters, at a whole character', () => {
    const encoded = Buffer.from('é'.repeat(1200)).toString('base64')
    const [step] = parseTransformation(`l-text,ie-${encoded},l-end`)
    expect(step?.kind === 'pass' && step.layers[0]!.input).toMatch(/^é+$/)
  })
})

describe('the table', () => {
  test('has one entry a key, with a summary, a source and examples that parse to themselves', () => {
    expect(new Set(catalog.map(({ key }) => key)).size).toBe(catalog.length)
    for (const { key, summary, source, examples, places } of catalog) {
      expect(summary, key).toMatch(/\w/)
      expect(source, key).toMatch(/\w/)
      expect(examples.length, key).toBeGreaterThan(0)
      for (const example of examples) {
        const inText = !places.includes('image') && !places.includes('video')
        const text = inText ? `l-text,i-a,${example},l-end` : example
        const printed = canonical(text)
        expect(printed, key).toContain(key)
        expect(canonical(printed, 'plain')).toBe(printed)
      }
    }
  })
})

describe('properties', () => {
  const examples = catalog
    .filter(({ places }) => places.includes('image'))
    .flatMap(({ examples }) => examples)
  const step = fc
    .array(fc.constantFrom(...examples), { minLength: 1, maxLength: 6 })
    .map((items) => items.join(','))
  const layer = fc
    .tuple(
      step,
      fc.constantFrom('l-image,i-a@@b.png', 'l-image,i-c.png,lx-N5,ly-bh_div_2', 'l-image,i-d.png,lfo-top'),
    )
    .map(([inner, head]) => `${head},${inner},l-end`)
  const chain = fc
    .array(fc.oneof(step, layer), { minLength: 1, maxLength: 5 })
    .map((steps) => steps.join(':'))

  test('printing and parsing again changes nothing', () => {
    fc.assert(
      fc.property(chain, (text) => {
        const tree = parseTransformation(text)
        const printed = printTransformation(tree)
        expect(parseTransformation(printed)).toEqual(tree)
        expect(canonical(printed, 'plain')).toBe(printed)
      }),
    )
  })

  test('no text whatever makes the parser fail in another way than by a 400', () => {
    const mutated = fc
      .tuple(chain, fc.nat(), fc.string({ maxLength: 4 }), fc.nat(5))
      .map(([text, at, insert, cut]) => {
        const position = at % (text.length + 1)
        return text.slice(0, position) + insert + text.slice(position + cut)
      })
    fc.assert(
      fc.property(
        fc.oneof(mutated, fc.string({ maxLength: 200 })),
        fc.constantFrom('url', 'plain'),
        (text, form) => {
          try {
            const tree = parseTransformation(text, { form: form as 'url' })
            expect(parseTransformation(printTransformation(tree))).toEqual(tree)
          } catch (error) {
            expect(error).toBeInstanceOf(TintypeError)
            expect((error as TintypeError).kind).toBe('bad-request')
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})
