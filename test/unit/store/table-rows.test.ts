import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { NOT_CARRIED } from '../../../src/store/table-rows.ts'
import { engines } from '../../contract/places.ts'

test('every table of the schema is carried to another engine, or known not to be', async () => {
  const place = await engines[0]!.createPlace()
  const store = await place.open()
  const db = new DatabaseSync(place.options.file!)
  const rows = db
    .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .all()
  db.close()
  expect([...store.rows.tables, ...NOT_CARRIED].sort()).toEqual(rows.map(({ name }) => name).sort())
  for (const table of store.rows.tables) expect(await store.rows.page(table, undefined, 2)).toBeDefined()
  await store.close()
  await place.remove()
})
