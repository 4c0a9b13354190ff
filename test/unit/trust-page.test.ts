import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/trust.md'), 'utf8')
const rows = [...page.matchAll(/^\| ([A-Z]{1,2}\d\d) \| ([^|]*) \| ([^|]*) \| ?([^|]*) ?\|$/gm)].map(
  ([, id, what, tests, gap]) => ({
    id: id!,
    what: what!.trim(),
    tests: [...tests!.matchAll(/`([^`]+)`/g)].map(([, path]) => path!),
    gap: gap!.trim(),
  }),
)

/** How many rows each part has, and the numbers that were never given. */
const PARTS: [letters: string, count: number, without?: number[]][] = [
  ['A', 10],
  ['J', 15],
  ['V', 7],
  ['M', 15],
  ['B', 5],
  ['S', 20, [9]],
  ['C', 18],
  ['P', 11, [4]],
  ['X', 10],
  ['G', 8],
  ['L', 7],
  ['D', 8],
  ['W', 7],
  ['Q', 6],
  ['F', 11],
  ['DB', 9],
  ['O', 8],
  ['R', 10],
  ['Z', 5],
]

test('the page has every attack and fault once, in order', () => {
  const wanted = PARTS.flatMap(([letters, count, without = []]) =>
    Array.from({ length: count }, (_, index) => index + 1)
      .filter((number) => !without.includes(number))
      .map((number) => `${letters}${String(number).padStart(2, '0')}`),
  )
  expect(rows.map(({ id }) => id)).toEqual(wanted)
  // A line that is written otherwise would not be looked at below.
  expect(page.match(/^\| [A-Z]{1,2}\d/gm)).toHaveLength(rows.length)
})

test.each(rows)('$id says what happens, and is tested or says why not', ({ what, tests, gap }) => {
  expect(tests.filter((path) => !existsSync(join(root, 'test', `${path}.test.ts`)))).toEqual([])
  expect(what).not.toBe('')
  if (tests.length === 0) expect(gap).not.toBe('')
})
