import { sql } from 'kysely'
import { type Dialect, prepare, type Session } from './engine.ts'
import type { Settings } from './store.ts'

/** Prepares the statements about settings once; the result binds them to a session. Values are kept as JSON. */
export function prepareSettings({ db }: Dialect): (session: Session) => Settings {
  const get = prepare<{ key: string }>()((value) =>
    db.selectFrom('settings').select('value').where('key', '=', value('key')),
  )
  const set = prepare<{ key: string; json: string }>()((value) =>
    db
      .insertInto('settings')
      .values({ key: value('key'), value: value('json') })
      .onConflict((oc) => oc.column('key').doUpdateSet({ value: (eb) => eb.ref('excluded.value') })),
  )
  const add = prepare<{ key: string; json: string }>()((value) =>
    db
      .insertInto('settings')
      .values({ key: value('key'), value: value('json') })
      .onConflict((oc) => oc.column('key').doNothing()),
  )
  const remove = prepare<{ key: string }>()((value) =>
    db.deleteFrom('settings').where('key', '=', value('key')),
  )

  const startingWith = prepare<{ start: string; length: number }>()((value) =>
    db
      .selectFrom('settings')
      .select(['key', 'value'])
      .where((eb) => sql`substr(${eb.ref('key')}, 1, ${value('length')})`, '=', value('start'))
      .orderBy('key'),
  )
  const read = async (session: Session, key: string): Promise<unknown> => {
    const [row] = await session.read(get({ key }))
    return row && JSON.parse(row.value)
  }

  return (session) => ({
    get: (key) => read(session, key),
    async keep(key, value) {
      await session.write(add({ key, json: JSON.stringify(value) }))
      return read(session, key)
    },
    async set(key, value) {
      if (value === undefined) await session.write(remove({ key }))
      else await session.write(set({ key, json: JSON.stringify(value) }))
    },
    async startingWith(start) {
      const rows = await session.read(startingWith({ start, length: start.length }))
      return rows.map((row) => ({ key: row.key, value: JSON.parse(row.value) as unknown }))
    },
  })
}
