import { randomUUID } from 'node:crypto'
import type pg from 'pg'

/** What a transaction leaves in the database, so that whoever lost the answer of its COMMIT can look it up. */
export type Mark = { connection: string; number: number }

const UNDEFINED_TABLE = '42P01'
/** Long after anybody may still ask for one. */
const KEPT_MS = 86_400_000

export type Marks = {
  /** Begins a transaction. @returns its mark; undefined before the schema has a place for it. */
  begin(client: pg.ClientBase): Promise<Mark | undefined>
  /**
   * Whether the transaction that left this mark was committed, in the history that the server of `client` goes on with.
   * @throws while it may still be under way, and on a standby.
   */
  wasCommitted(client: pg.ClientBase, mark: Mark): Promise<boolean>
}

/**
 * Marks of transactions. PostgreSQL's own numbers (`pg_xact_status`) would not do: one that was lost in a crash, or
 * that a promoted standby never got, is given again, and then a stranger's COMMIT is taken for one's own (trust DB04,
 * docs/adr/0006).
 */
export function createMarks(): Marks {
  const last = new WeakMap<pg.ClientBase, Mark>()

  /** Gives a connection its row, committed before any of its transactions: one that has none left no mark. */
  async function register(client: pg.ClientBase): Promise<Mark | undefined> {
    const mark = { connection: randomUUID(), number: 0 }
    const nowMs = Date.now()
    try {
      await client.query(
        `DELETE FROM commit_marks WHERE marked_at < ${nowMs - KEPT_MS};
        INSERT INTO commit_marks VALUES ('${mark.connection}', 0, ${nowMs});
        PREPARE leave_mark (bigint, bigint) AS
          UPDATE commit_marks SET mark = $1, marked_at = $2 WHERE connection = '${mark.connection}'`,
      )
      return mark
    } catch (error) {
      if ((error as { code?: string }).code === UNDEFINED_TABLE) return undefined
      throw error
    }
  }

  return {
    async begin(client) {
      const before = last.get(client) ?? (await register(client))
      if (!before) {
        await client.query('BEGIN')
        return undefined
      }
      const mark = { ...before, number: before.number + 1 }
      last.set(client, mark)
      // One round trip.
      await client.query(`BEGIN; EXECUTE leave_mark(${mark.number}, ${Date.now()})`)
      return mark
    },
    async wasCommitted(client, { connection, number }) {
      // The row is locked as long as the transaction is under way, also while it waits for a standby.
      const { rows } = await client.query<{ mark: number | string }>(
        'SELECT mark FROM commit_marks WHERE connection = $1 FOR UPDATE NOWAIT',
        [connection],
      )
      return Number(rows[0]?.mark) === number
    },
  }
}
