/** Eight binary digits of opacity as the two decimal ones that transformations have. */
function opacity(hex: string): string {
  const percent = Math.round((Number.parseInt(hex, 16) / 255) * 100)
  return String(Math.min(99, percent)).padStart(2, '0')
}

/**
 * Translates RGB digits, three or six with or without opacity.
 * @param alphaFirst whether the opacity stands before the colour.
 * @returns undefined for what is no colour.
 */
export function hexColor(text: string, alphaFirst = false): string | undefined {
  if (!/^(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})$/i.test(text)) return undefined
  const long = text.length <= 4 ? [...text].map((digit) => digit + digit).join('') : text
  const digits = long.toUpperCase()
  if (digits.length === 6) return digits
  return alphaFirst
    ? digits.slice(2) + opacity(digits.slice(0, 2))
    : digits.slice(0, 6) + opacity(digits.slice(6))
}

/** Names of colours are written in small letters. */
export function namedColor(text: string): string | undefined {
  return /^[a-z]{3,30}$/i.test(text) ? text.toLowerCase() : undefined
}
