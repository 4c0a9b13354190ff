/** Every kind of background job. `worker/handlers.ts` has one handler for each. */
export type JobKind =
  | 'cache.purge'
  | 'derivative.make'
  | 'extension.run'
  | 'folder.copy'
  | 'folder.move'
  | 'folder.rename'
  | 'folder.delete'
  | 'webhook.deliver'

/** How one attempt of a job ended, for handlers that do not throw. */
export type JobOutcome =
  | { kind: 'done' }
  /** To be tried again: after `delayMs`, or after the usual wait of its kind. */
  | { kind: 'retry'; reason: string; delayMs?: number }
  /** It has to wait for something; that is no attempt. */
  | { kind: 'postpone'; reason: string; delayMs: number }
  /** No further attempt can help. */
  | { kind: 'give-up'; reason: string }
