import { type Dialect, prepare, type Session } from './engine.ts'
import type { Tokens } from './store.ts'

/** Prepares the statements about used one-time tokens once; the result binds them to a session. */
export function prepareTokens({ db }: Dialect): (session: Session) => Tokens {
  // The primary key decides who was first, over all processes; there is no reading before writing.
  const consume = prepare<{ key: string; expiresAtMs: number }>()((value) =>
    db
      .insertInto('used_tokens')
      .values({ key: value('key'), expires_at: value('expiresAtMs') })
      .onConflict((oc) => oc.column('key').doNothing()),
  )
  const sweep = prepare<{ nowMs: number; limit: number }>()((value) =>
    db
      .deleteFrom('used_tokens')
      .where('key', 'in', (eb) =>
        eb
          .selectFrom('used_tokens')
          .select('key')
          .where('expires_at', '<', value('nowMs'))
          .orderBy('expires_at')
          .limit(value('limit')),
      ),
  )

  return (session) => ({
    consume: async (key, expiresAtMs) => (await session.write(consume({ key, expiresAtMs }))).changes === 1,
    sweep: async (nowMs, limit) => (await session.write(sweep({ nowMs, limit }))).changes,
  })
}
