import type { Sealer } from '../kernel/sealer.ts'
import { type Dialect, prepare, type Session } from './engine.ts'
import { type DocumentKind, documentOf } from './records.ts'
import { isSealedKind, placeOfDocument } from './secrets.ts'
import type { Documents } from './store.ts'

/** Prepares the statements about documents once; the result binds them to a session. */
export function prepareDocuments({ db }: Dialect, sealer: Sealer): (session: Session) => Documents {
  const ofKind = prepare<{ kind: string }>()((value) =>
    db
      .selectFrom('documents')
      .selectAll()
      .where('kind', '=', value('kind'))
      .orderBy('created_at')
      .orderBy('id'),
  )
  const byId = prepare<{ kind: string; id: string }>()((value) =>
    db.selectFrom('documents').selectAll().where('kind', '=', value('kind')).where('id', '=', value('id')),
  )
  type Row = { kind: string; id: string; uniqueName: string | null; json: string; nowMs: number }
  const add = prepare<Row>()((value) =>
    db.insertInto('documents').values({
      kind: value('kind'),
      id: value('id'),
      unique_name: value('uniqueName'),
      body: value('json'),
      created_at: value('nowMs'),
      updated_at: value('nowMs'),
    }),
  )
  const change = prepare<Row>()((value) =>
    db
      .updateTable('documents')
      .set({ unique_name: value('uniqueName'), body: value('json'), updated_at: value('nowMs') })
      .where('kind', '=', value('kind'))
      .where('id', '=', value('id')),
  )
  const remove = prepare<{ kind: string; id: string }>()((value) =>
    db.deleteFrom('documents').where('kind', '=', value('kind')).where('id', '=', value('id')),
  )

  const jsonOf = (kind: DocumentKind, id: string, body: Record<string, unknown>) => {
    const json = JSON.stringify(body)
    return isSealedKind(kind) ? sealer.seal(json, placeOfDocument(kind, id)) : json
  }
  const opened = <R extends { kind: string; id: string; body: string }>(row: R): R => ({
    ...row,
    body: sealer.open(row.body, placeOfDocument(row.kind, row.id)),
  })

  return (session) => ({
    async list(kind) {
      return (await session.read(ofKind({ kind }))).map((row) => documentOf(opened(row)))
    },
    async byId(kind, id) {
      const [row] = await session.read(byId({ kind, id }))
      return row && documentOf(opened(row))
    },
    async add({ kind, id, uniqueName, body }, nowMs) {
      await session.write(add({ kind, id, uniqueName, json: jsonOf(kind, id, body), nowMs }))
    },
    async change({ kind, id, uniqueName, body }, nowMs) {
      await session.write(change({ kind, id, uniqueName, json: jsonOf(kind, id, body), nowMs }))
    },
    async remove(kind, id) {
      return (await session.write(remove({ kind, id }))).changes > 0
    },
  })
}
