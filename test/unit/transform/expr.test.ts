import { describe, expect, test } from 'vitest'
import { evaluate, parseQuantity, printNumber, printQuantity } from '../../../src/transform/expr.ts'

const scope = { iw: 400, ih: 300, iar: 4 / 3, cw: 200, ch: 100, car: 2, bw: 1000, bh: 500, bar: 2 }

describe('evaluate', () => {
  test.each([
    ['400', 400],
    ['iw', 400],
    ['iw_div_2', 200],
    ['ih_mul_0.8_add_iw_mul_0.4', 300 * 0.8 + 400 * 0.4],
    ['bw_sub_cw', 800],
    // Multiplication and division first, from the left.
    ['10_sub_2_mul_3', 4],
    ['100_div_10_mul_2', 20],
    // Addition and subtraction before the remainder, the power last: not the order of school.
    ['10_mod_3_add_4', 3],
    ['2_pow_2_add_1', 8],
    ['2_pow_7_mod_4', 8],
    ['2_pow_3_pow_2', 64],
    ['ch_mod_7', 2],
  ])('%s = %d', (text, value) => {
    expect(evaluate(parseQuantity(text), scope)).toBeCloseTo(value, 9)
  })

  test.each(['1_div_0', '5_mod_0', '9_pow_9_pow_9_pow_9', '0_div_0'])('%s is not finite', (text) => {
    expect(() => evaluate(parseQuantity(text), scope)).toThrow('finite')
  })

  test('a variable without a value here', () => {
    expect(() => evaluate(parseQuantity('bw_div_2'), { iw: 1 })).toThrow('"bw"')
  })
})

describe('printNumber', () => {
  test.each([
    [1e-7, '0.0000001'],
    [-40, 'N40'],
    [0.1 + 0.2, '0.30000000000000004'],
    [65535, '65535'],
  ])('%d is %s', (value, text) => {
    expect(printNumber(value)).toBe(text)
  })
  test('expressions come back', () => {
    expect(printQuantity(parseQuantity('ih_mul_0.8_add_iw'))).toBe('ih_mul_0.8_add_iw')
  })
})
