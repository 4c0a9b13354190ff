/** Every kind of background job. `worker/handlers.ts` has one handler for each. */
export type JobKind = 'cache.purge' | 'folder.copy' | 'folder.move' | 'folder.rename' | 'folder.delete'
