import fc from 'fast-check'
import type { Area } from '../../../src/query/area.ts'

const latitude = fc.double({ min: -90, max: 90, noNaN: true }).map((value) => value + 0)
const longitude = fc.double({ min: -180, max: 180, noNaN: true }).map((value) => value + 0)
/** Any point of the earth. */
export const anyPoint = fc.record({ latitude, longitude })
/** Any area in the form in which the parser gives it. */
export const anyArea: fc.Arbitrary<Area> = fc.oneof(
  fc.record({
    kind: fc.constant('circle' as const),
    center: anyPoint,
    radiusM: fc.integer({ min: 1, max: 20_000_000_000 }).map((millimetres) => millimetres / 1000),
  }),
  fc.tuple(anyPoint, anyPoint).map(([a, b]) => ({
    kind: 'box' as const,
    south: Math.min(a.latitude, b.latitude),
    west: Math.min(a.longitude, b.longitude),
    north: Math.max(a.latitude, b.latitude),
    east: Math.max(a.longitude, b.longitude),
  })),
  fc
    .array(anyPoint, { minLength: 4, maxLength: 4 })
    .map((corners) => ({ kind: 'polygon' as const, corners })),
)
