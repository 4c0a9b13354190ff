import type { Color, Gradient, Offset, Quantity } from './ast.ts'
import { COLOR_NAMES } from './colors.ts'
import { isOperator, parsePlainNumber, parseQuantity, printNumber, printQuantity } from './expr.ts'

/**
 * How a value is written. `parse` throws an Error whose message completes "The value … ", e.g. "is not a number";
 * `print` gives the canonical text, and parsing that text gives the value again.
 */
export type Codec<V> = {
  parse(text: string): V
  print(value: V): string
  /** What is allowed, for error messages and the reference. */
  describe: string
}

/** A number, `N` in front meaning negative. */
export function parseSignedNumber(text: string): number | undefined {
  const negative = text.startsWith('N')
  const value = parsePlainNumber(negative ? text.slice(1) : text)
  return value === undefined ? undefined : negative ? -value : value
}

export function integer(min: number, max: number): Codec<number> {
  const describe = `an integer from ${min} to ${max}`
  return {
    parse(text) {
      const value = parseSignedNumber(text)
      if (value === undefined || !Number.isInteger(value) || value < min || value > max) {
        throw new Error(`must be ${describe}`)
      }
      return value === 0 ? 0 : value
    },
    print: printNumber,
    describe,
  }
}

export function decimal(min: number, max: number, options: { exclusiveMin?: boolean } = {}): Codec<number> {
  const describe = `a number ${options.exclusiveMin ? 'above' : 'from'} ${min} ${options.exclusiveMin ? 'up ' : ''}to ${max}`
  return {
    parse(text) {
      const value = parseSignedNumber(text)
      if (value === undefined || value < min || value > max || (options.exclusiveMin && value === min)) {
        throw new Error(`must be ${describe}`)
      }
      return value === 0 ? 0 : value
    },
    print: printNumber,
    describe,
  }
}

export function choice<const V extends string>(
  values: readonly V[],
  aliases: Record<string, V> = {},
): Codec<V> {
  const describe = `one of ${values.join(', ')}`
  return {
    parse(text) {
      const value = Object.hasOwn(aliases, text) ? aliases[text] : values.find((known) => known === text)
      if (value === undefined) throw new Error(`must be ${describe}`)
      return value
    },
    print: (value) => value,
    describe,
  }
}

export const boolean: Codec<boolean> = {
  parse(text) {
    if (text === 'true') return true
    if (text === 'false') return false
    throw new Error('must be true or false')
  },
  print: String,
  describe: 'true or false',
}

/** A parameter that is there or not; old SDKs write a meaningless value after it (`e-grayscale-true`, `e-contrast-1`). */
export const flag: Codec<true> = {
  parse(text) {
    if (text !== '' && text !== 'true' && text !== '1') throw new Error('takes no value')
    return true
  },
  print: () => '',
  describe: 'no value',
}

export const quantity: Codec<Quantity> = {
  parse: parseQuantity,
  print: printQuantity,
  describe: 'a positive number or an expression such as iw_div_2',
}

/** A length: a positive number (below 1 it is a share of the image) or an expression. */
export const length: Codec<Quantity> = {
  parse(text) {
    const value = parseQuantity(text)
    if (value === 0) throw new Error('must be above 0')
    return value
  },
  print: printQuantity,
  describe: 'a number of pixels, a fraction below 1, or an expression such as iw_div_2',
}

/** A coordinate; `N` in front of a literal makes it negative. */
export const coordinate: Codec<Quantity> = {
  parse(text) {
    const literal = parseSignedNumber(text)
    if (literal !== undefined) return literal === 0 ? 0 : literal
    return parseQuantity(text)
  },
  print: printQuantity,
  describe: 'an integer, negative with N in front, or an expression such as iw_sub_cw',
}

export function orWord<V, const W extends string>(codec: Codec<V>, word: W): Codec<V | W> {
  return {
    parse: (text) => (text === word ? word : codec.parse(text)),
    print: (value) => (value === word ? word : codec.print(value as V)),
    describe: `${codec.describe}, or ${word}`,
  }
}

/** Width to height: `4-3`, `4_3`, or an expression that gives the ratio. */
export const ratio: Codec<Quantity> = {
  parse(text) {
    const value = parseRatio(text) ?? parseQuantity(text)
    if (typeof value === 'number' && (value < 0.0001 || value > 10_000)) {
      throw new Error('must be a ratio between 1:10000 and 10000:1')
    }
    return value
  },
  print: (value) => (typeof value === 'number' ? `${printNumber(value)}-1` : printQuantity(value)),
  describe: 'width-height such as 4-3, or an expression such as iar_div_2',
}

/** `4-3`, `4_3` or `4:3` as a number; undefined if it is something else. */
export function parseRatio(text: string): number | undefined {
  for (const separator of ['-', '_', ':']) {
    const [left, right, ...rest] = text.split(separator)
    if (left === undefined || right === undefined || rest.length > 0) continue
    const width = parsePlainNumber(left)
    const height = parsePlainNumber(right)
    if (width !== undefined && height !== undefined && height > 0) return width / height
  }
  return undefined
}

const HEX = /^[0-9a-fA-F]{6}$/
const HEX_WITH_OPACITY = /^[0-9a-fA-F]{6}[0-9]{2}$/

/** `RRGGBB`, `RRGGBBAA` with AA = 00–99 as decimal opacity, or a CSS colour name. */
export const color: Codec<Color> = {
  parse(text) {
    const rgb = HEX.test(text) || HEX_WITH_OPACITY.test(text) ? text.slice(0, 6) : COLOR_NAMES.get(text)
    if (rgb === undefined) {
      throw new Error('must be a color: RRGGBB, RRGGBBAA with AA from 00 to 99, or a color name')
    }
    const value = Number.parseInt(rgb, 16)
    return {
      red: value >> 16,
      green: (value >> 8) & 255,
      blue: value & 255,
      alpha: text === 'transparent' ? 0 : HEX_WITH_OPACITY.test(text) ? Number(text.slice(6)) / 100 : 1,
    }
  },
  print({ red, green, blue, alpha }) {
    const rgb = ((1 << 24) | (red << 16) | (green << 8) | blue).toString(16).slice(1).toUpperCase()
    return alpha === 1 ? rgb : rgb + String(Math.round(alpha * 100)).padStart(2, '0')
  },
  describe: 'RRGGBB, RRGGBBAA with AA = 00–99 as opacity, or a CSS color name',
}

/**
 * Splits `<expression>_<color>` (also `<number>-<color>`). The last part is a colour unless an operator stands
 * before it, for then it is the expression's last number.
 */
export const border: Codec<{ width: Quantity; color: Color }> = {
  parse(text) {
    const parts = text.split(/[_-]/)
    const last = parts.at(-1)!
    const before = parts.at(-2)
    const hasColor = before !== undefined && !isOperator(before)
    const width = parseQuantity((hasColor ? parts.slice(0, -1) : parts).join('_'))
    return { width, color: hasColor ? color.parse(last) : { red: 0, green: 0, blue: 0, alpha: 1 } }
  },
  print: (value) => `${printQuantity(value.width)}_${color.print(value.color)}`,
  describe: 'a width (number or expression), an underscore, and a color: 5_FFF000',
}

/** A layer's place on its base: `35`, `N35` (from the far edge), `bw_mul_0.4`, `Nbw_div_8`. */
export const offset: Codec<Offset> = {
  parse(text) {
    const fromEnd = text.startsWith('N')
    return { from: fromEnd ? 'end' : 'start', distance: parseQuantity(fromEnd ? text.slice(1) : text) }
  },
  print: (value) => (value.from === 'end' ? 'N' : '') + printQuantity(value.distance),
  describe:
    'a number of pixels, counted from the far edge with N in front, or an expression such as bw_mul_0.4',
}

/** A library path; `@@` stands for a slash. */
export const libraryPath: Codec<string> = {
  parse(text) {
    const path = text.replaceAll('@@', '/').replace(/^\/+|\/+$/g, '')
    if (path === '' || path.length > 1024) throw new Error('must be a path of at most 1024 characters')
    return path
  },
  // Beside an @ of the path, @@ would be ambiguous.
  print: (value) =>
    value.includes('@') ? encodeURIComponent(value) : encodeValue(value.replaceAll('/', '@@')),
  describe: 'a path in the media library, with @@ for each slash',
}

export function text(options: { maxLength: number; pattern?: RegExp; describe: string }): Codec<string> {
  return {
    parse(value) {
      if (
        value === '' ||
        value.length > options.maxLength ||
        (options.pattern && !options.pattern.test(value))
      ) {
        throw new Error(`must be ${options.describe}`)
      }
      return value
    },
    print: encodeValue,
    describe: options.describe,
  }
}

/** Percent-encodes what would end a value or a URL. */
export function encodeValue(value: string): string {
  return encodeURIComponent(value).replaceAll('%40%40', '@@')
}

/** Decodes URL-safe or plain base64 that holds UTF-8. @throws Error with a public reason. */
export function decodeBase64Text(encoded: string): string {
  // A `+` that a query string turned into a space.
  const plain = encoded.replaceAll(' ', '+').replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '')
  if (!/^[A-Za-z0-9+/]+$/.test(plain)) throw new Error('must be base64')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(
      Uint8Array.from(atob(plain), (c) => c.charCodeAt(0)),
    )
  } catch {
    throw new Error('must be base64 of UTF-8 text')
  }
}

export function encodeBase64Text(value: string): string {
  let binary = ''
  for (const byte of new TextEncoder().encode(value)) binary += String.fromCharCode(byte)
  return encodeURIComponent(btoa(binary))
}

type Field = { name: string; words?: readonly string[] }

/**
 * Splits `bl-15_st-40_x-10` into its named parts. An underscore ends a part only where a known name follows, since
 * values hold underscores too (`ld-top_right`, `sp-bh_div_2`).
 * @throws Error with a public reason.
 */
export function parseNamedParts(text: string, fields: readonly Field[]): Map<string, string> {
  const parts = new Map<string, string>()
  if (text === '') return parts
  let current: string | undefined
  for (const piece of text.split('_')) {
    const dash = piece.indexOf('-')
    const name = dash < 0 ? undefined : piece.slice(0, dash)
    if (name !== undefined && fields.some((field) => field.name === name)) {
      if (parts.has(name)) throw new Error(`has "${name}" twice`)
      current = name
      parts.set(name, piece.slice(dash + 1))
    } else if (current !== undefined) parts.set(current, `${parts.get(current)}_${piece}`)
    else
      throw new Error(
        `has an unknown part "${piece}"; parts are ${fields.map((field) => field.name).join(', ')}`,
      )
  }
  return parts
}

const DIRECTIONS: Record<string, number> = {
  top: 0,
  top_right: 45,
  right: 90,
  bottom_right: 135,
  bottom: 180,
  bottom_left: 225,
  left: 270,
  top_left: 315,
  topleft: 315,
  topright: 45,
  bottomleft: 225,
  bottomright: 135,
}

export const gradient: Codec<Gradient> = {
  parse(value) {
    const parts = parseNamedParts(value, [{ name: 'ld' }, { name: 'from' }, { name: 'to' }, { name: 'sp' }])
    const direction = parts.get('ld')
    const stop = parts.get('sp')
    const angleDeg =
      direction === undefined
        ? 180
        : Object.hasOwn(DIRECTIONS, direction)
          ? DIRECTIONS[direction]!
          : integer(0, 359).parse(direction)
    const stopValue = stop === undefined ? 1 : parseQuantity(stop)
    if (stopValue === 0) throw new Error('has a stop point (sp) of 0')
    return {
      angleDeg,
      from: color.parse(parts.get('from') ?? 'FFFFFF'),
      to: color.parse(parts.get('to') ?? '00000000'),
      stop: stopValue,
    }
  },
  print: (value) =>
    `ld-${value.angleDeg}_from-${color.print(value.from)}_to-${color.print(value.to)}_sp-${printQuantity(value.stop)}`,
  describe: 'parts ld (0–359 or a side), from (color), to (color), sp (stop point), joined by underscores',
}
