import { type RawBuilder, sql } from 'kysely'
import type { Area } from '../query/query.ts'
import { joined } from './search-predicate.ts'

/** Mean radius of the earth (IUGG), as in the query's own areas. */
const EARTH_RADIUS_M = 6_371_008.8

/** Whether a place lies in an area, once it lies within the area's bounds; undefined when those are the area. */
export function liesIn(
  area: Area,
  lat: RawBuilder<unknown>,
  lon: RawBuilder<unknown>,
): RawBuilder<unknown> | undefined {
  switch (area.kind) {
    case 'box':
      return undefined
    case 'circle': {
      const { latitude, longitude } = area.center
      const angle = area.radiusM / EARTH_RADIUS_M / 2
      if (angle >= Math.PI / 2) return undefined
      // The haversine of the distance, compared with that of the radius.
      const sine = (degrees: RawBuilder<unknown>) => sql`sin(radians(${degrees}) / 2)`
      const latitudeSine = sine(sql`${lat} - ${double(flush(latitude))}`)
      const longitudeSine = sine(sql`${lon} - ${double(flush(longitude))}`)
      const cosine = Math.cos((latitude * Math.PI) / 180)
      return sql`${latitudeSine} * ${latitudeSine}
        + ${double(cosine)} * cos(radians(${lat})) * ${longitudeSine} * ${longitudeSine} <= ${Math.sin(angle) ** 2}`
    }
    case 'polygon': {
      const corners = area.corners.map((corner) => [flush(corner.latitude), flush(corner.longitude)] as const)
      const sides = corners.map(([latA, lonA], i) => {
        const [latB, lonB] = corners.at(i - 1)!
        return { latA, lonA, latB, lonB }
      })
      const isOnSide = sides.map(
        ({ latA, lonA, latB, lonB }) => sql`(
          ${double(lonB - lonA)} * (${lat} - ${double(latA)}) - ${double(latB - latA)} * (${lon} - ${double(lonA)}) = 0
          AND ${lat} >= ${Math.min(latA, latB)} AND ${lat} <= ${Math.max(latA, latB)}
          AND ${lon} >= ${Math.min(lonA, lonB)} AND ${lon} <= ${Math.max(lonA, lonB)})`,
      )
      // Even-odd rule: how many sides lie east of the place.
      const crossings = sides
        .filter(({ latA, latB }) => latA !== latB)
        .map(
          ({
            latA,
            lonA,
            latB,
            lonB,
          }) => sql`(CASE WHEN (${double(latA)} > ${lat}) <> (${double(latB)} > ${lat})
            AND ${lon} < ${double(lonA)} + (${lat} - ${double(latA)}) / ${double(latB - latA)} * ${double(lonB - lonA)}
            THEN 1 ELSE 0 END)`,
        )
      const isInside = crossings.length > 0 ? sql`(${sql.join(crossings, sql` + `)}) % 2 = 1` : sql.lit(false)
      return joined('or', [...isOnSide, isInside])
    }
  }
}

/** A number whose type no context tells. */
function double(number: number): RawBuilder<number> {
  return sql`CAST(${number} AS double precision)`
}

/** Nothing on earth is this small, and PostgreSQL calls the product of two such numbers an error. */
function flush(degrees: number): number {
  return Math.abs(degrees) < 1e-100 ? 0 : degrees
}
