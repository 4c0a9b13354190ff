import type { Sealer } from '../kernel/sealer.ts'
import { compile, type Dialect, type Session } from './engine.ts'
import { apiKeyOf } from './records.ts'
import { placeOfKey } from './secrets.ts'
import type { Keys } from './store.ts'

/** Prepares the statements about API keys once; the result binds them to a session. */
export function prepareKeys({ db }: Dialect, sealer: Sealer): (session: Session) => Keys {
  const all = compile(db.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id'))

  return (session) => ({
    async list() {
      return (await session.read(all)).map((row) =>
        apiKeyOf({ ...row, private_key: sealer.open(row.private_key, placeOfKey(row.id)) }),
      )
    },
    async add(key) {
      await session.write(
        compile(
          db.insertInto('api_keys').values({
            id: key.id,
            name: key.name,
            public_key: key.publicKey,
            private_key: sealer.seal(key.privateKey, placeOfKey(key.id)),
            scope: key.scope,
            is_restricted: Number(key.isRestricted),
            created_at: key.createdAtMs,
            expires_at: key.expiresAtMs,
            disabled_at: key.disabledAtMs,
          }),
        ),
      )
    },
    async change({ id, name, privateKey, scope, expiresAtMs, disabledAtMs }) {
      await session.write(
        compile(
          db
            .updateTable('api_keys')
            .set({
              name,
              private_key: sealer.seal(privateKey, placeOfKey(id)),
              scope,
              expires_at: expiresAtMs,
              disabled_at: disabledAtMs,
            })
            .where('id', '=', id),
        ),
      )
    },
    async remove(id) {
      await session.write(compile(db.deleteFrom('api_keys').where('id', '=', id)))
    },
    lock: () => session.lock('api keys'),
  })
}
