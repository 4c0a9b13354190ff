const WORD_CHARACTER = /[\p{L}\p{N}\p{M}]/u

/**
 * The words of a text as `HAS` sees them: runs of letters, marks and digits in lower case, so that
 * `Summer_Sale-2024.jpg` is `summer`, `sale`, `2024`, `jpg`. An index for `HAS` must be filled with the same words.
 */
export function splitWords(text: string): string[] {
  const words: string[] = []
  let word = ''
  for (const character of text.normalize('NFC').toLowerCase().normalize('NFC')) {
    if (WORD_CHARACTER.test(character)) word += character
    else if (word !== '') {
      words.push(word)
      word = ''
    }
  }
  if (word !== '') words.push(word)
  return words
}

/** Whether words have all the wanted ones, the last wanted one as the beginning of a word. */
export function hasWords(words: string[], wanted: string[]): boolean {
  const last = wanted.at(-1)
  if (last === undefined) return false
  const known = new Set(words)
  return wanted.slice(0, -1).every((word) => known.has(word)) && words.some((word) => word.startsWith(last))
}
