import { compile, type Dialect, type Session } from './engine.ts'
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

  return (session) => ({
    async list(options) {
      const rows = await session.read(options?.includeDeleted ? everything : living)
      return rows.map(fieldOf)
    },
  })
}
