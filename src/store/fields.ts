import { compile, type Dialect, prepare, type Session } from './engine.ts'
import { fieldOf } from './records.ts'
import type { Fields } from './store.ts'

/** Prepares the statements about custom metadata fields once; the result binds them to a session. */
export function prepareFields({ db }: Dialect): (session: Session) => Fields {
  const all = () =>
    db
      .selectFrom('fields')
      .select(['id', 'name', 'label', 'schema', 'description', 'deleted_at'])
      .orderBy('created_at')
      .orderBy('id')
  const everything = compile(all())
  const living = compile(all().where('deleted_at', 'is', null))

  const byId = prepare<{ id: string }>()((value) => all().where('id', '=', value('id')))
  const add = prepare<{
    id: string
    name: string
    label: string
    schema: string
    description: string | null
    createdAtMs: number
  }>()((value) =>
    db.insertInto('fields').values({
      id: value('id'),
      name: value('name'),
      label: value('label'),
      schema: value('schema'),
      description: value('description'),
      created_at: value('createdAtMs'),
    }),
  )
  const change = prepare<{ id: string; label: string; schema: string; description: string | null }>()(
    (value) =>
      db
        .updateTable('fields')
        .set({ label: value('label'), schema: value('schema'), description: value('description') })
        .where('id', '=', value('id')),
  )
  const remove = prepare<{ id: string; nowMs: number }>()((value) =>
    db
      .updateTable('fields')
      .set({ deleted_at: value('nowMs') })
      .where('id', '=', value('id'))
      .where('deleted_at', 'is', null),
  )

  return (session) => ({
    async list(options) {
      const rows = await session.read(options?.includeDeleted ? everything : living)
      return rows.map(fieldOf)
    },
    async byId(id) {
      const [row] = await session.read(byId({ id }))
      return row && fieldOf(row)
    },
    async add({ id, name, label, schema, description, createdAtMs }) {
      await session.write(add({ id, name, label, schema: JSON.stringify(schema), description, createdAtMs }))
    },
    async change({ id, label, schema, description }) {
      await session.write(change({ id, label, schema: JSON.stringify(schema), description }))
    },
    async remove(id, nowMs) {
      await session.write(remove({ id, nowMs }))
    },
  })
}
