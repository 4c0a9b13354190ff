import { DatabaseSync } from 'node:sqlite'

/** Tells whether anything was committed, by this process or another. */
export type ChangeStamp = {
  /** A number that differs after every commit; undefined when it cannot be read at the moment. */
  read(): number | undefined
  /** To be called when a commit of this process is done, before anybody hears of it. */
  expire(): void
  close(): void
}

/**
 * Opens a connection for nothing but `PRAGMA data_version`. It is read on the calling thread: it takes some
 * microseconds, never waits for a lock and touches no table, where asking another thread costs ten times as much.
 * @param file a library that another connection keeps open, so that its write-ahead log exists.
 */
export function openChangeStamp(file: string): ChangeStamp {
  const db = new DatabaseSync(file, { readOnly: true, timeout: 0 })
  const statement = db.prepare('PRAGMA data_version')
  let stamp: number | undefined
  let isFresh = false
  const expire = () => {
    isFresh = false
  }
  return {
    read() {
      if (isFresh) return stamp
      try {
        stamp = Number(statement.get()?.data_version)
      } catch {
        // Locked or closed: whoever asks has to look for itself.
        return undefined
      }
      // Requests that arrive together, in one turn of the event loop, share what was read.
      isFresh = true
      setImmediate(expire)
      return stamp
    },
    expire,
    close: () => db.close(),
  }
}
