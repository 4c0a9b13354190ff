export type Point = { latitude: number; longitude: number }

/** A part of the earth's surface, in degrees. */
export type Area =
  /** Within a distance along the surface. */
  | { kind: 'circle'; center: Point; radiusM: number }
  /** Between two parallels and two meridians; never across the 180th meridian. */
  | { kind: 'box'; south: number; west: number; north: number; east: number }
  /** Inside the polygon of these corners, in the plane of latitude and longitude. */
  | { kind: 'polygon'; corners: Point[] }

/** Mean radius of the earth (IUGG). */
const EARTH_RADIUS_M = 6_371_008.8
const METRES: Record<string, number> = { km: 1000, m: 1, mi: 1609.344 }
const MAX_TEXT = 200

/**
 * Parses a location value of the search manual; coordinates are `latitude,longitude` in degrees.
 * - `40,100 5km`: a circle. Units `km`, `m`, `mi`.
 * - `40,100|50,105`: the box with this diagonal, whichever way it runs.
 * - `0,0|0,100|40,100|40,0`: the quadrilateral with these corners, in order around it.
 * @returns undefined when the text is none of these.
 */
export function parseArea(text: string): Area | undefined {
  if (text.length > MAX_TEXT) return undefined
  const parts = text.split('|')
  if (parts.length === 1) return parseCircle(text.trim())
  const points = parts.map((part) => parsePoint(part.trim()))
  if (!points.every((point) => point !== undefined)) return undefined
  if (points.length === 2) {
    const [a, b] = points as [Point, Point]
    return {
      kind: 'box',
      south: Math.min(a.latitude, b.latitude),
      west: Math.min(a.longitude, b.longitude),
      north: Math.max(a.latitude, b.latitude),
      east: Math.max(a.longitude, b.longitude),
    }
  }
  return points.length === 4 ? { kind: 'polygon', corners: points } : undefined
}

/** The text that `parseArea` reads as this area. */
export function printArea(area: Area): string {
  switch (area.kind) {
    case 'circle':
      return `${printPoint(area.center)} ${area.radiusM % 1000 === 0 ? `${area.radiusM / 1000}km` : `${area.radiusM}m`}`
    case 'box':
      return `${area.south},${area.west}|${area.north},${area.east}`
    case 'polygon':
      return area.corners.map(printPoint).join('|')
  }
}

/** Whether a point lies in an area; its border belongs to it. */
export function contains(area: Area, point: Point): boolean {
  switch (area.kind) {
    case 'circle':
      return distanceM(area.center, point) <= area.radiusM
    case 'box':
      return (
        point.latitude >= area.south &&
        point.latitude <= area.north &&
        point.longitude >= area.west &&
        point.longitude <= area.east
      )
    case 'polygon':
      // The bounds first: products of tiny differences vanish, and every point would lie on a border.
      return contains(boundsOf(area), point) && isInPolygon(area.corners, point)
  }
}

/** A box that holds the whole area: what an index can narrow down before `contains` decides. */
export function boundsOf(area: Area): Extract<Area, { kind: 'box' }> {
  switch (area.kind) {
    case 'box':
      return area
    case 'polygon': {
      const latitudes = area.corners.map((corner) => corner.latitude)
      const longitudes = area.corners.map((corner) => corner.longitude)
      return {
        kind: 'box',
        south: Math.min(...latitudes),
        west: Math.min(...longitudes),
        north: Math.max(...latitudes),
        east: Math.max(...longitudes),
      }
    }
    case 'circle': {
      const { latitude, longitude } = area.center
      // A hair wider than the circle, so that rounding never cuts its border off.
      const angle = (area.radiusM / EARTH_RADIUS_M) * 1.000001 + 1e-9
      const latitudeSpan = degrees(angle)
      const south = Math.max(-90, latitude - latitudeSpan)
      const north = Math.min(90, latitude + latitudeSpan)
      // Around a pole every meridian is near; across the 180th one the box would have two parts.
      const sine = Math.sin(angle) / Math.cos(radians(latitude))
      const longitudeSpan = angle >= Math.PI / 2 || sine >= 1 ? 360 : degrees(Math.asin(sine))
      const crosses = longitude - longitudeSpan < -180 || longitude + longitudeSpan > 180
      if (south === -90 || north === 90 || crosses)
        return { kind: 'box', south, west: -180, north, east: 180 }
      return { kind: 'box', south, west: longitude - longitudeSpan, north, east: longitude + longitudeSpan }
    }
  }
}

function parseCircle(text: string): Area | undefined {
  const space = text.lastIndexOf(' ')
  if (space === -1) return undefined
  const center = parsePoint(text.slice(0, space).trim())
  const distance = /^([0-9]+(?:\.[0-9]+)?)(km|m|mi)$/i.exec(text.slice(space + 1))
  if (!center || !distance) return undefined
  // To the micrometre: what decimal units leave behind a multiplication means nothing.
  const radiusM = Math.round(Number(distance[1]) * METRES[distance[2]!.toLowerCase()]! * 1e6) / 1e6
  return radiusM > 0 && radiusM <= 20_050_000 ? { kind: 'circle', center, radiusM } : undefined
}

function parsePoint(text: string): Point | undefined {
  const comma = text.indexOf(',')
  if (comma === -1) return undefined
  const latitude = parseDegrees(text.slice(0, comma).trim(), 90)
  const longitude = parseDegrees(text.slice(comma + 1).trim(), 180)
  return latitude === undefined || longitude === undefined ? undefined : { latitude, longitude }
}

function parseDegrees(text: string, limit: number): number | undefined {
  if (text.length > 30 || !/^[+-]?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?$/.test(text)) return undefined
  // Adding zero makes -0 the same as 0, which prints the same.
  const value = Number(text) + 0
  return Math.abs(value) <= limit ? value : undefined
}

function printPoint(point: Point): string {
  return `${point.latitude},${point.longitude}`
}

/** Great-circle distance by the haversine formula. */
function distanceM(a: Point, b: Point): number {
  const latitudeHalf = radians(b.latitude - a.latitude) / 2
  const longitudeHalf = radians(b.longitude - a.longitude) / 2
  const h =
    Math.sin(latitudeHalf) ** 2 +
    Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * Math.sin(longitudeHalf) ** 2
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(h)))
}

/** Even-odd rule, with the border counted in. */
function isInPolygon(corners: Point[], point: Point): boolean {
  let inside = false
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const a = corners[i]!
    const b = corners[j]!
    if (isOnSegment(a, b, point)) return true
    const crosses = a.latitude > point.latitude !== b.latitude > point.latitude
    if (!crosses) continue
    const share = (point.latitude - a.latitude) / (b.latitude - a.latitude)
    if (point.longitude < a.longitude + share * (b.longitude - a.longitude)) inside = !inside
  }
  return inside
}

function isOnSegment(a: Point, b: Point, point: Point): boolean {
  const cross =
    (b.longitude - a.longitude) * (point.latitude - a.latitude) -
    (b.latitude - a.latitude) * (point.longitude - a.longitude)
  return (
    cross === 0 &&
    point.latitude >= Math.min(a.latitude, b.latitude) &&
    point.latitude <= Math.max(a.latitude, b.latitude) &&
    point.longitude >= Math.min(a.longitude, b.longitude) &&
    point.longitude <= Math.max(a.longitude, b.longitude)
  )
}

const radians = (value: number) => (value * Math.PI) / 180
const degrees = (value: number) => (value * 180) / Math.PI
