import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Area, boundsOf, contains, type Point, parseArea, printArea } from '../../../src/query/area.ts'
import { anyArea, anyPoint } from './any-area.ts'

const at = (latitude: number, longitude: number): Point => ({ latitude, longitude })

describe('parsing', () => {
  test.each<[string, Area]>([
    ['40,100 5km', { kind: 'circle', center: at(40, 100), radiusM: 5000 }],
    ['40.5, -100.25 500m', { kind: 'circle', center: at(40.5, -100.25), radiusM: 500 }],
    ['0,0 1mi', { kind: 'circle', center: at(0, 0), radiusM: 1609.344 }],
    ['0,0 0.1km', { kind: 'circle', center: at(0, 0), radiusM: 100 }],
    ['40,100|50,105', { kind: 'box', south: 40, west: 100, north: 50, east: 105 }],
    ['50,100 | 40,105', { kind: 'box', south: 40, west: 100, north: 50, east: 105 }],
    ['0,0|0,100|40,100|40,0', { kind: 'polygon', corners: [at(0, 0), at(0, 100), at(40, 100), at(40, 0)] }],
  ])('%s', (text, area) => {
    expect(parseArea(text)).toEqual(area)
  })

  test.each([
    '',
    '40,100',
    '40,100 5',
    '40,100 km',
    '40,100 -5km',
    '40,100 0km',
    '40,100 99999km',
    '40,100 5 km',
    '91,0 5km',
    '0,181 5km',
    '40 100 5km',
    'x,y 5km',
    '40,100|',
    '40,100|50,105|1,1',
    '1,1|1,2|2,2|2,1|1,1',
    '1,1,1|2,2',
    `${' '.repeat(300)}40,100 5km`,
  ])('%j is no area', (text) => {
    expect(parseArea(text)).toBeUndefined()
  })

  test('what is printed is read again', () => {
    fc.assert(
      fc.property(anyArea, (area) => {
        expect(parseArea(printArea(area))).toEqual(area)
      }),
    )
  })
})

describe('containment', () => {
  test('a circle reaches as far as its radius', () => {
    // A degree of latitude is 111.195 km on a sphere of the mean radius.
    const circle = parseArea('40,100 112km')!
    expect(contains(circle, at(41, 100))).toBe(true)
    expect(contains(parseArea('40,100 111km')!, at(41, 100))).toBe(false)
    expect(contains(circle, at(40, 101.3))).toBe(true)
    expect(contains(circle, at(40, 101.4))).toBe(false)
  })

  test('a circle reaches across the 180th meridian and over the poles', () => {
    expect(contains(parseArea('0,179.9 50km')!, at(0, -179.9))).toBe(true)
    expect(contains(parseArea('89.9,0 50km')!, at(89.9, 180))).toBe(true)
  })

  test('the border belongs to boxes and polygons', () => {
    for (const text of ['0,0|10,10', '0,0|0,10|10,10|10,0']) {
      const area = parseArea(text)!
      for (const inside of [at(0, 0), at(10, 10), at(5, 0), at(10, 5), at(5, 5)]) {
        expect(contains(area, inside)).toBe(true)
      }
      for (const outside of [at(-0.001, 5), at(10.001, 5), at(5, 10.001), at(5, -0.001)]) {
        expect(contains(area, outside)).toBe(false)
      }
    }
  })

  test('a polygon need not lie along the axes', () => {
    const diamond = parseArea('0,5|5,10|10,5|5,0')!
    expect(contains(diamond, at(5, 5))).toBe(true)
    expect(contains(diamond, at(1, 1))).toBe(false)
  })

  test('the bounds hold everything that the area holds', () => {
    fc.assert(
      fc.property(anyArea, anyPoint, (area, place) => {
        fc.pre(contains(area, place))
        expect(contains(boundsOf(area), place)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('the bounds of a small circle are small', () => {
    const { south, north, west, east } = boundsOf(parseArea('60,10 10km')!)
    expect(north - south).toBeCloseTo(0.18, 2)
    expect(east - west).toBeCloseTo(0.36, 2)
  })
})
