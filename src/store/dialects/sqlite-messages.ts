/** What the main thread and the threads of SQLite connections say to each other. */

export type ThreadData = {
  file: string
  role: 'writer' | 'reader'
  /** How long one statement waits for another process's lock. */
  lockWaitMs: number
  cacheKib: number
}

export type Step = {
  sql: string
  parameters: readonly unknown[]
  /** A statement that asks `in_time()` is ended after so long. */
  budgetMs?: number
  /** Wants its rows as lines: the columns, then each row, in JSON. */
  asLines?: boolean
}

/** Steps run in order up to the first that fails. */
export type ThreadRequest = { id: number; steps: readonly Step[] }

/** JSON `[columns, ...rows]` of a step that gives rows (half the cost of cloning objects), else its count of changes. */
export type StepResult = string | number

export type ThreadFailure = { message: string; code: number }

export type ThreadReply = {
  /** The request's; 0 for the word that the connection is open. */
  id: number
  results: StepResult[]
  failure?: ThreadFailure
  inTransaction: boolean
}
