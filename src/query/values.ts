import type { Ago, DateValue } from './ast.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** `1kb` is 1024 bytes: the manual does not say, and file sizes are shown in powers of two by the product. */
const SIZE_UNITS: Record<string, number> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3, tb: 1024 ** 4 }

const DATE =
  /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?)?$/

/** A decimal number, or undefined. */
export function parseNumber(text: string): number | undefined {
  if (text.length > 40 || !/^[+-]?\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?$/i.test(text)) return undefined
  const value = Number(text)
  // Adding zero makes -0 the same as 0, which prints the same.
  return Number.isFinite(value) ? value + 0 : undefined
}

/** Bytes: a number, or one with a unit in any case (`1mb`, `1.5 KB`). Rounded to whole bytes. */
export function parseSize(text: string): number | undefined {
  if (text.length > 40) return undefined
  const match = /^(\d+(?:\.\d+)?)\s?(b|kb|mb|gb|tb)$/i.exec(text)
  const bytes = match ? Number(match[1]) * SIZE_UNITS[match[2]!.toLowerCase()]! : parseNumber(text)
  if (bytes === undefined) return undefined
  const rounded = Math.round(bytes)
  return Number.isSafeInteger(rounded) ? rounded : undefined
}

/**
 * A point in time: `YYYY-MM-DD` (00:00:00), `YYYY-MM-DDTHH:MM[:SS[.fff]]`, in UTC unless `Z` or an offset follows,
 * or a time ago (`1h 2d 3w 4m 1y`: hours, days, weeks, calendar months, years).
 */
export function parseDate(text: string, nowMs: number): DateValue | undefined {
  if (text.length > 40) return undefined
  const relative = /^(\d{1,5})([hdwmy])$/.exec(text)
  if (relative) {
    const ago: Ago = { count: Number(relative[1]), unit: relative[2] as Ago['unit'] }
    return { type: 'date', ms: resolveAgo(ago, nowMs), spanMs: SECOND_MS, ago }
  }
  const match = DATE.exec(text)
  if (!match) return undefined
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction, offset = 'Z'] = match
  const localMs = utcMs([year!, month!, day!, hour, minute, second].map(Number) as DateParts)
  const offsetMs = parseOffset(offset)
  if (localMs === undefined || offsetMs === undefined) return undefined
  const fractionMs = fraction === undefined ? 0 : Number(fraction.slice(0, 3).padEnd(3, '0'))
  const spanMs = fraction === undefined ? SECOND_MS : 1
  return { type: 'date', ms: localMs - offsetMs + fractionMs, spanMs }
}

/** A year, month or day as a span of time: `2020`, `2020-01`, `2020-01-31`. */
export function parsePeriod(text: string): DateValue | undefined {
  if (text.length > 10) return undefined
  const match = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$/.exec(text)
  if (!match) return undefined
  const [year, month, day] = [match[1]!, match[2] ?? '01', match[3] ?? '01'].map(Number) as [
    number,
    number,
    number,
  ]
  const ms = utcMs([year, month, day, 0, 0, 0])
  if (ms === undefined) return undefined
  const end = new Date(ms)
  if (match[3] !== undefined) end.setUTCDate(day + 1)
  else if (match[2] !== undefined) end.setUTCMonth(month)
  else end.setUTCFullYear(year + 1)
  return { type: 'date', ms, spanMs: end.getTime() - ms, period: text }
}

/** The text that `parseDate` (or `parsePeriod`) reads as this value. */
export function printDate(value: DateValue): string {
  if (value.ago) return `${value.ago.count}${value.ago.unit}`
  if (value.period !== undefined) return value.period
  const iso = new Date(value.ms).toISOString()
  return value.spanMs === 1 ? iso : `${iso.slice(0, 19)}Z`
}

function resolveAgo(ago: Ago, nowMs: number): number {
  switch (ago.unit) {
    case 'h':
      return nowMs - ago.count * HOUR_MS
    case 'd':
      return nowMs - ago.count * DAY_MS
    case 'w':
      return nowMs - ago.count * 7 * DAY_MS
    case 'm':
      return monthsBefore(nowMs, ago.count)
    case 'y':
      return monthsBefore(nowMs, ago.count * 12)
  }
}

/** The same day and time some months earlier; a day that the month does not have becomes its last. */
function monthsBefore(nowMs: number, months: number): number {
  const date = new Date(nowMs)
  const day = date.getUTCDate()
  date.setUTCDate(1)
  date.setUTCMonth(date.getUTCMonth() - months)
  date.setUTCDate(Math.min(day, daysInMonth(date.getUTCFullYear(), date.getUTCMonth() + 1)))
  return date.getTime()
}

type DateParts = [year: number, month: number, day: number, hour: number, minute: number, second: number]

function utcMs([year, month, day, hour, minute, second]: DateParts): number | undefined {
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const date = new Date(0)
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, second)
  return date.getTime()
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function parseOffset(text: string): number | undefined {
  if (text === 'Z') return 0
  const hours = Number(text.slice(1, 3))
  const minutes = Number(text.slice(-2))
  if (hours > 14 || minutes > 59) return undefined
  return (text[0] === '-' ? -1 : 1) * (hours * HOUR_MS + minutes * MINUTE_MS)
}
