import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import type { SharedFiles } from '../blobs/blobs.ts'
import type { Log } from '../kernel/log.ts'
import type { Made } from './derivatives.ts'

/** Derivatives that all servers share: what one has made, no other makes again. Nothing depends on it. */
export type SharedDerivatives = {
  /** Writes the derivative to the path, if one is there and is what it was when it was made. */
  find(name: string, path: string): Promise<Made | undefined>
  /** Keeps a derivative; its success is not waited for. */
  keep(name: string, path: string, made: Made): void
  /** Removes all whose names begin so. */
  remove(start: string): Promise<void>
}

export function createSharedDerivatives(files: SharedFiles, log: Log): SharedDerivatives {
  // One line for each outage, not for each picture.
  let isFailing = false
  const tell = (error: unknown) => {
    if (!isFailing) log.warn({ err: error }, 'shared derivatives cannot be used at the moment')
    isFailing = true
  }
  return {
    async find(name, path) {
      try {
        const note = await files.fetch(name, path)
        isFailing = false
        const made = note === undefined ? undefined : (JSON.parse(note) as Made)
        if (!made) return undefined
        const sha256 = createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
        if (sha256 === made.sha256) return made
        log.warn({ name }, 'a shared derivative was damaged and is made again')
      } catch (error) {
        tell(error)
      }
      await rm(path, { force: true })
      return undefined
    },
    keep(name, path, { sha256, sizeBytes, widthPx, heightPx }) {
      readFile(path)
        .then((bytes) => files.keep(name, bytes, JSON.stringify({ sha256, sizeBytes, widthPx, heightPx })))
        // Also when it has made room for others before it was read.
        .catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOENT') tell(error)
        })
    },
    async remove(start) {
      await files.removeAll(start).catch(tell)
    },
  }
}
