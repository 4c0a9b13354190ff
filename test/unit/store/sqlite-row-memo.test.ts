import { expect, test } from 'vitest'
import { createRowMemo } from '../../../src/store/dialects/sqlite-row-memo.ts'

const make = ({ seq, name }: { seq: number; name: string }) => ({ seq, name })
const query = (page: number) => ({ sql: 'SELECT seq, name FROM files WHERE page = ?', parameters: [page] })
const linesOf = (...rows: [number, string][]) =>
  ['["seq","name"]', ...rows.map((row) => JSON.stringify(row))].join('\n')

test('a row of a page that is asked for again is the same record from then on', () => {
  const recordsOf = createRowMemo()
  const first = recordsOf(query(1), linesOf([1, 'a'], [2, 'b']), make)
  const second = recordsOf(query(1), linesOf([1, 'a'], [2, 'b']), make)
  const third = recordsOf(query(1), linesOf([1, 'a'], [2, 'b']), make)
  expect(first).toEqual([
    { seq: 1, name: 'a' },
    { seq: 2, name: 'b' },
  ])
  expect(second).toEqual(first)
  expect(second[0]).not.toBe(first[0])
  expect(third).toEqual(first)
  expect(third[0]).toBe(second[0])
  expect(third[1]).toBe(second[1])
})

test('a row that has changed is another record, its neighbours are not', () => {
  const recordsOf = createRowMemo()
  recordsOf(query(1), linesOf([1, 'a'], [2, 'b']), make)
  const before = recordsOf(query(1), linesOf([1, 'a'], [2, 'b']), make)
  const after = recordsOf(query(1), linesOf([1, 'a'], [2, 'new']), make)
  expect(after[0]).toBe(before[0])
  expect(after[1]).toEqual({ seq: 2, name: 'new' })
})

test('the rows of a page that comes again only after many others are not kept', () => {
  const recordsOf = createRowMemo()
  const rows = Array.from({ length: 100 }, (_, i): [number, string] => [i, `name ${i}`])
  const pageOf = (page: number) => recordsOf(query(page), linesOf(...rows), make)
  const first = pageOf(0)
  expect(pageOf(1)[0]).not.toBe(first[0])
  // More rows than are kept come between.
  for (let page = 2; page < 30; page += 1) pageOf(page)
  const again = pageOf(0)
  expect(pageOf(30)[0]).not.toBe(again[0])
  pageOf(0)
  expect(pageOf(0)[0]).toBe(pageOf(0)[0])
})

test('a page without rows gives no records', () => {
  const recordsOf = createRowMemo()
  expect(recordsOf(query(1), '["seq","name"]', make)).toEqual([])
  expect(recordsOf(query(1), '["seq","name"]', make)).toEqual([])
})
