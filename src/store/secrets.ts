import { TintypeError } from '../kernel/errors.ts'
import { type Sealer, unknownKeyMessage } from '../kernel/sealer.ts'
import { compile, type Engine, type Session } from './engine.ts'
import type { DocumentKind } from './records.ts'

/** How the secrets lie in the database. */
export type SecretsReport = {
  total: number
  /** Not encrypted. */
  plain: number
  /** Encrypted under the current key, and under earlier ones that the settings have. */
  current: number
  previous: number
  /** Under keys that the settings do not have, by the id of the key. */
  unknown: Record<string, number>
  /** Those that were changed, or moved from another row. */
  damaged: number
}

/** The secrets in the database: private keys, and the credentials of origins and webhooks. */
export type Secrets = {
  inspect(): Promise<SecretsReport>
  /** @throws TintypeError unavailable that says what to do, when there are any that cannot be opened. */
  check(): Promise<void>
  /**
   * Stores all of them as they are stored from now on: under the current key, or plain when there is none.
   * @returns how many had to be changed.
   */
  rewrite(): Promise<number>
}

/** Documents whose body is a secret as a whole: it holds credentials, and addresses that often are some. */
const SEALED_KINDS: readonly DocumentKind[] = ['origin', 'webhook']

export function isSealedKind(kind: DocumentKind): boolean {
  return SEALED_KINDS.includes(kind)
}

/** Where a private key is stored, and the body of a document: what binds a sealed text to its row. */
export const placeOfKey = (id: string) => `api_keys/${id}/private_key`
export const placeOfDocument = (kind: string, id: string) => `documents/${kind}/${id}/body`

export function createSecrets(engine: Engine, sealer: Sealer): Secrets {
  const { db } = engine.dialect

  /** Each secret with its place and what replaces it, if it is still the same. */
  async function readAll(session: Session) {
    const keys = await session.read(compile(db.selectFrom('api_keys').select(['id', 'private_key'])))
    const documents = await session.read(
      compile(
        db
          .selectFrom('documents')
          .select(['kind', 'id', 'body'])
          .where('kind', 'in', [...SEALED_KINDS]),
      ),
    )
    return [
      ...keys.map(({ id, private_key: text }) => ({
        text,
        place: placeOfKey(id),
        replaceBy: (sealed: string) =>
          compile(
            db
              .updateTable('api_keys')
              .set({ private_key: sealed })
              .where('id', '=', id)
              .where('private_key', '=', text),
          ),
      })),
      ...documents.map(({ kind, id, body: text }) => ({
        text,
        place: placeOfDocument(kind, id),
        replaceBy: (sealed: string) =>
          compile(
            db
              .updateTable('documents')
              .set({ body: sealed })
              .where('kind', '=', kind)
              .where('id', '=', id)
              .where('body', '=', text),
          ),
      })),
    ]
  }

  async function inspect(): Promise<SecretsReport> {
    const report: SecretsReport = { total: 0, plain: 0, current: 0, previous: 0, unknown: {}, damaged: 0 }
    for (const { text, place } of await readAll(engine.session)) {
      report.total += 1
      const keyId = sealer.keyIdOf(text)
      if (keyId === undefined) report.plain += 1
      else if (!sealer.knows(keyId)) report.unknown[keyId] = (report.unknown[keyId] ?? 0) + 1
      else if (!canOpen(text, place)) report.damaged += 1
      else report[keyId === sealer.keyId ? 'current' : 'previous'] += 1
    }
    return report
  }

  function canOpen(text: string, place: string): boolean {
    try {
      sealer.open(text, place)
      return true
    } catch {
      return false
    }
  }

  return {
    inspect,
    async check() {
      const { unknown, damaged } = await inspect()
      const keyIds = Object.keys(unknown)
      if (keyIds.length > 0) throw new TintypeError('unavailable', unknownKeyMessage(keyIds))
      if (damaged > 0) {
        throw new TintypeError(
          'unavailable',
          `${damaged} secrets in the database were changed or are not in their place. Restore a backup, or see "tintype doctor".`,
        )
      }
    },
    rewrite: () =>
      engine.transaction(async (session) => {
        // Or SQLite leaves the old text in its file, in a place that nothing uses.
        if (engine.dialect.engine === 'sqlite') {
          await session.write({ sql: 'PRAGMA secure_delete = ON', parameters: [] })
        }
        let changes = 0
        for (const { text, place, replaceBy } of await readAll(session)) {
          if (sealer.keyIdOf(text) === sealer.keyId) continue
          changes += (await session.write(replaceBy(sealer.seal(sealer.open(text, place), place)))).changes
        }
        return changes
      }),
  }
}
